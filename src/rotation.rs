//! Recording what the first use of a new secret has ended.
//!
//! The gateway refuses the old secret from that use on, by a cell in the cache; here the store is
//! told of it, so that it holds after a restart, too.

use crate::audit::Origin;
use crate::cache::{Cache, Taken};
use crate::governance::Occasion;
use crate::governance::token::first_use;
use crate::store::{Commit, CommitError, Ledger, StoreError};
use crate::time::Timestamp;

/// Records the first uses that the store does not know of. What cannot be recorded is kept in the
/// cache for the next time. Blocks.
pub fn record(cache: &Cache, ledger: &dyn Ledger, now: Timestamp) {
    // All are queued before the first is awaited, so that they share transactions.
    let mut queued: Vec<(Taken, Commit)> = Vec::new();
    for taken in cache.taken() {
        match plan(&taken, ledger, now) {
            Ok(Some(commit)) => queued.push((taken, commit)),
            Ok(None) => cache.forget_takeover(&taken.heir),
            Err(error) => tracing::error!(%error, token = %taken.token, "cannot be read"),
        }
    }
    for (taken, commit) in queued {
        match commit.wait() {
            Ok(_committed) => cache.forget_takeover(&taken.heir),
            // The token has changed meanwhile.
            Err(CommitError::Conflict(_)) => {}
            Err(error) => {
                tracing::error!(
                    %error, token = %taken.token,
                    "the end of a rotated secret is not recorded; it is refused until a restart"
                );
            }
        }
    }
}

fn plan(taken: &Taken, ledger: &dyn Ledger, now: Timestamp) -> Result<Option<Commit>, StoreError> {
    let Some((present, _usage)) = ledger.token(taken.token)? else { return Ok(None) };
    let (roles, origin) = (ledger.roles(), Origin::default());
    let at = Occasion { now, roles: &roles, origin: &origin };
    let change = first_use(&present, &taken.heir, taken.at, &at);
    Ok(change.map(|change| ledger.commit(change)))
}
