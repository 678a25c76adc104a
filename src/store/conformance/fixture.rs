//! Records to fill a store with.

use super::Both;
use crate::audit::{Action, Actor, Draft, Origin, Target};
use crate::change::{Change, Creation, Require, Write};
use crate::id::{OrgId, TokenId, UserId};
use crate::notice::{self, About, Due};
use crate::org::{Governance, Organization, Revision, StatusChange, User, UserStatus};
use crate::policy::{Ignores, Policies};
use crate::role::{RoleId, RoleSet};
use crate::secret::Digest;
use crate::store::{Commit, CommitError, Committed, Fact, FactKey, Follower, Onward, Queued};
use crate::time::Timestamp;
use crate::token::{ApiToken, FormerSecret, NOTIFY_BEFORE_EXPIRY, TokenStatus, Usage};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

pub(in crate::store) const ACME: OrgId = OrgId::from_bits(1 << 100);
pub(in crate::store) const OTHER: OrgId = OrgId::from_bits(2 << 100);
pub(in crate::store) const ANN: UserId = UserId::from_bits(10);
pub(in crate::store) const BOB: UserId = UserId::from_bits(11);

pub(in crate::store) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

pub(in crate::store) fn org(id: OrgId) -> Organization {
    Organization {
        id,
        version: Revision(0),
        name: format!("organization {id}"),
        governance: Governance::Activated,
        policies: Policies::default(),
        created_at: at(0),
    }
}

pub(in crate::store) fn user(id: UserId, org: OrgId) -> User {
    User {
        id,
        version: Revision(0),
        org,
        email: format!("{}@example.org", id.bits()),
        name: "A User".to_owned(),
        roles: [RoleId::ORG_MEMBER].into_iter().collect(),
        operator: false,
        status: UserStatus::Activated(None),
        created_at: at(0),
        external_id: None,
        modified_at: at(0),
    }
}

pub(in crate::store) fn owner(id: UserId, org: OrgId) -> User {
    User { roles: [RoleId::ORG_OWNER].into_iter().collect(), ..user(id, org) }
}

pub(in crate::store) fn switched() -> StatusChange {
    StatusChange { at: at(9), by: Some(ANN), reason: Some("left".to_owned()), governed: true }
}

pub(in crate::store) fn inactive(user: User) -> User {
    User { status: UserStatus::Deactivated(switched()), ..user }
}

pub(in crate::store) fn token_id(number: u64) -> TokenId {
    TokenId::from_bits(u128::from(number))
}

pub(in crate::store) fn digest(number: u64) -> Digest {
    Digest::of(&number.to_le_bytes())
}

/// Ann's token in Acme, with the digest of the same number.
pub(in crate::store) fn token(number: u64) -> ApiToken {
    ApiToken {
        id: token_id(number),
        version: Revision(0),
        org: ACME,
        owner: ANN,
        created_by: Some(ANN),
        minted_by: None,
        name: format!("token {number}"),
        scope: RoleSet::from_iter([RoleId::ORG_MEMBER]),
        digest: digest(number),
        created_at: at(1),
        issued_at: at(1),
        expires_at: at(1_000_000),
        ignores: Ignores::default(),
        status: TokenStatus::Activated(None),
        former: Vec::new(),
        notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
    }
}

pub(in crate::store) fn deactivated(token: ApiToken) -> ApiToken {
    ApiToken { status: TokenStatus::Deactivated(switched()), ..token }
}

pub(in crate::store) fn revoked(token: ApiToken) -> ApiToken {
    ApiToken { status: TokenStatus::Revoked(switched()), ..token }
}

/// The digest that a token has once it was given another secret.
pub(in crate::store) fn next_digest(number: u64) -> Digest {
    Digest::of(&(number + (1 << 32)).to_le_bytes())
}

/// The token of this number with another secret; the one before is good for a while.
pub(in crate::store) fn rotated(number: u64) -> ApiToken {
    let token = token(number);
    let (rotated_at, ends_at) = (at(5), at(500_000));
    let former = FormerSecret { digest: token.digest, rotated_at, ends_at, until_first_use: false };
    ApiToken { digest: next_digest(number), former: vec![former], ..token }
}

pub(in crate::store) fn used(millis: i64, use_count: u64) -> Usage {
    Usage { last_used_at: Some(at(millis)), use_count, ..Usage::default() }
}

pub(in crate::store) fn said(org: OrgId, name: &str) -> Draft {
    Draft {
        org,
        at: at(2),
        actor: Actor::User { user: ANN, token: token_id(1) },
        action: Action::TokenCreated,
        target: Target::Token(token_id(1)),
        target_name: name.to_owned(),
        origin: Origin::default(),
        reason: None,
        changes: Vec::new(),
    }
}

/// What has to be told of a token of Acme.
pub(in crate::store) fn owed(
    kind: notice::Kind,
    number: u64,
    millis: i64,
    to: impl IntoIterator<Item = UserId>,
) -> notice::Draft {
    notice::Draft {
        org: ACME,
        at: at(millis),
        kind,
        about: About::Token(token_id(number), format!("token {number}")),
        to: to.into_iter().collect(),
        by: Some(ANN),
        reason: Some("left".to_owned()),
        details: Vec::new(),
    }
}

pub(in crate::store) fn creation(number: u8, millis: i64) -> Creation {
    Creation { key: [number; 32], request: [9; 32], made: number.to_string(), at: at(millis) }
}

pub(in crate::store) fn writes(writes: impl IntoIterator<Item = Write>) -> Change {
    Change { writes: writes.into_iter().collect(), ..Change::default() }
}

pub(in crate::store) fn restrictive(change: Change) -> Change {
    Change { restrictive: true, ..change }
}

pub(in crate::store) fn commit(
    store: &Arc<dyn Both>,
    change: Change,
) -> Result<Committed, CommitError> {
    store.commit(change).wait()
}

pub(in crate::store) fn put(store: &Arc<dyn Both>, records: impl IntoIterator<Item = Write>) {
    commit(store, writes(records)).unwrap();
}

/// Both organizations, and Ann in Acme.
pub(in crate::store) fn furnish(store: &Arc<dyn Both>) {
    put(
        store,
        [
            Write::Organization(org(ACME)),
            Write::Organization(org(OTHER)),
            Write::User(owner(ANN, ACME)),
        ],
    );
}

/// Whether a change that asks for nothing but this would be written.
pub(in crate::store) fn holds(store: &Arc<dyn Both>, require: Require) -> bool {
    let change = Change { requires: vec![require.clone()], ..Change::default() };
    match commit(store, change) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error, CommitError::Conflict(require));
            false
        }
    }
}

pub(in crate::store) fn tokens(store: &Arc<dyn Both>, org: OrgId) -> Vec<(ApiToken, Usage)> {
    let mut all = Vec::new();
    let mut visit = |token, usage| {
        all.push((token, usage));
        ControlFlow::Continue(())
    };
    store.visit_tokens(org, None, &mut visit).unwrap();
    all
}

/// The tokens that mails are owed about, in the order of the commits that owe them.
pub(in crate::store) fn owed_mails(store: &Arc<dyn Both>) -> Vec<TokenId> {
    let mut queued = Vec::new();
    let mut visit = |next: &Queued| {
        queued.push((next.org, next.id));
        Onward::Notice
    };
    store.visit_due_notices(Due::Mail, Timestamp::MAX, &mut visit).unwrap();
    let told = |(org, id)| {
        let notice = store.notice(org, id).unwrap().expect("what is due is there");
        match notice.says.about {
            About::Token(token, _) => (notice.version, token),
            About::User(..) | About::Organization => panic!("nobody told of it: {notice:?}"),
        }
    };
    let mut all: Vec<_> = queued.into_iter().map(told).collect();
    all.sort_unstable();
    // As they stand in the list, and no others.
    let mut listed = 0;
    let mut count = |_| {
        listed += 1;
        ControlFlow::Continue(())
    };
    store.visit_notices(ACME, None, &mut count).unwrap();
    assert_eq!(listed, all.len(), "the index and the notices");
    all.into_iter().map(|(_, token)| token).collect()
}

/// What a follower was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Heard {
    Bar(Vec<FactKey>),
    Apply(Revision, Vec<Fact>),
}

/// A follower that writes down what it is told.
#[derive(Default)]
pub(in crate::store) struct Recorder(Mutex<Vec<Heard>>);

impl Recorder {
    pub(in crate::store) fn following(store: &Arc<dyn Both>) -> Arc<Self> {
        let recorder = Arc::new(Self::default());
        store.follow(Arc::clone(&recorder) as Arc<dyn Follower>);
        recorder
    }

    pub(in crate::store) fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Follower for Recorder {
    fn bar(&self, keys: &[FactKey]) {
        self.0.lock().unwrap().push(Heard::Bar(keys.to_vec()));
    }

    fn apply(&self, revision: Revision, facts: &[Fact]) {
        self.0.lock().unwrap().push(Heard::Apply(revision, facts.to_vec()));
    }
}

/// Holds the writer up, so that what is committed meanwhile goes as one group.
pub(in crate::store) struct Gate {
    go: Sender<()>,
    stopped: Receiver<()>,
}

struct Gatekeeper {
    go: Mutex<Receiver<()>>,
    stopped: Mutex<Sender<()>>,
}

impl Follower for Gatekeeper {
    fn bar(&self, _keys: &[FactKey]) {}

    fn apply(&self, _revision: Revision, facts: &[Fact]) {
        // An empty change is what stops; see `Gate::hold`.
        if facts.is_empty() {
            _ = self.stopped.lock().unwrap().send(());
            _ = self.go.lock().unwrap().recv();
        }
    }
}

impl Gate {
    pub(in crate::store) fn at(store: &Arc<dyn Both>) -> Self {
        let (go, wait) = channel();
        let (stop, stopped) = channel();
        store.follow(Arc::new(Gatekeeper { go: Mutex::new(wait), stopped: Mutex::new(stop) }));
        Self { go, stopped }
    }

    /// Stops the writer while `queue` queues, and waits for all that it queued. The stop itself is
    /// a change without facts, so it takes one revision.
    pub(in crate::store) fn group(
        &self,
        store: &Arc<dyn Both>,
        queue: impl FnOnce() -> Vec<Commit>,
    ) -> Vec<Result<Committed, CommitError>> {
        let stop = store.commit(Change::default());
        self.stopped.recv().unwrap();
        let commits = queue();
        self.go.send(()).unwrap();
        stop.wait().unwrap();
        commits.into_iter().map(Commit::wait).collect()
    }
}
