//! Opening, closing, migrating.

use std::path::Path;

use outdial_domain::ports::{
    Archive, CallFilter, Calls, Directory, PageRequest, Record, RecordKind, Store, Transcripts,
};
use outdial_domain::{ErrorKind, NodeId, Status, Tombstone};
use outdial_testkit::sample;
use rusqlite::Connection;

use super::{fresh, stored};
use crate::{SqliteStore, schema};

#[track_caller]
fn refusal(path: &Path) -> outdial_domain::Error {
    SqliteStore::open(path).expect_err("the file is refused")
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_close_and_after_a_drop() {
    let (path, _folder) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    let first = stored(&store).await;
    store.close().await.unwrap();
    let late = store.get(first.room_name()).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Unavailable);
    let late = store.check().await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Unavailable);
    // The closed value is still alive, and in nobody's way.
    let second_store = SqliteStore::open(&path).unwrap();
    let second = stored(&second_store).await;
    drop(second_store);
    let third_store = SqliteStore::open(&path).unwrap();
    for call in [first, second] {
        let read = third_store.get(call.room_name()).await.unwrap();
        assert_eq!(read, Some(call));
    }
}

#[tokio::test]
async fn a_close_leaves_one_file_with_everything() {
    let (path, folder) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    stored(&store).await;
    store.close().await.unwrap();
    assert!(!folder.path().join("outdial.db-wal").exists());
    let copy = Connection::open(&path).unwrap();
    let calls: u32 = copy.query_row("SELECT count(*) FROM calls", [], |row| row.get(0)).unwrap();
    assert_eq!(calls, 1);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let (path, folder) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    stored(&store).await;
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        files += 1;
    }
    assert_eq!(files, 4, "the database, its log, its shared memory, its lock");
}

#[test]
fn a_missing_folder_is_named() {
    let (path, _folder) = fresh();
    let path = path.join("no/outdial.db");
    let error = refusal(&path);
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn a_newer_schema_is_refused() {
    let (path, _folder) = fresh();
    drop(SqliteStore::open(&path).unwrap());
    let file = Connection::open(&path).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    let error = refusal(&path);
    assert_eq!(error.kind, ErrorKind::Corrupt);
    let text = error.to_string();
    for part in ["schema version 99", "up to 3", "start a newer outdial", "backup"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let (path, _folder) = fresh();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE calls (theirs TEXT)").unwrap();
    drop(other);
    assert_eq!(refusal(&path).kind, ErrorKind::Refused);
    let other = Connection::open(&path).unwrap();
    other.execute("INSERT INTO calls VALUES ('kept')", []).unwrap();
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let (path, _folder) = fresh();
    std::fs::write(&path, "not a database, but long enough to look at. ".repeat(100)).unwrap();
    assert_eq!(refusal(&path).kind, ErrorKind::Corrupt);
}

/// A file written by the first schema, as it will be found on disks for years.
#[tokio::test]
async fn a_file_of_schema_1_is_brought_up_to_date() {
    let (path, _folder) = fresh();
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("fixtures/v1.sql")).unwrap();
    drop(old);

    let store = SqliteStore::open(&path).unwrap();
    let account = store.account_named("acme", sample::START).await.unwrap();
    let page = PageRequest { limit: 9, after: None };
    let calls = store.list(&CallFilter::of(account.account_id.clone()), &page).await;
    let calls = calls.unwrap().items;
    let statuses: Vec<_> = calls.iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::Ended, Status::Queued]);
    let lines = store.read(calls[0].room_name(), 0).await.unwrap();
    assert_eq!(lines.len(), 2);
    let assistants = store.assistants(&account.account_id, &page).await;
    assert_eq!(assistants.unwrap().items.len(), 1);
    let trunks = store.trunks(&account.account_id, &page).await;
    assert_eq!(trunks.unwrap().items.len(), 1);
    let keys = store.keys(&account.account_id, &page).await;
    assert_eq!(keys.unwrap().items.len(), 1);
    let claimed = store.claim_due(&NodeId::random(), sample::at(1.0), 9).await;
    assert_eq!(claimed.unwrap().len(), 1);
}

/// The same for the second schema: its nodes said less of themselves, and its calls had no attention.
#[tokio::test]
async fn a_file_of_schema_2_is_brought_up_to_date() {
    let (path, _folder) = fresh();
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("fixtures/v2.sql")).unwrap();
    drop(old);

    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.nodes().await.unwrap(), [], "whoever was in the file is gone");
    let dead: NodeId = "ND_nu6f55fxzqk9".parse().unwrap();
    let owned = store.owned(&dead).await.unwrap();
    assert_eq!(owned.len(), 1);
    assert_eq!(owned[0].1, 2);
    assert_eq!(store.needing_attention(&dead).await.unwrap(), []);
    let counts = RecordKind::ALL.map(|kind| store.count(kind));
    for (kind, count) in RecordKind::ALL.into_iter().zip(counts) {
        let expected = if kind == RecordKind::Call { 2 } else { 1 };
        assert_eq!(count.await.unwrap(), expected, "{kind:?}");
    }
    let calls = store.export(RecordKind::Call, None, 9).await.unwrap();
    let Record::Call { call, idempotency_key } = &calls[0] else { panic!("a call") };
    assert_eq!(call.room_name(), &owned[0].0);
    assert_eq!(idempotency_key.as_ref().map(|key| key.key.as_str()), Some("order-4711"));

    // It can be claimed at once, changed by others, and erased.
    let heir = NodeId::random();
    let mut call = store.claim_due(&heir, sample::at(1.0), 9).await.unwrap().remove(0);
    assert_eq!((call.version, call.owner.as_ref()), (3, Some(&heir)));
    call.attention = true;
    store.save(&mut call).await.unwrap();
    assert_eq!(store.needing_attention(&heir).await.unwrap(), [call.room_name().clone()]);
    store.erase(&call, &Tombstone::of(&call, sample::at(2.0))).await.unwrap();
    let key = store.find_key(&call.order.account_id, "order-4711", sample::START).await;
    assert_eq!(key.unwrap(), None);
}

#[tokio::test]
async fn later_migrations_keep_the_rows_and_are_applied_once() {
    let (path, _folder) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    let call = stored(&store).await;
    store.close().await.unwrap();
    let mut migrations = schema::MIGRATIONS.to_vec();
    migrations.push("ALTER TABLE calls ADD COLUMN note TEXT NOT NULL DEFAULT ''");
    for _ in 0..2 {
        let store = SqliteStore::open_with(&path, &migrations).unwrap();
        let read = store.get(call.room_name()).await.unwrap();
        assert_eq!(read.as_ref(), Some(&call));
    }
    assert_eq!(refusal(&path).kind, ErrorKind::Corrupt, "for this program it is a newer one");
}

#[tokio::test]
async fn a_failed_migration_changes_nothing() {
    let (path, _folder) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    let call = stored(&store).await;
    drop(store);
    let mut migrations = schema::MIGRATIONS.to_vec();
    migrations.push("DROP TABLE transcript_lines; CREATE TABLE oh no;");
    SqliteStore::open_with(&path, &migrations).expect_err("the second statement is wrong");
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.get(call.room_name()).await.unwrap().as_ref(), Some(&call));
    assert_eq!(store.read(call.room_name(), 0).await.unwrap(), []);
}
