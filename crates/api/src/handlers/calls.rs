//! `/calls`.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use outdial_domain::ports::Page;
use outdial_domain::{Call, RoomName};

use super::path_id;
use crate::auth::Auth;
use crate::code::ErrorCode;
use crate::dto::{
    CallData, CallQuery, DeliveryData, ErasureData, Listing, SendDtmf, Success, TranscriptData,
    accepted, located, ok,
};
use crate::error::Result;
use crate::input::body::JsonBody;
use crate::input::page::List;
use crate::input::query::Query;
use crate::state::ApiState;

pub(super) fn room(text: &str) -> Result<RoomName> {
    path_id(text, ErrorCode::CallNotFound, "Call")
}

/// The call as it is shown.
pub(super) fn data(state: &ApiState, call: Call) -> CallData {
    let recording_path = state.engine().recording_url(&call);
    CallData::new(call, recording_path)
}

/// List calls
#[utoipa::path(
    get,
    path = "/calls",
    tag = "calls",
    operation_id = "list_calls",
    params(
        CallQuery,
        ("limit" = Option<u32>, Query, description = "1 to 100; 20 by default."),
        ("cursor" = Option<String>, Query, description = "`data.next_cursor` of the page before.")
    ),
    responses((status = 200, description = "Newest first.", body = Success<Listing<CallData>>)),
)]
pub(crate) async fn list(
    state: Data<ApiState>,
    auth: Auth,
    request: HttpRequest,
) -> Result<HttpResponse> {
    let query = Query::of(&request)?;
    let (filter, page) = CallQuery::read(query, auth.account().clone())?;
    let Page { items, next } = state.engine().calls(&filter, &page).await?;
    let items = items.into_iter().map(|call| data(&state, call)).collect();
    let page = Page { items, next };
    Ok(ok("Calls fetched", Listing::<CallData>::page(List::Calls, page)))
}

/// Read a call
#[utoipa::path(
    get,
    path = "/calls/{room_name}",
    tag = "calls",
    operation_id = "read_call",
    params(("room_name" = String, Path)),
    responses(
        (status = 200, description = "The call.", body = Success<CallData>),
        (status = 404, description = "`call_not_found`."),
        (status = 410, description = "`call_erased`."),
    ),
)]
pub(crate) async fn read(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
) -> Result<HttpResponse> {
    let call = state.engine().call(auth.account(), &room(&path)?).await?;
    Ok(ok("Call fetched", data(&state, call)))
}

/// Erase a call
///
/// Deletes all there is of an ended call: its record, transcript, deliveries and recording. What stays
/// says that there was a call, and holds nothing about a person. Cannot be undone.
#[utoipa::path(
    delete,
    path = "/calls/{room_name}",
    tag = "calls",
    operation_id = "erase_call",
    params(("room_name" = String, Path)),
    responses(
        (status = 200, description = "All is gone, now or before.", body = Success<ErasureData>),
        (status = 202, description = "It is decided; something does not let go yet, and is tried until it does.", body = Success<ErasureData>),
        (status = 404, description = "`call_not_found`."),
        (status = 409, description = "`conflict`: the call has not ended yet."),
    ),
)]
pub(crate) async fn erase(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
) -> Result<HttpResponse> {
    let room = room(&path)?;
    let erased = state.engine().erase(auth.account(), &room).await?;
    let data = ErasureData::new(room, erased);
    Ok(if erased { ok("Call erased", data) } else { accepted("Call is being erased", data) })
}

/// Hang up
///
/// Ends the call in whatever state it is; on an ended call nothing changes. Answers when the decision
/// is stored: the end itself follows within seconds.
#[utoipa::path(
    post,
    path = "/calls/{room_name}/hangup",
    tag = "calls",
    operation_id = "hang_up",
    params(("room_name" = String, Path)),
    responses(
        (status = 200, description = "The call as it is now.", body = Success<CallData>),
        (status = 404, description = "`call_not_found`."),
        (status = 410, description = "`call_erased`."),
    ),
)]
pub(crate) async fn hang_up(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
) -> Result<HttpResponse> {
    let call = state.engine().hang_up(auth.account(), &room(&path)?).await?;
    Ok(ok("Call is ended", data(&state, call)))
}

/// Send digits
///
/// Sends digits to the callee of a call in progress, as if pressed on a phone: behind those that are
/// still being sent. Answers when they are on their way.
#[utoipa::path(
    post,
    path = "/calls/{room_name}/dtmf",
    tag = "calls",
    operation_id = "send_dtmf",
    params(("room_name" = String, Path)),
    request_body = SendDtmf,
    responses(
        (status = 202, description = "The call as it is now; the digits are being sent.", body = Success<CallData>),
        (status = 404, description = "`call_not_found`."),
        (status = 409, description = "`conflict`: the call is not answered yet, has ended, is on hold, or its phone takes no digits now."),
        (status = 410, description = "`call_erased`."),
    ),
)]
pub(crate) async fn dtmf(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
    body: JsonBody,
) -> Result<HttpResponse> {
    let room = room(&path)?;
    let SendDtmf { digits } = SendDtmf::read(body.fields()?)?;
    let call = state.engine().send_dtmf(auth.account(), &room, &digits).await?;
    Ok(accepted("Digits are being sent", data(&state, call)))
}

/// Read the transcript
///
/// What was said so far; complete when the call has ended.
#[utoipa::path(
    get,
    path = "/calls/{room_name}/transcript",
    tag = "calls",
    operation_id = "read_transcript",
    params(("room_name" = String, Path)),
    responses(
        (status = 200, description = "The lines in their order.", body = Success<TranscriptData>),
        (status = 404, description = "`call_not_found`."),
        (status = 410, description = "`call_erased`."),
    ),
)]
pub(crate) async fn transcript(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
) -> Result<HttpResponse> {
    let room = room(&path)?;
    let lines = state.engine().transcript(auth.account(), &room).await?;
    Ok(ok("Transcript fetched", TranscriptData::new(room, lines)))
}

/// List webhook deliveries
///
/// The attempts to deliver the end-of-call webhook, oldest first; the list is never cut.
#[utoipa::path(
    get,
    path = "/calls/{room_name}/deliveries",
    tag = "calls",
    operation_id = "list_deliveries",
    params(("room_name" = String, Path)),
    responses(
        (status = 200, description = "The attempts.", body = Success<Listing<DeliveryData>>),
        (status = 404, description = "`call_not_found`."),
        (status = 410, description = "`call_erased`."),
    ),
)]
pub(crate) async fn deliveries(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
) -> Result<HttpResponse> {
    let deliveries = state.engine().deliveries(auth.account(), &room(&path)?).await?;
    Ok(ok("Deliveries fetched", Listing::<DeliveryData>::whole(deliveries)))
}

/// Send the webhook again
///
/// As if for the first time: with all its tries, and with the same `webhook-id`.
#[utoipa::path(
    post,
    path = "/calls/{room_name}/deliveries/replay",
    tag = "calls",
    operation_id = "replay_webhook",
    params(("room_name" = String, Path)),
    responses(
        (status = 202, description = "The webhook is due.", body = Success<CallData>, headers(
            ("Location" = String, description = "Where the attempts can be read.")
        )),
        (status = 404, description = "`call_not_found`."),
        (status = 410, description = "`call_erased`."),
        (status = 409, description = "`conflict`: the call has not ended yet, or has no webhook URL."),
    ),
)]
pub(crate) async fn replay(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
) -> Result<HttpResponse> {
    let room = room(&path)?;
    let call = state.engine().replay_webhook(auth.account(), &room).await?;
    let location = state.location(format_args!("/calls/{room}/deliveries"));
    Ok(located(StatusCode::ACCEPTED, location, "Webhook is sent again", data(&state, call)))
}
