//! Which reported secrets are news. A secret that is good for nothing any more can be reported as
//! often as anybody likes; the trail of its organization must not fill up with it.

use crate::secret::Digest;
use crate::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a report of the same secret is no news.
const NEWS_AFTER: Duration = Duration::from_hours(24);
/// Secrets that are told apart within that time; further ones are no news.
const SECRETS_MAX: usize = 4_096;

/// The secrets that were reported a while ago.
#[derive(Debug, Default)]
pub struct Leaks(Mutex<HashMap<Digest, Timestamp>>);

impl Leaks {
    /// Whether nobody reported this secret for a day; from now on somebody has.
    #[must_use]
    pub fn is_news(&self, digest: &Digest, now: Timestamp) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_digest, at| now < at.after(NEWS_AFTER));
        if told.contains_key(digest) || told.len() >= SECRETS_MAX {
            return false;
        }
        told.insert(*digest, now);
        true
    }

    /// It could not be told after all.
    pub fn forget(&self, digest: &Digest) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + millis)
    }

    #[test]
    fn a_secret_is_news_once_a_day() {
        let leaks = Leaks::default();
        let day = 24 * 60 * 60 * 1000;
        let (one, other) = (Digest::of(b"1"), Digest::of(b"2"));
        assert!(leaks.is_news(&one, at(0)));
        assert!(!leaks.is_news(&one, at(0)));
        assert!(leaks.is_news(&other, at(0)));
        assert!(!leaks.is_news(&one, at(day - 1)));
        assert!(leaks.is_news(&one, at(day)));
        leaks.forget(&one);
        assert!(leaks.is_news(&one, at(day)));
    }

    #[test]
    fn memory_does_not_grow_with_reports() {
        let leaks = Leaks::default();
        let news = |number: usize, now| leaks.is_news(&Digest::of(&number.to_le_bytes()), now);
        let told = (0..2 * SECRETS_MAX).filter(|number| news(*number, at(0))).count();
        assert_eq!(told, SECRETS_MAX);
        assert!(news(2 * SECRETS_MAX, at(24 * 60 * 60 * 1000)));
    }
}
