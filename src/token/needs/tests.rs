use super::*;
use crate::role::RoleId;
use proptest::prelude::*;

fn roles(numbers: &[u32]) -> RoleSet {
    numbers.iter().copied().map(RoleId).collect()
}

fn need(any_of: &[u32], all_of: &[u32]) -> Need {
    Need { any_of: roles(any_of), all_of: roles(all_of) }
}

fn day(number: u16) -> Day {
    Day::default().later(number)
}

fn needs(all: &[(Need, u16)]) -> Needs {
    let mut needs = Needs::default();
    for (need, number) in all {
        needs.add(need, day(*number));
    }
    needs
}

fn excess(all: &[(Need, u16)], scope: &[u32], since: u16) -> (Vec<u32>, Vec<Vec<u32>>) {
    let found = needs(all).excess(&roles(scope), &roles(scope), day(since));
    let numbers = |set: &RoleSet| set.iter().map(|role| role.0).collect::<Vec<_>>();
    (numbers(&found.unused), found.one_of.iter().map(numbers).collect())
}

#[test]
fn what_no_request_asked_for_is_unused() {
    assert_eq!(excess(&[], &[1, 2], 0), (vec![1, 2], vec![]));
    assert_eq!(excess(&[(need(&[1], &[]), 5)], &[1, 2], 5), (vec![2], vec![]));
    assert_eq!(excess(&[(need(&[1], &[]), 5)], &[1, 2], 6), (vec![1, 2], vec![]), "a day before");
    assert_eq!(excess(&[(need(&[], &[1, 2]), 5)], &[1, 2], 0), (vec![], vec![]));
    assert_eq!(excess(&[(need(&[], &[1, 9]), 5)], &[1, 2], 0), (vec![2], vec![]), "9 is not its");
    assert_eq!(excess(&[(need(&[80, 9], &[]), 5)], &[80, 200], 0), (vec![200], vec![]));
}

#[test]
fn of_two_that_would_do_either_was_needed_and_not_both() {
    let either = || (need(&[1, 2, 7], &[]), 5);
    assert_eq!(excess(&[either()], &[1, 2, 3], 0), (vec![3], vec![vec![1, 2]]));
    assert_eq!(excess(&[either()], &[1, 3], 0), (vec![3], vec![]), "it carries one of them only");
    // Where one is needed anyway, the other was not.
    assert_eq!(excess(&[either(), (need(&[], &[1]), 9)], &[1, 2, 3], 0), (vec![2, 3], vec![]));
    assert_eq!(excess(&[either(), (need(&[2], &[]), 9)], &[1, 2, 3], 0), (vec![1, 3], vec![]));
    assert_eq!(excess(&[either(), (need(&[2], &[]), 4)], &[1, 2], 5), (vec![], vec![vec![1, 2]]));
    // Two choices are two, and one that is part of another decides for both.
    let (narrow, wide) = ((need(&[1, 2], &[]), 5), (need(&[1, 2, 3], &[]), 5));
    assert_eq!(excess(&[wide, narrow], &[1, 2, 3], 0), (vec![3], vec![vec![1, 2]]));
    let (first, second) = ((need(&[1, 2], &[]), 5), (need(&[3, 4], &[]), 5));
    assert_eq!(excess(&[first, second], &[1, 2, 3, 4], 0), (vec![], vec![vec![1, 2], vec![3, 4]]));
}

#[test]
fn a_role_that_the_owner_has_not_would_not_have_done() {
    let needs = needs(&[(need(&[1, 2], &[]), 5)]);
    let found = needs.excess(&roles(&[1, 2]), &roles(&[2]), day(0));
    assert_eq!(found, Excess { unused: roles(&[1]), one_of: vec![] });
    // Who has none of them any more keeps what either was needed.
    let found = needs.excess(&roles(&[1, 2, 3]), &roles(&[3]), day(0));
    assert_eq!(found, Excess { unused: roles(&[3]), one_of: vec![roles(&[1, 2])] });
}

#[test]
fn the_last_day_counts_whatever_the_order() {
    let found = needs(&[(need(&[1], &[]), 7), (need(&[1], &[]), 5)]);
    assert_eq!(found.iter().map(|(_, day)| day).collect::<Vec<_>>(), [day(7)]);
    let kept = NEED_DAYS_KEPT;
    let found = needs(&[(need(&[1], &[]), 0), (need(&[2], &[]), kept)]);
    assert_eq!(found.iter().count(), 2);
    let found = needs(&[(need(&[1], &[]), 0), (need(&[2], &[]), kept + 1)]);
    assert_eq!(found.iter().count(), 1, "nobody can ask about it any more");
    assert_eq!(found.forgotten(), None, "and so nothing is amiss");
}

#[test]
fn what_there_was_no_room_for_is_owned_up_to() {
    let most = u16::try_from(NEEDS_KEPT_MAX).expect("a small number");
    let mut found = Needs::default();
    for number in 0..most {
        found.add(&need(&[number.into()], &[]), day(10 + number));
    }
    assert_eq!(found.forgotten(), None);
    found.add(&need(&[999], &[]), day(200));
    assert_eq!((found.iter().count(), found.forgotten()), (NEEDS_KEPT_MAX, Some(day(10))));
    let mut other = Needs::default();
    other.merge(&found);
    assert_eq!(other, found);
}

fn any_need() -> impl Strategy<Value = Need> {
    let some = || prop::collection::vec(0_u32..6, 0..4);
    (some(), some()).prop_map(|(any_of, all_of)| need(&any_of, &all_of))
}

proptest! {
    /// The claim itself: without what is called unused, and with any one of each choice, every
    /// request of those days would have been admitted; and what is called needed was.
    #[test]
    fn nothing_is_called_unused_that_a_request_would_have_missed(
        asked in prop::collection::vec((any_need(), 0_u16..20), 0..8),
        scope in prop::collection::btree_set(0_u32..6, 1..6),
        picks in prop::collection::vec(0_usize..6, 8),
        since in 0_u16..20,
    ) {
        let scope: RoleSet = scope.into_iter().map(RoleId).collect();
        // A request that the scope does not admit comes to nothing.
        let asked: Vec<_> = asked.into_iter().filter(|(need, _)| need.is_met_by(&scope)).collect();
        let found = needs(&asked).excess(&scope, &scope, day(since));
        let would_do = |scope: &RoleSet| {
            asked.iter().filter(|(_, number)| *number >= since).all(|(need, _)| need.is_met_by(scope))
        };
        let choices = found.one_of.iter().fold(RoleSet::empty(), |all, one| all.union(one));
        let needed = scope.difference(&found.unused).difference(&choices);
        let picked: RoleSet = found
            .one_of
            .iter()
            .zip(picks)
            .filter_map(|(choice, pick)| choice.iter().nth(pick % choice.len()))
            .collect();
        prop_assert!(would_do(&needed.union(&picked)), "{found:?} with {picked:?}");
        for role in needed.iter() {
            let without = needed.union(&choices).difference(&[role].into_iter().collect());
            prop_assert!(!would_do(&without), "{role:?} is not needed: {found:?}");
        }
        for choice in &found.one_of {
            prop_assert!(!would_do(&needed.union(&choices).difference(choice)), "{found:?}");
        }
    }
}
