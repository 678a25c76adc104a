//! The TTL policies of an organization.

use super::{Authority, Caller, Fields, Occasion, Plan, Refusal, Subject, governed};
use crate::audit::{Action, Target};
use crate::change::Write;
use crate::org::Organization;
use crate::policy::TtlPolicy;
use crate::time::Unit;
use crate::validation::{self, Trigger, Wanted};

/// The longest TTL that a policy may say, in days.
pub const POLICY_DAYS_MAX: u32 = 36_500;

/// A change of one policy or both; one that is not named stays as it is.
#[derive(Clone, Copy, Debug)]
pub struct PutPolicies<'a> {
    /// The organization.
    pub org: &'a Organization,
    /// Idle Token TTL.
    pub idle_ttl: Option<TtlPolicy>,
    /// Max Token TTL.
    pub max_ttl: Option<TtlPolicy>,
}

impl PutPolicies<'_> {
    /// Plans the change. Tokens that violate the new policies are flagged by it and not touched, so
    /// it takes no access away. What that comes to is found out by a validation run.
    pub fn plan(self, by: &Caller, at: &Occasion<'_>) -> Result<Plan<Organization>, Refusal> {
        by.within(self.org.id)?;
        by.needs(Authority::Owner)?;
        governed(self.org)?;
        let mut org = self.org.clone();
        if let Some(policy) = self.idle_ttl {
            org.policies.idle_ttl = accepted("idle_ttl", policy)?;
        }
        if let Some(policy) = self.max_ttl {
            org.policies.max_ttl = accepted("max_ttl", policy)?;
        }
        let (was, is) = (&self.org.policies, &org.policies);
        let fields = Fields::default()
            .changed("idle_ttl", text(&was.idle_ttl), text(&is.idle_ttl))
            .changed("max_ttl", text(&was.max_ttl), text(&is.max_ttl));
        if fields.is_empty() {
            return Ok(Plan::Nothing(org));
        }
        let subject = Subject::new(Target::Organization(org.id), &org.name, fields);
        let mut change = by.change();
        change.events.push(at.event(org.id, by.actor(), Action::PoliciesUpdated, subject));
        change.writes.push(Write::Organization(org.clone()));
        let (trigger, user) = (Trigger::PolicyChanged, Some(by.user()));
        let wanted = Wanted { org: org.id, trigger, by: user, at: at.now };
        change.writes.push(Write::Validation(validation::Write::Wanted(wanted)));
        Ok(Plan::Change(Box::new(change), org))
    }
}

fn accepted(field: &str, policy: TtlPolicy) -> Result<TtlPolicy, Refusal> {
    let most = match policy.ttl.unit {
        Unit::Minutes => POLICY_DAYS_MAX * 24 * 60,
        Unit::Hours => POLICY_DAYS_MAX * 24,
        Unit::Days => POLICY_DAYS_MAX,
        Unit::Months => {
            return Err(Refusal::invalid(
                &format!("{field}.unit"),
                "expected minutes, hours or days",
            ));
        }
    };
    if (1..=most).contains(&policy.ttl.value) {
        return Ok(policy);
    }
    Err(Refusal::invalid(&format!("{field}.value"), format!("expected 1 to {most}")))
}

fn text(policy: &TtlPolicy) -> String {
    let active = if policy.active { "activated" } else { "deactivated" };
    format!("{active}, {}", policy.ttl)
}

#[cfg(test)]
mod tests;
