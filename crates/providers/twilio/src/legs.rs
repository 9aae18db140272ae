//! The legs that are being followed, so that hanging up reaches the one that follows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outdial_domain::RoomName;
use tokio::sync::Notify;

#[derive(Default)]
pub(crate) struct Legs(Mutex<HashMap<RoomName, Arc<Notify>>>);

/// A leg's place among those that are followed; it leaves when dropped.
pub(crate) struct Place {
    legs: Arc<Legs>,
    room: RoomName,
    removed: Arc<Notify>,
}

impl Legs {
    pub(crate) fn enter(legs: &Arc<Self>, room: &RoomName) -> Place {
        let removed = Arc::new(Notify::new());
        legs.lock().insert(room.clone(), Arc::clone(&removed));
        Place { legs: Arc::clone(legs), room: room.clone(), removed }
    }

    /// The leg in this room was removed from it.
    pub(crate) fn removed(&self, room: &RoomName) {
        if let Some(removed) = self.lock().get(room) {
            // Kept for the follower should it be busy.
            removed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RoomName, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Resolves when this server has removed the leg.
    pub(crate) async fn removed(&self) {
        self.removed.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.legs.lock().remove(&self.room);
    }
}
