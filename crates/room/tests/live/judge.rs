//! A participant on libwebrtc: `tests/peers/room/judge.py`.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::heard::Heard;
use crate::log::Log;
use crate::stack::{Place, setting};

/// Topics of text and byte streams that the judge reads.
const TOPICS: [&str; 3] = ["lk.transcription", "lk.chat", "files"];

/// A process of the judge. It ends with the value.
#[derive(Debug)]
pub(crate) struct Judge {
    stdin: Mutex<ChildStdin>,
    lines: Arc<Log<Value>>,
    next: AtomicU64,
    _process: Child,
}

impl Judge {
    /// A judge that is in no room yet.
    pub(crate) async fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/room/judge.py");
        let mut command = Command::new(setting("STACK_PYTHON"));
        command.arg("-B").arg(script).kill_on_drop(true);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Log::new());
        tokio::spawn(read(process.stdout.take().unwrap(), Arc::clone(&lines)));
        let stdin = Mutex::new(process.stdin.take().unwrap());
        let judge = Self { stdin, lines, next: AtomicU64::new(1), _process: process };
        judge.told(0, "ready", |_| true).await;
        judge
    }

    /// A judge in a room.
    pub(crate) async fn joined(place: &Place, identity: &str) -> Self {
        let judge = Self::start().await;
        judge.join(place, identity).await;
        judge
    }

    /// Joins a room; whom it sees there.
    pub(crate) async fn join(&self, place: &Place, identity: &str) -> Value {
        let join = json!({"url": place.url, "token": place.token(identity), "topics": TOPICS});
        self.obeys("join", join).await["sees"].clone()
    }

    /// Publishes a tone; the id of the track.
    pub(crate) async fn plays(&self, hz: f64) -> String {
        let answer = self.obeys("publish", json!({"hz": hz})).await;
        answer["track"].as_str().unwrap().to_owned()
    }

    /// Does what it is told; its answer.
    pub(crate) async fn obeys(&self, command: &str, arguments: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut line = arguments;
        line["id"] = json!(id);
        line["do"] = json!(command);
        let from = self.now();
        self.stdin.lock().await.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let pick = |line: &Value| (line["reply"] == json!(id)).then(|| line.clone());
        let answer = self.lines.first(&format!("the answer to {command}"), from, pick).await;
        assert!(answer["error"].is_null(), "{command}: {answer}");
        answer
    }

    /// A place in what it has told: wait from here.
    pub(crate) fn now(&self) -> usize {
        self.lines.len()
    }

    /// Waits for an event.
    pub(crate) async fn told(
        &self,
        from: usize,
        event: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        let pick = |line: &Value| (line["event"] == event && fits(line)).then(|| line.clone());
        self.lines.first(&format!("the judge to tell of {event}"), from, pick).await
    }

    /// All events of a kind so far.
    pub(crate) fn all(&self, from: usize, event: &str) -> Vec<Value> {
        self.lines.picked(from, |line| (line["event"] == event).then(|| line.clone()))
    }

    /// The seconds it has heard of somebody since a place.
    pub(crate) fn heard(&self, from: usize, identity: &str) -> Vec<Heard> {
        self.lines.picked(from, |line| heard_of(line, identity))
    }

    /// Waits until it has heard somebody for so many seconds in a row, each as `fits` wants it.
    pub(crate) async fn hears(
        &self,
        from: usize,
        identity: &str,
        seconds: usize,
        fits: impl Fn(&Heard) -> bool,
    ) -> Vec<Heard> {
        // Other lines come between the seconds.
        let mut run = 0;
        let what = format!("the judge to hear {identity} for {seconds} s");
        let pick = |line: &Value| {
            if let Some(heard) = heard_of(line, identity) {
                run = if fits(&heard) { run + 1 } else { 0 };
            }
            (run >= seconds).then_some(())
        };
        self.lines.first(&what, from, pick).await;
        let mut heard = self.heard(from, identity);
        heard.retain(|h| fits(h));
        heard
    }
}

fn heard_of(line: &Value, identity: &str) -> Option<Heard> {
    if line["event"] != "heard" || line["from"] != identity {
        return None;
    }
    Some(Heard {
        hz: line["hz"].as_f64()?,
        dbfs: line["dbfs"].as_f64()?,
        purity: line["purity"].as_f64()?,
        dropouts: usize::try_from(line["dropouts"].as_u64()?).ok()?,
    })
}

async fn read(stdout: ChildStdout, log: Arc<Log<Value>>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // libwebrtc may write lines of its own
        if let Ok(value) = serde_json::from_str::<Value>(&line) {
            log.push(value);
        }
    }
    log.push(json!({"event": "exit"}));
}
