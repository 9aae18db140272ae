//! Recordings on a disk of their own, and an observer that hears everything.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use outdial_domain::ports::{
    AudioPacket, AudioSink, KeepRequest, Observation, ObserveRequest, Observer, RecordingSource,
    Recordings,
};
use outdial_domain::{
    AgentState, Error, ErrorKind, Hint, Recording, Result, RoomName, TranscriptStatus,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// More than is read at once.
pub(crate) const BYTES: usize = 200_000;

/// What every recording consists of: no two places look alike.
pub(crate) fn audio() -> Vec<u8> {
    (0..BYTES / 4).flat_map(|n| u32::try_from(n).unwrap().to_be_bytes()).collect()
}

pub(crate) struct Tape {
    folder: TempDir,
    pub(crate) script: Mutex<Script>,
}

/// What happens to recordings.
#[derive(Default, Clone)]
pub(crate) struct Script {
    /// How keeping fails.
    pub(crate) keep_fails: Option<ErrorKind>,
    /// How opening fails.
    pub(crate) open_fails: Option<ErrorKind>,
    /// How deleting fails.
    pub(crate) delete_fails: Option<ErrorKind>,
    /// Whether they are kept in a bucket.
    pub(crate) bucket: bool,
    /// For how long they are kept.
    pub(crate) retention: Option<Duration>,
}

impl Tape {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), script: Mutex::default() }
    }

    /// Changes what happens from now on.
    pub(crate) fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    pub(crate) fn file(&self, room: &str) -> PathBuf {
        let room: RoomName = room.parse().unwrap();
        self.folder.path().join(format!("call_{}.ogg", room.suffix()))
    }

    fn now(&self) -> Script {
        self.script.lock().unwrap().clone()
    }
}

fn fail(kind: Option<ErrorKind>, operation: &'static str) -> Result<()> {
    kind.map_or(Ok(()), |kind| Err(Error::new(kind, operation, "the test asked for it")))
}

struct Silence;

impl AudioSink for Silence {
    fn write(&mut self, _: &AudioPacket<'_>) {}
}

#[async_trait]
impl Recordings for Tape {
    fn capture(&self, _: &RoomName) -> Box<dyn AudioSink> {
        Box::new(Silence)
    }

    async fn keep(&self, request: &KeepRequest) -> Result<Recording> {
        let script = self.now();
        fail(script.keep_fails, "tape.keep")?;
        let name = format!("call_{}.ogg", request.room_name.suffix());
        std::fs::write(self.folder.path().join(&name), audio()).unwrap();
        let sha256 = Sha256::digest(audio()).iter().map(|byte| format!("{byte:02x}")).collect();
        let kept_at: DateTime<_> = request.ended_at + TimeDelta::seconds(1);
        Ok(Recording {
            key: format!("recordings/{name}"),
            url: script.bucket.then(|| format!("https://bucket.example.com/recordings/{name}")),
            bytes: BYTES as u64,
            sha256,
            duration_ms: 12_340,
            begins_at: request.answered_at.unwrap(),
            kept_at,
            expires_at: script.retention.map(|time| kept_at + time),
            gaps: None,
        })
    }

    async fn captured(&self) -> Result<Vec<RoomName>> {
        Ok(Vec::new())
    }
    async fn done(&self, _: &RoomName) -> Result<()> {
        Ok(())
    }

    async fn open(&self, recording: &Recording) -> Result<RecordingSource> {
        let script = self.now();
        fail(script.open_fails, "tape.open")?;
        Ok(match &recording.url {
            Some(url) => RecordingSource::Url(format!("{url}?signature=s%20s").parse().unwrap()),
            None => {
                let name = recording.key.strip_prefix("recordings/").unwrap();
                RecordingSource::File(self.folder.path().join(name))
            }
        })
    }

    async fn delete(&self, room: &RoomName, _: Option<&Recording>) -> Result<()> {
        fail(self.now().delete_fails, "tape.delete")?;
        // Deleting what is not there succeeds.
        let _ = std::fs::remove_file(self.file(room.as_str()));
        Ok(())
    }

    async fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// Says at once that the agent speaks and that every line was heard; the lines themselves come from
/// the sandbox.
pub(crate) struct Watcher;

impl Observer for Watcher {
    fn observe(&self, request: ObserveRequest) -> Observation {
        tokio::spawn(async move {
            let at = DateTime::UNIX_EPOCH;
            request.hints.send(Hint::AgentState { at, state: AgentState::Speaking }).await;
            let status = TranscriptStatus::Complete;
            request.hints.send(Hint::TranscriptEnded { status }).await;
        });
        Observation::new(())
    }
}
