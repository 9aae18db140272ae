//! Waiting for a database that is not there yet.

use std::sync::Arc;
use std::time::Duration;

use outdial_domain::ports::{RecordKind, Store};
use outdial_domain::{Error, ErrorKind};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::gate::Gate;
use super::store;

/// How long to wait between two tries.
const TRY_EVERY: Duration = Duration::from_millis(500);
/// How often to say what is waited for.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A store that may still be waited for.
pub(super) struct Opening {
    /// The store, shut until it can be used.
    pub(super) store: Arc<dyn Store>,
    gate: Option<Arc<Gate>>,
    /// Gives why the store cannot be used, or nothing once it is used.
    waiting: Option<AbortOnDropHandle<Option<anyhow::Error>>>,
}

impl Opening {
    /// Tries to use the store, for `patience` at most. If it is not there, it goes on trying in the
    /// background, and gives a store whose operations say so until then.
    ///
    /// # Errors
    /// When waiting does not help: the store refuses, is damaged, or has secrets of another key.
    pub(super) async fn begin(
        store: Arc<dyn Store>,
        master_key: [u8; 32],
        patience: Duration,
    ) -> outdial_domain::Result<Self> {
        let looked = timeout(patience, first_look(&*store, &master_key)).await;
        match looked.unwrap_or_else(|_| Err(no_answer(patience))) {
            Ok(()) => Ok(Self { store, gate: None, waiting: None }),
            Err(error) if !passes(error.kind) => Err(error),
            Err(error) => {
                tracing::warn!(error = error.message, "waiting for the database");
                let gate = Arc::new(Gate::new(store.clone(), waiting_for(&error)));
                let task = tokio::spawn(wait(store, gate.clone(), master_key));
                let waiting = Some(AbortOnDropHandle::new(task));
                Ok(Self { store: gate.clone(), gate: Some(gate), waiting })
            }
        }
    }

    /// Whether nobody has got at the store yet.
    pub(super) fn is_shut(&self) -> bool {
        self.gate.as_ref().is_some_and(|gate| !gate.is_open())
    }

    /// Resolves when the store is there but cannot be used.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        if let Some(waiting) = &mut self.waiting {
            let ended = waiting.await;
            self.waiting = None;
            match ended {
                Ok(None) => {}
                Ok(Some(error)) => return error,
                Err(error) => return anyhow::Error::new(error).context("opening the store broke"),
            }
        }
        std::future::pending().await
    }
}

fn no_answer(patience: Duration) -> Error {
    let message = format!("no answer within {}", humantime::format_duration(patience));
    Error::new(ErrorKind::Unavailable, "store.open", message)
}

/// Whether a failure goes away by itself.
fn passes(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Busy | ErrorKind::Full)
}

fn waiting_for(error: &Error) -> String {
    format!("waiting for the database: {}", error.message)
}

/// Looks whether the store is the right one before anything is done with it.
async fn first_look(store: &dyn Store, master_key: &[u8; 32]) -> outdial_domain::Result<()> {
    store::agree_on_key(store, master_key).await?;
    if store.count(RecordKind::ApiKey).await? == 0 {
        tracing::info!(
            "there are no API keys yet: `outdial keys create --account NAME --admin` makes one; with \
             SQLite stop this server before"
        );
    }
    Ok(())
}

/// Opens the gate when the store is there, or gives why it cannot be used.
async fn wait(
    store: Arc<dyn Store>,
    gate: Arc<Gate>,
    master_key: [u8; 32],
) -> Option<anyhow::Error> {
    let mut told = Instant::now();
    loop {
        tokio::time::sleep(TRY_EVERY).await;
        match first_look(&*store, &master_key).await {
            Ok(()) => {
                gate.open();
                tracing::info!("the database is there");
                return None;
            }
            Err(error) if passes(error.kind) => {
                gate.stays_shut(waiting_for(&error));
                if told.elapsed() >= TELL_EVERY {
                    tracing::warn!(error = error.message, "still waiting for the database");
                    told = Instant::now();
                }
            }
            Err(error) => {
                gate.stays_shut(error.message.clone());
                return Some(error.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use outdial_testkit::memory::MemoryStore;

    use super::*;

    const KEY: [u8; 32] = [1; 32];

    #[tokio::test(start_paused = true)]
    async fn a_store_that_comes_later_is_used_then() {
        let store = MemoryStore::default();
        let database = Arc::new(store.view());
        database.fail_with(Some(ErrorKind::Unavailable));
        let mut opening = Opening::begin(database.clone(), KEY, Duration::MAX).await.unwrap();
        let error = opening.store.check().await.unwrap_err();
        assert!(error.message.starts_with("waiting for the database: "), "{error}");
        assert!(opening.is_shut());
        database.heal();
        while opening.store.check().await.is_err() {
            tokio::time::sleep(TRY_EVERY).await;
        }
        let failed = tokio::time::timeout(TELL_EVERY, opening.failed()).await;
        assert!(failed.is_err(), "it has not failed");
        assert!(!opening.is_shut());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_comes_with_another_key_is_never_used() {
        let store = MemoryStore::default();
        store::agree_on_key(&store, &[2; 32]).await.unwrap();
        let database = Arc::new(store.view());
        database.fail_with(Some(ErrorKind::Unavailable));
        let mut opening = Opening::begin(database.clone(), KEY, Duration::MAX).await.unwrap();
        database.heal();
        let error = opening.failed().await.to_string();
        assert!(error.contains("another master key"), "{error}");
        let error = opening.store.check().await.unwrap_err();
        assert!(error.message.contains("another master key"), "{error}");
    }

    #[tokio::test]
    async fn what_does_not_pass_ends_the_start() {
        for kind in [ErrorKind::Refused, ErrorKind::Corrupt] {
            let store = MemoryStore::default();
            store.fail_with(Some(kind));
            let begun = Opening::begin(Arc::new(store), KEY, Duration::MAX).await;
            assert_eq!(begun.err().map(|error| error.kind), Some(kind));
        }
    }
}
