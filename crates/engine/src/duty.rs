//! What is to be done next for a call, and when: pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outdial_domain::{Call, HangUpReason, LegEnd, RecordingState, WebhookState};

use crate::Policy;
use crate::recording::webhook_waits_until;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Leave the queue: save the intent to dial.
    Start,
    /// Make the room, dispatch the agent, dial.
    SetUp,
    /// Look at the leg, and whether the agent is in the room.
    Look,
    /// Decide to end the call, for this reason.
    Decide(HangUpReason),
    /// Ask the provider to end the leg.
    HangUp,
    /// Close the call.
    Close,
    /// Delete the room.
    DeleteRoom,
    /// Render the recording and keep it.
    KeepRecording,
    /// Delete the recording, whose time is up.
    ExpireRecording,
    /// Remove all there is of the call.
    Erase,
    /// Send the webhook.
    SendWebhook,
    /// Save what could not be saved before.
    Save,
    /// Nothing is left to be done here.
    Leave,
}

impl Duty {
    /// Whether it waits for the store to confirm that the call is this node's. The others only look,
    /// or end what has to be ended whosever it is: a call goes on while its store does not.
    pub(crate) fn needs_lease(&self) -> bool {
        match self {
            Self::Start
            | Self::SetUp
            | Self::KeepRecording
            | Self::ExpireRecording
            | Self::Erase
            | Self::SendWebhook => true,
            Self::Look
            | Self::Decide(_)
            | Self::HangUp
            | Self::Close
            | Self::DeleteRoom
            | Self::Save
            | Self::Leave => false,
        }
    }
}

/// What a worker knows beyond the record: what it has done itself, and when it last looked.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// This worker has just saved the intent to dial and has to act on it. A worker that finds the
    /// intent saved by a predecessor cannot know whether an INVITE went out, so it looks.
    pub(crate) to_set_up: bool,
    /// A moment on the trunk is reserved for this queued call, and not long past.
    pub(crate) has_slot: bool,
    /// This worker has dialled or found the leg.
    pub(crate) has_leg: bool,
    /// This worker has dialled: the provider tells it of ringing and answer.
    pub(crate) has_dialled: bool,
    /// The agent is in the room, by the latest news.
    pub(crate) agent_present: bool,
    /// This worker observes the call: the end of the transcript will be told.
    pub(crate) observed: bool,
    /// The recording is being kept.
    pub(crate) keeping: bool,
    /// The recording is still to be kept, by another node.
    pub(crate) kept_elsewhere: bool,
    pub(crate) looked_at: Option<DateTime<Utc>>,
    /// When the end of the leg was first heard of here.
    pub(crate) end_heard_at: Option<DateTime<Utc>>,
    pub(crate) hang_ups: Tries,
    pub(crate) room_deletions: Tries,
    /// Tries to delete the recording, or all of the call.
    pub(crate) deletions: Tries,
    /// The last save failed.
    pub(crate) unsaved_since: Option<DateTime<Utc>>,
    /// Intents to dial that may have been saved.
    pub(crate) starts_in_doubt: Vec<DateTime<Utc>>,
}

/// How often something was tried.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tries {
    pub(crate) count: u32,
    pub(crate) first: Option<DateTime<Utc>>,
    pub(crate) last: Option<DateTime<Utc>>,
}

impl Tries {
    pub(crate) fn add(&mut self, now: DateTime<Utc>) {
        self.count += 1;
        self.first.get_or_insert(now);
        self.last = Some(now);
    }
}

impl Known {
    pub(crate) fn new(call: &Call, fresh: bool) -> Self {
        Self {
            to_set_up: fresh && call.started_at.is_some(),
            has_slot: fresh,
            has_leg: false,
            has_dialled: false,
            agent_present: false,
            observed: false,
            keeping: false,
            kept_elsewhere: false,
            looked_at: None,
            end_heard_at: None,
            hang_ups: Tries::default(),
            room_deletions: Tries::default(),
            deletions: Tries::default(),
            unsaved_since: None,
            starts_in_doubt: Vec::new(),
        }
    }
}

const LONG_AGO: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// An exact source may be followed by others that know an earlier time.
const SETTLE_EXACT: TimeDelta = TimeDelta::milliseconds(300);
/// A coarse source may be followed by the exact one.
const SETTLE_COARSE: TimeDelta = TimeDelta::seconds(3);
/// A provider ends a call that nobody answers by itself; we do it this much later.
const RING_GRACE: TimeDelta = TimeDelta::seconds(15);
const HANG_UP_AGAIN: TimeDelta = TimeDelta::seconds(3);
const HANG_UP_GIVE_UP: TimeDelta = TimeDelta::seconds(12);
/// A room that could not be deleted empties itself after its `empty_timeout`.
const ROOM_GIVE_UP: u32 = 60;
const DELETE_AGAIN: TimeDelta = TimeDelta::seconds(60);
/// The last words may come this much after the end of the leg.
const LAST_WORDS: TimeDelta = TimeDelta::seconds(3);
const SAVE_AGAIN: TimeDelta = TimeDelta::seconds(1);
/// How often a call is looked at where nobody but the look tells what it waits for.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// A worker waits for duties of an ended call no longer than this; the scheduler takes it up again.
pub(crate) const LINGER: TimeDelta = TimeDelta::seconds(1);

/// The duty that is due first, and when.
pub(crate) fn next(call: &Call, known: &Known, policy: &Policy) -> (DateTime<Utc>, Duty) {
    let mut agenda = match known.unsaved_since {
        // Nothing may be told to others before it is saved.
        Some(since) if call.termination.is_some() => return (since + SAVE_AGAIN, Duty::Save),
        Some(since) => vec![(since + SAVE_AGAIN, Duty::Save)],
        None => Vec::new(),
    };
    if call.termination.is_some() {
        after_the_end(call, known, policy, &mut agenda);
    } else if call.started_at.is_none() {
        let over = call.facts.hang_up.is_some() || call.facts.leg_end.is_some();
        let duty = if over { Duty::Close } else { Duty::Start };
        let at = if duty == Duty::Close { LONG_AGO } else { call.due_at.unwrap_or(LONG_AGO) };
        agenda.push((at, duty));
    } else if call.facts.leg_end.is_some() {
        agenda.push((settled_at(call, known), Duty::Close));
    } else if call.facts.hang_up.is_some() {
        ending(known, &mut agenda);
    } else if known.to_set_up {
        agenda.push((LONG_AGO, Duty::SetUp));
    } else {
        running(call, known, policy, &mut agenda);
    }
    agenda.into_iter().min_by_key(|(at, _)| *at).unwrap_or((LONG_AGO, Duty::Leave))
}

fn after_the_end(
    call: &Call,
    known: &Known,
    policy: &Policy,
    agenda: &mut Vec<(DateTime<Utc>, Duty)>,
) {
    let tries = known.room_deletions;
    if !call.room_deleted && tries.count < ROOM_GIVE_UP {
        let wait = TimeDelta::seconds(i64::from(tries.count.min(12)) * 5);
        agenda.push((tries.last.map_or(LONG_AGO, |last| last + wait), Duty::DeleteRoom));
    }
    let deletion = known.deletions.last.map(|last| last + DELETE_AGAIN);
    if call.erase_requested_at.is_some() {
        // Nothing is told to others any more.
        agenda.push((deletion.unwrap_or(LONG_AGO), Duty::Erase));
        return;
    }
    match &call.recording {
        RecordingState::Pending { next_at, .. } if !known.keeping => {
            agenda.push((*next_at, Duty::KeepRecording));
        }
        RecordingState::Available(recording) => {
            let expiry = recording.expires_at.map(|at| deletion.map_or(at, |again| again.max(at)));
            agenda.extend(expiry.map(|at| (at, Duty::ExpireRecording)));
        }
        _ => {}
    }
    if let WebhookState::Pending { next_at, .. } = call.webhook {
        let within = policy.recording_finish_within;
        let held = webhook_waits_until(call, within).filter(|_| !known.kept_elsewhere);
        agenda.push((held.map_or(next_at, |until| until.max(next_at)), Duty::SendWebhook));
    }
}

fn settled_at(call: &Call, known: &Known) -> DateTime<Utc> {
    let heard = known.end_heard_at.unwrap_or(LONG_AGO);
    if matches!(call.facts.leg_end, Some(LegEnd::Failed { .. })) {
        return heard;
    }
    let exact = call.facts.leg_end.as_ref().is_some_and(|end| end.is_exact())
        // Our own hang-up says why; only a callee that was faster could say more.
        || call.facts.hang_up.is_some();
    // A hang-up of the callee without an answer: the news of the answer is still on its way.
    let complete = call.facts.answered_at.is_some()
        || !matches!(call.facts.leg_end, Some(LegEnd::CalleeHangup));
    let settled = heard + if exact && complete { SETTLE_EXACT } else { SETTLE_COARSE };
    // An observer says when no further line will come.
    let listening =
        known.observed && call.facts.answered_at.is_some() && call.facts.transcript.is_none();
    if listening { settled.max(heard + LAST_WORDS) } else { settled }
}

fn ending(known: &Known, agenda: &mut Vec<(DateTime<Utc>, Duty)>) {
    match (known.hang_ups.first, known.hang_ups.last) {
        (Some(first), Some(last)) => {
            agenda.push((last + HANG_UP_AGAIN, Duty::HangUp));
            agenda.push((first + HANG_UP_GIVE_UP, Duty::Close));
        }
        _ => agenda.push((LONG_AGO, Duty::HangUp)),
    }
}

fn running(call: &Call, known: &Known, policy: &Policy, agenda: &mut Vec<(DateTime<Utc>, Duty)>) {
    let facts = &call.facts;
    let started = call.started_at.unwrap_or(call.order.created_at);
    // After a restart nobody tells of the answer; without the room server's webhooks nobody tells of
    // the agent: looking has to see them.
    let watches = facts.answered_at.is_none() && !known.has_dialled
        || facts.answered_at.is_some() && facts.agent_joined_at.is_none();
    let pause = if watches { WATCH_INTERVAL } else { policy.look_interval };
    agenda.push((known.looked_at.map_or(LONG_AGO, |looked| looked + pause), Duty::Look));
    match facts.answered_at {
        Some(answered) => {
            let most = TimeDelta::seconds(i64::from(call.order.max_duration_secs));
            agenda.push((answered + most, Duty::Decide(HangUpReason::MaxDuration)));
        }
        None => {
            let rings_since = facts.dialed_at.unwrap_or(started).max(started);
            let end = rings_since + policy.ringing_timeout + RING_GRACE;
            agenda.push((end, Duty::Decide(HangUpReason::RingTimeout)));
        }
    }
    if !known.agent_present {
        let (deadline, reason) = agent_deadline(call, started, policy);
        agenda.push((deadline, Duty::Decide(reason)));
    }
}

fn agent_deadline(
    call: &Call,
    started: DateTime<Utc>,
    policy: &Policy,
) -> (DateTime<Utc>, HangUpReason) {
    let facts = &call.facts;
    if let (Some(_), Some(left)) = (facts.agent_joined_at, facts.agent_left_at) {
        return (left + policy.agent_absence, HangUpReason::AgentLeft);
    }
    let to_join = started + policy.agent_join_timeout;
    let after_answer = facts.answered_at.map(|answered| answered + policy.agent_absence);
    (after_answer.map_or(to_join, |at| at.min(to_join)), HangUpReason::AgentUnavailable)
}
