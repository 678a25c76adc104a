//! Every requirement, before, at and after its boundary.

use super::Bed;
use super::fixture::*;
use crate::change::{Change, RecordKey, Require, Write};
use crate::org::Revision;

pub(super) fn version_is_exact_for_every_kind_of_record(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::Token(token(1))]);
    let records = [
        (RecordKey::Organization(ACME), Revision(1)),
        (RecordKey::User(ANN), Revision(1)),
        (RecordKey::Token(token_id(1)), Revision(2)),
    ];
    for (key, version) in records {
        assert!(!holds(&bed.store, Require::Version(key, Revision(version.0 - 1))), "{key:?}");
        assert!(holds(&bed.store, Require::Version(key, version)), "{key:?}");
        assert!(!holds(&bed.store, Require::Version(key, Revision(version.0 + 1))), "{key:?}");
    }
    let gone = [
        RecordKey::Organization(crate::id::OrgId::from_bits(7)),
        RecordKey::User(BOB),
        RecordKey::Token(token_id(2)),
    ];
    for key in gone {
        assert!(!holds(&bed.store, Require::Version(key, Revision(0))), "{key:?}");
    }
}

pub(super) fn absent_holds_until_the_record_is_there(bed: &Bed) {
    let keys = [RecordKey::Organization(ACME), RecordKey::User(ANN), RecordKey::Token(token_id(1))];
    for key in keys {
        assert!(holds(&bed.store, Require::Absent(key)), "{key:?}");
    }
    furnish(&bed.store);
    put(&bed.store, [Write::Token(token(1))]);
    for key in keys {
        assert!(!holds(&bed.store, Require::Absent(key)), "{key:?}");
    }
    put(&bed.store, [Write::RemoveUser(ANN)]);
    assert!(holds(&bed.store, Require::Absent(RecordKey::User(ANN))));
}

pub(super) fn an_email_address_is_free_without_case_and_except_for_one(bed: &Bed) {
    furnish(&bed.store);
    let mut ann = owner(ANN, ACME);
    ann.email = "Ånn@Example.org".to_owned();
    put(&bed.store, [Write::User(ann)]);
    let free = |org, email: &str, except| {
        holds(&bed.store, Require::EmailFree { org, email: email.to_owned(), except })
    };
    assert!(!free(ACME, "ånn@example.ORG", BOB));
    assert!(free(ACME, "ånn@example.ORG", ANN));
    assert!(free(OTHER, "ånn@example.org", BOB), "another organization");
    assert!(free(ACME, "10@example.org", BOB), "the address before is given up");
    put(&bed.store, [Write::RemoveUser(ANN)]);
    assert!(free(ACME, "Ånn@Example.org", BOB), "and so is that of who is removed");
}

pub(super) fn a_digest_is_free_across_organizations(bed: &Bed) {
    furnish(&bed.store);
    assert!(holds(&bed.store, Require::DigestFree(digest(1))));
    put(&bed.store, [Write::Token(token(1))]);
    assert!(!holds(&bed.store, Require::DigestFree(digest(1))));
    put(&bed.store, [Write::Token(revoked(token(1)))]);
    assert!(!holds(&bed.store, Require::DigestFree(digest(1))), "a revoked token keeps it");
}

pub(super) fn a_creation_is_absent_until_it_is_recorded(bed: &Bed) {
    assert!(holds(&bed.store, Require::CreationAbsent([1; 32])));
    let change = Change { creation: Some(creation(1, 0)), ..Change::default() };
    commit(&bed.store, change).unwrap();
    assert!(!holds(&bed.store, Require::CreationAbsent([1; 32])));
    assert!(holds(&bed.store, Require::CreationAbsent([2; 32])));
}

pub(super) fn another_active_owner_is_active_an_owner_and_another(bed: &Bed) {
    furnish(&bed.store);
    let another = |except| holds(&bed.store, Require::AnotherActiveOwner { org: ACME, except });
    assert!(!another(ANN), "there is only one");
    assert!(another(BOB));
    put(&bed.store, [Write::User(user(BOB, ACME))]);
    assert!(!another(ANN), "the other is no owner");
    put(&bed.store, [Write::User(inactive(owner(BOB, ACME)))]);
    assert!(!another(ANN), "the other is not active");
    put(&bed.store, [Write::User(owner(BOB, ACME))]);
    assert!(another(ANN));
    put(&bed.store, [Write::RemoveUser(BOB), Write::User(owner(BOB, OTHER))]);
    assert!(!another(ANN), "the other is elsewhere");
}

pub(super) fn no_live_tokens_means_all_are_revoked(bed: &Bed) {
    furnish(&bed.store);
    let none = || holds(&bed.store, Require::NoLiveTokens(ANN));
    assert!(none());
    put(&bed.store, [Write::Token(revoked(token(1))), Write::Token(token(2))]);
    assert!(!none());
    put(&bed.store, [Write::Token(deactivated(token(2)))]);
    assert!(!none(), "deactivated is not revoked");
    let mut bobs = deactivated(token(2));
    bobs.owner = BOB;
    put(&bed.store, [Write::Token(bobs)]);
    assert!(none(), "handed over");
    assert!(!holds(&bed.store, Require::NoLiveTokens(BOB)));
    put(&bed.store, [Write::Token(revoked(token(2)))]);
    assert!(none());
    assert!(holds(&bed.store, Require::NoLiveTokens(BOB)));
}

pub(super) fn count_below_is_exact(bed: &Bed) {
    furnish(&bed.store);
    let below = |limit| holds(&bed.store, Require::CountBelow(ANN, limit));
    assert!(!below(0));
    assert!(below(1));
    put(&bed.store, [1, 2, 3].map(|number| Write::Token(token(number))));
    put(&bed.store, [Write::Token(revoked(token(4)))]);
    assert!(!below(2));
    assert!(!below(3));
    assert!(below(4));
    assert!(holds(&bed.store, Require::CountBelow(BOB, 1)));
}

pub(super) fn empty_holds_without_an_organization_only(bed: &Bed) {
    assert!(holds(&bed.store, Require::Empty));
    put(&bed.store, [Write::Organization(org(ACME))]);
    assert!(!holds(&bed.store, Require::Empty));
}
