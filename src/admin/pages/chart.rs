//! Pictures: bars and columns, as numbers that a template draws.
//!
//! All lengths are in the units of the picture's own coordinates, which the browser scales.

use super::when::grouped;

/// The length of a whole bar.
const BAR_LENGTH: u64 = 100;
/// The picture of columns: its height, and what one column and the gap behind it take.
const HEIGHT: u64 = 100;
const COLUMN_STEP: u64 = 10;
const COLUMN_WIDTH: u64 = 7;

/// A bar that lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) title: String,
    pub(super) number: String,
    /// Of [`BAR_LENGTH`]; what is there at all is seen.
    pub(super) length: u64,
    pub(super) style: &'static str,
}

impl Bar {
    pub(super) fn of(title: &str, count: u64, whole: u64, style: &'static str) -> Self {
        Self {
            title: title.to_owned(),
            number: grouped(count),
            length: part(count, whole, BAR_LENGTH),
            style,
        }
    }
}

/// Bars beside each other, the longest as long as can be.
pub(super) fn bars(counts: &[(String, u64)], style: &'static str) -> Vec<Bar> {
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
    counts.iter().map(|(title, count)| Bar::of(title, *count, most, style)).collect()
}

/// What a column stands for.
#[derive(Clone, Debug)]
pub(super) struct Sum {
    /// The parts from below, with their styles.
    pub(super) parts: Vec<(u64, &'static str)>,
    /// What is said of it.
    pub(super) words: String,
    /// What is written below it, if it is the first or the last.
    pub(super) below: String,
}

impl Sum {
    pub(super) fn whole(&self) -> u64 {
        self.parts.iter().map(|(count, _)| *count).sum()
    }
}

/// Columns that stand side by side, each in parts on top of each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) standing: Vec<Column>,
    pub(super) width: u64,
    pub(super) height: u64,
    /// What the highest column stands for.
    pub(super) most: String,
    /// What each of them is: "on a day".
    pub(super) unit: &'static str,
    pub(super) is_empty: bool,
    /// What stands below the first and the last.
    pub(super) first: String,
    pub(super) last: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) x: u64,
    pub(super) width: u64,
    pub(super) words: String,
    pub(super) parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) y: u64,
    pub(super) height: u64,
    pub(super) style: &'static str,
}

impl Columns {
    pub(super) fn of(sums: Vec<Sum>, unit: &'static str) -> Self {
        let most = sums.iter().map(Sum::whole).max().unwrap_or(0);
        let below = |sum: Option<&Sum>| sum.map_or_else(String::new, |sum| sum.below.clone());
        let (first, last) = (below(sums.first()), below(sums.last()));
        let mut columns = Vec::with_capacity(sums.len());
        let mut x = 0;
        for Sum { parts, words, .. } in sums {
            let mut top = HEIGHT;
            let mut standing = Vec::new();
            for (count, style) in parts.into_iter().filter(|(count, _)| *count > 0) {
                let height = part(count, most, HEIGHT).min(top);
                top -= height;
                standing.push(Part { y: top, height, style });
            }
            columns.push(Column { x, width: COLUMN_WIDTH, words, parts: standing });
            x += COLUMN_STEP;
        }
        Self {
            standing: columns,
            width: x,
            height: HEIGHT,
            most: grouped(most),
            unit,
            is_empty: most == 0,
            first,
            last,
        }
    }
}

/// `count` of `whole` as a length, rounded; at least 1 for what is there.
fn part(count: u64, whole: u64, length: u64) -> u64 {
    if count == 0 || whole == 0 {
        return 0;
    }
    let scaled =
        (u128::from(count) * u128::from(length) + u128::from(whole) / 2) / u128::from(whole);
    u64::try_from(scaled).unwrap_or(length).clamp(1, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_parts_of_the_whole_and_what_is_there_is_seen() {
        assert_eq!(part(0, 10, 100), 0);
        assert_eq!(part(1, 1_000_000, 100), 1);
        assert_eq!(part(5, 10, 100), 50);
        assert_eq!(part(10, 10, 100), 100);
        assert_eq!(part(u64::MAX, u64::MAX, 100), 100);
        assert_eq!(part(3, 0, 100), 0);
    }

    #[test]
    fn parts_stand_on_each_other_and_within_the_picture() {
        let sum = |low, high| Sum {
            parts: vec![(low, "a"), (high, "b")],
            words: String::new(),
            below: "day".to_owned(),
        };
        let drawn = Columns::of(vec![sum(3, 1), sum(0, 0), sum(1_000, 1)], "on a day");
        assert_eq!((drawn.width, &*drawn.most), (30, "1,001"));
        let [low, high] = &drawn.standing[2].parts[..] else { panic!("{drawn:?}") };
        assert_eq!((low.y + low.height, high.y + high.height), (100, low.y));
        assert!(drawn.standing[1].parts.is_empty());
        for part in drawn.standing.iter().flat_map(|column| &column.parts) {
            assert!(part.height >= 1 || part.y == 0);
        }
    }
}
