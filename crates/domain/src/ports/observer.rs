//! Watching a call from inside its room, and hearing it.

use std::fmt;
use std::time::Instant;

use super::HintSink;
use crate::{RoomName, Speaker};

/// How audio is encoded in RTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// Opus (RFC 7587): timestamps at 48 kHz whatever the sampling.
    Opus,
    /// G.711 mu-law (RFC 3551, payload type 0): 8 kHz.
    Pcmu,
    /// G.711 A-law (RFC 3551, payload type 8): 8 kHz.
    Pcma,
}

impl AudioCodec {
    /// Timestamp units per second.
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma => 8_000,
        }
    }
}

/// One packet of audio, as it came.
#[derive(Debug, Clone, Copy)]
pub struct AudioPacket<'a> {
    /// Whose voice.
    pub speaker: Speaker,
    /// Tells the RTP streams of a call apart: a new track, codec or SSRC is a new stream. Sequence
    /// numbers and timestamps mean something within one stream only.
    pub stream: u32,
    /// How the payload is encoded.
    pub codec: AudioCodec,
    /// The RTP sequence number.
    pub sequence: u16,
    /// The RTP timestamp, in units of [`AudioCodec::clock_rate`].
    pub timestamp: u32,
    /// When it came.
    pub arrived_at: Instant,
    /// The RTP payload; empty says nothing.
    pub payload: &'a [u8],
}

/// Takes the audio of one call, both sides of it. Dropping it says that no more will come.
pub trait AudioSink: Send {
    /// Takes in one packet. Called on threads that serve many calls: it must return within
    /// microseconds, so it never waits, neither for a disk nor for a lock that is held over one;
    /// what cannot be taken is dropped and counted.
    fn write(&mut self, packet: &AudioPacket<'_>);
}

/// A call to observe.
pub struct ObserveRequest {
    /// The room, and the call.
    pub room_name: RoomName,
    /// Who the callee is in the room.
    pub participant_identity: String,
    /// Where everything goes that is seen and heard.
    pub hints: HintSink,
    /// Where the audio goes; `None` when the call is not recorded.
    pub audio: Option<Box<dyn AudioSink>>,
}

impl fmt::Debug for ObserveRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObserveRequest")
            .field("room_name", &self.room_name)
            .field("audio", &self.audio.is_some())
            .finish_non_exhaustive()
    }
}

/// An observation that goes on until this is dropped.
pub struct Observation(#[expect(dead_code, reason = "lives for its drop")] Box<dyn Send + Sync>);

impl Observation {
    /// An observation that ends when `guard` is dropped.
    pub fn new(guard: impl Send + Sync + 'static) -> Self {
        Self(Box::new(guard))
    }
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observation")
    }
}

/// Watches calls from inside their rooms.
///
/// It tells what it sees as hints: the leg's [`Joined`](crate::Hint::Joined),
/// [`Ringing`](crate::Hint::Ringing), [`Answered`](crate::Hint::Answered) and
/// [`Ended`](crate::Hint::Ended), the agent's coming, going and state, and final
/// [`Line`](crate::Hint::Line)s in the order in which they were begun to be spoken. When no further
/// line can come it sends [`TranscriptEnded`](crate::Hint::TranscriptEnded), at the latest 2 s after
/// the leg has ended.
///
/// An observation that cannot begin, comes late or is lost never harms the call: other sources tell
/// the same, and only the transcript and the recording have gaps.
pub trait Observer: Send + Sync {
    /// Begins to observe; returns at once and goes on in the background, over lost connections,
    /// until the observation is dropped, the room is gone, or nobody listens to the hints any more.
    fn observe(&self, request: ObserveRequest) -> Observation;
}
