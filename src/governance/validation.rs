//! Validation runs: who asks for one, what it makes of each token, and how it ends.

use super::token::policies_of;
use super::{Authority, Caller, Fields, Occasion, Refusal, Subject, governed};
use crate::audit::{Action, Actor, Target};
use crate::change::{Change, Write};
use crate::org::Organization;
use crate::policy::{Policies, PolicyKind};
use crate::time::Timestamp;
use crate::token::{ApiToken, Usage};
use crate::validation::{self, Findings, Flag, Mark, Run, Trigger, Wanted};

impl Caller {
    /// Permits to read the history of the runs.
    pub fn reads_validations(&self, org: &Organization) -> Result<(), Refusal> {
        self.reads_policies(org)
    }

    /// Plans a run that is made on demand. It joins one that is queued already.
    pub fn validates(&self, org: &Organization, at: &Occasion<'_>) -> Result<Change, Refusal> {
        self.within(org.id)?;
        self.needs(Authority::Owner)?;
        governed(org)?;
        let (trigger, by) = (Trigger::OnDemand, Some(self.user()));
        let wanted = Wanted { org: org.id, trigger, by, at: at.now };
        let mut change = self.change();
        change.writes.push(Write::Validation(validation::Write::Wanted(wanted)));
        Ok(change)
    }
}

/// What a run judges by.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    policies: Policies,
    now: Timestamp,
}

/// What a run makes of one token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// What it keeps of the token, if it breaks a policy.
    pub flag: Option<Flag>,
    /// Violations that the run before had not found.
    pub new: u64,
    /// Violations of the run before that are gone.
    pub cleared: u64,
}

impl Judge {
    /// Judges the tokens of an organization as of `now`.
    #[must_use]
    pub fn new(org: &Organization, now: Timestamp) -> Self {
        Self { policies: policies_of(org), now }
    }

    /// Judges a token, of which the run before kept `before`.
    #[must_use]
    pub fn judge(&self, token: &ApiToken, usage: &Usage, before: Option<&Flag>) -> Judged {
        let found = self.policies.violations(token, usage, self.now);
        let mut judged = Judged::default();
        let mut mark = |policy: PolicyKind| {
            let is_broken =
                found.iter().any(|violation| violation.policy == policy && violation.counts());
            match (is_broken, before.and_then(|before| before.of(policy))) {
                (true, Some(known)) => Some(*known),
                (true, None) => {
                    judged.new += 1;
                    Some(Mark { found_at: self.now })
                }
                (false, Some(_)) => {
                    judged.cleared += 1;
                    None
                }
                (false, None) => None,
            }
        };
        let (idle_ttl, max_ttl) = (mark(PolicyKind::IdleTtl), mark(PolicyKind::MaxTtl));
        if idle_ttl.is_some() || max_ttl.is_some() {
            judged.flag = Some(Flag { token: token.id, idle_ttl, max_ttl });
        }
        judged
    }
}

/// The violations that a flag stands for: all of them are gone when its token is.
#[must_use]
pub fn marks(flag: &Flag) -> u64 {
    PolicyKind::ALL.into_iter().filter(|policy| flag.of(*policy).is_some()).count() as u64
}

/// The end of a run.
#[must_use]
pub fn finished(run: &Run, org: &Organization, findings: Findings, at: &Occasion<'_>) -> Change {
    let counts = findings.counts;
    let fields = Fields::default()
        .made("run", run.number.to_string())
        .made("tokens_read", counts.tokens.to_string())
        .made("flagged", counts.flagged.to_string())
        .made("new_violations", counts.new.to_string())
        .made("cleared_violations", counts.cleared.to_string());
    let subject = Subject::new(Target::Organization(org.id), &org.name, fields);
    let event = at.event(org.id, Actor::System, Action::ValidationFinished, subject);
    let end = validation::Write::Finished { org: org.id, run: run.number, findings };
    Change { writes: vec![Write::Validation(end)], events: vec![event], ..Change::default() }
}

#[cfg(test)]
mod tests;
