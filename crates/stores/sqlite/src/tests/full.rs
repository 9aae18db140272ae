//! A disk without space.

use std::sync::Arc;

use outdial_domain::ports::{Calls, IdempotencyKey, Inserted, Store};
use outdial_domain::{AccountId, ErrorKind};
use outdial_testkit::sample;
use tokio::task::JoinSet;

use super::{fresh, stored};
use crate::SqliteStore;

/// Lets the file grow by `pages` more; `None`: without a limit.
async fn limit_growth(store: &SqliteStore, pages: Option<u32>) {
    let limit = store.writer.run(move |connection| {
        let used: u32 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let limit = pages.map_or(u32::MAX - 1, |pages| used + pages);
        connection.pragma_update_and_check(None, "max_page_count", limit, |_| Ok(()))?;
        Ok(())
    });
    limit.await.unwrap();
}

fn key() -> IdempotencyKey {
    IdempotencyKey {
        key: "order-4711".into(),
        fingerprint: "body".into(),
        expires_at: sample::at(60.0),
    }
}

#[tokio::test]
async fn nothing_is_stored_or_acknowledged_and_work_goes_on_after() {
    let (path, _folder) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    let mut kept = stored(&store).await;
    limit_growth(&store, Some(0)).await;

    let mut call = sample::call(&AccountId::random());
    call.order_mut().assistant_prompt = "long ".repeat(10_000);
    for _ in 0..3 {
        let error = store.insert(&mut call, Some(&key())).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Full);
        assert!(error.to_string().contains("disk is full"), "{error}");
        assert_eq!(call.version, 0);
        assert_eq!(store.get(call.room_name()).await.unwrap(), None);
    }
    // What needs no more space still works.
    kept.dispatch_id = Some("AD_1".into());
    store.save(&mut kept).await.unwrap();

    limit_growth(&store, None).await;
    store.check().await.unwrap();
    let inserted = store.insert(&mut call, Some(&key())).await.unwrap();
    assert_eq!(inserted, Inserted::New, "the key was not used up");
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    for call in [kept, call] {
        let read = store.get(call.room_name()).await.unwrap();
        assert_eq!(read, Some(call));
    }
}

#[tokio::test]
async fn in_a_group_only_those_that_find_no_space_fail() {
    let (path, _folder) = fresh();
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    limit_growth(&store, Some(20)).await;
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut call = sample::call(&AccountId::random());
            let result = store.insert(&mut call, None).await;
            (result, call)
        });
    }
    let results = tasks.join_all().await;
    let mut new = 0;
    for (result, call) in results {
        let read = store.get(call.room_name()).await.unwrap();
        match result {
            Ok(_) => {
                assert_eq!(read, Some(call));
                new += 1;
            }
            Err(error) => {
                assert_eq!((error.kind, read), (ErrorKind::Full, None));
            }
        }
    }
    assert!((1..64).contains(&new), "{new} of 64 found space");
}
