//! Nodes that live, die and give up.

use std::collections::HashSet;
use std::sync::Arc;

use outdial_domain::ports::Store;
use outdial_domain::{ErrorKind, NodeId};

use super::{account, assert_kind, at_once, end, stored};
use crate::sample;

/// The calls of a node whose heartbeat ran out before `now` are claimed, due or not.
pub async fn calls_of_a_dead_node_are_claimed(store: Arc<dyn Store>) {
    let account = account();
    let (dead, heir) = (NodeId::random(), NodeId::random());
    store.heartbeat(&sample::node(&dead, sample::at(30.0))).await.unwrap();
    for due in [None, Some(sample::at(0.0)), Some(sample::at(1e6))] {
        stored(&store, &account, |call| {
            call.owner = Some(dead.clone());
            call.due_at = due;
        })
        .await;
    }
    let early = store.claim_due(&heir, sample::at(30.0), 9).await.unwrap();
    assert_eq!(early, [], "the heartbeat holds up to its last moment");
    let claimed = store.claim_due(&heir, sample::at(30.001), 9).await.unwrap();
    assert_eq!(claimed.len(), 3);
    for call in claimed {
        assert_eq!(call.owner, Some(heir.clone()));
        assert_eq!(call.version, 2);
    }
}

/// An owner that was never heard of is dead.
pub async fn calls_of_a_node_that_never_lived_are_claimed(store: Arc<dyn Store>) {
    stored(&store, &account(), |call| call.owner = Some(NodeId::random())).await;
    let claimed = store.claim_due(&NodeId::random(), sample::START, 9).await;
    assert_eq!(claimed.unwrap().len(), 1);
}

/// The calls of a node whose heartbeat is fresh are left, also when they are due, and as long as the
/// heartbeat is renewed.
pub async fn calls_of_a_living_node_are_left(store: Arc<dyn Store>) {
    let (owner, other) = (NodeId::random(), NodeId::random());
    stored(&store, &account(), |call| call.owner = Some(owner.clone())).await;
    for seconds in [0.0, 20.0, 40.0] {
        let until = sample::at(seconds + 30.0);
        store.heartbeat(&sample::node(&owner, until)).await.unwrap();
        let now = sample::at(seconds + 19.0);
        assert_eq!(store.claim_due(&other, now, 9).await.unwrap(), []);
    }
}

/// What a node owns it is working on: its own late heartbeat does not hand it the same call twice.
pub async fn a_node_does_not_claim_its_own(store: Arc<dyn Store>) {
    let node = NodeId::random();
    stored(&store, &account(), |call| call.owner = Some(node.clone())).await;
    store.heartbeat(&sample::node(&node, sample::at(1.0))).await.unwrap();
    let claimed = store.claim_due(&node, sample::at(60.0), 9).await.unwrap();
    assert_eq!(claimed, []);
}

/// With a heartbeat of 30 s, renewed every 10 s, a node whose clock is 5 s off takes nothing away;
/// when the heartbeats stop, every node takes over.
pub async fn clocks_may_differ_by_five_seconds(store: Arc<dyn Store>) {
    let (owner, other) = (NodeId::random(), NodeId::random());
    stored(&store, &account(), |call| call.owner = Some(owner.clone())).await;
    for beat in 0..6 {
        let sent = f64::from(beat) * 10.0;
        let until = sample::at(sent + 30.0);
        store.heartbeat(&sample::node(&owner, until)).await.unwrap();
        for skewed in [sent - 5.0, sent + 5.0, sent + 10.0 + 5.0] {
            let claimed = store.claim_due(&other, sample::at(skewed), 9).await.unwrap();
            assert_eq!(claimed, [], "taken at {skewed} s, owner's clock at {sent} s");
        }
    }
    let late = store.claim_due(&other, sample::at(80.0 + 5.0 + 1.0), 9).await;
    assert_eq!(late.unwrap().len(), 1);
}

/// Several nodes inherit from a dead one: none of its calls twice, none lost.
pub async fn concurrent_claims_of_orphans_take_nothing_twice(store: Arc<dyn Store>) {
    let account = account();
    let dead = NodeId::random();
    for _ in 0..100 {
        stored(&store, &account, |call| call.owner = Some(dead.clone())).await;
    }
    let heirs: Vec<_> = (0..8).map(|_| NodeId::random()).collect();
    for heir in &heirs {
        store.heartbeat(&sample::node(heir, sample::at(30.0))).await.unwrap();
    }
    let claimed = at_once(heirs, |heir| {
        let store = Arc::clone(&store);
        async move { store.claim_due(&heir, sample::START, 100).await.unwrap() }
    })
    .await;
    let claimed: Vec<_> = claimed.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 100);
    let rooms: HashSet<_> = claimed.iter().map(|call| call.room_name()).collect();
    assert_eq!(rooms.len(), 100);
}

/// After another node's claim the late owner's save conflicts.
pub async fn a_late_owner_cannot_save(store: Arc<dyn Store>) {
    stored(&store, &account(), |_| {}).await;
    let (late, heir) = (NodeId::random(), NodeId::random());
    store.heartbeat(&sample::node(&late, sample::at(10.0))).await.unwrap();
    let mut held = store.claim_due(&late, sample::START, 1).await.unwrap().remove(0);
    let mut taken = store.claim_due(&heir, sample::at(11.0), 1).await.unwrap().remove(0);
    held.dispatch_id = Some("AD_late".into());
    assert_kind(store.save(&mut held).await, ErrorKind::Conflict);
    store.save(&mut taken).await.unwrap();
    assert_eq!(store.get(taken.room_name()).await.unwrap(), Some(taken));
}

/// A release gives up all calls of the node, makes them due at `now` and counts them.
pub async fn a_release_makes_own_calls_due(store: Arc<dyn Store>) {
    let account = account();
    let node = NodeId::random();
    store.heartbeat(&sample::node(&node, sample::at(1e6))).await.unwrap();
    let mut rooms = HashSet::new();
    for due in [None, Some(sample::at(0.0)), Some(sample::at(1e6))] {
        let call = stored(&store, &account, |call| {
            call.owner = Some(node.clone());
            call.due_at = due;
            call.started_at = Some(sample::START);
        });
        rooms.insert(call.await.room_name().clone());
    }
    let now = sample::at(20.0);
    assert_eq!(store.release(&node, now).await.unwrap(), 3);
    assert_eq!(store.release(&node, now).await.unwrap(), 0, "nothing is left");
    for room in &rooms {
        let call = store.get(room).await.unwrap().unwrap();
        assert_eq!((call.owner, call.due_at), (None, Some(now)));
    }
    let claimed = store.claim_due(&node, now, 9).await.unwrap();
    let claimed: HashSet<_> = claimed.iter().map(|call| call.room_name().clone()).collect();
    assert_eq!(claimed, rooms);
}

/// A release does not touch what others own, nor what nobody owns.
pub async fn a_release_leaves_other_nodes_alone(store: Arc<dyn Store>) {
    let account = account();
    let other = NodeId::random();
    let theirs = stored(&store, &account, |call| call.owner = Some(other)).await;
    let free = stored(&store, &account, |call| call.due_at = None).await;
    let released = store.release(&NodeId::random(), sample::at(1.0)).await;
    assert_eq!(released.unwrap(), 0);
    for call in [theirs, free] {
        assert_eq!(store.get(call.room_name()).await.unwrap(), Some(call));
    }
}

/// A finished call without a due time has no duty left: it is given up, but not due again.
pub async fn a_release_leaves_finished_calls_without_a_duty(store: Arc<dyn Store>) {
    let account = account();
    let node = NodeId::random();
    let done = stored(&store, &account, |call| {
        end(call);
        call.owner = Some(node.clone());
        call.due_at = None;
    })
    .await;
    let webhook = stored(&store, &account, |call| {
        end(call);
        call.owner = Some(node.clone());
        call.due_at = Some(sample::at(1e6));
    })
    .await;
    store.release(&node, sample::at(70.0)).await.unwrap();
    let done = store.get(done.room_name()).await.unwrap().unwrap();
    assert_eq!((done.owner, done.due_at), (None, None));
    let webhook = store.get(webhook.room_name()).await.unwrap().unwrap();
    assert_eq!(webhook.due_at, Some(sample::at(70.0)));
}

/// A release is a write to the call: who has read it before cannot save it after.
pub async fn a_save_from_before_a_release_conflicts(store: Arc<dyn Store>) {
    let node = NodeId::random();
    let mut call = stored(&store, &account(), |call| call.owner = Some(node.clone())).await;
    store.release(&node, sample::START).await.unwrap();
    assert_kind(store.save(&mut call).await, ErrorKind::Conflict);
}
