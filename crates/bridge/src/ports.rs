//! The UDP ports of calls: an even one for RTP and the odd one above it for RTCP.
//!
//! A pair that a call used rests for a while, and pairs are taken in turn: what is still on its
//! way to an old call never reaches a new one.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::rtp::Channel;

#[cfg(test)]
mod tests;

/// How long a pair rests after a call. Packets are not on their way for longer.
pub(crate) const COOLDOWN: Duration = Duration::from_secs(5);

/// All pairs of the server. A clone is another handle on the same.
#[derive(Debug, Clone)]
pub(crate) struct Ports {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    bind: IpAddr,
    range: RangeInclusive<u16>,
    /// The lowest even port.
    first: u16,
    pairs: u16,
    cooldown: Duration,
    slots: Mutex<Slots>,
}

#[derive(Debug)]
struct Slots {
    /// The pair to try next, counted from the first.
    next: u16,
    /// Pairs that are not free, by number.
    taken: HashMap<u16, Slot>,
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    InUse,
    RestsUntil(Instant),
}

/// Two bound sockets that do not block. Dropping closes them and gives the ports back.
#[derive(Debug)]
pub(crate) struct PortPair {
    /// On the even port.
    pub(crate) rtp: Arc<UdpSocket>,
    /// On the port above.
    pub(crate) rtcp: Arc<UdpSocket>,
    // Last: the ports are given back after the sockets are closed.
    lease: Lease,
}

#[derive(Debug)]
struct Lease {
    pool: Arc<Pool>,
    number: u16,
    /// Only a pair that was ours has to rest.
    bound: bool,
}

/// Why there are no ports.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PortsError {
    /// The setting makes no sense.
    #[error("sip.rtp_ports: {0:?} holds no pair of an even port and the next")]
    Range(RangeInclusive<u16>),
    /// All are taken.
    #[error(
        "no free pair of UDP ports in sip.rtp_ports ({range:?}): {in_use} used by calls, {resting} \
         rest after a call, {foreign} used by other programs; a wider range helps"
    )]
    Exhausted {
        /// The setting.
        range: RangeInclusive<u16>,
        /// Pairs with a call.
        in_use: usize,
        /// Pairs that had one a moment ago.
        resting: usize,
        /// Pairs that somebody else has.
        foreign: usize,
    },
    /// The system gives no socket: the address is not of this machine, or there are too many
    /// open files.
    #[error("cannot bind UDP {address}:{port} (sip.rtp_ports): {source}")]
    Bind {
        /// Where.
        address: IpAddr,
        /// The even port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
}

impl Ports {
    /// Pairs within `range`, bound to `bind`. The first to be used is a random one, so that a
    /// restarted server does not begin with the ports of its last calls.
    pub(crate) fn new(
        bind: IpAddr,
        range: RangeInclusive<u16>,
        cooldown: Duration,
    ) -> Result<Self, PortsError> {
        let first = u32::from(*range.start()).next_multiple_of(2);
        let ports = (u32::from(*range.end()) + 1).saturating_sub(first);
        let (Ok(first), Ok(pairs @ 1..)) = (u16::try_from(first), u16::try_from(ports / 2)) else {
            return Err(PortsError::Range(range));
        };
        // Port 0 means "any" to the system.
        if first == 0 {
            return Err(PortsError::Range(range));
        }
        let next = rand::random_range(0..pairs);
        let slots = Mutex::new(Slots { next, taken: HashMap::new() });
        Ok(Self { pool: Arc::new(Pool { bind, range, first, pairs, cooldown, slots }) })
    }

    /// How many calls can be at once, if no other program is in the range.
    #[cfg(test)]
    pub(crate) fn pairs(&self) -> usize {
        self.pool.pairs.into()
    }

    /// Takes the next free pair.
    pub(crate) fn take(&self, now: Instant) -> Result<PortPair, PortsError> {
        // Kept until the end, so that none is tried twice.
        let mut foreign = Vec::new();
        while let Some(mut lease) = self.reserve(now) {
            let port = self.pool.first + 2 * lease.number;
            match bind_pair(self.pool.bind, port) {
                Ok((rtp, rtcp)) => {
                    lease.bound = true;
                    return Ok(PortPair { rtp: Arc::new(rtp), rtcp: Arc::new(rtcp), lease });
                }
                // Low ports are refused to ordinary users, one by one.
                Err(error) if is_taken(&error) => foreign.push(lease),
                Err(source) => {
                    return Err(PortsError::Bind { address: self.pool.bind, port, source });
                }
            }
        }
        Err(self.exhausted(now, foreign.len()))
    }

    /// Reserves the next pair that no call has or had a moment ago.
    fn reserve(&self, now: Instant) -> Option<Lease> {
        let mut slots = self.pool.slots();
        for _ in 0..self.pool.pairs {
            let number = slots.next;
            slots.next = (number + 1) % self.pool.pairs;
            let free = match slots.taken.get(&number) {
                None => true,
                Some(Slot::InUse) => false,
                Some(Slot::RestsUntil(end)) => *end <= now,
            };
            if free {
                slots.taken.insert(number, Slot::InUse);
                return Some(Lease { pool: Arc::clone(&self.pool), number, bound: false });
            }
        }
        None
    }

    fn exhausted(&self, now: Instant, foreign: usize) -> PortsError {
        let slots = self.pool.slots();
        let reserved = slots.taken.values().filter(|slot| matches!(slot, Slot::InUse)).count();
        let in_use = reserved.saturating_sub(foreign);
        let rests = |slot: &&Slot| matches!(slot, Slot::RestsUntil(end) if *end > now);
        let resting = slots.taken.values().filter(rests).count();
        PortsError::Exhausted { range: self.pool.range.clone(), in_use, resting, foreign }
    }
}

impl Pool {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PortPair {
    /// From which a datagram is to be sent.
    pub(crate) fn socket(&self, channel: Channel) -> &Arc<UdpSocket> {
        match channel {
            Channel::Rtp => &self.rtp,
            Channel::Rtcp => &self.rtcp,
        }
    }

    /// The even port.
    pub(crate) fn port(&self) -> u16 {
        self.lease.pool.first + 2 * self.lease.number
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut slots = self.pool.slots();
        if self.bound {
            let end = Instant::now() + self.pool.cooldown;
            slots.taken.insert(self.number, Slot::RestsUntil(end));
        } else {
            slots.taken.remove(&self.number);
        }
    }
}

fn bind_pair(address: IpAddr, port: u16) -> io::Result<(UdpSocket, UdpSocket)> {
    let bind = |port| {
        let socket = UdpSocket::bind((address, port))?;
        socket.set_nonblocking(true)?;
        Ok::<_, io::Error>(socket)
    };
    Ok((bind(port)?, bind(port + 1)?))
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}
