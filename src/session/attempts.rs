//! Sign-ins that are under way at the identity provider.
//!
//! Each belongs to the browser that it was begun in, which holds a key in a cookie, and is over when it
//! is taken: nobody comes back from the provider twice, nor with what somebody else began.

use crate::secret::Digest;
use crate::time::Timestamp;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long somebody may take to sign in at the provider.
pub const ATTEMPT_LIFE: Duration = Duration::from_mins(10);
/// Sign-ins of one address; with one more the oldest of them ends.
pub const ATTEMPTS_PER_ADDRESS_MAX: usize = 1_024;
/// Sign-ins of all addresses; the same.
pub const ATTEMPTS_MAX: usize = 8_192;

/// All of them.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<Digest, Pending>>);

/// A sign-in that was begun.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What the provider sends back.
    pub state: String,
    /// What it puts into the ID token.
    pub nonce: String,
    /// What the code is redeemed with.
    pub verifier: String,
    /// Where somebody wanted to go.
    pub next: String,
    /// The session that the browser had, which is over with another one.
    pub before: Option<Digest>,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("next", &self.next).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Pending {
    attempt: Attempt,
    from: Option<IpAddr>,
    began: Timestamp,
}

impl Attempts {
    /// Remembers a sign-in of the browser that holds `key`.
    pub fn begin(&self, key: &str, attempt: Attempt, from: Option<IpAddr>, now: Timestamp) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_key, pending| !pending.is_over(now));
        let is_neighbour = |pending: &Pending| pending.from == from;
        if pending.values().filter(|pending| is_neighbour(pending)).count()
            >= ATTEMPTS_PER_ADDRESS_MAX
        {
            end_oldest(&mut pending, is_neighbour);
        } else if pending.len() >= ATTEMPTS_MAX {
            end_oldest(&mut pending, |_any| true);
        }
        pending.insert(Digest::of(key.as_bytes()), Pending { attempt, from, began: now });
    }

    /// Takes the sign-in of a browser that comes back with `state`. It is never there again.
    pub fn take(&self, key: &str, state: &str, now: Timestamp) -> Option<Attempt> {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Digest::of(key.as_bytes());
        let expected = &pending.get(&key)?.attempt.state;
        // Another site can send a browser here with any state: that ends nothing.
        verify_slices_are_equal(expected.as_bytes(), state.as_bytes()).ok()?;
        let taken = pending.remove(&key)?;
        (!taken.is_over(now)).then_some(taken.attempt)
    }
}

impl Pending {
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.began.after(ATTEMPT_LIFE)
    }
}

fn end_oldest(pending: &mut HashMap<Digest, Pending>, among: impl Fn(&Pending) -> bool) {
    let candidates = pending.iter().filter(|(_key, pending)| among(pending));
    let oldest = candidates.min_by_key(|(_key, pending)| pending.began).map(|(key, _)| *key);
    if let Some(key) = oldest {
        pending.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + 1000 * seconds)
    }

    fn attempt(state: &str) -> Attempt {
        let text = str::to_owned;
        let (nonce, verifier) = (text("nonce"), text("verifier"));
        Attempt { state: text(state), nonce, verifier, next: text("/"), before: None }
    }

    #[test]
    fn a_sign_in_is_taken_once_by_its_browser_with_its_state() {
        let attempts = Attempts::default();
        attempts.begin("mine", attempt("one"), None, at(0));
        attempts.begin("theirs", attempt("two"), None, at(0));
        assert_eq!(attempts.take("mine", "two", at(1)), None, "another's state");
        assert_eq!(attempts.take("nobody's", "one", at(1)), None);
        assert_eq!(attempts.take("mine", "", at(1)), None);
        assert_eq!(attempts.take("mine", "one", at(1)), Some(attempt("one")));
        assert_eq!(attempts.take("mine", "one", at(1)), None, "again");
        assert_eq!(attempts.take("theirs", "two", at(599)), Some(attempt("two")));
    }

    #[test]
    fn who_takes_too_long_begins_anew() {
        let attempts = Attempts::default();
        attempts.begin("key", attempt("state"), None, at(0));
        assert_eq!(attempts.take("key", "state", at(600)), None);
        // Over is over, whatever the clock says.
        assert_eq!(attempts.take("key", "state", at(1)), None);
    }

    #[test]
    fn one_address_ends_its_own_and_memory_does_not_grow() {
        let attempts = Attempts::default();
        let address = |last: usize| {
            let [.., high, low] = last.to_be_bytes();
            Some(IpAddr::from([10, 0, high, low]))
        };
        attempts.begin("other", attempt("state"), address(1), at(0));
        for number in 0..=ATTEMPTS_PER_ADDRESS_MAX {
            let began = at(1 + i64::try_from(number).expect("small"));
            let key = format!("flood {number}");
            // Within the life of the first of them.
            let began = began.min(at(500));
            attempts.begin(&key, attempt("state"), address(2), began);
        }
        assert_eq!(attempts.take("flood 0", "state", at(500)), None);
        assert!(attempts.take("flood 1", "state", at(500)).is_some());
        assert!(attempts.take("other", "state", at(500)).is_some());
        for number in 0..ATTEMPTS_MAX + 3 {
            attempts.begin(&number.to_string(), attempt("state"), address(number), at(501));
        }
        assert_eq!(attempts.0.lock().expect("no panic").len(), ATTEMPTS_MAX);
    }
}
