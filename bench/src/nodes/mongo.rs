//! The MongoDB under test.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A replica set that runs.
const URL: &str = "STACK_MONGODB_URL";
/// A mongod to start one with.
const PROGRAM: &str = "STACK_MONGOD";
const START: Duration = Duration::from_secs(60);
/// Commands of clients that touch documents. What drivers say to stay in touch is none.
const OPERATIONS: [&str; 10] = [
    "abortTransaction",
    "aggregate",
    "commitTransaction",
    "count",
    "delete",
    "distinct",
    "find",
    "findAndModify",
    "insert",
    "update",
];

/// A replica set. What is started here ends with it.
pub(crate) struct Mongo {
    pub(crate) client: Client,
    url: String,
    _process: Option<(Child, TempDir)>,
}

impl Mongo {
    pub(crate) async fn of_environment() -> Result<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (variable(URL), variable(PROGRAM)) {
            (Some(url), _) => {
                Ok(Self { client: Client::with_uri_str(&url).await?, url, _process: None })
            }
            (None, Some(program)) => Self::start(&program).await,
            (None, None) => bail!(
                "there is no MongoDB: `scripts/real-stack up mongodb`, then \
                 `eval \"$(scripts/real-stack env)\"`; or set {PROGRAM} to a mongod"
            ),
        }
    }

    /// Starts a set of one on a folder of its own.
    async fn start(program: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = free_address()?;
        let process = Command::new(program)
            .args(["--replSet", "bench", "--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet"])
            .args(["--port", &address.port().to_string(), "--dbpath"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{program} cannot be started"))?;
        let direct = ClientOptions::parse(format!("mongodb://{address}/?directConnection=true"));
        let direct = Client::with_options(direct.await?)?.database("admin");
        let member = doc! {"_id": 0, "host": address.to_string()};
        direct.run_command(doc! {"replSetInitiate": {"_id": "bench", "members": [member]}}).await?;
        let url = format!("mongodb://{address}/?replicaSet=bench");
        let client = Client::with_uri_str(&url).await?;
        let begun = Instant::now();
        while !direct.run_command(doc! {"hello": 1}).await?.get_bool("isWritablePrimary")? {
            ensure!(begun.elapsed() < START, "mongod did not become primary");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { client, url, _process: Some((process, folder)) })
    }

    /// A database, emptied.
    pub(crate) async fn fresh(&self, name: &str) -> Result<Database> {
        let database = self.client.database(name);
        database.drop().await?;
        Ok(database)
    }

    /// The URL that names `database`.
    pub(crate) fn url_of(&self, database: &str) -> Result<String> {
        let (scheme, rest) = self.url.split_once("://").context("no mongodb:// URL")?;
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let hosts = place.split('/').next().unwrap_or_default();
        Ok(format!("{scheme}://{hosts}/{database}?{options}"))
    }

    async fn status(&self) -> Result<Document> {
        Ok(self.client.database("admin").run_command(doc! {"serverStatus": 1}).await?)
    }

    /// The version of the server.
    pub(crate) async fn version(&self) -> Result<String> {
        Ok(self.status().await?.get_str("version")?.to_owned())
    }

    /// The process id, if it runs on this machine.
    pub(crate) async fn pid(&self) -> Result<Option<u32>> {
        let pid = number(self.status().await?.get("pid"));
        let pid = u32::try_from(pid).ok();
        let name = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok());
        Ok(pid.filter(|_| name.is_some_and(|name| name.starts_with("mongod"))))
    }

    /// How many operations the server has carried out since its start, by command.
    pub(crate) async fn operations(&self) -> Result<BTreeMap<&'static str, i64>> {
        let status = self.status().await?;
        let commands = status.get_document("metrics")?.get_document("commands")?;
        let total = |name| {
            let command = commands.get_document(name).ok();
            number(command.and_then(|command| command.get("total")))
        };
        Ok(OPERATIONS.into_iter().map(|name| (name, total(name))).collect())
    }
}

fn number(value: Option<&Bson>) -> i64 {
    match value {
        Some(Bson::Int32(value)) => i64::from(*value),
        Some(Bson::Int64(value)) => *value,
        _ => 0,
    }
}

/// An address that is free now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
