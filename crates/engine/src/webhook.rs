//! The end-of-call webhook.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use outdial_domain::ports::{Delivery, WebhookReply, WebhookRequest};
use outdial_domain::{
    AccountId, AssistantId, Call, DeliveryId, Error, ErrorKind, Secret, WebhookSecret, WebhookState,
};
use tokio::sync::Semaphore;

use crate::directory::webhook_context;
use crate::worker::{Stop, Worker};
use crate::{Inner, Policy};

/// One lane for each account, so that a hung endpoint delays only its own account.
#[derive(Default)]
pub(crate) struct Lanes(Mutex<HashMap<AccountId, Arc<Semaphore>>>);

impl Lanes {
    fn of(&self, account: &AccountId, width: usize) -> Arc<Semaphore> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() > 1024 {
            // A lane that only the map holds is not in use.
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        lanes.entry(account.clone()).or_insert_with(|| Arc::new(Semaphore::new(width))).clone()
    }
}

impl Worker {
    /// One attempt to send the webhook, logged and saved.
    pub(crate) async fn send_webhook(&mut self) -> Result<(), Stop> {
        let WebhookState::Pending { attempts, .. } = self.call.webhook else {
            return Ok(());
        };
        let attempt = attempts + 1;
        let engine = self.engine.clone();
        let width = engine.parts.policy.webhooks_per_account;
        let lane = engine.sends.of(&self.call.order.account_id, width);
        // Never closed.
        let _permit = lane.acquire().await;
        let next = match engine.webhook_request(&self.call).await {
            Ok(request) => {
                let before = self.call.webhook.clone();
                self.assure().await?;
                let changed = self.known.unsaved_since.is_some() || self.call.webhook != before;
                if changed || self.call.erase_requested_at.is_some() {
                    return Ok(());
                }
                let reply = engine.attempt(&self.call, attempt, request).await;
                after(attempt, &reply, &engine.parts.policy, engine.now())
            }
            Err(error) => {
                // The endpoint was not asked: this counts as no attempt.
                tracing::error!(room = ?self.call.room_name(), %error, "a webhook could not be prepared; it is tried again");
                WebhookState::Pending { attempts, next_at: engine.now() + PREPARE_AGAIN }
            }
        };
        self.call.webhook = next;
        self.save().await
    }
}

const PREPARE_AGAIN: Duration = Duration::from_secs(5);

/// Where the webhook stands after an attempt.
fn after(attempt: u32, reply: &WebhookReply, policy: &Policy, now: DateTime<Utc>) -> WebhookState {
    if reply.is_success() {
        return WebhookState::Delivered;
    }
    let made = usize::try_from(attempt).unwrap_or(usize::MAX);
    match policy.webhook_retries.get(made - 1) {
        Some(wait) => WebhookState::Pending {
            attempts: attempt,
            next_at: now + (*wait).max(reply.retry_after.unwrap_or_default()),
        },
        None => WebhookState::Dead,
    }
}

impl Inner {
    async fn webhook_request(&self, call: &Call) -> Result<WebhookRequest, Error> {
        let order = &call.order;
        let url = order.end_call_url.clone().ok_or_else(|| {
            Error::new(ErrorKind::Internal, "prepare_webhook", "the call has no webhook URL")
        })?;
        let lines = self.lines(call.room_name()).await?;
        // The assistant as it is now: a secret may have been rotated meanwhile.
        let assistant = self.parts.store.assistant(&order.account_id, order.assistant_id).await?;
        let secrets = match &assistant {
            Some(assistant) => &assistant.webhook_secrets,
            None => &order.webhook_secrets,
        };
        Ok(WebhookRequest {
            url,
            id: format!("msg_{}", call.room_name().suffix()),
            timestamp: self.now(),
            body: self.parts.webhooks.end_of_call(
                call,
                &lines,
                self.recording_url(call).as_deref(),
            ),
            secrets: self.open_secrets(order.assistant_id, secrets),
        })
    }

    fn open_secrets(&self, id: AssistantId, secrets: &[WebhookSecret]) -> Vec<Secret> {
        let now = self.now();
        let context = webhook_context(id);
        let valid = secrets.iter().filter(|secret| secret.expires_at.is_none_or(|end| end > now));
        valid
            .filter_map(|secret| {
                let opened = self.parts.vault.open(&secret.secret, &context);
                opened
                    .inspect_err(
                        |error| tracing::error!(assistant = %id, %error, "a webhook goes unsigned"),
                    )
                    .ok()
            })
            .collect()
    }

    async fn attempt(&self, call: &Call, attempt: u32, request: WebhookRequest) -> WebhookReply {
        let (at, begun) = (self.now(), tokio::time::Instant::now());
        let reply = self.parts.webhooks.send(&request).await;
        let delivery = Delivery {
            delivery_id: DeliveryId::random(),
            room_name: call.room_name().clone(),
            webhook_id: request.id,
            attempt,
            at,
            duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            status_code: reply.status_code,
            error: reply.error.clone(),
        };
        let result = if reply.is_success() { "delivered" } else { "failed" };
        metrics::counter!("outdial_webhook_attempts_total", "result" => result).increment(1);
        tracing::info!(room = ?call.room_name(), attempt, result, error = reply.error, "webhook");
        if let Err(error) = self.parts.store.log(&delivery).await {
            tracing::error!(room = ?call.room_name(), %error, "a webhook attempt could not be logged");
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_follow_the_schedule_and_then_stop() {
        let policy = Policy::default();
        let now = Utc::now();
        let failed = |retry_after| WebhookReply {
            status_code: Some(500),
            error: Some("status 500".into()),
            retry_after,
        };
        for (attempt, wait) in [(1, 5), (2, 30), (3, 300)] {
            let next_at = now + Duration::from_secs(wait);
            let expect = WebhookState::Pending { attempts: attempt, next_at };
            assert_eq!(after(attempt, &failed(None), &policy, now), expect);
        }
        assert_eq!(after(4, &failed(None), &policy, now), WebhookState::Dead);
        let asked = failed(Some(Duration::from_secs(60)));
        let next_at = now + Duration::from_secs(60);
        assert_eq!(after(1, &asked, &policy, now), WebhookState::Pending { attempts: 1, next_at });
        let good = WebhookReply { status_code: Some(204), error: None, retry_after: None };
        assert_eq!(after(4, &good, &policy, now), WebhookState::Delivered);
    }
}
