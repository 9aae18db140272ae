//! What was decoded and waits to be heard.

use std::collections::VecDeque;

use crate::g711::FRAME;

/// Playing begins with so much: 40 ms, of which the first 20 ms are played at once.
const TARGET: usize = 2 * FRAME;
/// More than this for long is a delay that nobody needs: 120 ms.
const TOO_MUCH: usize = 6 * FRAME;
/// For how many turns that is long: 1 s.
const LONG: u32 = 50;
/// More than this is never kept: 1 s. The oldest is dropped.
const MAX: usize = 50 * FRAME;
/// Every so many turns a loud frame is left out to catch up.
const SKIP_EVERY: u32 = 5;
/// Samples below this are not missed: -44 dB.
const QUIET: u16 = 200;

/// What a turn gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nobody speaks.
    Nothing,
    /// 20 ms.
    Frame,
    /// It should be something, but it has not come (yet): see [`Queue::take_made_up`].
    Missing,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<i16>,
    playing: bool,
    /// Turns that the beginning has waited, or that nothing was there while playing.
    waited: u32,
    /// The least that was left in the last turns, and how many turns these are.
    least: Option<usize>,
    turns: u32,
    /// There is too much, and since how many turns.
    catching_up: Option<u32>,
}

impl Queue {
    pub(super) fn push(&mut self, samples: &[i16]) {
        self.waiting.extend(samples);
        let over = self.waiting.len().saturating_sub(MAX);
        self.waiting.drain(..over);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn clear(&mut self) {
        // The memory stays: it is needed again.
        self.waiting.clear();
        self.stop();
    }

    pub(super) fn take(&mut self, frame: &mut [i16; FRAME]) -> Taken {
        if !self.playing {
            if self.waiting.is_empty() {
                return Taken::Nothing;
            }
            if self.waiting.len() < TARGET && self.waited == 0 {
                self.waited = 1;
                return Taken::Nothing;
            }
            self.playing = true;
            self.waited = 0;
        }
        if self.waiting.len() < FRAME {
            return self.run_out(frame);
        }
        self.waited = 0;
        self.catch_up(frame);
        self.move_out(frame);
        self.watch();
        Taken::Frame
    }

    /// After [`Taken::Missing`]: takes what was made up for it. It does not count as having come.
    pub(super) fn take_made_up(&mut self, frame: &mut [i16; FRAME]) {
        frame.fill(0);
        self.move_out(frame);
    }

    /// Once it may be late; then it is the end.
    fn run_out(&mut self, frame: &mut [i16; FRAME]) -> Taken {
        self.waited += 1;
        if self.waited == 1 {
            return Taken::Missing;
        }
        let rest = !self.waiting.is_empty();
        frame.fill(0);
        self.move_out(frame);
        self.stop();
        if rest { Taken::Frame } else { Taken::Nothing }
    }

    fn stop(&mut self) {
        self.playing = false;
        self.waited = 0;
        self.least = None;
        self.turns = 0;
        self.catching_up = None;
    }

    fn move_out(&mut self, frame: &mut [i16; FRAME]) {
        let count = self.waiting.len().min(FRAME);
        for (to, sample) in frame.iter_mut().zip(self.waiting.drain(..count)) {
            *to = sample;
        }
    }

    fn watch(&mut self) {
        let left = self.waiting.len();
        self.least = Some(self.least.map_or(left, |least| least.min(left)));
        self.turns += 1;
        if self.turns == LONG {
            if self.least.take().is_some_and(|least| least > TOO_MUCH) {
                self.catching_up.get_or_insert(0);
            }
            self.turns = 0;
        }
    }

    /// Leaves out silence, and now and then a frame, until there is no more than needed.
    fn catch_up(&mut self, scratch: &mut [i16; FRAME]) {
        let Some(turns) = &mut self.catching_up else { return };
        *turns += 1;
        let skip = turns.is_multiple_of(SKIP_EVERY);
        while self.waiting.len() > TARGET && self.is_quiet() {
            self.waiting.drain(..FRAME);
        }
        if self.waiting.len() <= TARGET {
            self.catching_up = None;
        } else if skip {
            // The frame fades into the one behind it.
            self.move_out(scratch);
            for ((sample, faded), at) in self.waiting.iter_mut().zip(scratch.iter()).zip(0..) {
                let (new, old) = (i32::from(*sample), i32::from(*faded));
                *sample = ((new * at + old * (FRAME as i32 - at)) / FRAME as i32) as i16;
            }
        }
    }

    fn is_quiet(&self) -> bool {
        self.waiting.iter().take(FRAME).all(|sample| sample.unsigned_abs() < QUIET)
    }
}
