//! Requests that were refused although their token is known, by reason.

use crate::access::{Reason, Verdicts};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Refused requests with tokens of one organization that are not in the store yet. All entries of the
/// organization's tokens share them.
#[derive(Debug, Default)]
pub struct Denials {
    counts: [AtomicU64; Reason::ALL.len()],
    /// Whether there may be any: a flush looks at this for each token that was used.
    any: AtomicBool,
}

impl Denials {
    /// Counts one. The entry must be listed after this.
    pub(super) fn count(&self, reason: Reason) {
        self.counts[reason as usize].fetch_add(1, Ordering::Relaxed);
        // A swap, not a store: a `take` that misses it has unlisted the entry before, and that is
        // then seen by whoever lists it.
        self.any.swap(true, Ordering::AcqRel);
    }

    /// Takes what was counted, if anything was.
    pub(super) fn take(&self) -> Option<Verdicts> {
        // The others of the organization's tokens must not all write to one line of memory.
        if !self.any.load(Ordering::Acquire) || !self.any.swap(false, Ordering::AcqRel) {
            return None;
        }
        let denied = std::array::from_fn(|at| self.counts[at].swap(0, Ordering::AcqRel));
        Some(Verdicts { permitted: 0, denied })
    }
}
