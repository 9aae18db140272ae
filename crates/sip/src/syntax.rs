//! What may go into a SIP message. Everything that callers give is checked here once, so that no value can smuggle in another header.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Why a text cannot go into a SIP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It is too long.
    #[error("it is too long")]
    TooLong,
    /// It holds a character that is not allowed there.
    #[error("it holds a character that is not allowed")]
    Character,
    /// It is no port.
    #[error("its port is not a number from 1 to 65535")]
    Port,
}

const MAX: usize = 256;
const MAX_VALUE: usize = 1024;

fn each(text: &str, max: usize, allowed: impl Fn(u8) -> bool) -> Result<(), InvalidText> {
    if text.is_empty() {
        Err(InvalidText::Empty)
    } else if text.len() > max {
        Err(InvalidText::TooLong)
    } else if text.bytes().all(allowed) {
        Ok(())
    } else {
        Err(InvalidText::Character)
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// A token of RFC 3261, such as a header's name.
pub(crate) fn token(text: &str) -> Result<(), InvalidText> {
    each(text, MAX, is_token)
}

/// A Call-ID: `word [@ word]`, without the characters that would need care elsewhere.
pub(crate) fn call_id(text: &str) -> Result<(), InvalidText> {
    each(text, MAX, |byte| is_token(byte) || byte == b'@' || byte == b':')
}

/// The user part of a SIP URI: what needs no escaping there.
pub(crate) fn user(text: &str) -> Result<(), InvalidText> {
    each(text, MAX, |byte| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,".contains(&byte))
}

/// A host: a name or an IP address (IPv6 in brackets or not).
pub(crate) fn host(text: &str) -> Result<(), InvalidText> {
    if bare(text).parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    each(text, 253, |byte| {
        byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || byte == b'_'
    })
}

fn bare(text: &str) -> &str {
    text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text)
}

/// What stands between quotes: no quote, no backslash, no control characters.
pub(crate) fn quoted(text: &str) -> Result<(), InvalidText> {
    each(text, MAX, |byte| byte >= b' ' && byte != 0x7f && !b"\"\\<>".contains(&byte))
}

/// A SIP URI that goes between angle brackets.
pub(crate) fn uri(text: &str) -> Result<(), InvalidText> {
    each(text, MAX_VALUE, |byte| byte > b' ' && byte < 0x7f && !b"<>\"\\".contains(&byte))
}

/// The value of a header: no control characters.
pub(crate) fn header_value(text: &str) -> Result<(), InvalidText> {
    each(text, MAX_VALUE, |byte| byte >= b' ' && byte != 0x7f)
}

/// A host with an optional port, such as `pstn.example.com` or `192.0.2.1:5070` or `[2001:db8::1]:5061`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: String,
    port: Option<u16>,
}

impl HostPort {
    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if one is given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl FromStr for HostPort {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let (name, port) = match text.rsplit_once(':') {
            _ if bare(text).parse::<IpAddr>().is_ok() => (text, None),
            Some((name, port)) => {
                if !port.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(InvalidText::Port);
                }
                match port.parse::<u16>() {
                    Ok(port) if port > 0 => (name, Some(port)),
                    _ => return Err(InvalidText::Port),
                }
            }
            None => (text, None),
        };
        // `::1:5060` without brackets has two readings.
        if port.is_some() && name.contains(':') && !name.starts_with('[') {
            return Err(InvalidText::Character);
        }
        host(name)?;
        Ok(Self { host: bare(name).to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expect: Result<(&str, Option<u16>), InvalidText>| {
            let read = text.parse::<HostPort>();
            let read = read.as_ref().map(|read| (read.host(), read.port())).map_err(|error| *error);
            assert_eq!(read, expect, "{text}");
        };
        check("pstn.example.com", Ok(("pstn.example.com", None)));
        check("pstn.example.com:5070", Ok(("pstn.example.com", Some(5070))));
        check("192.0.2.1:5070", Ok(("192.0.2.1", Some(5070))));
        check("[2001:db8::1]:5061", Ok(("2001:db8::1", Some(5061))));
        check("2001:db8::1", Ok(("2001:db8::1", None)));
        check("[::1]", Ok(("::1", None)));
        check("", Err(InvalidText::Empty));
        check(":5060", Err(InvalidText::Empty));
        check("a:0", Err(InvalidText::Port));
        check("a:65536", Err(InvalidText::Port));
        check("a:+1", Err(InvalidText::Port));
        check("a b", Err(InvalidText::Character));
        check("a;x=y", Err(InvalidText::Character));
        check("a:b:1", Err(InvalidText::Character));
        check("a\r\nb", Err(InvalidText::Character));
    }

    #[test]
    fn what_passes_can_do_no_harm() {
        bolero::check!().with_type::<String>().for_each(|text| {
            let harmless = |text: &str| !text.contains(|c: char| c.is_ascii_control());
            let texts = [
                token(text),
                call_id(text),
                user(text),
                host(text),
                quoted(text),
                header_value(text),
                uri(text),
            ];
            assert!(texts.iter().all(Result::is_err) || harmless(text));
            if quoted(text).is_ok() || user(text).is_ok() || host(text).is_ok() || uri(text).is_ok()
            {
                assert!(!text.contains(['"', '<', '>', '\\']));
            }
            if user(text).is_ok() || host(text).is_ok() {
                assert!(!text.contains(['@', ';', '?', ' ', '/']));
            }
            if let Ok(read) = text.parse::<HostPort>() {
                assert_eq!(read.to_string().parse(), Ok(read));
            }
        });
    }
}
