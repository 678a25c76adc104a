//! Copies of the whole store: taking one, and putting one in the store's place.

use super::{Authority, Caller, Fields, Forbidden, Occasion, Plan, Refusal, Subject, closed};
use crate::access::{self, OrgFacts, OwnerFacts, Reason, SecretFacts, TokenFacts};
use crate::audit::{Action, Actor, Target};
use crate::change::Change;
use crate::org::{Organization, Revision};
use crate::role::RoleSet;
use crate::time::Timestamp;

impl Caller {
    /// Permits to take a copy of the store, which holds every organization.
    pub fn backs_up(&self) -> Result<(), Refusal> {
        self.needs(Authority::Member)?;
        if self.is_operator() {
            Ok(())
        } else {
            Err(Refusal::Forbidden(Forbidden::OperatorsBackup))
        }
    }
}

/// A copy to be handed out.
#[derive(Clone, Copy, Debug)]
pub struct TakeBackup<'a> {
    /// The operator's organization, whose trail tells of it.
    pub org: &'a Organization,
}

impl TakeBackup<'_> {
    /// Plans the event. It is written before the copy is begun, so the copy holds it.
    pub fn plan(self, by: &Caller, at: &Occasion<'_>) -> Result<Plan<()>, Refusal> {
        by.within(self.org.id)?;
        by.backs_up()?;
        let target = Target::Organization(self.org.id);
        let subject = Subject::new(target, &self.org.name, Fields::default());
        let mut change = by.change();
        change.events.push(at.event(self.org.id, by.actor(), Action::StoreBackedUp, subject));
        Ok(Plan::Change(Box::new(change), ()))
    }
}

/// What is known of a credential: its token, which secret of it this is, the token's owner and
/// organization.
pub type Known<'a> = (&'a TokenFacts, &'a SecretFacts, &'a OwnerFacts, &'a OrgFacts);

/// What a credential gets back when the store is replaced by an older copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Regained {
    /// Its life. The store of today does not know it: it is of a token that got other secrets since,
    /// or whose owner is gone.
    Unknown,
    /// Its life, which ended for this reason.
    Dead(Reason),
    /// Roles that it had lost.
    Roles(RoleSet),
}

/// What a credential that the copy knows as `was`, and the store of today as `is`, gets back at
/// `now`; `None` if nothing. Both sides number the roles in the same way.
#[must_use]
pub fn regained(was: Known<'_>, is: Option<Known<'_>>, now: Timestamp) -> Option<Regained> {
    if dead(was, now).is_some() {
        return None;
    }
    let Some(is) = is else { return Some(Regained::Unknown) };
    if let Some(reason) = dead(is, now) {
        return Some(Regained::Dead(reason));
    }
    let roles = effective(was).difference(&effective(is));
    (!roles.is_empty()).then_some(Regained::Roles(roles))
}

fn dead((token, secret, owner, org): Known<'_>, now: Timestamp) -> Option<Reason> {
    match secret {
        SecretFacts::Former(former) if access::over(former, false, now) => Some(Reason::Superseded),
        SecretFacts::Present | SecretFacts::Heir | SecretFacts::Former(_) => {
            access::dead(token, owner, org, now)
        }
    }
}

fn effective((token, _, owner, _): Known<'_>) -> RoleSet {
    token.scope.intersection(&closed(&owner.roles))
}

/// A store that was replaced by an older copy, as its organizations' trails tell it.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// The last commit of the store that was replaced, if it could be read.
    pub replaced: Option<Revision>,
    /// The last commit of the copy.
    pub copy: Revision,
}

impl Restored {
    /// Plans one event for each organization of the copy.
    #[must_use]
    pub fn plan(self, orgs: &[(Organization, u64)], at: &Occasion<'_>) -> Change {
        let mut change = Change::default();
        for (org, regained) in orgs {
            let replaced = self.replaced.map_or("unknown".to_owned(), |last| last.0.to_string());
            let fields = Fields::default()
                .changed("revision", replaced, self.copy.0.to_string())
                .made("tokens_regained", regained.to_string());
            let subject = Subject::new(Target::Organization(org.id), &org.name, fields);
            change.events.push(at.event(org.id, Actor::Offline, Action::StoreRestored, subject));
        }
        change
    }
}

#[cfg(test)]
mod tests;
