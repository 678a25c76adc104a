//! Random changes against a store and against plain maps, which must agree about everything.

use super::Bed;
use super::fixture::*;
use crate::access::SecretFacts;
use crate::audit::Draft;
use crate::change::{Change, Creation, RecordKey, Require, Write};
use crate::id::{OrgId, TokenId, UserId};
use crate::org::{Organization, Revision, User};
use crate::role::RoleName;
use crate::secret::Digest;
use crate::store::CommitError;
use crate::time::Timestamp;
use crate::token::{ApiToken, FormerSecret, Standing, Usage};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

/// Few enough of each that changes meet.
const ORGS: [OrgId; 2] = [ACME, OTHER];
const USERS: u128 = 4;
const TOKENS: u64 = 6;
const DIGESTS: u64 = 8;
const EMAILS: [&str; 5] = ["a@x", "A@X", "b@x", "Ä@x", "ä@X"];
const CREATIONS: u8 = 3;
const NAMES: [&str; 5] = ["org_admin", "auditor", "s/r", "s/w", "t/r"];

pub(super) fn behaves_like_a_table_of_records(make: fn() -> Bed) {
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let batches = prop::collection::vec(prop::collection::vec(step(), 1..12), 1..5);
    TestRunner::new(config)
        .run(&batches, |batches| {
            let (bed, mut model) = (make(), Model::default());
            for batch in batches {
                batch_agrees(&bed, &mut model, batch);
                model.compare(&bed);
            }
            Ok(())
        })
        .unwrap();
}

/// All changes of a batch are queued before the first answer is awaited: groups come about.
fn batch_agrees(bed: &Bed, model: &mut Model, batch: Vec<Step>) {
    let mut answers = Vec::new();
    for step in batch {
        match step {
            Step::Commit(change, fresh) => {
                let change = model.with_versions(change, fresh);
                let expected = model.commit(&change);
                answers.push((bed.store.commit(change), expected));
            }
            Step::Use(rows) => {
                // Changes overtake usage: those queued so far are in before it, and so that none
                // after it is, it is awaited.
                // Uses of a token that is not there are passed over, but nobody says when.
                let is_there = |(id, _): &(TokenId, Usage)| model.tokens.contains_key(id);
                let rows: Vec<_> = rows.into_iter().filter(is_there).collect();
                bed.store
                    .record_usage(rows.iter().copied().map(Into::into).collect())
                    .wait()
                    .unwrap();
                for (id, usage) in rows {
                    model.use_token(id, usage);
                }
            }
        }
    }
    for (answer, expected) in answers {
        match (answer.wait(), expected) {
            (Ok(done), Ok(revision)) => assert_eq!(done.revision.0, revision),
            (Err(CommitError::Conflict(found)), Err(Some(asked))) => assert_eq!(found, asked),
            (Err(CommitError::Conflict(_)), Err(None)) => {}
            (answer, expected) => panic!("answered {answer:?}, expected {expected:?}"),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// With the requirements of a version either as they are now, or one off.
    Commit(Change, bool),
    Use(Vec<(TokenId, Usage)>),
}

fn step() -> impl Strategy<Value = Step> {
    let change = (
        prop::collection::vec(require(), 0..3),
        prop::collection::vec(write(), 0..4),
        prop::collection::vec(any_org().prop_map(|org| said(org, "event")), 0..3),
        prop::option::of((0..CREATIONS).prop_map(|number| creation(number, 5))),
        any::<bool>(),
    )
        .prop_map(|(requires, writes, events, creation, restrictive)| Change {
            requires,
            writes,
            events,
            notices: Vec::new(),
            creation,
            restrictive,
        });
    prop_oneof![
        5 => (change, prop::bool::weighted(0.8)).prop_map(|(change, fresh)| Step::Commit(change, fresh)),
        1 => prop::collection::vec((any_token(), any_usage()), 0..5).prop_map(Step::Use),
    ]
}

fn any_org() -> impl Strategy<Value = OrgId> {
    // Mostly one, so that its users meet.
    prop_oneof![4 => Just(ACME), 1 => Just(OTHER)]
}

fn any_user() -> impl Strategy<Value = UserId> {
    (0..USERS).prop_map(UserId::from_bits)
}

fn any_token() -> impl Strategy<Value = TokenId> {
    (0..TOKENS).prop_map(token_id)
}

fn any_digest() -> impl Strategy<Value = Digest> {
    (0..DIGESTS).prop_map(digest)
}

fn any_usage() -> impl Strategy<Value = Usage> {
    (0_i64..100, 0_u64..100).prop_map(|(millis, count)| used(millis, count))
}

fn any_key() -> impl Strategy<Value = RecordKey> {
    prop_oneof![
        any_org().prop_map(RecordKey::Organization),
        any_user().prop_map(RecordKey::User),
        any_token().prop_map(RecordKey::Token),
    ]
}

fn any_email() -> impl Strategy<Value = String> {
    prop::sample::select(&EMAILS[..]).prop_map(str::to_owned)
}

fn require() -> impl Strategy<Value = Require> {
    prop_oneof![
        4 => any_key().prop_map(|key| Require::Version(key, Revision(0))),
        2 => any_key().prop_map(Require::Absent),
        1 => (any_org(), any_email(), any_user())
            .prop_map(|(org, email, except)| Require::EmailFree { org, email, except }),
        1 => any_digest().prop_map(Require::DigestFree),
        1 => (0..CREATIONS).prop_map(|number| Require::CreationAbsent([number; 32])),
        1 => (any_org(), any_user())
            .prop_map(|(org, except)| Require::AnotherActiveOwner { org, except }),
        1 => any_user().prop_map(Require::NoLiveTokens),
        1 => (any_user(), 0_u32..5).prop_map(|(user, limit)| Require::CountBelow(user, limit)),
        1 => Just(Require::Empty),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    let a_user = (any_user(), any_org(), any_email(), any::<bool>(), any::<bool>()).prop_map(
        |(id, org, email, is_owner, is_active)| {
            let user = if is_owner { owner(id, org) } else { user(id, org) };
            let user = User { email, ..user };
            Write::User(if is_active { user } else { inactive(user) })
        },
    );
    let former = (any_digest(), any::<bool>()).prop_map(|(digest, until_first_use)| FormerSecret {
        digest,
        rotated_at: Timestamp::EPOCH,
        ends_at: Timestamp::MAX,
        until_first_use,
    });
    let former = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(former, 1..3),
    ];
    let a_token = (0..TOKENS, any_org(), any_user(), any_digest(), 0..3, former).prop_map(
        |(number, org, owner, digest, status, former)| {
            let token = ApiToken { org, owner, digest, former, ..token(number) };
            Write::Token(match status {
                0 => token,
                1 => deactivated(token),
                _ => revoked(token),
            })
        },
    );
    let names = prop::collection::vec(prop::sample::select(&NAMES[..]), 0..3);
    prop_oneof![
        1 => any_org().prop_map(|id| Write::Organization(org(id))),
        4 => a_user,
        1 => any_user().prop_map(Write::RemoveUser),
        5 => a_token,
        1 => (any_token(), any_usage()).prop_map(|(id, usage)| Write::Usage(id, usage)),
        1 => names.prop_map(|names| {
            Write::Roles(names.into_iter().map(|name| name.parse().unwrap()).collect())
        }),
    ]
}

#[derive(Default)]
struct Model {
    revision: u64,
    orgs: BTreeMap<OrgId, Organization>,
    users: BTreeMap<UserId, User>,
    tokens: BTreeMap<TokenId, ApiToken>,
    usage: HashMap<TokenId, Usage>,
    events: HashMap<OrgId, Vec<(u64, Revision, Draft)>>,
    creations: HashMap<[u8; 32], Creation>,
    roles: Vec<RoleName>,
}

impl Model {
    fn with_versions(&self, mut change: Change, fresh: bool) -> Change {
        for require in &mut change.requires {
            if let Require::Version(key, version) = require {
                let now = self.version(*key).unwrap_or_default().0;
                *version = Revision(now + u64::from(!fresh));
            }
        }
        change
    }

    fn version(&self, key: RecordKey) -> Option<Revision> {
        match key {
            RecordKey::Organization(id) => self.orgs.get(&id).map(|org| org.version),
            RecordKey::User(id) => self.users.get(&id).map(|user| user.version),
            RecordKey::Token(id) => self.tokens.get(&id).map(|token| token.version),
            // Notices and webhooks have tests of their own.
            RecordKey::Notice(..) | RecordKey::Webhook(..) => None,
        }
    }

    fn live(&self, owner: UserId) -> usize {
        let live =
            |token: &&ApiToken| token.owner == owner && token.standing() != Standing::Revoked;
        self.tokens.values().filter(live).count()
    }

    fn holds(&self, require: &Require) -> bool {
        match require {
            Require::Version(key, version) => self.version(*key) == Some(*version),
            Require::Absent(key) => self.version(*key).is_none(),
            Require::EmailFree { org, email, except } => !self.users.values().any(|user| {
                user.org == *org
                    && user.email.to_lowercase() == email.to_lowercase()
                    && user.id != *except
            }),
            Require::DigestFree(digest) => {
                !self.tokens.values().any(|token| token.digests().any(|held| held == *digest))
            }
            Require::CreationAbsent(key) => !self.creations.contains_key(key),
            Require::AnotherActiveOwner { org, except } => self
                .users
                .values()
                .any(|user| user.org == *org && user.id != *except && user.is_active_owner()),
            Require::NoLiveTokens(owner) => self.live(*owner) == 0,
            Require::CountBelow(owner, limit) => self.live(*owner) < *limit as usize,
            Require::WebhooksBelow(_, limit) => *limit > 0,
            Require::Empty => self.orgs.is_empty(),
        }
    }

    /// The new revision, or the requirement that does not hold; none when it was not asked for.
    fn commit(&mut self, change: &Change) -> Result<u64, Option<Require>> {
        if let Some(broken) = change.requires.iter().find(|require| !self.holds(require)) {
            return Err(Some(broken.clone()));
        }
        // Written to a copy, and then looked at: is everything unique?
        let (mut users, mut tokens) = (self.users.clone(), self.tokens.clone());
        let version = Revision(self.revision + 1);
        let (mut emails, mut digests) = (BTreeSet::new(), BTreeSet::new());
        let removed = |id: UserId| change.writes.contains(&Write::RemoveUser(id));
        for write in &change.writes {
            match write {
                Write::User(user) => {
                    let old = self.users.get(&user.id);
                    if old.is_some_and(|old| old.org != user.org) && !removed(user.id) {
                        return Err(None);
                    }
                    emails.insert((user.org, user.email.to_lowercase(), user.id));
                    users.insert(user.id, User { version, ..user.clone() });
                }
                Write::RemoveUser(id) => _ = users.remove(id),
                Write::Token(token) => {
                    let old = tokens.get(&token.id);
                    if old.is_some_and(|old| old.org != token.org) {
                        return Err(None);
                    }
                    digests.extend(token.digests().map(|digest| (digest, token.id)));
                    tokens.insert(token.id, ApiToken { version, ..token.clone() });
                }
                Write::Organization(_)
                | Write::Usage(..)
                | Write::Watch(_)
                | Write::Roles(_)
                | Write::ForgetEvents { .. }
                | Write::Verdicts(..)
                | Write::Validation(_)
                | Write::Notice(_)
                | Write::ForgetNotices(_)
                | Write::Webhook(_)
                | Write::RemoveWebhook(..)
                | Write::Reminded { .. }
                | Write::RemindedThrough(_) => {}
            }
        }
        // No two hold the same, and no two writes of the change name the same.
        emails.extend(users.values().map(|user| (user.org, user.email.to_lowercase(), user.id)));
        let held: BTreeSet<_> = emails.iter().map(|(org, email, _)| (org, email)).collect();
        let of = |token: &ApiToken| {
            let id = token.id;
            token.digests().map(move |digest| (digest, id)).collect::<Vec<_>>()
        };
        digests.extend(tokens.values().flat_map(of));
        let shown: BTreeSet<_> = digests.iter().map(|(digest, _)| digest).collect();
        if held.len() < emails.len() || shown.len() < digests.len() {
            return Err(None);
        }

        let known: BTreeSet<TokenId> = self.tokens.keys().copied().collect();
        (self.users, self.tokens) = (users, tokens);
        let mut made = known;
        for write in &change.writes {
            match write {
                Write::Organization(org) => {
                    _ = self.orgs.insert(org.id, Organization { version, ..org.clone() });
                }
                Write::Token(token) => _ = made.insert(token.id),
                Write::Usage(id, usage) if made.contains(id) => self.use_token(*id, *usage),
                Write::Roles(names) => self.intern(names),
                Write::Usage(..)
                | Write::Watch(_)
                | Write::User(_)
                | Write::RemoveUser(_)
                | Write::ForgetEvents { .. }
                | Write::Verdicts(..)
                | Write::Validation(_)
                | Write::Notice(_)
                | Write::ForgetNotices(_)
                | Write::Webhook(_)
                | Write::RemoveWebhook(..)
                | Write::Reminded { .. }
                | Write::RemindedThrough(_) => {}
            }
        }
        for said in &change.events {
            let trail = self.events.entry(said.org).or_default();
            let seq = trail.len() as u64 + 1;
            trail.push((seq, version, said.clone()));
        }
        if let Some(creation) = &change.creation {
            self.creations.insert(creation.key, creation.clone());
        }
        self.revision = version.0;
        Ok(version.0)
    }

    fn intern(&mut self, names: &[RoleName]) {
        for name in names {
            let is_built_in = name.to_string().starts_with("org_");
            if !is_built_in && !self.roles.contains(name) {
                self.roles.push(name.clone());
            }
        }
    }

    fn use_token(&mut self, id: TokenId, usage: Usage) {
        if self.tokens.contains_key(&id) {
            let sum = self.usage.entry(id).or_default();
            *sum = sum.merged(usage);
        }
    }

    fn compare(&self, bed: &Bed) {
        let store = &bed.store;
        assert!(store.organizations().unwrap().iter().eq(self.orgs.values()));
        for org in ORGS {
            assert_eq!(store.organization(org).unwrap().as_ref(), self.orgs.get(&org));
            let users = self.users.values().filter(|user| user.org == org);
            assert!(store.users(org).unwrap().iter().eq(users));
            assert_eq!(tokens(store, org), self.tokens_where(|token| token.org == org));
            for owner in (0..USERS).map(UserId::from_bits) {
                let mut found = Vec::new();
                let mut visit = |token, usage| {
                    found.push((token, usage));
                    ControlFlow::Continue(())
                };
                store.visit_tokens(org, Some(owner), &mut visit).unwrap();
                let is_theirs = |token: &ApiToken| token.org == org && token.owner == owner;
                assert_eq!(found, self.tokens_where(is_theirs));
            }
            let trail = self.events.get(&org).map_or(&[][..], Vec::as_slice);
            let stored = store.events(org, None, usize::MAX).unwrap();
            let told =
                stored.into_iter().rev().map(|event| (event.seq, event.revision, event.said));
            assert!(told.eq(trail.iter().cloned()));
            let verdict = store.prove(org, None).unwrap();
            assert_eq!((verdict.faults, verdict.proved), (vec![], trail.len() as u64));
        }
        for user in (0..USERS).map(UserId::from_bits) {
            assert_eq!(store.user(user).unwrap().as_ref(), self.users.get(&user));
        }
        for number in 0..DIGESTS {
            let (revision, found) = store.lookup(&digest(number)).unwrap();
            assert_eq!(revision.0, self.revision);
            let holds = |token: &&ApiToken| token.digests().any(|held| held == digest(number));
            let token = self.tokens.values().find(holds);
            let owner = token.and_then(|token| {
                self.users.get(&token.owner).filter(|owner| owner.org == token.org)
            });
            let org = token.and_then(|token| self.orgs.get(&token.org));
            let whole = token.zip(owner).zip(org);
            let expected = whole.map(|((token, owner), org)| crate::store::Found {
                token: token.into(),
                secret: SecretFacts::of(token, &digest(number)).expect("one of its secrets"),
                owner: owner.into(),
                org: org.into(),
            });
            assert_eq!(found, expected);
        }
        let mut digests = BTreeSet::new();
        let count = store.visit_digests(&mut |digest| _ = digests.insert(*digest)).unwrap();
        assert_eq!(count, digests.len() as u64);
        assert_eq!(digests, self.tokens.values().flat_map(ApiToken::digests).collect());
        for number in 0..CREATIONS {
            let key = [number; 32];
            assert_eq!(store.creation(&key).unwrap().as_ref(), self.creations.get(&key));
        }
        assert!(store.roles().names()[3..].iter().eq(&self.roles));
    }

    fn tokens_where(&self, is_wanted: impl Fn(&ApiToken) -> bool) -> Vec<(ApiToken, Usage)> {
        let wanted = self.tokens.values().filter(|token| is_wanted(token));
        let with_usage = |token: &ApiToken| {
            (token.clone(), self.usage.get(&token.id).copied().unwrap_or_default())
        };
        wanted.map(with_usage).collect()
    }
}
