//! The room's audio for the phone: Opus and G.711 of all who speak, as one stream of G.711.
//!
//! Packets are decoded where they arrive, at 8 kHz; a turn takes 20 ms of each track. Both happen on
//! the same media thread, so the lock is never waited for.

mod blend;
mod queue;
#[cfg(test)]
mod tests;
mod track;
mod voice;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outdial_room::{RtpPacket, RtpSink};

use self::blend::limit;
use self::track::{Heard, State};
use self::voice::encode_back;
use crate::g711::{Codec, FRAME};

/// More are not heard.
const MAX_TRACKS: usize = 32;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// Nobody says anything.
    Silence,
    /// Somebody does.
    Speech {
        /// It is the first after silence.
        marker: bool,
    },
}

/// Mixes the tracks of a room. Clones are the same mixer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mixer {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    tracks: Vec<(u64, State)>,
    next: u64,
    speaking: bool,
}

/// One track of a mixer: give it to the room. Dropped, it is heard no more.
#[derive(Debug)]
pub(crate) struct Track {
    id: u64,
    mixer: Mixer,
}

impl Mixer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A new track. It is heard as soon as it has packets.
    pub(crate) fn track(&self) -> Track {
        let mut shared = self.shared();
        let id = shared.next;
        shared.next += 1;
        if shared.tracks.len() < MAX_TRACKS {
            shared.tracks.push((id, State::default()));
        }
        Track { id, mixer: self.clone() }
    }

    /// The next 20 ms.
    pub(crate) fn frame(&self, codec: Codec, frame: &mut [u8; FRAME]) -> Voice {
        let mut shared = self.shared();
        let speech = shared.mix(codec, frame);
        let before = std::mem::replace(&mut shared.speaking, speech);
        if speech { Voice::Speech { marker: !before } } else { Voice::Silence }
    }

    /// Discards all that waits to be heard.
    pub(crate) fn clear(&self) {
        self.shared().tracks.iter_mut().for_each(|(_, track)| track.clear());
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Whether there is anything to be heard; then it is in `frame`.
    fn mix(&mut self, codec: Codec, frame: &mut [u8; FRAME]) -> bool {
        let mut mixed = [0; FRAME];
        let mut samples = [0; FRAME];
        let (mut voices, mut only) = (0, None);
        for (_, track) in &mut self.tracks {
            if let Heard::Samples(law) = track.take(&mut samples) {
                voices += 1;
                only = law.filter(|_| voices == 1);
                for (sum, &sample) in mixed.iter_mut().zip(&samples) {
                    *sum += i32::from(sample);
                }
            }
        }
        for (code, &sum) in frame.iter_mut().zip(&mixed) {
            *code = match voices {
                0 => codec.silence(),
                1 if only == Some(codec) => encode_back(codec, sum as i16),
                1 => codec.encode(sum as i16),
                _ => codec.encode(limit(sum)),
            };
        }
        voices > 0
    }
}

impl RtpSink for Track {
    fn packet(&mut self, packet: &RtpPacket<'_>) {
        let mut shared = self.mixer.shared();
        if let Some((_, track)) = shared.tracks.iter_mut().find(|(id, _)| *id == self.id) {
            track.packet(packet);
        }
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        self.mixer.shared().tracks.retain(|(id, _)| *id != self.id);
    }
}
