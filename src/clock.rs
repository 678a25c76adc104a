//! The only reader of the wall clock.
//!
//! **Invariant.** Time never runs backwards while the process lives: a clock that is set back
//! stands still here until it has caught up, so what has expired stays expired.

use crate::time::Timestamp;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

static LATEST: AtomicI64 = AtomicI64::new(i64::MIN);

/// The present.
///
/// Reading it costs one `clock_gettime` without a system call (vDSO), some 20 ns.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_millis(ratchet(&LATEST, wall()))
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn wall() -> i64 {
    let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => millis(after),
        Err(before) => -millis(before.duration()),
    }
}

/// The later of what was ever seen and `seen`. Most calls within one millisecond only load.
fn ratchet(latest: &AtomicI64, seen: i64) -> i64 {
    let known = latest.load(Ordering::Relaxed);
    if seen > known { latest.fetch_max(seen, Ordering::Relaxed).max(seen) } else { known }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_runs_backwards() {
        let latest = AtomicI64::new(i64::MIN);
        assert_eq!(ratchet(&latest, 5), 5);
        assert_eq!(ratchet(&latest, 3), 5);
        assert_eq!(ratchet(&latest, 9), 9);
        assert_eq!(ratchet(&latest, 8), 9);
    }
}
