//! A database that several servers share, as seen without them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::TryStreamExt as _;
use mongodb::Client;
use mongodb::bson::{Document, doc};

use crate::{Gate, Stack, until};

/// A database of MongoDB that nobody else uses.
#[derive(Debug)]
pub struct Database {
    name: String,
    server: String,
    options: String,
    database: mongodb::Database,
}

impl Database {
    /// One on the replica set that tests share: nobody stops that.
    pub async fn fresh() -> Self {
        Self::at(&Stack::get().mongodb_url, "").await
    }

    pub(crate) async fn at(server: &str, options: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nodes_{}_{next}", std::process::id());
        let client = Client::with_uri_str(format!("{server}/?{options}")).await.unwrap();
        let database = client.database(&name);
        // Left over from a process that had our id.
        database.drop().await.unwrap();
        Self { name, server: server.to_owned(), options: options.to_owned(), database }
    }

    /// The `store.url` of it.
    pub fn url(&self) -> String {
        format!("{}/{}?{}", self.server, self.name, self.options)
    }

    /// A gate to its server, and the `store.url` that leads through it. For a replica set of one
    /// member: the driver would find others behind the gate's back.
    pub async fn gated(&self) -> (Gate, String) {
        let host = self.server.strip_prefix("mongodb://").expect("a URL of MongoDB");
        assert!(!host.contains(','), "one member");
        let gate = Gate::to(host).await;
        let url = format!("mongodb://{}/{}?directConnection=true", gate.address(), self.name);
        (gate, url)
    }

    /// All calls: their room names, and who owns them.
    pub async fn owners(&self) -> BTreeMap<String, Option<String>> {
        let calls = self.database.collection::<Document>("calls");
        let found = calls.find(doc! {}).projection(doc! {"owner": 1}).await.unwrap();
        let calls: Vec<Document> = found.try_collect().await.unwrap();
        let text = |call: &Document, field| call.get_str(field).ok().map(str::to_owned);
        calls.iter().map(|call| (text(call, "_id").unwrap(), text(call, "owner"))).collect()
    }

    /// How many calls a node owns.
    pub async fn owned_by(&self, node: &str) -> usize {
        self.owners().await.values().filter(|owner| owner.as_deref() == Some(node)).count()
    }

    /// Waits until a node owns no call.
    pub async fn is_left_by(&self, node: &str) {
        until("a node to own no call", async || match self.owned_by(node).await {
            0 => Ok(()),
            count => Err(format!("it owns {count}")),
        })
        .await;
    }

    /// Waits until nobody owns a call.
    pub async fn is_left_by_all(&self) {
        until("nobody to own a call", async || {
            let mut owners = self.owners().await;
            owners.retain(|_, owner| owner.is_some());
            if owners.is_empty() { Ok(()) } else { Err(format!("{owners:?}")) }
        })
        .await;
    }

    /// Waits until so many documents match in a collection.
    pub async fn has(&self, collection: &str, filter: Document, count: u64) {
        let collection = self.database.collection::<Document>(collection);
        until("documents", async || {
            let seen = collection.count_documents(filter.clone()).await;
            let seen = seen.map_err(|error| error.to_string())?;
            if seen == count { Ok(()) } else { Err(format!("{seen} match {filter}")) }
        })
        .await;
    }
}
