//! Whether an address is good, by what became of the exchanges with it.

use crate::config::Ejection;
use std::time::Duration;

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made: the next attempt would wait for as long, so one is enough.
    Connect,
    /// The exchange broke off before there was an answer.
    Broken,
    /// The answer said that the upstream itself had failed.
    Status,
}

impl Failure {
    /// The word for it in logs.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "no connection can be made",
            Self::Broken => "exchanges break off before their answer",
            Self::Status => "answers have a status from 500 on",
        }
    }
}

/// What one worker has seen of one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Failures in a row.
    failures: u32,
    /// Ejections in a row.
    ejections: u32,
    /// Before this tick it is left out.
    until: u64,
}

impl Standing {
    /// Whether it is left out.
    pub(super) const fn is_out(&self, now: u64) -> bool {
        now < self.until
    }

    /// It answered: what was before is forgotten. Answers whether there was anything.
    pub(super) fn answers(&mut self) -> bool {
        std::mem::take(self) != Self::default()
    }

    /// It failed. Answers for how long it is left out from now on, if that begins with this.
    pub(super) fn fails(
        &mut self,
        now: u64,
        failure: Failure,
        rules: &Ejection,
    ) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let is_enough = failure == Failure::Connect || self.failures >= rules.after;
        // What was under way when it was ejected says nothing new.
        if !is_enough || self.is_out(now) {
            return None;
        }
        let doubled =
            2_u32.checked_pow(self.ejections).and_then(|by| rules.pause_first.checked_mul(by));
        self.ejections = self.ejections.saturating_add(1);
        // After the pause one more failure is enough.
        self.failures = rules.after;
        Some(doubled.unwrap_or(rules.pause_longest).min(rules.pause_longest))
    }

    /// It is left out before this tick.
    pub(super) const fn eject(&mut self, until: u64) {
        self.until = until;
    }
}

/// Whether so few are good that all are used: those that are left would be overrun, and whatever is
/// wrong with so many is hardly theirs.
pub(super) const fn is_panic(good: usize, all: usize, rules: &Ejection) -> bool {
    good == 0 || good * 100 < all * rules.panic_percent as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Ejection = Ejection {
        after: 3,
        pause_first: Duration::from_secs(5),
        pause_longest: Duration::from_secs(15),
        on_5xx: false,
        panic_percent: 50,
    };

    #[test]
    fn failures_in_a_row_eject_and_an_answer_ends_the_row() {
        let mut standing = Standing::default();
        for _ in 0..2 {
            assert_eq!(standing.fails(0, Failure::Broken, &RULES), None);
        }
        assert!(standing.answers());
        assert!(!standing.answers(), "there is nothing to forget");
        for _ in 0..2 {
            assert_eq!(standing.fails(0, Failure::Broken, &RULES), None);
        }
        assert_eq!(standing.fails(0, Failure::Broken, &RULES), Some(RULES.pause_first));
    }

    #[test]
    fn one_connection_that_cannot_be_made_is_enough() {
        let mut standing = Standing::default();
        assert_eq!(standing.fails(0, Failure::Connect, &RULES), Some(RULES.pause_first));
    }

    #[test]
    fn it_is_out_until_its_tick() {
        let mut standing = Standing::default();
        standing.fails(0, Failure::Connect, &RULES);
        standing.eject(10);
        assert!(standing.is_out(9));
        assert_eq!(standing.fails(9, Failure::Connect, &RULES), None, "it is out already");
        assert!(!standing.is_out(10));
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_an_answer() {
        let mut standing = Standing::default();
        let mut pauses = Vec::new();
        for now in 0..4 {
            // One more failure is enough, whatever kind it is.
            pauses.extend(standing.fails(now, Failure::Broken, &Ejection { after: 1, ..RULES }));
        }
        assert_eq!(pauses, [5, 10, 15, 15].map(Duration::from_secs));
        for _ in 0..100 {
            standing.fails(9, Failure::Connect, &RULES);
        }
        assert_eq!(standing.fails(9, Failure::Broken, &RULES), Some(RULES.pause_longest));
        standing.answers();
        assert_eq!(standing.fails(9, Failure::Connect, &RULES), Some(RULES.pause_first));
    }

    #[test]
    fn panic_begins_below_its_share() {
        let panics = |good, all| is_panic(good, all, &RULES);
        assert!(!panics(1, 2) && !panics(2, 3) && !panics(1, 1));
        assert!(panics(1, 3) && panics(0, 1) && panics(49, 99));
        let never = Ejection { panic_percent: 0, ..RULES };
        assert!(!is_panic(1, 100, &never));
        assert!(is_panic(0, 100, &never), "there is nothing else to use");
    }
}
