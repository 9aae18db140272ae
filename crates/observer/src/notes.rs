//! What an observer makes of what it sees and hears: hints. Pure.

use livekit_protocol::DisconnectReason;
use outdial_domain::{Hint, Speaker, TranscriptStatus};
use tokio::time::Instant;

use crate::ending::Ending;
use crate::moment::Moment;
use crate::people::{People, Sighting};
use crate::transcript::{Collector, Header};

/// The notes about one call. Each method returns the hints that are new.
#[derive(Debug)]
pub(crate) struct Notes {
    callee: String,
    people: People,
    transcript: Collector,
    ending: Ending,
    /// We are in the room: nothing is missed any more.
    is_listening: bool,
    is_over: bool,
}

impl Notes {
    /// Empty ones, about a call to the participant `callee`.
    pub(crate) fn new(callee: &str) -> Self {
        Self {
            callee: callee.to_owned(),
            people: People::new(callee),
            transcript: Collector::default(),
            ending: Ending::default(),
            is_listening: false,
            is_over: false,
        }
    }

    /// Whether everything has been told, to the end of the transcript.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the callee's leg has ended.
    pub(crate) fn leg_has_ended(&self) -> bool {
        self.ending.leg.is_some()
    }

    /// How many streams were none that an agent sends.
    pub(crate) fn ignored(&self) -> u64 {
        self.transcript.ignored()
    }

    /// Whose words or voice come from, or on behalf of, `identity`.
    pub(crate) fn speaker(&self, identity: &str) -> Option<Speaker> {
        self.people.speaker(identity)
    }

    /// We are in the room, and have seen who was there before us.
    pub(crate) fn listening(&mut self) {
        self.is_listening = true;
    }

    /// Something was missed, or may have been.
    pub(crate) fn missed(&mut self) {
        self.ending.is_partial = true;
    }

    /// Nothing could be heard so far.
    pub(crate) fn deaf(&mut self) {
        self.ending.is_partial |= self.people.may_have_spoken();
    }

    /// We are the leg, and the callee has answered.
    pub(crate) fn leg_answered(&mut self) {
        self.people.leg_answered();
        self.ending.is_partial |= !self.is_listening;
    }

    /// We are the leg, and it has ended.
    pub(crate) fn leg_ended(&mut self, now: Moment) {
        self.people.leg_ended();
        self.ending.leg.get_or_insert(now.tick);
    }

    /// The connection was lost: streams are cut off, and others may have been missed.
    pub(crate) fn cut_off(&mut self, now: Moment) {
        self.missed();
        self.transcript.agent_left("", true, now);
    }

    /// Someone is there, or has changed.
    pub(crate) fn see(&mut self, who: Sighting<'_>, now: Moment) -> Vec<Hint> {
        let hints = self.people.see(who, now);
        // Spoken before we listened: after that, nothing is missed.
        self.ending.is_partial |= !self.is_listening && self.people.may_have_spoken();
        self.follow(&hints, now);
        hints
    }

    /// Someone left, and was last seen like this.
    pub(crate) fn leave(
        &mut self,
        who: Sighting<'_>,
        reason: DisconnectReason,
        now: Moment,
    ) -> Vec<Hint> {
        let hints = self.people.leave(who, reason, now);
        if self.people.speaker(who.identity) == Some(Speaker::Agent) {
            self.transcript.agent_left(who.identity, !self.people.has_agent(), now);
        }
        self.follow(&hints, now);
        hints
    }

    /// Of all who were there only these still are.
    pub(crate) fn only(&mut self, there: &[&str], now: Moment) -> Vec<Hint> {
        let hints = self.people.only(there, now);
        self.follow(&hints, now);
        hints
    }

    fn follow(&mut self, hints: &[Hint], now: Moment) {
        for hint in hints {
            match hint {
                Hint::Ended { .. } => self.ending.leg = Some(now.tick),
                Hint::AgentJoined { .. } => self.ending.agent_left = None,
                Hint::AgentLeft { .. } => self.ending.agent_left = Some(now.tick),
                _ => {}
            }
        }
    }

    /// A stream of the transcript was opened, by an agent on behalf of `header.identity`.
    pub(crate) fn open(&mut self, header: Header<'_>, now: Moment) {
        self.ending.heard = Some(now.tick);
        self.transcript.open(header, now);
    }

    /// A stream, perhaps one of the transcript, brought text.
    pub(crate) fn append(&mut self, stream: &str, text: &str, now: Moment) {
        self.ending.heard = Some(now.tick);
        self.transcript.append(stream, text);
    }

    /// A stream, perhaps one of the transcript, was closed.
    pub(crate) fn close(&mut self, stream: &str, is_final: bool, now: Moment) {
        self.ending.heard = Some(now.tick);
        self.transcript.close(stream, is_final, now);
    }

    /// A stream, perhaps one of the transcript, broke off.
    pub(crate) fn fail(&mut self, stream: &str, is_lost: bool, now: Moment) {
        self.transcript.fail(stream, is_lost, now);
    }

    /// A voice is heard, or is not heard any more.
    pub(crate) fn voice(&mut self, identity: &str, is_active: bool, now: Moment) {
        if identity == self.callee {
            self.transcript.voice(is_active, now);
        }
    }

    /// When to [`tick`](Self::tick), though nothing may have come by then.
    pub(crate) fn due(&self) -> Option<Instant> {
        let end = self.ending.due(self.transcript.is_open());
        let dues = [end, self.transcript.due(), self.people.due()];
        if self.is_over { None } else { dues.into_iter().flatten().min() }
    }

    /// The lines whose turn has come, and the end when all has been told. To be called after
    /// whatever came, and when it is due.
    pub(crate) fn tick(&mut self, now: Moment) -> Vec<Hint> {
        if self.is_over {
            return Vec::new();
        }
        let mut hints: Vec<_> = self.people.tick(now).into_iter().collect();
        self.follow(&hints, now);
        if self.ending.due(self.transcript.is_open()).is_some_and(|due| due <= now.tick) {
            hints.extend(self.finish(now));
        } else {
            hints.extend(self.transcript.take(now).into_iter().map(Hint::Line));
        }
        hints
    }

    /// The room was deleted, which ends the leg. Who deletes it while words are being told cuts
    /// them off.
    pub(crate) fn room_deleted(&mut self, now: Moment) -> Vec<Hint> {
        self.ending.is_partial |= !self.people.is_over() && self.transcript.is_open();
        let mut hints = self.people.room_deleted(now);
        hints.extend(self.finish(now));
        hints
    }

    /// The room is gone, we do not know how.
    pub(crate) fn room_gone(&mut self, now: Moment) -> Vec<Hint> {
        self.ending.is_partial |= !self.people.is_over();
        let mut hints = self.people.room_gone(now);
        hints.extend(self.finish(now));
        hints
    }

    /// We are out of the room for good. What may have been said after that is missing, unless the
    /// leg had ended.
    pub(crate) fn shut_out(&mut self, now: Moment) -> Vec<Hint> {
        self.ending.is_partial |= !self.people.is_over();
        self.finish(now)
    }

    fn finish(&mut self, now: Moment) -> Vec<Hint> {
        if std::mem::replace(&mut self.is_over, true) {
            return Vec::new();
        }
        let mut hints: Vec<_> = self.transcript.flush(now).into_iter().map(Hint::Line).collect();
        hints.push(Hint::TranscriptEnded { status: self.status() });
        hints
    }

    fn status(&self) -> TranscriptStatus {
        self.ending.status(self.transcript.is_lost())
    }
}

#[cfg(test)]
mod tests;
