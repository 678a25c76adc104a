//! The two TTL policies of an organization, and what breaks them.
//!
//! Violations are derived from token, policy and clock whenever they are asked for; none is stored.
//! Stored is only which of them an owner has ignored, and until when.

use crate::id::UserId;
use crate::time::{Timestamp, Ttl, Unit};
use crate::token::{ApiToken, Standing, Usage};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
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
    /// What follows for tokens that break it; nothing as long as it only flags them.
    pub enforcement: Option<Enforcement>,
}

/// The ladder of a policy that is enforced: first the token's owner is warned, then the token is
/// deactivated, then, if it comes to that, revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforcement {
    /// How long after the warning the token is deactivated.
    pub deactivate_after: Ttl,
    /// How long after that it is revoked; never, if nothing is said.
    pub revoke_after: Option<Ttl>,
    /// Since when this ladder is in force: warnings from before do not count.
    pub since: Timestamp,
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
        let off =
            |days| TtlPolicy { active: false, ttl: Ttl::new(days, Unit::Days), enforcement: None };
        Self { idle_ttl: off(90), max_ttl: off(180) }
    }
}

/// Which policy a token violates.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    /// Unused for longer than the Idle Token TTL.
    IdleTtl,
    /// Made for longer than the Max Token TTL.
    MaxTtl,
}

impl PolicyKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::IdleTtl, Self::MaxTtl];
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdleTtl => "idle_ttl",
            Self::MaxTtl => "max_ttl",
        })
    }
}

/// Why a text names no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected idle_ttl or max_ttl")]
pub struct NotAPolicy;

impl FromStr for PolicyKind {
    type Err = NotAPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|policy| policy.to_string() == text).ok_or(NotAPolicy)
    }
}

/// Until when a violation of one token is ignored, and by whose decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignore {
    /// At this instant it counts again.
    pub until: Timestamp,
    /// Since when it is ignored.
    pub at: Timestamp,
    /// The owner of the organization who decided it.
    pub by: UserId,
    /// Why, in their words.
    pub reason: Option<String>,
}

/// The violations of one token that are ignored: at most one for each policy. Behind pointers, as
/// hardly any token has one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignores {
    /// Of the Idle Token TTL.
    pub idle_ttl: Option<Box<Ignore>>,
    /// Of the Max Token TTL.
    pub max_ttl: Option<Box<Ignore>>,
}

impl Ignores {
    /// What is ignored of a policy, be it over or not.
    #[must_use]
    pub fn of(&self, policy: PolicyKind) -> Option<&Ignore> {
        match policy {
            PolicyKind::IdleTtl => self.idle_ttl.as_deref(),
            PolicyKind::MaxTtl => self.max_ttl.as_deref(),
        }
    }

    /// These, with another decision about one policy.
    #[must_use]
    pub fn with(self, policy: PolicyKind, ignore: Option<Ignore>) -> Self {
        let ignore = ignore.map(Box::new);
        match policy {
            PolicyKind::IdleTtl => Self { idle_ttl: ignore, ..self },
            PolicyKind::MaxTtl => Self { max_ttl: ignore, ..self },
        }
    }

    fn until(&self, policy: PolicyKind, now: Timestamp) -> Option<Timestamp> {
        self.of(policy).map(|ignore| ignore.until).filter(|until| now < *until)
    }
}

/// How much hangs on a token that breaks a policy, by its use: who switches a token off that is used
/// often and was used lately stops something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Not used within the last 30 days, or never.
    Low,
    /// Used within the last 30 days.
    Medium,
    /// Used within the last 7 days, and at least 100 times a day on average since it was made.
    High,
}

impl Severity {
    /// A use this recent makes a violation at least [`Severity::Medium`].
    pub const MEDIUM_WITHIN: Duration = Duration::from_hours(30 * 24);
    /// A use this recent can make it [`Severity::High`].
    pub const HIGH_WITHIN: Duration = Duration::from_hours(7 * 24);
    /// So many uses a day do.
    pub const HIGH_USES_PER_DAY: u64 = 100;

    /// The severity of what a token with this use breaks at `now`.
    #[must_use]
    pub fn of(token: &ApiToken, usage: &Usage, now: Timestamp) -> Self {
        let Some(last) = usage.last_used_at else { return Self::Low };
        let idle = now.since(last);
        let often = usage.per_day(token.created_at, now) >= Self::HIGH_USES_PER_DAY;
        match (idle <= Self::HIGH_WITHIN && often, idle <= Self::MEDIUM_WITHIN) {
            (true, _) => Self::High,
            (false, true) => Self::Medium,
            (false, false) => Self::Low,
        }
    }
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
    /// Until when an owner has it ignored; nothing once that is over.
    pub ignored_until: Option<Timestamp>,
    /// How much hangs on the token.
    pub severity: Severity,
}

impl Violation {
    /// Whether it is to be seen to: nobody has it ignored.
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.ignored_until.is_none()
    }
}

impl Policies {
    /// One of them.
    #[must_use]
    pub const fn of(&self, policy: PolicyKind) -> &TtlPolicy {
        match policy {
            PolicyKind::IdleTtl => &self.idle_ttl,
            PolicyKind::MaxTtl => &self.max_ttl,
        }
    }

    /// Whether anything follows for tokens that break one of them.
    #[must_use]
    pub fn enforces(&self) -> bool {
        [self.idle_ttl, self.max_ttl]
            .iter()
            .any(|policy| policy.active && policy.enforcement.is_some())
    }

    /// The same policies, with every ladder begun at `now`.
    #[must_use]
    pub fn enforced_since(self, now: Timestamp) -> Self {
        let anew = |policy: TtlPolicy| TtlPolicy {
            enforcement: policy.enforcement.map(|ladder| Enforcement { since: now, ..ladder }),
            ..policy
        };
        Self { idle_ttl: anew(self.idle_ttl), max_ttl: anew(self.max_ttl) }
    }

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
        let mut broken = |policy, since, over_by| {
            let ignored_until = token.ignores.until(policy, now);
            let severity = Severity::of(token, usage, now);
            found.push(Violation { policy, since, over_by, ignored_until, severity });
        };
        if self.idle_ttl.active {
            let last = usage.last_used_at.unwrap_or(token.issued_at).max(token.issued_at);
            let since = self.idle_ttl.ttl.end(last);
            if now > since {
                broken(PolicyKind::IdleTtl, since, now.since(since));
            }
        }
        if self.max_ttl.active {
            let latest = self.max_ttl.ttl.end(token.issued_at);
            if token.expires_at > latest {
                broken(PolicyKind::MaxTtl, token.issued_at, token.expires_at.since(latest));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
