//! Notices: what somebody is told by mail or by webhook, kept until it has been delivered.
//!
//! A plan says what has to be told, as a [`Draft`]; the store makes a [`Notice`] of it for each
//! addressee, in the transaction of the change. So a notice without its change, or a change
//! without its notice, cannot exist, and a crash between the two loses neither.
//!
//! **Invariant.** A notice says who did what to what, when and why. It never holds a secret.

mod retry;
pub mod target;
pub mod template;
mod webhook;

pub use retry::Retry;
pub use webhook::{WEBHOOKS_MAX, Webhook, seal_owner};

use crate::id::{NoticeId, OrgId, TokenId, UserId, WebhookId};
use crate::org::Revision;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Most lines of details in a notice; what is beyond them is told as a number.
pub const DETAILS_MAX: usize = 100;
/// Longest error that is kept of a delivery that failed, in characters.
pub const ERROR_CHARS_MAX: usize = 300;
/// How long a notice is kept, once nothing more will happen to it by itself.
pub const NOTICES_KEPT: Duration = Duration::from_hours(30 * 24);

/// What a notice is about. The text forms are stable; variants are stored by their place.
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
#[schema(as = NoticeKind)]
pub enum Kind {
    /// A token was switched off.
    #[serde(rename = "token.deactivated")]
    Deactivated,
    /// A token was switched on again.
    #[serde(rename = "token.reactivated")]
    Reactivated,
    /// A token was made.
    #[serde(rename = "token.created")]
    Created,
    /// A token has another secret.
    #[serde(rename = "token.regenerated")]
    Regenerated,
    /// A token was switched off for good: one notice for all that go with a user who is removed.
    #[serde(rename = "token.revoked")]
    Revoked,
    /// Tokens that break a policy since their owner was last told: one notice for all of an owner's.
    #[serde(rename = "violations.new")]
    NewViolations,
    /// Tokens whose lives end soon: one notice for all of an owner's.
    #[serde(rename = "token.about_to_expire")]
    AboutToExpire,
    /// Tokens whose lives are over: one notice for all of an owner's.
    #[serde(rename = "token.expired")]
    Expired,
    /// A policy that is enforced switches tokens off, unless something is done: the warning of it.
    #[serde(rename = "token.enforcement")]
    EnforcementStep,
    /// What takes an expiring token's place can be collected.
    #[serde(rename = "token.successor_ready")]
    SuccessorReady,
    /// A user was deactivated, and with them all of their tokens.
    #[serde(rename = "user.deactivated")]
    UserDeactivated,
    /// A user was activated again.
    #[serde(rename = "user.activated")]
    UserActivated,
    /// A token's secret was found where it should not be.
    #[serde(rename = "token.leaked")]
    Leaked,
    /// A token has another owner: one notice for all that a user who is removed leaves to an heir.
    #[serde(rename = "token.transferred")]
    Transferred,
}

impl Kind {
    /// All kinds, in the order of their places.
    pub const ALL: [Self; 14] = [
        Self::Deactivated,
        Self::Reactivated,
        Self::Created,
        Self::Regenerated,
        Self::Revoked,
        Self::NewViolations,
        Self::AboutToExpire,
        Self::Expired,
        Self::EnforcementStep,
        Self::SuccessorReady,
        Self::UserDeactivated,
        Self::UserActivated,
        Self::Leaked,
        Self::Transferred,
    ];

    /// The text form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deactivated => "token.deactivated",
            Self::Reactivated => "token.reactivated",
            Self::Created => "token.created",
            Self::Regenerated => "token.regenerated",
            Self::Revoked => "token.revoked",
            Self::NewViolations => "violations.new",
            Self::AboutToExpire => "token.about_to_expire",
            Self::Expired => "token.expired",
            Self::EnforcementStep => "token.enforcement",
            Self::SuccessorReady => "token.successor_ready",
            Self::UserDeactivated => "user.deactivated",
            Self::UserActivated => "user.activated",
            Self::Leaked => "token.leaked",
            Self::Transferred => "token.transferred",
        }
    }

    /// The kind with this text form.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether the opposite may follow at once: its mail waits a little, and only what holds in the
    /// end is told.
    #[must_use]
    pub const fn settles(self) -> bool {
        match self {
            Self::Deactivated | Self::Reactivated | Self::UserDeactivated | Self::UserActivated => {
                true
            }
            Self::Created
            | Self::Regenerated
            | Self::Revoked
            | Self::NewViolations
            | Self::AboutToExpire
            | Self::Expired
            | Self::EnforcementStep
            | Self::SuccessorReady
            | Self::Leaked
            | Self::Transferred => false,
        }
    }

    /// Whether a mail of this kind makes one that is still settling, about the same, pointless.
    #[must_use]
    pub const fn supersedes(self) -> bool {
        self.settles() || matches!(self, Self::Revoked | Self::Leaked)
    }
}

/// Whom or what a notice is about, with its name at that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum About {
    /// A token.
    Token(TokenId, String),
    /// A user.
    User(UserId, String),
    /// The organization.
    Organization,
}

impl About {
    /// What tells two subjects of one organization apart.
    #[must_use]
    pub const fn bits(&self) -> u128 {
        match self {
            Self::Token(id, _) => id.bits(),
            Self::User(id, _) => id.bits(),
            Self::Organization => 0,
        }
    }

    /// What is told in the order in which it happened. Notices about the organization as a whole are
    /// digests, each of other tokens: they need no order.
    #[must_use]
    pub const fn lane(&self) -> Option<u128> {
        match self {
            Self::Token(..) | Self::User(..) => Some(self.bits()),
            Self::Organization => None,
        }
    }
}

/// One more thing that a notice says: a field's name in the API, and its value as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = NoticeDetail)]
pub struct Detail {
    /// Which.
    pub field: String,
    /// What.
    pub text: String,
}

impl Detail {
    /// A field and its value.
    #[must_use]
    pub fn new(field: &str, text: impl Into<String>) -> Self {
        Self { field: field.to_owned(), text: text.into() }
    }
}

/// As many details as a notice says: the first ones, and how many more there are, besides those
/// that were `left_out` before.
#[must_use]
pub fn cut(mut details: Vec<Detail>, left_out: usize) -> Vec<Detail> {
    let lines = details.len() + left_out;
    if details.len() > DETAILS_MAX || left_out > 0 {
        details.truncate(DETAILS_MAX - 1);
        let more = lines - details.len();
        details.push(Detail::new("more", more.to_string()));
    }
    details
}

/// What has to be told, as a plan says it. The webhooks that ask for its kind are told, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The organization in which it happened.
    pub org: OrgId,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: Kind,
    /// To whom or what.
    pub about: About,
    /// Who gets a mail: each a mail of their own.
    pub to: Vec<UserId>,
    /// Who did it; nobody where Bearward did, or somebody on the machine itself.
    pub by: Option<UserId>,
    /// Why, in the words of who did it.
    pub reason: Option<String>,
    /// What else there is to say, at most [`DETAILS_MAX`] lines.
    pub details: Vec<Detail>,
}

/// Who is told, and in which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Addressee {
    /// A user, by mail.
    User(UserId),
    /// A webhook.
    Webhook(WebhookId),
}

impl Addressee {
    /// What tells two addressees apart.
    #[must_use]
    pub const fn bits(self) -> u128 {
        match self {
            Self::User(id) => id.bits(),
            Self::Webhook(id) => id.bits(),
        }
    }
}

/// Where a notice stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Not sent before, and held back for a little because the opposite may follow. Told from
    /// [`State::Waiting`] so that what supersedes it finds it.
    Settling {
        /// Since when: of the first of those that superseded each other.
        since: Timestamp,
    },
    /// To be sent.
    Waiting {
        /// Not before.
        due_at: Timestamp,
        /// How often it was tried.
        attempts: u32,
        /// What went wrong the last time.
        error: Option<String>,
    },
    /// Taken over by the mail server, or by who is behind the webhook.
    Delivered {
        /// When.
        at: Timestamp,
        /// At which attempt.
        attempts: u32,
    },
    /// Given up: nothing more is tried until somebody asks for it.
    Dead {
        /// When.
        at: Timestamp,
        /// After so many attempts.
        attempts: u32,
        /// What went wrong the last time.
        error: String,
    },
    /// A later notice about the same says what holds now.
    Superseded {
        /// When.
        at: Timestamp,
        /// That one.
        by: NoticeId,
    },
    /// There is no way to send it: the configuration has no mail server.
    NoChannel {
        /// When that was found.
        at: Timestamp,
    },
}

/// What a notice that is not at its end waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// To be sent by mail from a time on.
    Mail,
    /// To be sent to a webhook from a time on.
    Call,
    /// Settling since a time.
    Settle,
}

/// The states without what they carry: for lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = NoticeState)]
pub enum Standing {
    /// Not sent yet, or to be tried again.
    Waiting,
    /// Delivered.
    Delivered,
    /// Given up.
    Dead,
    /// Made pointless by a later one.
    Superseded,
    /// Without a way to be sent.
    NoChannel,
}

impl Standing {
    /// All of them with their text forms.
    pub const ALL: [(&'static str, Self); 5] = [
        ("waiting", Self::Waiting),
        ("delivered", Self::Delivered),
        ("dead", Self::Dead),
        ("superseded", Self::Superseded),
        ("no_channel", Self::NoChannel),
    ];
}

/// The state of a notice that is to be sent at `due_at`, as if for the first time.
const fn waiting(due_at: Timestamp) -> State {
    State::Waiting { due_at, attempts: 0, error: None }
}

impl State {
    /// The state without what it carries.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        match self {
            Self::Settling { .. } | Self::Waiting { .. } => Standing::Waiting,
            Self::Delivered { .. } => Standing::Delivered,
            Self::Dead { .. } => Standing::Dead,
            Self::Superseded { .. } => Standing::Superseded,
            Self::NoChannel { .. } => Standing::NoChannel,
        }
    }

    /// How often it was tried.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        match self {
            Self::Settling { .. } | Self::Superseded { .. } | Self::NoChannel { .. } => 0,
            Self::Waiting { attempts, .. }
            | Self::Delivered { attempts, .. }
            | Self::Dead { attempts, .. } => *attempts,
        }
    }

    /// When it ended; nothing while it is still to be sent.
    #[must_use]
    pub const fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Settling { .. } | Self::Waiting { .. } => None,
            Self::Delivered { at, .. }
            | Self::Dead { at, .. }
            | Self::Superseded { at, .. }
            | Self::NoChannel { at } => Some(*at),
        }
    }
}

/// One mail or webhook call that is owed to somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Identity, made by the store. The same at every attempt, so that who gets it twice can tell.
    pub id: NoticeId,
    /// The commit that last wrote this record; set by the store.
    pub version: Revision,
    /// Who is told.
    pub to: Addressee,
    /// Where it stands.
    pub state: State,
    /// What it says; [`Draft::to`] is empty in it.
    pub says: Draft,
}

impl Notice {
    /// The notice that the `nth` draft-and-addressee of a commit makes. The identity follows from
    /// the commit, which happens once.
    #[must_use]
    pub fn made(says: Draft, to: Addressee, revision: Revision, nth: u32) -> Self {
        let mut unique = [0; 10];
        unique[..6].copy_from_slice(&revision.0.to_be_bytes()[2..]);
        unique[6..].copy_from_slice(&nth.to_be_bytes());
        let state = match to {
            Addressee::User(_) if says.kind.settles() => State::Settling { since: says.at },
            Addressee::User(_) | Addressee::Webhook(_) => waiting(says.at),
        };
        Self { id: NoticeId::new(says.at, unique), version: revision, to, state, says }
    }

    /// How often it was tried, once it is tried now.
    #[must_use]
    pub const fn next_attempt(&self) -> u32 {
        self.state.attempts().saturating_add(1)
    }

    /// The notice after an attempt that ended at `now` as `outcome` says.
    #[must_use]
    pub fn after(self, outcome: Outcome, now: Timestamp, retry: &Retry, jitter: u64) -> Self {
        let attempts = self.next_attempt();
        let state = match outcome {
            Outcome::Delivered => State::Delivered { at: now, attempts },
            Outcome::NoChannel => State::NoChannel { at: now },
            Outcome::Refused(error) => State::Dead { at: now, attempts, error: shortened(&error) },
            Outcome::Failed(error) if attempts >= retry.attempts_max => {
                State::Dead { at: now, attempts, error: shortened(&error) }
            }
            Outcome::Failed(error) => State::Waiting {
                due_at: now.after(retry.pause(attempts, jitter)),
                attempts,
                error: Some(shortened(&error)),
            },
        };
        Self { state, ..self }
    }

    /// The same notice to be sent at `now`, as if for the first time.
    #[must_use]
    pub fn again(self, now: Timestamp) -> Self {
        Self { state: waiting(now), ..self }
    }
}

/// What became of an attempt. Errors are for the organization's owners and hold no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken over.
    Delivered,
    /// It was not, and may be later.
    Failed(String),
    /// It was not, and never will be.
    Refused(String),
    /// There is nothing to send it with.
    NoChannel,
}

fn shortened(error: &str) -> String {
    error.chars().filter(|char| !char.is_control()).take(ERROR_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
