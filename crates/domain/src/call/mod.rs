//! The call: one record, and the pure rules by which it moves.
//!
//! A call gathers [`Facts`] from [`Hint`]s; its [`Status`] is *derived* from them, never set. When
//! the leg's end is known, [`Call::close`] turns the facts into a [`Termination`] once and for all:
//! a closed call takes in nothing more.

mod facts;
mod media;
mod outcome;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

pub use self::facts::{AgentState, Facts, HangUp, Hint, Participant};
pub use self::media::{MediaQuality, OneWay};
pub use self::outcome::{
    Cause, EndReason, HangUpReason, Layer, LegEnd, Outcome, SipStatus, Termination,
};
use crate::placeholder::PlaceholderReport;
use crate::{
    AccountId, AssistantId, CallService, E164, NodeId, RecordingState, RoomName, Route,
    TranscriptStatus, TrunkId, WebhookSecret,
};

/// Where a call stands. The order is that of a call's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted; waits for its trunk.
    Queued,
    /// The room is made, the agent dispatched, the leg dialled. From here on an INVITE may be out.
    Starting,
    /// The leg is in the room, the INVITE is out.
    Dialing,
    /// The phone rings.
    Ringing,
    /// The callee has answered.
    InProgress,
    /// Over.
    Ended,
}

impl Status {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Starting, Self::Dialing, Self::Ringing, Self::InProgress, Self::Ended];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Dialing => "dialing",
            Self::Ringing => "ringing",
            Self::InProgress => "in_progress",
            Self::Ended => "ended",
        }
    }

    /// Whether the call holds one of its trunk's channels.
    pub fn occupies_trunk(self) -> bool {
        !matches!(self, Self::Queued | Self::Ended)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was asked for; fixed when the call is accepted. Texts are rendered, settings are copies: a
/// later change of assistant or trunk does not reach into a running call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The call's id.
    pub room_name: RoomName,
    /// Whose call it is.
    pub account_id: AccountId,
    /// The assistant.
    pub assistant_id: AssistantId,
    /// Its name.
    pub assistant_name: String,
    /// The agent to dispatch.
    pub agent_name: String,
    /// The prompt, placeholders replaced.
    pub assistant_prompt: String,
    /// The start instruction, placeholders replaced.
    pub assistant_start_instruction: String,
    /// Free settings for the agent.
    pub agent_config: Value,
    /// Whether the call is recorded.
    pub recording: bool,
    /// Where the end-of-call webhook goes.
    pub end_call_url: Option<Url>,
    /// What signs it, should the assistant be gone by then.
    pub webhook_secrets: Vec<WebhookSecret>,
    /// The trunk.
    pub trunk_id: TrunkId,
    /// The backend that carries the call.
    pub route: Route,
    /// The service the caller named.
    pub call_service: CallService,
    /// The number to call.
    pub to_number: E164,
    /// The caller id.
    pub from_number: Option<E164>,
    /// The caller's metadata, as it came.
    pub metadata: Map<String, Value>,
    /// Placeholders without a value, metadata without a placeholder.
    pub placeholders: PlaceholderReport,
    /// The trunk's limit of calls at the same time, as it was when the call was accepted.
    pub max_concurrent_calls: Option<u32>,
    /// The call is ended this many seconds after the answer.
    pub max_duration_secs: u32,
    /// When the call was accepted.
    pub created_at: DateTime<Utc>,
}

impl Order {
    /// The identity of the callee's leg in the room: `phone-{to_number}`.
    pub fn participant_identity(&self) -> String {
        format!("phone-{}", self.to_number)
    }
}

/// Where the end-of-call webhook stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum WebhookState {
    /// The assistant has no URL.
    #[default]
    None,
    /// To be sent, or sent again, once the call has ended.
    Pending {
        /// Tries so far, since the last replay.
        attempts: u32,
        /// When it is next to be tried.
        next_at: DateTime<Utc>,
    },
    /// The endpoint answered with 2xx.
    Delivered,
    /// All tries failed; it can be replayed.
    Dead,
}

/// A call: the one record that carries all of its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// What was asked for; shared, as copies of a running call are many.
    pub order: Arc<Order>,
    /// When the server began to act on it (status `starting`); saved before it acts.
    pub started_at: Option<DateTime<Utc>>,
    /// LiveKit's id of the agent dispatch, `AD_…`.
    pub dispatch_id: Option<String>,
    /// What is known of its course.
    pub facts: Facts,
    /// How it ended; set once.
    pub termination: Option<Termination>,
    /// When it ended; set with [`Call::termination`].
    pub ended_at: Option<DateTime<Utc>>,
    /// The room has been deleted.
    pub room_deleted: bool,
    /// The recording.
    #[serde(default)]
    pub recording: RecordingState,
    /// The end-of-call webhook.
    pub webhook: WebhookState,
    /// When it was asked to erase the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erase_requested_at: Option<DateTime<Utc>>,
    /// The nodes whose disks hold audio of the call, in the order in which they captured it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captured_by: Vec<NodeId>,
    /// Somebody who does not own the call has changed it: its owner is to look at it. An owner's
    /// save clears it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attention: bool,
    /// Counts saves: a save succeeds only on the version that was read.
    pub version: u64,
    /// The node that works on it.
    pub owner: Option<NodeId>,
    /// When something is next to be done, if at all.
    pub due_at: Option<DateTime<Utc>>,
    /// Fields written by a newer version of this program, kept as they are.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl Call {
    /// A new call in status `queued`, due at once.
    pub fn new(order: Order) -> Self {
        let webhook = match order.end_call_url {
            Some(_) => WebhookState::Pending { attempts: 0, next_at: order.created_at },
            None => WebhookState::None,
        };
        let recording = if order.recording {
            RecordingState::Pending { attempts: 0, next_at: order.created_at, reason: None }
        } else {
            RecordingState::None
        };
        Self {
            due_at: Some(order.created_at),
            order: Arc::new(order),
            started_at: None,
            dispatch_id: None,
            facts: Facts::default(),
            termination: None,
            ended_at: None,
            room_deleted: false,
            recording,
            webhook,
            erase_requested_at: None,
            captured_by: Vec::new(),
            attention: false,
            version: 0,
            owner: None,
            unknown: Map::new(),
        }
    }

    /// Changes what was asked for, before anybody acts on it: for builders.
    pub fn order_mut(&mut self) -> &mut Order {
        Arc::make_mut(&mut self.order)
    }

    /// The call's id.
    pub fn room_name(&self) -> &RoomName {
        &self.order.room_name
    }

    /// Where the call stands, derived from what is known.
    pub fn status(&self) -> Status {
        let facts = &self.facts;
        match () {
            () if self.termination.is_some() => Status::Ended,
            () if facts.answered_at.is_some() => Status::InProgress,
            () if facts.ringing_at.is_some() => Status::Ringing,
            () if facts.dialed_at.is_some() => Status::Dialing,
            () if self.started_at.is_some() => Status::Starting,
            () => Status::Queued,
        }
    }

    /// Each status the call has been in with its time, in order; statuses that were never heard of
    /// are left out.
    pub fn timeline(&self) -> Vec<(Status, DateTime<Utc>)> {
        let facts = &self.facts;
        let mut last = self.order.created_at;
        [
            (Status::Queued, Some(self.order.created_at)),
            (Status::Starting, self.started_at),
            (Status::Dialing, facts.dialed_at),
            (Status::Ringing, facts.ringing_at),
            (Status::InProgress, facts.answered_at),
            (Status::Ended, self.ended_at),
        ]
        .into_iter()
        .filter_map(|(status, at)| {
            // Sources have clocks of their own: a later status never has an earlier time.
            last = at?.max(last);
            Some((status, last))
        })
        .collect()
    }

    /// The time of `status` on the [timeline](Self::timeline).
    pub fn time_of(&self, status: Status) -> Option<DateTime<Utc>> {
        self.timeline().into_iter().find(|(s, _)| *s == status).map(|(_, at)| at)
    }

    /// Takes in a hint; `true` when something changed. A closed call never changes.
    pub fn apply(&mut self, hint: &Hint) -> bool {
        self.termination.is_none() && self.facts.merge(hint)
    }

    /// Whether the callee's side has the call on hold now.
    pub fn is_held(&self) -> bool {
        let Facts { held_at, resumed_at, leg_ended_at, .. } = &self.facts;
        self.status() == Status::InProgress && leg_ended_at.is_none() && held_at > resumed_at
    }

    /// Decides to hang up; `true` when this was the first such decision on a call not yet closed.
    pub fn decide_hang_up(&mut self, at: DateTime<Utc>, reason: HangUpReason) -> bool {
        self.termination.is_none() && self.facts.decide_hang_up(at, reason)
    }

    /// Asks to erase an ended call; `true` when this is the first time.
    pub fn request_erasure(&mut self, at: DateTime<Utc>) -> bool {
        let first = self.termination.is_some() && self.erase_requested_at.is_none();
        if first {
            self.erase_requested_at = Some(at);
        }
        first
    }

    /// Closes the call: turns what is known into its end. Without a known end of the leg the call
    /// counts as [`LegEnd::Gone`]. Does nothing on a closed call.
    pub fn close(&mut self, now: DateTime<Utc>) {
        if self.termination.is_some() {
            return;
        }
        let end = self.facts.leg_end.clone().unwrap_or(LegEnd::Gone);
        let ended_at = self.facts.leg_ended_at.unwrap_or(now);
        if matches!(end, LegEnd::CalleeHangup | LegEnd::MediaTimeout) {
            // Only an answered call ends so: the answer itself was missed.
            self.facts.answered_at.get_or_insert(ended_at);
        }
        let answered = self.facts.answered_at.is_some();
        let reason = self.facts.hang_up.as_ref().map(|hang_up| &hang_up.reason);
        self.termination = Some(Termination::derive(&end, answered, reason));
        self.ended_at = Some(ended_at);
        self.ended_at = self.time_of(Status::Ended);
        if !answered {
            // Nobody was on the line.
            self.recording = RecordingState::None;
        }
    }

    /// Whether all that was said is in the transcript. A call that was never answered has none.
    pub fn transcript_status(&self) -> TranscriptStatus {
        match self.facts.answered_at {
            Some(_) => self.facts.transcript.unwrap_or(TranscriptStatus::Partial),
            None => TranscriptStatus::Complete,
        }
    }

    /// Minutes from the answer to the end, to four decimals (6 ms); 0 when never answered or not yet
    /// ended.
    pub fn talk_minutes(&self) -> f64 {
        (self.talk_secs() / 60.0 * 10_000.0).round() / 10_000.0
    }

    /// Seconds from the answer to the end; 0 when never answered or not yet ended.
    pub fn talk_secs(&self) -> f64 {
        match (self.time_of(Status::InProgress), self.time_of(Status::Ended)) {
            (Some(answered), Some(ended)) => {
                f64::from(i32::try_from((ended - answered).num_milliseconds()).unwrap_or(i32::MAX))
                    / 1000.0
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests;
