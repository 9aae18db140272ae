//! Calls that somebody changed who does not own them.

use std::sync::Arc;

use outdial_domain::ports::Store;
use outdial_domain::{Call, NodeId, RoomName};

use super::{account, assert_kind, stored};
use crate::sample::{self, START, at};

async fn changed(store: &Arc<dyn Store>, node: &NodeId) -> Vec<RoomName> {
    let mut rooms = store.needing_attention(node).await.unwrap();
    rooms.sort();
    rooms
}

/// Saves the call as one who does not own it does.
async fn change(store: &Arc<dyn Store>, call: &mut Call) {
    call.attention = true;
    store.save(call).await.unwrap();
}

/// A save with attention is listed for the call's owner, and for nobody else.
pub async fn a_call_that_others_changed_is_listed_for_its_owner(store: Arc<dyn Store>) {
    let account = account();
    let (owner, other) = (NodeId::random(), NodeId::random());
    let mut rooms = Vec::new();
    for _ in 0..3 {
        let mut call = stored(&store, &account, |call| {
            call.owner = Some(owner.clone());
            call.due_at = None;
        })
        .await;
        assert_eq!(changed(&store, &owner).await, rooms);
        change(&store, &mut call).await;
        assert_eq!(store.get(call.room_name()).await.unwrap().as_ref(), Some(&call));
        rooms.push(call.room_name().clone());
        rooms.sort();
    }
    stored(&store, &account, |call| call.owner = Some(owner.clone())).await;
    stored(&store, &account, |call| call.owner = Some(other.clone())).await;
    assert_eq!(changed(&store, &owner).await, rooms);
    assert_eq!(changed(&store, &other).await, []);
}

/// The owner's save without it takes the call off the list. One that was read before the change does
/// not, for it conflicts.
pub async fn an_owners_save_clears_the_attention(store: Arc<dyn Store>) {
    let owner = NodeId::random();
    let mut held = stored(&store, &account(), |call| call.owner = Some(owner.clone())).await;
    let mut call = held.clone();
    change(&store, &mut call).await;
    assert_kind(store.save(&mut held).await, outdial_domain::ErrorKind::Conflict);
    assert_eq!(changed(&store, &owner).await, [call.room_name().clone()]);
    call.attention = false;
    store.save(&mut call).await.unwrap();
    assert_eq!(changed(&store, &owner).await, []);
    assert_eq!(store.get(call.room_name()).await.unwrap(), Some(call));
}

/// What nobody owns needs nobody's attention: whoever claims it reads it anyway.
pub async fn calls_without_an_owner_are_not_listed(store: Arc<dyn Store>) {
    let owner = NodeId::random();
    let mut given_up = stored(&store, &account(), |call| call.owner = Some(owner.clone())).await;
    given_up.owner = None;
    change(&store, &mut given_up).await;
    let mut released = stored(&store, &account(), |call| call.owner = Some(owner.clone())).await;
    change(&store, &mut released).await;
    assert_eq!(changed(&store, &owner).await, [released.room_name().clone()]);
    store.release(&owner, START).await.unwrap();
    assert_eq!(changed(&store, &owner).await, []);
}

/// A claim and a release change owner, version and due time only: the attention goes on to the heir
/// and ends with a save without it.
pub async fn attention_goes_on_to_the_heir(store: Arc<dyn Store>) {
    let (dead, heir, next) = (NodeId::random(), NodeId::random(), NodeId::random());
    store.heartbeat(&sample::node(&heir, at(30.0))).await.unwrap();
    let mut call = stored(&store, &account(), |call| call.owner = Some(dead.clone())).await;
    change(&store, &mut call).await;
    let room = [call.room_name().clone()];
    let claimed = store.claim_due(&heir, at(1.0), 9).await.unwrap();
    assert!(claimed[0].attention);
    assert_eq!(changed(&store, &dead).await, []);
    assert_eq!(changed(&store, &heir).await, room);

    store.release(&heir, at(2.0)).await.unwrap();
    let mut claimed = store.claim_due(&next, at(2.0), 9).await.unwrap().remove(0);
    assert!(claimed.attention);
    assert_eq!(changed(&store, &next).await, room);
    claimed.attention = false;
    store.save(&mut claimed).await.unwrap();
    assert_eq!(changed(&store, &next).await, []);
}

/// An erased call is on no list.
pub async fn erased_calls_need_no_attention(store: Arc<dyn Store>) {
    let owner = NodeId::random();
    let mut call = stored(&store, &account(), |call| call.owner = Some(owner.clone())).await;
    change(&store, &mut call).await;
    let tombstone = outdial_domain::Tombstone::of(&call, at(1.0));
    store.erase(&call, &tombstone).await.unwrap();
    assert_eq!(changed(&store, &owner).await, []);
    assert_eq!(store.owned(&owner).await.unwrap(), []);
}
