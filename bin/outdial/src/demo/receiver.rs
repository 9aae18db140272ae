//! An endpoint for webhooks on this machine.

use std::net::{SocketAddr, TcpListener};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// A webhook as it arrived.
#[derive(Debug, Clone, Default)]
pub(super) struct Received {
    pub(super) id: String,
    pub(super) timestamp: String,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
}

/// An HTTP server that takes every `POST /webhook` and answers as the contract shows.
pub(super) struct Receiver {
    address: SocketAddr,
    arrived: mpsc::Receiver<Received>,
    handle: ServerHandle,
    task: AbortOnDropHandle<std::io::Result<()>>,
}

impl Receiver {
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port is free on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let (arrivals, arrived) = mpsc::channel(16);
        let server = HttpServer::new(move || {
            let arrivals = web::Data::new(arrivals.clone());
            App::new().app_data(arrivals).route("/webhook", web::post().to(take))
        });
        let server =
            server.workers(1).disable_signals().shutdown_timeout(1).listen(listener)?.run();
        let handle = server.handle();
        let task = AbortOnDropHandle::new(tokio::spawn(server));
        Ok(Self { address, arrived, handle, task })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/webhook", self.address)
    }

    /// The next webhook to arrive.
    pub(super) async fn next(&mut self) -> anyhow::Result<Received> {
        self.arrived.recv().await.context("the webhook receiver has ended")
    }

    /// Another webhook that has arrived already.
    pub(super) fn more(&mut self) -> Option<Received> {
        self.arrived.try_recv().ok()
    }

    pub(super) async fn stop(self) {
        self.handle.stop(true).await;
        // It has been told to end; how it ends no longer matters.
        let _ = self.task.await;
    }
}

async fn take(
    request: HttpRequest,
    body: web::Bytes,
    arrivals: web::Data<mpsc::Sender<Received>>,
) -> HttpResponse {
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let received = Received {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        body: body.to_vec(),
    };
    match arrivals.send(received).await {
        Ok(()) => HttpResponse::Ok().json(serde_json::json!({"received": true})),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}
