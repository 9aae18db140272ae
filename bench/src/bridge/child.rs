//! The bridge in a process of its own, so that phones and agents do not count: this program starts
//! itself again and tells it, line by line, what to dial.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;

use crate::call::lock;

/// The name of the command that makes this program the bridge.
pub(crate) const COMMAND: &str = "serve-bridge";

/// One line to the child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    id: u64,
    pub(crate) what: What,
    pub(crate) room: String,
    pub(crate) identity: String,
}

/// What to do with a leg.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum What {
    /// Dial it; done when it has joined.
    Dial { number: String, address: SocketAddr, tcp: bool },
    /// End it.
    HangUp,
}

/// One line from the child.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    id: u64,
    fault: Option<String>,
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Option<String>>>>>;

/// The running child. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct BridgeProcess {
    child: Child,
    orders: tokio::sync::Mutex<(u64, ChildStdin)>,
    waiting: Waiting,
}

impl BridgeProcess {
    pub(crate) fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(COMMAND)
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take().context("the child has no stdin")?;
        let stdout = child.stdout.take().context("the child has no stdout")?;
        let waiting = Waiting::default();
        let of_reader = Arc::clone(&waiting);
        // ends with the child
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let done = serde_json::from_str::<Done>(&line);
                if let Ok(done) = done
                    && let Some(asked) = lock(&of_reader).remove(&done.id)
                {
                    _ = asked.send(done.fault);
                }
            }
            lock(&of_reader).clear();
        });
        Ok(Self { child, orders: tokio::sync::Mutex::new((0, stdin)), waiting })
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the bridge has ended")
    }

    /// Has it done, and waits until it is.
    pub(crate) async fn order(&self, what: What, room: &str, identity: &str) -> Result<()> {
        let (reply, done) = oneshot::channel();
        {
            let mut orders = self.orders.lock().await;
            orders.0 += 1;
            let (id, room, identity) = (orders.0, room.to_owned(), identity.to_owned());
            lock(&self.waiting).insert(id, reply);
            let line = serde_json::to_string(&Order { id, what, room, identity })? + "\n";
            orders.1.write_all(line.as_bytes()).await?;
        }
        let done = tokio::time::timeout(Duration::from_secs(60), done).await;
        match done.context("the bridge did not answer in 60 s")?.context("the bridge ended")? {
            None => Ok(()),
            Some(fault) => bail!("the bridge: {fault}"),
        }
    }
}

/// The child: does what it is told until its stdin ends.
pub(crate) async fn serve() -> Result<()> {
    let bridge = crate::bridge::start().await?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let order: Order = serde_json::from_str(&line)?;
        let bridge = bridge.clone();
        tokio::spawn(async move {
            let id = order.id;
            let done = crate::bridge::carry_out(&bridge, order).await;
            let done = Done { id, fault: done.err().map(|error| format!("{error:#}")) };
            if let Ok(line) = serde_json::to_string(&done) {
                crate::print_line(&line);
            }
        });
    }
    Ok(())
}
