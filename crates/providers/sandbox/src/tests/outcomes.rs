//! What each number does.

use outdial_domain::{Facts, HangUpReason, Outcome, SipStatus, Speaker, Termination};

use super::*;
use crate::speech;

fn termination(hints: &[Hint], hang_up: Option<&HangUpReason>) -> Termination {
    let mut facts = Facts::default();
    for hint in hints {
        facts.merge(hint);
    }
    Termination::derive(&facts.leg_end.unwrap(), facts.answered_at.is_some(), hang_up)
}

#[tokio::test(start_paused = true)]
async fn refusals() {
    use Outcome::*;
    for (suffix, code, reason, rings, outcome) in [
        ("486", 486, "Busy Here", true, Busy),
        ("480", 480, "Temporarily Unavailable", true, NoAnswer),
        ("408", 408, "Request Timeout", true, NoAnswer),
        ("603", 603, "Decline", true, Rejected),
        ("404", 404, "Not Found", false, Unreachable),
        ("503", 503, "Trunk CPS limit exceeded", false, Throttled),
        ("500", 500, "Server Internal Error", false, Failed),
        ("401", 401, "Unauthorized", false, Failed),
    ] {
        let (stage, hints) = Stage::placed(suffix).await;
        let hints = all(hints).await;
        let told = course(&hints);
        let expect: &[_] = match rings {
            true => &[("joined", 0), ("ringing", 100), ("agent", 300), ("ended", 2100)],
            false => &[("joined", 0), ("ended", 100)],
        };
        assert_eq!(told, expect, "{suffix}");
        let status = SipStatus { code, reason: reason.into() };
        assert_eq!(end(&hints), &LegEnd::Refused(status), "{suffix}");
        assert_eq!(termination(&hints, None).outcome, outcome, "{suffix}");
        assert_eq!(stage.leg().await, LegLook::Absent);
    }
}

#[tokio::test(start_paused = true)]
async fn any_other_number_talks_and_hangs_up() {
    for suffix in ["000", "904", "403"] {
        let (_stage, hints) = Stage::placed(suffix).await;
        let hints = all(hints).await;
        let said: Vec<_> =
            lines(&hints).into_iter().map(|line| (line.speaker, line.text.as_str())).collect();
        let expect = [
            (Speaker::Agent, GREETING),
            (Speaker::User, speech::USER_ASKS),
            (Speaker::Agent, speech::AGENT_ANSWERS),
            (Speaker::User, speech::USER_LEAVES),
            (Speaker::Agent, speech::AGENT_LEAVES),
        ];
        assert_eq!(said, expect);
        assert_eq!(end(&hints), &LegEnd::CalleeHangup);
        assert_eq!(termination(&hints, None).outcome, Outcome::Completed);
    }
}

#[tokio::test(start_paused = true)]
async fn exotel_rooms_are_no_different() {
    let mut stage = Stage::new("000");
    stage.room = RoomName::new(CallService::Exotel, AssistantId::random(), &stage.to_number);
    let hints = all(stage.place().await).await;
    assert_eq!(end(&hints), &LegEnd::CalleeHangup);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_joins() {
    let (stage, mut hints) = Stage::placed("901").await;
    ms(60_000).await;
    assert!(!stage.agent_is_there().await);
    let mut heard = Vec::new();
    while let Ok(hint) = hints.try_recv() {
        heard.push(hint);
    }
    assert_eq!(words(&heard), ["joined", "ringing", "answered"]);
    stage.hang_up().await;
    heard.extend(all(hints).await);
    let end = termination(&heard, Some(&HangUpReason::AgentUnavailable));
    assert_eq!(end.outcome, Outcome::AgentUnavailable);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_joins_is_not_seen_before_the_dial_either() {
    let mut stage = Stage::new("901");
    let request = DispatchRequest {
        agent_name: "agent".into(),
        metadata: json!({"call": {"to_number": stage.to_number.as_str()}}),
    };
    stage.sandbox.dispatch(&stage.room, &request).await.unwrap();
    ms(1000).await;
    assert!(!stage.agent_is_there().await);

    stage.room = RoomName::new(CallService::Exotel, AssistantId::random(), &stage.to_number);
    stage.dispatch().await;
    ms(1000).await;
    assert!(!stage.agent_is_there().await);
}

#[tokio::test(start_paused = true)]
async fn a_callee_that_hangs_up_in_mid_sentence() {
    for scale in [1.0, 0.1, 0.0] {
        let stage = Stage::scaled("902", scale);
        let hints = all(stage.place().await).await;
        let mut order = words(&hints);
        order.retain(|word| *word != "agent");
        assert_eq!(order, ["joined", "ringing", "answered", "line", "ended"]);
        // Half of the line is 20 characters: whole words only.
        assert_eq!(lines(&hints)[0].text, "Hello Ann, this is");
        assert_eq!(end(&hints), &LegEnd::CalleeHangup);
    }
}

#[tokio::test(start_paused = true)]
async fn a_callee_that_never_hangs_up() {
    let (stage, hints) = Stage::placed("903").await;
    let listener = tokio::spawn(all(hints));
    ms(120_000).await;
    stage.hang_up().await;
    let hints = listener.await.unwrap();
    let lines = lines(&hints);
    assert!(lines.len() > 20, "{}", lines.len());
    assert!(lines.windows(2).all(|w| w[0].timestamp < w[1].timestamp));
    assert_eq!(brief(hints.last().unwrap()), ("ended", 120_000));
    let end = termination(&hints, Some(&HangUpReason::MaxDuration));
    assert_eq!(end.end_reason, Some(outdial_domain::EndReason::MaxDuration));
}

#[tokio::test(start_paused = true)]
async fn an_endless_call_without_waiting_does_not_flood() {
    let stage = Stage::scaled("903", 0.0);
    let hints = stage.place().await;
    let listener = tokio::spawn(all(hints));
    ms(10_500).await;
    stage.hang_up().await;
    assert_eq!(lines(&listener.await.unwrap()).len(), 3 + 2 * 10);
}
