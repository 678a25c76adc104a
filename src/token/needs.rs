//! What requests needed of a token's scope.
//!
//! A route asks for all of some roles and for one of others, so what a request needed is not always
//! a set of roles: of two that would do it needed either. So what is kept is what was asked for, with
//! the day on which it was asked for last, and which roles that comes to is found when somebody wants
//! to know, from the scope and the owner's roles as they are then.

use crate::role::RoleSet;
use crate::time::Day;
use serde::{Deserialize, Serialize};

/// What is kept of one token: with more, those that were asked for longest ago are forgotten.
pub const NEEDS_KEPT_MAX: usize = 64;
/// The most days that one can ask about: a need of before that is forgotten.
pub const NEED_DAYS_KEPT: u16 = 366;

/// What a request needs of its token's scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Need {
    /// One of these, unless there are none.
    pub any_of: RoleSet,
    /// All of these.
    pub all_of: RoleSet,
}

impl Need {
    /// All of these roles.
    #[must_use]
    pub const fn all_of(roles: RoleSet) -> Self {
        Self { any_of: RoleSet::empty(), all_of: roles }
    }

    /// Whether a scope has what it takes.
    #[must_use]
    pub fn is_met_by(&self, scope: &RoleSet) -> bool {
        let one = self.any_of.is_empty() || self.any_of.meets_both(scope, scope);
        one && self.all_of.is_subset(scope)
    }

    /// All roles that it names.
    #[must_use]
    pub fn roles(&self) -> RoleSet {
        self.any_of.union(&self.all_of)
    }
}

/// What requests needed of one token, and when last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// At most [`NEEDS_KEPT_MAX`], each once.
    met: Vec<(Need, Day)>,
    /// The latest day of a need that was forgotten for want of room.
    forgotten: Option<Day>,
}

/// What of a scope was not needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excess {
    /// No request would have been refused without these, all of them together.
    pub unused: RoleSet,
    /// Of each of these sets every request that needed one would have been content with any.
    pub one_of: Vec<RoleSet>,
}

impl Excess {
    /// Whether all of the scope was needed.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.unused.is_empty() && self.one_of.is_empty()
    }
}

impl Needs {
    /// Something was needed on a day.
    pub fn add(&mut self, need: &Need, day: Day) {
        match self.met.iter_mut().find(|(known, _)| known == need) {
            Some((_, last)) => *last = day.max(*last),
            None => self.met.push((need.clone(), day)),
        }
        let latest = self.met.iter().map(|(_, day)| *day).max().unwrap_or(day);
        self.met.retain(|(_, day)| latest.since(*day) <= i64::from(NEED_DAYS_KEPT));
        while self.met.len() > NEEDS_KEPT_MAX {
            let oldest = self.met.iter().enumerate().min_by_key(|(_, (_, day))| *day);
            let Some((at, _)) = oldest else { break };
            let (_, day) = self.met.remove(at);
            self.forgotten = self.forgotten.max(Some(day));
        }
    }

    /// Adds what was kept elsewhere.
    pub fn merge(&mut self, other: &Self) {
        other.met.iter().for_each(|(need, day)| self.add(need, *day));
        self.forgotten = self.forgotten.max(other.forgotten);
    }

    /// Whether nothing was ever needed.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.met.is_empty() && self.forgotten.is_none()
    }

    /// What was needed, and when last.
    pub fn iter(&self) -> impl Iterator<Item = (&Need, Day)> {
        self.met.iter().map(|(need, day)| (need, *day))
    }

    /// The last day of which something may have been forgotten.
    #[must_use]
    pub const fn forgotten(&self) -> Option<Day> {
        self.forgotten
    }

    /// What of a scope was not needed since a day, that day included. `effective` is what of it the
    /// owner has: where one of several roles was needed, one that the owner has not would not do.
    #[must_use]
    pub fn excess(&self, scope: &RoleSet, effective: &RoleSet, since: Day) -> Excess {
        let lately = self.met.iter().filter(|(_, day)| *day >= since);
        let mut needed = RoleSet::empty();
        let mut choices: Vec<RoleSet> = Vec::new();
        for (need, _) in lately {
            needed = needed.union(&need.all_of);
            let would_do = need.any_of.intersection(effective);
            let would_do =
                if would_do.is_empty() { need.any_of.intersection(scope) } else { would_do };
            if would_do.len() > 1 {
                choices.push(would_do);
            } else {
                needed = needed.union(&would_do);
            }
        }
        let needed = needed.intersection(scope);
        // What is needed anyway serves where one of several is, and so does any role of a choice
        // where that choice is part of a larger one.
        choices.retain(|choice| choice.intersection(&needed).is_empty());
        choices.sort_by_key(RoleSet::len);
        let mut one_of: Vec<RoleSet> = Vec::new();
        for choice in choices {
            if !one_of.iter().any(|smaller| smaller.is_subset(&choice)) {
                one_of.push(choice);
            }
        }
        let kept = one_of.iter().fold(needed, |kept, choice| kept.union(choice));
        Excess { unused: scope.difference(&kept), one_of }
    }
}

#[cfg(test)]
mod tests;
