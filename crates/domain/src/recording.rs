//! What is recorded of a call.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A recording that is kept: one stereo Ogg/Opus file, the callee left, the agent right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Where its keeper has it: `recordings/call_{suffix}.ogg`.
    pub key: String,
    /// Its URL, when the keeper has one of its own (S3); `None`: this server serves it.
    pub url: Option<String>,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// How long it plays, in ms.
    pub duration_ms: u64,
    /// When its first sample was heard.
    pub begins_at: DateTime<Utc>,
    /// When it was kept.
    pub kept_at: DateTime<Utc>,
    /// When it is to be deleted; `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// Why parts of the call are missing in it, if they are.
    pub gaps: Option<String>,
}

/// Where the recording of a call stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum RecordingState {
    /// None was asked for, or the call was never answered.
    #[default]
    None,
    /// To be rendered and kept, once the call has ended.
    Pending {
        /// Tries so far.
        attempts: u32,
        /// When it is next to be tried.
        next_at: DateTime<Utc>,
        /// Why the last try failed.
        reason: Option<String>,
    },
    /// It is kept.
    Available(Recording),
    /// There is none and there will be none.
    Lost {
        /// Why.
        reason: String,
    },
    /// It was kept for as long as it was to be.
    Expired {
        /// When it was deleted.
        at: DateTime<Utc>,
    },
}

impl RecordingState {
    /// The word of the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pending { .. } => "pending",
            Self::Available(_) => "available",
            Self::Lost { .. } => "lost",
            Self::Expired { .. } => "expired",
        }
    }

    /// The recording, when it is kept.
    pub fn available(&self) -> Option<&Recording> {
        match self {
            Self::Available(recording) => Some(recording),
            _ => None,
        }
    }

    /// Whether it is still to be kept.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Pending { .. })
    }

    /// Why there is no recording, or none yet.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Pending { reason, .. } => reason.as_deref(),
            Self::Lost { reason } => Some(reason),
            _ => None,
        }
    }
}
