//! The HTTP server around the API.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use outdial_api::{ApiOptions, ApiState, RateLimit, configure};
use outdial_engine::Engine;
use tokio_util::task::AbortOnDropHandle;

use super::parts::Carriers;
use crate::settings::Settings;

/// How long answers that have begun may take to their end when the server stops.
const FINISH_SECS: u64 = 3;
/// How long a client may take to close its side.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A running HTTP server.
pub(super) struct Http {
    handle: ServerHandle,
    task: AbortOnDropHandle<std::io::Result<()>>,
}

impl Http {
    /// Starts it: one worker thread per core.
    pub(super) fn start(
        settings: &Settings,
        listener: TcpListener,
        engine: &Engine,
        carriers: &Carriers,
        metrics: Option<&'static PrometheusHandle>,
    ) -> anyhow::Result<Self> {
        let api = configure(ApiState::new(engine.clone(), options(settings, carriers, metrics)));
        let workers = available_parallelism().map_or(1, usize::from);
        let limits = &settings.server;
        let connections = usize::try_from(limits.max_connections).unwrap_or(usize::MAX);
        let server = HttpServer::new(move || App::new().configure(api.clone()))
            .workers(workers)
            .max_connections(connections.div_ceil(workers))
            .client_request_timeout(limits.header_timeout)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .keep_alive(limits.idle_timeout)
            .shutdown_timeout(FINISH_SECS)
            // Signals are the program's business, and not those of a server in someone's test.
            .disable_signals()
            .listen(listener)
            .context("the listener cannot be used")?
            .run();
        let handle = server.handle();
        Ok(Self { handle, task: AbortOnDropHandle::new(tokio::spawn(server)) })
    }

    /// Resolves when it has ended by itself.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        match (&mut self.task).await {
            Ok(Ok(())) => anyhow::anyhow!("the HTTP server ended by itself"),
            Ok(Err(error)) => anyhow::Error::new(error).context("the HTTP server failed"),
            Err(error) => anyhow::Error::new(error).context("the HTTP server broke"),
        }
    }

    /// Accepts no more connections; `graceful`: answers that have begun may finish.
    pub(super) async fn stop(self, graceful: bool) -> anyhow::Result<()> {
        if self.task.is_finished() {
            return Ok(());
        }
        self.handle.stop(graceful).await;
        self.task.await.context("the HTTP server broke")?.context("the HTTP server failed")
    }
}

fn options(
    settings: &Settings,
    carriers: &Carriers,
    metrics: Option<&'static PrometheusHandle>,
) -> ApiOptions {
    let render = metrics.map(|metrics| -> Arc<dyn Fn() -> String + Send + Sync> {
        Arc::new(move || metrics.render())
    });
    ApiOptions {
        room_hints: carriers.room_hints.clone(),
        metrics_text: render,
        rate_limit: settings
            .api
            .requests_per_second
            .map(|per_second| RateLimit { per_second, burst: settings.api.burst }),
        ..ApiOptions::default()
    }
}
