//! The rooms and who is in them. All of it sits behind one lock that is held for a few instructions
//! only and never over an await.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outdial_domain::ports::{Clock, DispatchRequest, RoomLook};
use outdial_domain::{Digits, E164, Error, ErrorKind, Hint, Result, RoomName};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::SandboxConfig;
use crate::observers::Observers;
use crate::scenario::Scenario;

/// Longer than any call; short enough to be added to the time.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Everything that clones of a sandbox share with its legs.
pub(crate) struct World {
    config: SandboxConfig,
    clock: Arc<dyn Clock>,
    rooms: Mutex<HashMap<RoomName, Room>>,
    next_leg: AtomicU64,
    pub(crate) observers: Observers,
    /// Cancelled when the world ends.
    pub(crate) stop: CancellationToken,
}

/// A room.
struct Room {
    /// The agent dispatched first. A leg watches it, as its agent may be dispatched later.
    agent: watch::Sender<Option<Agent>>,
    /// `false` when no dispatch brings an agent here.
    agent_comes: bool,
    leg: Option<Leg>,
}

/// An agent on its way into a room, or there.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    /// What it was told to begin with.
    pub(crate) instruction: Arc<str>,
    /// When it is in the room, on tokio's clock.
    joins: Instant,
    /// The same on the world's clock.
    pub(crate) joined_at: DateTime<Utc>,
}

/// A leg, as others see it. While it is in its room it lives; who takes it out ends it.
struct Leg {
    id: LegId,
    identity: String,
    /// What a look finds.
    seen: Vec<Hint>,
    /// Wakes the leg's task after the leg was taken out.
    removed: CancellationToken,
}

/// Tells legs apart that follow each other in one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LegId(u64);

/// What a leg's task gets of its room.
pub(crate) struct Admission {
    pub(crate) id: LegId,
    pub(crate) agent: watch::Receiver<Option<Agent>>,
    pub(crate) removed: CancellationToken,
}

impl Room {
    fn new(name: &RoomName) -> Self {
        Self {
            agent: watch::Sender::new(None),
            agent_comes: name.to_number().is_none_or(brings_agent),
            leg: None,
        }
    }

    /// No agent will come any more, and none was ever here.
    fn keep_agent_away(&mut self) {
        self.agent_comes = false;
        self.agent.send_replace(None);
    }
}

fn brings_agent(number: &E164) -> bool {
    Scenario::of(number) != Scenario::AgentStaysAway
}

impl World {
    pub(crate) fn new(mut config: SandboxConfig, clock: Arc<dyn Clock>) -> Self {
        if !(0.0..=1000.0).contains(&config.time_scale) {
            config.time_scale = 1.0;
        }
        Self {
            config,
            clock,
            rooms: Mutex::default(),
            next_leg: AtomicU64::new(0),
            observers: Observers::default(),
            stop: CancellationToken::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RoomName, Room>> {
        // Nothing that runs under the lock leaves a room half changed.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn ring_time(&self) -> Duration {
        self.config.ring_time
    }

    pub(crate) fn rooms(&self) -> usize {
        self.lock().len()
    }

    /// A simulated duration in real time.
    pub(crate) fn scaled(&self, simulated: Duration) -> Duration {
        let secs = simulated.as_secs_f64() * self.config.time_scale;
        Duration::try_from_secs_f64(secs).map_or(LONGEST, |time| time.min(LONGEST))
    }

    /// Lets a simulated duration pass; others get their turn even when it is nothing.
    pub(crate) async fn pass(&self, simulated: Duration) {
        let time = self.scaled(simulated);
        if time.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(time).await;
        }
    }

    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        if self.stop.is_cancelled() {
            let why = "the sandbox has been shut down";
            return Err(Error::new(ErrorKind::Unavailable, operation, why));
        }
        Ok(())
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
        self.lock().clear();
        self.observers.clear();
    }

    pub(crate) fn create(&self, name: &RoomName) {
        Self::room(&mut self.lock(), name);
    }

    /// The room; made when it is missing, as a room server does for a dispatch or a leg.
    fn room<'a>(rooms: &'a mut HashMap<RoomName, Room>, name: &RoomName) -> &'a mut Room {
        rooms.entry(name.clone()).or_insert_with(|| Room::new(name))
    }

    pub(crate) fn dispatch(&self, name: &RoomName, request: &DispatchRequest) {
        let number = request.metadata["call"]["to_number"].as_str();
        let stays_away = number
            .and_then(|text| text.parse::<E164>().ok())
            .is_some_and(|number| !brings_agent(&number));
        let instruction = &request.metadata["assistant_start_instruction"];
        let agent = self.agent(instruction.as_str().unwrap_or_default());

        let mut rooms = self.lock();
        let room = Self::room(&mut rooms, name);
        if stays_away {
            room.keep_agent_away();
        }
        if room.agent_comes && room.agent.borrow().is_none() {
            room.agent.send_replace(Some(agent));
        }
    }

    /// An agent that sets out now.
    fn agent(&self, instruction: &str) -> Agent {
        let takes = self.scaled(self.config.agent_join_time);
        Agent {
            instruction: instruction.into(),
            joins: Instant::now() + takes,
            joined_at: self.now() + TimeDelta::from_std(takes).unwrap_or_default(),
        }
    }

    pub(crate) fn look(&self, name: &RoomName) -> Option<RoomLook> {
        let rooms = self.lock();
        let room = rooms.get(name)?;
        let agent = room.agent.borrow().as_ref().is_some_and(Agent::is_there);
        let others = room.leg.iter().map(|leg| leg.identity.clone()).collect();
        Some(RoomLook { agent, others })
    }

    pub(crate) fn delete(&self, name: &RoomName) {
        let room = self.lock().remove(name);
        match room.and_then(|room| room.leg) {
            // It lets observers hear its last words before it goes.
            Some(leg) => leg.removed.cancel(),
            None => self.observers.close(name),
        }
    }

    /// Puts a new leg into a room; `joined` is what a look finds at first.
    pub(crate) fn admit(
        &self,
        name: &RoomName,
        identity: &str,
        scenario: Scenario,
        joined: Hint,
    ) -> Result<Admission> {
        let mut rooms = self.lock();
        let room = Self::room(&mut rooms, name);
        if room.leg.is_some() {
            let why = "a leg is in the room already: a dial is never repeated";
            return Err(Error::new(ErrorKind::Exists, "sandbox.dial", why));
        }
        if scenario == Scenario::AgentStaysAway {
            room.keep_agent_away();
        }
        let id = LegId(self.next_leg.fetch_add(1, Ordering::Relaxed));
        let removed = CancellationToken::new();
        room.leg = Some(Leg {
            id,
            identity: identity.to_owned(),
            seen: vec![joined],
            removed: removed.clone(),
        });
        Ok(Admission { id, agent: room.agent.subscribe(), removed })
    }

    /// What a look at a leg finds.
    pub(crate) fn leg(&self, name: &RoomName, identity: &str) -> Option<Vec<Hint>> {
        let rooms = self.lock();
        let leg = rooms.get(name)?.leg.as_ref()?;
        (leg.identity == identity).then(|| leg.seen.clone())
    }

    /// Plays digits to an answered leg, which has no ears for them.
    pub(crate) fn dtmf(&self, name: &RoomName, identity: &str, digits: &Digits) -> Result<()> {
        const OPERATION: &str = "sandbox.send_dtmf";
        let Some(seen) = self.leg(name, identity) else {
            return Err(Error::new(ErrorKind::NotFound, OPERATION, "there is no such leg"));
        };
        if !seen.iter().any(|hint| matches!(hint, Hint::Answered { .. })) {
            return Err(Error::new(ErrorKind::Conflict, OPERATION, "the leg is not answered yet"));
        }
        tracing::debug!(room = ?name, ?digits, "digits were sent to a simulated callee");
        Ok(())
    }

    /// Ends a leg from outside.
    pub(crate) fn remove_leg(&self, name: &RoomName, identity: &str) {
        let leg = self.take_leg(name, |leg| leg.identity == identity);
        if let Some(leg) = leg {
            leg.removed.cancel();
        }
    }

    /// Ends a leg from inside; `false` when it was removed before.
    pub(crate) fn end_leg(&self, name: &RoomName, id: LegId) -> bool {
        self.take_leg(name, |leg| leg.id == id).is_some()
    }

    fn take_leg(&self, name: &RoomName, which: impl FnOnce(&mut Leg) -> bool) -> Option<Leg> {
        self.lock().get_mut(name)?.leg.take_if(which)
    }

    /// Lets looks see something of a leg, if it still lives.
    pub(crate) fn show(&self, name: &RoomName, id: LegId, hint: Hint) {
        let mut rooms = self.lock();
        let leg = rooms.get_mut(name).and_then(|room| room.leg.as_mut());
        if let Some(leg) = leg.filter(|leg| leg.id == id) {
            leg.seen.push(hint);
        }
    }
}

impl Agent {
    fn is_there(&self) -> bool {
        self.joins <= Instant::now()
    }
}

/// Resolves when the agent is in the room; never when none comes.
pub(crate) async fn arrival(mut agent: watch::Receiver<Option<Agent>>) -> Agent {
    let dispatched = agent.wait_for(Option::is_some).await.ok().and_then(|agent| agent.clone());
    let Some(agent) = dispatched else {
        // The room is gone, and the leg's end on its way.
        return pending().await;
    };
    // A timer for a moment that has passed would still wait for the next tick.
    if !agent.is_there() {
        tokio::time::sleep_until(agent.joins).await;
    }
    agent
}
