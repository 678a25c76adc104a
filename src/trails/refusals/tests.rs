use super::*;
use crate::change::{Change, Write};
use crate::governance::closed;
use crate::id::TokenId;
use crate::org::{Governance, Organization, Revision, User, UserStatus};
use crate::policy::Policies;
use crate::role::RoleId;
use crate::store::memory::MemoryStore;
use crate::store::wayward::Wayward;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const OTHERS: OrgId = OrgId::from_bits(1);
const OPERATORS: OrgId = OrgId::from_bits(2);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

/// Two organizations; the operator is in the second.
fn store() -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    let org = |id, name: &str| {
        Write::Organization(Organization {
            id,
            version: Revision(0),
            name: name.to_owned(),
            governance: Governance::Activated,
            policies: Policies::default(),
            created_at: at(0),
        })
    };
    let user = |bits, org, operator| {
        Write::User(User {
            id: UserId::from_bits(bits),
            version: Revision(0),
            org,
            email: format!("{bits}@example.com"),
            name: "U".to_owned(),
            roles: closed(&[RoleId::ORG_OWNER].into_iter().collect()),
            operator,
            status: UserStatus::Activated(None),
            created_at: at(0),
            external_id: None,
            modified_at: at(0),
        })
    };
    let writes = vec![
        org(OTHERS, "Others"),
        org(OPERATORS, "Operators"),
        user(1, OTHERS, false),
        user(2, OPERATORS, true),
    ];
    store.commit(Change { writes, ..Change::default() }).wait().expect("written");
    store
}

fn refusal(who: Who, last: u8) -> Refusal {
    let address = Some([127, 0, 0, last].into());
    Refusal {
        who,
        origin: Origin { address, request_id: Some("r".to_owned()) },
        request: "GET /api/v1/orgs/{org}/users".to_owned(),
        answer: "401 invalid-token".to_owned(),
    }
}

fn whose(user: u128) -> Whose {
    let (user, token) = (UserId::from_bits(user), TokenId::from_bits(9));
    Whose { org: OTHERS, user, token }
}

fn live(user: u128) -> Who {
    Who::Live(whose(user))
}

/// The fields that an event of a trail tells, newest event first.
fn told(store: &MemoryStore, org: OrgId, field: &str) -> Vec<Option<String>> {
    let events = store.events(org, None, usize::MAX).expect("readable");
    let field = |event: crate::audit::Event| {
        let changes = event.said.changes.into_iter();
        changes.filter(|change| change.field == field).find_map(|change| change.after)
    };
    events.into_iter().map(field).collect()
}

#[test]
fn the_first_of_somebody_known_are_events_and_the_others_a_sum() {
    let (refusals, store) = (Refusals::default(), store());
    for _ in 0..SINGLE_MAX {
        let single = refusals.note(refusal(live(1), 1), at(0)).expect("an event");
        refusals.write_one(&*store, single).expect("written");
        let event = store.events(OTHERS, None, 1).expect("readable").remove(0).said;
        assert_eq!(
            event.actor,
            Actor::User { user: UserId::from_bits(1), token: TokenId::from_bits(9) }
        );
    }
    for millis in 1..=500 {
        assert_eq!(refusals.note(refusal(live(1), 1), at(millis)), None);
    }
    assert!(refusals.note(refusal(live(2), 1), at(0)).is_some(), "another user");
    refusals.write(&*store, at(60_000)).expect("written");
    let counts = told(&store, OTHERS, "count");
    assert_eq!(counts.len(), SINGLE_MAX as usize + 1);
    assert_eq!(counts[0].as_deref(), Some("500"));
    assert_eq!(told(&store, OTHERS, "since")[0], Some(at(1).to_string()));
    assert_eq!(told(&store, OPERATORS, "count"), []);
    // The next minute begins anew, and nothing is told twice.
    refusals.write(&*store, at(120_000)).expect("written");
    assert_eq!(told(&store, OTHERS, "count"), counts);
    assert!(refusals.note(refusal(live(1), 1), at(120_001)).is_some());
    let latest = store.events(OTHERS, None, 1).expect("readable").remove(0).said;
    assert_eq!((latest.target_name.as_str(), latest.action), ("Others", Action::CallRefused));
}

/// An answer that waits for a disk would tell that a token was good once.
#[test]
fn those_of_dead_tokens_wait_for_the_end_of_the_minute() {
    let (refusals, store) = (Refusals::default(), store());
    for _ in 0..3 {
        assert_eq!(refusals.note(refusal(Who::Dead(whose(1)), 1), at(0)), None);
    }
    refusals.write(&*store, at(60_000)).expect("written");
    let event = store.events(OTHERS, None, 9).expect("readable").remove(0).said;
    assert_eq!(
        event.actor,
        Actor::User { user: UserId::from_bits(1), token: TokenId::from_bits(9) }
    );
    assert_eq!(told(&store, OTHERS, "count"), [Some("3".to_owned())]);
}

#[test]
fn those_of_nobody_known_are_summed_up_for_each_address_in_the_operators_trail() {
    let (refusals, store) = (Refusals::default(), store());
    for last in [1, 2, 1, 1] {
        assert_eq!(refusals.note(refusal(Who::Unknown, last), at(0)), None);
    }
    assert_eq!(told(&store, OPERATORS, "count"), [], "not before the minute is over");
    refusals.write(&*store, at(60_000)).expect("written");
    let mut events = store.events(OPERATORS, None, 9).expect("readable");
    events.sort_by_key(|event| event.said.origin.address);
    assert!(events.iter().all(|event| event.said.actor == Actor::Unknown));
    let addresses: Vec<_> = events.iter().map(|event| event.said.origin.address).collect();
    assert_eq!(addresses, [Some([127, 0, 0, 1].into()), Some([127, 0, 0, 2].into())]);
    let mut counts = told(&store, OPERATORS, "count");
    counts.sort();
    assert_eq!(counts, [Some("1".to_owned()), Some("3".to_owned())]);
    assert_eq!(told(&store, OTHERS, "count"), []);
}

#[test]
fn a_flood_fills_neither_memory_nor_the_disk() {
    let (refusals, store) = (Refusals::default(), store());
    for number in 0..100_000_u32 {
        let [_, high, middle, low] = number.to_be_bytes();
        let mut refusal = refusal(Who::Unknown, 0);
        refusal.origin.address = Some([127, high, middle, low].into());
        assert_eq!(refusals.note(refusal, at(0)), None);
    }
    // Nor do very many users.
    let singles =
        (0..100_000).filter(|user| refusals.note(refusal(live(*user), 1), at(0)).is_some());
    assert_eq!(singles.count(), USERS_MAX);
    {
        let minute = refusals.minute.lock().expect("no panic");
        assert_eq!(minute.addresses.len(), ADDRESSES_MAX);
        assert_eq!(minute.users.len(), USERS_MAX);
    }
    refusals.write(&*store, at(60_000)).expect("written");
    let counts = told(&store, OPERATORS, "count");
    assert_eq!(counts.len(), ADDRESSES_MAX + 1);
    let sum: u64 =
        counts.iter().flatten().map(|count| count.parse::<u64>().expect("a number")).sum();
    assert_eq!(sum, 200_000 - USERS_MAX as u64, "none is forgotten");
    let events = store.events(OPERATORS, None, 99).expect("readable");
    let anywhere = events.iter().filter(|event| event.said.origin.address.is_none());
    assert_eq!(anywhere.count(), 1);
}

#[test]
fn without_an_operator_nobody_is_told() {
    let (refusals, store) = (Refusals::default(), MemoryStore::new());
    assert_eq!(refusals.note(refusal(Who::Unknown, 1), at(0)), None);
    refusals.write(&*store, at(60_000)).expect("nothing to write");
}

/// A ledger that turns away so many changes, and then none.
fn busy(store: &Arc<MemoryStore>, times: u32) -> Wayward {
    let left = AtomicU32::new(times);
    Wayward::of(store).committing(move |_| {
        let one_less = |left: u32| left.checked_sub(1);
        let was = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        was.map_or(Ok(()), |_left| Err(CommitError::Busy))
    })
}

#[test]
fn what_a_busy_writer_does_not_take_is_told_with_the_next_minute() {
    let (refusals, store) = (Refusals::default(), store());
    let ledger = busy(&store, 2);
    // One of its own, and then sums of a user, of an address and of nobody in particular.
    let single = refusals.note(refusal(live(1), 1), at(1)).expect("an event");
    let error = refusals.write_one(&ledger, single).expect_err("busy");
    assert!(error.is_passing(), "{error}");
    assert_eq!(refusals.note(refusal(Who::Dead(whose(1)), 1), at(2)), None);
    for last in 1..=20 {
        assert_eq!(refusals.note(refusal(Who::Unknown, last), at(3)), None);
    }
    refusals.write(&ledger, at(60_000)).expect_err("busy");
    assert_eq!((told(&store, OTHERS, "count"), told(&store, OPERATORS, "count")), (vec![], vec![]));
    // What comes meanwhile is added, other addresses first.
    for last in 101..=120 {
        assert_eq!(refusals.note(refusal(Who::Unknown, last), at(60_001)), None);
    }
    assert_eq!(refusals.note(refusal(Who::Dead(whose(1)), 2), at(60_002)), None);
    refusals.write(&ledger, at(120_000)).expect("written");
    assert_eq!(told(&store, OTHERS, "count"), [Some("3".to_owned())]);
    assert_eq!(told(&store, OTHERS, "since"), [Some(at(1).to_string())]);
    let latest = store.events(OTHERS, None, 1).expect("readable").remove(0).said;
    assert_eq!(latest.origin.address, Some([127, 0, 0, 2].into()), "the latest is named");
    let counts = told(&store, OPERATORS, "count");
    assert_eq!(counts.len(), ADDRESSES_MAX + 1);
    let number = |count: &String| count.parse::<u64>().expect("a number");
    assert_eq!(counts.iter().flatten().map(number).sum::<u64>(), 40, "none is forgotten");
    let since = told(&store, OPERATORS, "since");
    assert!(since.contains(&Some(at(3).to_string())), "{since:?}");
    // And once.
    refusals.write(&ledger, at(180_000)).expect("nothing to write");
    assert_eq!(told(&store, OPERATORS, "count"), counts);
}

#[test]
fn what_waits_for_a_busy_writer_does_not_grow() {
    let (refusals, store) = (Refusals::default(), store());
    let ledger = busy(&store, 3);
    for minute in 0..3 {
        for user in 0..2_000 {
            let who = Who::Dead(whose(minute * 10_000 + user));
            assert_eq!(refusals.note(refusal(who, 1), at(0)), None);
        }
        refusals.write(&ledger, at(60_000)).expect_err("busy");
        let kept = refusals.minute.lock().expect("no panic");
        assert!(kept.users.len() <= USERS_MAX && kept.addresses.len() <= ADDRESSES_MAX);
    }
    refusals.write(&ledger, at(60_000)).expect("written");
    let number = |count: String| count.parse::<u64>().expect("a number");
    let counts = [told(&store, OTHERS, "count"), told(&store, OPERATORS, "count")].concat();
    assert_eq!(counts.into_iter().flatten().map(number).sum::<u64>(), 6_000);
}

#[test]
fn a_store_that_cannot_be_read_loses_no_refusal_and_one_that_failed_is_not_told_twice() {
    let (refusals, store) = (Refusals::default(), store());
    let unreadable = Wayward::of(&store).reading(|_| Err(StoreError("for the test".to_owned())));
    assert_eq!(refusals.note(refusal(Who::Unknown, 1), at(0)), None);
    refusals.write(&unreadable, at(60_000)).expect_err("unreadable");
    refusals.write(&*store, at(120_000)).expect("written");
    assert_eq!(told(&store, OPERATORS, "count"), [Some("1".to_owned())]);
    // Whether that was written nobody knows.
    assert_eq!(refusals.note(refusal(Who::Unknown, 1), at(120_001)), None);
    let failed = Wayward::of(&store).committing(|_| Err(CommitError::Failed(String::new())));
    refusals.write(&failed, at(180_000)).expect_err("failed");
    refusals.write(&*store, at(240_000)).expect("nothing to write");
    assert_eq!(told(&store, OPERATORS, "count"), [Some("1".to_owned())]);
}
