//! What a line sounds like: somebody who hums it. A pure function of speaker and text, at 8 kHz.

use std::f32::consts::{PI, TAU};
use std::hash::{DefaultHasher, Hash, Hasher};

use outdial_domain::Speaker;

/// Samples in a packet of 20 ms; as many bytes in G.711.
pub(crate) const SAMPLES: usize = 160;

const SAMPLE_RATE: f32 = 8000.0;
const SYLLABLES_PER_SEC: f32 = 4.5;
/// The loudness between two syllables, as a share of that in their middle.
const HUSH: f32 = 0.3;
/// How far the pitch moves from syllable to syllable, up and down; half a semitone.
const BEND: f32 = 0.03;
/// With the envelope and the overtones this makes -12 dBFS.
const AMPLITUDE: f32 = 0.48;
/// Fading in and out, against clicks: 30 ms.
const FADE: usize = 240;

/// A line being hummed, packet by packet.
pub(crate) struct Hum {
    /// The voice's own pitch, in Hz.
    pitch: f32,
    /// What the melody is made of.
    melody: u64,
    /// Of the tone, in turns: 0 to 1.
    phase: f32,
    /// The sample that comes next.
    position: usize,
    /// Samples in all.
    length: usize,
}

impl Hum {
    /// A line that lasts `packets` of 20 ms.
    pub(crate) fn new(speaker: Speaker, text: &str, packets: usize) -> Self {
        let pitch = match speaker {
            Speaker::User => 330.0,
            Speaker::Agent => 220.0,
        };
        Self { pitch, melody: hash(text), phase: 0.0, position: 0, length: packets * SAMPLES }
    }

    /// The next 20 ms, in G.711 mu-law.
    pub(crate) fn packet(&mut self) -> [u8; SAMPLES] {
        // Pitch and loudness move so slowly that a step or a straight line in 20 ms is not heard.
        let from = self.syllable(self.position);
        let to = self.syllable(self.position + SAMPLES);
        let turn = self.pitch * self.bend(from) / SAMPLE_RATE;
        let mut loudness = envelope(from);
        let louder = (envelope(to) - loudness) / SAMPLES as f32;
        std::array::from_fn(|_| {
            let sample = AMPLITUDE * loudness * self.fade() * tone(self.phase);
            self.phase = (self.phase + turn).fract();
            loudness += louder;
            self.position += 1;
            mu_law(sample)
        })
    }

    /// Where in the line of syllables a sample lies. The first one begins in its rise, so that even
    /// a single packet is heard.
    fn syllable(&self, position: usize) -> f32 {
        position as f32 * (SYLLABLES_PER_SEC / SAMPLE_RATE) + 0.25
    }

    /// The factor on the pitch: glides from one syllable's to the next one's.
    fn bend(&self, syllable: f32) -> f32 {
        let note = |n: u64| {
            let share = (hash((self.melody, n)) % 1000) as f32 / 999.0;
            1.0 + BEND * (2.0 * share - 1.0)
        };
        let n = syllable as u64;
        note(n) + (note(n + 1) - note(n)) * syllable.fract()
    }

    fn fade(&self) -> f32 {
        let fade = FADE.min(self.length / 4).max(1);
        let edge = (self.position + 1).min(self.length.saturating_sub(self.position));
        edge.min(fade) as f32 / fade as f32
    }
}

fn envelope(syllable: f32) -> f32 {
    HUSH + (1.0 - HUSH) * (PI * syllable).sin().powi(2)
}

/// A tone with two soft overtones; `phase` in turns.
fn tone(phase: f32) -> f32 {
    let (sin, cos) = (TAU * phase).sin_cos();
    let second = 2.0 * sin * cos;
    let third = sin * (3.0 - 4.0 * sin * sin);
    sin + 0.25 * second + 0.1 * third
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Encodes a sample of -1 to 1 (ITU-T G.711): sign, exponent and mantissa, all bits inverted.
fn mu_law(sample: f32) -> u8 {
    const BIAS: u32 = 132;
    const CLIP: u32 = 32_635;
    let linear = (sample * 32_767.0) as i32;
    let magnitude = linear.unsigned_abs().min(CLIP) + BIAS;
    // The bias makes bit 7 the lowest that can be the highest one set.
    let exponent = magnitude.ilog2() - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0F;
    let sign = if linear < 0 { 0x80 } else { 0 };
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The other direction, as the standard has it.
    fn linear(code: u8) -> i32 {
        let bits = i32::from(!code);
        let magnitude = ((((bits & 0x0F) << 3) + 132) << ((bits >> 4) & 7)) - 132;
        if bits & 0x80 == 0 { magnitude } else { -magnitude }
    }

    #[test]
    fn mu_law_is_that_of_the_standard() {
        let check = |sample: i32, code| assert_eq!(mu_law(sample as f32 / 32_767.0), code);
        check(0, 0xFF);
        check(32_767, 0x80);
        check(-32_767, 0x00);
        check(1000, 0xCE);
        check(-1000, 0x4E);
        for code in 0..=u8::MAX {
            // There are two zeros; the positive one is used.
            let back = mu_law(
                (linear(code) as f32 + 0.5 * f32::from(linear(code).signum() as i8)) / 32_767.0,
            );
            assert!(back == code || (linear(code) == 0 && back == 0xFF), "{code:#x} {back:#x}");
        }
    }

    #[test]
    fn senseless_samples_are_clipped() {
        assert_eq!([mu_law(9.0), mu_law(f32::INFINITY), mu_law(-9.0)], [0x80, 0x80, 0x00]);
        assert_eq!(mu_law(f32::NAN), 0xFF);
    }

    #[test]
    fn every_line_has_its_own_melody_and_always_the_same() {
        let hum = |text| {
            let mut hum = Hum::new(Speaker::User, text, 50);
            (0..50).map(|_| hum.packet()).collect::<Vec<_>>()
        };
        assert_eq!(hum("one"), hum("one"));
        assert_ne!(hum("one"), hum("two"));
    }

    #[test]
    fn it_fades_in_and_out_and_is_as_loud_as_speech() {
        for packets in [1, 2, 10, 150] {
            let mut hum = Hum::new(Speaker::Agent, "hello", packets);
            let samples: Vec<i32> = (0..packets).flat_map(|_| hum.packet()).map(linear).collect();
            let jump = samples.windows(2).map(|w| (w[0] - w[1]).abs()).max().unwrap();
            assert!(jump < 6000, "{packets}: {jump}");
            assert!(samples[0].abs() < 500 && samples[samples.len() - 1].abs() < 500);
            let square: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
            let dbfs = 20.0 * ((square / samples.len() as f64).sqrt() / 32_768.0).log10();
            assert!((-15.0..-10.0).contains(&dbfs), "{packets}: {dbfs}");
        }
    }

    #[test]
    fn more_than_was_ordered_is_silence() {
        let mut hum = Hum::new(Speaker::Agent, "hello", 1);
        hum.packet();
        assert!(hum.packet().iter().all(|code| linear(*code) == 0));
    }
}
