//! `/orgs/{org}/tokens/{token}/transfer`: another owner for a token.

use super::{Loaded, TokenBody, shown};
use crate::admin::Shared;
use crate::admin::desk;
use crate::admin::etag::Precondition;
use crate::admin::extract::{Call, Json, Params};
use crate::admin::openapi::ChangeProblems;
use crate::admin::problem::Problem;
use crate::governance::token::TransferToken;
use crate::governance::words;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

/// To whom a token goes.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transfer {
    /// Identity of the new owner: an active user of the organization.
    #[schema(example = "usr_01jgfjjy2g3q8n5r7s9t1v3w5x")]
    pub(crate) owner: String,
    /// Whether roles that the new owner does not hold are left out; otherwise they are refused.
    #[serde(default)]
    pub(crate) narrow: bool,
    /// In your words, at most 500 characters.
    #[schema(max_length = 500)]
    pub(crate) reason: Option<String>,
}

/// Hand a token to another user. Its secret, its history and its use go on.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/tokens/{token}/transfer",
    tag = "tokens",
    operation_id = "transfer_token",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("token" = String, Path, description = "Identity of the token"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have")
    ),
    request_body = Transfer,
    responses(
        (status = 200, description = "Transferred", body = TokenBody,
         headers(("ETag" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn transfer(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    body: Json<Transfer>,
) -> Result<Response, Problem> {
    let wanted = body.value;
    let reason = words::reason("reason", wanted.reason.as_deref())?;
    let done = desk::change(&state, call, move |desk| {
        let loaded = Loaded::named(desk, &params)?;
        // Before anybody is looked up: who may not, learns of nobody.
        loaded.existing().may_transfer(desk.caller)?;
        let to = wanted.owner.parse().ok().and_then(|owner| desk.user(owner).ok());
        let to = to.ok_or_else(|| Problem::field("owner", "no such user in the organization"))?;
        let command = TransferToken {
            existing: loaded.existing(),
            to: &to,
            narrow: wanted.narrow,
            reason: reason.clone(),
        };
        let plan = command.plan(desk.caller, &desk.at);
        loaded.step(plan, &precondition, desk)
    })
    .await?;
    Ok(shown(done))
}
