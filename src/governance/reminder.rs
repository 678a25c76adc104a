//! What the owner of tokens is told of their ends: so many days before, and when they are over.

use crate::change::{Change, RecordKey, Require, Write};
use crate::notice::{self, About, Detail, Kind};
use crate::org::User;
use crate::time::Timestamp;
use crate::token::{ApiToken, Standing};

/// A reminder that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Since when.
    pub at: Timestamp,
    /// The token whose end it is about.
    pub token: ApiToken,
}

impl Due {
    /// What is told of it, if anything is: of the nearest instant that has passed, unless that was
    /// done `through` already. A token that is switched off needs nobody's care.
    fn kind(&self, through: Timestamp, now: Timestamp) -> Option<Kind> {
        let passed = self.token.reminders().filter(|at| *at <= now).max()?;
        let is_told = passed > through && self.token.standing() == Standing::Activated;
        is_told.then_some(if self.token.is_expired(now) {
            Kind::Expired
        } else {
            Kind::AboutToExpire
        })
    }
}

/// What becomes of the reminders of one owner's tokens that are due: they are done, and the owner,
/// unless switched off too, is told of all of them in one notice of each kind.
#[must_use]
pub fn remind(
    owner: Option<&User>,
    mut dues: Vec<Due>,
    through: Timestamp,
    now: Timestamp,
) -> Change {
    let mut change = Change::default();
    let (mut ahead, mut over) = (Vec::new(), Vec::new());
    dues.sort_by_key(|due| (due.token.expires_at, due.token.id));
    let owner = owner.filter(|owner| owner.is_active());
    for due in &dues {
        let token = &due.token;
        change.requires.push(Require::Version(RecordKey::Token(token.id), token.version));
        let (org, next) = (token.org, token.next_reminder(now));
        change.writes.push(Write::Reminded { org, token: token.id, at: due.at, next });
        let (lines, verb) = match due.kind(through, now) {
            Some(Kind::Expired) => (&mut over, "expired"),
            Some(_) => (&mut ahead, "expires"),
            None => continue,
        };
        let text = format!("{} ({}) {verb} at {}", token.name, token.id, token.expires_at);
        lines.push(Detail::new("token", text));
    }
    let Some(owner) = owner else { return change };
    for (kind, lines) in [(Kind::AboutToExpire, ahead), (Kind::Expired, over)] {
        if !lines.is_empty() {
            change.notices.push(notice::Draft {
                org: owner.org,
                at: now,
                kind,
                about: About::Organization,
                to: vec![owner.id],
                by: None,
                reason: None,
                details: notice::cut(lines, 0),
            });
        }
    }
    change
}

#[cfg(test)]
mod tests;
