//! Connections that read.
//!
//! In WAL mode a reader never waits for the writer, and each read sees all that was answered before
//! it began.

use std::path::PathBuf;
use std::sync::Mutex;

use rusqlite::{Connection, OpenFlags};

use crate::fault::{Fault, Outcome};
use crate::schema;

/// How many idle connections are kept.
const KEEP: usize = 16;

/// A pool that never makes a caller wait: when no connection is idle, another one is opened.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    // `None` once closed.
    idle: Mutex<Option<Vec<Connection>>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Some(Vec::new())) }
    }

    /// Runs `work` on a connection, on the caller's thread.
    pub(crate) fn run<T>(&self, work: impl FnOnce(&Connection) -> Outcome<T>) -> Outcome<T> {
        let idle = self.lock().as_mut().ok_or_else(Fault::closed)?.pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open()?,
        };
        let result = work(&connection);
        if let Some(idle) = self.lock().as_mut()
            && idle.len() < KEEP
        {
            idle.push(connection);
        }
        result
    }

    pub(crate) fn close(&self) {
        drop(self.lock().take());
    }

    fn open(&self) -> Outcome<Connection> {
        // Not read-only: a reader of a write-ahead log takes part in its locks. The setup forbids writes.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        schema::set_up_reader(&connection)?;
        Ok(connection)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Vec<Connection>>> {
        // A list of connections stays sound whatever panicked while it was locked.
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
