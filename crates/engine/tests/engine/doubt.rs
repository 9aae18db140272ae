//! A store that is away, and writes of which nobody knows whether they happened.

use std::time::Duration;

use futures_util::FutureExt;
use outdial_domain::ports::{CallFilter, Calls, Clock, LegLook, PageRequest};
use outdial_domain::{
    Call, ErrorKind, NodeId, Outcome, Result, Route, Status, TranscriptStatus, WebhookState,
};
use outdial_domain::{Hint, LegEnd};
use outdial_engine::{Engine, EngineError, Parts, Policy, Vault};
use outdial_testkit::memory::{Failure, MemoryStore};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cluster::{Cluster, Member, sleep};
use crate::rig::Sender;

async fn all_calls(node: &Member) -> Vec<Call> {
    let (filter, page) =
        (CallFilter::of(node.account.clone()), PageRequest { limit: 100, after: None });
    node.engine.calls(&filter, &page).await.unwrap().items
}

/// The first time that this operation is asked for, its answer is lost.
fn lose_one(node: &Member, operation: &'static str) {
    let mut lost = false;
    node.view.fail_where(move |asked| {
        let lose = asked == operation && !lost;
        lost |= lose;
        lose.then_some(Failure::LostAnswer)
    });
}

#[tokio::test(start_paused = true)]
async fn an_engine_starts_while_its_store_is_down_and_works_when_that_comes() {
    let cluster = Cluster::default();
    let view = Arc::new(cluster.memory.view());
    view.fail_with(Some(ErrorKind::Unavailable));
    let world = cluster.world.clone();
    let mut rig =
        crate::rig::Rig::of(&world, view.clone(), NodeId::random(), Policy::default()).await;
    sleep(60).await;
    let ready = rig.engine.ready().await;
    let why: Vec<_> = ready.iter().filter_map(|(_, check)| check.as_ref().err()).collect();
    assert!(why.iter().any(|error| error.message.contains("waiting for the store")), "{why:?}");
    view.heal();
    let account = cluster.memory.view();
    rig.account =
        outdial_domain::ports::Directory::account_named(&account, "acme", rig.clock.now())
            .await
            .unwrap()
            .account_id;
    let (assistant, trunk) = (rig.assistant().await, rig.trunk(Route::Sandbox).await);
    let request = rig.request(&assistant, &trunk, "0000");
    let early = rig.engine.place(&rig.account, request.clone()).await.unwrap_err();
    assert!(matches!(early, EngineError::Store(error) if error.kind == ErrorKind::Unavailable));
    sleep(2).await;
    assert!(rig.engine.ready().await.iter().all(|(_, check)| check.is_ok()));
    let call = rig.engine.place(&rig.account, request).await.unwrap();
    assert_eq!(rig.finished(call.room_name()).await.webhook, WebhookState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn an_engine_does_not_start_on_a_store_that_time_will_not_mend() {
    for kind in [ErrorKind::Refused, ErrorKind::Corrupt] {
        let store = Arc::new(MemoryStore::new());
        store.fail_with(Some(kind));
        let sender = Arc::new(Sender::default());
        let parts = Parts::new(store, sender, Vault::new([9; 32]));
        let error = Engine::start(parts).await.err().unwrap();
        assert_eq!(error.kind, kind);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_which_nobody_knew_whether_it_was_stored_is_not_dialled() {
    for respond_async in [false, true] {
        let (_cluster, a, _b) = Cluster::of_two().await;
        let (assistant, trunk) = (a.assistant().await, a.trunk(Route::Twilio).await);
        let mut request = a.request(&assistant, &trunk, "0000");
        request.respond_async = respond_async;
        lose_one(&a, "memory.insert_call");
        let error = a.engine.place(&a.account, request).await.unwrap_err();
        assert!(matches!(error, EngineError::Store(error) if error.kind == ErrorKind::Unavailable));
        let calls = all_calls(&a).await;
        let call = a.finished(calls[0].room_name()).await;
        let took = (a.clock.now() - call.order.created_at).num_seconds();
        assert!(took < 15, "{took}");
        assert_eq!(call.termination.unwrap().outcome, Outcome::Interrupted);
        assert_eq!((a.dials(), a.sent(), all_calls(&a).await.len()), (0, 1, 1));
    }
}

/// The first request was told that it failed; the second, through whichever node, gets its call.
#[tokio::test(start_paused = true)]
async fn a_repeated_request_gets_the_call_that_was_stored_after_all() {
    for (respond_async, through_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let (_cluster, a, b) = Cluster::of_two().await;
        let (assistant, trunk) = (a.assistant().await, a.trunk(Route::Twilio).await);
        let mut request = a.request(&assistant, &trunk, "0000");
        request.respond_async = respond_async;
        request.idempotency = Some(("once".into(), "body".into()));
        lose_one(&a, "memory.insert_call");
        let error = a.engine.place(&a.account, request.clone()).await.unwrap_err();
        assert!(matches!(error, EngineError::Store(error) if error.kind == ErrorKind::Unavailable));
        let node = if through_b { &b } else { &a };
        let call = node.engine.place(&a.account, request).await.unwrap();
        let call = a.status(call.room_name(), Status::Dialing).await;
        let took = (a.clock.now() - call.order.created_at).num_seconds();
        assert!(took < 15, "{took}");
        assert_eq!((a.dials(), all_calls(&a).await.len()), (1, 1), "dials of both, calls");
    }
}

/// By then nobody waits for it any more.
#[tokio::test(start_paused = true)]
async fn a_call_in_doubt_for_too_long_is_not_dialled() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let (assistant, trunk) = (a.assistant().await, a.trunk(Route::Twilio).await);
    let mut request = a.request(&assistant, &trunk, "0000");
    request.idempotency = Some(("once".into(), "body".into()));
    a.view.fail_where(|operation| match operation {
        "memory.insert_call" => Some(Failure::LostAnswer),
        "memory.owned" => Some(Failure::Error(ErrorKind::Unavailable)),
        _ => None,
    });
    a.engine.place(&a.account, request).await.unwrap_err();
    sleep(90).await;
    a.view.heal();
    let calls = all_calls(&b).await;
    let call = b.finished(calls[0].room_name()).await;
    assert_eq!(call.termination.unwrap().outcome, Outcome::Interrupted);
    assert_eq!(a.dials(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_insert_was_answered_is_dialled_once_though_all_else_is_in_doubt() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let (assistant, trunk) = (a.assistant().await, a.trunk(Route::Twilio).await);
    for respond_async in [false, true] {
        let mut request = a.request(&assistant, &trunk, "0000");
        request.respond_async = respond_async;
        let mut saves = 0;
        a.view.fail_where(move |operation| {
            let save = operation == "memory.save_call";
            saves += u32::from(save);
            (save && saves <= 3).then_some(Failure::LostAnswer)
        });
        let dials = a.dials();
        let call = a.engine.place(&a.account, request).await.unwrap();
        let call = a.status(call.room_name(), Status::Dialing).await;
        sleep(5).await;
        assert_eq!(a.dials(), dials + 1);
        let at = a.clock.now();
        b.engine
            .hint(call.room_name(), vec![Hint::Ended { at, end: LegEnd::Rejected }])
            .await
            .unwrap();
        let call = b.finished(call.room_name()).await;
        assert!(call.termination.unwrap().outcome != Outcome::Interrupted);
    }
    assert_eq!((a.dials(), a.sent()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn every_save_in_doubt_still_means_one_webhook() {
    let (_cluster, a, b) = Cluster::of_two().await;
    let mut count = 0;
    a.view.fail_where(move |operation| {
        count += 1;
        (operation == "memory.save_call" && count % 2 == 0).then_some(Failure::LostAnswer)
    });
    let mut rooms = Vec::new();
    for _ in 0..10 {
        rooms.push(a.place(Route::Sandbox, "0000").await.room_name().clone());
    }
    for room in &rooms {
        let call = b.finished(room).await;
        assert_eq!(call.termination.unwrap().outcome, Outcome::Completed);
    }
    assert_eq!(b.sent(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_given_up_when_the_store_is_back() {
    for lost in [false, true] {
        let (_cluster, a, _b) = Cluster::of_two().await;
        let call = a.answered(Route::Twilio).await;
        let room = call.room_name();
        let at = a.clock.now();
        a.script.sink().send(Hint::TranscriptEnded { status: TranscriptStatus::Complete }).await;
        a.script.sink().send(Hint::Ended { at, end: LegEnd::CalleeHangup }).await;
        let sent = || a.sent() == 1;
        while !sent() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // What it saves next is that it was sent, and that it leaves.
        if lost {
            a.view.lose_answers(true);
        } else {
            a.view.fail_writes(Some(ErrorKind::Unavailable));
        }
        sleep(5).await;
        a.view.heal();
        let call = a.finished(room).await;
        sleep(2).await;
        assert_eq!((call.webhook, call.owner), (WebhookState::Delivered, None));
        assert_eq!(a.sent(), 1);
        a.engine.idle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_is_taken_up() {
    let cluster = Cluster::default();
    cluster.world.script.agent.store(true, Ordering::SeqCst);
    let a = cluster.node().await;
    a.sender.replies.lock().unwrap().push_back(500);
    let call = a.answered(Route::Twilio).await;
    let room = call.room_name();
    let at = a.clock.now();
    a.script.sink().send(Hint::Ended { at, end: LegEnd::CalleeHangup }).await;
    // Given up until the webhook is to be tried again.
    a.until(room, |call| call.status() == Status::Ended && call.owner.is_none()).await;
    let mut claims = 0;
    let memory = cluster.memory.view();
    let waiting = room.clone();
    a.view.fail_where(move |operation| {
        let due = || {
            let call = memory.get(&waiting).now_or_never().unwrap().unwrap().unwrap();
            call.due_at.is_some_and(|due| due <= a_now(&call))
        };
        let lose = operation == "memory.claim_calls" && claims == 0 && due();
        claims += u32::from(lose);
        lose.then_some(Failure::LostAnswer)
    });
    let begun = a.clock.now();
    // It is claimed without anybody noticing, and found.
    a.until(room, |call| call.webhook == WebhookState::Delivered).await;
    let took = (a.clock.now() - begun).num_seconds();
    assert!(took < 100, "{took}");
    assert_eq!(a.sent(), 2);
}

fn a_now(_: &Call) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::<chrono::Utc>::MAX_UTC
}

#[tokio::test(start_paused = true)]
async fn a_change_between_leaving_and_the_last_save_is_not_lost() {
    let (cluster, a, b) = Cluster::of_two().await;
    let call = a.answered(Route::Twilio).await;
    let room = call.room_name().clone();
    let (memory, waiting) = (cluster.memory.view(), room.clone());
    let mut done = false;
    // Right before the save with which it gives the call up, another node asks for the webhook again.
    a.view.fail_where(move |operation| {
        if operation != "memory.save_call" || done {
            return None;
        }
        let mut call = memory.get(&waiting).now_or_never().unwrap().unwrap().unwrap();
        if call.webhook == WebhookState::Delivered {
            done = true;
            let next_at = chrono::DateTime::UNIX_EPOCH;
            call.webhook = WebhookState::Pending { attempts: 0, next_at };
            call.attention = true;
            let saved: Result<()> = memory.save(&mut call).now_or_never().unwrap();
            saved.unwrap();
        }
        None
    });
    let at = a.clock.now();
    a.script.sink().send(Hint::Ended { at, end: LegEnd::CalleeHangup }).await;
    a.until(&room, |_| a.sent() == 2).await;
    let call = b.finished(&room).await;
    assert_eq!((call.webhook, call.owner), (WebhookState::Delivered, None));
    sleep(120).await;
    assert_eq!(b.sent(), 2);
    a.legs(LegLook::Absent);
}

#[tokio::test(start_paused = true)]
async fn a_change_between_the_insert_and_the_first_step_is_not_lost() {
    let (cluster, a, b) = Cluster::of_two().await;
    let (assistant, trunk) = (a.assistant().await, a.trunk(Route::Twilio).await);
    let mut request = a.request(&assistant, &trunk, "0000");
    request.respond_async = true;
    let (memory, account) = (cluster.memory.view(), a.account.clone());
    let mut done = false;
    // The first save of its worker finds that somebody has hung up already.
    a.view.fail_where(move |operation| {
        if operation == "memory.save_call" && !done {
            done = true;
            let filter = CallFilter::of(account.clone());
            let page = PageRequest { limit: 1, after: None };
            let page = memory.list(&filter, &page).now_or_never().unwrap().unwrap();
            let mut call = page.items[0].clone();
            call.decide_hang_up(call.order.created_at, outdial_domain::HangUpReason::Api);
            call.attention = true;
            memory.save(&mut call).now_or_never().unwrap().unwrap();
        }
        None
    });
    let call = a.engine.place(&a.account, request).await.unwrap();
    let call = b.finished(call.room_name()).await;
    assert_eq!(call.termination.unwrap().outcome, Outcome::Canceled);
    assert_eq!((b.dials(), b.sent()), (0, 1));
}
