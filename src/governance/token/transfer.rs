//! Handing a token to another user. Its identity, its secret, its history and its use go on.

use super::Existing;
use crate::audit::{Action, Target};
use crate::change::{RecordKey, Require, Write};
use crate::governance::{
    Authority, Caller, Clash, Fields, Occasion, Plan, Refusal, Subject, TOKENS_PER_USER_MAX, closed,
};
use crate::notice::{Detail, Kind};
use crate::org::User;
use crate::token::ApiToken;

/// Another owner for a token.
#[derive(Clone, Debug)]
pub struct TransferToken<'a> {
    /// The token.
    pub existing: Existing<'a>,
    /// Its new owner.
    pub to: &'a User,
    /// Whether the roles that the new owner lacks are left out, rather than refused.
    pub narrow: bool,
    /// Why.
    pub reason: Option<String>,
}

impl Existing<'_> {
    /// Permits to hand the token to anybody: an owner only, their own included.
    pub fn may_transfer(&self, by: &Caller) -> Result<(), Refusal> {
        self.governing_right(by)?;
        by.needs(Authority::Owner)
    }
}

impl TransferToken<'_> {
    /// Plans the transfer. As with the tokens of a user who is removed, a role that the token carried
    /// without effect is lost: the new owner may hold it, and nobody meant to give it back.
    pub fn plan(self, by: &Caller, at: &Occasion<'_>) -> Result<Plan<ApiToken>, Refusal> {
        let (was, to) = (self.existing.token, self.to);
        self.existing.may_transfer(by)?;
        by.within(to.org)?;
        self.existing.unrevoked()?;
        if to.id == was.owner {
            return Ok(Plan::Nothing(was.clone()));
        }
        if !to.is_active() {
            return Err(Refusal::Clash(Clash::Deactivated));
        }
        let from = self.existing.owner.ok_or(Refusal::NotFound)?;
        let effective = was.scope.intersection(&closed(&from.roles));
        let lacking = effective.difference(&closed(&to.roles));
        if !lacking.is_empty() && !self.narrow {
            let lacking = at.roles.scope_text(&lacking);
            let message =
                format!("the new owner does not hold {lacking}; `narrow` leaves that out");
            return Err(Refusal::invalid("owner", message));
        }
        let scope = effective.difference(&lacking);
        let fields = Fields::default()
            .changed("owner", was.owner.to_string(), to.id.to_string())
            .changed("scope", at.roles.scope_text(&was.scope), at.roles.scope_text(&scope));
        let token = ApiToken { owner: to.id, scope, ..was.clone() };
        let mut change = self.existing.change(by);
        change.requires.extend([
            Require::Version(RecordKey::User(from.id), from.version),
            Require::Version(RecordKey::User(to.id), to.version),
            Require::CountBelow(to.id, TOKENS_PER_USER_MAX),
        ]);
        change.restrictive = true;
        let subject = Subject::new(Target::Token(token.id), &token.name, fields)
            .because(self.reason.as_ref());
        change.events.push(at.event(token.org, by.actor(), Action::TokenUpdated, subject));
        let mut told =
            at.tell_owner(Kind::Transferred, &token, Some(by.user()), self.reason.as_ref());
        // Who had it is told, too: they have to do without it, and may still know its secret.
        told.to.push(from.id);
        let person = |user: &User| format!("{} ({})", user.name, user.id);
        told.details
            .extend([Detail::new("former_owner", person(from)), Detail::new("owner", person(to))]);
        change.notices.push(told);
        change.writes.push(Write::Token(token.clone()));
        Ok(Plan::Change(Box::new(change), token))
    }
}

#[cfg(test)]
mod tests;
