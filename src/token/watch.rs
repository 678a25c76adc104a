//! Since when uses are recorded, and when some may have been lost.
//!
//! Uses are stored some seconds after they happen. A process that is killed loses those of its last
//! seconds, and whoever says that something was *not* used has to know that. So the store remembers
//! up to when it has every use, and whether the gateway that brings them came to an orderly end.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Gaps that are remembered; with more, the two oldest become one that spans both.
pub const GAPS_KEPT_MAX: usize = 16;

/// What is known of how uses were recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// When it began.
    pub since: Timestamp,
    /// Every use until then is stored, but for those in the gaps.
    pub through: Timestamp,
    /// Whether uses may have happened after that.
    pub is_open: bool,
    /// Times in which uses may have been lost, the earliest first; at most [`GAPS_KEPT_MAX`].
    pub gaps: Vec<Gap>,
}

/// A time in which uses may have been lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Every use until then is stored.
    pub from: Timestamp,
    /// Every use from then on.
    pub until: Timestamp,
}

/// What happens to the recording of uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A gateway begins to take requests.
    Begin(Timestamp),
    /// Every use until then is stored.
    Through(Timestamp),
    /// The gateway has taken its last request, and every use is stored.
    End(Timestamp),
    /// The store is a copy, and what it is a copy of went on.
    Restored,
}

impl Watch {
    /// What comes after a step. Nothing is known before the first gateway begins.
    #[must_use]
    pub fn after(watch: Option<Self>, step: Step) -> Option<Self> {
        let Some(mut watch) = watch else {
            let Step::Begin(since) = step else { return None };
            return Some(Self { since, through: since, is_open: true, gaps: Vec::new() });
        };
        match step {
            Step::Begin(until) => {
                if watch.is_open {
                    watch.note(Gap { from: watch.through, until: until.max(watch.through) });
                }
                watch.through = watch.through.max(until);
                watch.is_open = true;
            }
            Step::Through(at) => watch.through = watch.through.max(at),
            Step::End(at) => {
                watch.through = watch.through.max(at);
                watch.is_open = false;
            }
            Step::Restored => watch.is_open = true,
        }
        Some(watch)
    }

    fn note(&mut self, gap: Gap) {
        self.gaps.push(gap);
        if self.gaps.len() > GAPS_KEPT_MAX {
            let first = self.gaps.remove(0);
            if let Some(second) = self.gaps.first_mut() {
                second.from = first.from;
            }
        }
    }

    /// Whether every use since an instant is known.
    #[must_use]
    pub fn is_whole_since(&self, start: Timestamp) -> bool {
        self.since <= start && self.gaps.iter().all(|gap| gap.until <= start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn watch(steps: &[Step]) -> Watch {
        steps.iter().fold(None, |watch, step| Watch::after(watch, *step)).expect("it has begun")
    }

    #[test]
    fn an_orderly_end_leaves_no_gap_and_any_other_does() {
        let begun = [Step::Begin(at(10)), Step::Through(at(20))];
        let orderly = [&begun[..], &[Step::End(at(30)), Step::Begin(at(90))]].concat();
        let expected = Watch { since: at(10), through: at(90), is_open: true, gaps: Vec::new() };
        assert_eq!(watch(&orderly), expected);
        let killed = [&begun[..], &[Step::Begin(at(90))]].concat();
        assert_eq!(watch(&killed).gaps, [Gap { from: at(20), until: at(90) }]);
        let restored = [&begun[..], &[Step::End(at(30)), Step::Restored, Step::Begin(at(90))]];
        assert_eq!(watch(&restored.concat()).gaps, [Gap { from: at(30), until: at(90) }]);
        assert_eq!(Watch::after(None, Step::Through(at(1))), None);
        assert_eq!(Watch::after(None, Step::Restored), None);
    }

    #[test]
    fn a_clock_that_was_set_back_takes_nothing_back() {
        let steps = [Step::Begin(at(10)), Step::Through(at(50)), Step::Begin(at(20))];
        let found = watch(&steps);
        assert_eq!(
            (found.through, found.gaps),
            (at(50), vec![Gap { from: at(50), until: at(50) }])
        );
    }

    #[test]
    fn whole_is_what_began_before_and_has_no_gap_since() {
        let found = watch(&[Step::Begin(at(10)), Step::Through(at(20)), Step::Begin(at(30))]);
        let whole = [9, 10, 29, 30, 31].map(|start| found.is_whole_since(at(start)));
        assert_eq!(whole, [false, false, false, true, true]);
        assert!(watch(&[Step::Begin(at(10))]).is_whole_since(at(10)));
        assert!(!watch(&[Step::Begin(at(10))]).is_whole_since(at(9)));
    }

    #[test]
    fn gaps_are_bounded_and_none_is_forgotten() {
        let most = i64::try_from(GAPS_KEPT_MAX).expect("a small number");
        let steps: Vec<Step> = (0..=most + 1).map(|number| Step::Begin(at(number))).collect();
        let found = watch(&steps);
        assert_eq!(found.gaps.len(), GAPS_KEPT_MAX);
        assert_eq!(found.gaps[0], Gap { from: at(0), until: at(2) });
    }
}
