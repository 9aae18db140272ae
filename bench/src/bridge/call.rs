//! A call under test: what is sent and heard each way.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::sound::{self, Heard, Marks, SAMPLES};

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    /// What is dialled: `+` and digits, unlike any other of the process.
    pub(crate) number: String,
    /// From the phone to the agent.
    pub(crate) to_room: Arc<Way>,
    /// From the agent to the phone.
    pub(crate) to_phone: Arc<Way>,
    /// Where the phone sends to, by the SDP offer.
    pub(crate) remote: Mutex<Option<SocketAddr>>,
    /// The phone has answered and nobody has hung up.
    pub(crate) talks: AtomicBool,
    /// The phone was told that the call is over.
    pub(crate) ended: AtomicBool,
    /// What the phone hears.
    pub(crate) ear: Mutex<Ear>,
}

impl Call {
    pub(crate) fn new(number: String) -> Self {
        let (to_room, to_phone) = (Arc::new(Way::new()), Arc::new(Way::new()));
        let ear = Mutex::new(Ear::new(Arc::clone(&to_phone)));
        let (remote, talks, ended) = Default::default();
        Self { number, to_room, to_phone, remote, talks, ended, ear }
    }
}

/// A lock of a thread that panicked is as good as any: the benchmark fails anyway.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One direction of a call, counted at both ends.
#[derive(Debug)]
pub(crate) struct Way {
    began: Instant,
    /// When the last mark was sent, in µs since `began`; 0: none yet, or heard.
    marked_at: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    lost: AtomicU64,
    silent: AtomicU64,
    marks: AtomicU64,
    latencies: Mutex<Vec<Duration>>,
}

/// Counters of one direction, or of many together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Packets sent.
    pub(crate) sent: u64,
    /// Packets received.
    pub(crate) received: u64,
    /// Missing by sequence number, or by timestamp where the sequence numbers have no gap.
    pub(crate) lost: u64,
    /// Frames of digital silence, which nobody sent.
    pub(crate) silent: u64,
    /// Marks sent.
    pub(crate) marks: u64,
}

impl Counts {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            received: self.received + other.received,
            lost: self.lost + other.lost,
            silent: self.silent + other.silent,
            marks: self.marks + other.marks,
        }
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            sent: self.sent - earlier.sent,
            received: self.received - earlier.received,
            // a late packet takes back a loss
            lost: self.lost.saturating_sub(earlier.lost),
            silent: self.silent - earlier.silent,
            marks: self.marks - earlier.marks,
        }
    }
}

impl Way {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            marked_at: AtomicU64::default(),
            sent: AtomicU64::default(),
            received: AtomicU64::default(),
            lost: AtomicU64::default(),
            silent: AtomicU64::default(),
            marks: AtomicU64::default(),
            latencies: Mutex::default(),
        }
    }

    /// A packet leaves; `mark` when a mark begins with its first sample.
    pub(crate) fn sending(&self, mark: bool) {
        self.sent.fetch_add(1, Relaxed);
        if mark {
            self.marks.fetch_add(1, Relaxed);
            self.marked_at.store(self.micros(Instant::now()), Relaxed);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
            lost: self.lost.load(Relaxed),
            silent: self.silent.load(Relaxed),
            marks: self.marks.load(Relaxed),
        }
    }

    /// The latencies of the marks since it was last asked.
    pub(crate) fn take_latencies(&self) -> Vec<Duration> {
        std::mem::take(&mut *lock(&self.latencies))
    }

    fn heard_mark(&self, at: Instant) {
        let marked_at = self.marked_at.swap(0, Relaxed);
        if marked_at > 0 {
            let latency = self.micros(at).saturating_sub(marked_at);
            lock(&self.latencies).push(Duration::from_micros(latency));
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }
}

/// A received packet, as far as an [`Ear`] cares.
pub(crate) struct Packet<'a> {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    /// Ticks of the timestamp in 20 ms.
    pub(crate) ticks: u32,
    /// Opus, or else µ-law.
    pub(crate) opus: bool,
    pub(crate) payload: &'a [u8],
    pub(crate) arrived: Instant,
}

/// Hears one direction: counts what is missing, and finds the marks.
pub(crate) struct Ear {
    way: Arc<Way>,
    marks: Marks,
    decoder: Option<opus::Decoder>,
    /// SSRC, sequence number and timestamp of the newest packet.
    last: Option<(u32, u64, u32)>,
}

impl std::fmt::Debug for Ear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ear").finish_non_exhaustive()
    }
}

impl Ear {
    pub(crate) fn new(way: Arc<Way>) -> Self {
        Self { way, marks: Marks::default(), decoder: None, last: None }
    }

    /// The sequence number without the wrap, by the newest packet.
    pub(crate) fn extend(&self, sequence: u16) -> u64 {
        let last = self.last.map_or(u64::from(sequence) + (1 << 16), |(_, last, _)| last);
        #[expect(clippy::cast_possible_truncation, reason = "the low half is what was on the wire")]
        let ahead = sequence.wrapping_sub(last as u16).cast_signed();
        last.saturating_add_signed(ahead.into())
    }

    pub(crate) fn hear(&mut self, packet: &Packet<'_>) {
        self.way.received.fetch_add(1, Relaxed);
        self.count_lost(packet);
        let heard = if packet.opus {
            let mut samples = [0; 6 * SAMPLES]; // 120 ms, the longest there is
            let count = self.decode(packet.payload, &mut samples);
            self.marks.hear(samples.into_iter().take(count))
        } else {
            self.marks.hear(packet.payload.iter().map(|code| sound::of_ulaw(*code)))
        };
        match heard {
            // it could be played when the packet came, this far behind the packet's start
            Heard::Mark(sample) => {
                let behind = Duration::from_micros(sample as u64 * 125);
                self.way.heard_mark(packet.arrived + behind);
            }
            Heard::Silence => _ = self.way.silent.fetch_add(1, Relaxed),
            Heard::Speech => {}
        }
    }

    fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> usize {
        if self.decoder.is_none() {
            self.decoder = opus::Decoder::new(8_000, opus::Channels::Mono).ok();
        }
        self.decoder.as_mut().and_then(|d| d.decode(payload, samples, false).ok()).unwrap_or(0)
    }

    fn count_lost(&mut self, packet: &Packet<'_>) {
        let last = self.last.replace((packet.ssrc, packet.sequence, packet.timestamp));
        let Some((ssrc, sequence, timestamp)) = last.filter(|last| last.0 == packet.ssrc) else {
            return;
        };
        if packet.sequence <= sequence {
            self.last = Some((ssrc, sequence, timestamp));
            // it was counted as lost when a later one came
            let taken_back = |lost: u64| lost.checked_sub(1);
            _ = self.way.lost.fetch_update(Relaxed, Relaxed, taken_back);
            return;
        }
        let frames = packet.timestamp.wrapping_sub(timestamp) / packet.ticks.max(1);
        // a stream that starts again with another clock is no loss
        let skipped = if frames < 500 { u64::from(frames).saturating_sub(1) } else { 0 };
        let missing = (packet.sequence - sequence - 1).max(skipped);
        self.way.lost.fetch_add(missing, Relaxed);
    }
}
