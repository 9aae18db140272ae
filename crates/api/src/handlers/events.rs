//! `/calls/{room_name}/events`: a call as server-sent events.

use std::convert::Infallible;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{FutureExt, Stream, stream};
use outdial_engine::{CallWatch, Passing, WatchEvent, WatchPosition};
use serde::Serialize;
use tokio::time::timeout;

use super::calls::{data, room};
use crate::auth::Auth;
use crate::code::ErrorCode;
use crate::dto::{AgentEvent, DtmfEvent, HoldEvent, LineData, LineEvent, StatusEvent, Timestamp};
use crate::error::{ApiError, Result};
use crate::state::ApiState;

type Events = Vec<(WatchPosition, WatchEvent)>;

/// Follow a call
///
/// Server-sent events: `status` for every status the call comes into, `transcript` for every line
/// that is spoken, from the beginning of the call or from `Last-Event-ID` on. Only while it
/// goes on: `agent_state` for what the agent does now, `call_held` and `call_resumed`, and `dtmf` for
/// every key that the callee presses. The stream ends behind the status `ended`; resuming behind that
/// gives 204.
#[utoipa::path(
    get,
    path = "/calls/{room_name}/events",
    tag = "calls",
    operation_id = "follow_call",
    params(
        ("room_name" = String, Path),
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event seen.")
    ),
    responses(
        (status = 200, description = "The events. Their data are `StatusEvent`, `LineEvent`, `AgentEvent`, `HoldEvent` (held and resumed) and `DtmfEvent`.", body = String, content_type = "text/event-stream", example = "event: status\nid: 1.0\ndata: {\"status\":\"queued\",\"at\":\"2024-01-15T10:00:00.000Z\",\"call\":{}}\n\nevent: transcript\nid: 5.1\ndata: {\"index\":0,\"speaker\":\"agent\",\"text\":\"Hello John, how can I help you today?\",\"timestamp\":\"2024-01-15T10:00:01.000Z\"}\n\nevent: agent_state\nid: 5.1\ndata: {\"state\":\"listening\"}\n\n"),
        (status = 204, description = "The call has ended and everything was seen."),
        (status = 404, description = "`call_not_found`."),
        (status = 410, description = "`call_erased`."),
    ),
)]
pub(crate) async fn follow(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse> {
    let room = room(&path)?;
    let from = last_event(request.headers())?;
    let mut watch = state.engine().watch(auth.account(), &room, from).await?;
    // Browsers come back to a stream that ended, unless they are told that nothing is left.
    let first = match watch.next().now_or_never() {
        Some(Ok(None)) => return Ok(HttpResponse::NoContent().finish()),
        Some(Ok(Some(events))) => events,
        Some(Err(error)) => return Err(error.into()),
        None => Events::new(),
    };
    let events = stream(state.get_ref().clone(), watch, first);
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        // nginx would hold the events back.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(events))
}

fn last_event(headers: &HeaderMap) -> Result<WatchPosition> {
    const NAME: &str = "Last-Event-ID";
    // Longer ones were never given: no call has that many lines.
    const LONGEST: usize = 12;
    let Some(id) = headers.get("last-event-id").filter(|id| !id.is_empty()) else {
        return Ok(WatchPosition::default());
    };
    let id = id.to_str().ok().filter(|id| id.len() <= LONGEST).and_then(|id| id.parse().ok());
    id.ok_or_else(|| {
        let message = "Last-Event-ID is not an id of these events";
        ApiError::field(ErrorCode::InvalidField, NAME, message)
            .hint("send the id of the last event seen, or leave it out")
    })
}

fn stream(
    state: ApiState,
    watch: CallWatch,
    first: Events,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((state, watch, first), |(state, mut watch, first)| async move {
        if !first.is_empty() {
            return Some((Ok(render(&state, first)), (state, watch, Events::new())));
        }
        // Waiting can be given up and begun anew without losing anything.
        let chunk = match timeout(state.options().keep_alive, watch.next()).await {
            Err(_) => Bytes::from_static(b": keep-alive\n\n"),
            Ok(Ok(Some(events))) => render(&state, events),
            Ok(Ok(None)) => return None,
            Ok(Err(error)) => {
                // The client resumes where it was.
                tracing::warn!(%error, "an event stream broke off");
                return None;
            }
        };
        Some((Ok(chunk), (state, watch, Events::new())))
    })
}

fn render(state: &ApiState, events: Events) -> Bytes {
    let mut text = Vec::new();
    for (position, event) in events {
        match event {
            WatchEvent::Status { status, at, call } => {
                let call = data(state, *call);
                let data = StatusEvent { status, at: Timestamp(at), call };
                write(&mut text, "status", position, &data);
            }
            WatchEvent::Agent { state } => {
                write(&mut text, "agent_state", position, &AgentEvent { state });
            }
            WatchEvent::Passing(Passing::Held { at }) => {
                write(&mut text, "call_held", position, &HoldEvent { at: Timestamp(at) });
            }
            WatchEvent::Passing(Passing::Resumed { at }) => {
                write(&mut text, "call_resumed", position, &HoldEvent { at: Timestamp(at) });
            }
            WatchEvent::Passing(Passing::Dtmf { at, digit }) => {
                write(&mut text, "dtmf", position, &DtmfEvent::new(digit, at));
            }
            WatchEvent::Line { index, line } => {
                let line = LineData::from(line);
                write(&mut text, "transcript", position, &LineEvent { index, line });
            }
        }
    }
    text.into()
}

fn write(text: &mut Vec<u8>, event: &str, id: WatchPosition, data: &impl Serialize) {
    text.extend_from_slice(format!("event: {event}\nid: {id}\ndata: ").as_bytes());
    // Compact JSON has no line breaks; these shapes always serialise.
    if let Err(error) = serde_json::to_writer(&mut *text, data) {
        tracing::error!(%error, "an event could not be written");
    }
    text.extend_from_slice(b"\n\n");
}
