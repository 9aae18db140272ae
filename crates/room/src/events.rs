//! What a room tells.

use crate::{
    error::CloseReason,
    options::AudioCodec,
    participant::{Participant, Speaker, Track},
};
use livekit_protocol::DisconnectReason;
use std::{collections::HashMap, time::SystemTime};
use tokio::sync::mpsc;

/// The events of one participant, in order. They must be read: see
/// [`Limits::events`](crate::Limits::events).
#[derive(Debug)]
pub struct Events {
    pub(crate) receiver: mpsc::Receiver<RoomEvent>,
    pub(crate) closed: tokio::sync::oneshot::Receiver<CloseReason>,
    pub(crate) done: bool,
}

impl Events {
    /// The next event. `None` after [`RoomEvent::Closed`]. Cancel safe.
    pub async fn next(&mut self) -> Option<RoomEvent> {
        if self.done {
            return None;
        }
        if let Some(event) = self.receiver.recv().await {
            return Some(event);
        }
        // the reason has its own channel, so that it arrives even when the events overflowed
        let reason = (&mut self.closed).await.unwrap_or(CloseReason::MediaStopped);
        self.done = true;
        Some(RoomEvent::Closed(reason))
    }
}

/// Something happened in the room.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RoomEvent {
    /// A participant is in the room. Those who were there before us are not told here: see
    /// [`Room::participants`](crate::Room::participants).
    ParticipantJoined(Participant),
    /// Attributes, metadata, name or state of a participant changed; also of ourselves.
    ParticipantUpdated(Participant),
    /// A participant left.
    ParticipantLeft {
        /// As it was last known.
        participant: Participant,
        /// Why, as the server tells.
        reason: DisconnectReason,
    },
    /// A participant publishes a track.
    TrackPublished {
        /// Identity of the publisher.
        participant_identity: String,
        /// The track.
        track: Track,
    },
    /// A participant ended a track.
    TrackUnpublished {
        /// Identity of the publisher.
        participant_identity: String,
        /// Server id of the track.
        track_sid: String,
    },
    /// A track was muted or unmuted.
    TrackMuted {
        /// Identity of the publisher.
        participant_identity: String,
        /// Server id of the track.
        track_sid: String,
        /// New state.
        muted: bool,
    },
    /// The server has connected a track to us; its packets follow.
    TrackSubscribed {
        /// Server id of the track.
        track_sid: String,
        /// Identity of the publisher, empty when not known yet.
        participant_identity: String,
        /// Codec the server announced. Packets tell the true one.
        codec: AudioCodec,
    },
    /// The server refuses a subscription.
    SubscriptionFailed {
        /// Server id of the track.
        track_sid: String,
        /// What the server says.
        error: String,
    },
    /// Speakers that started, changed or stopped.
    ActiveSpeakers(Vec<Speaker>),
    /// A text stream opened, grew or ended.
    TextStream(TextStreamEvent),
    /// A byte stream opened, grew or ended.
    ByteStream(ByteStreamEvent),
    /// A plain data packet.
    Data {
        /// Identity of the sender, empty when the server or a hidden participant sent it.
        participant_identity: String,
        /// Topic, may be empty.
        topic: String,
        /// Content.
        payload: Vec<u8>,
        /// Came over the reliable channel.
        reliable: bool,
    },
    /// A participant wants a digit to be dialled, or tells that a phone has dialled one.
    Dtmf {
        /// Identity of the sender, empty when the server or a hidden participant sent it.
        participant_identity: String,
        /// Number of the digit in RFC 4733: 0 to 9, 10 for `*`, 11 for `#`, 12 to 15 for `A` to `D`.
        code: u32,
        /// The digit as text. It is what livekit-sip goes by.
        digit: String,
    },
    /// The connection was lost; trying to get back. Media may go on.
    Reconnecting,
    /// The session goes on as before.
    Resumed,
    /// Joined afresh: ids of participants and tracks are new, our tracks are published again, and
    /// subscriptions are moved to the track of the same participant and name when it is there.
    Rejoined,
    /// The end. Nothing follows.
    Closed(CloseReason),
}

/// A text stream of a participant. Chunks of one stream come in order.
#[derive(Debug, Clone, PartialEq)]
pub enum TextStreamEvent {
    /// A stream began.
    Opened {
        /// Id of the stream.
        stream_id: String,
        /// Topic, for example `lk.transcription`.
        topic: String,
        /// Who it is from, or on whose behalf an agent sends it.
        participant_identity: String,
        /// Attributes of the header.
        attributes: HashMap<String, String>,
        /// When it began, by the sender's clock.
        timestamp: SystemTime,
    },
    /// Text to append.
    Chunk {
        /// Id of the stream.
        stream_id: String,
        /// The text.
        text: String,
    },
    /// The stream ended in order.
    Closed {
        /// Id of the stream.
        stream_id: String,
        /// Attributes of the header with those of the trailer.
        attributes: HashMap<String, String>,
    },
    /// The stream ended early. What came so far is all there is.
    Failed {
        /// Id of the stream.
        stream_id: String,
        /// Why.
        error: StreamError,
    },
}

/// A byte stream of a participant. Chunks of one stream come in order.
#[derive(Debug, Clone, PartialEq)]
pub enum ByteStreamEvent {
    /// A stream began.
    Opened {
        /// Id of the stream.
        stream_id: String,
        /// Topic.
        topic: String,
        /// Who it is from.
        participant_identity: String,
        /// Attributes of the header.
        attributes: HashMap<String, String>,
        /// When it began, by the sender's clock.
        timestamp: SystemTime,
        /// File name the sender gave; do not trust it as a path.
        name: String,
        /// MIME type.
        mime_type: String,
    },
    /// Bytes to append.
    Chunk {
        /// Id of the stream.
        stream_id: String,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The stream ended in order.
    Closed {
        /// Id of the stream.
        stream_id: String,
        /// Attributes of the header with those of the trailer.
        attributes: HashMap<String, String>,
    },
    /// The stream ended early.
    Failed {
        /// Id of the stream.
        stream_id: String,
        /// Why.
        error: StreamError,
    },
}

/// Why an incoming stream ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// Longer than [`Limits::stream_bytes`](crate::Limits::stream_bytes).
    #[error("the stream is too long")]
    TooLong,
    /// Nothing came for [`Limits::stream_idle`](crate::Limits::stream_idle).
    #[error("the stream went silent")]
    Idle,
    /// The sender left, or the connection was lost.
    #[error("the stream was cut off")]
    Interrupted,
    /// Chunks are missing, cannot be decompressed, or text is not UTF-8.
    #[error("the stream is damaged: {0}")]
    Damaged(String),
}
