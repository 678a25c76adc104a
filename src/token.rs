//! API tokens: long-lived opaque credentials of users.

mod days;
mod needs;
pub mod watch;

pub use days::{DAYS_KEPT, Days};
pub use needs::{Excess, NEED_DAYS_KEPT, NEEDS_KEPT_MAX, Need, Needs};

use crate::id::{OrgId, TokenId, UserId};
use crate::org::{Revision, StatusChange};
use crate::policy::Ignores;
use crate::role::RoleSet;
use crate::secret::Digest;
use crate::time::{Day, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// When the owner of a token is told of its end, in days before it, unless the token says otherwise.
pub const NOTIFY_BEFORE_EXPIRY: [u16; 2] = [7, 1];
/// Most days of which the owner is told.
pub const NOTIFY_TIMES_MAX: usize = 5;
/// The earliest that the owner is told, in days before the end.
pub const NOTIFY_DAYS_MAX: u16 = 365;

/// The status of a token and how it came to it. Deactivation is reversible, revocation is final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenStatus {
    /// Good until it expires; `None` unless the status ever changed.
    Activated(Option<StatusChange>),
    /// Refused until it is activated again.
    Deactivated(StatusChange),
    /// Refused for good.
    Revoked(StatusChange),
}

/// A token's status without its history: what a decision needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Not switched off.
    Activated,
    /// Switched off, reversibly.
    Deactivated,
    /// Switched off for good.
    Revoked,
}

/// Secrets that a token had before, as far as they are remembered: for their overlaps, and so that
/// their use is noticed. With a further rotation the oldest is forgotten.
pub const FORMER_SECRETS_MAX: usize = 8;

/// A secret that a token had before its present one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerSecret {
    /// SHA-256 of it.
    pub digest: Digest,
    /// When another took its place.
    pub rotated_at: Timestamp,
    /// When it is over, at the latest; never after the end of the life that it was issued with.
    pub ends_at: Timestamp,
    /// Whether it is over as soon as its successor is used.
    pub until_first_use: bool,
}

/// An API token. Its secret is nowhere: only the digest of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Identity.
    pub id: TokenId,
    /// The commit that last wrote this record; set by the store.
    pub version: Revision,
    /// The organization within which it authorizes.
    pub org: OrgId,
    /// The user whose token it is.
    pub owner: UserId,
    /// The user who made it; nobody when it was made offline.
    pub created_by: Option<UserId>,
    /// The token with which it was made.
    pub minted_by: Option<TokenId>,
    /// 1 to 64 characters.
    pub name: String,
    /// The roles that it carries, as far as its owner holds them.
    pub scope: RoleSet,
    /// SHA-256 of the secret; unique across organizations.
    pub digest: Digest,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its present life began.
    pub issued_at: Timestamp,
    /// When its life ends; at this instant it is dead.
    pub expires_at: Timestamp,
    /// The violations that an owner has ignored for a time.
    pub ignores: Ignores,
    /// Activated, deactivated or revoked.
    pub status: TokenStatus,
    /// The secrets that it had before, the latest last; at most [`FORMER_SECRETS_MAX`].
    pub former: Vec<FormerSecret>,
    /// How many days before its end its owner is told of it; the largest number first.
    pub notify_before_expiry: Vec<u16>,
}

impl ApiToken {
    /// The status without its history.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        match self.status {
            TokenStatus::Activated(_) => Standing::Activated,
            TokenStatus::Deactivated(_) => Standing::Deactivated,
            TokenStatus::Revoked(_) => Standing::Revoked,
        }
    }

    /// The last change of status, if there ever was one.
    #[must_use]
    pub const fn status_change(&self) -> Option<&StatusChange> {
        match &self.status {
            TokenStatus::Activated(change) => change.as_ref(),
            TokenStatus::Deactivated(change) | TokenStatus::Revoked(change) => Some(change),
        }
    }

    /// The digests of all of its secrets, the present one last.
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        self.former.iter().map(|former| former.digest).chain([self.digest])
    }

    /// The secret before the present one, if it may still be good at `now`.
    #[must_use]
    pub fn overlapping(&self, now: Timestamp) -> Option<&FormerSecret> {
        self.former.last().filter(|former| now < former.ends_at)
    }

    /// Whether the token's life is over at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }

    /// The instants at which its owner is told of its end, in no order: so many days before it, and
    /// at it. One that lies before the token's present life is none.
    pub fn reminders(&self) -> impl Iterator<Item = Timestamp> {
        let before = |days: &u16| {
            self.expires_at.before(Duration::from_hours(24).saturating_mul((*days).into()))
        };
        let all = self.notify_before_expiry.iter().map(before).chain([self.expires_at]);
        all.filter(|at| *at > self.issued_at)
    }

    /// The first of them after an instant.
    #[must_use]
    pub fn next_reminder(&self, after: Timestamp) -> Option<Timestamp> {
        self.reminders().filter(|at| *at > after).min()
    }

    /// The state that lists count and filter by.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> TokenState {
        match self.standing() {
            Standing::Revoked => TokenState::Revoked,
            Standing::Activated | Standing::Deactivated if self.is_expired(now) => {
                TokenState::Expired
            }
            Standing::Deactivated => TokenState::Deactivated,
            Standing::Activated => TokenState::Activated,
        }
    }
}

/// The state of a token for lists: its status, unless its life is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenState {
    /// Activated and alive.
    Activated,
    /// Deactivated and alive.
    Deactivated,
    /// Activated or deactivated, its life over.
    Expired,
    /// Revoked.
    Revoked,
}

/// How often and when last a secret was shown after its rotation, admitted or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reuse {
    /// Requests with a former secret, ever.
    pub count: u64,
    /// The last of them.
    pub last_at: Option<Timestamp>,
}

/// How often and when last a token was admitted. Kept apart from the token, because it changes with
/// requests and not with decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The last admitted request.
    pub last_used_at: Option<Timestamp>,
    /// Admitted requests, ever.
    pub use_count: u64,
    /// Requests with a secret that it had before.
    pub reuse: Reuse,
}

impl Usage {
    /// One use, at this instant.
    #[must_use]
    pub fn once(at: Timestamp) -> Self {
        Self { last_used_at: Some(at), use_count: 1, reuse: Reuse::default() }
    }

    /// The same by a secret that was rotated away.
    #[must_use]
    pub const fn by_former_secret(self) -> Self {
        let reuse = Reuse { count: self.use_count, last_at: self.last_used_at };
        Self { reuse, ..self }
    }

    /// Admitted requests a day, on average since `created` and rounded down; the first day counts as
    /// a whole one.
    #[must_use]
    pub fn per_day(&self, created: Timestamp, now: Timestamp) -> u64 {
        const DAY: u64 = 24 * 60 * 60;
        let seconds = now.since(created).as_secs().max(DAY);
        let uses = u128::from(self.use_count) * u128::from(DAY) / u128::from(seconds);
        u64::try_from(uses).unwrap_or(u64::MAX)
    }

    /// Both together: the later use, the sum of the counts.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self {
            last_used_at: self.last_used_at.max(other.last_used_at),
            use_count: self.use_count.saturating_add(other.use_count),
            reuse: Reuse {
                count: self.reuse.count.saturating_add(other.reuse.count),
                last_at: self.reuse.last_at.max(other.reuse.last_at),
            },
        }
    }

    /// Whether there was neither.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.use_count == 0 && self.reuse.count == 0
    }
}

/// Uses of one token in a short while, and what they needed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The token.
    pub token: TokenId,
    /// How often, and when last.
    pub usage: Usage,
    /// What requests needed of its scope, each once: on the day of the last use, or just before.
    pub needs: Vec<Arc<Need>>,
}

/// What is told apart of the needs of such uses. With more, all that they name counts as needed.
pub const NEEDS_PER_USE_MAX: usize = 64;

impl Use {
    /// Adds other uses of the same token.
    pub fn add(&mut self, other: Self) {
        self.usage = self.usage.merged(other.usage);
        for need in other.needs {
            if !self.needs.contains(&need) {
                self.needs.push(need);
            }
        }
        if self.needs.len() > NEEDS_PER_USE_MAX {
            let all = |roles: RoleSet, need: &Arc<Need>| roles.union(&need.roles());
            let roles = self.needs.iter().fold(RoleSet::empty(), all);
            self.needs = vec![Arc::new(Need::all_of(roles))];
        }
    }
}

impl From<(TokenId, Usage)> for Use {
    /// Uses that needed no role.
    fn from((token, usage): (TokenId, Usage)) -> Self {
        Self { token, usage, needs: Vec::new() }
    }
}

/// All that is recorded of the uses of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// How often, and when last.
    pub usage: Usage,
    /// Its uses on the last days, as far as they were told one after the other.
    pub days: Days,
    /// What they needed, as far as that was told.
    pub needs: Needs,
}

impl Used {
    /// Adds the uses of a short while, all of them to the day of the last.
    pub fn count(&mut self, usage: Usage) {
        self.usage = self.usage.merged(usage);
        self.days.count(&usage);
    }

    /// The same with what they needed.
    pub fn add(&mut self, used: &Use) {
        self.count(used.usage);
        if let Some(last) = used.usage.last_used_at {
            used.needs.iter().for_each(|need| self.needs.add(need, Day::of(last)));
        }
    }

    /// Adds what was recorded elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.usage = self.usage.merged(other.usage);
        other.days.iter().for_each(|(day, uses)| self.days.add(day, uses));
        self.needs.merge(&other.needs);
    }
}

impl From<Usage> for Used {
    fn from(usage: Usage) -> Self {
        Self { usage, ..Self::default() }
    }
}
