//! When a certificate ends (RFC 5280 section 4.1.2.5), read from its DER form.
//!
//! Whoever asks has had the certificate parsed in full by the library that judges it; this finds one
//! value in it that the library does not tell.

use crate::time::Timestamp;
use chrono::{NaiveDate, NaiveDateTime};

const SEQUENCE: u8 = 0x30;
/// The version, which is left out in certificates of the first.
const EXPLICIT_0: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The first instant at which a certificate is not good any more: one second after the last that it
/// names, as that one is included. Nothing if it is no certificate.
pub(super) fn ends_at(certificate: &[u8]) -> Option<Timestamp> {
    let (outer, _) = expect(certificate, SEQUENCE)?;
    let (mut rest, _) = expect(outer, SEQUENCE)?;
    if rest.first() == Some(&EXPLICIT_0) {
        (_, rest) = expect(rest, EXPLICIT_0)?;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (validity, _) = expect(rest, SEQUENCE)?;
    let (_, _, end) = element(validity)?;
    let (tag, value, _) = element(end)?;
    let text = std::str::from_utf8(value).ok()?;
    let last = match tag {
        UTC_TIME => utc_time(text)?,
        GENERALIZED_TIME => generalized_time(text)?,
        _ => return None,
    };
    Some(Timestamp::from_millis((last.and_utc().timestamp() + 1).saturating_mul(1000)))
}

/// `YYMMDDHHMMSSZ`, of 1950 to 2049.
fn utc_time(text: &str) -> Option<NaiveDateTime> {
    let year: i32 = text.get(..2)?.parse().ok()?;
    moment(if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
}

/// `YYYYMMDDHHMMSSZ`.
fn generalized_time(text: &str) -> Option<NaiveDateTime> {
    moment(text.get(..4)?.parse().ok()?, text.get(4..)?)
}

fn moment(year: i32, rest: &str) -> Option<NaiveDateTime> {
    let digits = rest.strip_suffix('Z').filter(|digits| digits.len() == 10)?;
    let two = |at: usize| digits.get(at..at + 2)?.parse::<u32>().ok();
    NaiveDate::from_ymd_opt(year, two(0)?, two(2)?)?.and_hms_opt(two(4)?, two(6)?, two(8)?)
}

/// The content of the first element, which must have this tag, and what follows it.
fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

/// The first element: its tag, its content, and what follows it (X.690 section 8.1).
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if !(1..=4).contains(&count) {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
