//! SIGKILL at random moments: what was acknowledged is there, and nothing is half-done.
//!
//! The parent starts this very test binary again as a child that commits numbered changes and says
//! which ones were acknowledged; it kills the child at a random moment, opens the store and looks.
//! `BEARWARD_KILLS` says how often: 20 times unless told otherwise, on one and the same store, and
//! on a fresh one after that. [`served`] does the same to `bearward serve`,
//! and [`validated`] in the midst of its validation runs.

mod served;
mod validated;

use bearward::audit::{Action, Actor, Draft, Origin, Target};
use bearward::change::{Change, Creation, RecordKey, Require, Write};
use bearward::id::{OrgId, TokenId, UserId};
use bearward::org::{Governance, Organization, Revision, StatusChange, User, UserStatus};
use bearward::policy::{Ignores, Policies};
use bearward::role::{RoleId, RoleSet};
use bearward::secret::Digest;
use bearward::store::redb::{OpenError, Options, RedbStore, open};
use bearward::store::{Commit, Facts, Ledger};
use bearward::time::Timestamp;
use bearward::token::{ApiToken, NOTIFY_BEFORE_EXPIRY, Standing, TokenStatus, Usage};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const STORE: &str = "BEARWARD_KILL_STORE";
const KILLS: &str = "BEARWARD_KILLS";
const ORG: OrgId = OrgId::from_bits(1);
const OWNER: UserId = UserId::from_bits(2);
/// Changes under way at a time: so many that they go in groups.
const UNDER_WAY: usize = 24;
/// The longest that a child lives after its first acknowledgement.
const LIFE_MILLIS_MAX: u64 = 120;

/// Kills in the life of one store. Looking at everything takes longer with each.
const KILLS_PER_STORE: u64 = 20;

#[test]
fn k1_acknowledged_changes_survive_and_none_is_half_done() {
    let kills = kills();
    for first in (0..kills).step_by(usize::try_from(KILLS_PER_STORE).unwrap()) {
        kill_and_look(KILLS_PER_STORE.min(kills - first));
    }
}

fn kills() -> u64 {
    std::env::var(KILLS).map_or(20, |kills| kills.parse().unwrap())
}

fn kill_and_look(kills: u64) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let mut written_before = 0;
    for kill in 0..kills {
        let acknowledged = run_and_kill(&path);
        let written = verify(&reopen(&path));
        assert!(
            acknowledged > written_before && written >= acknowledged,
            "kill {kill}: {acknowledged} changes acknowledged, {written} written"
        );
        // What is written without having been acknowledged was under way.
        assert!(written <= acknowledged + UNDER_WAY as u64, "kill {kill}: {written}");
        written_before = written;
    }
    assert!(written_before > 10 * kills, "hardly anything was committed: {written_before}");
}

#[test]
fn a_second_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let (mut child, _lines, _) = run(&path);
    let error = open(Options::new(path.clone(), 4 << 20)).unwrap_err();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("is open in another process"), "{error}");
    verify(&reopen(&path));
}

/// Runs a child until a random moment; answers the last change that it saw acknowledged.
fn run_and_kill(path: &Path) -> u64 {
    let (mut child, lines, first) = run(path);
    let reader = std::thread::spawn(move || lines.last().unwrap_or(first));
    std::thread::sleep(Duration::from_micros(random() % (1_000 * LIFE_MILLIS_MAX)));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Starts a child; answers it, what it will acknowledge, and what it has acknowledged first.
fn run(path: &Path) -> (Child, impl Iterator<Item = u64> + Send + 'static, u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--nocapture"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let number = |line: String| line.strip_prefix("acknowledged ")?.parse().ok();
    let mut numbers = lines.filter_map(number);
    let first = numbers.next().expect("the child commits something");
    (child, numbers, first)
}

fn random() -> u64 {
    getrandom::u64().unwrap()
}

/// A killed process lets go of its lock when the kernel has cleaned up behind it.
fn reopen(path: &Path) -> Arc<RedbStore> {
    open(Options::new(path.to_owned(), 4 << 20)).unwrap()
}

/// The child: commits for ever. Nothing to do when it is not one.
#[test]
fn child() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let store = reopen(Path::new(&path));
    if store.organization(ORG).unwrap().is_none() {
        store.commit(founding()).wait().unwrap();
    }
    let mut next = verify(&store) + 1;
    let mut under_way: VecDeque<(u64, Commit)> = VecDeque::new();
    let mut stdout = std::io::stdout();
    loop {
        while under_way.len() < UNDER_WAY {
            under_way.push_back((next, store.commit(numbered(next))));
            next += 1;
        }
        if let Some((number, commit)) = under_way.pop_front() {
            commit.wait().unwrap();
            // One write, so that no line is cut; the pipe keeps it when the process is killed.
            stdout.write_all(format!("acknowledged {number}\n").as_bytes()).unwrap();
            stdout.flush().unwrap();
        }
    }
}

fn founding() -> Change {
    let org = Organization {
        id: ORG,
        version: Revision(0),
        name: "Acme".to_owned(),
        governance: Governance::Activated,
        policies: Policies::default(),
        created_at: Timestamp::EPOCH,
    };
    let owner = User {
        id: OWNER,
        version: Revision(0),
        org: ORG,
        email: "owner@example.org".to_owned(),
        name: "Owner".to_owned(),
        roles: RoleSet::from_iter([RoleId::ORG_OWNER]),
        operator: true,
        status: UserStatus::Activated(None),
        created_at: Timestamp::EPOCH,
        external_id: None,
        modified_at: Timestamp::EPOCH,
    };
    Change {
        requires: vec![Require::Empty],
        writes: vec![Write::Organization(org), Write::User(owner)],
        ..Change::default()
    }
}

/// The n-th change: it makes token n, deactivates token n - 1, adds to the usage of token 1, and
/// writes two events and a creation, all of which must be there together or not at all.
fn numbered(number: u64) -> Change {
    let at = at(number);
    let mut writes = vec![Write::Token(token(number, TokenStatus::Activated(None)))];
    let mut events = vec![event(number, Action::TokenCreated)];
    if number > 1 {
        let change = StatusChange { at, by: Some(OWNER), reason: None, governed: false };
        writes.push(Write::Token(token(number - 1, TokenStatus::Deactivated(change))));
        events.push(event(number - 1, Action::TokenDeactivated));
    }
    let usage = Usage::once(at);
    writes.push(Write::Usage(TokenId::from_bits(1), usage));
    let made = number.to_string();
    let creation = Creation { key: *digest(number).as_bytes(), request: [0; 32], made, at };
    Change {
        requires: vec![
            Require::Absent(RecordKey::Token(TokenId::from_bits(number.into()))),
            Require::DigestFree(digest(number)),
        ],
        writes,
        events,
        notices: Vec::new(),
        creation: Some(creation),
        restrictive: true,
    }
}

fn at(number: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(number).unwrap())
}

fn digest(number: u64) -> Digest {
    Digest::of(&number.to_le_bytes())
}

fn token(number: u64, status: TokenStatus) -> ApiToken {
    ApiToken {
        id: TokenId::from_bits(number.into()),
        version: Revision(0),
        org: ORG,
        owner: OWNER,
        created_by: Some(OWNER),
        minted_by: None,
        name: number.to_string(),
        scope: RoleSet::empty(),
        digest: digest(number),
        created_at: at(number),
        issued_at: at(number),
        expires_at: Timestamp::MAX,
        ignores: Ignores::default(),
        status,
        former: Vec::new(),
        notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
    }
}

fn event(number: u64, action: Action) -> Draft {
    Draft {
        org: ORG,
        at: at(number),
        actor: Actor::System,
        action,
        target: Target::Token(TokenId::from_bits(number.into())),
        target_name: number.to_string(),
        origin: Origin::default(),
        reason: None,
        changes: Vec::new(),
    }
}

/// Looks at everything that the changes up to the last one wrote, and answers its number.
fn verify(store: &RedbStore) -> u64 {
    let mut tokens = Vec::new();
    let mut collect = |token: ApiToken, usage: Usage| {
        tokens.push((token, usage));
        ControlFlow::Continue(())
    };
    store.visit_tokens(ORG, None, &mut collect).unwrap();
    let count = tokens.len() as u64;
    let mut owned = 0;
    let mut count_owned = |_, _| {
        owned += 1;
        ControlFlow::Continue(())
    };
    store.visit_tokens(ORG, Some(OWNER), &mut count_owned).unwrap();
    assert_eq!(owned, count, "the index of the owner");
    assert_eq!(store.visit_digests(&mut |_| ()).unwrap(), count, "the index of the digests");

    let mut events = store.events(ORG, None, usize::MAX).unwrap();
    events.reverse();
    assert_eq!(events.len() as u64, (2 * count).saturating_sub(1), "two events a change");
    let verdict = store.prove(ORG, None).unwrap();
    assert_eq!((verdict.faults, verdict.proved), (vec![], events.len() as u64), "the chain");
    let mut trail = (1..).zip(&events);
    let mut expect = |number: u64, action: Action, revision: Revision| {
        let (seq, event) = trail.next().unwrap();
        let expected = (seq, revision, self::event(number, action));
        assert_eq!((event.seq, event.revision, event.said.clone()), expected);
    };
    for (number, (token, usage)) in (1..).zip(&tokens) {
        let is_last = number == count;
        // The founding was revision 1; a token's last writer is the change after its own.
        let made = Revision(number + 1);
        let version = Revision(number + 1 + u64::from(!is_last));
        assert_eq!((token.name.as_str(), token.version), (number.to_string().as_str(), version));
        let standing = if is_last { Standing::Activated } else { Standing::Deactivated };
        assert_eq!(token.standing(), standing);
        assert_eq!(usage.use_count, if number == 1 { count } else { 0 });
        expect(number, Action::TokenCreated, made);
        if number > 1 {
            expect(number - 1, Action::TokenDeactivated, made);
        }
        let (revision, found) = store.lookup(&digest(number)).unwrap();
        assert_eq!(revision, Revision(count + 1));
        assert_eq!(found.unwrap().token.version, version);
        assert!(store.creation(digest(number).as_bytes()).unwrap().is_some(), "{number}");
    }
    count
}
