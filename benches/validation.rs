//! What a validation run over a million tokens costs, and what others feel of it.
//!
//! One pass, a minute or two: `cargo bench --bench validation`. The figures are those of the machine
//! and its disk; compare them only with a run beside it.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has nothing to say")]
#![expect(clippy::print_stdout, reason = "its report is its purpose")]

use bearward::change::{Change, Write};
use bearward::id::{OrgId, TokenId, UserId};
use bearward::org::{Governance, Organization, Revision, StatusChange, User, UserStatus};
use bearward::policy::{Ignores, Policies, TtlPolicy};
use bearward::role::{RoleId, RoleSet};
use bearward::scheduler::{Scheduler, Stop};
use bearward::secret::Digest;
use bearward::store::redb::{Options, RedbStore, open};
use bearward::store::{Commit, Ledger, Validations};
use bearward::time::{Timestamp, Ttl, Unit};
use bearward::token::{ApiToken, NOTIFY_BEFORE_EXPIRY, TokenStatus, Usage};
use bearward::usage::{self, Pending, Uses};
use bearward::validation::{self, Counts, RunState, Trigger, Wanted};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const TOKENS: u64 = 1_000_000;
const OWNERS: u64 = 10_000;
const CACHE_BYTES: usize = 64 << 20;
const ORG: OrgId = OrgId::from_bits(1);
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// No use but what is stored.
struct Idle;

impl Uses for Idle {
    fn touch(&self, _: TokenId, _: Usage) {}

    fn still(&self) -> Box<dyn Pending + '_> {
        Box::new(Self)
    }

    fn pending(&self) -> HashMap<TokenId, Usage> {
        HashMap::new()
    }

    fn pending_needs(&self) -> usage::Needed {
        HashMap::new()
    }
}

impl Pending for Idle {
    fn pending(&self, _: TokenId) -> Usage {
        Usage::default()
    }
}

fn org(max_days: u32) -> Organization {
    let policy =
        |days| TtlPolicy { active: true, ttl: Ttl::new(days, Unit::Days), enforcement: None };
    Organization {
        id: ORG,
        version: Revision(0),
        name: "Acme".to_owned(),
        governance: Governance::Activated,
        policies: Policies { idle_ttl: policy(90), max_ttl: policy(max_days) },
        created_at: NOW,
    }
}

fn user(number: u64) -> User {
    User {
        id: UserId::from_bits(number.into()),
        version: Revision(0),
        org: ORG,
        email: format!("{number}@example.org"),
        name: "A User".to_owned(),
        roles: RoleSet::from_iter([RoleId::ORG_MEMBER]),
        operator: false,
        status: UserStatus::Activated(None),
        created_at: NOW,
        external_id: None,
        modified_at: NOW,
    }
}

/// One in a hundred lives for a year, all others for half a year.
fn token(number: u64, digest: Digest) -> ApiToken {
    ApiToken {
        id: TokenId::from_bits(number.into()),
        version: Revision(0),
        org: ORG,
        owner: UserId::from_bits(u128::from(number % OWNERS)),
        created_by: None,
        minted_by: None,
        name: format!("token {number}"),
        scope: RoleSet::from_iter([RoleId::ORG_MEMBER]),
        digest,
        former: Vec::new(),
        created_at: NOW,
        issued_at: NOW,
        expires_at: NOW.after_months(if number.is_multiple_of(100) { 12 } else { 6 }),
        ignores: Ignores::default(),
        notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
        status: TokenStatus::Activated(None),
    }
}

fn load(store: &RedbStore, digests: &[Digest]) {
    let write = |writes| Change { writes, ..Change::default() };
    let people = std::iter::once(Write::Organization(org(200)));
    let people = people.chain((0..OWNERS).map(|number| Write::User(user(number))));
    store.commit(write(people.collect())).wait().unwrap();
    let mut commits: VecDeque<Commit> = VecDeque::new();
    for thousand in 0..TOKENS / 1_000 {
        let used = Usage { last_used_at: Some(NOW), use_count: 7, ..Usage::default() };
        let records = (1_000 * thousand..1_000 * (thousand + 1)).flat_map(|number| {
            let token = token(number, digests[usize::try_from(number).unwrap()]);
            [Write::Usage(token.id, used), Write::Token(token)].into_iter().rev()
        });
        commits.push_back(store.commit(write(records.collect())));
        if commits.len() >= 32
            && let Some(oldest) = commits.pop_front()
        {
            oldest.wait().unwrap();
        }
    }
    for commit in commits {
        commit.wait().unwrap();
    }
}

/// Deactivates tokens one after the other until told to stop, and answers how long each took.
fn deactivations(store: &RedbStore, digests: &[Digest], stop: &AtomicBool) -> Vec<Duration> {
    let mut took = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let number = (number * 48_271) % TOKENS;
        let change = StatusChange { at: NOW, by: None, reason: None, governed: true };
        let token = token(number, digests[usize::try_from(number).unwrap()]);
        let token = ApiToken { status: TokenStatus::Deactivated(change), ..token };
        let change =
            Change { writes: vec![Write::Token(token)], restrictive: true, ..Change::default() };
        let began = Instant::now();
        store.commit(change).wait().unwrap();
        took.push(began.elapsed());
        std::thread::sleep(Duration::from_millis(1));
    }
    took
}

fn percentiles(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    println!(
        "{what}: {} of them, p50 {:.2?}, p99 {:.2?}, the longest {:.2?}",
        took.len(),
        at(50),
        at(99),
        at(100)
    );
}

struct Bench {
    store: Arc<RedbStore>,
    scheduler: Scheduler,
}

impl Bench {
    /// Has the change of a policy committed, with the run that it asks for, and makes that run.
    fn run(&self, what: &str, max_days: u32) -> Counts {
        let (trigger, at) = (Trigger::PolicyChanged, NOW);
        let wanted = Wanted { org: ORG, trigger, by: None, at };
        let wanted = Write::Validation(validation::Write::Wanted(wanted));
        let writes = vec![Write::Organization(org(max_days)), wanted];
        let began = Instant::now();
        self.store.commit(Change { writes, ..Change::default() }).wait().unwrap();
        println!("{what}: the policy is saved after {:.2?}", began.elapsed());
        let began = Instant::now();
        self.scheduler.look(&Stop::default()).unwrap();
        let took = began.elapsed();
        let RunState::Finished(found) = self.store.runs(ORG, None, 1).unwrap()[0].state else {
            panic!("the run is not through");
        };
        let Counts { tokens, flagged, new, cleared, .. } = found.counts;
        println!(
            "{what}: {took:.2?} for {tokens} tokens, {flagged} flagged, {new} new, {cleared} gone"
        );
        found.counts
    }
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let store = open(Options::new(path, CACHE_BYTES)).unwrap();
    let mut digests: Vec<Digest> =
        (0..TOKENS).map(|number| Digest::of(&number.to_le_bytes())).collect();
    digests.sort_unstable();
    load(&store, &digests);

    let bench = Bench {
        store: Arc::clone(&store),
        scheduler: Scheduler {
            ledger: Arc::clone(&store) as _,
            uses: Arc::new(Idle),
            clock: Arc::new(|| NOW),
            bell: Arc::default(),
        },
    };
    assert_eq!(bench.run("first", 200).new, TOKENS / 100);
    assert_eq!(bench.run("again", 201).new, 0);

    let stop = AtomicBool::new(false);
    let quiet = std::thread::scope(|scope| {
        let governor = scope.spawn(|| deactivations(&store, &digests, &stop));
        std::thread::sleep(Duration::from_secs(2));
        stop.store(true, Ordering::Release);
        governor.join().unwrap()
    });
    percentiles("deactivations with nothing beside them", quiet);
    for (what, days) in [("beside deactivations", 200), ("beside them, all flagged", 100)] {
        stop.store(false, Ordering::Release);
        let beside = std::thread::scope(|scope| {
            let governor = scope.spawn(|| deactivations(&store, &digests, &stop));
            bench.run(what, days);
            stop.store(true, Ordering::Release);
            governor.join().unwrap()
        });
        percentiles("deactivations meanwhile", beside);
    }
    bench.run("all flagged, again", 101);
    bench.run("all healed", 400);
}
