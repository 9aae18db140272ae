//! When to offer: one offer at a time, and re-offers only on a connected peer connection.

use livekit_protocol as proto;
use std::time::{Duration, Instant};
use str0m::{change::SdpPendingOffer, media::Mid};

/// Receiving m-lines in one session. Rooms with more talkers need a mixer, not this crate.
pub(crate) const MAX_SECTIONS: usize = 1024;
/// An offer without an answer for so long means the session is broken.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Default)]
pub(crate) struct Negotiation {
    pub(crate) wanted: bool,
    pub(crate) started: bool,
    pub(crate) restart: bool,
    pub(crate) in_flight: Option<InFlight>,
    /// Receiving m-lines that we have offered.
    pub(crate) sections: Vec<Mid>,
    /// Receiving m-lines that the server has asked for so far.
    needed: usize,
    last_id: u32,
    /// Last completed offer and answer, for the server after a resume.
    pub(crate) offer: Option<proto::SessionDescription>,
    pub(crate) answer: Option<proto::SessionDescription>,
}

pub(crate) struct InFlight {
    pub(crate) pending: SdpPendingOffer,
    pub(crate) offer: proto::SessionDescription,
    pub(crate) since: Instant,
}

impl Negotiation {
    /// Whether an offer may be made now. A re-offer before the connection is up makes the server's
    /// ICE agent restart and then refuse the answer, so it waits; an ICE restart is meant to.
    pub(crate) fn may_offer(&self, up: bool) -> bool {
        self.wanted && self.in_flight.is_none() && (!self.started || up || self.restart)
    }

    /// The server wants `more` receiving m-lines. While an offer is held, requests overlap: the
    /// largest counts.
    pub(crate) fn require(&mut self, more: usize) {
        self.needed = self.needed.max(self.sections.len().saturating_add(more)).min(MAX_SECTIONS);
        self.wanted = true;
    }

    pub(crate) fn missing_sections(&self) -> usize {
        self.needed.saturating_sub(self.sections.len())
    }

    pub(crate) fn next_id(&mut self) -> u32 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    /// Takes the offer that `answer` answers. `None`: it answers nothing that is open.
    pub(crate) fn answered(&mut self, answer: &proto::SessionDescription) -> Option<InFlight> {
        let open = self.in_flight.as_ref()?;
        // servers before v1 signalling leave the id 0
        if answer.id != 0 && answer.id != open.offer.id {
            return None;
        }
        self.in_flight.take()
    }

    pub(crate) fn overdue(&self, now: Instant) -> bool {
        self.in_flight.as_ref().is_some_and(|f| now.duration_since(f.since) > ANSWER_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_re_offers_until_connected() {
        let mut negotiation = Negotiation { wanted: true, ..Default::default() };
        assert!(negotiation.may_offer(false));
        negotiation.started = true;
        assert!(!negotiation.may_offer(false));
        assert!(negotiation.may_offer(true));
        negotiation.restart = true;
        assert!(negotiation.may_offer(false));
    }

    #[test]
    fn keeps_the_largest_requirement() {
        let mut negotiation = Negotiation::default();
        negotiation.require(3);
        negotiation.require(1);
        assert_eq!(negotiation.missing_sections(), 3);
        negotiation.require(usize::MAX);
        assert_eq!(negotiation.missing_sections(), MAX_SECTIONS);
    }
}
