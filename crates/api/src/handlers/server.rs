//! The server itself: health, metrics, documentation.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, ContentType, LOCATION};
use actix_web::web::{Data, Path};
use serde_json::{Map, Value, json};

use crate::code::ErrorCode;
use crate::dto::{Alive, NodeInfo, Readiness, Success, ok};
use crate::error::{ApiError, Result};
use crate::state::ApiState;

/// How long the parts may take to tell whether they are ready.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// Is the process alive?
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "server",
    operation_id = "healthz",
    security(()),
    responses((status = 200, description = "It is.", body = Success<Alive>)),
)]
pub(crate) async fn healthz() -> HttpResponse {
    ok("The server is alive", Alive::new())
}

/// Can calls be placed?
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "server",
    operation_id = "readyz",
    security(()),
    responses(
        (status = 200, description = "They can.", body = Success<Readiness>),
        (status = 503, description = "`not_ready`: the message and `error.details` name the part and why; `details.node` and `details.nodes` are as in the answer 200."),
    ),
)]
pub(crate) async fn readyz(state: Data<ApiState>) -> Result<HttpResponse> {
    let engine = state.engine();
    let ready = tokio::time::timeout(READY_WITHIN, engine.ready()).await;
    let Ok(parts) = ready else {
        let message = format!("not ready: no answer within {} s", READY_WITHIN.as_secs());
        return Err(ApiError::new(ErrorCode::NotReady, message));
    };
    let reasons: Vec<(&str, Option<String>)> = parts
        .into_iter()
        .map(|(name, check)| (name, check.err().map(|error| error.to_string())))
        .collect();
    let faults: Vec<String> = reasons
        .iter()
        .filter_map(|(name, reason)| Some(format!("{name}: {}", reason.as_deref()?)))
        .collect();
    if faults.is_empty() {
        let names = reasons.iter().map(|(name, _)| *name).collect();
        return Ok(ok("The server is ready", Readiness::new(names, engine)));
    }
    let mut details: Map<String, Value> = reasons
        .into_iter()
        .map(|(name, reason)| {
            (name.to_owned(), json!({"ready": reason.is_none(), "reason": reason}))
        })
        .collect();
    details.insert("node".to_owned(), json!(engine.node()));
    details.insert("nodes".to_owned(), json!(NodeInfo::all(engine)));
    let message = format!("not ready: {}", faults.join("; "));
    Err(ApiError::new(ErrorCode::NotReady, message).details(Value::Object(details)))
}

/// Metrics for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "server",
    operation_id = "metrics",
    security(()),
    responses(
        (status = 200, description = "The metrics.", body = String, content_type = "text/plain"),
        (status = 404, description = "`not_found`: metrics are not set up on this server."),
    ),
)]
pub(crate) async fn metrics(state: Data<ApiState>) -> Result<HttpResponse> {
    let Some(render) = &state.options().metrics_text else {
        let message = "metrics are not set up on this server";
        return Err(ApiError::new(ErrorCode::NotFound, message));
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(render()))
}

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "server",
    operation_id = "openapi",
    security(()),
    responses((status = 200, description = "The OpenAPI document.", body = Object)),
)]
pub(crate) async fn openapi_json(state: Data<ApiState>) -> HttpResponse {
    let document = state.document(|| {
        let mut document = crate::openapi();
        let base = &state.options().base_path;
        if !base.is_empty() {
            document.servers = Some(vec![utoipa::openapi::Server::new(base)]);
        }
        // It always serialises; a test reads it.
        document.to_json().unwrap_or_default().into()
    });
    HttpResponse::Ok().content_type(ContentType::json()).body(document)
}

/// Relative, so that it holds wherever the API is mounted.
pub(crate) async fn docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "docs/")).finish()
}

pub(crate) async fn docs_index() -> Result<HttpResponse> {
    swagger_file("index.html")
}

pub(crate) async fn docs_file(path: Path<String>) -> Result<HttpResponse> {
    swagger_file(&path)
}

fn swagger_file(path: &str) -> Result<HttpResponse> {
    static CONFIG: LazyLock<Arc<utoipa_swagger_ui::Config<'static>>> =
        LazyLock::new(|| Arc::new(utoipa_swagger_ui::Config::from("../openapi.json")));
    match utoipa_swagger_ui::serve(path, CONFIG.clone()) {
        Ok(Some(file)) => {
            let mut response = HttpResponse::Ok();
            response.insert_header((CONTENT_TYPE, file.content_type));
            if file.gzpipped {
                response.insert_header((CONTENT_ENCODING, "gzip"));
            }
            Ok(match file.bytes {
                Cow::Borrowed(bytes) => response.body(bytes),
                Cow::Owned(bytes) => response.body(bytes),
            })
        }
        Ok(None) => Err(ApiError::new(ErrorCode::NotFound, "there is no such page")),
        Err(error) => {
            Err(ApiError::new(ErrorCode::Internal, "the page cannot be shown").internal(error))
        }
    }
}
