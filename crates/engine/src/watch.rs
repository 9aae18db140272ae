//! Following a call while it runs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outdial_domain::{AgentState, Call, Digit, Status, TranscriptLine};
use tokio::sync::broadcast;

use crate::live::Entry;
use crate::{Inner, Result};

/// How much of a call's course a watcher has seen. Its text is an opaque token.
///
/// ```
/// use outdial_engine::WatchPosition;
/// let position: WatchPosition = "3.12".parse().unwrap();
/// assert_eq!(position.to_string(), "3.12");
/// assert!("x".parse::<WatchPosition>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchPosition {
    status: Option<Status>,
    lines: usize,
}

/// The text is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position looks like 3.12")]
pub struct WatchPositionError;

impl fmt::Display for WatchPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statuses = self.status.map_or(0, |status| status as usize + 1);
        write!(f, "{statuses}.{}", self.lines)
    }
}

impl FromStr for WatchPosition {
    type Err = WatchPositionError;
    fn from_str(text: &str) -> Result<Self, WatchPositionError> {
        let (statuses, lines) = text.split_once('.').ok_or(WatchPositionError)?;
        let statuses: usize = statuses.parse().map_err(|_| WatchPositionError)?;
        let status = match statuses {
            0 => None,
            n => Some(*Status::ALL.get(n - 1).ok_or(WatchPositionError)?),
        };
        Ok(Self { status, lines: lines.parse().map_err(|_| WatchPositionError)? })
    }
}

/// Something new about a call.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// The call has come into a status.
    Status {
        /// Which.
        status: Status,
        /// When.
        at: DateTime<Utc>,
        /// The call as it is now.
        call: Box<Call>,
    },
    /// The agent says that it does something else now. Only whoever watches live learns of it.
    Agent {
        /// What.
        state: AgentState,
    },
    /// Something passed that is not kept. Only whoever watches live learns of it.
    Passing(Passing),
    /// A line of the transcript.
    Line {
        /// Its number; the first is 0.
        index: usize,
        /// The line.
        line: TranscriptLine,
    },
}

/// Something that happens during a call, and is not kept; but a hold is for as long as it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
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
    /// The callee has pressed a key.
    Dtmf {
        /// When.
        at: DateTime<Utc>,
        /// Which.
        digit: Digit,
    },
}

/// Follows a call until its end.
pub struct CallWatch {
    engine: Arc<Inner>,
    call: Arc<Call>,
    position: WatchPosition,
    live: Option<Live>,
    agent: Option<AgentState>,
    /// What has passed since the last news.
    passed: Vec<Passing>,
    /// Whether a hold was told, and not yet that it is over.
    is_held: bool,
}

/// A call that is worked on here.
struct Live {
    entry: Entry,
    passing: broadcast::Receiver<Passing>,
    /// What passed before is still to be told, as far as the record tells it.
    is_fresh: bool,
}

impl Live {
    fn of(entry: Entry) -> Self {
        Self { passing: entry.passing.subscribe(), entry, is_fresh: true }
    }
}

/// How often a call is read that no worker of this node holds.
const READ_AGAIN: Duration = Duration::from_secs(1);

impl CallWatch {
    pub(crate) fn new(engine: Arc<Inner>, call: Call, position: WatchPosition) -> Self {
        let live = engine.live.find(call.room_name()).map(Live::of);
        let (agent, passed) = (None, Vec::new());
        Self { engine, call: Arc::new(call), position, live, agent, passed, is_held: false }
    }

    /// Waits for something new: events with the position behind each. `None` when the call has ended
    /// and all was given, or the server stops.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn next(&mut self) -> Result<Option<Vec<(WatchPosition, WatchEvent)>>> {
        loop {
            if self.position.status == Some(Status::Ended) {
                return Ok(None);
            }
            let events = self.news().await?;
            if !events.is_empty() {
                return Ok(Some(events));
            }
            if !self.wait().await? {
                return Ok(None);
            }
        }
    }

    async fn news(&mut self) -> Result<Vec<(WatchPosition, WatchEvent)>> {
        let call = self.call.clone();
        let lines = self.engine.parts.store.read(call.room_name(), self.position.lines).await?;
        let mut events = Vec::new();
        let mut statuses: Vec<_> = call
            .timeline()
            .into_iter()
            .filter(|(status, _)| self.position.status.is_none_or(|seen| *status > seen))
            .collect();
        // The end comes last, behind the last line.
        let end = statuses.pop_if(|(status, _)| *status == Status::Ended);
        for (status, at) in statuses {
            events.push(self.status(status, at));
        }
        for line in lines {
            let index = self.position.lines;
            self.position.lines += 1;
            events.push((self.position, WatchEvent::Line { index, line }));
        }
        let agent = self.live.as_ref().and_then(|live| *live.entry.agent.borrow());
        if let Some(state) = agent.filter(|_| end.is_none() && agent != self.agent) {
            self.agent = agent;
            events.push((self.position, WatchEvent::Agent { state }));
        }
        if let Some(live) = &mut self.live {
            self.passed.extend(std::iter::from_fn(|| next_passing(&mut live.passing)));
        }
        let passed = self.hold_on_record().into_iter().chain(std::mem::take(&mut self.passed));
        let passed: Vec<_> = passed.filter(|event| self.is_news(*event)).collect();
        let position = self.position;
        events.extend(passed.into_iter().map(|event| (position, WatchEvent::Passing(event))));
        if let Some((status, at)) = end {
            events.push(self.status(status, at));
        }
        Ok(events)
    }

    /// A hold or its end that the record tells and nobody else: the call is another node's, or it is
    /// watched only now.
    fn hold_on_record(&mut self) -> Option<Passing> {
        let is_told = match &mut self.live {
            Some(live) => !std::mem::take(&mut live.is_fresh),
            None => false,
        };
        let facts = &self.call.facts;
        match self.call.is_held() {
            _ if is_told || self.call.status() != Status::InProgress => None,
            true => facts.held_at.map(|at| Passing::Held { at }),
            false => facts.resumed_at.map(|at| Passing::Resumed { at }),
        }
    }

    /// Whether something that passed was not told already.
    fn is_news(&mut self, event: Passing) -> bool {
        let is_held = match event {
            Passing::Held { .. } => true,
            Passing::Resumed { .. } => false,
            Passing::Dtmf { .. } => return true,
        };
        std::mem::replace(&mut self.is_held, is_held) != is_held
    }

    fn status(&mut self, status: Status, at: DateTime<Utc>) -> (WatchPosition, WatchEvent) {
        self.position.status = Some(status);
        let call = Box::new(Call::clone(&self.call));
        (self.position, WatchEvent::Status { status, at, call })
    }

    /// Waits until the call may have changed; `false` when the server stops, or the call is erased.
    async fn wait(&mut self) -> Result<bool> {
        let stopping = self.engine.stopping.clone();
        if let Some(live) = &mut self.live {
            let Live { entry, passing, .. } = live;
            let goes_on = tokio::select! {
                () = stopping.cancelled() => return Ok(false),
                changed = entry.seen.changed() => changed.is_ok(),
                changed = entry.agent.changed() => changed.is_ok(),
                Ok(event) = passing.recv() => {
                    self.passed.push(event);
                    true
                }
            };
            self.call = entry.seen.borrow_and_update().clone();
            if !goes_on {
                // What passed last is still to be told.
                self.passed.extend(std::iter::from_fn(|| next_passing(passing)));
                self.live = None;
            }
            return Ok(true);
        }
        tokio::select! {
            () = stopping.cancelled() => return Ok(false),
            () = tokio::time::sleep(READ_AGAIN) => {}
        }
        match self.engine.parts.store.get(self.call.room_name()).await? {
            Some(call) if call.erase_requested_at.is_none() => self.call = Arc::new(call),
            _ => return Ok(false),
        }
        self.live = self.engine.live.find(self.call.room_name()).map(Live::of);
        Ok(true)
    }
}

/// The next of those that wait; what a watcher was too slow for is skipped.
fn next_passing(passing: &mut broadcast::Receiver<Passing>) -> Option<Passing> {
    loop {
        match passing.try_recv() {
            Ok(event) => return Some(event),
            Err(broadcast::error::TryRecvError::Lagged(_)) => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_back() {
        for status in Status::ALL.into_iter().map(Some).chain([None]) {
            let position = WatchPosition { status, lines: 7 };
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for bad in ["", ".", "1", "7.0", "a.b", "-1.0", "1.-1", "1.2.3", "99999999999999999999.0"] {
            assert!(bad.parse::<WatchPosition>().is_err(), "{bad}");
        }
    }
}
