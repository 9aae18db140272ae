//! What can go wrong below, and what it means to a caller.

use outdial_domain::{Error, ErrorKind};
use rusqlite::{ErrorCode, ffi};

/// A failure inside the store, before it is known which operation it belongs to.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite failed.
    Sqlite(rusqlite::Error),
    /// A stored document cannot be read.
    Decode(serde_json::Error),
    /// A document cannot be written.
    Encode(serde_json::Error),
    /// The store decided against it.
    Decided(ErrorKind, String),
}

pub(crate) type Outcome<T> = Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Fault {
    pub(crate) fn decided(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Decided(kind, message.into())
    }

    pub(crate) fn closed() -> Self {
        Self::decided(ErrorKind::Unavailable, "the store is closed")
    }

    /// Kind and message, for several operations that failed together.
    pub(crate) fn describe(&self) -> (ErrorKind, String) {
        match self {
            Self::Sqlite(error) => describe(error),
            // Only the place: the text of a JSON error can quote a prompt or a phone number.
            Self::Decode(error) => (
                ErrorKind::Corrupt,
                format!(
                    "a stored document cannot be read: {:?} error at line {}, column {}",
                    error.classify(),
                    error.line(),
                    error.column()
                ),
            ),
            Self::Encode(error) => {
                (ErrorKind::Internal, format!("a document cannot be written as JSON: {error}"))
            }
            Self::Decided(kind, message) => (*kind, message.clone()),
        }
    }

    pub(crate) fn at(self, operation: &'static str) -> Error {
        let (kind, message) = self.describe();
        let error = Error::new(kind, operation, message);
        match self {
            Self::Sqlite(source) => error.with_source(source),
            _ => error,
        }
    }
}

fn describe(error: &rusqlite::Error) -> (ErrorKind, String) {
    use rusqlite::Error as E;
    let Some(code) = error.sqlite_error() else {
        let damaged = matches!(
            error,
            E::FromSqlConversionFailure(..)
                | E::InvalidColumnType(..)
                | E::IntegralValueOutOfRange(..)
        );
        let kind = if damaged { ErrorKind::Corrupt } else { ErrorKind::Internal };
        return (kind, error.to_string());
    };
    let (kind, what) = match code.code {
        ErrorCode::DiskFull => (ErrorKind::Full, "the disk is full, nothing was stored"),
        ErrorCode::SystemIoFailure if is_write(code.extended_code) => {
            (ErrorKind::Full, "the disk cannot be written, nothing was stored")
        }
        ErrorCode::SystemIoFailure => (ErrorKind::Unavailable, "the disk cannot be read"),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            (ErrorKind::Unavailable, "another program holds the database")
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            (ErrorKind::Corrupt, "the database is damaged, restore a backup")
        }
        ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied => (
            ErrorKind::Unavailable,
            "the database cannot be opened for writing, check its folder's permissions",
        ),
        _ => (ErrorKind::Internal, "SQLite failed"),
    };
    (kind, format!("{what} ({error})"))
}

fn is_write(extended_code: i32) -> bool {
    matches!(
        extended_code,
        ffi::SQLITE_IOERR_WRITE
            | ffi::SQLITE_IOERR_FSYNC
            | ffi::SQLITE_IOERR_DIR_FSYNC
            | ffi::SQLITE_IOERR_TRUNCATE
            | ffi::SQLITE_IOERR_SHMSIZE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let kind = |code| describe(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)).0;
        assert_eq!(kind(ffi::SQLITE_FULL), ErrorKind::Full);
        assert_eq!(kind(ffi::SQLITE_IOERR_WRITE), ErrorKind::Full);
        assert_eq!(kind(ffi::SQLITE_IOERR_FSYNC), ErrorKind::Full);
        assert_eq!(kind(ffi::SQLITE_IOERR_READ), ErrorKind::Unavailable);
        assert_eq!(kind(ffi::SQLITE_BUSY), ErrorKind::Unavailable);
        assert_eq!(kind(ffi::SQLITE_LOCKED), ErrorKind::Unavailable);
        assert_eq!(kind(ffi::SQLITE_CORRUPT), ErrorKind::Corrupt);
        assert_eq!(kind(ffi::SQLITE_NOTADB), ErrorKind::Corrupt);
        assert_eq!(kind(ffi::SQLITE_MISUSE), ErrorKind::Internal);
    }

    #[test]
    fn only_a_full_disk_is_called_full() {
        let text = |code| describe(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)).1;
        assert!(text(ffi::SQLITE_FULL).contains("disk is full"));
        assert!(!text(ffi::SQLITE_IOERR_WRITE).contains("disk is full"));
    }

    #[test]
    fn a_damaged_document_is_not_quoted() {
        let error = serde_json::from_str::<outdial_domain::AccountId>("\"+15550100000\"");
        let error = Fault::Decode(error.unwrap_err()).at("sqlite.get_call");
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(!error.to_string().contains("1555"));
    }
}
