#![doc = include_str!("../README.md")]

mod astray;
mod calls;
mod directory;
mod duty;
mod error;
mod handover;
mod lease;
mod live;
mod membership;
mod place;
mod policy;
mod reconcile;
mod recording;
mod scheduler;
mod steps;
mod vault;
mod watch;
mod webhook;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use outdial_domain::ports::{
    Clock, Observer, Provider, Recordings, Rooms, Store, SystemClock, WebhookSender,
};
use outdial_domain::{Error, ErrorKind, Node, NodeId, Result as StoreResult, Route};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::directory::{
    AssistantChange, Caller, DEFAULT_AGENT_NAME, NewAssistant, NewKey, NewTrunk, SecretRotation,
    TrunkChange,
};
pub use self::error::{EngineError, Result};
pub use self::place::CallRequest;
pub use self::policy::Policy;
pub use self::vault::{Vault, VaultError};
pub use self::watch::{CallWatch, Passing, WatchEvent, WatchPosition, WatchPositionError};

/// What carries the calls of a [`Route`]: rooms, and a provider that dials into them.
#[derive(Clone)]
pub struct Backend {
    /// The rooms.
    pub rooms: Arc<dyn Rooms>,
    /// The telephony service.
    pub provider: Arc<dyn Provider>,
    /// Watches and hears calls from inside their rooms. Without it transcripts hold only what the
    /// provider tells, and nothing is recorded.
    pub observer: Option<Arc<dyn Observer>>,
}

/// The parts an engine is made of.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What carries calls; for a route that cannot be used, what is missing: a sentence that names
    /// the setting. A route that is not listed cannot be used either.
    pub backends: HashMap<Route, std::result::Result<Backend, String>>,
    /// What makes recordings; `None`: calls are not recorded.
    pub recordings: Option<Arc<dyn Recordings>>,
    /// How webhooks leave.
    pub webhooks: Arc<dyn WebhookSender>,
    /// Seals secrets at rest.
    pub vault: Vault,
    /// Who this node is; kept over restarts, and no other node's.
    pub node: NodeId,
    /// The version of the program, for those who look at the nodes.
    pub version: String,
    /// Timeouts and limits.
    pub policy: Policy,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

impl Parts {
    /// Parts with the machine's clock, default policy, a new node id, and no backend.
    pub fn new(store: Arc<dyn Store>, webhooks: Arc<dyn WebhookSender>, vault: Vault) -> Self {
        Self {
            store,
            backends: HashMap::new(),
            recordings: None,
            webhooks,
            vault,
            node: NodeId::random(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            policy: Policy::default(),
            clock: Arc::new(SystemClock),
        }
    }

    /// Sets what carries the calls of `route`.
    #[must_use]
    pub fn backend(
        mut self,
        route: Route,
        rooms: Arc<dyn Rooms>,
        provider: Arc<dyn Provider>,
    ) -> Self {
        self.backends.insert(route, Ok(Backend { rooms, provider, observer: None }));
        self
    }

    /// Sets what observes the calls of `route`, which has a backend.
    #[must_use]
    pub fn observed(mut self, route: Route, observer: Arc<dyn Observer>) -> Self {
        if let Some(Ok(backend)) = self.backends.get_mut(&route) {
            backend.observer = Some(observer);
        }
        self
    }

    /// Sets what makes recordings of observed calls.
    #[must_use]
    pub fn recordings(mut self, recordings: Arc<dyn Recordings>) -> Self {
        self.recordings = Some(recordings);
        self
    }
}

/// The engine: cheap to clone, every clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    live: live::Live,
    keys: directory::KeyCache,
    sends: webhook::Lanes,
    /// Cancelled when no new calls are taken.
    draining: CancellationToken,
    /// Cancelled when another node lives that calls can be handed over to.
    handing_over: CancellationToken,
    /// Calls are to be handed over as soon as there is such a node.
    seeks_heir: AtomicBool,
    /// Cancelled when running calls are let go of.
    stopping: CancellationToken,
    /// Cancelled when no sign of life is needed any more.
    ended: CancellationToken,
    membership: membership::Membership,
    /// The task that gives signs of life.
    beats: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
    doubts: astray::Doubts,
    tasks: TaskTracker,
    /// Where all tasks run: that of the start, which outlives any web server's threads.
    runtime: tokio::runtime::Handle,
    /// Rings when a call became due that nobody works on.
    due: tokio::sync::Notify,
    /// Rings when a call of this node was changed that nobody works on.
    attend: tokio::sync::Notify,
}

impl Engine {
    /// Starts an engine on the current tokio runtime: takes back the calls that this node worked on
    /// before, then claims whatever is or becomes due. While the store cannot be reached it waits for
    /// it, and says so when it is asked whether it is [ready](Self::ready).
    ///
    /// # Errors
    /// When the store cannot be used and time will not mend it (`Refused`, `Corrupt`).
    pub async fn start(parts: Parts) -> StoreResult<Self> {
        let inner = Arc::new(Inner {
            membership: membership::Membership::new(parts.policy.lease, parts.clock.now()),
            parts,
            live: live::Live::default(),
            keys: directory::KeyCache::default(),
            sends: webhook::Lanes::default(),
            draining: CancellationToken::new(),
            handing_over: CancellationToken::new(),
            seeks_heir: AtomicBool::new(false),
            stopping: CancellationToken::new(),
            ended: CancellationToken::new(),
            beats: tokio::sync::Mutex::default(),
            doubts: astray::Doubts::default(),
            tasks: TaskTracker::new(),
            runtime: tokio::runtime::Handle::current(),
            due: tokio::sync::Notify::new(),
            attend: tokio::sync::Notify::new(),
        });
        scheduler::start(&inner).await?;
        Ok(Self { inner })
    }

    /// Takes no new calls from now on.
    pub fn drain(&self) {
        if !self.inner.draining.is_cancelled() {
            self.inner.draining.cancel();
            self.inner.membership.news.notify_one();
        }
    }

    /// Resolves when no call is being worked on here. Queued and finished work that is due later
    /// does not count.
    pub async fn idle(&self) {
        self.inner.live.idle().await;
    }

    /// Stops: takes no new calls, lets go of running ones (they are taken up again by the next start
    /// of this node, or by another) and waits until all tasks have ended.
    ///
    /// # Errors
    /// When the calls could not be given up in the store; they are then claimed when this node's
    /// heartbeat has run out.
    pub async fn stop(&self) -> StoreResult<()> {
        let inner = &self.inner;
        self.drain();
        inner.stopping.cancel();
        inner.tasks.close();
        inner.tasks.wait().await;
        // Up to here others must not take what was still being finished.
        inner.ended.cancel();
        if let Some(beats) = inner.beats.lock().await.take() {
            // It ends only by what was just cancelled.
            let _ = beats.await;
        }
        if inner.membership.is_superseded() {
            // What the store has under this id is another process's.
            return Ok(());
        }
        let (store, node) = (&inner.parts.store, &inner.parts.node);
        let released = store.release(node, inner.now()).await.map(|_| ());
        released.and(store.retire(node).await)
    }

    /// Who this node is.
    pub fn node(&self) -> &NodeId {
        &self.inner.parts.node
    }

    /// The nodes that share the store, by id, as this one last saw them. Those that are dead stay
    /// for a while.
    pub fn nodes(&self) -> Vec<Node> {
        self.inner.nodes()
    }

    /// What time it is, by this node's clock.
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.inner.now()
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.inner.parts.policy
    }

    /// Which parts are ready: a name and, if it is not, why. The store comes first.
    pub async fn ready(&self) -> Vec<(&'static str, StoreResult<()>)> {
        let parts = &self.inner.parts;
        let mut ready = vec![("store", parts.store.check().await)];
        if self.inner.draining.is_cancelled() {
            let stopping = Error::new(ErrorKind::Unavailable, "ready", "the server is stopping");
            ready.push(("engine", Err(stopping)));
        } else if let Err(error) = self.inner.term() {
            ready.push(("engine", Err(error)));
        }
        // The routes of real phones share their rooms: one check for whichever is set up.
        const CHECKS: [(&str, &[Route]); 2] = [
            ("sandbox", &[Route::Sandbox]),
            ("livekit", &[Route::Twilio, Route::Direct, Route::Exotel]),
        ];
        for (name, routes) in CHECKS {
            let backend = routes.iter().find_map(|route| parts.backends.get(route)?.as_ref().ok());
            if let Some(backend) = backend {
                ready.push((name, backend.rooms.check().await));
            }
        }
        ready
    }
}

impl Inner {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.parts.clock.now()
    }

    /// Starts a task that [`Engine::stop`] waits for.
    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.tasks.spawn_on(work, &self.runtime)
    }

    fn backend(&self, route: Route) -> Result<&Backend> {
        match self.parts.backends.get(&route) {
            Some(Ok(backend)) => Ok(backend),
            Some(Err(missing)) => Err(EngineError::Unconfigured(missing.clone())),
            None => Err(EngineError::Unconfigured(format!("no backend is set up for {route:?}"))),
        }
    }
}
