//! `/livekit/webhook`.

use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use chrono::Utc;
use outdial_domain::ErrorKind;

use crate::code::ErrorCode;
use crate::dto::{Received, Success, ok};
use crate::error::{ApiError, Result};
use crate::input::body::PushedBody;
use crate::state::ApiState;

/// Receive LiveKit's webhooks
///
/// For the LiveKit server: a second source for what becomes of calls. The signature in
/// `Authorization` is made with the LiveKit API secret.
#[utoipa::path(
    post,
    path = "/livekit/webhook",
    tag = "server",
    operation_id = "livekit_webhook",
    security(()),
    request_body(content = String, content_type = "application/webhook+json", description = "The event, as LiveKit sends it: at most 512 KiB."),
    responses(
        (status = 200, description = "Received.", body = Success<Received>),
        (status = 401, description = "`unauthorized`: the signature is missing or wrong."),
        (status = 404, description = "`not_found`: LiveKit is not set up on this server."),
    ),
)]
pub(crate) async fn webhook(
    state: Data<ApiState>,
    request: HttpRequest,
    body: PushedBody,
) -> Result<HttpResponse> {
    let Some(reader) = &state.options().room_hints else {
        let message = "LiveKit's webhooks are not set up on this server";
        return Err(ApiError::new(ErrorCode::NotFound, message));
    };
    let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let authorization = authorization.ok_or_else(|| unsigned("the signature is missing"))?;
    let hints =
        reader.read(authorization, &body.0, Utc::now()).map_err(|error| match error.kind {
            ErrorKind::Refused => unsigned("the signature is wrong").internal(error),
            _ => {
                ApiError::new(ErrorCode::InvalidBody, "the event is not understood").internal(error)
            }
        })?;
    if let Some((room, hints)) = hints {
        state.engine().hint(&room, hints).await?;
    }
    Ok(ok("Event received", Received::new()))
}

fn unsigned(message: &'static str) -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, message)
        .hint("LiveKit signs with the API key and secret that this server is set up with")
}
