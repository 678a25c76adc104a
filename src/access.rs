//! The decision about a request.
//!
//! [`decide`] turns what is known about the presented credential ([`Evidence`]), how the request
//! came ([`Circumstances`]) and what the route asks for ([`Requirement`]) into a [`Verdict`], at a
//! given instant. It is pure: everything that can go wrong outside, such as a store that does not
//! answer, is evidence too, so failing closed is decided here and tested here.
//!
//! **Invariant.** Only [`decide`] makes a [`Permit`], and forwarding takes one by value: a request
//! that nobody decided about cannot be forwarded.

mod verdicts;

pub use verdicts::Verdicts;

use crate::id::{OrgId, TokenId, UserId};
use crate::org::{Organization, Revision, User};
use crate::role::RoleSet;
use crate::secret::Digest;
use crate::time::Timestamp;
use crate::token::{ApiToken, Need, Standing};
use http::Method;
use serde::{Deserialize, Serialize};

/// What a decision needs of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// Identity.
    pub id: TokenId,
    /// The organization within which it authorizes.
    pub org: OrgId,
    /// Its owner.
    pub owner: UserId,
    /// The roles that it carries.
    pub scope: RoleSet,
    /// When its life ends.
    pub expires_at: Timestamp,
    /// Activated, deactivated or revoked.
    pub standing: Standing,
    /// The commit that last wrote it.
    pub version: Revision,
}

impl From<&ApiToken> for TokenFacts {
    fn from(token: &ApiToken) -> Self {
        Self {
            id: token.id,
            org: token.org,
            owner: token.owner,
            scope: token.scope.clone(),
            expires_at: token.expires_at,
            standing: token.standing(),
            version: token.version,
        }
    }
}

/// What a decision needs of a token's owner; shared by all tokens of that owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerFacts {
    /// Identity.
    pub id: UserId,
    /// The organization the owner is a member of.
    pub org: OrgId,
    /// Whether the owner is activated.
    pub active: bool,
    /// The roles that the owner holds.
    pub roles: RoleSet,
    /// Whether the owner is the operator.
    pub operator: bool,
    /// The commit that last wrote it.
    pub version: Revision,
}

impl From<&User> for OwnerFacts {
    fn from(user: &User) -> Self {
        Self {
            id: user.id,
            org: user.org,
            active: user.is_active(),
            roles: user.roles.clone(),
            operator: user.operator,
            version: user.version,
        }
    }
}

/// What a decision needs of an organization; shared by all tokens of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgFacts {
    /// Identity.
    pub id: OrgId,
    /// The commit that last wrote it.
    pub version: Revision,
}

impl From<&Organization> for OrgFacts {
    fn from(org: &Organization) -> Self {
        Self { id: org.id, version: org.version }
    }
}

/// Which of a token's secrets one is, as far as a decision depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretFacts {
    /// The present one.
    Present,
    /// The present one, whose first use ends the one before it.
    Heir,
    /// One that was rotated away.
    Former(FormerFacts),
}

/// A secret that was rotated away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerFacts {
    /// When it is over, at the latest.
    pub ends_at: Timestamp,
    /// The secret whose first use ends it before that.
    pub heir: Option<Digest>,
}

impl SecretFacts {
    /// Which secret of the token this digest stands for; nothing if it is none of them.
    #[must_use]
    pub fn of(token: &ApiToken, digest: &Digest) -> Option<Self> {
        if token.digest == *digest {
            let is_heir = token.former.last().is_some_and(|former| former.until_first_use);
            return Some(if is_heir { Self::Heir } else { Self::Present });
        }
        let former = token.former.iter().find(|former| former.digest == *digest)?;
        let heir = former.until_first_use.then_some(token.digest);
        Some(Self::Former(FormerFacts { ends_at: former.ends_at, heir }))
    }
}

/// Whether a secret that was rotated away is over at `now`. `succeeded` once its heir was used.
#[must_use]
pub fn over(former: &FormerFacts, succeeded: bool, now: Timestamp) -> bool {
    now >= former.ends_at || (succeeded && former.heir.is_some())
}

/// What is known about the credential of a request.
#[derive(Clone, Copy, Debug)]
pub enum Evidence<'a> {
    /// The request carries no bearer credential.
    NoCredential,
    /// The request carries a broken credential, or several.
    Malformed,
    /// The credential is none that was ever issued.
    Unknown,
    /// The credential is being switched off this moment, or its switching off could not be
    /// recorded.
    Barred,
    /// Nobody can say: the store did not answer.
    Unavailable,
    /// The credential is a token of ours.
    Known {
        /// The token.
        token: &'a TokenFacts,
        /// Its owner, as of now.
        owner: &'a OwnerFacts,
        /// Its organization, as of now.
        org: &'a OrgFacts,
    },
    /// The credential is a secret that a token of ours had before.
    Former {
        /// The token.
        token: &'a TokenFacts,
        /// Its owner, as of now.
        owner: &'a OwnerFacts,
        /// Its organization, as of now.
        org: &'a OrgFacts,
        /// How long the secret is good.
        former: &'a FormerFacts,
        /// Whether its heir has been used.
        succeeded: bool,
    },
}

impl<'a> Evidence<'a> {
    /// The token with its owner and its organization, if the credential is one of ours.
    #[must_use]
    pub const fn parties(&self) -> Option<(&'a TokenFacts, &'a OwnerFacts, &'a OrgFacts)> {
        match *self {
            Self::NoCredential
            | Self::Malformed
            | Self::Unknown
            | Self::Barred
            | Self::Unavailable => None,
            Self::Known { token, owner, org } | Self::Former { token, owner, org, .. } => {
                Some((token, owner, org))
            }
        }
    }
}

/// How a request came.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The client's certificate, where one was shown in the handshake of the connection, and
    /// somebody who is still trusted has vouched for it.
    pub certificate: Option<CertificateFacts>,
}

/// What a decision needs of a client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The first instant at which it is not good any more. A connection may outlive it.
    pub ends_at: Timestamp,
}

/// The organizations whose tokens a route admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Organizations {
    /// Those of every organization.
    Any,
    /// Those of these, sorted.
    These(Vec<OrgId>),
}

impl Organizations {
    fn admits(&self, org: OrgId) -> bool {
        match self {
            Self::Any => true,
            Self::These(these) => these.binary_search(&org).is_ok(),
        }
    }
}

/// What a route asks of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Whose tokens it admits.
    pub organizations: Organizations,
    /// At least one of these roles; not asked when empty.
    pub any_of: RoleSet,
    /// All of these roles.
    pub all_of: RoleSet,
}

impl Demand {
    /// What a request that it admits needed of the token's scope; nothing if any token would do.
    #[must_use]
    pub fn need(&self) -> Option<Need> {
        let Self { organizations: _, any_of, all_of } = self;
        let need = Need { any_of: any_of.clone(), all_of: all_of.clone() };
        (!need.roles().is_empty()).then_some(need)
    }
}

/// What a route asks of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Methods that the route takes; all of them when empty.
    pub methods: Vec<Method>,
    /// Whether it takes only clients with a certificate.
    pub certificate: bool,
    /// What it asks of the token; `None` for a public route, which looks at no credential.
    pub demand: Option<Demand>,
}

/// The permission to forward one request. Only [`decide`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    decided_at: Timestamp,
}

impl Permit {
    /// The instant of the decision.
    #[must_use]
    pub const fn decided_at(&self) -> Timestamp {
        self.decided_at
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No credential (401, no error code).
    NoCredential,
    /// A broken credential, or several (400 `invalid_request`).
    Malformed,
    /// Never issued (401 `invalid_token`, as the next four and a secret that is over).
    Unknown,
    /// Past its end.
    Expired,
    /// Switched off.
    Deactivated,
    /// Switched off for good.
    Revoked,
    /// Its owner is switched off.
    OwnerDeactivated,
    /// Something is being taken away from it this moment (503).
    Barred,
    /// A token of an organization that the route does not admit (403 `insufficient_scope`).
    WrongOrganization,
    /// Lacks a role (403 `insufficient_scope`).
    InsufficientScope,
    /// The route does not take this method (405).
    MethodNotAllowed,
    /// Nobody can say (503).
    Unavailable,
    /// A secret that was rotated away, and its time is over (401 `invalid_token`).
    Superseded,
    /// The client shows no certificate, or one that is not good any more (403
    /// `certificate_required`).
    NoCertificate,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::NoCredential,
        Self::Malformed,
        Self::Unknown,
        Self::Expired,
        Self::Deactivated,
        Self::Revoked,
        Self::OwnerDeactivated,
        Self::Barred,
        Self::WrongOrganization,
        Self::InsufficientScope,
        Self::MethodNotAllowed,
        Self::Unavailable,
        Self::Superseded,
        Self::NoCertificate,
    ];

    /// The reason's name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Deactivated => "deactivated",
            Self::Revoked => "revoked",
            Self::OwnerDeactivated => "owner_deactivated",
            Self::Barred => "barred",
            Self::WrongOrganization => "wrong_organization",
            Self::InsufficientScope => "insufficient_scope",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Unavailable => "unavailable",
            Self::Superseded => "superseded",
            Self::NoCertificate => "no_certificate",
        }
    }
}

/// The only output of an access decision.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Forward it.
    Permit(Permit),
    /// Refuse it.
    Deny(Reason),
}

/// Decides about a request at the instant `now`.
#[must_use]
pub fn decide(
    evidence: &Evidence<'_>,
    circumstances: &Circumstances<'_>,
    requirement: &Requirement,
    now: Timestamp,
) -> Verdict {
    if !requirement.methods.is_empty() && !requirement.methods.contains(circumstances.method) {
        return Verdict::Deny(Reason::MethodNotAllowed);
    }
    // Before the token: who has no certificate learns nothing about one.
    let is_vouched_for = circumstances.certificate.is_some_and(|facts| now < facts.ends_at);
    if requirement.certificate && !is_vouched_for {
        return Verdict::Deny(Reason::NoCertificate);
    }
    let Some(demand) = &requirement.demand else {
        return Verdict::Permit(Permit { decided_at: now });
    };
    let (token, owner, org) = match *evidence {
        Evidence::NoCredential => return Verdict::Deny(Reason::NoCredential),
        Evidence::Malformed => return Verdict::Deny(Reason::Malformed),
        Evidence::Unknown => return Verdict::Deny(Reason::Unknown),
        Evidence::Barred => return Verdict::Deny(Reason::Barred),
        Evidence::Unavailable => return Verdict::Deny(Reason::Unavailable),
        Evidence::Known { token, owner, org } => (token, owner, org),
        Evidence::Former { token, owner, org, former, succeeded } => {
            if over(former, succeeded, now) {
                return Verdict::Deny(Reason::Superseded);
            }
            (token, owner, org)
        }
    };
    if let Some(reason) = dead(token, owner, org, now) {
        return Verdict::Deny(reason);
    }
    if !demand.organizations.admits(token.org) {
        return Verdict::Deny(Reason::WrongOrganization);
    }
    let any_of = demand.any_of.is_empty() || demand.any_of.meets_both(&token.scope, &owner.roles);
    if !any_of || !demand.all_of.is_subset_of_both(&token.scope, &owner.roles) {
        return Verdict::Deny(Reason::InsufficientScope);
    }
    Verdict::Permit(Permit { decided_at: now })
}

/// Why a token authorizes nothing at `now`, wherever it is shown; `None` while it lives.
#[must_use]
pub fn dead(
    token: &TokenFacts,
    owner: &OwnerFacts,
    org: &OrgFacts,
    now: Timestamp,
) -> Option<Reason> {
    match token.standing {
        Standing::Revoked => return Some(Reason::Revoked),
        Standing::Deactivated => return Some(Reason::Deactivated),
        Standing::Activated => {}
    }
    if now >= token.expires_at {
        return Some(Reason::Expired);
    }
    if let Some(reason) = absent(owner, org) {
        return Some(reason);
    }
    // A role held in another organization never counts, and neither does a token whose owner
    // is a member elsewhere: the store never makes one, so it is as good as unknown.
    if org.id != token.org || owner.id != token.owner {
        return Some(Reason::Unknown);
    }
    None
}

/// Why a user may do nothing in an organization, with whichever credential; `None` for a working
/// member of it.
#[must_use]
pub fn absent(user: &OwnerFacts, org: &OrgFacts) -> Option<Reason> {
    if !user.active {
        return Some(Reason::OwnerDeactivated);
    }
    (user.org != org.id).then_some(Reason::Unknown)
}

#[cfg(test)]
mod tests;
