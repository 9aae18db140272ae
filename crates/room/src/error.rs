//! What can go wrong, in types.

use livekit_protocol::DisconnectReason;
use std::io;

/// Why a room could not be joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The URL cannot be parsed or has a scheme other than ws, wss, http, https.
    #[error("the server URL is wrong: {0}")]
    InvalidUrl(String),
    /// The server refuses the token (HTTP 401 or 403), for example a wrong key or secret.
    #[error("the server refused the token: {0}")]
    Unauthorized(String),
    /// The room does not exist and the server does not create rooms by itself (HTTP 404).
    #[error("the room does not exist: {0}")]
    RoomNotFound(String),
    /// Nothing answers at the address, or it is not a LiveKit server.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The server answered with an error status.
    #[error("the server refused the join with status {status}: {message}")]
    Refused {
        /// HTTP status code.
        status: u16,
        /// What the server wrote.
        message: String,
    },
    /// Joining took longer than [`JoinOptions::timeout`](crate::JoinOptions::timeout).
    #[error("joining timed out")]
    Timeout,
    /// The server sent us away while we were joining.
    #[error("the server ended the session while joining: {0:?}")]
    Closed(DisconnectReason),
    /// A UDP socket could not be opened.
    #[error("no UDP socket for media: {0}")]
    Socket(#[from] io::Error),
    /// The server sent something that cannot be understood.
    #[error("unexpected answer of the server: {0}")]
    Protocol(String),
}

/// Why a request to a room failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// The participant has left the room. The reason is in
    /// [`RoomEvent::Closed`](crate::RoomEvent::Closed).
    #[error("the participant is no longer in the room")]
    Closed,
    /// The server did not answer in time.
    #[error("the server did not answer in time")]
    Timeout,
    /// The token does not allow it.
    #[error("not allowed: {0}")]
    NotAllowed(String),
    /// The server refused the request.
    #[error("the server refused the request: {0}")]
    Refused(String),
    /// Too many requests wait, or the data channel is full. Try again later.
    #[error("too much is waiting to be sent")]
    Busy,
    /// The data is larger than a message may be.
    #[error("{0} bytes are too much")]
    TooLarge(usize),
    /// A UDP socket could not be opened.
    #[error("no UDP socket for media: {0}")]
    Socket(String),
}

/// Why a participant is no longer in the room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// We left.
    #[error("left")]
    Left,
    /// Somebody removed us with the server API.
    #[error("removed by the server API")]
    Removed,
    /// Another participant joined with our identity.
    #[error("another participant joined with the same identity")]
    DuplicateIdentity,
    /// The room was deleted or closed.
    #[error("the room was deleted")]
    RoomDeleted,
    /// The server ended the session for another reason.
    #[error("the server ended the session: {0:?}")]
    Server(DisconnectReason),
    /// The connection was lost and could not be made again in
    /// [`JoinOptions::reconnect_timeout`](crate::JoinOptions::reconnect_timeout).
    #[error("the connection was lost: {0}")]
    ConnectionLost(String),
    /// The events were not read: see [`Limits::events`](crate::Limits::events).
    #[error("the events were not read")]
    EventsNotRead,
    /// The [`Media`](crate::Media) threads are gone.
    #[error("the media threads stopped")]
    MediaStopped,
}

impl From<DisconnectReason> for CloseReason {
    fn from(reason: DisconnectReason) -> Self {
        match reason {
            DisconnectReason::ClientInitiated => Self::Left,
            DisconnectReason::DuplicateIdentity => Self::DuplicateIdentity,
            DisconnectReason::ParticipantRemoved => Self::Removed,
            DisconnectReason::RoomDeleted | DisconnectReason::RoomClosed => Self::RoomDeleted,
            other => Self::Server(other),
        }
    }
}
