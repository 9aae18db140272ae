//! One observation: from joining the room to the last hint.

use std::future::pending;
use std::sync::Arc;

use outdial_domain::ports::ObserveRequest;
use outdial_domain::{Hint, RoomName};
use outdial_room::{CloseReason, Events, LeaveReason, Room, RoomEvent};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::attendant::Attendant;
use crate::audio::Audio;
use crate::entry;
use crate::observer::Shared;
use crate::outbox::Outbox;

/// Observes a call until all is told, nobody listens, or `stop`.
pub(crate) async fn run(shared: Arc<Shared>, request: ObserveRequest, stop: CancellationToken) {
    let ObserveRequest { room_name, participant_identity, hints, audio } = request;
    let (outbox, inbox) = Outbox::new();
    let attendant = Attendant::observer(&participant_identity, Arc::clone(&shared.clock));
    let audio = audio.map(Audio::new);
    let observation = Observing { shared, room_name, attendant, audio, outbox };
    let unheard = stop.clone();
    tokio::join!(Box::pin(observation.run(&stop)), async {
        tokio::select! {
            () = inbox.deliver(&hints) => {}
            () = unheard.cancelled() => {}
        }
        // Nobody listens any more, or all is told.
        unheard.cancel();
    });
}

struct Observing {
    shared: Arc<Shared>,
    room_name: RoomName,
    attendant: Attendant,
    audio: Option<Audio>,
    outbox: Outbox,
}

/// What follows when an observer is no longer in a room.
enum Then {
    /// All is told but these.
    Over(Vec<Hint>),
    /// Join again.
    Again,
    /// Nobody listens.
    Stop,
}

impl Observing {
    async fn run(mut self, stop: &CancellationToken) {
        let mut was_there = false;
        loop {
            let (then, room) = match self.enter(was_there, stop).await {
                Ok((room, events)) => {
                    was_there = true;
                    (self.attend(&room, events, stop).await, Some(room))
                }
                Err(then) => (then, None),
            };
            let leave = async {
                if let Some(room) = room {
                    room.leave(LeaveReason::ClientInitiated).await;
                }
            };
            match then {
                Then::Over(last) => {
                    self.tell_ignored();
                    tokio::join!(leave, self.outbox.tell_last(last));
                    return;
                }
                Then::Again => leave.await,
                Then::Stop => return leave.await,
            }
        }
    }

    /// Joins the room. What was heard before is told meanwhile.
    async fn enter(
        &mut self,
        was_there: bool,
        stop: &CancellationToken,
    ) -> Result<(Room, Events), Then> {
        let (shared, room_name) = (Arc::clone(&self.shared), self.room_name.clone());
        let mut joining = Box::pin(entry::join(&shared, &room_name, was_there));
        loop {
            tokio::select! {
                () = stop.cancelled() => return Err(Then::Stop),
                entered = &mut joining => {
                    return entered.ok_or_else(|| Then::Over(self.attendant.room_gone()));
                }
                () = until(self.attendant.due()) => self.tick(Vec::new())?,
            }
        }
    }

    /// Sees and hears what goes on in the room.
    async fn attend(&mut self, room: &Room, mut events: Events, stop: &CancellationToken) -> Then {
        let mut hints = self.attendant.look_around(&room.participants());
        loop {
            self.attendant.watch(room);
            self.listen(room);
            if let Err(then) = self.tick(hints) {
                return then;
            }
            hints = tokio::select! {
                () = stop.cancelled() => return Then::Stop,
                event = events.next() => match event {
                    Some(RoomEvent::Closed(reason)) => return self.closed(&reason),
                    Some(event) => self.attendant.hear(event),
                    None => return self.closed(&CloseReason::MediaStopped),
                },
                () = until(self.attendant.due()) => Vec::new(),
            };
        }
    }

    /// Tells the hints, and the lines whose turn has come.
    fn tick(&mut self, mut hints: Vec<Hint>) -> Result<(), Then> {
        hints.extend(self.attendant.tick());
        if self.attendant.is_over() {
            return Err(Then::Over(hints));
        }
        for hint in hints {
            self.attendant.tell(hint, &self.outbox);
        }
        Ok(())
    }

    /// Records the voices that are new.
    fn listen(&mut self, room: &Room) {
        let Some(audio) = &self.audio else { return };
        self.attendant.voices(|track_sid, speaker| {
            let asked = room.subscribe(track_sid, audio.track(speaker));
            if let Err(error) = &asked {
                tracing::info!(room = %self.room_name, %error, "a voice cannot be recorded");
            }
            asked.is_ok()
        });
    }

    fn tell_ignored(&self) {
        let (room, ignored) = (&self.room_name, self.attendant.ignored());
        if ignored > 0 {
            tracing::info!(%room, ignored, "streams of the transcript made no sense");
        }
    }

    fn closed(&mut self, reason: &CloseReason) -> Then {
        match reason {
            CloseReason::RoomDeleted => {}
            CloseReason::Left
            | CloseReason::Removed
            | CloseReason::DuplicateIdentity
            | CloseReason::MediaStopped => {
                tracing::info!(room = %self.room_name, %reason, "a call is not observed any more");
            }
            reason => {
                tracing::info!(room = %self.room_name, %reason, "joining a room again");
                self.attendant.cut_off();
                return Then::Again;
            }
        }
        Then::Over(self.attendant.closed(reason))
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
