//! Moving between databases.

use outdial_domain::ports::{
    Archive, Calls, Deliveries, Delivery, Directory, IdempotencyKey, Record, RecordKind,
    Transcripts,
};
use outdial_domain::{AccountId, DeliveryId, ErrorKind, NodeId, Speaker, Tombstone};
use outdial_mongodb::MongoStore;
use outdial_testkit::sample;

use crate::database::{Database, stored};

/// More calls than one batch of the driver.
const CALLS: usize = 250;

async fn fill(store: &MongoStore) {
    let account = store.account_named("acme", sample::START).await.unwrap().account_id;
    store.insert_key(&sample::api_key(&account)).await.unwrap();
    store.insert_assistant(&sample::assistant(&account)).await.unwrap();
    store.insert_trunk(&sample::trunk(&account)).await.unwrap();
    for number in 0..CALLS {
        let mut call = sample::call(&account);
        call.owner = (number % 2 == 0).then(NodeId::random);
        call.attention = number % 4 == 0;
        let key = IdempotencyKey {
            key: format!("order-{number}"),
            fingerprint: "f00d".into(),
            expires_at: sample::at(9_999.0) + chrono::TimeDelta::nanoseconds(17),
        };
        store.insert(&mut call, (number % 3 == 0).then_some(&key)).await.unwrap();
        store.save(&mut call).await.unwrap();
    }
    let call = stored(store).await;
    let room_name = call.room_name().clone();
    let lines = [sample::line(Speaker::Agent, "Hello", 1.0)];
    store.append(&room_name, &lines).await.unwrap();
    let delivery = Delivery {
        delivery_id: DeliveryId::random(),
        room_name,
        webhook_id: "msg_1".into(),
        attempt: 1,
        at: sample::START,
        duration_ms: 12,
        status_code: None,
        error: Some("it says no".into()),
    };
    store.log(&delivery).await.unwrap();
    let call = stored(store).await;
    store.erase(&call, &Tombstone::of(&call, sample::at(9.0))).await.unwrap();
}

/// Everything, read in batches of `limit`.
async fn everything(store: &MongoStore, limit: u32) -> Vec<Record> {
    let mut all = Vec::new();
    for kind in RecordKind::ALL {
        let mut after: Option<String> = None;
        loop {
            let part = store.export(kind, after.as_deref(), limit).await.unwrap();
            let full = part.len() == usize::try_from(limit).unwrap();
            after = part.last().map(Record::id);
            all.extend(part);
            if !full {
                break;
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_goes_out_comes_in() {
    let (from, to) = (Database::fresh(), Database::fresh());
    let (source, target) = (from.store().await, to.store().await);
    fill(&source).await;
    let all = everything(&source, 1_000).await;
    assert_eq!(all, everything(&source, 7).await);
    let calls = u64::try_from(CALLS).unwrap() + 1;
    for (kind, count) in RecordKind::ALL.into_iter().zip([1, 1, 1, 1, calls, 1, 1, 1]) {
        assert_eq!(source.count(kind).await.unwrap(), count, "{kind:?}");
    }
    // A part first, then all of it, the part again among it.
    target.import(&all[40..90]).await.unwrap();
    target.import(&[all[3].clone(), all[3].clone()]).await.unwrap();
    for _ in 0..2 {
        target.import(&all).await.unwrap();
        assert_eq!(everything(&target, 100).await, all);
    }
    // A key that was moved is a key that was used.
    let keyed = all.iter().find_map(|record| match record {
        Record::Call { call, idempotency_key: Some(key) } => Some((call, key)),
        _ => None,
    });
    let (call, key) = keyed.unwrap();
    let found = target.find_key(&call.order.account_id, &key.key, sample::START).await;
    assert_eq!(found.unwrap(), Some((call.room_name().clone(), key.fingerprint.clone())));
    // And its documents are those of any call.
    for room in [call.room_name().as_str()] {
        let (old, new) = (from.document("calls", room).await, to.document("calls", room).await);
        assert_eq!(old, new);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_named() {
    let database = Database::fresh();
    let store = database.store().await;
    fill(&store).await;
    let all = everything(&store, 1_000).await;
    for record in &all {
        let mut other = record.clone();
        match &mut other {
            Record::Account(account) => account.created_at = sample::at(5.0),
            Record::ApiKey(key) => key.admin = true,
            Record::Assistant(assistant) => assistant.is_active = false,
            Record::Trunk(trunk) => trunk.sandbox = false,
            Record::Call { call, .. } => call.version += 1,
            Record::Transcript { lines, .. } => lines.push(lines[0].clone()),
            Record::Delivery(delivery) => delivery.attempt += 1,
            Record::Tombstone(tombstone) => tombstone.erased_at = sample::at(99.0),
        }
        let error = store.import(&[record.clone(), other]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exists);
        assert!(error.to_string().contains(&record.id()), "{error}");
    }
    for record in &all {
        let mut other = record.clone();
        match &mut other {
            Record::Account(account) => account.account_id = AccountId::random(),
            Record::Call { call, idempotency_key: Some(_) } => {
                let fresh = sample::call(&call.order.account_id);
                call.order_mut().room_name = fresh.room_name().clone();
            }
            _ => continue,
        }
        let error = store.import(std::slice::from_ref(&other)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exists);
        assert!(error.to_string().contains(&other.id()), "{error}");
    }
    assert_eq!(everything(&store, 1_000).await, all, "nothing was changed");
}
