//! A secret of ours that turned up where it should not: what becomes of its token, and who is told.
//!
//! Who reports it need not be anybody: that they have the secret is all that counts. So nothing is
//! asked of a caller here, and it works while governance is deactivated, too.

use super::token::ended;
use super::{Fields, Occasion, Subject};
use crate::access::{SecretFacts, over};
use crate::audit::{Action, Actor, Target};
use crate::change::{Change, RecordKey, Require, Write};
use crate::id::UserId;
use crate::leak::Place;
use crate::notice::{Detail, Kind};
use crate::org::{REASON_CHARS_MAX, StatusChange};
use crate::secret::Digest;
use crate::token::{ApiToken, Standing, TokenStatus};

/// A report of one of a token's secrets.
#[derive(Clone, Debug)]
pub struct Leak<'a> {
    /// The token.
    pub token: &'a ApiToken,
    /// The digest of what was found.
    pub digest: &'a Digest,
    /// Who is told beside the token's owner: the active owners of the organization.
    pub owners: Vec<UserId>,
    /// Where it was found.
    pub place: &'a Place,
    /// The key that the report was signed with, if it was.
    pub signed_by: Option<&'a str>,
}

/// What a report comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The token is deactivated; only an owner of the organization activates it.
    Deactivated,
    /// A former secret that was still good is over; the token goes on with its present one.
    Ended,
    /// What was found was good for nothing any more.
    Nothing,
}

impl Outcome {
    const fn text(self) -> &'static str {
        match self {
            Self::Deactivated => "the token was deactivated; only an owner activates it again",
            Self::Ended => "the former secret ended; the token goes on with its present one",
            Self::Nothing => "nothing: what was found was good for nothing any more",
        }
    }
}

impl Leak<'_> {
    /// Plans what follows; nothing if the token has no such secret (any more).
    ///
    /// The present secret deactivates the token, also one whose own user has deactivated it or whose
    /// owner is deactivated: neither may bring a found secret back to life. A former secret that is
    /// still good ends, and takes nothing else with it. Where nothing is to be taken away it is
    /// recorded and told all the same, which whoever calls this does once in a while only.
    #[must_use]
    pub fn plan(self, at: &Occasion<'_>) -> Option<(Outcome, Change)> {
        let token = self.token;
        let which = SecretFacts::of(token, self.digest)?;
        let reason = self.reason();
        let (outcome, after) = match which {
            SecretFacts::Present | SecretFacts::Heir => match &token.status {
                TokenStatus::Deactivated(was) if was.governed => (Outcome::Nothing, None),
                TokenStatus::Activated(_) | TokenStatus::Deactivated(_)
                    if !token.is_expired(at.now) =>
                {
                    let reason = Some(reason.clone());
                    let status = StatusChange { at: at.now, by: None, reason, governed: true };
                    let status = TokenStatus::Deactivated(status);
                    (Outcome::Deactivated, Some(ApiToken { status, ..token.clone() }))
                }
                TokenStatus::Activated(_)
                | TokenStatus::Deactivated(_)
                | TokenStatus::Revoked(_) => (Outcome::Nothing, None),
            },
            SecretFacts::Former(facts) if !over(&facts, false, at.now) => {
                (Outcome::Ended, Some(self.without(at)))
            }
            SecretFacts::Former(_) => (Outcome::Nothing, None),
        };
        let is_former = matches!(which, SecretFacts::Former(_));
        Some((outcome, self.change(outcome, is_former, after, &reason, at)))
    }

    /// The token with the former secret over.
    fn without(&self, at: &Occasion<'_>) -> ApiToken {
        let end = |former: &_| {
            let former: &crate::token::FormerSecret = former;
            if former.digest == *self.digest { ended(former, at.now) } else { former.clone() }
        };
        ApiToken { former: self.token.former.iter().map(end).collect(), ..self.token.clone() }
    }

    fn reason(&self) -> String {
        let place = self.place.url.as_deref().or(self.place.source.as_deref());
        let reason = match place {
            Some(place) => format!("leaked: reported at {place}"),
            None => "leaked: reported without a place".to_owned(),
        };
        reason.chars().take(REASON_CHARS_MAX).collect()
    }

    fn change(
        &self,
        outcome: Outcome,
        is_former: bool,
        after: Option<ApiToken>,
        reason: &String,
        at: &Occasion<'_>,
    ) -> Change {
        let token = self.token;
        let mut change = Change {
            requires: vec![Require::Version(RecordKey::Token(token.id), token.version)],
            restrictive: after.is_some(),
            ..Change::default()
        };
        let event = |action, fields| {
            let target = Target::Token(token.id);
            let subject = Subject::new(target, &token.name, fields).because(Some(reason));
            at.event(token.org, Actor::Unknown, action, subject)
        };
        let mut fields = Fields::default()
            .made("secret", if is_former { "former" } else { "present" })
            .made("outcome", outcome.text());
        let mut notice = at.tell_owner(Kind::Leaked, token, None, Some(reason));
        notice.details.push(Detail::new("outcome", outcome.text()));
        let said = [
            ("url", self.place.url.as_deref()),
            ("source", self.place.source.as_deref()),
            ("signed_by", self.signed_by),
        ];
        for (field, text) in said {
            if let Some(text) = text {
                fields = fields.made(field, text);
                notice.details.push(Detail::new(field, text));
            }
        }
        notice.to.extend(self.owners.iter().filter(|owner| **owner != token.owner));
        change.events.push(event(Action::LeakReported, fields));
        if outcome == Outcome::Deactivated {
            let before = match token.standing() {
                Standing::Activated => "activated",
                Standing::Deactivated => "deactivated by its own user",
                Standing::Revoked => "revoked",
            };
            let fields = Fields::default().changed("status", before, "deactivated");
            change.events.push(event(Action::TokenDeactivated, fields));
        }
        change.notices.push(notice);
        change.writes.extend(after.map(Write::Token));
        change
    }
}

#[cfg(test)]
mod tests;
