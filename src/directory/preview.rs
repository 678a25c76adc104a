//! What a change of the policies would come to.

use crate::governance::token::policies_of;
use crate::id::{TokenId, UserId};
use crate::org::Organization;
use crate::policy::{Policies, PolicyKind, Violation};
use crate::store::{Ledger, STRETCH_TOKENS_MAX, StoreError};
use crate::time::{Day, Timestamp};
use crate::token::{ApiToken, Standing, Usage, Used};
use crate::usage::Uses;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

/// Owners that a preview names.
pub const OWNERS_NAMED_MAX: usize = 100;
/// The days whose requests are counted.
const DAYS: u16 = 7;
/// A token that was used within this time is in use.
const LATELY: Duration = Duration::from_hours(24 * DAYS as u64);

/// What policies would come to, for the tokens as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Tokens that were read.
    pub tokens: u64,
    /// Tokens that would have a violation that counts.
    pub flagged: u64,
    /// Of them, those that have none now.
    pub newly_flagged: u64,
    /// Tokens that have one now and would have none.
    pub cleared: u64,
    /// Those that would break the Idle Token TTL.
    pub idle_ttl: u64,
    /// Those that would break the Max Token TTL.
    pub max_ttl: u64,
    /// Live tokens whose length of life would be refused to a new one.
    pub refused: u64,
    /// Flagged tokens that were used within the last 7 days.
    pub used_lately: u64,
    /// Requests that were admitted with flagged tokens on the last 7 days, today included.
    pub requests_lately: u64,
    /// How many users own flagged tokens.
    pub owners_count: u64,
    /// Those with most of them, at most [`OWNERS_NAMED_MAX`].
    pub owners: Vec<(UserId, u64)>,
}

impl Preview {
    /// Reads all tokens of an organization, a stretch at a time, and says what `then` would come to
    /// in place of the present policies. May block for as long as that takes.
    pub fn of(
        ledger: &dyn Ledger,
        uses: &dyn Uses,
        org: &Organization,
        then: &Policies,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let present = policies_of(org);
        let mut preview = Self::default();
        let mut owners: HashMap<UserId, u64> = HashMap::new();
        let mut after = None;
        loop {
            let still = uses.still();
            let stretch = ledger.tokens_after(org.id, after)?;
            let mut flagged: Vec<TokenId> = Vec::new();
            for (token, stored) in &stretch {
                let usage = stored.merged(still.pending(token.id));
                if preview.count(token, &usage, &present, then, now) {
                    *owners.entry(token.owner).or_default() += 1;
                    flagged.push(token.id);
                }
            }
            for (token, used) in flagged.iter().zip(ledger.used(org.id, &flagged)?) {
                preview.count_requests(used, still.pending(*token), now);
            }
            after = stretch.last().map(|(token, _)| token.id);
            if stretch.len() < STRETCH_TOKENS_MAX {
                break;
            }
        }
        preview.owners_count = owners.len() as u64;
        preview.owners = owners.into_iter().collect();
        preview.owners.sort_unstable_by_key(|&(owner, tokens)| (Reverse(tokens), owner));
        preview.owners.truncate(OWNERS_NAMED_MAX);
        Ok(preview)
    }

    /// Counts one token, and answers whether it would be flagged.
    fn count(
        &mut self,
        token: &ApiToken,
        usage: &Usage,
        present: &Policies,
        then: &Policies,
        now: Timestamp,
    ) -> bool {
        let broken = |policies: &Policies| {
            let mut found = policies.violations(token, usage, now);
            found.retain(Violation::counts);
            found
        };
        let (was, would) = (broken(present), broken(then));
        self.tokens += 1;
        self.cleared += u64::from(!was.is_empty() && would.is_empty());
        let is_live = token.standing() != Standing::Revoked && !token.is_expired(now);
        let (latest, _) = then.latest_end(token.issued_at);
        self.refused += u64::from(is_live && token.expires_at > latest);
        if would.is_empty() {
            return false;
        }
        let breaks = |policy| u64::from(would.iter().any(|broken| broken.policy == policy));
        self.flagged += 1;
        self.newly_flagged += u64::from(was.is_empty());
        self.idle_ttl += breaks(PolicyKind::IdleTtl);
        self.max_ttl += breaks(PolicyKind::MaxTtl);
        let used_lately = usage.last_used_at.is_some_and(|last| now.since(last) <= LATELY);
        self.used_lately += u64::from(used_lately);
        true
    }

    /// Counts the requests with a flagged token, by its days.
    fn count_requests(&mut self, mut used: Used, pending: Usage, now: Timestamp) {
        used.count(pending);
        let first = Day::of(now).earlier(DAYS - 1);
        let lately = used.days.iter().filter(|(day, _)| *day >= first);
        self.requests_lately += lately.map(|(_, uses)| uses).sum::<u64>();
    }

    /// Requests a day that depend on flagged tokens, on average over the last 7 days, and
    /// rounded up: where there was any it is never none.
    #[must_use]
    pub const fn requests_per_day(&self) -> u64 {
        self.requests_lately.div_ceil(DAYS as u64)
    }
}
