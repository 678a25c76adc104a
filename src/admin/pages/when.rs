//! Times and numbers as people say them.

use crate::time::Timestamp;
use std::time::Duration;

/// A time: what a cell says, and what it says exactly.
#[derive(Clone, Debug)]
pub(super) struct When {
    /// "in 12 days", "3 hours ago".
    pub(super) words: String,
    /// RFC 3339, in UTC.
    pub(super) exact: String,
    /// The day alone.
    pub(super) day: String,
}

impl When {
    pub(super) fn of(time: Timestamp, now: Timestamp) -> Self {
        let exact = time.to_string();
        let day = exact.get(..10).unwrap_or_default().to_owned();
        let words = if time > now {
            format!("in {}", span(time.since(now)))
        } else {
            let ago = now.since(time);
            if ago < Duration::from_mins(1) {
                "just now".into()
            } else {
                format!("{} ago", span(ago))
            }
        };
        Self { words, exact, day }
    }
}

/// A length of time in its largest unit, rounded down.
pub(super) fn span(length: Duration) -> String {
    let minutes = length.as_secs() / 60;
    let units = [("year", 365 * 24 * 60), ("month", 30 * 24 * 60), ("day", 24 * 60), ("hour", 60)];
    // Months are for what is far away: up to two of them are days.
    let fits = |name: &str, size: u64| match name {
        "month" => minutes >= 2 * size,
        _ => minutes >= size,
    };
    let (name, size) =
        units.into_iter().find(|(name, size)| fits(name, *size)).unwrap_or(("minute", 1));
    let count = minutes / size;
    if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") }
}

/// A number with its thousands apart: `12,841`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_said_in_their_largest_unit() {
        let of = |minutes| span(Duration::from_mins(minutes));
        assert_eq!(of(0), "0 minutes");
        assert_eq!(of(1), "1 minute");
        assert_eq!(of(59), "59 minutes");
        assert_eq!(of(60), "1 hour");
        assert_eq!(of(47 * 60), "1 day");
        assert_eq!(of(59 * 24 * 60), "59 days");
        assert_eq!(of(60 * 24 * 60), "2 months");
        assert_eq!(of(365 * 24 * 60), "1 year");
    }

    #[test]
    fn thousands_are_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn ahead_and_behind() {
        let at = |hours: i64| Timestamp::from_millis(1_800_000_000_000 + hours * 3_600_000);
        assert_eq!(When::of(at(50), at(0)).words, "in 2 days");
        assert_eq!(When::of(at(0), at(50)).words, "2 days ago");
        assert_eq!(When::of(at(0), at(0)).words, "just now");
        assert_eq!(When::of(at(0), at(0)).day, "2027-01-15");
    }
}
