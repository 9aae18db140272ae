//! Around every route: the request id, the log line, the metrics.

use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};
use outdial_domain::{ApiKeyId, RoomName, random_text};

use crate::error::ApiError;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Runs a request on `route` and tells about it.
pub(crate) async fn edge(
    route: &'static str,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let begun = Instant::now();
    let id = request_id(request.headers());
    let mut response = next.call(request).await?;
    tell(route, &id, begun.elapsed(), &response);
    response.headers_mut().insert(REQUEST_ID, id);
    Ok(response)
}

/// The caller's own id where it is harmless, else a fresh one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let good = |id: &&HeaderValue| {
        (1..=64).contains(&id.len())
            && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    match headers.get(REQUEST_ID).filter(good) {
        Some(id) => id.clone(),
        None => HeaderValue::from_maybe_shared(random_text(16))
            .unwrap_or(HeaderValue::from_static("unknown")),
    }
}

fn tell<B>(route: &'static str, id: &HeaderValue, took: Duration, response: &ServiceResponse<B>) {
    let status = response.status();
    let method = word(response.request().method());
    metrics::histogram!(
        "outdial_http_request_seconds",
        "method" => method, "route" => route, "status" => class(status.as_u16())
    )
    .record(took.as_secs_f64());
    let failed = status.is_server_error();
    if !failed && !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let id = id.to_str().unwrap_or_default();
    let status = status.as_u16();
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let request = response.request();
    // Debug masks the number that an Exotel room name holds.
    let room = request.match_info().get("room_name").and_then(|room| room.parse::<RoomName>().ok());
    let extensions = request.extensions();
    let key_id = extensions.get::<ApiKeyId>().map(ApiKeyId::as_str);
    let error = response.response().error().and_then(|error| error.as_error::<ApiError>());
    if failed {
        let error = error.map_or("", ApiError::log_text);
        tracing::warn!(method, route, status, took_ms, id, key_id, ?room, error, "request failed");
    } else {
        let code = error.map(|error| error.code().as_str());
        tracing::debug!(method, route, status, took_ms, id, key_id, ?room, code, "request");
    }
}

/// Only known words become labels: a caller must not be able to make new time series.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn class(status: u16) -> &'static str {
    match status {
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}
