//! `/orgs/{org}/roles`: the organization roles that there are.

use super::Shared;
use super::desk;
use super::extract::{Call, Params, Query};
use super::list::{self, PageBody};
use super::openapi::ReadProblems;
use super::problem::Problem;
use crate::directory::{self, RoleColumn};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

/// An organization role.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OrganizationRole)]
pub(crate) struct RoleBody {
    #[schema(example = "org_member")]
    name: String,
    /// Whether Bearward itself gives it a meaning; the others mean what routes make of them.
    built_in: bool,
}

/// Parameters of the list of organization roles.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RolesQuery {
    /// Rows in a page, 1 to 200; 50 if nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// `name` or `built_in`; with `-` before it the largest first.
    sort: Option<String>,
}

/// List the organization roles that can be given.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/roles",
    tag = "organizations",
    operation_id = "list_roles",
    params(("org" = String, Path, description = "Identity of the organization"), RolesQuery),
    responses(
        (status = 200, description = "A page of organization roles", body = PageBody<RoleBody>),
        ReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    Query(query): Query<RolesQuery>,
) -> Result<Json<PageBody<RoleBody>>, Problem> {
    desk::read(&state, call, move |desk| {
        desk.caller.reads_organization(params.id("org")?)?;
        let (sort, limit) = (query.sort.as_deref(), query.limit.as_deref());
        let asked = list::asked::<RoleColumn>(sort, limit, query.cursor.as_deref())?;
        let page = directory::roles(desk.catalogue, asked);
        let shown = page.map(|row| RoleBody { name: row.name.to_string(), built_in: row.built_in });
        Ok(Json(shown.into()))
    })
    .await
}
