//! Digits for a leg of livekit-sip: sent into its room by a participant that nobody sees.
//!
//! livekit-sip plays what it is sent one digit after the other: 250 ms of tone, 250 ms of silence.
//! Source: livekit-sip 1.8, `pkg/sip/room.go` (`sendDTMF`), media-sdk `dtmf/dtmf.go`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outdial_domain::{Digits, DtmfStep, Error, ErrorKind, Result, RoomName, random_text};
use outdial_livekit::LiveKit;
use outdial_room::{JoinOptions, LeaveReason, Media, Room, RoomError};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) const OPERATION: &str = "twilio.send_dtmf";

/// How long livekit-sip takes for a digit.
const DIGIT: Duration = Duration::from_millis(500);
/// How many requests may wait for their turn in one call: a minute or two of digits.
const WAITING: usize = 4;
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a keypad has come into its room and begun: `None` while it is on its way.
type Arrival = Option<Result<(), String>>;

/// A keypad in a room, for as long as there are digits to send.
struct Entry {
    digits: mpsc::Sender<Digits>,
    arrival: watch::Receiver<Arrival>,
}

/// The keypads of all rooms: one each at most, so that digits keep their order.
pub(crate) struct Keypads {
    livekit: Arc<LiveKit>,
    media: Media,
    rooms: Mutex<HashMap<RoomName, Entry>>,
}

impl Keypads {
    pub(crate) fn new(livekit: Arc<LiveKit>, media: Media) -> Self {
        Self { livekit, media, rooms: Mutex::default() }
    }

    /// Sends digits into the room, behind those that are still being sent. Returns when a keypad is
    /// there to send them. What it does runs among `tasks`, until `stop`.
    pub(crate) async fn press(
        self: &Arc<Self>,
        room: &RoomName,
        digits: Digits,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<()> {
        let mut arrival = self.enqueue(room, digits, tasks, stop)?;
        let gone = || Error::new(ErrorKind::Unavailable, OPERATION, "the server is stopping");
        let arrived = arrival.wait_for(Option::is_some).await.map_err(|_| gone())?;
        match arrived.as_ref() {
            Some(Err(why)) => Err(Error::new(ErrorKind::Unavailable, OPERATION, why)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn enqueue(
        self: &Arc<Self>,
        room: &RoomName,
        digits: Digits,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<watch::Receiver<Arrival>> {
        let mut rooms = self.lock();
        if let Some(entry) = rooms.get(room) {
            // Its task takes itself out before it stops to listen.
            return match entry.digits.try_send(digits) {
                Ok(()) => Ok(entry.arrival.clone()),
                Err(_) => {
                    let why = "digits are still being sent: wait until they are";
                    Err(Error::new(ErrorKind::Busy, OPERATION, why))
                }
            };
        }
        let (sender, waiting) = mpsc::channel(WAITING);
        let (arrived, arrival) = watch::channel(None);
        // It has room for one.
        let _ = sender.try_send(digits);
        rooms.insert(room.clone(), Entry { digits: sender.clone(), arrival: arrival.clone() });
        let (keypads, room, stop) = (Arc::clone(self), room.clone(), stop.clone());
        tasks.spawn(async move {
            let place = Place { keypads: &keypads, room: &room, digits: sender };
            tokio::select! {
                () = stop.cancelled() => {}
                () = place.work(waiting, &arrived) => {}
            }
        });
        Ok(arrival)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RoomName, Entry>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A keypad's place in a room; left when dropped.
struct Place<'a> {
    keypads: &'a Keypads,
    room: &'a RoomName,
    /// Tells it from one that came later.
    digits: mpsc::Sender<Digits>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Place<'_> {
    async fn work(&self, mut waiting: mpsc::Receiver<Digits>, arrival: &watch::Sender<Arrival>) {
        let joined = match Box::pin(self.join()).await {
            Ok(joined) => joined,
            Err(why) => return self.give_up(why, arrival),
        };
        while let Some(digits) = self.next(&mut waiting) {
            if let Err(error) = play(&joined, &digits, arrival).await {
                tracing::info!(room = ?self.room, %error, "digits could not be sent");
                self.give_up(error.to_string(), arrival);
                break;
            }
        }
        joined.leave(LeaveReason::ClientInitiated).await;
    }

    /// What is to be sent next; `None`, and nothing is added any more, when that was all.
    fn next(&self, waiting: &mut mpsc::Receiver<Digits>) -> Option<Digits> {
        let rooms = self.keypads.lock();
        let next = waiting.try_recv().ok();
        if next.is_none() {
            self.leave_from(rooms);
        }
        next
    }

    /// Nothing is added any more, and whoever waits for the first digit is told why it is not sent.
    fn give_up(&self, why: String, arrival: &watch::Sender<Arrival>) {
        self.leave();
        arrival.send_if_modified(|arrival| {
            arrival.is_none().then(|| *arrival = Some(Err(why))).is_some()
        });
    }

    fn leave(&self) {
        self.leave_from(self.keypads.lock());
    }

    fn leave_from(&self, mut rooms: MutexGuard<'_, HashMap<RoomName, Entry>>) {
        if rooms.get(self.room).is_some_and(|entry| entry.digits.same_channel(&self.digits)) {
            rooms.remove(self.room);
        }
    }

    async fn join(&self) -> Result<Room, String> {
        // Nodes do not know each other's keypads.
        let identity = format!("outdial-keypad-{}", random_text(8));
        let livekit = &self.keypads.livekit;
        let token = livekit.dtmf_token(self.room, &identity).map_err(|error| error.message)?;
        let options = JoinOptions { timeout: JOIN_TIMEOUT, rejoin: false, ..Default::default() };
        let joining = Room::join(&self.keypads.media, livekit.url(), &token, options);
        let (room, _) = joining.await.map_err(|error| unsent(&error).message)?;
        Ok(room)
    }
}

/// The room cannot be reached.
pub(crate) fn unsent(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unavailable, OPERATION, format!("nothing was sent: {why}"))
}

/// Sends digits at the pace at which they are played, so that pauses are where they should be.
async fn play(
    room: &Room,
    digits: &Digits,
    arrival: &watch::Sender<Arrival>,
) -> Result<(), RoomError> {
    for step in digits.steps() {
        let lasts = match step {
            DtmfStep::Digit(digit) => {
                // livekit-sip knows `A` to `D` in lower case only.
                let text = digit.as_char().to_ascii_lowercase().to_string();
                room.send_dtmf(u32::from(digit.code()), &text).await?;
                DIGIT
            }
            DtmfStep::Pause(time) => time,
        };
        arrival.send_if_modified(|arrival| arrival.replace(Ok(())).is_none());
        sleep(lasts).await;
    }
    Ok(())
}
