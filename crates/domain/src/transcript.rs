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
    /// When it was begun to be said.
    pub timestamp: DateTime<Utc>,
}

impl fmt::Debug for TranscriptLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chars = self.text.chars().count();
        write!(f, "TranscriptLine({:?}, {chars} characters, {})", self.speaker, self.timestamp)
    }
}
