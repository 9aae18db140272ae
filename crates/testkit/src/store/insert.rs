//! New calls, idempotency keys, limits of trunks.

use std::sync::Arc;

use outdial_domain::ports::{CallFilter, IdempotencyKey, Inserted, Store};
use outdial_domain::{Call, ErrorKind, RoomName, TrunkId};

use super::{account, assert_kind, at_once, end, names, stored};
use crate::sample;

const DAY: f64 = 24.0 * 3_600.0;

fn key(fingerprint: &str) -> IdempotencyKey {
    IdempotencyKey {
        key: "order-4711".into(),
        fingerprint: fingerprint.into(),
        expires_at: sample::at(DAY),
    }
}

fn known(room: &RoomName, fingerprint: &str) -> Inserted {
    Inserted::Known { room_name: room.clone(), fingerprint: fingerprint.into() }
}

/// On success `call.version` is 1, and a read gives the call back in every field.
pub async fn a_new_call_has_version_one_and_is_kept_whole(store: Arc<dyn Store>) {
    let mut call = sample::started_call(&account(), &TrunkId::random(), 3);
    let number = serde_json::json!({"n": 1.5, "big": u64::MAX, "text": "ü\u{0}\"'", "no": null});
    call.order_mut().metadata.insert("nested".into(), number);
    end(&mut call);
    assert_eq!(store.insert(&mut call, None).await.unwrap(), Inserted::New);
    assert_eq!(call.version, 1);
    let read = store.get(call.room_name()).await.unwrap();
    assert_eq!(read, Some(call));
    let missing = sample::call(&account());
    assert_eq!(store.get(missing.room_name()).await.unwrap(), None);
}

/// `Exists` when a call of that room name is there; that one stays as it is.
pub async fn a_room_name_is_taken_once(store: Arc<dyn Store>) {
    let first = stored(&store, &account(), |_| {}).await;
    let mut second = sample::call(&account());
    second.order_mut().room_name = first.room_name().clone();
    assert_kind(store.insert(&mut second, None).await, ErrorKind::Exists);
    assert_eq!(second.version, 0);
    let read = store.get(first.room_name()).await.unwrap();
    assert_eq!(read, Some(first));
}

/// The same under concurrency.
pub async fn of_concurrent_inserts_of_one_room_one_succeeds(store: Arc<dyn Store>) {
    let call = sample::call(&account());
    let results = at_once(0..16, |_| {
        let (store, mut call) = (Arc::clone(&store), call.clone());
        async move { store.insert(&mut call, None).await }
    })
    .await;
    let (new, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(new.len(), 1);
    for result in refused {
        assert_kind(result, ErrorKind::Exists);
    }
}

/// Of any number of concurrent inserts with one key exactly one is new; the others learn of it.
pub async fn of_concurrent_inserts_with_one_key_one_is_new(store: Arc<dyn Store>) {
    let account = account();
    let results = at_once(0..32, |_| {
        let (store, mut call) = (Arc::clone(&store), sample::call(&account));
        async move {
            let inserted = store.insert(&mut call, Some(&key("body"))).await.unwrap();
            (inserted, call)
        }
    })
    .await;
    let mut new = results.iter().filter(|(inserted, _)| *inserted == Inserted::New);
    let (_, winner) = new.next().expect("one insert is new");
    assert!(new.next().is_none(), "two inserts are new");
    for (inserted, call) in &results {
        if *inserted != Inserted::New {
            assert_eq!(*inserted, known(winner.room_name(), "body"));
            assert_eq!(call.version, 0);
        }
    }
    let stored = names(&store, &CallFilter::of(account), 100).await;
    assert_eq!(stored, [winner.room_name().to_string()]);
}

/// Two accounts may use the same key.
pub async fn a_key_belongs_to_one_account(store: Arc<dyn Store>) {
    for account in [account(), account()] {
        let mut call = sample::call(&account);
        let inserted = store.insert(&mut call, Some(&key("body"))).await.unwrap();
        assert_eq!(inserted, Inserted::New);
    }
}

/// A key is known until `expires_at`; from then on it may be used anew, and then means the new call.
/// The time of creation of the call that is inserted is the time now.
pub async fn a_key_can_be_used_anew_when_it_has_expired(store: Arc<dyn Store>) {
    let account = account();
    let insert = async |fingerprint: &str, created: f64| {
        let mut call = sample::call(&account);
        call.order_mut().created_at = sample::at(created);
        let mut key = key(fingerprint);
        key.expires_at = sample::at(created + DAY);
        let inserted = store.insert(&mut call, Some(&key)).await.unwrap();
        (inserted, call.room_name().clone())
    };
    let find =
        async |now: f64| store.find_key(&account, &key("").key, sample::at(now)).await.unwrap();
    assert_eq!(find(0.0).await, None);
    let (_, first) = insert("one", 0.0).await;
    assert_eq!(find(DAY - 0.001).await, Some((first.clone(), "one".to_owned())));
    assert_eq!(find(DAY).await, None);
    let (inserted, _) = insert("two", DAY - 0.001).await;
    assert_eq!(inserted, known(&first, "one"));
    let (inserted, second) = insert("three", DAY).await;
    assert_eq!(inserted, Inserted::New);
    let (inserted, _) = insert("four", DAY + 1.0).await;
    assert_eq!(inserted, known(&second, "three"));
}

/// A repeated request gets its answer also when the trunk has filled up meanwhile.
pub async fn a_key_is_known_also_while_the_trunk_is_full(store: Arc<dyn Store>) {
    let (account, trunk) = (account(), TrunkId::random());
    let mut first = sample::started_call(&account, &trunk, 1);
    store.insert(&mut first, Some(&key("body"))).await.unwrap();
    let mut again = sample::started_call(&account, &trunk, 1);
    let inserted = store.insert(&mut again, Some(&key("body"))).await.unwrap();
    assert_eq!(inserted, known(first.room_name(), "body"));
}

/// `Busy` when the trunk is full: nothing is stored, the key is not used up.
pub async fn an_insert_on_a_full_trunk_is_busy_and_spares_the_key(store: Arc<dyn Store>) {
    let (account, trunk) = (account(), TrunkId::random());
    let mut running = Vec::new();
    for _ in 0..2 {
        let mut call = sample::started_call(&account, &trunk, 2);
        store.insert(&mut call, None).await.unwrap();
        running.push(call);
    }
    let mut call = sample::started_call(&account, &trunk, 2);
    let refused = store.insert(&mut call, Some(&key("body"))).await;
    assert_kind(refused, ErrorKind::Busy);
    assert_eq!(call.version, 0);
    assert_eq!(store.get(call.room_name()).await.unwrap(), None);

    end(&mut running[0]);
    store.save(&mut running[0]).await.unwrap();
    let inserted = store.insert(&mut call, Some(&key("body"))).await.unwrap();
    assert_eq!(inserted, Inserted::New);
}

/// An insert that fails with `Exists` does not use up the key either.
pub async fn an_insert_of_a_taken_room_spares_the_key(store: Arc<dyn Store>) {
    let account = account();
    let first = stored(&store, &account, |_| {}).await;
    let mut taken = sample::call(&account);
    taken.order_mut().room_name = first.room_name().clone();
    let refused = store.insert(&mut taken, Some(&key("body"))).await;
    assert_kind(refused, ErrorKind::Exists);
    let mut call = sample::call(&account);
    let inserted = store.insert(&mut call, Some(&key("body"))).await.unwrap();
    assert_eq!(inserted, Inserted::New);
}

/// Only calls that occupy their trunk are counted, and only on that trunk.
pub async fn queued_and_ended_calls_hold_no_channel(store: Arc<dyn Store>) {
    let (account, trunk) = (account(), TrunkId::random());
    let on_trunk = |call: &mut Call| {
        call.order_mut().trunk_id = trunk.clone();
        call.order_mut().max_concurrent_calls = Some(1);
    };
    for _ in 0..2 {
        stored(&store, &account, on_trunk).await;
    }
    let mut ended = sample::started_call(&account, &trunk, 1);
    end(&mut ended);
    store.insert(&mut ended, None).await.unwrap();
    let mut elsewhere = sample::started_call(&account, &TrunkId::random(), 1);
    store.insert(&mut elsewhere, None).await.unwrap();

    let mut call = sample::started_call(&account, &trunk, 1);
    store.insert(&mut call, None).await.unwrap();
    // A full trunk still takes in what does not occupy it.
    stored(&store, &account, on_trunk).await;
    let mut none = sample::started_call(&account, &TrunkId::random(), 0);
    assert_kind(store.insert(&mut none, None).await, ErrorKind::Busy);
}

/// Of 32 concurrent inserts on a trunk with 5 channels exactly 5 succeed.
pub async fn concurrent_inserts_keep_to_the_limit(store: Arc<dyn Store>) {
    let (account, trunk) = (account(), TrunkId::random());
    let results = at_once(0..32, |_| {
        let store = Arc::clone(&store);
        let mut call = sample::started_call(&account, &trunk, 5);
        async move { store.insert(&mut call, None).await }
    })
    .await;
    let (new, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(new.len(), 5);
    for result in refused {
        assert_kind(result, ErrorKind::Busy);
    }
    assert_eq!(names(&store, &CallFilter::of(account), 100).await.len(), 5);
}

/// A key that has expired is used anew once, however many try at the same time.
pub async fn of_concurrent_inserts_with_an_expired_key_one_is_new(store: Arc<dyn Store>) {
    let account = account();
    let mut old = sample::call(&account);
    store.insert(&mut old, Some(&key("old"))).await.unwrap();
    let results = at_once(0..16, |_| {
        let (store, mut call) = (Arc::clone(&store), sample::call(&account));
        call.order_mut().created_at = sample::at(DAY);
        let mut key = key("new");
        key.expires_at = sample::at(2.0 * DAY);
        async move {
            let inserted = store.insert(&mut call, Some(&key)).await.unwrap();
            (inserted, call.room_name().clone())
        }
    })
    .await;
    let new: Vec<_> = results.iter().filter(|(inserted, _)| *inserted == Inserted::New).collect();
    assert_eq!(new.len(), 1);
    let winner = &new[0].1;
    let told = results.iter().filter(|(inserted, _)| *inserted == known(winner, "new"));
    assert_eq!(told.count(), 15);
    let found = store.find_key(&account, &key("").key, sample::at(DAY)).await.unwrap();
    assert_eq!(found, Some((winner.clone(), "new".to_owned())));
    assert!(store.get(old.room_name()).await.unwrap().is_some(), "the old call stays");
}

/// The same on a trunk with one channel: the others learn of the call, not that the trunk is busy.
pub async fn a_race_for_a_key_on_a_full_trunk_has_one_winner(store: Arc<dyn Store>) {
    let (account, trunk) = (account(), TrunkId::random());
    let results = at_once(0..16, |_| {
        let (store, trunk) = (Arc::clone(&store), trunk.clone());
        let mut call = sample::started_call(&account, &trunk, 1);
        async move { store.insert(&mut call, Some(&key("body"))).await.unwrap() }
    })
    .await;
    let new = results.iter().filter(|inserted| **inserted == Inserted::New);
    assert_eq!(new.count(), 1);
    assert_eq!(names(&store, &CallFilter::of(account), 100).await.len(), 1);
}

/// Keys of many calls at once are all used up, each by its call.
pub async fn concurrent_inserts_with_different_keys_are_all_new(store: Arc<dyn Store>) {
    let account = account();
    let used = at_once(0..64, |number| {
        let (store, mut call) = (Arc::clone(&store), sample::call(&account));
        let key = IdempotencyKey { key: format!("order-{number}"), ..key("body") };
        async move {
            let inserted = store.insert(&mut call, Some(&key)).await.unwrap();
            assert_eq!(inserted, Inserted::New);
            (key.key, call.room_name().clone())
        }
    })
    .await;
    for (key, room) in used {
        let found = store.find_key(&account, &key, sample::START).await.unwrap();
        assert_eq!(found, Some((room, "body".to_owned())));
    }
}
