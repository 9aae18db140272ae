//! What the end of a SIP call means, for the call's record and for the room. Pure.

use outdial_domain::{Cause, Layer, LegEnd, Outcome, SipStatus};
use outdial_room::LeaveReason;
use outdial_sip::{End, InviteError, Refusal};

use crate::sdp::SdpError;

/// The end of a leg whose INVITE never went out.
pub(crate) fn unreachable(error: &InviteError) -> LegEnd {
    let code = match error {
        InviteError::Unresolved { .. } => "dns",
        InviteError::Unreachable { .. } => "connection_failed",
        InviteError::TimedOut { .. } => "connection_timeout",
        InviteError::Tls { .. } => "tls",
        _ => "not_sent",
    };
    failed(Outcome::Unreachable, Cause::new(Layer::Sip, code, error.to_string()).retryable())
}

/// The end of a leg, by that of its SIP call; `wish` is what this side ended it for.
pub(crate) fn of_call(end: End, is_answered: bool, wish: Option<LegEnd>) -> LegEnd {
    match (end, wish) {
        (End::Refused(refusal), None) => {
            LegEnd::Refused(SipStatus { code: refusal.code, reason: reason_of(&refusal) })
        }
        // A 487 that we asked for, or whatever the far side says to a call that we end.
        (_, Some(wish)) => wish,
        (End::RemoteHangUp { .. }, None) => LegEnd::CalleeHangup,
        // Who closes the connection of a running call has hung up.
        (End::ConnectionLost, None) if is_answered => LegEnd::CalleeHangup,
        (End::ConnectionLost, None) => failed(
            Outcome::Failed,
            Cause::new(Layer::Sip, "connection_lost", "the trunk closed the connection")
                .retryable(),
        ),
        (End::NoAnswerFromServer, None) => failed(
            Outcome::Unreachable,
            Cause::new(Layer::Sip, "no_response", "the trunk did not answer the INVITE")
                .retryable(),
        ),
        (End::LocalHangUp | End::Cancelled, None) => LegEnd::Removed,
        (End::Protocol { what }, None) => {
            failed(Outcome::Failed, Cause::new(Layer::Sip, "protocol_error", what))
        }
    }
}

/// What the far side said, in all its words: the outcome of a 403 or 503 depends on them.
fn reason_of(refusal: &Refusal) -> String {
    let Refusal { code, phrase, twilio_error, reason, warning, retry_after } = refusal;
    let phrase = if phrase.is_empty() { usual_phrase(*code) } else { phrase };
    let retry = retry_after.map(|after| format!("retry after {} s", after.as_secs()));
    let more = [twilio_error, reason, warning, &retry];
    let more = more.into_iter().flatten().map(String::as_str);
    std::iter::once(phrase)
        .filter(|text| !text.is_empty())
        .chain(more)
        .collect::<Vec<_>>()
        .join("; ")
}

/// The usual reason phrases of refusals (RFC 3261, section 21).
fn usual_phrase(code: u16) -> &'static str {
    match code {
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        415 => "Unsupported Media Type",
        480 => "Temporarily Unavailable",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        500 => "Server Internal Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => "",
    }
}

/// A word for what is wrong with an SDP.
pub(crate) fn code_of_sdp(error: &SdpError) -> &'static str {
    match error {
        SdpError::Empty | SdpError::NoAudio | SdpError::AudioRefused => "no_audio",
        SdpError::NoCommonCodec { .. } => "no_common_codec",
        SdpError::NotEncrypted
        | SdpError::Encrypted
        | SdpError::NoKey
        | SdpError::Key(_)
        | SdpError::UnknownKey => "srtp",
        _ => "bad_sdp",
    }
}

/// The end of a leg with whose SDP nothing can be done.
pub(crate) fn no_media(code: &str, text: String) -> LegEnd {
    failed(Outcome::Failed, Cause::new(Layer::Sip, code, text))
}

/// The end of a leg whose server stops.
pub(crate) fn stopped() -> LegEnd {
    let cause = Cause::new(Layer::Server, "server_stopped", "the server was stopped");
    failed(Outcome::Interrupted, cause.retryable())
}

fn failed(outcome: Outcome, cause: Cause) -> LegEnd {
    LegEnd::Failed { outcome, cause }
}

/// The reason with which the leg leaves the room: that of a livekit-sip leg.
/// Source: livekit/sip 1.8, `pkg/sip/participant.go` and `errors.go`.
pub(crate) fn leave_reason(end: &LegEnd) -> LeaveReason {
    match end {
        LegEnd::Refused(SipStatus { code: 404 | 408 | 480, .. })
        | LegEnd::RingTimeout
        | LegEnd::Unavailable => LeaveReason::UserUnavailable,
        LegEnd::Refused(SipStatus { code: 400..=499 | 600..=699, .. }) | LegEnd::Rejected => {
            LeaveReason::UserRejected
        }
        _ => LeaveReason::ClientInitiated,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn refusal(code: u16) -> Refusal {
        Refusal {
            code,
            phrase: String::new(),
            twilio_error: None,
            reason: None,
            warning: None,
            retry_after: None,
        }
    }

    #[test]
    fn how_a_leg_ended() {
        let check = |end: End, is_answered, wish: Option<LegEnd>, expect: &str| {
            let end = of_call(end, is_answered, wish);
            let text = match &end {
                LegEnd::Refused(status) => format!("{} {}", status.code, status.reason),
                LegEnd::Failed { outcome, cause } => format!("{} {}", outcome.as_str(), cause.code),
                end => format!("{end:?}"),
            };
            assert_eq!(text, expect);
        };
        check(End::Refused(refusal(486)), false, None, "486 Busy Here");
        // What we end by ourselves ends for our reason, whatever the far side says to it.
        check(End::Refused(refusal(487)), false, Some(LegEnd::RingTimeout), "RingTimeout");
        check(End::Cancelled, false, Some(LegEnd::Removed), "Removed");
        check(End::RemoteHangUp { reason: None }, true, Some(LegEnd::MediaTimeout), "MediaTimeout");
        check(End::RemoteHangUp { reason: None }, true, None, "CalleeHangup");
        check(End::ConnectionLost, true, None, "CalleeHangup");
        check(End::ConnectionLost, false, None, "failed connection_lost");
        check(End::NoAnswerFromServer, false, None, "unreachable no_response");
        check(End::Protocol { what: "?".into() }, false, None, "failed protocol_error");
    }

    #[test]
    fn the_words_of_a_refusal_are_kept() {
        let check = |refusal: Refusal, expect| assert_eq!(reason_of(&refusal), expect);
        check(refusal(486), "Busy Here");
        check(refusal(499), "");
        check(Refusal { phrase: "Not today".into(), ..refusal(603) }, "Not today");
        let limit = Refusal {
            twilio_error: Some("32001 CPS limit exceeded".into()),
            retry_after: Some(Duration::from_secs(3)),
            ..refusal(503)
        };
        check(limit.clone(), "Service Unavailable; 32001 CPS limit exceeded; retry after 3 s");
        let LegEnd::Refused(status) = of_call(End::Refused(limit), false, None) else {
            panic!("it was refused");
        };
        assert_eq!(status.outcome(), Outcome::Throttled);
    }

    #[test]
    fn a_leg_leaves_as_one_of_livekit_sip_does() {
        let refused = |code| LegEnd::Refused(SipStatus { code, reason: String::new() });
        for (end, reason) in [
            (refused(486), LeaveReason::UserRejected),
            (refused(403), LeaveReason::UserRejected),
            (refused(603), LeaveReason::UserRejected),
            (refused(404), LeaveReason::UserUnavailable),
            (refused(408), LeaveReason::UserUnavailable),
            (refused(480), LeaveReason::UserUnavailable),
            (refused(503), LeaveReason::ClientInitiated),
            (LegEnd::RingTimeout, LeaveReason::UserUnavailable),
            (LegEnd::CalleeHangup, LeaveReason::ClientInitiated),
            (LegEnd::MediaTimeout, LeaveReason::ClientInitiated),
        ] {
            assert_eq!(leave_reason(&end), reason, "{end:?}");
        }
    }
}
