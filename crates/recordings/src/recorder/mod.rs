//! The port `Recordings`: captures, renders, and hands what was rendered to a keeper.

mod check;
mod files;
mod keep;
mod sweep;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use outdial_domain::ports::{
    AudioSink, Clock, KeepRequest, Keeper, RecordingSource, Recordings, SystemClock,
};
use outdial_domain::{Error, ErrorKind, Recording, Result, RoomName};
use tokio::sync::Semaphore;

pub(crate) use self::files::capture_path;
pub use self::sweep::Swept;

use self::files::{CallFiles, disk_error};
use crate::capture::{CaptureWriter, Limits, WriteBlock, write_block};

/// How long an open capture is waited for, before what is there is taken.
const CLOSE_WAIT: Duration = Duration::from_secs(3);

/// How calls are recorded.
#[derive(Clone)]
pub struct RecorderSettings {
    /// The folder of captures, and of rendered files until they are kept. For this user only.
    pub captures_dir: PathBuf,
    /// Bytes that all captures may have together; what comes then is missing in the recordings.
    pub max_capture_bytes: u64,
    /// Bytes that the capture of one call may have.
    pub max_call_bytes: u64,
    /// How many recordings are rendered at the same time, each on a thread of its own.
    pub render_threads: usize,
    /// How long recordings are to be kept; `None`: for ever.
    pub retention: Option<Duration>,
    /// How long a capture is kept that nobody asks for.
    pub unclaimed_for: Duration,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl RecorderSettings {
    /// Captures in this folder: 10 GiB of all calls and 512 MiB of one at most, one rendered at a
    /// time, kept for ever, thrown away when nobody asks for them within 7 days.
    pub fn new(captures_dir: impl Into<PathBuf>) -> Self {
        Self {
            captures_dir: captures_dir.into(),
            max_capture_bytes: 10 << 30,
            max_call_bytes: 512 << 20,
            render_threads: 1,
            retention: None,
            unclaimed_for: Duration::from_secs(7 * 24 * 3_600),
            clock: Arc::new(SystemClock),
        }
    }
}

impl std::fmt::Debug for RecorderSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecorderSettings")
            .field("captures_dir", &self.captures_dir)
            .field("max_capture_bytes", &self.max_capture_bytes)
            .field("max_call_bytes", &self.max_call_bytes)
            .field("render_threads", &self.render_threads)
            .field("retention", &self.retention)
            .field("unclaimed_for", &self.unclaimed_for)
            .finish_non_exhaustive()
    }
}

/// Records calls and keeps the recordings with any [`Keeper`].
///
/// It has one thread that writes captures; dropping it writes what is left and ends the thread.
pub struct Recorder {
    settings: RecorderSettings,
    keeper: Arc<dyn Keeper>,
    writer: CaptureWriter,
    /// Leave to render.
    renders: Arc<Semaphore>,
    calls: Mutex<HashMap<String, Weak<CallTurn>>>,
}

/// Who works on the files of a call.
#[derive(Debug, Default)]
struct CallTurn {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The call is being deleted: rendering it is of no use.
    deleting: AtomicBool,
}

impl Recorder {
    /// Opens, or creates, the folder of captures. Reads the sizes of what is in it, so it takes a
    /// moment.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or read, or no thread can be started.
    pub fn new(settings: RecorderSettings, keeper: Arc<dyn Keeper>) -> Result<Self> {
        Self::with_disk(settings, keeper, Box::new(write_block))
    }

    pub(crate) fn with_disk(
        settings: RecorderSettings,
        keeper: Arc<dyn Keeper>,
        write: Box<WriteBlock>,
    ) -> Result<Self> {
        let failed = |error| disk_error("recordings.open", error);
        let used = files::captured_bytes(&settings.captures_dir).map_err(failed)?;
        let limits = Limits { all: settings.max_capture_bytes, call: settings.max_call_bytes };
        let (dir, clock) = (settings.captures_dir.clone(), Arc::clone(&settings.clock));
        let writer = CaptureWriter::start(dir, limits, clock, used, write).map_err(failed)?;
        let renders = Arc::new(Semaphore::new(settings.render_threads.max(1)));
        Ok(Self { settings, keeper, writer, renders, calls: Mutex::default() })
    }

    fn files(&self, room: &RoomName) -> CallFiles {
        CallFiles::new(&self.settings.captures_dir, room)
    }

    fn call(&self, room: &RoomName) -> Arc<CallTurn> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.retain(|_, call| call.strong_count() > 0);
        if let Some(call) = calls.get(room.suffix()).and_then(Weak::upgrade) {
            return call;
        }
        let call = Arc::new(CallTurn::default());
        calls.insert(room.suffix().to_owned(), Arc::downgrade(&call));
        call
    }

    /// Ends the call's capture: waits for its sink to be dropped, but not for long.
    async fn end_capture(&self, room: &RoomName, wait: Duration) -> Result<()> {
        if tokio::time::timeout(wait, self.writer.closed(room)).await.is_ok() {
            return Ok(());
        }
        self.writer.close(room);
        let closed = tokio::time::timeout(CLOSE_WAIT, self.writer.closed(room)).await;
        closed.map_err(|_| {
            let message = "the disk does not take the end of the capture";
            Error::new(ErrorKind::Unavailable, "recordings.capture", message)
        })
    }

    /// Removes the call's files; the caller has its turn.
    async fn remove(&self, files: CallFiles) -> Result<()> {
        let removed = blocking("recordings.remove", move || files.remove()).await?;
        self.writer.removed(removed);
        Ok(())
    }
}

#[async_trait]
impl Recordings for Recorder {
    fn capture(&self, room: &RoomName) -> Box<dyn AudioSink> {
        self.writer.open(room)
    }

    async fn keep(&self, request: &KeepRequest) -> Result<Recording> {
        keep::keep(self, request).await
    }

    async fn done(&self, room: &RoomName) -> Result<()> {
        let call = self.call(room);
        let _turn = call.turn.lock().await;
        self.remove(self.files(room)).await
    }

    async fn captured(&self) -> Result<Vec<RoomName>> {
        let dir = self.settings.captures_dir.clone();
        blocking("recordings.captured", move || files::captured_rooms(&dir)).await
    }

    async fn open(&self, recording: &Recording) -> Result<RecordingSource> {
        self.keeper.open(&recording.key).await
    }

    async fn delete(&self, room: &RoomName, recording: Option<&Recording>) -> Result<()> {
        use std::sync::atomic::Ordering::Release;
        self.end_capture(room, Duration::ZERO).await?;
        let call = self.call(room);
        call.deleting.store(true, Release);
        let _turn = call.turn.lock().await;
        call.deleting.store(false, Release);
        let files = self.files(room);
        // Something was rendered: it may have been kept, though nobody heard of it.
        let kept = recording.is_some() || files.sidecar.exists();
        if kept {
            let key = recording.map_or_else(|| keep::key(room), |recording| recording.key.clone());
            self.keeper.delete(&key).await?;
        }
        self.remove(files).await
    }

    async fn check(&self) -> Result<()> {
        self.keeper.check().await?;
        check::check(self).await
    }
}

/// Runs work that waits for a disk; it goes on to its end also when the future is dropped.
async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| disk_error(operation, error)),
        Err(error) => Err(Error::new(ErrorKind::Internal, operation, "the work was broken off")
            .with_source(error)),
    }
}
