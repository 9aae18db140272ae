//! Calls on real servers, seen by an observer: LiveKit, livekit-sip, a speaking agent, and a phone.
//! Needs `scripts/real-stack up`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests: a panic fails the test, and what is printed tells why"
)]

mod call;
mod leg;
mod stack;

use outdial_domain::ports::Rooms;
use outdial_domain::{Hint, Speaker, TranscriptStatus};
use outdial_livekit::CallStatus;

use crate::call::{Call, by_ear};
use crate::leg::Leg;

fn is_over(hint: &Hint) -> bool {
    matches!(hint, Hint::TranscriptEnded { .. })
}

/// Asks for the order, understands the answer, says good-bye; the agent hangs up.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation() {
    by_ear(async || {
        let mut call = Call::new();
        let phone = call.stack.phone("talk").await;
        call.create().await;
        call.observe();
        call.dispatch("{}").await;
        call.hears("agent", |hint| matches!(hint, Hint::AgentJoined { .. })).await;
        call.dial(&phone);
        call.hears("end of the transcript", is_over).await;
        call.hears_no_more().await;
        call.print(&phone);

        let words = call.words();
        assert_eq!(words[..4], ["agent", "joined true", "ringing", "answered"]);
        assert!(words.contains(&"ended Removed".to_owned()), "{words:?}");
        assert_eq!(words.last().unwrap(), "complete");
        let lines = call.lines();
        let said = |speaker, text: &str| {
            let mut lines = lines.iter().filter(|line| line.speaker == speaker);
            assert!(lines.any(|line| line.text.to_lowercase().contains(text)), "{text}");
        };
        said(Speaker::Agent, "order desk");
        said(Speaker::User, "status of my order");
        said(Speaker::Agent, "on its way");
        said(Speaker::User, "goodbye");
        assert!(lines.is_sorted_by_key(|line| line.timestamp), "{lines:?}");
        let packets = |speaker: u8| {
            let tape = call.tape.lock().unwrap();
            tape.iter()
                .filter(|((who, _), _)| *who == speaker)
                .map(|(_, count)| count)
                .sum::<usize>()
        };
        assert!(packets(0) > 200 && packets(1) > 200, "{:?}", call.tape);
        call.end().await;
    })
    .await;
}

/// The callee does not hear the greeting out: what is on the line was said.
#[tokio::test(flavor = "multi_thread")]
async fn a_barge_in() {
    by_ear(async || {
        let mut call = Call::new();
        let phone = call.stack.phone("talk").await;
        call.create().await;
        call.observe();
        let greeting = "This call is recorded. ".repeat(20);
        call.dispatch_to_say(&greeting, "{}").await;
        call.hears("agent", |hint| matches!(hint, Hint::AgentJoined { .. })).await;
        call.dial(&phone);
        call.hears("end of the transcript", is_over).await;
        call.print(&phone);
        assert_eq!(call.words().last().unwrap(), "complete");
        let lines = call.lines();
        assert_eq!(lines[0].speaker, Speaker::Agent);
        assert!(greeting.starts_with(&lines[0].text), "{:?}", lines[0].text);
        assert!(lines[0].text.len() < greeting.trim().len(), "all of it was said");
        assert_eq!(lines[1].speaker, Speaker::User);
        assert!(lines.is_sorted_by_key(|line| line.timestamp), "{lines:?}");
        call.end().await;
    })
    .await;
}

/// The agent ends the call as LiveKit's own tool does it: it deletes the room.
#[tokio::test(flavor = "multi_thread")]
async fn the_agent_deletes_the_room() {
    by_ear(async || {
        let mut call = Call::new();
        let phone = call.stack.phone("answer").await;
        call.create().await;
        call.observe();
        call.dispatch(r#"{"hangup": "room", "hangup_after_greeting": true}"#).await;
        call.dial(&phone);
        call.hears("end of the transcript", is_over).await;
        call.print(&phone);
        let words = call.words();
        assert!(words.contains(&"ended Removed".to_owned()), "{words:?}");
        assert_eq!(words.last().unwrap(), "complete");
        assert_eq!(call.lines().len(), 1, "{:?}", call.lines());
        call.end().await;
    })
    .await;
}

/// The callee declines; nobody has said anything.
#[tokio::test(flavor = "multi_thread")]
async fn the_callee_declines() {
    let mut call = Call::new();
    let phone = call.stack.phone("decline603").await;
    call.create().await;
    call.observe();
    // In the room before the phone is.
    call.stack.until_observed(&call.room, true).await;
    call.dial(&phone);
    call.hears("end of the transcript", is_over).await;
    call.print(&phone);
    let words = call.words();
    assert_eq!(words.first().unwrap(), "joined true");
    assert_eq!(words[words.len() - 2..], ["ended Rejected", "complete"]);
    call.end().await;
}

/// The callee answers and hangs up.
#[tokio::test(flavor = "multi_thread")]
async fn the_callee_hangs_up() {
    let mut call = Call::new();
    let phone = call.stack.phone("answer_bye").await;
    call.create().await;
    call.observe();
    call.stack.until_observed(&call.room, true).await;
    call.dial(&phone);
    call.hears("end of the transcript", is_over).await;
    call.print(&phone);
    assert_eq!(
        call.words(),
        ["joined true", "ringing", "answered", "ended CalleeHangup", "complete"]
    );
    call.end().await;
}

/// An observer that comes late sees where the call stands, and says what it has missed.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_observer() {
    let mut call = Call::new();
    let phone = call.stack.phone("answer").await;
    call.create().await;
    call.observe();
    call.dial(&phone);
    call.hears("answer", |hint| matches!(hint, Hint::Answered { .. })).await;
    call.stop_observing();
    call.stack.until_observed(&call.room, false).await;
    call.told.clear();
    call.observe();
    call.hears("answer", |hint| matches!(hint, Hint::Answered { .. })).await;
    assert_eq!(call.words(), ["joined true", "answered"]);
    call.stack.livekit.delete(&call.room).await.unwrap();
    call.hears("end of the transcript", is_over).await;
    assert_eq!(call.words(), ["joined true", "answered", "ended Removed", "partial"]);
    call.end().await;
}

/// The room may come after its observer, and does not come again through it.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_room() {
    let mut call = Call::new();
    call.observe();
    assert!(!call.stack.livekit.has_room(&call.room).await.unwrap());
    call.create().await;
    call.stack.until_observed(&call.room, true).await;
    call.stack.livekit.delete(&call.room).await.unwrap();
    call.hears("end of the transcript", is_over).await;
    assert_eq!(call.words(), ["complete"]);
    call.hears_no_more().await;
    assert!(!call.stack.livekit.has_room(&call.room).await.unwrap());
    call.end().await;
}

/// A call that is observed, with an agent on its way and a leg of our own.
async fn with_a_leg() -> (Call, Leg) {
    let mut call = Call::new();
    call.create().await;
    call.observe();
    call.stack.until_observed(&call.room, true).await;
    call.dispatch("{}").await;
    let leg = Leg::join(&call).await;
    (call, leg)
}

/// A leg of our own is to agent and observer what one of livekit-sip is, and hears what an observer
/// hears.
#[tokio::test(flavor = "multi_thread")]
async fn a_leg_that_attends_itself() {
    by_ear(async || {
        let (mut call, mut leg) = with_a_leg().await;
        let look = call.stack.livekit.leg(&call.room, &call.callee()).await.unwrap();
        assert_eq!(look.unwrap().status, CallStatus::Dialing);
        leg.shows(CallStatus::Ringing).await;
        leg.hears("agent", |hint| matches!(hint, Hint::AgentJoined { .. })).await;
        leg.answer().await;
        let said = |hint: &Hint, who, text: &str| match hint {
            Hint::Line(line) => line.speaker == who && line.text.to_lowercase().contains(text),
            _ => false,
        };
        leg.hears("greeting", |hint| said(hint, Speaker::Agent, "order desk")).await;
        leg.has_its_ear().await;
        leg.says(&call.stack.sound("order.ulaw"));
        leg.hears("question", |hint| said(hint, Speaker::User, "status of my order")).await;
        leg.hears("answer", |hint| said(hint, Speaker::Agent, "on its way")).await;
        leg.has_its_ear().await;
        leg.says(&call.stack.sound("goodbye.ulaw"));
        leg.hears("end of the transcript", is_over).await;
        call.hears("end of the transcript", is_over).await;
        println!("leg: {:#?}\nobserver: {:#?}", leg.told, call.told);
        let words = call.words();
        let (course, rest) = words.split_at(4);
        assert_eq!(course, ["joined true", "ringing", "agent", "answered"]);
        assert!(rest.contains(&"ended Removed".to_owned()), "{words:?}");
        let seen = call.lines();
        assert!(seen.is_sorted_by_key(|line| line.timestamp), "{seen:?}");
        let seen: Vec<_> = seen.into_iter().map(|line| (line.speaker, line.text.clone())).collect();
        assert_eq!(leg.lines(), seen);
        assert_eq!(call.words().last().unwrap(), "complete");
        let end = Hint::TranscriptEnded { status: TranscriptStatus::Complete };
        assert_eq!(leg.told.last(), Some(&end));
        let of_leg = |hint: &&Hint| {
            matches!(hint, Hint::Joined { .. } | Hint::Answered { .. } | Hint::Ended { .. })
        };
        assert_eq!(leg.told.iter().find(of_leg), None);
        // It records the agent; itself it hears before the room does.
        let tape = leg.tape.lock().unwrap().clone();
        assert!(tape.len() == 1 && tape[&(1, 0)] > 200, "{tape:?}");
        call.end().await;
    })
    .await;
}

/// What the callee says last is on the line, though it hangs up at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_leg_stays_until_all_is_told() {
    by_ear(async || {
        let (mut call, mut leg) = with_a_leg().await;
        leg.hears("agent", |hint| matches!(hint, Hint::AgentJoined { .. })).await;
        leg.answer().await;
        let is_line = |hint: &Hint| matches!(hint, Hint::Line(_));
        leg.hears("greeting", is_line).await;
        leg.has_its_ear().await;
        leg.says(&call.stack.sound("goodbye.ulaw"));
        // The word is on its way to the agent for as long as this, which ends no sentence.
        leg.says(&call.stack.sound("silence.ulaw"));
        leg.has_said_all().await;
        let told = leg.ends().await;
        call.hears("end of the transcript", is_over).await;
        println!("leg: {told:#?}\nobserver: {:#?}", call.told);
        let is_goodbye = |hint: &Hint| match hint {
            Hint::Line(line) => {
                line.speaker == Speaker::User && line.text.to_lowercase() == "goodbye"
            }
            _ => false,
        };
        assert!(told.iter().any(is_goodbye), "{told:?}");
        let end = Hint::TranscriptEnded { status: TranscriptStatus::Complete };
        assert_eq!(told.last(), Some(&end));
        assert!(call.words().contains(&"ended CalleeHangup".to_owned()), "{:?}", call.words());
        call.end().await;
    })
    .await;
}
