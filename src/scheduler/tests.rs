use super::*;
use crate::audit::Action;
use crate::id::{TokenId, UserId};
use crate::org::{Organization, Revision, StatusChange};
use crate::policy::{Enforcement, Ignore, Ignores, Policies, PolicyKind, TtlPolicy};
use crate::role::RoleSet;
use crate::secret::Digest;
use crate::store::Validations as _;
use crate::store::memory::MemoryStore;
use crate::store::wayward::Wayward;
use crate::time::{Ttl, Unit};
use crate::token::{ApiToken, NOTIFY_BEFORE_EXPIRY, Standing, TokenStatus, Usage};
use crate::usage::{self, Uses};
use crate::validation::{Counts, Findings, Run, SEGMENT_FLAGS_MAX};
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;

const ORG: OrgId = OrgId::from_bits(1);
const DAY: i64 = 24 * 60 * 60 * 1000;
const NOW: i64 = 1_800_000_000_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Takes a queued run to its end without reading anything.
pub(crate) fn through(org: OrgId, run: u64) -> [validation::Write; 2] {
    let (started_at, took) = (at(NOW), Duration::from_millis(7));
    let counts = Counts::default();
    let findings = Findings { started_at, finished_at: at(NOW + 7), took, counts };
    [
        validation::Write::Running { org, run, started_at },
        validation::Write::Finished { org, run, findings },
    ]
}

/// Uses that wait to be stored.
#[derive(Default)]
struct Waiting(Mutex<HashMap<TokenId, Usage>>);

impl Uses for Waiting {
    fn touch(&self, _: TokenId, _: Usage) {
        unreachable!("a run uses no token")
    }

    fn still(&self) -> Box<dyn usage::Pending + '_> {
        unreachable!("a run holds nothing still")
    }

    fn pending(&self) -> HashMap<TokenId, Usage> {
        self.0.lock().expect("nobody panics").clone()
    }

    fn pending_needs(&self) -> usage::Needed {
        unreachable!("a run asks for no needs")
    }
}

/// A scheduler over a store with one organization: tokens live 100 days, and 10 are allowed.
struct Bench {
    store: Arc<MemoryStore>,
    uses: Arc<Waiting>,
    now: Arc<AtomicI64>,
    scheduler: Scheduler,
}

impl Bench {
    fn new() -> Self {
        let (store, uses) = (MemoryStore::new(), Arc::new(Waiting::default()));
        let now = Arc::new(AtomicI64::new(NOW));
        let clock = Arc::clone(&now);
        let scheduler = Scheduler {
            ledger: Arc::clone(&store) as _,
            uses: Arc::clone(&uses) as _,
            clock: Arc::new(move || at(clock.load(Ordering::Relaxed))),
            bell: Arc::default(),
        };
        let bench = Self { store, uses, now, scheduler };
        bench.put([Write::Organization(org())]);
        bench
    }

    fn put(&self, writes: impl IntoIterator<Item = Write>) {
        let writes = writes.into_iter().collect();
        let change = Change { writes, ..Change::default() };
        self.store.commit(change).wait().expect("the store takes it");
    }

    fn set_now(&self, millis: i64) {
        self.now.store(millis, Ordering::Relaxed);
    }

    fn want(&self) {
        let (trigger, at) = (Trigger::OnDemand, at(self.now.load(Ordering::Relaxed)));
        let wanted = Wanted { org: ORG, trigger, by: None, at };
        self.put([Write::Validation(validation::Write::Wanted(wanted))]);
    }

    fn look(&self) {
        self.scheduler.look(&Stop::default()).expect("the store works");
    }

    fn validate(&self) -> Counts {
        self.want();
        self.look();
        self.counts()
    }

    fn runs(&self) -> Vec<Run> {
        self.store.runs(ORG, None, usize::MAX).expect("readable")
    }

    fn counts(&self) -> Counts {
        match self.runs()[0].state {
            RunState::Finished(findings) => findings.counts,
            RunState::Queued | RunState::Running { .. } | RunState::Telling(_) => {
                panic!("it is not through")
            }
        }
    }

    fn flags(&self) -> Vec<validation::Flag> {
        let segments = self.store.segments(ORG, usize::MAX).expect("readable");
        let part = |(run, number)| self.store.flags(ORG, run, number).expect("readable");
        segments.into_iter().filter_map(part).flatten().collect()
    }
}

fn begun(ledger: Arc<dyn Ledger>, bench: &Bench, now: i64) -> Pass {
    match begin(ledger, &*bench.uses, ORG, at(now)).expect("readable").expect("a run") {
        Begun::Judging(pass) => *pass,
        Begun::Telling(_) => panic!("it has judged all already"),
    }
}

fn org() -> Organization {
    let policy =
        |active, days| TtlPolicy { active, ttl: Ttl::new(days, Unit::Days), enforcement: None };
    Organization {
        id: ORG,
        version: Revision(0),
        name: "Acme".to_owned(),
        governance: Governance::Activated,
        policies: Policies { idle_ttl: policy(false, 30), max_ttl: policy(true, 10) },
        created_at: at(NOW),
    }
}

fn token(number: u64) -> ApiToken {
    ApiToken {
        id: TokenId::from_bits(number.into()),
        version: Revision(0),
        org: ORG,
        owner: UserId::from_bits(1),
        created_by: None,
        minted_by: None,
        name: format!("token {number}"),
        scope: RoleSet::empty(),
        digest: Digest::of(&number.to_le_bytes()),
        created_at: at(NOW),
        issued_at: at(NOW),
        expires_at: at(NOW + 100 * DAY),
        ignores: Ignores::default(),
        status: TokenStatus::Activated(None),
        former: Vec::new(),
        notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
    }
}

fn good(number: u64) -> ApiToken {
    ApiToken { expires_at: at(NOW + 10 * DAY), ..token(number) }
}

#[test]
fn s18_a_run_a_day_and_a_missed_one_is_made_up_once() {
    let bench = Bench::new();
    bench.look();
    assert_eq!(bench.runs(), [], "the first is due a day after the beginning");
    bench.set_now(NOW + DAY - 1);
    bench.look();
    assert_eq!(bench.runs().len(), 0);
    bench.set_now(NOW + DAY);
    bench.look();
    bench.look();
    assert_eq!(bench.runs().len(), 1);
    assert_eq!(bench.runs()[0].trigger, Trigger::Scheduled);
    // Nobody was there for three days; then the time of day is what it was.
    bench.set_now(NOW + 4 * DAY + 5);
    bench.look();
    bench.look();
    assert_eq!(bench.runs().len(), 2);
    bench.set_now(NOW + 5 * DAY - 1);
    bench.look();
    assert_eq!(bench.runs().len(), 2);
    bench.set_now(NOW + 5 * DAY);
    bench.look();
    assert_eq!(bench.runs().len(), 3);
    // The clock was far ahead and is set back: nothing waits for longer than a day.
    bench.set_now(NOW + 2 * DAY);
    bench.look();
    bench.set_now(NOW + 3 * DAY);
    bench.look();
    assert_eq!(bench.runs().len(), 4);
    let events = bench.store.events(ORG, None, 100).expect("readable");
    assert_eq!(events.len(), 4);
    assert!(events.iter().all(|event| event.said.action == Action::ValidationFinished));
}

#[test]
fn a_run_tells_what_is_new_and_what_is_gone() {
    let bench = Bench::new();
    bench.put([1, 2, 3].map(|number| Write::Token(token(number))));
    bench.put([Write::Token(good(4))]);
    let counts = |tokens, flagged, new, cleared| Counts {
        tokens,
        flagged,
        new,
        cleared,
        ..Counts::default()
    };
    assert_eq!(bench.validate(), counts(4, 3, 3, 0));
    assert_eq!(bench.validate(), counts(4, 3, 0, 0));
    let first = bench.flags();
    assert_eq!(first.len(), 3);
    assert!(first.iter().all(|flag| flag.max_ttl.is_some() && flag.idle_ttl.is_none()));

    // One is revoked, one ignored, one made; one breaks another policy too.
    let change = StatusChange { at: at(NOW), by: None, reason: None, governed: true };
    let revoked = ApiToken { status: TokenStatus::Revoked(change), ..token(1) };
    let until = at(NOW + 40 * DAY);
    let ignore = Ignore { until, at: at(NOW), by: UserId::from_bits(1), reason: None };
    let ignores = Ignores::default().with(PolicyKind::MaxTtl, Some(ignore));
    bench.put([Write::Token(revoked), Write::Token(ApiToken { ignores, ..token(2) })]);
    bench.put([Write::Token(token(5))]);
    let mut tightened = org();
    tightened.policies.idle_ttl.active = true;
    bench.put([Write::Organization(tightened)]);
    bench.set_now(NOW + 30 * DAY + 1);
    // A use that is not stored yet keeps the fifth from being idle.
    let used = Usage::once(at(NOW + 30 * DAY));
    bench.uses.0.lock().expect("nobody panics").insert(TokenId::from_bits(5), used);
    // New: idle of 2 and 3, max of 5. Gone: max of 1 and 2. The good one has expired.
    assert_eq!(bench.validate(), counts(5, 3, 3, 2));
    let flag = bench.flags()[1];
    assert_eq!(flag.token, TokenId::from_bits(3));
    let known = first[2].max_ttl.map(|mark| mark.found_at);
    let found = flag.max_ttl.map(|mark| mark.found_at);
    assert_eq!(found, known, "what was found before stays as it was");
    assert_eq!(flag.idle_ttl.map(|mark| mark.found_at), Some(at(NOW + 30 * DAY + 1)));
    // At its end the ignored one is new again.
    bench.set_now(until.millis());
    bench.uses.0.lock().expect("nobody panics").clear();
    assert_eq!(bench.validate(), counts(5, 3, 2, 0));
}

#[test]
fn flags_of_many_tokens_lie_in_parts_and_old_ones_are_forgotten() {
    let bench = Bench::new();
    let many = SEGMENT_FLAGS_MAX as u64 + 1_500;
    for from in (0..many).step_by(1_000) {
        let part = from..many.min(from + 1_000);
        bench.put(part.map(|number| Write::Token(token(number))));
    }
    assert_eq!(bench.validate().new, many);
    assert_eq!(bench.store.segments(ORG, 9), Ok(vec![(1, 0), (1, 1)]));
    let flags = bench.flags();
    assert!(flags.windows(2).all(|pair| pair[0].token < pair[1].token));
    assert_eq!(flags.len() as u64, many);
    // All but one heal; the parts of the run before go.
    bench.put([Write::Organization(Organization { policies: Policies::default(), ..org() })]);
    let counts = bench.validate();
    assert_eq!((counts.flagged, counts.new, counts.cleared), (0, 0, many));
    assert_eq!(bench.store.segments(ORG, 9), Ok(vec![]));
}

#[test]
fn a_run_that_was_broken_off_is_repeated_under_its_number() {
    let bench = Bench::new();
    bench.put((0..1_200).map(|number| Write::Token(token(number))));
    assert_eq!(bench.validate().new, 1_200);
    bench.put([Write::Token(token(5_000))]);
    bench.want();
    // Broken off after the first stretch, with some flags on disk already.
    let ledger = Arc::clone(&bench.store) as Arc<dyn Ledger>;
    let mut pass = begun(ledger, &bench, NOW + 1);
    let more = pass.step().expect("readable");
    assert!(more);
    drop(pass);
    let stray = validation::Segment { org: ORG, run: 2, number: 3, flags: bench.flags() };
    bench.put([Write::Validation(validation::Write::Flags(stray))]);
    assert_eq!(bench.runs()[0].state, RunState::Running { started_at: at(NOW + 1) });
    // Meanwhile another is wanted: it does not join one that has begun.
    bench.set_now(NOW + DAY / 2);
    bench.want();
    bench.look();
    let [third, second, first] = bench.runs()[..] else { panic!("three runs") };
    assert_eq!([third.number, second.number, first.number], [3, 2, 1]);
    let RunState::Finished(found) = second.state else { panic!("{second:?}") };
    assert_eq!(found.started_at, at(NOW + 1), "it decides as of when it was first started");
    assert_eq!((found.counts.tokens, found.counts.new, found.counts.cleared), (1_201, 1, 0));
    let RunState::Finished(found) = third.state else { panic!("{third:?}") };
    assert_eq!((found.counts.new, found.counts.cleared), (0, 0));
    assert_eq!(bench.flags().len(), 1_201);
    assert_eq!(bench.store.segments(ORG, 9), Ok(vec![(3, 0)]));
}

#[test]
fn without_governance_nothing_is_run_and_it_is_made_up_after() {
    let bench = Bench::new();
    bench.look();
    bench.want();
    bench.put([Write::Organization(Organization { governance: Governance::Deactivated, ..org() })]);
    bench.set_now(NOW + 3 * DAY);
    bench.look();
    assert_eq!(bench.runs()[0].state, RunState::Queued);
    bench.put([Write::Organization(org())]);
    bench.look();
    bench.look();
    let runs = bench.runs();
    assert_eq!(runs.len(), 1, "the daily one joins the one that waits");
    assert!(matches!(runs[0].state, RunState::Finished(_)));
}

#[test]
fn the_history_is_bounded() {
    let bench = Bench::new();
    let kept = validation::RUNS_KEPT_MAX;
    for number in 1..=kept + 3 {
        bench.want();
        bench.put(through(ORG, number).map(Write::Validation));
    }
    let runs = bench.runs();
    assert_eq!(runs.len() as u64, kept);
    assert_eq!(runs.last().map(|run| run.number), Some(4));
}

#[test]
fn a_stop_ends_a_run_between_two_stretches() {
    let bench = Bench::new();
    bench.want();
    let stop = Stop::default();
    stop.ask();
    let stopped = bench.scheduler.look(&stop);
    assert!(matches!(stopped, Err(Interrupted::Stopped)), "{stopped:?}");
    assert!(matches!(bench.runs()[0].state, RunState::Running { .. }));
    bench.look();
    assert!(matches!(bench.runs()[0].state, RunState::Finished(_)));
}

/// The Max Token TTL is enforced: deactivated 2 days after the warning, revoked 3 days after that.
fn enforced() -> Organization {
    let mut org = org();
    org.policies.max_ttl.enforcement = Some(Enforcement {
        deactivate_after: Ttl::new(2, Unit::Days),
        revoke_after: Some(Ttl::new(3, Unit::Days)),
        since: at(NOW),
    });
    org
}

fn standing(bench: &Bench, number: u64) -> (Standing, Option<Timestamp>) {
    let id = TokenId::from_bits(number.into());
    let (token, _) = bench.store.token(id).expect("readable").expect("a token");
    (token.standing(), token.status_change().map(|change| change.at))
}

fn validated(bench: &Bench, days: i64) -> [u64; 3] {
    bench.set_now(NOW + days * DAY);
    let counts = bench.validate();
    [counts.warned, counts.deactivated, counts.revoked]
}

#[test]
fn an_enforced_policy_warns_then_deactivates_then_revokes() {
    let bench = Bench::new();
    bench.put([Write::Organization(enforced()), Write::Token(token(1)), Write::Token(good(2))]);
    assert_eq!(validated(&bench, 0), [1, 0, 0]);
    assert_eq!(validated(&bench, 1), [0, 0, 0]);
    assert_eq!(standing(&bench, 1), (Standing::Activated, None));
    assert_eq!(validated(&bench, 2), [0, 1, 0]);
    assert_eq!(standing(&bench, 1), (Standing::Deactivated, Some(at(NOW + 2 * DAY))));
    assert_eq!(validated(&bench, 4), [0, 0, 0]);
    assert_eq!(validated(&bench, 5), [0, 0, 1]);
    assert_eq!(standing(&bench, 1).0, Standing::Revoked);
    assert_eq!(validated(&bench, 6), [0, 0, 0]);
    assert_eq!(bench.counts().cleared, 1);
    assert_eq!(standing(&bench, 2), (Standing::Activated, None));
    let events = bench.store.events(ORG, None, 100).expect("readable");
    let steps: Vec<_> = events
        .iter()
        .rev()
        .map(|event| &event.said)
        .filter(|said| said.action != Action::ValidationFinished)
        .map(|said| (&said.actor, said.action))
        .collect();
    let system = &crate::audit::Actor::System;
    assert_eq!(steps, [(system, Action::TokenDeactivated), (system, Action::TokenRevoked)]);
}

#[test]
fn what_an_owner_activates_again_is_warned_anew() {
    let bench = Bench::new();
    bench.put([Write::Organization(enforced()), Write::Token(token(1))]);
    assert_eq!(validated(&bench, 0), [1, 0, 0]);
    assert_eq!(validated(&bench, 2), [0, 1, 0]);
    let by = Some(UserId::from_bits(9));
    let change = StatusChange { at: at(NOW + 3 * DAY), by, reason: None, governed: true };
    let status = TokenStatus::Activated(Some(change));
    bench.put([Write::Token(ApiToken { status, ..token(1) })]);
    assert_eq!(validated(&bench, 5), [1, 0, 0]);
    assert_eq!(validated(&bench, 6), [0, 0, 0]);
    assert_eq!(validated(&bench, 7), [0, 1, 0]);
}

#[test]
fn a_broken_off_run_takes_its_steps_once() {
    let bench = Bench::new();
    bench.put([Write::Organization(enforced())]);
    bench.put((0..1_100).map(|number| Write::Token(token(number))));
    assert_eq!(validated(&bench, 0), [1_100, 0, 0]);
    bench.set_now(NOW + 2 * DAY);
    bench.want();
    let ledger = Arc::clone(&bench.store) as Arc<dyn Ledger>;
    let mut pass = begun(ledger, &bench, NOW + 2 * DAY);
    let more = pass.step().expect("readable");
    assert!(more);
    drop(pass);
    assert_eq!(standing(&bench, 999).0, Standing::Deactivated);
    assert_eq!(standing(&bench, 1_000).0, Standing::Activated);
    bench.set_now(NOW + 3 * DAY);
    bench.look();
    // The first thousand are known to be its own doing, and go on down the ladder with the rest.
    let second = found(&bench, 2);
    assert_eq!((second.deactivated, second.flagged, second.cleared), (1_100, 1_100, 0));
    let when = Some(at(NOW + 2 * DAY));
    assert_eq!(standing(&bench, 999), (Standing::Deactivated, when));
    assert_eq!(standing(&bench, 1_000), (Standing::Deactivated, when));
    assert_eq!(validated(&bench, 5), [0, 0, 1_100]);
}

/// What a run found that is through.
fn found(bench: &Bench, number: u64) -> Counts {
    let run = bench.runs().into_iter().find(|run| run.number == number).expect("it was made");
    let RunState::Finished(findings) = run.state else { panic!("{run:?}") };
    findings.counts
}

/// What the trail says of a run: a figure of it.
fn said(bench: &Bench, run: &str, field: &str) -> Option<String> {
    let events = bench.store.events(ORG, None, usize::MAX).expect("readable").into_iter();
    let figure = |event: &crate::audit::Event, field: &str| {
        let told = event.said.changes.iter().find(|change| change.field == field);
        told.and_then(|change| change.after.clone())
    };
    let mut of_run = events.filter(|event| figure(event, "run").as_deref() == Some(run));
    of_run.next().and_then(|event| figure(&event, field))
}

#[test]
fn what_a_broken_off_run_had_revoked_is_neither_forgotten_nor_gone() {
    let bench = Bench::new();
    bench.put([Write::Organization(enforced())]);
    bench.put((0..1_100).map(|number| Write::Token(token(number))));
    assert_eq!(validated(&bench, 0), [1_100, 0, 0]);
    assert_eq!(validated(&bench, 2), [0, 1_100, 0]);
    bench.set_now(NOW + 5 * DAY);
    bench.want();
    let ledger = Arc::clone(&bench.store) as Arc<dyn Ledger>;
    let mut pass = begun(ledger, &bench, NOW + 5 * DAY);
    assert!(pass.step().expect("readable"), "there is more");
    drop(pass);
    assert_eq!(standing(&bench, 999).0, Standing::Revoked);
    assert_eq!(standing(&bench, 1_000).0, Standing::Deactivated);
    bench.set_now(NOW + 6 * DAY);
    bench.look();
    let third = found(&bench, 3);
    assert_eq!((third.revoked, third.flagged, third.cleared), (1_100, 1_100, 0));
    assert_eq!(said(&bench, "3", "revoked").as_deref(), Some("1100"));
    // The daily run was due by then, too: for it they are gone.
    let fourth = found(&bench, 4);
    assert_eq!((fourth.revoked, fourth.flagged, fourth.cleared), (0, 0, 1_100));
}

#[test]
fn a_run_of_the_same_instant_counts_no_step_of_the_one_before() {
    let bench = Bench::new();
    bench.put([Write::Organization(enforced()), Write::Token(token(1))]);
    assert_eq!(validated(&bench, 0), [1, 0, 0]);
    assert_eq!(validated(&bench, 2), [0, 1, 0]);
    assert_eq!(validated(&bench, 2), [0, 0, 0]);
    assert_eq!(validated(&bench, 5), [0, 0, 1]);
    assert_eq!(validated(&bench, 5), [0, 0, 0]);
    assert_eq!(bench.counts().cleared, 1);
}

const OTHER: OrgId = OrgId::from_bits(2);

/// A bench with a second organization behind the first, and a run wanted in both.
fn two() -> Bench {
    let bench = telling::bench(1);
    bench.put([Write::Organization(Organization { id: OTHER, ..org() })]);
    bench.look();
    for org in [ORG, OTHER] {
        let wanted = Wanted { org, trigger: Trigger::OnDemand, by: None, at: at(NOW) };
        bench.put([Write::Validation(validation::Write::Wanted(wanted))]);
    }
    bench
}

impl Bench {
    /// Looks at another ledger over the same store.
    fn look_at(&self, ledger: Wayward) -> Result<(), Interrupted> {
        let scheduler = Scheduler {
            ledger: Arc::new(ledger),
            uses: Arc::clone(&self.scheduler.uses),
            clock: Arc::clone(&self.scheduler.clock),
            bell: Arc::default(),
        };
        scheduler.look(&Stop::default())
    }

    fn is_through(&self, org: OrgId) -> bool {
        let runs = self.store.runs(org, None, 1).expect("readable");
        matches!(runs[0].state, RunState::Finished(_))
    }
}

#[test]
fn an_organization_that_fails_keeps_no_other_from_its_turn() {
    let failing = |org| {
        if org == ORG { Err(StoreError("for the test".to_owned())) } else { Ok(()) }
    };
    let panicking = |org| {
        assert!(org != ORG, "for the test");
        Ok(())
    };
    let bench = two();
    let failed = bench.look_at(Wayward::of(&bench.store).reading(failing));
    assert!(matches!(failed, Err(Interrupted::Read(_))), "{failed:?}");
    assert_eq!((bench.is_through(ORG), bench.is_through(OTHER)), (false, true));
    let bench = two();
    let failed = bench.look_at(Wayward::of(&bench.store).reading(panicking));
    assert!(matches!(failed, Err(Interrupted::Lost)), "{failed:?}");
    assert_eq!((bench.is_through(ORG), bench.is_through(OTHER)), (false, true));
    // Nor does one whose daily run cannot even be asked for.
    let bench = two();
    bench.set_now(NOW + DAY);
    let is_ours = |write: &Write| matches!(write, Write::Validation(validation::Write::Next(org, _)) if *org == ORG);
    let busy = Wayward::of(&bench.store).committing(move |change| {
        if change.writes.iter().any(is_ours) { Err(CommitError::Busy) } else { Ok(()) }
    });
    let failed = bench.look_at(busy);
    assert!(matches!(failed, Err(Interrupted::Write(CommitError::Busy))), "{failed:?}");
    assert_eq!((bench.is_through(ORG), bench.is_through(OTHER)), (false, true));
    // When it works again, the first is made up.
    bench.look();
    assert!(bench.is_through(ORG));
}

#[test]
fn an_organization_that_goes_on_asking_keeps_no_other_from_its_turn() {
    let bench = two();
    let made = Arc::<AtomicI64>::default();
    let (count, store) = (Arc::clone(&made), Arc::clone(&bench.store));
    // Before one of its runs is through, another is asked for.
    let asking = Wayward::of(&bench.store).committing(move |change| {
        let ends = |write: &Write| matches!(write, Write::Validation(validation::Write::Finished { org, .. }) if *org == ORG);
        if change.writes.iter().any(ends) && count.fetch_add(1, Ordering::Relaxed) < 10 {
            let wanted = Wanted { org: ORG, trigger: Trigger::OnDemand, by: None, at: at(NOW) };
            let writes = vec![Write::Validation(validation::Write::Wanted(wanted))];
            store.commit(Change { writes, ..Change::default() }).wait().expect("written");
        }
        Ok(())
    });
    bench.look_at(asking).expect("nothing fails");
    assert!(bench.is_through(OTHER));
    let taken = i64::try_from(RUNS_AT_A_TIME).expect("few");
    assert_eq!(made.load(Ordering::Relaxed), taken);
}

#[test]
fn a_store_that_takes_nothing_any_more_ends_the_look() {
    let bench = two();
    let tried = Arc::<AtomicI64>::default();
    let count = Arc::clone(&tried);
    let closed = Wayward::of(&bench.store).committing(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Err(CommitError::Closed)
    });
    let failed = bench.look_at(closed);
    assert!(matches!(failed, Err(Interrupted::Write(CommitError::Closed))), "{failed:?}");
    assert_eq!(tried.load(Ordering::Relaxed), 1);
}

#[test]
fn a_step_is_not_taken_upon_policies_that_changed_meanwhile() {
    let bench = Bench::new();
    bench.put([Write::Organization(enforced()), Write::Token(token(1))]);
    assert_eq!(validated(&bench, 0), [1, 0, 0]);
    bench.set_now(NOW + 2 * DAY);
    bench.want();
    let ledger = Arc::clone(&bench.store) as Arc<dyn Ledger>;
    let mut pass = begun(ledger, &bench, NOW + 2 * DAY);
    // Between its reading of the policies and its first step.
    let relaxed = Organization { policies: Policies::default(), ..org() };
    bench.put([Write::Organization(relaxed)]);
    pass.step().expect("readable");
    let teller = pass.judged().expect("writable");
    teller.finish(at(NOW + 2 * DAY), &Stop::default()).expect("writable");
    assert_eq!(bench.counts().deactivated, 0);
    assert_eq!(standing(&bench, 1), (Standing::Activated, None));
    let mark = bench.flags()[0].max_ttl.expect("as it was read");
    assert_eq!(mark.deactivated_at, None, "what was not done is not kept as done");
}

mod reminding;
mod telling;
