//! A node that stops while others live.

use std::sync::atomic::Ordering;
use std::time::Duration;

use outdial_domain::ports::{Clock, LegLook};
use outdial_domain::{Hint, LegEnd, Outcome, Route, Status};
use outdial_engine::{WatchEvent, WatchPosition};

use crate::cluster::{Cluster, sleep};

#[tokio::test(start_paused = true)]
async fn an_answered_call_goes_on_under_another_node() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let call = a.answered(Route::Twilio).await;
    let room = call.room_name();
    let mut watch = a.engine.watch(&a.account, room, WatchPosition::default()).await.unwrap();
    let begun = a.clock.now();
    assert!(a.engine.hand_over().await);
    a.engine.idle().await;
    assert!((a.clock.now() - begun).num_seconds() < 2);
    let call = b.until(room, |call| b.owns(call)).await;
    assert!((b.clock.now() - begun).num_seconds() < 3);
    assert_eq!(call.status(), Status::InProgress);
    // Whoever watches here still sees the end.
    let at = b.clock.now();
    b.engine.hint(room, vec![Hint::Ended { at, end: LegEnd::CalleeHangup }]).await.unwrap();
    let mut last = None;
    while let Some(events) = watch.next().await.unwrap() {
        last = events.into_iter().next_back();
    }
    assert!(
        matches!(last, Some((_, WatchEvent::Status { status: Status::Ended, .. }))),
        "{last:?}"
    );
    a.engine.stop().await.unwrap();
    let call = b.finished(room).await;
    assert_eq!(call.termination.unwrap().outcome, Outcome::Completed);
    assert_eq!((b.dials(), b.sent(), b.script.count("hang_up")), (1, 1, 0));
    assert_eq!(b.store.nodes().await.unwrap().len(), 1, "it says good-bye");
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_lives_here_is_waited_for() {
    let (_cluster, a, b) = Cluster::of_two().await;
    a.script.local.store(true, Ordering::SeqCst);
    let call = a.answered(Route::Twilio).await;
    let room = call.room_name();
    assert!(a.engine.hand_over().await);
    let idle = tokio::time::timeout(Duration::from_secs(120), a.engine.idle()).await;
    assert!(idle.is_err(), "it goes on here");
    assert!(a.owns(&a.store.get(room).await.unwrap().unwrap()), "its signs of life go on");
    let draining = |node: &outdial_domain::Node| node.draining;
    assert_eq!(b.engine.nodes().iter().filter(|node| draining(node)).count(), 1);
    let at = b.clock.now();
    b.engine.hint(room, vec![Hint::Ended { at, end: LegEnd::CalleeHangup }]).await.unwrap();
    a.engine.idle().await;
    b.finished(room).await;
    assert_eq!((b.dials(), b.sent()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_last_node_hands_nothing_over_until_another_comes() {
    let (cluster, a, b) = Cluster::of_two().await;
    let call = a.answered(Route::Twilio).await;
    let room = call.room_name();
    b.engine.drain();
    sleep(1).await;
    assert!(!a.engine.hand_over().await, "the other one stops too");
    sleep(30).await;
    assert!(a.owns(&a.store.get(room).await.unwrap().unwrap()));
    let c = cluster.node().await;
    a.engine.idle().await;
    c.until(room, |call| c.owns(call)).await;
    assert_eq!(c.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_being_set_up_is_dialled_first() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let gate = a.script.slow_dispatch();
    let (assistant, trunk) = (a.assistant().await, a.trunk(Route::Twilio).await);
    let request = a.request(&assistant, &trunk, "0000");
    let (engine, account) = (a.engine.clone(), a.account.clone());
    let placed = tokio::spawn(async move { engine.place(&account, request).await });
    let room = a.script.dispatching().await;
    assert!(a.engine.hand_over().await);
    sleep(1).await;
    gate.notify_one();
    let call = placed.await.unwrap().unwrap();
    assert_eq!(call.status(), Status::Dialing);
    a.engine.idle().await;
    b.until(&room, |call| b.owns(call)).await;
    let at = b.clock.now();
    b.legs(LegLook::Present(vec![Hint::Answered { at }]));
    b.status(&room, Status::InProgress).await;
    assert_eq!(b.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn queued_calls_are_handed_over_and_keep_the_pace() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let (assistant, trunk) = (a.assistant().await, a.trunk(Route::Twilio).await);
    let mut rooms = Vec::new();
    for _ in 0..5 {
        let mut request = a.request(&assistant, &trunk, "0000");
        request.respond_async = true;
        let call = a.engine.place(&a.account, request).await.unwrap();
        rooms.push(call.room_name().clone());
    }
    a.engine.hand_over().await;
    a.engine.idle().await;
    a.engine.stop().await.unwrap();
    let mut times = Vec::new();
    for room in &rooms {
        times.push(b.status(room, Status::Dialing).await.started_at.unwrap());
    }
    times.sort();
    let spread = times.windows(2).all(|pair| (pair[1] - pair[0]).num_milliseconds() >= 990);
    assert!(spread, "{times:?}");
    assert_eq!(b.dials(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_audio_is_here_is_waited_for_and_its_recording_kept() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let call = a.recorded().await;
    assert!(a.engine.hand_over().await);
    sleep(60).await;
    let at = a.clock.now();
    b.engine
        .hint(call.room_name(), vec![Hint::Ended { at, end: LegEnd::CalleeHangup }])
        .await
        .unwrap();
    a.engine.idle().await;
    let call = b.finished(call.room_name()).await;
    assert!(call.recording.available().is_some_and(|kept| kept.gaps.is_none()));
    assert_eq!((a.tape.count("keep"), b.tape.count("keep"), b.sent()), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_whose_answer_was_lost_is_one() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let call = a.answered(Route::Twilio).await;
    a.view.lose_answers(true);
    a.engine.hand_over().await;
    b.until(call.room_name(), |call| b.owns(call)).await;
    a.view.heal();
    a.engine.idle().await;
    sleep(60).await;
    assert!(b.owns(&b.store.get(call.room_name()).await.unwrap().unwrap()));
    assert_eq!((b.dials(), b.script.count("hang_up")), (1, 0));
}
