#![doc = include_str!("../README.md")]

mod archive;
mod calls;
mod client;
mod codec;
mod directory;
mod erasure;
mod fault;
mod listing;
mod logs;
mod ownership;
mod record;
mod schema;
mod settings;
mod starts;
mod transaction;

use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use outdial_domain::ports::Store;
use outdial_domain::{ErrorKind, Result};

use self::client::Link;
use self::fault::{Fault, Outcome};
pub use self::schema::ServerInfo;
pub use self::settings::MongoSettings;

/// How long an operation waits for the first one to make collections and indexes.
const MIGRATION: Duration = Duration::from_secs(60);

/// The store ports on a MongoDB replica set.
pub struct MongoStore {
    link: Link,
}

impl MongoStore {
    /// Reads the settings. The database is not asked yet: it may come up later. Only for
    /// `mongodb+srv` the servers are looked up in DNS.
    ///
    /// Errors: [`Refused`](outdial_domain::ErrorKind::Refused) when the URL is wrong.
    pub async fn open(settings: MongoSettings) -> Result<Self> {
        let link = Link::open(settings).await.map_err(|fault| fault.at("mongodb.open"))?;
        Ok(Self { link })
    }

    /// Checks the server and brings the database to this program's schema: makes collections and
    /// indexes. Can be repeated; every operation before the first success tries it itself.
    ///
    /// Errors: [`Unavailable`](outdial_domain::ErrorKind::Unavailable);
    /// [`Refused`](outdial_domain::ErrorKind::Refused) when user or password are wrong or the server
    /// does not do; [`Corrupt`](outdial_domain::ErrorKind::Corrupt) when the database is of a newer
    /// program.
    pub async fn prepare(&self) -> Result<()> {
        self.run("mongodb.prepare", async { self.link.prepared().await.map(drop) }).await
    }

    /// What the server says of itself, whether it will do or not.
    ///
    /// Errors: [`Unavailable`](outdial_domain::ErrorKind::Unavailable),
    /// [`Refused`](outdial_domain::ErrorKind::Refused).
    pub async fn server(&self) -> Result<ServerInfo> {
        self.run("mongodb.server", async { schema::server(self.link.connected().await?).await })
            .await
    }

    /// Does an operation of a port: bounded in time, its failure in the port's words.
    async fn run<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Outcome<T>> + Send,
    ) -> Result<T> {
        // On the heap: the driver's futures are large, and ports are called from deep inside others.
        let mut work = Box::pin(work);
        let limit = self.link.operation_timeout();
        let begun = Instant::now();
        let done = loop {
            match tokio::time::timeout(limit, work.as_mut()).await {
                Ok(done) => break Some(done),
                Err(_) if self.link.is_migrating() && begun.elapsed() < MIGRATION => {}
                Err(_) => break None,
            }
        };
        drop(work);
        let done = match done {
            Some(done) => done,
            None => self.too_late(limit).await,
        };
        done.map_err(|fault| fault.at(operation))
    }

    async fn too_late<T>(&self, limit: Duration) -> Outcome<T> {
        // It may have waited for a transaction that nobody will end.
        let undo = Box::pin(transaction::undo_abandoned(&self.link));
        let _ = tokio::time::timeout(limit / 5, undo).await;
        let message = format!("no answer from the database within {limit:?}");
        Err(Fault::decided(ErrorKind::Unavailable, message))
    }

    /// A collection of the prepared database.
    async fn collection(&self, name: &str) -> Outcome<Collection<Document>> {
        self.link.collection(name).await
    }
}

impl fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MongoStore {
    async fn check(&self) -> Result<()> {
        self.run("mongodb.check", async {
            let health = self.collection(schema::HEALTH).await?;
            let update = doc! {"$currentDate": {"checked_at": true}};
            health.update_one(doc! {"_id": "check"}, update).upsert(true).await?;
            health.find_one(doc! {"_id": "check"}).await?;
            Ok(())
        })
        .await
    }

    async fn agree(&self, name: &str, value: &str) -> Result<String> {
        self.run("mongodb.agree", async {
            let agreements = self.collection(schema::AGREEMENTS).await?;
            let own = doc! {"_id": name, "value": value};
            let agreed = directory::find_or_insert(&agreements, "_id", own).await?;
            Ok(agreed.get_str("value")?.to_owned())
        })
        .await
    }

    async fn close(&self) -> Result<()> {
        self.link.close().await;
        Ok(())
    }
}
