//! Where the peer's packets may come from.
//!
//! The address of the SDP is always right. Behind a NAT packets come from somewhere else; so another
//! source may be learned: once per SDP, after the answer, of an address that is trusted, when nothing
//! comes from the SDP's, and after some packets in a row that are good. Then it is the only one
//! besides the SDP's. All others are strangers: not heard, not answered.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ipnet::IpNet;

/// Good packets in a row that make a source.
const ENOUGH: u32 = 5;
/// How long after the answer, or after its SDP, the SDP's address has the first word.
const SETTLE: Duration = Duration::from_millis(200);
/// A source of the SDP's address that was heard is silent when so long nothing came.
const SILENT: Duration = Duration::from_secs(5);
/// Sources that are looked at together.
const CANDIDATES: usize = 4;

/// What a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The address of the SDP.
    Signalled,
    /// The one that was learned.
    Learned,
    /// May become that.
    Candidate,
    /// None of ours.
    Stranger,
}

#[derive(Debug, Default)]
pub(super) struct Latch {
    signalled: Option<SocketAddr>,
    trusted: Vec<IpNet>,
    learned: Option<SocketAddr>,
    /// A source was learned for this SDP.
    used: bool,
    answered: bool,
    /// Since when its address could have sent: the SDP or the answer, what was later.
    since: Option<Instant>,
    /// When a packet came from the SDP's address.
    heard: Option<Instant>,
    candidates: Vec<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    from: SocketAddr,
    ssrc: u32,
    sequence: u16,
    good: u32,
    seen: Instant,
}

impl Latch {
    /// What an SDP says. The same address again changes nothing; none leaves what was.
    pub(super) fn signal(&mut self, address: Option<SocketAddr>, trusted: &[IpNet], now: Instant) {
        self.trusted = trusted.to_vec();
        let Some(address) = address.map(canonical) else { return };
        if self.signalled != Some(address) {
            let (answered, since) = (self.answered, self.answered.then_some(now));
            let trusted = std::mem::take(&mut self.trusted);
            let signalled = Some(address);
            *self = Self { signalled, trusted, answered, since, ..Self::default() };
        }
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.answered = true;
        self.since.get_or_insert(now);
    }

    /// Where to send to.
    pub(super) fn target(&self) -> Option<SocketAddr> {
        self.learned.or(self.signalled)
    }

    /// Whether a source was learned.
    pub(super) fn has_learned(&self) -> bool {
        self.learned.is_some()
    }

    pub(super) fn place(&self, from: SocketAddr, now: Instant) -> Place {
        let Some(signalled) = self.signalled else { return Place::Stranger };
        let from = canonical(from);
        if from == signalled {
            Place::Signalled
        } else if self.learned == Some(from) {
            Place::Learned
        } else if self.may_learn(now) && self.trusts(signalled.ip(), from.ip()) {
            Place::Candidate
        } else {
            Place::Stranger
        }
    }

    /// Whether RTCP may come from there: the sources of RTP, and the ports above.
    pub(super) fn is_rtcp_source(&self, from: SocketAddr, signalled: Option<SocketAddr>) -> bool {
        let from = canonical(from);
        let near = |rtp: SocketAddr| from == rtp || Some(from) == above(rtp);
        self.signalled.is_some()
            && (signalled.map(canonical) == Some(from)
                || self.signalled.is_some_and(near)
                || self.learned.is_some_and(near))
    }

    /// A good packet came from the SDP's address. Says from where the audio moved, if it did.
    pub(super) fn hear(&mut self, now: Instant) -> Option<(SocketAddr, SocketAddr)> {
        self.heard = Some(now);
        self.candidates.clear();
        Some((self.learned.take()?, self.signalled?))
    }

    /// A good packet came from a candidate. Says from where the audio moved, if now it did.
    pub(super) fn consider(
        &mut self,
        from: SocketAddr,
        ssrc: u32,
        sequence: u16,
        now: Instant,
    ) -> Option<(SocketAddr, SocketAddr)> {
        let from = canonical(from);
        let known = self.candidates.iter_mut().find(|candidate| candidate.from == from);
        let Some(candidate) = known else {
            if self.candidates.len() >= CANDIDATES {
                let oldest =
                    (0..self.candidates.len()).min_by_key(|&at| self.candidates[at].seen)?;
                self.candidates.swap_remove(oldest);
            }
            self.candidates.push(Candidate { from, ssrc, sequence, good: 1, seen: now });
            return None;
        };
        let follows = candidate.ssrc == ssrc && sequence == candidate.sequence.wrapping_add(1);
        let good = if follows { candidate.good + 1 } else { 1 };
        *candidate = Candidate { from, ssrc, sequence, good, seen: now };
        if good < ENOUGH {
            return None;
        }
        self.candidates.clear();
        self.used = true;
        let before = self.target()?;
        self.learned = Some(from);
        Some((before, from))
    }

    fn may_learn(&self, now: Instant) -> bool {
        let settled = |since| now.saturating_duration_since(since) >= SETTLE;
        let silent = |heard| now.saturating_duration_since(heard) >= SILENT;
        !self.used && self.since.is_some_and(settled) && self.heard.is_none_or(silent)
    }

    fn trusts(&self, signalled: IpAddr, ip: IpAddr) -> bool {
        ip == signalled || self.trusted.iter().any(|net| net.contains(&ip))
    }
}

/// The port above: RTCP's, when nothing else was said.
pub(super) fn above(rtp: SocketAddr) -> Option<SocketAddr> {
    Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?))
}

/// Sockets for both versions of IP show IPv4 as IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
