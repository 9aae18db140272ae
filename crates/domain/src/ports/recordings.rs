//! Recordings: captured while a call runs, rendered after it, kept somewhere.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use url::Url;

use super::AudioSink;
use crate::{Recording, Result, RoomName};

/// An ended call whose recording is to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepRequest {
    /// The call.
    pub room_name: RoomName,
    /// When it was answered.
    pub answered_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
}

/// Where a kept recording can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordingSource {
    /// A file on this machine.
    File(PathBuf),
    /// A URL that gives it to whoever asks, for a short time.
    Url(Url),
}

/// Makes recordings.
///
/// Errors: [`NotFound`](crate::ErrorKind::NotFound) when there is nothing to be had, now or later;
/// all others may go away ([`Unavailable`](crate::ErrorKind::Unavailable),
/// [`Full`](crate::ErrorKind::Full), [`Refused`](crate::ErrorKind::Refused) by a wrong setting).
#[async_trait]
pub trait Recordings: Send + Sync {
    /// Where the audio of a call goes while it runs. What earlier captures of the same call hold
    /// stays: capturing goes on after a crash. Never fails: what cannot be captured is missing in the
    /// recording, which says so.
    fn capture(&self, room: &RoomName) -> Box<dyn AudioSink>;

    /// Renders what was captured and keeps it; the capture is removed when the recording is safe.
    ///
    /// Idempotent and resumable: after an error, a crash, or when the future was dropped, the same
    /// request goes on where it stopped, and one that was fulfilled before (but whose answer was
    /// lost) is answered again: [`done`](Recordings::done) says when that is no longer needed.
    /// `NotFound`: nothing was captured; the message says why.
    async fn keep(&self, request: &KeepRequest) -> Result<Recording>;

    /// The answer of [`keep`](Recordings::keep) is saved: whatever is left of the capture may go.
    async fn done(&self, room: &RoomName) -> Result<()>;

    /// The calls of which captures are on this machine, kept or not, in no order.
    async fn captured(&self) -> Result<Vec<RoomName>>;

    /// Where a kept recording can be read now.
    async fn open(&self, recording: &Recording) -> Result<RecordingSource>;

    /// Deletes whatever there is of a call: captures, and the recording if there is one. Deleting
    /// what is not there succeeds.
    async fn delete(&self, room: &RoomName, recording: Option<&Recording>) -> Result<()>;

    /// Succeeds when recordings could be kept now.
    async fn check(&self) -> Result<()>;
}

/// A rendered file to keep.
#[derive(Debug, Clone, Copy)]
pub struct KeepFile<'a> {
    /// Under which key: `recordings/call_{suffix}.ogg`.
    pub key: &'a str,
    /// The file.
    pub path: &'a Path,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its media type, `audio/ogg; codecs=opus`.
    pub content_type: &'a str,
    /// What may be kept beside it: names of `[a-z0-9-]`, values of printable ASCII.
    pub metadata: &'a [(&'a str, String)],
}

/// Keeps rendered files: a folder, or an object store.
#[async_trait]
pub trait Keeper: Send + Sync {
    /// Keeps a file under its key, durably and all or nothing: nobody ever sees a part of it. The
    /// file given is read and left alone; one that is not as long, or not of the SHA-256, that was
    /// said is [`Corrupt`](crate::ErrorKind::Corrupt), and a key that is no path of `[a-z0-9_.-]`
    /// below `recordings/` is [`Refused`](crate::ErrorKind::Refused).
    /// Keeping the same file under the same key again changes nothing; another file under that key
    /// replaces the first. Interrupted (an error, a crash, a dropped future), the next `put` of the
    /// same file goes on or begins anew, and leaves nothing behind. Returns the file's URL if the
    /// keeper has one that stays.
    async fn put(&self, file: &KeepFile<'_>) -> Result<Option<String>>;

    /// Where a file can be read now. Errors: `NotFound`.
    async fn open(&self, key: &str) -> Result<RecordingSource>;

    /// Deletes a file; deleting what is not there succeeds.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Removes what interrupted `put`s have left behind that were begun before `before`; returns how
    /// many.
    async fn sweep(&self, before: DateTime<Utc>) -> Result<u64>;

    /// Succeeds when files could be kept now.
    async fn check(&self) -> Result<()>;
}
