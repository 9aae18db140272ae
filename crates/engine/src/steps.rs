//! The steps of a call: what a worker does when a duty is due.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outdial_domain::ports::{DialRequest, Dialed, DispatchRequest, LegLook, TrunkAccess};
use outdial_domain::{
    Call, Cause, Error, ErrorKind, HangUpReason, Hint, Layer, LegEnd, Outcome, Route, Termination,
};
use serde_json::json;

use crate::duty::Duty;
use crate::lease::Standing;
use crate::worker::{Stop, Worker};
use crate::{Backend, EngineError};

impl Worker {
    /// Leaves the queue.
    pub(crate) async fn start(&mut self) -> Result<(), Stop> {
        let engine = self.engine.clone();
        if engine.draining.is_cancelled() {
            return Err(Stop::Stopping);
        }
        let now = self.now();
        let late = self.call.due_at.is_some_and(|due| now - due > chrono::TimeDelta::seconds(2));
        if late || !self.known.has_slot {
            self.known.has_slot = true;
            if let Some(slot) = self.new_slot(now).await.filter(|slot| *slot > now) {
                self.call.due_at = Some(slot);
                return Ok(());
            }
        }
        self.call.started_at = Some(now);
        match self.try_save().await {
            Ok(()) => {
                self.known.to_set_up = true;
                self.mailbox.seen.send_replace(Arc::new(self.call.clone()));
                Ok(())
            }
            Err(error) if error.kind == ErrorKind::Conflict => {
                self.call.started_at = None;
                self.reconcile().await
            }
            Err(error) => {
                if error.kind != ErrorKind::Busy {
                    tracing::error!(room = ?self.call.room_name(), %error, "a queued call could not be started; it is tried again");
                }
                if error.kind == ErrorKind::Unavailable {
                    self.known.starts_in_doubt.push(now);
                }
                self.call.started_at = None;
                self.call.due_at = Some(now + Duration::from_millis(500));
                Ok(())
            }
        }
    }

    /// A call that missed the moment reserved for it (the server was down) reserves another, so that
    /// a backlog does not burst.
    async fn new_slot(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let order = &self.call.order;
        let trunk = self.engine.parts.store.trunk(&order.account_id, &order.trunk_id).await;
        let spacing = self.engine.spacing(&trunk.ok()??)?;
        let latest = now + Duration::from_secs(24 * 3600);
        self.engine.parts.store.reserve_start(&order.trunk_id, spacing, now, latest).await.ok()?
    }

    /// Room, agent, leg: whatever fails ends the call.
    pub(crate) async fn set_up(&mut self) -> Result<(), Stop> {
        self.known.to_set_up = false;
        let result = match self.prepare().await {
            Ok(request) => {
                self.hear_objections().await?;
                let facts = &self.call.facts;
                let over = self.call.termination.is_some() || facts.leg_end.is_some();
                if over || facts.hang_up.is_some() {
                    // Nothing is dialled for a call that is not wanted any more.
                    return self.save().await;
                }
                self.dial(request).await
            }
            Err(error) => Err(error),
        };
        let end = match result {
            Ok(None) => return self.save().await,
            Ok(Some(end)) => end,
            Err(error) => {
                tracing::warn!(room = ?self.call.room_name(), %error, "a call could not be set up");
                LegEnd::Failed {
                    outcome: Outcome::Failed,
                    cause: setup_cause(self.call.order.route, self.known.has_dialled, &error),
                }
            }
        };
        let at = self.now();
        self.note(Hint::Ended { at, end });
        self.save().await
    }

    /// Takes in what was asked for meanwhile, and makes sure that the call is still this node's.
    async fn hear_objections(&mut self) -> Result<(), Stop> {
        while let Ok(request) = self.mailbox.requests.try_recv() {
            self.obey(request).await?;
        }
        self.assure().await
    }

    /// Makes the room and dispatches the agent.
    async fn prepare(&mut self) -> Result<DialRequest, Error> {
        let backend = self.backend()?;
        let limit = self.engine.parts.policy.outside_timeout;
        let room = self.call.room_name().clone();
        bounded(limit, "create_room", backend.rooms.create(&room)).await?;
        self.observe();
        let request = DispatchRequest {
            agent_name: self.call.order.agent_name.clone(),
            metadata: dispatch_metadata(&self.call),
        };
        let dispatch =
            bounded(limit, "dispatch_agent", backend.rooms.dispatch(&room, &request)).await?;
        self.call.dispatch_id = Some(dispatch);
        self.dial_request().await
    }

    /// `Some` when the leg ended before it had joined.
    async fn dial(&mut self, request: DialRequest) -> Result<Option<LegEnd>, Error> {
        let backend = self.backend()?;
        let limit = self.engine.parts.policy.outside_timeout;
        tracing::info!(room = ?self.call.room_name(), "dialling");
        let dial = backend.provider.dial(request, self.mailbox.sink.clone());
        (self.known.has_leg, self.known.has_dialled) = (true, true);
        match bounded(limit * 2, "dial", dial).await? {
            Dialed::Joined(participant) => {
                let at = self.now();
                self.known.looked_at = Some(at);
                self.note(Hint::Joined { at, participant });
                Ok(None)
            }
            Dialed::Ended(end) => Ok(Some(end)),
        }
    }

    async fn dial_request(&mut self) -> Result<DialRequest, Error> {
        let order = &self.call.order;
        let policy = &self.engine.parts.policy;
        let trunk = match self.trunk.take() {
            Some(trunk) => Some(trunk),
            None => self.engine.parts.store.trunk(&order.account_id, &order.trunk_id).await?,
        };
        let trunk = trunk.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "dial", "the trunk was deleted meanwhile")
        })?;
        let context = crate::directory::password_context(&trunk.trunk_id);
        let open = |sealed| self.engine.parts.vault.open(sealed, &context);
        let auth_password =
            trunk.auth_password.as_ref().map(open).transpose().map_err(|error| {
                Error::new(ErrorKind::Refused, "dial", format!("auth_password: {error}"))
            })?;
        Ok(DialRequest {
            room_name: order.room_name.clone(),
            participant_identity: order.participant_identity(),
            to_number: order.to_number.clone(),
            from_number: order.from_number.clone(),
            trunk: TrunkAccess::of(&trunk, auth_password),
            ringing_timeout: policy.ringing_timeout,
            max_duration: policy.ringing_timeout
                + Duration::from_secs(u64::from(order.max_duration_secs) + 30),
        })
    }

    fn backend(&self) -> Result<Backend, Error> {
        self.engine
            .backend(self.call.order.route)
            .cloned()
            .map_err(|error: EngineError| Error::new(ErrorKind::Refused, "backend", error))
    }

    async fn look_for_agent(&mut self) -> Result<(), Stop> {
        let Ok(backend) = self.backend() else {
            return Ok(());
        };
        let limit = self.engine.parts.policy.outside_timeout;
        let look = bounded(limit, "look_at_room", backend.rooms.look(self.call.room_name())).await;
        let at = self.now();
        match look {
            Ok(Some(look)) if look.agent => self.take(Hint::AgentJoined { at }).await,
            Ok(_) if self.agent_was_here() => self.take(Hint::AgentLeft { at }).await,
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(room = ?self.call.room_name(), %error, "the room could not be looked at");
                Ok(())
            }
        }
    }

    /// Whether an agent that is not in the room must have left it since it was last heard of.
    fn agent_was_here(&self) -> bool {
        let facts = &self.call.facts;
        self.known.agent_present || facts.agent_joined_at.is_some() && facts.agent_left_at.is_none()
    }

    pub(crate) async fn look(&mut self) -> Result<(), Stop> {
        self.look_at_leg().await?;
        self.look_for_agent().await
    }

    async fn look_at_leg(&mut self) -> Result<(), Stop> {
        self.known.looked_at = Some(self.now());
        let Ok(backend) = self.backend() else {
            return Ok(());
        };
        let identity = self.call.order.participant_identity();
        let look = backend.provider.look(self.call.room_name(), &identity);
        let limit = self.engine.parts.policy.outside_timeout;
        match bounded(limit, "look_at_leg", look).await {
            Ok(LegLook::Present(hints)) => {
                self.known.has_leg = true;
                let mut news = self.observe();
                for hint in hints {
                    news |= self.note(hint);
                }
                if news { self.save().await } else { Ok(()) }
            }
            Ok(LegLook::Absent) => {
                // A leg that was there has left; of one that was never seen nothing is known.
                let end = if self.known.has_leg { LegEnd::Left } else { LegEnd::Gone };
                let at = self.now();
                self.take(Hint::Ended { at, end }).await
            }
            Err(error) => {
                tracing::warn!(room = ?self.call.room_name(), %error, "the leg could not be looked at");
                Ok(())
            }
        }
    }

    pub(crate) async fn decide(&mut self, reason: HangUpReason) -> Result<(), Stop> {
        if matches!(reason, HangUpReason::AgentUnavailable | HangUpReason::AgentLeft) {
            // Hints may be lost; the room knows.
            self.look_for_agent().await?;
            if self.known.agent_present {
                return Ok(());
            }
        } else if self.standing() != Standing::Held {
            // What others have learnt meanwhile is not known here, but the leg is where it is.
            self.look_at_leg().await?;
            if self.next().1 != Duty::Decide(reason.clone()) {
                return Ok(());
            }
        }
        tracing::info!(room = ?self.call.room_name(), ?reason, "ending a call");
        let now = self.now();
        self.call.decide_hang_up(now, reason);
        self.save().await
    }

    pub(crate) async fn hang_up(&mut self) -> Result<(), Stop> {
        self.known.hang_ups.add(self.now());
        let Ok(backend) = self.backend() else {
            return Ok(());
        };
        let room = self.call.room_name().clone();
        let identity = self.call.order.participant_identity();
        let limit = self.engine.parts.policy.outside_timeout;
        let hung_up = bounded(limit, "hang_up", backend.provider.hang_up(&room, &identity)).await;
        if let Err(error) = hung_up {
            tracing::warn!(?room, %error, "hanging up failed; deleting the room instead");
            if let Err(error) = bounded(limit, "delete_room", backend.rooms.delete(&room)).await {
                tracing::warn!(?room, %error, "the room could not be deleted");
                return Ok(());
            }
        }
        // Nobody may tell of the end (after a restart the provider's own hints are lost): look.
        let look = bounded(limit, "look_at_leg", backend.provider.look(&room, &identity)).await;
        if let Ok(LegLook::Absent) = look {
            let at = self.now();
            return self.take(Hint::Ended { at, end: LegEnd::Removed }).await;
        }
        Ok(())
    }

    pub(crate) async fn close(&mut self) -> Result<(), Stop> {
        while let Ok(hint) = self.mailbox.hints.try_recv() {
            self.note(hint);
        }
        let now = self.now();
        let never_started = self.call.started_at.is_none();
        self.call.close(now);
        self.call.room_deleted = never_started;
        if let Some(Termination { outcome, .. }) = &self.call.termination {
            let service = self.call.order.call_service.as_str();
            metrics::counter!("outdial_calls_ended_total", "outcome" => outcome.as_str(), "call_service" => service)
                .increment(1);
            tracing::info!(room = ?self.call.room_name(), outcome = outcome.as_str(), "call ended");
        }
        self.observation = None;
        self.discard_capture();
        self.save().await
    }

    pub(crate) async fn delete_room(&mut self) -> Result<(), Stop> {
        self.known.room_deletions.add(self.now());
        let Ok(backend) = self.backend() else {
            self.call.room_deleted = true;
            return Ok(());
        };
        let limit = self.engine.parts.policy.outside_timeout;
        match bounded(limit, "delete_room", backend.rooms.delete(self.call.room_name())).await {
            // Saved with what comes next: deleting it again would do no harm.
            Ok(()) => self.call.room_deleted = true,
            Err(error) => {
                tracing::warn!(room = ?self.call.room_name(), %error, "the room could not be deleted");
            }
        }
        Ok(())
    }
}

/// `work`, as long as it does not take longer than `limit`.
pub(crate) async fn bounded<T>(
    limit: Duration,
    operation: &'static str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Unavailable, operation, format!("no answer within {limit:?}")))
    })
}

fn setup_cause(route: Route, dialled: bool, error: &Error) -> Cause {
    let layer = match route {
        Route::Sandbox => Layer::Server,
        Route::Twilio => Layer::Livekit,
        // Room and agent are LiveKit's; the dial is ours, and what stops it is the trunk.
        Route::Exotel | Route::Direct if !dialled => Layer::Livekit,
        Route::Exotel | Route::Direct => match error.kind {
            ErrorKind::Refused | ErrorKind::Unavailable => Layer::Sip,
            _ => Layer::Server,
        },
    };
    let code = match error.kind {
        ErrorKind::Refused => "refused",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::NotFound => "not_found",
        ErrorKind::Busy => "busy",
        _ => "internal",
    };
    let cause = Cause::new(layer, code, error.to_string());
    if error.is_retryable() { cause.retryable() } else { cause }
}

fn dispatch_metadata(call: &Call) -> serde_json::Value {
    let order = &call.order;
    json!({
        "assistant_id": order.assistant_id,
        "assistant_name": order.assistant_name,
        "assistant_prompt": order.assistant_prompt,
        "assistant_start_instruction": order.assistant_start_instruction,
        "agent_config": order.agent_config,
        "call": {
            "room_name": order.room_name,
            "to_number": order.to_number,
            "from_number": order.from_number,
            "call_service": order.call_service,
            "metadata": order.metadata,
        },
    })
}
