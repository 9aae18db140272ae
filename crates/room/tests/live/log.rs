//! What happened, in order, and waiting for what is to come.

use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long anything may take: far more than it does, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(75);
const PAUSE: Duration = Duration::from_millis(20);

/// A list that one side fills and the other waits on.
#[derive(Debug)]
pub(crate) struct Log<T> {
    entries: Mutex<Vec<T>>,
    grown: Notify,
}

impl<T: Debug> Log<T> {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::new(Vec::new()), grown: Notify::new() }
    }

    pub(crate) fn push(&self, entry: T) {
        self.lock().push(entry);
        self.grown.notify_waiters();
    }

    /// How many there are: a place to wait from.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// What `pick` makes of all entries from a place on.
    pub(crate) fn picked<R>(&self, from: usize, pick: impl FnMut(&T) -> Option<R>) -> Vec<R> {
        self.lock().iter().skip(from).filter_map(pick).collect()
    }

    /// Waits for an entry, at a place or after it, of which `pick` makes something.
    pub(crate) async fn first<R>(
        &self,
        what: &str,
        from: usize,
        mut pick: impl FnMut(&T) -> Option<R>,
    ) -> R {
        self.run_of(what, from, 1, |entry| pick(entry)).await.pop().unwrap()
    }

    /// Waits for so many entries in a row of which `pick` makes something.
    pub(crate) async fn run_of<R>(
        &self,
        what: &str,
        from: usize,
        length: usize,
        mut pick: impl FnMut(&T) -> Option<R>,
    ) -> Vec<R> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut next = from;
        let mut run = Vec::new();
        loop {
            let grown = self.grown.notified();
            for entry in self.lock().iter().skip(next) {
                next += 1;
                match pick(entry) {
                    Some(picked) => run.push(picked),
                    None => run.clear(),
                }
                if run.len() == length {
                    return run;
                }
            }
            if tokio::time::timeout_at(deadline, grown).await.is_err() && self.len() == next {
                let entries = self.lock();
                let told: Vec<_> = entries.iter().rev().take(60).rev().collect();
                panic!("waited {PATIENCE:?} for {what}; there was: {told:#?}");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks until `look` gives what is waited for. Its error says what was seen instead.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => {
                assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}; seen: {seen}");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
