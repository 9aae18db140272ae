//! How webhooks leave.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use url::Url;

use crate::{Call, Secret, TranscriptLine};

/// A webhook to send once.
#[derive(Debug, Clone)]
pub struct WebhookRequest {
    /// Where to.
    pub url: Url,
    /// The `webhook-id`: the same for every attempt, so that a receiver can drop repetitions.
    pub id: String,
    /// The `webhook-timestamp`: the time of this attempt.
    pub timestamp: DateTime<Utc>,
    /// The JSON body.
    pub body: Vec<u8>,
    /// `whsec_…`: each signs, so that secrets can be rotated.
    pub secrets: Vec<Secret>,
}

/// What came of sending a webhook: a value, as a failed attempt is an ordinary event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookReply {
    /// The answer's status, if one came.
    pub status_code: Option<u16>,
    /// Why the attempt failed: `None` exactly when the status is 2xx.
    pub error: Option<String>,
    /// The endpoint asked to be left alone for so long (`Retry-After`), already bounded.
    pub retry_after: Option<std::time::Duration>,
}

impl WebhookReply {
    /// Whether the endpoint accepted the webhook.
    pub fn is_success(&self) -> bool {
        self.error.is_none()
    }
}

/// Sends webhooks. One call is one attempt, bounded in time by the implementation; concurrent calls
/// do not wait for each other.
#[async_trait]
pub trait WebhookSender: Send + Sync {
    /// The body of the end-of-call webhook: the same for the same call and lines, so that every
    /// attempt sends the same.
    /// `recording_path` is the URL of the recording, if it is available.
    fn end_of_call(
        &self,
        call: &Call,
        lines: &[TranscriptLine],
        recording_path: Option<&str>,
    ) -> Vec<u8>;

    /// A fresh secret, in the form in which receivers are given it.
    fn new_secret(&self) -> Secret;

    /// Makes one attempt.
    async fn send(&self, request: &WebhookRequest) -> WebhookReply;

    /// Whether `url` may be a webhook endpoint, as far as can be told without a network: scheme and
    /// literal addresses. The error says what is wrong.
    fn check_url(&self, url: &Url) -> Result<(), String>;
}
