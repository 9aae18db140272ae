//! Claiming what is due.

use std::collections::HashSet;
use std::sync::Arc;

use outdial_domain::NodeId;
use outdial_domain::ports::Store;

use super::{account, at_once, stored};
use crate::sample;

/// First those that are due, the longest due first.
pub async fn the_longest_due_is_claimed_first(store: Arc<dyn Store>) {
    let account = account();
    let mut expected = Vec::new();
    for seconds in [3.0, 1.0, 5.0, 0.001, 4.0, 2.0] {
        let due = sample::at(seconds);
        let call = stored(&store, &account, |call| call.due_at = Some(due)).await;
        expected.push((due, call.room_name().clone()));
    }
    expected.sort();
    let node = NodeId::random();
    let claimed = store.claim_due(&node, sample::at(5.0), 100).await.unwrap();
    let claimed: Vec<_> =
        claimed.iter().map(|call| (call.due_at.unwrap(), call.room_name().clone())).collect();
    assert_eq!(claimed, expected);
}

/// A call without a due time, or with one to come, is not claimed.
pub async fn calls_that_are_not_due_are_left(store: Arc<dyn Store>) {
    let account = account();
    for due in [None, Some(sample::at(10.001)), Some(sample::at(1e6))] {
        stored(&store, &account, |call| call.due_at = due).await;
    }
    let due = stored(&store, &account, |call| call.due_at = Some(sample::at(10.0))).await;
    let claimed = store.claim_due(&NodeId::random(), sample::at(10.0), 100).await;
    let claimed = claimed.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].room_name(), due.room_name());
}

/// Each claim sets the owner and raises the version, and changes nothing else.
pub async fn a_claim_sets_the_owner_and_raises_the_version(store: Arc<dyn Store>) {
    let mut call = stored(&store, &account(), |_| {}).await;
    let node = NodeId::random();
    let claimed = store.claim_due(&node, sample::START, 5).await.unwrap();
    call.owner = Some(node.clone());
    call.version = 2;
    assert_eq!(claimed, [call.clone()]);
    assert_eq!(store.get(call.room_name()).await.unwrap(), Some(call.clone()));
    // Whoever claimed it can go on with it, and nobody gets it again.
    store.save(&mut call).await.unwrap();
    store.heartbeat(&sample::node(&node, sample::at(30.0))).await.unwrap();
    for node in [node, NodeId::random()] {
        assert_eq!(store.claim_due(&node, sample::at(1.0), 5).await.unwrap(), []);
    }
}

/// At most `limit` calls at once; the rest is there for the next claim.
pub async fn a_claim_takes_no_more_than_its_limit(store: Arc<dyn Store>) {
    let account = account();
    for _ in 0..5 {
        stored(&store, &account, |_| {}).await;
    }
    let node = NodeId::random();
    for expected in [2, 2, 1, 0] {
        let claimed = store.claim_due(&node, sample::START, 2).await.unwrap();
        assert_eq!(claimed.len(), expected);
    }
}

/// 16 nodes claim 1,000 due calls at the same time: none twice, none lost.
pub async fn concurrent_claims_lose_nothing_and_take_nothing_twice(store: Arc<dyn Store>) {
    let account = account();
    let inserted = at_once(0..1_000, |_| {
        let (store, mut call) = (Arc::clone(&store), sample::call(&account));
        async move {
            store.insert(&mut call, None).await.unwrap();
            call.room_name().clone()
        }
    })
    .await;
    let nodes: Vec<_> = (0..16).map(|_| NodeId::random()).collect();
    for node in &nodes {
        store.heartbeat(&sample::node(node, sample::at(30.0))).await.unwrap();
    }
    let claimed = at_once(nodes, |node| {
        let store = Arc::clone(&store);
        async move {
            let mut own = Vec::new();
            loop {
                let claimed = store.claim_due(&node, sample::START, 10).await.unwrap();
                if claimed.is_empty() {
                    return own;
                }
                own.extend(claimed.iter().map(|call| call.room_name().clone()));
            }
        }
    })
    .await;
    let claimed: Vec<_> = claimed.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 1_000, "each is claimed once");
    assert_eq!(HashSet::from_iter(claimed), HashSet::<_>::from_iter(inserted));
}

/// Due calls without an owner come before those of a dead node, which fill what is left of the limit.
pub async fn due_calls_come_before_orphans(store: Arc<dyn Store>) {
    let account = account();
    let dead = NodeId::random();
    store.heartbeat(&sample::node(&dead, sample::at(1.0))).await.unwrap();
    for _ in 0..3 {
        stored(&store, &account, |call| call.owner = Some(dead.clone())).await;
    }
    let mut due = Vec::new();
    for _ in 0..3 {
        let call = stored(&store, &account, |call| call.due_at = Some(sample::at(5.0))).await;
        due.push(call.room_name().clone());
    }
    let node = NodeId::random();
    let claimed = store.claim_due(&node, sample::at(6.0), 5).await.unwrap();
    assert_eq!(claimed.len(), 5);
    let first: Vec<_> = claimed[..3].iter().map(|call| call.room_name()).collect();
    assert!(due.iter().all(|room| first.contains(&room)));
    let rest = store.claim_due(&node, sample::at(6.0), 5).await.unwrap();
    assert_eq!(rest.len(), 1);
}
