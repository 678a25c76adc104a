//! S18: SIGKILL in the midst of validation runs. There is one run for each time that it was due, the
//! step of each token is in the trail once, and each owner is told, under one `Message-ID`.

use super::{digest, random, reopen};
use crate::notices::mailbox::{MailServer, PATIENCE};
use crate::upstream::{Upstream, ok};
use crate::world::{Setup, World, eventually};
use bearward::audit::{Action, Target};
use bearward::change::{Change, Write};
use bearward::id::{OrgId, TokenId, UserId};
use bearward::notice::{Addressee, Kind, Notice};
use bearward::org::{Revision, User, UserStatus};
use bearward::policy::{Enforcement, TtlPolicy};
use bearward::role::{RoleId, RoleSet};
use bearward::store::redb::RedbStore;
use bearward::store::{Ledger as _, Validations as _};
use bearward::time::{Timestamp, Ttl, Unit};
use bearward::token::{ApiToken, Standing, TokenStatus};
use bearward::validation::{Counts, RunState, Trigger};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

const OWNERS: u64 = 40;
/// So many that their steps take a while, and of each owner no more than one mail names.
const TOKENS: u64 = 3_000;
/// Kills of one run, at most.
const KILLS: u64 = 6;
/// The longest that the process lives after it is ready.
const LIFE_MILLIS_MAX: u64 = 250;
const DAY: Duration = Duration::from_hours(24);
/// When the run of the day is due, in seconds.
const NEXT: i64 = 26 * 60 * 60;

fn org(world: &World) -> OrgId {
    world.org.parse().expect("an identity")
}

fn owner(number: u64) -> UserId {
    UserId::from_bits(u128::from(1_000_000 + number % OWNERS))
}

/// Writes users whose tokens live for too long, and a policy that is enforced after an hour.
fn furnish(world: &World) {
    let store = reopen(&world.store());
    let (now, id) = (bearward::clock::now(), org(world));
    let mut acme = store.organization(id).unwrap().expect("it was made");
    acme.policies.max_ttl = TtlPolicy {
        active: true,
        ttl: Ttl::new(10, Unit::Days),
        enforcement: Some(Enforcement {
            deactivate_after: Ttl::new(1, Unit::Hours),
            revoke_after: None,
            since: now.before(DAY),
        }),
    };
    let (operators, _) =
        store.token(world.owner_token.parse().unwrap()).unwrap().expect("it was made");
    let shorter = ApiToken { expires_at: now.after(5 * DAY), ..operators };
    let mut writes = vec![Write::Organization(acme), Write::Token(shorter)];
    writes.extend((0..OWNERS).map(|number| {
        Write::User(User {
            id: owner(number),
            version: Revision(0),
            org: id,
            email: format!("{number}@example.com"),
            name: format!("owner {number}"),
            roles: RoleSet::from_iter([RoleId::ORG_MEMBER]),
            operator: false,
            status: UserStatus::Activated(None),
            created_at: now,
            external_id: None,
            modified_at: now,
        })
    }));
    writes.extend((1..=TOKENS).map(|number| {
        Write::Token(ApiToken {
            id: TokenId::from_bits(number.into()),
            org: id,
            owner: owner(number),
            digest: digest(number),
            created_at: now,
            issued_at: now,
            expires_at: now.after(100 * DAY),
            notify_before_expiry: Vec::new(),
            ..super::token(number, TokenStatus::Activated(None))
        })
    }));
    store.commit(Change { writes, ..Change::default() }).wait().unwrap();
}

/// Kills the process in the midst of a run, again and again; answers how often it was at work then.
fn kill_in_the_midst(world: &mut World, run: u64, ahead: i64) -> u64 {
    let mut broken_off = 0;
    for _kill in 0..KILLS {
        thread::sleep(Duration::from_micros(random() % (1_000 * LIFE_MILLIS_MAX)));
        world.kill();
        let state = reopen(&world.store()).run(org(world), run).unwrap().map(|run| run.state);
        world.serve_ahead(ahead);
        match state {
            None | Some(RunState::Queued) => {}
            Some(RunState::Running { .. } | RunState::Telling(_)) => broken_off += 1,
            Some(RunState::Finished(_)) => break,
        }
    }
    let is_through = |list: &serde_json::Value| {
        list["items"][0]["number"] == run && list["items"][0]["state"] == "finished"
    };
    let through = eventually(PATIENCE, || {
        is_through(&world.admin().org("GET", "/validations", None).expect(200))
    });
    assert!(through, "run {run} does not end:\n{}", world.told());
    broken_off
}

#[test]
fn s18_a_run_that_is_killed_in_its_midst_is_one_run_and_takes_each_step_once() {
    let (upstream, server) = (Upstream::start(ok()), MailServer::start());
    // What is switched off is told in the end, long after this.
    let mails = server.section() + "[notices]\nsettle = \"1h\"\nretry_first = \"50ms\"\n";
    let setup = Setup::before(&upstream).extra(&mails).clock();
    let mut world = setup.unstarted();
    world.init();
    furnish(&world);
    world.serve();
    // The first run warns, and tells every owner; the one of the next day switches off.
    world.admin().org("POST", "/validations", None).expect(202);
    let while_warning = kill_in_the_midst(&mut world, 1, 0);
    let warned = || server.mails().iter().map(|mail| mail.to().to_owned()).collect::<BTreeSet<_>>();
    assert!(eventually(PATIENCE, || warned().len() as u64 == OWNERS), "{:?}", warned());
    world.kill();
    world.serve_ahead(NEXT);
    let while_switching = kill_in_the_midst(&mut world, 2, NEXT);
    assert!(while_switching > 0, "no kill met the run that takes the steps");
    println!(
        "killed {while_warning} times while it warned, {while_switching} while it switched off"
    );
    world.kill();

    let store = reopen(&world.store());
    let org = org(&world);
    let runs = store.runs(org, None, 9).unwrap();
    let made: Vec<_> = runs.iter().map(|run| (run.number, run.trigger)).collect();
    assert_eq!(made, [(2, Trigger::Scheduled), (1, Trigger::OnDemand)]);
    let found = |at: usize| match runs[at].state {
        RunState::Finished(findings) => (findings.started_at, findings.counts),
        RunState::Queued | RunState::Running { .. } | RunState::Telling(_) => panic!("{runs:?}"),
    };
    let nothing = Counts { tokens: TOKENS + 1, flagged: TOKENS, ..Counts::default() };
    assert_eq!(found(1).1, Counts { new: TOKENS, warned: TOKENS, ..nothing });
    assert_eq!(found(0).1, Counts { deactivated: TOKENS, ..nothing });
    steps_are_taken_once(&store, org, found(0).0);
    everybody_is_told_once(&store, org);
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for mail in server.mails() {
        names.entry(mail.to().to_owned()).or_default().insert(mail.field("Message-ID"));
    }
    assert_eq!(names.len() as u64, OWNERS);
    assert!(names.values().all(|names| names.len() == 1), "{names:#?}");
}

/// As of the start of the run, and each with its event.
fn steps_are_taken_once(store: &RedbStore, org: OrgId, started_at: Timestamp) {
    let mut switched: BTreeMap<String, u64> = BTreeMap::new();
    let mut finished = 0;
    for event in store.events(org, None, usize::MAX).unwrap() {
        match (event.said.action, event.said.target) {
            (Action::TokenDeactivated, Target::Token(id)) => {
                *switched.entry(id.to_string()).or_default() += 1;
            }
            (Action::ValidationFinished, _) => finished += 1,
            _ => {}
        }
    }
    assert_eq!((switched.len() as u64, finished), (TOKENS, 2));
    assert!(switched.values().all(|times| *times == 1), "{switched:#?}");
    assert_eq!(store.prove(org, None).unwrap().faults, []);
    let mut live = Vec::new();
    let mut visit = |token: ApiToken, _| {
        let at = token.status_change().map(|change| change.at);
        if token.standing() != Standing::Deactivated || at != Some(started_at) {
            live.push(token.id);
        }
        ControlFlow::Continue(())
    };
    store.visit_tokens(org, None, &mut visit).unwrap();
    assert_eq!(live.len(), 1, "all but the operator's: {live:?}");
}

/// Of each token's end, and once of what was to follow.
fn everybody_is_told_once(store: &RedbStore, org: OrgId) {
    let mut warned: Vec<Addressee> = Vec::new();
    let mut ended = BTreeSet::new();
    let mut count = 0;
    let mut visit = |notice: Notice| {
        if notice.says.kind == Kind::EnforcementStep {
            warned.push(notice.to);
        } else {
            assert_eq!(notice.says.kind, Kind::Deactivated, "nobody was to be told of that");
            count += 1;
            ended.insert(notice.says.about.bits());
        }
        ControlFlow::Continue(())
    };
    store.visit_notices(org, None, &mut visit).unwrap();
    let owners: BTreeSet<u128> = warned.iter().map(|to| to.bits()).collect();
    assert_eq!((warned.len() as u64, owners.len() as u64), (OWNERS, OWNERS));
    assert_eq!((count, ended.len() as u64), (TOKENS, TOKENS));
}
