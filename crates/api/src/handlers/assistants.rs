//! `/assistants`.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use outdial_domain::AssistantId;

use super::path_id;
use crate::auth::Auth;
use crate::code::ErrorCode;
use crate::dto::{
    AssistantCreated, AssistantData, ChangeAssistant, CreateAssistant, Deleted, Listing,
    RotateSecret, SecretRotated, Success, located, ok,
};
use crate::error::Result;
use crate::input::body::JsonBody;
use crate::input::page::List;
use crate::input::query::Query;
use crate::state::ApiState;

fn id(text: &str) -> Result<AssistantId> {
    path_id(text, ErrorCode::AssistantNotFound, "Assistant")
}

/// Create an assistant
#[utoipa::path(
    post,
    path = "/assistants",
    tag = "assistants",
    operation_id = "create_assistant",
    request_body = CreateAssistant,
    responses((status = 201, description = "Created; the webhook secret is shown here only.", body = Success<AssistantCreated>, headers(
        ("Location" = String, description = "Where the assistant can be read.")
    ))),
)]
pub(crate) async fn create(
    state: Data<ApiState>,
    auth: Auth,
    body: JsonBody,
) -> Result<HttpResponse> {
    let new = CreateAssistant::read(body.fields()?)?;
    let (assistant, secret) = state.engine().create_assistant(auth.account(), new.into()).await?;
    let location = state.location(format_args!("/assistants/{}", assistant.assistant_id));
    let data = AssistantCreated::new(assistant, &secret);
    Ok(located(StatusCode::CREATED, location, "Assistant created", data))
}

/// List assistants
#[utoipa::path(
    get,
    path = "/assistants",
    tag = "assistants",
    operation_id = "list_assistants",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 100; 20 by default."),
        ("cursor" = Option<String>, Query, description = "`data.next_cursor` of the page before.")
    ),
    responses((status = 200, description = "Newest first.", body = Success<Listing<AssistantData>>)),
)]
pub(crate) async fn list(
    state: Data<ApiState>,
    auth: Auth,
    request: HttpRequest,
) -> Result<HttpResponse> {
    let mut query = Query::of(&request)?;
    let page = List::Assistants.page(&mut query)?;
    query.finish()?;
    let page = state.engine().assistants(auth.account(), &page).await?;
    Ok(ok("Assistants fetched", Listing::<AssistantData>::page(List::Assistants, page)))
}

/// Read an assistant
#[utoipa::path(
    get,
    path = "/assistants/{assistant_id}",
    tag = "assistants",
    operation_id = "read_assistant",
    params(("assistant_id" = String, Path)),
    responses(
        (status = 200, description = "The assistant.", body = Success<AssistantData>),
        (status = 404, description = "`assistant_not_found`."),
    ),
)]
pub(crate) async fn read(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
) -> Result<HttpResponse> {
    let assistant = state.engine().assistant(auth.account(), id(&path)?).await?;
    Ok(ok("Assistant fetched", AssistantData::from(assistant)))
}

/// Change an assistant
///
/// Running calls keep what they began with.
#[utoipa::path(
    patch,
    path = "/assistants/{assistant_id}",
    tag = "assistants",
    operation_id = "change_assistant",
    params(("assistant_id" = String, Path)),
    request_body = ChangeAssistant,
    responses(
        (status = 200, description = "The changed assistant.", body = Success<AssistantData>),
        (status = 404, description = "`assistant_not_found`."),
    ),
)]
pub(crate) async fn change(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
    body: JsonBody,
) -> Result<HttpResponse> {
    let id = id(&path)?;
    let change = ChangeAssistant::read(body.fields()?)?;
    let assistant = state.engine().change_assistant(auth.account(), id, change.into()).await?;
    Ok(ok("Assistant changed", AssistantData::from(assistant)))
}

/// Delete an assistant
///
/// Its calls stay, and running ones go on.
#[utoipa::path(
    delete,
    path = "/assistants/{assistant_id}",
    tag = "assistants",
    operation_id = "delete_assistant",
    params(("assistant_id" = String, Path)),
    responses(
        (status = 200, description = "Deleted.", body = Success<Deleted>),
        (status = 404, description = "`assistant_not_found`."),
    ),
)]
pub(crate) async fn delete(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
) -> Result<HttpResponse> {
    let id = id(&path)?;
    state.engine().delete_assistant(auth.account(), id).await?;
    Ok(ok("Assistant deleted", Deleted::new(id)))
}

/// Replace the webhook secret
///
/// The old secret goes on signing beside the new one for `overlap_seconds`, so that the receiver can
/// be changed in between. The body may be left out.
#[utoipa::path(
    post,
    path = "/assistants/{assistant_id}/webhook-secret/rotate",
    tag = "assistants",
    operation_id = "rotate_webhook_secret",
    params(("assistant_id" = String, Path)),
    request_body(content = Option<RotateSecret>),
    responses(
        (status = 200, description = "The new secret, shown here only.", body = Success<SecretRotated>),
        (status = 404, description = "`assistant_not_found`."),
    ),
)]
pub(crate) async fn rotate(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
    body: JsonBody,
) -> Result<HttpResponse> {
    let id = id(&path)?;
    let overlap = RotateSecret::read(body.optional_fields()?)?.overlap();
    let rotation = state.engine().rotate_webhook_secret(auth.account(), id, overlap).await?;
    Ok(ok("Webhook secret rotated", SecretRotated::new(id, rotation)))
}
