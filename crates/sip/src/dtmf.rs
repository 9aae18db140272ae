//! Keypresses in INFO requests.

use std::time::Duration;

/// A keypress that came in an INFO (`application/dtmf-relay`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DtmfRelay {
    /// `0`-`9`, `*`, `#`, `A`-`D`.
    pub digit: char,
    /// How long it was pressed; 160 ms if not told, 5 s at most.
    pub duration: Duration,
}

const USUAL: Duration = Duration::from_millis(160);
const LONGEST: Duration = Duration::from_secs(5);
/// No keypress needs more.
const MAX_BODY: usize = 256;

impl DtmfRelay {
    /// Reads the body of an `application/dtmf-relay`: lines `Signal=5` and `Duration=160` (milliseconds).
    pub fn parse(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body.get(..body.len().min(MAX_BODY))?).ok()?;
        let mut digit = None;
        let mut duration = USUAL;
        for line in text.lines() {
            let Some((name, value)) = line.split_once('=').or_else(|| line.split_once(':')) else {
                continue;
            };
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("signal") {
                digit = read_digit(value);
            } else if name.eq_ignore_ascii_case("duration") {
                duration = value.parse().map_or(USUAL, Duration::from_millis).min(LONGEST);
            }
        }
        Some(Self { digit: digit?, duration })
    }

    /// Reads the body of an `application/dtmf`: just the digit.
    pub fn parse_plain(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body.get(..body.len().min(MAX_BODY))?).ok()?;
        Some(Self { digit: read_digit(text.trim())?, duration: USUAL })
    }

    /// The body for [`Dialog::info`](crate::Dialog::info) with `application/dtmf-relay`.
    pub fn to_body(self) -> Vec<u8> {
        format!("Signal={}\r\nDuration={}\r\n", self.digit, self.duration.as_millis()).into_bytes()
    }
}

/// One digit, or its event number 10 to 15 as some peers write `*` `#` `A`-`D`.
fn read_digit(text: &str) -> Option<char> {
    match text {
        "10" => Some('*'),
        "11" => Some('#'),
        "12" => Some('A'),
        "13" => Some('B'),
        "14" => Some('C'),
        "15" => Some('D'),
        _ => {
            let mut chars = text.chars();
            let digit = chars.next()?.to_ascii_uppercase();
            (chars.next().is_none() && matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D'))
                .then_some(digit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read() {
        let check = |body: &str, expect: Option<(char, u64)>| {
            let read = DtmfRelay::parse(body.as_bytes());
            assert_eq!(
                read.map(|r| (r.digit, r.duration)),
                expect.map(|(d, ms)| (d, Duration::from_millis(ms))),
                "{body:?}"
            );
        };
        check("Signal=5\r\nDuration=240\r\n", Some(('5', 240)));
        check("Signal= 5\nDuration= 240", Some(('5', 240)));
        check("signal=#\r\n", Some(('#', 160)));
        check("Signal=11\r\nDuration=x", Some(('#', 160)));
        check("Signal=d\r\nDuration=99999999", Some(('D', 5000)));
        check("Signal=16", None);
        check("Signal=55", None);
        check("Signal=", None);
        check("Duration=100", None);
        check("", None);
        assert_eq!(DtmfRelay::parse_plain(b" 7\r\n").map(|read| read.digit), Some('7'));
        assert_eq!(DtmfRelay::parse_plain(b"77"), None);
    }

    #[test]
    fn any_body() {
        bolero::check!().for_each(|body: &[u8]| {
            let _ = DtmfRelay::parse_plain(body);
            if let Some(read) = DtmfRelay::parse(body) {
                assert_eq!(DtmfRelay::parse(&read.to_body()), Some(read));
            }
        });
    }
}
