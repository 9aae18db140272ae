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
mod stack;

use outdial_domain::ports::Rooms;
use outdial_domain::{Hint, Speaker};

use crate::call::Call;

fn is_over(hint: &Hint) -> bool {
    matches!(hint, Hint::TranscriptEnded { .. })
}

/// Asks for the order, understands the answer, says good-bye; the agent hangs up.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation() {
    let mut call = Call::new();
    let phone = call.stack.phone("talk").await;
    call.create().await;
    call.observe();
    call.dispatch("{}").await;
    call.hears("agent", |hint| matches!(hint, Hint::AgentJoined { .. })).await;
    call.dial(&phone).await;
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
        tape.iter().filter(|((who, _), _)| *who == speaker).map(|(_, count)| count).sum::<usize>()
    };
    assert!(packets(0) > 200 && packets(1) > 200, "{:?}", call.tape);
    call.end().await;
}

/// The callee does not hear the greeting out: what is on the line was said.
#[tokio::test(flavor = "multi_thread")]
async fn a_barge_in() {
    let mut call = Call::new();
    let phone = call.stack.phone("talk").await;
    call.create().await;
    call.observe();
    let greeting = "This call is recorded. ".repeat(20);
    call.dispatch_to_say(&greeting, "{}").await;
    call.hears("agent", |hint| matches!(hint, Hint::AgentJoined { .. })).await;
    call.dial(&phone).await;
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
}

/// The agent ends the call as LiveKit's own tool does it: it deletes the room.
#[tokio::test(flavor = "multi_thread")]
async fn the_agent_deletes_the_room() {
    let mut call = Call::new();
    let phone = call.stack.phone("answer").await;
    call.create().await;
    call.observe();
    call.dispatch(r#"{"hangup": "room", "hangup_after_greeting": true}"#).await;
    call.dial(&phone).await;
    call.hears("end of the transcript", is_over).await;
    call.print(&phone);
    let words = call.words();
    assert!(words.contains(&"ended Removed".to_owned()), "{words:?}");
    assert_eq!(words.last().unwrap(), "complete");
    assert_eq!(call.lines().len(), 1, "{:?}", call.lines());
    call.end().await;
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
    call.dial(&phone).await;
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
    call.dial(&phone).await;
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
    call.dial(&phone).await;
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
