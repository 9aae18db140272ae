//! A LiveKit server of a test's own: to be stopped, frozen, or set up otherwise.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::log::until;
use crate::stack::setting;

/// What is not as usual.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Setup {
    /// It never asks clients for connectivity by itself, past a relay.
    pub(crate) ice_lite: bool,
    /// A room is there only when it was created.
    pub(crate) rooms_on_request: bool,
}

/// A server process. It ends with the value.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    ports: Ports,
    folder: TempDir,
}

/// Ports of one server, all of five digits.
#[derive(Debug, Clone, Copy)]
struct Ports {
    signal: u16,
    media_tcp: u16,
    media: u16,
}

impl Server {
    /// Starts one and waits until it is ready.
    pub(crate) async fn start(setup: Setup) -> Self {
        let ports = Ports { signal: tcp_port(), media_tcp: tcp_port(), media: udp_port() };
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("livekit.yaml"), configuration(ports, setup)).unwrap();
        let process = spawn(&folder);
        let server = Self { process, ports, folder };
        server.is_ready().await;
        server
    }

    /// `ws://…`
    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.ports.signal)
    }

    pub(crate) fn signal_port(&self) -> u16 {
        self.ports.signal
    }

    /// The UDP port of all media.
    pub(crate) fn media_port(&self) -> u16 {
        self.ports.media
    }

    /// Stands still until [`Server::goes_on`].
    pub(crate) fn freezes(&self) {
        self.signal("STOP");
    }

    pub(crate) fn goes_on(&self) {
        self.signal("CONT");
    }

    /// Dies without a word; another one starts in its place.
    pub(crate) async fn restarts(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = spawn(&self.folder);
        self.is_ready().await;
    }

    /// Shuts down in order, sending everybody away; another one starts in its place.
    pub(crate) async fn restarts_in_order(&mut self) {
        // At the first signal it waits until all have left, at the second it sends them away.
        self.signal("INT");
        until("the server to end", async || {
            self.signal("INT");
            self.process.try_wait().unwrap().map(drop).ok_or_else(|| "it runs".to_owned())
        })
        .await;
        self.process = spawn(&self.folder);
        self.is_ready().await;
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let mut kill = Command::new("kill");
        // It may have ended already.
        let _ = kill.args(["-s", name, &pid]).stderr(Stdio::null()).status().unwrap();
    }

    async fn is_ready(&self) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = self.url().replacen("ws", "http", 1);
        until("the server to be ready", async || {
            let answer = http.get(&url).send().await;
            answer.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A frozen process dies of SIGKILL too.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines.len().saturating_sub(40);
            eprintln!("--- the end of the server's log\n{}", lines[end..].join("\n"));
        }
    }
}

fn configuration(ports: Ports, setup: Setup) -> String {
    let Setup { ice_lite, rooms_on_request } = setup;
    let Ports { signal, media_tcp, media } = ports;
    let (key, secret) = (setting("LIVEKIT_API_KEY"), setting("LIVEKIT_API_SECRET"));
    format!(
        "port: {signal}
bind_addresses: [127.0.0.1]
keys:
  {key}: {secret}
rtc:
  udp_port: {media}
  tcp_port: {media_tcp}
  use_external_ip: false
  node_ip: 127.0.0.1
  enable_loopback_candidate: true
  use_ice_lite: {ice_lite}
  interfaces:
    includes: [lo]
  stun_servers: [\"127.0.0.1:3478\"]
room:
  auto_create: {auto_create}
logging:
  level: info
",
        auto_create = !rooms_on_request
    )
}

fn spawn(folder: &TempDir) -> Child {
    let log = File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
    let mut command = Command::new(binary());
    command.arg("--config").arg(folder.path().join("livekit.yaml"));
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap()
}

/// What `scripts/real-stack build` has built.
fn binary() -> PathBuf {
    if let Some(path) = env::var_os("STACK_LIVEKIT_SERVER") {
        return path.into();
    }
    let cache = env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| PathBuf::from(env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
    let folder = cache.join("outdial/bin");
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let named =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("livekit-server-");
    files.filter(named).max().expect("run scripts/real-stack build")
}

fn tcp_port() -> u16 {
    let port = |_| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    (0..1000).map(port).find(|port| *port >= 10_000).unwrap()
}

fn udp_port() -> u16 {
    let port = |_| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.local_addr().unwrap().port()
    };
    (0..1000).map(port).find(|port| *port >= 10_000).unwrap()
}
