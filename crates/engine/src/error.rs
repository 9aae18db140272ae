//! What can go wrong when the engine is asked for something.

use std::time::Duration;

use outdial_domain::{Call, Error, ErrorKind};

/// The result of a request to the engine.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// Why a request was not met.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No such row, or another account's.
    #[error("{what} not found")]
    NotFound {
        /// What was looked for: `assistant`, `trunk`, `call`, `key`.
        what: &'static str,
    },
    /// The call was erased.
    #[error("the call was erased")]
    Erased,
    /// It will be there later.
    #[error("the {what} is not there yet")]
    NotYet {
        /// What: `recording`.
        what: &'static str,
    },
    /// The request breaks a rule.
    #[error("{field}: {rule}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// The rule it breaks.
        rule: String,
        /// How to mend it.
        hint: String,
    },
    /// The idempotency key was used before with another request.
    #[error("the idempotency key was used before with another body")]
    IdempotencyMismatch,
    /// The row was changed by somebody else at the same time, or is in a state that forbids this.
    #[error("{0}")]
    Conflict(String),
    /// A limit of the trunk is reached.
    #[error("{message}")]
    TooMany {
        /// Which limit.
        message: String,
        /// When a slot may be free.
        retry_after: Duration,
    },
    /// The route of this call is not set up; the text names the missing setting.
    #[error("{0}")]
    Unconfigured(String),
    /// The call ended before its leg had joined; it is on record.
    #[error("the call ended before the phone was dialled")]
    CallFailed(Box<Call>),
    /// The phone's leg cannot be reached now; it may be later.
    #[error("the phone's leg cannot be reached")]
    LegUnavailable(#[source] Error),
    /// The server is stopping and takes no new calls.
    #[error("the server is stopping")]
    Stopping,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
}

impl EngineError {
    pub(crate) fn invalid(
        field: &'static str,
        rule: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Invalid { field, rule: rule.into(), hint: hint.into() }
    }

    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind == ErrorKind::Conflict)
    }
}
