//! API tokens: making, renaming, narrowing, switching off and on, revoking, rotating, transferring.

mod rotation;
mod transfer;

pub(super) use rotation::ended;
pub use rotation::{Overlap, RotateToken, first_use};
pub use transfer::TransferToken;

use super::{
    Authority, Caller, Clash, Fields, Forbidden, Occasion, Plan, Refusal, Subject,
    TOKENS_PER_USER_MAX, UNWRITTEN, closed, governed, words,
};
use crate::audit::{Action, Target};
use crate::change::{Change, RecordKey, Require, Write};
use crate::id::{OrgId, TokenId, UserId};
use crate::notice::Kind;
use crate::org::{Governance, Organization, StatusChange, User};
use crate::policy::{Ignores, LIFETIME_MIN, LIFETIME_MONTHS_MAX, Policies};
use crate::role::RoleSet;
use crate::secret::Digest;
use crate::time::{Timestamp, Ttl};
use crate::token::{
    ApiToken, NOTIFY_BEFORE_EXPIRY, NOTIFY_DAYS_MAX, NOTIFY_TIMES_MAX, Standing, TokenStatus,
};

/// The policies as they are applied: none while governance is deactivated.
#[must_use]
pub fn policies_of(org: &Organization) -> Policies {
    match org.governance {
        Governance::Activated => org.policies,
        Governance::Deactivated => Policies::default(),
    }
}

/// How long a token is to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Nothing was said: six months, or what policy allows if that is shorter.
    Unsaid,
    /// The longest that policy and the cap of 60 months allow.
    Longest,
    /// A length of life from now.
    Ttl(Ttl),
    /// An instant at which it ends.
    Until(Timestamp),
}

impl Caller {
    /// Permits to make tokens for a user: oneself, or any for an owner.
    pub fn mints_for(&self, org: OrgId, owner: UserId) -> Result<(), Refusal> {
        self.within(org)?;
        self.needs(if owner == self.user { Authority::Member } else { Authority::Owner })
    }
}

/// A new token.
#[derive(Clone, Debug)]
pub struct CreateToken<'a> {
    /// The organization.
    pub org: &'a Organization,
    /// Whose token it will be.
    pub owner: &'a User,
    /// Its identity.
    pub id: TokenId,
    /// The digest of its secret.
    pub digest: Digest,
    /// Its name.
    pub name: String,
    /// How long it is to live.
    pub life: Life,
    /// The roles that it is to carry.
    pub scope: RoleSet,
    /// How many days before its end its owner is told, if that was said.
    pub notify_before_expiry: Option<Vec<u16>>,
}

impl CreateToken<'_> {
    /// Plans the token.
    pub fn plan(self, by: &Caller, at: &Occasion<'_>) -> Result<Plan<ApiToken>, Refusal> {
        let (org, owner) = (self.org, self.owner);
        by.within(owner.org)?;
        by.mints_for(org.id, owner.id)?;
        let name = words::name("name", &self.name)?;
        let expires_at = end(self.life, org, at.now)?;
        at.all_held(&self.scope, &closed(by.roles()), Forbidden::NotCarried)?;
        at.all_held(&self.scope, &closed(&owner.roles), Forbidden::NotHeld)?;
        if !owner.is_active() {
            return Err(Refusal::Clash(Clash::Deactivated));
        }
        let token = ApiToken {
            id: self.id,
            version: UNWRITTEN,
            org: org.id,
            owner: owner.id,
            created_by: Some(by.user()),
            minted_by: by.token(),
            name,
            scope: self.scope,
            digest: self.digest,
            created_at: at.now,
            issued_at: at.now,
            expires_at,
            ignores: Ignores::default(),
            status: TokenStatus::Activated(None),
            former: Vec::new(),
            notify_before_expiry: notify_days(self.notify_before_expiry.as_deref())?,
        };
        let mut change = by.change();
        change.requires.extend([
            Require::Version(RecordKey::User(owner.id), owner.version),
            Require::Absent(RecordKey::Token(token.id)),
            Require::DigestFree(token.digest),
            Require::CountBelow(owner.id, TOKENS_PER_USER_MAX),
        ]);
        change.events.push(at.event(org.id, by.actor(), Action::TokenCreated, made(&token, at)));
        change.notices.push(at.tell_owner(Kind::Created, &token, Some(by.user()), None));
        change.writes.push(Write::Token(token.clone()));
        Ok(Plan::Change(Box::new(change), token))
    }
}

/// The end of a life that begins now, if it is neither too short nor too long.
fn end(life: Life, org: &Organization, now: Timestamp) -> Result<Timestamp, Refusal> {
    let policies = policies_of(org);
    let (field, end) = match life {
        Life::Unsaid => return Ok(policies.default_end(now)),
        Life::Longest => return Ok(policies.latest_end(now).0),
        Life::Ttl(ttl) => ("ttl", ttl.end(now)),
        Life::Until(end) => ("expires_at", end),
    };
    let (latest, by_policy) = policies.latest_end(now);
    if end > latest {
        let message = if by_policy {
            let limit = policies.max_ttl.ttl;
            format!("the Max Token TTL of the organization is {limit}, so until {latest} at most")
        } else {
            format!("a token lives at most {LIFETIME_MONTHS_MAX} months, so until {latest}")
        };
        return Err(Refusal::invalid(field, message));
    }
    let earliest = now.after(LIFETIME_MIN);
    if end < earliest {
        let message = format!("a token lives at least 1 minute, so until {earliest}");
        return Err(Refusal::invalid(field, message));
    }
    Ok(end)
}

/// When a token's owner is told of its end: what was said, in order, or as if nothing was.
fn notify_days(said: Option<&[u16]>) -> Result<Vec<u16>, Refusal> {
    let Some(said) = said else { return Ok(NOTIFY_BEFORE_EXPIRY.to_vec()) };
    let mut days = said.to_vec();
    days.sort_unstable_by(|a, b| b.cmp(a));
    days.dedup();
    let is_good = days.len() == said.len()
        && days.len() <= NOTIFY_TIMES_MAX
        && days.iter().all(|day| (1..=NOTIFY_DAYS_MAX).contains(day));
    if is_good {
        return Ok(days);
    }
    let message = format!(
        "expected at most {NOTIFY_TIMES_MAX} different numbers of days, each 1 to {NOTIFY_DAYS_MAX}"
    );
    Err(Refusal::invalid("notify_before_expiry", message))
}

/// Days for the audit trail.
fn days_text(days: &[u16]) -> String {
    days.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// What the audit trail says of a new token.
pub(super) fn made(token: &ApiToken, at: &Occasion<'_>) -> Subject {
    let fields = Fields::default()
        .made("name", &token.name)
        .made("owner", token.owner.to_string())
        .made("scope", at.roles.scope_text(&token.scope))
        .made("expires_at", token.expires_at.to_string());
    Subject::new(Target::Token(token.id), &token.name, fields)
}

/// By what right somebody changes a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    Own,
    Governing,
}

/// A token as a change finds it.
#[derive(Clone, Copy, Debug)]
pub struct Existing<'a> {
    /// Its organization.
    pub org: &'a Organization,
    /// Its owner; nobody once the owner was removed, and then the token is revoked.
    pub owner: Option<&'a User>,
    /// The token.
    pub token: &'a ApiToken,
}

impl Existing<'_> {
    fn right(&self, by: &Caller) -> Result<Right, Refusal> {
        by.within(self.org.id)?;
        by.within(self.token.org)?;
        by.needs(Authority::Member)?;
        if self.token.owner == by.user() {
            return Ok(Right::Own);
        }
        if by.authority() < Authority::Owner {
            return Err(Refusal::Forbidden(Forbidden::AnotherUsers));
        }
        Ok(Right::Governing)
    }

    /// As [`Existing::right`], for what needs governance where the token is another user's.
    fn governing_right(&self, by: &Caller) -> Result<Right, Refusal> {
        let right = self.right(by)?;
        if right == Right::Governing {
            governed(self.org)?;
        }
        Ok(right)
    }

    fn unrevoked(&self) -> Result<(), Refusal> {
        match self.token.standing() {
            Standing::Revoked => Err(Refusal::Clash(Clash::Revoked)),
            Standing::Activated | Standing::Deactivated => Ok(()),
        }
    }

    fn change(&self, by: &Caller) -> Change {
        let mut change = by.change();
        change.requires.push(Require::Version(RecordKey::Token(self.token.id), self.token.version));
        change
    }

    /// Plans a new name, or a scope with fewer roles. A scope never grows: make a new token.
    pub fn update(
        self,
        name: Option<&str>,
        scope: Option<RoleSet>,
        notify_before_expiry: Option<&[u16]>,
        by: &Caller,
        at: &Occasion<'_>,
    ) -> Result<Plan<ApiToken>, Refusal> {
        self.governing_right(by)?;
        self.unrevoked()?;
        let mut token = self.token.clone();
        if let Some(name) = name {
            token.name = words::name("name", name)?;
        }
        if let Some(scope) = scope {
            let added = scope.difference(&self.token.scope);
            if !added.is_empty() {
                let added = at.roles.scope_text(&added);
                let message = format!("a scope can only lose roles, and this adds {added}");
                return Err(Refusal::invalid("scope", message));
            }
            token.scope = scope;
        }
        if let Some(days) = notify_before_expiry {
            token.notify_before_expiry = notify_days(Some(days))?;
        }
        let fields = Fields::default()
            .changed("name", &self.token.name, &token.name)
            .changed(
                "scope",
                at.roles.scope_text(&self.token.scope),
                at.roles.scope_text(&token.scope),
            )
            .changed(
                "notify_before_expiry",
                days_text(&self.token.notify_before_expiry),
                days_text(&token.notify_before_expiry),
            );
        if fields.is_empty() {
            return Ok(Plan::Nothing(token));
        }
        let mut change = self.change(by);
        change.restrictive = token.scope != self.token.scope;
        let subject = Subject::new(Target::Token(token.id), &token.name, fields);
        change.events.push(at.event(token.org, by.actor(), Action::TokenUpdated, subject));
        change.writes.push(Write::Token(token.clone()));
        Ok(Plan::Change(Box::new(change), token))
    }

    /// Plans to switch the token off. What an owner switches off only an owner switches on, also if
    /// it was switched off by its own user before.
    pub fn deactivate(
        self,
        reason: Option<String>,
        by: &Caller,
        at: &Occasion<'_>,
    ) -> Result<Plan<ApiToken>, Refusal> {
        let governs = self.governing_right(by)? == Right::Governing;
        match &self.token.status {
            TokenStatus::Revoked(_) => return Err(Refusal::Clash(Clash::Revoked)),
            TokenStatus::Deactivated(was) if was.governed || !governs => {
                return Ok(Plan::Nothing(self.token.clone()));
            }
            TokenStatus::Deactivated(_) | TokenStatus::Activated(_) => {}
        }
        let change = status_change(reason, governs, by, at);
        Ok(self.switched(TokenStatus::Deactivated(change), Action::TokenDeactivated, by, at))
    }

    /// Plans to switch the token on again.
    pub fn activate(
        self,
        reason: Option<String>,
        by: &Caller,
        at: &Occasion<'_>,
    ) -> Result<Plan<ApiToken>, Refusal> {
        let governs = self.governing_right(by)? == Right::Governing;
        let was = match &self.token.status {
            TokenStatus::Revoked(_) => return Err(Refusal::Clash(Clash::Revoked)),
            TokenStatus::Activated(_) => return Ok(Plan::Nothing(self.token.clone())),
            TokenStatus::Deactivated(was) => was,
        };
        if by.authority() < Authority::Owner {
            if was.governed {
                return Err(Refusal::Forbidden(Forbidden::OwnersDecision));
            }
            // To give a token back what the calling one could not mint would be a way around it.
            let held = self.owner.map_or(RoleSet::empty(), |owner| owner.roles.clone());
            let given = self.token.scope.intersection(&held);
            at.all_held(&given, &closed(by.roles()), Forbidden::NotCarried)?;
        }
        let change = status_change(reason, governs, by, at);
        Ok(self.switched(TokenStatus::Activated(Some(change)), Action::TokenActivated, by, at))
    }

    /// Plans to switch the token off for good. Owners may also while governance is deactivated.
    pub fn revoke(
        self,
        reason: Option<String>,
        by: &Caller,
        at: &Occasion<'_>,
    ) -> Result<Plan<ApiToken>, Refusal> {
        let governs = self.right(by)? == Right::Governing;
        if self.token.standing() == Standing::Revoked {
            return Ok(Plan::Nothing(self.token.clone()));
        }
        let change = status_change(reason, governs, by, at);
        Ok(self.switched(TokenStatus::Revoked(change), Action::TokenRevoked, by, at))
    }

    fn switched(
        self,
        status: TokenStatus,
        action: Action,
        by: &Caller,
        at: &Occasion<'_>,
    ) -> Plan<ApiToken> {
        let token = ApiToken { status, ..self.token.clone() };
        let mut change = self.change(by);
        // An activation must not outrun a role that its owner loses at the same time.
        change.requires.extend(
            self.owner.map(|owner| Require::Version(RecordKey::User(owner.id), owner.version)),
        );
        change.restrictive = token.standing() != Standing::Activated;
        let fields = Fields::default().changed(
            "status",
            standing_text(self.token.standing()),
            standing_text(token.standing()),
        );
        let reason = token.status_change().and_then(|change| change.reason.as_ref());
        let subject = Subject::new(Target::Token(token.id), &token.name, fields).because(reason);
        change.events.push(at.event(token.org, by.actor(), action, subject));
        let kind = match token.standing() {
            Standing::Activated => Kind::Reactivated,
            Standing::Deactivated => Kind::Deactivated,
            Standing::Revoked => Kind::Revoked,
        };
        change.notices.push(at.tell_owner(kind, &token, Some(by.user()), reason));
        change.writes.push(Write::Token(token.clone()));
        Plan::Change(Box::new(change), token)
    }
}

fn status_change(
    reason: Option<String>,
    governed: bool,
    by: &Caller,
    at: &Occasion<'_>,
) -> StatusChange {
    StatusChange { at: at.now, by: Some(by.user()), reason, governed }
}

const fn standing_text(standing: Standing) -> &'static str {
    match standing {
        Standing::Activated => "activated",
        Standing::Deactivated => "deactivated",
        Standing::Revoked => "revoked",
    }
}

#[cfg(test)]
mod tests;
