//! What a million tokens cost. Not a test of right and wrong: it prints.
//!
//! `cargo test --release -- --ignored --nocapture a_million_tokens`

use super::*;
use crate::id::{OrgId, UserId};
use crate::secret::Digest;
use crate::store::{Commit, Facts};
use crate::token::ApiToken;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

const TOKENS: u64 = 1_000_000;
const ORGS: u64 = 4;
const OWNERS: u64 = 10_000;
const CACHE_BYTES: usize = 64 << 20;

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
        let mut digests: Vec<Digest> = (0..TOKENS).map(digest).collect();
        digests.sort_unstable();
        Self(digests)
    }

    fn digest(&self, number: u64) -> Digest {
        self.0[usize::try_from(number).unwrap()]
    }

    fn nth(&self, number: u64) -> ApiToken {
        let (org, owner, digest) = (org_of(number), owner_of(number), self.digest(number));
        ApiToken { org, owner, digest, ..token(number) }
    }
}

/// Numbers all over the place, the same ones each time.
fn scattered() -> impl Iterator<Item = u64> {
    std::iter::successors(Some(1_u64), |last| Some((last * 48_271) % 2_147_483_647))
        .map(|number| number % TOKENS)
}

fn report(what: &str, count: u64, began: Instant) {
    let took = began.elapsed();
    let each = Duration::from_nanos(u64::try_from(took.as_nanos()).unwrap() / count.max(1));
    println!("{what}: {took:.2?} for {count}, {each:.2?} each");
}

#[test]
#[ignore = "takes a minute, and is only meaningful in release"]
fn a_million_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let options = || Options { path: path.clone(), cache_bytes: CACHE_BYTES };
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
        let change = Change {
            events: vec![said(org_of(number), "deactivated")],
            ..writes([Write::Token(deactivated(tokens.nth(number)))])
        };
        store.commit(change).wait().unwrap();
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
    let rows = scattered().take(50_000).map(|number| (token_id(number), used(1, 1))).collect();
    store.record_usage(rows).wait().unwrap();
    report("usage, scattered", 50_000, began);

    drop(store);
    let began = Instant::now();
    let store = open(options()).unwrap();
    report("open, checked", 1, began);
    drop(store);
    let began = Instant::now();
    let database = ::redb::Builder::new().set_cache_size(CACHE_BYTES).open(&path).unwrap();
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
