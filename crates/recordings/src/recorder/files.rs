//! The files of a call in the folder of captures.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use outdial_domain::{Error, ErrorKind, RoomName};
use serde::{Deserialize, Serialize};

use crate::capture::{captured_room, create_dir};

/// Where the capture of a call is.
pub(crate) fn capture_path(dir: &Path, room: &RoomName) -> PathBuf {
    dir.join(format!("call_{}.capture", room.suffix()))
}

/// All files that there may be of a call.
#[derive(Debug, Clone)]
pub(super) struct CallFiles {
    pub(super) capture: PathBuf,
    /// While it is rendered.
    pub(super) part: PathBuf,
    pub(super) rendered: PathBuf,
    pub(super) sidecar: PathBuf,
    sidecar_part: PathBuf,
}

/// What is known of a rendered file, kept beside it: a crash between rendering and keeping, or
/// between keeping and being asked, costs no second rendering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sidecar {
    /// Of the capture that was rendered.
    pub(super) capture_bytes: u64,
    pub(super) bytes: u64,
    /// In hex.
    pub(super) sha256: String,
    pub(super) duration_ms: u64,
    pub(super) begins_at: DateTime<Utc>,
    pub(super) gaps: Option<String>,
    /// Set when the keeper has it.
    pub(super) kept: Option<Kept>,
}

/// What the keeper answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) url: Option<String>,
    pub(super) at: DateTime<Utc>,
}

impl CallFiles {
    pub(super) fn new(dir: &Path, room: &RoomName) -> Self {
        let name = |end| dir.join(format!("call_{}.{end}", room.suffix()));
        Self {
            capture: capture_path(dir, room),
            part: name("ogg.part"),
            rendered: name("ogg"),
            sidecar: name("json"),
            sidecar_part: name("json.part"),
        }
    }

    /// The sidecar, if what it tells of is still there and nothing was captured since.
    pub(super) fn read_sidecar(&self) -> Option<Sidecar> {
        let sidecar: Sidecar = serde_json::from_slice(&fs::read(&self.sidecar).ok()?).ok()?;
        let rendered = length(&self.rendered) == Some(sidecar.bytes);
        let current = length(&self.capture).is_none_or(|bytes| bytes == sidecar.capture_bytes);
        (current && (rendered || sidecar.kept.is_some())).then_some(sidecar)
    }

    /// Notes that somebody asked for the call at this time.
    pub(super) fn claim(&self, now: SystemTime) -> io::Result<()> {
        for path in [&self.capture, &self.sidecar] {
            match OpenOptions::new().append(true).open(path) {
                Ok(file) => file.set_modified(now)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes the sidecar, all or nothing.
    pub(super) fn write_sidecar(&self, sidecar: &Sidecar) -> io::Result<()> {
        let mut file = create(&self.sidecar_part)?;
        file.write_all(&serde_json::to_vec(sidecar)?)?;
        file.sync_all()?;
        fs::rename(&self.sidecar_part, &self.sidecar)
    }

    /// Removes all; returns the bytes of the capture. The sidecar goes last: until then a request is
    /// answered from it.
    pub(super) fn remove(&self) -> io::Result<u64> {
        let captured = remove_capture(&self.capture)?;
        for file in [&self.part, &self.rendered, &self.sidecar_part, &self.sidecar] {
            remove(file)?;
        }
        Ok(captured)
    }
}

/// Creates a file for this user only, over what was there.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// The size of a file, if it is there.
pub(super) fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|about| about.len())
}

/// Removes a capture; returns its bytes.
pub(super) fn remove_capture(path: &Path) -> io::Result<u64> {
    let bytes = length(path).unwrap_or(0);
    Ok(if remove(path)? { bytes } else { 0 })
}

/// Removes a file; `false` when it was not there.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Bytes of all captures in the folder, which is created if it is not there.
pub(super) fn captured_bytes(dir: &Path) -> io::Result<u64> {
    create_dir(dir)?;
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|end| end == "capture") {
            bytes += length(&entry.path()).unwrap_or(0);
        }
    }
    Ok(bytes)
}

/// The calls of which captures are in the folder; one that does not say of which is left out.
pub(super) fn captured_rooms(dir: &Path) -> io::Result<Vec<RoomName>> {
    let mut rooms = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "capture") {
            continue;
        }
        match File::open(&path).and_then(captured_room) {
            Ok(room) => rooms.extend(room),
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rooms)
}

/// What a failure of the disk is to callers.
pub(super) fn disk_error(operation: &'static str, error: io::Error) -> Error {
    use io::ErrorKind as Disk;
    let (kind, message) = match error.kind() {
        Disk::StorageFull | Disk::QuotaExceeded => (ErrorKind::Full, "no space is left"),
        Disk::PermissionDenied | Disk::ReadOnlyFilesystem | Disk::NotADirectory => {
            (ErrorKind::Refused, "the folder of captures cannot be written")
        }
        _ => (ErrorKind::Internal, "the disk failed"),
    };
    Error::new(kind, operation, format_args!("{message} ({error})")).with_source(error)
}
