//! Sending a webhook: one bounded HTTP exchange.

mod failure;
mod retry_after;

use std::time::Duration;

use async_trait::async_trait;
use outdial_domain::ports::{WebhookReply, WebhookRequest, WebhookSender};
use outdial_domain::{Call, Secret, TranscriptLine};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response};
use tokio::time::Instant;
use url::Url;

use self::failure::Failure;
use crate::guard::{Guard, GuardedResolver};
use crate::payload::EndOfCall;
use crate::sign::{self, SigningSecret};

/// How many bytes of an answer's body are read before the connection is closed: 16 KiB.
pub const MAX_BODY: usize = 16 * 1024;

const USER_AGENT: &str = concat!("outdial/", env!("CARGO_PKG_VERSION"));

/// How an [`HttpSender`] behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderSettings {
    /// The time of a whole attempt: DNS, connect, TLS, sending, reading the answer. 5 s.
    pub timeout: Duration,
    /// The longest `Retry-After` that is honoured; a longer one is cut. 1 h.
    pub max_retry_after: Duration,
    /// Lets webhooks go to private addresses; see [`Guard`]. Off.
    pub dangerous_allow_private: bool,
}

impl Default for SenderSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            max_retry_after: Duration::from_secs(60 * 60),
            dangerous_allow_private: false,
        }
    }
}

/// No HTTP client could be made: the system's root certificates cannot be loaded, for instance.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for webhooks cannot be made: {0}")]
pub struct BuildError(#[source] reqwest::Error);

/// Sends webhooks over HTTP(S), one fresh connection per attempt.
///
/// Redirects are not followed, the system's proxy settings are not used, and nothing is retried
/// here: one call of [`send`](WebhookSender::send) is at most one request on the wire. TLS trusts
/// the system's root certificates.
#[derive(Debug, Clone)]
pub struct HttpSender {
    client: Client,
    guard: Guard,
    settings: SenderSettings,
}

impl HttpSender {
    /// A sender with a client of its own.
    pub fn new(settings: SenderSettings) -> Result<Self, BuildError> {
        let guard = Guard { dangerous_allow_private: settings.dangerous_allow_private };
        let client = client(guard).map_err(BuildError)?;
        Ok(Self { client, guard, settings })
    }

    async fn exchange(&self, request: &WebhookRequest) -> Result<Answer, Failure> {
        self.guard.check_url(&request.url)?;
        let headers = headers(request)?;
        let deadline = Instant::now() + self.settings.timeout;
        let sending = self
            .client
            .post(request.url.clone())
            .headers(headers)
            .body(request.body.clone())
            .send();
        let response = tokio::time::timeout_at(deadline, sending)
            .await
            .map_err(|_| Failure::Timeout(self.settings.timeout))?
            .map_err(|error| Failure::of(&error, &request.url))?;
        let answer = self.answer(&response, request);
        // The status has decided. The body is read only to let the endpoint finish its answer, so
        // whatever goes wrong with it changes nothing.
        let _ = tokio::time::timeout_at(deadline, drain(response)).await;
        Ok(answer)
    }

    fn answer(&self, response: &Response, request: &WebhookRequest) -> Answer {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .filter(|_| !status.is_success())
            .and_then(|value| retry_after::parse(value.to_str().ok()?, request.timestamp))
            .map(|wait| wait.min(self.settings.max_retry_after));
        Answer { status, retry_after }
    }
}

struct Answer {
    status: reqwest::StatusCode,
    retry_after: Option<Duration>,
}

#[async_trait]
impl WebhookSender for HttpSender {
    fn end_of_call(
        &self,
        call: &Call,
        lines: &[TranscriptLine],
        recording_path: Option<&str>,
    ) -> Vec<u8> {
        EndOfCall::new(call, lines, recording_path).to_json()
    }

    fn new_secret(&self) -> Secret {
        SigningSecret::generate().to_secret()
    }

    async fn send(&self, request: &WebhookRequest) -> WebhookReply {
        match self.exchange(request).await {
            Ok(Answer { status, retry_after }) => WebhookReply {
                status_code: Some(status.as_u16()),
                error: (!status.is_success()).then(|| Failure::status(status).to_string()),
                retry_after,
            },
            Err(failure) => WebhookReply {
                status_code: None,
                error: Some(failure.to_string()),
                retry_after: None,
            },
        }
    }

    fn check_url(&self, url: &Url) -> Result<(), String> {
        self.guard.check_url(url).map_err(|refused| refused.to_string())
    }
}

fn client(guard: Guard) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(USER_AGENT)
        // A proxy would look names up itself, past the guard.
        .no_proxy()
        .dns_resolver(GuardedResolver(guard))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        // A kept connection can be closed by the endpoint just when the next webhook is written to
        // it, and outlives a change of the name's addresses.
        .pool_max_idle_per_host(0)
        // These depend on features that another crate of a build may turn on.
        .http1_only()
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .referer(false)
        .build()
}

fn headers(request: &WebhookRequest) -> Result<HeaderMap, Failure> {
    let WebhookRequest { url: _, id, timestamp, body, secrets } = request;
    let secrets = secrets.iter().map(SigningSecret::try_from).collect::<Result<Vec<_>, _>>()?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(sign::WEBHOOK_ID, value(id)?);
    headers.insert(sign::WEBHOOK_TIMESTAMP, timestamp.timestamp().into());
    if let Some(signatures) = sign::signature_header(&secrets, id, *timestamp, body) {
        headers.insert(sign::WEBHOOK_SIGNATURE, value(&signatures)?);
    }
    Ok(headers)
}

fn value(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(text).map_err(|_| Failure::Id)
}

/// Reads up to [`MAX_BODY`] bytes; dropping the response then closes the connection.
async fn drain(mut response: Response) {
    let mut read = 0;
    while read < MAX_BODY {
        match response.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a public name with a private address meets, which passes the check of the URL.
    #[tokio::test]
    async fn the_client_itself_refuses_names_with_private_addresses() {
        let strict = client(Guard::default()).unwrap();
        let sender = HttpSender {
            client: strict,
            guard: Guard { dangerous_allow_private: true },
            settings: SenderSettings {
                timeout: Duration::from_secs(60),
                ..SenderSettings::default()
            },
        };
        let request = WebhookRequest {
            url: "http://localhost:9/".parse().unwrap(),
            id: "msg_1".into(),
            timestamp: chrono::Utc::now(),
            body: vec![],
            secrets: vec![],
        };
        let error = sender.send(&request).await.error.unwrap();
        let expect = "refused: localhost resolves to an address that is not public (loopback";
        assert!(error.starts_with(expect), "{error}");
    }
}
