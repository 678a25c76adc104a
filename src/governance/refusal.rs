//! Why something is refused: one sentence for the caller each, none with a secret in it.

use super::TOKENS_PER_USER_MAX;
use crate::change::Require;
use crate::exemption::EXEMPTIONS_MAX;
use crate::notice::WEBHOOKS_MAX;

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller may not.
    #[error("{0}")]
    Forbidden(Forbidden),
    /// A value is not acceptable.
    #[error("{field}: {message}")]
    Invalid {
        /// The field, as a path: `owner.email`, `scope.org_roles[0]`.
        field: String,
        /// What is expected instead.
        message: String,
    },
    /// The state does not allow it.
    #[error("{0}")]
    Clash(Clash),
    /// There is no such record in the caller's organization.
    #[error("there is nothing here, or nothing that you may know of")]
    NotFound,
}

impl Refusal {
    /// A refusal of one field's value.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid { field: field.to_owned(), message: message.into() }
    }
}

/// What the caller lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// A token that is good for services only.
    #[error("this needs a token that carries org_member, org_admin or org_owner")]
    NeedsMember,
    /// For admins and owners.
    #[error("this needs org_admin or org_owner")]
    NeedsAdmin,
    /// For owners.
    #[error("this needs org_owner")]
    NeedsOwner,
    /// For the operator.
    #[error("only the operator creates organizations")]
    NeedsOperator,
    /// All organizations at once.
    #[error("only the operator takes a backup: it holds every organization")]
    OperatorsBackup,
    /// Somebody else's token.
    #[error("this token is another user's, and only org_owner governs those")]
    AnotherUsers,
    /// A secret that only the token's user may see.
    #[error("only the token's own user rotates it, because only they may see its new secret")]
    AnothersSecret,
    /// All tokens, asked for by a member.
    #[error("only org_admin and org_owner see the tokens of others; ask with owner=me")]
    OthersTokens,
    /// An owner, touched by somebody who is none.
    #[error("only org_owner changes, deactivates or removes an owner")]
    OwnersOnly,
    /// Roles that the caller's credential does not carry.
    #[error("the calling token does not carry {0}, so it cannot give it")]
    NotCarried(String),
    /// Roles that the owner of the token does not hold.
    #[error("the owner of the token does not hold {0}")]
    NotHeld(String),
    /// The organization has switched governance off.
    #[error("governance is deactivated in this organization")]
    GovernanceDeactivated,
    /// Deactivated by an owner.
    #[error("an owner of the organization deactivated this, so only an owner activates it")]
    OwnersDecision,
}

/// What in the present state stands against it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    /// Revocation is final.
    #[error("the token is revoked, and that is final")]
    Revoked,
    /// Deactivated by an owner.
    #[error("an owner of the organization deactivated the token; it must be activated first")]
    OwnersDecision,
    /// E-mail addresses are unique in an organization.
    #[error("another user of the organization has this e-mail address")]
    EmailTaken,
    /// An organization keeps an owner who can act.
    #[error("this is the last active owner of the organization")]
    LastOwner,
    /// A user's tokens come before the user.
    #[error("the user owns tokens that are not revoked: revoke them, or hand them over")]
    LiveTokens,
    /// More tokens than one change takes.
    #[error(
        "the user owns more than {TOKENS_PER_USER_MAX} tokens that are not revoked: revoke them \
         first, many at a time"
    )]
    TooManyToRevoke,
    /// The operator stays.
    #[error("the operator cannot be removed")]
    Operator,
    /// Nobody saws off their own branch.
    #[error("nobody can remove themself")]
    Oneself,
    /// A token that would be born dead.
    #[error("the user is deactivated")]
    Deactivated,
    /// There is nothing to ignore.
    #[error("the token does not break this policy now, so there is nothing to ignore")]
    NotViolated,
    /// Too many exemptions.
    #[error("an organization has at most {EXEMPTIONS_MAX} exemptions that are not over")]
    TooManyExemptions,
    /// Too many tokens.
    #[error("a user owns at most {TOKENS_PER_USER_MAX} tokens that are not revoked")]
    TooManyTokens,
    /// Too many webhooks.
    #[error("an organization has at most {WEBHOOKS_MAX} webhooks")]
    TooManyWebhooks,
    /// The store is not fresh.
    #[error("the store holds an organization already")]
    Initialized,
}

/// What becomes of a change that the writer refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The state moved on: load it again and plan anew.
    Retry,
    /// It would be refused again.
    Refused(Refusal),
}

/// Judges a requirement that did not hold when its change was to be written.
#[must_use]
pub fn settle(failed: &Require) -> Settlement {
    let clash = |clash| Settlement::Refused(Refusal::Clash(clash));
    match failed {
        Require::CountBelow(_, TOKENS_PER_USER_MAX) => clash(Clash::TooManyTokens),
        // Another limit: tokens were made while others were handed over.
        Require::CountBelow(..)
        | Require::Version(..)
        | Require::Absent(_)
        | Require::DigestFree(_)
        | Require::CreationAbsent(_) => Settlement::Retry,
        Require::EmailFree { .. } => clash(Clash::EmailTaken),
        Require::AnotherActiveOwner { .. } => clash(Clash::LastOwner),
        Require::NoLiveTokens(_) => clash(Clash::LiveTokens),
        Require::WebhooksBelow(..) => clash(Clash::TooManyWebhooks),
        Require::Empty => clash(Clash::Initialized),
    }
}
