//! `/orgs/{org}/policies`: the TTL policies.

use super::Shared;
use super::desk::{self, Step};
use super::etag::{self, Precondition};
use super::extract::{Call, Json, Params, Query};
use super::me::Nothing;
use super::openapi::{ChangeProblems, ReadProblems};
use super::problem::Problem;
use crate::governance::policies::PutPolicies;
use crate::policy::{Policies, TtlPolicy};
use crate::time::{Ttl, Unit};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::ETAG;
use serde::{Deserialize, Serialize};

/// The unit of a policy.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum PolicyUnit {
    Minutes,
    Hours,
    Days,
}

/// One TTL policy.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct PolicyBody {
    /// Whether it is applied. A policy that is not keeps its value.
    active: bool,
    /// How many units, at least 1.
    #[schema(minimum = 1)]
    value: u32,
    unit: PolicyUnit,
}

impl From<TtlPolicy> for PolicyBody {
    fn from(policy: TtlPolicy) -> Self {
        // Policies are never in months: the plan of their change refuses it.
        let (value, unit) = match policy.ttl.unit {
            Unit::Minutes => (policy.ttl.value, PolicyUnit::Minutes),
            Unit::Hours => (policy.ttl.value, PolicyUnit::Hours),
            Unit::Days => (policy.ttl.value, PolicyUnit::Days),
            Unit::Months => (policy.ttl.value.saturating_mul(30), PolicyUnit::Days),
        };
        Self { active: policy.active, value, unit }
    }
}

impl From<PolicyBody> for TtlPolicy {
    fn from(policy: PolicyBody) -> Self {
        let unit = match policy.unit {
            PolicyUnit::Minutes => Unit::Minutes,
            PolicyUnit::Hours => Unit::Hours,
            PolicyUnit::Days => Unit::Days,
        };
        Self { active: policy.active, ttl: Ttl::new(policy.value, unit) }
    }
}

/// The TTL policies of an organization.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Policies)]
pub(crate) struct PoliciesBody {
    /// The longest that a token may go unused.
    idle_ttl: PolicyBody,
    /// The longest life that a token may have.
    max_ttl: PolicyBody,
}

impl From<Policies> for PoliciesBody {
    fn from(policies: Policies) -> Self {
        Self { idle_ttl: policies.idle_ttl.into(), max_ttl: policies.max_ttl.into() }
    }
}

/// A change of the policies. One that is left out stays as it is.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoliciesChange {
    idle_ttl: Option<PolicyBody>,
    max_ttl: Option<PolicyBody>,
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
    Ok((headers, axum::Json(PoliciesBody::from(org.policies))).into_response())
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
        Ok(Step::of(plan, org.version, |org| PoliciesBody::from(org.policies)))
    })
    .await?;
    state.bell.notify_one();
    Ok(([(ETAG, etag::tag(done.version))], axum::Json(done.answer)).into_response())
}
