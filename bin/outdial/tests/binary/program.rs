//! Running the built program in a folder of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;

/// Far more than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A working directory.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// The program with its arguments, without any settings from outside.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outdial"));
        let outer = std::env::vars_os().map(|(name, _)| name);
        for name in outer.filter(|name| name.to_string_lossy().starts_with("OUTDIAL_")) {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .current_dir(self.path())
            .env("OUTDIAL_SERVER__BIND", "127.0.0.1:0")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A key made while no server runs.
    pub(crate) fn key(&self) -> String {
        let made = self.run(&["keys", "create", "--account", "acme"]);
        assert!(made.status.success(), "{}", stderr(&made));
        stdout(&made).trim().to_owned()
    }

    /// A server that listens.
    pub(crate) fn serve(&self) -> Serving {
        let mut child = self
            .command(&["serve"])
            .env("OUTDIAL_LOG__FORMAT", "json")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            log.lines().map_while(Result::ok).try_for_each(|line| send.send(line))
        });
        let mut serving = Serving { child, lines, url: String::new() };
        let listening = serving.wait_for("listening");
        serving.url = format!("http://{}", listening["address"].as_str().unwrap());
        serving
    }
}

/// A running server; killed when dropped.
pub(crate) struct Serving {
    child: Child,
    lines: Receiver<String>,
    pub(crate) url: String,
}

impl Serving {
    /// The next log line with this message.
    pub(crate) fn wait_for(&mut self, message: &str) -> serde_json::Value {
        let mut seen = String::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no {message:?} in the log:\n{seen}");
            };
            let read: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if read["message"] == message {
                return read;
            }
            seen += &format!("{line}\n");
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end; whether the exit code was 0.
    pub(crate) fn ended_well(mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    /// The status and body of a GET.
    pub(crate) fn get(&self, path: &str, key: &str) -> (u16, String) {
        let url = format!("{}{path}", self.url);
        block_on(async {
            let answer = reqwest::Client::builder().no_proxy().build().unwrap();
            let answer = answer.get(url).header("x-api-key", key).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has ended already in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
