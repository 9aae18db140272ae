//! What was said.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Who spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The AI assistant.
    Agent,
    /// The callee.
    User,
}

/// One final line of a transcript. Debug output leaves out what was said.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptLine {
    /// Who spoke.
    pub speaker: Speaker,
    /// What was said.
    pub text: String,
    /// When it was begun to be said, as far as that is known: for the callee of a LiveKit SIP call
    /// when its first words were transcribed, which some transcribers do only at the end of a sentence.
    pub timestamp: DateTime<Utc>,
}

impl fmt::Debug for TranscriptLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chars = self.text.chars().count();
        write!(f, "TranscriptLine({:?}, {chars} characters, {})", self.speaker, self.timestamp)
    }
}

/// Whether all that was said is in a transcript. Partial comes first: what was missed once stays
/// missed, whatever another source says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TranscriptStatus {
    /// Lines may be missing.
    Partial,
    /// All of it.
    Complete,
}

impl TranscriptStatus {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Partial => "partial",
            Self::Complete => "complete",
        }
    }
}
