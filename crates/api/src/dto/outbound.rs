//! `POST /call/outbound` on the wire: the published contract, key by key.

use outdial_domain::{AssistantId, Call, CallService, E164, Participant, Status, TrunkId};
use outdial_engine::CallRequest;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::words::{CallServiceWord, StatusWord};
use crate::error::Result;
use crate::input::fields::Fields;
use crate::input::rules::{Number, Object, OneOf, parsed};

pub(super) const CALL_SERVICE: OneOf<CallService> =
    OneOf(&[("twilio", CallService::Twilio), ("exotel", CallService::Exotel)]);

/// A call to place. Fields that are not known are ignored and named in `X-Outdial-Warning`.
#[derive(Debug, ToSchema)]
pub(crate) struct PlaceCall {
    /// The ID of the assistant to use.
    #[schema(value_type = String, format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    assistant_id: AssistantId,
    /// The ID of the SIP trunk to use.
    #[schema(value_type = String, pattern = "^ST_[A-Za-z0-9_-]{1,64}$", example = "ST_a1b2c3d4e5f6")]
    trunk_id: TrunkId,
    /// The phone number to call in E.164 format.
    #[schema(value_type = String, pattern = r"^\+[1-9][0-9]{6,14}$", example = "+15550200000")]
    to_number: E164,
    /// The telephony provider: the one the trunk belongs to.
    #[schema(value_type = CallServiceWord, example = "twilio")]
    call_service: CallService,
    /// Values for the placeholders in the assistant's prompt and start instruction, and whatever
    /// should come back with the webhook: at most 32 KiB of JSON, nested 31 levels at most.
    #[schema(value_type = Option<Object>, example = json!({"name": "John Doe", "customer_id": "12345"}))]
    metadata: Map<String, Value>,
}

impl PlaceCall {
    /// The call, and the names of fields that are not known.
    pub(crate) fn read(mut body: Fields) -> Result<(Self, Vec<String>)> {
        let call = Self {
            assistant_id: body
                .required("assistant_id", parsed("550e8400-e29b-41d4-a716-446655440000"))?,
            trunk_id: body.required("trunk_id", parsed("ST_a1b2c3d4e5f6"))?,
            to_number: body.required("to_number", Number)?,
            call_service: body.required("call_service", CALL_SERVICE)?,
            metadata: body.optional("metadata", Object)?.unwrap_or_default(),
        };
        Ok((call, body.leftover()))
    }

    /// The engine's request.
    pub(crate) fn into_request(
        self,
        respond_async: bool,
        idempotency: Option<(String, String)>,
    ) -> CallRequest {
        let Self { assistant_id, trunk_id, to_number, call_service, metadata } = self;
        CallRequest {
            assistant_id,
            trunk_id,
            to_number,
            call_service,
            metadata,
            respond_async,
            idempotency,
        }
    }
}

/// A call that was placed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutboundData {
    /// The LiveKit room name: the id of the call.
    #[schema(example = "550e8400-e29b-41d4-a716-446655440000_abc123def456")]
    room_name: String,
    agent_dispatch: AgentDispatch,
    /// The callee in the room; not on calls through Exotel.
    #[serde(skip_serializing_if = "Option::is_none")]
    participant: Option<SipParticipant>,
}

/// The LiveKit agent dispatch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentDispatch {
    #[schema(example = "AD_x7Ghz2Kk")]
    id: String,
    /// Always `JOINING`: whether the agent comes is seen on the call.
    #[schema(example = "JOINING")]
    state: &'static str,
}

/// The callee as a LiveKit participant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SipParticipant {
    #[schema(example = "PA_xxx")]
    sid: String,
    #[schema(example = "phone-+15550200000")]
    identity: String,
}

impl From<Call> for OutboundData {
    fn from(call: Call) -> Self {
        let participant = match call.order.call_service {
            CallService::Exotel => None,
            CallService::Twilio => {
                let identity = call.order.participant_identity();
                Some(match call.facts.participant {
                    Some(Participant { sid, identity }) => SipParticipant { sid, identity },
                    None => SipParticipant { sid: String::new(), identity },
                })
            }
        };
        Self {
            room_name: call.order.room_name.to_string(),
            agent_dispatch: AgentDispatch {
                id: call.dispatch_id.unwrap_or_default(),
                state: "JOINING",
            },
            participant,
        }
    }
}

/// A call that was accepted and is placed as soon as its trunk is free.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutboundAccepted {
    /// The id of the call.
    room_name: String,
    #[schema(value_type = StatusWord)]
    status: Status,
}

impl From<Call> for OutboundAccepted {
    fn from(call: Call) -> Self {
        let status = call.status();
        Self { room_name: call.room_name().to_string(), status }
    }
}
