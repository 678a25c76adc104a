//! What the tokens of an organization come to at a glance: how many there are in each state, which
//! are used most, when they end.

use super::people::People;
use super::{IDLE_DAYS, Room, TokenRow};
use crate::id::{OrgId, TokenId};
use crate::policy::{Policies, PolicyKind, Violation};
use crate::store::StoreError;
use crate::time::{Day, Timestamp};
use crate::token::{ApiToken, TokenState, Usage};
use crate::usage::Beside;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::time::Duration;

/// Days of the calendar of ends.
pub const CALENDAR_DAYS: u16 = 90;
/// Tokens that are named as those which are used most.
pub const BUSIEST_NAMED_MAX: usize = 8;

/// How many tokens there are in each state, and with violations that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Those that are good for something, unless their owner is deactivated.
    pub activated: u64,
    /// Those that were switched off.
    pub deactivated: u64,
    /// Those whose life is over.
    pub expired: u64,
    /// Those that were switched off for good.
    pub revoked: u64,
    /// Those with a violation that nobody has ignored.
    pub violating: u64,
    /// Those that break the Idle Token TTL.
    pub idle_ttl: u64,
    /// Those that break the Max Token TTL.
    pub max_ttl: u64,
}

impl Census {
    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.activated + self.deactivated + self.expired + self.revoked
    }

    /// Counts a token in this state that breaks these policies.
    pub(super) fn count(&mut self, state: TokenState, broken: &[Violation]) {
        *match state {
            TokenState::Activated => &mut self.activated,
            TokenState::Deactivated => &mut self.deactivated,
            TokenState::Expired => &mut self.expired,
            TokenState::Revoked => &mut self.revoked,
        } += 1;
        let breaks = |policy: PolicyKind| {
            let mut counted = broken.iter().filter(|broken| broken.counts());
            u64::from(counted.any(|broken| broken.policy == policy))
        };
        self.violating += u64::from(broken.iter().any(Violation::counts));
        self.idle_ttl += breaks(PolicyKind::IdleTtl);
        self.max_ttl += breaks(PolicyKind::MaxTtl);
    }
}

/// What one pass over all tokens finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// When.
    pub as_of: Timestamp,
    /// The states of all tokens.
    pub census: Census,
    /// Activated tokens whose owner is deactivated.
    pub blocked: u64,
    /// How many activated tokens end on each of the next days, today first.
    pub ends: [u64; CALENDAR_DAYS as usize],
    /// How many activated tokens went without a use for how long: the steps of [`IDLE_DAYS`], and
    /// beyond the last.
    pub idle: [u64; IDLE_DAYS.len() + 1],
    /// Activated tokens that were never used.
    pub never_used: u64,
    /// Those that were used most, the most first.
    pub busiest: Vec<TokenRow>,
}

impl Overview {
    /// Visits all tokens of an organization, in memory if they are there. May block for as long as it
    /// takes to read them.
    pub fn of(
        room: Room<'_>,
        org: OrgId,
        policies: &Policies,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let Room { ledger, uses, shelves, .. } = room;
        let people = People::of(ledger, org)?;
        let mut overview = Self {
            as_of: now,
            census: Census::default(),
            blocked: 0,
            ends: [0; CALENDAR_DAYS as usize],
            idle: [0; IDLE_DAYS.len() + 1],
            never_used: 0,
            busiest: Vec::new(),
        };
        let mut busiest: BinaryHeap<Reverse<Busy>> = BinaryHeap::new();
        let mut see = |token: &ApiToken, usage: &Usage| {
            let state = token.state(now);
            overview.census.count(state, &policies.violations(token, usage, now));
            if state == TokenState::Activated {
                overview.count_live(token, usage, &people);
            }
            let busy = Reverse(Busy { uses: usage.use_count, id: token.id });
            let is_more = |least: &Reverse<Busy>| busy < *least;
            if busy.0.uses > 0
                && (busiest.len() < BUSIEST_NAMED_MAX || busiest.peek().is_some_and(is_more))
            {
                busiest.push(busy);
                if busiest.len() > BUSIEST_NAMED_MAX {
                    busiest.pop();
                }
            }
        };
        let is_shelved = {
            let _still = uses.still();
            shelves.visit(room, org, now, &mut see)?
        };
        if !is_shelved {
            let mut beside = Beside::new(uses);
            ledger.visit_tokens(org, None, &mut |token, stored| {
                see(&token, &beside.merged(token.id, stored));
                ControlFlow::Continue(())
            })?;
        }
        let still = uses.still();
        for Reverse(Busy { id, .. }) in busiest.into_sorted_vec() {
            if let Some((token, stored)) = ledger.token(id)? {
                let usage = stored.merged(still.pending(id));
                overview.busiest.push(TokenRow::new(token, usage, &people));
            }
        }
        Ok(overview)
    }

    fn count_live(&mut self, token: &ApiToken, usage: &Usage, people: &People) {
        let now = self.as_of;
        self.blocked += u64::from(people.known(token.owner).is_some_and(|owner| owner.deactivated));
        let ahead = Day::of(token.expires_at).since(Day::of(now));
        let ahead = usize::try_from(ahead).ok().and_then(|ahead| self.ends.get_mut(ahead));
        if let Some(ends) = ahead {
            *ends += 1;
        }
        // As the Idle Token TTL has it: a new life begins unused, and is not idle from the start.
        let since = usage.last_used_at.unwrap_or(token.issued_at).max(token.issued_at);
        let idle = now.since(since);
        let whole = |days: u16| Duration::from_hours(24 * u64::from(days));
        self.idle[IDLE_DAYS.partition_point(|&days| idle >= whole(days))] += 1;
        self.never_used += u64::from(usage.last_used_at.is_none());
    }
}

/// A token by its uses; of equals that which was made first is more.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Busy {
    uses: u64,
    id: TokenId,
}

impl Ord for Busy {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.uses, other.id).cmp(&(other.uses, self.id))
    }
}

impl PartialOrd for Busy {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
