//! How long a notice that could not be delivered waits.

use std::time::Duration;

/// How often and after which pauses a notice is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts, the first one included; then it is given up.
    pub attempts_max: u32,
    /// The pause after the first attempt; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Retry {
    /// The pause after so many attempts: the upper half of it by chance, so that what failed
    /// together is not tried together again.
    #[must_use]
    pub fn pause(&self, attempts: u32, jitter: u64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        let half = whole / 2;
        let span = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        half + Duration::from_millis(jitter % span)
    }
}
