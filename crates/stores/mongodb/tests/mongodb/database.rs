//! A database that nobody else uses.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::{Client, Collection};
use outdial_domain::ports::Calls;
use outdial_domain::{AccountId, Call, Secret};
use outdial_mongodb::{MongoSettings, MongoStore};
use outdial_testkit::sample;

/// How long anything is waited for.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// A value of `scripts/real-stack env`.
pub(crate) fn stack(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set: run `scripts/real-stack up mongodb` and \
             `eval \"$(scripts/real-stack env)\"`, or all of it as `scripts/real-stack test`"
        )
    })
}

/// A database on a server; dropped with this value.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) url: String,
    /// Whether it is on the server that all tests share, which is slow at times and never away.
    is_shared: bool,
}

impl Database {
    /// A new one on the stack's server.
    pub(crate) fn fresh() -> Self {
        let mut database = Self::on(&stack("STACK_MONGODB_URL"));
        database.is_shared = true;
        database
    }

    /// A new one on the server of this URL, which may hold options.
    pub(crate) fn on(server: &str) -> Self {
        let name = format!("test_{}", outdial_domain::random_text(12));
        let (host, options) = server.split_once('?').unwrap_or((server, ""));
        let url = format!("{}/{name}?{options}", host.trim_end_matches('/'));
        Self { name, url, is_shared: false }
    }

    pub(crate) fn settings(&self) -> MongoSettings {
        let mut settings = settings(&self.url);
        if self.is_shared {
            settings.operation_timeout = LONG;
            settings.server_selection_timeout = LONG;
            settings.connect_timeout = LONG;
        }
        settings
    }

    /// A store on it, ready for work.
    pub(crate) async fn store(&self) -> MongoStore {
        let store = MongoStore::open(self.settings()).await.unwrap();
        store.prepare().await.unwrap();
        store
    }

    /// What mongosh would show.
    pub(crate) async fn raw(&self) -> mongodb::Database {
        Client::with_uri_str(&self.url).await.unwrap().database(&self.name)
    }

    pub(crate) async fn collection(&self, name: &str) -> Collection<Document> {
        self.raw().await.collection(name)
    }

    /// The one document of this id.
    pub(crate) async fn document(&self, collection: &str, id: &str) -> Document {
        let found = self.collection(collection).await.find_one(doc! {"_id": id}).await;
        found.unwrap().unwrap_or_else(|| panic!("{collection} has no {id}"))
    }

    async fn drop_it(&self) {
        // A server that is gone took it along.
        let _ = tokio::time::timeout(LONG, self.raw().await.drop()).await;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(self.drop_it());
            });
        });
    }
}

/// The settings as a server has them when only the URL is given.
pub(crate) fn settings(url: &str) -> MongoSettings {
    MongoSettings::new(Secret::new(url))
}

/// Stores a new call of an account of its own.
pub(crate) async fn stored(store: &MongoStore) -> Call {
    let mut call = sample::call(&AccountId::random());
    store.insert(&mut call, None).await.unwrap();
    call
}
