//! What routes ask of tokens, each as a bit of a tally.
//!
//! A bit is given when a route is compiled, and keeps its meaning for as long as the process lives,
//! whatever is reloaded: requests in flight go on with the routes that they began with. There are
//! more needs than bits, so several may share one; which of them was met is mostly told by the
//! token, as a scope seldom meets two. Where it does, all that both name counts as needed: then less
//! is found unused than is, and never more.

use crate::access::Demand;
use crate::role::RoleSet;
use crate::token::Need;
use std::sync::{Arc, Mutex, PoisonError};

/// The bits of a tally.
const BITS: usize = u32::BITS as usize;
/// The needs that are told apart in the life of a process. All that come later count as one.
pub const NEEDS_MAX: usize = 4_096;

/// What a request needed of its token, as a tally holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bit(u32);

impl Bit {
    /// No role.
    pub const NONE: Self = Self(0);

    pub(super) const fn mask(self) -> u32 {
        self.0
    }
}

/// Everything that was ever asked for.
#[derive(Debug, Default)]
pub struct Asked(Mutex<Arc<Known>>);

/// What is known at an instant.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    needs: Vec<Arc<Need>>,
    /// The roles of all that there was no number for any more. They share the first bit.
    rest: RoleSet,
}

impl Asked {
    /// The bit of what a route asks for.
    pub fn bit(&self, demand: &Demand) -> Bit {
        let Some(need) = demand.need() else { return Bit::NONE };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = known.needs.iter().position(|other| **other == need).unwrap_or_else(|| {
            let known = Arc::make_mut(&mut known);
            if known.needs.len() < NEEDS_MAX {
                known.needs.push(Arc::new(need));
                return known.needs.len() - 1;
            }
            known.rest = known.rest.union(&need.roles());
            0
        });
        Bit(1 << (number % BITS))
    }

    pub(super) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    /// What bits stand for in the tally of a token with this scope.
    pub(super) fn met(&self, bits: u32, scope: &RoleSet) -> Vec<Arc<Need>> {
        let set = (0..BITS).filter(|bit| bits >> bit & 1 == 1);
        set.filter_map(|bit| self.one(bit, scope)).collect()
    }

    fn one(&self, bit: usize, scope: &RoleSet) -> Option<Arc<Need>> {
        let sharing = self.needs.iter().skip(bit).step_by(BITS);
        let mut met = sharing.filter(|need| need.is_met_by(scope));
        let first = met.next();
        let more = met.fold(RoleSet::empty(), |roles, need| roles.union(&need.roles()));
        let rest = if bit == 0 { self.rest.intersection(scope) } else { RoleSet::empty() };
        let more = more.union(&rest);
        match first {
            Some(need) if more.is_empty() => Some(Arc::clone(need)),
            Some(need) => Some(Arc::new(Need::all_of(need.roles().union(&more)))),
            None => (!more.is_empty()).then(|| Arc::new(Need::all_of(more))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Organizations;
    use crate::role::RoleId;

    fn roles(numbers: &[u32]) -> RoleSet {
        numbers.iter().copied().map(RoleId).collect()
    }

    fn one_of(numbers: &[u32]) -> Demand {
        let (any_of, all_of) = (roles(numbers), RoleSet::empty());
        Demand { organizations: Organizations::Any, any_of, all_of }
    }

    #[test]
    fn the_same_is_asked_for_by_one_bit_for_ever() {
        let asked = Asked::default();
        assert_eq!(asked.bit(&one_of(&[])), Bit::NONE);
        let bits = [&[1][..], &[2], &[1, 2]].map(|numbers| asked.bit(&one_of(numbers)));
        assert_eq!(bits.map(Bit::mask), [1, 2, 4]);
        assert_eq!(asked.bit(&one_of(&[2])), bits[1]);
        let met = asked.known().met(5, &roles(&[1, 2]));
        let met: Vec<RoleSet> = met.iter().map(|need| need.any_of.clone()).collect();
        assert_eq!(met, [roles(&[1]), roles(&[1, 2])]);
    }

    #[test]
    fn of_those_that_share_a_bit_the_scope_tells_which_it_was() {
        let asked = Asked::default();
        for number in 0..64 {
            assert_eq!(asked.bit(&one_of(&[number])).mask(), 1 << (number % 32));
        }
        let known = asked.known();
        let exact = known.met(1 << 3, &roles(&[35, 4]));
        assert_eq!(exact, [Arc::new(one_of(&[35]).need().expect("a role"))]);
        // It carries both: nobody can say, so both were needed.
        assert_eq!(known.met(1 << 3, &roles(&[35, 3])), [Arc::new(Need::all_of(roles(&[3, 35])))]);
        assert_eq!(known.met(1 << 3, &roles(&[4])), []);
    }

    #[test]
    fn what_comes_too_late_counts_as_needed_by_whoever_carries_it() {
        let asked = Asked::default();
        let last = u32::try_from(NEEDS_MAX).expect("a small number");
        for number in 0..last + 2 {
            asked.bit(&one_of(&[number]));
        }
        assert_eq!(asked.bit(&one_of(&[last + 1])).mask(), 1);
        let known = asked.known();
        assert_eq!(known.needs.len(), NEEDS_MAX);
        assert_eq!(
            known.met(1, &roles(&[last + 1, 5])),
            [Arc::new(Need::all_of(roles(&[last + 1])))]
        );
        assert_eq!(known.met(1, &roles(&[32])), [Arc::new(one_of(&[32]).need().expect("a role"))]);
    }
}
