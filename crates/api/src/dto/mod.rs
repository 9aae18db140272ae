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

/// The parts that are ready.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    #[schema(example = json!(["store", "livekit"]))]
    ready: Vec<&'static str>,
}

impl Readiness {
    pub(crate) fn new(ready: Vec<&'static str>) -> Self {
        Self { ready }
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
