//! The calls that are being worked on here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outdial_domain::ports::HintSink;
use outdial_domain::{AgentState, Call, Hint, RoomName};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::watch::Passing;

/// A request; answered when the decision is saved.
pub(crate) enum Request {
    /// End the call.
    HangUp(oneshot::Sender<Arc<Call>>),
    /// Erase the ended call.
    Erase(oneshot::Sender<Arc<Call>>),
    /// Somebody else has changed the record: take it in.
    Look,
}

/// How to reach the worker of a call.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) hints: HintSink,
    pub(crate) requests: mpsc::Sender<Request>,
    /// The call as last saved; marked changed for new transcript lines too.
    pub(crate) seen: watch::Receiver<Arc<Call>>,
    /// What the agent says that it does.
    pub(crate) agent: watch::Receiver<Option<AgentState>>,
    /// What those are told who watch now.
    pub(crate) passing: broadcast::Sender<Passing>,
}

/// A worker's ends of its channels.
pub(crate) struct Mailbox {
    pub(crate) sink: HintSink,
    pub(crate) hints: mpsc::Receiver<Hint>,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) seen: watch::Sender<Arc<Call>>,
    pub(crate) agent: watch::Sender<Option<AgentState>>,
    pub(crate) passing: broadcast::Sender<Passing>,
}

/// All workers of this node.
pub(crate) struct Live {
    rooms: Mutex<Rooms>,
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct Rooms {
    calls: HashMap<RoomName, Entry>,
    held: HashMap<RoomName, usize>,
}

/// A call is being placed, or given up: it has no worker, but somebody who looks after it.
pub(crate) struct Hold<'a> {
    live: &'a Live,
    room: RoomName,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut rooms = self.live.lock();
        if let Some(count) = rooms.held.get_mut(&self.room) {
            *count -= 1;
            if *count == 0 {
                rooms.held.remove(&self.room);
            }
        }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self { rooms: Mutex::default(), count: watch::Sender::new(0) }
    }
}

/// A call has one worker only, so few hints wait; a chatty source waits for the store.
const WAITING: usize = 32;
/// A watcher that lags behind so many passing events misses the oldest.
const PASSING: usize = 64;

impl Live {
    /// Registers a worker; `None` when the call has one.
    pub(crate) fn enter(&self, call: &Call) -> Option<(Entry, Mailbox)> {
        let mut rooms = self.lock();
        if rooms.calls.contains_key(call.room_name()) {
            return None;
        }
        let (sink, hints) = HintSink::channel(WAITING);
        let (requests, received) = mpsc::channel(4);
        let (seen, seen_receiver) = watch::channel(Arc::new(call.clone()));
        let (agent, agent_receiver) = watch::channel(None);
        let passing = broadcast::Sender::new(PASSING);
        let entry = Entry {
            hints: sink.clone(),
            requests,
            seen: seen_receiver,
            agent: agent_receiver,
            passing: passing.clone(),
        };
        rooms.calls.insert(call.room_name().clone(), entry.clone());
        self.count.send_replace(rooms.calls.len());
        Some((entry, Mailbox { sink, hints, requests: received, seen, agent, passing }))
    }

    /// Registers a worker that had left again; `false` when the call has another one meanwhile.
    pub(crate) fn enter_again(&self, room: &RoomName, entry: &Entry) -> bool {
        let mut rooms = self.lock();
        if rooms.calls.contains_key(room) {
            return false;
        }
        rooms.calls.insert(room.clone(), entry.clone());
        self.count.send_replace(rooms.calls.len());
        true
    }

    /// Strikes a worker off; the call stays held.
    pub(crate) fn leave(&self, room: &RoomName) -> Hold<'_> {
        let hold = self.hold(room);
        let mut rooms = self.lock();
        rooms.calls.remove(room);
        self.count.send_replace(rooms.calls.len());
        hold
    }

    pub(crate) fn find(&self, room: &RoomName) -> Option<Entry> {
        self.lock().calls.get(room).cloned()
    }

    pub(crate) fn hold(&self, room: &RoomName) -> Hold<'_> {
        *self.lock().held.entry(room.clone()).or_default() += 1;
        Hold { live: self, room: room.clone() }
    }

    pub(crate) fn is_held(&self, room: &RoomName) -> bool {
        self.lock().held.contains_key(room)
    }

    /// Resolves when no call is worked on.
    pub(crate) async fn idle(&self) {
        // The sender lives in self: waiting cannot fail.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
