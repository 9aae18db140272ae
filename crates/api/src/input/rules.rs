//! The rules that values keep. Each knows how to read a value and how to explain itself.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;
use outdial_domain::E164;
use serde_json::{Map, Value};
use url::Url;

use super::fields::{Rule, shown};
use super::json::kind;
use crate::code::ErrorCode;
use crate::error::{ApiError, Result};

/// The largest `metadata` and `agent_config`, in bytes of compact JSON.
pub(crate) const MAX_OBJECT: usize = 32 * 1024;

fn wrong(name: &'static str, rule: &str) -> ApiError {
    ApiError::field(ErrorCode::InvalidField, name, format!("{name} must be {rule}"))
}

fn wrong_type(name: &'static str, rule: &str, value: &Value) -> ApiError {
    let message = format!("{name} must be {rule}, not {}", kind(value));
    ApiError::field(ErrorCode::InvalidField, name, message)
}

fn string(name: &'static str, value: Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong_type(name, "a string", &other)),
    }
}

/// Text of bounded length.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    min: usize,
    max: usize,
    max_bytes: usize,
    line: bool,
}

/// One line: 1 to `max` characters, none of them a control character.
pub(crate) fn line(max: usize) -> Text {
    Text { min: 1, max, max_bytes: usize::MAX, line: true }
}

/// Any text of at least `min` characters and at most `max_bytes` bytes.
pub(crate) fn prose(min: usize, max_bytes: usize) -> Text {
    Text { min, max: usize::MAX, max_bytes, line: false }
}

impl Rule<String> for Text {
    fn read(&self, name: &'static str, value: Value) -> Result<String> {
        let text = string(name, value)?;
        let characters = text.chars().count();
        let long = characters > self.max || text.len() > self.max_bytes;
        if characters < self.min || long {
            return Err(wrong(name, &self.hint()).hint(format!("it has {characters} characters")));
        }
        if self.line && text.chars().any(char::is_control) {
            return Err(wrong(name, "without control characters such as line breaks"));
        }
        // NUL has no place in any text, and LiveKit, SIP and databases choke on it.
        if text.contains('\0') {
            return Err(wrong(name, "without NUL characters"));
        }
        if self.min > 0 && text.trim().is_empty() {
            return Err(wrong(name, "more than blanks"));
        }
        Ok(text)
    }

    fn hint(&self) -> String {
        if self.line {
            format!("{} to {} characters in one line", self.min, self.max)
        } else {
            format!("text of {} characters to {} bytes", self.min, self.max_bytes)
        }
    }
}

/// Anything that is written as text and parses itself.
pub(crate) struct Parsed {
    code: ErrorCode,
    example: &'static str,
}

/// A text that parses as the wanted type; its error says what is wrong.
pub(crate) fn parsed(example: &'static str) -> Parsed {
    Parsed { code: ErrorCode::InvalidField, example }
}

impl<T: FromStr<Err: fmt::Display>> Rule<T> for Parsed {
    fn read(&self, name: &'static str, value: Value) -> Result<T> {
        string(name, value)?.parse().map_err(|error| {
            ApiError::field(self.code, name, format!("{name}: {error}")).hint(Rule::<T>::hint(self))
        })
    }

    fn hint(&self) -> String {
        format!("for example {}", self.example)
    }
}

/// A phone number.
pub(crate) struct Number;

/// Reads a phone number; the message is the published one.
pub(crate) fn parse_number(name: &'static str, text: &str) -> Result<E164> {
    text.parse().map_err(|error| {
        ApiError::field(ErrorCode::InvalidNumber, name, format!("Invalid number: {name}: {error}"))
            .hint(Number.hint())
    })
}

impl Rule<E164> for Number {
    fn read(&self, name: &'static str, value: Value) -> Result<E164> {
        parse_number(name, &string(name, value)?)
    }

    fn hint(&self) -> String {
        "use E.164 format, for example +15550100000".to_owned()
    }
}

/// One of a few words.
#[derive(Clone, Copy)]
pub(crate) struct OneOf<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy> OneOf<T> {
    pub(crate) fn parse(&self, name: &'static str, text: &str) -> Result<T> {
        let found = self.0.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let message = format!("{name} does not know {:?}", shown(text));
            ApiError::field(ErrorCode::UnknownValue, name, message).hint(self.hint())
        })
    }

    fn hint(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| *word).collect();
        format!("one of: {}", words.join(", "))
    }
}

impl<T: Copy> Rule<T> for OneOf<T> {
    fn read(&self, name: &'static str, value: Value) -> Result<T> {
        self.parse(name, &string(name, value)?)
    }

    fn hint(&self) -> String {
        self.hint()
    }
}

/// `true` or `false`.
pub(crate) struct Flag;

impl Rule<bool> for Flag {
    fn read(&self, name: &'static str, value: Value) -> Result<bool> {
        value.as_bool().ok_or_else(|| wrong_type(name, "true or false", &value))
    }

    fn hint(&self) -> String {
        "true or false".to_owned()
    }
}

/// A whole number in a range.
pub(crate) struct Whole(pub(crate) RangeInclusive<u32>);

impl Rule<u32> for Whole {
    fn read(&self, name: &'static str, value: Value) -> Result<u32> {
        if !value.is_number() {
            return Err(wrong_type(name, &self.hint(), &value));
        }
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.filter(|number| self.0.contains(number)).ok_or_else(|| wrong(name, &self.hint()))
    }

    fn hint(&self) -> String {
        format!("a whole number from {} to {}", self.0.start(), self.0.end())
    }
}

/// A number in a range.
pub(crate) struct Decimal(pub(crate) RangeInclusive<f64>);

impl Rule<f64> for Decimal {
    fn read(&self, name: &'static str, value: Value) -> Result<f64> {
        let number = value.as_f64().ok_or_else(|| wrong_type(name, &self.hint(), &value))?;
        let inside = self.0.contains(&number);
        inside.then_some(number).ok_or_else(|| wrong(name, &self.hint()))
    }

    fn hint(&self) -> String {
        format!("a number from {} to {}", self.0.start(), self.0.end())
    }
}

/// An object of bounded size.
pub(crate) struct Object;

impl Rule<Map<String, Value>> for Object {
    fn read(&self, name: &'static str, value: Value) -> Result<Map<String, Value>> {
        let Value::Object(object) = value else {
            return Err(wrong_type(name, "an object", &value));
        };
        let size = json_size(&object);
        if size > MAX_OBJECT {
            return Err(wrong(name, &Rule::hint(self)).hint(format!("it has {size} bytes")));
        }
        Ok(object)
    }

    fn hint(&self) -> String {
        format!("an object of at most {MAX_OBJECT} bytes of JSON")
    }
}

/// Values of one kind, at most so many.
pub(crate) struct Several<R> {
    pub(crate) max: usize,
    /// What they are, in the plural.
    pub(crate) what: &'static str,
    pub(crate) each: R,
}

impl<T, R: Rule<T>> Rule<Vec<T>> for Several<R> {
    fn read(&self, name: &'static str, value: Value) -> Result<Vec<T>> {
        let Value::Array(items) = value else {
            return Err(wrong_type(name, &format!("an array of {}", self.what), &value));
        };
        if items.len() > self.max {
            return Err(wrong(name, &Rule::hint(self)));
        }
        items.into_iter().map(|item| self.each.read(name, item)).collect()
    }

    fn hint(&self) -> String {
        format!("at most {} {}", self.max, self.what)
    }
}

/// An IP address, or a network in CIDR notation.
pub(crate) struct Network;

impl Rule<IpNet> for Network {
    fn read(&self, name: &'static str, value: Value) -> Result<IpNet> {
        let text = string(name, value)?;
        let fault = |rule: &str| Err(wrong(name, rule).hint(Rule::hint(self)));
        let network = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
            (Ok(network), _) => network,
            (_, Ok(address)) => address.into(),
            _ => return fault("made of IP addresses or networks in CIDR notation"),
        };
        match network {
            network if network.trunc() != network => {
                fault("made of networks without host bits: 203.0.113.0/24, not 203.0.113.7/24")
            }
            network if network.prefix_len() == 0 => fault("narrower than the whole internet"),
            network => Ok(network),
        }
    }

    fn hint(&self) -> String {
        "for example 203.0.113.7 or 203.0.113.0/24".to_owned()
    }
}

/// An `http` or `https` URL. Whether it may be called is for the webhook sender to say.
pub(crate) struct HttpUrl;

impl Rule<Url> for HttpUrl {
    fn read(&self, name: &'static str, value: Value) -> Result<Url> {
        let text = string(name, value)?;
        let hint = Rule::hint(self);
        if text.len() > 2048 {
            return Err(wrong(name, "at most 2048 bytes long").hint(hint));
        }
        match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
            Ok(_) => Err(wrong(name, "an http or https URL").hint(hint)),
            Err(error) => Err(wrong(name, &format!("a URL: {error}")).hint(hint)),
        }
    }

    fn hint(&self) -> String {
        "for example https://example.com/call-ended".to_owned()
    }
}

/// The size of an object as compact JSON.
fn json_size(object: &Map<String, Value>) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, object) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}
