//! What a second of a tone sounds like.

use std::f64::consts::TAU;

/// Peak of the tones that are played.
pub(crate) const AMPLITUDE: f64 = 8000.0;
const RATE: f64 = 8000.0;
/// Samples of 20 ms.
pub(crate) const FRAME: usize = 160;
const SECOND: usize = 8000;

/// One second of sound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    /// The loudest pitch.
    pub(crate) hz: f64,
    /// Level; 0 is a square wave of full scale.
    pub(crate) dbfs: f64,
    /// Share of the energy that is in that pitch.
    pub(crate) purity: f64,
    /// Windows in it that are much quieter than the rest.
    pub(crate) dropouts: usize,
}

impl Heard {
    /// The tone, with nothing missing.
    pub(crate) fn is_clean(&self, hz: f64) -> bool {
        self.is_tone(hz) && self.dropouts == 0 && self.purity > 0.95
    }

    /// The tone at the right level, perhaps with holes.
    pub(crate) fn is_tone(&self, hz: f64) -> bool {
        let level = 20.0 * (AMPLITUDE / 2f64.sqrt() / 32768.0).log10();
        (self.hz - hz).abs() <= 2.0 && (self.dbfs - level).abs() <= 1.0
    }

    /// The pitch alone: what counts when packets are lost.
    pub(crate) fn is_pitch(&self, hz: f64) -> bool {
        (self.hz - hz).abs() <= 4.0 && self.dbfs > -25.0
    }

    /// Measures a second at 8 kHz.
    pub(crate) fn measure(second: &[i16]) -> Self {
        assert_eq!(second.len(), SECOND);
        let loudest = |range: &mut dyn Iterator<Item = f64>| {
            let power = range.map(|hz| (hz, goertzel(second, hz)));
            power.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0
        };
        let rough = loudest(&mut (100..700).map(|n| f64::from(n) * 2.0));
        let hz = loudest(&mut (-16..=16).map(|n| rough + f64::from(n) * 0.25));
        let frames: Vec<f64> = second.chunks(FRAME).map(rms).collect();
        let mut sorted = frames.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        Self {
            hz,
            dbfs: 20.0 * (rms(second).max(0.1) / 32768.0).log10(),
            purity: goertzel(second, hz),
            dropouts: frames.iter().filter(|f| **f < 0.7 * median).count(),
        }
    }
}

fn rms(samples: &[i16]) -> f64 {
    let energy: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    (energy / samples.len() as f64).sqrt()
}

/// The share of the energy that is in one pitch.
fn goertzel(samples: &[i16], hz: f64) -> f64 {
    let turn = 2.0 * (TAU * hz / RATE).cos();
    let (mut a, mut b, mut energy) = (0.0, 0.0, 0.0);
    for sample in samples {
        let sample = f64::from(*sample);
        energy += sample * sample;
        (a, b) = (sample + turn * a - b, a);
    }
    let power = a * a + b * b - turn * a * b;
    if energy < 1.0 { 0.0 } else { 2.0 * power / (samples.len() as f64 * energy) }
}
