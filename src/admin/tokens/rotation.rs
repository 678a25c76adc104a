//! `/orgs/{org}/tokens/{token}/rotate`: another secret for a token.

use super::body::TtlWish;
use super::{CreatedToken, Loaded, TokenBody, mint};
use crate::admin::Shared;
use crate::admin::desk::{self, Step, Versioned};
use crate::admin::etag::{self, Precondition};
use crate::admin::extract::{Call, OptionalJson, Params};
use crate::admin::idempotency::{IdempotencyKey, Once};
use crate::admin::openapi::ChangeProblems;
use crate::admin::problem::Problem;
use crate::governance::token::{Life, Overlap, RotateToken};
use crate::secret::Secret;
use crate::time::Ttl;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::ETAG;
use serde::Deserialize;

/// What ends the old secret before its time.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Until {
    /// The first use of the new one.
    FirstUse,
}

/// What becomes of the old secret and of the token's life. With nothing said the old secret is over
/// at once, and the token lives as long again as before, or as long as policy allows.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// For how long the old secret stays good beside the new one; never beyond its own expiry.
    pub(crate) overlap: Option<Ttl>,
    /// `first_use`: the old secret is over as soon as the new one is used.
    pub(crate) until: Option<Until>,
    /// How long the token lives from now on: 1 minute to 60 months, or `"longest"` for all that
    /// policy allows.
    pub(crate) ttl: Option<TtlWish>,
}

/// Give a token another secret. Only the token's own user may, because only they see it.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/tokens/{token}/rotate",
    tag = "tokens",
    operation_id = "rotate_token",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("token" = String, Path, description = "Identity of the token"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have"),
        ("Idempotency-Key" = Option<String>, Header, description = "Rotates once per key")
    ),
    request_body = Option<Rotation>,
    responses(
        (status = 200, description = "Rotated", body = CreatedToken,
         headers(("ETag" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn rotate(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    key: IdempotencyKey,
    body: OptionalJson<Rotation>,
) -> Result<Response, Problem> {
    let once = key.bind(&call.caller, &body.digest);
    let (done, secret) = give(&state, call, params, precondition, once, body.value).await?;
    let (token, is_new) = done.answer;
    let answer = CreatedToken { token, secret: is_new.then(|| secret.expose().to_owned()) };
    Ok(([(ETAG, etag::tag(done.version))], axum::Json(answer)).into_response())
}

/// Gives a token another secret. Answers the token, whether it has the secret, and the secret.
pub(crate) async fn give(
    state: &Shared,
    call: Call,
    params: Params,
    precondition: Precondition,
    once: Once,
    wanted: Rotation,
) -> Result<(Versioned<(TokenBody, bool)>, Secret), Problem> {
    let (minted, secret) = mint(state)?;
    let done = desk::change(state, call, move |desk| {
        let loaded = Loaded::named(desk, &params)?;
        // By the token's owner only, so the repeat of a rotation is nobody else's either.
        if once.made(desk.ledger())?.is_some() && loaded.token.owner == desk.caller.user() {
            let version = loaded.token.version;
            return Ok(Step::Answer((loaded.show(desk)?, false), version));
        }
        let command = RotateToken {
            existing: loaded.existing(),
            digest: minted.digest,
            life: match wanted.ttl {
                None => Life::Unsaid,
                Some(TtlWish::Longest) => Life::Longest,
                Some(TtlWish::Ttl(ttl)) => Life::Ttl(ttl),
            },
            overlap: Overlap { ttl: wanted.overlap, until_first_use: wanted.until.is_some() },
        };
        let plan = command.plan(desk.caller, &desk.at);
        let id = loaded.token.id.to_string();
        let step = loaded.step(plan, &precondition, desk)?;
        let step = step.map(|token| (token, true));
        Ok(step.with(|change| once.mark(change, id.clone(), desk.now())))
    })
    .await?;
    Ok((done, secret))
}
