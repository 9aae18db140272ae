//! What somebody in a call's room sees and hears, as hints.

use std::fmt;
use std::sync::Arc;

use outdial_domain::ports::Clock;
use outdial_domain::{Digit, Hint, Speaker};
use outdial_room::{
    CloseReason, Participant, ParticipantKind, ParticipantState, Room, RoomEvent, StreamError,
    TextStreamEvent, Track, TrackKind,
};
use tokio::time::Instant;

use crate::moment::Moment;
use crate::notes::Notes;
use crate::outbox::Outbox;
use crate::people::Sighting;
use crate::transcript::Header;

/// More tracks than a call has.
const MAX_TRACKS: usize = 16;

/// Source: livekit-agents 1.8, `types.py`.
const TOPIC: &str = "lk.transcription";
const SEGMENT: &str = "lk.segment_id";
const FINAL: &str = "lk.transcription_final";

/// Makes hints of what happens in a call's room, for whoever is in it: fed with the events of a
/// [`Room`], it tells of the agent and the transcript and, unless it is itself the callee's leg,
/// of the leg and of the keys that the callee presses.
///
/// After each event, and whenever it is [`due`](Self::due): [`watch`](Self::watch) the connection,
/// take the hints of [`tick`](Self::tick), and look for new [`voices`](Self::voices).
pub struct Attendant {
    notes: Notes,
    clock: Arc<dyn Clock>,
    /// Who we are, where we are the callee's leg: nothing that is told of it is news.
    own: Option<String>,
    voices: Vec<Voice>,
    /// Data could come, at least for some time.
    was_connected: bool,
}

/// A track of somebody whose voice belongs to the call.
struct Voice {
    track_sid: String,
    speaker: Speaker,
    is_heard: bool,
}

impl fmt::Debug for Attendant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attendant").field("is_over", &self.is_over()).finish_non_exhaustive()
    }
}

impl Attendant {
    /// Somebody beside the callee, whose identity is `callee`.
    pub fn observer(callee: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            notes: Notes::new(callee),
            clock,
            own: None,
            voices: Vec::new(),
            was_connected: false,
        }
    }

    /// The callee's leg itself, which joins the room as `identity`. It knows how it fares: it is told
    /// [`leg_answered`](Self::leg_answered) and [`leg_ended`](Self::leg_ended), and gives no hint of
    /// either.
    pub fn leg(identity: &str, clock: Arc<dyn Clock>) -> Self {
        Self { own: Some(identity.to_owned()), ..Self::observer(identity, clock) }
    }

    /// Everybody else who is there now: to be called first, and again after a new join.
    pub fn look_around(&mut self, others: &[Participant]) -> Vec<Hint> {
        let now = self.now();
        let there: Vec<_> = others.iter().map(|other| other.identity.as_str()).collect();
        let mut hints = self.notes.only(&there, now);
        for other in others {
            hints.extend(self.see(other));
        }
        // From the join on: until our data channel is open, the server keeps for us what is sent.
        // Source: livekit-server 1.13.5, `pkg/rtc/participant.go`, `SendDataMessage`.
        self.notes.listening();
        hints
    }

    /// Something happened in the room. [`RoomEvent::Closed`] is for [`closed`](Self::closed) or
    /// [`cut_off`](Self::cut_off).
    pub fn hear(&mut self, event: RoomEvent) -> Vec<Hint> {
        let now = self.now();
        match event {
            RoomEvent::ParticipantJoined(who) | RoomEvent::ParticipantUpdated(who) => {
                return self.see(&who);
            }
            RoomEvent::ParticipantLeft { participant, reason }
                if !self.is_own(&participant.identity) =>
            {
                return self.notes.leave(sighting(&participant), reason, now);
            }
            RoomEvent::TrackPublished { participant_identity, track } => {
                self.notice(&participant_identity, &track);
            }
            RoomEvent::TrackUnpublished { track_sid, .. } => {
                self.voices.retain(|voice| voice.track_sid != track_sid);
            }
            RoomEvent::SubscriptionFailed { error, .. } => {
                tracing::info!(error, "a voice of a call cannot be heard");
            }
            RoomEvent::ActiveSpeakers(speakers) => {
                for speaker in speakers {
                    self.notes.voice(&speaker.participant_identity, speaker.active, now);
                }
            }
            RoomEvent::TextStream(event) => self.read(event, now),
            RoomEvent::Dtmf { participant_identity, digit, .. } => {
                return self.pressed(&participant_identity, &digit).into_iter().collect();
            }
            RoomEvent::Rejoined => self.notes.cut_off(now),
            _ => {}
        }
        Vec::new()
    }

    /// Passes a hint on; a line that finds no place in the outbox is one that was missed.
    pub fn tell(&mut self, hint: Hint, outbox: &Outbox) {
        let is_line = matches!(hint, Hint::Line(_));
        if !outbox.tell(hint) && is_line {
            self.missed();
        }
    }

    /// Looks whether the connection carries everything.
    pub fn watch(&mut self, room: &Room) {
        self.was_connected |= room.is_connected();
        if room.dropped_data() > 0 {
            self.notes.missed();
        }
    }

    /// Offers the tracks that nobody listens to yet: those of the agent and, to an observer, of the
    /// callee. `take` says whether it listens to one from now on; what it does not take is offered
    /// again.
    pub fn voices(&mut self, mut take: impl FnMut(&str, Speaker) -> bool) {
        for voice in self.voices.iter_mut().filter(|voice| !voice.is_heard) {
            voice.is_heard = take(&voice.track_sid, voice.speaker);
        }
    }

    /// When to [`tick`](Self::tick), though nothing may have come by then.
    pub fn due(&self) -> Option<Instant> {
        self.notes.due()
    }

    /// The lines whose turn has come, and the end when all has been told: see
    /// [`is_over`](Self::is_over).
    pub fn tick(&mut self) -> Vec<Hint> {
        if self.notes.leg_has_ended() {
            self.judge_connection();
        }
        self.notes.tick(self.now())
    }

    /// Whether all has been told, to the end of the transcript.
    pub fn is_over(&self) -> bool {
        self.notes.is_over()
    }

    /// How many streams of a transcript made no sense.
    pub fn ignored(&self) -> u64 {
        self.notes.ignored()
    }

    /// We are the leg, and the callee has answered.
    pub fn leg_answered(&mut self) {
        self.notes.leg_answered();
    }

    /// We are the leg, and the call is over. What is still told of it comes within 2 s.
    pub fn leg_ended(&mut self) {
        self.notes.leg_ended(self.now());
    }

    /// Something was missed: a line that nobody took, for example.
    pub fn missed(&mut self) {
        self.notes.missed();
    }

    /// We have left the room and will join it again: streams broke off, others may be missed.
    pub fn cut_off(&mut self) {
        self.judge_connection();
        self.notes.cut_off(self.now());
        self.voices.clear();
    }

    /// We are out of the room for good. The last hints: all is told with them. A leg whose call ends
    /// by this is not told [`leg_ended`](Self::leg_ended) before.
    pub fn closed(&mut self, reason: &CloseReason) -> Vec<Hint> {
        let now = self.now();
        self.judge_connection();
        match reason {
            CloseReason::RoomDeleted => self.notes.room_deleted(now),
            // Who removes a leg ends the call.
            CloseReason::Removed if self.own.is_some() => self.notes.room_deleted(now),
            _ => self.notes.shut_out(now),
        }
    }

    /// The room was not there when it was to be joined. The last hints, as for
    /// [`closed`](Self::closed).
    pub fn room_gone(&mut self) -> Vec<Hint> {
        let now = self.now();
        self.judge_connection();
        self.notes.room_gone(now)
    }

    /// Who was in the room but never connected has heard nothing.
    fn judge_connection(&mut self) {
        if !self.was_connected {
            self.notes.deaf();
        }
    }

    fn is_own(&self, identity: &str) -> bool {
        self.own.as_deref() == Some(identity)
    }

    fn see(&mut self, who: &Participant) -> Vec<Hint> {
        if self.is_own(&who.identity) {
            return Vec::new();
        }
        let hints = self.notes.see(sighting(who), self.now());
        for track in &who.tracks {
            self.notice(&who.identity, track);
        }
        hints
    }

    fn notice(&mut self, identity: &str, track: &Track) {
        let Some(speaker) = self.notes.speaker(identity).filter(|_| !self.is_own(identity)) else {
            return;
        };
        if track.kind == TrackKind::Audio
            && self.voices.len() < MAX_TRACKS
            && self.voices.iter().all(|voice| voice.track_sid != track.sid)
        {
            let track_sid = track.sid.clone();
            self.voices.push(Voice { track_sid, speaker, is_heard: false });
        }
    }

    /// A key of the callee's phone. What others send is to be dialled, and not for us.
    fn pressed(&self, identity: &str, digit: &str) -> Option<Hint> {
        if self.is_own(identity) || self.notes.speaker(identity) != Some(Speaker::User) {
            return None;
        }
        let mut keys = digit.chars();
        let digit = keys.next().and_then(Digit::from_char).filter(|_| keys.next().is_none())?;
        Some(Hint::Dtmf { at: self.now().at, digit })
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
        Moment::now(&*self.clock)
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

#[cfg(test)]
mod tests;
