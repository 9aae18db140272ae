//! What is said: some seconds that repeat, each with a loud beginning (the mark), and who hears when
//! a mark begins.

use std::f64::consts::TAU;

use anyhow::Result;

/// Packets a second, and frames between two marks.
pub(crate) const FRAMES: usize = 50;
/// Samples of a G.711 frame of 20 ms.
pub(crate) const SAMPLES: usize = 160;
const RATE: usize = 8_000;
const OPUS_RATE: u32 = 48_000;
/// Length of the loop.
const SECONDS: usize = 4;
/// Marks are louder than this, everything else is a good deal quieter.
const LOUD: u16 = 9_000;
/// A mark begins only after so many quiet samples: 300 ms.
const QUIET: usize = 2_400;
/// A frame whose loudest sample is lower is digital silence: nobody spoke into it.
const SILENCE: u16 = 8;
/// What voice agents of LiveKit send.
const OPUS_BITRATE: i32 = 32_000;

/// First three formants of the vowels in "father", "see", "bed", "bought" and "boot", in Hz.
/// Source: Peterson and Barney, Control Methods Used in a Study of the Vowels, 1952.
const VOWELS: [[f64; 3]; 5] = [
    [730.0, 1_090.0, 2_440.0],
    [270.0, 2_290.0, 3_010.0],
    [530.0, 1_840.0, 2_480.0],
    [570.0, 840.0, 2_410.0],
    [300.0, 870.0, 2_240.0],
];

/// The loop: babble at 0.12 of full scale, and 60 ms of a loud vowel every second.
///
/// It has to be babble, with its pauses: of what it takes for music, Opus makes half the work.
fn speech() -> Vec<i16> {
    let babble = babble();
    let peak = babble.iter().fold(0.0_f64, |peak, sample| peak.max(sample.abs()));
    let samples = babble.iter().enumerate().map(|(n, sample)| {
        let t = (n % RATE) as f64 / RATE as f64;
        if t < 0.06 { loud(t) } else { sample * 0.12 / peak }
    });
    #[expect(clippy::cast_possible_truncation, reason = "within full scale")]
    samples.map(|sample| (sample * 32_767.0) as i16).collect()
}

/// Pulses 8 ms apart that ring at 700 Hz, loud from the first sample on.
fn loud(t: f64) -> f64 {
    let since = t % 0.008;
    0.7 * (-since / 0.003).exp() * (TAU * 700.0 * since + 1.2).sin()
}

/// Five syllables a second, each a hiss or a pause and then a vowel that goes over into the next.
fn babble() -> Vec<f64> {
    let mut resonators = [Resonator::default(); 3];
    let (mut noise, mut phase) = (1_u32, 1.0);
    let sample = |n: usize| {
        let t = n as f64 / RATE as f64;
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let hiss = f64::from(noise >> 16) / 32_768.0 - 1.0;
        let (syllable, within) = (n * 5 / RATE, t * 5.0 % 1.0);
        let pitch = 110.0 + 25.0 * (TAU * 0.7 * t).sin() + 15.0 * (TAU * 2.3 * t).sin();
        phase += pitch / RATE as f64 * (1.0 + 0.02 * hiss);
        let pulse = if phase >= 1.0 { 8.0 } else { 0.0 };
        phase %= 1.0;
        let voice = ((within - 0.25) / 0.75).max(0.0);
        let excitation = (TAU / 2.0 * voice).sin() * (pulse + 0.15 * hiss);
        let (from, to) = (VOWELS[syllable * 3 % 5], VOWELS[(syllable + 1) * 3 % 5]);
        let glide = ((within - 0.6) / 0.4).max(0.0);
        // Never quite silent: silence counts as missing.
        let mut sum = 0.02 * hiss;
        for (n, resonator) in resonators.iter_mut().enumerate() {
            let frequency = from[n] * (1.0 - glide) + to[n] * glide;
            let (bandwidth, gain) = [(80.0, 1.0), (100.0, 0.7), (120.0, 0.4)][n];
            sum += gain * resonator.ring(excitation, frequency, bandwidth);
        }
        if voice == 0.0 && syllable % 2 == 1 {
            sum += 0.25 * hiss * (TAU * 2.0 * within).sin();
        }
        sum
    };
    (0..RATE * SECONDS).map(sample).collect()
}

/// A formant: two poles.
#[derive(Debug, Clone, Copy, Default)]
struct Resonator([f64; 2]);

impl Resonator {
    fn ring(&mut self, excitation: f64, frequency: f64, bandwidth: f64) -> f64 {
        let [last, before] = self.0;
        let radius = (-TAU / 2.0 * bandwidth / RATE as f64).exp();
        let turn = 2.0 * radius * (TAU * frequency / RATE as f64).cos();
        let sample = (1.0 - radius) * excitation + turn * last - radius * radius * before;
        self.0 = [sample, last];
        sample
    }
}

/// The loop in µ-law, frame by frame.
pub(crate) fn ulaw() -> Vec<Box<[u8]>> {
    let speech = speech();
    speech.chunks(SAMPLES).map(|frame| frame.iter().map(|s| to_ulaw(*s)).collect()).collect()
}

/// From 8 to 48 kHz, along straight lines.
fn upsampled(samples: &[i16]) -> Vec<i16> {
    const TIMES: i32 = OPUS_RATE as i32 / RATE as i32;
    let next = samples.iter().skip(1).chain(samples.last());
    let pairs = samples.iter().zip(next).map(|(a, b)| (i32::from(*a), i32::from(*b)));
    #[expect(clippy::cast_possible_truncation, reason = "between two samples")]
    pairs.flat_map(|(a, b)| (0..TIMES).map(move |n| (a + (b - a) * n / TIMES) as i16)).collect()
}

/// The loop in Opus at 48 kHz, frame by frame; the codec has settled when it begins.
pub(crate) fn opus() -> Result<Vec<Box<[u8]>>> {
    encoded(&upsampled(&speech()), opus::Bitrate::Bits(OPUS_BITRATE))
}

fn encoded(speech: &[i16], bitrate: opus::Bitrate) -> Result<Vec<Box<[u8]>>> {
    let voip = opus::Application::Voip;
    let mut encoder = opus::Encoder::new(OPUS_RATE, opus::Channels::Mono, voip)?;
    encoder.set_bitrate(bitrate)?;
    let mut frames = Vec::new();
    for _ in 0..2 {
        frames.clear();
        for frame in speech.chunks(OPUS_RATE as usize / FRAMES) {
            frames.push(encoder.encode_vec(frame, 1_000)?.into());
        }
    }
    Ok(frames)
}

/// ITU-T G.711, table 2a.
fn to_ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs().min(32_635) + 132;
    let exponent = 8 - magnitude.leading_zeros();
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    #[expect(clippy::cast_possible_truncation, reason = "three bits and four bits")]
    let code = ((exponent as u8) << 4) | mantissa as u8;
    !(sign | code)
}

/// ITU-T G.711, table 2a.
pub(crate) fn of_ulaw(code: u8) -> i16 {
    let code = !code;
    let magnitude = ((i16::from(code & 0x0f) << 3) + 132) << ((code & 0x70) >> 4);
    if code & 0x80 == 0 { magnitude - 132 } else { 132 - magnitude }
}

/// What a frame of sound at 8 kHz is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A mark begins with this sample of the frame.
    Mark(usize),
    /// The loop.
    Speech,
    /// Nothing at all.
    Silence,
}

/// Finds where marks begin.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    quiet: usize,
}

impl Marks {
    pub(crate) fn hear(&mut self, samples: impl Iterator<Item = i16>) -> Heard {
        let (mut mark, mut peak) = (None, 0);
        for (n, sample) in samples.enumerate() {
            let level = sample.unsigned_abs();
            peak = peak.max(level);
            if level < LOUD {
                self.quiet += 1;
                continue;
            }
            if self.quiet >= QUIET {
                mark = Some(n);
            }
            self.quiet = 0;
        }
        match mark {
            Some(n) => Heard::Mark(n),
            None if peak <= SILENCE => Heard::Silence,
            None => Heard::Speech,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulaw_goes_there_and_back() {
        for code in 0..=u8::MAX {
            // 0x7f is minus zero
            assert_eq!(to_ulaw(of_ulaw(code)), if code == 0x7f { 0xff } else { code });
        }
        assert_eq!((to_ulaw(i16::MAX), to_ulaw(i16::MIN)), (0x80, 0x00));
    }

    #[test]
    fn a_mark_is_heard_once_a_second_in_its_first_frame() {
        let frames = ulaw();
        assert_eq!(frames.len(), SECONDS * FRAMES);
        let mut marks = Marks::default();
        for (n, frame) in frames.iter().cycle().take(9 * FRAMES).enumerate() {
            let heard = marks.hear(frame.iter().map(|code| of_ulaw(*code)));
            let is_mark = matches!(heard, Heard::Mark(0..4));
            assert_eq!(is_mark, n > 0 && n % FRAMES == 0, "frame {n}: {heard:?}");
            assert_ne!(heard, Heard::Silence);
        }
        assert_eq!(marks.hear([0; SAMPLES].into_iter()), Heard::Silence);
    }

    #[test]
    fn opus_keeps_the_marks() {
        let frames = opus().unwrap();
        let mut decoder = opus::Decoder::new(8_000, opus::Channels::Mono).unwrap();
        let mut marks = Marks::default();
        for (n, frame) in frames.iter().cycle().take(9 * FRAMES).enumerate() {
            let mut samples = [0; SAMPLES];
            assert_eq!(decoder.decode(frame, &mut samples, false).unwrap(), SAMPLES);
            let heard = marks.hear(samples.into_iter());
            let is_mark = matches!(heard, Heard::Mark(_));
            assert_eq!(is_mark, n > 0 && n % FRAMES == 0, "frame {n}: {heard:?}");
            assert_ne!(heard, Heard::Silence);
        }
    }

    #[test]
    fn opus_takes_it_for_speech() {
        // RFC 6716, section 3.1: 16 and up is CELT, the mode for music
        let is_speech = |frame: &[u8]| frame[0] >> 3 < 16;
        let phone: Vec<i16> = ulaw().concat().into_iter().map(of_ulaw).collect();
        // what livekit-sip makes of a phone's voice
        let phone = encoded(&upsampled(&phone), opus::Bitrate::Auto).unwrap();
        for frames in [opus().unwrap(), phone] {
            let count = frames.iter().filter(|frame| is_speech(frame)).count();
            assert!(count > frames.len() * 9 / 10, "{count} of {}", frames.len());
        }
    }
}
