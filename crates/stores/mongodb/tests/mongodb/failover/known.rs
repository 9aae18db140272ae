//! Keys of calls that only the primary has.

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{Document, doc};
use outdial_domain::ports::{Calls, IdempotencyKey, Inserted};
use outdial_domain::{AccountId, Call, ErrorKind, TrunkId};
use outdial_mongodb::MongoStore;
use outdial_testkit::sample;

use super::{ONE_SET, answer};
use crate::database::Database;
use crate::member::{Member, ReplicaSet, until};

/// Lets a secondary take nothing from the primary any more.
async fn stop_replication(member: &Member) {
    let stop = doc! {"configureFailPoint": "stopReplProducer", "mode": "alwaysOn"};
    let entered = member.run(stop).await.get_i32("count").unwrap();
    let wait = doc! {
        "waitForFailPoint": "stopReplProducer",
        "timesEntered": entered + 1,
        "maxTimeMS": 90_000,
    };
    member.run(wait).await;
}

async fn go_on(member: &Member) {
    member.run(doc! {"configureFailPoint": "stopReplProducer", "mode": "off"}).await;
}

/// A request, which may come several times.
struct Request {
    account: AccountId,
    trunk: TrunkId,
    limit: Option<u32>,
    key: IdempotencyKey,
}

impl Request {
    fn new(limit: Option<u32>) -> Self {
        let key = IdempotencyKey {
            key: "the only one".into(),
            fingerprint: "f00d".into(),
            expires_at: sample::at(9_999.0),
        };
        Self { account: AccountId::random(), trunk: TrunkId::random(), limit, key }
    }

    fn call(&self) -> Call {
        let mut call = sample::started_call(&self.account, &self.trunk, 1);
        call.order_mut().max_concurrent_calls = self.limit;
        call
    }

    async fn insert(&self, store: &MongoStore) -> outdial_domain::Result<Inserted> {
        store.insert(&mut self.call(), Some(&self.key)).await
    }
}

async fn store_of_a_node(database: &Database) -> Arc<MongoStore> {
    let mut settings = database.settings();
    settings.operation_timeout = Duration::from_secs(2);
    let store = MongoStore::open(settings).await.unwrap();
    // The first operation prepares the database.
    answer!(store.nodes()).unwrap();
    Arc::new(store)
}

/// The trunk that a repeated request meets is full, has room, or has no limit: what it is told must
/// not go with the primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_a_failover_takes_away_was_never_known() {
    let _turn = ONE_SET.lock().await;
    let mut set = ReplicaSet::start(3).await;
    let database = Database::on(&set.url());
    let nodes = [store_of_a_node(&database).await, store_of_a_node(&database).await];
    let primary = set.primary().await;
    set.is_whole().await;
    let others: Vec<_> = (0..3).filter(|place| *place != primary).collect();
    for place in &others {
        stop_replication(&set.members[*place]).await;
    }

    let on_primary = set.members[primary].admin().await.client().database(&database.name);
    let calls = on_primary.collection::<Document>("calls");
    let requests = [Some(1), Some(2), None].map(|limit| Arc::new(Request::new(limit)));
    for request in &requests {
        let first = {
            let (node, request) = (Arc::clone(&nodes[0]), Arc::clone(request));
            tokio::spawn(async move { request.insert(&node).await })
        };
        let query = doc! {"account_id": request.account.as_str()};
        until("call on the primary", async || calls.find_one(query.clone()).await.unwrap()).await;
        let second = request.insert(&nodes[1]).await.expect_err("nothing is known of it");
        assert_eq!(second.kind, ErrorKind::Unavailable, "{:?}: {second}", request.limit);
        let first = first.await.unwrap().expect_err("it is not stored for good");
        assert_eq!(first.kind, ErrorKind::Unavailable, "{first}");
    }

    set.members[primary].kill().await;
    for place in others {
        go_on(&set.members[place]).await;
    }
    set.other_primary(primary).await;
    for request in &requests {
        let call = request.call();
        match answer!(nodes[1].insert(&mut call.clone(), Some(&request.key))).unwrap() {
            Inserted::New => {}
            // By a try whose answer was lost.
            Inserted::Known { room_name, .. } => assert_eq!(room_name, *call.room_name()),
        }
    }
}
