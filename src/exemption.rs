//! Exemptions: tokens, or all tokens of a user, for which a policy is not enforced for a time. What
//! breaks the policy is flagged all the same.

use crate::id::{ExemptionId, OrgId, TokenId, UserId};
use crate::org::Revision;
use crate::policy::PolicyKind;
use crate::time::Timestamp;
use crate::token::ApiToken;
use serde::{Deserialize, Serialize};

/// Most exemptions of one organization that are not over.
pub const EXEMPTIONS_MAX: usize = 1_000;

/// Who is exempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Exempt {
    /// One token.
    Token(TokenId),
    /// Every token of a user.
    User(UserId),
}

/// An exemption from the enforcement of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exemption {
    /// Identity.
    pub id: ExemptionId,
    /// The commit that last wrote this record; set by the store.
    pub version: Revision,
    /// The organization.
    pub org: OrgId,
    /// Who is exempt.
    pub exempt: Exempt,
    /// From which policy.
    pub policy: PolicyKind,
    /// At this instant it is over.
    pub until: Timestamp,
    /// When it was granted.
    pub created_at: Timestamp,
    /// By which owner of the organization.
    pub created_by: UserId,
    /// Why, in their words.
    pub reason: Option<String>,
}

impl Exemption {
    /// Whether a token is exempt from a policy at `now` because of this.
    #[must_use]
    pub fn covers(&self, token: &ApiToken, policy: PolicyKind, now: Timestamp) -> bool {
        let is_meant = match self.exempt {
            Exempt::Token(id) => id == token.id,
            Exempt::User(id) => id == token.owner,
        };
        is_meant && self.policy == policy && now < self.until
    }
}
