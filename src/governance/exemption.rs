//! Exemptions from the enforcement of a policy: granted and withdrawn by owners.

use super::{
    Authority, Caller, Clash, Fields, Occasion, Plan, Refusal, Subject, UNWRITTEN, governed,
};
use crate::audit::{Action, Target};
use crate::change::{Change, Write};
use crate::exemption::{EXEMPTIONS_MAX, Exempt, Exemption};
use crate::id::ExemptionId;
use crate::org::Organization;
use crate::policy::PolicyKind;
use crate::time::Timestamp;
use crate::validation;
use std::time::Duration;

/// The longest exemption, in days.
pub const EXEMPTION_DAYS_MAX: u32 = 366;

impl Caller {
    /// Permits to grant and withdraw exemptions.
    pub fn exempts(&self, org: &Organization) -> Result<(), Refusal> {
        self.within(org.id)?;
        self.needs(Authority::Owner)?;
        governed(org)
    }
}

/// A new exemption.
#[derive(Clone, Debug)]
pub struct GrantExemption<'a> {
    /// The organization.
    pub org: &'a Organization,
    /// The exemptions that it has.
    pub present: &'a [Exemption],
    /// Its identity.
    pub id: ExemptionId,
    /// Who is to be exempt, and the name of that.
    pub exempt: (Exempt, String),
    /// From which policy.
    pub policy: PolicyKind,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

impl GrantExemption<'_> {
    /// Plans the exemption. Those that are over are cleared away with it.
    pub fn plan(self, by: &Caller, at: &Occasion<'_>) -> Result<Plan<Exemption>, Refusal> {
        by.exempts(self.org)?;
        let latest = at.now.after(Duration::from_hours(24 * u64::from(EXEMPTION_DAYS_MAX)));
        if self.until <= at.now || self.until > latest {
            let message = format!("expected a time ahead, until {latest} at most");
            return Err(Refusal::invalid("until", message));
        }
        let (over, valid): (Vec<_>, Vec<_>) =
            self.present.iter().partition(|exemption| exemption.until <= at.now);
        if valid.len() >= EXEMPTIONS_MAX {
            return Err(Refusal::Clash(Clash::TooManyExemptions));
        }
        let (exempt, name) = self.exempt;
        let exemption = Exemption {
            id: self.id,
            version: UNWRITTEN,
            org: self.org.id,
            exempt,
            policy: self.policy,
            until: self.until,
            created_at: at.now,
            created_by: by.user(),
            reason: self.reason,
        };
        let fields = Fields::default()
            .made("policy", exemption.policy.to_string())
            .made("until", exemption.until.to_string());
        let reason = exemption.reason.as_ref();
        let subject = Subject::new(target(exempt), &name, fields).because(reason);
        let mut change = touching(self.org, by);
        change.events.push(at.event(self.org.id, by.actor(), Action::ExemptionGranted, subject));
        let forget = |over: &Exemption| validation::Write::Unexempt(over.org, over.id);
        change.writes.extend(over.into_iter().map(forget).map(Write::Validation));
        let granted = validation::Write::Exempt(Box::new(exemption.clone()));
        change.writes.push(Write::Validation(granted));
        Ok(Plan::Change(Box::new(change), exemption))
    }
}

/// Plans to end an exemption before its time.
pub fn withdraw(
    org: &Organization,
    exemption: &Exemption,
    by: &Caller,
    at: &Occasion<'_>,
) -> Result<Change, Refusal> {
    by.exempts(org)?;
    by.within(exemption.org)?;
    let fields = Fields::default().changed("policy", exemption.policy.to_string(), "").changed(
        "until",
        exemption.until.to_string(),
        "",
    );
    let name = match exemption.exempt {
        Exempt::Token(id) => id.to_string(),
        Exempt::User(id) => id.to_string(),
    };
    let subject = Subject::new(target(exemption.exempt), &name, fields);
    let mut change = touching(org, by);
    change.events.push(at.event(org.id, by.actor(), Action::ExemptionWithdrawn, subject));
    let end = validation::Write::Unexempt(org.id, exemption.id);
    change.writes.push(Write::Validation(end));
    Ok(change)
}

/// A change that writes the organization as it is: a step of enforcement that was planned upon what
/// was exempt before requires its version, and is not taken.
fn touching(org: &Organization, by: &Caller) -> Change {
    let mut change = by.change();
    change.writes.push(Write::Organization(org.clone()));
    change
}

const fn target(exempt: Exempt) -> Target {
    match exempt {
        Exempt::Token(id) => Target::Token(id),
        Exempt::User(id) => Target::User(id),
    }
}

#[cfg(test)]
mod tests;
