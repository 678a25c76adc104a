//! What stands after a commit failed, and after the store was closed.

use super::Bed;
use super::fixture::*;
use crate::change::{Change, RecordKey, Require, Write};
use crate::org::Revision;
use crate::store::{CommitError, FactKey};

fn broken() -> CommitError {
    CommitError::Failed("a cable came loose".to_owned())
}

fn is_failure(error: &CommitError) -> bool {
    matches!(error, CommitError::Failed(_))
}

pub(super) fn a_failed_commit_writes_nothing_and_leaves_the_bar(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::Token(token(1))]);
    let recorder = Recorder::following(&bed.store);
    (bed.fail)(&broken());
    let change = Change {
        events: vec![said(ACME, "never")],
        ..restrictive(writes([Write::Token(revoked(token(1)))]))
    };
    let answer = commit(&bed.store, change).unwrap_err();
    assert!(is_failure(&answer), "{answer:?}");
    assert_eq!(recorder.heard(), [Heard::Bar(vec![FactKey::Token(digest(1))])]);

    assert!(!bed.store.is_writable());
    assert_eq!(commit(&bed.store, Change::default()), Err(CommitError::Closed));
    let usage = vec![(token_id(1), used(1, 1)).into()];
    assert_eq!(bed.store.record_usage(usage).wait(), Err(CommitError::Closed));
    // A file cannot be trusted any more and may refuse; but nobody is told what was not committed.
    if let Ok((revision, found)) = bed.store.lookup(&digest(1)) {
        assert_eq!(revision, Revision(2));
        assert_eq!(found.unwrap().token.version, Revision(2));
    }
    assert_eq!(bed.store.events(ACME, None, 1).unwrap_or_default(), []);
}

pub(super) fn a_full_disk_is_told_apart(bed: &Bed) {
    furnish(&bed.store);
    (bed.fail)(&CommitError::Full);
    assert_eq!(commit(&bed.store, writes([Write::Token(token(1))])), Err(CommitError::Full));
    assert_eq!(commit(&bed.store, Change::default()), Err(CommitError::Closed));
}

pub(super) fn every_change_of_a_failed_group_is_told(bed: &Bed) {
    furnish(&bed.store);
    let gate = Gate::at(&bed.store);
    let absent = Require::Absent(RecordKey::Token(token_id(1)));
    let make = Change { requires: vec![absent], ..writes([Write::Token(token(1))]) };
    let answers = gate.group(&bed.store, || {
        (bed.fail)(&broken());
        // The second is refused because of the first, which then is not written after all.
        [make.clone(), make, writes([Write::Token(token(2))])]
            .map(|change| bed.store.commit(change))
            .into()
    });
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(is_failure(&error), "{error:?}");
    }
}

pub(super) fn usage_fails_with_the_store(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::Token(token(1))]);
    (bed.fail)(&broken());
    let error = bed.store.record_usage(vec![(token_id(1), used(1, 1)).into()]).wait().unwrap_err();
    assert!(is_failure(&error), "{error:?}");
    assert!(!bed.store.is_writable());
    assert_eq!(commit(&bed.store, Change::default()), Err(CommitError::Closed));
}

/// A sweep of so many parts that the store fails in one of them.
pub(super) fn a_sweep_fails_with_the_store(bed: &Bed) {
    const TOKENS: u64 = 20_000;
    furnish(&bed.store);
    put(&bed.store, (0..TOKENS).map(|number| Write::Token(token(number))));
    let rows = (0..TOKENS).map(|number| (token_id(number), used(1, 1)).into()).collect();
    bed.store.record_usage(rows).wait().unwrap();
    (bed.fail)(&broken());
    let begun = std::time::Instant::now();
    while bed.store.is_writable() {
        assert!(begun.elapsed().as_secs() < 60, "no part of the sweep came to fail");
        std::thread::yield_now();
    }
    assert_eq!(commit(&bed.store, Change::default()), Err(CommitError::Closed));
}

pub(super) fn a_closed_store_finishes_what_it_took(bed: &Bed) {
    furnish(&bed.store);
    let gate = Gate::at(&bed.store);
    let mut late = None;
    std::thread::scope(|threads| {
        let answers = gate.group(&bed.store, || {
            let mut queued = vec![bed.store.record_usage(vec![(token_id(1), used(1, 1)).into()])];
            queued.extend(
                (1..200).map(|number| bed.store.commit(writes([Write::Token(token(number))]))),
            );
            let close = &bed.close;
            threads.spawn(close);
            while bed.store.is_writable() {
                std::thread::yield_now();
            }
            late = Some(bed.store.commit(Change::default()));
            queued
        });
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    });
    assert_eq!(late.unwrap().wait(), Err(CommitError::Closed));
    assert_eq!(tokens(&bed.store, ACME).len(), 199, "reads go on");
    let (_, usage) = bed.store.token(token_id(1)).unwrap().unwrap();
    assert_eq!(usage, used(1, 1), "changes go first, so the token was there");
}
