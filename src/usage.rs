//! Last use and use counts, without slowing a request.
//!
//! A use is counted in the [`Tally`] of the token's cache entry, which the request has just looked
//! at anyway. The first use since the last flush also puts the entry on its worker's list; every few
//! seconds the flusher takes all lists and has the store add the tallies up. Nothing is awaited on a
//! worker. A list holds its entries, so an eviction loses nothing.

use crate::id::TokenId;
use crate::store::{CommitError, Ledger};
use crate::time::Timestamp;
use crate::token::Usage;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};

/// Rows of usage in one transaction: a deactivation never waits for more.
pub const ROWS_PER_COMMIT_MAX: usize = 5_000;

/// Uses of one token that are not in the store yet.
#[derive(Debug)]
pub struct Tally {
    uses: AtomicU64,
    last: AtomicI64,
    listed: AtomicBool,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            uses: AtomicU64::new(0),
            last: AtomicI64::new(i64::MIN),
            listed: AtomicBool::new(false),
        }
    }
}

impl Tally {
    /// Counts one use. Answers whether it is the first since the tally was last taken: then its
    /// holder must be listed.
    fn count(&self, at: Timestamp) -> bool {
        // In this order: a `take` that misses this use has unlisted the tally before it looked.
        self.last.fetch_max(at.millis(), Ordering::AcqRel);
        self.uses.fetch_add(1, Ordering::AcqRel);
        !self.listed.load(Ordering::Acquire) && !self.listed.swap(true, Ordering::AcqRel)
    }

    fn peek(&self) -> Usage {
        usage(self.uses.load(Ordering::Acquire), self.last.load(Ordering::Acquire))
    }

    fn take(&self) -> Usage {
        self.listed.store(false, Ordering::Release);
        let uses = self.uses.swap(0, Ordering::AcqRel);
        usage(uses, self.last.load(Ordering::Acquire))
    }
}

fn usage(use_count: u64, last: i64) -> Usage {
    let last_used_at = (use_count > 0).then(|| Timestamp::from_millis(last));
    Usage { last_used_at, use_count }
}

/// Uses as the admin port counts and reads them. Not for a worker.
pub trait Uses: Send + Sync {
    /// Counts one use of a token.
    fn touch(&self, token: TokenId, at: Timestamp);
    /// Holds what is pending and what is stored still against each other. Blocks while a flush is
    /// under way.
    fn still(&self) -> Box<dyn Pending + '_>;
}

/// Uses that are not in the store. While this is held, none moves there, so that pending and stored
/// use together are exact.
pub trait Pending {
    /// Uses of one token.
    fn pending(&self, token: TokenId) -> Usage;
}

/// Something that holds the tally of a token.
pub trait Tallied: Send + Sync {
    /// The token.
    fn token(&self) -> TokenId;
    /// Its tally.
    fn tally(&self) -> &Tally;
}

/// One worker's list of tallies that are not empty.
pub struct Shard<T>(Mutex<List<T>>);

struct List<T> {
    tallied: Vec<Arc<T>>,
    /// Uses without an entry: the admin port's, and what a failed flush has given back.
    loose: HashMap<TokenId, Usage>,
}

impl<T> Default for Shard<T> {
    fn default() -> Self {
        Self(Mutex::new(List { tallied: Vec::new(), loose: HashMap::new() }))
    }
}

impl<T: Tallied> Shard<T> {
    /// Counts one use.
    pub fn touch(&self, tallied: &Arc<T>, at: Timestamp) {
        if tallied.tally().count(at) {
            self.list().tallied.push(Arc::clone(tallied));
        }
    }

    fn list(&self) -> std::sync::MutexGuard<'_, List<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All workers' lists.
pub struct Board<T> {
    shards: Vec<Arc<Shard<T>>>,
    /// Held for writing while uses are on their way into the store, so that a reader who holds it
    /// sees each use exactly once: tallied, or stored.
    moving: RwLock<()>,
}

/// While this is held, no use moves into the store.
pub struct Still<'a, T> {
    board: &'a Board<T>,
    pending: OnceLock<HashMap<TokenId, Usage>>,
    _moving: RwLockReadGuard<'a, ()>,
}

impl<T: Tallied> Pending for Still<'_, T> {
    /// The first call looks at every tally.
    fn pending(&self, token: TokenId) -> Usage {
        let pending = self.pending.get_or_init(|| self.board.sum(Tally::peek));
        pending.get(&token).copied().unwrap_or_default()
    }
}

impl<T: Tallied> Board<T> {
    /// A board with a list for each of so many writers.
    #[must_use]
    pub fn new(writers: usize) -> Self {
        let shards = (0..writers.max(1)).map(|_writer| Arc::default()).collect();
        Self { shards, moving: RwLock::new(()) }
    }

    /// The list of one writer.
    #[must_use]
    pub fn shard(&self, writer: usize) -> Arc<Shard<T>> {
        Arc::clone(&self.shards[writer % self.shards.len()])
    }

    /// Holds tallies and store still against each other, for an exact reading. Blocks while a flush
    /// is under way; not for a worker.
    #[must_use]
    pub fn still(&self) -> Still<'_, T> {
        let guard = self.moving.read().unwrap_or_else(PoisonError::into_inner);
        Still { board: self, pending: OnceLock::new(), _moving: guard }
    }

    /// Counts one use of a token that is held by no entry here.
    pub fn note(&self, token: TokenId, at: Timestamp) {
        let mut list = self.shards[0].list();
        let sum = list.loose.entry(token).or_default();
        *sum = sum.merged(Usage { last_used_at: Some(at), use_count: 1 });
    }

    fn sum(&self, read: impl Fn(&Tally) -> Usage) -> HashMap<TokenId, Usage> {
        let mut sums = HashMap::<TokenId, Usage>::new();
        for shard in &self.shards {
            let list = shard.list();
            let tallied = list.tallied.iter().map(|held| (held.token(), read(held.tally())));
            let loose = list.loose.iter().map(|(&token, &usage)| (token, usage));
            for (token, usage) in tallied.chain(loose) {
                let sum = sums.entry(token).or_default();
                *sum = sum.merged(usage);
            }
        }
        sums
    }

    /// Moves every use into the store. Blocks until it is durable. What could not be written is
    /// kept for the next time.
    pub fn flush(&self, ledger: &dyn Ledger) -> Result<usize, CommitError> {
        let _moving = self.moving.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = HashMap::<TokenId, Usage>::new();
        let mut add = |token, usage| {
            let sum = all.entry(token).or_default();
            *sum = sum.merged(usage);
        };
        for shard in &self.shards {
            let (tallied, loose) = {
                let mut list = shard.list();
                (std::mem::take(&mut list.tallied), std::mem::take(&mut list.loose))
            };
            for held in &tallied {
                add(held.token(), held.tally().take());
            }
            for (token, usage) in loose {
                add(token, usage);
            }
        }
        let rows: Vec<_> = all.into_iter().filter(|(_token, usage)| usage.use_count > 0).collect();
        for (written, part) in rows.chunks(ROWS_PER_COMMIT_MAX).enumerate() {
            if let Err(error) = ledger.record_usage(part.to_vec()).wait() {
                let rest = &rows[written * ROWS_PER_COMMIT_MAX..];
                let mut list = self.shards[0].list();
                for &(token, usage) in rest {
                    let sum = list.loose.entry(token).or_default();
                    *sum = sum.merged(usage);
                }
                return Err(error);
            }
        }
        Ok(rows.len())
    }
}

impl<T: Tallied> Uses for Board<T> {
    fn touch(&self, token: TokenId, at: Timestamp) {
        self.note(token, at);
    }

    fn still(&self) -> Box<dyn Pending + '_> {
        Box::new(self.still())
    }
}

#[cfg(test)]
mod tests;
