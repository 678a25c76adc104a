//! What a commit does to the records.

use super::Bed;
use super::fixture::*;
use crate::change::{CREATIONS_KEPT, Change, RecordKey, Require, Write};
use crate::notice;
use crate::org::Revision;
use crate::role::{ROLES_MAX, RoleId};
use crate::store::CommitError;
use crate::token::Usage;

pub(super) fn a_refused_change_leaves_nothing(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::Token(token(1))]);
    let stale = Require::Version(RecordKey::User(ANN), Revision(77));
    let change = Change {
        requires: vec![Require::Absent(RecordKey::Token(token_id(2))), stale.clone()],
        writes: vec![
            Write::Token(token(2)),
            Write::Token(revoked(token(1))),
            Write::RemoveUser(ANN),
            Write::Usage(token_id(1), used(1, 1)),
            Write::Roles(vec!["billing/reader".parse().unwrap()]),
        ],
        events: vec![said(ACME, "nothing")],
        notices: vec![owed(notice::Kind::Created, 1, 0, [ANN])],
        creation: Some(creation(1, 0)),
        restrictive: true,
    };
    assert_eq!(commit(&bed.store, change), Err(CommitError::Conflict(stale)));
    assert_eq!(bed.store.token(token_id(2)).unwrap(), None);
    let (first, usage) = bed.store.token(token_id(1)).unwrap().unwrap();
    assert_eq!((first.version, usage), (Revision(2), Usage::default()));
    assert!(bed.store.user(ANN).unwrap().is_some());
    assert_eq!(bed.store.events(ACME, None, 10).unwrap(), []);
    assert_eq!(bed.store.creation(&[1; 32]).unwrap(), None);
    assert_eq!(bed.store.roles().names().len(), 3);
    assert_eq!(bed.store.lookup(&digest(2)).unwrap(), (Revision(2), None));
    put(&bed.store, []);
    assert_eq!(bed.store.lookup(&digest(2)).unwrap(), (Revision(3), None), "no revision is lost");
}

pub(super) fn a_change_sees_those_before_it_in_its_group(bed: &Bed) {
    furnish(&bed.store);
    let gate = Gate::at(&bed.store);
    let absent = Require::Absent(RecordKey::Token(token_id(1)));
    let make = Change { requires: vec![absent.clone()], ..writes([Write::Token(token(1))]) };
    let version = |version| Require::Version(RecordKey::Token(token_id(1)), Revision(version));
    let after = |version_of_it| Change {
        requires: vec![version(version_of_it)],
        ..writes([Write::Token(deactivated(token(1)))])
    };
    let answers = gate.group(&bed.store, || {
        // Two create the same token, two then change what the first has made.
        [make.clone(), make.clone(), after(3), after(3)]
            .map(|change| bed.store.commit(change))
            .into()
    });
    let revisions = answers.iter().map(|answer| answer.clone().map(|done| done.revision.0));
    assert_eq!(
        revisions.collect::<Vec<_>>(),
        [Ok(3), Err(CommitError::Conflict(absent)), Ok(4), Err(CommitError::Conflict(version(3)))]
    );
}

pub(super) fn records_carry_the_revision_that_wrote_them(bed: &Bed) {
    furnish(&bed.store);
    let done = commit(
        &bed.store,
        Change {
            events: vec![said(ACME, "a")],
            ..writes([
                Write::Token(token(1)),
                Write::User(user(BOB, ACME)),
                Write::Organization(org(OTHER)),
            ])
        },
    );
    assert_eq!(done.unwrap().revision, Revision(2));
    assert_eq!(bed.store.token(token_id(1)).unwrap().unwrap().0.version, Revision(2));
    assert_eq!(bed.store.user(BOB).unwrap().unwrap().version, Revision(2));
    assert_eq!(bed.store.organization(OTHER).unwrap().unwrap().version, Revision(2));
    assert_eq!(bed.store.organization(ACME).unwrap().unwrap().version, Revision(1));
    assert_eq!(bed.store.events(ACME, None, 1).unwrap()[0].revision, Revision(2));
}

pub(super) fn events_are_numbered_per_organization_without_a_gap(bed: &Bed) {
    furnish(&bed.store);
    let events = |drafts: &[(crate::id::OrgId, &str)]| Change {
        events: drafts.iter().map(|(org, name)| said(*org, name)).collect(),
        ..Change::default()
    };
    commit(&bed.store, events(&[(ACME, "a"), (OTHER, "b"), (ACME, "c")])).unwrap();
    let refused = Change { requires: vec![Require::Empty], ..events(&[(ACME, "no")]) };
    commit(&bed.store, refused).unwrap_err();
    commit(&bed.store, events(&[(ACME, "d"), (OTHER, "e")])).unwrap();
    let trail = |org| {
        let events = bed.store.events(org, None, 10).unwrap().into_iter().rev();
        events.map(|event| (event.seq, event.said.target_name)).collect::<Vec<_>>()
    };
    let expected =
        |names: &[&str]| (1..).zip(names.iter().map(|name| (*name).to_owned())).collect::<Vec<_>>();
    assert_eq!(trail(ACME), expected(&["a", "c", "d"]));
    assert_eq!(trail(OTHER), expected(&["b", "e"]));
}

pub(super) fn digests_and_addresses_are_unique_unasked(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::Token(token(1))]);
    let mut twin = token(2);
    (twin.org, twin.digest) = (OTHER, digest(1));
    let taken = Err(CommitError::Conflict(Require::DigestFree(digest(1))));
    assert_eq!(commit(&bed.store, writes([Write::Token(twin.clone())])), taken);
    twin.digest = digest(3);
    let twins = writes([Write::Token(twin), Write::Token(token(3))]);
    let taken = Err(CommitError::Conflict(Require::DigestFree(digest(3))));
    assert_eq!(commit(&bed.store, twins), taken, "within one change");

    let mut bob = user(BOB, ACME);
    bob.email = "10@EXAMPLE.org".to_owned();
    let taken = Require::EmailFree { org: ACME, email: bob.email.clone(), except: BOB };
    assert_eq!(commit(&bed.store, writes([Write::User(bob)])), Err(CommitError::Conflict(taken)));
    assert_eq!(bed.store.users(ACME).unwrap().len(), 1);
    assert_eq!(tokens(&bed.store, ACME).len(), 1);
}

pub(super) fn a_record_stays_in_its_organization(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::Token(token(1))]);
    let mut moved = token(1);
    moved.org = OTHER;
    let key = RecordKey::Token(token_id(1));
    let refused = Err(CommitError::Conflict(Require::Absent(key)));
    assert_eq!(commit(&bed.store, writes([Write::Token(moved)])), refused);
    let refused = Err(CommitError::Conflict(Require::Absent(RecordKey::User(ANN))));
    assert_eq!(commit(&bed.store, writes([Write::User(user(ANN, OTHER))])), refused);
    // Removed first, a user may come back anywhere.
    put(&bed.store, [Write::RemoveUser(ANN), Write::User(user(ANN, OTHER))]);
    assert_eq!(bed.store.users(OTHER).unwrap().len(), 1);
    assert_eq!(bed.store.users(ACME).unwrap().len(), 0);
}

pub(super) fn digests_and_addresses_can_be_handed_over(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::User(user(BOB, ACME))]);
    put(&bed.store, [1, 2].map(|number| Write::Token(token(number))));
    let (mut first, mut second) = (token(1), token(2));
    (first.digest, second.digest) = (digest(2), digest(3));
    let (mut ann, mut bob) = (owner(ANN, ACME), user(BOB, ACME));
    std::mem::swap(&mut ann.email, &mut bob.email);
    put(
        &bed.store,
        [Write::Token(first), Write::Token(second), Write::User(ann), Write::User(bob)],
    );
    let found = |number| bed.store.lookup(&digest(number)).unwrap().1.map(|found| found.token.id);
    assert_eq!(found(1), None);
    assert_eq!(found(2), Some(token_id(1)));
    assert_eq!(found(3), Some(token_id(2)));
    let free = |email: &str, except| {
        let email = email.to_owned();
        holds(&bed.store, Require::EmailFree { org: ACME, email, except })
    };
    assert!(free("11@example.org", ANN) && !free("11@example.org", BOB));
    assert!(free("10@example.org", BOB) && !free("10@example.org", ANN));
}

pub(super) fn a_replaced_digest_is_forgotten(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::Token(token(1))]);
    let mut renewed = token(1);
    renewed.digest = digest(5);
    put(&bed.store, [Write::Token(renewed)]);
    assert_eq!(bed.store.lookup(&digest(1)).unwrap().1, None);
    assert!(bed.store.lookup(&digest(5)).unwrap().1.is_some());
    assert_eq!(bed.store.visit_digests(&mut |_| ()).unwrap(), 1);
    assert!(holds(&bed.store, Require::DigestFree(digest(1))));
}

pub(super) fn roles_get_numbers_once_and_in_order(bed: &Bed) {
    let name = |text: &str| text.parse().unwrap();
    let roles = |names: &[&str]| Write::Roles(names.iter().map(|text| name(text)).collect());
    put(&bed.store, [roles(&["auditor", "billing/reader"])]);
    put(&bed.store, [roles(&["org_member", "billing/writer", "auditor"]), roles(&["x", "x"])]);
    let table = bed.store.roles();
    let expected = [
        "org_owner",
        "org_admin",
        "org_member",
        "auditor",
        "billing/reader",
        "billing/writer",
        "x",
    ];
    let names: Vec<String> = table.names().iter().map(ToString::to_string).collect();
    assert_eq!(names, expected);
    assert_eq!(table.id(&name("billing/reader")), Some(RoleId(4)));
}

pub(super) fn roles_have_a_limit(bed: &Bed) {
    let many = |from: usize, to: usize| {
        let names = (from..to).map(|number| format!("r{number}").parse().unwrap()).collect();
        writes([Write::Roles(names)])
    };
    commit(&bed.store, many(3, ROLES_MAX)).unwrap();
    assert_eq!(bed.store.roles().names().len(), ROLES_MAX);
    commit(&bed.store, many(3, 9)).unwrap();
    let refused = commit(&bed.store, many(ROLES_MAX, ROLES_MAX + 1));
    assert!(matches!(refused, Err(CommitError::Failed(_))), "{refused:?}");
    assert!(bed.store.is_writable(), "that was the change's own fault");
}

pub(super) fn usage_adds_up(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::Token(token(1)), Write::Usage(token_id(1), used(50, 2))]);
    let record = |rows: Vec<(crate::id::TokenId, Usage)>| {
        bed.store.record_usage(rows.into_iter().map(Into::into).collect()).wait()
    };
    let revision = record(vec![
        (token_id(1), used(40, 3)),
        (token_id(99), used(60, 1)),
        (token_id(1), used(70, 1)),
    ]);
    assert_eq!(revision.unwrap().revision, Revision(2), "usage makes no revision");
    let (stored, usage) = bed.store.token(token_id(1)).unwrap().unwrap();
    assert_eq!(usage, used(70, 6));
    assert_eq!(stored.version, Revision(2));
    record(vec![(token_id(1), used(10, u64::MAX))]).unwrap();
    assert_eq!(bed.store.token(token_id(1)).unwrap().unwrap().1, used(70, u64::MAX));
    record(Vec::new()).unwrap();
    assert_eq!(bed.store.token(token_id(1)).unwrap().unwrap().1, used(70, u64::MAX));
}

pub(super) fn usage_of_many_tokens_is_read_whole_while_it_is_folded(bed: &Bed) {
    const TOKENS: u64 = 3_001;
    furnish(&bed.store);
    put(&bed.store, (0..TOKENS).map(|number| Write::Token(token(number))));
    for round in 1..=4 {
        let rows =
            (0..TOKENS).map(|number| (token_id(number), used(round, number)).into()).collect();
        bed.store.record_usage(rows).wait().unwrap();
        let round_of = u64::try_from(round).unwrap();
        for (number, (_, usage)) in (0..).zip(tokens(&bed.store, ACME)) {
            assert_eq!(usage, used(round, round_of * number));
        }
        for number in (0..TOKENS).step_by(101) {
            let (_, usage) = bed.store.token(token_id(number)).unwrap().unwrap();
            assert_eq!(usage, used(round, round_of * number));
        }
    }
}

pub(super) fn outlived_creations_are_forgotten(bed: &Bed) {
    let create = |number, millis| {
        let change = Change { creation: Some(creation(number, millis)), ..Change::default() };
        commit(&bed.store, change).unwrap();
    };
    let kept = |number: u8| bed.store.creation(&[number; 32]).unwrap().is_some();
    let day = i64::try_from(CREATIONS_KEPT.as_millis()).unwrap();
    for number in 0..20 {
        create(number, i64::from(number));
    }
    assert_eq!(bed.store.creation(&[3; 32]).unwrap(), Some(creation(3, 3)));
    create(100, day - 1);
    assert!(kept(0), "an instant before");
    create(101, day);
    assert!(!kept(0), "at the instant");
    assert!(kept(1));
    create(1, day);
    create(102, day + 19);
    let left = (0..20).filter(|number| kept(*number)).count();
    assert!((1..20).contains(&left), "some at a time: {left}");
    for number in 103..110 {
        create(number, day + 20);
    }
    assert_eq!((0..20).filter(|number| kept(*number)).collect::<Vec<_>>(), [1], "renewed");
}
