//! One clock for all that comes from a phone, whatever its streams do with their timestamps.

use std::time::Instant;

use super::{CLOCK_RATE, ticks};

/// Further than this off the time that passed, a timestamp has jumped: 1 s.
const JUMP: i64 = CLOCK_RATE as i64;

#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// What is added to the timestamps of the stream.
    offset: u32,
    head: Option<Head>,
}

/// The packet that is ahead of all others.
#[derive(Debug, Clone, Copy)]
struct Head {
    /// The stream's.
    timestamp: u32,
    /// Ours.
    placed: u32,
    samples: u32,
    at: Instant,
}

impl Timeline {
    /// Where a packet goes that is the next of its stream, or the first (`fresh`). Also says whether
    /// it begins something new.
    pub(super) fn advance(
        &mut self,
        timestamp: u32,
        samples: u32,
        marker: bool,
        fresh: bool,
        now: Instant,
    ) -> (u32, bool) {
        let mut anew = true;
        if let Some(head) = self.head {
            let passed = i64::try_from(ticks(now.saturating_duration_since(head.at)));
            let passed = passed.unwrap_or(i64::MAX / 2);
            let step = i64::from(timestamp.wrapping_sub(head.timestamp).cast_signed());
            // A clock that stood still in a silence; without the marker it is a delay of the network.
            let stood = marker && passed > step + JUMP;
            anew = fresh || step <= 0 || step > passed + JUMP || stood;
            if anew {
                let ahead = passed.max(i64::from(head.samples)) as u32;
                self.offset = head.placed.wrapping_add(ahead).wrapping_sub(timestamp);
            }
        }
        let placed = timestamp.wrapping_add(self.offset);
        self.head = Some(Head { timestamp, placed, samples, at: now });
        (placed, anew)
    }

    /// Where a packet goes that comes behind later ones; `None` when it is too late to be heard.
    pub(super) fn late(&self, timestamp: u32) -> Option<u32> {
        let head = self.head?;
        let behind = i64::from(head.timestamp.wrapping_sub(timestamp).cast_signed());
        (0..=JUMP).contains(&behind).then_some(timestamp.wrapping_add(self.offset))
    }
}
