//! A callee: sipp, with one of the scenarios in `peers/sipp`.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tempfile::TempDir;

use crate::{Stack, until};

/// Each phone takes so many ports for RTP and RTCP.
const MEDIA_PORTS: u16 = 20;

/// A phone that plays a scenario.
#[derive(Debug)]
pub struct Phone {
    address: SocketAddr,
    process: Mutex<Child>,
    folder: TempDir,
}

impl Phone {
    /// A phone for one call: it ends when the scenario has been played.
    pub async fn start(scenario: &str) -> Self {
        Self::with(scenario, &["-m", "1"]).await
    }

    /// A phone that takes one call after another, so that a second one would be seen.
    pub async fn for_any_number_of_calls(scenario: &str) -> Self {
        Self::with(scenario, &[]).await
    }

    /// A phone for one call whose RTP goes to a port that is not its own: see `Tap`.
    pub async fn with_tap(scenario: &str, port: u16) -> Self {
        Self::with(scenario, &["-m", "1", "-key", "tap_port", &port.to_string()]).await
    }

    /// A phone for one call that takes it over TCP.
    pub async fn over_tcp(scenario: &str) -> Self {
        Self::with(scenario, &["-m", "1", "-t", "t1"]).await
    }

    async fn with(scenario: &str, arguments: &[&str]) -> Self {
        let (port, media) = ports();
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sipp");
        // Its log has times without a zone.
        command.env("TZ", "UTC");
        command.current_dir(&Stack::get().sipp_dir);
        command.args(["-sf", &format!("{scenario}.xml"), "-i", "127.0.0.1", "-mi", "127.0.0.1"]);
        command.args(["-p", &port.to_string(), "-mp", &media.to_string(), "-nostdin"]);
        command.args(["-trace_msg", "-message_file"]).arg(messages_in(&folder));
        command.args(["-trace_err", "-error_file"]).arg(folder.path().join("errors"));
        command.args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Mutex::new(command.spawn().expect("sipp is installed"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let phone = Self { address, process, folder };
        until("sipp to listen", async || {
            assert!(phone.exit_code().is_none(), "sipp ended: {}", phone.errors());
            if is_taken(port) { Ok(()) } else { Err("its port is free".to_owned()) }
        })
        .await;
        phone
    }

    /// `host:port`, for a trunk.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Waits until the scenario has been played to its end, in every step as it is written.
    pub async fn is_done(&self) {
        let code = until("the phone to be done", async || {
            self.exit_code().ok_or_else(|| format!("{:?}", self.messages()))
        })
        .await;
        assert_eq!(code, Some(0), "{}\n{:?}", self.errors(), self.messages());
    }

    /// Waits until the phone has sent or received a request with this method.
    pub async fn has_seen(&self, method: &str) {
        self.has_message(method, |message| message.split(' ').next() == Some(method)).await;
    }

    /// Waits until a request with this method was answered with 200, by whichever side.
    pub async fn has_seen_ok_to(&self, method: &str) {
        let is_ok = |message: &str| {
            let to = message.lines().find_map(|line| line.strip_prefix("CSeq:"));
            message.starts_with("SIP/2.0 200") && to.is_some_and(|to| to.ends_with(method))
        };
        self.has_message(method, is_ok).await;
    }

    async fn has_message(&self, what: &str, is_it: impl Fn(&str) -> bool) {
        until(what, async || {
            let messages = self.messages();
            let seen = messages.iter().any(|message| is_it(message));
            if seen { Ok(()) } else { Err(format!("{messages:?}")) }
        })
        .await;
    }

    /// How many calls reached the phone: an INVITE that is sent again, for want of an answer or with
    /// credentials, has the same Call-ID.
    pub fn calls(&self) -> usize {
        let messages = self.messages();
        let invites = messages.iter().filter(|message| message.starts_with("INVITE "));
        let ids = invites.filter_map(|invite| {
            invite.lines().find_map(|line| line.strip_prefix("Call-ID:")).map(str::trim)
        });
        ids.collect::<BTreeSet<_>>().len()
    }

    /// All messages so far, sent and received, in order.
    pub fn messages(&self) -> Vec<String> {
        self.log().into_iter().map(|(_, message)| message).collect()
    }

    /// When the phone first sent or received a message that begins so, such as `ACK`.
    ///
    /// # Panics
    /// When it has not.
    pub fn time_of(&self, beginning: &str) -> DateTime<Utc> {
        let mut log = self.log().into_iter();
        let found = log.find(|(_, message)| message.starts_with(beginning));
        found.unwrap_or_else(|| panic!("no {beginning}: {:?}", self.messages())).0
    }

    fn log(&self) -> Vec<(DateTime<Utc>, String)> {
        let log = std::fs::read(messages_in(&self.folder)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).replace('\r', "");
        // A line of dashes and the time, one about the direction, an empty one, the message.
        let blocks = log.split("----------------------------------------------- ").skip(1);
        let message = |block: &str| {
            let (head, message) = block.split_once("\n\n")?;
            let time = format!("{}Z", head.lines().next()?);
            Some((time.parse().unwrap(), message.trim().to_owned()))
        };
        blocks.filter_map(message).collect()
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("errors")).unwrap_or_default()
    }

    /// `None` while it runs; the code is missing when it was killed.
    fn exit_code(&self) -> Option<Option<i32>> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.try_wait().unwrap().map(|status| status.code())
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = process.kill();
        let _ = process.wait();
        if std::thread::panicking() {
            let messages = self.messages();
            let first_lines: Vec<_> = messages.iter().filter_map(|m| m.lines().next()).collect();
            eprintln!("--- the phone saw {first_lines:#?}\n{}", self.errors());
        }
    }
}

fn messages_in(folder: &TempDir) -> PathBuf {
    folder.path().join("messages")
}

/// A port for SIP and the first of those for RTP. Below those that the system gives away.
pub(crate) fn ports() -> (u16, u16) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let (port, media) = (15_000 + next, 16_000 + next * MEDIA_PORTS);
        if !is_taken(port) && !(media..media + MEDIA_PORTS).any(is_taken) {
            return (port, media);
        }
    }
}

/// Whether some socket of this machine has the port, as told without taking it for a moment.
pub(crate) fn is_taken(port: u16) -> bool {
    let hex = format!(":{port:04X}");
    ["/proc/net/udp", "/proc/net/tcp"].iter().any(|table| {
        let table = std::fs::read_to_string(table).unwrap();
        let mut locals = table.lines().filter_map(|line| line.split_whitespace().nth(1));
        locals.any(|local| local.ends_with(&hex))
    })
}
