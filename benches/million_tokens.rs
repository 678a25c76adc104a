//! What a million tokens cost the store: load, look-ups, visits, commits, usage, opening.
//!
//! One pass, a minute or so: `cargo bench --bench million_tokens`. The figures are those of the
//! machine and its disk; compare them only with a run beside it.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has nothing to say")]
#![expect(clippy::print_stdout, reason = "its report is its purpose")]

use bearward::change::{Change, Write};
use bearward::id::{OrgId, TokenId, UserId};
use bearward::org::{Governance, Organization, Revision, User, UserStatus};
use bearward::policy::{Ignores, Policies};
use bearward::role::{RoleId, RoleSet};
use bearward::secret::Digest;
use bearward::store::redb::{Options, open};
use bearward::store::{Commit, Facts, Ledger};
use bearward::time::Timestamp;
use bearward::token::{ApiToken, NOTIFY_BEFORE_EXPIRY, Reuse, TokenStatus, Usage};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

const TOKENS: u64 = 1_000_000;
const ORGS: u64 = 4;
const OWNERS: u64 = 10_000;
const CACHE_BYTES: usize = 16 << 20;
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const USED: Usage =
    Usage { last_used_at: Some(NOW), use_count: 1, reuse: Reuse { count: 0, last_at: None } };

fn org_of(number: u64) -> OrgId {
    OrgId::from_bits(u128::from(1 + number % ORGS) << 100)
}

fn owner_of(number: u64) -> UserId {
    UserId::from_bits(u128::from(number % OWNERS))
}

/// The tokens are numbered in the order of their digests, so that the one index whose order nobody
/// can choose grows at its end too. This halves the time of a load.
struct Tokens(Vec<Digest>);

impl Tokens {
    fn new() -> Self {
        let mut digests: Vec<Digest> =
            (0..TOKENS).map(|number| Digest::of(&number.to_le_bytes())).collect();
        digests.sort_unstable();
        Self(digests)
    }

    fn digest(&self, number: u64) -> Digest {
        self.0[usize::try_from(number).unwrap()]
    }

    fn nth(&self, number: u64) -> ApiToken {
        ApiToken {
            id: token_id(number),
            version: Revision(0),
            org: org_of(number),
            owner: owner_of(number),
            created_by: None,
            minted_by: None,
            name: format!("token {number}"),
            scope: RoleSet::from_iter([RoleId::ORG_MEMBER]),
            digest: self.digest(number),
            created_at: NOW,
            issued_at: NOW,
            expires_at: NOW.after_months(6),
            ignores: Ignores::default(),
            status: TokenStatus::Activated(None),
            former: Vec::new(),
            notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
        }
    }
}

/// Numbers all over the place, the same ones each time.
fn scattered() -> impl Iterator<Item = u64> {
    std::iter::successors(Some(1_u64), |last| Some((last * 48_271) % 2_147_483_647))
        .map(|number| number % TOKENS)
}

fn token_id(number: u64) -> TokenId {
    TokenId::from_bits(u128::from(number))
}

fn org(id: OrgId) -> Organization {
    Organization {
        id,
        version: Revision(0),
        name: format!("organization {id}"),
        governance: Governance::Activated,
        policies: Policies::default(),
        created_at: NOW,
    }
}

fn user(id: UserId, org: OrgId) -> User {
    User {
        id,
        version: Revision(0),
        org,
        email: format!("{id}@example.org"),
        name: "A User".to_owned(),
        roles: RoleSet::from_iter([RoleId::ORG_MEMBER]),
        operator: false,
        status: UserStatus::Activated(None),
        created_at: NOW,
        external_id: None,
        modified_at: NOW,
    }
}

fn writes(writes: impl IntoIterator<Item = Write>) -> Change {
    Change { writes: writes.into_iter().collect(), ..Change::default() }
}

fn report(what: &str, count: u64, began: Instant) {
    let took = began.elapsed();
    let each = Duration::from_nanos(u64::try_from(took.as_nanos()).unwrap() / count.max(1));
    println!("{what}: {took:.2?} for {count}, {each:.2?} each");
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let options = || Options::new(path.clone(), CACHE_BYTES);
    let store = open(options()).unwrap();
    let tokens = Tokens::new();
    let began = Instant::now();
    load(&*store, &tokens);
    report("load, 1,000 a change", TOKENS, began);
    let bytes = std::fs::metadata(&path).unwrap().len();
    println!("file: {} MiB", bytes >> 20);

    let began = Instant::now();
    for number in scattered().take(100_000) {
        assert!(store.lookup(&tokens.digest(number)).unwrap().1.is_some());
    }
    report("lookup, scattered", 100_000, began);
    let began = Instant::now();
    for number in scattered().take(100_000) {
        let known = tokens.digest(number % 1_000);
        assert!(store.lookup(&known).unwrap().1.is_some());
    }
    report("lookup, of 1,000", 100_000, began);

    let began = Instant::now();
    let mut seen = 0;
    for number in 0..ORGS {
        let mut visit = |_, _| {
            seen += 1;
            ControlFlow::Continue(())
        };
        store.visit_tokens(org_of(number), None, &mut visit).unwrap();
    }
    assert_eq!(seen, TOKENS);
    report("visit by organization", TOKENS, began);
    let began = Instant::now();
    let digests = store.visit_digests(&mut |_| ()).unwrap();
    report("visit of digests", digests, began);

    let began = Instant::now();
    for number in scattered().take(500) {
        store.commit(writes([Write::Token(tokens.nth(number))])).wait().unwrap();
    }
    report("commit, one at a time", 500, began);
    let began = Instant::now();
    let commits: Vec<_> = scattered()
        .take(1_000)
        .map(|number| store.commit(writes([Write::Token(tokens.nth(number))])))
        .collect();
    for commit in commits {
        commit.wait().unwrap();
    }
    report("commit, all at once", 1_000, began);
    let began = Instant::now();
    let rows = scattered().take(50_000).map(|number| (token_id(number), USED).into()).collect();
    store.record_usage(rows).wait().unwrap();
    report("usage, scattered", 50_000, began);

    drop(store);
    let began = Instant::now();
    let store = open(options()).unwrap();
    report("open, checked", 1, began);
    drop(store);
    let began = Instant::now();
    let database = redb::Builder::new().set_cache_size(CACHE_BYTES).open(&path).unwrap();
    report("open, unchecked", 1, began);
    drop(database);
}

fn load(store: &dyn Ledger, tokens: &Tokens) {
    let orgs = (0..ORGS).map(|number| Write::Organization(org(org_of(number))));
    let users = (0..OWNERS).map(|number| Write::User(user(owner_of(number), org_of(number))));
    store.commit(writes(orgs.chain(users))).wait().unwrap();
    let mut commits: VecDeque<Commit> = VecDeque::new();
    for thousand in 0..TOKENS / 1_000 {
        let tokens = (0..1_000).map(|n| Write::Token(tokens.nth(1_000 * thousand + n)));
        commits.push_back(store.commit(writes(tokens)));
        // Two groups' worth: one is written while the next is queued.
        if commits.len() >= 128
            && let Some(oldest) = commits.pop_front()
        {
            oldest.wait().unwrap();
        }
    }
    for commit in commits {
        commit.wait().unwrap();
    }
}
