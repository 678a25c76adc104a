//! Organizations and their users.

use crate::id::{OrgId, UserId};
use crate::policy::Policies;
use crate::role::{RoleId, RoleSet};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest name of an organization, a user or a token, in characters.
pub const NAME_CHARS_MAX: usize = 64;
/// Longest e-mail address, in bytes (RFC 5321 section 4.5.3.1.3, without the angle brackets).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Longest identity that an identity provider gives a user, in characters.
pub const EXTERNAL_ID_CHARS_MAX: usize = 256;
/// Longest reason that somebody may give for a change, in characters.
pub const REASON_CHARS_MAX: usize = 500;

/// The commit that last wrote a record; also how a record's version is told to clients (`ETag`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Revision(pub u64);

/// Whether the owners of an organization govern its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Governance {
    /// As an organization starts.
    Activated,
    /// Policies are kept but not applied; the governance endpoints answer 403.
    Deactivated,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Identity.
    pub id: OrgId,
    /// The commit that last wrote this record; set by the store.
    pub version: Revision,
    /// 1 to 64 characters, for people.
    pub name: String,
    /// Whether its owners govern its tokens.
    pub governance: Governance,
    /// Its TTL policies.
    pub policies: Policies,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Who changed a status, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChange {
    /// When.
    pub at: Timestamp,
    /// Who; nobody when it was done offline, on the machine itself.
    pub by: Option<UserId>,
    /// Why, in the words of who did it.
    pub reason: Option<String>,
    /// Whether it was done with an organization owner's authority over somebody else's token.
    pub governed: bool,
}

/// Whether a user is a working member of the organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserStatus {
    /// Working; `None` unless the status ever changed.
    Activated(Option<StatusChange>),
    /// None of the user's tokens is admitted.
    Deactivated(StatusChange),
}

/// A member of one organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Identity.
    pub id: UserId,
    /// The commit that last wrote this record; set by the store.
    pub version: Revision,
    /// The organization this user is a member of.
    pub org: OrgId,
    /// Unique within the organization, compared without case.
    pub email: String,
    /// 1 to 64 characters.
    pub name: String,
    /// Organization roles and service roles.
    pub roles: RoleSet,
    /// Whether this is the operator: the first owner, who may create organizations.
    pub operator: bool,
    /// Activated or deactivated.
    pub status: UserStatus,
    /// When the user was made.
    pub created_at: Timestamp,
    /// What an identity provider calls the user; 1 to 256 characters, unique for nobody but it.
    pub external_id: Option<String>,
    /// When this record was last written.
    pub modified_at: Timestamp,
}

impl User {
    /// Whether the user is activated.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        matches!(self.status, UserStatus::Activated(_))
    }

    /// Whether the user counts as an owner who can act for the organization.
    #[must_use]
    pub fn is_active_owner(&self) -> bool {
        self.is_active() && self.roles.contains(RoleId::ORG_OWNER)
    }
}
