//! Uses on their way into the usage table.
//!
//! The usage table lies in the order of the tokens, and uses come in any order: written there at
//! once, the few uses of a few seconds would rewrite nearly every page of a large table. So they are
//! appended to a journal first: each transaction makes a *run*, its uses in the order of their
//! tokens, up to [`USES_PER_PAGE_MAX`] in a row. Once the journal is large enough a *sweep* goes through
//! the tokens and folds what all runs have of them into the table, so that a page of the table is
//! written once for many uses of many tokens.
//!
//! **Invariant.** What a token was used is its row in the usage table and its uses in the journal
//! together, in every state that is ever committed: a use moves from one to the other in one
//! transaction. A sweep that is cut short, by a crash or by the end of the process, is begun anew
//! and has nothing to remember.

use super::codec::{self, Met};
use super::engine::{Failure, Order, Read, Table};
use super::record::WriteRecords;
use crate::id::TokenId;
use crate::token::{Usage, Use, Used};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::{Bound, ControlFlow};

/// The uses in one row of the journal: with its key, and with what some routes ask for, it fills a page
/// of the file (4 KiB).
pub(super) const USES_PER_PAGE_MAX: usize = 70;

/// A sweep begins when there are so many uses in the journal: 56 MiB of the file.
const USES_MAX: usize = 1 << 20;
/// Or so many runs: whoever reads what a token was used looks into each.
const RUNS_MAX: usize = 32;
/// The tokens whose uses are folded in one transaction, at most.
const TOKENS_PER_PART_MAX: usize = 5_000;

/// How the journal is folded into the usage table. Tests have smaller numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folding {
    /// A sweep begins when there are so many uses in the journal.
    pub(super) uses: usize,
    /// Or so many runs.
    pub(super) runs: usize,
    /// The tokens whose uses are folded in one transaction, at most.
    pub(super) tokens_per_part: usize,
}

impl Default for Folding {
    fn default() -> Self {
        Self { uses: USES_MAX, runs: RUNS_MAX, tokens_per_part: TOKENS_PER_PART_MAX }
    }
}

/// What is in the journal, and how far the sweep is, if one is under way.
#[derive(Debug)]
pub(super) struct Backlog {
    folding: Folding,
    next_run: u64,
    runs: usize,
    uses: usize,
    /// The first token of the next part of the sweep.
    sweep: Option<TokenId>,
    /// The runs that were appended since the sweep began: it may have passed their tokens.
    late: usize,
}

const FIRST_TOKEN: TokenId = TokenId::from_bits(0);
const LAST_TOKEN: TokenId = TokenId::from_bits(u128::MAX);

impl Backlog {
    /// What there is in a store that was just opened.
    pub(super) fn of(state: &impl Journal, folding: Folding) -> Result<Self, Failure> {
        let runs = state.runs()?;
        let next_run = runs.last().map_or(0, |(run, _)| run + 1);
        let uses = state.uses()?;
        let mut backlog = Self { folding, next_run, runs: runs.len(), uses, sweep: None, late: 0 };
        backlog.begin_if_due();
        Ok(backlog)
    }

    /// The number of the run that will be appended next.
    pub(super) fn next_run(&self) -> u64 {
        self.next_run
    }

    /// Where the sweep goes on, if one is under way, and for how many tokens at most.
    pub(super) fn sweep(&self) -> Option<(TokenId, usize)> {
        self.sweep.map(|from| (from, self.folding.tokens_per_part))
    }

    /// A run was appended.
    pub(super) fn appended(&mut self, uses: usize) {
        self.next_run += 1;
        self.runs += 1;
        self.uses += uses;
        self.late += 1;
        self.begin_if_due();
    }

    /// A part of the sweep was committed.
    pub(super) fn folded(&mut self, folded: &Folded) {
        self.uses -= folded.uses.min(self.uses);
        self.sweep = folded.next;
        if folded.next.is_none() {
            self.runs = self.late;
            self.begin_if_due();
        }
    }

    fn begin_if_due(&mut self) {
        let is_due = self.uses >= self.folding.uses || self.runs >= self.folding.runs;
        if is_due && self.sweep.is_none() {
            self.sweep = Some(FIRST_TOKEN);
            self.late = 0;
        }
    }
}

/// Reads the journal.
pub(super) trait Journal: Read + Sized {
    /// The runs, oldest first, each with the first token that it has a use of.
    fn runs(&self) -> Result<Vec<(u64, TokenId)>, Failure> {
        let mut runs: Vec<(u64, TokenId)> = Vec::new();
        loop {
            let past = runs.last().map(|(run, _)| codec::journal(*run, LAST_TOKEN));
            let from = past.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(&key[..]));
            let mut found = None;
            self.scan(
                Table::UsageJournal,
                (from, Bound::Unbounded),
                Order::Ascending,
                &mut |key, _| {
                    found = Some(codec::read_journal(key)?);
                    Ok(ControlFlow::Break(()))
                },
            )?;
            match found {
                Some(run) => runs.push(run),
                None => return Ok(runs),
            }
        }
    }

    /// How many uses there are.
    fn uses(&self) -> Result<usize, Failure> {
        let mut uses = 0;
        let everything = (Bound::Unbounded, Bound::Unbounded);
        self.scan(Table::UsageJournal, everything, Order::Ascending, &mut |_, page| {
            uses += codec::uses(page)?.len();
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(uses)
    }

    /// What the journal has of some tokens, which are in order and each named once.
    fn journaled(&self, tokens: &[TokenId]) -> Result<Vec<Usage>, Failure> {
        let mut sums = vec![Usage::default(); tokens.len()];
        self.each_journaled(tokens, &mut |at, usage, _met| {
            sums[at] = sums[at].merged(usage);
            Ok(())
        })?;
        Ok(sums)
    }

    /// Shows each use that the journal has of some tokens, which are in order and each named once,
    /// with the place of its token among them.
    fn each_journaled(
        &self,
        tokens: &[TokenId],
        see: &mut dyn FnMut(usize, Usage, Met<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for (run, first) in self.runs()? {
            let mut next = tokens.partition_point(|token| *token < first);
            while let Some(sought) = tokens.get(next) {
                let mut end = None;
                self.page_before(run, *sought, &mut |page| {
                    let uses = codec::uses(page)?;
                    end = uses.last();
                    // The next token may be on another page, however near it is.
                    while let Some(token) = tokens.get(next) {
                        if let Some((usage, met)) = uses.find(*token) {
                            see(next, usage, met)?;
                        }
                        next += 1;
                        if tokens.get(next).is_some_and(|next| Some(*next) > end) {
                            break;
                        }
                    }
                    Ok(())
                })?;
                if end < Some(*sought) {
                    // Between two pages, as those that follow it may be.
                    let Some(further) = self.page_after(run, *sought)? else { break };
                    next += tokens[next..].partition_point(|token| *token < further);
                }
            }
        }
        Ok(())
    }

    /// Reads the last page of a run that begins at or before a token, if there is one: no other has
    /// uses of this token.
    fn page_before(
        &self,
        run: u64,
        token: TokenId,
        read: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (first, last) = (codec::journal(run, FIRST_TOKEN), codec::journal(run, token));
        let span = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        self.scan(Table::UsageJournal, span, Order::Descending, &mut |_, page| {
            read(page)?;
            Ok(ControlFlow::Break(()))
        })
    }

    /// The first token of the next page of a run that begins after a token.
    fn page_after(&self, run: u64, token: TokenId) -> Result<Option<TokenId>, Failure> {
        let (first, last) = (codec::journal(run, token), codec::journal(run, LAST_TOKEN));
        let span = (Bound::Excluded(&first[..]), Bound::Included(&last[..]));
        let mut found = None;
        self.scan(Table::UsageJournal, span, Order::Ascending, &mut |key, _| {
            found = Some(codec::read_journal(key)?.1);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// A page of a run, by its key.
    fn page(&self, run: u64, first: TokenId) -> Result<Option<Page>, Failure> {
        let key = codec::journal(run, first);
        let uses = self.get(Table::UsageJournal, &key, |page| codec::uses(page)?.all())?;
        Ok(uses.transpose()?.map(|uses| Page { run, first, uses, kept: 0, at: 0 }))
    }

    /// The page of a run that has its first use of this token or a later one, at that use.
    fn page_at(&self, run: u64, from: TokenId) -> Result<Option<Page>, Failure> {
        let mut first = None;
        self.page_before(run, from, &mut |page| {
            first = codec::uses(page)?.first();
            Ok(())
        })?;
        if let Some(first) = first
            && let Some(mut page) = self.page(run, first)?
        {
            page.kept = page.uses.partition_point(|used| used.token < from);
            page.at = page.kept;
            if page.at < page.uses.len() {
                return Ok(Some(page));
            }
        }
        match self.page_after(run, from)? {
            Some(first) => self.page(run, first),
            None => Ok(None),
        }
    }
}

impl<R: Read> Journal for R {}

/// A page that is being folded.
pub(super) struct Page {
    run: u64,
    first: TokenId,
    uses: Vec<Use>,
    /// So many uses at its beginning are passed over.
    kept: usize,
    /// From here on the uses are not folded yet.
    at: usize,
}

/// What a part of a sweep came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Folded {
    /// The uses that have left the journal.
    pub(super) uses: usize,
    /// Where the next part begins; nothing when the sweep is over.
    pub(super) next: Option<TokenId>,
}

/// Writes the journal.
pub(super) trait WriteJournal: WriteRecords + Journal {
    /// Appends a run. Its tokens are in order, and each is there once.
    fn append_uses(&mut self, run: u64, mut uses: &[Use]) -> Result<(), Failure> {
        while !uses.is_empty() {
            let (page, rest) = uses.split_at(codec::fitting(uses, USES_PER_PAGE_MAX));
            self.put_page(run, page)?;
            uses = rest;
        }
        Ok(())
    }

    /// Folds what the journal has of the next so many tokens, from a token on, into the usage
    /// table. Tokens that are not there are passed over.
    fn fold(&mut self, from: TokenId, tokens_max: usize) -> Result<Folded, Failure> {
        let mut open: Vec<Page> = Vec::new();
        for (run, _) in self.runs()? {
            open.extend(self.page_at(run, from)?);
        }
        let mut nearest: BinaryHeap<Reverse<(TokenId, usize)>> = open
            .iter()
            .enumerate()
            .map(|(number, page)| Reverse((page.uses[page.at].token, number)))
            .collect();
        let mut through: Vec<Page> = Vec::new();
        let mut sums: Vec<(TokenId, Used)> = Vec::with_capacity(tokens_max);
        let mut folded = Folded { uses: 0, next: None };
        while let Some(Reverse((token, number))) = nearest.pop() {
            if sums.last().is_none_or(|(last, ..)| *last != token) {
                if sums.len() == tokens_max {
                    folded.next = Some(token);
                    break;
                }
                sums.push((token, Used::default()));
            }
            let page = &mut open[number];
            if let Some((_, sum)) = sums.last_mut() {
                sum.add(&page.uses[page.at]);
            }
            folded.uses += 1;
            page.at += 1;
            if page.at == page.uses.len()
                && let Some(first) = self.page_after(page.run, token)?
                && let Some(next) = self.page(page.run, first)?
            {
                through.push(std::mem::replace(page, next));
            }
            if let Some(used) = page.uses.get(page.at) {
                nearest.push(Reverse((used.token, number)));
            }
        }
        for page in through.into_iter().chain(open) {
            self.leave(page)?;
        }
        for (token, sum) in sums {
            self.add_usage(token, &sum)?;
        }
        Ok(folded)
    }

    /// Leaves of a page what was not folded.
    fn leave(&mut self, page: Page) -> Result<(), Failure> {
        let Page { run, first, mut uses, kept, at } = page;
        if kept == at {
            return Ok(());
        }
        uses.drain(kept..at);
        if uses.first().is_none_or(|used| used.token != first) {
            self.remove(Table::UsageJournal, &codec::journal(run, first))?;
        }
        self.put_page(run, &uses)
    }

    fn put_page(&mut self, run: u64, uses: &[Use]) -> Result<(), Failure> {
        let Some(first) = uses.first() else { return Ok(()) };
        let key = codec::journal(run, first.token);
        self.put(Table::UsageJournal, &key, &codec::encode_uses(uses)?)
    }
}

impl<W: WriteRecords> WriteJournal for W {}

/// The uses in the order of their tokens, each token once.
pub(super) fn in_order(mut uses: Vec<Use>) -> Vec<Use> {
    uses.sort_unstable_by_key(|used| used.token);
    uses.dedup_by(|later, earlier| {
        let is_same = later.token == earlier.token;
        if is_same {
            let Use { token, usage, needs } = later;
            let needs = std::mem::take(needs);
            earlier.add(Use { token: *token, usage: *usage, needs });
        }
        is_same
    });
    uses
}

#[cfg(test)]
mod tests;
