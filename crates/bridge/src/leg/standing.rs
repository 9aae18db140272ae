//! Where a leg stands, for those who look.

use chrono::{DateTime, Utc};
use outdial_domain::{Facts, Hint};

/// What has been told of a leg.
#[derive(Debug, Default)]
pub(crate) struct Standing(Facts);

impl Standing {
    /// Takes in what is told.
    pub(crate) fn note(&mut self, hint: &Hint) {
        self.0.merge(hint);
    }

    /// All of it again.
    pub(crate) fn hints(&self) -> Vec<Hint> {
        let Facts {
            participant, dialed_at, ringing_at, answered_at, leg_ended_at, leg_end, ..
        } = &self.0;
        let joined = |at: DateTime<Utc>| Hint::Joined { at, participant: participant.clone() };
        let ended = leg_ended_at.zip(leg_end.clone()).map(|(at, end)| Hint::Ended { at, end });
        dialed_at
            .map(joined)
            .into_iter()
            .chain(ringing_at.map(|at| Hint::Ringing { at }))
            .chain(answered_at.map(|at| Hint::Answered { at }))
            .chain(ended)
            .collect()
    }
}
