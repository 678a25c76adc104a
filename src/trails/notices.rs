//! Forgetting notices that have outlived the time they are kept. Each change that makes some forgets
//! more than it makes; this is for when nothing makes any more.

use super::retention::{Error, STEPS_MAX};
use crate::change::{Change, Write};
use crate::store::Ledger;
use crate::time::Timestamp;

/// Forgets what has outlived its time at `now`, until nothing is left, [`STEPS_MAX`] steps are taken
/// or `is_over` says so. Answers whether there is more to forget already. Blocks.
pub(super) fn forget(
    ledger: &dyn Ledger,
    now: Timestamp,
    is_over: &dyn Fn() -> bool,
) -> Result<bool, Error> {
    for _ in 0..STEPS_MAX {
        if is_over() || !ledger.has_outlived_notices(now)? {
            return Ok(false);
        }
        let writes = vec![Write::ForgetNotices(now)];
        ledger.commit(Change { writes, ..Change::default() }).wait()?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{OrgId, TokenId, UserId};
    use crate::notice::{About, Draft, Kind, NOTICES_KEPT, Notice, Outcome, Retry, Standing};
    use crate::store::memory::MemoryStore;
    use std::ops::ControlFlow;
    use std::time::Duration;

    const ORG: OrgId = OrgId::from_bits(1);

    fn all(store: &MemoryStore) -> Vec<Notice> {
        let mut all = Vec::new();
        let mut visit = |notice| {
            all.push(notice);
            ControlFlow::Continue(())
        };
        store.visit_notices(ORG, None, &mut visit).expect("readable");
        all
    }

    #[test]
    fn what_has_ended_goes_after_its_time_and_what_is_owed_stays() {
        let store = MemoryStore::new();
        let made = Timestamp::from_millis(1_800_000_000_000);
        let draft = Draft {
            org: ORG,
            at: made,
            kind: Kind::Created,
            about: About::Token(TokenId::from_bits(1), "a token".to_owned()),
            to: (0..2_510).map(UserId::from_bits).collect(),
            by: None,
            reason: None,
            details: Vec::new(),
        };
        let commit = |change| store.commit(change).wait().expect("written");
        commit(Change { notices: vec![draft], ..Change::default() });
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(1));
        let retry = Retry { attempts_max: 1, first, longest };
        let delivered = |notice: Notice| {
            Write::Notice(Box::new(notice.after(Outcome::Delivered, made, &retry, 0)))
        };
        let writes = all(&store).into_iter().take(2_500).map(delivered).collect();
        commit(Change { writes, ..Change::default() });

        let end = made.after(NOTICES_KEPT);
        let round = |now, is_over| forget(&*store, now, &|| is_over).expect("readable");
        assert!(!round(end.before(Duration::from_millis(1)), false));
        assert!(!round(end, true), "an end waits for nothing");
        assert_eq!(all(&store).len(), 2_510);
        assert!(!round(end, false));
        let left = all(&store);
        assert_eq!(left.len(), 10);
        assert!(left.iter().all(|notice| notice.state.standing() == Standing::Waiting));
    }
}
