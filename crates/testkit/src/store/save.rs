//! Compare-and-set.

use std::sync::Arc;

use outdial_domain::ports::Store;
use outdial_domain::{ErrorKind, NodeId, TrunkId};
use serde_json::json;

use super::{account, assert_kind, at_once, end, stored};
use crate::sample;

/// A save replaces the call, and its version is one higher.
pub async fn a_save_raises_the_version(store: Arc<dyn Store>) {
    let mut call = stored(&store, &account(), |_| {}).await;
    for version in 2..5 {
        call.dispatch_id = Some(format!("AD_{version}"));
        store.save(&mut call).await.unwrap();
        assert_eq!(call.version, version);
        assert_eq!(store.get(call.room_name()).await.unwrap(), Some(call.clone()));
    }
}

/// `Conflict` when the version is another: both the stored call and the caller's are unchanged.
pub async fn a_save_of_an_old_version_conflicts(store: Arc<dyn Store>) {
    let mut call = stored(&store, &account(), |_| {}).await;
    let mut old = call.clone();
    call.dispatch_id = Some("AD_new".into());
    store.save(&mut call).await.unwrap();
    old.dispatch_id = Some("AD_old".into());
    let before = old.clone();
    assert_kind(store.save(&mut old).await, ErrorKind::Conflict);
    assert_eq!(old, before);
    assert_eq!(store.get(call.room_name()).await.unwrap(), Some(call));
}

/// `Conflict` when the call is gone; a save never makes one.
pub async fn a_save_of_a_missing_call_conflicts(store: Arc<dyn Store>) {
    for version in [0, 1] {
        let mut call = sample::call(&account());
        call.version = version;
        assert_kind(store.save(&mut call).await, ErrorKind::Conflict);
        assert_eq!(call.version, version);
        assert_eq!(store.get(call.room_name()).await.unwrap(), None);
    }
}

/// Of 16 concurrent saves of one version one wins, and its call is the stored one.
pub async fn of_concurrent_saves_of_one_version_one_wins(store: Arc<dyn Store>) {
    let call = stored(&store, &account(), |_| {}).await;
    let results = at_once(0..16, |number| {
        let (store, mut call) = (Arc::clone(&store), call.clone());
        call.dispatch_id = Some(format!("AD_{number}"));
        async move { store.save(&mut call).await.map(|()| call) }
    })
    .await;
    let (mut saved, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(saved.len(), 1);
    let saved = saved.remove(0).unwrap();
    assert_eq!(saved.version, 2);
    assert_eq!(store.get(call.room_name()).await.unwrap(), Some(saved));
    for result in refused {
        assert_kind(result, ErrorKind::Conflict);
    }
}

/// `Busy` when the save would make the call occupy a full trunk; it can be saved once a channel is
/// free. An old version is a conflict first.
pub async fn a_save_onto_a_full_trunk_is_busy(store: Arc<dyn Store>) {
    let (account, trunk) = (account(), TrunkId::random());
    let mut running = sample::started_call(&account, &trunk, 1);
    store.insert(&mut running, None).await.unwrap();
    let mut waiting = sample::started_call(&account, &trunk, 1);
    waiting.started_at = None;
    store.insert(&mut waiting, None).await.unwrap();
    let queued = waiting.clone();

    waiting.started_at = Some(sample::at(1.0));
    let before = waiting.clone();
    assert_kind(store.save(&mut waiting).await, ErrorKind::Busy);
    assert_eq!(waiting, before);
    assert_eq!(store.get(queued.room_name()).await.unwrap(), Some(queued));
    let mut old = waiting.clone();
    old.version = 7;
    assert_kind(store.save(&mut old).await, ErrorKind::Conflict);

    end(&mut running);
    store.save(&mut running).await.unwrap();
    store.save(&mut waiting).await.unwrap();
    assert_eq!(waiting.version, 2);
}

/// A call that holds a channel already is not counted against itself.
pub async fn a_call_on_a_full_trunk_can_be_saved(store: Arc<dyn Store>) {
    let mut call = sample::started_call(&account(), &TrunkId::random(), 1);
    store.insert(&mut call, None).await.unwrap();
    call.facts.answered_at = Some(sample::at(3.0));
    store.save(&mut call).await.unwrap();
}

/// Of 32 waiting calls that start at once on a trunk with 5 channels exactly 5 can.
pub async fn concurrent_saves_keep_to_the_limit(store: Arc<dyn Store>) {
    let (account, trunk) = (account(), TrunkId::random());
    let mut waiting = Vec::new();
    for _ in 0..32 {
        let mut call = sample::started_call(&account, &trunk, 5);
        call.started_at = None;
        store.insert(&mut call, None).await.unwrap();
        waiting.push(call);
    }
    let results = at_once(waiting, |mut call| {
        let store = Arc::clone(&store);
        call.started_at = Some(sample::at(1.0));
        async move { store.save(&mut call).await }
    })
    .await;
    let (started, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(started.len(), 5);
    for result in refused {
        assert_kind(result, ErrorKind::Busy);
    }
}

/// What a newer program has added to a call survives reading, saving, claiming and releasing.
pub async fn fields_of_a_newer_program_stay(store: Arc<dyn Store>) {
    let future = json!({"nested": [1, {"two": null}]});
    let mut call = stored(&store, &account(), |call| {
        call.unknown.insert("from_the_future".into(), future.clone());
    })
    .await;
    call.dispatch_id = Some("AD_1".into());
    store.save(&mut call).await.unwrap();
    let node = NodeId::random();
    let claimed = store.claim_due(&node, sample::START, 1).await.unwrap();
    assert_eq!(claimed[0].unknown["from_the_future"], future);
    store.release(&node, sample::START).await.unwrap();
    let read = store.get(call.room_name()).await.unwrap().unwrap();
    assert_eq!(read.unknown, call.unknown);
}

/// Owner and due time are part of what a save replaces.
pub async fn a_save_gives_up_and_schedules(store: Arc<dyn Store>) {
    let node = NodeId::random();
    let mut call = stored(&store, &account(), |call| call.owner = Some(node.clone())).await;
    call.owner = None;
    call.due_at = Some(sample::at(30.0));
    store.save(&mut call).await.unwrap();
    let early = store.claim_due(&node, sample::at(29.999), 9).await.unwrap();
    assert_eq!(early, []);
    let claimed = store.claim_due(&node, sample::at(30.0), 9).await.unwrap();
    assert_eq!(claimed.len(), 1);
}
