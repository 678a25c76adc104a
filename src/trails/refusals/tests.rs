use super::*;
use crate::change::{Change, Write};
use crate::governance::closed;
use crate::id::TokenId;
use crate::org::{Governance, Organization, Revision, User, UserStatus};
use crate::policy::Policies;
use crate::role::RoleId;
use crate::store::memory::MemoryStore;
use std::sync::Arc;

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
    Whose { org: OTHERS, user, token: Some(token) }
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
        let event = refusals.note(refusal(live(1), 1), at(0)).expect("an event");
        assert_eq!(
            event.actor,
            Actor::User { user: UserId::from_bits(1), token: TokenId::from_bits(9) }
        );
        refusals.write_one(&*store, event).expect("written");
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
