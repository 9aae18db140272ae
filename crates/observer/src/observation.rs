//! One observation: from joining the room to the last hint.

use std::collections::HashSet;
use std::future::pending;
use std::sync::Arc;

use outdial_domain::ports::{HintSink, ObserveRequest};
use outdial_domain::{Hint, RoomName};
use outdial_room::{
    CloseReason, Events, LeaveReason, Participant, ParticipantKind, ParticipantState, Room,
    RoomEvent, StreamError, TextStreamEvent, Track, TrackKind,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::audio::Audio;
use crate::entry;
use crate::moment::Moment;
use crate::notes::Notes;
use crate::observer::Shared;
use crate::people::Sighting;
use crate::transcript::Header;

/// Hints that may wait for a slow listener while the room is still heard.
const MAX_HINTS: usize = 128;
/// So many of these places are kept for what makes the call's course.
const FOR_FACTS: usize = 32;

/// More tracks than a call has.
const MAX_TRACKS: usize = 16;

/// Source: livekit-agents 1.8, `types.py`.
const TOPIC: &str = "lk.transcription";
const SEGMENT: &str = "lk.segment_id";
const FINAL: &str = "lk.transcription_final";

/// Observes a call until all is told, nobody listens, or `stop`.
pub(crate) async fn run(shared: Arc<Shared>, request: ObserveRequest, stop: CancellationToken) {
    let ObserveRequest { room_name, participant_identity, hints, audio } = request;
    let (outbox, inbox) = mpsc::channel(MAX_HINTS);
    let observation = Observing {
        shared,
        room_name,
        notes: Notes::new(&participant_identity),
        audio: audio.map(Audio::new),
        tracks: HashSet::new(),
        was_connected: false,
        outbox,
    };
    let unheard = stop.clone();
    tokio::join!(Box::pin(observation.run(&stop)), async {
        deliver(inbox, &hints, &unheard).await;
        // Nobody listens any more, or all is told.
        unheard.cancel();
    });
}

/// Passes hints on as the listener takes them.
async fn deliver(mut inbox: mpsc::Receiver<Hint>, hints: &HintSink, stop: &CancellationToken) {
    let pass_on = async {
        while let Some(hint) = inbox.recv().await {
            if !hints.send(hint).await {
                return;
            }
        }
    };
    tokio::select! {
        () = pass_on => {}
        () = hints.closed() => {}
        () = stop.cancelled() => {}
    }
}

struct Observing {
    shared: Arc<Shared>,
    room_name: RoomName,
    notes: Notes,
    audio: Option<Audio>,
    /// The tracks that were asked for, by their sids.
    tracks: HashSet<String>,
    /// Data could come, at least for some time.
    was_connected: bool,
    outbox: mpsc::Sender<Hint>,
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
                    tokio::join!(leave, self.tell_last(last));
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
                    let now = self.now();
                    return entered.ok_or_else(|| {
                        self.judge_connection();
                        Then::Over(self.notes.room_gone(now))
                    });
                }
                () = until(self.notes.due()) => self.tick(Vec::new())?,
            }
        }
    }

    /// Sees and hears what goes on in the room.
    async fn attend(&mut self, room: &Room, mut events: Events, stop: &CancellationToken) -> Then {
        let mut hints = self.look_around(room);
        // From the join on: until our data channel is open, the server keeps for us what is sent.
        // Source: livekit-server 1.13.5, `pkg/rtc/participant.go`, `SendDataMessage`.
        self.notes.listening();
        loop {
            if room.stats().dropped_data > 0 {
                self.notes.missed();
            }
            self.was_connected |= room.is_connected();
            if let Err(then) = self.tick(hints) {
                return then;
            }
            hints = tokio::select! {
                () = stop.cancelled() => return Then::Stop,
                event = events.next() => match event {
                    Some(RoomEvent::Closed(reason)) => return self.closed(&reason),
                    Some(event) => self.hear(room, event),
                    None => return self.closed(&CloseReason::MediaStopped),
                },
                () = until(self.notes.due()) => Vec::new(),
            };
        }
    }

    /// Tells the hints, and the lines whose turn has come.
    fn tick(&mut self, mut hints: Vec<Hint>) -> Result<(), Then> {
        let now = self.now();
        if self.notes.leg_has_ended() {
            self.judge_connection();
        }
        hints.extend(self.notes.tick(now));
        if self.notes.is_over() {
            return Err(Then::Over(hints));
        }
        hints.into_iter().for_each(|hint| self.tell(hint));
        Ok(())
    }

    /// Tells a hint, unless too many wait already.
    fn tell(&mut self, hint: Hint) {
        let is_line = matches!(hint, Hint::Line(_));
        let is_talk = is_line || matches!(hint, Hint::AgentState { .. });
        let is_told =
            (!is_talk || self.outbox.capacity() > FOR_FACTS) && self.outbox.try_send(hint).is_ok();
        if is_line && !is_told {
            self.notes.missed();
        }
    }

    async fn tell_last(&self, hints: Vec<Hint>) {
        for hint in hints {
            // It fails when nobody listens any more.
            let _ = self.outbox.send(hint).await;
        }
    }

    fn tell_ignored(&self) {
        let (room, ignored) = (&self.room_name, self.notes.ignored());
        if ignored > 0 {
            tracing::info!(%room, ignored, "streams of the transcript made no sense");
        }
    }

    /// Who was in the room but never connected has heard nothing.
    fn judge_connection(&mut self) {
        if !self.was_connected {
            self.notes.deaf();
        }
    }

    fn closed(&mut self, reason: &CloseReason) -> Then {
        let now = self.now();
        self.judge_connection();
        match reason {
            CloseReason::RoomDeleted => Then::Over(self.notes.room_deleted(now)),
            CloseReason::Left
            | CloseReason::Removed
            | CloseReason::DuplicateIdentity
            | CloseReason::MediaStopped => {
                tracing::info!(room = %self.room_name, %reason, "a call is not observed any more");
                Then::Over(self.notes.shut_out(now))
            }
            reason => {
                tracing::info!(room = %self.room_name, %reason, "joining a room again");
                self.notes.cut_off(now);
                self.tracks.clear();
                Then::Again
            }
        }
    }

    /// Everybody who is there.
    fn look_around(&mut self, room: &Room) -> Vec<Hint> {
        let now = self.now();
        let others = room.participants();
        let there: Vec<_> = others.iter().map(|other| other.identity.as_str()).collect();
        let mut hints = self.notes.only(&there, now);
        for other in &others {
            hints.extend(self.see(room, other));
        }
        hints
    }

    fn hear(&mut self, room: &Room, event: RoomEvent) -> Vec<Hint> {
        let now = self.now();
        match event {
            RoomEvent::ParticipantJoined(who) | RoomEvent::ParticipantUpdated(who) => {
                return self.see(room, &who);
            }
            RoomEvent::ParticipantLeft { participant, reason } => {
                return self.notes.leave(sighting(&participant), reason, now);
            }
            RoomEvent::TrackPublished { participant_identity, track } => {
                self.listen_to(room, &participant_identity, &track);
            }
            RoomEvent::TrackUnpublished { track_sid, .. } => {
                self.tracks.remove(&track_sid);
            }
            RoomEvent::SubscriptionFailed { error, .. } => {
                tracing::info!(room = %self.room_name, error, "a voice cannot be recorded");
            }
            RoomEvent::ActiveSpeakers(speakers) => {
                for speaker in speakers {
                    self.notes.voice(&speaker.participant_identity, speaker.active, now);
                }
            }
            RoomEvent::TextStream(event) => self.read(event, now),
            _ => {}
        }
        Vec::new()
    }

    fn see(&mut self, room: &Room, who: &Participant) -> Vec<Hint> {
        let now = self.now();
        let hints = self.notes.see(sighting(who), now);
        for track in &who.tracks {
            self.listen_to(room, &who.identity, track);
        }
        hints
    }

    fn listen_to(&mut self, room: &Room, identity: &str, track: &Track) {
        let (Some(audio), Some(speaker)) = (&self.audio, self.notes.speaker(identity)) else {
            return;
        };
        if track.kind != TrackKind::Audio
            || self.tracks.contains(&track.sid)
            || self.tracks.len() >= MAX_TRACKS
        {
            return;
        }
        match room.subscribe(&track.sid, audio.track(speaker)) {
            Ok(()) => {
                self.tracks.insert(track.sid.clone());
            }
            Err(error) => {
                tracing::info!(room = %self.room_name, %error, "a voice cannot be recorded");
            }
        }
    }

    fn read(&mut self, event: TextStreamEvent, now: Moment) {
        let is_true = |text: Option<&String>| text.is_some_and(|text| text == "true");
        match event {
            TextStreamEvent::Opened {
                stream_id, topic, participant_identity, attributes, ..
            } if topic == TOPIC => {
                let Some(speaker) = self.notes.speaker(&participant_identity) else { return };
                let header = Header {
                    stream: &stream_id,
                    segment: attributes.get(SEGMENT).map(String::as_str),
                    speaker,
                    identity: &participant_identity,
                    is_final: is_true(attributes.get(FINAL)),
                };
                self.notes.open(header, now);
            }
            TextStreamEvent::Opened { .. } => {}
            TextStreamEvent::Chunk { stream_id, text } => self.notes.append(&stream_id, &text, now),
            TextStreamEvent::Closed { stream_id, attributes } => {
                self.notes.close(&stream_id, is_true(attributes.get(FINAL)), now);
            }
            TextStreamEvent::Failed { stream_id, error } => {
                self.notes.fail(&stream_id, error != StreamError::Interrupted, now);
            }
        }
    }

    fn now(&self) -> Moment {
        Moment::now(&*self.shared.clock)
    }
}

fn sighting(who: &Participant) -> Sighting<'_> {
    Sighting {
        sid: &who.sid,
        identity: &who.identity,
        is_agent: who.kind == ParticipantKind::Agent,
        is_there: matches!(who.state, ParticipantState::Joined | ParticipantState::Active),
        attributes: &who.attributes,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
