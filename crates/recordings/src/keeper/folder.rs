//! Keeps files in a folder of this machine.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use outdial_domain::ports::{KeepFile, Keeper, RecordingSource};
use outdial_domain::{Error, ErrorKind, Result};

use super::digest::{self, Identity};
use super::{blocking, key};

/// Where files are written before they get their name, in the folder of all keys. No key can begin
/// so.
const INCOMING: &str = "recordings/.incoming";

/// Keeps files below a folder: the key is the path. Content type and metadata are not kept.
///
/// Folders are made with mode 0700, files with 0600. A file gets its name by a rename when it is
/// whole and on the disk, and `put` returns when the name is, too. Nothing is kept unless its size
/// and SHA-256 are right.
#[derive(Debug, Clone)]
pub struct FolderKeeper {
    root: PathBuf,
}

impl FolderKeeper {
    /// Keeps files in `root`, which is made when it is first needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

#[async_trait]
impl Keeper for FolderKeeper {
    async fn put(&self, file: &KeepFile<'_>) -> Result<Option<String>> {
        const OPERATION: &str = "folder.put";
        key::check(OPERATION, file.key)?;
        let (target, incoming) = (self.root.join(file.key), self.root.join(INCOMING));
        let (source, identity) = (file.path.to_owned(), Identity::of(file));
        blocking(OPERATION, move || put(&source, identity, &target, &incoming)).await?;
        Ok(None)
    }

    async fn open(&self, key: &str) -> Result<RecordingSource> {
        const OPERATION: &str = "folder.open";
        key::check(OPERATION, key)?;
        let path = self.root.join(key);
        blocking(OPERATION, move || match fs::metadata(&path) {
            Ok(found) if found.is_file() => Ok(RecordingSource::File(path)),
            Ok(_) => Err(not_there(OPERATION, &path)),
            Err(error) if is_absent(&error) => Err(not_there(OPERATION, &path)),
            Err(error) => Err(io_error(OPERATION, "looking at", &path, &error)),
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        const OPERATION: &str = "folder.delete";
        key::check(OPERATION, key)?;
        let path = self.root.join(key);
        blocking(OPERATION, move || match fs::remove_file(&path) {
            Ok(()) => sync_folder_of(OPERATION, &path),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(io_error(OPERATION, "deleting", &path, &error)),
        })
        .await
    }

    /// A `put` counts as begun when it last wrote: one that is still writing is left alone.
    async fn sweep(&self, before: DateTime<Utc>) -> Result<u64> {
        let incoming = self.root.join(INCOMING);
        blocking("folder.sweep", move || sweep(&incoming, before.into())).await
    }

    async fn check(&self) -> Result<()> {
        let incoming = self.root.join(INCOMING);
        blocking("folder.check", move || check(&incoming)).await
    }
}

fn put(source: &Path, identity: Identity, target: &Path, incoming: &Path) -> Result<()> {
    const OPERATION: &str = "folder.put";
    let failed = |doing, path: &Path, error: &io::Error| io_error(OPERATION, doing, path, error);
    let folder = target.parent().unwrap_or(target);
    make_folder(folder).map_err(|error| failed("making", folder, &error))?;
    let here = digest::is(target, identity);
    if here.map_err(|error| failed("reading", target, &error))? {
        // The crash may have come between the name and its way to the disk.
        return sync_folder_of(OPERATION, target);
    }
    make_folder(incoming).map_err(|error| failed("making", incoming, &error))?;
    // Removed when dropped, unless it has got its name. Its mode is 0600.
    let mut file = tempfile::Builder::new()
        .prefix("put-")
        .tempfile_in(incoming)
        .map_err(|error| failed("writing to", incoming, &error))?;
    digest::read_checked(OPERATION, source, identity, u64::MAX, file.as_file_mut())?;
    file.as_file().sync_all().map_err(|error| failed("writing", target, &error))?;
    file.persist(target).map_err(|error| failed("renaming to", target, &error.error))?;
    sync_folder_of(OPERATION, target)
}

fn sweep(incoming: &Path, before: SystemTime) -> Result<u64> {
    let failed =
        |doing, path: &Path, error: &io::Error| io_error("folder.sweep", doing, path, error);
    let entries = match fs::read_dir(incoming) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(0),
        Err(error) => return Err(failed("listing", incoming, &error)),
    };
    let mut removed = 0;
    for entry in entries {
        let path = entry.map_err(|error| failed("listing", incoming, &error))?.path();
        let swept = fs::metadata(&path).and_then(|found| found.modified()).and_then(|written| {
            if written < before { fs::remove_file(&path).map(|()| 1) } else { Ok(0) }
        });
        match swept {
            Ok(count) => removed += count,
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(failed("removing", &path, &error)),
        }
    }
    Ok(removed)
}

/// Writes something and removes it.
fn check(incoming: &Path) -> Result<()> {
    let failed = |error: io::Error| io_error("folder.check", "writing to", incoming, &error);
    make_folder(incoming).map_err(failed)?;
    let file = tempfile::Builder::new().prefix("check-").tempfile_in(incoming).map_err(failed)?;
    file.as_file().write_all(b"outdial").map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.close().map_err(failed)
}

/// Makes a folder and those above it, as they are missing, and sees each to the disk.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        make_folder(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => File::open(above.unwrap_or(Path::new(".")))?.sync_all(),
        // Another one was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_folder_of(operation: &'static str, path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| io_error(operation, "writing", folder, &error))
}

/// Not there, nor could it be.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn not_there(operation: &'static str, path: &Path) -> Error {
    Error::new(ErrorKind::NotFound, operation, format!("there is no file {}", path.display()))
}

/// What a failure of the file system means.
pub(super) fn io_error(
    operation: &'static str,
    doing: &str,
    path: &Path,
    error: &io::Error,
) -> Error {
    use io::ErrorKind as Io;
    let kind = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::Full,
        Io::PermissionDenied | Io::ReadOnlyFilesystem | Io::NotADirectory | Io::IsADirectory => {
            ErrorKind::Refused
        }
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, operation, format!("{doing} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
