//! `/orgs/{org}/policies`: the TTL policies.

use super::desk::{self, Step};
use super::etag::{self, Precondition};
use super::extract::{Call, Json, Params, Query};
use super::me::Nothing;
use super::openapi::{ChangeProblems, ReadProblems};
use super::problem::Problem;
use super::{AdminState, Shared};
use crate::directory::{People, Person, Preview};
use crate::governance::policies::PutPolicies;
use crate::id::UserId;
use crate::policy::{Enforcement, Policies, TtlPolicy};
use crate::time::{Timestamp, Ttl, Unit};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::ETAG;
use serde::{Deserialize, Serialize};

/// The unit of a policy.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum PolicyUnit {
    Minutes,
    Hours,
    Days,
}

/// A length of time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    /// How many units, at least 1.
    #[schema(minimum = 1)]
    pub(super) value: u32,
    pub(super) unit: PolicyUnit,
}

impl From<Ttl> for Span {
    fn from(ttl: Ttl) -> Self {
        // Policies are never in months: the plan of their change refuses it.
        let (value, unit) = match ttl.unit {
            Unit::Minutes => (ttl.value, PolicyUnit::Minutes),
            Unit::Hours => (ttl.value, PolicyUnit::Hours),
            Unit::Days => (ttl.value, PolicyUnit::Days),
            Unit::Months => (ttl.value.saturating_mul(30), PolicyUnit::Days),
        };
        Self { value, unit }
    }
}

impl From<Span> for Ttl {
    fn from(span: Span) -> Self {
        let unit = match span.unit {
            PolicyUnit::Minutes => Unit::Minutes,
            PolicyUnit::Hours => Unit::Hours,
            PolicyUnit::Days => Unit::Days,
        };
        Self::new(span.value, unit)
    }
}

/// What follows for tokens that break a policy: their owner is warned by the next validation run,
/// and later ones take the further steps.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Enforcement)]
#[serde(deny_unknown_fields)]
pub(super) struct EnforcementBody {
    /// How long after the warning the token is deactivated; an owner can activate it again.
    pub(super) deactivate_after: Span,
    /// How long after its deactivation it is revoked; never, if null or left out.
    pub(super) revoke_after: Option<Span>,
}

impl From<Enforcement> for EnforcementBody {
    fn from(ladder: Enforcement) -> Self {
        Self {
            deactivate_after: ladder.deactivate_after.into(),
            revoke_after: ladder.revoke_after.map(Into::into),
        }
    }
}

impl From<EnforcementBody> for Enforcement {
    fn from(body: EnforcementBody) -> Self {
        Self {
            deactivate_after: body.deactivate_after.into(),
            revoke_after: body.revoke_after.map(Into::into),
            // The plan of the change knows better.
            since: Timestamp::EPOCH,
        }
    }
}

/// One TTL policy.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyBody {
    /// Whether it is applied. A policy that is not keeps its value.
    pub(super) active: bool,
    /// How many units, at least 1.
    #[schema(minimum = 1)]
    pub(super) value: u32,
    pub(super) unit: PolicyUnit,
    /// What follows for tokens that break it. If null or left out they are flagged, and no more.
    pub(super) enforcement: Option<EnforcementBody>,
}

impl From<TtlPolicy> for PolicyBody {
    fn from(policy: TtlPolicy) -> Self {
        let Span { value, unit } = policy.ttl.into();
        let enforcement = policy.enforcement.map(Into::into);
        Self { active: policy.active, value, unit, enforcement }
    }
}

impl From<PolicyBody> for TtlPolicy {
    fn from(policy: PolicyBody) -> Self {
        let PolicyBody { active, value, unit, enforcement } = policy;
        Self { active, ttl: Span { value, unit }.into(), enforcement: enforcement.map(Into::into) }
    }
}

/// The TTL policies of an organization.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Policies)]
pub(crate) struct PoliciesBody {
    /// The longest that a token may go unused.
    pub(super) idle_ttl: PolicyBody,
    /// The longest life that a token may have.
    pub(super) max_ttl: PolicyBody,
    /// Whether owners of tokens are warned by mail before a policy that is enforced deactivates
    /// anything. If not, because the gateway knows no mail server, it is enforced all the same, and
    /// nobody is told but webhooks.
    pub(super) warned_by_mail: bool,
}

impl PoliciesBody {
    fn of(policies: Policies, state: &AdminState) -> Self {
        Self {
            idle_ttl: policies.idle_ttl.into(),
            max_ttl: policies.max_ttl.into(),
            warned_by_mail: state.has_mail,
        }
    }
}

/// A change of the policies. One that is left out stays as it is.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoliciesChange {
    pub(super) idle_ttl: Option<PolicyBody>,
    pub(super) max_ttl: Option<PolicyBody>,
}

/// Read the policies.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/policies",
    tag = "policies",
    operation_id = "read_policies",
    params(("org" = String, Path, description = "Identity of the organization")),
    responses(
        (status = 200, description = "The policies", body = PoliciesBody,
         headers(("ETag" = String))),
        ReadProblems
    )
)]
pub(crate) async fn read(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    _query: Query<Nothing>,
) -> Result<Response, Problem> {
    let org = desk::read(&state, call, move |desk| {
        let org = desk.org(params.id("org")?)?;
        desk.caller.reads_policies(&org)?;
        Ok(org)
    })
    .await?;
    let headers = [(ETAG, etag::tag(org.version))];
    Ok((headers, axum::Json(PoliciesBody::of(org.policies, &state))).into_response())
}

/// Set the policies. They bind new tokens; existing ones that break them are flagged at once, and a
/// validation run counts them.
#[utoipa::path(
    put,
    path = "/api/v1/orgs/{org}/policies",
    tag = "policies",
    operation_id = "put_policies",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` they must have")
    ),
    request_body = PoliciesChange,
    responses(
        (status = 200, description = "The policies", body = PoliciesBody,
         headers(("ETag" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn put(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    body: Json<PoliciesChange>,
) -> Result<Response, Problem> {
    let wanted = body.value;
    let done = desk::change(&state, call, move |desk| {
        let org = desk.org(params.id("org")?)?;
        let command = PutPolicies {
            org: &org,
            idle_ttl: wanted.idle_ttl.map(Into::into),
            max_ttl: wanted.max_ttl.map(Into::into),
        };
        let plan = command.plan(desk.caller, &desk.at)?;
        precondition.holds(org.version)?;
        Ok(Step::of(plan, org.version, |org| PoliciesBody::of(org.policies, desk.state)))
    })
    .await?;
    state.bell.notify_one();
    Ok(([(ETAG, etag::tag(done.version))], axum::Json(done.answer)).into_response())
}

/// An owner of tokens that a change would concern.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConcernedOwner)]
pub(super) struct ConcernedBody {
    #[schema(value_type = String)]
    pub(super) id: UserId,
    #[schema(required)]
    pub(super) name: Option<String>,
    #[schema(required)]
    pub(super) email: Option<String>,
    /// How many of their tokens it would flag.
    pub(super) tokens: u64,
}

/// What a change of the policies would come to, for the tokens as they are now.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PoliciesPreview)]
pub(crate) struct PreviewBody {
    /// The policies as they would be.
    pub(super) policies: PoliciesBody,
    /// Tokens that were read.
    pub(super) tokens_read: u64,
    /// Tokens that would break a policy, where nobody has that ignored.
    pub(super) flagged: u64,
    /// Of them, those that break none now.
    pub(super) newly_flagged: u64,
    /// Tokens that break one now and would break none any more.
    pub(super) cleared: u64,
    /// Those that would break the Idle Token TTL.
    pub(super) idle_ttl: u64,
    /// Those that would break the Max Token TTL.
    pub(super) max_ttl: u64,
    /// Live tokens whose length of life could not be had again: a token like it could not be made,
    /// and it could not be regenerated for as long.
    pub(super) refused: u64,
    /// How many users own flagged tokens.
    pub(super) owners_count: u64,
    /// Those with most of them, at most 100.
    pub(super) owners: Vec<ConcernedBody>,
    /// Flagged tokens that were used within the last 7 days.
    pub(super) used_last_7_days: u64,
    /// Requests that flagged tokens were admitted with on the last 7 days in UTC, today included.
    pub(super) requests_last_7_days: u64,
    /// How many that is a day, rounded up.
    pub(super) requests_per_day: u64,
}

/// Tell what a change of the policies would come to, and change nothing. For owners.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/policies/preview",
    tag = "policies",
    operation_id = "preview_policies",
    params(("org" = String, Path, description = "Identity of the organization")),
    request_body = PoliciesChange,
    responses(
        (status = 200, description = "What it would come to", body = PreviewBody),
        ChangeProblems
    )
)]
pub(crate) async fn preview(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    body: Json<PoliciesChange>,
) -> Result<axum::Json<PreviewBody>, Problem> {
    let wanted = body.value;
    desk::pass(&state, call, move |desk| {
        let org = desk.org(params.id("org")?)?;
        let command = PutPolicies {
            org: &org,
            idle_ttl: wanted.idle_ttl.map(Into::into),
            max_ttl: wanted.max_ttl.map(Into::into),
        };
        let then = command.plan(desk.caller, &desk.at)?.record().policies;
        let preview = Preview::of(desk.ledger(), &*desk.state.uses, &org, &then, desk.now())?;
        let ids = preview.owners.iter().map(|(owner, _)| *owner);
        let people = People::these(desk.ledger(), org.id, ids)?;
        let concerned = |&(owner, tokens): &(UserId, u64)| {
            let Person { id, name, email, .. } = people.find(owner);
            ConcernedBody { id, name, email, tokens }
        };
        Ok(axum::Json(PreviewBody {
            policies: PoliciesBody::of(then, desk.state),
            tokens_read: preview.tokens,
            flagged: preview.flagged,
            newly_flagged: preview.newly_flagged,
            cleared: preview.cleared,
            idle_ttl: preview.idle_ttl,
            max_ttl: preview.max_ttl,
            refused: preview.refused,
            owners_count: preview.owners_count,
            owners: preview.owners.iter().map(concerned).collect(),
            used_last_7_days: preview.used_lately,
            requests_last_7_days: preview.requests_lately,
            requests_per_day: preview.requests_per_day(),
        }))
    })
    .await
}
