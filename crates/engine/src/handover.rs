//! Giving calls up: to another node, or until something is due again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use outdial_domain::{ErrorKind, RecordingState, Status};

use crate::duty::Duty;
use crate::steps::bounded;
use crate::worker::{Stop, Worker};
use crate::{Engine, Inner};

impl Engine {
    /// Takes no new calls, and hands over to another node what can go on there: at once if one lives
    /// that is not stopping too, else as soon as there is one. What needs this node goes on here and
    /// can be [waited for](Self::idle). `true` when there is another node.
    pub async fn hand_over(&self) -> bool {
        self.drain();
        self.inner.seeks_heir.store(true, Ordering::SeqCst);
        if let Err(error) = self.inner.look_at_nodes().await {
            tracing::warn!(%error, "it could not be seen whether another node lives");
        }
        self.inner.look_for_heir();
        self.inner.handing_over.is_cancelled()
    }
}

impl Inner {
    pub(crate) fn look_for_heir(&self) {
        if self.seeks_heir.load(Ordering::SeqCst) && self.has_other(|node| !node.draining) {
            self.handing_over.cancel();
        }
    }
}

impl Worker {
    /// Whether this call is to be handed over now.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.engine.handing_over.is_cancelled() && self.can_go_on_elsewhere()
    }

    /// Whether any node can do what is left to be done: there is no leg here, and no audio.
    pub(crate) fn can_go_on_elsewhere(&self) -> bool {
        let node = &self.engine.parts.node;
        let has_audio = matches!(self.call.recording, RecordingState::Pending { .. })
            && self.call.captured_by.contains(node);
        let has_leg =
            !matches!(self.call.status(), Status::Queued | Status::Ended) && self.legs_are_local();
        // Whoever finds a call that was begun cannot know whether its phone was dialled.
        let is_settled = self.known.unsaved_since.is_none() && !self.known.to_set_up;
        is_settled && self.keeping.is_none() && !has_audio && !has_leg
    }

    /// Gives the call up, due again when something is left. `true` when it has to be gone on with:
    /// it was changed meanwhile, or cannot be given up.
    pub(crate) async fn leave(&mut self, stop: &Stop) -> bool {
        while let Ok(hint) = self.mailbox.hints.try_recv() {
            self.note(hint);
        }
        let (at, duty) = self.next();
        let now = self.now();
        let mut call = self.call.clone();
        call.due_at = match (stop, call.status()) {
            (Stop::HandedOver, Status::Queued) => call.due_at,
            (Stop::HandedOver, status) if status != Status::Ended => Some(now),
            _ => Some(at).filter(|_| duty != Duty::Leave),
        };
        (call.owner, call.attention) = (None, false);
        if let Some(keeper) = self.kept_by().filter(|node| self.engine.is_alive(node))
            && let RecordingState::Pending { next_at, .. } = &mut call.recording
        {
            // It has not noticed that it has something to do.
            *next_at = now;
            (call.owner, call.attention) = (Some(keeper.clone()), true);
        }
        let saved = match self.append_lines().await {
            Ok(()) => self.engine.parts.store.save(&mut call).await,
            Err(error) => Err(error),
        };
        match saved {
            Ok(()) => {
                self.call = call;
                self.mailbox.seen.send_replace(Arc::new(self.call.clone()));
                false
            }
            Err(error) if error.kind == ErrorKind::Conflict => match self.reconcile().await {
                Ok(()) => true,
                Err(_) => {
                    self.let_go_of_leg().await;
                    false
                }
            },
            Err(error) => {
                tracing::error!(room = ?self.call.room_name(), %error, "a call could not be given up; it is tried again");
                self.known.unsaved_since = Some(now);
                true
            }
        }
    }

    /// A leg that lives here would go on although its call is another node's.
    pub(crate) async fn let_go_of_leg(&self) {
        let over = self.call.status() == Status::Ended;
        let Ok(backend) = self.engine.backend(self.call.order.route) else { return };
        if over || !self.known.has_leg || !backend.provider.legs_are_local() {
            return;
        }
        let (room, identity) = (self.call.room_name(), self.call.order.participant_identity());
        let limit = self.engine.parts.policy.outside_timeout;
        let hung_up = backend.provider.hang_up(room, &identity);
        if let Err(error) = bounded(limit, "hang_up", hung_up).await {
            tracing::warn!(?room, %error, "hanging up failed");
        }
    }

    pub(crate) fn legs_are_local(&self) -> bool {
        let backend = self.engine.backend(self.call.order.route);
        backend.is_ok_and(|backend| backend.provider.legs_are_local())
    }
}
