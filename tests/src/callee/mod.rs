//! A callee that a test plays itself, message by message: for what sipp has no words for.

mod auth;
mod leg;
mod media;
mod message;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use crate::until;

pub use self::auth::Challenge;
pub use self::leg::Leg;
pub(crate) use self::media::Voice;
pub use self::media::{Media, Packet, Say};
pub use self::message::Message;
pub use self::wire::Transport;
use self::wire::{Taker, Wire};

/// A SIP server for any number of calls at a time, each played by a test.
#[derive(Debug)]
pub struct Callee {
    address: SocketAddr,
    transport: Transport,
    desk: Arc<Desk>,
    task: AbortHandle,
}

/// Where messages are given to the calls that they belong to.
#[derive(Debug, Default)]
struct Desk {
    calls: Mutex<HashMap<String, UnboundedSender<Arrival>>>,
    /// Calls that nobody has taken yet.
    waiting: Mutex<Vec<Waiting>>,
    /// First lines of all that came.
    log: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Waiting {
    invite: Message,
    wire: Arc<Wire>,
    inbox: UnboundedReceiver<Arrival>,
}

/// What comes for a call; no message when its connection was closed.
type Arrival = (Arc<Wire>, Option<Message>);

impl Callee {
    /// Listens on a free port of loopback.
    pub async fn start(transport: Transport) -> Self {
        let desk = Arc::new(Desk::default());
        let (address, task) = wire::listen(transport, desk.taker()).await;
        Self { address, transport, desk, task }
    }

    /// `host:port`, for a trunk.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// How it listens.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Waits for a call to `user`, as the INVITE's URI has it.
    pub async fn rings(&self, user: &str) -> Leg {
        let prefix = format!("sip:{user}@");
        let waiting = until("an INVITE", async || {
            let mut waiting = lock(&self.desk.waiting);
            let place = waiting.iter().position(|call| call.invite.uri().starts_with(&prefix));
            place.map(|at| waiting.remove(at)).ok_or_else(|| format!("{:?}", self.seen()))
        })
        .await;
        Leg::new(self.address, self.transport, Arc::clone(&self.desk), waiting)
    }

    /// How many calls have come in all, by their Call-ID.
    pub fn calls(&self) -> usize {
        lock(&self.desk.calls).len()
    }

    /// The first lines of all messages that came.
    pub fn seen(&self) -> Vec<String> {
        lock(&self.desk.log).clone()
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        self.task.abort();
        if std::thread::panicking() {
            eprintln!("--- the callee saw {:#?}", self.seen());
        }
    }
}

impl Desk {
    fn taker(self: &Arc<Self>) -> Taker {
        let desk = Arc::clone(self);
        Arc::new(move |wire, message| desk.take(wire, message))
    }

    fn take(&self, wire: &Arc<Wire>, message: Option<Message>) {
        let mut calls = lock(&self.calls);
        let Some(message) = message else {
            for call in calls.values() {
                let _ = call.send((Arc::clone(wire), None));
            }
            return;
        };
        lock(&self.log).push(message.start.clone());
        let id = message.header("Call-ID").to_owned();
        if let Some(call) = calls.get(&id) {
            let _ = call.send((Arc::clone(wire), Some(message)));
        } else if message.method() == Some("INVITE") {
            let (sender, inbox) = unbounded_channel();
            calls.insert(id, sender);
            lock(&self.waiting).push(Waiting { invite: message, wire: Arc::clone(wire), inbox });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
