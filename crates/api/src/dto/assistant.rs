//! Assistants on the wire.

use std::time::Duration;

use outdial_domain::placeholder::OnMissing;
use outdial_domain::{Assistant, AssistantId, Secret};
use outdial_engine::{AssistantChange, NewAssistant, SecretRotation};
use serde::Serialize;
use serde_json::{Map, Value};
use url::Url;
use utoipa::ToSchema;

use super::Timestamp;
use super::words::OnMissingWord;
use crate::error::Result;
use crate::input::fields::Fields;
use crate::input::rules::{Flag, HttpUrl, Object, OneOf, Text, Whole, line, prose};

const DEFAULT_AGENT: &str = "outdial-agent";
const NAME: usize = 200;
const PROMPT: usize = 32 * 1024;

const ON_MISSING: OneOf<OnMissing> =
    OneOf(&[("empty", OnMissing::Empty), ("keep", OnMissing::Keep), ("reject", OnMissing::Reject)]);

fn prompt() -> Text {
    prose(1, PROMPT)
}

fn instruction() -> Text {
    prose(0, PROMPT)
}

/// An assistant to create.
#[derive(Debug, ToSchema)]
pub(crate) struct CreateAssistant {
    /// Its name: 1 to 200 characters.
    #[schema(max_length = 200, example = "Support Agent")]
    assistant_name: String,
    /// The agent's instructions, with placeholders: 1 character to 32 KiB.
    #[schema(example = "Hello {{name}}, you're calling from {{company}}.")]
    assistant_prompt: String,
    /// What the agent does first once the callee has answered, with placeholders; at most 32 KiB.
    #[schema(value_type = Option<String>, default = "", example = "Hi {{name}}, this is {{agent_name}} speaking.")]
    assistant_start_instruction: String,
    /// Where the end-of-call webhook goes: an http or https URL.
    #[schema(value_type = Option<String>, example = "https://example.com/call-ended")]
    assistant_end_call_url: Option<Url>,
    /// The name with which the LiveKit agent worker registers: 1 to 200 characters.
    #[schema(value_type = Option<String>, default = "outdial-agent", max_length = 200)]
    agent_name: String,
    /// Free settings for the agent, handed to it with the dispatch: at most 32 KiB of JSON.
    #[schema(value_type = Option<Object>)]
    agent_config: Map<String, Value>,
    /// Whether calls are recorded, when the server has recordings set up.
    #[schema(value_type = Option<bool>, default = true)]
    recording: bool,
    /// What becomes of placeholders without a value: empty text, the placeholder itself, or a 400.
    #[schema(value_type = Option<OnMissingWord>, default = "empty")]
    on_missing_placeholder: OnMissing,
    /// An inactive assistant takes no calls.
    #[schema(value_type = Option<bool>, default = true)]
    is_active: bool,
}

impl CreateAssistant {
    pub(crate) fn read(mut body: Fields) -> Result<Self> {
        let new = Self {
            assistant_name: body.required("assistant_name", line(NAME))?,
            assistant_prompt: body.required("assistant_prompt", prompt())?,
            assistant_start_instruction: body
                .optional("assistant_start_instruction", instruction())?
                .unwrap_or_default(),
            assistant_end_call_url: body.optional("assistant_end_call_url", HttpUrl)?,
            agent_name: body
                .optional("agent_name", line(NAME))?
                .unwrap_or_else(|| DEFAULT_AGENT.to_owned()),
            agent_config: body.optional("agent_config", Object)?.unwrap_or_default(),
            recording: body.optional("recording", Flag)?.unwrap_or(true),
            on_missing_placeholder: body
                .optional("on_missing_placeholder", ON_MISSING)?
                .unwrap_or_default(),
            is_active: body.optional("is_active", Flag)?.unwrap_or(true),
        };
        body.finish()?;
        Ok(new)
    }
}

impl From<CreateAssistant> for NewAssistant {
    fn from(create: CreateAssistant) -> Self {
        let CreateAssistant {
            assistant_name,
            assistant_prompt,
            assistant_start_instruction,
            assistant_end_call_url,
            agent_name,
            agent_config,
            recording,
            on_missing_placeholder,
            is_active,
        } = create;
        Self {
            assistant_name,
            assistant_prompt,
            assistant_start_instruction,
            assistant_end_call_url,
            agent_name,
            agent_config: Value::Object(agent_config),
            recording,
            on_missing_placeholder,
            is_active,
        }
    }
}

/// Changes to an assistant: a field that is absent stays as it is.
#[derive(Debug, ToSchema)]
pub(crate) struct ChangeAssistant {
    #[schema(value_type = String, required = false, max_length = 200)]
    assistant_name: Option<String>,
    #[schema(value_type = String, required = false)]
    assistant_prompt: Option<String>,
    #[schema(value_type = String, required = false)]
    assistant_start_instruction: Option<String>,
    /// `null` clears it.
    #[schema(value_type = Option<String>)]
    assistant_end_call_url: Option<Option<Url>>,
    #[schema(value_type = String, required = false, max_length = 200)]
    agent_name: Option<String>,
    /// Replaces the whole object.
    #[schema(value_type = Object, required = false)]
    agent_config: Option<Map<String, Value>>,
    #[schema(value_type = bool, required = false)]
    recording: Option<bool>,
    #[schema(value_type = OnMissingWord, required = false)]
    on_missing_placeholder: Option<OnMissing>,
    #[schema(value_type = bool, required = false, example = false)]
    is_active: Option<bool>,
}

impl ChangeAssistant {
    pub(crate) fn read(mut body: Fields) -> Result<Self> {
        for name in ["assistant_id", "created_at", "updated_at"] {
            body.fixed(name)?;
        }
        let change = Self {
            assistant_name: body.change("assistant_name", line(NAME))?,
            assistant_prompt: body.change("assistant_prompt", prompt())?,
            assistant_start_instruction: body
                .change("assistant_start_instruction", instruction())?,
            assistant_end_call_url: body.clearable("assistant_end_call_url", HttpUrl)?,
            agent_name: body.change("agent_name", line(NAME))?,
            agent_config: body.change("agent_config", Object)?,
            recording: body.change("recording", Flag)?,
            on_missing_placeholder: body.change("on_missing_placeholder", ON_MISSING)?,
            is_active: body.change("is_active", Flag)?,
        };
        body.finish()?;
        Ok(change)
    }
}

impl From<ChangeAssistant> for AssistantChange {
    fn from(change: ChangeAssistant) -> Self {
        let ChangeAssistant {
            assistant_name,
            assistant_prompt,
            assistant_start_instruction,
            assistant_end_call_url,
            agent_name,
            agent_config,
            recording,
            on_missing_placeholder,
            is_active,
        } = change;
        Self {
            assistant_name,
            assistant_prompt,
            assistant_start_instruction,
            assistant_end_call_url,
            agent_name,
            agent_config: agent_config.map(Value::Object),
            recording,
            on_missing_placeholder,
            is_active,
        }
    }
}

/// An assistant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Assistant)]
pub(crate) struct AssistantData {
    #[schema(value_type = String, format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    assistant_id: AssistantId,
    assistant_name: String,
    assistant_prompt: String,
    assistant_start_instruction: String,
    assistant_end_call_url: Option<String>,
    agent_name: String,
    #[schema(value_type = Object)]
    agent_config: Value,
    recording: bool,
    #[schema(value_type = OnMissingWord)]
    on_missing_placeholder: OnMissing,
    is_active: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Assistant> for AssistantData {
    fn from(assistant: Assistant) -> Self {
        let Assistant {
            assistant_id,
            account_id: _,
            assistant_name,
            assistant_prompt,
            assistant_start_instruction,
            assistant_end_call_url,
            agent_name,
            agent_config,
            recording,
            on_missing_placeholder,
            is_active,
            webhook_secrets: _,
            created_at,
            updated_at,
        } = assistant;
        Self {
            assistant_id,
            assistant_name,
            assistant_prompt,
            assistant_start_instruction,
            assistant_end_call_url: assistant_end_call_url.map(String::from),
            agent_name,
            agent_config,
            recording,
            on_missing_placeholder,
            is_active,
            created_at: created_at.into(),
            updated_at: updated_at.into(),
        }
    }
}

/// A new assistant with the secret that signs its webhooks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssistantCreated {
    #[serde(flatten)]
    assistant: AssistantData,
    /// Signs the end-of-call webhook (Standard Webhooks). Shown here only.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    webhook_secret: String,
}

impl AssistantCreated {
    pub(crate) fn new(assistant: Assistant, secret: &Secret) -> Self {
        Self { assistant: assistant.into(), webhook_secret: secret.expose().to_owned() }
    }
}

/// How a webhook secret is replaced; the whole body may be left out.
#[derive(Debug, ToSchema)]
pub(crate) struct RotateSecret {
    /// For how many seconds the old secret goes on signing beside the new one: 0 to 604800 (a week),
    /// a day by default.
    #[schema(maximum = 604_800, example = 3600)]
    overlap_seconds: Option<u32>,
}

impl RotateSecret {
    pub(crate) fn read(mut body: Fields) -> Result<Self> {
        let rotate =
            Self { overlap_seconds: body.optional("overlap_seconds", Whole(0..=604_800))? };
        body.finish()?;
        Ok(rotate)
    }

    pub(crate) fn overlap(&self) -> Option<Duration> {
        self.overlap_seconds.map(|secs| Duration::from_secs(secs.into()))
    }
}

/// A new webhook secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretRotated {
    #[schema(value_type = String, format = Uuid)]
    assistant_id: AssistantId,
    /// Shown here only.
    webhook_secret: String,
    /// Until when the old secret signs too.
    previous_expires_at: Timestamp,
}

impl SecretRotated {
    pub(crate) fn new(assistant_id: AssistantId, rotation: SecretRotation) -> Self {
        let SecretRotation { secret, previous_expires_at } = rotation;
        Self {
            assistant_id,
            webhook_secret: secret.expose().to_owned(),
            previous_expires_at: previous_expires_at.into(),
        }
    }
}
