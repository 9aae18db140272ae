//! Observed calls: their transcript, their recording, and how both are erased.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outdial_domain::ports::{Clock, LegLook, RecordingSource};
use outdial_domain::{
    AgentState, Call, ErrorKind, Hint, LegEnd, NodeId, RecordingState, Route, Speaker, Status,
    Tombstone, TranscriptLine, TranscriptStatus, WebhookState,
};
use outdial_engine::{EngineError, Policy, WatchEvent, WatchPosition};
use tokio::sync::Notify;

use crate::rig::Rig;

/// An answered call that is recorded.
async fn answered(rig: &Rig) -> Call {
    rig.script.agent.store(true, Ordering::SeqCst);
    let assistant = rig.assistant_with(|new| new.recording = true).await;
    let trunk = rig.trunk(Route::Twilio).await;
    let request = rig.request(&assistant, &trunk, "0000");
    let call = rig.engine.place(&rig.account, request).await.unwrap();
    let at = rig.clock.now();
    rig.watcher.sink().send(Hint::Answered { at }).await;
    rig.status(call.room_name(), Status::InProgress).await
}

/// The callee hangs up, and the observer has heard everything.
async fn hangs_up(rig: &Rig) {
    let (sink, at) = (rig.watcher.sink(), rig.clock.now());
    sink.send(Hint::TranscriptEnded { status: TranscriptStatus::Complete }).await;
    sink.send(Hint::Ended { at, end: LegEnd::CalleeHangup }).await;
}

fn says(rig: &Rig, speaker: Speaker, text: &str) -> Hint {
    Hint::Line(TranscriptLine { speaker, text: text.into(), timestamp: rig.clock.now() })
}

#[tokio::test(start_paused = true)]
async fn the_webhook_comes_when_the_recording_is_kept_and_names_it() {
    let rig = Rig::new().await;
    let gate = Arc::new(Notify::new());
    *rig.tape.gate.lock().unwrap() = Some(gate.clone());
    let call = answered(&rig).await;
    let room = call.room_name();
    assert_eq!((rig.tape.count("capture"), rig.watcher.live.load(Ordering::SeqCst)), (1, 1));
    hangs_up(&rig).await;
    rig.status(room, Status::Ended).await;
    assert_eq!(rig.watcher.live.load(Ordering::SeqCst), 0, "nothing is observed after the end");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(rig.sender.bodies().len(), 0, "the webhook waits");
    let early = rig.engine.recording(&rig.account, room).await.unwrap_err();
    assert!(matches!(early, EngineError::NotYet { .. }));

    gate.notify_one();
    let call = rig.finished(room).await;
    assert!(call.recording.available().is_some());
    let path = format!("http://127.0.0.1:8000/calls/{room}/recording");
    assert_eq!(rig.sender.bodies()[0]["recording_path"], path.as_str());
    assert_eq!(rig.engine.recording_url(&call), Some(path));
    assert_eq!((rig.tape.count("keep"), rig.tape.count("done")), (1, 1));
    let (kept, source) = rig.engine.recording(&rig.account, room).await.unwrap();
    assert_eq!(source, RecordingSource::File(kept.key.into()));
}

#[tokio::test(start_paused = true)]
async fn a_dead_keeper_delays_the_webhook_no_longer_than_allowed() {
    let rig = Rig::new().await;
    rig.tape.keep_fails.lock().unwrap().extend([ErrorKind::Unavailable; 8]);
    let call = answered(&rig).await;
    let room = call.room_name();
    hangs_up(&rig).await;
    let call = rig.until(room, |call| call.webhook == WebhookState::Delivered).await;
    let sent = rig.sender.sent.lock().unwrap()[0].timestamp;
    let waited = (sent - call.ended_at.unwrap()).num_seconds();
    assert!((60..62).contains(&waited), "{waited}");
    assert_eq!(call.recording.as_str(), "pending");
    assert!(call.recording.reason().unwrap().contains("as the test wants it"));
    assert_eq!(rig.sender.bodies()[0]["recording_path"], serde_json::Value::Null);
    // It is kept in the end, and no further webhook says so.
    let call = rig.finished(room).await;
    assert!(call.recording.available().is_some());
    assert_eq!((rig.tape.count("keep"), rig.sender.bodies().len()), (9, 1));
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_is_lost_holds_nothing_up() {
    let rig = Rig::new().await;
    rig.tape.keep_fails.lock().unwrap().push_back(ErrorKind::NotFound);
    let call = answered(&rig).await;
    let room = call.room_name();
    hangs_up(&rig).await;
    let call = rig.finished(room).await;
    let reason = "as the test wants it".to_owned();
    assert_eq!(call.recording, RecordingState::Lost { reason });
    assert_eq!((rig.tape.count("keep"), rig.sender.bodies().len()), (1, 1));
    let error = rig.engine.recording(&rig.account, room).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { what: "recording" }));
}

#[tokio::test(start_paused = true)]
async fn of_a_call_that_nobody_answered_nothing_is_kept() {
    let rig = Rig::new().await;
    rig.script.agent.store(true, Ordering::SeqCst);
    let assistant = rig.assistant_with(|new| new.recording = true).await;
    let trunk = rig.trunk(Route::Twilio).await;
    let request = rig.request(&assistant, &trunk, "0000");
    let call = rig.engine.place(&rig.account, request).await.unwrap();
    let at = rig.clock.now();
    rig.watcher.sink().send(Hint::Ended { at, end: LegEnd::RingTimeout }).await;
    let call = rig.finished(call.room_name()).await;
    assert_eq!(call.recording, RecordingState::None);
    assert_eq!(call.transcript_status(), TranscriptStatus::Complete, "nothing was said");
    assert_eq!((rig.tape.count("keep"), rig.tape.count("delete")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_assistant_may_switch_recording_off() {
    let rig = Rig::new().await;
    rig.script.agent.store(true, Ordering::SeqCst);
    let call = rig.place(Route::Twilio, "0000").await;
    rig.watcher.sink().send(Hint::Answered { at: rig.clock.now() }).await;
    rig.status(call.room_name(), Status::InProgress).await;
    hangs_up(&rig).await;
    let call = rig.finished(call.room_name()).await;
    assert_eq!(call.recording, RecordingState::None);
    assert_eq!(rig.watcher.with_audio.load(Ordering::SeqCst), 0, "heard by nobody");
    assert_eq!(rig.tape.asked.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_recording_expires_and_a_failed_deletion_is_repeated() {
    let rig = Rig::new().await;
    let expires_at = rig.clock.now() + Duration::from_secs(30 * 24 * 3600 / 100);
    *rig.tape.expires_at.lock().unwrap() = Some(expires_at);
    rig.tape.delete_fails.lock().unwrap().extend([ErrorKind::Unavailable; 2]);
    let call = answered(&rig).await;
    let room = call.room_name();
    hangs_up(&rig).await;
    let call = rig.until(room, |call| call.webhook == WebhookState::Delivered).await;
    assert!(call.recording.available().is_some());
    let call = rig.until(room, |call| call.due_at.is_none()).await;
    let RecordingState::Expired { at } = call.recording else { panic!("{:?}", call.recording) };
    assert!(at >= expires_at);
    assert_eq!((rig.tape.count("delete"), rig.sender.bodies().len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_observing_and_keeping() {
    let rig = Rig::new().await;
    let call = answered(&rig).await;
    let room = call.room_name();
    let node = NodeId::random();
    rig.engine.stop().await.unwrap();
    assert_eq!(rig.watcher.live.load(Ordering::SeqCst), 0);

    let next = Rig::on(rig.store.clone(), node.clone(), Policy::default()).await;
    next.script.agent.store(true, Ordering::SeqCst);
    *next.script.leg.lock().unwrap() = Some(LegLook::Present(Vec::new()));
    while next.watcher.live.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(next.tape.count("capture"), 1, "the capture goes on");
    // It stops again, while the recording is being kept.
    *next.tape.gate.lock().unwrap() = Some(Arc::default());
    hangs_up(&next).await;
    next.until(room, |_| next.tape.count("keep") == 1).await;
    next.engine.stop().await.unwrap();
    let call = next.store.get(room).await.unwrap().unwrap();
    assert!(call.recording.is_pending() && call.recording.reason().is_none());

    let last = Rig::on(rig.store.clone(), node, Policy::default()).await;
    let call = last.finished(room).await;
    assert!(call.recording.available().is_some());
    let webhooks = [&rig, &next, &last].map(|rig| rig.sender.bodies().len());
    assert_eq!(webhooks, [0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn last_words_are_waited_for_but_not_for_ever() {
    for told in [true, false] {
        let rig = Rig::new().await;
        let call = answered(&rig).await;
        let (sink, at) = (rig.watcher.sink(), rig.clock.now());
        sink.send(says(&rig, Speaker::Agent, "Hello")).await;
        sink.send(Hint::Ended { at, end: LegEnd::CalleeHangup }).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        sink.send(says(&rig, Speaker::User, "Bye")).await;
        if told {
            sink.send(Hint::TranscriptEnded { status: TranscriptStatus::Complete }).await;
        }
        let call = rig.finished(call.room_name()).await;
        let status = if told { TranscriptStatus::Complete } else { TranscriptStatus::Partial };
        assert_eq!(call.transcript_status(), status);
        assert_eq!(rig.sender.bodies()[0]["lines"], 2);
        assert_eq!(call.ended_at, Some(at), "the end itself is not moved");
    }
}

#[tokio::test(start_paused = true)]
async fn the_transcript_is_in_the_order_of_speaking() {
    let rig = Rig::new().await;
    let call = answered(&rig).await;
    let early = says(&rig, Speaker::Agent, "first");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let late = says(&rig, Speaker::User, "second");
    let sink = rig.watcher.sink();
    sink.send(late).await;
    sink.send(early).await;
    hangs_up(&rig).await;
    let call = rig.finished(call.room_name()).await;
    let lines = rig.engine.transcript(&rig.account, call.room_name()).await.unwrap();
    let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_sees_what_the_agent_does() {
    let rig = Rig::new().await;
    let call = answered(&rig).await;
    let from = WatchPosition::default();
    let mut watch = rig.engine.watch(&rig.account, call.room_name(), from).await.unwrap();
    watch.next().await.unwrap();
    let at = rig.clock.now();
    rig.watcher.sink().send(Hint::AgentState { at, state: AgentState::Speaking }).await;
    let events = watch.next().await.unwrap().unwrap();
    let [(_, WatchEvent::Agent { state })] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*state, AgentState::Speaking);
}

#[tokio::test(start_paused = true)]
async fn an_erased_call_is_gone_and_its_webhook_is_not_sent() {
    let rig = Rig::new().await;
    rig.sender.replies.lock().unwrap().extend([500; 9]);
    let call = answered(&rig).await;
    let room = call.room_name();
    let early = rig.engine.erase(&rig.account, room).await.unwrap_err();
    assert!(matches!(early, EngineError::Conflict(_)), "{early}");
    hangs_up(&rig).await;
    rig.until(room, |_| rig.sender.bodies().len() == 1).await;

    assert!(rig.engine.erase(&rig.account, room).await.unwrap());
    assert!(rig.engine.erase(&rig.account, room).await.unwrap(), "again");
    assert_eq!(rig.store.get(room).await.unwrap(), None);
    assert_eq!(rig.tape.count("delete"), 1);
    for error in [
        rig.engine.call(&rig.account, room).await.unwrap_err(),
        rig.engine.transcript(&rig.account, room).await.unwrap_err(),
        rig.engine.hang_up(&rig.account, room).await.unwrap_err(),
        rig.engine.recording(&rig.account, room).await.unwrap_err(),
    ] {
        assert!(matches!(error, EngineError::Erased), "{error}");
    }
    let tombstone = rig.store.tombstone(&Tombstone::id_of(room)).await.unwrap().unwrap();
    assert_eq!(tombstone.account_id, rig.account);
    let stranger = outdial_domain::AccountId::random();
    let error = rig.engine.erase(&stranger, room).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { .. }), "{error}");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(rig.sender.bodies().len(), 1, "no retry of the webhook");
}

#[tokio::test(start_paused = true)]
async fn an_erasure_outlasts_a_dead_keeper() {
    let rig = Rig::new().await;
    let call = answered(&rig).await;
    let room = call.room_name();
    hangs_up(&rig).await;
    rig.finished(room).await;
    rig.tape.delete_fails.lock().unwrap().extend([ErrorKind::Unavailable; 3]);
    assert!(!rig.engine.erase(&rig.account, room).await.unwrap());
    assert!(matches!(rig.engine.call(&rig.account, room).await, Err(EngineError::Erased)));
    // Asking again is trying again.
    assert!(!rig.engine.erase(&rig.account, room).await.unwrap());
    assert_eq!(rig.tape.count("delete"), 2);
    while rig.store.get(room).await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(rig.tape.count("delete"), 4);
    assert!(rig.engine.erase(&rig.account, room).await.unwrap());
}
