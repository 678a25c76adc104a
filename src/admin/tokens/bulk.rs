//! `/orgs/{org}/tokens/bulk`: one switch for many tokens. Each is a change of its own.

use super::query::TokensQuery;
use super::user_id;
use crate::admin::Shared;
use crate::admin::desk::{self, Desk, Step};
use crate::admin::extract::{Call, Json, Params};
use crate::admin::openapi::ChangeProblems;
use crate::admin::problem::Problem;
use crate::directory::{self, Asked, Column as _, TokenColumn, TokenQuery};
use crate::governance::token::{Existing, policies_of};
use crate::governance::{Plan, words};
use crate::id::{OrgId, TokenId};
use crate::org::Revision;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most tokens that one request switches.
pub(crate) const BULK_TOKENS_MAX: usize = 1_000;

/// What is done to each of them.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BulkAction {
    Deactivate,
    Activate,
    Revoke,
}

/// Which tokens: those that fit all that is said, as in the list of tokens. The calling token is never
/// among them.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkFilter {
    /// `activated`, `deactivated`, `expired` or `revoked`.
    status: Option<String>,
    /// The tokens of one user: an identity, or `me`.
    owner: Option<String>,
    /// `any`, `idle_ttl`, `max_ttl` or `none`: the violations that are not ignored.
    violation: Option<String>,
    /// A role that they carry: `org_member`, or `service/role`.
    role: Option<String>,
    /// Those that end before this time.
    #[schema(format = DateTime)]
    expires_before: Option<String>,
    /// Those that were used, and not since this time.
    #[schema(format = DateTime)]
    used_before: Option<String>,
    /// Those that were never used, or the others.
    never_used: Option<bool>,
    /// A text in the token's name or in its owner's name or e-mail address.
    q: Option<String>,
}

/// What to do to which tokens: `ids` or `filter`, one of them.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bulk {
    action: BulkAction,
    /// Identities of tokens, at most 1,000.
    #[schema(max_items = 1000)]
    ids: Option<Vec<String>>,
    /// At most 1,000 tokens may fit it. For owners.
    filter: Option<BulkFilter>,
    /// In your words, at most 500 characters.
    #[schema(max_length = 500)]
    reason: Option<String>,
    /// Tell what would be done, and do nothing.
    #[serde(default)]
    dry_run: bool,
}

impl Bulk {
    /// These tokens.
    pub(crate) fn these(
        action: BulkAction,
        ids: Vec<String>,
        reason: Option<String>,
        dry_run: bool,
    ) -> Self {
        Self { action, ids: Some(ids), filter: None, reason, dry_run }
    }
}

/// What became of one token.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BulkResult {
    #[schema(value_type = String, example = "tok_01jgfjjy2g3q8n5r7s9t1v3w5x")]
    pub(crate) id: TokenId,
    /// Whether it is as it was asked for now; with `dry_run`, whether it would be.
    pub(crate) ok: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// What became of each token.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BulkResults {
    pub(crate) results: Vec<BulkResult>,
}

/// Deactivate, activate or revoke many tokens. Each is changed by itself or not, and tells.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/tokens/bulk",
    tag = "tokens",
    operation_id = "switch_tokens",
    params(("org" = String, Path, description = "Identity of the organization")),
    request_body = Bulk,
    responses(
        (status = 200, description = "What became of each", body = BulkResults),
        ChangeProblems
    )
)]
pub(crate) async fn switch(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    body: Json<Bulk>,
) -> Result<axum::Json<BulkResults>, Problem> {
    let Bulk { action, ids, filter, reason, dry_run } = body.value;
    let reason = words::reason("reason", reason.as_deref())?;
    let org: OrgId = params.id("org")?;
    let by = call.clone();
    let chosen = match (ids, filter) {
        (Some(ids), None) => desk::read(&state, by, move |desk| by_ids(&ids, org, desk)).await?,
        // What fits shows in a pass.
        (None, Some(filter)) => {
            desk::pass(&state, by, move |desk| by_filter(filter, org, desk)).await?
        }
        (Some(_), Some(_)) => {
            return Err(Problem::field("filter", "expected this or ids, not both"));
        }
        (None, None) => return Err(Problem::field("ids", "expected this or filter")),
    };
    let plan = Arc::new(move |desk: &Desk<'_>, &id: &TokenId| -> Result<Step<()>, Problem> {
        let plan = planned(id, org, action, reason.as_ref(), desk)?;
        Ok(match plan {
            Plan::Change(change, _) if !dry_run => Step::Commit(change, ()),
            Plan::Change(..) | Plan::Nothing(_) => Step::Answer((), Revision::default()),
        })
    });
    let switch = |ids| {
        let plan = Arc::clone(&plan);
        desk::each(&state, call.clone(), ids, move |desk, id| plan(desk, id))
    };
    // The calling token comes last, and once: when it is off, nothing more is done for who showed it.
    let own = call.caller.token();
    let others = chosen.iter().copied().filter(|id| Some(*id) != own).collect();
    let mut others = switch(others).await.into_iter();
    let own = own.filter(|own| chosen.contains(own));
    let own_done = switch(own.into_iter().collect()).await.pop();
    let results = chosen.into_iter().filter_map(|id| {
        let done = if Some(id) == own { own_done.clone() } else { others.next() };
        done.map(|done| BulkResult {
            id,
            ok: done.is_ok(),
            message: done.err().map(|problem| problem.detail().to_owned()),
        })
    });
    Ok(axum::Json(BulkResults { results: results.collect() }))
}

fn by_ids(ids: &[String], org: OrgId, desk: &Desk<'_>) -> Result<Vec<TokenId>, Problem> {
    let org = desk.org(org)?;
    desk.caller.reads_organization(org.id)?;
    if ids.is_empty() || ids.len() > BULK_TOKENS_MAX {
        return Err(Problem::field("ids", format!("expected 1 to {BULK_TOKENS_MAX} tokens")));
    }
    let read = |(at, text): (usize, &String)| {
        text.parse().map_err(|error: crate::id::NotAnId| {
            // Not repeated: it may be a secret.
            Problem::field(&format!("ids[{at}]"), error.to_string())
        })
    };
    ids.iter().enumerate().map(read).collect()
}

fn by_filter(filter: BulkFilter, org: OrgId, desk: &Desk<'_>) -> Result<Vec<TokenId>, Problem> {
    let org = desk.org(org)?;
    desk.caller.governs_tokens(&org)?;
    let query = TokensQuery {
        limit: None,
        cursor: None,
        status: filter.status,
        owner: filter.owner,
        violation: filter.violation,
        role: filter.role,
        expires_before: filter.expires_before,
        used_before: filter.used_before,
        never_used: filter.never_used.map(|never| never.to_string()),
        q: filter.q,
        sort: None,
    };
    let within = |problem: Problem| problem.within("filter");
    let owner = query.owner.as_deref().map(|owner| user_id(owner, desk)).transpose();
    let query = TokenQuery {
        org: org.id,
        owner: owner.map_err(within)?,
        filter: query.filter(desk).map_err(within)?,
        policies: policies_of(&org),
        asked: Asked::first(TokenColumn::DEFAULT, directory::LIMIT_MAX),
        now: desk.now(),
    };
    // One more: the calling token may be among them.
    let most = BULK_TOKENS_MAX + 1;
    let mut found = directory::fitting(desk.ledger(), &*desk.state.uses, &query, most)?;
    found.retain(|id| Some(*id) != desk.caller.token());
    if found.len() > BULK_TOKENS_MAX {
        let detail = format!("more than {BULK_TOKENS_MAX} tokens fit this; narrow it down");
        return Err(Problem::field("filter", detail));
    }
    Ok(found)
}

fn planned(
    id: TokenId,
    org: OrgId,
    action: BulkAction,
    reason: Option<&String>,
    desk: &Desk<'_>,
) -> Result<Plan<crate::token::ApiToken>, Problem> {
    let org = desk.org(org)?;
    let found = desk.ledger().token(id)?.filter(|(token, _)| token.org == org.id);
    let (token, _usage) = found.ok_or_else(Problem::not_found)?;
    let owner = desk.ledger().user(token.owner)?.filter(|owner| owner.org == org.id);
    let existing = Existing { org: &org, owner: owner.as_ref(), token: &token };
    let reason = reason.cloned();
    let plan = match action {
        BulkAction::Deactivate => existing.deactivate(reason, desk.caller, &desk.at),
        BulkAction::Activate => existing.activate(reason, desk.caller, &desk.at),
        BulkAction::Revoke => existing.revoke(reason, desk.caller, &desk.at),
    };
    Ok(plan?)
}
