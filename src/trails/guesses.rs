//! How many wrong tokens an address may present.
//!
//! The generic cell rate algorithm: an address has a time before which it should not have come yet,
//! and each wrong token moves that on. Addresses are hashed, under a key of this process, onto a
//! fixed number of cells: memory does not grow with them, and two that share a cell share its
//! patience. That hurts nobody who has a good token, since those are never counted here.

use crate::time::Timestamp;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Wrong tokens from one address that are answered one after the other.
const GUESSES_MAX: u32 = 20;
/// After that, one in so long.
const GUESS_INTERVAL: Duration = Duration::from_secs(6);
/// Addresses that are told apart.
const CELLS: usize = 4_096;

/// The patience with all addresses.
#[derive(Debug)]
pub struct Guesses {
    /// When the next wrong token of an address is due, in milliseconds.
    cells: Box<[AtomicI64]>,
    hasher: RandomState,
}

impl Default for Guesses {
    fn default() -> Self {
        let cells = (0..CELLS).map(|_cell| AtomicI64::new(i64::MIN)).collect();
        Self { cells, hasher: RandomState::new() }
    }
}

impl Guesses {
    /// Counts a wrong token from an address; or says how long it has to wait with the next one.
    pub fn count(&self, from: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let cell = &self.cells[self.cell_of(from)];
        let interval = millis(GUESS_INTERVAL);
        let patience = interval * i64::from(GUESSES_MAX - 1);
        let now = now.millis();
        let next = |due: i64| {
            let due = due.max(now);
            (due - now <= patience).then_some(due + interval)
        };
        match cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(_counted) => Ok(()),
            Err(due) => {
                let wait = due.saturating_sub(patience).saturating_sub(now);
                Err(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
            }
        }
    }

    /// How long an address has to wait with the next one, if it does; nothing is counted.
    pub fn waits(&self, from: IpAddr, now: Timestamp) -> Option<Duration> {
        let due = self.cells[self.cell_of(from)].load(Ordering::Relaxed);
        let patience = millis(GUESS_INTERVAL) * i64::from(GUESSES_MAX - 1);
        let wait = due.saturating_sub(patience).saturating_sub(now.millis());
        (wait > 0).then(|| Duration::from_millis(wait.unsigned_abs()))
    }

    fn cell_of(&self, from: IpAddr) -> usize {
        let hash = match from.to_canonical() {
            IpAddr::V4(address) => self.hasher.hash_one(address),
            // Whoever has one address of a network has all of them (RFC 6177 section 2).
            IpAddr::V6(address) => self.hasher.hash_one(&address.octets()[..8]),
        };
        usize::try_from(hash % CELLS as u64).unwrap_or(0)
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + millis)
    }

    #[test]
    fn patience_ends_and_comes_back() {
        let guesses = Guesses::default();
        let count = |millis| guesses.count([127, 0, 0, 1].into(), at(millis));
        let waits = |millis| guesses.waits([127, 0, 0, 1].into(), at(millis));
        for _ in 0..GUESSES_MAX {
            assert_eq!(waits(0), None);
            assert_eq!(count(0), Ok(()));
        }
        assert_eq!(waits(0), Some(GUESS_INTERVAL));
        assert_eq!(waits(5_999), Some(Duration::from_millis(1)));
        assert_eq!(waits(6_000), None);
        assert_eq!(count(0), Err(GUESS_INTERVAL));
        // To try on moves nothing.
        assert_eq!(count(5_999), Err(Duration::from_millis(1)));
        assert_eq!(count(6_000), Ok(()));
        assert_eq!(count(6_000), Err(GUESS_INTERVAL));
        // After a while all of it is back, and no more than that.
        let later = 1_000_000_000;
        for _ in 0..GUESSES_MAX {
            assert_eq!(count(later), Ok(()));
        }
        assert_eq!(count(later), Err(GUESS_INTERVAL));
    }

    #[test]
    fn addresses_are_told_apart_and_networks_are_one() {
        let guesses = Guesses::default();
        let exhaust = |address: &str| {
            let address: IpAddr = address.parse().expect("an address");
            while guesses.count(address, at(0)).is_ok() {}
        };
        exhaust("2001:db8::1");
        assert!(guesses.count("2001:db8::2".parse().expect("an address"), at(0)).is_err());
        exhaust("10.0.0.1");
        let mapped = "::ffff:10.0.0.1".parse().expect("an address");
        assert!(guesses.count(mapped, at(0)).is_err());
        // Two addresses fall onto one cell once in 4,096 times: not all of these ten do.
        let others = (1..=10).filter(|last| guesses.count([10, 0, 1, *last].into(), at(0)).is_ok());
        assert!(others.count() > 0);
    }

    #[test]
    fn memory_does_not_grow_with_addresses() {
        let guesses = Guesses::default();
        let cells = guesses.cells.len();
        for number in 0..100_000_u32 {
            let _counted = guesses.count(number.to_be_bytes().into(), at(0));
        }
        assert_eq!(guesses.cells.len(), cells);
    }
}
