//! Whether media flows, after the answer.

use std::time::{Duration, Instant};

use outdial_domain::OneWay;

use super::Event;

/// After so long without a packet audio may go one way only.
const ONE_WAY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Watch {
    no_media: Duration,
    silence: Duration,
    /// Since when something should come: the answer, or the end of a hold. `None`: nothing need come.
    since: Option<Instant>,
    /// When something came, after the answer.
    alive: Option<Instant>,
    /// RTP came after the answer.
    heard: bool,
    told_one_way: bool,
    told_no_media: bool,
    told_silence: bool,
}

impl Watch {
    pub(super) fn new(no_media: Duration, silence: Duration) -> Self {
        Self {
            no_media,
            silence,
            since: None,
            alive: None,
            heard: false,
            told_one_way: false,
            told_no_media: false,
            told_silence: false,
        }
    }

    /// Whether something should come from now on.
    pub(super) fn expect(&mut self, expected: bool, now: Instant) {
        self.since = expected.then(|| self.since.unwrap_or(now));
    }

    /// A packet came after the answer: `rtp`, or only RTCP. That is a sign of life as well: who does
    /// not send silence may be silent for long.
    pub(super) fn hear(&mut self, rtp: bool, now: Instant) -> Option<Event> {
        self.alive = Some(now);
        self.heard |= rtp;
        std::mem::take(&mut self.told_silence).then_some(Event::MediaBack)
    }

    pub(super) fn tick(&mut self, sending: bool, now: Instant) -> Option<Event> {
        let since = self.since?;
        let passed = |at| now.saturating_duration_since(at);
        if self.heard {
            let alive = self.alive.map_or(since, |at| at.max(since));
            return (passed(alive) >= self.silence
                && !std::mem::replace(&mut self.told_silence, true))
            .then_some(Event::MediaSilence);
        }
        if passed(since) >= self.no_media && !std::mem::replace(&mut self.told_no_media, true) {
            return Some(Event::NoMedia);
        }
        let one_way = sending && passed(since) >= ONE_WAY;
        (one_way && !std::mem::replace(&mut self.told_one_way, true))
            .then_some(Event::OneWay(OneWay::CalleeNotHeard))
    }

    /// Nothing was ever heard, though it should have been.
    pub(super) fn is_one_way(&self) -> bool {
        self.told_one_way && !self.heard
    }
}
