//! What is known of a call, gathered from sources that repeat, reorder and lose messages.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::media::MediaQuality;
use super::outcome::{HangUpReason, LegEnd};
use crate::{Digit, TranscriptLine, TranscriptStatus};

/// A participant of a room. Debug output leaves out the identity: it holds the phone number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Participant {
    /// The server's id of it, `PA_…`.
    pub sid: String,
    /// Its identity, `phone-+…` for the callee.
    pub identity: String,
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Participant({})", self.sid)
    }
}

/// What the agent is doing, as it says itself: the participant attribute `lk.agent.state`.
/// Source: livekit-agents 1.8, `voice/agent_session.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// It starts.
    Initializing,
    /// It does nothing.
    Idle,
    /// It listens.
    Listening,
    /// It prepares an answer.
    Thinking,
    /// It speaks.
    Speaking,
}

impl AgentState {
    /// The word of LiveKit, and of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Idle => "idle",
            Self::Listening => "listening",
            Self::Thinking => "thinking",
            Self::Speaking => "speaking",
        }
    }

    /// Reads the attribute; `None` for a word that is not known.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Initializing, Self::Idle, Self::Listening, Self::Thinking, Self::Speaking]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// One thing that a source (the provider's leg, LiveKit's webhooks, a look at the room, an
/// observer) tells about a call.
///
/// Hints may come late, twice, in any order, or not at all. All but [`Hint::Line`] and those that are
/// for watchers only merge into [`Facts`] so that order and repetition do not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// The callee's leg is in the room.
    Joined {
        /// When.
        at: DateTime<Utc>,
        /// Who it is there; `None` when the leg is no participant (yet).
        participant: Option<Participant>,
    },
    /// The phone rings (180, or 183).
    Ringing {
        /// When.
        at: DateTime<Utc>,
    },
    /// The callee has answered (200).
    Answered {
        /// When.
        at: DateTime<Utc>,
    },
    /// The leg has ended.
    Ended {
        /// When.
        at: DateTime<Utc>,
        /// How.
        end: LegEnd,
    },
    /// The agent is in the room.
    AgentJoined {
        /// When.
        at: DateTime<Utc>,
    },
    /// The agent has left the room.
    AgentLeft {
        /// When.
        at: DateTime<Utc>,
    },
    /// The agent says what it does. For those who watch; no fact.
    AgentState {
        /// When.
        at: DateTime<Utc>,
        /// What.
        state: AgentState,
    },
    /// The callee's side has put the call on hold.
    Held {
        /// When.
        at: DateTime<Utc>,
    },
    /// The hold is over.
    Resumed {
        /// When.
        at: DateTime<Utc>,
    },
    /// The callee has pressed a key. For those who watch; no fact.
    Dtmf {
        /// When.
        at: DateTime<Utc>,
        /// Which.
        digit: Digit,
    },
    /// What was counted of the media so far, sent at the latest right before the end of the leg.
    Media {
        /// The counts.
        quality: MediaQuality,
    },
    /// A final line of the transcript.
    Line(TranscriptLine),
    /// No further line will come.
    TranscriptEnded {
        /// Whether all that was said was heard.
        status: TranscriptStatus,
    },
}

/// What is known of a call's course. Every field only ever grows more certain: times move to the
/// earliest one heard, the end of the leg to the source with the most authority. So merging is
/// commutative, associative and idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// The callee's leg as a participant.
    pub participant: Option<Participant>,
    /// When the leg joined the room, or the INVITE went out.
    pub dialed_at: Option<DateTime<Utc>>,
    /// When it began to ring.
    pub ringing_at: Option<DateTime<Utc>>,
    /// When it was answered.
    pub answered_at: Option<DateTime<Utc>>,
    /// When the leg ended.
    pub leg_ended_at: Option<DateTime<Utc>>,
    /// How the leg ended, from the source with the most authority so far.
    pub leg_end: Option<LegEnd>,
    /// When an agent first joined.
    pub agent_joined_at: Option<DateTime<Utc>>,
    /// When an agent last left.
    pub agent_left_at: Option<DateTime<Utc>>,
    /// When and why this server decided to end the call.
    pub hang_up: Option<HangUp>,
    /// Set when no further line of the transcript will come.
    #[serde(default)]
    pub transcript: Option<TranscriptStatus>,
    /// How well the media went, by whoever has counted most; `None` when nobody has counted.
    #[serde(default)]
    pub media: Option<MediaQuality>,
    /// When the callee's side last put the call on hold.
    #[serde(default)]
    pub held_at: Option<DateTime<Utc>>,
    /// When a hold was last over.
    #[serde(default)]
    pub resumed_at: Option<DateTime<Utc>>,
}

/// The decision of this server to end a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HangUp {
    /// When it was decided.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: HangUpReason,
}

impl Facts {
    /// Takes in a hint; `true` when something new was learnt.
    pub fn merge(&mut self, hint: &Hint) -> bool {
        match hint {
            Hint::Joined { at, participant } => {
                let known =
                    participant.as_ref().is_some_and(|p| earliest(&mut self.participant, p));
                earliest(&mut self.dialed_at, at) | known
            }
            Hint::Ringing { at } => earliest(&mut self.ringing_at, at),
            Hint::Answered { at } => earliest(&mut self.answered_at, at),
            Hint::Ended { at, end } => {
                earliest(&mut self.leg_ended_at, at) | earliest(&mut self.leg_end, end)
            }
            Hint::AgentJoined { at } => earliest(&mut self.agent_joined_at, at),
            Hint::AgentLeft { at } => most(&mut self.agent_left_at, at),
            Hint::TranscriptEnded { status } => earliest(&mut self.transcript, status),
            Hint::Media { quality } => most(&mut self.media, quality),
            Hint::Held { at } => most(&mut self.held_at, at),
            Hint::Resumed { at } => most(&mut self.resumed_at, at),
            Hint::AgentState { .. } | Hint::Dtmf { .. } | Hint::Line(_) => false,
        }
    }

    /// Takes in all that `other` knows.
    pub fn absorb(&mut self, other: &Self) {
        fn take<T: Ord + Clone>(known: &mut Option<T>, heard: Option<&T>) {
            if let Some(heard) = heard {
                earliest(known, heard);
            }
        }
        let Self {
            participant,
            dialed_at,
            ringing_at,
            answered_at,
            leg_ended_at,
            leg_end,
            agent_joined_at,
            agent_left_at,
            hang_up,
            transcript,
            media,
            held_at,
            resumed_at,
        } = other;
        take(&mut self.participant, participant.as_ref());
        take(&mut self.dialed_at, dialed_at.as_ref());
        take(&mut self.ringing_at, ringing_at.as_ref());
        take(&mut self.answered_at, answered_at.as_ref());
        take(&mut self.leg_ended_at, leg_ended_at.as_ref());
        take(&mut self.leg_end, leg_end.as_ref());
        take(&mut self.agent_joined_at, agent_joined_at.as_ref());
        take(&mut self.hang_up, hang_up.as_ref());
        take(&mut self.transcript, transcript.as_ref());
        self.agent_left_at = self.agent_left_at.max(*agent_left_at);
        self.media = self.media.max(*media);
        self.held_at = self.held_at.max(*held_at);
        self.resumed_at = self.resumed_at.max(*resumed_at);
    }

    /// Decides to end the call; the first decision stands.
    pub fn decide_hang_up(&mut self, at: DateTime<Utc>, reason: HangUpReason) -> bool {
        let first = self.hang_up.is_none();
        if first {
            self.hang_up = Some(HangUp { at, reason });
        }
        first
    }
}

fn earliest<T: Ord + Clone>(known: &mut Option<T>, heard: &T) -> bool {
    let better = known.as_ref().is_none_or(|known| heard < known);
    if better {
        *known = Some(heard.clone());
    }
    better
}

/// The latest time, or the highest counts.
fn most<T: Ord + Copy>(known: &mut Option<T>, heard: &T) -> bool {
    let better = known.as_ref().is_none_or(|known| heard > known);
    if better {
        *known = Some(*heard);
    }
    better
}
