//! What is in a capture, before it is rendered.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;

use chrono::{DateTime, TimeDelta, Utc};

use super::timeline::{Timed, Timeline};
use super::{RenderError, TICKS};
use crate::capture::GapReason;

/// What a capture holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// Where the recording begins, in ticks since the first packet.
    pub(super) origin: i64,
    /// The same by the wall clock.
    pub(super) begins_at: DateTime<Utc>,
    missing: Missing,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Missing {
    /// Of each reason: packets, and µs.
    gaps: BTreeMap<GapReason, (u64, u64)>,
    /// Beginnings after the first, and the time between them and what was before, in ticks.
    interruptions: (u32, i64),
    /// Packets after the longest time.
    too_late: u64,
    damaged: u64,
}

/// Reads all of a capture.
///
/// # Errors
///
/// [`RenderError::Empty`] when it holds no packet.
pub(super) fn survey(
    capture: impl Read,
    answered_at: Option<DateTime<Utc>>,
) -> Result<Survey, RenderError> {
    let mut timeline = Timeline::new(capture);
    let mut missing = Missing::default();
    let (mut last, mut sessions) = (0, 0);
    while timeline.next_block(|timed| match timed {
        Timed::Packet { session, arrival, .. } => {
            if session > sessions {
                sessions = session;
                missing.interruptions.0 += 1;
                missing.interruptions.1 += (arrival - last).max(0);
            }
            last = last.max(arrival);
        }
        Timed::Gap(gap) => {
            let (packets, time) = missing.gaps.entry(gap.reason).or_default();
            *packets = packets.saturating_add(gap.packets.into());
            *time = time.saturating_add(gap.until.saturating_sub(gap.from));
        }
        Timed::TooLate => missing.too_late += 1,
    })? {}
    missing.damaged = timeline.damaged();
    let Some(first) = timeline.first().and_then(DateTime::from_timestamp_micros) else {
        return Err(RenderError::Empty(missing.describe(0)));
    };
    let (origin, begins_at) = answered_at
        .and_then(|answered| Some((ticks_between(first, answered)?, answered)))
        .filter(|(ticks, _)| (0..last).contains(ticks))
        .unwrap_or((0, first));
    Ok(Survey { origin, begins_at, missing })
}

impl Survey {
    /// Why parts of the call are missing, for a person; `ignored` packets more could not be rendered.
    pub(super) fn gaps(&self, ignored: u64) -> Option<String> {
        self.missing.describe(ignored)
    }
}

impl Missing {
    fn describe(&self, ignored: u64) -> Option<String> {
        let mut parts = Vec::new();
        for (reason, (packets, time)) in &self.gaps {
            let reason = reason.as_str();
            parts.push(format!("{packets} packets in {} are missing: {reason}", seconds(*time)));
        }
        if self.interruptions.0 > 0 {
            let (times, ticks) = self.interruptions;
            let lost = seconds(ticks.unsigned_abs() * 125 / 6);
            parts.push(format!("capturing was interrupted {times} times, for {lost} together"));
        }
        if self.damaged > 0 {
            parts.push(format!("{} bytes of the capture were damaged", self.damaged));
        }
        if self.too_late > 0 {
            parts.push("what came after 12 hours is left out".to_owned());
        }
        if ignored > 0 {
            parts.push(format!("{ignored} packets of too many streams are left out"));
        }
        let mut text = String::new();
        for part in parts {
            let separator = if text.is_empty() { "" } else { "; " };
            let _ = write!(text, "{separator}{part}");
        }
        (!text.is_empty()).then_some(text)
    }
}

fn seconds(micros: u64) -> String {
    let tenths = micros / 100_000;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

fn ticks_between(from: DateTime<Utc>, to: DateTime<Utc>) -> Option<i64> {
    let between: TimeDelta = to.signed_duration_since(from);
    Some(between.num_microseconds()?.checked_mul(TICKS / 1_000)? / 1_000)
}
