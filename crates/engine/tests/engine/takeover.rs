//! Nodes that die, or were taken for dead.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outdial_domain::ports::{Clock, LegLook, Provider};
use outdial_domain::{
    EndReason, ErrorKind, Hint, LegEnd, NodeId, Outcome, Recording, RecordingState, Route, Status,
    TranscriptStatus, WebhookState,
};
use outdial_engine::{EngineError, Policy};
use tokio::sync::Notify;

use crate::cluster::{Cluster, Member, sleep};
use crate::rig::Rig;

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_dead_node_end_once_and_are_not_dialled_again() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let assistant = a.assistant().await;
    let trunk = a.trunk_with(Route::Twilio, |trunk| trunk.calls_per_second = Some(100.0)).await;
    let mut rooms = Vec::new();
    for _ in 0..20 {
        let request = a.request(&assistant, &trunk, "0000");
        let call = a.engine.place(&a.account, request).await.unwrap();
        rooms.push(call.room_name().clone());
    }
    a.cut_off();
    b.legs(LegLook::Absent);
    for room in &rooms {
        let call = b.finished(room).await;
        assert_eq!(call.termination.unwrap().outcome, Outcome::Interrupted);
    }
    assert_eq!((b.dials(), b.sent()), (20, 20));
    // It was not dead after all.
    a.view.heal();
    sleep(120).await;
    assert_eq!((b.dials(), b.sent()), (20, 20));
    a.engine.idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_goes_on_does_so_under_another_node() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let call = a.answered(Route::Twilio).await;
    let room = call.room_name();
    a.cut_off();
    let call = b.until(room, |call| b.owns(call)).await;
    assert_eq!(call.status(), Status::InProgress);
    a.view.heal();
    sleep(60).await;
    a.engine.idle().await;
    assert_eq!(b.script.count("hang_up"), 0, "who lost the call does not end it");
    let at = b.clock.now();
    // To whichever node the room server tells it.
    a.engine.hint(room, vec![Hint::Ended { at, end: LegEnd::CalleeHangup }]).await.unwrap();
    let call = b.finished(room).await;
    assert_eq!(call.termination.unwrap().outcome, Outcome::Completed);
    assert_eq!((b.dials(), b.sent()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_stopped_while_it_set_a_call_up_does_not_dial_it() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let gate = a.script.slow_dispatch();
    let (assistant, trunk) = (a.assistant().await, a.trunk(Route::Twilio).await);
    let request = a.request(&assistant, &trunk, "0000");
    let (engine, account) = (a.engine.clone(), a.account.clone());
    let placed = tokio::spawn(async move { engine.place(&account, request).await });
    let room = a.script.dispatching().await;
    // A dispatch is given up after 10 s: it begins shortly before the lease has run out.
    sleep(9).await;
    a.cut_off();
    b.legs(LegLook::Absent);
    gate.notify_one();
    let call = b.finished(&room).await;
    assert_eq!(call.termination.unwrap().outcome, Outcome::Interrupted);
    assert!(a.script.count("dial") <= 1, "the dial may have been under way");
    let dials = a.dials();
    a.view.heal();
    sleep(120).await;
    assert_eq!((a.dials(), b.sent()), (dials, 1));
    let answer = placed.await.unwrap();
    assert!(matches!(answer, Err(EngineError::CallFailed(_)) | Ok(_)), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_dialled_when_the_lease_ran_out_before() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let (assistant, trunk) = (a.assistant().await, a.trunk(Route::Twilio).await);
    let gate = a.script.slow_dispatch();
    a.lose_signs_of_life();
    // Shortly before it runs out.
    sleep(14).await;
    let request = a.request(&assistant, &trunk, "0000");
    let (engine, account) = (a.engine.clone(), a.account.clone());
    let placed = tokio::spawn(async move { engine.place(&account, request).await });
    let room = a.script.dispatching().await;
    sleep(9).await;
    b.legs(LegLook::Absent);
    gate.notify_one();
    let call = b.finished(&room).await;
    assert_eq!(call.termination.unwrap().outcome, Outcome::Interrupted);
    a.view.heal();
    let Err(EngineError::CallFailed(call)) = placed.await.unwrap() else { panic!("it failed") };
    assert_eq!(call.termination.unwrap().outcome, Outcome::Interrupted);
    sleep(120).await;
    assert_eq!((a.dials(), b.sent()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn no_call_is_placed_or_claimed_while_the_lease_has_run_out() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let (assistant, trunk) = (a.assistant().await, a.trunk(Route::Twilio).await);
    a.lose_signs_of_life();
    sleep(21).await;
    let request = a.request(&assistant, &trunk, "0000");
    let error = a.engine.place(&a.account, request.clone()).await.unwrap_err();
    assert!(matches!(error, EngineError::Store(error) if error.kind == ErrorKind::Unavailable));
    let ready = a.engine.ready().await;
    assert!(ready.iter().any(|(name, check)| *name == "engine" && check.is_err()), "{ready:?}");
    a.view.heal();
    sleep(2).await;
    assert!(a.engine.ready().await.iter().all(|(_, check)| check.is_ok()));
    a.engine.place(&a.account, request).await.unwrap();
    assert_eq!(b.engine.nodes().len(), 2);
}

/// Ended, its recording is being kept, and the webhook waits for that.
async fn being_kept(node: &Member) -> (outdial_domain::RoomName, Arc<Notify>) {
    let gate = Arc::new(Notify::new());
    *node.tape.gate.lock().unwrap() = Some(gate.clone());
    let call = node.recorded().await;
    let (sink, at) = (node.watcher.sink(), node.clock.now());
    sink.send(Hint::TranscriptEnded { status: TranscriptStatus::Complete }).await;
    sink.send(Hint::Ended { at, end: LegEnd::CalleeHangup }).await;
    node.until(call.room_name(), |_| node.tape.count("keep") == 1).await;
    (call.room_name().clone(), gate)
}

#[tokio::test(start_paused = true)]
async fn a_webhook_is_not_sent_by_a_node_whose_lease_has_run_out() {
    let cluster = Cluster::default();
    cluster.world.script.agent.store(true, Ordering::SeqCst);
    let finish = Duration::from_secs(25);
    let policy = || Policy { recording_finish_within: finish, ..Policy::default() };
    let a = cluster.node_with(NodeId::random(), policy()).await;
    let b = cluster.node_with(NodeId::random(), policy()).await;
    sleep(10).await;
    let (room, gate) = being_kept(&a).await;
    let ended = b.store.get(&room).await.unwrap().unwrap().ended_at.unwrap();
    // 20 s later it is no longer sure of its calls; another 10 s later they are taken.
    a.lose_signs_of_life();
    b.until(&room, |_| b.sent() == 1).await;
    let sent = b.sender.sent.lock().unwrap()[0].timestamp;
    assert!((sent - ended).num_seconds() >= 29, "by the other node");
    a.view.heal();
    *a.tape.gate.lock().unwrap() = None;
    gate.notify_one();
    sleep(2 * 3600).await;
    assert_eq!(b.sent(), 1);
    let call = b.finished(&room).await;
    assert_eq!(call.webhook, WebhookState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_lives_in_a_node_that_lost_the_call_is_ended() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let (assistant, trunk) = (a.assistant().await, a.trunk(Route::Sandbox).await);
    let request = a.request(&assistant, &trunk, "0903");
    let call = a.engine.place(&a.account, request).await.unwrap();
    let (room, identity) = (call.room_name(), call.order.participant_identity());
    a.status(room, Status::InProgress).await;
    a.lose_signs_of_life();
    let call = b.finished(room).await;
    assert_eq!(call.termination.unwrap().outcome, Outcome::Interrupted, "its leg was in the other");
    a.view.heal();
    sleep(15).await;
    assert_eq!(a.sandbox.look(room, &identity).await.unwrap(), LegLook::Absent);
    assert_eq!(b.sent(), 1);
    a.engine.idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_to_its_end_while_its_store_does_not() {
    let cluster = Cluster::default();
    let a = cluster.node().await;
    let call = a.answered(Route::Twilio).await;
    let room = call.room_name();
    a.cut_off();
    sleep(60).await;
    assert!(a.script.count("hang_up") >= 1, "no agent came: nobody listens to silence");
    assert_eq!(a.sent(), 0);
    a.view.heal();
    let end = a.finished(room).await.termination.unwrap();
    assert_eq!(end.outcome, Outcome::Completed);
    assert_eq!(a.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_processes_with_one_id_are_noticed_and_the_later_one_goes_on() {
    let cluster = Cluster::default();
    let node = NodeId::random();
    cluster.world.script.agent.store(true, Ordering::SeqCst);
    let first = cluster.node_with(node.clone(), Policy::default()).await;
    let call = first.answered(Route::Twilio).await;
    sleep(1).await;
    let second = cluster.node_with(node, Policy::default()).await;
    sleep(6).await;
    let ready = first.engine.ready().await;
    let (_, check) = ready.iter().find(|(name, _)| *name == "engine").unwrap();
    let why = check.as_ref().unwrap_err().to_string();
    assert!(why.contains("node.id"), "{why}");
    assert!(second.engine.ready().await.iter().all(|(_, check)| check.is_ok()));
    let trunk = first.trunk(Route::Sandbox).await;
    let request = first.request(&first.assistant().await, &trunk, "0000");
    assert!(first.engine.place(&first.account, request).await.is_err());
    first.engine.idle().await;
    first.engine.stop().await.unwrap();
    second.engine.hang_up(&second.account, call.room_name()).await.unwrap();
    second.legs(LegLook::Absent);
    let end = second.finished(call.room_name()).await.termination.unwrap();
    assert_eq!(end.end_reason, Some(EndReason::ApiHangup));
    assert_eq!((second.dials(), second.sent()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_pace_of_a_trunk_holds_across_nodes_and_their_deaths() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let (assistant, trunk) = (a.assistant().await, a.trunk(Route::Twilio).await);
    let mut rooms = Vec::new();
    for node in [&a, &b, &a, &b, &a, &b] {
        let mut request = node.request(&assistant, &trunk, "0000");
        request.respond_async = true;
        let call = node.engine.place(&node.account, request).await.unwrap();
        rooms.push(call.room_name().clone());
    }
    a.cut_off();
    let mut times = Vec::new();
    for room in &rooms {
        let call =
            b.until(room, |call| call.status() >= Status::Dialing || call.ended_at.is_some());
        times.push(call.await.started_at.unwrap());
    }
    times.sort();
    let spread = times.windows(2).all(|pair| (pair[1] - pair[0]).num_milliseconds() >= 990);
    assert!(spread, "{times:?}");
    assert_eq!(b.dials(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_trunk_carries_only_so_many_calls_on_all_nodes_together() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let trunk = a
        .trunk_with(Route::Twilio, |trunk| {
            trunk.max_concurrent_calls = Some(2);
            trunk.calls_per_second = Some(100.0);
        })
        .await;
    let assistant = a.assistant().await;
    let place = |node: &Member| {
        let request = node.request(&assistant, &trunk, "0000");
        let (engine, account) = (node.engine.clone(), node.account.clone());
        async move { engine.place(&account, request).await }
    };
    let first = place(&a).await.unwrap();
    place(&b).await.unwrap();
    for node in [&a, &b] {
        let refused = place(node).await.unwrap_err();
        assert!(matches!(refused, EngineError::TooMany { .. }), "{refused}");
    }
    a.cut_off();
    b.legs(LegLook::Absent);
    b.status(first.room_name(), Status::Ended).await;
    b.legs(LegLook::Present(Vec::new()));
    place(&b).await.unwrap();
}

fn waits_for(call: &outdial_domain::Call, node: &Rig) -> bool {
    let node = node.engine.node().to_string();
    call.recording.reason().is_some_and(|reason| reason.contains(&node))
}

#[tokio::test(start_paused = true)]
async fn a_recording_waits_for_the_node_that_has_it_and_the_webhook_does_not() {
    let (cluster, a, b) = Cluster::of_two().await;
    let (room, _gate) = being_kept(&a).await;
    a.cut_off();
    let call = b.until(&room, |call| call.webhook == WebhookState::Delivered).await;
    assert!(waits_for(&call, &a), "{:?}", call.recording);
    assert_eq!((b.sent(), b.tape.count("keep")), (1, 0));
    // Restarted, with what it has on its disk.
    let node = a.engine.node().clone();
    sleep(600).await;
    let again = cluster.node_with(node, Policy::default()).await;
    again.tape.captured.lock().unwrap().push(room.clone());
    let call = again.until(&room, |call| !call.recording.is_pending()).await;
    assert_eq!(call.recording.available().map(|kept| kept.gaps.clone()), Some(None));
    let kept: Recording = call.recording.available().unwrap().clone();
    assert_eq!(kept.bytes, 4711);
    assert_eq!((again.tape.count("keep"), again.tape.count("done"), b.sent()), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lives_is_given_the_recording_that_it_has() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let call = a.recorded().await;
    let room = call.room_name();
    a.cut_off();
    // Without an observer here nothing more is captured.
    b.until(room, |call| b.owns(call)).await;
    a.view.heal();
    sleep(60).await;
    let at = b.clock.now();
    b.engine.hint(room, vec![Hint::Ended { at, end: LegEnd::CalleeHangup }]).await.unwrap();
    let call = b.until(room, |call| !call.recording.is_pending()).await;
    let recording = call.recording.available().unwrap();
    assert!(recording.gaps.as_ref().unwrap().contains("several nodes"), "{recording:?}");
    assert_eq!(call.captured_by, [a.engine.node().clone(), b.engine.node().clone()]);
    assert_eq!((a.tape.count("keep"), b.tape.count("keep"), b.sent()), (0, 1, 1));
    // The other part is of no use any more.
    sleep(3700).await;
    assert_eq!(a.tape.captured.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_recording_whose_node_stays_away_is_lost() {
    let cluster = Cluster::default();
    cluster.world.script.agent.store(true, Ordering::SeqCst);
    let (lease, claim_interval) = (Duration::from_secs(300), Duration::from_secs(30));
    let policy = || Policy { lease, claim_interval, ..Policy::default() };
    let a = cluster.node_with(NodeId::random(), policy()).await;
    let b = cluster.node_with(NodeId::random(), policy()).await;
    let (room, _gate) = being_kept(&a).await;
    a.cut_off();
    sleep(24 * 3600).await;
    let call = b.until(&room, |call| !call.recording.is_pending()).await;
    let RecordingState::Lost { reason } = &call.recording else { panic!("{call:?}") };
    assert!(reason.contains(&a.engine.node().to_string()), "{reason}");
    let waited = b.clock.now() - call.ended_at.unwrap();
    assert!((24..25).contains(&waited.num_hours()), "{waited}");
    assert_eq!(b.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_erased_elsewhere_is_deleted_here_too() {
    let (cluster, a, b) = Cluster::of_two().await;
    let (room, _gate) = being_kept(&a).await;
    a.cut_off();
    b.until(&room, |call| call.webhook == WebhookState::Delivered && call.owner.is_none()).await;
    assert!(b.engine.erase(&b.account, &room).await.unwrap());
    let again = cluster.node_with(a.engine.node().clone(), Policy::default()).await;
    again.tape.captured.lock().unwrap().push(room.clone());
    sleep(3700).await;
    assert_eq!(again.tape.captured.lock().unwrap().len(), 0);
    assert_eq!(again.tape.count("delete"), 1);
}
