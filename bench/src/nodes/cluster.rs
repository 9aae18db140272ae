//! Nodes of outdial on one database, each a process of its own.

use std::net::SocketAddr;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::Database;
use mongodb::bson::{Document, doc};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::mongo::{Mongo, free_address};

/// The command by which this program is a node.
pub(crate) const SERVE: &str = "serve";
const KEYS: &str = "keys";
const READY: Duration = Duration::from_secs(60);
/// Requests at the same time, where speed is not what is measured.
const AT_A_TIME: usize = 16;
/// 32 bytes in base64: every node has to have the same.
const MASTER_KEY: &str = "b3V0ZGlhbC1iZW5jaG1hcmstbWFzdGVyLWtleS0wMDE=";

/// The server's program, when this process was started to be it.
pub(crate) fn serve() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let command = arguments.peek()?;
    (command == SERVE || command == KEYS)
        .then(|| outdial::cli::main_from(std::iter::once("outdial".into()).chain(arguments)))
}

/// Running nodes, with an account, an assistant and a sandbox trunk.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) database: Database,
    pub(crate) key: String,
    http: Client,
    assistant: String,
    trunk: String,
}

/// A node.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl Cluster {
    /// Starts `count` nodes on an empty database of that name, with these settings in the environment.
    pub(crate) async fn start(
        mongo: &Mongo,
        name: &str,
        count: usize,
        settings: &[(&str, String)],
    ) -> Result<Self> {
        let database = mongo.fresh(name).await?;
        let url = mongo.url_of(name)?;
        let key = create_key(&url, settings).await?;
        let http = Client::builder().no_proxy().build()?;
        let mut nodes = Vec::new();
        for number in 1..=count {
            nodes.push(Node::start(&http, &url, number, settings).await?);
        }
        let mut cluster =
            Self { nodes, database, key, http, assistant: String::new(), trunk: String::new() };
        // The sandbox takes 20 s to say this, times the scale: until then nobody says anything.
        let greeting = format!("Say: {}", "We are listening. ".repeat(20));
        let assistant = json!({"assistant_name": "Bench", "assistant_prompt": "You help {{name}}.",
            "assistant_start_instruction": greeting, "recording": false});
        cluster.assistant = cluster.create("/assistants", &assistant, "assistant_id").await?;
        let trunk = json!({"name": "bench", "call_service": "twilio", "sandbox": true});
        cluster.trunk = cluster.create("/trunks", &trunk, "trunk_id").await?;
        Ok(cluster)
    }

    /// The body of `POST /call/outbound`.
    pub(crate) fn order(&self) -> Value {
        json!({
            "assistant_id": self.assistant,
            "trunk_id": self.trunk,
            "to_number": "+15550200000",
            "call_service": "twilio",
            "metadata": {"name": "John Doe", "customer_id": "12345"},
        })
    }

    /// Places one call.
    pub(crate) async fn place_one(&self) -> Result<()> {
        self.post("/call/outbound", &self.order()).await.map(drop)
    }

    /// Places calls on the first node and waits until all are in progress.
    pub(crate) async fn place(&self, calls: usize) -> Result<()> {
        stream::iter(0..calls)
            .map(|_| self.place_one())
            .buffer_unordered(AT_A_TIME)
            .try_collect::<Vec<_>>()
            .await?;
        let begun = Instant::now();
        while self.count(doc! {"status": "in_progress"}).await? < calls as u64 {
            ensure!(begun.elapsed() < READY, "the calls did not come into progress");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// How many calls match.
    pub(crate) async fn count(&self, filter: Document) -> Result<u64> {
        Ok(self.database.collection::<Document>("calls").count_documents(filter).await?)
    }

    async fn create(&self, path: &str, body: &Value, id: &str) -> Result<String> {
        let created = self.post(path, body).await?;
        Ok(created["data"][id].as_str().with_context(|| format!("no {id}: {created}"))?.to_owned())
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let url = format!("http://{}{path}", self.nodes[0].address);
        let answer = self.http.post(url).header("x-api-key", &self.key).json(body).send().await?;
        let (status, body) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "POST {path}: {status}: {body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// Ends the nodes at once and drops the database.
    pub(crate) async fn end(mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.kill().await?;
        }
        Ok(self.database.drop().await?)
    }
}

impl Node {
    async fn start(
        http: &Client,
        url: &str,
        number: usize,
        settings: &[(&str, String)],
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = free_address()?;
        let id = format!("ND_bench{number}");
        let process = program(SERVE, url, settings)
            .env("OUTDIAL_DATA_DIR", folder.path())
            .env("OUTDIAL_SERVER__BIND", address.to_string())
            .env("OUTDIAL_NODE__ID", &id)
            .stdout(Stdio::null())
            .spawn()?;
        let mut node = Self { id, address, process, _folder: folder };
        let (begun, ready) = (Instant::now(), format!("http://{address}/readyz"));
        while !http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) {
            if let Some(status) = node.process.try_wait()? {
                bail!("a node ended at its start: {status}");
            }
            ensure!(begun.elapsed() < READY, "a node did not become ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(node)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// SIGKILL: it has no chance to say anything.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }
}

async fn create_key(url: &str, settings: &[(&str, String)]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let made = program(KEYS, url, settings)
        .args(["create", "--account", "bench"])
        .env("OUTDIAL_DATA_DIR", folder.path())
        .output()
        .await?;
    let complaint = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "no key could be created: {complaint}");
    Ok(String::from_utf8(made.stdout)?.trim().to_owned())
}

/// This program as the server's, with settings of its own.
fn program(command: &str, url: &str, settings: &[(&str, String)]) -> Command {
    let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let mut process = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OUTDIAL_") {
            process.env_remove(name);
        }
    }
    process
        .arg(command)
        .env("OUTDIAL_STORE__URL", url)
        .env("OUTDIAL_SECRETS__MASTER_KEY", MASTER_KEY)
        .env("OUTDIAL_API__REQUESTS_PER_SECOND", "0")
        .env("OUTDIAL_RECORDINGS__URL", "none")
        .env("OUTDIAL_LOG__FILTER", "error")
        .envs(settings.iter().map(|(name, value)| (*name, value)))
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    process
}
