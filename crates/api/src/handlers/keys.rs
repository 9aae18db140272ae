//! `/keys`.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

use super::path_id;
use crate::auth::Auth;
use crate::code::ErrorCode;
use crate::dto::{CreateKey, KeyCreated, KeyData, Listing, Success, created, ok};
use crate::error::Result;
use crate::input::body::JsonBody;
use crate::input::page::List;
use crate::input::query::Query;
use crate::state::ApiState;

/// Create an API key
///
/// With an administrator's key only. The account is created when there is none of that name.
#[utoipa::path(
    post,
    path = "/keys",
    tag = "keys",
    operation_id = "create_key",
    request_body = CreateKey,
    responses(
        (status = 201, description = "Created; the key is shown here only.", body = Success<KeyCreated>),
        (status = 403, description = "`forbidden`: the API key is not an administrator's."),
    ),
)]
pub(crate) async fn create(
    state: Data<ApiState>,
    auth: Auth,
    body: JsonBody,
) -> Result<HttpResponse> {
    auth.admin()?;
    let new = CreateKey::read(body.fields()?)?;
    let (account, key, token) = state.engine().create_key(new.into()).await?;
    Ok(created("API key created", KeyCreated::new(account, key, &token)))
}

/// List API keys
///
/// The keys of the own account, revoked ones too, without their secrets.
#[utoipa::path(
    get,
    path = "/keys",
    tag = "keys",
    operation_id = "list_keys",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 100; 20 by default."),
        ("cursor" = Option<String>, Query, description = "`data.next_cursor` of the page before.")
    ),
    responses((status = 200, description = "Newest first.", body = Success<Listing<KeyData>>)),
)]
pub(crate) async fn list(
    state: Data<ApiState>,
    auth: Auth,
    request: HttpRequest,
) -> Result<HttpResponse> {
    let mut query = Query::of(&request)?;
    let page = List::Keys.page(&mut query)?;
    query.finish()?;
    let page = state.engine().keys(auth.account(), &page).await?;
    Ok(ok("API keys fetched", Listing::<KeyData>::page(List::Keys, page)))
}

/// Revoke an API key
///
/// A key of the own account, also the one the request is made with. Revoking again changes nothing.
#[utoipa::path(
    delete,
    path = "/keys/{key_id}",
    tag = "keys",
    operation_id = "revoke_key",
    params(("key_id" = String, Path)),
    responses(
        (status = 200, description = "Revoked.", body = Success<KeyData>),
        (status = 404, description = "`key_not_found`."),
    ),
)]
pub(crate) async fn revoke(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
) -> Result<HttpResponse> {
    let id = path_id(&path, ErrorCode::KeyNotFound, "API key")?;
    let key = state.engine().revoke_key(auth.account(), &id).await?;
    Ok(ok("API key revoked", KeyData::from(key)))
}
