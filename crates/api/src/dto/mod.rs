//! What is answered: the wire shapes, made from domain types by taking those apart.

mod assistant;
mod call;
mod key;
mod outbound;
mod recording;
mod time;
mod trunk;
mod words;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use outdial_domain::ports::Page;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use self::assistant::{
    AssistantCreated, AssistantData, ChangeAssistant, CreateAssistant, RotateSecret, SecretRotated,
};
pub(crate) use self::call::{
    AgentEvent, CallData, CallQuery, CauseData, DeliveryData, DtmfEvent, HoldEvent, LineData,
    LineEvent, SendDtmf, StatusEvent, TranscriptData,
};
pub(crate) use self::key::{CreateKey, KeyCreated, KeyData};
pub(crate) use self::outbound::{OutboundAccepted, OutboundData, PlaceCall};
pub(crate) use self::recording::ErasureData;
pub(crate) use self::time::Timestamp;
pub(crate) use self::trunk::{ChangeTrunk, CreateTrunk, TrunkData};
use crate::input::page::List;

/// The body of every success.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Success<T> {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// What was done, for a person.
    message: &'static str,
    data: T,
}

/// A page of a list, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listing<T> {
    items: Vec<T>,
    /// Give it as `cursor` to get the next page; `null` at the end.
    next_cursor: Option<String>,
}

impl<T> Listing<T> {
    pub(crate) fn page<U: Into<T>>(list: List, page: Page<U>) -> Self {
        Self {
            items: page.items.into_iter().map(Into::into).collect(),
            next_cursor: page.next.map(|cursor| list.write(&cursor)),
        }
    }

    /// A list that comes whole.
    pub(crate) fn whole<U: Into<T>>(items: Vec<U>) -> Self {
        Self { items: items.into_iter().map(Into::into).collect(), next_cursor: None }
    }
}

/// The id of what was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deleted {
    id: String,
}

impl Deleted {
    pub(crate) fn new(id: impl std::fmt::Display) -> Self {
        Self { id: id.to_string() }
    }
}

/// Nothing more to say.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Received {
    received: bool,
}

impl Received {
    pub(crate) fn new() -> Self {
        Self { received: true }
    }
}

/// The process is alive.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Alive {
    version: &'static str,
}

impl Alive {
    pub(crate) fn new() -> Self {
        Self { version: env!("CARGO_PKG_VERSION") }
    }
}

/// The parts that are ready, and the servers that share the store.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    #[schema(example = json!(["store", "livekit"]))]
    ready: Vec<&'static str>,
    /// The id of the server that answers.
    #[schema(example = "ND_4fzk2m8w1q7c")]
    node: String,
    /// All servers by their ids, as this one last saw them; dead ones stay for a while.
    nodes: Vec<NodeInfo>,
}

impl Readiness {
    pub(crate) fn new(ready: Vec<&'static str>, engine: &outdial_engine::Engine) -> Self {
        Self { ready, node: engine.node().to_string(), nodes: NodeInfo::all(engine) }
    }
}

/// A server among those that share a store.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodeInfo {
    #[schema(example = "ND_4fzk2m8w1q7c")]
    node_id: String,
    /// Of its program.
    version: String,
    /// When it was started.
    started_at: Timestamp,
    /// Its last sign of life holds up to then.
    alive_until: Timestamp,
    /// When it is not, others take over its calls.
    alive: bool,
    /// It takes no new calls and is about to stop.
    draining: bool,
}

impl NodeInfo {
    pub(crate) fn all(engine: &outdial_engine::Engine) -> Vec<Self> {
        let now = engine.now();
        let info = |node: outdial_domain::Node| Self {
            alive: node.is_alive(now),
            node_id: node.node_id.to_string(),
            version: node.version,
            started_at: Timestamp(node.started_at),
            alive_until: Timestamp(node.alive_until),
            draining: node.draining,
        };
        engine.nodes().into_iter().map(info).collect()
    }
}

/// 200 with `data`.
pub(crate) fn ok<T: Serialize>(message: &'static str, data: T) -> HttpResponse {
    HttpResponse::Ok().json(Success { success: true, message, data })
}

/// 202 with `data`: it goes on.
pub(crate) fn accepted<T: Serialize>(message: &'static str, data: T) -> HttpResponse {
    HttpResponse::Accepted().json(Success { success: true, message, data })
}

/// 201 with `data` that cannot be read again.
pub(crate) fn created<T: Serialize>(message: &'static str, data: T) -> HttpResponse {
    HttpResponse::Created().json(Success { success: true, message, data })
}

/// 201 or 202 with `data` and where it can be read again.
pub(crate) fn located<T: Serialize>(
    status: StatusCode,
    location: String,
    message: &'static str,
    data: T,
) -> HttpResponse {
    HttpResponse::build(status).insert_header((LOCATION, location)).json(Success {
        success: true,
        message,
        data,
    })
}
