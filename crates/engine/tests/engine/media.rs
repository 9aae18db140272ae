//! What passes between the phone and this server during a call: holds, digits, counts of media.

use std::sync::atomic::Ordering;
use std::time::Duration;

use outdial_domain::ports::Clock;
use outdial_domain::{
    Call, Digit, Digits, EndReason, ErrorKind, Hint, Layer, LegEnd, MediaQuality, OneWay, Outcome,
    Route, Status,
};
use outdial_engine::{EngineError, Passing, WatchEvent, WatchPosition};

use crate::rig::Rig;

async fn answered(rig: &Rig) -> Call {
    rig.script.agent.store(true, Ordering::SeqCst);
    let call = rig.place(Route::Direct, "0000").await;
    let at = rig.clock.now();
    rig.script.sink().send(Hint::Answered { at }).await;
    rig.status(call.room_name(), Status::InProgress).await
}

fn counted(packets_received: u64) -> Hint {
    let one_way = Some(OneWay::CalleeHearsNothing);
    Hint::Media { quality: MediaQuality { packets_received, one_way, ..Default::default() } }
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_is_told_of_every_hold_and_digit_in_order() {
    let rig = Rig::new().await;
    let call = answered(&rig).await;
    let room = call.room_name();
    let mut watch = rig.engine.watch(&rig.account, room, WatchPosition::default()).await.unwrap();
    watch.next().await.unwrap();
    let (sink, at) = (rig.script.sink(), rig.clock.now());
    let digit = Digit::from_char('#').unwrap();
    for hint in [Hint::Held { at }, Hint::Resumed { at }, Hint::Held { at }] {
        sink.send(hint).await;
    }
    sink.send(Hint::Dtmf { at, digit }).await;
    sink.send(Hint::Dtmf { at, digit }).await;
    sink.send(Hint::Ended { at, end: LegEnd::CalleeHangup }).await;
    let mut passed = Vec::new();
    let mut last = None;
    while let Some(events) = watch.next().await.unwrap() {
        for (_, event) in events {
            match event {
                WatchEvent::Passing(event) => passed.push(event),
                WatchEvent::Status { status, .. } => last = Some(status),
                _ => {}
            }
        }
    }
    let (held, dtmf) = (Passing::Held { at }, Passing::Dtmf { at, digit });
    assert_eq!(passed, [held, Passing::Resumed { at }, held, dtmf, dtmf]);
    assert_eq!(last, Some(Status::Ended));
    assert_eq!(rig.finished(room).await.facts, {
        let mut facts = call.facts.clone();
        (facts.held_at, facts.resumed_at) = (Some(at), Some(at));
        facts.merge(&Hint::Ended { at, end: LegEnd::CalleeHangup });
        facts
    });
}

/// What a watcher is told of holds, and what the record says.
#[tokio::test(start_paused = true)]
async fn a_hold_is_on_record_while_it_lasts_and_told_to_whoever_comes_late() {
    let rig = Rig::new().await;
    let call = answered(&rig).await;
    let room = call.room_name();
    let sink = rig.script.sink();
    let held = Passing::Held { at: rig.clock.now() };
    sink.send(Hint::Held { at: rig.clock.now() }).await;
    assert!(!call.is_held());
    rig.until(room, Call::is_held).await;
    let from = WatchPosition::default();
    let mut watch = rig.engine.watch(&rig.account, room, from).await.unwrap();
    let mut told = async || {
        let events = watch.next().await.unwrap().unwrap().into_iter();
        let passed = events.filter_map(|(_, event)| match event {
            WatchEvent::Passing(event) => Some(event),
            _ => None,
        });
        passed.collect::<Vec<_>>()
    };
    assert_eq!(told().await, [held], "it came late");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let at = rig.clock.now();
    sink.send(Hint::Resumed { at }).await;
    assert_eq!(told().await, [Passing::Resumed { at }]);
    rig.until(room, |call| !call.is_held()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let at = rig.clock.now();
    sink.send(Hint::Held { at }).await;
    assert_eq!(told().await, [Passing::Held { at }]);
    // An older hint changes nothing.
    sink.send(Hint::Resumed { at: at - Duration::from_millis(1) }).await;
    sink.send(Hint::Ended { at: rig.clock.now(), end: LegEnd::CalleeHangup }).await;
    let call = rig.finished(room).await;
    assert!(!call.is_held(), "it has ended");
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_is_slow_misses_the_oldest_only() {
    let rig = Rig::new().await;
    let call = answered(&rig).await;
    let from = WatchPosition::default();
    let mut watch = rig.engine.watch(&rig.account, call.room_name(), from).await.unwrap();
    watch.next().await.unwrap();
    let (sink, at) = (rig.script.sink(), rig.clock.now());
    let digit = Digit::from_char('1').unwrap();
    for _ in 0..200 {
        sink.send(Hint::Dtmf { at, digit }).await;
    }
    sink.send(Hint::Held { at }).await;
    sink.send(Hint::Resumed { at }).await;
    // The worker takes in all of it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let events = watch.next().await.unwrap().unwrap();
    assert_eq!(events.len(), 64);
    let (_, last) = events.last().unwrap();
    assert!(matches!(last, WatchEvent::Passing(Passing::Resumed { .. })), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn counts_of_media_are_kept_also_when_they_come_just_before_or_behind_the_end() {
    let rig = Rig::new().await;
    for late in [false, true] {
        let call = answered(&rig).await;
        let (sink, at) = (rig.script.sink(), rig.clock.now());
        sink.send(counted(10)).await;
        let end = Hint::Ended { at, end: LegEnd::CalleeHangup };
        let [first, second] = if late { [end, counted(500)] } else { [counted(500), end] };
        sink.send(first).await;
        sink.send(second).await;
        let call = rig.finished(call.room_name()).await;
        let media = call.facts.media.unwrap();
        assert_eq!(
            (media.packets_received, media.one_way),
            (500, Some(OneWay::CalleeHearsNothing))
        );
        assert_eq!(call.termination.unwrap().end_reason, Some(EndReason::CalleeHangup));
    }
}

#[tokio::test(start_paused = true)]
async fn digits_are_for_a_call_in_progress() {
    let rig = Rig::new().await;
    rig.script.agent.store(true, Ordering::SeqCst);
    let digits: Digits = "12#".parse().unwrap();
    let call = rig.place(Route::Direct, "0000").await;
    let room = call.room_name();
    let refused = async |what: &str| {
        let error = rig.engine.send_dtmf(&rig.account, room, &digits).await.unwrap_err();
        assert!(matches!(&error, EngineError::Conflict(why) if why.contains(what)), "{error:?}");
    };
    refused("not answered").await;
    let at = rig.clock.now();
    rig.script.sink().send(Hint::Answered { at }).await;
    rig.status(room, Status::InProgress).await;
    rig.engine.send_dtmf(&rig.account, room, &digits).await.unwrap();

    for (kind, what) in [
        (ErrorKind::NotFound, "not in the call"),
        (ErrorKind::Conflict, "the test"),
        (ErrorKind::Refused, "the test"),
        (ErrorKind::Busy, "the test"),
    ] {
        rig.script.fails.lock().unwrap().push(("send_dtmf", kind));
        refused(what).await;
        rig.script.fails.lock().unwrap().clear();
    }
    rig.script.fails.lock().unwrap().push(("send_dtmf", ErrorKind::Unavailable));
    let error = rig.engine.send_dtmf(&rig.account, room, &digits).await.unwrap_err();
    assert!(matches!(error, EngineError::LegUnavailable(_)), "{error:?}");

    rig.script.sink().send(Hint::Ended { at, end: LegEnd::CalleeHangup }).await;
    rig.finished(room).await;
    refused("ended").await;
    let other = outdial_domain::AccountId::random();
    let error = rig.engine.send_dtmf(&other, room, &digits).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { what: "call" }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_stops_a_direct_dial_is_the_trunk_s_and_what_stops_the_room_is_livekit_s() {
    for (operation, kind, layer) in [
        ("dial", ErrorKind::Unavailable, Layer::Sip),
        ("dial", ErrorKind::Refused, Layer::Sip),
        ("dial", ErrorKind::Internal, Layer::Server),
        ("create", ErrorKind::Unavailable, Layer::Livekit),
        ("dispatch", ErrorKind::Unavailable, Layer::Livekit),
    ] {
        let rig = Rig::new().await;
        rig.script.fails.lock().unwrap().push((operation, kind));
        let (assistant, trunk) = (rig.assistant().await, rig.trunk(Route::Direct).await);
        let request = rig.request(&assistant, &trunk, "0000");
        let error = rig.engine.place(&rig.account, request).await.unwrap_err();
        let EngineError::CallFailed(call) = error else { panic!("{error:?}") };
        let end = call.termination.unwrap();
        let cause = end.cause.unwrap();
        assert_eq!((end.outcome, cause.layer), (Outcome::Failed, layer), "{operation} {kind:?}");
    }
}
