//! mongod processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::outdial::{free_port, signal_to};
use crate::{Stack, until};

/// How much of a log is shown when a test fails.
const LOG_TAIL: usize = 20;

/// A mongod of a test's own, with a folder and a port that stay the same over restarts.
#[derive(Debug)]
pub struct Mongod {
    port: u16,
    process: Mutex<Option<Running>>,
    disk: Option<SmallDisk>,
    folder: TempDir,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// Ends the process when ours ends in whatever way.
    _guard: Guard,
}

impl Mongod {
    /// Starts a member of the replica set of this name, which somebody has to initiate.
    pub(crate) async fn start(set: &str) -> Self {
        Self::with(set, None).await
    }

    /// One whose data is on a file system of so many megabytes.
    pub(crate) async fn on_small_disk(set: &str, megabytes: u32) -> Self {
        Self::with(set, Some(SmallDisk::mount(megabytes))).await
    }

    async fn with(set: &str, disk: Option<SmallDisk>) -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("set"), set).unwrap();
        let mongod = Self { port, process: Mutex::new(None), disk, folder };
        mongod.restart().await;
        mongod
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it again on the same folder and port, and waits until it listens.
    pub async fn restart(&self) {
        assert!(!self.runs());
        let set = std::fs::read_to_string(self.folder.path().join("set")).unwrap();
        let program = &Stack::get().mongod;
        let (mut command, data) = match &self.disk {
            None => (Command::new(program), self.folder.path().join("data")),
            Some(disk) => (disk.command(program), disk.inside.clone()),
        };
        if self.disk.is_none() {
            std::fs::create_dir_all(&data).unwrap();
        }
        command.args(["--replSet", &set, "--bind_ip", "127.0.0.1", "--nounixsocket"]);
        command.args(["--port", &self.port.to_string(), "--dbpath"]).arg(&data);
        command.args(["--oplogSize", "32", "--wiredTigerCacheSizeGB", "0.25"]);
        command.args(["--setParameter", "diagnosticDataCollectionEnabled=false"]);
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().expect("mongod: run scripts/real-stack build mongodb");
        let guard = Guard::of(&child);
        *self.process() = Some(Running { child, _guard: guard });
        until("mongod to listen", async || {
            assert!(self.runs(), "mongod ended:\n{}", self.log_tail());
            tokio::net::TcpStream::connect(self.address()).await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        let mut process = self.process();
        process.as_mut().is_some_and(|running| running.child.try_wait().unwrap().is_none())
    }

    /// `kill -9`; returns when the process is gone.
    pub fn kill(&self) {
        let mut running = self.process().take().expect("a mongod that was started");
        let _ = running.child.kill();
        running.child.wait().unwrap();
    }

    /// SIGSTOP: it does nothing until [`thaw`](Self::thaw).
    pub fn freeze(&self) {
        signal_to(&self.process().as_ref().expect("a mongod").child, Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        signal_to(&self.process().as_ref().expect("a mongod").child, Signal::CONT);
    }

    /// Its small disk.
    ///
    /// # Panics
    /// When it has none.
    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("a small disk")
    }

    fn process(&self) -> MutexGuard<'_, Option<Running>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().rev().take(LOG_TAIL).collect();
        lines.into_iter().rev().map(|line| format!("{line:.400}\n")).collect()
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        if self.process().is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("--- the end of the log of mongod at {}\n{}", self.port, self.log_tail());
        }
    }
}

/// A file system in memory that only processes started in it see, and that is as full as a test likes.
#[derive(Debug)]
pub struct SmallDisk {
    /// Holds the mount namespace open; ends with its input.
    keeper: Child,
    _input: ChildStdin,
    inside: PathBuf,
    _folder: TempDir,
}

impl SmallDisk {
    fn mount(megabytes: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o size=\"$1\" tmpfs \"$2\" && echo mounted && read -r _";
        let mut command = Command::new("unshare");
        // Also for users who are not root.
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.arg(format!("{megabytes}m")).arg(folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().expect("unshare (util-linux)");
        let mut said = String::new();
        let output = keeper.stdout.as_mut().expect("its output");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut said).unwrap();
        assert_eq!(said, "mounted\n", "user namespaces are needed for a small disk");
        let input = keeper.stdin.take().expect("its input");
        Self { keeper, _input: input, inside: folder.path().to_owned(), _folder: folder }
    }

    /// A program that sees the disk.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        let keeper = self.keeper.id().to_string();
        command.args(["--target", &keeper, "--user", "--preserve-credentials", "--mount"]);
        command.arg(program);
        command
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let script = "cat /dev/zero >>\"$0\" 2>&1";
        self.shell(script);
    }

    /// Removes what [`fill`](Self::fill) wrote.
    pub fn free(&self) {
        self.shell("rm -f \"$0\"");
    }

    fn shell(&self, script: &str) {
        let mut command = self.command(Path::new("sh"));
        let filling = self.inside.join("filling");
        command.args(["-c", script]).arg(filling).stdin(Stdio::null()).output().unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Kills another process when this one is gone, also if that was killed.
#[derive(Debug)]
struct Guard(Child);

impl Guard {
    fn of(child: &Child) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "read -r _; kill -9 \"$0\"", &child.id().to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
