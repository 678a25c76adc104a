//! `/orgs/{org}/services`: the services behind the gateway and their roles.

use super::Shared;
use super::desk;
use super::extract::{Call, Params, Query};
use super::list::{self, PageBody};
use super::me::Nothing;
use super::openapi::ReadProblems;
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use serde::Serialize;

/// A service.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Service)]
pub(crate) struct ServiceBody {
    #[schema(example = "orders")]
    name: String,
    /// The roles in it.
    #[schema(example = json!(["reader", "writer"]))]
    roles: Vec<String>,
}

/// List the services and the roles in them that can be given.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/services",
    tag = "organizations",
    operation_id = "list_services",
    params(("org" = String, Path, description = "Identity of the organization")),
    responses(
        (status = 200, description = "All services", body = PageBody<ServiceBody>),
        ReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    _query: Query<Nothing>,
) -> Result<Json<PageBody<ServiceBody>>, Problem> {
    desk::read(&state, call, move |desk| {
        desk.caller.reads_organization(params.id("org")?)?;
        let services = desk.catalogue.services().map(|(name, roles)| ServiceBody {
            name: name.to_string(),
            roles: roles.map(ToString::to_string).collect(),
        });
        Ok(Json(list::whole(services.collect())))
    })
    .await
}
