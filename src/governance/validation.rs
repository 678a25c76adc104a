//! Validation runs: who asks for one, what it makes of each token, and how it ends.

use super::enforcement::{self, Step};
use super::token::policies_of;
use super::{Authority, Caller, Fields, Occasion, Refusal, Subject, governed};
use crate::audit::{Action, Actor, Target};
use crate::change::{Change, Write};
use crate::exemption::{Exempt, Exemption};
use crate::org::Organization;
use crate::policy::{Policies, PolicyKind};
use crate::time::Timestamp;
use crate::token::{ApiToken, Usage};
use crate::validation::{self, Findings, Flag, Mark, Run, Trigger, Wanted};
use std::collections::HashMap;

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
#[derive(Clone, Debug)]
pub struct Judge {
    policies: Policies,
    /// Those that matter: of tokens and users, and not over.
    exemptions: HashMap<Exempt, Vec<Exemption>>,
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
    /// The hardest step that a policy asks for which is enforced.
    pub step: Option<(Step, PolicyKind)>,
}

impl Judge {
    /// Judges the tokens of an organization as of `now`, with the exemptions that it has.
    #[must_use]
    pub fn new(org: &Organization, exemptions: Vec<Exemption>, now: Timestamp) -> Self {
        let mut of: HashMap<Exempt, Vec<Exemption>> = HashMap::new();
        for exemption in exemptions {
            if now < exemption.until {
                of.entry(exemption.exempt).or_default().push(exemption);
            }
        }
        Self { policies: policies_of(org), exemptions: of, now }
    }

    fn is_exempt(&self, token: &ApiToken, policy: PolicyKind) -> bool {
        [Exempt::Token(token.id), Exempt::User(token.owner)]
            .iter()
            .filter_map(|exempt| self.exemptions.get(exempt))
            .flatten()
            .any(|exemption| exemption.covers(token, policy, self.now))
    }

    /// Judges a token, of which the run before kept `before`.
    #[must_use]
    pub fn judge(&self, token: &ApiToken, usage: &Usage, before: Option<&Flag>) -> Judged {
        let found = self.policies.violations(token, usage, self.now);
        let mut judged = Judged::default();
        let mut mark = |policy: PolicyKind| {
            let is_broken =
                found.iter().any(|violation| violation.policy == policy && violation.counts());
            let known = before.and_then(|before| before.of(policy));
            judged.new += u64::from(is_broken && known.is_none());
            judged.cleared += u64::from(!is_broken && known.is_some());
            if !is_broken {
                return None;
            }
            let fresh = Mark { found_at: self.now, warned_at: None, deactivated_at: None };
            let mark = known.copied().unwrap_or(fresh);
            let ladder = self.policies.of(policy).enforcement;
            let Some(ladder) = ladder.filter(|_| !self.is_exempt(token, policy)) else {
                // Who is not warned any more is warned anew before anything follows.
                return Some(Mark { warned_at: None, deactivated_at: None, ..mark });
            };
            let (mark, step) = enforcement::due(&ladder, mark, token, self.now);
            judged.step = judged.step.max(step.map(|step| (step, policy)));
            Some(mark)
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
        .made("cleared_violations", counts.cleared.to_string())
        .made("deactivated", counts.deactivated.to_string())
        .made("revoked", counts.revoked.to_string());
    let subject = Subject::new(Target::Organization(org.id), &org.name, fields);
    let event = at.event(org.id, Actor::System, Action::ValidationFinished, subject);
    let end = validation::Write::Finished { org: org.id, run: run.number, findings };
    Change { writes: vec![Write::Validation(end)], events: vec![event], ..Change::default() }
}

#[cfg(test)]
mod tests;
