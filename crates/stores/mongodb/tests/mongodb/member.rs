//! Servers of our own, which may be killed, stopped, and told to fail.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{ExitStatus, Stdio};

use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::database::{LONG, stack};

/// The name of the replica sets.
pub(crate) const SET: &str = "tests";

/// States of members.
const PRIMARY: i32 = 1;
const SECONDARY: i32 = 2;

/// Asks until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let answered = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, answered).await.unwrap_or_else(|_| panic!("there is no {what}"))
}

/// How a server is started, besides what all have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setup {
    /// Options of mongod.
    pub(crate) arguments: Vec<String>,
    /// Options of the URL, without which it cannot be reached.
    pub(crate) url_options: String,
}

impl Setup {
    /// One that waits to be made part of a set.
    pub(crate) fn in_set() -> Self {
        Self::default().with(["--replSet", SET])
    }

    /// The same with more options of mongod.
    pub(crate) fn with<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(str::to_owned));
        self
    }
}

/// A mongod with a folder of its own.
pub(crate) struct Member {
    pub(crate) address: SocketAddr,
    setup: Setup,
    folder: TempDir,
    process: Child,
}

impl Member {
    pub(crate) async fn start(setup: Setup) -> Self {
        let mut folder = tempfile::tempdir().unwrap();
        // Another program may take the port between this and the server's start.
        for _ in 0..10 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let process = spawn(&folder, address, &setup.arguments);
            let mut member = Self { address, setup: setup.clone(), folder, process };
            if member.answers().await {
                return member;
            }
            folder = member.folder;
        }
        panic!("no mongod could be started");
    }

    /// Kills it without a warning.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Starts it again at the same place with the same content.
    pub(crate) async fn restart(&mut self) {
        self.process = spawn(&self.folder, self.address, &self.setup.arguments);
        assert!(self.answers().await, "mongod did not come back");
    }

    /// Sends it a signal, such as `STOP`.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.process.id().unwrap().to_string();
        let sent = Command::new("kill").args([format!("-{name}"), id]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Its `admin` database, whatever the state of the set.
    pub(crate) async fn admin(&self) -> Database {
        let Self { address, setup: Setup { url_options, .. }, .. } = self;
        let url = format!("mongodb://{address}/?directConnection=true{url_options}");
        let mut options = ClientOptions::parse(url).await.unwrap();
        options.server_selection_timeout = Some(LONG);
        Client::with_options(options).unwrap().database("admin")
    }

    pub(crate) async fn run(&self, command: Document) -> Document {
        self.admin().await.run_command(command).await.unwrap()
    }

    /// What it takes itself for.
    async fn state(&self) -> Option<i32> {
        let status = self.admin().await.run_command(doc! {"replSetGetStatus": 1}).await.ok()?;
        status.get_i32("myState").ok()
    }

    pub(crate) fn is(&self, address: &str) -> bool {
        self.address.to_string() == address
    }

    /// Whether it answers, or has ended.
    async fn answers(&mut self) -> bool {
        let admin = self.admin().await;
        let ping = async { admin.run_command(doc! {"ping": 1}).await.is_ok() };
        let ended = async |process: &mut Child| -> ExitStatus { process.wait().await.unwrap() };
        tokio::select! {
            answers = timeout(LONG, ping) => answers.unwrap_or(false),
            _ = ended(&mut self.process) => false,
        }
    }
}

fn spawn(folder: &TempDir, address: SocketAddr, arguments: &[String]) -> Child {
    Command::new(stack("STACK_MONGOD"))
        .args(arguments)
        .args(["--bind_ip", "127.0.0.1", "--port", &address.port().to_string()])
        .args(["--wiredTigerCacheSizeGB", "0.25", "--nounixsocket"])
        .args(["--setParameter", "enableTestCommands=1"])
        .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
        .arg("--dbpath")
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// A replica set on this machine.
pub(crate) struct ReplicaSet {
    pub(crate) members: Vec<Member>,
}

impl ReplicaSet {
    /// Starts one and waits until it has a primary.
    pub(crate) async fn start(size: usize) -> Self {
        let mut members = Vec::new();
        for _ in 0..size {
            members.push(Member::start(Setup::in_set()).await);
        }
        Self::of(members).await
    }

    /// Makes a set of servers that wait for that, and waits until it has a primary.
    pub(crate) async fn of(members: Vec<Member>) -> Self {
        let hosts: Vec<_> = (0_i32..)
            .zip(&members)
            .map(|(id, member)| doc! {"_id": id, "host": member.address.to_string()})
            .collect();
        // As short as it goes, so that a test is not all waiting for elections.
        let settings = doc! {"electionTimeoutMillis": 1_000, "heartbeatIntervalMillis": 300};
        let config = doc! {"_id": SET, "members": hosts, "settings": settings};
        members[0].run(doc! {"replSetInitiate": config}).await;
        let set = Self { members };
        set.primary().await;
        set
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self.members.iter().map(|member| member.address.to_string()).collect();
        let options = &self.members[0].setup.url_options;
        format!("mongodb://{}/?replicaSet={SET}{options}", hosts.join(","))
    }

    /// The place of the primary once it is another one than `old`.
    pub(crate) async fn other_primary(&self, old: usize) -> usize {
        let others = self.members.iter().enumerate().filter(|(place, _)| *place != old);
        let others: Vec<_> = others.collect();
        until("another primary", async || {
            for (place, member) in &others {
                if member.state().await == Some(PRIMARY) {
                    return Some(*place);
                }
            }
            None
        })
        .await
    }

    /// Waits until there is a primary and all others follow it.
    pub(crate) async fn is_whole(&self) {
        until("a whole set", async || {
            let mut states = Vec::new();
            for member in &self.members {
                states.push(member.state().await);
            }
            states.sort();
            let primary = states.remove(0) == Some(PRIMARY);
            (primary && states.iter().all(|state| *state == Some(SECONDARY))).then_some(())
        })
        .await;
    }

    /// The place of the primary among the members, once there is one.
    pub(crate) async fn primary(&self) -> usize {
        // Its server selection waits for one.
        let mut options = ClientOptions::parse(self.url()).await.unwrap();
        options.server_selection_timeout = Some(LONG);
        let client = Client::with_options(options).unwrap();
        let hello = client.database("admin").run_command(doc! {"hello": 1}).await.unwrap();
        let me = hello.get_str("me").unwrap();
        self.members.iter().position(|member| member.is(me)).unwrap()
    }
}
