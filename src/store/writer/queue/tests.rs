use super::*;
use crate::change::Write;
use crate::store::{Commit, Committed};
use crate::token::Usage;

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
    queues.push_usage(vec![(TokenId::from_bits(1), Usage::default()).into(); rows], answer);
    commit
}

/// The sizes of the groups, negative for usage.
fn drain(queues: &Queues) -> Vec<i64> {
    queues.close();
    let size = |work| match work {
        Work::Changes(group) => i64::try_from(group.len()).unwrap(),
        Work::Usage { rows, .. } => -i64::try_from(rows.len()).unwrap(),
        Work::Sweep { .. } => panic!("there is nothing to sweep"),
    };
    std::iter::from_fn(|| queues.next(None)).map(size).collect()
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
    let _usage = [push_usage(&queues, 2 * USES_PER_RUN_MAX + 7), push_usage(&queues, 10)];
    let first = queues.next(None);
    assert!(matches!(first, Some(Work::Usage { rows, .. }) if rows.len() == USES_PER_RUN_MAX));
    let _change = push(&queues, 1);
    assert_eq!(drain(&queues), [1, -65_536, -17]);
}

#[test]
fn usage_is_answered_with_its_last_rows() {
    let queues = Queues::new();
    let _usage =
        [push_usage(&queues, USES_PER_RUN_MAX + 1), push_usage(&queues, 1), push_usage(&queues, 0)];
    queues.close();
    let answered = std::iter::from_fn(|| queues.next(None)).map(|work| match work {
        Work::Usage { answers, .. } => answers.len(),
        Work::Changes(_) | Work::Sweep { .. } => panic!("there is usage only"),
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
        match queues.next(None) {
            Some(Work::Changes(_)) => groups += 1,
            Some(Work::Usage { .. }) => break,
            Some(Work::Sweep { .. }) | None => panic!("usage is due"),
        }
    }
    assert_eq!(groups, GROUPS_IN_A_ROW_MAX);
}

#[test]
fn a_sweep_goes_on_beside_everything_else_until_the_queues_close() {
    let queues = Queues::new();
    let next = || match queues.next(Some((TokenId::from_bits(7), 3))) {
        Some(Work::Changes(_)) => "change",
        Some(Work::Usage { .. }) => "usage",
        Some(Work::Sweep { from, tokens_max: 3 }) if from.bits() == 7 => "sweep",
        Some(Work::Sweep { .. }) => "another sweep",
        None => "nothing",
    };
    assert_eq!([next(), next()], ["sweep"; 2], "nothing else is to be done");
    let _waiting = [push(&queues, 1), push_usage(&queues, 1)];
    assert_eq!([next(), next(), next()], ["change", "usage", "sweep"]);
    // Neither changes without end nor usage without end keep it from going on.
    let mut went = Vec::new();
    for _ in 0..4 * GROUPS_IN_A_ROW_MAX + 4 {
        let _waiting = [push(&queues, 1), push_usage(&queues, 1)];
        went.push(next());
    }
    let others: Vec<_> = went.iter().copied().filter(|work| *work != "change").collect();
    assert_eq!(others, ["usage", "sweep", "usage", "sweep"]);
    let waiting: Vec<_> = (0..CHANGES_QUEUED_MAX).map(|_| push(&queues, 1)).collect();
    drop(waiting);
    queues.close();
    let rest: Vec<_> =
        std::iter::from_fn(|| Some(next()).filter(|work| *work != "nothing")).collect();
    assert!(!rest.contains(&"sweep"), "closing does not wait for it: {rest:?}");
    assert!(
        rest.contains(&"change") && rest.contains(&"usage"),
        "but for all that waits: {rest:?}"
    );
    assert!(queues.inner.lock().unwrap().changes.is_empty());
}

#[test]
fn full_queues_turn_away() {
    let queues = Queues::new();
    let waiting: Vec<_> = (0..CHANGES_QUEUED_MAX).map(|_| push(&queues, 1)).collect();
    assert_eq!(push(&queues, 1).wait(), Err(CommitError::Busy));
    let _usage = push_usage(&queues, USAGE_QUEUED_MAX);
    assert_eq!(push_usage(&queues, 1).wait(), Err(CommitError::Busy));
    drop(queues.next(None));
    let _room_again = push(&queues, 1);
    queues.fail();
    assert_eq!(push(&queues, 1).wait(), Err(CommitError::Closed));
    let told = waiting.into_iter().next_back().map(Commit::wait);
    assert_eq!(told, Some(Err::<Committed, _>(CommitError::Closed)));
    assert!(queues.next(None).is_none());
}

#[test]
fn rows_that_wait_are_bounded_but_a_large_change_alone_is_taken() {
    let queues = Queues::new();
    let _large = push(&queues, ROWS_QUEUED_MAX + 1);
    assert_eq!(push(&queues, 1).wait(), Err(CommitError::Busy));
    drop(queues.next(None));
    let _halves = [push(&queues, ROWS_QUEUED_MAX / 2), push(&queues, ROWS_QUEUED_MAX / 2)];
    assert_eq!(push(&queues, 1).wait(), Err(CommitError::Busy));
    assert_eq!(drain(&queues), [1, 1]);
}

#[test]
fn a_draft_counts_as_a_row_for_each_of_its_users_and_every_webhook_that_there_can_be() {
    use crate::id::{OrgId, UserId};
    use crate::notice::{About, Draft, Kind};
    let draft = Draft {
        org: OrgId::from_bits(1),
        at: crate::time::Timestamp::EPOCH,
        kind: Kind::Created,
        about: About::Organization,
        to: vec![UserId::from_bits(1), UserId::from_bits(2)],
        by: None,
        reason: None,
        details: Vec::new(),
    };
    let notices = vec![draft; 3];
    assert_eq!(change::rows(&Change { notices, ..self::change(4) }), 3 * 22 + 4);
}
