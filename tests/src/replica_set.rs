//! Replica sets of a test's own.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, ServerAddress};
use mongodb::{Client, error::Result};

use crate::{Database, Mongod, until};

/// The set's name.
const NAME: &str = "nodes";
/// Longer than a member that is there needs for any answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A replica set of one member or three, which ends with the test.
#[derive(Debug)]
pub struct ReplicaSet {
    members: Vec<Mongod>,
}

impl ReplicaSet {
    /// Starts one and waits for its primary.
    pub async fn start(members: usize) -> Self {
        let started = (0..members).map(|_| Mongod::start(NAME));
        Self::initiated(futures_util::future::join_all(started).await).await
    }

    /// One of one member, whose data is on a file system of so many megabytes.
    pub async fn on_small_disk(megabytes: u32) -> Self {
        Self::initiated(vec![Mongod::on_small_disk(NAME, megabytes).await]).await
    }

    async fn initiated(members: Vec<Mongod>) -> Self {
        let set = Self { members };
        let numbered = set.members.iter().zip(0..);
        let list: Vec<_> =
            numbered.map(|(member, id)| doc! {"_id": id, "host": member.address()}).collect();
        // Elections within seconds.
        let settings = doc! {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500};
        let config = doc! {"_id": NAME, "members": list, "settings": settings};
        admin(&set.members[0], doc! {"replSetInitiate": config}).await.unwrap();
        let primary = set.primary().await;
        until("all members to have the data", async || {
            let status = admin(primary, doc! {"replSetGetStatus": 1}).await.unwrap();
            let members = status.get_array("members").unwrap().iter();
            let states = members.map(|member| member.as_document().unwrap().get_i32("state"));
            // Primary or secondary.
            let ready = states.filter(|state| matches!(state, Ok(1 | 2))).count();
            if ready == set.members.len() { Ok(()) } else { Err(format!("{ready} have")) }
        })
        .await;
        set
    }

    /// Its only member.
    ///
    /// # Panics
    /// When it has more.
    pub fn only(&self) -> &Mongod {
        let [member] = &*self.members else { panic!("{} members", self.members.len()) };
        member
    }

    /// Its members.
    pub fn members(&self) -> &[Mongod] {
        &self.members
    }

    /// Waits until there is a primary, and gives it.
    pub async fn primary(&self) -> &Mongod {
        until("a primary", async || {
            for member in &self.members {
                if !member.runs() {
                    continue;
                }
                let hello = admin(member, doc! {"hello": 1}).await;
                if hello.is_ok_and(|hello| hello.get_bool("isWritablePrimary").is_ok_and(|is| is)) {
                    return Ok(member);
                }
            }
            Err("none".to_owned())
        })
        .await
    }

    /// Has the primary step down, so that another member becomes it.
    pub async fn steps_down(&self) {
        let primary = self.primary().await;
        let command = doc! {"replSetStepDown": 30, "secondaryCatchUpPeriodSecs": 10};
        // Its connections may be closed before the answer.
        let _ = admin(primary, command).await;
    }

    /// A fresh database in it.
    pub async fn database(&self) -> Database {
        let seeds: Vec<_> = self.members.iter().map(Mongod::address).collect();
        Database::at(&format!("mongodb://{}", seeds.join(",")), &format!("replicaSet={NAME}")).await
    }
}

/// Asks one member, whatever its part in the set is.
async fn admin(member: &Mongod, command: Document) -> Result<Document> {
    let hosts = vec![ServerAddress::parse(member.address())?];
    let options = ClientOptions::builder().hosts(hosts).direct_connection(true);
    let options = options.server_selection_timeout(PATIENCE).connect_timeout(PATIENCE).build();
    let client = Client::with_options(options)?;
    let answer = client.database("admin").run_command(command).await;
    client.shutdown().immediate(true).await;
    answer
}
