//! One run: the tokens of an organization, a stretch at a time.

use super::telling::{Owed, Teller};
use super::{Interrupted, commit};
use crate::audit::Origin;
use crate::change::Change;
use crate::exemption::Exemption;
use crate::governance::Occasion;
use crate::governance::enforcement::{Step, SwitchOff};
use crate::governance::telling::News;
use crate::governance::validation::{Judge, marks};
use crate::id::{OrgId, TokenId};
use crate::org::Organization;
use crate::store::{CommitError, Ledger, STRETCH_TOKENS_MAX, StoreError};
use crate::time::Timestamp;
use crate::token::Usage;
use crate::usage::Uses;
use crate::validation::{Counts, Flag, Run, RunState, SEGMENT_FLAGS_MAX, Segment, Telling, Write};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Steps that are queued before the first of them is awaited: a change of somebody else waits for no
/// more than these.
const STEPS_AT_A_TIME: usize = 32;

/// A step that is due: which flag it is about, and what it changes.
struct Due {
    flag: usize,
    step: Step,
    change: Change,
}

/// The run that another one compares with.
#[derive(Clone, Copy)]
pub(super) struct Compared {
    number: u64,
    /// When it was started and when it was through; nothing if it is not kept any more.
    times: Option<(Timestamp, Timestamp)>,
}

impl Compared {
    pub(super) fn read(ledger: &dyn Ledger, org: OrgId, number: u64) -> Result<Self, StoreError> {
        let times = ledger.run(org, number)?.and_then(|run| match run.state {
            RunState::Finished(findings) => Some((findings.started_at, findings.finished_at)),
            RunState::Queued | RunState::Running { .. } | RunState::Telling(_) => None,
        });
        Ok(Self { number, times })
    }
}

/// A run at work.
pub(super) struct Pass {
    ledger: Arc<dyn Ledger>,
    /// Uses that were not in the store when the run began. Of a use only its time counts here.
    pending: HashMap<TokenId, Usage>,
    org: Organization,
    run: Run,
    judge: Judge,
    before: Before,
    /// Flags that are not written yet.
    flags: Vec<Flag>,
    /// Parts of them that are.
    segments: u32,
    counts: Counts,
    /// What the owners have to be told.
    owed: Owed,
    /// The last token that was read.
    after: Option<TokenId>,
    started_at: Timestamp,
    began: Instant,
}

impl Pass {
    /// A run that compares with the flags of another one.
    pub(super) fn new(
        ledger: Arc<dyn Ledger>,
        uses: &dyn Uses,
        org: Organization,
        run: Run,
        compared: Option<Compared>,
        exemptions: Vec<Exemption>,
        started_at: Timestamp,
    ) -> Self {
        let judge = Judge::new(&org, exemptions, started_at);
        let judge = match compared {
            None => judge,
            Some(Compared { times, .. }) => {
                let (compared_at, told_at) = times.unwrap_or((Timestamp::EPOCH, started_at));
                judge.after(compared_at, told_at)
            }
        };
        let compared = compared.map(|compared| compared.number);
        Self {
            judge,
            before: Before { org: org.id, run: compared, next: 0, flags: VecDeque::new() },
            ledger,
            pending: uses.pending(),
            org,
            run,
            flags: Vec::new(),
            segments: 0,
            counts: Counts::default(),
            owed: Owed::default(),
            after: None,
            started_at,
            began: Instant::now(),
        }
    }

    /// Reads one stretch. Answers whether there may be more.
    pub(super) fn step(&mut self) -> Result<bool, Interrupted> {
        let stretch = self.ledger.tokens_after(self.org.id, self.after)?;
        let roles = self.ledger.roles();
        let origin = Origin::default();
        let at = Occasion { now: self.started_at, roles: &roles, origin: &origin };
        let mut due: Vec<Due> = Vec::new();
        for (token, stored) in &stretch {
            let pending = self.pending.get(&token.id).copied().unwrap_or_default();
            let usage = &stored.merged(pending);
            let (known, gone) = self.before.of(&*self.ledger, token.id)?;
            let judged = self.judge.judge(token, usage, known.as_ref());
            self.counts.tokens += 1;
            self.counts.new += judged.new;
            self.counts.cleared += judged.cleared + gone;
            self.counts.flagged += u64::from(judged.flag.is_some());
            match judged.done {
                None | Some(Step::Warn) => {}
                Some(Step::Deactivate) => self.counts.deactivated += 1,
                Some(Step::Revoke) => self.counts.revoked += 1,
            }
            if let Some((step, policy)) = judged.step {
                let switch = SwitchOff { org: &self.org, token, policy };
                let flag = self.flags.len();
                match switch.plan(step, &at) {
                    Some(change) => due.push(Due { flag, step, change }),
                    None => self.counts.warned += 1,
                }
            }
            if let Some(news) = judged.flag.as_ref().and_then(News::of) {
                self.owed.add(token.owner, news);
            }
            self.flags.extend(judged.flag);
        }
        self.take(due)?;
        self.after = stretch.last().map(|(token, _)| token.id).or(self.after);
        if self.flags.len() >= SEGMENT_FLAGS_MAX {
            let rest = self.flags.split_off(SEGMENT_FLAGS_MAX);
            self.write_flags()?;
            self.flags = rest;
        }
        Ok(stretch.len() == STRETCH_TOKENS_MAX)
    }

    /// Takes the steps of policies that are enforced. One whose token, policies or exemptions changed
    /// meanwhile is not taken; the next run judges anew.
    fn take(&mut self, due: Vec<Due>) -> Result<(), Interrupted> {
        let mut due = due.into_iter();
        loop {
            let part: Vec<_> = due
                .by_ref()
                .take(STEPS_AT_A_TIME)
                .map(|Due { flag, step, change }| (flag, step, self.ledger.commit(change)))
                .collect();
            if part.is_empty() {
                return Ok(());
            }
            for (flag, step, commit) in part {
                match (commit.wait(), step) {
                    (Ok(_), Step::Warn) => {}
                    (Ok(_), Step::Deactivate) => self.counts.deactivated += 1,
                    (Ok(_), Step::Revoke) => self.counts.revoked += 1,
                    (Err(CommitError::Conflict(_)), _) => {
                        if let Some(flag) = self.flags.get_mut(flag) {
                            flag.retract(self.started_at);
                        }
                    }
                    (Err(error), _) => return Err(error.into()),
                }
            }
        }
    }

    /// Writes down what it found: who has to be told, and that all is judged.
    pub(super) fn judged(mut self) -> Result<Teller, Interrupted> {
        self.counts.cleared += self.before.rest(&*self.ledger)?;
        if !self.flags.is_empty() {
            self.write_flags()?;
        }
        let (org, run) = (self.org.id, self.run.number);
        let telling = Telling {
            started_at: self.started_at,
            took: self.began.elapsed(),
            counts: self.counts,
            segments: self.segments,
            through: None,
        };
        commit(&*self.ledger, vec![Write::Telling { org, run, telling }])?;
        let Self { ledger, org, run, owed, .. } = self;
        Ok(Teller { ledger, org, run, telling, owed: Some(owed) })
    }

    fn write_flags(&mut self) -> Result<(), Interrupted> {
        let flags = std::mem::take(&mut self.flags);
        let (org, run, number) = (self.org.id, self.run.number, self.segments);
        commit(&*self.ledger, vec![Write::Flags(Segment { org, run, number, flags })])?;
        self.segments += 1;
        Ok(())
    }
}

/// The flags of the run before, in the order of their tokens, a part at a time.
struct Before {
    org: OrgId,
    run: Option<u64>,
    next: u32,
    flags: VecDeque<Flag>,
}

impl Before {
    /// What was kept of a token, and how many violations of tokens before it are gone with them.
    /// To be asked in the order of the tokens.
    fn of(
        &mut self,
        ledger: &dyn Ledger,
        token: TokenId,
    ) -> Result<(Option<Flag>, u64), StoreError> {
        let mut gone = 0;
        loop {
            match self.peek(ledger)? {
                Some(flag) if flag.token < token => gone += marks(&flag),
                Some(flag) if flag.token == token => {
                    self.flags.pop_front();
                    return Ok((Some(flag), gone));
                }
                Some(_) | None => return Ok((None, gone)),
            }
            self.flags.pop_front();
        }
    }

    /// How many violations are left, of tokens that were not read.
    fn rest(&mut self, ledger: &dyn Ledger) -> Result<u64, StoreError> {
        let mut gone = 0;
        while let Some(flag) = self.peek(ledger)? {
            gone += marks(&flag);
            self.flags.pop_front();
        }
        Ok(gone)
    }

    fn peek(&mut self, ledger: &dyn Ledger) -> Result<Option<Flag>, StoreError> {
        while self.flags.is_empty() {
            let Some(run) = self.run else { return Ok(None) };
            match ledger.flags(self.org, run, self.next)? {
                Some(flags) => self.flags = flags.into(),
                None => self.run = None,
            }
            self.next += 1;
        }
        Ok(self.flags.front().copied())
    }
}
