//! From bytes to the lines that matter here.

use super::{MAX_BODY, SdpError};
use sdp_types::Session;

/// The most that is quoted of what a peer wrote.
const MAX_QUOTE: usize = 100;

/// Parses a body that came from outside.
pub(super) fn parse(body: &[u8]) -> Result<Session, SdpError> {
    if body.len() > MAX_BODY {
        return Err(SdpError::TooLarge(body.len()));
    }
    if body.trim_ascii().is_empty() {
        return Err(SdpError::Empty);
    }
    let lines = relevant(&String::from_utf8_lossy(body));
    Session::parse(lines.as_bytes()).map_err(|error| SdpError::Malformed(error.to_string()))
}

/// The lines that are read here, in good order. Gateways write spaces at the ends of lines, empty
/// names and odd bandwidths; no call shall fail for what nobody reads.
fn relevant(body: &str) -> String {
    let mut lines = String::with_capacity(body.len());
    for line in body.lines() {
        let line = line.trim();
        match line.as_bytes() {
            [b'v' | b'c' | b't' | b'm', b'=', ..] => {
                let words: Vec<_> = line.split_ascii_whitespace().collect();
                lines.push_str(&words.join(" "));
            }
            [b'a', b'=', _, ..] => lines.push_str(line),
            _ => continue,
        }
        lines.push_str("\r\n");
    }
    lines
}

/// What a peer wrote, short and printable, for an error.
pub(super) fn quote(text: &str) -> String {
    text.chars().filter(|char| *char == ' ' || char.is_ascii_graphic()).take(MAX_QUOTE).collect()
}
