//! Figures of the data plane: verdicts by minute and day, uses by day, and what uses needed.
//!
//! A row for each minute and each day in which there were verdicts about an organization's tokens.
//! Whoever adds to them forgets what is too old, so they need nobody who clears up.

use super::codec;
use super::engine::{Failure, Order, Read, Table};
use super::journal::Journal;
use super::record::{Records, WriteRecords, within};
use crate::access::Verdicts;
use crate::id::{OrgId, TokenId};
use crate::time::{Day, Timestamp};
use crate::token::watch::{Step, Watch};
use crate::token::{DAYS_KEPT, Used};
use std::ops::ControlFlow;

/// The minutes whose verdicts are kept: six hours.
pub const MINUTES_KEPT: u16 = 360;
/// Rows that are forgotten at a time, at most: more than are added, so that none stay.
const FORGOTTEN_MAX: usize = 8;
const MILLIS_PER_MINUTE: u64 = 60 * 1000;
const MILLIS_PER_DAY: u64 = 24 * 60 * MILLIS_PER_MINUTE;

/// By what verdicts are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Grain {
    /// Minutes, the last [`MINUTES_KEPT`].
    Minute = 0,
    /// Days in UTC, the last [`DAYS_KEPT`].
    Day = 1,
}

impl Grain {
    const fn millis(self) -> u64 {
        match self {
            Self::Minute => MILLIS_PER_MINUTE,
            Self::Day => MILLIS_PER_DAY,
        }
    }

    const fn kept(self) -> u16 {
        match self {
            Self::Minute => MINUTES_KEPT,
            Self::Day => DAYS_KEPT,
        }
    }

    fn number(self, at: Timestamp) -> u64 {
        u64::try_from(at.millis()).unwrap_or(0) / self.millis()
    }

    fn start(self, number: u64) -> Timestamp {
        let millis = number.saturating_mul(self.millis());
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

/// Reads figures.
pub(super) trait Figures: Records + Journal {
    /// When each minute or day began, and its verdicts, the earliest first.
    fn verdicts(&self, org: OrgId, grain: Grain) -> Result<Vec<(Timestamp, Verdicts)>, Failure> {
        let (first, last) = (codec::verdicts(org, grain, 0), codec::verdicts(org, grain, u64::MAX));
        let mut rows = Vec::new();
        self.scan(Table::Verdicts, within(&first, &last), Order::Ascending, &mut |key, value| {
            let number = codec::read_verdicts_number(key)?;
            rows.push((grain.start(number), read(value)?));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    /// The requests with a token of an organization that were refused, by day, the earliest first.
    fn refused(&self, org: OrgId, token: TokenId) -> Result<Vec<(Day, Verdicts)>, Failure> {
        let days = self.get(Table::Refused, &codec::token(org, token), read_days)?.transpose()?;
        Ok(days.unwrap_or_default())
    }

    /// All that is recorded of the uses of some tokens of an organization, which are in order and each
    /// named once: the uses in the journal included.
    fn used(&self, org: OrgId, tokens: &[TokenId]) -> Result<Vec<Used>, Failure> {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            return Ok(Vec::new());
        };
        let mut all = vec![Used::default(); tokens.len()];
        let (first, last) = (codec::token(org, *first), codec::token(org, *last));
        self.scan(Table::Usage, within(&first, &last), Order::Ascending, &mut |key, value| {
            let token = TokenId::from_bits(codec::read_pair(key)?.1);
            if let Ok(at) = tokens.binary_search(&token) {
                all[at] = codec::decode(value)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.each_journaled(tokens, &mut |at, usage, met| {
            all[at].count(usage);
            let Some(last) = usage.last_used_at else { return Ok(()) };
            met.each(|need| all[at].needs.add(need, Day::of(last)))
        })?;
        Ok(all)
    }

    /// How uses were recorded so far; nothing before the first gateway began.
    fn watch(&self) -> Result<Option<Watch>, Failure> {
        self.get(Table::Meta, WATCH, codec::decode)?.transpose()
    }
}

impl<R: Read> Figures for R {}

/// Writes figures.
pub(super) trait WriteFigures: WriteRecords + Figures {
    /// Adds verdicts to those of their minute and their day. Passes over an organization that is not
    /// there.
    fn add_verdicts(
        &mut self,
        org: OrgId,
        at: Timestamp,
        verdicts: &Verdicts,
    ) -> Result<(), Failure> {
        if self.organization(org)?.is_none() {
            return Ok(());
        }
        for grain in [Grain::Minute, Grain::Day] {
            let number = grain.number(at);
            let key = codec::verdicts(org, grain, number);
            let stored = self.get(Table::Verdicts, &key, read)?.transpose()?;
            let mut sum = stored.unwrap_or_default();
            sum.add(verdicts);
            self.put(Table::Verdicts, &key, &codec::encode(&(sum.permitted, &sum.denied[..]))?)?;
            let end = (number + 1).saturating_sub(u64::from(grain.kept()));
            self.forget_before(org, grain, end)?;
        }
        Ok(())
    }

    /// Adds requests with a token that were refused to those of their day, and forgets what is too
    /// old. Passes over a token that is not there.
    fn add_refused(
        &mut self,
        token: TokenId,
        at: Timestamp,
        refused: &Verdicts,
    ) -> Result<(), Failure> {
        let Some(org) = self.token_home(token)? else { return Ok(()) };
        let mut days = self.refused(org, token)?;
        let today = Day::of(at);
        match days.iter_mut().find(|(day, _)| *day == today) {
            Some((_, sum)) => sum.add(refused),
            None => days.push((today, refused.clone())),
        }
        days.sort_unstable_by_key(|(day, _)| *day);
        let last = days.last().map_or(today, |(day, _)| *day);
        days.retain(|(day, _)| last.since(*day) < i64::from(DAYS_KEPT));
        let days: Vec<(Day, &[u64])> =
            days.iter().map(|(day, sum)| (*day, &sum.denied[..])).collect();
        self.put(Table::Refused, &codec::token(org, token), &codec::encode(&days)?)
    }

    /// Something happens to the recording of uses.
    fn step_watch(&mut self, step: Step) -> Result<(), Failure> {
        match Watch::after(self.watch()?, step) {
            Some(watch) => self.put(Table::Meta, WATCH, &codec::encode(&watch)?),
            None => Ok(()),
        }
    }

    fn forget_before(&mut self, org: OrgId, grain: Grain, end: u64) -> Result<(), Failure> {
        let Some(last) = end.checked_sub(1) else { return Ok(()) };
        let (first, last) = (codec::verdicts(org, grain, 0), codec::verdicts(org, grain, last));
        let mut outlived: Vec<Vec<u8>> = Vec::new();
        self.scan(Table::Verdicts, within(&first, &last), Order::Ascending, &mut |key, _| {
            outlived.push(key.to_vec());
            let enough = outlived.len() >= FORGOTTEN_MAX;
            Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        outlived.iter().try_for_each(|key| self.remove(Table::Verdicts, key))
    }
}

impl<W: WriteRecords> WriteFigures for W {}

const WATCH: &[u8] = b"watch";

/// A reason that came later than the row has no number in it, and counts as none.
fn read(value: &[u8]) -> Result<Verdicts, Failure> {
    let (permitted, counts): (u64, Vec<u64>) = codec::decode(value)?;
    Ok(verdicts(permitted, counts))
}

fn read_days(value: &[u8]) -> Result<Vec<(Day, Verdicts)>, Failure> {
    let days: Vec<(Day, Vec<u64>)> = codec::decode(value)?;
    Ok(days.into_iter().map(|(day, counts)| (day, verdicts(0, counts))).collect())
}

fn verdicts(permitted: u64, counts: Vec<u64>) -> Verdicts {
    let mut verdicts = Verdicts { permitted, ..Verdicts::default() };
    for (denied, count) in verdicts.denied.iter_mut().zip(counts) {
        *denied = count;
    }
    verdicts
}
