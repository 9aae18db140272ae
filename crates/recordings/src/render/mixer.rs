//! Two channels on one clock, of which a window is in memory.

use outdial_domain::Speaker;

use super::RATE;

/// Samples per channel of a frame: 20 ms.
pub(super) const FRAME: usize = RATE as usize / 50;
/// Samples per channel in memory: 10 s.
const WINDOW: i64 = 10 * RATE;

/// Adds up what is to be heard. Positions are samples since the file's beginning; what lies before
/// the window or behind it is not heard.
pub(super) struct Mixer {
    start: i64,
    /// Where the last sample ends that was added.
    end: i64,
    /// Left and right by turns; the sample at a position is at its remainder by the window.
    samples: Vec<i32>,
    frame: [i16; 2 * FRAME],
}

impl Mixer {
    pub(super) fn new() -> Self {
        let samples = vec![0; 2 * WINDOW as usize];
        Self { start: 0, end: 0, samples, frame: [0; 2 * FRAME] }
    }

    /// The first position that is not yet taken.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// Where the last sound ends.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    pub(super) fn add(&mut self, speaker: Speaker, position: i64, samples: &[i16]) {
        let channel = match speaker {
            Speaker::User => 0,
            Speaker::Agent => 1,
        };
        for (&sample, position) in samples.iter().zip(position..) {
            if position >= self.start && position < self.start + WINDOW {
                let at = (position % WINDOW) as usize * 2 + channel;
                self.samples[at] += i32::from(sample);
                self.end = self.end.max(position + 1);
            }
        }
    }

    /// Takes the next frame if it ends by `until`: left and right by turns.
    pub(super) fn take_until(&mut self, until: i64) -> Option<&[i16; 2 * FRAME]> {
        if self.start + FRAME as i64 > until {
            return None;
        }
        // The window is a whole number of frames, so that no frame is cut by its end.
        let at = (self.start % WINDOW) as usize * 2;
        let window = &mut self.samples[at..at + 2 * FRAME];
        for (frame, sample) in self.frame.iter_mut().zip(window) {
            *frame = (*sample).clamp(i16::MIN.into(), i16::MAX.into()) as i16;
            *sample = 0;
        }
        self.start += FRAME as i64;
        Some(&self.frame)
    }
}
