//! What the followers hear, and when.

use super::fixture::*;
use super::{Bed, Both};
use crate::access::{FormerFacts, OrgFacts, OwnerFacts, SecretFacts, TokenFacts};
use crate::change::{Change, RecordKey, Require, Write};
use crate::org::Revision;
use crate::secret::Digest;
use crate::store::{Commit, CommitError, Fact, FactKey, Follower};
use crate::time::Timestamp;
use crate::token::{ApiToken, FormerSecret, Standing};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Waker};

/// Looks at the store, and at the commit that it is called for, whenever it is called.
struct Onlooker {
    store: Weak<dyn Both>,
    commit: Mutex<Option<Commit>>,
    saw: Mutex<Vec<(&'static str, Standing, bool)>>,
}

impl Onlooker {
    fn look(&self, called: &'static str) {
        let Some(commit) = &mut *self.commit.lock().unwrap() else { return };
        let mut context = Context::from_waker(Waker::noop());
        let is_answered = Pin::new(commit).poll(&mut context).is_ready();
        let found = self.store.upgrade().unwrap().lookup(&digest(1)).unwrap().1.unwrap();
        self.saw.lock().unwrap().push((called, found.token.standing, is_answered));
    }
}

impl Follower for Onlooker {
    fn bar(&self, _keys: &[FactKey]) {
        self.look("bar");
    }

    fn apply(&self, _revision: Revision, facts: &[Fact]) {
        if !facts.is_empty() {
            self.look("apply");
        }
    }
}

pub(super) fn a_bar_comes_before_the_commit_and_the_facts_before_the_answer(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::Token(token(1))]);
    let onlooker = Arc::new(Onlooker {
        store: Arc::downgrade(&bed.store),
        commit: Mutex::default(),
        saw: Mutex::default(),
    });
    bed.store.follow(Arc::clone(&onlooker) as Arc<dyn Follower>);
    let gate = Gate::at(&bed.store);
    gate.group(&bed.store, || {
        let change = restrictive(writes([Write::Token(revoked(token(1)))]));
        *onlooker.commit.lock().unwrap() = Some(bed.store.commit(change));
        // Goes after the change, and no follower hears of it.
        vec![bed.store.record_usage(Vec::new())]
    });
    let commit = onlooker.commit.lock().unwrap().take().unwrap();
    commit.wait().unwrap();
    let saw = onlooker.saw.lock().unwrap();
    assert_eq!(*saw, [("bar", Standing::Activated, false), ("apply", Standing::Revoked, false)]);
}

pub(super) fn only_restrictive_changes_are_barred(bed: &Bed) {
    furnish(&bed.store);
    let recorder = Recorder::following(&bed.store);
    put(&bed.store, [Write::Token(token(1))]);
    assert!(matches!(recorder.heard()[..], [Heard::Apply(Revision(2), _)]));
    commit(&bed.store, restrictive(writes([Write::Token(revoked(token(1)))]))).unwrap();
    let heard = recorder.heard();
    assert!(matches!(heard[..], [Heard::Bar(_), Heard::Apply(Revision(3), _)]), "{heard:?}");
    bed.store.record_usage(vec![(token_id(1), used(1, 1)).into()]).wait().unwrap();
    assert_eq!(recorder.heard(), [], "usage is nobody's business");
}

fn everything() -> Vec<Write> {
    let mut renewed = token(1);
    renewed.digest = digest(7);
    vec![
        Write::Organization(org(OTHER)),
        Write::User(inactive(owner(ANN, ACME))),
        Write::RemoveUser(BOB),
        Write::Token(renewed),
        Write::Token(deactivated(token(2))),
        Write::Usage(token_id(2), used(1, 1)),
        Write::Roles(vec!["auditor".parse().unwrap()]),
    ]
}

fn before_everything(bed: &Bed) -> Arc<Recorder> {
    furnish(&bed.store);
    put(&bed.store, [Write::User(user(BOB, ACME)), Write::Token(token(1))]);
    Recorder::following(&bed.store)
}

pub(super) fn a_bar_names_everything_that_is_written(bed: &Bed) {
    let recorder = before_everything(bed);
    commit(&bed.store, restrictive(writes(everything()))).unwrap();
    let expected = [
        FactKey::Organization(OTHER),
        FactKey::Owner(ANN),
        FactKey::Owner(BOB),
        FactKey::Token(digest(1)),
        FactKey::Token(digest(7)),
        FactKey::Token(digest(2)),
    ];
    assert_eq!(recorder.heard()[0], Heard::Bar(expected.to_vec()));
}

pub(super) fn facts_tell_every_record_and_what_is_gone(bed: &Bed) {
    let recorder = before_everything(bed);
    commit(&bed.store, writes(everything())).unwrap();
    let stored = |number| {
        let stored = bed.store.token(token_id(number)).unwrap().unwrap().0;
        assert_eq!(stored.version, Revision(3));
        TokenFacts::from(&stored)
    };
    let ann = bed.store.user(ANN).unwrap().unwrap();
    let other = bed.store.organization(OTHER).unwrap().unwrap();
    let expected = vec![
        Fact::Organization(OTHER, Some(OrgFacts::from(&other))),
        Fact::Owner(ANN, Some(OwnerFacts::from(&ann))),
        Fact::Owner(BOB, None),
        Fact::Token(digest(1), None),
        Fact::Token(digest(7), Some(stored(1))),
        Fact::Token(digest(2), Some(stored(2))),
    ];
    assert_eq!(recorder.heard(), [Heard::Apply(Revision(3), expected)]);
}

pub(super) fn a_rotated_token_is_told_by_all_of_its_secrets(bed: &Bed) {
    let recorder = before_everything(bed);
    let former = |number| FormerSecret {
        digest: digest(number),
        rotated_at: Timestamp::EPOCH,
        ends_at: Timestamp::EPOCH,
        until_first_use: false,
    };
    let rotated = |present, before: &[u64]| ApiToken {
        digest: digest(present),
        former: before.iter().copied().map(former).collect(),
        ..token(1)
    };
    commit(&bed.store, restrictive(writes([Write::Token(rotated(7, &[1]))]))).unwrap();
    commit(&bed.store, restrictive(writes([Write::Token(rotated(8, &[7]))]))).unwrap();
    let [one, seven, eight] = [1, 7, 8].map(digest);
    let expected = [
        Heard::Bar([one, seven].map(FactKey::Token).to_vec()),
        Heard::Apply(Revision(3), [one, seven].map(Fact::Secret).to_vec()),
        Heard::Bar([one, seven, eight].map(FactKey::Token).to_vec()),
        Heard::Apply(
            Revision(4),
            vec![Fact::Token(one, None), Fact::Secret(seven), Fact::Secret(eight)],
        ),
    ];
    assert_eq!(recorder.heard(), expected);
    let found = |digest: &Digest| {
        bed.store.lookup(digest).unwrap().1.map(|found| (found.token.id, found.secret))
    };
    assert_eq!(found(&one), None, "it is forgotten");
    let facts = FormerFacts { ends_at: Timestamp::EPOCH, heir: None };
    assert_eq!(found(&seven), Some((token_id(1), SecretFacts::Former(facts))));
    assert_eq!(found(&eight), Some((token_id(1), SecretFacts::Present)));
    // No other token can have a secret that this one had.
    let taken = ApiToken { digest: seven, ..token(2) };
    let answer = commit(&bed.store, writes([Write::Token(taken)]));
    assert_eq!(answer, Err(CommitError::Conflict(Require::DigestFree(seven))));
}

pub(super) fn a_group_is_barred_and_applied_in_order(bed: &Bed) {
    furnish(&bed.store);
    let recorder = Recorder::following(&bed.store);
    let gate = Gate::at(&bed.store);
    let change = |number| writes([Write::Token(token(number))]);
    gate.group(&bed.store, || {
        [restrictive(change(1)), change(2), restrictive(change(3))]
            .map(|change| bed.store.commit(change))
            .into()
    });
    let heard: Vec<_> = recorder
        .heard()
        .into_iter()
        .map(|heard| match heard {
            Heard::Bar(keys) => format!("bar {}", keys.len()),
            Heard::Apply(revision, facts) => format!("apply {} {}", revision.0, facts.len()),
        })
        .collect();
    assert_eq!(heard, ["apply 2 0", "bar 1", "bar 1", "apply 3 1", "apply 4 1", "apply 5 1"]);
}

pub(super) fn a_refused_change_is_neither_barred_nor_applied(bed: &Bed) {
    furnish(&bed.store);
    let recorder = Recorder::following(&bed.store);
    let refused = Change {
        requires: vec![Require::Absent(RecordKey::User(ANN))],
        ..restrictive(writes([Write::Token(token(1))]))
    };
    commit(&bed.store, refused).unwrap_err();
    assert_eq!(recorder.heard(), []);
}

struct Panics;

impl Follower for Panics {
    fn bar(&self, _keys: &[FactKey]) {}

    fn apply(&self, _revision: Revision, _facts: &[Fact]) {
        panic!("a follower's fault, part of the test");
    }
}

pub(super) fn a_panicking_follower_closes_the_store(bed: &Bed) {
    furnish(&bed.store);
    bed.store.follow(Arc::new(Panics));
    let answer = commit(&bed.store, writes([Write::Token(token(1))]));
    assert_eq!(answer, Err(CommitError::Closed), "nobody waits for ever");
    assert_eq!(commit(&bed.store, Change::default()), Err(CommitError::Closed));
    assert!(!bed.store.is_writable());
    assert!(bed.store.organization(ACME).unwrap().is_some(), "reads go on");
}
