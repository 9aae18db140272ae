//! Group commit: what shares a transaction, and what does not.

use std::sync::{Arc, mpsc};

use outdial_domain::ports::{Calls, Store};
use outdial_domain::{AccountId, ErrorKind, NodeId};
use outdial_testkit::sample;
use tokio::task::{JoinHandle, JoinSet};

use super::{fresh, stored};
use crate::SqliteStore;
use crate::fault::Fault;

/// Keeps the writer busy until the sender is dropped; the task ends after that.
async fn hold_writer(store: &Arc<SqliteStore>) -> (mpsc::Sender<()>, JoinHandle<()>) {
    let (release, released) = mpsc::channel::<()>();
    let (started, running) = tokio::sync::oneshot::channel();
    let mut started = Some(started);
    let store = Arc::clone(store);
    let task = tokio::spawn(async move {
        let held = store.writer.run(move |_| {
            if let Some(started) = started.take() {
                started.send(()).unwrap();
            }
            // Fails when the sender is dropped, which is what it waits for.
            let _ = released.recv();
            Ok(())
        });
        held.await.unwrap();
    });
    running.await.unwrap();
    (release, task)
}

async fn wait_until_queued(store: &SqliteStore, requests: usize) {
    while store.writer.queued() < requests {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn all_that_wait_share_a_commit() {
    let (path, _folder) = fresh();
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    let before = store.write_stats();
    let (hold, _task) = hold_writer(&store).await;
    let mut tasks = JoinSet::new();
    for _ in 0..500 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { stored(&store).await });
    }
    wait_until_queued(&store, 500).await;
    drop(hold);
    tasks.join_all().await;
    let after = store.write_stats();
    assert_eq!(after.writes - before.writes, 501);
    let commits = after.commits - before.commits;
    assert!(commits <= 3, "{commits} commits for 501 writes");
}

#[tokio::test]
async fn a_failure_after_a_write_undoes_only_itself() {
    let (path, _folder) = fresh();
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    let (hold, _task) = hold_writer(&store).await;
    let mut tasks = JoinSet::new();
    for number in 0..10 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let written = store.writer.run(move |connection| {
                let sql = "INSERT INTO nodes (node_id, alive_until, document) VALUES (?1, 0, '{}')";
                connection.execute(sql, [number])?;
                match number {
                    3 => Err(Fault::decided(ErrorKind::Busy, "failed after a write")),
                    // SQLite can end a transaction by itself.
                    7 => Ok(connection.execute_batch("ROLLBACK; nonsense")?),
                    _ => Ok(()),
                }
            });
            (number, written.await.map_err(|fault| fault.describe().0))
        });
    }
    wait_until_queued(&store, 10).await;
    drop(hold);
    for (number, result) in tasks.join_all().await {
        let expected = match number {
            3 => Err(ErrorKind::Busy),
            7 => Err(ErrorKind::Internal),
            _ => Ok(()),
        };
        assert_eq!(result, expected, "{number}");
    }
    let nodes: Vec<String> = store
        .readers
        .run(|connection| {
            let mut statement = connection.prepare("SELECT node_id FROM nodes ORDER BY node_id")?;
            let nodes = statement.query_map([], |row| row.get(0))?;
            Ok(nodes.collect::<Result<_, _>>()?)
        })
        .unwrap();
    assert_eq!(nodes, ["0", "1", "2", "4", "5", "6", "8", "9"]);
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_dropped_store_finishes_what_waits() {
    let (path, _folder) = fresh();
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    let (hold, task) = hold_writer(&store).await;
    let call = sample::call(&AccountId::random());
    let mut waiting = call.clone();
    let mut insert = Box::pin(async { store.insert(&mut waiting, None).await });
    // Polled once, the request is in the queue; then its caller goes away.
    tokio::select! {
        biased;
        _ = &mut insert => panic!("the writer is held"),
        () = std::future::ready(()) => {}
    }
    drop(insert);
    drop(hold);
    task.await.unwrap();
    drop(Arc::into_inner(store).expect("the last reference"));
    let store = SqliteStore::open(&path).unwrap();
    assert!(store.get(call.room_name()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_damaged_document_stops_only_itself() {
    let (path, _folder) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    let damaged = stored(&store).await;
    let sound = stored(&store).await;
    let room = damaged.room_name().to_string();
    let damage = store.writer.run(move |connection| {
        let sql = "UPDATE calls SET document = '{' WHERE room_name = ?1";
        Ok(connection.execute(sql, [&room]).map(drop)?)
    });
    damage.await.unwrap();

    let error = store.get(damaged.room_name()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    let node = NodeId::random();
    let claimed = store.claim_due(&node, sample::START, 9).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].room_name(), sound.room_name());
    let again = store.claim_due(&node, sample::START, 9).await.unwrap();
    assert_eq!(again, []);
}
