//! From the telephone's 8 kHz to the recording's 24 kHz.

use std::f64::consts::PI;
use std::sync::LazyLock;

const FACTOR: usize = 3;
const TAPS: usize = 24;

/// Samples of the output by which it is behind.
pub(super) const DELAY: i64 = (FACTOR * TAPS) as i64 / 2;

/// A low-pass at 4 kHz (windowed sinc, 72 taps) taken apart into one filter for each output sample
/// between two input samples: flat to 3.4 kHz, images above 4.6 kHz 50 dB down.
static PHASES: LazyLock<[[f32; TAPS]; FACTOR]> = LazyLock::new(|| {
    let mut phases = [[0.0; TAPS]; FACTOR];
    let length = (FACTOR * TAPS) as f64;
    for at in 0..FACTOR * TAPS {
        let time = (at as f64 + 0.5 - length / 2.0) / FACTOR as f64;
        let sinc = (PI * time).sin() / (PI * time);
        let window = 0.54 - 0.46 * (2.0 * PI * (at as f64 + 0.5) / length).cos();
        phases[at % FACTOR][at / FACTOR] = (sinc * window) as f32;
    }
    phases
});

/// Three samples for one, behind by [`DELAY`].
#[derive(Debug, Default)]
pub(super) struct Upsampler {
    /// The last inputs, the newest last.
    history: Vec<f32>,
}

impl Upsampler {
    /// What comes does not continue what was.
    pub(super) fn reset(&mut self) {
        self.history.clear();
    }

    pub(super) fn push(&mut self, input: &[i16], output: &mut Vec<i16>) {
        if self.history.len() < TAPS - 1 {
            self.history.resize(TAPS - 1, 0.0);
        }
        if input.iter().all(|&sample| sample == 0) && self.history.iter().all(|&x| x == 0.0) {
            output.resize(output.len() + FACTOR * input.len(), 0);
            return;
        }
        self.history.extend(input.iter().map(|&sample| f32::from(sample)));
        for window in self.history.windows(TAPS) {
            for phase in PHASES.iter() {
                // The newest sample meets the filter's first tap.
                let sum: f32 = window.iter().rev().zip(phase).map(|(x, tap)| x * tap).sum();
                output.push(sum as i16);
            }
        }
        self.history.drain(..self.history.len() - (TAPS - 1));
    }
}
