//! Validation runs: who asks for one, what it makes of each token, and how it ends.

use super::enforcement::{self, Step};
use super::token::policies_of;
use super::{Authority, Caller, Fields, Occasion, Refusal, Subject, governed};
use crate::audit::{Action, Actor, Target};
use crate::change::{Change, Write};
use crate::exemption::{Exempt, Exemption};
use crate::org::{Organization, StatusChange};
use crate::policy::{Enforcement, Policies, PolicyKind};
use crate::time::Timestamp;
use crate::token::{ApiToken, TokenStatus, Usage};
use crate::validation::{self, Findings, Flag, Mark, Run, Told, Trigger, Wanted};
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
        let subject = Subject::new(Target::Organization(org.id), &org.name, Fields::default());
        change.events.push(at.event(org.id, self.actor(), Action::ValidationRequested, subject));
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
    /// When the run was started that it compares with; nothing if there is none.
    compared_at: Option<Timestamp>,
    /// When that was through, and all that it had to tell was in the outbox.
    told_at: Timestamp,
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
    /// The step that this very run took with the token before it was broken off.
    pub done: Option<Step>,
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
        let (policies, told_at) = (policies_of(org), Timestamp::EPOCH);
        Self { policies, exemptions: of, now, compared_at: None, told_at }
    }

    /// The same, compared with a run that was started at `compared_at` and through at `told_at`: what
    /// it warned of was told by then, and not when it was started.
    #[must_use]
    pub fn after(self, compared_at: Timestamp, told_at: Timestamp) -> Self {
        Self { compared_at: Some(compared_at), told_at, ..self }
    }

    fn is_exempt(&self, token: &ApiToken, policy: PolicyKind) -> bool {
        [Exempt::Token(token.id), Exempt::User(token.owner)]
            .iter()
            .filter_map(|exempt| self.exemptions.get(exempt))
            .flatten()
            .any(|exemption| exemption.covers(token, policy, self.now))
    }

    /// The mark of a violation that is new.
    const fn fresh(&self) -> Mark {
        let told = Told::Nothing;
        Mark { found_at: self.now, warned_at: None, deactivated_at: None, told }
    }

    /// A mark of the run before. A warning counts from when it was told, if it is one upon the ladder
    /// that is in force.
    fn known(&self, mark: Mark, ladder: Option<Enforcement>) -> Mark {
        let is_valid = |warned: Timestamp| ladder.is_some_and(|ladder| warned >= ladder.since);
        match (mark.told, mark.warned_at) {
            (Told::Nothing, _) => mark,
            (Told::Warned, Some(warned)) if is_valid(warned) => {
                let warned_at = Some(warned.max(self.told_at));
                Mark { warned_at, told: Told::Before, ..mark }
            }
            (Told::Found | Told::Warned | Told::Before, _) => Mark { told: Told::Before, ..mark },
        }
    }

    /// The step that this very run took with a token before it was broken off: as of now, and by
    /// nobody. A run that was started at the same instant, and is through, took it itself.
    fn done<'t>(&self, token: &'t ApiToken) -> Option<(Step, &'t StatusChange)> {
        let is_own = |change: &StatusChange| {
            let is_first = self.compared_at.is_some_and(|compared| compared != self.now);
            is_first && change.by.is_none() && change.at == self.now
        };
        match &token.status {
            TokenStatus::Deactivated(change) if is_own(change) => Some((Step::Deactivate, change)),
            TokenStatus::Revoked(change) if is_own(change) => Some((Step::Revoke, change)),
            TokenStatus::Activated(_) | TokenStatus::Deactivated(_) | TokenStatus::Revoked(_) => {
                None
            }
        }
    }

    /// Judges a token, of which the run before kept `before`.
    #[must_use]
    pub fn judge(&self, token: &ApiToken, usage: &Usage, before: Option<&Flag>) -> Judged {
        // Steps are taken with tokens that the run before had found.
        match self.done(token).filter(|_| before.is_some()) {
            None => self.judge_as_it_is(token, usage, before),
            Some((done @ (Step::Warn | Step::Deactivate), _)) => {
                let judged = self.judge_as_it_is(token, usage, before);
                Judged { done: Some(done), ..judged }
            }
            // It was deactivated, and broke its policies, when this run judged it the first time.
            Some((done @ Step::Revoke, change)) => {
                let status = TokenStatus::Deactivated(change.clone());
                let was = ApiToken { status, ..token.clone() };
                let judged = self.judge_as_it_is(&was, usage, before);
                Judged { done: Some(done), step: None, ..judged }
            }
        }
    }

    fn judge_as_it_is(&self, token: &ApiToken, usage: &Usage, before: Option<&Flag>) -> Judged {
        let found = self.policies.violations(token, usage, self.now);
        let mut judged = Judged::default();
        let has_another_owner = before.is_some_and(|before| before.owner != token.owner);
        let mut mark = |policy: PolicyKind| {
            let is_broken =
                found.iter().any(|violation| violation.policy == policy && violation.counts());
            let known = before.and_then(|before| before.of(policy));
            judged.new += u64::from(is_broken && known.is_none());
            judged.cleared += u64::from(!is_broken && known.is_some());
            if !is_broken {
                return None;
            }
            let ladder = self.policies.of(policy).enforcement;
            let mark = known.map_or_else(|| self.fresh(), |known| self.known(*known, ladder));
            // Who owns it since knows nothing of it.
            let unheard = Mark { warned_at: None, told: Told::Nothing, ..mark };
            let mark = if has_another_owner { unheard } else { mark };
            // Who is not warned any more is warned anew before anything follows.
            let spared = Mark { warned_at: None, deactivated_at: None, ..mark };
            if self.is_exempt(token, policy) {
                return Some(spared);
            }
            let told = if mark.told == Told::Nothing { Told::Found } else { mark.told };
            let Some(ladder) = ladder else { return Some(Mark { told, ..spared }) };
            let (mark, step) = enforcement::due(&ladder, mark, token, self.now);
            judged.step = judged.step.max(step.map(|step| (step, policy)));
            let told = if step == Some(Step::Warn) { Told::Warned } else { told };
            Some(Mark { told, ..mark })
        };
        let (idle_ttl, max_ttl) = (mark(PolicyKind::IdleTtl), mark(PolicyKind::MaxTtl));
        if idle_ttl.is_some() || max_ttl.is_some() {
            judged.flag = Some(Flag { token: token.id, owner: token.owner, idle_ttl, max_ttl });
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
