//! When the callee began to speak, as the server heard it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::moment::Moment;

/// Words that come later than this after the voice began are not what began then.
const LONGEST_SPEECH: Duration = Duration::from_secs(30);

/// Words that come later than this after the voice fell silent are not what was said then.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// The callee's voice: words come seconds after they were begun to be spoken, and this tells when.
#[derive(Debug, Default)]
pub(super) struct Voice {
    is_active: bool,
    /// When the voice began whose words have not come yet.
    onset: Option<Moment>,
    /// When it fell silent.
    silent: Option<Moment>,
}

impl Voice {
    /// The voice is heard, or is not heard any more.
    pub(super) fn set(&mut self, is_active: bool, now: Moment) {
        if self.is_active == is_active {
            return;
        }
        self.is_active = is_active;
        if is_active {
            // A pause within a sentence is no new beginning; a cough long ago is none either.
            if self.current(now).is_none() {
                self.onset = Some(now);
            }
            self.silent = None;
        } else {
            self.silent = Some(now);
        }
    }

    /// When the words that come now were begun to be spoken, if that is known. Known once: the next
    /// words without a pause were begun later.
    pub(super) fn take(&mut self, now: Moment) -> Option<DateTime<Utc>> {
        let onset = self.current(now);
        self.onset = None;
        onset
    }

    fn current(&self, now: Moment) -> Option<DateTime<Utc>> {
        let onset = self.onset?;
        let is_stale = now.is_past(onset.tick, LONGEST_SPEECH)
            || self.silent.is_some_and(|silent| now.is_past(silent.tick, LONGEST_DELAY));
        (!is_stale).then_some(onset.at)
    }
}
