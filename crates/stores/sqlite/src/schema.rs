//! How a connection is set up, and how the file is brought to this program's schema.

use std::time::Duration;

use outdial_domain::ErrorKind;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::fault::{Fault, Outcome};

/// Migration `n` (counted from 1) brings a file of schema version `n - 1` to `n`. Released ones are
/// never changed.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_tombstones.sql"),
    include_str!("../migrations/0003_nodes.sql"),
];

/// "ODIL": marks the file as one of ours in its header.
const APPLICATION_ID: i32 = 0x4F44_494C;

/// How long a connection waits for another program, such as a backup tool, to let go.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many prepared statements a connection keeps: more than the store has.
const STATEMENTS: usize = 128;

/// Sets up the connection that writes.
pub(crate) fn set_up_writer(connection: &Connection) -> Outcome<()> {
    set_up(connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::decided(
            ErrorKind::Refused,
            format!(
                "the folder's file system cannot do write-ahead logging (journal mode {mode}): use a local disk"
            ),
        ));
    }
    connection.execute_batch(
        "-- A commit is on the disk, not only in the system's cache, before it returns.
         PRAGMA synchronous = FULL;
         -- 32 MB. The longer the log, the more often a page changes before it is moved into the
         -- main file, once: with the usual 1000 pages these moves are half of the work under load.
         PRAGMA wal_autocheckpoint = 8000;
         PRAGMA cache_size = -32768;
         -- What is deleted or moved is overwritten: an erased call leaves nothing in free pages.
         PRAGMA secure_delete = ON;",
    )?;
    Ok(())
}

/// Sets up a connection that reads.
pub(crate) fn set_up_reader(connection: &Connection) -> Outcome<()> {
    set_up(connection)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -8192;")?;
    Ok(())
}

fn set_up(connection: &Connection) -> Outcome<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;")?;
    Ok(())
}

/// Applies the migrations that are missing, all of them or none.
pub(crate) fn migrate(connection: &mut Connection, migrations: &[&str]) -> Outcome<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: usize = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    check_identity(&transaction, found)?;
    let Some(missing) = migrations.get(found..) else {
        let known = migrations.len();
        return Err(Fault::decided(
            ErrorKind::Corrupt,
            format!(
                "the database has schema version {found}, this program knows versions up to {known}: \
                 start a newer outdial, or restore a backup made before the upgrade"
            ),
        ));
    };
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", migrations.len())?;
    Ok(transaction.commit()?)
}

/// Refuses a database that another program has made.
fn check_identity(transaction: &Transaction<'_>, version: usize) -> Outcome<()> {
    let id: i32 = transaction.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let empty: bool =
        transaction
            .query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
    if id == APPLICATION_ID || (id == 0 && version == 0 && empty) {
        return Ok(());
    }
    let message = "the file is a database of another program: choose another path in store.url";
    Err(Fault::decided(ErrorKind::Refused, message))
}
