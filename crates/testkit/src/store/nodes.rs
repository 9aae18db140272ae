//! What nodes say of themselves, and what they own.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::TimeDelta;
use outdial_domain::NodeId;
use outdial_domain::ports::Store;

use super::{account, at_once, stored};
use crate::sample::{self, START, at};

/// A node is listed with what it said last, by its id.
pub async fn nodes_are_listed_with_what_they_said(store: Arc<dyn Store>) {
    assert_eq!(store.nodes().await.unwrap(), []);
    let mut nodes: Vec<_> = (0..3).map(|_| sample::node(&NodeId::random(), at(30.0))).collect();
    for node in &nodes {
        store.heartbeat(node).await.unwrap();
    }
    // To the nanosecond: a run of a node is known by it.
    nodes[1].started_at = START + TimeDelta::nanoseconds(123_456_789);
    nodes[1].version = "1.2.3-rc.1+build \"5\"".into();
    nodes[1].draining = true;
    nodes[1].alive_until = at(60.123);
    // A clock that was set back.
    nodes[2].alive_until = at(1.0);
    for node in &nodes[1..] {
        store.heartbeat(node).await.unwrap();
    }
    nodes.sort_by_key(|node| node.node_id.to_string());
    assert_eq!(store.nodes().await.unwrap(), nodes);
}

/// A node that is dead stays in the list for a while.
pub async fn dead_nodes_stay_listed_for_a_while(store: Arc<dyn Store>) {
    let dead = sample::node(&NodeId::random(), at(1.0));
    store.heartbeat(&dead).await.unwrap();
    for seconds in [31.0, 61.0, 600.0] {
        store.heartbeat(&sample::node(&NodeId::random(), at(seconds))).await.unwrap();
        assert!(store.nodes().await.unwrap().contains(&dead));
    }
}

/// Many nodes can say that they live at the same time.
pub async fn concurrent_heartbeats_are_all_heard(store: Arc<dyn Store>) {
    let nodes: Vec<_> = (0..16).map(|_| NodeId::random()).collect();
    at_once(nodes.iter().cycle().take(64).cloned(), |node| {
        let store = Arc::clone(&store);
        async move { store.heartbeat(&sample::node(&node, at(30.0))).await.unwrap() }
    })
    .await;
    assert_eq!(store.nodes().await.unwrap().len(), 16);
}

/// A retired node is gone, and what it still owned can be claimed at once.
pub async fn a_retired_node_is_gone(store: Arc<dyn Store>) {
    let (ended, other) = (NodeId::random(), NodeId::random());
    for node in [&ended, &other] {
        store.heartbeat(&sample::node(node, at(30.0))).await.unwrap();
    }
    let call = stored(&store, &account(), |call| call.owner = Some(ended.clone())).await;
    assert_eq!(store.claim_due(&other, at(1.0), 9).await.unwrap(), []);
    store.retire(&ended).await.unwrap();
    let left: Vec<_> = store.nodes().await.unwrap().into_iter().map(|node| node.node_id).collect();
    assert_eq!(left, std::slice::from_ref(&other));
    let claimed = store.claim_due(&other, at(1.0), 9).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].room_name(), call.room_name());
    // Again, and of one that never was: nothing happens.
    for node in [&ended, &NodeId::random()] {
        store.retire(node).await.unwrap();
    }
    assert_eq!(store.nodes().await.unwrap().len(), 1);
}

/// A retired node that gives a sign of life lives again.
pub async fn a_retired_node_can_come_back(store: Arc<dyn Store>) {
    let node = sample::node(&NodeId::random(), at(30.0));
    store.heartbeat(&node).await.unwrap();
    store.retire(&node.node_id).await.unwrap();
    store.heartbeat(&node).await.unwrap();
    assert_eq!(store.nodes().await.unwrap(), std::slice::from_ref(&node));
    stored(&store, &account(), |call| call.owner = Some(node.node_id.clone())).await;
    let claimed = store.claim_due(&NodeId::random(), at(29.0), 9).await.unwrap();
    assert_eq!(claimed, []);
}

/// `owned` has exactly the calls of the node, due or not, with the versions they have now.
pub async fn owned_lists_exactly_the_nodes_calls(store: Arc<dyn Store>) {
    let account = account();
    let (node, other) = (NodeId::random(), NodeId::random());
    let owned = async || -> HashMap<_, _> {
        let owned = store.owned(&node).await.unwrap();
        let count = owned.len();
        let owned = HashMap::from_iter(owned);
        assert_eq!(owned.len(), count, "a call is listed twice");
        owned
    };
    assert_eq!(owned().await, HashMap::new());
    store.heartbeat(&sample::node(&node, at(30.0))).await.unwrap();
    stored(&store, &account, |call| call.owner = Some(other)).await;
    stored(&store, &account, |call| call.due_at = None).await;
    let mut inserted = stored(&store, &account, |call| {
        call.owner = Some(node.clone());
        call.due_at = None;
    })
    .await;
    let claimed_later = stored(&store, &account, |_| {}).await;
    assert_eq!(owned().await, HashMap::from([(inserted.room_name().clone(), 1)]));

    store.save(&mut inserted).await.unwrap();
    let mut claimed = store.claim_due(&node, START, 1).await.unwrap().remove(0);
    assert_eq!(claimed.room_name(), claimed_later.room_name());
    let both = [inserted.room_name().clone(), claimed.room_name().clone()].map(|room| (room, 2));
    assert_eq!(owned().await, HashMap::from(both));

    claimed.owner = None;
    store.save(&mut claimed).await.unwrap();
    assert_eq!(owned().await, HashMap::from([(inserted.room_name().clone(), 2)]));
    store.release(&node, START).await.unwrap();
    assert_eq!(owned().await, HashMap::new());
}
