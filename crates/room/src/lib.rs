#![doc = include_str!("../README.md")]

mod core;
mod error;
mod events;
mod join;
mod media;
mod options;
mod outgoing;
mod participant;
mod room;
mod rtp;
mod session;
mod signal_socket;
mod streams;

pub use error::{CloseReason, JoinError, RoomError};
pub use events::{ByteStreamEvent, Events, RoomEvent, StreamError, TextStreamEvent};
pub use livekit_protocol::{DisconnectReason, TrackSource};
pub use media::{
    Media, MediaConfig,
    companion::{Companion, Turn},
};
pub use options::{AudioCodec, JoinOptions, LeaveReason, Limits, PublishOptions};
pub use participant::{Participant, ParticipantKind, ParticipantState, Speaker, Track, TrackKind};
pub use room::{Publication, Room, RoomStats};
pub use rtp::{RtpFrame, RtpPacket, RtpSink, RtpSource};
