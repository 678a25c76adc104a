//! Validation runs: what the writer makes of what it is told.

use super::Bed;
use super::fixture::*;
use crate::change::Write as Written;
use crate::exemption::{Exempt, Exemption};
use crate::id::{ExemptionId, OrgId};
use crate::org::Revision;
use crate::policy::PolicyKind;
use crate::store::STRETCH_TOKENS_MAX;
use crate::validation::{
    Counts, Findings, Flag, Mark, RUNS_KEPT_MAX, RunState, Schedule, Segment, Told, Trigger,
    Wanted, Write,
};
use std::time::Duration;

fn say(bed: &Bed, said: impl IntoIterator<Item = Write>) {
    put(&bed.store, said.into_iter().map(Written::Validation));
}

fn wanted(org: OrgId, millis: i64) -> Write {
    let (trigger, by) = (Trigger::OnDemand, Some(ANN));
    Write::Wanted(Wanted { org, trigger, by, at: at(millis) })
}

fn running(run: u64) -> Write {
    Write::Running { org: ACME, run, started_at: at(5) }
}

fn findings() -> Findings {
    let counts = Counts { tokens: 9, ..Counts::default() };
    Findings { started_at: at(5), finished_at: at(6), took: Duration::from_secs(1), counts }
}

fn finished(run: u64) -> Write {
    Write::Finished { org: ACME, run, findings: findings() }
}

fn schedule(bed: &Bed) -> Schedule {
    let all = bed.store.schedules().unwrap();
    all.into_iter().find(|schedule| schedule.org == ACME).expect("a schedule")
}

pub(super) fn a_wanted_run_joins_one_that_waits_and_none_at_work(bed: &Bed) {
    furnish(&bed.store);
    assert_eq!(bed.store.schedules().unwrap(), []);
    say(bed, [wanted(ACME, 1), wanted(ACME, 2), wanted(OTHER, 3)]);
    assert_eq!((schedule(bed).latest, schedule(bed).queued), (1, Some(1)));
    let run = bed.store.run(ACME, 1).unwrap().expect("a run");
    assert_eq!((run.asked_at, run.by, run.state), (at(1), Some(ANN), RunState::Queued));
    say(bed, [running(1), wanted(ACME, 4), wanted(ACME, 5)]);
    assert_eq!(schedule(bed).running, Some(1));
    assert_eq!(schedule(bed).queued, Some(2));
    // Repeated after a crash, with another one waiting already.
    say(bed, [running(1)]);
    assert_eq!((schedule(bed).running, schedule(bed).queued), (Some(1), Some(2)));
    say(bed, [finished(1)]);
    let now = schedule(bed);
    assert_eq!((now.running, now.queued, now.compared), (None, Some(2), Some(1)));
    let run = bed.store.run(ACME, 1).unwrap().expect("a run");
    assert_eq!(run.state, RunState::Finished(findings()));
    let numbers = |before, limit| -> Vec<u64> {
        bed.store.runs(ACME, before, limit).unwrap().iter().map(|run| run.number).collect()
    };
    assert_eq!(numbers(None, 9), [2, 1]);
    assert_eq!(numbers(Some(2), 9), [1]);
    assert_eq!(numbers(Some(1), 9), [0; 0]);
    assert_eq!(numbers(Some(0), 9), [0; 0]);
    assert_eq!(numbers(None, 1), [2]);
    assert_eq!(numbers(None, 0), [0; 0]);
    assert_eq!(bed.store.runs(OTHER, None, 9).unwrap().len(), 1);
}

pub(super) fn the_next_time_is_kept_and_unknown_runs_are_passed_over(bed: &Bed) {
    furnish(&bed.store);
    say(bed, [running(1), finished(7)]);
    assert_eq!(bed.store.schedules().unwrap(), []);
    say(bed, [Write::Next(ACME, at(50))]);
    assert_eq!(schedule(bed).next_at, at(50));
    say(bed, [wanted(ACME, 1)]);
    assert_eq!(schedule(bed).next_at, at(50), "a run on demand puts nothing off");
    say(bed, [Write::Next(ACME, at(60)), finished(7), running(7)]);
    let expected =
        Schedule { next_at: at(60), latest: 1, queued: Some(1), ..Schedule::new(ACME, at(0)) };
    assert_eq!(schedule(bed), expected);
    assert!(bed.store.is_writable());
}

pub(super) fn of_finished_runs_the_oldest_goes(bed: &Bed) {
    furnish(&bed.store);
    for run in 1..=RUNS_KEPT_MAX + 1 {
        say(bed, [wanted(ACME, 1), running(run), finished(run)]);
    }
    assert_eq!(bed.store.run(ACME, 1).unwrap(), None);
    assert!(bed.store.run(ACME, 2).unwrap().is_some());
}

pub(super) fn flags_lie_in_parts_until_they_are_forgotten(bed: &Bed) {
    furnish(&bed.store);
    let flags = |numbers: &[u64]| -> Vec<Flag> {
        let told = Told::Found;
        let mark = Some(Mark { found_at: at(3), warned_at: None, deactivated_at: None, told });
        let flag = |number: &u64| Flag {
            token: token_id(*number),
            owner: ANN,
            idle_ttl: None,
            max_ttl: mark,
        };
        numbers.iter().map(flag).collect()
    };
    let part = |org, run, number, numbers: &[u64]| {
        Write::Flags(Segment { org, run, number, flags: flags(numbers) })
    };
    say(bed, [part(ACME, 2, 1, &[3]), part(ACME, 2, 0, &[1, 2]), part(ACME, 1, 0, &[9])]);
    say(bed, [part(OTHER, 1, 0, &[4])]);
    assert_eq!(bed.store.segments(ACME, 9).unwrap(), [(1, 0), (2, 0), (2, 1)]);
    assert_eq!(bed.store.segments(ACME, 2).unwrap(), [(1, 0), (2, 0)]);
    assert_eq!(bed.store.flags(ACME, 2, 0).unwrap(), Some(flags(&[1, 2])));
    assert_eq!(bed.store.flags(ACME, 2, 2).unwrap(), None);
    say(bed, [Write::Forget { org: ACME, run: 2, number: 0 }]);
    assert_eq!(bed.store.flags(ACME, 2, 0).unwrap(), None);
    assert_eq!(bed.store.segments(ACME, 9).unwrap(), [(1, 0), (2, 1)]);
    assert_eq!(bed.store.segments(OTHER, 9).unwrap(), [(1, 0)]);
}

pub(super) fn exemptions_are_of_their_organization(bed: &Bed) {
    furnish(&bed.store);
    let exemption = |org, bits| Exemption {
        id: ExemptionId::from_bits(bits),
        version: Revision(0),
        org,
        exempt: Exempt::User(ANN),
        policy: PolicyKind::IdleTtl,
        until: at(9),
        created_at: at(1),
        created_by: ANN,
        reason: None,
    };
    let grant = |org, bits| Write::Exempt(Box::new(exemption(org, bits)));
    say(bed, [grant(ACME, 2), grant(ACME, 1), grant(OTHER, 3)]);
    let version = Revision(2);
    let expected = [1, 2].map(|bits| Exemption { version, ..exemption(ACME, bits) });
    assert_eq!(bed.store.exemptions(ACME).unwrap(), expected);
    let gone = |org, bits| Write::Unexempt(org, ExemptionId::from_bits(bits));
    say(bed, [gone(ACME, 1), gone(OTHER, 2), gone(ACME, 7)]);
    assert_eq!(bed.store.exemptions(ACME).unwrap(), expected[1..]);
    assert_eq!(bed.store.exemptions(OTHER).unwrap().len(), 1);
}

pub(super) fn tokens_are_read_on_after_any_of_them(bed: &Bed) {
    furnish(&bed.store);
    let many = STRETCH_TOKENS_MAX as u64 + 5;
    put(&bed.store, (0..many).map(|number| Written::Token(token(2 * number))));
    put(&bed.store, [Written::Usage(token_id(2 * (many - 1)), used(1, 7))]);
    let first = bed.store.tokens_after(ACME, None).unwrap();
    assert_eq!(first.len(), STRETCH_TOKENS_MAX);
    assert_eq!(first[0].0.id, token_id(0));
    let rest = bed.store.tokens_after(ACME, first.last().map(|(token, _)| token.id)).unwrap();
    assert_eq!(rest.len(), 5);
    assert_eq!(rest[4].1, used(1, 7));
    // What was made meanwhile is seen; one that is not there is as good a place as any.
    put(&bed.store, [Written::Token(token(2 * many + 1))]);
    let last = bed.store.tokens_after(ACME, Some(token_id(2 * many - 3))).unwrap();
    let numbers: Vec<u128> = last.iter().map(|(token, _)| token.id.bits()).collect();
    assert_eq!(numbers, [u128::from(2 * many - 2), u128::from(2 * many + 1)]);
    assert_eq!(bed.store.tokens_after(OTHER, None).unwrap(), []);
}
