#![doc = include_str!("../README.md")]

mod direct;
mod keypad;
mod legs;
mod trunk;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use outdial_domain::ports::{
    Clock, DialRequest, Dialed, HintSink, LegLook, Provider, SystemClock, TrunkFault,
};
use outdial_domain::{Digits, Error, ErrorKind, Result, RoomName, Trunk};
use outdial_livekit::{CallStatus, LiveKit};
use outdial_room::Media;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::direct::Direct;
use self::keypad::Keypads;
use self::legs::Legs;
use self::watch::Watch;

/// How often a leg is looked at. The answer to the dial tells most; looking finds out early that
/// the leg has joined and rings, and late what no message told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pace {
    /// A leg that has not joined its room by then is given up. Default: 5 s.
    pub join_timeout: Duration,
    /// The first pause before a look for a leg that has not joined; each is half as long again as
    /// the last. Default: 15 ms.
    pub joining: Duration,
    /// The longest such pause. Default: 100 ms.
    pub joining_longest: Duration,
    /// The longest pause while the phone rings; the first is an eighth of it. Default: 1 s.
    pub ringing: Duration,
    /// The pause after the answer. Default: 10 s.
    pub answered: Duration,
    /// How long a dial that was given up is watched, to hang up should the leg still come: longer
    /// than LiveKit waits for livekit-sip (80 s). Default: 90 s.
    pub abandoned: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            join_timeout: Duration::from_secs(5),
            joining: Duration::from_millis(15),
            joining_longest: Duration::from_millis(100),
            ringing: Duration::from_secs(1),
            answered: Duration::from_secs(10),
            abandoned: Duration::from_secs(90),
        }
    }
}

/// Calls through Twilio Elastic SIP Trunking, dialled by LiveKit's SIP service.
///
/// Each dial is followed by a task of this value, not of the caller of
/// [`dial`](Provider::dial): it goes on when that caller is gone. The tasks end with
/// [`shutdown`](Twilio::shutdown), or when this value is dropped. That ends no call: legs stay in
/// their rooms, to be found by [`look`](Provider::look).
pub struct Twilio {
    livekit: Arc<LiveKit>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    legs: Arc<Legs>,
    keypads: Arc<Keypads>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Twilio {
    /// A provider that dials through this LiveKit server. Digits are sent by participants on these
    /// media threads.
    pub fn new(livekit: Arc<LiveKit>, media: Media) -> Self {
        Self {
            keypads: Arc::new(Keypads::new(Arc::clone(&livekit), media)),
            livekit,
            clock: Arc::new(SystemClock),
            pace: Pace::default(),
            legs: Arc::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Takes the time of hints from this clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Looks at legs at this pace.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Stops following legs and waits until that is done; later dials are refused. Legs stay.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Twilio {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl std::fmt::Debug for Twilio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Twilio")
            .field("livekit", &self.livekit)
            .field("legs", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider for Twilio {
    async fn dial(&self, request: DialRequest, hints: HintSink) -> Result<Dialed> {
        let stopping = || {
            let message = "the server is stopping";
            Error::new(ErrorKind::Unavailable, "twilio.dial", message)
        };
        if self.stop.is_cancelled() {
            return Err(stopping());
        }
        let (early, answer) = oneshot::channel();
        let watch = Watch {
            livekit: Arc::clone(&self.livekit),
            clock: Arc::clone(&self.clock),
            pace: self.pace.clone(),
            request,
            hints,
        };
        let leg = Legs::enter(&self.legs, &watch.request.room_name);
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = Box::pin(watch.run(early, leg)) => {}
            }
        });
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    async fn hang_up(&self, room: &RoomName, participant_identity: &str) -> Result<()> {
        self.livekit.remove(room, participant_identity).await?;
        // No answered leg tells of this by itself, and the next look at it may be far.
        self.legs.removed(room);
        Ok(())
    }

    async fn send_dtmf(
        &self,
        room: &RoomName,
        participant_identity: &str,
        digits: &Digits,
    ) -> Result<()> {
        let error = |kind, why: &str| Err(Error::new(kind, keypad::OPERATION, why));
        let leg = self.livekit.leg(room, participant_identity).await;
        match leg.map_err(|error| keypad::unsent(&error.message))? {
            None => return error(ErrorKind::NotFound, "there is no such leg"),
            Some(leg) if leg.status == CallStatus::Active => {}
            Some(leg) if leg.status == CallStatus::Hangup => {
                return error(ErrorKind::NotFound, "the leg is ending");
            }
            Some(_) => return error(ErrorKind::Conflict, "the leg is not answered yet"),
        }
        self.keypads.press(room, digits.clone(), &self.tasks, &self.stop).await
    }

    async fn look(&self, room: &RoomName, participant_identity: &str) -> Result<LegLook> {
        let leg = self.livekit.leg(room, participant_identity).await?;
        Ok(match leg {
            Some(leg) => LegLook::Present(leg.hints(self.clock.now())),
            None => LegLook::Absent,
        })
    }

    fn check_trunk(&self, trunk: &Trunk) -> Result<(), TrunkFault> {
        trunk::check(trunk)
    }
}
