//! Who records which room.
//!
//! The hints of a simulated call come from its dial, observed or not, so only the audio is left to
//! be observed. Observers are kept apart from the rooms: one may come before its room, and never
//! makes one.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};

use outdial_domain::RoomName;
use outdial_domain::ports::{HintSink, Observation, ObserveRequest};

use crate::recorder::Recorder;
use crate::speech::Utterance;
use crate::world::World;

/// The observers of all rooms, at most one each.
#[derive(Default)]
pub(crate) struct Observers {
    rooms: Mutex<HashMap<RoomName, Arc<Observer>>>,
    next: AtomicU32,
}

struct Observer {
    id: u32,
    hints: HintSink,
    /// Only the leg writes; a dropped observation does not wait for it, as the last holder of this
    /// drops the sink.
    recorder: Mutex<Recorder>,
}

/// Ends an observation when it is dropped.
struct Guard {
    world: Weak<World>,
    room: RoomName,
    id: u32,
}

impl Observers {
    /// Begins to observe, unless the world has ended. A second observer replaces the first.
    pub(crate) fn observe(world: &Arc<World>, request: ObserveRequest) -> Observation {
        let ObserveRequest { room_name: room, hints, audio, .. } = request;
        let Some(sink) = audio else { return Observation::new(()) };
        let observers = &world.observers;
        let id = observers.next.fetch_add(1, Ordering::Relaxed);
        let recorder = Mutex::new(Recorder::new(sink, id));
        let observer = Arc::new(Observer { id, hints, recorder });

        let mut rooms = observers.lock();
        // Under the lock: the end of the world cancels first and clears then.
        if world.stop.is_cancelled() {
            return Observation::new(());
        }
        let before = rooms.insert(room.clone(), observer);
        drop(rooms);
        // Not under the lock, as somebody else's code runs.
        drop(before);
        Observation::new(Guard { world: Arc::downgrade(world), room, id })
    }

    /// Lets a room's observer hear a line.
    pub(crate) fn hear(&self, room: &RoomName, utterance: &Utterance) {
        let Some(observer) = self.lock().get(room).cloned() else { return };
        if observer.is_deaf() {
            self.remove(room, observer.id);
            return;
        }
        let mut recorder = observer.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        recorder.write(utterance);
    }

    /// Nothing more will be heard in a room.
    pub(crate) fn close(&self, room: &RoomName) {
        let observer = self.lock().remove(room);
        drop(observer);
    }

    /// Nothing more will be heard anywhere.
    pub(crate) fn clear(&self) {
        let rooms = std::mem::take(&mut *self.lock());
        drop(rooms);
    }

    fn remove(&self, room: &RoomName, id: u32) {
        let mut rooms = self.lock();
        let observer = match rooms.get(room) {
            Some(observer) if observer.id == id => rooms.remove(room),
            _ => None,
        };
        drop(rooms);
        drop(observer);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RoomName, Arc<Observer>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer {
    /// Whether nobody listens to the hints any more, which ends an observation.
    fn is_deaf(&self) -> bool {
        let mut now = Context::from_waker(Waker::noop());
        pin!(self.hints.closed()).poll(&mut now).is_ready()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(world) = self.world.upgrade() {
            world.observers.remove(&self.room, self.id);
        }
    }
}
