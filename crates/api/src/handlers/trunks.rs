//! `/trunks`.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use outdial_domain::TrunkId;

use super::path_id;
use crate::auth::Auth;
use crate::code::ErrorCode;
use crate::dto::{ChangeTrunk, CreateTrunk, Deleted, Listing, Success, TrunkData, located, ok};
use crate::error::Result;
use crate::input::body::JsonBody;
use crate::input::page::List;
use crate::input::query::Query;
use crate::state::ApiState;

fn id(text: &str) -> Result<TrunkId> {
    path_id(text, ErrorCode::TrunkNotFound, "Trunk")
}

/// Create a trunk
#[utoipa::path(
    post,
    path = "/trunks",
    tag = "trunks",
    operation_id = "create_trunk",
    request_body = CreateTrunk,
    responses((status = 201, description = "Created.", body = Success<TrunkData>, headers(
        ("Location" = String, description = "Where the trunk can be read.")
    ))),
)]
pub(crate) async fn create(
    state: Data<ApiState>,
    auth: Auth,
    body: JsonBody,
) -> Result<HttpResponse> {
    let new = CreateTrunk::read(body.fields()?)?;
    let trunk = state.engine().create_trunk(auth.account(), new.into()).await?;
    let location = state.location(format_args!("/trunks/{}", trunk.trunk_id));
    Ok(located(StatusCode::CREATED, location, "Trunk created", TrunkData::from(trunk)))
}

/// List trunks
#[utoipa::path(
    get,
    path = "/trunks",
    tag = "trunks",
    operation_id = "list_trunks",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 100; 20 by default."),
        ("cursor" = Option<String>, Query, description = "`data.next_cursor` of the page before.")
    ),
    responses((status = 200, description = "Newest first.", body = Success<Listing<TrunkData>>)),
)]
pub(crate) async fn list(
    state: Data<ApiState>,
    auth: Auth,
    request: HttpRequest,
) -> Result<HttpResponse> {
    let mut query = Query::of(&request)?;
    let page = List::Trunks.page(&mut query)?;
    query.finish()?;
    let page = state.engine().trunks(auth.account(), &page).await?;
    Ok(ok("Trunks fetched", Listing::<TrunkData>::page(List::Trunks, page)))
}

/// Read a trunk
#[utoipa::path(
    get,
    path = "/trunks/{trunk_id}",
    tag = "trunks",
    operation_id = "read_trunk",
    params(("trunk_id" = String, Path)),
    responses(
        (status = 200, description = "The trunk, without its password.", body = Success<TrunkData>),
        (status = 404, description = "`trunk_not_found`."),
    ),
)]
pub(crate) async fn read(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
) -> Result<HttpResponse> {
    let trunk = state.engine().trunk(auth.account(), &id(&path)?).await?;
    Ok(ok("Trunk fetched", TrunkData::from(trunk)))
}

/// Change a trunk
///
/// Running calls keep what they began with.
#[utoipa::path(
    patch,
    path = "/trunks/{trunk_id}",
    tag = "trunks",
    operation_id = "change_trunk",
    params(("trunk_id" = String, Path)),
    request_body = ChangeTrunk,
    responses(
        (status = 200, description = "The changed trunk.", body = Success<TrunkData>),
        (status = 404, description = "`trunk_not_found`."),
    ),
)]
pub(crate) async fn change(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
    body: JsonBody,
) -> Result<HttpResponse> {
    let id = id(&path)?;
    let change = ChangeTrunk::read(body.fields()?)?;
    let trunk = state.engine().change_trunk(auth.account(), &id, change.into()).await?;
    Ok(ok("Trunk changed", TrunkData::from(trunk)))
}

/// Delete a trunk
///
/// Its calls stay, and running ones go on.
#[utoipa::path(
    delete,
    path = "/trunks/{trunk_id}",
    tag = "trunks",
    operation_id = "delete_trunk",
    params(("trunk_id" = String, Path)),
    responses(
        (status = 200, description = "Deleted.", body = Success<Deleted>),
        (status = 404, description = "`trunk_not_found`."),
    ),
)]
pub(crate) async fn delete(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
) -> Result<HttpResponse> {
    let id = id(&path)?;
    state.engine().delete_trunk(auth.account(), &id).await?;
    Ok(ok("Trunk deleted", Deleted::new(id)))
}
