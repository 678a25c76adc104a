//! One run: the tokens of an organization, a stretch at a time.

use super::{Interrupted, commit};
use crate::audit::Origin;
use crate::governance::Occasion;
use crate::governance::validation::{Judge, finished, marks};
use crate::id::{OrgId, TokenId};
use crate::org::Organization;
use crate::store::{Ledger, STRETCH_TOKENS_MAX, StoreError};
use crate::time::Timestamp;
use crate::token::Usage;
use crate::usage::Uses;
use crate::validation::{Counts, Findings, Flag, Run, SEGMENT_FLAGS_MAX, Segment, Write};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Parts of flags that are forgotten in one transaction.
const FORGOTTEN_AT_A_TIME: usize = 16;

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
        compared: Option<u64>,
        started_at: Timestamp,
    ) -> Self {
        Self {
            judge: Judge::new(&org, started_at),
            before: Before { org: org.id, run: compared, next: 0, flags: VecDeque::new() },
            ledger,
            pending: uses.pending(),
            org,
            run,
            flags: Vec::new(),
            segments: 0,
            counts: Counts::default(),
            after: None,
            started_at,
            began: Instant::now(),
        }
    }

    /// Reads one stretch. Answers whether there may be more.
    pub(super) fn step(mut self) -> Result<(Self, bool), Interrupted> {
        let stretch = self.ledger.tokens_after(self.org.id, self.after)?;
        for (token, stored) in &stretch {
            let pending = self.pending.get(&token.id).copied().unwrap_or_default();
            let usage = &stored.merged(pending);
            let (known, gone) = self.before.of(&*self.ledger, token.id)?;
            let judged = self.judge.judge(token, usage, known.as_ref());
            self.counts.tokens += 1;
            self.counts.new += judged.new;
            self.counts.cleared += judged.cleared + gone;
            self.counts.flagged += u64::from(judged.flag.is_some());
            self.flags.extend(judged.flag);
        }
        self.after = stretch.last().map(|(token, _)| token.id).or(self.after);
        if self.flags.len() >= SEGMENT_FLAGS_MAX {
            let rest = self.flags.split_off(SEGMENT_FLAGS_MAX);
            self.write_flags()?;
            self.flags = rest;
        }
        let more = stretch.len() == STRETCH_TOKENS_MAX;
        Ok((self, more))
    }

    /// Writes down what it found, and forgets what it compared with.
    pub(super) fn finish(mut self, now: Timestamp) -> Result<(), Interrupted> {
        self.counts.cleared += self.before.rest(&*self.ledger)?;
        if !self.flags.is_empty() {
            self.write_flags()?;
        }
        let findings = Findings {
            started_at: self.started_at,
            finished_at: now.max(self.started_at),
            took: self.began.elapsed(),
            counts: self.counts,
        };
        let roles = self.ledger.roles();
        let at = Occasion { now, roles: &roles, origin: &Origin::default() };
        let end = finished(&self.run, &self.org, findings, &at);
        self.ledger.commit(end).wait()?;
        self.forget()
    }

    fn write_flags(&mut self) -> Result<(), Interrupted> {
        let flags = std::mem::take(&mut self.flags);
        let (org, run, number) = (self.org.id, self.run.number, self.segments);
        commit(&*self.ledger, vec![Write::Flags(Segment { org, run, number, flags })])?;
        self.segments += 1;
        Ok(())
    }

    /// Forgets the flags of all other runs: of the one before, and of any that was broken off.
    /// Parts beyond the last one of this run are of its own first attempt.
    fn forget(&self) -> Result<(), Interrupted> {
        let (org, kept) = (self.org.id, self.run.number);
        loop {
            let limit = usize::try_from(self.segments).unwrap_or(usize::MAX);
            let stored = self.ledger.segments(org, limit.saturating_add(FORGOTTEN_AT_A_TIME))?;
            let outlived = |(run, number): &(u64, u32)| *run != kept || *number >= self.segments;
            let forget = |(run, number)| Write::Forget { org, run, number };
            let outlived: Vec<Write> = stored.into_iter().filter(outlived).map(forget).collect();
            if outlived.is_empty() {
                return Ok(());
            }
            for part in outlived.chunks(FORGOTTEN_AT_A_TIME) {
                commit(&*self.ledger, part.to_vec())?;
            }
        }
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
