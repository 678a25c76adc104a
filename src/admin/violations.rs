//! `/orgs/{org}/tokens/{token}/violations`: what becomes of a violation.

use super::Shared;
use super::desk::{self};
use super::etag::Precondition;
use super::extract::{Call, Json, Params};
use super::openapi::ChangeProblems;
use super::problem::Problem;
use super::tokens::{Loaded, TokenBody, shown};
use crate::governance::violation::Violator;
use crate::governance::words;
use crate::policy::PolicyKind;
use crate::time::Timestamp;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

/// Until when a violation is to be ignored.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ignoring {
    /// When it counts again: ahead, by at most 366 days.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) until: Timestamp,
    /// Why, for the audit trail.
    #[schema(max_length = 500)]
    pub(crate) reason: Option<String>,
}

fn violator(loaded: &Loaded, policy: PolicyKind) -> Violator<'_> {
    Violator { org: &loaded.org, token: &loaded.token, usage: &loaded.usage, policy }
}

/// Ignore a violation of a token until a time: it is shown, and not counted. For owners.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/tokens/{token}/violations/{policy}/ignore",
    tag = "violations",
    operation_id = "ignore_violation",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("token" = String, Path, description = "Identity of the token"),
        ("policy" = PolicyKind, Path, description = "The policy that it breaks"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the token must have")
    ),
    request_body = Ignoring,
    responses(
        (status = 200, description = "Ignored", body = TokenBody, headers(("ETag" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn ignore(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    body: Json<Ignoring>,
) -> Result<Response, Problem> {
    let Ignoring { until, reason } = body.value;
    let reason = words::reason("reason", reason.as_deref())?;
    let done = desk::change(&state, call, move |desk| {
        let policy = params.id("policy")?;
        let loaded = Loaded::named(desk, &params)?;
        let plan = violator(&loaded, policy).ignore(until, reason.clone(), desk.caller, &desk.at);
        loaded.step(plan, &precondition, desk)
    })
    .await?;
    Ok(shown(done))
}

/// Let a violation count again that was ignored. For owners.
#[utoipa::path(
    delete,
    path = "/api/v1/orgs/{org}/tokens/{token}/violations/{policy}/ignore",
    tag = "violations",
    operation_id = "count_violation",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("token" = String, Path, description = "Identity of the token"),
        ("policy" = PolicyKind, Path, description = "The policy that it breaks"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the token must have")
    ),
    responses((status = 204, description = "It counts"), ChangeProblems)
)]
pub(crate) async fn count(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
) -> Result<StatusCode, Problem> {
    desk::change(&state, call, move |desk| {
        let policy = params.id("policy")?;
        let loaded = Loaded::named(desk, &params)?;
        let plan = violator(&loaded, policy).count(desk.caller, &desk.at);
        loaded.step(plan, &precondition, desk)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
