//! What can be asked about a call, and done to it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outdial_domain::ports::{CallFilter, Delivery, Page, PageRequest, RecordingSource};
use outdial_domain::{
    AccountId, Call, Digits, Error, ErrorKind, HangUpReason, Hint, Recording, RoomName, Status,
    Tombstone, TranscriptLine, WebhookState,
};
use tokio::sync::oneshot;

use crate::live::{Entry, Request};
use crate::steps::bounded;
use crate::watch::{CallWatch, WatchPosition};
use crate::{Engine, EngineError, Inner, Result};

impl Engine {
    /// The account's call.
    ///
    /// # Errors
    /// `NotFound`; `Erased`; or when the store fails.
    pub async fn call(&self, account: &AccountId, room: &RoomName) -> Result<Call> {
        let store = &self.inner.parts.store;
        match store.get(room).await? {
            Some(call) if call.order.account_id != *account => {
                Err(EngineError::NotFound { what: "call" })
            }
            Some(call) => match call.erase_requested_at {
                Some(_) => Err(EngineError::Erased),
                None => Ok(call),
            },
            None => match store.tombstone(&Tombstone::id_of(room)).await? {
                Some(tombstone) if tombstone.account_id == *account => Err(EngineError::Erased),
                _ => Err(EngineError::NotFound { what: "call" }),
            },
        }
    }

    /// The account's calls that match, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn calls(&self, filter: &CallFilter, page: &PageRequest) -> Result<Page<Call>> {
        let mut page = self.inner.parts.store.list(filter, page).await?;
        page.items.retain(|call| call.erase_requested_at.is_none());
        Ok(page)
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
            && let Some(call) = ask(&entry, Request::HangUp).await
        {
            return Ok(Arc::unwrap_or_clone(call));
        }
        self.change(room, |call, now| call.decide_hang_up(now, HangUpReason::Api)).await
    }

    /// Sends digits to the callee of a call in progress, behind those that are still being sent.
    /// Returns when they are on their way.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the call is not in progress, its phone takes no digits or too many
    /// wait; `Unconfigured`; `LegUnavailable`; or when the store fails.
    pub async fn send_dtmf(
        &self,
        account: &AccountId,
        room: &RoomName,
        digits: &Digits,
    ) -> Result<Call> {
        let call = self.call(account, room).await?;
        let conflict = |why: String| Err(EngineError::Conflict(why));
        match call.status() {
            Status::InProgress => {}
            Status::Ended => return conflict("the call has ended".to_owned()),
            _ => return conflict("the call is not answered yet".to_owned()),
        }
        let provider = &self.inner.backend(call.order.route)?.provider;
        let identity = call.order.participant_identity();
        let limit = self.inner.parts.policy.outside_timeout;
        let sent = bounded(limit, "send_dtmf", provider.send_dtmf(room, &identity, digits)).await;
        let Err(error) = sent else { return Ok(call) };
        let owner = call.owner.as_ref().filter(|owner| **owner != self.inner.parts.node);
        match error.kind {
            ErrorKind::NotFound => conflict(match owner.filter(|_| provider.legs_are_local()) {
                Some(owner) => format!("the phone cannot be found from here: ask node {owner}"),
                None => "the phone is not in the call any more".to_owned(),
            }),
            ErrorKind::Conflict | ErrorKind::Refused | ErrorKind::Busy => conflict(error.message),
            _ => Err(EngineError::LegUnavailable(error)),
        }
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
            // Another node is about to send it.
            let pending = matches!(call.webhook, WebhookState::Pending { .. });
            let change = call.owner.is_none() || !pending;
            if change {
                call.webhook = WebhookState::Pending { attempts: 0, next_at: now };
            }
            change
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
        Ok(self.inner.lines(room).await?)
    }

    /// Erases an ended call: record, transcript, deliveries and recording, wherever it is kept; no
    /// webhook is sent any more. `true` when all is gone; `false` when the decision is stored but
    /// something (an unreachable keeper, most likely) does not let go yet: it is tried until it does.
    /// The call itself cannot be read from now on. Erasing a call again changes nothing.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the call has not ended; or when the store fails.
    pub async fn erase(&self, account: &AccountId, room: &RoomName) -> Result<bool> {
        let inner = &self.inner;
        match self.call(account, room).await {
            Err(EngineError::Erased) => {
                // Whoever asks again does not have to wait for the next try.
                if inner.live.find(room).is_none() {
                    inner.change(room, |call, _| call.erase_requested_at.is_some()).await?;
                    inner.due.notify_one();
                }
            }
            Err(error) => return Err(error),
            Ok(call) if call.status() != Status::Ended => {
                let why = "the call has not ended yet: hang up first";
                return Err(EngineError::Conflict(why.into()));
            }
            Ok(_) => {
                let asked = match inner.live.find(room) {
                    Some(entry) => ask(&entry, Request::Erase).await,
                    None => None,
                };
                if asked.is_none() {
                    inner.change(room, Call::request_erasure).await?;
                    inner.due.notify_one();
                }
            }
        }
        let (begun, mut pause) = (tokio::time::Instant::now(), ERASE_LOOK);
        while inner.parts.store.get(room).await?.is_some() {
            if begun.elapsed() > ERASE_WITHIN {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
        Ok(true)
    }

    /// Where the call's recording can be read now, and what is known of it.
    ///
    /// # Errors
    /// `NotFound` (`what` is `recording` when the call has none, or none any more); `NotYet` when it
    /// is still to be kept; or when store or keeper fail.
    pub async fn recording(
        &self,
        account: &AccountId,
        room: &RoomName,
    ) -> Result<(Recording, RecordingSource)> {
        let call = self.call(account, room).await?;
        let missing = || EngineError::NotFound { what: "recording" };
        if call.recording.is_pending() {
            return Err(EngineError::NotYet { what: "recording" });
        }
        let recording = call.recording.available().ok_or_else(missing)?;
        let recordings = self.inner.parts.recordings.as_ref().ok_or_else(|| {
            EngineError::Unconfigured("recordings are not set up on this server".into())
        })?;
        match recordings.open(recording).await {
            Ok(source) => Ok((recording.clone(), source)),
            Err(error) if error.kind == ErrorKind::NotFound => Err(missing()),
            Err(error) => Err(error.into()),
        }
    }

    /// The URL of the call's recording, when it is available: its keeper's, or this server's.
    pub fn recording_url(&self, call: &Call) -> Option<String> {
        self.inner.recording_url(call)
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
        Ok(CallWatch::new(self.inner.clone(), call, from))
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
            .change(room, |call, _| hints.iter().fold(false, |news, hint| call.apply(hint) | news))
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

async fn ask(
    entry: &Entry,
    request: fn(oneshot::Sender<Arc<Call>>) -> Request,
) -> Option<Arc<Call>> {
    let (reply, answer) = oneshot::channel();
    entry.requests.send(request(reply)).await.ok()?;
    answer.await.ok()
}

/// How long an erasure is waited for, and how soon it is looked whether it is done.
const ERASE_WITHIN: Duration = Duration::from_secs(10);
const ERASE_LOOK: Duration = Duration::from_millis(20);

impl Inner {
    /// What was said, in the order in which it was begun to be said.
    pub(crate) async fn lines(&self, room: &RoomName) -> Result<Vec<TranscriptLine>, Error> {
        let mut lines = self.parts.store.read(room, 0).await?;
        lines.sort_by_key(|line| line.timestamp);
        Ok(lines)
    }

    pub(crate) fn recording_url(&self, call: &Call) -> Option<String> {
        let recording = call.recording.available()?;
        let own =
            || format!("{}/calls/{}/recording", self.parts.policy.public_url, call.room_name());
        Some(recording.url.clone().unwrap_or_else(own))
    }

    /// Changes a record that no worker of this node holds, and makes it due or asks its owner to look
    /// at it; `change` says whether it did. `None` when there is no such call.
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
            match &call.owner {
                None => call.due_at = Some(now),
                Some(_) => call.attention = true,
            }
            match self.parts.store.save(&mut call).await.map_err(EngineError::from) {
                Ok(()) => {
                    if call.owner.as_ref() == Some(&self.parts.node) {
                        self.attend.notify_one();
                    }
                    return Ok(Some(call));
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
    }
}
