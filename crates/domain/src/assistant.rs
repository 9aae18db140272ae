//! Assistants: what is said on the phone, by which agent, and what happens afterwards.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::placeholder::OnMissing;
use crate::{AccountId, AssistantId, Sealed};

/// An assistant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assistant {
    /// Its id.
    pub assistant_id: AssistantId,
    /// Whose it is.
    pub account_id: AccountId,
    /// Its name.
    pub assistant_name: String,
    /// The agent's instructions, with placeholders.
    pub assistant_prompt: String,
    /// What the agent does first once the callee has answered, with placeholders.
    pub assistant_start_instruction: String,
    /// Where the end-of-call webhook goes.
    pub assistant_end_call_url: Option<Url>,
    /// The LiveKit agent worker to dispatch, by the name it registers with.
    pub agent_name: String,
    /// Free settings for the agent, handed to it in the dispatch metadata.
    pub agent_config: Value,
    /// Whether calls are recorded.
    pub recording: bool,
    /// What becomes of placeholders without a value.
    pub on_missing_placeholder: OnMissing,
    /// An inactive assistant takes no calls.
    pub is_active: bool,
    /// Secrets that sign the end-of-call webhook, newest first; all still valid ones sign.
    pub webhook_secrets: Vec<WebhookSecret>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A secret that signs webhooks, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookSecret {
    /// `whsec_…`, sealed.
    pub secret: Sealed,
    /// The end of its overlap with a newer secret; `None` for the newest.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Assistant {
    /// The sealed secrets that sign at `now`, newest first.
    pub fn signing_secrets(&self, now: DateTime<Utc>) -> impl Iterator<Item = &Sealed> {
        self.webhook_secrets
            .iter()
            .filter(move |secret| secret.expires_at.is_none_or(|end| end > now))
            .map(|secret| &secret.secret)
    }
}
