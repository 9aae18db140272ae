//! Our stream.

use std::time::{Duration, Instant};

use super::{RtpSettings, ticks};

/// After so long without a frame there was a pause, not just a thread that was late.
const PAUSE: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub(super) struct Sender {
    pub(super) ssrc: u32,
    sequence: u16,
    /// Of the next frame.
    timestamp: u32,
    /// When the last frame was begun, and its timestamp.
    last: Option<(Instant, u32)>,
    /// How many packets, and octets of payload (RFC 3550, section 6.4.1).
    pub(super) packets: u64,
    pub(super) octets: u32,
}

impl Sender {
    pub(super) fn new(settings: &RtpSettings) -> Self {
        Self {
            ssrc: settings.ssrc,
            sequence: settings.sequence,
            timestamp: settings.timestamp,
            last: None,
            packets: 0,
            octets: 0,
        }
    }

    /// Begins a frame of so many samples. Gives its timestamp, and whether it follows a pause.
    pub(super) fn begin(&mut self, samples: u32, now: Instant) -> (u32, bool) {
        let since = self.last.map(|(at, _)| now.saturating_duration_since(at));
        let pause = since.is_none_or(|since| since >= PAUSE);
        if let (true, Some((_, begun))) = (pause, self.last) {
            self.timestamp = begun.wrapping_add(ticks(since.unwrap_or_default()) as u32);
        }
        let timestamp = self.timestamp;
        self.last = Some((now, timestamp));
        self.timestamp = timestamp.wrapping_add(samples);
        (timestamp, pause)
    }

    /// Writes a packet.
    pub(super) fn write(
        &mut self,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: &[u8],
        packet: &mut Vec<u8>,
    ) {
        packet.clear();
        packet.extend_from_slice(&[0x80, (payload_type & 0x7F) | (u8::from(marker) << 7)]);
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&timestamp.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.packets += 1;
        self.octets = self.octets.wrapping_add(payload.len() as u32);
    }

    /// The timestamp of this moment.
    pub(super) fn clock(&self, now: Instant) -> u32 {
        self.last.map_or(self.timestamp, |(at, begun)| {
            begun.wrapping_add(ticks(now.saturating_duration_since(at)) as u32)
        })
    }

    /// Whether something was sent lately enough for a sender report.
    pub(super) fn is_active(&self, within: Duration, now: Instant) -> bool {
        self.last.is_some_and(|(at, _)| now.saturating_duration_since(at) <= within)
    }
}
