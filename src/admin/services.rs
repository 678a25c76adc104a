//! `/orgs/{org}/services`: the services behind the gateway and their roles.

use super::Shared;
use super::desk;
use super::extract::{Call, Params, Query};
use super::list::{self, PageBody};
use super::openapi::ReadProblems;
use super::problem::Problem;
use crate::directory::{self, ServiceColumn};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

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

/// Parameters of the list of services.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ServicesQuery {
    /// Rows in a page, 1 to 200; 50 if nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// `name` or `roles`; with `-` before it the largest first.
    sort: Option<String>,
}

/// List the services and the roles in them that can be given.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/services",
    tag = "organizations",
    operation_id = "list_services",
    params(("org" = String, Path, description = "Identity of the organization"), ServicesQuery),
    responses(
        (status = 200, description = "A page of services", body = PageBody<ServiceBody>),
        ReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    Query(query): Query<ServicesQuery>,
) -> Result<Json<PageBody<ServiceBody>>, Problem> {
    desk::read(&state, call, move |desk| {
        desk.caller.reads_organization(params.id("org")?)?;
        let (sort, limit) = (query.sort.as_deref(), query.limit.as_deref());
        let asked = list::asked::<ServiceColumn>(sort, limit, query.cursor.as_deref())?;
        let page = directory::services(desk.catalogue, asked);
        let shown = page.map(|row| ServiceBody {
            name: row.name.to_string(),
            roles: row.roles.iter().map(ToString::to_string).collect(),
        });
        Ok(Json(shown.into()))
    })
    .await
}
