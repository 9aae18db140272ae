//! This node among the others: its signs of life, and what it knows of theirs.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use outdial_domain::{Error, ErrorKind, Node, NodeId, Result};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Inner;
use crate::lease::{Lease, Moment};
use crate::steps::bounded;

/// How often it is tried to give a sign of life that could not be given.
const BEAT_AGAIN: Duration = Duration::from_secs(1);

pub(crate) struct Membership {
    pub(crate) lease: Lease,
    /// When this run began.
    started_at: DateTime<Utc>,
    state: Mutex<State>,
    /// A later run with this node's id goes on, so this one keeps still.
    superseded: AtomicBool,
    /// Rings when there is something to tell the others.
    pub(crate) news: Notify,
}

#[derive(Default)]
struct State {
    /// The nodes by the latest look at them.
    nodes: Vec<Node>,
    /// The ids and versions that metrics say live.
    shown: HashSet<(NodeId, String)>,
    /// This node has taken its calls back, once.
    joined: bool,
    /// Why the latest sign of life could not be given.
    fault: Option<(ErrorKind, String)>,
}

impl Membership {
    pub(crate) fn new(lease: Duration, now: DateTime<Utc>) -> Self {
        Self {
            lease: Lease::new(lease),
            // Stores keep times to the millisecond at least.
            started_at: now.trunc_subsecs(3),
            state: Mutex::default(),
            superseded: AtomicBool::new(false),
            news: Notify::new(),
        }
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::SeqCst)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub(crate) fn moment(&self) -> Moment {
        Moment { at: self.now(), tick: Instant::now() }
    }

    /// The term of this node's lease; an error while it is not held.
    pub(crate) fn term(&self) -> Result<u64> {
        if let Some(term) = self.membership.lease.term(self.moment()) {
            return Ok(term);
        }
        let state = self.membership.state();
        let (kind, message) = match &state.fault {
            Some((ErrorKind::Full, message)) => (ErrorKind::Full, message.clone()),
            Some((_, message)) => (ErrorKind::Unavailable, message.clone()),
            None if !state.joined => (ErrorKind::Unavailable, "waiting for the store".to_owned()),
            None => (ErrorKind::Unavailable, "this node's sign of life has run out".to_owned()),
        };
        Err(Error::new(kind, "engine.lease", message))
    }

    /// The nodes by the latest look at them.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        self.membership.state().nodes.clone()
    }

    /// Whether another node lives, of those that `which` is for.
    pub(crate) fn has_other(&self, which: impl Fn(&Node) -> bool) -> bool {
        let now = self.now();
        let state = self.membership.state();
        let mut others = state.nodes.iter().filter(|node| node.node_id != self.parts.node);
        others.any(|node| node.is_alive(now) && which(node))
    }

    pub(crate) fn is_alive(&self, id: &NodeId) -> bool {
        *id != self.parts.node && self.has_other(|node| node.node_id == *id && !node.draining)
    }

    /// Looks at the nodes.
    pub(crate) async fn look_at_nodes(&self) -> Result<()> {
        let limit = self.parts.policy.outside_timeout;
        let nodes = bounded(limit, "engine.nodes", self.parts.store.nodes()).await?;
        self.membership.state().nodes = nodes;
        self.show_nodes();
        Ok(())
    }

    /// Gives a sign of life.
    async fn beat(&self) -> Result<()> {
        self.look_at_nodes().await?;
        self.yield_to_successor()?;
        let begun = self.moment();
        let node = Node {
            node_id: self.parts.node.clone(),
            started_at: self.membership.started_at,
            version: self.parts.version.clone(),
            draining: self.draining.is_cancelled(),
            alive_until: begun.at + self.parts.policy.lease,
        };
        let limit = self.parts.policy.outside_timeout;
        let heartbeat = self.parts.store.heartbeat(&node);
        bounded(limit, "engine.heartbeat", heartbeat).await?;
        if !self.membership.state().joined {
            // Before the lease is held nothing is placed that this could take away.
            let release = self.parts.store.release(&self.parts.node, begun.at);
            let taken_back = bounded(limit, "engine.release", release).await?;
            if taken_back > 0 {
                tracing::info!(calls = taken_back, "took back the calls of the last run");
            }
        }
        let mut state = self.membership.state();
        state.joined = true;
        state.fault = None;
        state.nodes.retain(|known| known.node_id != node.node_id);
        state.nodes.push(node);
        state.nodes.sort_by(|a, b| a.node_id.cmp(&b.node_id));
        drop(state);
        self.membership.lease.renew(begun, self.moment());
        self.show_nodes();
        Ok(())
    }

    /// Of two processes with one node id the one that began later goes on: the earlier one was
    /// stopped and replaced, or somebody has copied its folder.
    fn yield_to_successor(&self) -> Result<()> {
        let own = self.membership.started_at;
        let now = self.now();
        let state = self.membership.state();
        let later = state.nodes.iter().find(|node| {
            node.node_id == self.parts.node && node.started_at > own && node.is_alive(now)
        });
        self.membership.superseded.store(later.is_some(), Ordering::SeqCst);
        let Some(later) = later else { return Ok(()) };
        self.membership.lease.give_up();
        let message = format!(
            "another process runs under this node's id {} since {}: give each node its own node.id \
             (or data_dir), and restart this one",
            later.node_id, later.started_at
        );
        Err(Error::new(ErrorKind::Conflict, "engine.node", message))
    }

    /// Gives a sign of life and keeps in mind what came of it.
    pub(crate) async fn try_beat(&self) -> Result<()> {
        let result = self.beat().await;
        if let Err(error) = &result {
            let mut state = self.membership.state();
            let message = if state.joined || error.kind == ErrorKind::Conflict {
                error.to_string()
            } else {
                format!("waiting for the store: {}", error.message)
            };
            let fault = Some((error.kind, message));
            let said_before = state.fault.as_ref().is_some_and(|(kind, _)| *kind == error.kind);
            match (said_before, state.joined) {
                (true, _) => tracing::debug!(%error, "no sign of life could be given"),
                (false, false) => tracing::warn!(%error, "the store is waited for"),
                (false, true) => {
                    tracing::error!(%error, "no sign of life could be given; it is tried again");
                }
            }
            state.fault = fault;
            drop(state);
            self.membership.lease.failed(self.moment());
        }
        self.look_for_heir();
        result
    }

    fn show_nodes(&self) {
        let now = self.now();
        let show = |(node, version): &(NodeId, String), lives: bool| {
            let labels = [("node_id", node.to_string()), ("version", version.clone())];
            metrics::gauge!("outdial_node_info", &labels).set(f64::from(u8::from(lives)));
        };
        let mut state = self.membership.state();
        let lives = |node: &&Node| node.is_alive(now);
        let alive = state.nodes.iter().filter(lives);
        let alive: HashSet<_> =
            alive.map(|node| (node.node_id.clone(), node.version.clone())).collect();
        metrics::gauge!("outdial_nodes_alive")
            .set(f64::from(u32::try_from(alive.len()).unwrap_or(u32::MAX)));
        // Nodes that are gone, or have another version now.
        state.shown.difference(&alive).for_each(|node| show(node, false));
        alive.iter().for_each(|node| show(node, true));
        state.shown = alive;
    }
}

/// Gives signs of life until the very end; the first has been tried just now.
pub(crate) async fn signs_of_life(inner: Arc<Inner>, mut given: bool) {
    let often = inner.parts.policy.lease / 6;
    loop {
        let pause = if given { often } else { often.min(BEAT_AGAIN) };
        tokio::select! {
            () = inner.ended.cancelled() => return,
            () = inner.membership.news.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        given = inner.try_beat().await.is_ok();
    }
}
