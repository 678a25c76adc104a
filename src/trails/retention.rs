//! Forgetting events that have outlived the time they are kept, from the oldest on, in steps that
//! hold nobody up. A signed checkpoint stands where they were, so the rest is proved as before.

use crate::change::{Change, Write};
use crate::id::OrgId;
use crate::store::{CommitError, FORGOTTEN_AT_A_TIME_MAX, Ledger, StoreError};
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

/// Why events stay that should go. The next look finds them again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// The store could not be written.
    #[error(transparent)]
    Write(#[from] CommitError),
}

/// The steps of one round, at most: what is left then is for the next one. Between two rounds other
/// things are written.
pub const STEPS_MAX: usize = 256;

/// What a round came to.
#[derive(Debug, Default)]
pub struct Round {
    /// Events that are forgotten.
    pub forgotten: u64,
    /// Whether there may be more to forget already.
    pub more: bool,
    /// What went wrong first. The trails of other organizations are done all the same.
    pub failed: Option<Error>,
}

/// Forgets what is older than `keep` in all trails, a step of each in turn, until nothing is left,
/// [`STEPS_MAX`] are taken or `is_over` says so. Blocks.
pub fn forget(
    ledger: &dyn Ledger,
    keep: Duration,
    now: Timestamp,
    is_over: &dyn Fn() -> bool,
) -> Round {
    let mut round = Round::default();
    let mut trails: VecDeque<OrgId> = match ledger.organizations() {
        Ok(orgs) => orgs.into_iter().map(|org| org.id).collect(),
        Err(error) => return Round { failed: Some(error.into()), ..round },
    };
    let mut steps = 0;
    while let Some(org) = trails.pop_front() {
        if is_over() {
            break;
        }
        match step(ledger, org, keep, now) {
            Ok(0) => continue,
            Ok(count) => {
                round.forgotten += count as u64;
                if count == FORGOTTEN_AT_A_TIME_MAX {
                    trails.push_back(org);
                }
            }
            Err(error) => {
                tracing::warn!(%error, %org, "events of a trail stay for now");
                round.failed.get_or_insert(error);
            }
        }
        steps += 1;
        if steps == STEPS_MAX {
            round.more = !trails.is_empty();
            break;
        }
    }
    round
}

/// Forgets the oldest events of one trail that have outlived their time, as many as one change
/// takes, and answers how many.
fn step(ledger: &dyn Ledger, org: OrgId, keep: Duration, now: Timestamp) -> Result<usize, Error> {
    let Some((through, count)) = outlived(ledger, org, now.before(keep))? else { return Ok(0) };
    let write = Write::ForgetEvents { org, through, at: now };
    ledger.commit(Change { writes: vec![write], ..Change::default() }).wait()?;
    Ok(count)
}

/// The last of the oldest events that are all from before `end`, and how many they are; as many
/// as one step takes.
fn outlived(
    ledger: &dyn Ledger,
    org: OrgId,
    end: Timestamp,
) -> Result<Option<(u64, usize)>, StoreError> {
    let (mut through, mut count) = (None, 0);
    ledger.visit_events(org, 0, &mut |event| {
        if event.said.at >= end {
            return ControlFlow::Break(());
        }
        count += 1;
        through = Some(event.seq);
        if count < FORGOTTEN_AT_A_TIME_MAX {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(through.map(|through| (through, count)))
}

#[cfg(test)]
mod tests;
