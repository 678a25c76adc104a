//! The audit trail: who did what to what, when, from where.
//!
//! **Invariant.** An event is written in the transaction that it describes: a change without its
//! event, or an event without its change, cannot exist. What is told of without a change (a refused
//! call, a run, a delivery) is a [`Draft`] in a change of nothing but events.

pub mod chain;
pub mod csv;
mod filter;
mod line;

pub use filter::{ActorFilter, Filter};
pub use line::{ActorLine, Line, NotAnEvent, TargetKind};

use crate::id::{NoticeId, OrgId, TokenId, UserId, WebhookId};
use crate::org::Revision;
use crate::time::Timestamp;
use chain::Link;
use serde::{Deserialize, Serialize};
use std::fmt;
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
    /// Somebody whom nobody knows.
    Unknown,
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
    /// A token or a user was exempted from the enforcement of a policy.
    #[serde(rename = "exemption.granted")]
    ExemptionGranted,
    /// An exemption was ended before its time.
    #[serde(rename = "exemption.withdrawn")]
    ExemptionWithdrawn,
    /// Calls of the admin port were refused: one, or several that were alike.
    #[serde(rename = "call.refused")]
    CallRefused,
    /// A webhook was made.
    #[serde(rename = "webhook.created")]
    WebhookCreated,
    /// A webhook was changed.
    #[serde(rename = "webhook.updated")]
    WebhookUpdated,
    /// A webhook was removed.
    #[serde(rename = "webhook.removed")]
    WebhookRemoved,
    /// A notice could not be delivered, and is not tried again by itself.
    #[serde(rename = "notice.failed")]
    NoticeFailed,
    /// Somebody asked for a notice to be delivered again.
    #[serde(rename = "notice.redelivered")]
    NoticeRedelivered,
    /// Somebody asked for a validation run.
    #[serde(rename = "validation.requested")]
    ValidationRequested,
    /// Somebody reported a secret of a token that they had found.
    #[serde(rename = "token.leak_reported")]
    LeakReported,
    /// Somebody signed in to the pages.
    #[serde(rename = "user.signed_in")]
    SignedIn,
    /// Somebody signed out of the pages, in one browser or in all of them.
    #[serde(rename = "user.signed_out")]
    SignedOut,
    /// A notice was taken over by the mail server, or by who is behind the webhook.
    #[serde(rename = "notice.delivered")]
    NoticeDelivered,
    /// There is no way to send a notice: the configuration has no mail server.
    #[serde(rename = "notice.undeliverable")]
    NoticeUndeliverable,
}

impl fmt::Display for Action {
    /// The stable text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
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
    /// A webhook.
    Webhook(WebhookId),
    /// A notice.
    Notice(NoticeId),
}

impl Target {
    /// Its identity, as text.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Organization(id) => id.to_string(),
            Self::User(id) => id.to_string(),
            Self::Token(id) => id.to_string(),
            Self::Webhook(id) => id.to_string(),
            Self::Notice(id) => id.to_string(),
        }
    }
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

impl Draft {
    /// What was done to `target` at `at`, by whom; for a start.
    #[must_use]
    pub fn new(org: OrgId, at: Timestamp, actor: Actor, action: Action, target: Target) -> Self {
        Self {
            org,
            at,
            actor,
            action,
            target,
            target_name: String::new(),
            origin: Origin::default(),
            reason: None,
            changes: Vec::new(),
        }
    }

    /// The same with the target's name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.target_name);
        self
    }

    /// The same from there.
    #[must_use]
    pub fn from(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// The same with a figure or a finding, which never is a secret.
    #[must_use]
    pub fn telling(mut self, field: &str, what: impl fmt::Display) -> Self {
        let after = Some(what.to_string());
        self.changes.push(FieldChange { field: field.to_owned(), before: None, after });
        self
    }
}

/// A written event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place in the trail of its organization, from 1 without a gap.
    pub seq: u64,
    /// The commit that wrote it.
    pub revision: Revision,
    /// What it says.
    pub said: Draft,
    /// The link of the event before it.
    pub previous: Link,
    /// Its own link.
    pub link: Link,
}
