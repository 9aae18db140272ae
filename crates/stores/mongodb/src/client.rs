//! The way to the database: made once, checked and prepared before the first operation.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mongodb::bson::Document;
use mongodb::error::ErrorKind as DriverKind;
use mongodb::options::{
    ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use mongodb::{Client, Collection, Database};
use outdial_domain::ErrorKind;
use tokio::sync::{Mutex, OnceCell};

use crate::MongoSettings;
use crate::fault::{Fault, Outcome};
use crate::schema;

/// The database when the URL names none.
const DATABASE: &str = "outdial";

/// How often the driver looks at each server, unless the URL says otherwise: a cut connection is
/// found out after this and a timeout.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How many groups trunks are sorted into: within a group this process does one transaction at a
/// time, as they would only get in each other's way.
const QUEUES: usize = 64;

/// The connection, and what has been made sure of.
pub(crate) struct Link {
    settings: MongoSettings,
    database: OnceCell<Database>,
    app_name: OnceLock<String>,
    prepared: OnceCell<()>,
    migrating: AtomicBool,
    closed: AtomicBool,
    queues: [Mutex<()>; QUEUES],
    hasher: RandomState,
}

impl Link {
    /// Parses the URL. A `mongodb+srv` name that cannot be resolved in time is resolved later.
    pub(crate) async fn open(settings: MongoSettings) -> Outcome<Self> {
        let link = Self {
            settings,
            database: OnceCell::new(),
            app_name: OnceLock::new(),
            prepared: OnceCell::new(),
            migrating: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            queues: std::array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
        };
        let error = match tokio::time::timeout(link.operation_timeout(), link.connected()).await {
            Ok(Ok(_)) => None,
            Ok(Err(fault)) if fault.kind() == ErrorKind::Unavailable => Some(fault.describe().1),
            Ok(Err(fault)) => return Err(fault),
            Err(_) => Some("its name is not resolved in time".to_owned()),
        };
        if let Some(error) = error {
            tracing::warn!(error, "the database cannot be found yet");
        }
        Ok(link)
    }

    pub(crate) fn operation_timeout(&self) -> Duration {
        self.settings.operation_timeout
    }

    /// The name by which the server knows this client and those of other nodes.
    pub(crate) fn app_name(&self) -> Option<&str> {
        self.app_name.get().map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The database, whether it is prepared or not.
    pub(crate) async fn connected(&self) -> Outcome<&Database> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Fault::closed());
        }
        self.database
            .get_or_try_init(async || {
                let options = options(&self.settings).await?;
                let name = options.default_database.clone();
                let app_name = options.app_name.clone().unwrap_or_default();
                self.app_name.get_or_init(|| app_name);
                let client = Client::with_options(options)
                    .map_err(|error| bad_url(self.settings.url.expose(), error))?;
                Ok(client.database(name.as_deref().unwrap_or(DATABASE)))
            })
            .await
    }

    /// The database, checked and with its indexes. One caller at a time does that; the others wait.
    pub(crate) async fn prepared(&self) -> Outcome<&Database> {
        let database = self.connected().await?;
        self.prepared
            .get_or_try_init(async || schema::prepare(database, &self.migrating).await)
            .await?;
        Ok(database)
    }

    /// Whether collections and indexes are being made: that may take longer than an operation.
    pub(crate) fn is_migrating(&self) -> bool {
        self.migrating.load(Ordering::Acquire)
    }

    pub(crate) async fn collection(&self, name: &str) -> Outcome<Collection<Document>> {
        Ok(self.prepared().await?.collection(name))
    }

    /// Lets one transaction on `trunk` after the other pass.
    pub(crate) fn queue(&self, trunk: &str) -> &Mutex<()> {
        let [place, ..] = self.hasher.hash_one(trunk).to_le_bytes();
        &self.queues[usize::from(place) % QUEUES]
    }

    /// Lets go of all connections. Operations that are under way fail.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if let Some(database) = self.database.get() {
            let shutdown = database.client().clone().shutdown().immediate(true);
            // It says goodbye to the server, which may not be there.
            let _ = tokio::time::timeout(self.operation_timeout(), shutdown.into_future()).await;
        }
    }
}

/// The driver's options for the settings.
async fn options(settings: &MongoSettings) -> Outcome<ClientOptions> {
    let url = settings.url.expose();
    if !url.starts_with("mongodb://") && !url.starts_with("mongodb+srv://") {
        let message = "the URL of the database has to begin with mongodb:// or mongodb+srv://";
        return Err(Fault::decided(ErrorKind::Refused, message));
    }
    let mut options = ClientOptions::parse(url).await.map_err(|error| bad_url(url, error))?;
    options.app_name.get_or_insert_with(|| settings.app_name.clone());
    options.max_pool_size.get_or_insert(settings.max_connections.max(1));
    // Many connections at once are needed at the start and after a failover.
    options.max_connecting.get_or_insert(8);
    options.server_selection_timeout.get_or_insert(settings.server_selection_timeout);
    options.connect_timeout.get_or_insert(settings.connect_timeout);
    options.heartbeat_freq.get_or_insert(LOOK_EVERY);
    options.retry_writes = Some(true);
    options.retry_reads = Some(true);
    options.write_concern = Some(WriteConcern::majority());
    options.read_concern = Some(ReadConcern::majority());
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    Ok(options)
}

/// What the driver says of a URL can quote a part of it, and a password that is not encoded can be
/// in many parts: its words are told only when they hold nothing of what may be one.
fn bad_url(url: &str, error: mongodb::error::Error) -> Fault {
    let message = match error.kind.as_ref() {
        DriverKind::InvalidArgument { message, .. } => message,
        // The only file that is read without a word of its own.
        DriverKind::Io(error) => {
            let message = format!("the file of tlsCertificateKeyFile cannot be read: {error}");
            return Fault::decided(ErrorKind::Refused, message);
        }
        _ => return Fault::Mongo(error),
    };
    let detail = if may_quote(url, message) { String::new() } else { format!(" ({message})") };
    let message = format!(
        "the URL of the database is not valid{detail}: it has to look like \
         mongodb://user:password@host:27017/database?option=value, with what is special in user and \
         password percent-encoded"
    );
    Fault::decided(ErrorKind::Refused, message)
}

/// Whether the message has a piece of two characters or more of what may be secret in the URL: all
/// before the last `@` (without one: before the options), and the values of options for passwords.
fn may_quote(url: &str, message: &str) -> bool {
    let url = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (front, options) = match url.rsplit_once('@') {
        Some((front, rest)) => (front, rest.split_once('?').map_or("", |(_, options)| options)),
        None => url.split_once('?').unwrap_or((url, "")),
    };
    let secret_options = options.split('&').filter(|option| {
        let name = option.split('=').next().unwrap_or_default().to_ascii_lowercase();
        name.contains("password") || name.contains("properties")
    });
    let values = secret_options.filter_map(|option| option.split_once('=').map(|(_, value)| value));
    let pieces =
        values.chain([front]).flat_map(|secret| secret.split(|c: char| !c.is_alphanumeric()));
    let message = message.to_lowercase();
    pieces.filter(|piece| piece.len() > 1).any(|piece| message.contains(&piece.to_lowercase()))
}

#[cfg(test)]
mod tests;
