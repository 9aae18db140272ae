//! Observing a call, and what becomes of its recording.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outdial_domain::ports::{KeepRequest, ObserveRequest, Recordings};
use outdial_domain::{Call, Error, ErrorKind, NodeId, Recording, RecordingState, Tombstone};

use crate::Inner;
use crate::worker::{Origin, Stop, Worker};

/// The waits before further tries to keep a recording; the last one repeats for ever. A keeper that
/// is down for days finds the captures of those days when it is back.
const KEEP_AGAIN: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(1800),
];

/// How often a node looks through its captures, and a call for the node that captured it.
const CAPTURES_EVERY: Duration = Duration::from_secs(3600);
/// The same when that failed, the store was not there yet, say.
const CAPTURES_AGAIN: Duration = Duration::from_secs(5);
/// How long after the end of a call the node that captured it may stay away.
const KEEPER_AWAY: Duration = Duration::from_secs(24 * 3600);

/// What came of keeping a recording.
pub(crate) type Kept = Result<Recording, Error>;

impl Worker {
    /// Begins to observe the call from inside its room, once. Nothing waits for it. `true` when the
    /// record now says that audio of the call is here.
    pub(crate) fn observe(&mut self) -> bool {
        if self.observation.is_some() {
            return false;
        }
        let Ok(backend) = self.engine.backend(self.call.order.route) else { return false };
        let Some(observer) = &backend.observer else { return false };
        let room = self.call.room_name();
        let recordings = self.engine.parts.recordings.as_ref();
        let recordings = recordings.filter(|_| self.call.recording.is_pending());
        self.observation = Some(observer.observe(ObserveRequest {
            room_name: room.clone(),
            participant_identity: self.call.order.participant_identity(),
            hints: self.mailbox.sink.clone(),
            audio: recordings.map(|recordings| recordings.capture(room)),
        }));
        self.known.observed = true;
        let node = &self.engine.parts.node;
        let captured_by = &mut self.call.captured_by;
        if recordings.is_none() || captured_by.last() == Some(node) {
            return false;
        }
        captured_by.retain(|other| other != node);
        captured_by.push(node.clone());
        true
    }

    /// The other node that has to keep the recording of the ended call: that which captured last has
    /// the latest part.
    pub(crate) fn kept_by(&self) -> Option<&NodeId> {
        let to_keep = self.call.termination.is_some() && self.call.recording.is_pending();
        let last = self.call.captured_by.last().filter(|_| to_keep);
        last.filter(|last| **last != self.engine.parts.node)
    }

    /// Nobody was on the line, or nobody wants the recording: what was captured goes.
    pub(crate) fn discard_capture(&self) {
        let Some(recordings) = self.engine.parts.recordings.clone() else { return };
        if !self.call.order.recording || self.call.recording.is_pending() {
            return;
        }
        let room = self.call.room_name().clone();
        self.engine.spawn(async move {
            // What stays is swept later.
            if let Err(error) = recordings.delete(&room, None).await {
                tracing::warn!(?room, %error, "a capture could not be removed");
            }
        });
    }

    /// Starts keeping the recording, beside the other duties.
    pub(crate) async fn keep_recording(&mut self) -> Result<(), Stop> {
        if let Some(node) = self.kept_by() {
            let node = node.clone();
            return self.wait_for_keeper(&node).await;
        }
        let Some(recordings) = self.engine.parts.recordings.clone() else {
            let reason = "recordings are not set up".to_owned();
            self.call.recording = RecordingState::Lost { reason };
            return self.save().await;
        };
        let request = KeepRequest {
            room_name: self.call.room_name().clone(),
            answered_at: self.call.facts.answered_at,
            ended_at: self.call.ended_at.unwrap_or_else(|| self.now()),
        };
        let stopping = self.engine.stopping.clone();
        self.keeping = Some(self.engine.spawn(async move {
            tokio::select! {
                kept = recordings.keep(&request) => kept,
                () = stopping.cancelled() => {
                    Err(Error::new(ErrorKind::Unavailable, "keep_recording", "the server is stopping"))
                }
            }
        }));
        Ok(())
    }

    /// The audio is on another node's disk: that node finds it when it is back.
    async fn wait_for_keeper(&mut self, node: &NodeId) -> Result<(), Stop> {
        let now = self.now();
        let RecordingState::Pending { attempts, .. } = self.call.recording else { return Ok(()) };
        let give_up = self.call.ended_at.unwrap_or(now) + KEEPER_AWAY;
        self.call.recording = if now >= give_up {
            let reason = format!("captured by node {node}, which did not come back in time");
            RecordingState::Lost { reason }
        } else {
            let reason = format!("captured by node {node}, which has to come back to keep it");
            let next_at = give_up.min(now + CAPTURES_EVERY);
            RecordingState::Pending { attempts, next_at, reason: Some(reason) }
        };
        self.save().await
    }

    /// Saves what came of it.
    pub(crate) async fn kept(&mut self, kept: Kept) -> Result<(), Stop> {
        if self.engine.stopping.is_cancelled() && kept.is_err() {
            return Err(Stop::Stopping);
        }
        let now = self.now();
        let room = self.call.room_name().clone();
        let RecordingState::Pending { attempts, .. } = self.call.recording else { return Ok(()) };
        self.call.recording = match kept {
            Ok(mut recording) => {
                if self.call.captured_by.len() > 1 {
                    let gap = "captured by several nodes: only the last one's part is here";
                    let gaps = recording.gaps.take().map(|gaps| format!("{gaps}; {gap}"));
                    recording.gaps = Some(gaps.unwrap_or_else(|| gap.to_owned()));
                }
                tracing::info!(
                    ?room,
                    bytes = recording.bytes,
                    gaps = recording.gaps,
                    "recording kept"
                );
                RecordingState::Available(recording)
            }
            Err(error) if error.kind == ErrorKind::NotFound => {
                tracing::warn!(?room, %error, "a recording is lost");
                RecordingState::Lost { reason: error.message }
            }
            Err(error) => {
                tracing::error!(?room, %error, "a recording could not be kept; it is tried again");
                let wait = KEEP_AGAIN[KEEP_AGAIN.len().min(attempts as usize + 1) - 1];
                let reason = Some(error.to_string());
                RecordingState::Pending { attempts: attempts + 1, next_at: now + wait, reason }
            }
        };
        let result = self.call.recording.as_str();
        metrics::counter!("outdial_recordings_total", "result" => result).increment(1);
        self.save().await?;
        if self.known.unsaved_since.is_none()
            && self.call.recording.available().is_some()
            && let Some(recordings) = &self.engine.parts.recordings
            && let Err(error) = recordings.done(&room).await
        {
            tracing::warn!(?room, %error, "a capture could not be removed");
        }
        Ok(())
    }

    /// Deletes a recording whose time is up.
    pub(crate) async fn expire_recording(&mut self) -> Result<(), Stop> {
        let at = self.now();
        match self.delete_recording().await {
            Ok(()) => {
                self.call.recording = RecordingState::Expired { at };
                self.known.deletions = crate::duty::Tries::default();
                self.save().await
            }
            Err(error) => {
                self.known.deletions.add(at);
                tracing::error!(room = ?self.call.room_name(), %error, "an expired recording could not be deleted; it is tried again");
                Ok(())
            }
        }
    }

    async fn delete_recording(&self) -> Result<(), Error> {
        let Some(recordings) = &self.engine.parts.recordings else {
            return match self.call.recording.available() {
                None => Ok(()),
                Some(_) => Err(Error::new(
                    ErrorKind::Refused,
                    "delete_recording",
                    "recordings are not set up",
                )),
            };
        };
        let limit = self.engine.parts.policy.outside_timeout;
        let delete = recordings.delete(self.call.room_name(), self.call.recording.available());
        tokio::time::timeout(limit, delete).await.unwrap_or_else(|_| {
            let message = format!("no answer within {limit:?}");
            Err(Error::new(ErrorKind::Unavailable, "delete_recording", message))
        })
    }

    /// Removes all there is of the call; a tombstone stays.
    pub(crate) async fn erase(&mut self) -> Result<(), Stop> {
        if let Some(keeping) = self.keeping.take() {
            keeping.abort();
            // Whatever it did is deleted next.
            let _ = keeping.await;
        }
        let at = self.now();
        let room = self.call.room_name().clone();
        let erased = match self.delete_recording().await {
            Ok(()) => {
                let tombstone = Tombstone::of(&self.call, at);
                self.engine.parts.store.erase(&self.call, &tombstone).await
            }
            Err(error) => Err(error),
        };
        match erased {
            Ok(()) => {
                tracing::info!("a call was erased");
                Err(Stop::Erased)
            }
            Err(error) if error.kind == ErrorKind::Conflict => self.reconcile().await,
            Err(error) => {
                self.known.deletions.add(at);
                tracing::error!(?room, %error, "a call could not be erased; it is tried again");
                Ok(())
            }
        }
    }
}

/// Looks through the captures on this machine, at the start and then now and then: others may have
/// ended their calls while this node was away.
pub(crate) async fn captures(inner: Arc<Inner>) {
    let Some(recordings) = inner.parts.recordings.clone() else { return };
    loop {
        let pause = match inner.term() {
            Ok(term) => match inner.look_through_captures(recordings.as_ref(), term).await {
                Ok(()) => CAPTURES_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "captures could not be looked through");
                    CAPTURES_AGAIN
                }
            },
            // The store is waited for.
            Err(_) => CAPTURES_AGAIN,
        };
        tokio::select! {
            () = inner.draining.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Inner {
    async fn look_through_captures(
        self: &Arc<Self>,
        recordings: &dyn Recordings,
        term: u64,
    ) -> Result<(), Error> {
        let (store, node) = (&self.parts.store, &self.parts.node);
        for room in recordings.captured().await? {
            if self.draining.is_cancelled() {
                return Ok(());
            }
            let stored = match store.get(&room).await {
                // It hinders no other.
                Err(error) if error.kind == ErrorKind::Corrupt => continue,
                stored => stored?,
            };
            let Some(mut call) = stored else {
                // Without a tombstone it may be another store's call.
                if store.tombstone(&Tombstone::id_of(&room)).await?.is_some() {
                    recordings.delete(&room, None).await?;
                }
                continue;
            };
            if call.owner.is_some() || call.termination.is_none() {
                continue;
            }
            match &mut call.recording {
                RecordingState::Pending { next_at, .. }
                    if call.captured_by.last().is_none_or(|last| last == node) =>
                {
                    *next_at = self.now();
                    (call.due_at, call.owner) = (Some(*next_at), Some(node.clone()));
                    match store.save(&mut call).await {
                        Ok(()) => drop(self.work_on(call, Origin::found(term))),
                        // Somebody else was faster.
                        Err(error) if error.kind == ErrorKind::Conflict => {}
                        Err(error) => return Err(error),
                    }
                }
                RecordingState::Pending { .. } | RecordingState::Lost { .. } => {}
                // It is kept without this part, or not wanted.
                _ => recordings.done(&room).await?,
            }
        }
        Ok(())
    }
}

/// Until when the webhook of an ended call waits for its recording.
pub(crate) fn webhook_waits_until(call: &Call, finish_within: Duration) -> Option<DateTime<Utc>> {
    let pending = call.recording.is_pending();
    let wait = TimeDelta::from_std(finish_within).unwrap_or(TimeDelta::MAX);
    call.ended_at.filter(|_| pending).and_then(|ended| ended.checked_add_signed(wait))
}
