//! Several stores on one database, as several nodes have them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use mongodb::Client;
use mongodb::bson::doc;
use mongodb::options::ClientOptions;
use outdial_domain::ports::{Calls, IdempotencyKey, Inserted};
use outdial_domain::{AccountId, Call, ErrorKind, NodeId, TrunkId};
use outdial_mongodb::MongoStore;
use outdial_testkit::sample;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::database::{Database, LONG, settings};

/// Stores that know nothing of each other.
async fn stores(database: &Database, count: usize) -> Vec<Arc<MongoStore>> {
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(Arc::new(database.store().await));
    }
    stores
}

async fn waiting(store: &MongoStore, trunk: &TrunkId, limit: u32) -> Call {
    let mut call = sample::started_call(&AccountId::random(), trunk, limit);
    call.started_at = None;
    store.insert(&mut call, None).await.unwrap();
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn together_they_keep_to_the_limit_of_a_trunk() {
    let database = Database::fresh();
    let stores = stores(&database, 3).await;
    let trunk = TrunkId::random();
    let mut saves = JoinSet::new();
    for number in 0..48 {
        let store = Arc::clone(&stores[number % 3]);
        let mut call = waiting(&store, &trunk, 7).await;
        call.started_at = Some(sample::at(1.0));
        saves.spawn(async move { store.save(&mut call).await });
    }
    let saves = timeout(LONG, saves.join_all()).await.unwrap();
    let (started, refused): (Vec<_>, Vec<_>) = saves.into_iter().partition(Result::is_ok);
    assert_eq!(started.len(), 7);
    for error in refused {
        assert_eq!(error.unwrap_err().kind, ErrorKind::Busy);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn together_they_use_a_key_once() {
    let database = Database::fresh();
    let stores = stores(&database, 3).await;
    let (account, trunk) = (AccountId::random(), TrunkId::random());
    let key = IdempotencyKey {
        key: "order-4711".into(),
        fingerprint: "f00d".into(),
        expires_at: sample::at(9_999.0),
    };
    for limited in [false, true] {
        let key = IdempotencyKey { key: format!("{} {limited}", key.key), ..key.clone() };
        let mut inserts = JoinSet::new();
        for number in 0..30 {
            let (store, key) = (Arc::clone(&stores[number % 3]), key.clone());
            let mut call = sample::started_call(&account, &trunk, 1);
            if !limited {
                call.started_at = None;
            }
            inserts.spawn(async move {
                let inserted = store.insert(&mut call, Some(&key)).await.unwrap();
                (inserted, call.room_name().clone())
            });
        }
        let inserted = timeout(LONG, inserts.join_all()).await.unwrap();
        let new: Vec<_> = inserted.iter().filter(|(what, _)| *what == Inserted::New).collect();
        let [(_, winner)] = new.as_slice() else { panic!("{} are new", new.len()) };
        for (what, _) in &inserted {
            if let Inserted::Known { room_name, .. } = what {
                assert_eq!(room_name, winner);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn together_they_claim_each_call_once() {
    let database = Database::fresh();
    let stores = stores(&database, 4).await;
    let account = AccountId::random();
    let mut inserts = JoinSet::new();
    for number in 0..1_000 {
        let (store, mut call) = (Arc::clone(&stores[number % 4]), sample::call(&account));
        inserts.spawn(async move { store.insert(&mut call, None).await.map(drop) });
    }
    for inserted in inserts.join_all().await {
        inserted.unwrap();
    }
    let mut claims = JoinSet::new();
    for number in 0..16 {
        let store = Arc::clone(&stores[number % 4]);
        claims.spawn(async move {
            let node = NodeId::random();
            let mut own = Vec::new();
            // Nodes that gave no sign of life are dead to each other: only what is due is taken.
            while own.len() < 1_000 {
                let claimed = store.claim_due(&node, sample::START, 10).await.unwrap();
                let due: Vec<_> =
                    claimed.iter().filter(|call| call.version == 2).map(Call::room_name).collect();
                if due.is_empty() {
                    break;
                }
                own.extend(due.into_iter().cloned());
            }
            own
        });
    }
    let claimed = timeout(LONG, claims.join_all()).await.unwrap();
    let claimed: Vec<_> = claimed.into_iter().flatten().collect();
    let rooms: HashSet<_> = claimed.iter().collect();
    assert_eq!((claimed.len(), rooms.len()), (1_000, 1_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn together_they_keep_starts_apart() {
    let database = Database::fresh();
    let stores = stores(&database, 3).await;
    let trunk = TrunkId::random();
    // Not a whole number of anything.
    let spacing = Duration::from_nanos(333_333_333);
    let mut starts = JoinSet::new();
    for number in 0..48 {
        let (store, trunk) = (Arc::clone(&stores[number % 3]), trunk.clone());
        starts.spawn(async move {
            let latest = sample::at(1_000.0);
            store.reserve_start(&trunk, spacing, sample::START, latest).await.unwrap().unwrap()
        });
    }
    let mut starts = timeout(LONG, starts.join_all()).await.unwrap();
    starts.sort();
    let apart = TimeDelta::from_std(spacing).unwrap();
    let expected: Vec<_> = (0..48).map(|number| sample::START + apart * number).collect();
    assert_eq!(starts, expected);
}

/// A node that dies in the middle of a transaction holds neither its trunk nor its calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_left_open_is_undone() {
    let database = Database::fresh();
    undoes_what_a_dead_node_left_open(&database.url, &database.name).await;
}

pub(crate) async fn undoes_what_a_dead_node_left_open(url: &str, database: &str) {
    let mut settings = settings(url);
    settings.operation_timeout = Duration::from_secs(2);
    let store = MongoStore::open(settings).await.unwrap();
    store.prepare().await.unwrap();
    let trunk = TrunkId::random();
    let mut call = waiting(&store, &trunk, 2).await;
    let mut of_the_dead = waiting(&store, &trunk, 2).await;
    of_the_dead.owner = Some(NodeId::random());
    store.save(&mut of_the_dead).await.unwrap();

    let mut options = ClientOptions::parse(url).await.unwrap();
    options.app_name = Some("outdial".to_owned());
    let dead = Client::with_options(options).unwrap();
    let mut session = dead.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let raw = dead.database(database);
    for (collection, id) in
        [("trunk_channels", trunk.as_str()), ("calls", of_the_dead.room_name().as_str())]
    {
        let collection = raw.collection::<mongodb::bson::Document>(collection);
        let touch = doc! {"$inc": {"writes": 1_i64}};
        let touched = collection.update_one(doc! {"_id": id}, touch).upsert(true);
        touched.session(&mut session).await.unwrap();
    }

    let until = tokio::time::Instant::now() + LONG;
    call.started_at = Some(sample::at(1.0));
    while let Err(error) = store.save(&mut call).await {
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(tokio::time::Instant::now() < until, "it is still in the way");
    }
    let heir = NodeId::random();
    let claimed = store.claim_due(&heir, sample::at(-1.0), 9).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert!(session.commit_transaction().await.is_err());
}
