//! A server process.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
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
        let outdial = Self::prepare(port, settings, None, "/readyz").await;
        outdial.spawn().await;
        outdial
    }

    /// [`start`](Self::start), but waits only until the server answers: for one that will never be
    /// ready.
    pub async fn start_unready(settings: &[(&str, &str)]) -> Self {
        let outdial = Self::prepare(free_port(), settings, None, "/healthz").await;
        outdial.spawn().await;
        outdial
    }

    /// A server for all tests of a target: a `static` is never dropped, so its folder is given.
    pub async fn start_shared(port: u16, settings: &[(&str, &str)], folder: &Path) -> Self {
        let _ = std::fs::remove_dir_all(folder);
        let outdial = Self::prepare(port, settings, Some(folder), "/readyz").await;
        outdial.spawn().await;
        outdial
    }

    /// A further server on the store of this one, with the same admin's key; it does not run yet:
    /// [`restart`](Self::restart).
    #[must_use]
    pub fn beside(&self, settings: &[(&str, &str)]) -> Self {
        self.beside_at(free_port(), settings)
    }

    /// [`beside`](Self::beside) on a given port.
    #[must_use]
    pub fn beside_at(&self, port: u16, settings: &[(&str, &str)]) -> Self {
        let mut outdial = Self::new(port, settings, None, "/readyz");
        outdial.key.clone_from(&self.key);
        outdial
    }

    async fn prepare(
        port: u16,
        settings: &[(&str, &str)],
        folder: Option<&Path>,
        ready_path: &'static str,
    ) -> Self {
        let mut outdial = Self::new(port, settings, folder, ready_path);
        outdial.key = outdial.create_key().await;
        outdial
    }

    fn new(
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
        Self {
            address,
            key: String::new(),
            settings,
            ready_path,
            folder,
            process: Mutex::new(None),
            _folder: temporary,
        }
    }

    async fn create_key(&self) -> String {
        let arguments = ["keys", "create", "--account", "acme", "--admin"];
        let output = output(self.command(&arguments)).await;
        let text = String::from_utf8_lossy(&output.stdout);
        // The test harness around it prints words of its own.
        let key = text.split_whitespace().find(|word| word.starts_with("AK_"));
        key.unwrap_or_else(|| panic!("no key was created: {output:?}")).to_owned()
    }

    /// Runs a command of the program with this server's settings, to its end.
    pub async fn runs_command(&self, arguments: &[&str]) -> Output {
        output(self.command(arguments)).await
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
        self.begin();
        self.answers(self.ready_path).await;
    }

    fn begin(&self) {
        let log = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.command(&[SERVE]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        *self.process() = Some(command.spawn().unwrap());
    }

    async fn answers(&self, path: &str) {
        let api = self.api();
        until("the server to be ready", async || {
            assert!(self.runs(), "the server ended");
            match api.try_send(Method::GET, path, &[], None).await {
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

    /// [`restart`](Self::restart), but waits only until it answers: its store may be away.
    pub async fn restart_unready(&self) {
        assert!(!self.runs());
        self.begin();
        self.answers("/healthz").await;
    }

    /// Starts it, and waits until it has ended by itself, as it does when it refuses to run.
    pub async fn refuses_to_start(&self) -> ExitStatus {
        assert!(!self.runs());
        self.begin();
        self.exited().await
    }

    /// Waits until it says that it is ready.
    pub async fn is_ready(&self) {
        self.answers("/readyz").await;
    }

    /// SIGTERM; [`exited`](Self::exited) waits for the end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP: it does nothing until [`thaw`](Self::thaw).
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        signal_to(self.process().as_ref().expect("a server that runs"), signal);
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

    /// The lines of its log, of all its runs.
    pub fn log_lines(&self) -> Vec<String> {
        let log = std::fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&log).lines().map(str::to_owned).collect()
    }

    /// Waits until a line of its log holds all these words.
    pub async fn has_logged(&self, words: &[&str]) {
        until("words in the server's log", async || {
            let lines = self.log_lines();
            let found = lines.iter().any(|line| words.iter().all(|word| line.contains(word)));
            if found { Ok(()) } else { Err(format!("no {words:?} in {} lines", lines.len())) }
        })
        .await;
    }

    /// Its id among the nodes on one store: made at its first start.
    pub fn node_id(&self) -> String {
        let id = std::fs::read_to_string(self.data_dir().join("node-id")).expect("it has started");
        id.trim().to_owned()
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

/// Runs a command to its end; tasks of ours go on meanwhile, which may be what it talks to.
async fn output(mut command: Command) -> Output {
    command.stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

/// Sends a signal to a process of ours.
pub(crate) fn signal_to(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
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
