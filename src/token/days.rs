//! Uses of a token by day.

use super::Usage;
use crate::time::Day;
use serde::{Deserialize, Serialize};

/// The days whose uses are kept, the last one included.
pub const DAYS_KEPT: u16 = 35;

/// How often a token was used on each of the last [`DAYS_KEPT`] days until its last use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    /// The last day with a use.
    latest: Day,
    /// The uses on that day, on the day before, and so on; empty if there were none.
    uses: Vec<u64>,
}

impl Days {
    /// Adds uses on a day. Days that are too long ago are forgotten.
    pub fn add(&mut self, day: Day, uses: u64) {
        if uses == 0 {
            return;
        }
        if self.uses.is_empty() {
            self.latest = day;
        }
        let kept = usize::from(DAYS_KEPT);
        let passed = usize::try_from(day.since(self.latest)).unwrap_or(0).min(kept);
        if passed > 0 {
            self.uses.splice(0..0, std::iter::repeat_n(0, passed));
            self.uses.truncate(kept);
            self.latest = day;
        }
        let Ok(age) = usize::try_from(self.latest.since(day)) else { return };
        if age >= kept {
            return;
        }
        if self.uses.len() <= age {
            self.uses.resize(age + 1, 0);
        }
        self.uses[age] = self.uses[age].saturating_add(uses);
    }

    /// Adds the uses of a short while, all of them to the day of the last.
    pub fn count(&mut self, usage: &Usage) {
        if let Some(last) = usage.last_used_at {
            self.add(Day::of(last), usage.use_count);
        }
    }

    /// The days with a use, the earliest first.
    pub fn iter(&self) -> impl Iterator<Item = (Day, u64)> + '_ {
        let ages = (0..DAYS_KEPT).zip(&self.uses).filter(|(_, uses)| **uses > 0);
        let mut days: Vec<(Day, u64)> =
            ages.map(|(age, uses)| (self.latest.earlier(age), *uses)).collect();
        days.reverse();
        days.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Whatever the order in which uses come: the days that are kept have all of theirs, unless
        /// they came when their day was forgotten.
        #[test]
        fn the_last_days_have_all_of_their_uses(
            uses in prop::collection::vec((0_u16..90, 0_u64..5), 0..40),
        ) {
            let (mut days, mut model) = (Days::default(), BTreeMap::<Day, u64>::new());
            for (day, uses) in uses {
                let day = Day::default().later(day);
                days.add(day, uses);
                if uses > 0 {
                    *model.entry(day).or_default() += uses;
                }
                let last = model.keys().next_back().copied().unwrap_or_default();
                model.retain(|day, _| last.since(*day) < i64::from(DAYS_KEPT));
            }
            prop_assert_eq!(days.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
        }
    }
}
