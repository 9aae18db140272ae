//! Telephone events that come: the keys that the callee presses (RFC 4733).

use std::time::{Duration, Instant};

use outdial_domain::Digit;

use super::duration;

/// A key that was not heard for so long was let go; all packets that would say so were lost.
const LOST_END: Duration = Duration::from_millis(300);
/// A duration that may be continued by a new segment (RFC 4733, section 2.5.1.3).
const LONG: u32 = 0xE000;

/// A key that was pressed and let go.
pub(super) type Pressed = (Digit, Duration);

#[derive(Debug, Default)]
pub(super) struct Tones {
    current: Option<Tone>,
    /// SSRC and timestamp of the last that ended: its end is sent several times.
    ended: Option<(u32, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Tone {
    digit: Digit,
    ssrc: u32,
    timestamp: u32,
    /// Ticks of the segments before this one.
    before: u64,
    ticks: u16,
    seen: Instant,
}

impl Tone {
    fn pressed(&self) -> Pressed {
        (self.digit, duration(self.before + u64::from(self.ticks)))
    }
}

impl Tones {
    /// Takes the payload of a packet. `each` gets the keys of which the end is known now.
    pub(super) fn packet(
        &mut self,
        ssrc: u32,
        timestamp: u32,
        payload: &[u8],
        now: Instant,
        each: &mut impl FnMut(Pressed),
    ) {
        let &[code, flags, high, low, ..] = payload else { return };
        let Some(digit) = Digit::from_code(code) else { return };
        if self.is_past(ssrc, timestamp) {
            return;
        }
        let ticks = u16::from_be_bytes([high, low]);
        let fresh = Tone { digit, ssrc, timestamp, before: 0, ticks, seen: now };
        let tone = match self.current.take() {
            Some(tone) if tone.ssrc == ssrc && tone.timestamp == timestamp => {
                // The digit is the first that was said, the duration never shrinks.
                Tone { ticks: tone.ticks.max(ticks), seen: now, ..tone }
            }
            Some(tone) if tone.goes_on_in(&fresh) => {
                let segment = timestamp.wrapping_sub(tone.timestamp);
                Tone { before: tone.before + u64::from(segment), ..fresh }
            }
            other => {
                if let Some(tone) = other {
                    each(tone.pressed());
                }
                fresh
            }
        };
        if flags & 0x80 == 0 {
            self.current = Some(tone);
        } else {
            self.ended = Some((ssrc, timestamp));
            each(tone.pressed());
        }
    }

    /// Lets go of a key whose end was lost.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Pressed> {
        let lost = |tone: &mut Tone| now.saturating_duration_since(tone.seen) >= LOST_END;
        let tone = self.current.take_if(lost)?;
        self.ended = Some((tone.ssrc, tone.timestamp));
        Some(tone.pressed())
    }

    /// Whether a packet is of a key that was let go, or of one before the current.
    fn is_past(&self, ssrc: u32, timestamp: u32) -> bool {
        let behind = |known: u32| timestamp.wrapping_sub(known).cast_signed() < 0;
        let ended = self.ended.filter(|(of, _)| *of == ssrc);
        let current = self.current.filter(|tone| tone.ssrc == ssrc);
        ended.is_some_and(|(_, at)| at == timestamp || behind(at))
            || current.is_some_and(|tone| behind(tone.timestamp))
    }
}

impl Tone {
    fn goes_on_in(&self, next: &Tone) -> bool {
        let segment = next.timestamp.wrapping_sub(self.timestamp);
        let long = u32::from(self.ticks) >= LONG && (LONG..=0xFFFF).contains(&segment);
        long && self.ssrc == next.ssrc && self.digit == next.digit
    }
}
