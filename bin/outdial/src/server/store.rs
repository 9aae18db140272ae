//! The store: opened as the settings say, and shut until it is known to be the right one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use outdial_domain::ports::Store as Port;
use outdial_domain::{Error, ErrorKind};
use outdial_mongodb::{MongoSettings, MongoStore};
use outdial_sqlite::SqliteStore;
use sha2::{Digest as _, Sha256};

use crate::data_dir;
use crate::settings::{Keeper, MongoDb, Settings, Store};

/// Under which name nodes agree on the master key.
const MASTER_KEY: &str = "master_key";

/// Opens the store. A MongoDB need not be reachable yet: operations fail until it is.
///
/// # Errors
/// When it can never be used so; the text says what to do.
pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Arc<dyn Port>> {
    match &settings.store {
        Store::Sqlite(_) => {
            let path = data_dir::database(settings).context("a SQLite store has a file")?;
            let opening = tokio::task::spawn_blocking(move || SqliteStore::open(path));
            Ok(Arc::new(opening.await.context("opening the store")??))
        }
        Store::MongoDb(mongodb) => Ok(Arc::new(open_mongodb(mongodb).await?)),
    }
}

/// Opens the store for a command: nobody waits for a single operation, and the first one on a new
/// database also makes all of its indexes.
///
/// # Errors
/// See [`open`].
pub(crate) async fn open_patiently(settings: &Settings) -> anyhow::Result<Arc<dyn Port>> {
    match &settings.store {
        Store::Sqlite(_) => open(settings).await,
        Store::MongoDb(mongodb) => Ok(Arc::new(open_mongodb(&patient(mongodb)).await?)),
    }
}

/// Settings for a command.
pub(crate) fn patient(settings: &MongoDb) -> MongoDb {
    MongoDb { timeout: settings.timeout.max(PATIENCE), ..settings.clone() }
}

/// Sets up a client of MongoDB. Nothing is connected yet.
pub(crate) async fn open_mongodb(settings: &MongoDb) -> outdial_domain::Result<MongoStore> {
    let MongoDb { url, max_connections, timeout, connect_timeout } = settings.clone();
    let mut settings = MongoSettings::new(url);
    settings.max_connections = max_connections;
    settings.operation_timeout = timeout;
    (settings.connect_timeout, settings.server_selection_timeout) =
        (connect_timeout, connect_timeout);
    // Boxed: it is large, and runs once.
    Box::pin(MongoStore::open(settings)).await
}

/// Tells keys apart without telling them.
pub(crate) fn fingerprint(master_key: &[u8; 32]) -> String {
    let digest = Sha256::new().chain_update(b"outdial master key\0").chain_update(master_key);
    format!("{:x}", digest.finalize())
}

/// How long an operation of a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to do when the store's secrets were sealed with another key than ours.
pub(crate) const ANOTHER_KEY: &str = "the secrets in this store were sealed with another master key: all nodes need the same \
     secrets.master_key; the key in use is that setting of the other nodes, or the file master.key in \
     the data_dir of the node that was first";

/// The fingerprint of the key that is used with the store; a store that has none takes this one.
pub(crate) async fn agreed_key(
    store: &dyn Port,
    fingerprint: &str,
) -> outdial_domain::Result<String> {
    store.agree(MASTER_KEY, fingerprint).await
}

/// Makes sure that the store's secrets can be opened.
///
/// # Errors
/// [`Refused`](ErrorKind::Refused) when they were sealed with another key, and those of the store.
pub(crate) async fn agree_on_key(
    store: &dyn Port,
    master_key: &[u8; 32],
) -> outdial_domain::Result<()> {
    let ours = fingerprint(master_key);
    if agreed_key(store, &ours).await? == ours {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Refused, "store.master_key", ANOTHER_KEY))
}

/// What is doubtful about keeping recordings beside this store.
pub(crate) fn recordings_are_apart(settings: &Settings) -> Option<&'static str> {
    let shared = matches!(settings.store, Store::MongoDb(_));
    let folder = matches!(settings.recordings.keeper, Some(Keeper::Folder(_)));
    (shared && folder).then_some(
        "recordings are kept on this machine only, and other nodes cannot serve them: set \
         recordings.url to a bucket (\"s3://…\")",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nodes_agree_on_the_key_that_was_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::defaults().unwrap();
        settings.data_dir = folder.path().to_owned();
        let store = open(&settings).await.unwrap();
        agree_on_key(&*store, &[1; 32]).await.unwrap();
        agree_on_key(&*store, &[1; 32]).await.unwrap();
        let error = agree_on_key(&*store, &[2; 32]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(error.message.contains("secrets.master_key"), "{error}");
        store.close().await.unwrap();
    }

    #[test]
    fn a_fingerprint_is_not_the_key() {
        let one = fingerprint(&[1; 32]);
        assert_eq!(one.len(), 64);
        assert_ne!(one, fingerprint(&[2; 32]));
        assert!(!one.contains("0101"));
    }

    #[test]
    fn a_folder_of_one_of_many_nodes_is_doubtful() {
        let mut settings = Settings::defaults().unwrap();
        assert_eq!(recordings_are_apart(&settings), None);
        let url = outdial_domain::Secret::new("mongodb://h");
        let second = Duration::from_secs(1);
        settings.store = Store::MongoDb(MongoDb {
            url,
            max_connections: 1,
            timeout: second,
            connect_timeout: second,
        });
        assert!(recordings_are_apart(&settings).is_some());
        settings.recordings.keeper = None;
        assert_eq!(recordings_are_apart(&settings), None);
    }
}
