//! Now, on both clocks.

use std::time::Duration;

use chrono::{DateTime, Utc};
use outdial_domain::ports::Clock;
use tokio::time::Instant;

/// A moment: what is written down takes `at`, what is waited for takes `tick`, which never jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) at: DateTime<Utc>,
    pub(crate) tick: Instant,
}

impl Moment {
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self { at: clock.now(), tick: Instant::now() }
    }

    /// Whether a time span that began at `start` is over.
    pub(crate) fn is_past(self, start: Instant, span: Duration) -> bool {
        self.tick >= start + span
    }

    #[cfg(test)]
    pub(crate) fn after(self, millis: u64) -> Self {
        let span = Duration::from_millis(millis);
        Self { at: self.at + span, tick: self.tick + span }
    }
}
