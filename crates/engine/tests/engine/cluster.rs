//! Several nodes on one store, each with a connection of its own that can be cut.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outdial_domain::ports::{Clock, LegLook};
use outdial_domain::{Call, ErrorKind, Hint, NodeId, Route, Status};
use outdial_engine::Policy;
use outdial_testkit::memory::{Failure, MemoryStore};

use crate::rig::{Rig, World};

pub(crate) const BEATS: [&str; 2] = ["memory.nodes", "memory.heartbeat"];

#[derive(Default)]
pub(crate) struct Cluster {
    pub(crate) world: World,
    pub(crate) memory: MemoryStore,
}

pub(crate) struct Member {
    pub(crate) rig: Rig,
    pub(crate) view: Arc<MemoryStore>,
}

impl Deref for Member {
    type Target = Rig;
    fn deref(&self) -> &Rig {
        &self.rig
    }
}

impl Cluster {
    /// Two nodes that know of each other, and agents that come.
    pub(crate) async fn of_two() -> (Self, Member, Member) {
        let cluster = Self::default();
        cluster.world.script.agent.store(true, Ordering::SeqCst);
        let (a, b) = (cluster.node().await, cluster.node().await);
        sleep(10).await;
        (cluster, a, b)
    }

    pub(crate) async fn node(&self) -> Member {
        self.node_with(NodeId::random(), Policy::default()).await
    }

    pub(crate) async fn node_with(&self, node: NodeId, policy: Policy) -> Member {
        let view = Arc::new(self.memory.view());
        let rig = Rig::of(&self.world, view.clone(), node, policy).await;
        Member { rig, view }
    }
}

impl Member {
    /// From now on the store cannot be reached from here.
    pub(crate) fn cut_off(&self) {
        self.view.fail_with(Some(ErrorKind::Unavailable));
    }

    /// From now on no sign of life gets through; all else does.
    pub(crate) fn lose_signs_of_life(&self) {
        let lost = |operation| BEATS.contains(&operation);
        self.view
            .fail_where(move |name| lost(name).then_some(Failure::Error(ErrorKind::Unavailable)));
    }

    /// A call that was answered, with an agent in the room.
    pub(crate) async fn answered(&self, route: Route) -> Call {
        let call = self.place(route, "0000").await;
        let at = self.clock.now();
        self.script.sink().send(Hint::AgentJoined { at }).await;
        self.script.sink().send(Hint::Answered { at }).await;
        self.status(call.room_name(), Status::InProgress).await
    }

    /// The same, recorded.
    pub(crate) async fn recorded(&self) -> Call {
        let assistant = self.assistant_with(|new| new.recording = true).await;
        let trunk = self.trunk(Route::Twilio).await;
        let request = self.request(&assistant, &trunk, "0000");
        let call = self.engine.place(&self.account, request).await.unwrap();
        let at = self.clock.now();
        self.watcher.sink().send(Hint::AgentJoined { at }).await;
        self.watcher.sink().send(Hint::Answered { at }).await;
        self.status(call.room_name(), Status::InProgress).await
    }

    pub(crate) fn legs(&self, look: LegLook) {
        *self.script.leg.lock().unwrap() = Some(look);
    }

    pub(crate) fn dials(&self) -> usize {
        self.script.count("dial")
    }

    pub(crate) fn sent(&self) -> usize {
        self.sender.bodies().len()
    }

    pub(crate) fn owns(&self, call: &Call) -> bool {
        call.owner.as_ref() == Some(self.engine.node())
    }
}

pub(crate) async fn sleep(secs: u64) {
    tokio::time::sleep(Duration::from_secs(secs)).await;
}
