//! Who is in the room.

use crate::options::AudioCodec;
use livekit_protocol::{self as proto, TrackSource};
use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A participant as the server last described it.
#[derive(Debug, Clone, PartialEq)]
pub struct Participant {
    /// Server id, new for every join (`PA_…`).
    pub sid: String,
    /// Identity of the token, unique in the room.
    pub identity: String,
    /// Display name, may be empty.
    pub name: String,
    /// What joined.
    pub kind: ParticipantKind,
    /// How far the join is.
    pub state: ParticipantState,
    /// Key-value pairs that the participant or the server set.
    pub attributes: HashMap<String, String>,
    /// Free text that the participant or the server set.
    pub metadata: String,
    /// Tracks that the participant publishes.
    pub tracks: Vec<Track>,
    /// Joined invisibly. Only ever true for the local participant: others are not told.
    pub hidden: bool,
    /// When it joined, by the server's clock.
    pub joined_at: SystemTime,
}

/// What kind of program a participant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParticipantKind {
    /// An ordinary client.
    Standard,
    /// Brings a stream into the room.
    Ingress,
    /// Records the room.
    Egress,
    /// A telephone.
    Sip,
    /// A LiveKit agent.
    Agent,
    /// A connector, for example WhatsApp.
    Connector,
    /// A bridge to another system.
    Bridge,
    /// A kind this crate does not know, by its number in the LiveKit protocol.
    Other(i32),
}

/// How far a participant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParticipantState {
    /// The signal socket is open.
    Joining,
    /// Knows the room.
    Joined,
    /// Media is connected.
    Active,
    /// Has left.
    Disconnected,
}

/// A published track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Server id (`TR_…`).
    pub sid: String,
    /// Name the publisher gave it.
    pub name: String,
    /// Audio, video or data.
    pub kind: TrackKind,
    /// Where it comes from.
    pub source: TrackSource,
    /// The publisher sends silence or nothing.
    pub muted: bool,
    /// MIME type such as `audio/opus`; empty until the server knows.
    pub mime_type: String,
}

impl Track {
    /// The codec, when it is one that this crate carries.
    #[must_use]
    pub fn codec(&self) -> Option<AudioCodec> {
        match self.mime_type.to_ascii_lowercase().as_str() {
            "audio/opus" | "audio/red" => Some(AudioCodec::Opus),
            "audio/pcmu" => Some(AudioCodec::Pcmu),
            "audio/pcma" => Some(AudioCodec::Pcma),
            _ => None,
        }
    }
}

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Data.
    Data,
}

/// Somebody who speaks.
#[derive(Debug, Clone, PartialEq)]
pub struct Speaker {
    /// Server id of the participant.
    pub participant_sid: String,
    /// Identity, empty when the participant is unknown.
    pub participant_identity: String,
    /// 0.0 to 1.0, 1.0 is loudest.
    pub level: f32,
    /// False: has just stopped.
    pub active: bool,
}

impl From<&proto::ParticipantInfo> for Participant {
    fn from(info: &proto::ParticipantInfo) -> Self {
        Self {
            sid: info.sid.clone(),
            identity: info.identity.clone(),
            name: info.name.clone(),
            kind: kind(info.kind),
            state: state(info.state),
            attributes: info.attributes.clone(),
            metadata: info.metadata.clone(),
            tracks: info.tracks.iter().map(Track::from).collect(),
            hidden: info.permission.as_ref().is_some_and(|p| p.hidden),
            joined_at: joined_at(info),
        }
    }
}

impl From<&proto::TrackInfo> for Track {
    fn from(info: &proto::TrackInfo) -> Self {
        Self {
            sid: info.sid.clone(),
            name: info.name.clone(),
            kind: match info.r#type() {
                proto::TrackType::Audio => TrackKind::Audio,
                proto::TrackType::Video => TrackKind::Video,
                proto::TrackType::Data => TrackKind::Data,
            },
            source: info.source(),
            muted: info.muted,
            mime_type: info.mime_type.clone(),
        }
    }
}

fn kind(number: i32) -> ParticipantKind {
    use proto::participant_info::Kind;
    match Kind::try_from(number) {
        Ok(Kind::Standard) => ParticipantKind::Standard,
        Ok(Kind::Ingress) => ParticipantKind::Ingress,
        Ok(Kind::Egress) => ParticipantKind::Egress,
        Ok(Kind::Sip) => ParticipantKind::Sip,
        Ok(Kind::Agent) => ParticipantKind::Agent,
        Ok(Kind::Connector) => ParticipantKind::Connector,
        Ok(Kind::Bridge) => ParticipantKind::Bridge,
        Err(_) => ParticipantKind::Other(number),
    }
}

fn state(number: i32) -> ParticipantState {
    use proto::participant_info::State;
    match State::try_from(number) {
        Ok(State::Joining) | Err(_) => ParticipantState::Joining,
        Ok(State::Joined) => ParticipantState::Joined,
        Ok(State::Active) => ParticipantState::Active,
        Ok(State::Disconnected) => ParticipantState::Disconnected,
    }
}

fn joined_at(info: &proto::ParticipantInfo) -> SystemTime {
    let millis = if info.joined_at_ms != 0 {
        info.joined_at_ms
    } else {
        info.joined_at.saturating_mul(1000)
    };
    // a hostile or broken value must not overflow the clock type
    let since = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}
