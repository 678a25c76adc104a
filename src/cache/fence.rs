//! The fence: for each key, folded into a fixed number of slots, the highest revision that was
//! ever applied.
//!
//! Keys that share a slot only make each other read the store again; they never let anything
//! older pass.

use super::atomics::{AtomicU64, Ordering};

/// How many slots there are: 512 KiB.
const SLOTS: usize = 1 << 16;

pub(super) struct Fence {
    slots: Box<[AtomicU64]>,
}

impl Fence {
    pub(super) fn new() -> Self {
        Self::with_slots(SLOTS)
    }

    pub(super) fn with_slots(slots: usize) -> Self {
        Self { slots: (0..slots).map(|_slot| AtomicU64::new(0)).collect() }
    }

    /// A commit of `revision` wrote this key. Called before the map is touched.
    pub(super) fn raise(&self, key: u64, revision: u64) {
        self.slot(key).fetch_max(revision, Ordering::AcqRel);
    }

    /// Whether what a snapshot of `revision` says about this key may go into the map. Called while
    /// the key's shard is locked.
    pub(super) fn admits(&self, key: u64, revision: u64) -> bool {
        self.slot(key).load(Ordering::Acquire) <= revision
    }

    fn slot(&self, key: u64) -> &AtomicU64 {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below the length")]
        let at = (key % self.slots.len() as u64) as usize;
        &self.slots[at]
    }
}
