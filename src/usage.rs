//! Last use and use counts, without slowing a request.
//!
//! Each worker notes uses in a shard of its own; every few seconds the flusher takes all shards and
//! has the store add them up. Nothing is awaited on a worker: noting a use is one lock that only the
//! flusher ever contends for, for as long as it takes to swap a map.

use crate::id::TokenId;
use crate::store::{CommitError, Ledger};
use crate::time::Timestamp;
use crate::token::Usage;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

/// Rows of usage in one transaction: a deactivation never waits for more.
pub const ROWS_PER_COMMIT_MAX: usize = 5_000;

type Uses = HashMap<TokenId, Usage, BuildHasherDefault<IdHasher>>;

/// Token identities end in random bits; nobody outside chooses them.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u128(&mut self, bits: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "the low half is the random one")]
        let low = bits as u64;
        self.0 = low.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// One worker's notes.
#[derive(Default)]
#[repr(align(128))]
pub struct Shard(Mutex<Uses>);

impl Shard {
    /// Notes one use.
    pub fn touch(&self, token: TokenId, at: Timestamp) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = uses.entry(token).or_default();
        noted.use_count += 1;
        noted.last_used_at = noted.last_used_at.max(Some(at));
    }

    fn take(&self) -> Uses {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, rows: impl IntoIterator<Item = (TokenId, Usage)>) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (token, usage) in rows {
            let noted = uses.entry(token).or_default();
            *noted = noted.merged(usage);
        }
    }

    fn pending(&self, token: TokenId) -> Usage {
        let uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.get(&token).copied().unwrap_or_default()
    }
}

/// All workers' notes, and the flusher's.
pub struct Board {
    shards: Vec<Arc<Shard>>,
    /// Held for writing while notes are on their way into the store, so that a reader who holds it
    /// sees each use exactly once: noted, or stored.
    moving: RwLock<()>,
}

/// While this is held, no note moves into the store.
pub struct Still<'a> {
    board: &'a Board,
    _moving: RwLockReadGuard<'a, ()>,
}

impl Still<'_> {
    /// Uses of a token that are not in the store.
    #[must_use]
    pub fn pending(&self, token: TokenId) -> Usage {
        self.board
            .shards
            .iter()
            .fold(Usage::default(), |sum, shard| sum.merged(shard.pending(token)))
    }
}

impl Board {
    /// A board with a shard for each of so many writers.
    #[must_use]
    pub fn new(writers: usize) -> Self {
        Self {
            shards: (0..writers).map(|_writer| Arc::default()).collect(),
            moving: RwLock::new(()),
        }
    }

    /// The shard of one writer.
    #[must_use]
    pub fn shard(&self, writer: usize) -> Arc<Shard> {
        Arc::clone(&self.shards[writer % self.shards.len()])
    }

    /// Holds notes and store still against each other, for an exact reading. Blocks while a flush
    /// is under way; not for a worker.
    #[must_use]
    pub fn still(&self) -> Still<'_> {
        let guard = self.moving.read().unwrap_or_else(PoisonError::into_inner);
        Still { board: self, _moving: guard }
    }

    /// Moves every note into the store. Blocks until it is durable. What could not be written is
    /// noted again.
    pub fn flush(&self, ledger: &dyn Ledger) -> Result<usize, CommitError> {
        let _moving = self.moving.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = Uses::default();
        for shard in &self.shards {
            for (token, usage) in shard.take() {
                let sum = all.entry(token).or_default();
                *sum = sum.merged(usage);
            }
        }
        let rows: Vec<_> = all.into_iter().collect();
        let mut failure = None;
        for part in rows.chunks(ROWS_PER_COMMIT_MAX) {
            let outcome = match failure {
                None => ledger.record_usage(part.to_vec()).wait(),
                Some(_) => Err(CommitError::Closed),
            };
            if let Err(error) = outcome {
                self.shards[0].give_back(part.iter().copied());
                failure.get_or_insert(error);
            }
        }
        failure.map_or(Ok(rows.len()), Err)
    }
}
