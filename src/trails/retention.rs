//! Forgetting events that have outlived the time they are kept, from the oldest on, in steps that
//! hold nobody up. A signed checkpoint stands where they were, so the rest is proved as before.

use crate::change::{Change, Write};
use crate::id::OrgId;
use crate::store::{CommitError, FORGOTTEN_AT_A_TIME_MAX, Ledger, StoreError};
use crate::time::Timestamp;
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

/// Forgets what is older than `keep` in all trails, and answers how many events that were. Blocks.
pub fn forget(ledger: &dyn Ledger, keep: Duration, now: Timestamp) -> Result<u64, Error> {
    let mut forgotten = 0;
    for org in ledger.organizations()? {
        while let Some((through, count)) = outlived(ledger, org.id, now.before(keep))? {
            let write = Write::ForgetEvents { org: org.id, through, at: now };
            ledger.commit(Change { writes: vec![write], ..Change::default() }).wait()?;
            forgotten += count as u64;
            if count < FORGOTTEN_AT_A_TIME_MAX {
                break;
            }
        }
    }
    Ok(forgotten)
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
