//! How to join and publish, and the limits that keep memory bounded.

use livekit_protocol::{DisconnectReason, TrackSource};
use std::time::Duration;

/// How to join a room.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// Receive every audio track without asking. Off by default: use
    /// [`Room::subscribe`](crate::Room::subscribe). Tracks without a sink are dropped on arrival.
    pub auto_subscribe: bool,
    /// Use one peer connection for both directions where the server can (LiveKit ≥ 1.9). It falls
    /// back to two by itself. On by default.
    pub single_peer_connection: bool,
    /// How long joining may take, up to the answer of the server. 10 s by default.
    pub timeout: Duration,
    /// How long to try to get back after the connection was lost. 60 s by default.
    pub reconnect_timeout: Duration,
    /// Join afresh when a session cannot be resumed: after a restart of the server, for example.
    /// Joining a room that is gone may create it; who must not do that switches this off, is told
    /// [`CloseReason::ConnectionLost`](crate::CloseReason::ConnectionLost) instead, and looks first.
    /// On by default.
    pub rejoin: bool,
    /// Memory limits.
    pub limits: Limits,
}

impl Default for JoinOptions {
    fn default() -> Self {
        Self {
            auto_subscribe: false,
            single_peer_connection: true,
            timeout: Duration::from_secs(10),
            reconnect_timeout: Duration::from_secs(60),
            rejoin: true,
            limits: Limits::default(),
        }
    }
}

/// Limits of one participant, so that nobody in the room can fill our memory.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Events that may wait to be read. While more wait, data and streams are dropped and counted;
    /// when 16,384 more changes of participants and tracks wait as well, the participant ends with
    /// [`CloseReason::EventsNotRead`](crate::CloseReason::EventsNotRead). 1024 by default.
    pub events: usize,
    /// Bytes of data packets that may wait to be read. More are dropped and counted in
    /// [`RoomStats::dropped_data`](crate::RoomStats::dropped_data). 4 MiB by default.
    pub data_backlog: usize,
    /// Incoming streams open at once. Later ones are refused and counted. 64 by default.
    pub open_streams: usize,
    /// Bytes one incoming stream may have, before and after decompression. 1 MiB by default.
    pub stream_bytes: usize,
    /// An incoming stream without a new chunk for so long is failed. 60 s by default.
    pub stream_idle: Duration,
    /// RTP frames that may wait in one [`Publication`](crate::Publication). 50 by default.
    pub send_queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events: 1024,
            data_backlog: 4 << 20,
            open_streams: 64,
            stream_bytes: 1 << 20,
            stream_idle: Duration::from_secs(60),
            send_queue: 50,
        }
    }
}

/// An audio track to publish.
#[derive(Debug, Clone)]
pub struct PublishOptions {
    /// Name of the track.
    pub name: String,
    /// Codec of the payloads that will be sent.
    pub codec: AudioCodec,
    /// What the track is. A microphone by default.
    pub source: TrackSource,
    /// How long to wait for the server. 10 s by default.
    pub timeout: Duration,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            name: "audio".to_owned(),
            codec: AudioCodec::Opus,
            source: TrackSource::Microphone,
            timeout: Duration::from_secs(10),
        }
    }
}

/// Codec of an audio track. Payloads pass untouched in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// Opus, 48 kHz clock.
    Opus,
    /// G.711 µ-law, 8 kHz clock.
    Pcmu,
    /// G.711 A-law, 8 kHz clock.
    Pcma,
}

impl AudioCodec {
    /// Ticks of the RTP timestamp in a second.
    #[must_use]
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma => 8_000,
        }
    }
}

/// Why we leave: what others see as
/// [`RoomEvent::ParticipantLeft`](crate::RoomEvent::ParticipantLeft). The server passes on only
/// these four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LeaveReason {
    /// A normal end, `CLIENT_INITIATED`.
    #[default]
    ClientInitiated,
    /// The called party did not answer.
    UserUnavailable,
    /// The called party refused.
    UserRejected,
    /// An agent failed.
    AgentError,
}

impl From<LeaveReason> for DisconnectReason {
    fn from(reason: LeaveReason) -> Self {
        match reason {
            LeaveReason::ClientInitiated => Self::ClientInitiated,
            LeaveReason::UserUnavailable => Self::UserUnavailable,
            LeaveReason::UserRejected => Self::UserRejected,
            LeaveReason::AgentError => Self::AgentError,
        }
    }
}
