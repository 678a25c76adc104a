//! `/orgs/{org}/roles`: the organization roles that there are.

use super::Shared;
use super::desk;
use super::extract::{Call, Params, Query};
use super::list::{self, PageBody};
use super::me::Nothing;
use super::openapi::ReadProblems;
use super::problem::Problem;
use crate::role::{RoleName, RoleTable};
use axum::Json;
use axum::extract::State;
use serde::Serialize;

/// An organization role.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OrganizationRole)]
pub(crate) struct RoleBody {
    #[schema(example = "org_member")]
    name: String,
    /// Whether Bearward itself gives it a meaning; the others mean what routes make of them.
    built_in: bool,
}

/// List the organization roles that can be given.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/roles",
    tag = "organizations",
    operation_id = "list_roles",
    params(("org" = String, Path, description = "Identity of the organization")),
    responses(
        (status = 200, description = "All organization roles", body = PageBody<RoleBody>),
        ReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    _query: Query<Nothing>,
) -> Result<Json<PageBody<RoleBody>>, Problem> {
    desk::read(&state, call, move |desk| {
        desk.caller.reads_organization(params.id("org")?)?;
        let built_in = RoleTable::new();
        let roles = desk.catalogue.organization_roles().map(|name| RoleBody {
            built_in: built_in.id(&RoleName::Organization(name.clone())).is_some(),
            name: name.to_string(),
        });
        Ok(Json(list::whole(roles.collect())))
    })
    .await
}
