use super::*;
use crate::id::OrgId;
use crate::role::{RoleId, RoleSet};
use crate::store::conformance::fixture::{ACME, at, token, token_id};
use crate::store::engine::{End, Engine};
use crate::store::figures::Figures as _;
use crate::store::memory::Memory;
use crate::store::record::Records;
use crate::time::Day;
use crate::token::{Need, Needs};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Wide enough for several pages of one run.
const TOKENS: u64 = 700;

type Uses = Vec<Use>;

fn used(millis: i64, use_count: u64) -> Usage {
    Usage { last_used_at: Some(at(millis)), use_count, ..Usage::default() }
}

/// One of two roles, that nothing else asks for.
fn need(number: u32) -> Arc<Need> {
    let any_of = [RoleId(number), RoleId(number + 1)].into_iter().collect();
    Arc::new(Need { any_of, all_of: RoleSet::empty() })
}

fn a_use(number: u64, usage: Usage, needs: &[u32]) -> Use {
    let needs = needs.iter().copied().map(need).collect();
    Use { token: token_id(number), usage, needs }
}

fn write<T>(memory: &Memory, work: impl Fn(&mut <Memory as Engine>::Transaction<'_>) -> T) -> T {
    memory.transact(|transaction| Ok((End::Commit, work(transaction)))).unwrap()
}

/// Every second token is there.
fn furnished() -> Memory {
    let memory = Memory::default();
    write(&memory, |transaction| {
        for number in (0..TOKENS).step_by(2) {
            transaction.put_token(&token(number)).unwrap();
        }
    });
    memory
}

fn append(memory: &Memory, run: u64, uses: &Uses) {
    write(memory, |transaction| transaction.append_uses(run, uses).unwrap());
}

fn fold(memory: &Memory, from: TokenId, tokens_max: usize) -> Folded {
    write(memory, |transaction| transaction.fold(from, tokens_max).unwrap())
}

/// The usage of every token, journal and table together.
fn all(memory: &Memory) -> BTreeMap<u64, Usage> {
    let snapshot = memory.snapshot().unwrap();
    let ids: Vec<TokenId> = (0..TOKENS).map(token_id).collect();
    let journaled = snapshot.journaled(&ids).unwrap();
    (0..TOKENS)
        .zip(journaled)
        .map(|(number, journaled)| {
            let folded = snapshot.folded_usage(ACME, token_id(number)).unwrap();
            assert_eq!(snapshot.usage(ACME, token_id(number)), Ok(folded.merged(journaled)));
            (number, folded.merged(journaled))
        })
        .collect()
}

/// Runs of uses, of clustered and of scattered tokens.
fn runs() -> impl Strategy<Value = Vec<Uses>> {
    let needed = prop::collection::btree_set(0_u32..200, 0..3);
    let a_use =
        (0..TOKENS, 0_i64..9, 1_u64..9, needed).prop_map(|(number, millis, count, needs)| Use {
            token: token_id(number),
            usage: used(millis, count),
            needs: needs.into_iter().map(need).collect(),
        });
    let scattered = prop::collection::vec(a_use, 1..400);
    let clustered = (0..TOKENS, 1..400_u64, 1_u64..9).prop_map(|(first, length, count)| {
        let numbers = first..(first + length).min(TOKENS);
        numbers.map(|number| (token_id(number), used(1, count)).into()).collect()
    });
    prop::collection::vec(prop_oneof![scattered, clustered].prop_map(in_order), 1..6)
}

fn check<S: Strategy>(strategy: &S, test: impl Fn(S::Value)) {
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(strategy, |value| {
            test(value);
            Ok(())
        })
        .unwrap();
}

fn add(sums: &mut BTreeMap<u64, Usage>, uses: &Uses) {
    for used in uses {
        let sum = sums.entry(u64::try_from(used.token.bits()).unwrap()).or_default();
        *sum = sum.merged(used.usage);
    }
}

#[test]
fn what_was_appended_is_read_in_whatever_choice_of_tokens() {
    let asked = prop::collection::btree_set(0..TOKENS, 0..300);
    check(&(runs(), asked), |(runs, asked)| {
        let memory = Memory::default();
        let mut sums = BTreeMap::new();
        for (run, uses) in (3..).zip(&runs) {
            append(&memory, run, uses);
            add(&mut sums, uses);
        }
        let snapshot = memory.snapshot().unwrap();
        let asked: Vec<u64> = asked.into_iter().collect();
        let ids: Vec<TokenId> = asked.iter().copied().map(token_id).collect();
        let expected: Vec<Usage> =
            asked.iter().map(|number| sums.get(number).copied().unwrap_or_default()).collect();
        assert_eq!(snapshot.journaled(&ids).unwrap(), expected);
        let uses = runs.iter().map(Vec::len).sum();
        assert_eq!(snapshot.uses(), Ok(uses));
        let found = snapshot.runs().unwrap();
        assert!(found.iter().map(|(_, first)| *first).eq(runs.iter().map(|uses| uses[0].token)));
        assert!(found.iter().map(|(run, _)| *run).eq((3..).take(runs.len())));
    });
}

/// What requests needed is where the uses are: read before, while and after they are folded, it is
/// the same.
#[test]
fn what_uses_needed_goes_with_them() {
    check(&(runs(), 1..400_usize), |(runs, tokens_max)| {
        let memory = furnished();
        let mut expected = vec![Needs::default(); usize::try_from(TOKENS).unwrap()];
        for (run, uses) in (0..).zip(&runs) {
            append(&memory, run, uses);
            for used in uses {
                let needs = &mut expected[usize::try_from(used.token.bits()).unwrap()];
                let day = Day::of(used.usage.last_used_at.unwrap());
                used.needs.iter().for_each(|need| needs.add(need, day));
            }
        }
        let ids: Vec<TokenId> = (0..TOKENS).step_by(2).map(token_id).collect();
        let agree = || {
            let read = memory.snapshot().unwrap().used(ACME, &ids).unwrap();
            let sorted = |needs: &Needs| {
                let mut all: Vec<_> = needs.iter().map(|(need, day)| (need.clone(), day)).collect();
                all.sort_by_key(|(need, _)| need.any_of.iter().next());
                all
            };
            for (read, expected) in read.iter().zip(expected.iter().step_by(2)) {
                assert_eq!(sorted(&read.needs), sorted(expected));
            }
        };
        agree();
        let mut next = Some(FIRST_TOKEN);
        while let Some(from) = next {
            next = fold(&memory, from, tokens_max).next;
            agree();
        }
        assert_eq!(memory.snapshot().unwrap().uses(), Ok(0));
    });
}

/// More needs on a page than it has bits for: it is cut short, and nothing is lost.
#[test]
fn a_page_has_no_more_needs_than_bits() {
    let memory = furnished();
    let uses: Uses = (0..66_u32)
        .map(|number| a_use(2 * u64::from(number), used(1, 1), &[900 - 3 * number]))
        .collect();
    assert_eq!(codec::fitting(&uses, USES_PER_PAGE_MAX), 64);
    append(&memory, 0, &uses);
    let ids: Vec<TokenId> = uses.iter().map(|used| used.token).collect();
    let read = memory.snapshot().unwrap().used(ACME, &ids).unwrap();
    for (used, read) in uses.iter().zip(read) {
        let read: Vec<Need> = read.needs.iter().map(|(need, _)| need.clone()).collect();
        assert_eq!(read, [(*used.needs[0]).clone()]);
    }
}

/// Parts of any size, from any token on, with runs that are appended between them: after each, every
/// use of a token that is there is in one place, and at the end all are in the table.
#[test]
fn a_sweep_moves_every_use_once() {
    check(&(runs(), runs(), 1..400_usize, 0..TOKENS), |(early, late, tokens_max, start)| {
        let memory = furnished();
        let mut sums: BTreeMap<u64, Usage> =
            (0..TOKENS).map(|number| (number, Usage::default())).collect();
        let mut left = 0;
        let mut append = |run, uses: &Uses, left: &mut usize| {
            append(&memory, run, uses);
            add(&mut sums, uses);
            *left += uses.len();
            sums.clone()
        };
        let mut run = 0;
        let mut expected = BTreeMap::new();
        for uses in &early {
            expected = append(run, uses, &mut left);
            run += 1;
        }
        let is_there = |number: &u64| number.is_multiple_of(2);
        let agree = |expected: &BTreeMap<u64, Usage>| {
            let read = all(&memory);
            let there = |sums: &BTreeMap<u64, Usage>| {
                sums.iter().filter(|(number, _)| is_there(number)).map(|(n, u)| (*n, *u)).collect()
            };
            let (read, expected): (Vec<_>, Vec<_>) = (there(&read), there(expected));
            assert_eq!(read, expected);
        };
        // A sweep begins with the first token; one that begins elsewhere leaves what is before.
        let mut next = Some(token_id(start));
        let mut late = late.iter();
        for _sweep in 0..2 {
            while let Some(from) = next {
                let folded = fold(&memory, from, tokens_max);
                left -= folded.uses;
                assert_eq!(memory.snapshot().unwrap().uses(), Ok(left));
                assert!(folded.next.is_none_or(|next| next > from));
                agree(&expected);
                next = folded.next;
                if let Some(uses) = late.next() {
                    expected = append(run, uses, &mut left);
                    run += 1;
                    agree(&expected);
                }
            }
            next = Some(FIRST_TOKEN);
        }
        for uses in late {
            expected = append(run, uses, &mut left);
            run += 1;
        }
        while let Some(from) = next {
            next = fold(&memory, from, tokens_max).next;
        }
        assert_eq!(memory.snapshot().unwrap().runs(), Ok(Vec::new()), "nothing is left behind");
        agree(&expected);
        let gone = (1..TOKENS).step_by(2).map(|number| all(&memory)[&number]);
        assert!(gone.into_iter().all(|usage| usage == Usage::default()), "nobody's usage is kept");
    });
}

#[test]
fn a_part_has_so_many_tokens_and_no_more() {
    let memory = furnished();
    let uses: Uses = (0..300).map(|number| (token_id(number), used(1, 1)).into()).collect();
    append(&memory, 0, &uses);
    append(&memory, 1, &uses);
    let folded = fold(&memory, FIRST_TOKEN, 130);
    assert_eq!(folded, Folded { uses: 260, next: Some(token_id(130)) });
    let folded = fold(&memory, token_id(130), 130);
    assert_eq!(folded, Folded { uses: 260, next: Some(token_id(260)) });
    let folded = fold(&memory, token_id(260), 40);
    assert_eq!(folded, Folded { uses: 80, next: None });
    let snapshot = memory.snapshot().unwrap();
    assert_eq!(snapshot.folded_usage(ACME, token_id(298)), Ok(used(1, 2)));
    assert_eq!(snapshot.folded_usage(OrgId::from_bits(0), token_id(298)), Ok(Usage::default()));
}

#[test]
fn a_page_fits_a_page_of_the_file() {
    const PAGE_BYTES: usize = 4_096;
    // What redb puts beside a row: a header, and where the key and the value end.
    const FRAME_BYTES: usize = 12;
    /// What a page has room for beside its uses: that many routes of a service with some roles.
    const NEEDS: u32 = 16;
    let mut uses = vec![Use::from((token_id(1), used(1, 1))); USES_PER_PAGE_MAX];
    uses[0].needs = (20..20 + NEEDS).map(need).collect();
    assert_eq!(codec::fitting(&uses, USES_PER_PAGE_MAX), USES_PER_PAGE_MAX);
    let bytes = codec::encode_uses(&uses).unwrap().len() + codec::journal(1, token_id(1)).len();
    let one_more = bytes + size_of::<[[u8; 8]; 7]>();
    assert!(bytes + FRAME_BYTES <= PAGE_BYTES && one_more + FRAME_BYTES > PAGE_BYTES, "{bytes}");
}

#[test]
fn a_sweep_begins_when_the_journal_is_full_and_again_when_it_filled_up_meanwhile() {
    let folding = Folding { uses: 100, runs: 4, tokens_per_part: 9 };
    let empty = Memory::default();
    let mut backlog = Backlog::of(&empty.snapshot().unwrap(), folding).unwrap();
    assert_eq!((backlog.next_run(), backlog.sweep()), (0, None));
    backlog.appended(99);
    assert_eq!(backlog.sweep(), None);
    backlog.appended(1);
    assert_eq!((backlog.next_run(), backlog.sweep()), (2, Some((FIRST_TOKEN, 9))));
    backlog.folded(&Folded { uses: 60, next: Some(token_id(5)) });
    assert_eq!(backlog.sweep(), Some((token_id(5), 9)), "it goes on to the end");
    backlog.appended(1);
    backlog.folded(&Folded { uses: 40, next: None });
    assert_eq!(backlog.sweep(), None);
    for _ in 0..2 {
        backlog.appended(1);
        assert_eq!(backlog.sweep(), None);
    }
    // The one of the sweep's time counts: its tokens may have been passed.
    backlog.appended(1);
    assert_eq!(backlog.sweep(), Some((FIRST_TOKEN, 9)));
    for _ in 0..4 {
        backlog.appended(1);
    }
    backlog.folded(&Folded { uses: 4, next: None });
    assert_eq!(backlog.sweep(), Some((FIRST_TOKEN, 9)), "full again");
}

#[test]
fn a_store_that_is_opened_knows_its_backlog() {
    let folding = Folding { uses: 400, runs: 3, tokens_per_part: 9 };
    let memory = Memory::default();
    let uses: Uses = (0..200).map(|number| (token_id(number), used(1, 1)).into()).collect();
    let backlog = || Backlog::of(&memory.snapshot().unwrap(), folding).unwrap();
    append(&memory, 8, &uses);
    assert_eq!((backlog().next_run(), backlog().sweep()), (9, None));
    append(&memory, 9, &uses);
    assert_eq!((backlog().next_run(), backlog().sweep()), (10, Some((FIRST_TOKEN, 9))));
    fold(&memory, FIRST_TOKEN, 1);
    assert_eq!(backlog().sweep(), None, "two uses less");
}

#[test]
fn uses_are_put_in_order_and_those_of_one_token_added_up() {
    let uses = vec![
        a_use(2, used(5, 1), &[7]),
        a_use(1, used(1, 1), &[7]),
        a_use(2, used(9, 2), &[8, 7]),
        a_use(2, used(7, 3), &[]),
    ];
    assert_eq!(in_order(uses), [a_use(1, used(1, 1), &[7]), a_use(2, used(9, 6), &[7, 8])]);
}
