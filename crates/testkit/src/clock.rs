//! A clock that follows tokio's time.

use chrono::{DateTime, TimeDelta, Utc};
use outdial_domain::ports::Clock;
use tokio::time::Instant;

use crate::sample;

/// A [`Clock`] that starts at a fixed moment and goes as tokio's time goes: real time in an ordinary
/// runtime, virtual time in a paused one (`#[tokio::test(start_paused = true)]`), where it jumps with
/// `tokio::time::advance` and with every sleep.
///
/// ```
/// use outdial_domain::ports::Clock;
/// use outdial_testkit::clock::VirtualClock;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let clock = VirtualClock::default();
/// let before = clock.now();
/// tokio::time::sleep(Duration::from_secs(3_600)).await;
/// assert_eq!((clock.now() - before).num_seconds(), 3_600);
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct VirtualClock {
    base: DateTime<Utc>,
    start: Instant,
}

impl VirtualClock {
    /// A clock that shows `base` now.
    pub fn starting_at(base: DateTime<Utc>) -> Self {
        Self { base, start: Instant::now() }
    }
}

impl Default for VirtualClock {
    /// A clock that shows [`sample::START`] now.
    fn default() -> Self {
        Self::starting_at(sample::START)
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> DateTime<Utc> {
        self.base + TimeDelta::from_std(self.start.elapsed()).unwrap()
    }
}
