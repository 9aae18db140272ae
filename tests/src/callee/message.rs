//! SIP messages as a callee reads and writes them. Written anew, so that it shares no mistake with
//! the server's.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// A request or a response.
#[derive(Debug, Clone)]
pub struct Message {
    /// The first line.
    pub start: String,
    headers: Vec<(String, String)>,
    /// The body; mostly SDP.
    pub body: String,
}

impl Message {
    /// Reads a whole message.
    pub fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        Self { start, headers: lines.filter_map(header).collect(), body: body.to_owned() }
    }

    /// A request's method; `None` for a response.
    pub fn method(&self) -> Option<&str> {
        self.start.split(' ').next().filter(|word| *word != "SIP/2.0")
    }

    /// A response's code; `None` for a request.
    pub fn code(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// A request's URI.
    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The first header of a name; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers(name).first().copied().unwrap_or_default()
    }

    /// All headers of a name, in order.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let all = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        all.map(|(_, value)| value.as_str()).collect()
    }

    /// The number in `CSeq`.
    pub fn sequence(&self) -> u32 {
        self.header("CSeq").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default()
    }

    /// The method in `CSeq`.
    pub fn of_method(&self) -> &str {
        self.header("CSeq").split(' ').nth(1).unwrap_or_default()
    }

    /// The URI in `Contact`.
    pub fn contact(&self) -> &str {
        uri_in(self.header("Contact"))
    }

    /// A line of the SDP, by its letter, such as `m`: what is behind the `=` of the first one.
    pub fn sdp(&self, letter: char) -> Option<&str> {
        self.body.lines().find_map(|line| line.strip_prefix(letter)?.strip_prefix('='))
    }

    /// Where the SDP says that audio should be sent.
    pub fn media_address(&self) -> Option<SocketAddr> {
        let ip = self.sdp('c')?.split(' ').nth(2)?.trim().parse().ok()?;
        Some(SocketAddr::new(ip, self.sdp('m')?.split(' ').nth(1)?.parse().ok()?))
    }

    /// The payload types that the SDP offers for audio, in order.
    pub fn payload_types(&self) -> Vec<&str> {
        self.sdp('m').unwrap_or_default().split_whitespace().skip(3).collect()
    }
}

/// What is between the angle brackets.
pub(super) fn uri_in(header: &str) -> &str {
    let inside = header.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or(header, |(uri, _)| uri)
}

/// Writes a message; the body with its type.
pub(super) fn write(start: &str, headers: &[(&str, &str)], body: Option<(&str, &str)>) -> String {
    let mut text = format!("{start}\r\n");
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let (kind, body) = body.unwrap_or_default();
    if !body.is_empty() {
        let _ = write!(text, "Content-Type: {kind}\r\n");
    }
    let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
    text
}

/// The length of the first message of a stream, once it is there whole; blank lines between messages
/// are cut off.
pub(super) fn first_message(stream: &mut Vec<u8>) -> Option<usize> {
    let blank = stream.iter().take_while(|byte| b"\r\n".contains(byte)).count();
    stream.drain(..blank);
    let head = stream.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&stream[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(0, |value| value.trim().parse().expect("a length"));
    (stream.len() >= head + 4 + length).then_some(head + 4 + length)
}
