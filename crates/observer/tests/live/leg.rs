//! The callee's leg as a participant of our own: it speaks G.711, and attends to the call itself.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use outdial_domain::ports::SystemClock;
use outdial_domain::{AgentState, Hint, Speaker};
use outdial_livekit::{CallStatus, attributes};
use outdial_observer::{Attendant, Audio};
use outdial_room::{
    AudioCodec, CloseReason, Events, JoinOptions, LeaveReason, Media, MediaConfig, PublishOptions,
    Room, RoomEvent, RtpFrame,
};
use tokio::time::{sleep_until, timeout};

use crate::call::{Call, Recorder, Tape};
use crate::is_over;

const PATIENCE: Duration = Duration::from_secs(90);
const FRAME: usize = 160;
const SILENCE: [u8; FRAME] = [0xff; FRAME];

/// What a phone still has to say, in frames of 20 ms.
type Words = Arc<Mutex<VecDeque<Vec<u8>>>>;

pub(crate) struct Leg {
    room: Room,
    events: Events,
    attendant: Attendant,
    audio: Audio,
    words: Words,
    answered: bool,
    pub(crate) told: Vec<Hint>,
    pub(crate) tape: Tape,
}

impl Leg {
    /// Joins the room of a call as livekit-sip does, and publishes a voice.
    pub(crate) async fn join(call: &Call) -> Self {
        let bind = "127.0.0.1".parse().unwrap();
        let media = Media::start(MediaConfig { bind, ..MediaConfig::default() }).unwrap();
        let livekit = &call.stack.livekit;
        let status = (attributes::CALL_STATUS, CallStatus::Dialing.as_str());
        let all = [status, (attributes::PHONE_NUMBER, "+15550199999")];
        let token = livekit.leg_token(&call.room, &call.callee(), "Phone", &all).unwrap();
        let joined = Room::join(&media, livekit.url(), &token, JoinOptions::default()).await;
        let (room, events) = joined.unwrap();
        let options = PublishOptions { codec: AudioCodec::Pcmu, ..Default::default() };
        let publication = room.publish(options).await.unwrap();
        let words = Words::default();
        let (queue, mut timestamp) = (Arc::clone(&words), 0u32);
        publication.set_source(Box::new(move |_: Instant| {
            let words = queue.lock().unwrap().pop_front();
            let level = Some(if words.is_some() { -20 } else { -127 });
            timestamp = timestamp.wrapping_add(160);
            let payload = words.unwrap_or_else(|| SILENCE.to_vec()).into();
            Some(RtpFrame { payload, timestamp, marker: false, level })
        }));
        let mut attendant = Attendant::leg(&call.callee(), Arc::new(SystemClock));
        let told = attendant.look_around(&room.participants());
        let tape = Tape::default();
        let audio = Audio::new(Box::new(Recorder(Arc::clone(&tape))));
        Self { room, events, attendant, audio, words, answered: false, told, tape }
    }

    pub(crate) async fn shows(&self, status: CallStatus) {
        let set = [(attributes::CALL_STATUS.to_owned(), status.as_str().to_owned())];
        self.room.set_attributes(set.into()).await.unwrap();
    }

    pub(crate) async fn answer(&mut self) {
        self.shows(CallStatus::Active).await;
        self.attendant.leg_answered();
        self.answered = true;
    }

    /// The callee has hung up: attends to the rest, and leaves.
    pub(crate) async fn ends(mut self) -> Vec<Hint> {
        self.attendant.leg_ended();
        self.shows(CallStatus::Hangup).await;
        self.hears("end of the transcript", is_over).await;
        self.room.leave(LeaveReason::ClientInitiated).await;
        self.told
    }

    /// Waits until all is said.
    pub(crate) async fn has_said_all(&mut self) {
        while !self.words.lock().unwrap().is_empty() {
            let _ = timeout(Duration::from_millis(20), self.step()).await;
        }
    }

    pub(crate) fn says(&self, g711: &[u8]) {
        self.words.lock().unwrap().extend(g711.chunks_exact(FRAME).map(<[u8]>::to_vec));
    }

    /// Attends to the call until a hint is told, or to its end.
    pub(crate) async fn hears(&mut self, what: &str, fits: impl Fn(&Hint) -> bool) {
        let mut from = 0;
        while !self.told[from..].iter().any(&fits) {
            from = self.told.len();
            assert!(!self.attendant.is_over(), "no {what}: {:?}", self.told);
            let step = timeout(PATIENCE, self.step()).await;
            step.unwrap_or_else(|_| panic!("no {what}: {:?}", self.told));
        }
    }

    /// Waits until the agent has said what it says now: it may not understand who speaks meanwhile.
    pub(crate) async fn has_its_ear(&mut self) {
        let state = |hint: &Hint| match hint {
            Hint::AgentState { state, .. } => Some(*state),
            _ => None,
        };
        while self.told.iter().rev().find_map(state) != Some(AgentState::Listening) {
            let step = timeout(PATIENCE, self.step()).await;
            step.unwrap_or_else(|_| panic!("the agent does not listen: {:?}", self.told));
        }
    }

    async fn step(&mut self) {
        let due = self.attendant.due();
        let is_due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        let hints = tokio::select! {
            event = self.events.next() => match event {
                Some(RoomEvent::Closed(reason)) => {
                    assert_eq!(reason, CloseReason::Removed);
                    self.attendant.closed(&reason)
                }
                Some(event) => self.attendant.hear(event),
                None => panic!("closed twice"),
            },
            () = is_due => Vec::new(),
        };
        self.told.extend(hints);
        self.attendant.watch(&self.room);
        if self.answered {
            self.attendant.voices(|track_sid, speaker| {
                self.room.subscribe(track_sid, self.audio.track(speaker)).unwrap();
                true
            });
        }
        self.told.extend(self.attendant.tick());
    }

    /// Who said what.
    pub(crate) fn lines(&self) -> Vec<(Speaker, String)> {
        let line = |hint: &Hint| match hint {
            Hint::Line(line) => Some((line.speaker, line.text.clone())),
            _ => None,
        };
        self.told.iter().filter_map(line).collect()
    }
}
