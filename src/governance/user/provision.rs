//! What an identity provider asks for in one go: a user's fields and their status.

use super::{UpdateUser, activate, deactivate};
use crate::governance::{Caller, Occasion, Plan, Refusal};
use crate::org::User;

/// A change of a user and of their status, made together or not at all.
#[derive(Clone, Debug)]
pub struct Provision<'a> {
    /// The fields; nothing if none is asked for.
    pub update: Option<UpdateUser<'a>>,
    /// Whether the user shall be activated.
    pub active: Option<bool>,
}

impl Provision<'_> {
    /// Plans the change of `user`: each part by the rules that it has by itself.
    pub fn plan(self, user: &User, by: &Caller, at: &Occasion<'_>) -> Result<Plan<User>, Refusal> {
        let updated = match self.update {
            Some(update) => update.plan(by, at)?,
            None => Plan::Nothing(user.clone()),
        };
        let switched = match self.active {
            Some(true) => activate(updated.record(), None, by, at)?,
            Some(false) => deactivate(updated.record(), None, by, at)?,
            None => return Ok(updated),
        };
        Ok(both(updated, switched))
    }
}

/// Two plans about one user, the second of which was made of what the first one comes to.
fn both(first: Plan<User>, second: Plan<User>) -> Plan<User> {
    match (first, second) {
        (Plan::Nothing(_), second) => second,
        (Plan::Change(change, _), Plan::Nothing(user)) => Plan::Change(change, user),
        (Plan::Change(mut change, _), Plan::Change(last, user)) => {
            change.requires.extend(last.requires);
            change.events.extend(last.events);
            change.notices.extend(last.notices);
            // The later image of the record holds the earlier one.
            change.writes = last.writes;
            change.restrictive |= last.restrictive;
            Plan::Change(change, user)
        }
    }
}
