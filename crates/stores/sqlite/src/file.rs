//! The files on disk: who may read them, and that only one process has them.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use outdial_domain::ErrorKind;
use rusqlite::Connection;

use crate::fault::{Fault, Outcome};

/// The database's lock, held as long as the value lives. A process that dies loses it.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Takes the lock beside `path` (`{path}.lock`), and then makes the file if there is none.
pub(crate) fn claim(path: &Path) -> Outcome<Lock> {
    let lock = open_private(&lock_path(path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let message = format!(
                "{} is in use by another process: one database serves one node; stop that \
                 process, or give this one a data_dir of its own",
                path.display()
            );
            return Err(Fault::decided(ErrorKind::Refused, message));
        }
        Err(TryLockError::Error(error)) => return Err(refused(path, &error)),
    }
    // SQLite gives the files it makes beside this one the same permissions.
    open_private(path)?;
    Ok(Lock { _file: lock })
}

/// Opens the connection that writes to a claimed file.
pub(crate) fn connect(path: &Path) -> Outcome<Connection> {
    use rusqlite::OpenFlags;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(path, flags)?)
}

/// Makes sure that the folder remembers its new files after a loss of power.
pub(crate) fn flush_folder(path: &Path) -> Outcome<()> {
    let Some(folder) = path.parent().filter(|_| cfg!(unix)) else {
        return Ok(());
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let flushed = File::open(folder).and_then(|folder| folder.sync_all());
    flushed.map_err(|error| refused(path, &error))
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

fn open_private(path: &Path) -> Outcome<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| refused(path, &error))
}

fn refused(path: &Path, error: &std::io::Error) -> Fault {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull => ErrorKind::Full,
        _ => ErrorKind::Refused,
    };
    Fault::decided(kind, format!("{} cannot be opened: {error}", path.display()))
}
