//! What is asked of a node about a call that another one works on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use outdial_domain::ports::{Clock, LegLook};
use outdial_domain::{
    Digits, EndReason, ErrorKind, Hint, LegEnd, Outcome, RoomName, Route, Speaker, Status,
    TranscriptLine, TranscriptStatus, WebhookState,
};
use outdial_engine::{EngineError, Passing, WatchEvent, WatchPosition};
use tokio::sync::Notify;

use crate::cluster::{Cluster, Member, sleep};

#[tokio::test(start_paused = true)]
async fn a_hang_up_reaches_the_owner() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let call = a.answered(Route::Twilio).await;
    let room = call.room_name();
    a.legs(LegLook::Absent);
    let begun = b.clock.now();
    let call = b.engine.hang_up(&b.account, room).await.unwrap();
    assert!(call.facts.hang_up.is_some(), "the decision is saved");
    let end = b.status(room, Status::Ended).await.termination.unwrap();
    assert_eq!(end.end_reason, Some(EndReason::ApiHangup));
    // Last words are waited for.
    assert!((b.clock.now() - begun).num_milliseconds() < 5000);
    let call = b.finished(room).await;
    assert!(!call.attention);
    assert_eq!((b.script.count("hang_up"), b.sent()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn hints_reach_the_owner() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let room = a.place(Route::Twilio, "0000").await.room_name().clone();
    let at = b.clock.now();
    b.engine.hint(&room, vec![Hint::AgentJoined { at }, Hint::Ringing { at }]).await.unwrap();
    sleep(1).await;
    let at = b.clock.now();
    b.engine.hint(&room, vec![Hint::Answered { at }]).await.unwrap();
    sleep(1).await;
    let call = a.store.get(&room).await.unwrap().unwrap();
    assert_eq!((call.status(), call.attention), (Status::InProgress, false));
    assert!(a.owns(&call));
    let at = b.clock.now();
    b.engine.hint(&room, vec![Hint::Ended { at, end: LegEnd::CalleeHangup }]).await.unwrap();
    let call = b.finished(&room).await;
    assert_eq!((call.termination.unwrap().outcome, call.ended_at), (Outcome::Completed, Some(at)));
    assert_eq!(b.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn news_during_the_setup_does_not_hinder_it_and_a_hang_up_does() {
    for hangs_up in [false, true] {
        let (_cluster, a, b) = Cluster::of_two().await;
        let gate = a.script.slow_dispatch();
        let (assistant, trunk) = (a.assistant().await, a.trunk(Route::Twilio).await);
        let request = a.request(&assistant, &trunk, "0000");
        let (engine, account) = (a.engine.clone(), a.account.clone());
        let placed = tokio::spawn(async move { engine.place(&account, request).await });
        let room = a.script.dispatching().await;
        let at = b.clock.now();
        b.engine.hint(&room, vec![Hint::AgentJoined { at }]).await.unwrap();
        sleep(1).await;
        if hangs_up {
            b.engine.hang_up(&b.account, &room).await.unwrap();
            a.legs(LegLook::Absent);
        }
        sleep(2).await;
        gate.notify_one();
        let placed = placed.await.unwrap();
        if hangs_up {
            let Err(EngineError::CallFailed(call)) = placed else { panic!("{placed:?}") };
            assert_eq!(call.termination.unwrap().outcome, Outcome::Canceled);
        } else {
            assert_eq!(placed.unwrap().status(), Status::Dialing);
        }
        assert_eq!(b.dials(), usize::from(!hangs_up));
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_sees_all_through_another_node() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let room = a.place(Route::Twilio, "0000").await.room_name().clone();
    let mut watch = b.engine.watch(&b.account, &room, WatchPosition::default()).await.unwrap();
    let watching = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(events) = watch.next().await.unwrap() {
            seen.extend(events.into_iter().map(|(_, event)| match event {
                WatchEvent::Status { status, .. } => status.to_string(),
                WatchEvent::Line { index, line } => format!("{index} {}", line.text),
                other => format!("{other:?}"),
            }));
        }
        seen
    });
    let sink = a.script.sink();
    let line = |text: &str| {
        let (text, timestamp) = (text.to_owned(), a.clock.now());
        Hint::Line(TranscriptLine { speaker: Speaker::Agent, text, timestamp })
    };
    let at = a.clock.now();
    sink.send(Hint::Ringing { at }).await;
    sleep(3).await;
    sink.send(Hint::Answered { at: a.clock.now() }).await;
    sink.send(line("Hello")).await;
    sleep(3).await;
    sink.send(line("Bye")).await;
    sink.send(Hint::TranscriptEnded { status: TranscriptStatus::Complete }).await;
    sink.send(Hint::Ended { at: a.clock.now(), end: LegEnd::CalleeHangup }).await;
    let seen = watching.await.unwrap();
    let all =
        ["queued", "starting", "dialing", "ringing", "in_progress", "0 Hello", "1 Bye", "ended"];
    assert_eq!(seen, all);
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_told_through_another_node() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let call = a.answered(Route::Twilio).await;
    let (room, sink) = (call.room_name(), a.script.sink());
    let mut watch = b.engine.watch(&b.account, room, WatchPosition::default()).await.unwrap();
    let mut told = async || {
        loop {
            let events = watch.next().await.unwrap().expect("the call goes on");
            let passed = events.into_iter().find_map(|(_, event)| match event {
                WatchEvent::Passing(event) => Some(event),
                _ => None,
            });
            if let Some(event) = passed {
                return event;
            }
        }
    };
    for _ in 0..2 {
        let at = a.clock.now();
        sink.send(Hint::Held { at }).await;
        assert_eq!(told().await, Passing::Held { at });
        assert!(b.engine.call(&b.account, room).await.unwrap().is_held());
        sleep(3).await;
        let at = a.clock.now();
        sink.send(Hint::Resumed { at }).await;
        assert_eq!(told().await, Passing::Resumed { at });
        sleep(3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_erasure_reaches_the_owner_and_ends_what_is_watched() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let gate = Arc::new(Notify::new());
    *a.tape.gate.lock().unwrap() = Some(gate);
    let call = a.recorded().await;
    let room = call.room_name();
    let mut watch = b.engine.watch(&b.account, room, WatchPosition::default()).await.unwrap();
    let at = a.clock.now();
    a.watcher.sink().send(Hint::Ended { at, end: LegEnd::CalleeHangup }).await;
    a.status(room, Status::Ended).await;
    assert!(b.engine.erase(&b.account, room).await.unwrap());
    assert_eq!(b.store.get(room).await.unwrap(), None);
    while watch.next().await.unwrap().is_some() {}
    assert_eq!((a.tape.count("delete"), a.tape.captured.lock().unwrap().len()), (1, 0));
    a.engine.idle().await;
    sleep(100).await;
    assert_eq!(b.sent(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_is_sent_again_by_the_owner() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let gate = Arc::new(Notify::new());
    *a.tape.gate.lock().unwrap() = Some(gate.clone());
    let call = a.recorded().await;
    let room = call.room_name();
    let at = a.clock.now();
    a.watcher.sink().send(Hint::Ended { at, end: LegEnd::CalleeHangup }).await;
    // It comes after a minute, though the recording is still being kept.
    let call = a.until(room, |call| call.webhook == WebhookState::Delivered).await;
    assert!(a.owns(&call));
    b.engine.replay_webhook(&b.account, room).await.unwrap();
    a.until(room, |_| a.sent() == 2).await;
    gate.notify_one();
    assert_eq!(b.finished(room).await.webhook, WebhookState::Delivered);
    b.engine.replay_webhook(&b.account, room).await.unwrap();
    b.until(room, |_| b.sent() == 3).await;
    sleep(60).await;
    assert_eq!(b.sent(), 3);
}

/// How they get to the leg is the provider's business, also when the leg lives in its owner's process.
#[tokio::test(start_paused = true)]
async fn digits_go_through_any_node() {
    let digits: Digits = "12#".parse().unwrap();
    for local in [false, true] {
        let (_cluster, a, b) = Cluster::of_two().await;
        a.script.local.store(local, Ordering::SeqCst);
        let ringing = b.place(Route::Twilio, "0001").await;
        let call = a.answered(Route::Twilio).await;
        let room = call.room_name();
        for node in [&a, &b] {
            node.engine.send_dtmf(&node.account, room, &digits).await.unwrap();
        }
        assert_eq!(a.script.count("send_dtmf"), 2);
        let refused = async |node: &Member, room: &RoomName| {
            let error = node.engine.send_dtmf(&node.account, room, &digits).await.unwrap_err();
            let EngineError::Conflict(why) = error else { panic!("{error}") };
            why
        };
        assert_eq!(refused(&a, ringing.room_name()).await, "the call is not answered yet");
        let fails = |kind| *a.script.fails.lock().unwrap() = vec![("send_dtmf", kind)];
        for kind in [ErrorKind::Conflict, ErrorKind::Refused, ErrorKind::Busy] {
            fails(kind);
            assert_eq!(refused(&b, room).await, "as the test wants it");
        }
        fails(ErrorKind::NotFound);
        let owner = a.engine.node().to_string();
        assert_eq!(refused(&b, room).await.contains(&owner), local, "whom to ask");
        assert!(!refused(&a, room).await.contains(&owner));
        fails(ErrorKind::Unavailable);
        let error = b.engine.send_dtmf(&b.account, room, &digits).await.unwrap_err();
        assert!(matches!(error, EngineError::LegUnavailable(_)), "{error:?}");

        a.legs(LegLook::Absent);
        b.engine.hang_up(&b.account, room).await.unwrap();
        b.status(room, Status::Ended).await;
        let asked = a.script.count("send_dtmf");
        assert_eq!(refused(&b, room).await, "the call has ended");
        assert_eq!(a.script.count("send_dtmf"), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_repeated_through_another_node_gets_the_answer_to_the_first() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let gate = a.script.slow_dispatch();
    let (assistant, trunk) = (a.assistant().await, a.trunk(Route::Twilio).await);
    let mut request = a.request(&assistant, &trunk, "0000");
    request.idempotency = Some(("once".into(), "body".into()));
    let place = |node: &crate::cluster::Member| {
        let (engine, account) = (node.engine.clone(), node.account.clone());
        let request = request.clone();
        tokio::spawn(async move { engine.place(&account, request).await })
    };
    let first = place(&a);
    a.script.dispatching().await;
    let again = place(&b);
    sleep(3).await;
    assert!(!again.is_finished());
    gate.notify_one();
    let (first, again) = (first.await.unwrap().unwrap(), again.await.unwrap().unwrap());
    assert_eq!(first.room_name(), again.room_name());
    assert_eq!(again.status(), Status::Dialing);
    assert_eq!(b.dials(), 1);
}
