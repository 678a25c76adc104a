//! The audit trail: who did what to what, when, from where.
//!
//! **Invariant.** An event is written in the transaction that it describes: a change without its
//! event, or an event without its change, cannot exist.

use crate::id::{OrgId, TokenId, UserId};
use crate::org::Revision;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// A user, with the token that authenticated the call.
    User {
        /// The user.
        user: UserId,
        /// The token.
        token: TokenId,
    },
    /// Somebody on the machine itself, with the store file in hand (`bearward init`).
    Offline,
    /// Bearward itself.
    System,
}

/// What was done. The text forms are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Action {
    /// An organization was made.
    #[serde(rename = "organization.created")]
    OrganizationCreated,
    /// An organization was renamed, or its governance switched.
    #[serde(rename = "organization.updated")]
    OrganizationUpdated,
    /// The TTL policies were changed.
    #[serde(rename = "policies.updated")]
    PoliciesUpdated,
    /// A user was made.
    #[serde(rename = "user.created")]
    UserCreated,
    /// A user's name, e-mail address or roles were changed.
    #[serde(rename = "user.updated")]
    UserUpdated,
    /// A user was deactivated, and with them all of their tokens.
    #[serde(rename = "user.deactivated")]
    UserDeactivated,
    /// A user was activated again.
    #[serde(rename = "user.activated")]
    UserActivated,
    /// A user was removed.
    #[serde(rename = "user.removed")]
    UserRemoved,
    /// A token was made.
    #[serde(rename = "token.created")]
    TokenCreated,
    /// A token was renamed or narrowed.
    #[serde(rename = "token.updated")]
    TokenUpdated,
    /// A token was deactivated.
    #[serde(rename = "token.deactivated")]
    TokenDeactivated,
    /// A token was activated again.
    #[serde(rename = "token.activated")]
    TokenActivated,
    /// A token was revoked.
    #[serde(rename = "token.revoked")]
    TokenRevoked,
    /// A violation of a token was ignored for a time.
    #[serde(rename = "violation.ignored")]
    ViolationIgnored,
    /// A violation that was ignored counts again.
    #[serde(rename = "violation.counted")]
    ViolationCounted,
    /// A copy of the whole store was handed out.
    #[serde(rename = "store.backed_up")]
    StoreBackedUp,
    /// The store was replaced by an older copy.
    #[serde(rename = "store.restored")]
    StoreRestored,
    /// A validation run is through.
    #[serde(rename = "validation.finished")]
    ValidationFinished,
    /// A token was given another secret.
    #[serde(rename = "token.rotated")]
    TokenRotated,
    /// The first use of a token's new secret ended the one before it.
    #[serde(rename = "token.former_secret_ended")]
    FormerSecretEnded,
    /// Tokens that were made elsewhere were taken in.
    #[serde(rename = "tokens.imported")]
    TokensImported,
    /// All tokens of the organization were written to a file.
    #[serde(rename = "tokens.exported")]
    TokensExported,
}

/// What it was done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// The organization itself.
    Organization(OrgId),
    /// A user.
    User(UserId),
    /// A token.
    Token(TokenId),
}

/// From where it was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The address of the caller; none for what was done offline.
    pub address: Option<IpAddr>,
    /// The identity of the request, as answered in `X-Request-Id`.
    pub request_id: Option<String>,
}

/// One field that changed. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldChange {
    /// The field's name in the API.
    pub field: String,
    /// What it was, as text; none where there was nothing.
    pub before: Option<String>,
    /// What it is, as text; none where there is nothing.
    pub after: Option<String>,
}

/// An event that is not written yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The organization whose trail it goes to.
    pub org: OrgId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// To what.
    pub target: Target,
    /// The target's name at that time, for people.
    pub target_name: String,
    /// From where.
    pub origin: Origin,
    /// Why, in the words of who did it.
    pub reason: Option<String>,
    /// What changed.
    pub changes: Vec<FieldChange>,
}

/// A written event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the trail of its organization, from 1 without a gap.
    pub seq: u64,
    /// The commit that wrote it.
    pub revision: Revision,
    /// What it says.
    pub said: Draft,
}
