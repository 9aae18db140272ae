//! Whose a call is, and what to do when the record was changed beneath its worker.

use chrono::DateTime;
use outdial_domain::{Call, NodeId, WebhookState};

use crate::Inner;
use crate::duty::Known;
use crate::lease::Standing;
use crate::worker::{LEASE_AGAIN, Stop, Worker};

impl Inner {
    /// Whether the record says that this very process works on the call.
    fn owns(&self, call: &Call) -> bool {
        call.owner.as_ref() == Some(&self.parts.node) && !self.membership.is_superseded()
    }
}

impl Worker {
    /// What this node may do for its calls, and whether it has to look whose this one is.
    pub(crate) fn standing(&self) -> Standing {
        self.engine.membership.lease.standing(self.term, self.engine.moment())
    }

    /// Returns when the call is this node's for certain. To be asked right before what must not be
    /// done twice.
    pub(crate) async fn assure(&mut self) -> Result<(), Stop> {
        loop {
            self.yield_to_successor()?;
            match self.standing() {
                Standing::Held => return Ok(()),
                Standing::Renewed(term) => self.look_whose(term).await?,
                Standing::Lapsed { .. } => self.wait_for_lease().await?,
            }
        }
    }

    /// A later process with this node's id has all calls of the node.
    pub(crate) fn yield_to_successor(&self) -> Result<(), Stop> {
        if self.engine.membership.is_superseded() { Err(Stop::Lost) } else { Ok(()) }
    }

    pub(crate) async fn wait_for_lease(&mut self) -> Result<(), Stop> {
        self.wait_until(self.now() + LEASE_AGAIN).await
    }

    /// The lease had run out: another node may have the call.
    pub(crate) async fn look_whose(&mut self, term: u64) -> Result<(), Stop> {
        if self.read_again().await? {
            self.term = term;
            Ok(())
        } else {
            self.wait_for_lease().await
        }
    }

    /// The record was changed beneath us. As long as it is ours, what is known is put together.
    pub(crate) async fn reconcile(&mut self) -> Result<(), Stop> {
        if !self.read_again().await? {
            self.known.unsaved_since = Some(self.now());
        }
        Ok(())
    }

    /// Takes in what the store has; `false` when it does not answer.
    async fn read_again(&mut self) -> Result<bool, Stop> {
        match self.engine.parts.store.get(self.call.room_name()).await {
            Ok(Some(stored)) if self.engine.owns(&stored) => {
                self.merge(stored).await;
                Ok(true)
            }
            Ok(_) => Err(Stop::Lost),
            Err(error) => {
                tracing::warn!(room = ?self.call.room_name(), %error, "a call could not be read");
                Ok(false)
            }
        }
    }

    /// Facts merge in any order, and what only the owner writes is newest here.
    async fn merge(&mut self, stored: Call) {
        if stored.version == self.call.version && !stored.attention {
            return;
        }
        if self.was_another_s(&stored) {
            self.let_go_of_leg().await;
            self.known = Known::new(&stored, false);
            if stored.termination.is_some() {
                self.observation = None;
            }
            self.call = stored;
        } else {
            self.absorb(&stored);
        }
        // Saved at once, which also says that what others changed was seen.
        self.known.unsaved_since = Some(DateTime::UNIX_EPOCH);
    }

    /// Another node had the call while we took it for ours, and went further: what it did counts.
    fn was_another_s(&self, stored: &Call) -> bool {
        let end = |call: &Call| (call.termination.clone(), call.ended_at);
        let closed = stored.termination.is_some() && end(stored) != end(&self.call);
        let started = self.call.started_at.is_none()
            && stored.started_at.is_some_and(|at| !self.known.starts_in_doubt.contains(&at));
        closed || started
    }

    fn absorb(&mut self, stored: &Call) {
        let before = self.call.facts.clone();
        self.call.version = stored.version;
        self.call.facts.absorb(&stored.facts);
        self.call.erase_requested_at = self.call.erase_requested_at.or(stored.erase_requested_at);
        if self.call.started_at.is_none() && stored.started_at.is_some() {
            // Our own save did happen.
            self.call.started_at = Some(self.now());
            self.known.to_set_up = true;
        }
        let missing = |node: &&NodeId| !self.call.captured_by.contains(node);
        let others: Vec<_> = stored.captured_by.iter().filter(missing).cloned().collect();
        self.call.captured_by.splice(0..0, others);
        let is_done = matches!(self.call.webhook, WebhookState::Delivered | WebhookState::Dead);
        if stored.attention
            && is_done
            && let WebhookState::Pending { attempts: 0, .. } = stored.webhook
        {
            // It is to be sent again.
            self.call.webhook = stored.webhook.clone();
        }
        let facts = &self.call.facts;
        if before.leg_end.is_none() && facts.leg_end.is_some() {
            self.known.end_heard_at.get_or_insert(self.engine.now());
        }
        if facts.agent_left_at != before.agent_left_at {
            self.known.agent_present = false;
        } else if before.agent_joined_at.is_none() && facts.agent_joined_at.is_some() {
            self.known.agent_present = true;
        }
    }
}
