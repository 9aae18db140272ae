//! What LiveKit's answer to a failed dial says about the leg.

use std::collections::HashMap;
use std::hash::BuildHasher;

use outdial_domain::{Cause, Layer, LegEnd, Outcome, SipStatus};

use crate::text::clean;

/// How a leg ended whose dial (`CreateSIPParticipant` with `wait_until_answered`) failed with this
/// Twirp error. Pure.
///
/// Where a SIP response ended the dial, `meta` has its code and reason, and nothing else is read.
/// Without one, code and text are all there is. An answer to our own hanging up looks like a ringing
/// timeout: whoever hung up knows.
///
/// Sources: livekit/sip 1.8 `pkg/sip/{errors,outbound,protocol}.go`, livekit/protocol
/// `livekit/sip.go`, and runs against both servers.
///
/// ```
/// use std::collections::HashMap;
/// use outdial_domain::{LegEnd, SipStatus};
/// use outdial_livekit::leg_end_of_dial_error;
///
/// let meta = HashMap::from([
///     ("sip_status_code".to_owned(), "486".to_owned()),
///     ("sip_status".to_owned(), "Busy Here".to_owned()),
/// ]);
/// let end = leg_end_of_dial_error("resource_exhausted", "sip status 486: Busy Here", &meta);
/// assert_eq!(end, LegEnd::Refused(SipStatus { code: 486, reason: "Busy Here".into() }));
/// ```
pub fn leg_end_of_dial_error<S: BuildHasher>(
    code: &str,
    msg: &str,
    meta: &HashMap<String, String, S>,
) -> LegEnd {
    if let Some(status) = sip_status(meta) {
        return LegEnd::Refused(status);
    }
    let has = |words: &str| msg.to_ascii_lowercase().contains(words);
    match code {
        "canceled" if has("transaction failed") => {
            let cause = sip("no_response", "the trunk did not answer").retryable();
            failed(Outcome::Unreachable, cause)
        }
        "canceled" => LegEnd::RingTimeout,
        // The SIP node is gone: livekit-server waited 80 s for it in vain.
        "deadline_exceeded" => LegEnd::Lost,
        "unavailable" if has("no response from servers") => {
            let text = "no livekit-sip is connected to LiveKit";
            failed(Outcome::Failed, livekit("no_sip_node", text).retryable())
        }
        "unavailable" if has("cpu exhausted") => {
            let text = "livekit-sip is at the limit of its CPU";
            failed(Outcome::Failed, livekit("sip_node_full", text).retryable())
        }
        "internal" if has("sip not connected") => {
            let text = "LiveKit has no SIP: it needs redis, and livekit-sip on the same redis";
            failed(Outcome::Failed, livekit("sip_not_connected", text))
        }
        // A quota of LiveKit Cloud.
        "resource_exhausted" => failed(Outcome::Throttled, livekit(code, msg).retryable()),
        "unavailable" => failed(Outcome::Failed, livekit(code, msg).retryable()),
        _ => failed(Outcome::Failed, by_text(code, msg)),
    }
}

/// The final SIP response, where one is told.
fn sip_status<S: BuildHasher>(meta: &HashMap<String, String, S>) -> Option<SipStatus> {
    let code = meta.get("sip_status_code")?.parse().ok()?;
    let reason = meta.get("sip_status").map_or("", String::as_str);
    // Without a reason phrase LiveKit puts the code's name here, `SIP_STATUS_BUSY_HERE`.
    let reason = match reason.strip_prefix("SIP_STATUS_") {
        Some(name) => name.replace('_', " ").to_ascii_lowercase(),
        None => clean(reason),
    };
    (300..700).contains(&code).then_some(SipStatus { code, reason })
}

/// Failures that only the text tells apart. These texts are Go's and livekit-sip's own; an unknown
/// one keeps the Twirp code and the text.
fn by_text(code: &str, msg: &str) -> Cause {
    const TEXTS: [(&str, &str, &str); 8] = [
        (
            "no username or password",
            "401",
            "the trunk asks for a user name and a password, and has none here",
        ),
        ("max auth retry", "401", "the trunk does not accept the user name and password"),
        ("no auth header", "401", "the trunk refused without a challenge to answer"),
        (
            "common audio codec",
            "no_common_codec",
            "the trunk offers no codec that LiveKit has (G.722, PCMU, PCMA)",
        ),
        ("common encryption", "no_common_encryption", "trunk and LiveKit do not agree on SRTP"),
        ("no such host", "dns", "the trunk's address does not exist in DNS"),
        ("x509", "tls", "the trunk's certificate is not accepted by livekit-sip"),
        ("tls:", "tls", "the TLS connection to the trunk failed"),
    ];
    const PASSING: [(&str, &str, &str); 6] = [
        (
            "connection refused",
            "connection_refused",
            "nothing accepts connections at the trunk's address",
        ),
        ("connection reset", "connection_reset", "the trunk closed the connection"),
        ("i/o timeout", "connect_timeout", "no connection to the trunk within the time"),
        ("no route to host", "no_route", "there is no network route to the trunk"),
        ("network is unreachable", "no_route", "there is no network route to the trunk"),
        ("transport error", "network", "livekit-sip could not send to the trunk's address"),
    ];
    let lower = msg.to_ascii_lowercase();
    let find = |table: &[(&str, &'static str, &'static str)]| {
        table
            .iter()
            .find(|(words, ..)| lower.contains(words))
            .map(|(_, code, text)| sip(code, text))
    };
    find(&TEXTS)
        .or_else(|| find(&PASSING).map(Cause::retryable))
        .unwrap_or_else(|| livekit(code, msg))
}

fn failed(outcome: Outcome, cause: Cause) -> LegEnd {
    LegEnd::Failed { outcome, cause }
}

fn sip(code: &str, text: &str) -> Cause {
    Cause::new(Layer::Sip, code, text)
}

fn livekit(code: &str, text: &str) -> Cause {
    Cause::new(Layer::Livekit, clean(code), clean(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(code: &str, msg: &str, meta: &[(&str, &str)]) -> LegEnd {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let meta: HashMap<_, _> = meta.iter().map(own).collect();
        leg_end_of_dial_error(code, msg, &meta)
    }

    /// Twirp code, SIP code, reason: as livekit-server 1.13.5 with livekit-sip 1.8.0 answered.
    #[test]
    fn a_sip_response_is_kept_whole() {
        for (code, sip, reason) in [
            ("resource_exhausted", 486, "Busy Here"),
            ("resource_exhausted", 600, "Busy Everywhere"),
            ("resource_exhausted", 480, "Temporarily Unavailable"),
            ("permission_denied", 603, "Decline"),
            ("permission_denied", 607, "Unwanted"),
            ("permission_denied", 403, "Forbidden"),
            ("unauthenticated", 407, "Proxy Authentication Required"),
            ("not_found", 404, "Not Found"),
            ("not_found", 410, "Gone"),
            ("deadline_exceeded", 408, "Request Timeout"),
            ("deadline_exceeded", 504, "Server Time-out"),
            ("invalid_argument", 484, "Address Incomplete"),
            ("invalid_argument", 488, "Not Acceptable Here"),
            ("aborted", 487, "Request Terminated"),
            ("failed_precondition", 500, "Server Internal Error"),
            ("failed_precondition", 503, "Service Unavailable"),
            ("failed_precondition", 503, "Trunk CPS limit exceeded"),
        ] {
            let text = sip.to_string();
            let meta = [("sip_status_code", text.as_str()), ("sip_status", reason)];
            let expect = LegEnd::Refused(SipStatus { code: sip, reason: reason.to_owned() });
            assert_eq!(end(code, "whatever", &meta), expect, "{sip}");
        }
    }

    #[test]
    fn a_missing_reason_is_the_name_of_the_code() {
        let meta = [("sip_status_code", "486"), ("sip_status", "SIP_STATUS_BUSY_HERE")];
        let LegEnd::Refused(status) = end("resource_exhausted", "", &meta) else {
            panic!("not refused");
        };
        assert_eq!(status.reason, "busy here");
        let only_code = [("sip_status_code", "486")];
        assert!(matches!(end("x", "", &only_code), LegEnd::Refused(_)));
    }

    #[test]
    fn a_code_that_is_none_is_not_believed() {
        for code in ["", "abc", "200", "180", "700", "-1", "99999999"] {
            let end = end("internal", "text", &[("sip_status_code", code)]);
            assert!(matches!(end, LegEnd::Failed { .. }), "{code:?}: {end:?}");
        }
    }

    #[test]
    fn without_a_sip_response() {
        use Layer::{Livekit, Sip};
        use Outcome::{Failed, Throttled, Unreachable};
        let check = |code, msg, outcome, layer, cause, retryable| match end(code, msg, &[]) {
            LegEnd::Failed { outcome: o, cause: c } => assert_eq!(
                (o, c.layer, c.code.as_str(), c.retryable),
                (outcome, layer, cause, retryable),
                "{code}: {msg}"
            ),
            other => panic!("{code}: {msg}: {other:?}"),
        };
        // The texts are those of livekit-sip 1.8.0 and of Go.
        for msg in [
            "sip server required auth, but no username or password was provided",
            "max auth retry attempts reached for SIP invite",
            "no auth header in sip invite response",
        ] {
            check("failed_precondition", msg, Failed, Sip, "401", false);
        }
        for (msg, cause, retryable) in [
            ("dial tcp 127.0.0.1:5999: connect: connection refused", "connection_refused", true),
            (
                "udp conn err. write udp: sendto: invalid argument. transaction transport error",
                "network",
                true,
            ),
            ("dial tcp 10.0.0.1:5060: i/o timeout", "connect_timeout", true),
            ("connect: no route to host", "no_route", true),
            ("common audio codec not found", "no_common_codec", false),
            (
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
                "tls",
                false,
            ),
            ("tls: first record does not look like a TLS handshake", "tls", false),
        ] {
            check("failed_precondition", msg, Failed, Sip, cause, retryable);
        }
        let msg = "lookup nowhere.invalid: no such host";
        check("invalid_argument", msg, Failed, Sip, "dns", false);
        let msg = "transaction failed to complete (0 intermediate responses)";
        check("canceled", msg, Unreachable, Sip, "no_response", true);
        let msg = "no response from servers";
        check("unavailable", msg, Failed, Livekit, "no_sip_node", true);
        let msg = "cpu exhausted";
        check("unavailable", msg, Failed, Livekit, "sip_node_full", true);
        check("unavailable", "x", Failed, Livekit, "unavailable", true);
        let msg = "sip not connected (redis required)";
        check("internal", msg, Failed, Livekit, "sip_not_connected", false);
        let (code, msg) = ("resource_exhausted", "concurrent SIP calls");
        check(code, msg, Throttled, Livekit, code, true);
        check("internal", "x", Failed, Livekit, "internal", false);
        check("brand_new", "x", Failed, Livekit, "brand_new", false);
    }

    #[test]
    fn a_timeout_and_our_own_hanging_up_look_alike() {
        for msg in ["sip request timed out", "context canceled", ""] {
            assert_eq!(end("canceled", msg, &[]), LegEnd::RingTimeout);
        }
    }

    #[test]
    fn a_lost_sip_node_is_lost() {
        let msg = "context deadline exceeded";
        assert_eq!(end("deadline_exceeded", msg, &[]), LegEnd::Lost);
    }

    #[test]
    fn texts_hold_no_numbers() {
        let LegEnd::Failed { cause, .. } = end("internal", "no +15550100000", &[]) else {
            panic!("not failed");
        };
        assert_eq!(cause.text, "no +155*****000");
    }
}
