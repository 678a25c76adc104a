use super::*;
use crate::audit::chain::{Cause, Published};
use crate::audit::{Action, Actor, Draft, Target};
use crate::org::{Governance, Organization, Revision};
use crate::policy::Policies;
use crate::store::memory::MemoryStore;
use crate::store::wayward::Wayward;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const ORG: OrgId = OrgId::from_bits(1);
const OTHER: OrgId = OrgId::from_bits(2);
const DAY: Duration = Duration::from_hours(24);

fn day(number: u32) -> Timestamp {
    Timestamp::EPOCH.after(DAY * number)
}

/// An organization with so many events on each of these days.
fn store(days: &[(u32, usize)]) -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    found(&store, ORG);
    for (number, count) in days {
        tell(&store, ORG, *number, *count);
    }
    store
}

fn found(store: &MemoryStore, id: OrgId) {
    let org = Organization {
        id,
        version: Revision(0),
        name: "Acme".to_owned(),
        governance: Governance::Activated,
        policies: Policies::default(),
        created_at: day(0),
    };
    let change = Change { writes: vec![Write::Organization(org)], ..Change::default() };
    store.commit(change).wait().expect("written");
}

/// Events of one day.
fn tell(store: &MemoryStore, org: OrgId, number: u32, count: usize) {
    let target = Target::Organization(org);
    let draft = Draft::new(org, day(number), Actor::System, Action::OrganizationUpdated, target);
    store.tell(vec![draft; count]).wait().expect("written");
}

/// Forgets in one round, and answers how many.
fn forgotten(store: &MemoryStore, keep: Duration, now: Timestamp) -> u64 {
    let round = forget(store, keep, now, &|| false);
    assert!(round.failed.is_none() && !round.more, "{round:?}");
    round.forgotten
}

fn seqs(store: &MemoryStore) -> Vec<u64> {
    let events = store.events(ORG, None, usize::MAX).expect("readable");
    events.into_iter().rev().map(|event| event.seq).collect()
}

#[test]
fn what_has_outlived_its_time_goes_and_the_rest_is_proved() {
    let store = store(&[(1, 3), (5, 2), (9, 1)]);
    let whole = store.trail(ORG).expect("readable");
    let early = store.events(ORG, Some(3), 1).expect("readable")[0].clone();
    // Not a moment too early.
    assert_eq!(forgotten(&store, DAY * 4, day(5)), 0);
    assert_eq!(store.trail(ORG).expect("readable"), whole);
    assert_eq!(forgotten(&store, DAY * 4, day(5).after(Duration::from_millis(1))), 3);
    assert_eq!(seqs(&store), [4, 5, 6]);
    let ends = store.trail(ORG).expect("readable");
    assert_eq!(ends.head, whole.head, "the head stays");
    let checkpoint = ends.checkpoint.expect("a checkpoint");
    assert_eq!((checkpoint.through.seq, checkpoint.cause), (3, Cause::Retention));
    assert_eq!(checkpoint.through.at, day(1));
    let verdict = store.prove(ORG, None).expect("readable");
    assert_eq!((verdict.faults, verdict.proved, verdict.first), (vec![], 3, Some(4)));
    // A head that was published before is older than the trail now; one at its beginning is not.
    let published = Published { seq: 2, link: early.link };
    assert!(store.prove(ORG, Some(published)).expect("readable").outlived);
    let published = Published { seq: 3, link: checkpoint.through.link };
    let verdict = store.prove(ORG, Some(published)).expect("readable");
    assert!(!verdict.outlived && verdict.faults.is_empty());
}

#[test]
fn a_trail_that_is_all_gone_goes_on_where_it_was() {
    let store = store(&[(1, 2)]);
    assert_eq!(forgotten(&store, DAY, day(100)), 2);
    assert_eq!(seqs(&store), Vec::<u64>::new());
    assert_eq!(store.prove(ORG, None).expect("readable").faults, []);
    assert_eq!(forgotten(&store, DAY, day(100)), 0);
    let target = Target::Organization(ORG);
    let draft = Draft::new(ORG, day(100), Actor::System, Action::OrganizationUpdated, target);
    store.tell(vec![draft]).wait().expect("written");
    assert_eq!(seqs(&store), [3]);
    let verdict = store.prove(ORG, None).expect("readable");
    assert_eq!((verdict.faults, verdict.proved), (vec![], 1));
}

#[test]
fn many_go_in_steps() {
    let count = 2 * FORGOTTEN_AT_A_TIME_MAX + 7;
    let store = store(&[(1, count), (50, 1)]);
    let (_, before) = (0, store.tell(vec![]).wait().expect("written").revision);
    assert_eq!(forgotten(&store, DAY, day(50)), count as u64);
    let after = store.tell(vec![]).wait().expect("written").revision;
    assert_eq!(after.0 - before.0, 4, "three steps, and what asked for the number");
    assert_eq!(seqs(&store), [count as u64 + 1]);
    assert_eq!(store.prove(ORG, None).expect("readable").faults, []);
}

/// A young event before old ones (the clock was wrong) keeps what is behind it: only a beginning
/// can go.
#[test]
fn only_the_beginning_goes() {
    let store = store(&[(1, 1), (90, 1), (2, 1)]);
    assert_eq!(forgotten(&store, DAY, day(50)), 1);
    assert_eq!(seqs(&store), [2, 3]);
}

#[test]
fn a_round_is_bounded_and_takes_a_step_of_each_trail_in_turn() {
    let store = store(&[(1, FORGOTTEN_AT_A_TIME_MAX)]);
    found(&store, OTHER);
    for _ in 1..STEPS_MAX {
        tell(&store, ORG, 1, FORGOTTEN_AT_A_TIME_MAX);
    }
    tell(&store, OTHER, 1, 3);
    let round = forget(&*store, DAY, day(50), &|| false);
    let most = (STEPS_MAX - 1) * FORGOTTEN_AT_A_TIME_MAX + 3;
    assert_eq!((round.forgotten, round.more), (most as u64, true));
    assert_eq!(store.events(OTHER, None, 9).expect("readable"), [], "it need not wait");
    assert_eq!(forgotten(&store, DAY, day(50)), FORGOTTEN_AT_A_TIME_MAX as u64);
}

#[test]
fn who_is_asked_to_end_takes_no_further_step() {
    let store = store(&[(1, 5 * FORGOTTEN_AT_A_TIME_MAX)]);
    let steps = Arc::<AtomicUsize>::default();
    let seen = Arc::clone(&steps);
    let ledger = Wayward::of(&store).committing(move |_| {
        seen.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let round = forget(&ledger, DAY, day(50), &|| steps.load(Ordering::Relaxed) == 2);
    assert_eq!(round.forgotten, 2 * FORGOTTEN_AT_A_TIME_MAX as u64);
    assert!(round.failed.is_none(), "{round:?}");
    // What is left goes the next time.
    assert_eq!(forgotten(&store, DAY, day(50)), 3 * FORGOTTEN_AT_A_TIME_MAX as u64);
}

#[test]
fn a_trail_that_fails_keeps_no_other_from_being_shortened() {
    let store = store(&[(1, 2)]);
    found(&store, OTHER);
    tell(&store, OTHER, 1, 2);
    let failing = |_org| Err(StoreError("for the test".to_owned()));
    let unreadable =
        Wayward::of(&store).reading(move |org| if org == ORG { failing(org) } else { Ok(()) });
    let round = forget(&unreadable, DAY, day(50), &|| false);
    assert!(matches!(round.failed, Some(Error::Read(_))), "{round:?}");
    assert_eq!((round.forgotten, round.more), (2, false));
    assert_eq!(store.events(OTHER, None, 9).expect("readable"), []);
    assert_eq!(seqs(&store), [1, 2]);
    assert_eq!(forgotten(&store, DAY, day(50)), 2);
}
