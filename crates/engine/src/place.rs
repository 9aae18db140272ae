//! Placing a call.

use std::sync::Arc;
use std::time::Duration;

use outdial_domain::placeholder::{self, OnMissing};
use outdial_domain::ports::{IdempotencyKey, Inserted};
use outdial_domain::{
    AccountId, Assistant, AssistantId, Call, CallService, E164, ErrorKind, Order, RoomName, Route,
    Trunk, TrunkId,
};
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::worker::{Origin, is_set_up};
use crate::{Engine, EngineError, Inner, Result};

/// A call to place.
#[derive(Debug, Clone)]
pub struct CallRequest {
    /// The assistant that talks.
    pub assistant_id: AssistantId,
    /// The trunk to call through.
    pub trunk_id: TrunkId,
    /// The number to call.
    pub to_number: E164,
    /// The trunk's service; a second look against mistakes.
    pub call_service: CallService,
    /// Values for placeholders, and whatever the caller wants to find in the webhook again.
    pub metadata: Map<String, Value>,
    /// Return when the call is accepted, not when its leg has joined; wait for the trunk in a queue.
    pub respond_async: bool,
    /// The caller's `Idempotency-Key` and a hash of the request's body.
    pub idempotency: Option<(String, String)>,
}

impl CallRequest {
    /// A call without metadata.
    pub fn new(assistant_id: AssistantId, trunk: &Trunk, to_number: E164) -> Self {
        Self {
            assistant_id,
            trunk_id: trunk.trunk_id.clone(),
            to_number,
            call_service: trunk.call_service,
            metadata: Map::new(),
            respond_async: false,
            idempotency: None,
        }
    }
}

/// How long a queued call may wait for its trunk.
const QUEUE: Duration = Duration::from_secs(24 * 3600);
/// Exotel takes 200 calls a minute. Source: its documentation of vSIP trunks.
const EXOTEL_CALLS_PER_SECOND: f64 = 200.0 / 60.0;
/// How often a full trunk is tried again.
const FULL_AGAIN: Duration = Duration::from_millis(200);

impl Engine {
    /// Places a call. Returns when its leg has joined the room (or its INVITE is out), which may be
    /// followed by anything; or, with `respond_async`, when the call is accepted. By then the call
    /// is stored durably, and its webhook will be sent whatever happens.
    ///
    /// The work goes on when this future is dropped.
    ///
    /// # Errors
    /// `NotFound` (assistant, inactive or not the account's; trunk), `Invalid`,
    /// `IdempotencyMismatch`, `TooMany`, `Unconfigured`, `Stopping`: nothing was stored.
    /// `CallFailed`: the call is on record, and ended.
    pub async fn place(&self, account: &AccountId, request: CallRequest) -> Result<Call> {
        let inner = &self.inner;
        if inner.draining.is_cancelled() {
            return Err(EngineError::Stopping);
        }
        inner.term()?;
        let assistant = inner.callable_assistant(account, request.assistant_id).await?;
        let trunk = self.trunk(account, &request.trunk_id).await?;
        if trunk.call_service != request.call_service {
            return Err(EngineError::invalid(
                "call_service",
                format!(
                    "the trunk belongs to {}, not to {}",
                    trunk.call_service, request.call_service
                ),
                format!("send \"{}\", or another trunk_id", trunk.call_service),
            ));
        }
        inner.backend(trunk.route())?;
        let order = inner.order(account, assistant, &trunk, &request)?;
        let placing = Placing {
            inner: inner.clone(),
            trunk,
            respond_async: request.respond_async,
            key: request.idempotency.map(|(key, fingerprint)| IdempotencyKey {
                key,
                fingerprint,
                expires_at: order.created_at + inner.parts.policy.idempotency_ttl,
            }),
        };
        // A task of its own: what was begun must not stop when the HTTP client goes away.
        let task = inner.spawn(placing.place(order));
        task.await.unwrap_or_else(|_| Err(EngineError::Stopping))
    }
}

struct Placing {
    inner: Arc<Inner>,
    trunk: Trunk,
    respond_async: bool,
    key: Option<IdempotencyKey>,
}

impl Placing {
    async fn place(self, order: Order) -> Result<Call> {
        if let Some(key) = &self.key {
            let (account, now) = (&order.account_id, order.created_at);
            let known = self.inner.parts.store.find_key(account, &key.key, now).await?;
            if let Some((room_name, fingerprint)) = known {
                return self.answer_again(&room_name, &fingerprint).await;
            }
        }
        let mut call = Call::new(order);
        // From the moment it is stored until it has a worker.
        let _hold = self.inner.live.hold(call.room_name());
        let (inserted, term) = if self.respond_async {
            self.enqueue(&mut call).await?
        } else {
            self.insert_started(&mut call).await?
        };
        if let Inserted::Known { room_name, fingerprint } = inserted {
            return self.answer_again(&room_name, &fingerprint).await;
        }
        metrics::counter!("outdial_calls_placed_total", "call_service" => call.order.call_service.as_str())
            .increment(1);
        let trunk = (!self.respond_async).then(|| self.trunk.clone());
        let entry = self.inner.work_on(call.clone(), Origin::placed(term, trunk));
        match entry {
            Some(entry) if !self.respond_async => match set_up(entry.seen).await {
                call if is_set_up(&call) => answer(call),
                // It is another node's now, or the server stops.
                call => self.set_up_elsewhere(call).await,
            },
            _ => Ok(call),
        }
    }

    /// Waits for the leg of a call that was stored, whoever sets it up.
    async fn set_up_elsewhere(&self, mut call: Call) -> Result<Call> {
        let inner = &self.inner;
        while !is_set_up(&call) {
            if let Some(entry) = inner.live.find(call.room_name()) {
                call = set_up(entry.seen).await;
                if is_set_up(&call) {
                    break;
                }
            }
            tokio::select! {
                () = inner.stopping.cancelled() => break,
                () = tokio::time::sleep(FULL_AGAIN) => {}
            }
            let stored = inner.parts.store.get(call.room_name()).await?;
            call = stored.ok_or(EngineError::NotFound { what: "call" })?;
        }
        answer(call)
    }

    /// Waits for the trunk's pace here, then stores the call together with the intent to dial.
    async fn insert_started(&self, call: &mut Call) -> Result<(Inserted, u64)> {
        let inner = &self.inner;
        let begun = inner.now();
        let patience = inner.parts.policy.pacing_max_wait;
        if let Some(slot) = self.slot(patience).await? {
            let wait = (slot - inner.now()).to_std().unwrap_or_default();
            tokio::time::sleep(wait).await;
        }
        loop {
            let now = inner.now();
            call.started_at = Some(now);
            call.owner = Some(inner.parts.node.clone());
            match self.insert(call).await {
                Err(EngineError::Store(error)) if error.kind == ErrorKind::Busy => {
                    if now - begun > chrono::TimeDelta::from_std(patience).unwrap_or_default() {
                        return Err(EngineError::TooMany {
                            message: "all channels of the trunk are in use".into(),
                            retry_after: patience.max(Duration::from_secs(1)),
                        });
                    }
                    tokio::time::sleep(FULL_AGAIN).await;
                }
                result => return result,
            }
        }
    }

    /// Stores the call; returns the term of this node's lease before that too.
    async fn insert(&self, call: &mut Call) -> Result<(Inserted, u64)> {
        let inner = &self.inner;
        let term = inner.term()?;
        let inserted = inner.parts.store.insert(call, self.key.as_ref()).await;
        if inserted.as_ref().is_err_and(|error| error.kind == ErrorKind::Unavailable) {
            // Whoever placed it is told that it failed, though it may be there.
            inner.doubts.add(call.room_name(), self.key.is_some());
        }
        Ok((inserted?, term))
    }

    /// Stores the call with the moment reserved for it.
    async fn enqueue(&self, call: &mut Call) -> Result<(Inserted, u64)> {
        if let Some(slot) = self.slot(QUEUE).await? {
            call.due_at = Some(slot);
        }
        call.owner = Some(self.inner.parts.node.clone());
        self.insert(call).await
    }

    /// The moment reserved for this call on its trunk; `None` when the trunk has no pace.
    async fn slot(&self, patience: Duration) -> Result<Option<chrono::DateTime<chrono::Utc>>> {
        let Some(spacing) = self.inner.spacing(&self.trunk) else {
            return Ok(None);
        };
        let now = self.inner.now();
        let id = &self.trunk.trunk_id;
        let slot = self.inner.parts.store.reserve_start(id, spacing, now, now + patience).await?;
        slot.map(Some).ok_or_else(|| EngineError::TooMany {
            message: "too many calls wait for this trunk's calls per second".into(),
            retry_after: patience.max(Duration::from_secs(1)),
        })
    }

    /// The answer to a repeated request is that to the first: of the call it made.
    async fn answer_again(&self, room: &RoomName, fingerprint: &str) -> Result<Call> {
        if self.key.as_ref().is_some_and(|key| key.fingerprint != fingerprint) {
            return Err(EngineError::IdempotencyMismatch);
        }
        let call = self.inner.parts.store.get(room).await?;
        let call = call.ok_or(EngineError::NotFound { what: "call" })?;
        if self.respond_async { answer(call) } else { self.set_up_elsewhere(call).await }
    }
}

/// Waits until the leg has joined or the call has ended; or its worker has.
async fn set_up(mut seen: watch::Receiver<Arc<Call>>) -> Call {
    // When the worker is gone, what it saved last is the answer.
    let _ = seen.wait_for(|call| is_set_up(call)).await;
    Call::clone(&seen.borrow())
}

fn answer(call: Call) -> Result<Call> {
    if call.erase_requested_at.is_some() {
        return Err(EngineError::Erased);
    }
    let failed = call.termination.is_some() && call.facts.dialed_at.is_none();
    if failed { Err(EngineError::CallFailed(Box::new(call))) } else { Ok(call) }
}

/// How many calls a second a trunk may start; `None`: no limit.
fn calls_per_second(trunk: &Trunk, twilio: f64) -> Option<f64> {
    let usual = match trunk.route() {
        Route::Sandbox => None,
        Route::Twilio | Route::Direct => Some(twilio),
        Route::Exotel => Some(EXOTEL_CALLS_PER_SECOND),
    };
    trunk.calls_per_second.or(usual)
}

impl Inner {
    async fn callable_assistant(&self, account: &AccountId, id: AssistantId) -> Result<Assistant> {
        let assistant = self.parts.store.assistant(account, id).await?;
        assistant
            .filter(|assistant| assistant.is_active)
            .ok_or(EngineError::NotFound { what: "assistant" })
    }

    /// The least time between two calls that start on a trunk.
    pub(crate) fn spacing(&self, trunk: &Trunk) -> Option<Duration> {
        let rate = calls_per_second(trunk, self.parts.policy.twilio_calls_per_second)?;
        Duration::try_from_secs_f64(1.0 / rate).ok()
    }

    fn order(
        &self,
        account: &AccountId,
        assistant: Assistant,
        trunk: &Trunk,
        request: &CallRequest,
    ) -> Result<Order> {
        let ([assistant_prompt, assistant_start_instruction], placeholders) = placeholder::fill(
            [&assistant.assistant_prompt, &assistant.assistant_start_instruction],
            &request.metadata,
            assistant.on_missing_placeholder,
        );
        if assistant.on_missing_placeholder == OnMissing::Reject && !placeholders.missing.is_empty()
        {
            let missing: Vec<_> = placeholders.missing.iter().map(String::as_str).collect();
            return Err(EngineError::invalid(
                "metadata",
                format!("the assistant needs a value for: {}", missing.join(", ")),
                "add the keys to metadata, or give the placeholders defaults: {{key | default}}",
            ));
        }
        // Nothing hears calls of a backend without an observer.
        let records = self.parts.recordings.is_some()
            && self.backend(trunk.route()).is_ok_and(|backend| backend.observer.is_some());
        Ok(Order {
            room_name: RoomName::new(
                trunk.call_service,
                assistant.assistant_id,
                &request.to_number,
            ),
            account_id: account.clone(),
            assistant_id: assistant.assistant_id,
            assistant_name: assistant.assistant_name,
            agent_name: assistant.agent_name,
            assistant_prompt,
            assistant_start_instruction,
            agent_config: assistant.agent_config,
            recording: assistant.recording && records,
            end_call_url: assistant.assistant_end_call_url,
            webhook_secrets: assistant.webhook_secrets,
            trunk_id: trunk.trunk_id.clone(),
            route: trunk.route(),
            call_service: trunk.call_service,
            to_number: request.to_number.clone(),
            from_number: trunk.numbers.first().cloned(),
            metadata: request.metadata.clone(),
            placeholders,
            max_concurrent_calls: trunk.max_concurrent_calls,
            max_duration_secs: u32::try_from(self.parts.policy.max_duration.as_secs())
                .unwrap_or(u32::MAX),
            created_at: self.now(),
        })
    }
}

#[cfg(test)]
mod tests {
    use outdial_domain::TrunkRoute;
    use outdial_testkit::sample;

    use super::*;

    #[test]
    fn a_trunk_that_says_nothing_starts_calls_at_its_service_s_pace() {
        let check = |sandbox, call_service, route, own, expect| {
            let account = sample::account().account_id;
            let calls_per_second = own;
            let trunk =
                Trunk { sandbox, call_service, route, calls_per_second, ..sample::trunk(&account) };
            let got = super::calls_per_second(&trunk, 1.0);
            assert_eq!(got, expect, "{sandbox} {call_service} {route:?} {own:?}");
        };
        use CallService::{Exotel, Twilio};
        use TrunkRoute::{Direct, LivekitSip};
        check(true, Exotel, LivekitSip, None, None);
        check(true, Twilio, Direct, Some(7.0), Some(7.0));
        check(false, Twilio, LivekitSip, None, Some(1.0));
        check(false, Twilio, Direct, None, Some(1.0));
        check(false, Twilio, Direct, Some(0.5), Some(0.5));
        check(false, Exotel, LivekitSip, None, Some(200.0 / 60.0));
        check(false, Exotel, LivekitSip, Some(10.0), Some(10.0));
    }
}
