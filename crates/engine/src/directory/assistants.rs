//! Assistants.

use std::time::Duration;

use chrono::{DateTime, Utc};
use outdial_domain::placeholder::OnMissing;
use outdial_domain::ports::{Page, PageRequest};
use outdial_domain::{AccountId, Assistant, AssistantId, ErrorKind, Secret, WebhookSecret};
use serde_json::Value;
use url::Url;

use super::{later, set};
use crate::{Engine, EngineError, Inner, Result};

/// An assistant to create.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of `Assistant`")]
pub struct NewAssistant {
    pub assistant_name: String,
    pub assistant_prompt: String,
    pub assistant_start_instruction: String,
    pub assistant_end_call_url: Option<Url>,
    pub agent_name: String,
    pub agent_config: Value,
    pub recording: bool,
    pub on_missing_placeholder: OnMissing,
    pub is_active: bool,
}

impl NewAssistant {
    /// An active assistant with defaults: agent `outdial-agent`, recording on, no webhook.
    pub fn new(
        name: impl Into<String>,
        prompt: impl Into<String>,
        start_instruction: impl Into<String>,
    ) -> Self {
        Self {
            assistant_name: name.into(),
            assistant_prompt: prompt.into(),
            assistant_start_instruction: start_instruction.into(),
            assistant_end_call_url: None,
            agent_name: DEFAULT_AGENT_NAME.into(),
            agent_config: Value::Object(serde_json::Map::new()),
            recording: true,
            on_missing_placeholder: OnMissing::Empty,
            is_active: true,
        }
    }
}

/// The agent that is dispatched when an assistant names none.
pub const DEFAULT_AGENT_NAME: &str = "outdial-agent";

/// Changes to an assistant; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are those of `Assistant`")]
pub struct AssistantChange {
    pub assistant_name: Option<String>,
    pub assistant_prompt: Option<String>,
    pub assistant_start_instruction: Option<String>,
    pub assistant_end_call_url: Option<Option<Url>>,
    pub agent_name: Option<String>,
    pub agent_config: Option<Value>,
    pub recording: Option<bool>,
    pub on_missing_placeholder: Option<OnMissing>,
    pub is_active: Option<bool>,
}

/// A new webhook secret, shown once.
#[derive(Debug, Clone)]
pub struct SecretRotation {
    /// `whsec_…`.
    pub secret: Secret,
    /// Until when the secrets before it go on signing.
    pub previous_expires_at: DateTime<Utc>,
}

/// Assistants.
impl Engine {
    /// Creates an assistant, and the secret that signs its webhooks: shown once.
    ///
    /// # Errors
    /// When the webhook URL is not allowed, or the store fails.
    pub async fn create_assistant(
        &self,
        account: &AccountId,
        new: NewAssistant,
    ) -> Result<(Assistant, Secret)> {
        self.inner.check_url(new.assistant_end_call_url.as_ref())?;
        let now = self.inner.now();
        let assistant_id = AssistantId::random();
        let secret = self.inner.parts.webhooks.new_secret();
        let sealed = self.inner.parts.vault.seal(&secret, &webhook_context(assistant_id));
        let assistant = Assistant {
            assistant_id,
            account_id: account.clone(),
            assistant_name: new.assistant_name,
            assistant_prompt: new.assistant_prompt,
            assistant_start_instruction: new.assistant_start_instruction,
            assistant_end_call_url: new.assistant_end_call_url,
            agent_name: new.agent_name,
            agent_config: new.agent_config,
            recording: new.recording,
            on_missing_placeholder: new.on_missing_placeholder,
            is_active: new.is_active,
            webhook_secrets: vec![WebhookSecret { secret: sealed, expires_at: None }],
            created_at: now,
            updated_at: now,
        };
        self.inner.parts.store.insert_assistant(&assistant).await?;
        Ok((assistant, secret))
    }

    /// The account's assistant.
    ///
    /// # Errors
    /// `NotFound`, or when the store fails.
    pub async fn assistant(&self, account: &AccountId, id: AssistantId) -> Result<Assistant> {
        let found = self.inner.parts.store.assistant(account, id).await?;
        found.ok_or(EngineError::NotFound { what: "assistant" })
    }

    /// The account's assistants, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn assistants(
        &self,
        account: &AccountId,
        page: &PageRequest,
    ) -> Result<Page<Assistant>> {
        Ok(self.inner.parts.store.assistants(account, page).await?)
    }

    /// Changes an assistant; running calls keep what they began with.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` when the webhook URL is not allowed, or when the store fails.
    pub async fn change_assistant(
        &self,
        account: &AccountId,
        id: AssistantId,
        change: AssistantChange,
    ) -> Result<Assistant> {
        self.inner.check_url(change.assistant_end_call_url.as_ref().and_then(Option::as_ref))?;
        self.edit_assistant(account, id, |assistant| {
            let AssistantChange {
                assistant_name,
                assistant_prompt,
                assistant_start_instruction,
                assistant_end_call_url,
                agent_name,
                agent_config,
                recording,
                on_missing_placeholder,
                is_active,
            } = change.clone();
            set(&mut assistant.assistant_name, assistant_name);
            set(&mut assistant.assistant_prompt, assistant_prompt);
            set(&mut assistant.assistant_start_instruction, assistant_start_instruction);
            set(&mut assistant.assistant_end_call_url, assistant_end_call_url);
            set(&mut assistant.agent_name, agent_name);
            set(&mut assistant.agent_config, agent_config);
            set(&mut assistant.recording, recording);
            set(&mut assistant.on_missing_placeholder, on_missing_placeholder);
            set(&mut assistant.is_active, is_active);
        })
        .await
    }

    /// Gives the assistant a new webhook secret. The one before goes on signing beside it for
    /// `overlap` (by default the policy's).
    ///
    /// # Errors
    /// `NotFound`, or when the store fails.
    pub async fn rotate_webhook_secret(
        &self,
        account: &AccountId,
        id: AssistantId,
        overlap: Option<Duration>,
    ) -> Result<SecretRotation> {
        let secret = self.inner.parts.webhooks.new_secret();
        let sealed = self.inner.parts.vault.seal(&secret, &webhook_context(id));
        let now = self.inner.now();
        let expires = now + overlap.unwrap_or(self.inner.parts.policy.secret_overlap);
        self.edit_assistant(account, id, |assistant| {
            let old = &mut assistant.webhook_secrets;
            old.retain(|secret| secret.expires_at.is_none_or(|end| end > now));
            for secret in old.iter_mut() {
                secret.expires_at = Some(secret.expires_at.map_or(expires, |end| end.min(expires)));
            }
            old.insert(0, WebhookSecret { secret: sealed.clone(), expires_at: None });
        })
        .await?;
        Ok(SecretRotation { secret, previous_expires_at: expires })
    }

    /// Deletes an assistant; its calls stay.
    ///
    /// # Errors
    /// `NotFound`, or when the store fails.
    pub async fn delete_assistant(&self, account: &AccountId, id: AssistantId) -> Result<()> {
        let deleted = self.inner.parts.store.delete_assistant(account, id).await?;
        deleted.then_some(()).ok_or(EngineError::NotFound { what: "assistant" })
    }

    async fn edit_assistant(
        &self,
        account: &AccountId,
        id: AssistantId,
        edit: impl Fn(&mut Assistant),
    ) -> Result<Assistant> {
        loop {
            let mut assistant = self.assistant(account, id).await?;
            let read = assistant.updated_at;
            edit(&mut assistant);
            assistant.updated_at = later(self.inner.now(), read);
            match self.inner.parts.store.save_assistant(&assistant, read).await {
                Ok(()) => return Ok(assistant),
                Err(error) if error.kind == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Inner {
    fn check_url(&self, url: Option<&Url>) -> Result<()> {
        let Some(url) = url else { return Ok(()) };
        self.parts.webhooks.check_url(url).map_err(|rule| {
            EngineError::invalid(
                "assistant_end_call_url",
                rule,
                "use the public http(s) address of your endpoint",
            )
        })
    }
}

/// Where an assistant's webhook secret is sealed for.
pub(crate) fn webhook_context(id: AssistantId) -> String {
    format!("webhook:{id}")
}
