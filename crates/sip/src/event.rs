//! What a call tells its owner.

use std::net::IpAddr;
use std::time::Duration;

use crate::{DtmfRelay, Offer};

/// What happened to a call. [`Event::Ended`] comes exactly once, and last.
#[derive(Debug)]
pub enum Event {
    /// A provisional answer without SDP (180, 181, 182, 183, 199); not 100.
    Ringing {
        /// Its status code.
        code: u16,
    },
    /// A provisional answer with SDP: listen, do not talk.
    EarlyMedia {
        /// Its status code.
        code: u16,
        /// The callee's SDP.
        sdp: Vec<u8>,
    },
    /// The callee answered; the ACK has been sent.
    Answered(Answered),
    /// The callee asks to change the session (re-INVITE or UPDATE).
    Offer(Offer),
    /// An INFO of the callee; it has been answered with 200.
    Info(Info),
    /// The call is over. Nothing comes after it.
    Ended(End),
}

/// The answer of the callee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The callee's SDP; empty if it sent none.
    pub sdp: Vec<u8>,
    /// Who sent the answer: its address may also send media.
    pub peer: IpAddr,
    /// The Call-ID.
    pub call_id: String,
    /// The callee's tag.
    pub to_tag: String,
    /// The `X-` headers of the answer, such as `X-Twilio-CallSid`. At most 32.
    pub headers: Vec<(String, String)>,
}

/// An INFO request of the callee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its Content-Type; empty if it had none.
    pub content_type: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Info {
    /// The keypress in it, if it is `application/dtmf-relay` or `application/dtmf`.
    pub fn dtmf(&self) -> Option<DtmfRelay> {
        let kind = self.content_type.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/dtmf-relay") {
            DtmfRelay::parse(&self.body)
        } else if kind.eq_ignore_ascii_case("application/dtmf") {
            DtmfRelay::parse_plain(&self.body)
        } else {
            None
        }
    }
}

/// Why a call ended. When several things happen at once, it is the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A final answer that is no success. Redirects (3xx) are not followed.
    Refused(Refusal),
    /// The callee hung up.
    RemoteHangUp {
        /// The `Reason` header of its BYE, for example `Q.850;cause=16`.
        reason: Option<String>,
    },
    /// We hung up after the answer.
    LocalHangUp,
    /// We hung up before the answer.
    Cancelled,
    /// No final answer came in time (Timer B, Timer C).
    NoAnswerFromServer,
    /// The connection of the call was lost, before or after the answer.
    ConnectionLost,
    /// The peer broke the protocol, or the session expired.
    Protocol {
        /// What was wrong, in plain words.
        what: String,
    },
}

/// A final answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Status code, 300 to 699.
    pub code: u16,
    /// The reason phrase as it came; empty if the stack did not keep it because it was the usual one.
    pub phrase: String,
    /// The `X-Twilio-Error` header, for example `32001 CPS limit exceeded`.
    pub twilio_error: Option<String>,
    /// The `Reason` header, for example `Q.850;cause=17`.
    pub reason: Option<String>,
    /// The `Warning` header.
    pub warning: Option<String>,
    /// The `Retry-After` header.
    pub retry_after: Option<Duration>,
}
