//! Making room, and letting go of what nobody refers to any more.

use super::{Cache, Entry, Held};
use crate::secret::Digest;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

impl Cache {
    /// Second chance: the oldest entry goes, unless it was used since the hand last passed.
    pub(super) fn make_room(&self, newest: Digest) {
        let mut hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        // Each entry is passed at most twice, so the loop ends even if all were just used.
        for _ in 0..2 * hand.len() {
            if hand.len() < self.entries_max {
                break;
            }
            let Some(oldest) = hand.pop_front() else { break };
            if oldest == newest {
                // A change removed it, and now it is back: it must not make room for itself.
                continue;
            }
            let removed = self.entries.remove_if(&oldest, |_digest, held| match held {
                Held::Barred => false,
                Held::Ready(entry) => {
                    !entry.barred.load(Ordering::Acquire)
                        && !entry.referenced.swap(false, Ordering::Relaxed)
                }
            });
            match removed {
                Some((_digest, Held::Ready(entry))) => {
                    self.evictions.fetch_add(1, Ordering::Relaxed);
                    self.release(entry);
                }
                Some((_digest, Held::Barred)) => {}
                None if self.entries.contains_key(&oldest) => hand.push_back(oldest),
                None => {}
            }
        }
        // Last, so that it is not the one that makes room for itself.
        hand.push_back(newest);
    }

    /// Drops the cells that no entry refers to any more. An entry that was evicted while a request
    /// or a list of uses still held it could not take its cells along. Called now and then, on a
    /// thread that may block.
    pub fn tidy(&self) {
        self.owners
            .retain(|_id, cell| Arc::strong_count(cell) > 1 || cell.barred.load(Ordering::Acquire));
        self.orgs.retain(|_id, cell| Arc::strong_count(cell) > 1);
        self.takeovers.retain(|_id, cell| Arc::strong_count(cell) > 1 || cell.taken().is_some());
    }

    /// Lets go of an entry that was removed, and of cells that nobody else refers to.
    pub(super) fn release(&self, entry: Arc<Entry>) {
        let (owner, org) = (entry.token.owner, entry.token.org);
        drop(entry);
        self.owners.remove_if(&owner, |_id, cell| {
            Arc::strong_count(cell) == 1 && !cell.barred.load(Ordering::Acquire)
        });
        self.orgs.remove_if(&org, |_id, cell| Arc::strong_count(cell) == 1);
    }
}
