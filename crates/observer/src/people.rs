//! Who is in the room, and the hints that follow from it. Pure.

use std::collections::{BTreeMap, HashMap};
use std::mem::replace;
use std::time::Duration;

use livekit_protocol::DisconnectReason;
use outdial_domain::{AgentState, Hint, LegEnd, Participant, Speaker};
use outdial_livekit::attributes::CALL_STATUS;
use outdial_livekit::{CallStatus, Leg, leg_end_of_disconnect};
use tokio::time::Instant;

use crate::moment::Moment;

/// Attributes of an agent, and of an avatar that only lends it a voice.
/// Source: livekit-agents 1.8, `types.py`.
const AGENT_STATE: &str = "lk.agent.state";
const ON_BEHALF: &str = "lk.publish_on_behalf";

/// More agents than one call has; those beyond are not told apart from strangers.
const MAX_AGENTS: usize = 16;

/// livekit-sip joins again when it has lost its connection; the call goes on meanwhile.
const COMES_AGAIN: Duration = Duration::from_secs(10);

/// A participant, as the server last described it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sighting<'a> {
    pub(crate) sid: &'a str,
    pub(crate) identity: &'a str,
    /// Its kind is `AGENT`.
    pub(crate) is_agent: bool,
    /// It is really there: not still joining, nor gone.
    pub(crate) is_there: bool,
    pub(crate) attributes: &'a HashMap<String, String>,
}

impl Sighting<'_> {
    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// Who is in the room.
#[derive(Debug)]
pub(crate) struct People {
    callee: String,
    leg: Option<Phone>,
    /// The callee has answered, as the leg itself tells.
    is_answered: bool,
    is_over: bool,
    /// Everybody of kind `AGENT` who was ever here: what they sent may arrive after they left.
    agents: BTreeMap<String, Agent>,
}

/// The callee's leg, and what was told of it. Updates may come late or twice: where it stands only
/// moves forward, and nothing is told twice.
#[derive(Debug, Default)]
struct Phone {
    status: CallStatus,
    joined: bool,
    ringing: bool,
    answered: bool,
    /// Since when it is not there, though it may come again; and what that was if it does not.
    away: Option<(Moment, LegEnd)>,
}

#[derive(Debug, Default)]
struct Agent {
    is_there: bool,
    /// An avatar: it comes and goes with the agent whose voice it is.
    is_proxy: bool,
    state: Option<AgentState>,
}

impl People {
    /// Nobody is there yet.
    pub(crate) fn new(callee: &str) -> Self {
        Self {
            callee: callee.to_owned(),
            leg: None,
            is_answered: false,
            is_over: false,
            agents: BTreeMap::new(),
        }
    }

    /// Whose words or voice it is that comes from, or on behalf of, `identity`.
    pub(crate) fn speaker(&self, identity: &str) -> Option<Speaker> {
        if identity == self.callee {
            Some(Speaker::User)
        } else {
            self.agents.contains_key(identity).then_some(Speaker::Agent)
        }
    }

    /// Whether an agent is there.
    pub(crate) fn has_agent(&self) -> bool {
        self.agents.values().any(|agent| agent.is_there && !agent.is_proxy)
    }

    /// Whether the leg has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether words may have been spoken already: the callee has answered or an agent speaks.
    pub(crate) fn may_have_spoken(&self) -> bool {
        let speaks = |agent: &Agent| agent.state == Some(AgentState::Speaking);
        self.is_answered
            || self.leg.as_ref().is_some_and(|phone| phone.answered)
            || self.agents.values().any(speaks)
    }

    /// The leg itself tells that the callee has answered. It is no hint, as is nothing it tells.
    pub(crate) fn leg_answered(&mut self) {
        self.is_answered = true;
    }

    /// The leg itself tells that it has ended.
    pub(crate) fn leg_ended(&mut self) {
        self.is_over = true;
    }

    /// Someone is there, or has changed.
    pub(crate) fn see(&mut self, who: Sighting<'_>, now: Moment) -> Vec<Hint> {
        if who.identity == self.callee {
            self.see_callee(who, now)
        } else if who.is_agent {
            self.see_agent(who, now)
        } else {
            Vec::new()
        }
    }

    fn see_callee(&mut self, who: Sighting<'_>, now: Moment) -> Vec<Hint> {
        if self.is_over {
            return Vec::new();
        }
        let phone = self.leg.get_or_insert_default();
        phone.status = later(phone.status, CallStatus::parse(who.attribute(CALL_STATUS)));
        let leg = Leg {
            participant: Participant { sid: who.sid.into(), identity: who.identity.into() },
            status: phone.status,
            joined_at: None,
        };
        phone.away = None;
        let mut hints = leg.hints(now.at);
        hints.retain(|hint| match hint {
            Hint::Joined { .. } => !replace(&mut phone.joined, true),
            Hint::Ringing { .. } => !replace(&mut phone.ringing, true),
            Hint::Answered { .. } => !replace(&mut phone.answered, true),
            Hint::Ended { .. } => !replace(&mut self.is_over, true),
            _ => true,
        });
        hints
    }

    fn see_agent(&mut self, who: Sighting<'_>, now: Moment) -> Vec<Hint> {
        if !self.agents.contains_key(who.identity) && self.agents.len() >= MAX_AGENTS {
            return Vec::new();
        }
        let had_agent = self.has_agent();
        let agent = self.agents.entry(who.identity.to_owned()).or_default();
        agent.is_proxy = !who.attribute(ON_BEHALF).is_empty();
        agent.is_there |= who.is_there;
        let mut hints = Vec::new();
        if agent.is_there && !agent.is_proxy && !had_agent {
            hints.push(Hint::AgentJoined { at: now.at });
        }
        let state = AgentState::parse(who.attribute(AGENT_STATE));
        if let Some(state) = state.filter(|_| agent.is_there && state != agent.state) {
            agent.state = Some(state);
            hints.push(Hint::AgentState { at: now.at, state });
        }
        hints
    }

    /// Someone left, and was last seen like this.
    pub(crate) fn leave(
        &mut self,
        who: Sighting<'_>,
        reason: DisconnectReason,
        now: Moment,
    ) -> Vec<Hint> {
        if who.identity == self.callee {
            let mut hints = self.see_callee(who, now);
            let Some(phone) = &mut self.leg else { return hints };
            let end = leg_end_of_disconnect(reason, phone.status);
            if may_come_again(reason) {
                phone.away = Some((now, end));
            } else {
                hints.extend(self.end(end, now));
            }
            hints
        } else {
            self.agent_gone(who.identity, now).into_iter().collect()
        }
    }

    /// The room is gone, and everybody with it.
    pub(crate) fn room_deleted(&mut self, now: Moment) -> Vec<Hint> {
        let Some(status) = self.leg.as_ref().map(|phone| phone.status) else { return Vec::new() };
        let end = leg_end_of_disconnect(DisconnectReason::RoomDeleted, status);
        self.end(end, now).into_iter().collect()
    }

    /// The room is gone, nobody knows how, and everybody with it.
    pub(crate) fn room_gone(&mut self, now: Moment) -> Vec<Hint> {
        let mut hints = self.only(&[], now);
        if self.leg.is_some() {
            hints.extend(self.end(LegEnd::Left, now));
        }
        hints
    }

    /// Of all who were there only these still are: the others left while nobody looked.
    pub(crate) fn only(&mut self, there: &[&str], now: Moment) -> Vec<Hint> {
        if let Some(phone) = &mut self.leg
            && !there.contains(&self.callee.as_str())
        {
            phone.away.get_or_insert((now, LegEnd::Left));
        }
        let gone: Vec<_> =
            self.agents.keys().filter(|id| !there.contains(&id.as_str())).cloned().collect();
        gone.iter().filter_map(|identity| self.agent_gone(identity, now)).collect()
    }

    /// When to [`tick`](Self::tick).
    pub(crate) fn due(&self) -> Option<Instant> {
        let (since, _) = self.leg.as_ref()?.away.as_ref().filter(|_| !self.is_over)?;
        Some(since.tick + COMES_AGAIN)
    }

    /// The end of a leg that did not come again.
    pub(crate) fn tick(&mut self, now: Moment) -> Option<Hint> {
        self.due().filter(|due| *due <= now.tick)?;
        let (since, end) = self.leg.as_mut()?.away.take()?;
        self.end(end, since)
    }

    fn end(&mut self, end: LegEnd, now: Moment) -> Option<Hint> {
        (!replace(&mut self.is_over, true)).then_some(Hint::Ended { at: now.at, end })
    }

    fn agent_gone(&mut self, identity: &str, now: Moment) -> Option<Hint> {
        let had_agent = self.has_agent();
        let agent = self.agents.get_mut(identity)?;
        *agent = Agent { is_proxy: agent.is_proxy, ..Agent::default() };
        (had_agent && !self.has_agent()).then_some(Hint::AgentLeft { at: now.at })
    }
}

/// Whether who left for this reason joins again, with the call going on: its connection was lost and
/// made anew, or we were away and did not see why it is gone.
fn may_come_again(reason: DisconnectReason) -> bool {
    use DisconnectReason::*;
    matches!(
        reason,
        UnknownReason
            | DuplicateIdentity
            | ServerShutdown
            | StateMismatch
            | Migration
            | SignalClose
    )
}

/// Of two things heard about a leg, the one that comes later in its life.
fn later(known: CallStatus, heard: CallStatus) -> CallStatus {
    let age = |status| match status {
        CallStatus::Unknown => 0,
        CallStatus::Dialing => 1,
        CallStatus::Ringing => 2,
        CallStatus::Active => 3,
        CallStatus::Hangup => 4,
    };
    if age(heard) > age(known) { heard } else { known }
}

#[cfg(test)]
mod tests;
