//! What the two sides read.

use super::Bed;
use super::fixture::*;
use crate::access::{OrgFacts, OwnerFacts, SecretFacts, TokenFacts};
use crate::change::{Change, Write};
use crate::id::{OrgId, UserId};
use crate::org::Revision;
use crate::secret::Digest;
use crate::store::Found;
use crate::token::{ApiToken, Standing, Usage};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

pub(super) fn what_is_not_there_is_none(bed: &Bed) {
    assert_eq!(bed.store.organization(ACME).unwrap(), None);
    assert_eq!(bed.store.organizations().unwrap(), []);
    assert_eq!(bed.store.user(ANN).unwrap(), None);
    assert_eq!(bed.store.users(ACME).unwrap(), []);
    assert_eq!(bed.store.token(token_id(1)).unwrap(), None);
    assert_eq!(tokens(&bed.store, ACME), []);
    assert_eq!(bed.store.events(ACME, None, 9).unwrap(), []);
    assert_eq!(bed.store.creation(&[0; 32]).unwrap(), None);
    assert_eq!(bed.store.lookup(&digest(1)).unwrap(), (Revision(0), None));
    assert_eq!(bed.store.visit_digests(&mut |_| ()).unwrap(), 0);
    assert_eq!(bed.store.roles().names().len(), 3);
    assert!(bed.store.is_writable());
}

pub(super) fn organizations_and_users_come_in_the_order_of_their_making(bed: &Bed) {
    let orgs = [u128::MAX, 0, 5, 256, 255].map(OrgId::from_bits);
    put(&bed.store, orgs.map(|id| Write::Organization(org(id))));
    let users = [300, 2, u128::MAX, 0, 255].map(UserId::from_bits);
    put(&bed.store, users.map(|id| Write::User(user(id, OrgId::from_bits(5)))));
    put(&bed.store, [Write::User(user(ANN, OrgId::from_bits(255)))]);
    let found: Vec<_> =
        bed.store.organizations().unwrap().iter().map(|org| org.id.bits()).collect();
    assert_eq!(found, [0, 5, 255, 256, u128::MAX]);
    let users = bed.store.users(OrgId::from_bits(5)).unwrap();
    let found: Vec<_> = users.iter().map(|user| user.id.bits()).collect();
    assert_eq!(found, [0, 2, 255, 300, u128::MAX]);
}

/// So many that a visit takes several stretches.
const MANY: u64 = 2_500;

fn fill(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::User(user(BOB, OTHER))]);
    let in_other = |number| {
        let mut token = token(number);
        (token.org, token.owner) = (OTHER, BOB);
        Write::Token(token)
    };
    put(&bed.store, (0..MANY).rev().map(|number| Write::Token(token(2 * number))));
    put(&bed.store, (0..MANY).map(|number| in_other(2 * number + 1)));
    let uses = (0..2 * MANY).filter(|number| number % 3 == 0);
    put(&bed.store, uses.map(|number| Write::Usage(token_id(number), used(1, number + 1))));
}

pub(super) fn tokens_are_visited_in_order_with_their_usage(bed: &Bed) {
    fill(bed);
    for (org, owner, odd) in [(ACME, ANN, 0), (OTHER, BOB, 1)] {
        for owner in [None, Some(owner)] {
            let mut number = odd;
            let mut visit = |token: ApiToken, usage| {
                assert_eq!(token.id, token_id(number));
                let expected = if number % 3 == 0 { used(1, number + 1) } else { Usage::default() };
                assert_eq!(usage, expected, "{number}");
                number += 2;
                ControlFlow::Continue(())
            };
            bed.store.visit_tokens(org, owner, &mut visit).unwrap();
            assert_eq!(number, 2 * MANY + odd);
        }
    }
    let mut strangers = |token, _usage| panic!("{token:?}");
    bed.store.visit_tokens(ACME, Some(BOB), &mut strangers).unwrap();
}

pub(super) fn a_visit_stops_when_told(bed: &Bed) {
    fill(bed);
    for owner in [None, Some(ANN)] {
        for stop in [1, 999, 1_000, 1_001, 2_000] {
            let mut seen = 0;
            let mut visit = |_, _| {
                seen += 1;
                if seen == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            bed.store.visit_tokens(ACME, owner, &mut visit).unwrap();
            assert_eq!(seen, stop);
        }
    }
}

pub(super) fn a_visit_sees_one_state(bed: &Bed) {
    fill(bed);
    let mut expected = MANY;
    for (owner, uses) in [(None, 100_000), (Some(ANN), 200_000)] {
        let mut seen = 0;
        let mut visit = |found: ApiToken, usage: Usage| {
            if seen == 0 {
                // The next one, the last one and one more are written while the visit goes on.
                let last = 2 * (MANY - 1);
                let rename =
                    |number| Write::Token(ApiToken { name: uses.to_string(), ..token(number) });
                put(&bed.store, [2, last, 2 * expected].map(rename));
                bed.store
                    .record_usage(vec![(token_id(last), used(9, uses)).into()])
                    .wait()
                    .unwrap();
            }
            seen += 1;
            assert_ne!(found.name, uses.to_string());
            assert!(usage.use_count < uses);
            ControlFlow::Continue(())
        };
        bed.store.visit_tokens(ACME, owner, &mut visit).unwrap();
        assert_eq!(seen, expected);
        expected += 1;
        assert_eq!(tokens(&bed.store, ACME).len() as u64, expected);
    }
}

pub(super) fn events_come_newest_first_in_pages(bed: &Bed) {
    furnish(&bed.store);
    for org in [ACME, OTHER] {
        let events = (1..=5).map(|number| said(org, &number.to_string())).collect();
        commit(&bed.store, Change { events, ..Change::default() }).unwrap();
    }
    let page = |before, limit| {
        let events = bed.store.events(ACME, before, limit).unwrap();
        assert!(events.iter().all(|event| event.said.org == ACME));
        events.iter().map(|event| event.seq).collect::<Vec<u64>>()
    };
    assert_eq!(page(None, 2), [5, 4]);
    assert_eq!(page(Some(4), 2), [3, 2]);
    assert_eq!(page(Some(2), 2), [1]);
    assert!(page(Some(1), 2).is_empty());
    assert!(page(Some(0), 2).is_empty());
    assert!(page(None, 0).is_empty());
    assert_eq!(page(Some(u64::MAX), 99), [5, 4, 3, 2, 1]);
}

pub(super) fn lookup_finds_token_owner_and_organization(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::Token(token(1))]);
    let (revision, found) = bed.store.lookup(&digest(1)).unwrap();
    assert_eq!(revision, Revision(2));
    let stored = bed.store.token(token_id(1)).unwrap().unwrap().0;
    let expected = Found {
        token: TokenFacts::from(&stored),
        secret: SecretFacts::Present,
        owner: OwnerFacts::from(&bed.store.user(ANN).unwrap().unwrap()),
        org: OrgFacts::from(&bed.store.organization(ACME).unwrap().unwrap()),
    };
    assert_eq!(found, Some(expected));
    assert_eq!(bed.store.lookup(&digest(2)).unwrap(), (Revision(2), None));
}

pub(super) fn lookup_follows_every_change(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::Token(token(1))]);
    put(&bed.store, [Write::User(inactive(owner(ANN, ACME)))]);
    let (revision, found) = bed.store.lookup(&digest(1)).unwrap();
    let found = found.unwrap();
    assert_eq!((revision, found.owner.active), (Revision(3), false));
    assert_eq!(found.owner.version, Revision(3));
    assert_eq!(found.token.version, Revision(2), "no token row is rewritten");
    put(&bed.store, [Write::Token(revoked(token(1)))]);
    let (revision, found) = bed.store.lookup(&digest(1)).unwrap();
    assert_eq!(revision, Revision(4));
    assert_eq!(found.unwrap().token.standing, Standing::Revoked);
}

pub(super) fn a_token_without_its_owner_is_unknown(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::Token(token(1))]);
    put(&bed.store, [Write::RemoveUser(ANN)]);
    assert_eq!(bed.store.lookup(&digest(1)).unwrap(), (Revision(3), None));
    put(&bed.store, [Write::User(user(ANN, OTHER))]);
    assert_eq!(bed.store.lookup(&digest(1)).unwrap().1, None, "an owner elsewhere is none");
    put(&bed.store, [Write::RemoveUser(ANN), Write::User(user(ANN, ACME))]);
    assert!(bed.store.lookup(&digest(1)).unwrap().1.is_some());
}

pub(super) fn digests_are_visited_and_counted(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, (0..100).map(|number| Write::Token(token(number))));
    put(&bed.store, [Write::Token(revoked(token(1)))]);
    let mut seen: BTreeSet<Digest> = BTreeSet::new();
    let count = bed.store.visit_digests(&mut |digest| _ = seen.insert(*digest)).unwrap();
    assert_eq!(count, 100);
    assert_eq!(seen, (0..100).map(digest).collect());
}
