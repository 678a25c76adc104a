//! `/me`: who the calling token stands for.

use super::desk;
use super::extract::{Call, Query};
use super::openapi::ReadProblems;
use super::orgs::OrganizationBody;
use super::problem::Problem;
use super::scope::Scope;
use super::users::UserBody;
use super::{Shared, etag};
use crate::id::TokenId;
use crate::time::Timestamp;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::ETAG;
use serde::{Deserialize, Serialize};

/// The calling token.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct CallingToken {
    #[schema(value_type = String, example = "tok_01jgfjjy2g3q8n5r7s9t1v3w5x")]
    id: TokenId,
    name: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// The roles that it carries.
    scope: Scope,
}

/// Who the calling token stands for.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Me {
    user: UserBody,
    organization: OrganizationBody,
    token: CallingToken,
    /// The roles that count: the token's scope as far as the user holds it now.
    effective_roles: Scope,
}

/// No parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Tell who the calling token stands for, and which roles count.
#[utoipa::path(
    get,
    path = "/api/v1/me",
    tag = "me",
    operation_id = "read_me",
    responses((status = 200, description = "The caller", body = Me), ReadProblems)
)]
pub(crate) async fn read(
    State(state): State<Shared>,
    call: Call,
    _query: Query<Nothing>,
) -> Result<Response, Problem> {
    let (me, version) = desk::read(&state, call, |desk| {
        let user = desk.user(desk.caller.user())?;
        let organization = desk.org(desk.caller.org())?;
        // Only bearers of a token get here.
        let token = desk.caller.token().ok_or_else(Problem::not_found)?;
        let (token, _) = desk.ledger().token(token)?.ok_or_else(Problem::not_found)?;
        let version = token.version;
        let token = CallingToken {
            id: token.id,
            scope: Scope::named(&token.scope, desk.roles()),
            name: token.name,
            expires_at: token.expires_at,
        };
        let me = Me {
            user: UserBody::new(&user, desk.roles()),
            organization: OrganizationBody::from(&organization),
            token,
            effective_roles: Scope::named(desk.caller.roles(), desk.roles()),
        };
        Ok((me, version))
    })
    .await?;
    Ok(([(ETAG, etag::tag(version))], Json(me)).into_response())
}
