//! What becomes of a violation that is known and accepted: an owner has it ignored for a time.

use super::token::policies_of;
use super::{Authority, Caller, Clash, Fields, Occasion, Plan, Refusal, Subject, governed};
use crate::audit::{Action, Target};
use crate::change::{RecordKey, Require, Write};
use crate::org::Organization;
use crate::policy::{Ignore, Ignores, PolicyKind};
use crate::time::Timestamp;
use crate::token::{ApiToken, Usage};
use std::time::Duration;

/// The longest that a violation can be ignored at a time.
pub const IGNORED_DAYS_MAX: u32 = 366;

/// A token and what it breaks, or is said to break.
#[derive(Clone, Copy, Debug)]
pub struct Violator<'a> {
    /// Its organization.
    pub org: &'a Organization,
    /// The token.
    pub token: &'a ApiToken,
    /// Its use, that which is not stored yet included.
    pub usage: &'a Usage,
    /// The policy.
    pub policy: PolicyKind,
}

impl Violator<'_> {
    /// Plans to ignore the violation until an instant that is ahead, by at most
    /// [`IGNORED_DAYS_MAX`]. The policy itself stays what it is: the token lives no longer for it.
    pub fn ignore(
        self,
        until: Timestamp,
        reason: Option<String>,
        by: &Caller,
        at: &Occasion<'_>,
    ) -> Result<Plan<ApiToken>, Refusal> {
        self.permitted(by)?;
        let latest = at.now.after(Duration::from_hours(24 * u64::from(IGNORED_DAYS_MAX)));
        if until <= at.now || until > latest {
            let message = format!("expected a time ahead, until {latest} at most");
            return Err(Refusal::invalid("until", message));
        }
        let broken = policies_of(self.org).violations(self.token, self.usage, at.now);
        if broken.iter().all(|violation| violation.policy != self.policy) {
            return Err(Refusal::Clash(Clash::NotViolated));
        }
        let was = self.token.ignores.of(self.policy);
        if was.is_some_and(|was| was.until == until && was.reason == reason) {
            return Ok(Plan::Nothing(self.token.clone()));
        }
        let ignore = Ignore { until, at: at.now, by: by.user(), reason };
        Ok(self.decided(Some(ignore), Action::ViolationIgnored, by, at))
    }

    /// Plans to let the violation count again.
    pub fn count(self, by: &Caller, at: &Occasion<'_>) -> Result<Plan<ApiToken>, Refusal> {
        self.permitted(by)?;
        if self.token.ignores.of(self.policy).is_none() {
            return Ok(Plan::Nothing(self.token.clone()));
        }
        Ok(self.decided(None, Action::ViolationCounted, by, at))
    }

    /// Owners only, also where the token is their own: it is the organization's policy.
    fn permitted(&self, by: &Caller) -> Result<(), Refusal> {
        by.within(self.org.id)?;
        by.within(self.token.org)?;
        by.needs(Authority::Owner)?;
        governed(self.org)
    }

    fn decided(
        self,
        ignore: Option<Ignore>,
        action: Action,
        by: &Caller,
        at: &Occasion<'_>,
    ) -> Plan<ApiToken> {
        let until = |ignores: &Ignores| {
            ignores.of(self.policy).map_or_else(String::new, |ignore| ignore.until.to_string())
        };
        let reason = ignore.as_ref().and_then(|ignore| ignore.reason.clone());
        let ignores = self.token.ignores.clone().with(self.policy, ignore);
        let field = format!("{}.ignored_until", self.policy);
        let fields = Fields::default().changed(&field, until(&self.token.ignores), until(&ignores));
        let token = ApiToken { ignores, ..self.token.clone() };
        let subject =
            Subject::new(Target::Token(token.id), &token.name, fields).because(reason.as_ref());
        let mut change = by.change();
        change.requires.push(Require::Version(RecordKey::Token(token.id), self.token.version));
        change.events.push(at.event(token.org, by.actor(), action, subject));
        change.writes.push(Write::Token(token.clone()));
        Plan::Change(Box::new(change), token)
    }
}

#[cfg(test)]
mod tests;
