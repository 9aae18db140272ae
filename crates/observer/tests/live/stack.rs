//! The servers of `scripts/real-stack`, and a phone: sipp with a scenario of `tests/peers/sipp`.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outdial_domain::{RoomName, Secret};
use outdial_livekit::{LiveKit, LiveKitConfig};
use outdial_observer::OBSERVER_IDENTITY;
use tempfile::TempDir;

/// What `scripts/real-stack env` tells.
pub(crate) struct Stack {
    pub(crate) livekit: Arc<LiveKit>,
    pub(crate) agent_name: String,
    sipp_dir: String,
}

impl Stack {
    pub(crate) fn get() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let output = Command::new(root.join("scripts/real-stack")).arg("env").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let value = |name: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix("export "));
            let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            values.next().unwrap_or_else(|| panic!("{name} is missing: {text}")).to_owned()
        };
        let secret = Secret::new(value("LIVEKIT_API_SECRET"));
        let config = LiveKitConfig::new(value("LIVEKIT_URL"), value("LIVEKIT_API_KEY"), secret);
        Self {
            livekit: Arc::new(LiveKit::new(config).unwrap()),
            agent_name: value("STACK_AGENT_NAME"),
            sipp_dir: value("STACK_SIPP_DIR"),
        }
    }

    /// Waits until an observer is in the room, or is not.
    pub(crate) async fn until_observed(&self, room: &RoomName, expect: bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.livekit.leg(room, OBSERVER_IDENTITY).await.unwrap().is_some() != expect {
            assert!(Instant::now() < deadline, "observed is not {expect}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// G.711 µ-law that phones play.
    pub(crate) fn sound(&self, name: &str) -> Vec<u8> {
        std::fs::read(Path::new(&self.sipp_dir).join(name)).unwrap()
    }

    /// A phone that plays a scenario, once.
    pub(crate) async fn phone(&self, scenario: &str) -> Phone {
        let port = free_port();
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sipp");
        command.current_dir(&self.sipp_dir).args(["-sf", &format!("{scenario}.xml")]);
        command.args(["-i", "127.0.0.1", "-mi", "127.0.0.1", "-m", "1", "-nostdin"]);
        command.args(["-p", &port.to_string(), "-mp", &(free_port() & !1).to_string()]);
        command.arg("-trace_msg").arg("-message_file").arg(folder.path().join("messages"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().expect("sipp is installed");
        // It listens when nobody else can have its port.
        while UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            assert_eq!(process.try_wait().unwrap(), None, "sipp ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Phone { address: format!("127.0.0.1:{port}"), process, folder }
    }
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A phone; it is gone when dropped.
pub(crate) struct Phone {
    pub(crate) address: String,
    process: Child,
    folder: TempDir,
}

impl Phone {
    /// The first lines of the messages so far, with the time of each.
    pub(crate) fn messages(&self) -> Vec<(String, String)> {
        let log = std::fs::read(self.folder.path().join("messages")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).replace('\r', "");
        let blocks = log.split("-----------------------------------------------").skip(1);
        let messages = blocks.filter_map(|block| {
            let (head, message) = block.split_once("\n\n")?;
            let time = head.trim().lines().next()?.to_owned();
            Some((time, message.trim().lines().next()?.to_owned()))
        });
        messages.collect()
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
