//! How a call ended, and what the end of a leg says about it.

use serde::{Deserialize, Serialize};

/// How a call ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered, and ended in an ordinary way; see [`EndReason`].
    Completed,
    /// The callee is busy.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// The callee, or a device or network for it, declined.
    Rejected,
    /// Ended by the caller before the answer.
    Canceled,
    /// The number does not exist or cannot be reached.
    Unreachable,
    /// The trunk's rate or channel limit was exceeded; the same call may succeed later.
    Throttled,
    /// No agent was there to talk.
    AgentUnavailable,
    /// Anything else that went wrong.
    Failed,
    /// The server lost sight of the call: a restart, or a lost media node.
    Interrupted,
}

impl Outcome {
    /// All of them, in the order in which they are documented.
    pub const ALL: [Self; 10] = [
        Self::Completed,
        Self::Busy,
        Self::NoAnswer,
        Self::Rejected,
        Self::Canceled,
        Self::Unreachable,
        Self::Throttled,
        Self::AgentUnavailable,
        Self::Failed,
        Self::Interrupted,
    ];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::Canceled => "canceled",
            Self::Unreachable => "unreachable",
            Self::Throttled => "throttled",
            Self::AgentUnavailable => "agent_unavailable",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Why a completed call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The callee hung up.
    CalleeHangup,
    /// The agent hung up: it removed the callee, deleted the room, or left.
    AgentHangup,
    /// `POST /calls/{room_name}/hangup`.
    ApiHangup,
    /// The call reached its maximum duration.
    MaxDuration,
    /// No audio came from the callee's side any more.
    MediaTimeout,
}

impl EndReason {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CalleeHangup => "callee_hangup",
            Self::AgentHangup => "agent_hangup",
            Self::ApiHangup => "api_hangup",
            Self::MaxDuration => "max_duration",
            Self::MediaTimeout => "media_timeout",
        }
    }
}

/// Where the cause of an end lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// A request to this server's API.
    Api,
    /// LiveKit.
    Livekit,
    /// The SIP network.
    Sip,
    /// The agent.
    Agent,
    /// This server.
    Server,
}

/// The cause of an end, as exact as it is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cause {
    /// Where it lies.
    pub layer: Layer,
    /// A SIP status code such as `486`, or a word such as `connection_refused`.
    pub code: String,
    /// For a person.
    pub text: String,
    /// Whether the same call may succeed later without any change.
    pub retryable: bool,
}

impl Cause {
    /// A cause that will not go away by itself.
    pub fn new(layer: Layer, code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { layer, code: code.into(), text: text.into(), retryable: false }
    }

    /// Marks the cause as one that may be gone later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
}

/// The final SIP response to an INVITE (RFC 3261, section 21).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SipStatus {
    /// The status code, 300-699.
    pub code: u16,
    /// The reason phrase, or a provider's text in its place.
    pub reason: String,
}

impl SipStatus {
    /// The outcome table. A 403 or 503 whose text speaks of a rate or channel limit is
    /// `throttled` (Twilio: `Trunk CPS limit exceeded`).
    pub fn outcome(&self) -> Outcome {
        match self.code {
            403 | 503 if self.names_a_limit() => Outcome::Throttled,
            486 | 600 => Outcome::Busy,
            408 | 480 => Outcome::NoAnswer,
            403 | 603 | 607 | 608 => Outcome::Rejected,
            404 | 410 | 484 | 604 => Outcome::Unreachable,
            487 => Outcome::Canceled,
            _ => Outcome::Failed,
        }
    }

    /// The cause that keeps the raw code and text.
    pub fn cause(&self) -> Cause {
        Cause {
            layer: Layer::Sip,
            code: self.code.to_string(),
            text: self.reason.clone(),
            retryable: matches!(
                self.outcome(),
                Outcome::Busy | Outcome::NoAnswer | Outcome::Throttled
            ) || matches!(self.code, 500 | 502 | 503 | 504),
        }
    }

    fn names_a_limit(&self) -> bool {
        let text = self.reason.to_ascii_lowercase();
        [
            "cps",
            "calls per second",
            "limit exceeded",
            "concurrent call",
            "channel limit",
            "rate limit",
        ]
        .iter()
        .any(|words| text.contains(words))
    }
}

/// How a leg ended, as far as one source can tell.
///
/// Sources differ in how much they know: LiveKit's answer to the dial has the SIP code, its webhook
/// only a coarse reason, and a look at the room only that the leg is gone. The variants stand in
/// order of authority: of several, the first counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegEnd {
    /// A final SIP response refused the INVITE.
    Refused(SipStatus),
    /// The dial failed without a final SIP response.
    Failed {
        /// What that means for the call.
        outcome: Outcome,
        /// Why.
        cause: Cause,
    },
    /// The callee hung up (BYE).
    CalleeHangup,
    /// Audio from the callee stopped.
    MediaTimeout,
    /// Nobody answered within the ringing timeout, or the INVITE was cancelled on our side: a
    /// source that cannot tell these apart reports this.
    RingTimeout,
    /// The leg was removed or its room deleted, by us or by the agent.
    Removed,
    /// The leg's media node vanished.
    Lost,
    /// The callee could not be had, for a reason that the source does not know.
    Unavailable,
    /// The callee or its network refused, with a code that the source does not know.
    Rejected,
    /// The attempt was given up on the provider's side, for a reason that the source does not know
    /// (a 5xx, or no connection to the trunk).
    Aborted,
    /// The leg left the room; the source knows no reason.
    Left,
    /// A look found no leg where one may have been.
    Gone,
}

impl LegEnd {
    /// Whether no other source can know better.
    pub fn is_exact(&self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::Failed { .. } | Self::CalleeHangup | Self::MediaTimeout
        )
    }
}

/// Why this server itself ends a call; saved before it acts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HangUpReason {
    /// Asked for through the API.
    Api,
    /// The maximum duration was reached.
    MaxDuration,
    /// No agent joined in time: the callee would hear silence.
    AgentUnavailable,
    /// The agent left and did not come back.
    AgentLeft,
    /// The callee did not answer in time and the provider did not say so.
    RingTimeout,
    /// The server lost its view of the call, in a restart for instance.
    Interrupted,
}

/// How a call ended: always a value, never an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// In one word.
    pub outcome: Outcome,
    /// Why, where there is something to say.
    pub cause: Option<Cause>,
    /// For completed calls.
    pub end_reason: Option<EndReason>,
}

impl Termination {
    fn completed(reason: EndReason) -> Self {
        Self { outcome: Outcome::Completed, cause: None, end_reason: Some(reason) }
    }

    fn because(outcome: Outcome, layer: Layer, code: &str, text: &str) -> Self {
        Self { outcome, cause: Some(Cause::new(layer, code, text)), end_reason: None }
    }

    fn of_hang_up(reason: &HangUpReason, answered: bool) -> Self {
        match reason {
            HangUpReason::Api if answered => Self::completed(EndReason::ApiHangup),
            HangUpReason::Api => Self::because(
                Outcome::Canceled,
                Layer::Api,
                "hangup",
                "hung up through the API before the answer",
            ),
            HangUpReason::MaxDuration => Self::completed(EndReason::MaxDuration),
            HangUpReason::AgentLeft if answered => Self::completed(EndReason::AgentHangup),
            HangUpReason::AgentUnavailable | HangUpReason::AgentLeft => Self {
                outcome: Outcome::AgentUnavailable,
                cause: Some(
                    Cause::new(Layer::Agent, "not_joined", "no agent was in the room in time")
                        .retryable(),
                ),
                end_reason: None,
            },
            HangUpReason::RingTimeout => Self::because(
                Outcome::NoAnswer,
                Layer::Sip,
                "ring_timeout",
                "nobody answered within the ringing timeout",
            ),
            HangUpReason::Interrupted => Self::because(
                Outcome::Interrupted,
                Layer::Server,
                "interrupted",
                "the server lost sight of the call and ended it",
            ),
        }
    }

    /// The one table from what is known of a leg's end to the call's end. Pure.
    pub fn derive(end: &LegEnd, answered: bool, hang_up: Option<&HangUpReason>) -> Self {
        // A 487 answers a CANCEL: when we sent it, our reason says more.
        let ambiguous = match end {
            LegEnd::Refused(status) => status.code == 487,
            exact_or_not => !exact_or_not.is_exact(),
        };
        if let (true, Some(reason)) = (ambiguous, hang_up) {
            return Self::of_hang_up(reason, answered);
        }
        match end {
            LegEnd::Refused(status) => {
                Self { outcome: status.outcome(), cause: Some(status.cause()), end_reason: None }
            }
            LegEnd::Failed { outcome, cause } => {
                Self { outcome: *outcome, cause: Some(cause.clone()), end_reason: None }
            }
            LegEnd::CalleeHangup => Self::completed(EndReason::CalleeHangup),
            LegEnd::MediaTimeout => Self::completed(EndReason::MediaTimeout),
            LegEnd::Removed if answered => Self::completed(EndReason::AgentHangup),
            LegEnd::Removed => Self::because(
                Outcome::Canceled,
                Layer::Agent,
                "removed",
                "the agent ended the call before the answer",
            ),
            LegEnd::RingTimeout => Self::of_hang_up(&HangUpReason::RingTimeout, answered),
            LegEnd::Unavailable if !answered => Self::because(
                Outcome::NoAnswer,
                Layer::Livekit,
                "user_unavailable",
                "the callee could not be had",
            ),
            LegEnd::Rejected if !answered => Self::because(
                Outcome::Rejected,
                Layer::Livekit,
                "user_rejected",
                "the callee or its network refused",
            ),
            LegEnd::Aborted if !answered => Self::because(
                Outcome::Failed,
                Layer::Livekit,
                "client_initiated",
                "the trunk could not be reached or failed",
            ),
            // An answered leg that leaves in good order: somebody has hung up.
            LegEnd::Left if answered => {
                let text = "the phone left the room; who hung up was not told";
                let cause = Some(Cause::new(Layer::Livekit, "leg_left", text));
                Self { outcome: Outcome::Completed, cause, end_reason: None }
            }
            LegEnd::Lost | LegEnd::Unavailable | LegEnd::Rejected | LegEnd::Aborted => {
                Self::because(
                    Outcome::Interrupted,
                    Layer::Livekit,
                    "leg_lost",
                    "the connection to the phone was lost",
                )
            }
            LegEnd::Left | LegEnd::Gone => Self::because(
                Outcome::Interrupted,
                Layer::Livekit,
                "leg_gone",
                "the phone was no longer in the room",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sip(code: u16, reason: &str) -> LegEnd {
        LegEnd::Refused(SipStatus { code, reason: reason.into() })
    }

    #[test]
    fn every_sip_code_has_its_outcome() {
        use Outcome::*;
        let check = |code, reason, outcome, retryable| {
            let end = Termination::derive(&sip(code, reason), false, None);
            assert_eq!(end.outcome, outcome, "{code} {reason}");
            let cause = end.cause.unwrap();
            assert_eq!((cause.layer, cause.code.as_str()), (Layer::Sip, code.to_string().as_str()));
            assert_eq!(
                (cause.text.as_str(), cause.retryable),
                (reason, retryable),
                "{code} {reason}"
            );
        };
        check(486, "Busy Here", Busy, true);
        check(600, "Busy Everywhere", Busy, true);
        check(408, "Request Timeout", NoAnswer, true);
        check(480, "Temporarily Unavailable", NoAnswer, true);
        check(403, "Forbidden", Rejected, false);
        check(603, "Decline", Rejected, false);
        check(607, "Unwanted", Rejected, false);
        check(608, "Rejected", Rejected, false);
        check(404, "Not Found", Unreachable, false);
        check(410, "Gone", Unreachable, false);
        check(484, "Address Incomplete", Unreachable, false);
        check(604, "Does Not Exist Anywhere", Unreachable, false);
        check(487, "Request Terminated", Canceled, false);
        check(503, "Trunk CPS limit exceeded", Throttled, true);
        check(503, "Concurrent call limit exceeded", Throttled, true);
        check(403, "Channel limit reached", Throttled, true);
        check(503, "Service Unavailable", Failed, true);
        check(500, "Server Internal Error", Failed, true);
        check(504, "Server Time-out", Failed, true);
        check(401, "Unauthorized", Failed, false);
        check(407, "Proxy Authentication Required", Failed, false);
        check(488, "Not Acceptable Here", Failed, false);
        check(302, "Moved Temporarily", Failed, false);
        check(699, "", Failed, false);
    }

    #[test]
    fn ends_without_a_sip_code() {
        use EndReason::*;
        use Outcome::*;
        let check = |end: LegEnd, answered, hang_up: Option<HangUpReason>, outcome, reason| {
            let got = Termination::derive(&end, answered, hang_up.as_ref());
            assert_eq!(
                (got.outcome, got.end_reason),
                (outcome, reason),
                "{end:?} {answered} {hang_up:?}"
            );
            assert_eq!(
                got.cause.is_none(),
                reason.is_some(),
                "{end:?}: a cause where no end reason says it"
            );
        };
        check(LegEnd::CalleeHangup, true, None, Completed, Some(CalleeHangup));
        // The callee was first, although we were about to hang up too.
        check(LegEnd::CalleeHangup, true, Some(HangUpReason::Api), Completed, Some(CalleeHangup));
        check(LegEnd::MediaTimeout, true, None, Completed, Some(MediaTimeout));
        check(LegEnd::Removed, true, None, Completed, Some(AgentHangup));
        check(LegEnd::Removed, true, Some(HangUpReason::Api), Completed, Some(ApiHangup));
        check(LegEnd::Removed, true, Some(HangUpReason::MaxDuration), Completed, Some(MaxDuration));
        check(LegEnd::Removed, true, Some(HangUpReason::AgentUnavailable), AgentUnavailable, None);
        check(LegEnd::Removed, false, None, Canceled, None);
        check(LegEnd::RingTimeout, false, Some(HangUpReason::Api), Canceled, None);
        check(
            LegEnd::RingTimeout,
            false,
            Some(HangUpReason::AgentUnavailable),
            AgentUnavailable,
            None,
        );
        check(LegEnd::RingTimeout, false, None, NoAnswer, None);
        check(sip(487, ""), false, Some(HangUpReason::AgentUnavailable), AgentUnavailable, None);
        check(sip(486, ""), false, Some(HangUpReason::Api), Busy, None);
        check(LegEnd::Unavailable, false, None, NoAnswer, None);
        check(LegEnd::Rejected, false, None, Rejected, None);
        check(LegEnd::Lost, true, None, Interrupted, None);
        check(LegEnd::Lost, false, None, Interrupted, None);
        check(LegEnd::Aborted, false, None, Failed, None);
        check(LegEnd::Aborted, true, None, Interrupted, None);
        check(LegEnd::Left, true, None, Completed, None);
        check(LegEnd::Left, true, Some(HangUpReason::Api), Completed, Some(ApiHangup));
        check(LegEnd::Left, false, None, Interrupted, None);
        check(LegEnd::Gone, true, None, Interrupted, None);
        check(LegEnd::Gone, false, None, Interrupted, None);
        check(LegEnd::Gone, true, Some(HangUpReason::Api), Completed, Some(ApiHangup));
        check(LegEnd::Gone, false, Some(HangUpReason::Interrupted), Interrupted, None);
    }
}
