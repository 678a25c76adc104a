//! Lengths of life as they are typed: `45m`, `12h`, `30d`, `6mo`, `longest`.

use bearward::time::{Ttl, Unit};
use std::str::FromStr;

/// A length of life in the short form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShortTtl(pub(super) Ttl);

/// What a new token's life may be said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Longest,
    Ttl(ShortTtl),
}

impl FromStr for Wish {
    type Err = NotATtl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "longest" { Ok(Self::Longest) } else { text.parse().map(Self::Ttl) }
    }
}

/// Why a text is not a length of life.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a whole number and a unit: 45m (minutes), 12h, 30d or 6mo (months); or longest")]
pub(super) struct NotATtl;

impl FromStr for ShortTtl {
    type Err = NotATtl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (value, unit) = text.split_at(digits);
        let unit = match unit {
            "m" | "min" => Unit::Minutes,
            "h" => Unit::Hours,
            "d" => Unit::Days,
            "mo" => Unit::Months,
            _ => return Err(NotATtl),
        };
        match value.parse() {
            Ok(value) if value > 0 => Ok(Self(Ttl::new(value, unit))),
            Ok(_) | Err(_) => Err(NotATtl),
        }
    }
}
