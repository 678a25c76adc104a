//! Governance: who may change what, and what the change is.
//!
//! Every change of an organization, a user, a token or a policy is a command here: a value that
//! holds what was asked for and the state it is asked about. `plan` turns it, for a [`Caller`] on an
//! [`Occasion`], into a [`Plan`] (the records as they shall be, what must still hold when they are
//! written, the audit events) or into a [`Refusal`]. Nothing here reads a clock, a store or a
//! request, so every rule is tested at its boundary without any of them.
//!
//! **Invariants.**
//! - A plan requires the versions of the caller's token, user and organization: a credential that is
//!   switched off while its change is on the way changes nothing. Who has no token, being in a session
//!   that an identity provider vouched for, is held to those of the user and the organization.
//! - A change that takes access away is marked restrictive, and no other.
//! - Whatever changes a record writes an audit event with it, and tells whom it concerns; neither
//!   event nor notice holds a secret.
//! - Nobody hands out a role that their own credential does not carry, except owners to users.

pub mod backup;
pub mod catalogue;
pub mod enforcement;
pub mod exemption;
pub mod export;
pub mod import;
pub mod leak;
pub mod org;
pub mod policies;
pub mod reading;
mod refusal;
pub mod reminder;
pub mod telling;
pub mod token;
pub mod user;
pub mod validation;
pub mod violation;
pub mod webhook;
pub mod words;

pub use refusal::{Clash, Forbidden, Refusal, Settlement, settle};

use crate::access::{self, OrgFacts, OwnerFacts, Reason, TokenFacts};
use crate::audit::{Action, Actor, Draft, FieldChange, Origin, Target};
use crate::change::{Change, RecordKey, Require};
use crate::id::{OrgId, TokenId, UserId};
use crate::notice;
use crate::org::{Governance, Organization, Revision, User};
use crate::role::{RoleId, RoleSet, RoleTable};
use crate::time::Timestamp;
use crate::token::ApiToken;

/// Most tokens, revoked ones not counted, that one user may own.
pub const TOKENS_PER_USER_MAX: u32 = 10_000;

/// How much a credential may do in its organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Authority {
    /// It carries none of the built-in organization roles: `GET /me` and no more.
    Nothing,
    /// `org_member`: their own tokens.
    Member,
    /// `org_admin`: reads all tokens, manages users who are not owners.
    Admin,
    /// `org_owner`: the whole organization.
    Owner,
}

impl Authority {
    /// The authority that a set of roles gives.
    #[must_use]
    pub fn of(roles: &RoleSet) -> Self {
        if roles.contains(RoleId::ORG_OWNER) {
            Self::Owner
        } else if roles.contains(RoleId::ORG_ADMIN) {
            Self::Admin
        } else if roles.contains(RoleId::ORG_MEMBER) {
            Self::Member
        } else {
            Self::Nothing
        }
    }
}

/// A set of roles with those that follow from it: an owner is an admin, an admin is a member.
///
/// What a user holds is stored closed, so that a token of an owner may carry `org_member` alone.
#[must_use]
pub fn closed(roles: &RoleSet) -> RoleSet {
    let mut closed = roles.clone();
    let authority = Authority::of(roles);
    if authority >= Authority::Owner {
        closed.insert(RoleId::ORG_ADMIN);
    }
    if authority >= Authority::Admin {
        closed.insert(RoleId::ORG_MEMBER);
    }
    closed
}

/// A set of roles without the built-in ones that follow from others of it: what people are shown.
#[must_use]
pub fn reduced(roles: &RoleSet) -> RoleSet {
    let implied: RoleSet = match Authority::of(roles) {
        Authority::Owner => [RoleId::ORG_ADMIN, RoleId::ORG_MEMBER].into_iter().collect(),
        Authority::Admin => [RoleId::ORG_MEMBER].into_iter().collect(),
        Authority::Member | Authority::Nothing => RoleSet::empty(),
    };
    roles.difference(&implied)
}

/// Who asks: a user through a live token, or in a session that an identity provider vouched for.
/// Only [`Caller::admitted`] and [`Caller::vouched`] make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    user: UserId,
    org: OrgId,
    token: Option<TokenId>,
    roles: RoleSet,
    operator: bool,
    versions: Vec<Require>,
}

impl Caller {
    /// Admits the bearer of a token at `now`, or says why not.
    pub fn admitted(
        token: &TokenFacts,
        owner: &OwnerFacts,
        org: &OrgFacts,
        now: Timestamp,
    ) -> Result<Self, Reason> {
        if let Some(reason) = access::dead(token, owner, org, now) {
            return Err(reason);
        }
        Ok(Self {
            user: owner.id,
            org: org.id,
            token: Some(token.id),
            roles: token.scope.intersection(&closed(&owner.roles)),
            operator: owner.operator,
            versions: vec![
                Require::Version(RecordKey::Token(token.id), token.version),
                Require::Version(RecordKey::User(owner.id), owner.version),
                Require::Version(RecordKey::Organization(org.id), org.version),
            ],
        })
    }

    /// Admits a user for whom an identity provider vouched, with all the roles that they hold; or
    /// says why not.
    pub fn vouched(user: &OwnerFacts, org: &OrgFacts) -> Result<Self, Reason> {
        if let Some(reason) = access::absent(user, org) {
            return Err(reason);
        }
        Ok(Self {
            user: user.id,
            org: org.id,
            token: None,
            roles: closed(&user.roles),
            operator: user.operator,
            versions: vec![
                Require::Version(RecordKey::User(user.id), user.version),
                Require::Version(RecordKey::Organization(org.id), org.version),
            ],
        })
    }

    /// The user.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// The user's organization, the only one that the caller can see into.
    #[must_use]
    pub const fn org(&self) -> OrgId {
        self.org
    }

    /// The token that authenticated the call; none in a session that an identity provider vouched
    /// for.
    #[must_use]
    pub const fn token(&self) -> Option<TokenId> {
        self.token
    }

    /// The effective roles: the token's scope as far as its owner holds it now; without a token, all
    /// that the user holds now.
    #[must_use]
    pub const fn roles(&self) -> &RoleSet {
        &self.roles
    }

    /// What the effective roles let the caller do.
    #[must_use]
    pub fn authority(&self) -> Authority {
        Authority::of(&self.roles)
    }

    /// Whether the caller may create organizations: the operator, with an owner's authority.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.operator && self.authority() == Authority::Owner
    }

    /// The caller in the audit trail.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::user(self.user, self.token)
    }

    fn needs(&self, authority: Authority) -> Result<(), Refusal> {
        if self.authority() >= authority {
            return Ok(());
        }
        Err(Refusal::Forbidden(match authority {
            Authority::Nothing | Authority::Member => Forbidden::NeedsMember,
            Authority::Admin => Forbidden::NeedsAdmin,
            Authority::Owner => Forbidden::NeedsOwner,
        }))
    }

    /// A record of another organization is not there, whoever asks.
    fn within(&self, org: OrgId) -> Result<(), Refusal> {
        if self.org == org { Ok(()) } else { Err(Refusal::NotFound) }
    }

    /// The change that this caller's requirements go before.
    fn change(&self) -> Change {
        Change { requires: self.versions.clone(), ..Change::default() }
    }
}

fn governed(org: &Organization) -> Result<(), Refusal> {
    match org.governance {
        Governance::Activated => Ok(()),
        Governance::Deactivated => Err(Refusal::Forbidden(Forbidden::GovernanceDeactivated)),
    }
}

/// When and from where something is asked, and the roles that exist then.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// The present.
    pub now: Timestamp,
    /// The store's roles.
    pub roles: &'a RoleTable,
    /// From where.
    pub origin: &'a Origin,
}

impl Occasion<'_> {
    fn event(&self, org: OrgId, actor: Actor, action: Action, subject: Subject) -> Draft {
        Draft {
            org,
            at: self.now,
            actor,
            action,
            target: subject.target,
            target_name: subject.name,
            origin: self.origin.clone(),
            reason: subject.reason,
            changes: subject.changes.0,
        }
    }

    /// Tells the owner of a token, and the webhooks, what `by` did to it.
    fn tell_owner(
        &self,
        kind: notice::Kind,
        token: &ApiToken,
        by: Option<UserId>,
        reason: Option<&String>,
    ) -> notice::Draft {
        notice::Draft {
            org: token.org,
            at: self.now,
            kind,
            about: notice::About::Token(token.id, token.name.clone()),
            to: vec![token.owner],
            by,
            reason: reason.cloned(),
            details: vec![
                notice::Detail::new("scope", self.roles.scope_text(&token.scope)),
                notice::Detail::new("expires_at", token.expires_at.to_string()),
            ],
        }
    }

    /// Tells a user, and the webhooks, what `by` did to them.
    fn tell_user(
        &self,
        kind: notice::Kind,
        user: &User,
        by: Option<UserId>,
        reason: Option<&String>,
    ) -> notice::Draft {
        notice::Draft {
            org: user.org,
            at: self.now,
            kind,
            about: notice::About::User(user.id, user.name.clone()),
            to: vec![user.id],
            by,
            reason: reason.cloned(),
            details: Vec::new(),
        }
    }

    /// Tells `to`, and the webhooks, what becomes of the tokens of a user who is removed: a line for
    /// each, and as many notices as that takes. One for each token would be up to
    /// [`TOKENS_PER_USER_MAX`] for each addressee, in one transaction.
    fn tell_estate(
        &self,
        kind: notice::Kind,
        user: &User,
        to: Option<UserId>,
        tokens: &[notice::Detail],
        by: UserId,
    ) -> impl Iterator<Item = notice::Draft> {
        tokens.chunks(notice::DETAILS_MAX).map(move |part| notice::Draft {
            to: to.into_iter().collect(),
            details: part.to_vec(),
            ..self.tell_user(kind, user, Some(by), None)
        })
    }

    /// Refuses with `refusal` if a role of `wanted` is not in `held`, naming what is missing.
    fn all_held(
        &self,
        wanted: &RoleSet,
        held: &RoleSet,
        refusal: impl FnOnce(String) -> Forbidden,
    ) -> Result<(), Refusal> {
        let missing = wanted.difference(held);
        if missing.is_empty() {
            return Ok(());
        }
        Err(Refusal::Forbidden(refusal(self.roles.scope_text(&missing))))
    }
}

/// What an audit event is about.
struct Subject {
    target: Target,
    name: String,
    reason: Option<String>,
    changes: Fields,
}

impl Subject {
    fn new(target: Target, name: &str, changes: Fields) -> Self {
        Self { target, name: name.to_owned(), reason: None, changes }
    }

    fn because(mut self, reason: Option<&String>) -> Self {
        self.reason = reason.cloned();
        self
    }
}

/// Collects the fields that differ.
#[derive(Default)]
struct Fields(Vec<FieldChange>);

impl Fields {
    fn changed(mut self, field: &str, before: impl Into<String>, after: impl Into<String>) -> Self {
        let (before, after) = (before.into(), after.into());
        if before != after {
            self.0.push(FieldChange {
                field: field.to_owned(),
                before: Some(before),
                after: Some(after),
            });
        }
        self
    }

    fn made(mut self, field: &str, after: impl Into<String>) -> Self {
        self.0.push(FieldChange {
            field: field.to_owned(),
            before: None,
            after: Some(after.into()),
        });
        self
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan<R> {
    /// To be committed; then the record is this, its version that of the commit.
    Change(Box<Change>, R),
    /// The record is as it was asked to be: nothing is written, and the answer is a success.
    Nothing(R),
}

impl<R> Plan<R> {
    /// The record as it shall be.
    pub const fn record(&self) -> &R {
        match self {
            Self::Change(_, record) | Self::Nothing(record) => record,
        }
    }

    /// The change, if there is one to commit.
    pub fn change(&self) -> Option<&Change> {
        match self {
            Self::Change(change, _) => Some(change),
            Self::Nothing(_) => None,
        }
    }
}

/// A record that no commit has written yet.
const UNWRITTEN: Revision = Revision(0);

#[cfg(test)]
mod tests;
