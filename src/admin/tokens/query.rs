//! Which tokens are meant: the filters of the list, and of whatever is done to many.

use crate::admin::desk::Desk;
use crate::admin::list;
use crate::admin::problem::Problem;
use crate::directory::{TokenFilter, ViolationFilter};
use crate::role::{RoleId, RoleName};
use crate::time::Timestamp;
use crate::token::TokenState;
use serde::Deserialize;

/// Parameters of the list of tokens.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TokensQuery {
    /// Rows in a page, 1 to 200; 50 if nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    pub(crate) limit: Option<String>,
    /// The `next_cursor` of the page before.
    pub(crate) cursor: Option<String>,
    /// `activated`, `deactivated`, `expired` or `revoked`.
    pub(crate) status: Option<String>,
    /// The tokens of one user: an identity, or `me`.
    pub(crate) owner: Option<String>,
    /// `any`, `idle_ttl`, `max_ttl` or `none`: the violations that are not ignored.
    pub(crate) violation: Option<String>,
    /// A role that they carry: `org_member`, or `service/role`.
    pub(crate) role: Option<String>,
    /// Those that end before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) expires_before: Option<String>,
    /// Those that were used, and not since this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) used_before: Option<String>,
    /// `true` for those that were never used, `false` for the others.
    #[param(value_type = Option<bool>)]
    pub(crate) never_used: Option<String>,
    /// A text in the token's name or in its owner's name or e-mail address.
    pub(crate) q: Option<String>,
    /// A field of the rows by its name; with `-` before it the largest first. `-created_at` if
    /// nothing is said.
    pub(crate) sort: Option<String>,
}

impl TokensQuery {
    /// What the tokens have to be like.
    pub(crate) fn filter(&self, desk: &Desk<'_>) -> Result<TokenFilter, Problem> {
        let time = |field, text: &Option<String>| {
            text.as_deref().map(|text| time(field, text)).transpose()
        };
        Ok(TokenFilter {
            state: self.status.as_deref().map(token_state).transpose()?,
            violation: self.violation.as_deref().map(violation).transpose()?,
            search: list::search(self.q.as_deref())?,
            role: self.role.as_deref().map(|text| role(text, desk)).transpose()?,
            expires_before: time("expires_before", &self.expires_before)?,
            used_before: time("used_before", &self.used_before)?,
            never_used: list::truth("never_used", self.never_used.as_deref())?,
        })
    }
}

fn time(field: &str, text: &str) -> Result<Timestamp, Problem> {
    text.parse().map_err(|error: crate::time::NotATime| Problem::field(field, error.to_string()))
}

fn role(text: &str, desk: &Desk<'_>) -> Result<RoleId, Problem> {
    let name = text.parse::<RoleName>().ok();
    name.and_then(|name| desk.roles().id(&name)).ok_or_else(|| {
        Problem::field("role", "no such role; there are those of /roles, and service/role")
    })
}

fn token_state(text: &str) -> Result<TokenState, Problem> {
    match text {
        "activated" => Ok(TokenState::Activated),
        "deactivated" => Ok(TokenState::Deactivated),
        "expired" => Ok(TokenState::Expired),
        "revoked" => Ok(TokenState::Revoked),
        _ => Err(Problem::field("status", "expected activated, deactivated, expired or revoked")),
    }
}

fn violation(text: &str) -> Result<ViolationFilter, Problem> {
    match text {
        "any" => Ok(ViolationFilter::Any),
        "none" => Ok(ViolationFilter::None),
        policy => policy.parse().map(ViolationFilter::Of).map_err(|_not_a_policy| {
            Problem::field("violation", "expected any, idle_ttl, max_ttl or none")
        }),
    }
}
