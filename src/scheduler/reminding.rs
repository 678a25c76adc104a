//! Reminders: owners are told of the ends of their tokens when that is due.
//!
//! What is due stands in an index of the store, in the order of time, so a look that finds nothing
//! reads nothing. That a reminder is done is written with what is told of it: neither a restart nor a
//! clock that jumps tells anybody twice.

use super::{Failed, Interrupted, Stop};
use crate::change::{Change, Write};
use crate::governance::reminder::{Due, remind};
use crate::id::{OrgId, TokenId, UserId};
use crate::org::Revision;
use crate::store::{CommitError, Ledger};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Reminders that are sorted by their owners at a time. Of what is due at once beyond that an owner
/// is told in a further notice.
const DUES_AT_A_TIME: usize = 100_000;
/// Reminders that one transaction takes as done.
const DONE_AT_A_TIME: usize = 2_000;
/// Notices that one transaction makes; each may go to every webhook.
const NOTICES_AT_A_TIME: usize = 40;
/// How far behind it may be written that everything is done, when nothing else is written.
const THROUGH_EVERY: Duration = Duration::from_hours(1);

/// A reminder, and the token as it was when it was found.
struct Found {
    at: Timestamp,
    token: TokenId,
    version: Revision,
}

/// Tells owners of everything that is due at `now`.
///
/// A reminder that lies before what was done already came to be after it, by an import of a token
/// that has expired, say: of it nobody is told.
pub(super) fn remind_all(
    ledger: &dyn Ledger,
    now: Timestamp,
    stop: &Stop,
) -> Result<(), Interrupted> {
    // A clock that was set back, or the first look of all.
    let known = ledger.reminded_through()?.filter(|through| *through <= now);
    let through = known.unwrap_or(now);
    let mut is_all_done = true;
    let mut failed = Failed::default();
    // What is not written is found again by the next look.
    let write = |failed: &mut Failed, change| {
        Ok::<bool, Interrupted>(failed.see(None, || commit(ledger, change))?.unwrap_or(false))
    };
    loop {
        let due = ledger.due_reminders(now, DUES_AT_A_TIME)?;
        let is_last = due.len() < DUES_AT_A_TIME;
        let mut owned: BTreeMap<(OrgId, UserId), Vec<Found>> = BTreeMap::new();
        for (at, token) in due {
            let found = Found { at, token: token.id, version: token.version };
            owned.entry((token.org, token.owner)).or_default().push(found);
        }
        let mut change = Change::default();
        for ((org, owner), found) in owned {
            for part in found.chunks(DONE_AT_A_TIME) {
                if stop.is_asked() {
                    return Err(Interrupted::Stopped);
                }
                let further =
                    failed.see(Some(org), || of_owner(ledger, owner, part, through, now))?;
                let Some(further) = further else {
                    is_all_done = false;
                    continue;
                };
                is_all_done &= further.writes.len() == part.len();
                let is_full = change.writes.len() + further.writes.len() > DONE_AT_A_TIME
                    || change.notices.len() + further.notices.len() > NOTICES_AT_A_TIME;
                if is_full {
                    is_all_done &= write(&mut failed, std::mem::take(&mut change))?;
                }
                change.requires.extend(further.requires);
                change.writes.extend(further.writes);
                change.notices.extend(further.notices);
            }
        }
        is_all_done &= write(&mut failed, change)?;
        // What changed meanwhile is for the next look.
        if is_last || !is_all_done {
            break;
        }
    }
    if is_all_done && known.is_none_or(|through| now.since(through) >= THROUGH_EVERY) {
        let writes = vec![Write::RemindedThrough(now)];
        commit(ledger, Change { writes, ..Change::default() })?;
    }
    failed.first()
}

/// What becomes of some of an owner's reminders: of those whose tokens are as they were found.
fn of_owner(
    ledger: &dyn Ledger,
    owner: UserId,
    found: &[Found],
    through: Timestamp,
    now: Timestamp,
) -> Result<Change, Interrupted> {
    let mut dues = Vec::with_capacity(found.len());
    for &Found { at, token, version } in found {
        let token = ledger.token(token)?.map(|(token, _usage)| token);
        dues.extend(token.filter(|it| it.version == version).map(|token| Due { at, token }));
    }
    Ok(remind(ledger.user(owner)?.as_ref(), dues, through, now))
}

/// Answers whether it is written; not if one of the tokens was changed meanwhile.
fn commit(ledger: &dyn Ledger, change: Change) -> Result<bool, Interrupted> {
    if change == Change::default() {
        return Ok(true);
    }
    match ledger.commit(change).wait() {
        Ok(_committed) => Ok(true),
        Err(CommitError::Conflict(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
