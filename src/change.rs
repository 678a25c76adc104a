//! A change as it is planned: what shall be, what must hold for it, and what the audit trail says.
//!
//! A plan is made from what was read a moment ago. What it relies on stands beside it, and the
//! writer checks that inside the transaction, so a plan never overwrites what it has not seen.

use crate::access::Verdicts;
use crate::audit::Draft;
use crate::id::{NoticeId, OrgId, TokenId, UserId, WebhookId};
use crate::notice::{self, Notice, Webhook};
use crate::org::{Organization, Revision, User};
use crate::role::RoleName;
use crate::secret::Digest;
use crate::time::Timestamp;
use crate::token::{ApiToken, Usage, watch};
use crate::validation;
use std::time::Duration;

/// Names a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKey {
    /// An organization.
    Organization(OrgId),
    /// A user.
    User(UserId),
    /// A token.
    Token(TokenId),
    /// A notice of an organization.
    Notice(OrgId, NoticeId),
    /// A webhook of an organization.
    Webhook(OrgId, WebhookId),
}

/// What must hold, inside the transaction, for a change to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Require {
    /// The record is there and was last written by exactly this commit.
    Version(RecordKey, Revision),
    /// No record has this key.
    Absent(RecordKey),
    /// No user of the organization has this e-mail address (compared without case), except this one.
    EmailFree {
        /// The organization.
        org: OrgId,
        /// The address.
        email: String,
        /// The user who may have it.
        except: UserId,
    },
    /// No token, in any organization, has this digest.
    DigestFree(Digest),
    /// No creation was recorded under this key (see [`Creation`]).
    CreationAbsent([u8; 32]),
    /// The organization has an active owner other than this user.
    AnotherActiveOwner {
        /// The organization.
        org: OrgId,
        /// The user who does not count.
        except: UserId,
    },
    /// The user owns no token that is not revoked.
    NoLiveTokens(UserId),
    /// The user owns fewer than so many tokens that are not revoked.
    CountBelow(UserId, u32),
    /// The organization has fewer than so many webhooks.
    WebhooksBelow(OrgId, u32),
    /// The store holds no organization at all.
    Empty,
}

/// A record as it shall be. Its `version` is set by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Makes or replaces an organization.
    Organization(Organization),
    /// Makes or replaces a user.
    User(User),
    /// Removes a user.
    RemoveUser(UserId),
    /// Makes or replaces a token.
    Token(ApiToken),
    /// Adds usage to what is stored ([`Usage::merged`]); for seeding and imports.
    Usage(TokenId, Usage),
    /// Adds the verdicts about an organization's tokens to those of this minute and this day.
    Verdicts(OrgId, Timestamp, Box<Verdicts>),
    /// Something of validation.
    Validation(validation::Write),
    /// Gives these roles numbers, in this order, where they have none.
    Roles(Vec<RoleName>),
    /// Forgets the oldest events of a trail, up to one, as outlived; at most a thousand. A signed
    /// checkpoint stands in their place.
    ForgetEvents {
        /// Whose trail.
        org: OrgId,
        /// The last event that may be forgotten.
        through: u64,
        /// When.
        at: Timestamp,
    },
    /// Replaces a notice: what became of it. New ones come of [`Change::notices`].
    Notice(Box<Notice>),
    /// Forgets notices that have outlived [`notice::NOTICES_KEPT`] at an instant, whosever they are;
    /// at most a thousand.
    ForgetNotices(Timestamp),
    /// Makes or replaces a webhook.
    Webhook(Webhook),
    /// Removes a webhook.
    RemoveWebhook(OrgId, WebhookId),
    /// Takes a reminder as done: the next one of its token takes its place, if there is one.
    Reminded {
        /// The token's organization.
        org: OrgId,
        /// The token.
        token: TokenId,
        /// The one that is done.
        at: Timestamp,
        /// The next one.
        next: Option<Timestamp>,
    },
    /// Something happens to the recording of uses.
    Watch(watch::Step),
    /// All reminders up to this instant are done: one that is found before it came to be after it.
    RemindedThrough(Timestamp),
}

/// What a creation under an idempotency key made, so that a repeat can be answered.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Creation {
    /// SHA-256 of caller and idempotency key.
    pub key: [u8; 32],
    /// SHA-256 of the request: another body under the same key is an error.
    pub request: [u8; 32],
    /// The identity of what was made, as text.
    pub made: String,
    /// When; remembered for at least [`CREATIONS_KEPT`].
    pub at: Timestamp,
}

/// How long a creation is remembered at least: a later creation clears it away.
pub const CREATIONS_KEPT: Duration = Duration::from_hours(24);

/// One change: post-images, what must hold for them, their audit events and notices.
///
/// Unasked, the store also refuses, as a `CommitError::Conflict`, what would give two tokens one
/// digest ([`Require::DigestFree`]), two users of an organization one address
/// ([`Require::EmailFree`]), or a record another organization ([`Require::Absent`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What must hold.
    pub requires: Vec<Require>,
    /// What shall be.
    pub writes: Vec<Write>,
    /// What the audit trail says of it.
    pub events: Vec<Draft>,
    /// Who has to be told of it, of what.
    pub notices: Vec<notice::Draft>,
    /// The idempotency key it was asked for under.
    pub creation: Option<Creation>,
    /// Whether it takes access away from anybody: the followers then bar what it writes first.
    pub restrictive: bool,
}
