//! What becomes of a call, told from the number alone.

use outdial_domain::{E164, LegEnd, SipStatus};

/// What becomes of a simulated call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// The INVITE is refused with this code and reason phrase.
    Refused { code: u16, reason: &'static str, rings: bool },
    /// The callee answers, no agent ever comes.
    AgentStaysAway,
    /// The callee hangs up while the agent speaks its first line.
    HangsUpMidSentence,
    /// The callee never hangs up.
    Endless,
    /// A short conversation; the callee hangs up.
    Conversation,
}

impl Scenario {
    /// The scenario that the last three digits of a number stand for.
    pub(crate) fn of(number: &E164) -> Self {
        let digits = number.digits();
        let (code, reason, rings) = match &digits[digits.len() - 3..] {
            "486" => (486, "Busy Here", true),
            "480" => (480, "Temporarily Unavailable", true),
            "408" => (408, "Request Timeout", true),
            "603" => (603, "Decline", true),
            "404" => (404, "Not Found", false),
            // The words by which Twilio's rate limit is told from other 503s.
            "503" => (503, "Trunk CPS limit exceeded", false),
            "500" => (500, "Server Internal Error", false),
            "401" => (401, "Unauthorized", false),
            "901" => return Self::AgentStaysAway,
            "902" => return Self::HangsUpMidSentence,
            "903" => return Self::Endless,
            _ => return Self::Conversation,
        };
        Self::Refused { code, reason, rings }
    }
}

/// The end of a leg that was refused.
pub(crate) fn refused(code: u16, reason: &str) -> LegEnd {
    LegEnd::Refused(SipStatus { code, reason: reason.to_owned() })
}
