//! The observer, and its settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use outdial_domain::ports::{Clock, Observation, ObserveRequest, Observer, SystemClock};
use outdial_livekit::LiveKit;
use outdial_room::Media;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::observation;

/// Who an observer is in a room. One name for all: when a call is taken up by another server, its
/// observer takes the place of the one before.
pub const OBSERVER_IDENTITY: &str = "outdial-observer";

/// How an observer gets into a room.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pace {
    /// How long one attempt to join may take. Default: 5 s.
    pub join_timeout: Duration,
    /// The first pause between attempts; each is twice as long as the last. Default: 50 ms.
    pub first_pause: Duration,
    /// The longest such pause. Default: 2 s.
    pub longest_pause: Duration,
    /// How long a room that is not there may still come. Default: 10 s.
    pub room_timeout: Duration,
    /// How long a lost connection is tried to be made good before the room is joined afresh.
    /// Default: 60 s.
    pub reconnect_timeout: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            join_timeout: Duration::from_secs(5),
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(2),
            room_timeout: Duration::from_secs(10),
            reconnect_timeout: Duration::from_secs(60),
        }
    }
}

/// What all observations share.
pub(crate) struct Shared {
    pub(crate) media: Media,
    pub(crate) livekit: Arc<LiveKit>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pace: Pace,
}

/// Observes calls as a hidden participant of their LiveKit rooms.
///
/// Each observation is a task, with one connection to the room. It ends when the observation is
/// dropped, when all is told, or with [`shutdown`](Self::shutdown).
pub struct LiveKitObserver {
    shared: Arc<Shared>,
    runtime: Handle,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl LiveKitObserver {
    /// An observer of this server's rooms. Audio and data come in on `media`'s threads, and
    /// observations run on `runtime`.
    pub fn new(media: Media, livekit: Arc<LiveKit>, runtime: Handle) -> Self {
        let (clock, pace) = (Arc::new(SystemClock), Pace::default());
        Self {
            shared: Arc::new(Shared { media, livekit, clock, pace }),
            runtime,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Takes the time of hints from this clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|shared| Shared { clock, ..shared })
    }

    /// Gets into rooms at this pace.
    #[must_use]
    pub fn with_pace(self, pace: Pace) -> Self {
        self.with(|shared| Shared { pace, ..shared })
    }

    fn with(mut self, change: impl FnOnce(Shared) -> Shared) -> Self {
        let Shared { media, livekit, clock, pace } = &*self.shared;
        let copy = Shared {
            media: media.clone(),
            livekit: Arc::clone(livekit),
            clock: Arc::clone(clock),
            pace: pace.clone(),
        };
        self.shared = Arc::new(change(copy));
        self
    }

    /// Ends all observations and waits until they have left their rooms (5 s at most). Later ones
    /// end at once.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Observer for LiveKitObserver {
    fn observe(&self, request: ObserveRequest) -> Observation {
        let stop = self.stop.child_token();
        let task = observation::run(Arc::clone(&self.shared), request, stop.clone());
        self.tasks.spawn_on(task, &self.runtime);
        Observation::new(stop.drop_guard())
    }
}

impl Drop for LiveKitObserver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for LiveKitObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveKitObserver")
            .field("livekit", &self.shared.livekit)
            .field("observations", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
