//! Decoding: payloads of one stream to samples.

use opus::Channels;
use outdial_domain::ports::AudioCodec;

use super::g711::{A_LAW, MU_LAW};
use super::upsample::{DELAY, Upsampler};
use super::{RATE, TICKS};

/// Longest packet: 120 ms.
const LONGEST: usize = RATE as usize * 120 / 1_000;
/// How much of a loss is concealed, in frames of the stream; then it is silent.
pub(super) const CONCEALED: i64 = 5;
/// A G.711 sample counts so many of 48 kHz.
const G711_TICKS: i64 = TICKS / 8_000;
/// Over how many samples a repeated packet of G.711 fades out: 60 ms.
const G711_FADE: i32 = 480;

/// The decoder of one stream. It appends samples at [`RATE`].
pub(super) enum Voice {
    Opus { decoder: opus::Decoder, frame: usize },
    G711 { table: &'static [i16; 256], upsampler: Upsampler, last: Vec<i16>, faded: i32 },
}

impl Voice {
    pub(super) fn new(codec: AudioCodec) -> Result<Self, opus::Error> {
        let g711 = |table| Self::G711 {
            table,
            upsampler: Upsampler::default(),
            last: Vec::new(),
            faded: 0,
        };
        Ok(match codec {
            AudioCodec::Opus => {
                let decoder = opus::Decoder::new(RATE as u32, Channels::Mono)?;
                Self::Opus { decoder, frame: RATE as usize / 50 }
            }
            AudioCodec::Pcmu => g711(&MU_LAW),
            AudioCodec::Pcma => g711(&A_LAW),
        })
    }

    /// Ticks that the payload lasts; `None` when it cannot be decoded.
    pub(super) fn ticks(&self, payload: &[u8]) -> Option<i64> {
        match self {
            Self::Opus { .. } => {
                let samples = opus::packet::get_nb_samples(payload, TICKS as u32).ok()?;
                (samples > 0).then_some(samples as i64)
            }
            Self::G711 { .. } => Some(payload.len() as i64 * G711_TICKS),
        }
    }

    /// Samples by which the output is behind.
    pub(super) fn delay(&self) -> i64 {
        match self {
            Self::Opus { .. } => 0,
            Self::G711 { .. } => DELAY,
        }
    }

    /// Ticks of one frame, as far as known.
    pub(super) fn frame_ticks(&self) -> i64 {
        match self {
            Self::Opus { frame, .. } => *frame as i64 * (TICKS / RATE),
            Self::G711 { last, .. } => (last.len().max(80) as i64) * G711_TICKS,
        }
    }

    pub(super) fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), opus::Error> {
        match self {
            Self::Opus { decoder, frame } => {
                let before = out.len();
                out.resize(before + LONGEST, 0);
                let decoded = decoder.decode(payload, &mut out[before..], false);
                out.truncate(before + *decoded.as_ref().unwrap_or(&0));
                *frame = decoded?.max(RATE as usize / 400);
            }
            Self::G711 { table, upsampler, last, faded } => {
                last.clear();
                last.extend(payload.iter().map(|&code| table[usize::from(code)]));
                *faded = 0;
                upsampler.push(last, out);
            }
        }
        Ok(())
    }

    /// Makes up for `frames` lost ones; `next` is the packet behind them if it came, which may tell
    /// what was in the last of them (Opus, in-band FEC).
    pub(super) fn conceal(&mut self, frames: i64, next: Option<&[u8]>, out: &mut Vec<i16>) {
        for left in (0..frames.min(CONCEALED)).rev() {
            match self {
                Self::Opus { decoder, frame } => {
                    let before = out.len();
                    out.resize(before + *frame, 0);
                    let next = next.filter(|_| left == 0);
                    let lost = &mut out[before..];
                    let made = match next {
                        Some(next) => decoder.decode(next, lost, true),
                        None => decoder.decode(&[], lost, false),
                    };
                    // What could not be made stays silent.
                    if made.is_err() {
                        out[before..].fill(0);
                    }
                }
                Self::G711 { upsampler, last, faded, .. } => {
                    let repeated: Vec<i16> = last
                        .iter()
                        .zip(*faded..)
                        .map(|(&x, at)| (i32::from(x) * (G711_FADE - at).max(0) / G711_FADE) as i16)
                        .collect();
                    *faded += last.len() as i32;
                    upsampler.push(&repeated, out);
                }
            }
        }
    }

    /// What comes does not continue what was.
    pub(super) fn interrupt(&mut self) {
        if let Self::G711 { upsampler, last, .. } = self {
            upsampler.reset();
            last.clear();
        }
    }
}
