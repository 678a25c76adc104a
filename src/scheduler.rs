//! The scheduler: makes validation runs when they are due, one at a time.
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
mod telling;

use crate::change::{Change, Write};
use crate::id::OrgId;
use crate::org::Governance;
use crate::store::{CommitError, Ledger, StoreError};
use crate::time::Timestamp;
use crate::usage::Uses;
use crate::validation::{self, Due, RunState, Schedule, Trigger, Wanted};
use pass::Pass;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use telling::Teller;
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
    /// A thread ended before its work was done.
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
    /// Works until it is asked to stop.
    pub async fn work(self, stop: Stop) {
        while !stop.is_asked() {
            let pause = match self.look(&stop).await {
                Ok(()) => LOOK_EVERY,
                Err(Interrupted::Stopped) => return,
                Err(error) => {
                    tracing::error!(%error, "a validation run was broken off, and will be repeated");
                    PAUSE_AFTER_FAILURE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.bell.notified() => {}
                () = stop.bell.notified() => {}
            }
        }
    }

    /// Makes all runs that are due.
    pub async fn look(&self, stop: &Stop) -> Result<(), Interrupted> {
        for org in self.due().await? {
            // More may be wanted while one is at work.
            while self.next(org, stop).await? {}
        }
        Ok(())
    }

    /// Asks for the daily runs, and answers the organizations in which a run waits.
    async fn due(&self) -> Result<Vec<OrgId>, Interrupted> {
        let (ledger, now) = (Arc::clone(&self.ledger), (self.clock)());
        blocking(move || {
            let schedules = ledger.schedules()?;
            let mut known: HashMap<OrgId, Schedule> =
                schedules.into_iter().map(|schedule| (schedule.org, schedule)).collect();
            let mut waiting = Vec::new();
            for org in ledger.organizations()? {
                let (schedule, is_new) = match known.remove(&org.id) {
                    Some(schedule) => (schedule, false),
                    None => (Schedule::new(org.id, now), true),
                };
                if org.governance == Governance::Deactivated {
                    continue;
                }
                let mut is_wanted = schedule.queued.is_some() || schedule.running.is_some();
                let mut writes = Vec::new();
                match schedule.due(now) {
                    Due::Later if is_new => {
                        writes.push(validation::Write::Next(org.id, schedule.next_at));
                    }
                    Due::Later => {}
                    Due::Moved(next_at) => writes.push(validation::Write::Next(org.id, next_at)),
                    Due::Now { next_at } => {
                        // In one transaction: neither without the other, so never twice.
                        let trigger = Trigger::Scheduled;
                        let wanted = Wanted { org: org.id, trigger, by: None, at: now };
                        writes.push(validation::Write::Next(org.id, next_at));
                        writes.push(validation::Write::Wanted(wanted));
                        is_wanted = true;
                    }
                }
                if !writes.is_empty() {
                    commit(&*ledger, writes)?;
                }
                if is_wanted {
                    waiting.push(org.id);
                }
            }
            Ok(waiting)
        })
        .await
    }

    /// Makes the next run of an organization, the one that was broken off first. Answers whether
    /// there was one.
    async fn next(&self, org: OrgId, stop: &Stop) -> Result<bool, Interrupted> {
        let (ledger, uses) = (Arc::clone(&self.ledger), Arc::clone(&self.uses));
        let now = (self.clock)();
        let clock = Arc::clone(&self.clock);
        let mut pass = match blocking(move || begin(ledger, &*uses, org, now)).await? {
            None => return Ok(false),
            Some(Begun::Judging(pass)) => *pass,
            Some(Begun::Telling(teller)) => {
                blocking(move || teller.finish(clock())).await?;
                return Ok(true);
            }
        };
        loop {
            if stop.is_asked() {
                return Err(Interrupted::Stopped);
            }
            match blocking(move || pass.step()).await? {
                (further, true) => pass = further,
                (done, false) => {
                    blocking(move || done.finish(clock())).await?;
                    return Ok(true);
                }
            }
            tokio::task::yield_now().await;
        }
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
        Some(number) => Some((number, through_at(&*ledger, org.id, number)?.unwrap_or(started_at))),
    };
    let pass = Pass::new(ledger, uses, org, run, compared, exemptions, started_at);
    Ok(Some(Begun::Judging(Box::new(pass))))
}

/// When a run was through.
fn through_at(
    ledger: &dyn Ledger,
    org: OrgId,
    number: u64,
) -> Result<Option<Timestamp>, StoreError> {
    Ok(ledger.run(org, number)?.and_then(|run| match run.state {
        RunState::Finished(findings) => Some(findings.finished_at),
        RunState::Queued | RunState::Running { .. } | RunState::Telling(_) => None,
    }))
}

fn commit(ledger: &dyn Ledger, writes: Vec<validation::Write>) -> Result<(), CommitError> {
    let writes = writes.into_iter().map(Write::Validation).collect();
    ledger.commit(Change { writes, ..Change::default() }).wait().map(|_committed| ())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Interrupted> + Send + 'static,
) -> Result<T, Interrupted> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Interrupted::Lost))
}

#[cfg(test)]
pub(crate) mod tests;
