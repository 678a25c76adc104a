//! The scheduler: makes validation runs when they are due, one at a time, and tells owners of the
//! ends of their tokens.
//!
//! Each organization has a daily run; a change of its policies and its owners ask for more. What is
//! due stands in the store ([`Schedule`]), so a restart neither skips a run nor makes one twice.
//!
//! **Invariants.**
//! - What a run takes away, it takes by ordinary changes: barred before they are committed, each with
//!   its audit event, and only as long as policies and exemptions are as it read them.
//! - A run reads its tokens a stretch at a time, each in a snapshot of its own, and lets others go
//!   first in between. It holds neither the writer nor a snapshot for longer than a stretch.
//! - While governance is deactivated nothing is run. What is due then is made up once after that.

mod pass;
mod reminding;
mod telling;

use crate::change::{Change, Write};
use crate::id::OrgId;
use crate::org::Governance;
use crate::store::{CommitError, Ledger, StoreError};
use crate::time::Timestamp;
use crate::usage::Uses;
use crate::validation::{self, Due, RunState, Schedule, Trigger, Wanted};
use pass::{Compared, Pass};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use telling::Teller;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// How often the schedules are looked at when nobody rings.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long nothing is tried after the store failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// What the scheduler works with.
pub struct Scheduler {
    /// The store.
    pub ledger: Arc<dyn Ledger>,
    /// The use of tokens that is not stored yet.
    pub uses: Arc<dyn Uses>,
    /// The clock.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Rings when a run may be wanted.
    pub bell: Arc<Notify>,
}

/// Why a run did not come to its end. It is repeated.
#[derive(Debug, thiserror::Error)]
pub enum Interrupted {
    /// The store, when read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// The store, when written.
    #[error("the store cannot be written: {0}")]
    Write(#[from] CommitError),
    /// The process is about to end.
    #[error("the process ends")]
    Stopped,
    /// A step of it panicked.
    #[error("a step of the run ended before its end")]
    Lost,
}

/// Ends a scheduler.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    bell: Arc<Notify>,
}

impl Stop {
    /// Asks it to end: a run that is at work is left where it is, and repeated after the next start.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }
}

impl Scheduler {
    /// Works on the calling thread until it is asked to stop. In a runtime's hands are its pauses only.
    pub fn work(self, stop: &Stop, runtime: &Runtime) {
        while !stop.is_asked() {
            // What it works with is the store, which a panic leaves as it was committed last.
            let looked = catch_unwind(AssertUnwindSafe(|| self.look(stop)));
            let pause = match looked.unwrap_or(Err(Interrupted::Lost)) {
                Ok(()) => LOOK_EVERY,
                Err(Interrupted::Stopped) => return,
                Err(error) => {
                    tracing::error!(%error, "what the scheduler does was broken off, and will be repeated");
                    PAUSE_AFTER_FAILURE
                }
            };
            runtime.block_on(async {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.bell.notified() => {}
                    () = stop.bell.notified() => {}
                }
            });
        }
    }

    /// Tells and makes all that is due. What goes wrong in one organization keeps no other from its
    /// turn; the first of it is answered.
    pub fn look(&self, stop: &Stop) -> Result<(), Interrupted> {
        let mut failed = Failed::default();
        let now = (self.clock)();
        failed.see(None, || reminding::remind_all(&*self.ledger, now, stop))?;
        for org in self.due(&mut failed)? {
            // More may be wanted while one is at work.
            failed.see(Some(org), || {
                while self.next(org, stop)? {}
                Ok(())
            })?;
        }
        failed.first()
    }

    /// Asks for the daily runs, and answers the organizations in which a run waits.
    fn due(&self, failed: &mut Failed) -> Result<Vec<OrgId>, Interrupted> {
        let (ledger, now) = (&*self.ledger, (self.clock)());
        let schedules = ledger.schedules()?;
        let mut known: HashMap<OrgId, Schedule> =
            schedules.into_iter().map(|schedule| (schedule.org, schedule)).collect();
        let mut waiting = Vec::new();
        for org in ledger.organizations()? {
            let schedule = known.remove(&org.id);
            if org.governance == Governance::Deactivated {
                continue;
            }
            let is_wanted = failed.see(Some(org.id), || ask(ledger, org.id, schedule, now))?;
            if is_wanted == Some(true) {
                waiting.push(org.id);
            }
        }
        Ok(waiting)
    }

    /// Makes the next run of an organization, the one that was broken off first. Answers whether
    /// there was one.
    fn next(&self, org: OrgId, stop: &Stop) -> Result<bool, Interrupted> {
        let begun = begin(Arc::clone(&self.ledger), &*self.uses, org, (self.clock)())?;
        let teller = match begun {
            None => return Ok(false),
            Some(Begun::Telling(teller)) => *teller,
            Some(Begun::Judging(mut pass)) => loop {
                if stop.is_asked() {
                    return Err(Interrupted::Stopped);
                }
                if !pass.step()? {
                    break pass.judged()?;
                }
            },
        };
        teller.finish((self.clock)())?;
        Ok(true)
    }
}

/// Asks for the daily run of an organization if it is due. Answers whether a run waits.
fn ask(
    ledger: &dyn Ledger,
    org: OrgId,
    schedule: Option<Schedule>,
    now: Timestamp,
) -> Result<bool, Interrupted> {
    let is_new = schedule.is_none();
    let schedule = schedule.unwrap_or_else(|| Schedule::new(org, now));
    let mut is_wanted = schedule.queued.is_some() || schedule.running.is_some();
    let mut writes = Vec::new();
    match schedule.due(now) {
        Due::Later if is_new => writes.push(validation::Write::Next(org, schedule.next_at)),
        Due::Later => {}
        Due::Moved(next_at) => writes.push(validation::Write::Next(org, next_at)),
        Due::Now { next_at } => {
            // In one transaction: neither without the other, so never twice.
            let trigger = Trigger::Scheduled;
            let wanted = Wanted { org, trigger, by: None, at: now };
            writes.push(validation::Write::Next(org, next_at));
            writes.push(validation::Write::Wanted(wanted));
            is_wanted = true;
        }
    }
    if !writes.is_empty() {
        commit(ledger, writes)?;
    }
    Ok(is_wanted)
}

/// What went wrong in a look that goes on.
#[derive(Debug, Default)]
struct Failed(Option<Interrupted>);

impl Failed {
    /// Does a part of a look, and answers what it answers; nothing if it failed, or panicked, and
    /// the other parts shall have their turn. They have none when the process ends, or where the
    /// store takes nothing any more.
    fn see<T>(
        &mut self,
        org: Option<OrgId>,
        part: impl FnOnce() -> Result<T, Interrupted>,
    ) -> Result<Option<T>, Interrupted> {
        // What it works with is the store, which a panic leaves as it was committed last.
        let done = catch_unwind(AssertUnwindSafe(part)).unwrap_or(Err(Interrupted::Lost));
        match done {
            Ok(done) => Ok(Some(done)),
            Err(
                end @ (Interrupted::Stopped
                | Interrupted::Write(
                    CommitError::Full | CommitError::Failed(_) | CommitError::Closed,
                )),
            ) => Err(end),
            Err(
                error @ (Interrupted::Read(_)
                | Interrupted::Lost
                | Interrupted::Write(CommitError::Conflict(_) | CommitError::Busy)),
            ) => {
                let org = org.map(tracing::field::display);
                tracing::warn!(%error, org, "the others have their turn all the same");
                self.0.get_or_insert(error);
                Ok(None)
            }
        }
    }

    /// The first of it.
    fn first(self) -> Result<(), Interrupted> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Where a run begins, or goes on.
enum Begun {
    /// With its first token.
    Judging(Box<Pass>),
    /// Where it was broken off while it told the owners.
    Telling(Box<Teller>),
}

/// Starts the next run of an organization, or goes on with one that was broken off.
fn begin(
    ledger: Arc<dyn Ledger>,
    uses: &dyn Uses,
    org: OrgId,
    now: Timestamp,
) -> Result<Option<Begun>, Interrupted> {
    let Some(org) = ledger.organization(org)? else { return Ok(None) };
    let schedules = ledger.schedules()?;
    let Some(schedule) = schedules.into_iter().find(|schedule| schedule.org == org.id) else {
        return Ok(None);
    };
    let next = schedule.running.or(schedule.queued);
    if org.governance == Governance::Deactivated || next.is_none() {
        return Ok(None);
    }
    let Some(run) = next.map_or(Ok(None), |number| ledger.run(org.id, number))? else {
        return Ok(None);
    };
    let started_at = match run.state {
        RunState::Running { started_at } => started_at,
        RunState::Queued => {
            let start =
                validation::Write::Running { org: org.id, run: run.number, started_at: now };
            commit(&*ledger, vec![start])?;
            now
        }
        RunState::Telling(telling) => {
            let teller = Teller { ledger, org, run, telling, owed: None };
            return Ok(Some(Begun::Telling(Box::new(teller))));
        }
        RunState::Finished(_) => return Ok(None),
    };
    // After the organization: an exemption that is missing here has changed it since.
    let exemptions = ledger.exemptions(org.id)?;
    let compared = match schedule.compared {
        None => None,
        Some(number) => Some(Compared::read(&*ledger, org.id, number)?),
    };
    let pass = Pass::new(ledger, uses, org, run, compared, exemptions, started_at);
    Ok(Some(Begun::Judging(Box::new(pass))))
}

fn commit(ledger: &dyn Ledger, writes: Vec<validation::Write>) -> Result<(), CommitError> {
    let writes = writes.into_iter().map(Write::Validation).collect();
    ledger.commit(Change { writes, ..Change::default() }).wait().map(|_committed| ())
}

#[cfg(test)]
pub(crate) mod tests;
