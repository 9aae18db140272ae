//! One clock for all sessions of a capture.

use std::collections::HashMap;
use std::io::{self, Read};

use chrono::DateTime;

use super::TICKS;
use crate::capture::{CaptureReader, Gap, PacketRecord, Record};

/// Sessions of one call; there is one more after each crash.
const MAX_SESSIONS: usize = 1_000;
/// What comes later is left out: no call is so long, and a damaged clock must not make a huge file.
pub(super) const MAX_TICKS: i64 = 12 * 3_600 * TICKS;

/// What a capture holds, in the order in which it was written.
#[derive(Debug)]
pub(super) enum Timed<'a> {
    /// A packet; times are in ticks since the first packet of the file.
    Packet {
        /// Counts sessions.
        session: u32,
        arrival: i64,
        packet: PacketRecord<'a>,
    },
    Gap(Gap),
    /// A packet after the longest time that is rendered.
    TooLate,
}

/// Reads a capture with all times on one clock, whose zero is the first packet.
pub(super) struct Timeline<R> {
    reader: CaptureReader<R>,
    clock: CallClock,
}

#[derive(Default)]
struct CallClock {
    /// The first packet's arrival in µs since 1970.
    first: Option<i64>,
    /// Of each session: its number, and how many µs are added to its times.
    sessions: HashMap<i64, (u32, i64)>,
    /// The latest time so far, in µs since 1970.
    latest: i64,
}

impl<R: Read> Timeline<R> {
    pub(super) fn new(input: R) -> Self {
        Self { reader: CaptureReader::new(input), clock: CallClock::default() }
    }

    /// Hands what is in the next good block to `take`; `false` at the end.
    pub(super) fn next_block(&mut self, mut take: impl FnMut(Timed<'_>)) -> io::Result<bool> {
        let clock = &mut self.clock;
        self.reader.next_block(|session, record| match record {
            Record::Gap(gap) => take(Timed::Gap(gap)),
            Record::Packet(packet) => {
                if let Some((session, arrival)) = clock.place(session, packet.arrival) {
                    take(Timed::Packet { session, arrival, packet });
                } else {
                    take(Timed::TooLate);
                }
            }
        })
    }

    /// Bytes that could not be understood so far.
    pub(super) fn damaged(&self) -> u64 {
        self.reader.damaged
    }

    /// The first packet's arrival in µs since 1970.
    pub(super) fn first(&self) -> Option<i64> {
        self.clock.first
    }
}

impl CallClock {
    /// The number of the session, and the packet's arrival in ticks since the first packet.
    fn place(&mut self, session: i64, arrival: u64) -> Option<(u32, i64)> {
        let arrival = session.saturating_add(i64::try_from(arrival).unwrap_or(i64::MAX));
        // A time that no calendar has is a damaged one.
        DateTime::from_timestamp_micros(arrival)?;
        let count = self.sessions.len();
        let (number, shift) = match self.sessions.get(&session) {
            Some(known) => *known,
            None if count >= MAX_SESSIONS => return None,
            None => {
                // A wall clock that was set back between two sessions must not lay one over the other.
                let shift = self.latest.saturating_sub(arrival).max(0);
                let known = (u32::try_from(count).unwrap_or(0), shift);
                *self.sessions.entry(session).or_insert(known)
            }
        };
        let arrival = arrival.saturating_add(shift);
        let since = arrival.saturating_sub(*self.first.get_or_insert(arrival));
        // 48 ticks are a millisecond.
        let ticks = since.checked_mul(6)? / 125;
        if ticks > MAX_TICKS {
            return None;
        }
        self.latest = self.latest.max(arrival);
        Some((number, ticks))
    }
}
