//! Decoding at 8 kHz.

use opus::Channels;
use outdial_room::AudioCodec;

use super::queue::Queue;
use crate::g711::{self, FRAME};

const RATE: u32 = 8_000;
/// Longest packet of Opus: 120 ms.
const LONGEST: usize = 960;
/// Shortest frame of Opus: 2.5 ms.
const SHORTEST: usize = 20;
/// Longest payload of G.711 that is taken: 200 ms.
const LONGEST_G711: usize = 1_600;
/// What stands for the second zero of µ-law: no code decodes to it. So a frame that is passed through
/// comes out as it went in.
const OTHER_ZERO: i16 = 1;
const OTHER_ZERO_CODE: u8 = 0x7F;

/// The decoder of a track.
#[derive(Debug)]
pub(super) enum Decoder {
    Opus { decoder: opus::Decoder, frame: usize },
    G711 { law: g711::Codec, last: Vec<i16> },
}

impl Decoder {
    pub(super) fn new(codec: AudioCodec) -> Result<Self, opus::Error> {
        let g711 = |law| Self::G711 { law, last: Vec::new() };
        Ok(match codec {
            AudioCodec::Opus => {
                let decoder = opus::Decoder::new(RATE, Channels::Mono)?;
                Self::Opus { decoder, frame: FRAME }
            }
            AudioCodec::Pcma => g711(g711::Codec::Pcma),
            AudioCodec::Pcmu => g711(g711::Codec::Pcmu),
        })
    }

    /// The law, when there is one.
    pub(super) fn law(&self) -> Option<g711::Codec> {
        match self {
            Self::Opus { .. } => None,
            Self::G711 { law, .. } => Some(*law),
        }
    }

    /// Samples of a packet, as far as known.
    pub(super) fn frame(&self) -> usize {
        match self {
            Self::Opus { frame, .. } => *frame,
            Self::G711 { last, .. } if last.is_empty() => FRAME,
            Self::G711 { last, .. } => last.len(),
        }
    }

    /// What comes does not continue what was.
    pub(super) fn interrupt(&mut self) {
        match self {
            // It fails only without a decoder.
            Self::Opus { decoder, .. } => decoder.reset_state().unwrap_or_default(),
            Self::G711 { last, .. } => last.clear(),
        }
    }

    /// Decodes a payload; what cannot be decoded is concealed.
    pub(super) fn decode(&mut self, payload: &[u8], queue: &mut Queue) {
        match self {
            Self::Opus { decoder, frame } => {
                let mut samples = [0; LONGEST];
                match decoder.decode(payload, &mut samples, false) {
                    Ok(count) => {
                        *frame = count.max(SHORTEST);
                        queue.push(&samples[..count]);
                    }
                    Err(_) => self.conceal(1, None, queue),
                }
            }
            Self::G711 { law, last } => {
                last.clear();
                let table = law.samples();
                let payload = &payload[..payload.len().min(LONGEST_G711)];
                last.extend(payload.iter().map(|&code| match (code, &law) {
                    (OTHER_ZERO_CODE, g711::Codec::Pcmu) => OTHER_ZERO,
                    _ => table[usize::from(code)],
                }));
                queue.push(last);
            }
        }
    }

    /// Makes up for lost packets; `next` is the packet behind them, which may tell what was in the
    /// last of them (Opus, in-band FEC).
    pub(super) fn conceal(&mut self, packets: usize, next: Option<&[u8]>, queue: &mut Queue) {
        for left in (0..packets).rev() {
            match self {
                Self::Opus { decoder, frame } => {
                    let mut samples = [0; LONGEST];
                    let lost = &mut samples[..*frame];
                    let made = match next.filter(|_| left == 0) {
                        Some(next) => decoder.decode(next, lost, true),
                        None => decoder.decode(&[], lost, false),
                    };
                    queue.push(&samples[..made.unwrap_or(*frame)]);
                }
                Self::G711 { last, .. } => {
                    // The last packet again, each time more quietly.
                    last.iter_mut().for_each(|sample| *sample /= 2);
                    queue.push(last);
                }
            }
        }
    }
}

/// The code of a sample that was decoded of that law.
pub(super) fn encode_back(law: g711::Codec, sample: i16) -> u8 {
    match (law, sample) {
        (g711::Codec::Pcmu, OTHER_ZERO) => OTHER_ZERO_CODE,
        _ => law.encode(sample),
    }
}
