//! Erasing calls.

use std::sync::Arc;

use outdial_domain::ports::{CallFilter, Delivery, IdempotencyKey, Store};
use outdial_domain::{Call, DeliveryId, ErrorKind, Speaker, Tombstone};

use super::{account, assert_kind, at_once, end, names, stored};
use crate::sample::{self, line};

fn delivery(call: &Call) -> Delivery {
    Delivery {
        delivery_id: DeliveryId::random(),
        room_name: call.room_name().clone(),
        webhook_id: "msg_1".into(),
        attempt: 1,
        at: sample::at(70.0),
        duration_ms: 12,
        status_code: Some(200),
        error: None,
    }
}

/// Record, transcript, deliveries and idempotency key go; others' stay; a tombstone is left.
pub async fn an_erased_call_leaves_a_tombstone_only(store: Arc<dyn Store>) {
    let account = account();
    let mut call = sample::call(&account);
    let key = IdempotencyKey {
        key: "order-1".into(),
        fingerprint: "f00d".into(),
        expires_at: sample::at(9_999.0),
    };
    store.insert(&mut call, Some(&key)).await.unwrap();
    let other = stored(&store, &account, |_| {}).await;
    for call in [&call, &other] {
        let lines = [line(Speaker::User, "My name is Ann.", 1.0)];
        store.append(call.room_name(), &lines).await.unwrap();
        store.log(&delivery(call)).await.unwrap();
    }
    end(&mut call);
    store.save(&mut call).await.unwrap();

    let tombstone = Tombstone::of(&call, sample::at(100.0));
    store.erase(&call, &tombstone).await.unwrap();

    let room = call.room_name();
    assert_eq!(store.get(room).await.unwrap(), None);
    assert_eq!(store.read(room, 0).await.unwrap(), []);
    assert_eq!(store.deliveries(room).await.unwrap(), []);
    assert_eq!(store.find_key(&account, "order-1", sample::at(1.0)).await.unwrap(), None);
    let left = names(&store, &CallFilter::of(account), 10).await;
    assert_eq!(left, [other.room_name().to_string()]);
    assert_eq!(store.read(other.room_name(), 0).await.unwrap().len(), 1);
    assert_eq!(store.deliveries(other.room_name()).await.unwrap().len(), 1);

    let id = Tombstone::id_of(room);
    assert_eq!(store.tombstone(&id).await.unwrap(), Some(tombstone));
    let none = Tombstone::id_of(other.room_name());
    assert_eq!(store.tombstone(&none).await.unwrap(), None);
    // Gone is gone.
    assert_kind(store.save(&mut call).await, ErrorKind::Conflict);
}

/// `Conflict` when the version is another: nothing is erased.
pub async fn an_erasure_of_an_old_version_conflicts(store: Arc<dyn Store>) {
    let mut call = stored(&store, &account(), |_| {}).await;
    let lines = [line(Speaker::User, "Hello", 1.0)];
    store.append(call.room_name(), &lines).await.unwrap();
    let old = call.clone();
    store.save(&mut call).await.unwrap();
    let tombstone = Tombstone::of(&old, sample::at(100.0));
    assert_kind(store.erase(&old, &tombstone).await, ErrorKind::Conflict);
    assert_eq!(store.get(call.room_name()).await.unwrap(), Some(call.clone()));
    assert_eq!(store.read(call.room_name(), 0).await.unwrap(), lines);
    assert_eq!(store.tombstone(&tombstone.id).await.unwrap(), None);
}

/// Of many erasures of one call one succeeds; the others see that it is gone.
pub async fn of_concurrent_erasures_one_succeeds(store: Arc<dyn Store>) {
    let call = stored(&store, &account(), |_| {}).await;
    let results = at_once(0..8, |_| {
        let (store, call) = (store.clone(), call.clone());
        async move { store.erase(&call, &Tombstone::of(&call, sample::at(100.0))).await }
    })
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for result in results.into_iter().filter(Result::is_err) {
        assert_kind(result, ErrorKind::Conflict);
    }
}
