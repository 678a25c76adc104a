//! Requests that were refused although their token is known, by token and reason: whoever switches a
//! token off wants to see that somebody goes on using it.

use super::{Board, Shard, Tallied};
use crate::access::{Reason, Verdicts};
use crate::change::{Change, Write};
use crate::id::TokenId;
use crate::store::{CommitError, Ledger};
use crate::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tokens whose refused requests are counted until they are written, at most, by each worker and
/// together; the requests of more tokens count for their organization alone.
pub const REFUSED_TOKENS_MAX: usize = 4_096;
/// Tokens whose refused requests go into the store in one transaction.
const TOKENS_PER_COMMIT_MAX: usize = 512;

/// Refused requests that are not in the store.
#[derive(Debug, Default)]
pub(super) struct Refused(HashMap<TokenId, Verdicts>);

impl Refused {
    fn of(&mut self, token: TokenId) -> Option<&mut Verdicts> {
        if self.0.len() >= REFUSED_TOKENS_MAX && !self.0.contains_key(&token) {
            return None;
        }
        Some(self.0.entry(token).or_default())
    }

    fn settle(&mut self, token: TokenId, written: &Verdicts) {
        if let Some(rest) = self.0.get_mut(&token) {
            rest.subtract(written);
            if rest.is_nothing() {
                self.0.remove(&token);
            }
        }
    }
}

fn lock(refused: &Mutex<Refused>) -> MutexGuard<'_, Refused> {
    refused.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Shard<T> {
    pub(super) fn count_refused(&self, token: TokenId, reason: Reason) {
        if let Some(counts) = lock(&self.refused).of(token) {
            let count = &mut counts.denied[reason as usize];
            *count = count.saturating_add(1);
        }
    }
}

impl<T: Tallied> Board<T> {
    /// Moves the refused requests of each token into the store, as of now. Blocks until that is
    /// durable. What could not be written is kept for the next time.
    pub fn record_refused(&self, ledger: &dyn Ledger, now: Timestamp) -> Result<(), CommitError> {
        for shard in &self.shards {
            let taken = std::mem::take(&mut *lock(&shard.refused));
            let mut refused = lock(&self.refused);
            for (token, counts) in taken.0 {
                if let Some(sum) = refused.of(token) {
                    sum.add(&counts);
                }
            }
        }
        let all: Vec<(TokenId, Verdicts)> =
            lock(&self.refused).0.iter().map(|(token, counts)| (*token, counts.clone())).collect();
        for part in all.chunks(TOKENS_PER_COMMIT_MAX) {
            let write = |(token, counts): &(TokenId, Verdicts)| {
                Write::Refused(*token, now, Box::new(counts.clone()))
            };
            let writes = part.iter().map(write).collect();
            ledger.commit(Change { writes, ..Change::default() }).wait()?;
            let mut refused = lock(&self.refused);
            for (token, written) in part {
                refused.settle(*token, written);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_what_is_known_goes_on_being_counted() {
        let mut refused = Refused::default();
        let id = |nth: usize| TokenId::from_bits(nth as u128);
        for nth in 0..REFUSED_TOKENS_MAX + 10 {
            if let Some(counts) = refused.of(id(nth)) {
                counts.denied[Reason::Expired as usize] += 1;
            }
        }
        assert_eq!(refused.0.len(), REFUSED_TOKENS_MAX);
        assert!(refused.of(id(REFUSED_TOKENS_MAX)).is_none());
        let counts = refused.of(id(0)).expect("known").clone();
        refused.of(id(0)).expect("known").denied[Reason::Revoked as usize] += 1;
        refused.settle(id(0), &counts);
        let rest: Vec<_> = refused.0[&id(0)].reasons().collect();
        assert_eq!(rest, [(Reason::Revoked, 1)]);
        refused.settle(id(1), &counts);
        assert!(!refused.0.contains_key(&id(1)));
        assert!(refused.of(id(REFUSED_TOKENS_MAX)).is_some());
    }
}
