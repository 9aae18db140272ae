//! Recordings and observations whose every outcome a test chooses.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use outdial_domain::ports::{
    AudioPacket, AudioSink, HintSink, KeepRequest, Observation, ObserveRequest, Observer,
    RecordingSource, Recordings,
};
use outdial_domain::{Error, ErrorKind, Recording, Result, RoomName};
use tokio::sync::Notify;

pub(crate) fn recording(room: &RoomName) -> Recording {
    Recording {
        key: format!("recordings/call_{}.ogg", room.suffix()),
        url: None,
        bytes: 4711,
        sha256: "00".repeat(32),
        duration_ms: 5_000,
        begins_at: DateTime::UNIX_EPOCH,
        kept_at: DateTime::UNIX_EPOCH,
        expires_at: None,
        gaps: None,
    }
}

#[derive(Default)]
pub(crate) struct Tape {
    pub(crate) asked: Mutex<Vec<&'static str>>,
    /// How the next tries to keep a recording fail; then they succeed.
    pub(crate) keep_fails: Mutex<VecDeque<ErrorKind>>,
    /// How the next deletions fail; then they succeed.
    pub(crate) delete_fails: Mutex<VecDeque<ErrorKind>>,
    pub(crate) expires_at: Mutex<Option<DateTime<Utc>>>,
    /// The calls of which audio is on this machine.
    pub(crate) captured: Mutex<Vec<RoomName>>,
    /// Keeping waits for it.
    pub(crate) gate: Mutex<Option<Arc<Notify>>>,
}

impl Tape {
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| **asked == operation).count()
    }

    fn ask(&self, operation: &'static str, fails: &Mutex<VecDeque<ErrorKind>>) -> Result<()> {
        self.asked.lock().unwrap().push(operation);
        match fails.lock().unwrap().pop_front() {
            Some(kind) => Err(Error::new(kind, operation, "as the test wants it")),
            None => Ok(()),
        }
    }
}

struct Silence;

impl AudioSink for Silence {
    fn write(&mut self, _: &AudioPacket<'_>) {}
}

#[async_trait]
impl Recordings for Tape {
    fn capture(&self, room: &RoomName) -> Box<dyn AudioSink> {
        self.asked.lock().unwrap().push("capture");
        self.captured.lock().unwrap().push(room.clone());
        Box::new(Silence)
    }
    async fn keep(&self, request: &KeepRequest) -> Result<Recording> {
        self.ask("keep", &self.keep_fails)?;
        let gate = self.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.notified().await;
        }
        let expires_at = *self.expires_at.lock().unwrap();
        Ok(Recording { expires_at, ..recording(&request.room_name) })
    }
    async fn done(&self, room: &RoomName) -> Result<()> {
        self.captured.lock().unwrap().retain(|captured| captured != room);
        self.ask("done", &Mutex::default())
    }
    async fn captured(&self) -> Result<Vec<RoomName>> {
        Ok(self.captured.lock().unwrap().clone())
    }
    async fn open(&self, recording: &Recording) -> Result<RecordingSource> {
        Ok(RecordingSource::File(recording.key.clone().into()))
    }
    async fn delete(&self, room: &RoomName, _: Option<&Recording>) -> Result<()> {
        self.ask("delete", &self.delete_fails)?;
        self.captured.lock().unwrap().retain(|captured| captured != room);
        Ok(())
    }
    async fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// Hands a test the hint sinks of observations, and counts those that go on.
#[derive(Default)]
pub(crate) struct Watcher {
    pub(crate) sinks: Mutex<Vec<HintSink>>,
    pub(crate) with_audio: AtomicUsize,
    pub(crate) live: Arc<AtomicUsize>,
}

impl Watcher {
    pub(crate) fn sink(&self) -> HintSink {
        self.sinks.lock().unwrap().last().unwrap().clone()
    }
}

struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Observer for Watcher {
    fn observe(&self, request: ObserveRequest) -> Observation {
        self.sinks.lock().unwrap().push(request.hints);
        self.with_audio.fetch_add(usize::from(request.audio.is_some()), Ordering::SeqCst);
        self.live.fetch_add(1, Ordering::SeqCst);
        Observation::new(Live(self.live.clone()))
    }
}
