use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use outdial_domain::ports::{
    AudioCodec, AudioPacket, AudioSink, KeepFile, KeepRequest, Keeper, RecordingSource, Recordings,
    SystemClock,
};
use outdial_domain::{Error, ErrorKind, Result, RoomName, Speaker};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::{Recorder, RecorderSettings, Swept};
use crate::FolderKeeper;

#[derive(Clone)]
struct Shelved {
    key: String,
    metadata: Vec<(String, String)>,
}

/// A keeper in memory that can fail, or take its time.
struct Shelf {
    files: Mutex<Vec<Shelved>>,
    puts: Mutex<u32>,
    fails: Mutex<Option<ErrorKind>>,
    /// One is used up by each `put`.
    leave: Semaphore,
}

#[async_trait]
impl Keeper for Shelf {
    async fn put(&self, file: &KeepFile<'_>) -> Result<Option<String>> {
        *self.puts.lock().unwrap() += 1;
        self.leave.acquire().await.unwrap().forget();
        if let Some(kind) = *self.fails.lock().unwrap() {
            return Err(Error::new(kind, "shelf.put", "it fails"));
        }
        let bytes = std::fs::read(file.path).unwrap();
        assert_eq!(bytes.len() as u64, file.bytes);
        assert_eq!(Sha256::digest(&bytes)[..], file.sha256);
        assert_eq!(file.content_type, "audio/ogg; codecs=opus");
        let metadata = file.metadata.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let mut files = self.files.lock().unwrap();
        files.retain(|other| other.key != file.key);
        files.push(Shelved { key: file.key.to_owned(), metadata });
        Ok(Some(format!("https://shelf/{}", file.key)))
    }
    async fn open(&self, key: &str) -> Result<RecordingSource> {
        Ok(RecordingSource::File(key.into()))
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.files.lock().unwrap().retain(|other| other.key != key);
        Ok(())
    }
    async fn sweep(&self, _before: DateTime<Utc>) -> Result<u64> {
        Ok(3)
    }
    async fn check(&self) -> Result<()> {
        Ok(())
    }
}

struct Rig {
    dir: tempfile::TempDir,
    shelf: Arc<Shelf>,
    recorder: Arc<Recorder>,
}

impl Rig {
    fn new(leave: usize) -> Self {
        Self::with(leave, |_| {})
    }

    fn with(leave: usize, change: impl FnOnce(&mut RecorderSettings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Arc::new(Shelf {
            files: Mutex::default(),
            puts: Mutex::default(),
            fails: Mutex::default(),
            leave: Semaphore::new(leave),
        });
        let mut settings = RecorderSettings::new(dir.path());
        change(&mut settings);
        let keeper = Arc::clone(&shelf);
        let recorder = Arc::new(Recorder::new(settings, keeper).unwrap());
        Self { dir, shelf, recorder }
    }

    /// The same folder and keeper after a crash.
    fn restarted(mut self) -> Self {
        let settings = RecorderSettings::new(self.dir.path());
        let keeper = Arc::clone(&self.shelf);
        self.recorder = Arc::new(Recorder::new(settings, keeper).unwrap());
        self
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    fn file(&self, end: &str) -> std::path::PathBuf {
        self.dir.path().join(format!("call_abc123def456.{end}"))
    }

    async fn keep(&self) -> Result<outdial_domain::Recording> {
        let request = request();
        let kept = self.recorder.keep(&request);
        tokio::time::timeout(Duration::from_secs(90), kept).await.unwrap()
    }
}

fn room() -> RoomName {
    "550e8400-e29b-41d4-a716-446655440000_abc123def456".parse().unwrap()
}

fn request() -> KeepRequest {
    KeepRequest { room_name: room(), answered_at: None, ended_at: Utc::now() }
}

/// Speaks for so many packets of 20 ms.
fn speak(sink: &mut dyn AudioSink, packets: u16) {
    let now = Instant::now();
    for at in 0..packets {
        let payload: Vec<u8> = (0..160).map(|sample| 0x90 + (sample % 20) as u8 * 5).collect();
        sink.write(&AudioPacket {
            speaker: Speaker::User,
            stream: 1,
            codec: AudioCodec::Pcmu,
            sequence: at,
            timestamp: u32::from(at) * 160,
            arrived_at: now + Duration::from_millis(20) * u32::from(at),
            payload: &payload,
        });
    }
}

fn captured(recorder: &Recorder) {
    let mut sink = recorder.capture(&room());
    speak(&mut *sink, 100);
}

#[tokio::test]
async fn what_was_captured_is_kept_until_it_is_done() {
    let rig = Rig::with(9, |settings| settings.retention = Some(Duration::from_secs(3_600)));
    captured(&rig.recorder);
    let recording = rig.keep().await.unwrap();
    assert_eq!(recording.key, "recordings/call_abc123def456.ogg");
    assert_eq!(recording.url.as_deref(), Some("https://shelf/recordings/call_abc123def456.ogg"));
    assert_eq!((recording.duration_ms / 10, &recording.gaps), (199, &None));
    assert_eq!(recording.expires_at.unwrap() - recording.kept_at, chrono::TimeDelta::hours(1));
    // The answer was lost: the same again, and nothing is kept twice.
    assert_eq!(rig.keep().await.unwrap(), recording);
    let rig = rig.restarted();
    let again = rig.keep().await.unwrap();
    assert_eq!((again.kept_at, again.sha256), (recording.kept_at, recording.sha256));
    assert_eq!(*rig.shelf.puts.lock().unwrap(), 1);
    rig.recorder.done(&room()).await.unwrap();
    rig.recorder.done(&room()).await.unwrap();
    assert!(rig.names().is_empty());
    let files = rig.shelf.files.lock().unwrap().clone();
    let names: Vec<_> = files[0].metadata.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["room-name", "ended-at", "begins-at", "duration-ms"]);
    assert_eq!(files[0].metadata[0].1, room().as_str());
}

#[tokio::test]
async fn the_folder_tells_of_which_calls_it_has_captures() {
    let rig = Rig::new(9);
    assert_eq!(rig.recorder.captured().await.unwrap(), []);
    captured(&rig.recorder);
    rig.keep().await.unwrap();
    std::fs::write(rig.dir.path().join("call_torn.capture"), b"\x89ODCAP").unwrap();
    let rig = rig.restarted();
    assert_eq!(rig.recorder.captured().await.unwrap(), [room()], "kept or not");
    rig.recorder.done(&room()).await.unwrap();
    assert_eq!(rig.recorder.captured().await.unwrap(), []);
}

#[tokio::test]
async fn nothing_captured_is_not_found() {
    let rig = Rig::with(9, |settings| settings.max_capture_bytes = 100);
    let error = rig.keep().await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::NotFound, "nothing was captured"));
    captured(&rig.recorder);
    let error = rig.keep().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("all captures together had reached their limit"), "{error}");
    assert_eq!(rig.recorder.check().await.unwrap_err().kind, ErrorKind::Full);
    rig.recorder.done(&room()).await.unwrap();
    rig.recorder.check().await.unwrap();
}

#[tokio::test]
async fn a_failed_put_is_tried_again_without_rendering_again() {
    let rig = Rig::new(9);
    captured(&rig.recorder);
    *rig.shelf.fails.lock().unwrap() = Some(ErrorKind::Unavailable);
    assert_eq!(rig.keep().await.unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(
        rig.names(),
        ["call_abc123def456.capture", "call_abc123def456.json", "call_abc123def456.ogg"]
    );
    let rendered = std::fs::metadata(rig.file("ogg")).unwrap().modified().unwrap();
    *rig.shelf.fails.lock().unwrap() = None;
    let rig = rig.restarted();
    rig.keep().await.unwrap();
    assert_eq!(std::fs::metadata(rig.file("ogg")).unwrap().modified().unwrap(), rendered);
}

#[tokio::test]
async fn a_crash_at_any_stage_costs_nothing() {
    for lost in [vec![], vec!["json"], vec!["ogg"], vec!["json", "ogg"]] {
        let rig = Rig::new(9);
        captured(&rig.recorder);
        *rig.shelf.fails.lock().unwrap() = Some(ErrorKind::Unavailable);
        rig.keep().await.unwrap_err();
        for end in &lost {
            std::fs::remove_file(rig.file(end)).unwrap();
        }
        std::fs::write(rig.file("ogg.part"), b"half").unwrap();
        std::fs::write(rig.file("json.part"), b"half").unwrap();
        *rig.shelf.fails.lock().unwrap() = None;
        let rig = rig.restarted();
        let recording = rig.keep().await.unwrap();
        assert_eq!(recording.duration_ms / 10, 199, "{lost:?}");
        rig.recorder.done(&room()).await.unwrap();
        assert!(rig.names().is_empty());
    }
    // It was kept and half of what was left was removed when the answer was lost.
    let rig = Rig::new(9);
    captured(&rig.recorder);
    let recording = rig.keep().await.unwrap();
    std::fs::remove_file(rig.file("capture")).unwrap();
    std::fs::remove_file(rig.file("ogg")).unwrap();
    assert_eq!(rig.keep().await.unwrap(), recording);
    // A damaged sidecar is none.
    captured(&rig.recorder);
    std::fs::write(rig.file("json"), b"{").unwrap();
    rig.keep().await.unwrap();
}

#[tokio::test]
async fn what_is_captured_later_is_rendered_anew() {
    let rig = Rig::new(9);
    captured(&rig.recorder);
    let first = rig.keep().await.unwrap();
    captured(&rig.recorder);
    let both = rig.keep().await.unwrap();
    assert!(both.bytes > first.bytes);
    assert!(both.gaps.unwrap().starts_with("capturing was interrupted 1 times"));
}

#[tokio::test]
async fn a_dropped_keep_is_taken_up_by_the_next() {
    let rig = Rig::new(0);
    captured(&rig.recorder);
    // Dropped at every place where it waits, from the first on.
    for polls in 1..40 {
        let request = request();
        let mut keep = rig.recorder.keep(&request);
        for _ in 0..polls {
            if futures_ready(&mut keep).await {
                panic!("kept without leave");
            }
            tokio::task::yield_now().await;
        }
        drop(keep);
    }
    rig.shelf.leave.add_permits(9);
    assert_eq!(rig.keep().await.unwrap().duration_ms / 10, 199);
}

/// Polls a future once; whether it is ready.
async fn futures_ready<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_ready())
    })
    .await
}

#[tokio::test]
async fn keeps_at_the_same_time_agree() {
    let rig = Rig::new(9);
    captured(&rig.recorder);
    let (request, other) = (request(), request());
    let (one, two) = tokio::join!(rig.recorder.keep(&request), rig.recorder.keep(&other));
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(*rig.shelf.puts.lock().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_capture_that_stays_open_is_waited_for_only_for_a_while() {
    let rig = Rig::new(9);
    let mut sink = rig.recorder.capture(&room());
    speak(&mut *sink, 100);
    // Time stands still here while the writer's thread works, and leaps when nothing else is to do.
    let error = loop {
        match rig.recorder.keep(&request()).await {
            Ok(recording) => break Ok(recording),
            Err(error) if error.kind == ErrorKind::Unavailable => std::thread::yield_now(),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(error.unwrap().duration_ms / 10, 199);
    speak(&mut *sink, 100);
    drop(sink);
    assert_eq!(rig.recorder.keep(&request()).await.unwrap().duration_ms / 10, 199);
}

#[tokio::test]
async fn deleting_leaves_nothing() {
    let rig = Rig::new(9);
    rig.recorder.delete(&room(), None).await.unwrap();
    captured(&rig.recorder);
    let recording = rig.keep().await.unwrap();
    let mut open = rig.recorder.capture(&room());
    speak(&mut *open, 10);
    rig.recorder.delete(&room(), Some(&recording)).await.unwrap();
    assert!(rig.names().is_empty() && rig.shelf.files.lock().unwrap().is_empty());
    // It was kept, but nobody was told.
    captured(&rig.recorder);
    rig.keep().await.unwrap();
    rig.recorder.delete(&room(), None).await.unwrap();
    assert!(rig.names().is_empty() && rig.shelf.files.lock().unwrap().is_empty());
    assert_eq!(rig.keep().await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn what_nobody_asks_for_is_swept() {
    let rig = Rig::new(9);
    captured(&rig.recorder);
    rig.keep().await.unwrap();
    std::fs::write(rig.file("ogg.part"), b"half").unwrap();
    std::fs::write(rig.dir.path().join("notes.txt"), b"not ours").unwrap();
    let swept = rig.recorder.sweep().await.unwrap();
    assert_eq!(swept, Swept { uploads: 3, parts: 0, captures: 0 });
    let age = |days: u64| {
        for name in rig.names() {
            let file = std::fs::File::options().write(true).open(rig.dir.path().join(name));
            let then = SystemTime::now() - Duration::from_secs(days * 86_400);
            file.unwrap().set_modified(then).unwrap();
        }
    };
    age(2);
    let swept = rig.recorder.sweep().await.unwrap();
    assert_eq!(swept, Swept { uploads: 3, parts: 1, captures: 0 });
    age(8);
    let swept = rig.recorder.sweep().await.unwrap();
    assert_eq!(swept, Swept { uploads: 3, parts: 0, captures: 1 });
    assert_eq!(rig.names(), ["notes.txt"]);
}

#[tokio::test]
async fn what_a_dead_keeper_holds_up_is_not_swept() {
    let rig = Rig::new(9);
    captured(&rig.recorder);
    *rig.shelf.fails.lock().unwrap() = Some(ErrorKind::Unavailable);
    rig.keep().await.unwrap_err();
    for name in rig.names() {
        let file = std::fs::File::options().write(true).open(rig.dir.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(30 * 86_400)).unwrap();
    }
    // A month later it is still asked for.
    rig.keep().await.unwrap_err();
    rig.recorder.sweep().await.unwrap();
    assert_eq!(rig.names().len(), 3, "{:?}", rig.names());
    *rig.shelf.fails.lock().unwrap() = None;
    rig.keep().await.unwrap();
}

#[tokio::test]
async fn what_is_kept_is_swept_though_nobody_said_that_it_is_done() {
    let rig = Rig::new(9);
    captured(&rig.recorder);
    rig.keep().await.unwrap();
    let sidecar = std::fs::read_to_string(rig.file("json")).unwrap();
    let mut sidecar: serde_json::Value = serde_json::from_str(&sidecar).unwrap();
    sidecar["kept"]["at"] = serde_json::json!(Utc::now() - chrono::TimeDelta::hours(2));
    std::fs::write(rig.file("json"), sidecar.to_string()).unwrap();
    let swept = rig.recorder.sweep().await.unwrap();
    assert_eq!(swept.captures, 1);
    assert_eq!(rig.names(), Vec::<String>::new());
}

const KILLED: &str = "OUTDIAL_TEST_CAPTURES";

/// Run by the next test in a process of its own.
#[test]
fn captures_until_it_is_killed() {
    let Ok(dir) = std::env::var(KILLED) else { return };
    let keeper = Arc::new(FolderKeeper::new(Path::new(&dir).join("kept")));
    let recorder = Recorder::new(RecorderSettings::new(&dir), keeper).unwrap();
    let file = super::capture_path(Path::new(&dir), &room());
    let mut sink = recorder.capture(&room());
    for burst in 0_u64.. {
        speak(&mut *sink, 50);
        if burst > 10 && std::fs::metadata(&file).is_ok_and(|about| about.len() > 100_000) {
            println!("\nwritten");
        }
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_killed_capture_is_kept_and_goes_on() {
    let rig = Rig::new(9);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["recorder::tests::captures_until_it_is_killed", "--exact", "--nocapture"])
        .env(KILLED, rig.dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "written"));
    child.kill().unwrap();
    child.wait().unwrap();
    let _ = std::fs::remove_dir_all(rig.dir.path().join("kept"));
    let rig = rig.restarted();
    captured(&rig.recorder);
    let recording = rig.keep().await.unwrap();
    let gaps = recording.gaps.unwrap();
    // A kill in the middle of a write leaves half a block behind.
    let told = ["capturing was interrupted 1 times", "bytes of the capture were damaged"];
    assert!(told.iter().any(|told| gaps.contains(told)), "{gaps}");
    assert!(recording.duration_ms > 2_000);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let mut settings = RecorderSettings::new(file.join("captures"));
    settings.clock = Arc::new(SystemClock);
    let keeper = Arc::new(FolderKeeper::new(dir.path()));
    let error = Recorder::new(settings, keeper).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Refused);
}
