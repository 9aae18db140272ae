//! For how long this node may act for its calls.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// A moment by two clocks: the one that other nodes go by, which may be set, and one that nobody
/// sets. Either is enough to end a lease.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) at: DateTime<Utc>,
    pub(crate) tick: Instant,
}

/// A node that was stopped, or cut off from the store, does not notice it while it lasts: others
/// may have taken its calls. So whoever is about to do something that must not be done twice asks
/// here first.
///
/// The lease ends a third before the sign of life does that others see: clocks differ.
#[derive(Debug)]
pub(crate) struct Lease {
    state: Mutex<State>,
    length: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    until: Option<Moment>,
    /// Counts how often it was taken up anew after it had run out.
    term: u64,
    /// When it could last not be renewed.
    failed: Option<Instant>,
}

/// How somebody stands who knows a call's owner from a certain term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// What he knows holds.
    Held,
    /// The lease had run out since: the store knows whose the call is. The new term.
    Renewed(u64),
    /// The lease has run out. `cut_off`: it was tried just now to renew it, in vain.
    Lapsed { cut_off: bool },
}

impl State {
    fn is_held(&self, now: Moment) -> bool {
        self.until.is_some_and(|until| now.at < until.at && now.tick < until.tick)
    }
}

impl Lease {
    /// A lease that is not held yet. `length`: of a sign of life.
    pub(crate) fn new(length: Duration) -> Self {
        Self { state: Mutex::default(), length: length - length / 3 }
    }

    /// A sign of life that was begun to be given at `begun` is stored.
    pub(crate) fn renew(&self, begun: Moment, now: Moment) {
        let mut state = self.state();
        if !state.is_held(now) {
            state.term += 1;
        }
        state.until = Some(Moment { at: begun.at + self.length, tick: begun.tick + self.length });
        state.failed = None;
    }

    /// A sign of life could not be stored.
    pub(crate) fn failed(&self, now: Moment) {
        self.state().failed = Some(now.tick);
    }

    /// The lease ends at once.
    pub(crate) fn give_up(&self) {
        self.state().until = None;
    }

    /// The term, if the lease is held.
    pub(crate) fn term(&self, now: Moment) -> Option<u64> {
        let state = self.state();
        state.is_held(now).then_some(state.term)
    }

    pub(crate) fn standing(&self, term: u64, now: Moment) -> Standing {
        let state = self.state();
        if !state.is_held(now) {
            let failed = |at: Instant| now.tick.saturating_duration_since(at) < self.length;
            return Standing::Lapsed { cut_off: state.failed.is_some_and(failed) };
        }
        if state.term == term { Standing::Held } else { Standing::Renewed(state.term) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(base: Moment, at: u64, tick: u64) -> Moment {
        let secs = Duration::from_secs;
        Moment { at: base.at + secs(at), tick: base.tick + secs(tick) }
    }

    #[test]
    fn a_lease_that_had_run_out_is_another_one() {
        let base = Moment { at: Utc::now(), tick: Instant::now() };
        let at = |secs| moment(base, secs, secs);
        let lease = Lease::new(Duration::from_secs(30));
        assert_eq!(lease.standing(1, at(0)), Standing::Lapsed { cut_off: false });
        lease.renew(at(0), at(1));
        assert_eq!(lease.standing(1, at(19)), Standing::Held);
        lease.renew(at(5), at(6));
        assert_eq!(lease.standing(1, at(24)), Standing::Held, "renewed in time");
        assert_eq!(lease.standing(1, at(25)), Standing::Lapsed { cut_off: false });
        lease.failed(at(26));
        assert_eq!(lease.standing(1, at(27)), Standing::Lapsed { cut_off: true });
        assert_eq!(lease.standing(1, at(60)), Standing::Lapsed { cut_off: false }, "stopped since");
        lease.renew(at(60), at(61));
        assert_eq!(lease.standing(1, at(62)), Standing::Renewed(2));
        assert_eq!(lease.term(at(62)), Some(2));
        lease.give_up();
        assert_eq!(lease.term(at(62)), None);
    }

    #[test]
    fn a_sign_of_life_that_took_longer_than_it_holds_is_none() {
        let base = Moment { at: Utc::now(), tick: Instant::now() };
        let lease = Lease::new(Duration::from_secs(30));
        lease.renew(moment(base, 0, 0), moment(base, 60, 60));
        assert_eq!(lease.term(moment(base, 60, 60)), None);
    }

    #[test]
    fn either_clock_ends_it() {
        let base = Moment { at: Utc::now(), tick: Instant::now() };
        let lease = Lease::new(Duration::from_secs(30));
        lease.renew(base, base);
        assert_eq!(lease.term(moment(base, 60, 1)), None, "the machine slept");
        assert_eq!(lease.term(moment(base, 1, 60)), None, "the clock was set back");
        assert_eq!(lease.term(moment(base, 1, 1)), Some(1));
    }
}
