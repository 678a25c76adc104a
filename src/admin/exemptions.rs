//! `/orgs/{org}/exemptions`: who is spared what follows of a policy that is enforced, and how long.

use super::Shared;
use super::desk::{self, Desk, Step};
use super::etag::{self, Precondition};
use super::extract::{Call, Json, Params, Query};
use super::idempotency::{self, IdempotencyKey};
use super::list::{self, PageBody};
use super::me::Nothing;
use super::openapi::{ChangeProblems, ReadProblems};
use super::problem::Problem;
use super::tokens;
use crate::exemption::{Exempt, Exemption};
use crate::governance::exemption::{GrantExemption, withdraw};
use crate::governance::words;
use crate::id::{ExemptionId, TokenId, UserId};
use crate::policy::PolicyKind;
use crate::time::Timestamp;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ETAG, LOCATION};
use serde::{Deserialize, Serialize};

/// An exemption from the enforcement of a policy, of one token or of all tokens of one user.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Exemption)]
pub(crate) struct ExemptionBody {
    #[schema(value_type = String, example = "exm_01jgfjjy2g3q8n5r7s9t1v3w5x")]
    id: ExemptionId,
    /// The token; null if it is of a user.
    #[schema(required, value_type = Option<String>)]
    token: Option<TokenId>,
    /// The user; null if it is of one token.
    #[schema(required, value_type = Option<String>)]
    user: Option<UserId>,
    policy: PolicyKind,
    /// At this instant it is over.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    /// Whether it is over. It is cleared away when the next one is granted.
    over: bool,
    #[schema(required)]
    reason: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    created_by: UserId,
}

impl ExemptionBody {
    fn new(exemption: Exemption, desk: &Desk<'_>) -> Self {
        let (token, user) = match exemption.exempt {
            Exempt::Token(id) => (Some(id), None),
            Exempt::User(id) => (None, Some(id)),
        };
        Self {
            id: exemption.id,
            token,
            user,
            policy: exemption.policy,
            until: exemption.until,
            over: exemption.until <= desk.now(),
            reason: exemption.reason,
            created_at: exemption.created_at,
            created_by: exemption.created_by,
        }
    }
}

/// List the exemptions, at most 1,000 that are not over.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/exemptions",
    tag = "exemptions",
    operation_id = "list_exemptions",
    params(("org" = String, Path, description = "Identity of the organization")),
    responses(
        (status = 200, description = "All of them", body = PageBody<ExemptionBody>),
        ReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    _query: Query<Nothing>,
) -> Result<axum::Json<PageBody<ExemptionBody>>, Problem> {
    desk::read(&state, call, move |desk| {
        let org = desk.org(params.id("org")?)?;
        desk.caller.reads_policies(&org)?;
        let all = desk.ledger().exemptions(org.id)?;
        let items = all.into_iter().map(|exemption| ExemptionBody::new(exemption, desk));
        Ok(axum::Json(list::whole(items.collect())))
    })
    .await
}

/// A new exemption, of a token or of a user.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewExemption {
    /// Identity of the token.
    pub(super) token: Option<String>,
    /// Identity of the user, for all of their tokens.
    pub(super) user: Option<String>,
    pub(super) policy: PolicyKind,
    /// When it is over: ahead, by at most 366 days.
    #[schema(value_type = String, format = DateTime)]
    pub(super) until: Timestamp,
    #[schema(max_length = 500)]
    pub(super) reason: Option<String>,
}

impl NewExemption {
    /// Who is meant, and the name of that.
    fn exempt(&self, desk: &Desk<'_>) -> Result<(Exempt, String), Problem> {
        match (&self.token, &self.user) {
            (Some(token), None) => {
                let id = token.parse::<TokenId>();
                let id = id.map_err(|error| Problem::field("token", error.to_string()))?;
                let found = desk.ledger().token(id)?;
                let found = found.filter(|(token, _)| token.org == desk.caller.org());
                let absent = || Problem::field("token", "there is no such token");
                let (token, _) = found.ok_or_else(absent)?;
                Ok((Exempt::Token(id), token.name))
            }
            (None, Some(user)) => {
                let id = user.parse::<UserId>();
                let id = id.map_err(|error| Problem::field("user", error.to_string()))?;
                let absent = |_not_found| Problem::field("user", "there is no such user");
                Ok((Exempt::User(id), desk.user(id).map_err(absent)?.name))
            }
            (Some(_), Some(_)) => Err(Problem::field("user", "expected this or token, not both")),
            (None, None) => Err(Problem::field("token", "expected this or user")),
        }
    }
}

/// Exempt a token or a user from the enforcement of a policy, until a time. For owners.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/exemptions",
    tag = "exemptions",
    operation_id = "grant_exemption",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("Idempotency-Key" = Option<String>, Header, description = "Creates once per key")
    ),
    request_body = NewExemption,
    responses(
        (status = 201, description = "Granted", body = ExemptionBody,
         headers(("ETag" = String), ("Location" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn create(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    key: IdempotencyKey,
    body: Json<NewExemption>,
) -> Result<Response, Problem> {
    let once = key.bind(&call.caller, &body.digest);
    let id = ExemptionId::new((state.clock)(), tokens::random(&state)?);
    let org_id = params.id("org")?;
    let wanted = body.value;
    let reason = words::reason("reason", wanted.reason.as_deref())?;
    let done = desk::change(&state, call, move |desk| {
        let org = desk.org(org_id)?;
        // Before anything is told of what there is.
        desk.caller.exempts(&org)?;
        let present = desk.ledger().exemptions(org.id)?;
        if let Some(made) = once.made(desk.ledger())? {
            let made = present.into_iter().find(|known| known.id.to_string() == made);
            let made = made.ok_or_else(idempotency::gone)?;
            let version = made.version;
            return Ok(Step::Answer(ExemptionBody::new(made, desk), version));
        }
        let command = GrantExemption {
            org: &org,
            present: &present,
            id,
            exempt: wanted.exempt(desk)?,
            policy: wanted.policy,
            until: wanted.until,
            reason: reason.clone(),
        };
        let plan = command.plan(desk.caller, &desk.at)?;
        let step = Step::of(plan, org.version, |made| ExemptionBody::new(made, desk));
        Ok(step.with(|change| once.mark(change, id.to_string(), desk.now())))
    })
    .await?;
    let location = format!("/api/v1/orgs/{org_id}/exemptions/{}", done.answer.id);
    let headers = [(ETAG, etag::tag(done.version)), (LOCATION, tokens::path(&location))];
    Ok((StatusCode::CREATED, headers, axum::Json(done.answer)).into_response())
}

/// End an exemption before its time. For owners.
#[utoipa::path(
    delete,
    path = "/api/v1/orgs/{org}/exemptions/{exemption}",
    tag = "exemptions",
    operation_id = "withdraw_exemption",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("exemption" = String, Path, description = "Identity of the exemption"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have")
    ),
    responses((status = 204, description = "Ended"), ChangeProblems)
)]
pub(crate) async fn remove(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
) -> Result<StatusCode, Problem> {
    desk::change(&state, call, move |desk| {
        let org = desk.org(params.id("org")?)?;
        desk.caller.exempts(&org)?;
        let id: ExemptionId = params.id("exemption")?;
        let present = desk.ledger().exemptions(org.id)?;
        let known = present.into_iter().find(|known| known.id == id);
        let known = known.ok_or_else(Problem::not_found)?;
        let change = withdraw(&org, &known, desk.caller, &desk.at)?;
        precondition.holds(known.version)?;
        Ok(Step::Commit(Box::new(change), ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
