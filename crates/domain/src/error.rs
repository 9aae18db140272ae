//! The one error type of all ports.

use std::fmt;

/// What kind of failure it was; callers decide by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The row changed since it was read, or another owner took it.
    Conflict,
    /// A row with the same key exists.
    Exists,
    /// No such row, room or leg.
    NotFound,
    /// A limit is reached; trying later may help.
    Busy,
    /// The other side refused: bad credentials, a wrong setting, an invalid request.
    Refused,
    /// The other side could not be reached or did not answer in time.
    Unavailable,
    /// No space is left: nothing was stored.
    Full,
    /// What was read is damaged, or of a newer version.
    Corrupt,
    /// Anything else.
    Internal,
}

/// A failed operation of a port.
///
/// How a call ended is never an error but a value: [`Termination`](crate::Termination).
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct Error {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What was being done, such as `livekit.create_room`.
    pub operation: &'static str,
    /// What went wrong, for a person; holds no secret, no prompt and no whole phone number.
    pub message: String,
    /// The cause below.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of a port's operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without a cause below.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl fmt::Display) -> Self {
        Self { kind, operation, message: message.to_string(), source: None }
    }

    /// Adds the cause below.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether the same call may succeed later without any change.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Busy | ErrorKind::Unavailable | ErrorKind::Full)
    }
}
