//! The peer's streams: which packets are new, and what is counted (RFC 3550, appendix A).

use std::time::{Duration, Instant};

use super::ticks;

/// Sequence numbers that may be missing before it is a new start (RFC 3550, A.1).
const MAX_DROPOUT: u16 = 3_000;
/// How far behind a packet may come: at 10 ms a packet more than a second.
const WINDOW: u16 = 128;
/// A timestamp so far behind belongs to the same past as its sequence number: a minute.
const PAST: i32 = 60 * 8_000;
/// A second SSRC takes over at once when the first is silent for so long,
const QUIET: Duration = Duration::from_millis(100);
/// or when so many of its packets came with none of the first between.
const TAKEOVER: u32 = 3;

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The next of its stream, perhaps with some missing before it; or the first of a new one.
    Next { fresh: bool },
    /// It comes behind later ones, for the first time.
    Late,
    /// Seen before.
    Duplicate,
    /// Too late, or of a stream that is not heard (yet).
    Unwanted,
}

/// Of an RTP header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
}

#[derive(Debug)]
pub(super) struct Reception {
    epoch: Instant,
    stream: Option<Stream>,
    /// A second SSRC, and its packets in a row.
    other: Option<(u32, u32)>,
    /// Streams so far.
    streams: u32,
    /// Lost packets of the streams before.
    lost_before: u64,
    max_jitter: u32,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    /// Extended sequence numbers: the first, the highest.
    first: u64,
    highest: u64,
    timestamp: u32,
    /// The packets of the last [`WINDOW`] numbers; bit 0 is the highest.
    window: u128,
    received: u64,
    /// A number far off came; when this is the next one, the stream begins anew.
    restart: Option<u16>,
    heard: Instant,
    /// In ticks, times 16.
    jitter: u32,
    transit: Option<u32>,
    /// Expected and received at the last report.
    reported: (u64, u64),
}

/// What a report block says (RFC 3550, section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) ssrc: u32,
    pub(super) fraction_lost: u8,
    pub(super) lost: u32,
    pub(super) highest: u32,
    pub(super) jitter: u32,
}

impl Reception {
    pub(super) fn new(now: Instant) -> Self {
        Self { epoch: now, stream: None, other: None, streams: 0, lost_before: 0, max_jitter: 0 }
    }

    /// Streams so far: the number of the current one.
    pub(super) fn streams(&self) -> u32 {
        self.streams
    }

    /// Takes a packet of audio.
    pub(super) fn audio(&mut self, header: Header, now: Instant) -> Arrival {
        if !self.is_heard(header.ssrc, now) {
            return Arrival::Unwanted;
        }
        let arrival = self.count(header, now);
        if let Arrival::Next { .. } = arrival {
            let passed = ticks(now.saturating_duration_since(self.epoch)) as u32;
            if let Some(stream) = &mut self.stream {
                let transit = passed.wrapping_sub(header.timestamp);
                if let Some(before) = stream.transit.replace(transit) {
                    let off = transit.wrapping_sub(before).cast_signed().unsigned_abs();
                    // A jump of the peer's clock is no jitter.
                    if off < 8_000 {
                        stream.jitter =
                            (stream.jitter + off).saturating_sub((stream.jitter + 8) >> 4);
                    }
                }
                self.max_jitter = self.max_jitter.max(stream.jitter >> 4);
            }
        }
        arrival
    }

    /// Takes a packet of something else. It is of the stream or of none.
    pub(super) fn other(&mut self, header: Header, now: Instant) -> Arrival {
        match &self.stream {
            Some(stream) if stream.ssrc == header.ssrc => self.count(header, now),
            _ => Arrival::Next { fresh: false },
        }
    }

    /// Packets that never came.
    pub(super) fn lost(&self) -> u64 {
        self.lost_before + self.stream.as_ref().map_or(0, Stream::lost)
    }

    /// Jitter now and the highest, in ticks.
    pub(super) fn jitter(&self) -> (u32, u32) {
        (self.stream.as_ref().map_or(0, |stream| stream.jitter >> 4), self.max_jitter)
    }

    /// For a report; begins the interval of the next.
    pub(super) fn report(&mut self) -> Option<Counted> {
        let stream = self.stream.as_mut()?;
        let (expected, received) = (stream.expected(), stream.received);
        let (expected_before, received_before) =
            std::mem::replace(&mut stream.reported, (expected, received));
        let interval = expected.saturating_sub(expected_before);
        let lost = interval.saturating_sub(received - received_before);
        let fraction = (lost << 8).checked_div(interval).unwrap_or(0).min(255);
        Some(Counted {
            ssrc: stream.ssrc,
            fraction_lost: fraction as u8,
            lost: stream.lost().min(0x7F_FFFF) as u32,
            highest: stream.highest as u32,
            jitter: stream.jitter >> 4,
        })
    }

    /// One SSRC is heard at a time: two that come together are not mixed into one.
    fn is_heard(&mut self, ssrc: u32, now: Instant) -> bool {
        let Some(stream) = &self.stream else { return true };
        if stream.ssrc == ssrc {
            self.other = None;
            return true;
        }
        let row = match self.other {
            Some((other, row)) if other == ssrc => row + 1,
            _ => 1,
        };
        self.other = Some((ssrc, row));
        row >= TAKEOVER || now.saturating_duration_since(stream.heard) >= QUIET
    }

    fn count(&mut self, header: Header, now: Instant) -> Arrival {
        match &mut self.stream {
            Some(stream) if stream.ssrc == header.ssrc => match stream.count(header, now) {
                Some(arrival) => arrival,
                None => self.begin(header, now),
            },
            _ => self.begin(header, now),
        }
    }

    fn begin(&mut self, header: Header, now: Instant) -> Arrival {
        self.lost_before += self.stream.as_ref().map_or(0, Stream::lost);
        self.stream = Some(Stream::new(header, now));
        self.other = None;
        self.streams = self.streams.wrapping_add(1);
        Arrival::Next { fresh: true }
    }
}

impl Stream {
    fn new(header: Header, now: Instant) -> Self {
        // A cycle ahead, so that what comes before the first is above 0.
        let first = u64::from(header.sequence) + (1 << 16);
        Self {
            ssrc: header.ssrc,
            first,
            highest: first,
            timestamp: header.timestamp,
            window: 1,
            received: 1,
            restart: None,
            heard: now,
            jitter: 0,
            transit: None,
            reported: (0, 0),
        }
    }

    fn expected(&self) -> u64 {
        self.highest - self.first + 1
    }

    fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    /// `None` when the stream begins anew.
    fn count(&mut self, header: Header, now: Instant) -> Option<Arrival> {
        let ahead = header.sequence.wrapping_sub(self.highest as u16);
        let behind = ahead.wrapping_neg();
        self.heard = now;
        if (1..MAX_DROPOUT).contains(&ahead) {
            self.highest += u64::from(ahead);
            self.window = self.window.checked_shl(ahead.into()).unwrap_or(0) | 1;
            self.timestamp = header.timestamp;
            self.received += 1;
            self.restart = None;
            return Some(Arrival::Next { fresh: false });
        }
        let past = self.timestamp.wrapping_sub(header.timestamp).cast_signed();
        if behind < WINDOW {
            let bit = 1 << behind;
            if self.window & bit != 0 {
                return Some(Arrival::Duplicate);
            }
            self.window |= bit;
            let number = self.highest - u64::from(behind);
            self.first = self.first.min(number);
            self.received += 1;
            return Some(Arrival::Late);
        }
        if behind < MAX_DROPOUT && (0..PAST).contains(&past) {
            return Some(Arrival::Unwanted);
        }
        if self.restart == Some(header.sequence) {
            return None;
        }
        self.restart = Some(header.sequence.wrapping_add(1));
        Some(Arrival::Unwanted)
    }
}
