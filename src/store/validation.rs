//! The records of validation: schedules, runs, the flags that runs compare with, and exemptions.

use super::codec;
use super::engine::{Failure, Order, Read, Table, Write};
use super::record::within;
use crate::exemption::Exemption;
use crate::id::OrgId;
use crate::org::Revision;
use crate::validation::{self, Flag, RUNS_KEPT_MAX, Run, RunState, Schedule, Segment, Wanted};
use std::ops::ControlFlow;

/// Typed reads.
pub(super) trait ValidationRecords: Read + Sized {
    fn schedule(&self, org: OrgId) -> Result<Option<Schedule>, Failure> {
        self.get(Table::Schedules, &codec::id(org.bits()), codec::decode)?.transpose()
    }

    fn schedules(&self) -> Result<Vec<Schedule>, Failure> {
        let mut all = Vec::new();
        self.scan(
            Table::Schedules,
            super::record::EVERYTHING,
            Order::Ascending,
            &mut |_, value| {
                all.push(codec::decode(value)?);
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(all)
    }

    fn run(&self, org: OrgId, number: u64) -> Result<Option<Run>, Failure> {
        self.get(Table::Runs, &codec::numbered(org, number), codec::decode)?.transpose()
    }

    /// Runs below `before`, the latest first.
    fn runs(&self, org: OrgId, before: Option<u64>, limit: usize) -> Result<Vec<Run>, Failure> {
        let mut runs = Vec::new();
        let Some(last) = before.unwrap_or(u64::MAX).checked_sub(1).filter(|_| limit > 0) else {
            return Ok(runs);
        };
        let (first, last) = (codec::numbered(org, 0), codec::numbered(org, last));
        self.scan(Table::Runs, within(&first, &last), Order::Descending, &mut |_, value| {
            runs.push(codec::decode(value)?);
            let enough = runs.len() >= limit;
            Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(runs)
    }

    fn flags(&self, org: OrgId, run: u64, number: u32) -> Result<Option<Vec<Flag>>, Failure> {
        self.get(Table::Flags, &codec::segment(org, run, number), codec::decode)?.transpose()
    }

    fn exemptions(&self, org: OrgId) -> Result<Vec<Exemption>, Failure> {
        let mut all = Vec::new();
        let (first, last) = codec::all_of(org.bits());
        self.scan(Table::Exemptions, within(&first, &last), Order::Ascending, &mut |_, value| {
            all.push(codec::decode(value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }

    /// The parts of flags that there are, of any run of the organization, at most so many.
    fn segments(&self, org: OrgId, limit: usize) -> Result<Vec<(u64, u32)>, Failure> {
        let mut all = Vec::new();
        let (first, last) = (codec::segment(org, 0, 0), codec::segment(org, u64::MAX, u32::MAX));
        self.scan(Table::Flags, within(&first, &last), Order::Ascending, &mut |key, _| {
            all.push(codec::read_segment(key)?);
            let enough = all.len() >= limit;
            Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(all)
    }
}

impl<R: Read> ValidationRecords for R {}

/// Typed writes.
pub(super) trait WriteValidationRecords: Write + ValidationRecords {
    /// As `revision`, where a record tells who wrote it.
    fn put_validation(
        &mut self,
        write: validation::Write,
        revision: Revision,
    ) -> Result<(), Failure> {
        match write {
            validation::Write::Next(org, next_at) => {
                let schedule = self.schedule(org)?.unwrap_or_else(|| Schedule::new(org, next_at));
                self.put_schedule(&Schedule { next_at, ..schedule })
            }
            validation::Write::Wanted(wanted) => self.queue(wanted),
            validation::Write::Running { org, run, started_at } => {
                let Some((schedule, run)) = self.known(org, run)? else { return Ok(()) };
                let queued = schedule.queued.filter(|queued| *queued != run.number);
                let running = Some(run.number);
                self.put_schedule(&Schedule { queued, running, ..schedule })?;
                self.put_run(&Run { state: RunState::Running { started_at }, ..run })
            }
            validation::Write::Flags(Segment { org, run, number, flags }) => {
                let key = codec::segment(org, run, number);
                self.put(Table::Flags, &key, &codec::encode(&flags)?)
            }
            validation::Write::Telling { org, run, telling } => {
                let Some((_, run)) = self.known(org, run)? else { return Ok(()) };
                self.put_run(&Run { state: RunState::Telling(telling), ..run })
            }
            validation::Write::Finished { org, run, findings } => {
                let Some((schedule, run)) = self.known(org, run)? else { return Ok(()) };
                let compared = Some(run.number);
                self.put_schedule(&Schedule { running: None, compared, ..schedule })?;
                if let Some(oldest) = run.number.checked_sub(RUNS_KEPT_MAX) {
                    self.remove(Table::Runs, &codec::numbered(org, oldest))?;
                }
                self.put_run(&Run { state: RunState::Finished(findings), ..run })
            }
            validation::Write::Exempt(exemption) => {
                let exemption = Exemption { version: revision, ..*exemption };
                let key = codec::exemption(exemption.org, exemption.id);
                self.put(Table::Exemptions, &key, &codec::encode(&exemption)?)
            }
            validation::Write::Unexempt(org, id) => {
                self.remove(Table::Exemptions, &codec::exemption(org, id))
            }
            validation::Write::Forget { org, run, number } => {
                self.remove(Table::Flags, &codec::segment(org, run, number))
            }
        }
    }

    fn queue(&mut self, wanted: Wanted) -> Result<(), Failure> {
        let Wanted { org, trigger, by, at } = wanted;
        let schedule = self.schedule(org)?.unwrap_or_else(|| Schedule::new(org, at));
        if schedule.queued.is_some() {
            return Ok(());
        }
        let number = schedule.latest + 1;
        self.put_schedule(&Schedule { latest: number, queued: Some(number), ..schedule })?;
        let state = RunState::Queued;
        self.put_run(&Run { org, number, trigger, by, asked_at: at, state })
    }

    fn known(&self, org: OrgId, run: u64) -> Result<Option<(Schedule, Run)>, Failure> {
        Ok(self.schedule(org)?.zip(self.run(org, run)?))
    }

    fn put_schedule(&mut self, schedule: &Schedule) -> Result<(), Failure> {
        let key = codec::id(schedule.org.bits());
        self.put(Table::Schedules, &key, &codec::encode(schedule)?)
    }

    fn put_run(&mut self, run: &Run) -> Result<(), Failure> {
        self.put(Table::Runs, &codec::numbered(run.org, run.number), &codec::encode(run)?)
    }
}

impl<W: Write> WriteValidationRecords for W {}
