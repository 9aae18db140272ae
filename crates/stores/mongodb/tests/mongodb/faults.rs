//! Answers that tell of failures, and answers that do not come.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use outdial_domain::ports::{Calls, IdempotencyKey, Inserted, Store, Transcripts};
use outdial_domain::{AccountId, ErrorKind, Speaker, Tombstone, TrunkId};
use outdial_mongodb::MongoStore;
use outdial_testkit::sample;

use crate::database::{Database, stored};
use crate::member::ReplicaSet;

/// A server that fails as it is told.
struct Fixture {
    store: MongoStore,
    // Dropped before its server.
    _database: Database,
    set: ReplicaSet,
}

impl Fixture {
    async fn start() -> Self {
        let set = ReplicaSet::start(1).await;
        let database = Database::on(&set.url());
        let store = database.store().await;
        Self { store, _database: database, set }
    }

    /// Lets the store's next commands of this name fail.
    async fn fail(&self, times: i32, command: &str, how: Document) {
        let mut data = doc! {"failCommands": [command], "appName": "outdial"};
        data.extend(how);
        let mode = doc! {"times": times};
        let fail = doc! {"configureFailPoint": "failCommand", "mode": mode, "data": data};
        self.set.members[0].run(fail).await;
    }

    /// Ends that, once nothing is blocked any more.
    async fn heal(&self) {
        let heal = doc! {"configureFailPoint": "failCommand", "mode": "off"};
        self.set.members[0].run(heal).await;
    }
}

fn code(code: i32) -> Document {
    doc! {"errorCode": code}
}

/// The answer does not come.
fn hang_up() -> Document {
    doc! {"closeConnection": true}
}

/// The write is done, and not known to be on a majority.
fn no_majority() -> Document {
    doc! {"writeConcernError": {"code": 64, "codeName": "WriteConcernFailed", "errmsg": "late"}}
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_by_their_kind() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let mut call = stored(store).await;
    for (error_code, kind) in [
        (14_031, ErrorKind::Full),
        (13, ErrorKind::Refused),
        (18, ErrorKind::Refused),
        (50, ErrorKind::Unavailable),
        (10_107, ErrorKind::Unavailable),
        (91, ErrorKind::Unavailable),
        (1, ErrorKind::Internal),
    ] {
        // Twice: the driver tries some of them again.
        fixture.fail(2, "update", code(error_code)).await;
        let error = store.save(&mut call).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error_code}: {error}");
        assert_eq!(call.version, 1);
        fixture.heal().await;
    }
    store.check().await.unwrap();
    fixture.fail(1, "insert", code(14_031)).await;
    let mut other = sample::call(&call.order.account_id);
    let error = store.insert(&mut other, None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Full);
    assert!(!format!("{error:?}").contains("1555"), "{error:?}");
    assert_eq!(store.get(other.room_name()).await.unwrap(), None);
    store.save(&mut call).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_once_more() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    fixture.fail(1, "insert", hang_up()).await;
    let mut call = stored(store).await;
    fixture.fail(1, "update", hang_up()).await;
    store.save(&mut call).await.unwrap();
    fixture.fail(1, "find", hang_up()).await;
    let read = store.get(call.room_name()).await.unwrap().unwrap();
    assert_eq!((read.version, &read), (2, &call));
    let line = sample::line(Speaker::User, "Hello", 1.0);
    fixture.fail(1, "update", hang_up()).await;
    store.append(call.room_name(), std::slice::from_ref(&line)).await.unwrap();
    assert_eq!(store.read(call.room_name(), 0).await.unwrap(), [line]);
    let node = outdial_domain::NodeId::random();
    fixture.fail(1, "find", hang_up()).await;
    let claimed = store.claim_due(&node, sample::at(1.0), 9).await.unwrap();
    assert_eq!(claimed.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_doubt_is_unavailable_and_may_have_happened() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let mut call = sample::call(&AccountId::random());
    let key = IdempotencyKey {
        key: "order-1".into(),
        fingerprint: "f00d".into(),
        expires_at: sample::at(9_999.0),
    };
    fixture.fail(1, "insert", no_majority()).await;
    let error = store.insert(&mut call, Some(&key)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    let mut again = sample::call(&call.order.account_id);
    let known = store.insert(&mut again, Some(&key)).await.unwrap();
    let room_name = call.room_name().clone();
    assert_eq!(known, Inserted::Known { room_name, fingerprint: "f00d".into() });

    let mut call = store.get(call.room_name()).await.unwrap().unwrap();
    fixture.fail(1, "update", no_majority()).await;
    let error = store.save(&mut call).await.unwrap_err();
    assert_eq!((error.kind, call.version), (ErrorKind::Unavailable, 1));
    assert_eq!(store.save(&mut call).await.unwrap_err().kind, ErrorKind::Conflict);
    let stored = store.get(call.room_name()).await.unwrap().unwrap();
    assert_eq!(stored.version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_tried_again() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let account = AccountId::random();
    let trunk = TrunkId::random();
    let conflict = || doc! {"errorCode": 112, "errorLabels": ["TransientTransactionError"]};
    fixture.fail(3, "insert", conflict()).await;
    let mut call = sample::started_call(&account, &trunk, 2);
    store.insert(&mut call, None).await.unwrap();
    for how in [conflict(), hang_up(), no_majority()] {
        fixture.fail(2, "commitTransaction", how.clone()).await;
        let mut call = sample::started_call(&account, &TrunkId::random(), 1);
        let room = call.room_name().clone();
        store.insert(&mut call, None).await.unwrap_or_else(|error| panic!("{how}: {error}"));
        assert_eq!(store.get(&room).await.unwrap(), Some(call));
        fixture.heal().await;
    }
    fixture.fail(2, "delete", conflict()).await;
    store.erase(&call, &Tombstone::of(&call, sample::at(9.0))).await.unwrap();
    assert_eq!(store.get(call.room_name()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_ends_in_time() {
    let fixture = Fixture::start().await;
    let mut settings = crate::database::settings(&fixture.set.url());
    settings.operation_timeout = Duration::from_millis(300);
    let store = MongoStore::open(settings).await.unwrap();
    let mut call = stored(&fixture.store).await;
    store.check().await.unwrap_or_else(|error| assert_eq!(error.kind, ErrorKind::Unavailable));
    let block = || doc! {"blockConnection": true, "blockTimeMS": 2_000};
    for command in ["find", "update", "insert"] {
        fixture.fail(1, command, block()).await;
        let mut fresh = sample::call(&AccountId::random());
        let error = match command {
            "find" => store.get(call.room_name()).await.map(drop),
            "update" => store.save(&mut call).await,
            _ => store.insert(&mut fresh, None).await.map(drop),
        };
        let error = error.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{command}: {error}");
        assert!(error.to_string().contains("300ms"), "{error}");
        fixture.heal().await;
    }
}
