//! The adapter around rsipstack: nothing outside this module knows its types.
//!
//! What the stack does not do by itself, and where it is done here:
//! - it swallows refused connections (a 408 after 32 s): we connect first, [`links`]
//! - it confirms a dialog in another task than the one that delivers requests: own table and a short wait, [`inbound`]
//! - requests have to be handled in order: polled once, then spawned, [`inbound`]
//! - a closed connection ends no call by itself: [`links`], [`drive`]
//! - timeouts and resets look like real 408 and 503: we look at what came over the wire, [`gate`]
//! - errors while it handles an INVITE end without an event: [`drive`]
//! - it hides the destination of CANCEL over UDP: [`locate`]

mod call;
mod drive;
mod gate;
mod inbound;
mod invite;
mod links;
mod listen;
mod locate;
mod message;
mod orphan;
mod peers;
mod queue;
mod reply;
mod requests;
mod tls;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use rsipstack::EndpointBuilder;
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::sip::Method;
use rsipstack::transaction::endpoint::{EndpointInnerRef, EndpointOption};
use rsipstack::transport::TransportLayer;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use call::Call;
pub(crate) use queue::EventReceiver;
pub(crate) use reply::Reply;

use crate::{
    Credentials, Dialog, DialogSnapshot, Events, Invite, InviteError, OrphanError, Settings,
    StartError, Stats, Transport,
};
use links::Links;
use listen::Inbound;
use locate::Pins;
use peers::Peers;

/// The methods we take within a call.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE";
/// How often idle connections and ended calls are looked for.
const JANITOR: Duration = Duration::from_secs(5);

/// A poisoned lock guards plain data here: what is in it stays usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all parts of a user agent share.
struct Shared {
    settings: Settings,
    endpoint: OnceLock<EndpointInnerRef>,
    layer: OnceLock<DialogLayer>,
    listeners: HashMap<Transport, Listener>,
    calls: Mutex<HashMap<String, Arc<Call>>>,
    peers: Mutex<Peers>,
    pins: Arc<Pins>,
    links: Links,
    inbound: Inbound,
    handling: Arc<Semaphore>,
    dropped_source: AtomicU64,
    dropped_size: AtomicU64,
    dropped_flood: AtomicU64,
    tls: Arc<rustls::ClientConfig>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
struct Listener {
    /// Where it listens.
    local: SocketAddr,
    /// What Via and Contact say.
    public: SocketAddr,
}

pub(crate) struct Agent {
    shared: Arc<Shared>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Agent {
    pub(crate) async fn start(settings: Settings) -> Result<Arc<Self>, StartError> {
        let stop = CancellationToken::new();
        let sockets = listen::bind(&settings).await?;
        let mut listeners = HashMap::new();
        for (transport, local) in sockets.addresses() {
            let public = SocketAddr::new(settings.public_ip, local.port());
            listeners.insert(transport, Listener { local, public });
        }
        let shared = Arc::new(Shared {
            endpoint: OnceLock::new(),
            layer: OnceLock::new(),
            calls: Mutex::default(),
            peers: Mutex::default(),
            pins: Arc::default(),
            links: Links::default(),
            inbound: Inbound::new(settings.limits.inbound_connections),
            handling: Arc::new(Semaphore::new(settings.limits.inbound)),
            dropped_source: AtomicU64::new(0),
            dropped_size: AtomicU64::new(0),
            dropped_flood: AtomicU64::new(0),
            tls: tls::client(&settings)?,
            tasks: TaskTracker::new(),
            stop: stop.clone(),
            listeners,
            settings,
        });
        shared.serve(sockets).await?;
        Ok(Arc::new(Self { shared }))
    }

    pub(crate) async fn invite(&self, invite: Invite) -> Result<(Dialog, Events), InviteError> {
        invite::place(&self.shared, invite).await
    }

    pub(crate) async fn bye_orphan(
        &self,
        snapshot: &DialogSnapshot,
        credentials: Option<&Credentials>,
    ) -> Result<(), OrphanError> {
        orphan::end(&self.shared, snapshot, credentials).await
    }

    pub(crate) fn local_address(&self, transport: Transport) -> Option<SocketAddr> {
        self.shared.listeners.get(&transport).map(|listener| listener.local)
    }

    pub(crate) fn stats(&self) -> Stats {
        let shared = &self.shared;
        Stats {
            calls: shared.live_calls().len(),
            connections: shared.links.len(),
            inbound_connections: shared.inbound.len(),
            dropped_source: shared.dropped_source.load(Ordering::Relaxed),
            dropped_size: shared.dropped_size.load(Ordering::Relaxed),
            dropped_flood: shared.dropped_flood.load(Ordering::Relaxed),
            transactions: shared.transactions(),
        }
    }

    pub(crate) async fn shutdown(&self) {
        let calls = self.shared.live_calls();
        let ends = calls.iter().map(|call| call.hang_up());
        let bound = self.shared.settings.timers.bye + Duration::from_secs(1);
        if tokio::time::timeout(bound, futures_util::future::join_all(ends)).await.is_err() {
            tracing::warn!("calls did not end in time; the SIP user agent stops without them");
        }
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Shared {
    /// Builds the endpoint and starts its tasks.
    async fn serve(self: &Arc<Self>, sockets: listen::Sockets) -> Result<(), StartError> {
        let stack = |error: rsipstack::Error| StartError::Stack(error.to_string());
        let layer = TransportLayer::new_with_domain_resolver(
            self.stop.clone(),
            Box::new(locate::SystemResolver { limit: self.settings.timers.connect }),
        );
        // The default closes quiet connections under live calls.
        layer.set_stream_idle_timeout(Duration::ZERO);
        layer.set_whitelist(gate::Door(Arc::downgrade(self)));
        // UDP is the first listener: the stack takes the Via of UDP requests from the first one.
        let sockets = sockets.add_udp(self, &layer).await.map_err(stack)?;
        let endpoint = EndpointBuilder::new()
            .with_user_agent(&self.settings.user_agent)
            .with_cancel_token(self.stop.clone())
            .with_transport_layer(layer)
            .with_allows(vec![Method::Invite, Method::Ack, Method::Cancel, Method::Bye])
            .with_option(EndpointOption {
                t1x64: self.settings.timers.transaction,
                // The stack's own is deaf after a 100, and sends no CANCEL. Ours is `setup`.
                timerc: Duration::from_secs(24 * 3600),
                ..EndpointOption::default()
            })
            .with_transport_inspector(Box::new(gate::Gate(Arc::downgrade(self))))
            .with_target_locator(Box::new(locate::Locator(self.pins.clone())))
            .build();
        let incoming = endpoint.incoming_transactions().map_err(stack)?;
        let inner = endpoint.inner.clone();
        let mut serving = Box::pin(async move { endpoint.serve().await });
        // Its first turn starts the listeners it knows. Ours for TCP and TLS come after it: the stack needs to know their addresses but must not bind them again.
        let ended =
            std::future::poll_fn(|cx| Poll::Ready(serving.as_mut().poll(cx).is_ready())).await;
        if ended {
            return Err(StartError::Stack("it ended at once".to_owned()));
        }
        sockets.accept(self, &inner.transport_layer).await.map_err(stack)?;
        let _ = self.layer.set(DialogLayer::new(inner.clone()));
        let _ = self.endpoint.set(inner);
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            serving.await;
            if !stop.is_cancelled() {
                tracing::error!("the SIP stack ended by itself; no call can be placed any more");
                stop.cancel();
            }
        });
        self.tasks.spawn(inbound::receive(self.clone(), incoming));
        self.tasks.spawn(self.clone().janitor());
        Ok(())
    }

    async fn janitor(self: Arc<Self>) {
        let mut tick = tokio::time::interval(JANITOR);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                _ = tick.tick() => {}
            }
            self.links.close_idle(self.settings.timers.fresh);
            self.inbound.sweep();
            let keep = self.settings.timers.transaction;
            lock(&self.calls)
                .retain(|_, call| call.over_since().is_none_or(|since| since.elapsed() < keep));
        }
        self.links.close_all();
    }

    fn live_calls(&self) -> Vec<Arc<Call>> {
        lock(&self.calls).values().filter(|call| !call.is_over()).cloned().collect()
    }

    fn call(&self, call_id: &str) -> Option<Arc<Call>> {
        lock(&self.calls).get(call_id).cloned()
    }

    /// Transactions the stack keeps, with those that answer repeated messages.
    fn transactions(&self) -> usize {
        self.endpoint.get().map_or(0, |endpoint| {
            endpoint.transactions.len() + endpoint.finished_transactions.len()
        })
    }
}

impl Shared {
    /// Spawns work that ends with the user agent.
    fn spawn(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        })
    }

    /// The call does not count any more. Its entry stays a while for late messages.
    fn release(&self, call: &Call) {
        if !call.set_over() {
            return;
        }
        lock(&self.peers).remove(&call.sources, &call.allowed);
        if let Some(link) = &call.link {
            link.release();
        }
        let pins = self.pins.clone();
        let (pin, keep) = (call.pin.clone(), self.settings.timers.transaction);
        // A CANCEL may still be repeated.
        self.spawn(async move {
            tokio::time::sleep(keep).await;
            pins.remove(&pin);
        });
    }
}
