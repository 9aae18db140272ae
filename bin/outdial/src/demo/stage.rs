//! What the demo needs around it: a server in a folder of its own, an endpoint for its webhooks, an
//! account.

use std::future::Future;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use outdial_engine::NewKey;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::Client;
use super::receiver::Receiver;
use crate::server::Server;
use crate::settings::Settings;
use crate::telemetry;

/// The longest pause in a simulated call in real time, and some patience.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);

/// The scenery.
pub(super) struct Stage {
    pub(super) client: Client,
    pub(super) receiver: Receiver,
    server: Server,
    folder: TempDir,
    time_scale: f64,
}

/// A call to place.
pub(super) struct Request {
    /// The body of `POST /call/outbound`.
    pub(super) body: Value,
    /// What will sign the webhook.
    pub(super) webhook_secret: String,
}

impl Stage {
    /// Starts server and receiver on free ports of 127.0.0.1.
    pub(super) async fn set(time_scale: f64) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("outdial-demo-").tempdir()?;
        let mut settings = Settings::defaults()?;
        settings.data_dir = folder.path().join("data");
        settings.sandbox.time_scale = time_scale;
        settings.webhooks.dangerous_allow_private = true;
        settings.server.drain_timeout = Duration::ZERO;
        settings.log.filter = "error".to_owned();
        telemetry::log(&settings.log);
        let listener = TcpListener::bind("127.0.0.1:0").context("no port is free on 127.0.0.1")?;
        let server = Server::start(settings, listener).await?;
        let client = admin(&server).await?;
        Ok(Self { client, receiver: Receiver::start()?, server, folder, time_scale })
    }

    pub(super) fn url(&self) -> String {
        self.server.url()
    }

    pub(super) fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// How long nothing may happen in a call.
    pub(super) fn longest_silence(&self) -> Duration {
        LONGEST_SILENCE.mul_f64(self.time_scale.max(1.0))
    }

    /// Sets up account, assistant and trunk through the API, and says what to call.
    pub(super) async fn prepare(&mut self) -> anyhow::Result<Request> {
        let key = json!({"account": "demo", "name": "demo"});
        let key = self.client.post("/keys", &key).await?;
        let key = key["api_key"].as_str().context("POST /keys gave no api_key")?;
        self.client = self.client.with_key(key);
        let assistant = json!({
            "assistant_name": "Order desk",
            "assistant_prompt": "You answer questions of {{name}} about orders at {{company}}.",
            "assistant_start_instruction":
                "Say: Hello {{name}}, this is {{agent_name | Sam}} from {{company}}.",
            "assistant_end_call_url": self.receiver.url(),
        });
        let assistant = self.client.post("/assistants", &assistant).await?;
        let trunk = json!({"call_service": "twilio", "name": "Sandbox", "sandbox": true});
        let trunk = self.client.post("/trunks", &trunk).await?;
        let secret = assistant["webhook_secret"].as_str();
        let secret = secret.context("POST /assistants gave no webhook_secret")?;
        Ok(Request {
            body: json!({
                "assistant_id": assistant["assistant_id"],
                "trunk_id": trunk["trunk_id"],
                "to_number": "+15550100000",
                "call_service": "twilio",
                "metadata": {"name": "Ada", "company": "Acme", "order": 1815},
            }),
            webhook_secret: secret.to_owned(),
        })
    }

    /// Stops everything and deletes its files.
    pub(super) async fn strike(self, force: impl Future<Output = ()>) -> anyhow::Result<()> {
        self.receiver.stop().await;
        let stopped = self.server.stop(force).await;
        let deleted = self.folder.close().context("the demo's folder could not be deleted");
        stopped.and(deleted)
    }
}

/// A client that may create keys: what `outdial keys create --admin` makes on a stopped server.
async fn admin(server: &Server) -> anyhow::Result<Client> {
    let key = NewKey { account: "operator".into(), name: "demo".into(), admin: true };
    let (_, _, token) = server.engine().create_key(key).await?;
    Client::new(server.url(), token.expose())
}
