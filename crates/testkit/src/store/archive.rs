//! Moving everything out of one store and into another.

use std::sync::Arc;

use outdial_domain::ports::{
    CallFilter, Delivery, IdempotencyKey, Inserted, Record, RecordKind, Store,
};
use outdial_domain::{ApiKey, DeliveryId, ErrorKind, NodeId, Speaker, Tombstone, TrunkId};

use super::records::{everything, exported, other};
use super::{assert_kind, end, names};
use crate::sample::{self, START, at, line};

/// A store in which nothing was stored holds no records.
pub async fn an_empty_store_exports_nothing(store: Arc<dyn Store>) {
    for kind in RecordKind::ALL {
        assert_eq!(store.export(kind, None, 10).await.unwrap(), []);
        assert_eq!(store.count(kind).await.unwrap(), 0);
    }
}

/// What was stored in any other way is exported as it is now; what was deleted is not.
pub async fn what_is_stored_is_exported(store: Arc<dyn Store>) {
    let account = store.account_named("acme", START).await.unwrap();
    let id = &account.account_id;
    let mut key = sample::api_key(id);
    store.insert_key(&key).await.unwrap();
    key.revoked_at = Some(at(5.0));
    store.revoke_key(id, &key.key_id, at(5.0)).await.unwrap();
    let (mut assistant, deleted) = (sample::assistant(id), sample::assistant(id));
    store.insert_assistant(&assistant).await.unwrap();
    store.insert_assistant(&deleted).await.unwrap();
    store.delete_assistant(id, deleted.assistant_id).await.unwrap();
    assistant.assistant_name = "Bea".into();
    assistant.updated_at = at(5.0);
    store.save_assistant(&assistant, START).await.unwrap();
    let trunk = sample::trunk(id);
    store.insert_trunk(&trunk).await.unwrap();

    let used = |key: &str| IdempotencyKey {
        key: key.into(),
        fingerprint: "f00d".into(),
        expires_at: at(9_999.0),
    };
    let [mut call, mut erased] = [sample::call(id), sample::call(id)];
    store.insert(&mut call, Some(&used("one"))).await.unwrap();
    store.insert(&mut erased, Some(&used("two"))).await.unwrap();
    let node = NodeId::random();
    let claimed = store.claim_due(&node, at(1.0), 9).await.unwrap();
    call = claimed.iter().find(|claimed| claimed.room_name() == call.room_name()).unwrap().clone();
    let lines = vec![line(Speaker::User, "Hello", 2.0), line(Speaker::Agent, "Hi", 1.0)];
    let delivery = delivery(&call, 70.0);
    for room in [call.room_name(), erased.room_name()] {
        store.append(room, &lines).await.unwrap();
    }
    store.append(sample::call(id).room_name(), &[]).await.unwrap();
    store.log(&delivery).await.unwrap();
    erased = store.get(erased.room_name()).await.unwrap().unwrap();
    let tombstone = Tombstone::of(&erased, at(100.0));
    store.erase(&erased, &tombstone).await.unwrap();

    let room_name = call.room_name().clone();
    let expected = [
        Record::Account(account),
        Record::ApiKey(key),
        Record::Assistant(assistant),
        Record::Trunk(trunk),
        Record::Call { call: Box::new(call), idempotency_key: Some(used("one")) },
        Record::Transcript { room_name, lines },
        Record::Delivery(delivery),
        Record::Tombstone(tombstone),
    ];
    assert_eq!(exported(&store, 10).await, expected);
    for kind in RecordKind::ALL {
        assert_eq!(store.count(kind).await.unwrap(), 1, "{kind:?}");
    }
}

fn delivery(call: &outdial_domain::Call, seconds: f64) -> Delivery {
    Delivery {
        delivery_id: DeliveryId::random(),
        room_name: call.room_name().clone(),
        webhook_id: "msg_1".into(),
        attempt: 1,
        at: at(seconds),
        duration_ms: 12,
        status_code: Some(200),
        error: None,
    }
}

/// An import gives back every record as it was, in the order of the ids' bytes.
pub async fn an_import_keeps_every_record_whole(store: Arc<dyn Store>) {
    let records = everything();
    store.import(&records).await.unwrap();
    assert_eq!(exported(&store, 1_000).await, records);
    for kind in RecordKind::ALL {
        let count = records.iter().filter(|record| record.kind() == kind).count();
        assert_eq!(store.count(kind).await.unwrap(), u64::try_from(count).unwrap(), "{kind:?}");
    }
}

/// What goes through another store comes back the same.
pub async fn an_export_can_be_imported_elsewhere(store: Arc<dyn Store>) {
    let records = everything();
    let elsewhere: Arc<dyn Store> = Arc::new(crate::memory::MemoryStore::new());
    elsewhere.import(&records).await.unwrap();
    for record in exported(&elsewhere, 3).await {
        store.import(&[record]).await.unwrap();
    }
    let back: Arc<dyn Store> = Arc::new(crate::memory::MemoryStore::new());
    back.import(&exported(&store, 2).await).await.unwrap();
    assert_eq!(exported(&back, 1_000).await, records);
}

/// A record survives the text of an archive: a line of JSON.
pub async fn records_survive_their_lines(store: Arc<dyn Store>) {
    let lines: Vec<String> =
        everything().iter().map(|record| serde_json::to_string(record).unwrap()).collect();
    let records: Vec<Record> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    store.import(&records).await.unwrap();
    let exported = exported(&store, 1_000).await;
    let again: Vec<String> =
        exported.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
    assert_eq!(again, lines);
}

/// Pages of any size hold every record once; one that is not full is the last.
pub async fn export_pages_hold_everything_once(store: Arc<dyn Store>) {
    let records = everything();
    store.import(&records).await.unwrap();
    for limit in [1, 2, 3] {
        assert_eq!(exported(&store, limit).await, records, "pages of {limit}");
    }
}

/// A page begins behind an id, whether or not there is a record of that id.
pub async fn an_export_goes_on_behind_an_id_that_is_gone(store: Arc<dyn Store>) {
    let records = everything();
    store.import(&records).await.unwrap();
    let calls: Vec<_> =
        records.into_iter().filter(|record| record.kind() == RecordKind::Call).collect();
    let Record::Call { call, .. } = &calls[1] else { panic!("a call") };
    store.erase(call, &Tombstone::of(call, START)).await.unwrap();
    let id = calls[1].id();
    let behind = store.export(RecordKind::Call, Some(&id), 100).await.unwrap();
    assert_eq!(behind, calls[2..]);
    let behind = store.export(RecordKind::Call, Some("0"), 2).await.unwrap();
    assert_eq!(behind, [calls[0].clone(), calls[2].clone()]);
    assert_eq!(store.export(RecordKind::Call, Some("~"), 2).await.unwrap(), []);
}

/// Imported records are at work: they are found, listed, claimed and saved like others.
pub async fn imported_records_are_at_work(store: Arc<dyn Store>) {
    let account = sample::account();
    let id = &account.account_id;
    let key: ApiKey = sample::api_key(id);
    let (assistant, trunk) = (sample::assistant(id), sample::trunk(id));
    let mut due = sample::call(id);
    due.version = 41;
    let mut owned = sample::call(id);
    owned.owner = Some(NodeId::random());
    owned.attention = true;
    owned.version = 7;
    let record = |call: &outdial_domain::Call| Record::Call {
        call: Box::new(call.clone()),
        idempotency_key: None,
    };
    store
        .import(&[
            Record::Account(account.clone()),
            Record::ApiKey(key.clone()),
            Record::Assistant(assistant.clone()),
            Record::Trunk(trunk.clone()),
            record(&due),
            record(&owned),
        ])
        .await
        .unwrap();
    assert_eq!(store.account_named(&account.name, at(9.0)).await.unwrap(), account);
    assert_eq!(store.key(&key.key_id).await.unwrap(), Some(key));
    let found = store.assistant(id, assistant.assistant_id).await.unwrap();
    assert_eq!(found, Some(assistant));
    assert_eq!(store.trunk(id, &trunk.trunk_id).await.unwrap(), Some(trunk));
    assert_eq!(names(&store, &CallFilter::of(id.clone()), 1).await.len(), 2);

    let (dead, heir) = (owned.owner.clone().unwrap(), NodeId::random());
    store.heartbeat(&sample::node(&dead, at(30.0))).await.unwrap();
    assert_eq!(store.owned(&dead).await.unwrap(), [(owned.room_name().clone(), 7)]);
    let changed = store.needing_attention(&dead).await.unwrap();
    assert_eq!(changed, [owned.room_name().clone()]);
    let claimed = store.claim_due(&heir, at(1.0), 9).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].version, 42);
    assert_kind(store.save(&mut due).await, ErrorKind::Conflict);
    store.save(&mut owned).await.unwrap();
    assert_eq!(owned.version, 8);
}

/// Imported calls know their idempotency keys until these expire, and hold their trunk's channels.
pub async fn imported_calls_hold_keys_and_channels(store: Arc<dyn Store>) {
    let (account, trunk) = (super::account(), TrunkId::random());
    let mut first = sample::started_call(&account, &trunk, 1);
    first.version = 3;
    let key =
        IdempotencyKey { key: "order-1".into(), fingerprint: "f00d".into(), expires_at: at(60.0) };
    let record = Record::Call { call: Box::new(first.clone()), idempotency_key: Some(key.clone()) };
    store.import(&[record]).await.unwrap();
    let known = Some((first.room_name().clone(), "f00d".to_owned()));
    assert_eq!(store.find_key(&account, "order-1", at(59.0)).await.unwrap(), known);
    assert_eq!(store.find_key(&account, "order-1", at(60.0)).await.unwrap(), None);

    let mut second = sample::started_call(&account, &trunk, 1);
    assert_kind(store.insert(&mut second, None).await, ErrorKind::Busy);
    let again = store.insert(&mut second, Some(&key)).await.unwrap();
    let room_name = first.room_name().clone();
    assert_eq!(again, Inserted::Known { room_name, fingerprint: "f00d".into() });
    end(&mut first);
    store.save(&mut first).await.unwrap();
    store.insert(&mut second, None).await.unwrap();
}

/// What is there already and the same is left alone: an import can be repeated, also one that broke
/// off, in any order.
pub async fn a_repeated_import_changes_nothing(store: Arc<dyn Store>) {
    let records = everything();
    let half: Vec<_> = records.iter().step_by(2).cloned().collect();
    store.import(&half).await.unwrap();
    for _ in 0..2 {
        store.import(&records).await.unwrap();
        assert_eq!(exported(&store, 1_000).await, records);
    }
    let backwards: Vec<_> = records.iter().rev().cloned().collect();
    store.import(&backwards).await.unwrap();
    assert_eq!(exported(&store, 1_000).await, records);
    store.import(&[]).await.unwrap();
}

/// `Exists` when another record of the same id is there, whatever its kind: the message names it, and
/// the one that is there stays.
pub async fn another_record_of_the_same_id_is_refused(store: Arc<dyn Store>) {
    let records = everything();
    store.import(&records).await.unwrap();
    for record in &records {
        for other in other(record) {
            assert_eq!((other.kind(), other.id()), (record.kind(), record.id()));
            let error = store.import(std::slice::from_ref(&other)).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Exists, "{error}");
            assert!(error.to_string().contains(&record.id()), "{error}");
        }
    }
    assert_eq!(exported(&store, 1_000).await, records);
}

/// `Exists` also when another account has the name, or another call of the account the key.
pub async fn taken_names_and_keys_are_refused(store: Arc<dyn Store>) {
    let account = sample::account();
    let mut twin = sample::account();
    twin.name = account.name.clone();
    store.import(&[Record::Account(account.clone())]).await.unwrap();
    let error = store.import(&[Record::Account(twin.clone())]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Exists, "{error}");
    assert!(error.to_string().contains(twin.account_id.as_str()), "{error}");

    let key =
        IdempotencyKey { key: "order-1".into(), fingerprint: "f00d".into(), expires_at: at(60.0) };
    let call = || Box::new(sample::call(&account.account_id));
    let first = Record::Call { call: call(), idempotency_key: Some(key.clone()) };
    let second = Record::Call { call: call(), idempotency_key: Some(key.clone()) };
    let theirs = Box::new(sample::call(&twin.account_id));
    let theirs = Record::Call { call: theirs, idempotency_key: Some(key) };
    store.import(&[first.clone(), theirs]).await.unwrap();
    let error = store.import(std::slice::from_ref(&second)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Exists, "{error}");
    assert!(error.to_string().contains(&second.id()), "{error}");
    assert_eq!(store.count(RecordKind::Account).await.unwrap(), 1);
    assert_eq!(store.count(RecordKind::Call).await.unwrap(), 2);
}

/// A thousand calls can be imported in one go, and are all there.
pub async fn a_large_import_is_kept_whole(store: Arc<dyn Store>) {
    let account = super::account();
    let mut records: Vec<_> = (0..1_000)
        .map(|_| {
            let call = Box::new(sample::call(&account));
            Record::Call { call, idempotency_key: None }
        })
        .collect();
    for _ in 0..2 {
        store.import(&records).await.unwrap();
    }
    records.sort_by_key(Record::id);
    assert_eq!(exported(&store, 300).await, records);
    assert_eq!(store.count(RecordKind::Call).await.unwrap(), 1_000);
}
