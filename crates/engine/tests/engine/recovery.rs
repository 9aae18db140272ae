//! What a node finds when it starts, and what it leaves to others.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outdial_domain::ports::{CallFilter, Clock, LegLook, PageRequest, Store};
use outdial_domain::{Call, EndReason, ErrorKind, Hint, LegEnd, NodeId, Outcome, Route, Status};
use outdial_engine::{EngineError, Policy};
use outdial_testkit::memory::MemoryStore;
use outdial_testkit::sample;

use crate::rig::Rig;

/// A call as a node that died leaves it behind: owned, in a status of its life.
async fn left_behind(rig: &Rig, node: &NodeId, edit: impl Fn(&mut Call)) -> Call {
    let mut call = rig.place(Route::Twilio, "0000").await;
    rig.engine.stop().await.unwrap();
    call = rig.store.get(call.room_name()).await.unwrap().unwrap();
    call.owner = Some(node.clone());
    call.facts = Default::default();
    edit(&mut call);
    rig.store.save(&mut call).await.unwrap();
    call
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_leg_is_gone_ends_as_interrupted_without_a_second_invite() {
    for dialed in [false, true] {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let node = NodeId::random();
        let before = Rig::on(store.clone(), node.clone(), Policy::default()).await;
        let now = before.clock.now();
        let call = left_behind(&before, &node, |call| {
            call.facts.dialed_at = dialed.then_some(now);
        })
        .await;

        let after = Rig::on(store, node, Policy::default()).await;
        *after.script.leg.lock().unwrap() = Some(LegLook::Absent);
        let call = after.finished(call.room_name()).await;
        assert_eq!(call.termination.unwrap().outcome, Outcome::Interrupted);
        assert_eq!(after.script.count("dial"), 0);
        assert_eq!(after.script.count("delete"), 1, "the room is deleted");
        assert_eq!(after.sender.bodies().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_goes_on_is_taken_up_again() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let node = NodeId::random();
    let before = Rig::on(store.clone(), node.clone(), Policy::default()).await;
    let answered = before.clock.now();
    let call = left_behind(&before, &node, |call| {
        call.facts.dialed_at = Some(answered);
        call.facts.answered_at = Some(answered);
        call.facts.agent_joined_at = Some(answered);
    })
    .await;

    let after = Rig::on(store, node, Policy::default()).await;
    after.script.agent.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let room = call.room_name();
    assert_eq!(after.store.get(room).await.unwrap().unwrap().status(), Status::InProgress);
    let at = after.clock.now();
    after.engine.hint(room, vec![Hint::Ended { at, end: LegEnd::CalleeHangup }]).await.unwrap();
    let end = after.finished(room).await.termination.unwrap();
    assert_eq!((end.outcome, end.end_reason), (Outcome::Completed, Some(EndReason::CalleeHangup)));
    assert_eq!(after.script.count("dial"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_a_restart_is_seen_at_once() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let node = NodeId::random();
    let before = Rig::on(store.clone(), node.clone(), Policy::default()).await;
    let dialed = before.clock.now();
    let call = left_behind(&before, &node, |call| call.facts.dialed_at = Some(dialed)).await;

    let after = Rig::on(store, node, Policy::default()).await;
    after.script.agent.store(true, Ordering::SeqCst);
    let ringing = vec![Hint::Ringing { at: after.clock.now() }];
    *after.script.leg.lock().unwrap() = Some(LegLook::Present(ringing));
    let room = call.room_name();
    after.status(room, Status::Ringing).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let at = after.clock.now();
    *after.script.leg.lock().unwrap() = Some(LegLook::Present(vec![Hint::Answered { at }]));
    after.status(room, Status::InProgress).await;
    let late = after.clock.now() - at;
    assert!(late.num_milliseconds() <= 2000, "{late}");
}

#[tokio::test(start_paused = true)]
async fn a_decision_to_hang_up_survives() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let node = NodeId::random();
    let before = Rig::on(store.clone(), node.clone(), Policy::default()).await;
    let now = before.clock.now();
    let call = left_behind(&before, &node, |call| {
        call.facts.dialed_at = Some(now);
        call.facts.answered_at = Some(now);
        call.decide_hang_up(now, outdial_domain::HangUpReason::Api);
    })
    .await;
    let after = Rig::on(store, node, Policy::default()).await;
    *after.script.leg.lock().unwrap() = Some(LegLook::Absent);
    let end = after.finished(call.room_name()).await.termination.unwrap();
    assert_eq!(end.end_reason, Some(EndReason::ApiHangup));
    assert_eq!(after.script.count("hang_up"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_queued_call_is_started_by_the_next_run_and_a_backlog_does_not_burst() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let node = NodeId::random();
    let before = Rig::on(store.clone(), node.clone(), Policy::default()).await;
    let (assistant, trunk) = (before.assistant().await, before.trunk(Route::Twilio).await);
    let mut rooms = Vec::new();
    for _ in 0..4 {
        let mut request = before.request(&assistant, &trunk, "0000");
        request.respond_async = true;
        rooms
            .push(before.engine.place(&before.account, request).await.unwrap().room_name().clone());
    }
    before.engine.stop().await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;

    let after = Rig::on(store, node, Policy::default()).await;
    after.script.agent.store(true, Ordering::SeqCst);
    *after.script.leg.lock().unwrap() = Some(LegLook::Present(Vec::new()));
    let mut times = Vec::new();
    for room in &rooms[1..] {
        times.push(after.status(room, Status::Dialing).await.started_at.unwrap());
    }
    times.sort();
    let spread = times.windows(2).all(|pair| (pair[1] - pair[0]).num_milliseconds() >= 990);
    assert!(spread, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn another_node_takes_over_when_the_heartbeat_has_run_out() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let dead = NodeId::random();
    let before = Rig::on(store.clone(), dead.clone(), Policy::default()).await;
    let now = before.clock.now();
    let call = left_behind(&before, &dead, |call| call.facts.dialed_at = Some(now)).await;
    store.heartbeat(&sample::node(&dead, now + Duration::from_secs(30))).await.unwrap();

    let after = Rig::on(store, NodeId::random(), Policy::default()).await;
    *after.script.leg.lock().unwrap() = Some(LegLook::Absent);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let stored = after.store.get(call.room_name()).await.unwrap().unwrap();
    assert_eq!(stored.owner, Some(dead), "its owner may still live");
    let call = after.finished(call.room_name()).await;
    assert_eq!(call.termination.unwrap().outcome, Outcome::Interrupted);
    assert_eq!(after.sender.bodies().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_accepts_no_call_and_loses_none_that_runs() {
    let memory = Arc::new(MemoryStore::default());
    let rig = Rig::on(memory.clone(), NodeId::random(), Policy::default()).await;
    let (assistant, trunk) = (rig.assistant().await, rig.trunk(Route::Sandbox).await);
    let request = rig.request(&assistant, &trunk, "0000");
    let call = rig.engine.place(&rig.account, request.clone()).await.unwrap();
    let room = call.room_name();

    memory.fail_with(Some(ErrorKind::Full));
    let refused = rig.engine.place(&rig.account, request).await.unwrap_err();
    assert!(matches!(refused, EngineError::Store(error) if error.kind == ErrorKind::Full));
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(rig.sender.bodies().is_empty(), "nothing is told that is not saved");

    memory.fail_with(None);
    let end = rig.finished(room).await.termination.unwrap();
    assert_eq!((end.outcome, end.end_reason), (Outcome::Completed, Some(EndReason::CalleeHangup)));
    let lines = rig.engine.transcript(&rig.account, room).await.unwrap();
    assert!(lines.len() >= 3, "{lines:?}");
    assert_eq!(rig.sender.bodies().len(), 1);
    let (filter, page) =
        (CallFilter::of(rig.account.clone()), PageRequest { limit: 10, after: None });
    assert_eq!(rig.engine.calls(&filter, &page).await.unwrap().items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_that_cannot_be_saved_is_not_acknowledged_but_done() {
    let memory = Arc::new(MemoryStore::default());
    let rig = Rig::on(memory.clone(), NodeId::random(), Policy::default()).await;
    let call = rig.place(Route::Sandbox, "0000").await;
    let room = rig.status(call.room_name(), Status::InProgress).await.room_name().clone();
    memory.fail_writes(Some(ErrorKind::Full));
    let refused = rig.engine.hang_up(&rig.account, &room).await.unwrap_err();
    assert!(matches!(refused, EngineError::Store(error) if error.kind == ErrorKind::Full));
    memory.fail_writes(None);
    let end = rig.finished(&room).await.termination.unwrap();
    assert_eq!(end.end_reason, Some(EndReason::ApiHangup));
}
