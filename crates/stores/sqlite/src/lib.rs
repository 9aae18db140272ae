#![doc = include_str!("../README.md")]

mod archive;
mod calls;
mod codec;
mod directory;
mod erasure;
mod fault;
mod file;
mod keys;
mod listing;
mod logs;
mod nodes;
mod ownership;
mod readers;
mod schema;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use outdial_domain::ports::Store;
use outdial_domain::{ErrorKind, Result};
use rusqlite::Connection;

use self::fault::{Fault, Outcome};
use self::readers::Readers;
pub use self::writer::WriteStats;
use self::writer::Writer;

/// The store ports on one SQLite file.
///
/// Dropping it finishes what waits to be written and blocks until that is done; [`close`](Store::close)
/// does the same without blocking, moves all into the main file, and tells of failures.
#[derive(Debug)]
pub struct SqliteStore {
    // In this order: the last connection to close is the writer's, which tidies up the files.
    readers: Arc<Readers>,
    writer: Writer,
}

impl SqliteStore {
    /// Opens the database at `path`; makes it when there is none (its folder must be there), and
    /// brings an older one to this program's schema. Blocks the thread for as long as that takes.
    ///
    /// Errors: [`Refused`](outdial_domain::ErrorKind::Refused) when the path cannot be used or
    /// another process has the file open; [`Corrupt`](outdial_domain::ErrorKind::Corrupt) when the
    /// file is damaged or of a newer program; [`Full`](outdial_domain::ErrorKind::Full).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), schema::MIGRATIONS).map_err(|fault| fault.at("sqlite.open"))
    }

    fn open_with(path: &Path, migrations: &[&str]) -> Outcome<Self> {
        let lock = file::claim(path)?;
        let mut connection = file::connect(path)?;
        schema::set_up_writer(&connection)?;
        schema::migrate(&mut connection, migrations)?;
        file::flush_folder(path)?;
        let writer = Writer::start(connection, lock).map_err(|error| {
            let message = format!("no thread can be started: {error}");
            Fault::decided(ErrorKind::Unavailable, message)
        })?;
        Ok(Self { readers: Arc::new(Readers::new(path.to_owned())), writer })
    }

    /// What has been written since the store was opened, for metrics.
    pub fn write_stats(&self) -> WriteStats {
        self.writer.stats()
    }

    /// Reads, on this thread: a page in the cache takes microseconds, less than a way to another
    /// thread and back.
    fn run_read<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Outcome<T>,
    ) -> Result<T> {
        self.readers.run(work).map_err(|fault| fault.at(operation))
    }

    /// Reads what may take long, on one of the runtime's threads for that.
    async fn run_scan<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        let scan = tokio::task::spawn_blocking(move || readers.run(work)).await;
        let read = scan.unwrap_or_else(|error| {
            let message = format!("the read was not finished: {error}");
            Err(Fault::decided(ErrorKind::Unavailable, message))
        });
        read.map_err(|fault| fault.at(operation))
    }

    /// Writes: see [`Writer::run`].
    async fn run_write<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Outcome<T> + Send + 'static,
    {
        let written = self.writer.run(work).await;
        written.map_err(|fault| fault.at(operation))
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn check(&self) -> Result<()> {
        let now = codec::nanos(chrono::Utc::now());
        self.run_write("sqlite.check", move |connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO health (id, checked_at) VALUES (1, ?1)
                 ON CONFLICT DO UPDATE SET checked_at = excluded.checked_at",
            )?;
            Ok(statement.execute([now]).map(drop)?)
        })
        .await?;
        self.run_read("sqlite.check", |connection| {
            let mut statement = connection.prepare_cached("SELECT checked_at FROM health")?;
            Ok(statement.query_row([], |_| Ok(()))?)
        })
    }

    async fn agree(&self, name: &str, value: &str) -> Result<String> {
        let (name, value) = (name.to_owned(), value.to_owned());
        let write = move |connection: &Connection| nodes::agree(connection, &name, &value);
        self.run_write("sqlite.agree", write).await
    }

    async fn close(&self) -> Result<()> {
        self.readers.close();
        let closed = self.writer.close().await;
        closed.map_err(|fault| fault.at("sqlite.close"))
    }
}

#[cfg(test)]
mod tests;
