//! A server process.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Api, until};

/// Names the arguments of a server process, one a line. Its presence makes [`serve_child`] one.
const ARGUMENTS: &str = "SERVE_CHILD_ARGUMENTS";
/// The command of the program that serves.
const SERVE: &str = "serve";
/// How much of a log is shown when a test fails.
const LOG_TAIL: usize = 8 * 1024;

/// The program `outdial`, when this process was started to be it; else nothing. Every test target
/// calls this in a test of the name `serve_child`.
///
/// # Panics
/// When the program fails.
pub fn serve_child() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    if arguments == SERVE {
        std::thread::spawn(|| {
            // The other end is held by the test: its end is ours, however it comes.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::abort();
        });
    }
    let arguments = std::iter::once("outdial").chain(arguments.lines());
    let code = ::outdial::cli::main_from(arguments);
    assert_eq!(code, std::process::ExitCode::SUCCESS);
}

/// A server in a process of its own, with a folder, a port and an admin's key that stay the same
/// over restarts.
#[derive(Debug)]
pub struct Outdial {
    address: SocketAddr,
    key: String,
    settings: Vec<(String, String)>,
    /// Answers as soon as this path says 200.
    ready_path: &'static str,
    folder: PathBuf,
    process: Mutex<Option<Child>>,
    /// Removes the folder at the end.
    _folder: Option<TempDir>,
}

impl Outdial {
    /// Starts a server on a free port and a fresh folder, and waits until it is ready. The settings
    /// are added to those that tests need, such as `("sandbox.time_scale", "0.1")`.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_at(free_port(), settings).await
    }

    /// [`start`](Self::start) on a given port.
    pub async fn start_at(port: u16, settings: &[(&str, &str)]) -> Self {
        let outdial = Self::prepare(port, settings, None, "/readyz");
        outdial.spawn().await;
        outdial
    }

    /// [`start`](Self::start), but waits only until the server answers: for one that will never be
    /// ready.
    pub async fn start_unready(settings: &[(&str, &str)]) -> Self {
        let outdial = Self::prepare(free_port(), settings, None, "/healthz");
        outdial.spawn().await;
        outdial
    }

    /// A server for all tests of a target: a `static` is never dropped, so its folder is given.
    pub async fn start_shared(port: u16, settings: &[(&str, &str)], folder: &Path) -> Self {
        let _ = std::fs::remove_dir_all(folder);
        let outdial = Self::prepare(port, settings, Some(folder), "/readyz");
        outdial.spawn().await;
        outdial
    }

    fn prepare(
        port: u16,
        settings: &[(&str, &str)],
        folder: Option<&Path>,
        ready_path: &'static str,
    ) -> Self {
        let temporary = folder.is_none().then(|| tempfile::tempdir().unwrap());
        let folder = folder.or(temporary.as_ref().map(TempDir::path)).unwrap().to_owned();
        std::fs::create_dir_all(&folder).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let data_dir = folder.join("data").display().to_string();
        let bind = address.to_string();
        let defaults = [
            ("data_dir", &*data_dir),
            ("server.bind", &bind),
            ("webhooks.dangerous_allow_private", "true"),
            ("webhooks.retries", "200ms,400ms,800ms"),
            ("api.requests_per_second", "100000"),
            ("api.burst", "100000"),
            ("log.filter", "info,outdial_engine=debug"),
        ];
        let settings = defaults.iter().chain(settings);
        let settings = settings.map(|(key, value)| (variable(key), (*value).to_owned())).collect();
        let mut outdial = Self {
            address,
            key: String::new(),
            settings,
            ready_path,
            folder,
            process: Mutex::new(None),
            _folder: temporary,
        };
        outdial.key = outdial.create_key();
        outdial
    }

    fn create_key(&self) -> String {
        let arguments = ["keys", "create", "--account", "acme", "--admin"];
        let output = self.command(&arguments).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        // The test harness around it prints words of its own.
        let key = text.split_whitespace().find(|word| word.starts_with("AK_"));
        key.unwrap_or_else(|| panic!("no key was created: {output:?}")).to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "serve_child", "--nocapture", "--test-threads", "1"]);
        // Settings of whoever runs the tests are none of ours.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OUTDIAL_") {
                command.env_remove(name);
            }
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.env(ARGUMENTS, arguments.join("\n"));
        command.current_dir(&self.folder);
        command
    }

    async fn spawn(&self) {
        let log = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.command(&[SERVE]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        *self.process() = Some(command.spawn().unwrap());
        let api = self.api();
        until("the server to be ready", async || {
            assert!(self.runs(), "the server ended");
            match api.try_send(Method::GET, self.ready_path, &[], None).await {
                Ok(reply) if reply.status == 200 => Ok(()),
                Ok(reply) => Err(reply.body.to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client with the admin's key.
    pub fn api(&self) -> Api {
        Api::new(self.url(), &*self.key)
    }

    fn runs(&self) -> bool {
        self.process().as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// `kill -9`; returns when the process is gone.
    pub fn kill(&self) {
        let mut child = self.process().take().expect("a server that runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again on the same folder and port, and waits until it is ready.
    pub async fn restart(&self) {
        assert!(!self.runs());
        self.spawn().await;
    }

    /// SIGTERM; [`exited`](Self::exited) waits for the end.
    pub fn terminate(&self) {
        let id = self.process().as_ref().expect("a server that runs").id();
        let pid = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits until the process has ended by itself.
    pub async fn exited(&self) -> ExitStatus {
        until("the server to end", async || {
            let mut process = self.process();
            let child = process.as_mut().expect("a server");
            child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())
        })
        .await
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its folder, `data_dir`.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The files in `data_dir`, at any depth.
    pub fn files(&self) -> Vec<PathBuf> {
        files_in(&self.data_dir())
    }

    /// The files in `data_dir` whose bytes hold these words, or whose path does.
    pub fn files_with(&self, words: &str) -> Vec<PathBuf> {
        let hold = |path: &PathBuf| {
            let bytes = std::fs::read(path).unwrap_or_default();
            let inside = bytes.windows(words.len()).any(|window| window == words.as_bytes());
            inside || path.to_string_lossy().contains(words)
        };
        self.files().into_iter().filter(hold).collect()
    }

    fn log(&self) -> PathBuf {
        self.folder.join("outdial.log")
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        let tail = &log[log.len().saturating_sub(LOG_TAIL)..];
        String::from_utf8_lossy(tail).into_owned()
    }
}

impl Drop for Outdial {
    fn drop(&mut self) {
        if let Some(child) = self.process().as_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the end of the server's log\n{}", self.log_tail());
        }
    }
}

/// All files below a folder; none when there is no such folder.
pub(crate) fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}

/// A port for TCP and UDP that was free just now, and that this process gives away once. Below those
/// that the system gives away: one of these may be somebody else's a moment later.
pub fn free_port() -> u16 {
    const FIRST: u16 = 28_000;
    const COUNT: u16 = 2_900;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Other test processes begin elsewhere.
    let begin = u16::try_from(std::process::id() * 37 % u32::from(COUNT)).unwrap();
    loop {
        let port = FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
}

fn variable(key: &str) -> String {
    format!("OUTDIAL_{}", key.replace('.', "__").to_uppercase())
}
