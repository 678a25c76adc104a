//! What the tokens of an organization come to: those that nobody needs, and when they end.
//!
//! Only tokens count that are good for something: activated, and alive. Each answer is one pass over
//! one snapshot of the store, which keeps nobody from writing, and what it keeps of the tokens that it
//! names is bounded.

use crate::id::{OrgId, TokenId, UserId};
use crate::store::{Ledger, StoreError};
use crate::time::{Day, Timestamp};
use crate::token::{ApiToken, TokenState, Usage};
use crate::usage::Uses;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::ControlFlow;
use std::time::Duration;

/// Stale tokens that are named, those that are idle for longest.
pub const IDLEST_NAMED_MAX: usize = 200;
/// Tokens that are named of those which end on one day.
pub const EXPIRING_NAMED_MAX: usize = 50;
/// Where the steps of the distribution end, in days without a use; the last step has no end.
pub const IDLE_DAYS: [u16; 7] = [1, 7, 30, 60, 90, 180, 365];

/// How long tokens have gone without a use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Idleness {
    /// Tokens that were read.
    pub read: u64,
    /// Of them, those that are activated and alive: what follows is about these.
    pub live: u64,
    /// Those that were never used.
    pub never_used: u64,
    /// Those that went without a use for as long as was asked about, or longer.
    pub stale: u64,
    /// Of the stale ones, those that were never used.
    pub stale_never_used: u64,
    /// How many there are in each step of [`IDLE_DAYS`], and beyond the last.
    pub distribution: [u64; IDLE_DAYS.len() + 1],
    /// The stale tokens that are idle for longest, the longest first.
    pub idlest: Vec<Idlest>,
}

/// A token that is stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idlest {
    /// Since when it is idle: its last use, or the beginning of its present life, if that is later.
    pub since: Timestamp,
    /// The token.
    pub id: TokenId,
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: UserId,
    /// Its last use.
    pub last_used_at: Option<Timestamp>,
    /// How often it was used.
    pub use_count: u64,
}

impl Idleness {
    /// Reads all tokens of an organization, and judges those stale that were not used for `limit`.
    /// May block for as long as that takes.
    pub fn of(
        ledger: &dyn Ledger,
        uses: &dyn Uses,
        org: OrgId,
        limit: Duration,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut idleness = Self::default();
        let mut idlest = Longest::default();
        // Before the snapshot: what is stored meanwhile is in both then, and the later use is exact.
        let pending = uses.pending();
        ledger.visit_tokens(org, None, &mut |token, stored| {
            let fresh = pending.get(&token.id).copied().unwrap_or_default();
            let usage = Usage {
                last_used_at: stored.last_used_at.max(fresh.last_used_at),
                use_count: stored.use_count.max(fresh.use_count),
                ..stored
            };
            if let Some(since) = idleness.count(&token, &usage, limit, now) {
                idlest.offer(since, token, &usage);
            }
            ControlFlow::Continue(())
        })?;
        idleness.idlest = idlest.in_order();
        Ok(idleness)
    }

    /// Counts one token, and answers since when it is idle if it is stale.
    fn count(
        &mut self,
        token: &ApiToken,
        usage: &Usage,
        limit: Duration,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.read += 1;
        if token.state(now) != TokenState::Activated {
            return None;
        }
        // As the Idle Token TTL has it: a new life begins unused, and is not idle from the start.
        let since = usage.last_used_at.unwrap_or(token.issued_at).max(token.issued_at);
        let idle = now.since(since);
        let is_unused = u64::from(usage.last_used_at.is_none());
        let step = IDLE_DAYS.partition_point(|&days| idle >= whole_days(days));
        self.live += 1;
        self.never_used += is_unused;
        self.distribution[step] += 1;
        if idle < limit {
            return None;
        }
        self.stale += 1;
        self.stale_never_used += is_unused;
        Some(since)
    }
}

/// So many days.
fn whole_days(days: u16) -> Duration {
    Duration::from_hours(24 * u64::from(days))
}

/// The tokens that are idle for longest, the latest of them on top.
#[derive(Default)]
struct Longest(BinaryHeap<Latest>);

struct Latest(Idlest);

impl Longest {
    fn offer(&mut self, since: Timestamp, token: ApiToken, usage: &Usage) {
        let is_full = self.0.len() >= IDLEST_NAMED_MAX;
        let is_behind = |Latest(last): &Latest| (since, token.id) >= (last.since, last.id);
        if is_full && self.0.peek().is_some_and(is_behind) {
            return;
        }
        if is_full {
            self.0.pop();
        }
        let ApiToken { id, name, owner, .. } = token;
        let Usage { last_used_at, use_count, .. } = *usage;
        self.0.push(Latest(Idlest { since, id, name, owner, last_used_at, use_count }));
    }

    fn in_order(self) -> Vec<Idlest> {
        self.0.into_sorted_vec().into_iter().map(|Latest(idlest)| idlest).collect()
    }
}

impl Ord for Latest {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.since, self.0.id).cmp(&(other.0.since, other.0.id))
    }
}

impl PartialOrd for Latest {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Latest {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Latest {}

/// When tokens end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// Tokens that were read.
    pub read: u64,
    /// Of them, those that are activated and alive: what follows is about these.
    pub live: u64,
    /// Those that end after the last day that was asked about.
    pub later: u64,
    /// The days on which tokens end, in their order.
    pub days: BTreeMap<Day, Expiring>,
}

/// The tokens that end on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expiring {
    /// How many.
    pub count: u64,
    /// Those that end first, at most [`EXPIRING_NAMED_MAX`], in the order of their ends.
    pub tokens: Vec<(Timestamp, TokenId)>,
}

impl Expiry {
    /// Reads all tokens of an organization, and tells which end today and on the days after, `days`
    /// in all. May block for as long as that takes.
    pub fn of(
        ledger: &dyn Ledger,
        org: OrgId,
        days: u16,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut expiry = Self::default();
        let mut first: BTreeMap<Day, BinaryHeap<(Timestamp, TokenId)>> = BTreeMap::new();
        let end = Day::of(now).later(days).start();
        ledger.visit_tokens(org, None, &mut |token, _usage| {
            expiry.read += 1;
            if token.state(now) != TokenState::Activated {
                return ControlFlow::Continue(());
            }
            expiry.live += 1;
            if token.expires_at >= end {
                expiry.later += 1;
                return ControlFlow::Continue(());
            }
            let day = Day::of(token.expires_at);
            expiry.days.entry(day).or_default().count += 1;
            let named = first.entry(day).or_default();
            named.push((token.expires_at, token.id));
            if named.len() > EXPIRING_NAMED_MAX {
                named.pop();
            }
            ControlFlow::Continue(())
        })?;
        for (day, named) in first {
            expiry.days.entry(day).or_default().tokens = named.into_sorted_vec();
        }
        Ok(expiry)
    }
}
