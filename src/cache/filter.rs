//! A Bloom filter over every digest that the store knows.
//!
//! It may say of an unknown digest that it is known (one in a thousand, when full), never the
//! reverse.

use crate::secret::Digest;
use crate::store::{Facts, StoreError};
use fastbloom::AtomicBloomFilter;
use std::sync::atomic::{AtomicU64, Ordering};

const FALSE_POSITIVES: f64 = 0.001;
/// Room in the smallest filter: 14 bits each.
const ROOM_MIN: u64 = 65_536;

pub(super) struct Filter {
    bits: AtomicBloomFilter,
    room: u64,
    known: AtomicU64,
}

impl Filter {
    pub(super) fn with_room_for(digests: u64) -> Self {
        let room = digests.max(ROOM_MIN);
        let items = usize::try_from(room).unwrap_or(usize::MAX);
        let bits = AtomicBloomFilter::with_false_pos(FALSE_POSITIVES).expected_items(items);
        Self { bits, room, known: AtomicU64::new(0) }
    }

    /// The filter of everything in the store, with room for as much again.
    pub(super) fn of_all(facts: &dyn Facts) -> Result<Self, StoreError> {
        let count = facts.visit_digests(&mut |_digest| {})?;
        let filter = Self::with_room_for(count * 2);
        facts.visit_digests(&mut |digest| filter.learn(digest))?;
        Ok(filter)
    }

    pub(super) fn learn(&self, digest: &Digest) {
        // Every change of a token teaches its digest again; that takes no room.
        let was_known = self.bits.insert(digest);
        if !was_known {
            self.known.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn may_hold(&self, digest: &Digest) -> bool {
        self.bits.contains(digest)
    }

    pub(super) fn known(&self) -> u64 {
        self.known.load(Ordering::Relaxed)
    }

    pub(super) fn is_full(&self) -> bool {
        self.known() > self.room
    }
}
