#![doc = include_str!("../README.md")]

mod leg;
mod observers;
mod ports;
mod recorder;
mod scenario;
mod speech;
#[cfg(test)]
mod tests;
mod voice;
mod world;

use std::sync::Arc;
use std::time::Duration;

use outdial_domain::ports::Clock;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use crate::world::World;

/// How the simulated world behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct SandboxConfig {
    /// Every simulated duration is multiplied by this: `0.1` is ten times faster, `0` does not wait
    /// at all. Taken as `1` unless it lies between 0 and 1000. The limits of a
    /// [`DialRequest`](outdial_domain::ports::DialRequest) are never scaled.
    pub time_scale: f64,
    /// How long the phone rings before it is answered or refused.
    pub ring_time: Duration,
    /// How long an agent takes from its dispatch until it is in the room.
    pub agent_join_time: Duration,
}

impl Default for SandboxConfig {
    /// Real time: 2 s of ringing, an agent after 300 ms.
    fn default() -> Self {
        Self {
            time_scale: 1.0,
            ring_time: Duration::from_secs(2),
            agent_join_time: Duration::from_millis(300),
        }
    }
}

/// A simulated telephony service together with the rooms, agents and callees it needs: implements
/// [`Rooms`](outdial_domain::ports::Rooms), [`Provider`](outdial_domain::ports::Provider) and
/// [`Observer`](outdial_domain::ports::Observer).
///
/// Clones share one world, which lives in memory only: after a restart no room and no leg is left.
/// A leg is one task. It ends with the call, with the room, when nobody listens to its hints any
/// more, or when the last clone is dropped.
#[derive(Clone)]
pub struct Sandbox {
    world: Arc<World>,
    legs: TaskTracker,
    _stop: Arc<DropGuard>,
}

impl Sandbox {
    /// An empty world. `clock` gives the times in the hints; the waiting itself is tokio's, so that
    /// it can be paused in tests.
    pub fn new(config: SandboxConfig, clock: Arc<dyn Clock>) -> Self {
        let world = World::new(config, clock);
        Self {
            _stop: Arc::new(world.stop.clone().drop_guard()),
            legs: TaskTracker::new(),
            world: Arc::new(world),
        }
    }

    /// How many rooms exist.
    pub fn rooms(&self) -> usize {
        self.world.rooms()
    }

    /// Ends the world as a crash would: legs stop without a further hint and every room is gone.
    /// Returns when no task is left; from then on calls cannot be placed.
    pub async fn shutdown(&self) {
        self.world.stop();
        self.legs.close();
        self.legs.wait().await;
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox")
            .field("rooms", &self.rooms())
            .field("legs", &self.legs.len())
            .finish_non_exhaustive()
    }
}
