//! The worker of one call: looks what is due, does it, saves, and again.
//!
//! A call may be taken away from a worker without its notice, while its node was stopped or cut off
//! from the store. Saves notice it by the version; before what leaves the server the lease is asked.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use outdial_domain::ports::Observation;
use outdial_domain::{
    Call, Error, ErrorKind, HangUpReason, Hint, RoomName, Status, TranscriptLine, Trunk,
};
use tokio::task::JoinHandle;

use crate::Inner;
use crate::duty::{self, Duty, Known, LINGER};
use crate::lease::Standing;
use crate::live::{Entry, Mailbox, Request};
use crate::recording::Kept;
use crate::watch::Passing;

/// Why a worker stopped.
pub(crate) enum Stop {
    /// All that can be done now is done.
    Done,
    /// Another node is to go on.
    HandedOver,
    /// The engine lets go of its calls.
    Stopping,
    /// Another node works on the call, or it was deleted.
    Lost,
    /// All there was of the call is gone.
    Erased,
}

/// Where a worker has its call from.
pub(crate) struct Origin {
    /// It was accepted by this very process just now.
    fresh: bool,
    /// The trunk, when it was read just now too.
    trunk: Option<Trunk>,
    /// The term of the node's lease before the call was stored or read.
    term: u64,
}

impl Origin {
    pub(crate) fn placed(term: u64, trunk: Option<Trunk>) -> Self {
        Self { fresh: true, trunk, term }
    }

    pub(crate) fn found(term: u64) -> Self {
        Self { fresh: false, trunk: None, term }
    }
}

pub(crate) struct Worker {
    pub(crate) engine: Arc<Inner>,
    pub(crate) call: Call,
    pub(crate) known: Known,
    /// The term of the lease in which the call was this node's for certain.
    pub(crate) term: u64,
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
    /// Starts working on a call that this node owns. `None` when the call is worked on already.
    pub(crate) fn work_on(self: &Arc<Self>, call: Call, origin: Origin) -> Option<Entry> {
        let (entry, mailbox) = self.live.enter(&call)?;
        let room = call.room_name().clone();
        let worker = Worker {
            engine: self.clone(),
            known: Known::new(&call, origin.fresh),
            call,
            term: origin.term,
            trunk: origin.trunk,
            mailbox,
            observation: None,
            keeping: None,
            lines: Vec::new(),
        };
        let (engine, own) = (self.clone(), entry.clone());
        self.spawn(async move {
            if AssertUnwindSafe(worker.run(own)).catch_unwind().await.is_err() {
                let _hold = engine.live.leave(&room);
                tracing::error!(?room, "the worker of a call panicked; the call is taken up again");
                engine.give_back(&room).await;
            }
        });
        Some(entry)
    }

    /// Makes a call claimable again after its worker failed.
    async fn give_back(&self, room: &RoomName) {
        if let Ok(Some(mut call)) = self.parts.store.get(room).await
            && call.owner.as_ref() == Some(&self.parts.node)
        {
            (call.owner, call.attention) = (None, false);
            call.due_at = Some(self.now() + Duration::from_secs(5));
            if let Err(error) = self.parts.store.save(&mut call).await {
                tracing::error!(?room, %error, "a call could not be given back");
            }
        }
    }
}

impl Worker {
    async fn run(mut self, entry: Entry) {
        let (engine, room) = (self.engine.clone(), self.call.room_name().clone());
        metrics::gauge!("outdial_calls_live").increment(1.0);
        loop {
            let stop = self.work().await;
            // Registered no longer, but still the owner: nobody else can begin in between.
            let _hold = engine.live.leave(&room);
            let goes_on = match stop {
                Stop::Done | Stop::HandedOver => self.leave(&stop).await,
                Stop::Stopping => {
                    self.save_what_is_left().await;
                    false
                }
                Stop::Lost => {
                    tracing::warn!(?room, "another node works on this call, or it is gone");
                    self.let_go_of_leg().await;
                    false
                }
                Stop::Erased => false,
            };
            if !goes_on || !engine.live.enter_again(&room, &entry) {
                break;
            }
        }
        metrics::gauge!("outdial_calls_live").decrement(1.0);
    }

    /// Does what is due, until there is a reason to stop.
    async fn work(&mut self) -> Stop {
        loop {
            if let Err(stop) = self.step().await {
                return stop;
            }
        }
    }

    async fn step(&mut self) -> Result<(), Stop> {
        if let Ok(request) = self.mailbox.requests.try_recv() {
            return self.obey(request).await;
        }
        self.yield_to_successor()?;
        if self.is_handed_over() {
            return Err(Stop::HandedOver);
        }
        let ((at, duty), now) = (self.next(), self.now());
        let ended = self.call.termination.is_some();
        let idle = duty == Duty::Leave || (ended && at > now + LINGER);
        if idle && self.keeping.is_none() {
            return Err(Stop::Done);
        }
        if duty == Duty::Leave {
            return self.wait_until(now + KEEPING).await;
        }
        if at > now {
            return self.wait_until(at).await;
        }
        match self.standing() {
            Standing::Held => self.perform(duty).await,
            Standing::Renewed(term) => self.look_whose(term).await,
            Standing::Lapsed { cut_off: true } if !duty.needs_lease() => self.perform(duty).await,
            Standing::Lapsed { .. } => self.wait_for_lease().await,
        }
    }

    /// What is due next, and when.
    pub(crate) fn next(&mut self) -> (DateTime<Utc>, Duty) {
        self.known.keeping = self.keeping.is_some();
        self.known.kept_elsewhere = self.kept_by().is_some();
        duty::next(&self.call, &self.known, &self.engine.parts.policy)
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
    pub(crate) async fn wait_until(&mut self, at: DateTime<Utc>) -> Result<(), Stop> {
        let wait = (at - self.now()).to_std().unwrap_or_default();
        let engine = self.engine.clone();
        let can_go = self.can_go_on_elsewhere() && !self.is_handed_over();
        tokio::select! {
            biased;
            () = engine.stopping.cancelled() => Err(Stop::Stopping),
            Some(request) = self.mailbox.requests.recv() => self.obey(request).await,
            Some(hint) = self.mailbox.hints.recv() => self.take(hint).await,
            Some(kept) = finished(&mut self.keeping) => {
                self.keeping = None;
                self.known.keeping = false;
                self.kept(kept).await
            }
            () = engine.handing_over.cancelled(), if can_go => Ok(()),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    pub(crate) async fn obey(&mut self, request: Request) -> Result<(), Stop> {
        let now = self.now();
        let (decided, reply) = match request {
            Request::HangUp(reply) => (self.call.decide_hang_up(now, HangUpReason::Api), reply),
            Request::Erase(reply) => (self.call.request_erasure(now), reply),
            Request::Look => return self.reconcile().await,
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
        let standing =
            |call: &Call| (call.status(), call.facts.participant.is_some(), call.is_held());
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
        self.call.due_at = Some(self.next().0);
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
        self.append_lines().await?;
        // What others changed was read before: had they changed more, the version would tell.
        self.call.attention = false;
        self.engine.parts.store.save(&mut self.call).await
    }

    /// Appends lines that are not stored yet.
    pub(crate) async fn append_lines(&mut self) -> Result<(), Error> {
        if !self.lines.is_empty() {
            let store = &self.engine.parts.store;
            store.append(self.call.room_name(), &self.lines).await?;
            self.lines.clear();
        }
        Ok(())
    }

    async fn save_what_is_left(&mut self) {
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

/// How often a worker looks whether its node's lease was renewed.
pub(crate) const LEASE_AGAIN: Duration = Duration::from_secs(1);
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
