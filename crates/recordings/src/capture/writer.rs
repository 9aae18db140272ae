//! The thread that writes captures: it empties the buffers of all open ones, twice a second.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use outdial_domain::RoomName;
use outdial_domain::ports::{AudioSink, Clock};
use tokio::sync::watch;

use super::format::{BlockKind, Gap, GapReason, HEAD, Record, next_record, push_gap, seal_block};
use super::sink::{CaptureSink, OpenCapture};
use crate::recorder::capture_path;

/// How often buffers are written: what a `kill -9` can cost at most.
const TICK: Duration = Duration::from_millis(500);
/// A buffer that grew over this while the disk was slow is not kept.
const KEPT_BUFFER: usize = 64 * 1024;

/// How blocks reach a file; a test puts a full disk here.
pub(crate) type WriteBlock = dyn Fn(&mut File, &[u8]) -> io::Result<()> + Send + Sync;

/// How much may be captured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of all captures.
    pub(crate) all: u64,
    /// Bytes of one.
    pub(crate) call: u64,
}

/// The file of one session, and the block that is being written to it.
#[derive(Debug, Default)]
pub(super) struct CaptureFile {
    file: Option<File>,
    block: Vec<u8>,
}

/// Writes captures on a thread of its own, which ends when this is dropped.
pub(crate) struct CaptureWriter {
    shared: Arc<Shared>,
    thread: Thread,
    join: Option<JoinHandle<()>>,
}

struct Shared {
    dir: PathBuf,
    limits: Limits,
    clock: Arc<dyn Clock>,
    open: Mutex<Vec<Arc<OpenCapture>>>,
    /// Bytes of all captures in the folder.
    used: AtomicU64,
    stop: AtomicBool,
    /// Counts the rounds of the writer.
    rounds: watch::Sender<u64>,
    write: Box<WriteBlock>,
}

impl CaptureWriter {
    /// Begins to write into `dir`, where captures of `used` bytes are.
    pub(crate) fn start(
        dir: PathBuf,
        limits: Limits,
        clock: Arc<dyn Clock>,
        used: u64,
        write: Box<WriteBlock>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            dir,
            limits,
            clock,
            open: Mutex::default(),
            used: AtomicU64::new(used),
            stop: AtomicBool::new(false),
            rounds: watch::Sender::new(0),
            write,
        });
        let run = Arc::clone(&shared);
        let join = thread::Builder::new().name("captures".into()).spawn(move || run.run())?;
        Ok(Self { shared, thread: join.thread().clone(), join: Some(join) })
    }

    /// Opens a session of a call's capture.
    pub(crate) fn open(&self, room: &RoomName) -> Box<dyn AudioSink> {
        let session = self.shared.clock.now().timestamp_micros();
        let call = self.shared.limits.call;
        let file = CaptureFile::default();
        let capture = Arc::new(OpenCapture::new(room.clone(), session, call, file));
        self.shared.open().push(Arc::clone(&capture));
        // It may have gone to sleep for long.
        self.thread.unpark();
        Box::new(CaptureSink { capture, writer: self.thread.clone() })
    }

    /// Returns when no session of the call is open, and all that it took in was written or given up.
    pub(crate) async fn closed(&self, room: &RoomName) {
        let mut rounds = self.shared.rounds.subscribe();
        while self.shared.is_open(room) {
            if rounds.changed().await.is_err() {
                return;
            }
        }
    }

    /// Closes the call's sessions: their sinks take no more.
    pub(crate) fn close(&self, room: &RoomName) {
        for capture in self.shared.open().iter().filter(|capture| capture.room == *room) {
            capture.seal();
        }
        self.thread.unpark();
    }

    /// The suffixes of the calls that have a session open.
    pub(crate) fn open_suffixes(&self) -> Vec<String> {
        self.shared.open().iter().map(|capture| capture.room.suffix().to_owned()).collect()
    }

    /// A capture of so many bytes was removed.
    pub(crate) fn removed(&self, bytes: u64) {
        let less = |used: u64| Some(used.saturating_sub(bytes));
        let _ = self.shared.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    /// Whether all captures together have reached their limit.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.used.load(Ordering::Acquire) >= self.shared.limits.all
    }
}

impl Drop for CaptureWriter {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.thread.unpark();
        if self.join.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes captures has panicked");
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Vec<Arc<OpenCapture>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_open(&self, room: &RoomName) -> bool {
        self.open().iter().any(|capture| capture.room == *room)
    }

    fn run(&self) {
        loop {
            let stop = self.stop.load(Ordering::Acquire);
            let open = self.open().clone();
            for capture in &open {
                let last = stop || capture.is_closed();
                let written = self.empty(capture);
                if last {
                    if let Err(reason) = written {
                        tracing::warn!(room = ?capture.room, reason = reason.as_str(),
                            "the end of a capture is lost");
                        self.note_lost(capture, reason);
                    }
                    self.open().retain(|other| !Arc::ptr_eq(other, capture));
                }
            }
            self.rounds.send_modify(|round| *round += 1);
            if stop {
                return;
            }
            thread::park_timeout(if open.is_empty() { 100 * TICK } else { TICK });
        }
    }

    /// Writes what a capture has buffered; what cannot be written is tried again the next time, and
    /// the buffer fills meanwhile.
    fn empty(&self, capture: &OpenCapture) -> Result<(), GapReason> {
        let mut file = capture.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut result = Ok(());
        // What was left from the last round, then what has come since.
        for _ in 0..2 {
            if file.block.len() <= HEAD {
                capture.take(&mut file.block);
            }
            if file.block.len() > HEAD && result.is_ok() {
                result = self.write(capture, &mut file);
            }
        }
        capture.set_blocked(result.err());
        result
    }

    fn write(&self, capture: &OpenCapture, file: &mut CaptureFile) -> Result<(), GapReason> {
        let length = file.block.len() as u64;
        if self.used.load(Ordering::Acquire).saturating_add(length) > self.limits.all {
            return Err(GapReason::Limit);
        }
        let CaptureFile { file, block } = file;
        let written = self.opened(capture, file).and_then(|file| {
            seal_block(block, BlockKind::Records, capture.session);
            self.append(file, block)
        });
        match written {
            Ok(()) => {
                block.clear();
                block.shrink_to(KEPT_BUFFER);
                Ok(())
            }
            Err(error) => {
                tracing::debug!(room = ?capture.room, %error, "a capture could not be written");
                Err(match error.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        GapReason::DiskFull
                    }
                    _ => GapReason::DiskFailed,
                })
            }
        }
    }

    /// Notes in the file that what is still buffered is lost, even beyond the limit if need be: a gap
    /// is small.
    fn note_lost(&self, capture: &OpenCapture, reason: GapReason) {
        let mut file = capture.file.lock().unwrap_or_else(PoisonError::into_inner);
        let CaptureFile { file, block } = &mut *file;
        let mut lost = vec![0; HEAD];
        while block.len() > HEAD {
            if let Some(gap) = gap_of(block.get(HEAD..).unwrap_or_default(), reason) {
                push_gap(&mut lost, &gap);
            }
            capture.take(block);
        }
        seal_block(&mut lost, BlockKind::Records, capture.session);
        let noted = self.opened(capture, file).and_then(|file| self.append(file, &lost));
        if let Err(error) = noted {
            tracing::debug!(room = ?capture.room, %error, "a gap could not be noted");
        }
    }

    /// The file; created, with the beginning of a session in it, when it is first needed.
    fn opened<'a>(
        &self,
        capture: &OpenCapture,
        file: &'a mut Option<File>,
    ) -> io::Result<&'a mut File> {
        if let Some(file) = file {
            return Ok(file);
        }
        create_dir(&self.dir)?;
        let path = capture_path(&self.dir, &capture.room);
        let mut options = OpenOptions::new();
        let mut created = options.append(true).create(true).mode(0o600).open(path)?;
        let earlier = created.metadata()?.len();
        self.append(&mut created, &session_block(capture))?;
        capture.add_earlier(earlier);
        Ok(file.insert(created))
    }

    /// Appends all of a block, or nothing if that can be.
    fn append(&self, file: &mut File, block: &[u8]) -> io::Result<()> {
        let before = file.metadata()?.len();
        let written = (self.write)(file, block);
        if written.is_err() {
            // If it fails too, a reader skips the torn block.
            let _ = file.set_len(before);
        } else {
            self.used.fetch_add(block.len() as u64, Ordering::AcqRel);
        }
        written
    }
}

/// What is missing when these records are.
fn gap_of(mut records: &[u8], reason: GapReason) -> Option<Gap> {
    let mut gap: Option<Gap> = None;
    while let Some(record) = next_record(&mut records) {
        let (packets, from, until) = match record {
            Record::Packet(packet) => (1, packet.arrival, packet.arrival),
            Record::Gap(gap) => (gap.packets, gap.from, gap.until),
        };
        let gap = gap.get_or_insert(Gap { reason, packets: 0, from, until });
        gap.packets = gap.packets.saturating_add(packets);
        gap.until = gap.until.max(until);
    }
    gap
}

fn session_block(capture: &OpenCapture) -> Vec<u8> {
    let mut block = vec![0; HEAD];
    let about = serde_json::json!({
        "format": "outdial capture",
        "version": super::format::VERSION,
        "room_name": capture.room.as_str(),
        "written_by": concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
    });
    block.extend_from_slice(about.to_string().as_bytes());
    seal_block(&mut block, BlockKind::Session, capture.session);
    block
}

/// Writes a block to the disk's cache: a crash of the program loses nothing of it.
pub(crate) fn write_block(file: &mut File, block: &[u8]) -> io::Result<()> {
    file.write_all(block)
}

/// Creates the folder, for this user only.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
