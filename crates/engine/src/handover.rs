//! Handing calls over to another node.

use std::sync::atomic::Ordering;

use outdial_domain::{RecordingState, Status};

use crate::worker::Worker;
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

    pub(crate) fn legs_are_local(&self) -> bool {
        let backend = self.engine.backend(self.call.order.route);
        backend.is_ok_and(|backend| backend.provider.legs_are_local())
    }
}
