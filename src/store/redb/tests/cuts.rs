//! K2: the power fails at every sync of a scenario, with the writes before it lost, kept, reordered or
//! torn, and again at every sync of the repair that follows. What was acknowledged is there each time,
//! and nothing is half-done.

use super::journal::{Journal, Step, Survivors};
use super::*;
use crate::access::SecretFacts;
use crate::change::{RecordKey, Require};
use crate::notice::Kind;
use crate::token::Standing;

/// Ways to lose what was not synced, at each cut.
const FIRST: [Survivors; 8] = [
    Survivors::None,
    Survivors::All,
    Survivors::Last,
    Survivors::AllButLast,
    Survivors::Torn(1),
    Survivors::Torn(2),
    Survivors::Torn(3),
    Survivors::Torn(4),
];
/// And again, while the store is opened after the first.
const SECOND: [Survivors; 4] =
    [Survivors::None, Survivors::Last, Survivors::Torn(5), Survivors::Torn(6)];
/// Changes of the scenario.
const CHANGES: u64 = 14;

/// Opens what a disk holds; errors as a gateway would tell them.
fn open_on(disk: &Journal) -> Result<Arc<RedbStore>, String> {
    let is_new = disk.is_empty();
    let mut builder = Builder::new();
    builder.set_cache_size(1 << 20).set_check_integrity_on_open(true);
    let database = builder.create_with_backend(disk.clone()).map_err(|error| error.to_string())?;
    let file = File::new(database);
    if is_new {
        furnish(&file).map_err(|failure| format!("{failure:?}"))?;
    }
    Store::start(file, test_key()).map_err(|failure| format!("{failure:?}"))
}

/// What was done, and how far it had come when each change was acknowledged.
struct Scenario {
    disk: Journal,
    /// The first step after which each change was acknowledged.
    acknowledged: Vec<usize>,
    /// The syncs behind which each acknowledgement stands.
    last_syncs: Vec<usize>,
}

impl Scenario {
    /// A token is made by each change, and a mail is owed about it; every third one also revokes the
    /// token before it, the one after that gives the token before it another secret, and one is so
    /// large that the file grows. Usage goes in between.
    fn play(bulk: bool) -> Self {
        let made = Journal::default();
        let store: Arc<dyn Both> = open_on(&made).unwrap();
        crate::store::conformance::fixture::furnish(&store);
        drop(store);
        let whole = made.cut(made.len(), Survivors::All, |_| true);
        let disk = Journal::of(whole);
        let file = open_on(&disk).unwrap();
        file.in_bulk(bulk);
        let store: Arc<dyn Both> = file;
        let (mut acknowledged, mut last_syncs) = (Vec::new(), Vec::new());
        for number in 1..=CHANGES {
            commit(&store, change(number)).unwrap();
            acknowledged.push(disk.len());
            let steps = disk.steps();
            let is_sync = |at: &usize| matches!(steps[*at], Step::Sync);
            last_syncs.push((0..steps.len()).rfind(is_sync).expect("it was synced"));
            if number.is_multiple_of(4) {
                store.record_usage(vec![(token_id(number), used(1, 1)).into()]).wait().unwrap();
            }
        }
        drop(store);
        Self { disk, acknowledged, last_syncs }
    }

    /// The last change that was acknowledged before a step.
    fn promised(&self, at: usize) -> u64 {
        self.acknowledged.iter().filter(|&&done| done <= at).count() as u64
    }

    /// The syncs, and the end.
    fn cuts(&self) -> Vec<usize> {
        let steps = self.disk.steps();
        let syncs = (0..steps.len()).filter(|&at| matches!(steps[at], Step::Sync));
        // Just before a sync, and just after it.
        syncs.flat_map(|at| [at, at + 1]).chain([steps.len()]).collect()
    }
}

fn change(number: u64) -> Change {
    let mut writes = vec![Write::Token(token(number))];
    if number.is_multiple_of(3) {
        writes.push(Write::Token(revoked(token(number - 1))));
    }
    if number % 3 == 1 && number > 1 {
        writes.push(Write::Token(rotated(number - 1)));
    }
    if number == 7 {
        writes.extend((1_000..1_400).map(|more| Write::Token(token(more))));
    }
    let notices = vec![owed(Kind::Created, number, 2, [ANN])];
    Change { writes, events: vec![said(ACME, "made")], notices, ..Change::default() }
}

/// Looks for the mails of so many changes, and for the secrets that they replaced.
fn told_and_rotated(store: &Arc<dyn Both>, done: u64) -> Result<(), String> {
    let mails = owed_mails(store);
    if mails != (1..=done).map(token_id).collect::<Vec<_>>() {
        return Err(format!("{done} changes, and mails about {mails:?}"));
    }
    for number in (3..=done).step_by(3) {
        let of = |digest| {
            let (_, found) = store.lookup(&digest).map_err(|error| error.to_string())?;
            Ok::<_, String>(found.map(|found| (found.token.id, found.secret)))
        };
        let (old, new) = (of(digest(number))?, of(next_digest(number))?);
        let is_told_apart = match (old, new) {
            (Some((id, SecretFacts::Present)), None) => id == token_id(number) && number == done,
            (Some((old, SecretFacts::Former(_))), Some((new, SecretFacts::Present))) => {
                old == token_id(number) && new == old && number < done
            }
            _ => false,
        };
        if !is_told_apart {
            return Err(format!("the secrets of token {number} of {done}: {old:?}, {new:?}"));
        }
    }
    Ok(())
}

/// What is wrong with a disk after a cut, if anything is; and where opening it left the disk.
fn wrong(bytes: Vec<u8>, promised: u64) -> (Option<String>, Journal) {
    let disk = Journal::of(bytes);
    let looked = std::panic::catch_unwind(|| look(&disk, promised));
    let told = match looked {
        Ok(told) => told.err(),
        Err(_panic) => Some("opening it panicked".to_owned()),
    };
    (told, disk)
}

fn look(disk: &Journal, promised: u64) -> Result<(), String> {
    let store: Arc<dyn Both> = open_on(disk)?;
    let events = store.events(ACME, None, usize::MAX).map_err(|error| error.to_string())?;
    let done = events.len() as u64;
    if done < promised || done > CHANGES {
        return Err(format!("{promised} changes were acknowledged, {done} are there"));
    }
    let expected = |number: u64| {
        let is_revoked = number % 3 == 2 && number < done;
        if is_revoked { Standing::Revoked } else { Standing::Activated }
    };
    let found = tokens(&store, ACME);
    let many = if done >= 7 { 400 } else { 0 };
    if found.len() as u64 != done + many {
        return Err(format!("{done} changes, and {} tokens", found.len()));
    }
    for number in 1..=done {
        let (_, facts) = store.lookup(&digest(number)).map_err(|error| error.to_string())?;
        let standing = facts.map(|facts| facts.token.standing);
        if standing != Some(expected(number)) {
            return Err(format!("token {number} of {done} is {standing:?}"));
        }
    }
    told_and_rotated(&store, done)?;
    // It goes on from there.
    let next = Change {
        requires: vec![Require::Absent(RecordKey::Token(token_id(done + 1)))],
        ..writes([Write::Token(token(done + 1))])
    };
    if done + 1 < 1_000 {
        commit(&store, next).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn every_cut(scenario: &Scenario) {
    let (mut first, mut second) = (0, 0);
    for at in scenario.cuts() {
        let promised = scenario.promised(at);
        for survivors in FIRST {
            let cut = scenario.disk.cut(at, survivors, |_| true);
            let (told, repaired) = wrong(cut, promised);
            assert_eq!(told, None, "cut before step {at}, {survivors:?}");
            first += 1;
            if !matches!(survivors, Survivors::None | Survivors::Torn(1 | 2)) {
                continue;
            }
            // And again while that was repaired.
            let steps = repaired.steps();
            let syncs = (0..steps.len()).filter(|&at| matches!(steps[at], Step::Sync));
            for again in syncs {
                for survivors in SECOND {
                    let cut = repaired.cut(again, survivors, |_| true);
                    // The change that `look` makes counts where it was on its way.
                    let told = wrong_after_look(cut, promised);
                    assert_eq!(told, None, "step {at}, then {again} of the repair, {survivors:?}");
                    second += 1;
                }
            }
        }
    }
    assert!(first > 400 && second > 1_000, "{first} cuts, {second} of them again");
}

/// As [`wrong`], where one token more may be there.
fn wrong_after_look(bytes: Vec<u8>, promised: u64) -> Option<String> {
    let disk = Journal::of(bytes);
    let looked = std::panic::catch_unwind(|| {
        let store: Arc<dyn Both> = open_on(&disk)?;
        let events = store.events(ACME, None, usize::MAX).map_err(|error| error.to_string())?;
        let done = events.len() as u64;
        let found = tokens(&store, ACME).len() as u64 - if done >= 7 { 400 } else { 0 };
        if done < promised || found < done || found > done + 1 {
            return Err(format!("{promised} acknowledged, {done} there, {found} tokens"));
        }
        told_and_rotated(&store, done)
    });
    looked.unwrap_or_else(|_panic| Err("opening it panicked".to_owned())).err()
}

#[test]
fn k2_a_power_cut_at_every_sync_and_during_the_repair_takes_nothing() {
    every_cut(&Scenario::play(false));
}

/// An import commits without the tables that make the repair quick.
#[test]
fn k2_a_power_cut_during_an_import_takes_nothing() {
    every_cut(&Scenario::play(true));
}

/// The harness would notice a store that does not sync: each sync before an acknowledgement, left
/// out alone, loses that acknowledged change to the power cut after it.
#[test]
fn k2_a_sync_that_is_left_out_is_noticed() {
    let scenario = Scenario::play(false);
    for (number, (&done, &sync)) in
        scenario.acknowledged.iter().zip(&scenario.last_syncs).enumerate()
    {
        let promised = scenario.promised(done);
        assert_eq!(promised, number as u64 + 1);
        let honest = scenario.disk.cut(done, Survivors::None, |_| true);
        assert_eq!(wrong(honest, promised).0, None);
        let cut = scenario.disk.cut(done, Survivors::None, |at| at != sync);
        let told = wrong(cut, promised).0;
        assert!(told.is_some(), "change {promised}: nobody misses the sync before it");
    }
    // And with no sync at all, torn files are noticed too.
    let end = scenario.disk.len();
    let noticed = (0..20)
        .filter(|&seed| {
            let cut = scenario.disk.cut(end, Survivors::Torn(seed), |_| false);
            wrong(cut, CHANGES).0.is_some()
        })
        .count();
    assert_eq!(noticed, 20);
}
