//! Telephone events that we send (RFC 4733).

use std::collections::VecDeque;

use outdial_domain::{Digit, Digits, DtmfStep};

use super::ticks;
use crate::g711::FRAME;

/// A key sounds for so many frames: 100 ms.
const TONE_FRAMES: u16 = 5;
/// Behind it nothing is sent for so many: 60 ms.
const GAP_FRAMES: u16 = 3;
/// The end is said so often, a frame apart: losing one after the other is rare.
const END_FRAMES: u16 = 3;
/// -10 dBm0.
const VOLUME: u8 = 10;
const END: u8 = 0x80;
/// Digits and pauses that wait at most.
const MAX_WAITING: usize = 64;

/// Why digits are not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DtmfError {
    /// The peer's SDP has no telephone-event: digits can only go as SIP INFO.
    #[error("the callee's side takes no telephone events (RFC 4733)")]
    NotNegotiated,
    /// There is nobody to hear them.
    #[error("the call is not answered")]
    NotAnswered,
    /// The callee put the call on hold.
    #[error("the call is on hold")]
    Held,
    /// Too many digits wait.
    #[error("too many digits are waiting to be sent")]
    Busy,
}

/// What goes out in a frame's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The frame.
    Audio,
    /// Nothing.
    Nothing,
    /// An event.
    Event {
        /// Its payload.
        payload: [u8; 4],
        /// When the key was pressed.
        timestamp: u32,
        /// The first packet of the event.
        marker: bool,
    },
}

#[derive(Debug, Default)]
pub(super) struct Keypad {
    waiting: VecDeque<DtmfStep>,
    now: Option<Now>,
}

#[derive(Debug, Clone, Copy)]
enum Now {
    Key { digit: Digit, timestamp: u32, frame: u16 },
    Pause { frames: u64 },
}

impl Keypad {
    pub(super) fn press(&mut self, digits: &Digits) -> Result<(), DtmfError> {
        if self.waiting.len() + digits.steps().count() > MAX_WAITING {
            return Err(DtmfError::Busy);
        }
        self.waiting.extend(digits.steps());
        Ok(())
    }

    /// Forgets what was not sent: nobody listens any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whose turn it is in the frame at `timestamp`.
    pub(super) fn turn(&mut self, timestamp: u32) -> Turn {
        if self.now.is_none() {
            self.now = self.waiting.pop_front().map(|step| match step {
                DtmfStep::Digit(digit) => Now::Key { digit, timestamp, frame: 0 },
                DtmfStep::Pause(time) => Now::Pause { frames: ticks(time) / FRAME as u64 },
            });
        }
        match &mut self.now {
            None => Turn::Audio,
            Some(Now::Pause { frames }) => {
                *frames = frames.saturating_sub(1);
                if *frames == 0 {
                    self.now = None;
                }
                Turn::Audio
            }
            Some(Now::Key { digit, timestamp, frame }) => {
                let turn = event(*digit, *timestamp, *frame);
                *frame += 1;
                if *frame == TONE_FRAMES + GAP_FRAMES {
                    self.now = None;
                }
                turn
            }
        }
    }
}

fn event(digit: Digit, timestamp: u32, frame: u16) -> Turn {
    let last = TONE_FRAMES - 1;
    if frame >= last + END_FRAMES {
        return Turn::Nothing;
    }
    let [high, low] = ((frame.min(last) + 1) * FRAME as u16).to_be_bytes();
    let flags = if frame < last { VOLUME } else { VOLUME | END };
    Turn::Event { payload: [digit.code(), flags, high, low], timestamp, marker: frame == 0 }
}
