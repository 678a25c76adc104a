//! The two TTL policies of an organization, and what breaks them.
//!
//! Violations are derived from token, policy and clock whenever they are asked for; none is stored.

use crate::time::{Timestamp, Ttl, Unit};
use crate::token::{ApiToken, Standing, Usage};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest life of a token whatever the policies say, in calendar months.
pub const LIFETIME_MONTHS_MAX: u32 = 60;
/// The shortest life of a token.
pub const LIFETIME_MIN: Duration = Duration::from_mins(1);
/// The life of a token when nobody says anything, in calendar months.
pub const LIFETIME_MONTHS_DEFAULT: u32 = 6;

/// One TTL policy. It keeps its value while it is deactivated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TtlPolicy {
    /// Whether the policy is applied.
    pub active: bool,
    /// Its limit, in minutes, hours or days.
    pub ttl: Ttl,
}

/// The TTL policies of an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    /// Idle Token TTL: the longest a token may go unused.
    pub idle_ttl: TtlPolicy,
    /// Max Token TTL: the longest life a token may have.
    pub max_ttl: TtlPolicy,
}

impl Default for Policies {
    /// Both off, at 90 and 180 days.
    fn default() -> Self {
        let off = |days| TtlPolicy { active: false, ttl: Ttl::new(days, Unit::Days) };
        Self { idle_ttl: off(90), max_ttl: off(180) }
    }
}

/// Which policy a token violates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    /// Unused for longer than the Idle Token TTL.
    IdleTtl,
    /// Made for longer than the Max Token TTL.
    MaxTtl,
}

/// One broken policy of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The policy.
    pub policy: PolicyKind,
    /// Since when the token breaks it.
    pub since: Timestamp,
    /// By how much: beyond the idle limit now, or beyond the longest life.
    pub over_by: Duration,
}

impl Policies {
    /// The latest end that a token issued at `issued` may have, and whether it is the policy that
    /// sets it (else it is the absolute cap of 60 months).
    #[must_use]
    pub fn latest_end(&self, issued: Timestamp) -> (Timestamp, bool) {
        let cap = issued.after_months(LIFETIME_MONTHS_MAX);
        let policy = self.max_ttl.ttl.end(issued);
        if self.max_ttl.active && policy < cap { (policy, true) } else { (cap, false) }
    }

    /// The end of a token issued at `issued` about whose life nothing was said.
    #[must_use]
    pub fn default_end(&self, issued: Timestamp) -> Timestamp {
        issued.after_months(LIFETIME_MONTHS_DEFAULT).min(self.latest_end(issued).0)
    }

    /// The policies that a token breaks at `now`. Expired and revoked tokens break none.
    #[must_use]
    pub fn violations(&self, token: &ApiToken, usage: &Usage, now: Timestamp) -> Vec<Violation> {
        if token.standing() == Standing::Revoked || token.is_expired(now) {
            return Vec::new();
        }
        let mut found = Vec::new();
        if self.idle_ttl.active {
            let last = usage.last_used_at.unwrap_or(token.issued_at).max(token.issued_at);
            let since = self.idle_ttl.ttl.end(last);
            if now > since {
                let over_by = now.since(since);
                found.push(Violation { policy: PolicyKind::IdleTtl, since, over_by });
            }
        }
        if self.max_ttl.active {
            let latest = self.max_ttl.ttl.end(token.issued_at);
            if token.expires_at > latest {
                let over_by = token.expires_at.since(latest);
                found.push(Violation {
                    policy: PolicyKind::MaxTtl,
                    since: token.issued_at,
                    over_by,
                });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
