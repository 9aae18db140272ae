//! Waiting.

use std::time::{Duration, Instant};

/// How long anything may take: far more than it does, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks. Short, so that a status that lasts for a fifth of a second is seen.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `look` gives what is waited for. Its error says what was seen instead.
///
/// # Panics
/// After a minute and a half, with what was seen last.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
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
