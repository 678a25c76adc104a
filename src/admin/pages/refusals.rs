//! Pictures of what was refused, by reason.

use super::chart::{Columns, Sum};
use super::when::grouped;
use crate::access::{Reason, Verdicts};
use std::cmp::Reverse;

/// What stands for the reasons in a picture, the most frequent first; the last one is for all others.
const STYLES: [&str; 5] =
    ["first-reason", "second-reason", "third-reason", "fourth-reason", "others"];

/// Columns in which each reason has a colour, and what the colours mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusals {
    pub(super) columns: Columns,
    pub(super) key: Vec<Meaning>,
}

/// What a colour means, and how often it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) style: &'static str,
    pub(super) reason: &'static str,
    pub(super) number: String,
}

impl Refusals {
    /// Of minutes or days that follow on each other, each with its name.
    pub(super) fn of<'a>(
        all: impl Iterator<Item = (String, &'a Verdicts)>,
        unit: &'static str,
    ) -> Self {
        let all: Vec<(String, &Verdicts)> = all.collect();
        let mut sum = Verdicts::default();
        for (_, verdicts) in &all {
            sum.add(verdicts);
        }
        let mut reasons: Vec<(Reason, u64)> = sum.reasons().collect();
        reasons.sort_by_key(|&(_, count)| Reverse(count));
        let named = if reasons.len() <= STYLES.len() { reasons.len() } else { STYLES.len() - 1 };
        let (named, others) = reasons.split_at(named);
        let mut key: Vec<Meaning> = named
            .iter()
            .zip(STYLES)
            .map(|(&(reason, count), style)| Meaning {
                style,
                reason: name(reason),
                number: grouped(count),
            })
            .collect();
        let rest: u64 = others.iter().map(|(_, count)| *count).sum();
        if rest > 0 {
            let style = STYLES[STYLES.len() - 1];
            key.push(Meaning { style, reason: "other reasons", number: grouped(rest) });
        }
        let style_of = |reason: Reason| {
            let at = named.iter().position(|(known, _)| *known == reason);
            STYLES[at.unwrap_or(STYLES.len() - 1)]
        };
        let column = |(below, verdicts): (String, &Verdicts)| {
            let mut parts: Vec<(u64, &'static str)> = Vec::new();
            for (reason, count) in verdicts.reasons() {
                let style = style_of(reason);
                match parts.iter_mut().find(|(_, known)| *known == style) {
                    Some((sum, _)) => *sum = sum.saturating_add(count),
                    None => parts.push((count, style)),
                }
            }
            // In every column in the same order.
            parts.sort_by_key(|(_, style)| STYLES.iter().position(|known| known == style));
            Sum { words: format!("{below}: {}", words(verdicts)), parts, below }
        };
        Self { columns: Columns::of(all.into_iter().map(column).collect(), unit), key }
    }
}

/// How many were refused, and why.
pub(super) fn words(verdicts: &Verdicts) -> String {
    let mut reasons: Vec<(Reason, u64)> = verdicts.reasons().collect();
    reasons.sort_by_key(|&(_, count)| Reverse(count));
    if reasons.is_empty() {
        return "none refused".to_owned();
    }
    let said: Vec<String> = reasons
        .iter()
        .map(|&(reason, count)| format!("{} {}", grouped(count), name(reason)))
        .collect();
    said.join(", ")
}

/// A reason as people say it.
pub(super) const fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::NoCredential => "without a token",
        Reason::Malformed => "malformed",
        Reason::Unknown => "unknown token",
        Reason::Expired => "expired",
        Reason::Deactivated => "deactivated",
        Reason::Revoked => "revoked",
        Reason::OwnerDeactivated => "owner deactivated",
        Reason::Barred => "being switched off",
        Reason::WrongOrganization => "wrong organization",
        Reason::InsufficientScope => "insufficient scope",
        Reason::MethodNotAllowed => "method not allowed",
        Reason::Unavailable => "nobody could say",
        Reason::Superseded => "former secret",
        Reason::NoCertificate => "without a client certificate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(counts: &[(Reason, u64)]) -> Verdicts {
        let mut verdicts = Verdicts { permitted: 99, ..Verdicts::default() };
        for (reason, count) in counts {
            verdicts.denied[*reason as usize] = *count;
        }
        verdicts
    }

    fn of(all: &[Verdicts]) -> Refusals {
        Refusals::of(all.iter().enumerate().map(|(at, sum)| (at.to_string(), sum)), "on a day")
    }

    #[test]
    fn the_most_frequent_reason_comes_first_and_each_has_one_colour_throughout() {
        let first = denied(&[(Reason::Expired, 1), (Reason::Revoked, 2)]);
        let second = denied(&[(Reason::Expired, 9)]);
        let drawn = of(&[first, Verdicts::default(), second]);
        let key: Vec<_> = drawn.key.iter().map(|it| (it.reason, &*it.number)).collect();
        assert_eq!(key, [("expired", "10"), ("revoked", "2")]);
        let styles = |at: usize| -> Vec<&str> {
            drawn.columns.standing[at].parts.iter().map(|part| part.style).collect()
        };
        assert_eq!(styles(0), ["first-reason", "second-reason"]);
        assert!(styles(1).is_empty());
        assert_eq!(styles(2), ["first-reason"]);
        assert_eq!(drawn.columns.standing[0].words, "0: 2 revoked, 1 expired");
        assert_eq!(drawn.columns.standing[1].words, "1: none refused");
        assert_eq!(drawn.columns.most, "9", "what was admitted is not in the picture");
    }

    #[test]
    fn what_is_rare_is_told_together_and_in_words_by_itself() {
        let six = [
            (Reason::Expired, 6),
            (Reason::Revoked, 5),
            (Reason::Deactivated, 4),
            (Reason::InsufficientScope, 3),
            (Reason::Superseded, 2),
            (Reason::Barred, 1),
        ];
        let drawn = of(&[denied(&six)]);
        let last = drawn.key.last().expect("a key");
        assert_eq!((drawn.key.len(), last.reason, &*last.number), (5, "other reasons", "3"));
        assert!(drawn.columns.standing[0].words.ends_with("2 former secret, 1 being switched off"));
        assert_eq!(of(&[denied(&six[..5])]).key.len(), 5);
        assert_eq!(of(&[denied(&six[..5])]).key[4].reason, "former secret");
    }

    #[test]
    fn nothing_refused_is_an_empty_picture() {
        let drawn = of(&[denied(&[])]);
        assert!(drawn.columns.is_empty && drawn.key.is_empty());
    }
}
