use super::*;
use crate::change::Write;
use crate::store::{Commit, Committed};

fn change(rows: usize) -> Change {
    Change { writes: vec![Write::Roles(Vec::new()); rows], ..Change::default() }
}

fn push(queues: &Queues, rows: usize) -> Commit {
    let (answer, commit) = Commit::pending();
    queues.push_change(Job { change: change(rows), answer });
    commit
}

fn push_usage(queues: &Queues, rows: usize) -> Commit {
    let (answer, commit) = Commit::pending();
    queues.push_usage(vec![(TokenId::from_bits(1), Usage::default()); rows], answer);
    commit
}

/// The sizes of the groups, negative for usage.
fn drain(queues: &Queues) -> Vec<i64> {
    queues.close();
    let size = |work| match work {
        Work::Changes(group) => i64::try_from(group.len()).unwrap(),
        Work::Usage { rows, .. } => -i64::try_from(rows.len()).unwrap(),
    };
    std::iter::from_fn(|| queues.next()).map(size).collect()
}

#[test]
fn groups_are_bounded_in_changes_and_rows() {
    let groups = |rows: &[usize]| {
        let queues = Queues::new();
        let _commits: Vec<_> = rows.iter().map(|rows| push(&queues, *rows)).collect();
        drain(&queues)
    };
    assert_eq!(groups(&[1; GROUP_CHANGES_MAX]), [64]);
    assert_eq!(groups(&[1; GROUP_CHANGES_MAX + 1]), [64, 1]);
    assert_eq!(groups(&[GROUP_ROWS_MAX - 1, 1, 1]), [2, 1]);
    assert_eq!(groups(&[GROUP_ROWS_MAX, 1]), [1, 1]);
    assert_eq!(groups(&[1, GROUP_ROWS_MAX]), [1, 1]);
    assert_eq!(groups(&[GROUP_ROWS_MAX + 1, 1]), [1, 1]);
    assert_eq!(groups(&[0, 0]), [2]);
}

#[test]
fn a_change_waits_for_one_transaction_of_usage_at_most() {
    let queues = Queues::new();
    let _usage = [push_usage(&queues, 12_000), push_usage(&queues, 10)];
    assert!(matches!(queues.next(), Some(Work::Usage { rows, .. }) if rows.len() == 5_000));
    let _change = push(&queues, 1);
    assert_eq!(drain(&queues), [1, -5_000, -2_010]);
}

#[test]
fn usage_is_answered_with_its_last_rows() {
    let queues = Queues::new();
    let _usage = [push_usage(&queues, 5_001), push_usage(&queues, 1), push_usage(&queues, 0)];
    queues.close();
    let answered = std::iter::from_fn(|| queues.next()).map(|work| match work {
        Work::Usage { answers, .. } => answers.len(),
        Work::Changes(_) => panic!("nobody changed anything"),
    });
    assert_eq!(answered.collect::<Vec<_>>(), [0, 3]);
}

#[test]
fn usage_is_not_starved() {
    let queues = Queues::new();
    let _usage = push_usage(&queues, 1);
    let mut groups = 0;
    loop {
        let _change = push(&queues, 1);
        match queues.next() {
            Some(Work::Changes(_)) => groups += 1,
            Some(Work::Usage { .. }) => break,
            None => panic!("the queues are open"),
        }
    }
    assert_eq!(groups, GROUPS_IN_A_ROW_MAX);
}

#[test]
fn full_queues_turn_away() {
    let queues = Queues::new();
    let waiting: Vec<_> = (0..CHANGES_QUEUED_MAX).map(|_| push(&queues, 1)).collect();
    assert_eq!(push(&queues, 1).wait(), Err(CommitError::Busy));
    let _usage = push_usage(&queues, USAGE_QUEUED_MAX);
    assert_eq!(push_usage(&queues, 1).wait(), Err(CommitError::Busy));
    drop(queues.next());
    let _room_again = push(&queues, 1);
    queues.fail();
    assert_eq!(push(&queues, 1).wait(), Err(CommitError::Closed));
    let told = waiting.into_iter().next_back().map(Commit::wait);
    assert_eq!(told, Some(Err::<Committed, _>(CommitError::Closed)));
    assert!(queues.next().is_none());
}

#[test]
fn rows_that_wait_are_bounded_but_a_large_change_alone_is_taken() {
    let queues = Queues::new();
    let _large = push(&queues, ROWS_QUEUED_MAX + 1);
    assert_eq!(push(&queues, 1).wait(), Err(CommitError::Busy));
    drop(queues.next());
    let _halves = [push(&queues, ROWS_QUEUED_MAX / 2), push(&queues, ROWS_QUEUED_MAX / 2)];
    assert_eq!(push(&queues, 1).wait(), Err(CommitError::Busy));
    assert_eq!(drain(&queues), [1, 1]);
}
