//! A running server.

mod gate;
mod http;
mod opening;
pub(crate) mod parts;
mod shutdown;
pub(crate) mod store;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use outdial_domain::ports::{Recordings, SystemClock};
use outdial_engine::{Engine, Parts, Policy, Vault};
use outdial_recordings::Recorder;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

pub use self::shutdown::Shutdown;

use self::opening::Opening;
use self::parts::Carriers;
use crate::data_dir::{self, DataDir};
use crate::settings::{self, Keeper, Settings};
use crate::telemetry;

/// How often metrics are compacted when nobody reads them.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// How often leftovers of recordings are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// How long after the start for the first time.
const FIRST_SWEEP: Duration = Duration::from_secs(60);
/// A database elsewhere that takes longer is waited for while HTTP is answered already.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How long letting go of calls, and then closing connections, may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running server, to be ended with [`stop`](Self::stop): its tasks outlive a value that is merely
/// dropped, until their runtime ends. Whatever way it ends, the next start on the same `data_dir`
/// recovers.
pub struct Server {
    address: SocketAddr,
    engine: Engine,
    opening: Opening,
    carriers: Carriers,
    http: http::Http,
    drain_timeout: Duration,
    _sweeps: Option<AbortOnDropHandle<()>>,
    _metrics: Option<AbortOnDropHandle<()>>,
    /// The last to be let go of.
    _lock: data_dir::Lock,
}

impl Server {
    /// Starts a server on the current tokio runtime, which must be a multi-threaded one. It listens
    /// on `listener`; the setting `server.bind` is for whoever makes that.
    ///
    /// A database on another machine may be down: then the server starts, answers `/readyz` with 503,
    /// and works as soon as the database does.
    ///
    /// # Errors
    /// When a part cannot be set up; the text says what to do.
    pub async fn start(settings: Settings, listener: TcpListener) -> anyhow::Result<Self> {
        let address = listener.local_addr().context("the listener has no address")?;
        let data = DataDir::open(&settings)?;
        let lock = data_dir::lock(&settings.data_dir)?;
        let patience = match settings.store {
            settings::Store::Sqlite(_) => Duration::MAX,
            settings::Store::MongoDb(_) => ANSWER_WITHIN,
        };
        let store = store::open(&settings).await?;
        let opening = Opening::begin(store, data.master_key, patience).await?;
        let carriers = Carriers::new(&settings).await?;
        let recorder = parts::recorder(&settings).await?;
        let parts = Parts {
            store: opening.store.clone(),
            backends: carriers.backends.clone(),
            recordings: recorder.clone().map(|recorder| recorder as Arc<dyn Recordings>),
            webhooks: Arc::new(parts::webhooks(&settings)?),
            vault: Vault::new(data.master_key),
            node: data.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            policy: Policy { public_url: settings.public_url(address), ..settings.policy() },
            clock: Arc::new(SystemClock),
        };
        let engine = Engine::start(parts).await.context("the store cannot be read")?;
        let metrics = telemetry::metrics();
        let http = http::Http::start(&settings, listener, &engine, &carriers, metrics)?;
        tracing::info!(
            %address,
            data_dir = %settings.data_dir.display(),
            node = %data.node,
            livekit = settings.livekit.is_some(),
            version = env!("CARGO_PKG_VERSION"),
            "listening",
        );
        let serves_files = matches!(settings.recordings.keeper, Some(Keeper::Folder(_)));
        if serves_files && settings.server.public_url.is_none() && address.ip().is_unspecified() {
            tracing::warn!(
                "server.public_url is not set: the URLs of recordings say http://{address}"
            );
        }
        if let Some(doubt) = store::recordings_are_apart(&settings) {
            tracing::warn!("{doubt}");
        }
        if settings.webhooks.dangerous_allow_private {
            tracing::warn!(
                "webhooks.dangerous_allow_private is on: webhooks may reach private addresses"
            );
        }
        Ok(Self {
            address,
            engine,
            opening,
            carriers,
            http,
            drain_timeout: settings.server.drain_timeout,
            _sweeps: recorder.map(|recorder| AbortOnDropHandle::new(tokio::spawn(sweep(recorder)))),
            _metrics: metrics.map(|metrics| {
                AbortOnDropHandle::new(tokio::spawn(async move {
                    loop {
                        tokio::time::sleep(METRICS_UPKEEP).await;
                        metrics.run_upkeep();
                    }
                }))
            }),
            _lock: lock,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its engine: places calls and creates keys without HTTP.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Resolves when the server cannot go on: its HTTP server has failed, or the database that was
    /// waited for cannot be used.
    pub async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            error = self.http.ended() => error,
            error = self.opening.failed() => error,
        }
    }

    /// Stops: takes no new calls; hands over to other nodes what these can carry on; lets the others
    /// finish for `server.drain_timeout`, or until `force` resolves; hangs up those through the SIP
    /// bridge; lets go of the rest, which another node or the next start takes up again; then answers
    /// no more requests and closes the store.
    ///
    /// # Errors
    /// When something could not be closed in an orderly way. Nothing is lost by that.
    pub async fn stop(self, force: impl Future<Output = ()>) -> anyhow::Result<()> {
        self.engine.drain();
        let forced = tokio::select! {
            drained = timeout(self.drain_timeout, hand_over_and_finish(&self.engine)) => {
                if drained.is_err() {
                    let waited = humantime::format_duration(self.drain_timeout);
                    tracing::warn!(
                        %waited,
                        "calls still run: another node or the next start takes them up"
                    );
                }
                false
            }
            () = force => true,
        };
        // Legs of our own end with us: their ends are told while the engine still listens.
        let hung_up = timeout(STOP_TIMEOUT, self.carriers.hang_up()).await;
        // The order matters: tasks of the engine may run on the HTTP server's threads.
        let released = match timeout(STOP_TIMEOUT, self.engine.stop()).await {
            // A node that never got to the store has no calls.
            Ok(_) if self.opening.is_shut() => Ok(()),
            Ok(released) => released.context("calls could not be released"),
            Err(_) => Err(anyhow::anyhow!("the engine did not stop within {STOP_TIMEOUT:?}")),
        };
        let closed = self.http.stop(!forced).await;
        let carriers = timeout(STOP_TIMEOUT, self.carriers.shutdown()).await;
        drop(self.engine);
        let stored = self.opening.store.close().await.context("the store could not be closed");
        tracing::info!("stopped");
        let carriers = hung_up.and(carriers).context("dials did not end");
        released.and(closed).and(carriers).and(stored)
    }
}

/// Resolves when no call is being worked on here.
async fn hand_over_and_finish(engine: &Engine) {
    engine.hand_over().await;
    engine.idle().await;
}

/// Removes now and then what interrupted recordings have left behind.
async fn sweep(recorder: Arc<Recorder>) {
    // By then calls have asked for what they left unfinished before a restart.
    let mut ticks = tokio::time::interval_at(Instant::now() + FIRST_SWEEP, SWEEP_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = recorder.sweep().await {
            tracing::warn!(%error, "leftovers of recordings could not be removed");
        }
    }
}

/// Runs a server until `shutdown`, then stops it in the way that asks for.
///
/// # Errors
/// When it cannot start, cannot go on (see [`Server::failed`]), or cannot stop in an orderly way.
pub async fn run(
    settings: Settings,
    listener: TcpListener,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut server = Server::start(settings, listener).await?;
    tokio::select! {
        () = shutdown.begun() => server.stop(shutdown.forced()).await,
        error = server.failed() => {
            if let Err(error) = server.stop(std::future::ready(())).await {
                tracing::warn!(%error, "the server did not stop in an orderly way");
            }
            Err(error)
        }
    }
}
