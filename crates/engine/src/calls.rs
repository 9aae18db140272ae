//! What can be asked about a call, and done to it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outdial_domain::ports::{CallFilter, Delivery, Page, PageRequest};
use outdial_domain::{
    AccountId, Call, HangUpReason, Hint, RoomName, Status, TranscriptLine, WebhookState,
};
use tokio::sync::{oneshot, watch};

use crate::live::Entry;
use crate::{Engine, EngineError, Inner, Result};

impl Engine {
    /// The account's call.
    ///
    /// # Errors
    /// `NotFound`, or when the store fails.
    pub async fn call(&self, account: &AccountId, room: &RoomName) -> Result<Call> {
        let call = self.inner.parts.store.get(room).await?;
        call.filter(|call| call.order.account_id == *account)
            .ok_or(EngineError::NotFound { what: "call" })
    }

    /// The account's calls that match, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn calls(&self, filter: &CallFilter, page: &PageRequest) -> Result<Page<Call>> {
        Ok(self.inner.parts.store.list(filter, page).await?)
    }

    /// Ends a call, in whatever state it is; on an ended call this changes nothing. Returns when
    /// the decision is saved: the end itself follows within seconds.
    ///
    /// # Errors
    /// `NotFound`, or when the store fails.
    pub async fn hang_up(&self, account: &AccountId, room: &RoomName) -> Result<Call> {
        let call = self.call(account, room).await?;
        if call.status() == Status::Ended {
            return Ok(call);
        }
        if let Some(entry) = self.inner.live.find(room)
            && let Some(call) = ask(&entry).await
        {
            return Ok(Arc::unwrap_or_clone(call));
        }
        self.change(room, |call, now| call.decide_hang_up(now, HangUpReason::Api)).await
    }

    /// Sends the webhook of an ended call again, as if for the first time.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the call has not ended or has no webhook URL; or when the store
    /// fails.
    pub async fn replay_webhook(&self, account: &AccountId, room: &RoomName) -> Result<Call> {
        let call = self.call(account, room).await?;
        if call.order.end_call_url.is_none() {
            return Err(EngineError::Conflict("the call has no webhook URL".into()));
        }
        if call.status() != Status::Ended {
            return Err(EngineError::Conflict("the call has not ended yet".into()));
        }
        if let Some(mut entry) = self.inner.live.find(room) {
            if matches!(call.webhook, WebhookState::Pending { .. }) {
                return Ok(call);
            }
            // Its worker is about to leave.
            while entry.seen.changed().await.is_ok() {}
        }
        self.change(room, |call, now| {
            call.webhook = WebhookState::Pending { attempts: 0, next_at: now };
            true
        })
        .await
    }

    /// What was said so far.
    ///
    /// # Errors
    /// `NotFound`, or when the store fails.
    pub async fn transcript(
        &self,
        account: &AccountId,
        room: &RoomName,
    ) -> Result<Vec<TranscriptLine>> {
        self.call(account, room).await?;
        Ok(self.inner.parts.store.read(room, 0).await?)
    }

    /// The attempts to deliver the call's webhook, oldest first.
    ///
    /// # Errors
    /// `NotFound`, or when the store fails.
    pub async fn deliveries(&self, account: &AccountId, room: &RoomName) -> Result<Vec<Delivery>> {
        self.call(account, room).await?;
        Ok(self.inner.parts.store.deliveries(room).await?)
    }

    /// Watches a call from a position on.
    ///
    /// # Errors
    /// `NotFound`, or when the store fails.
    pub async fn watch(
        &self,
        account: &AccountId,
        room: &RoomName,
        from: WatchPosition,
    ) -> Result<CallWatch> {
        let call = self.call(account, room).await?;
        let seen = self.inner.live.find(room).map(|entry| entry.seen);
        Ok(CallWatch { engine: self.inner.clone(), call: Arc::new(call), position: from, seen })
    }

    /// Takes in hints about a room from a source outside, such as LiveKit's webhooks. Hints about
    /// rooms that are not known, or about ended calls, change nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn hint(&self, room: &RoomName, hints: Vec<Hint>) -> Result<()> {
        if let Some(entry) = self.inner.live.find(room) {
            for hint in hints {
                entry.hints.send(hint).await;
            }
            return Ok(());
        }
        self.inner
            .change(room, |call, now| {
                let news = hints.iter().fold(false, |news, hint| call.apply(hint) | news);
                if news && call.owner.is_none() {
                    call.due_at = Some(now);
                }
                news
            })
            .await?;
        Ok(())
    }

    /// Changes a record that nobody works on here, and makes it due.
    async fn change(
        &self,
        room: &RoomName,
        change: impl Fn(&mut Call, DateTime<Utc>) -> bool,
    ) -> Result<Call> {
        let changed = self.inner.change(room, change).await?;
        self.inner.due.notify_one();
        changed.ok_or(EngineError::NotFound { what: "call" })
    }
}

async fn ask(entry: &Entry) -> Option<Arc<Call>> {
    let (reply, answer) = oneshot::channel();
    entry.hang_ups.send(reply).await.ok()?;
    answer.await.ok()
}

impl Inner {
    /// Changes a record that no worker of this node holds and makes it due; `change` says whether it
    /// did. `None` when there is no such call.
    async fn change(
        &self,
        room: &RoomName,
        change: impl Fn(&mut Call, DateTime<Utc>) -> bool,
    ) -> Result<Option<Call>> {
        loop {
            let Some(mut call) = self.parts.store.get(room).await? else {
                return Ok(None);
            };
            let now = self.now();
            if !change(&mut call, now) {
                return Ok(Some(call));
            }
            if call.owner.is_none() {
                call.due_at = Some(now);
            }
            match self.parts.store.save(&mut call).await.map_err(EngineError::from) {
                Ok(()) => return Ok(Some(call)),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
    }
}

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
    /// A line of the transcript.
    Line {
        /// Its number; the first is 0.
        index: usize,
        /// The line.
        line: TranscriptLine,
    },
}

/// Follows a call until its end.
pub struct CallWatch {
    engine: Arc<Inner>,
    call: Arc<Call>,
    position: WatchPosition,
    seen: Option<watch::Receiver<Arc<Call>>>,
}

/// How often a call is read that no worker of this node holds.
const READ_AGAIN: Duration = Duration::from_secs(1);

impl CallWatch {
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
        if let Some((status, at)) = end {
            events.push(self.status(status, at));
        }
        Ok(events)
    }

    fn status(&mut self, status: Status, at: DateTime<Utc>) -> (WatchPosition, WatchEvent) {
        self.position.status = Some(status);
        let call = Box::new(Call::clone(&self.call));
        (self.position, WatchEvent::Status { status, at, call })
    }

    /// Waits until the call may have changed; `false` when the server stops.
    async fn wait(&mut self) -> Result<bool> {
        let stopping = self.engine.stopping.clone();
        if let Some(seen) = &mut self.seen {
            let changed = tokio::select! {
                () = stopping.cancelled() => return Ok(false),
                changed = seen.changed() => changed,
            };
            self.call = seen.borrow_and_update().clone();
            if changed.is_err() {
                self.seen = None;
            }
            return Ok(true);
        }
        tokio::select! {
            () = stopping.cancelled() => return Ok(false),
            () = tokio::time::sleep(READ_AGAIN) => {}
        }
        match self.engine.parts.store.get(self.call.room_name()).await? {
            Some(call) => self.call = Arc::new(call),
            None => return Ok(false),
        }
        self.seen = self.engine.live.find(self.call.room_name()).map(|entry| entry.seen);
        Ok(true)
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
