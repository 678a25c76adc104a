//! Points in time and lengths of life.
//!
//! Everything here is pure: the present is always an argument. The one place that reads a clock is
//! [`crate::clock`].

use chrono::{DateTime, Months, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A point in time: milliseconds since the Unix epoch, UTC.
///
/// Written for people and in JSON as RFC 3339 with milliseconds, in the store as the bare number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// Later than anything that RFC 3339 can write (the end of the year 9999).
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The point `millis` milliseconds after the epoch, kept within the years 0 to 9999.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        const MIN: i64 = -62_167_219_200_000;
        if millis < MIN {
            Self(MIN)
        } else if millis > Self::MAX.0 {
            Self::MAX
        } else {
            Self(millis)
        }
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This point moved into the future, at most to [`Timestamp::MAX`].
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(by))
    }

    /// This point moved into the past.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(by))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same time of day `months` calendar months later, the day clipped to the month's end.
    #[must_use]
    pub fn after_months(self, months: u32) -> Self {
        self.utc()
            .checked_add_months(Months::new(months))
            .map_or(Self::MAX, |later| Self::from_millis(later.timestamp_millis()))
    }

    fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or(DateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

/// Why a text is not a point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time as RFC 3339 writes it, such as 2027-01-31T12:00:00Z")]
pub struct NotATime;

impl FromStr for Timestamp {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = DateTime::parse_from_rfc3339(text).map_err(|_unspecific| NotATime)?;
        let millis = time.timestamp_millis();
        let kept = Self::from_millis(millis);
        if kept.0 == millis { Ok(kept) } else { Err(NotATime) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self::from_millis)
        }
    }
}

/// A day in UTC, numbered from 1970-01-01 on. Written as RFC 3339 writes a date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// The day that this instant lies in.
    #[must_use]
    pub const fn of(time: Timestamp) -> Self {
        Self(time.0.div_euclid(MILLIS_PER_DAY))
    }

    /// Its first instant.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        Timestamp::from_millis(self.0.saturating_mul(MILLIS_PER_DAY))
    }

    /// How many days it comes after `earlier`; less than nothing if it comes before.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The day that came so many days earlier.
    #[must_use]
    pub fn earlier(self, days: u16) -> Self {
        Self(self.0.saturating_sub(i64::from(days)))
    }

    /// The day that comes so many days later.
    #[must_use]
    pub fn later(self, days: u16) -> Self {
        Self(self.0.saturating_add(i64::from(days)))
    }
}

const MILLIS_PER_DAY: i64 = 24 * 60 * 60 * 1000;

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.start().utc().format("%Y-%m-%d").fmt(f)
    }
}

/// Why a text is not a day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a day such as 2027-01-31")]
pub struct NotADay;

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let start = format!("{text}T00:00:00Z");
        start.parse().map(Self::of).map_err(|_not_a_time| NotADay)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

/// The unit of a length of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// 60 seconds.
    Minutes,
    /// 60 minutes.
    Hours,
    /// 24 hours.
    Days,
    /// A calendar month: the same day, clipped to the month's end.
    Months,
}

/// A length of life as people say it: a value and a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ttl {
    /// How many units.
    pub value: u32,
    /// Of which unit.
    pub unit: Unit,
}

impl Ttl {
    /// `value` units of `unit`.
    #[must_use]
    pub const fn new(value: u32, unit: Unit) -> Self {
        Self { value, unit }
    }

    /// When a life of this length that begins at `start` ends; at most [`Timestamp::MAX`].
    #[must_use]
    pub fn end(self, start: Timestamp) -> Timestamp {
        let minutes = match self.unit {
            Unit::Months => return start.after_months(self.value),
            Unit::Minutes => 1,
            Unit::Hours => 60,
            Unit::Days => 24 * 60,
        };
        start.after(Duration::from_secs(60 * minutes * u64::from(self.value)))
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Minutes => "minute",
            Unit::Hours => "hour",
            Unit::Days => "day",
            Unit::Months => "month",
        };
        let plural = if self.value == 1 { "" } else { "s" };
        write!(f, "{} {unit}{plural}", self.value)
    }
}

#[cfg(test)]
mod tests;
