//! Opening, preparing, closing.

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::IndexModel;
use mongodb::bson::doc;
use outdial_domain::ports::{Calls, Store};
use outdial_domain::{Error, ErrorKind};
use outdial_mongodb::MongoStore;
use tokio::task::JoinSet;

use crate::database::{Database, LONG, settings, stack, stored};
use crate::member::{Member, ReplicaSet, Setup, until};

/// The collections with the keys of their indexes.
async fn indexes(database: &Database) -> Vec<(String, Vec<IndexModel>)> {
    let raw = database.raw().await;
    let mut names = raw.list_collection_names().await.unwrap();
    names.sort();
    let mut indexes = Vec::new();
    for name in names {
        let of = raw.collection::<mongodb::bson::Document>(&name).list_indexes().await.unwrap();
        indexes.push((name, of.try_collect().await.unwrap()));
    }
    indexes
}

async fn refusal(url: &str) -> Error {
    match MongoStore::open(settings(url)).await {
        Ok(store) => store.prepare().await.expect_err("it is refused"),
        Err(error) => error,
    }
}

#[track_caller]
fn assert_says(error: &Error, kind: ErrorKind, parts: &[&str]) {
    assert_eq!(error.kind, kind, "{error}");
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{text} does not say {part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_can_prepare_at_once() {
    let database = Database::fresh();
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let settings = database.settings();
        tasks.spawn(async move {
            let store = MongoStore::open(settings).await.unwrap();
            store.prepare().await.unwrap();
            stored(&store).await
        });
    }
    let calls = tasks.join_all().await;
    let store = database.store().await;
    for call in calls {
        assert_eq!(store.get(call.room_name()).await.unwrap(), Some(call));
    }
    let alone = Database::fresh();
    alone.store().await;
    assert_eq!(format!("{:?}", indexes(&database).await), format!("{:?}", indexes(&alone).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn preparing_again_changes_nothing() {
    let database = Database::fresh();
    let store = database.store().await;
    let call = stored(&store).await;
    let before = format!("{:?}", indexes(&database).await);
    store.prepare().await.unwrap();
    let second = database.store().await;
    assert_eq!(format!("{:?}", indexes(&database).await), before);
    assert_eq!(second.get(call.room_name()).await.unwrap(), Some(call));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_operation_prepares() {
    let database = Database::fresh();
    let store = MongoStore::open(database.settings()).await.unwrap();
    let call = stored(&store).await;
    let prepared = Database::fresh();
    prepared.store().await;
    let made = format!("{:?}", indexes(&database).await);
    assert_eq!(made, format!("{:?}", indexes(&prepared).await));
    assert_eq!(store.get(call.room_name()).await.unwrap(), Some(call));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused() {
    let database = Database::fresh();
    database.store().await;
    let newer = doc! {"$set": {"version": 99}};
    let schema = database.collection("schema").await;
    let changed = schema.update_one(doc! {"_id": "schema"}, newer).await.unwrap();
    assert_eq!(changed.matched_count, 1);
    let error = refusal(&database.url).await;
    assert_says(&error, ErrorKind::Corrupt, &["99", "start a newer outdial"]);
    let store = MongoStore::open(database.settings()).await.unwrap();
    assert_eq!(store.check().await.unwrap_err().kind, ErrorKind::Corrupt);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_alone_is_refused() {
    let member = Member::start(Setup::default()).await;
    let error = refusal(&format!("mongodb://{}/", member.address)).await;
    assert_says(&error, ErrorKind::Refused, &["--replSet", "rs.initiate()"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_was_not_initiated_is_waited_for() {
    let member = Member::start(Setup::in_set()).await;
    let error = refusal(&format!("mongodb://{}/", member.address)).await;
    assert_says(&error, ErrorKind::Unavailable, &["rs.initiate()"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_not_repeated() {
    let url = stack("STACK_MONGODB_URL").replace("mongodb://", "mongodb://ann:s3cr3t-w0rd@");
    let database = Database::on(&url);
    let error = refusal(&database.url).await;
    assert_says(&error, ErrorKind::Refused, &["user", "password"]);
    assert!(!format!("{error:?} {error}").contains("s3cr3t"), "{error:?}");
    // Nothing is there that could be dropped.
    std::mem::forget(database);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_urls_are_refused_and_not_repeated() {
    for url in [
        "s3cr3t",
        "postgres://ann:s3cr3t@localhost/outdial",
        "mongodb://ann:s3cr3t",
        "mongodb://ann:s3cr3t@/outdial",
        "mongodb://ann:s3cr3t@localhost:99999/outdial",
        "mongodb://ann:p%zz-s3cr3t@localhost/outdial",
        "mongodb://ann:p@s3cr3t@localhost/outdial",
        "mongodb://ann:p/s3cr3t@localhost/outdial",
        "mongodb://ann:s3cr3t@localhost/outdial?tls=maybe",
        "mongodb://ann:s3cr3t@localhost/out$dial",
    ] {
        let error = refusal(url).await;
        assert_says(&error, ErrorKind::Refused, &[]);
        assert!(!format!("{error:?} {error}").contains("s3cr3t"), "{url}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_comes_up_later_is_waited_for() {
    let mut set = ReplicaSet::start(1).await;
    set.members[0].kill().await;
    let database = Database::on(&set.url());
    let mut settings = database.settings();
    settings.server_selection_timeout = Duration::from_millis(100);
    let store = MongoStore::open(settings).await.unwrap();
    for error in [store.prepare().await.unwrap_err(), store.check().await.unwrap_err()] {
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    }
    set.members[0].restart().await;
    until("store that works", async || store.check().await.ok()).await;
    stored(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_does_nothing() {
    let database = Database::fresh();
    let store = database.store().await;
    let call = stored(&store).await;
    store.close().await.unwrap();
    let late = store.get(call.room_name()).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Unavailable);
    let late = store.check().await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Unavailable);
    tokio::time::timeout(LONG, store.close()).await.expect("a second close ends").unwrap();
    assert_eq!(database.store().await.get(call.room_name()).await.unwrap(), Some(call));
}
