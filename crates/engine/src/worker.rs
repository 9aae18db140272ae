//! The worker of one call: looks what is due, does it, saves, and again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use outdial_domain::ports::Observation;
use outdial_domain::{Call, Error, ErrorKind, HangUpReason, Hint, Status, TranscriptLine, Trunk};

use tokio::task::JoinHandle;

use crate::Inner;
use crate::duty::{self, Duty, Known, LINGER};
use crate::live::{Mailbox, Request};
use crate::recording::Kept;
use crate::watch::Passing;

/// Why a worker stopped before its work was done.
pub(crate) enum Stop {
    /// The engine lets go of its calls.
    Stopping,
    /// Another node works on the call, or it was deleted.
    Lost,
    /// All there was of the call is gone.
    Erased,
}

pub(crate) struct Worker {
    pub(crate) engine: Arc<Inner>,
    pub(crate) call: Call,
    pub(crate) known: Known,
    /// The trunk, when it was read just before.
    pub(crate) trunk: Option<Trunk>,
    pub(crate) mailbox: Mailbox,
    /// The observation of the call from inside its room, until it is dropped.
    pub(crate) observation: Option<Observation>,
    /// The task that keeps the recording.
    pub(crate) keeping: Option<JoinHandle<Kept>>,
    /// Lines not yet appended to the store.
    lines: Vec<TranscriptLine>,
}

impl Inner {
    /// Starts working on a call that this node owns; `fresh` when it was accepted by this very
    /// process just now, `trunk` when it was read just now too. `None` when the call is worked on
    /// already.
    pub(crate) fn work_on(
        self: &Arc<Self>,
        call: Call,
        fresh: bool,
        trunk: Option<Trunk>,
    ) -> Option<crate::live::Entry> {
        let (entry, mailbox) = self.live.enter(&call)?;
        let room = call.room_name().clone();
        let worker = Worker {
            engine: self.clone(),
            known: Known::new(&call, fresh),
            call,
            trunk,
            mailbox,
            observation: None,
            keeping: None,
            lines: Vec::new(),
        };
        let engine = self.clone();
        self.spawn(async move {
            if AssertUnwindSafe(worker.run()).catch_unwind().await.is_err() {
                engine.live.leave(&room);
                tracing::error!(?room, "the worker of a call panicked; the call is taken up again");
                engine.give_back(&room).await;
            }
        });
        Some(entry)
    }

    /// Makes a call claimable again after its worker failed.
    async fn give_back(&self, room: &outdial_domain::RoomName) {
        if let Ok(Some(mut call)) = self.parts.store.get(room).await
            && call.owner.as_ref() == Some(&self.parts.node)
        {
            call.owner = None;
            call.due_at = Some(self.now() + Duration::from_secs(5));
            if let Err(error) = self.parts.store.save(&mut call).await {
                tracing::error!(?room, %error, "a call could not be given back");
            }
        }
    }
}

impl Worker {
    async fn run(mut self) {
        let room = self.call.room_name().clone();
        metrics::gauge!("outdial_calls_live").increment(1.0);
        let stop = loop {
            self.known.keeping = self.keeping.is_some();
            if let Ok(request) = self.mailbox.requests.try_recv() {
                match self.obey(request).await {
                    Ok(()) => continue,
                    Err(stop) => break Some(stop),
                }
            }
            let (at, duty) = duty::next(&self.call, &self.known, &self.engine.parts.policy);
            let ended = self.call.termination.is_some();
            let idle = duty == Duty::Leave || (ended && at > self.now() + LINGER);
            let result = if idle && self.keeping.is_none() {
                break None;
            } else if duty == Duty::Leave {
                self.wait_until(self.now() + KEEPING).await
            } else if at > self.now() {
                self.wait_until(at).await
            } else {
                self.perform(duty).await
            };
            if let Err(stop) = result {
                break Some(stop);
            }
        };
        // Registered no longer, but still the owner: nobody else can begin in between.
        self.engine.live.leave(&room);
        match stop {
            None => self.leave().await,
            Some(Stop::Stopping) => self.save_what_is_left().await,
            Some(Stop::Lost) => tracing::warn!(?room, "another node works on this call"),
            Some(Stop::Erased) => {}
        }
        metrics::gauge!("outdial_calls_live").decrement(1.0);
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.engine.now()
    }

    async fn perform(&mut self, duty: Duty) -> Result<(), Stop> {
        match duty {
            Duty::Start => self.start().await,
            Duty::SetUp => self.set_up().await,
            Duty::Look => self.look().await,
            Duty::Decide(reason) => self.decide(reason).await,
            Duty::HangUp => self.hang_up().await,
            Duty::Close => self.close().await,
            Duty::DeleteRoom => self.delete_room().await,
            Duty::KeepRecording => self.keep_recording().await,
            Duty::ExpireRecording => self.expire_recording().await,
            Duty::Erase => self.erase().await,
            Duty::SendWebhook => self.send_webhook().await,
            Duty::Save => self.save().await,
            Duty::Leave => Ok(()),
        }
    }

    /// Takes in hints and requests until `at`.
    async fn wait_until(&mut self, at: DateTime<Utc>) -> Result<(), Stop> {
        let wait = (at - self.now()).to_std().unwrap_or_default();
        let stopping = self.engine.stopping.clone();
        tokio::select! {
            biased;
            () = stopping.cancelled() => Err(Stop::Stopping),
            Some(request) = self.mailbox.requests.recv() => self.obey(request).await,
            Some(hint) = self.mailbox.hints.recv() => self.take(hint).await,
            Some(kept) = finished(&mut self.keeping) => {
                self.keeping = None;
                self.known.keeping = false;
                self.kept(kept).await
            }
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    async fn obey(&mut self, request: Request) -> Result<(), Stop> {
        let now = self.now();
        let (decided, reply) = match request {
            Request::HangUp(reply) => (self.call.decide_hang_up(now, HangUpReason::Api), reply),
            Request::Erase(reply) => (self.call.request_erasure(now), reply),
        };
        if decided {
            self.save().await?;
        }
        // What is not on the disk is not acknowledged: whoever asked learns why from the store.
        if self.known.unsaved_since.is_none() {
            // Whoever asked may be gone.
            let _ = reply.send(Arc::new(self.call.clone()));
        }
        Ok(())
    }

    /// Takes in a hint and all that wait behind it.
    pub(crate) async fn take(&mut self, hint: Hint) -> Result<(), Stop> {
        let mut news = self.note(hint);
        while let Ok(hint) = self.mailbox.hints.try_recv() {
            news |= self.note(hint);
        }
        if news { self.save().await } else { Ok(()) }
    }

    /// Takes in a hint; `true` when it is worth a save of its own. A finer time, or who is in the
    /// room, is saved with what comes next: looking finds it again.
    pub(crate) fn note(&mut self, hint: Hint) -> bool {
        match &hint {
            Hint::AgentJoined { .. } => self.known.agent_present = true,
            Hint::AgentLeft { .. } => self.known.agent_present = false,
            Hint::Ended { .. } => {
                self.known.end_heard_at.get_or_insert(self.engine.now());
            }
            Hint::AgentState { state, .. } => {
                self.mailbox.agent.send_replace(Some(*state));
            }
            Hint::Held { at } => self.pass(Passing::Held { at: *at }),
            Hint::Resumed { at } => self.pass(Passing::Resumed { at: *at }),
            Hint::Dtmf { at, digit } => self.pass(Passing::Dtmf { at: *at, digit: *digit }),
            Hint::Line(_) | Hint::TranscriptEnded { .. } => {}
            Hint::Joined { .. }
            | Hint::Ringing { .. }
            | Hint::Answered { .. }
            | Hint::Media { .. } => self.known.has_leg = true,
        }
        if let Hint::Line(line) = hint {
            if self.call.termination.is_none() {
                self.lines.push(line);
            }
            return true;
        }
        let standing = |call: &Call| (call.status(), call.facts.participant.is_some());
        let before = standing(&self.call);
        let news = self.call.apply(&hint);
        if news {
            tracing::debug!(room = ?self.call.room_name(), ?hint, "news of a call");
        }
        news && (matches!(hint, Hint::Ended { .. }) || standing(&self.call) != before)
    }

    /// Tells those who watch.
    fn pass(&self, event: Passing) {
        // It fails when nobody does.
        let _ = self.mailbox.passing.send(event);
    }

    /// Saves the record and new lines. A failing store does not stop the call: the save is repeated,
    /// and nothing is told to others before it succeeds.
    pub(crate) async fn save(&mut self) -> Result<(), Stop> {
        self.call.due_at = Some(duty::next(&self.call, &self.known, &self.engine.parts.policy).0);
        match self.try_save().await {
            Ok(()) => {
                self.known.unsaved_since = None;
                self.mailbox.seen.send_replace(Arc::new(self.call.clone()));
                Ok(())
            }
            Err(error) if error.kind == ErrorKind::Conflict => self.reconcile().await,
            Err(error) => {
                tracing::error!(room = ?self.call.room_name(), %error, "a call could not be saved; it is tried again");
                self.known.unsaved_since = Some(self.now());
                Ok(())
            }
        }
    }

    pub(crate) async fn try_save(&mut self) -> Result<(), Error> {
        let store = &self.engine.parts.store;
        if !self.lines.is_empty() {
            store.append(self.call.room_name(), &self.lines).await?;
            self.lines.clear();
        }
        store.save(&mut self.call).await
    }

    /// The record was changed beneath us. As long as it is ours, what is known is put together: the
    /// facts merge in any order.
    pub(crate) async fn reconcile(&mut self) -> Result<(), Stop> {
        let stored = self.engine.parts.store.get(self.call.room_name()).await;
        match stored {
            Ok(Some(stored)) if stored.owner.as_ref() == Some(&self.engine.parts.node) => {
                self.call.version = stored.version;
                self.call.facts.absorb(&stored.facts);
                self.call.erase_requested_at =
                    self.call.erase_requested_at.or(stored.erase_requested_at);
                self.known.unsaved_since = Some(DateTime::UNIX_EPOCH);
                Ok(())
            }
            Ok(_) => Err(Stop::Lost),
            Err(_) => {
                self.known.unsaved_since = Some(self.now());
                Ok(())
            }
        }
    }

    /// All that can be done now is done: gives the call up, due again when something is left.
    async fn leave(mut self) {
        let (at, duty) = duty::next(&self.call, &self.known, &self.engine.parts.policy);
        self.call.owner = None;
        self.call.due_at = (duty != Duty::Leave).then_some(at);
        if let Err(error) = self.engine.parts.store.save(&mut self.call).await {
            tracing::error!(room = ?self.call.room_name(), %error, "a call could not be given up");
            let room = self.call.room_name().clone();
            self.engine.give_back(&room).await;
        }
        self.mailbox.seen.send_replace(Arc::new(self.call.clone()));
    }

    async fn save_what_is_left(mut self) {
        // What was told before the stop is not lost by it.
        let mut news = false;
        while let Ok(hint) = self.mailbox.hints.try_recv() {
            news |= self.note(hint);
        }
        if news || !self.lines.is_empty() || self.known.unsaved_since.is_some() {
            // A loss here is made good by looking after the restart.
            let _ = self.save().await;
        }
    }
}

/// How long a worker sleeps while nothing but its recording is left to be done.
const KEEPING: Duration = Duration::from_secs(3600);

/// Waits for the recording; never resolves when none is being kept.
async fn finished(keeping: &mut Option<JoinHandle<Kept>>) -> Option<Kept> {
    match keeping {
        Some(task) => Some(task.await.unwrap_or_else(|failure| {
            let message = format!("the task has ended: {failure}");
            Err(Error::new(ErrorKind::Internal, "keep_recording", message))
        })),
        None => std::future::pending().await,
    }
}

/// Whether the wait for a call's leg is over.
pub(crate) fn is_set_up(call: &Call) -> bool {
    call.status() > Status::Starting
}
