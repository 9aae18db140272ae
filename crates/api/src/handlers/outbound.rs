//! `POST /call/outbound`.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use outdial_domain::CallService;
use sha2::{Digest, Sha256};

use crate::auth::Auth;
use crate::code::ErrorCode;
use crate::dto::{OutboundAccepted, OutboundData, PlaceCall, Success, located, ok};
use crate::error::{ApiError, Result};
use crate::input::body::JsonBody;
use crate::state::ApiState;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const RESPOND_ASYNC: &str = "respond-async";

/// Trigger an outbound call
///
/// Calls `to_number` through the trunk and lets the assistant talk. Answers as soon as the callee's
/// leg has joined the room (through Exotel: as soon as the INVITE is out); what becomes of the call
/// is on `/calls/{room_name}`, its events, and in the end-of-call webhook.
#[utoipa::path(
    post,
    path = "/call/outbound",
    tag = "calls",
    operation_id = "place_call",
    request_body(content = PlaceCall, examples(
        ("basic" = (summary = "Basic", value = json!({
            "assistant_id": "550e8400-e29b-41d4-a716-446655440000",
            "trunk_id": "ST_a1b2c3d4e5f6",
            "to_number": "+15550200000",
            "call_service": "twilio"
        }))),
        ("metadata" = (summary = "With metadata", value = json!({
            "assistant_id": "550e8400-e29b-41d4-a716-446655440000",
            "trunk_id": "ST_a1b2c3d4e5f6",
            "to_number": "+15550200000",
            "call_service": "twilio",
            "metadata": {
                "name": "John Doe",
                "customer_id": "12345",
                "campaign_id": "summer_sale_2024"
            }
        }))),
        ("exotel" = (summary = "Through Exotel", value = json!({
            "assistant_id": "550e8400-e29b-41d4-a716-446655440000",
            "trunk_id": "ST_exotel_abc123",
            "to_number": "+918044319240",
            "call_service": "exotel"
        })))
    )),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters. A repetition with the same key and body within 24 h gets the answer of the first request and places no second call; with another body it is a 409."),
        ("Prefer" = Option<String>, Header, description = "`respond-async`: answer 202 as soon as the call is accepted, and wait for the trunk in a queue.", example = "respond-async"),
    ),
    responses(
        (status = 200, description = "Success - Call triggered successfully.", body = Success<OutboundData>, headers(
            ("X-Outdial-Warning" = String, description = "Names fields of the body that are not known and were ignored.")
        ), examples(
            ("twilio" = (value = json!({
                "success": true,
                "message": "Outbound call triggered successfully",
                "data": {
                    "room_name": "550e8400-e29b-41d4-a716-446655440000_abc123",
                    "agent_dispatch": {"id": "agent_123", "state": "JOINING"},
                    "participant": {"sid": "PA_xxx", "identity": "phone-+15550200000"}
                }
            }))),
            ("exotel" = (value = json!({
                "success": true,
                "message": "Outbound call triggered successfully via Exotel bridge",
                "data": {
                    "room_name": "exotel-+918044319240-abc123",
                    "agent_dispatch": {"id": "agent_123", "state": "JOINING"}
                }
            })))
        )),
        (status = 202, description = "Accepted, with `Prefer: respond-async`.", body = Success<OutboundAccepted>, headers(
            ("Location" = String, description = "Where the call can be read."),
            ("Preference-Applied" = String, description = "`respond-async`.")
        )),
        (status = 404, description = "Not Found - Assistant or trunk not found: `assistant_not_found` (also when it is not active), `trunk_not_found`."),
        (status = 409, description = "`idempotency_mismatch`: the key was used before with another body."),
        (status = 429, description = "`too_many_requests` with this API key, or `trunk_busy`: a limit of the trunk is reached."),
        (status = 500, description = "Server Error: `provider_error` with the provider's reason, `not_configured`, or `internal`."),
        (status = 503, description = "`stopping`, `store_full` or `store_unavailable`: the call was not placed."),
    ),
)]
pub(crate) async fn place(
    state: Data<ApiState>,
    auth: Auth,
    request: HttpRequest,
    body: JsonBody,
) -> Result<HttpResponse> {
    let (bytes, fields) = body.into_parts()?;
    let (call, ignored) = PlaceCall::read(fields)?;
    let respond_async = prefers_async(request.headers());
    let idempotency = idempotency_key(request.headers())?.map(|key| (key, fingerprint(&bytes)));
    let call = call.into_request(respond_async, idempotency);
    let call = state.engine().place(auth.account(), call).await?;

    let mut response = if respond_async {
        let location = state.location(format_args!("/calls/{}", call.room_name()));
        let message = "Outbound call accepted";
        located(StatusCode::ACCEPTED, location, message, OutboundAccepted::from(call))
    } else {
        let message = match call.order.call_service {
            CallService::Twilio => "Outbound call triggered successfully",
            CallService::Exotel => "Outbound call triggered successfully via Exotel bridge",
        };
        ok(message, OutboundData::from(call))
    };
    let headers = response.headers_mut();
    if respond_async {
        let applied = HeaderName::from_static("preference-applied");
        headers.insert(applied, HeaderValue::from_static(RESPOND_ASYNC));
    }
    if let Some(warning) = warning(&ignored) {
        headers.insert(HeaderName::from_static("x-outdial-warning"), warning);
    }
    Ok(response)
}

/// RFC 7240: a list of preferences, each a token that may carry a value and parameters.
fn prefers_async(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|preference| preference.split([';', '=']).next())
        .any(|token| token.trim().eq_ignore_ascii_case(RESPOND_ASYNC))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let wrong = |rule: &'static str| {
        let message = format!("Idempotency-Key must be {rule}");
        Err(ApiError::field(ErrorCode::InvalidField, "Idempotency-Key", message))
    };
    let mut keys = headers.get_all(IDEMPOTENCY_KEY);
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return wrong("sent once");
    }
    match key.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) => {
            Ok(Some(key.to_owned()))
        }
        _ => wrong("1 to 255 visible ASCII characters, without blanks"),
    }
}

fn fingerprint(body: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(body) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// The caller's own field names, made harmless for a header.
fn warning(ignored: &[String]) -> Option<HeaderValue> {
    const NAMES: usize = 8;
    if ignored.is_empty() {
        return None;
    }
    let visible = |c: char| if c.is_ascii_graphic() && c != ',' { c } else { '?' };
    let names: Vec<String> = ignored
        .iter()
        .take(NAMES)
        .map(|name| name.chars().take(40).map(visible).collect())
        .collect();
    let more = if ignored.len() > NAMES { ", ..." } else { "" };
    HeaderValue::try_from(format!("unknown fields were ignored: {}{more}", names.join(", "))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let request = pairs.iter().fold(TestRequest::default(), |r, pair| r.append_header(*pair));
        request.to_http_request().headers().clone()
    }

    #[test]
    fn respond_async_is_found_among_preferences() {
        for (value, expect) in [
            ("respond-async", true),
            ("Respond-Async, wait=10", true),
            ("return=minimal , respond-async;x=1", true),
            ("wait=10", false),
            ("x=respond-async", false),
            ("respond-asynchronously", false),
            ("", false),
        ] {
            assert_eq!(prefers_async(&headers(&[("prefer", value)])), expect, "{value}");
        }
        assert!(prefers_async(&headers(&[("prefer", "wait=1"), ("prefer", "respond-async")])));
    }

    #[test]
    fn warnings_are_made_harmless() {
        let text = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            warning(&names).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(text(&[]), None);
        assert_eq!(
            text(&["a", "b\r\nX-Evil: 1", "é,"]).unwrap(),
            "unknown fields were ignored: a, b??X-Evil:?1, ??"
        );
        let many: Vec<_> = (0..1000).map(|n| format!("{n}{}", "x".repeat(1000))).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(text(&many).unwrap().len() < 500);
    }
}
