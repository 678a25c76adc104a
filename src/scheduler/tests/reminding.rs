//! Who is told of the end of a token, once.

use super::telling::{bench, notices, told};
use super::*;
use crate::notice::Kind;
use crate::scheduler::reminding::remind_all;
use crate::store::{Fact, FactKey, Follower};

const AHEAD: Kind = Kind::AboutToExpire;
const OVER: Kind = Kind::Expired;

/// A token that lives for so many days.
fn living(number: u64, days: i64) -> ApiToken {
    ApiToken { expires_at: at(NOW + days * DAY), ..token(number) }
}

/// The kinds of what was told of ends, in the order of their times, after a look at this instant.
fn looked(bench: &Bench, millis: i64) -> Vec<Kind> {
    bench.set_now(millis);
    let ledger = &*bench.store;
    remind_all(ledger, at(millis), &Stop::default()).expect("the store works");
    remind_all(ledger, at(millis), &Stop::default()).expect("the store works");
    notices(bench).iter().map(|notice| notice.says.kind).collect()
}

#[test]
fn each_reminder_of_a_life_is_told_once() {
    let bench = bench(1);
    bench.look();
    bench.put([Write::Token(living(1, 10))]);
    assert_eq!(looked(&bench, NOW + 3 * DAY - 1), []);
    assert_eq!(looked(&bench, NOW + 3 * DAY), [AHEAD]);
    let text = notices(&bench)[0].says.details[0].text.clone();
    assert!(text.ends_with(&format!("expires at {}", at(NOW + 10 * DAY))), "{text}");
    assert_eq!(looked(&bench, NOW + 9 * DAY - 1), [AHEAD]);
    assert_eq!(looked(&bench, NOW + 9 * DAY), [AHEAD, AHEAD]);
    assert_eq!(looked(&bench, NOW + 10 * DAY - 1), [AHEAD, AHEAD]);
    assert_eq!(looked(&bench, NOW + 10 * DAY), [AHEAD, AHEAD, OVER]);
    assert_eq!(looked(&bench, NOW + 99 * DAY), [AHEAD, AHEAD, OVER]);
    assert_eq!(bench.store.due_reminders(Timestamp::MAX, 9).expect("readable"), []);
    // Another life begins anew.
    let rotated = ApiToken { issued_at: at(NOW + 99 * DAY), ..living(1, 102) };
    bench.put([Write::Token(rotated)]);
    assert_eq!(looked(&bench, NOW + 101 * DAY)[3..], [AHEAD]);
    assert_eq!(looked(&bench, NOW + 102 * DAY)[4..], [OVER]);
}

#[test]
fn the_tokens_of_an_owner_come_in_one_notice() {
    let bench = bench(2);
    bench.look();
    bench.put((1..=3).map(|number| Write::Token(living(number, 8))));
    let others = ApiToken { owner: UserId::from_bits(2), ..living(4, 8) };
    bench.put([Write::Token(others), Write::Token(living(5, 1))]);
    looked(&bench, NOW + DAY);
    assert_eq!(told(&bench), [(AHEAD, 1, 3), (OVER, 1, 1), (AHEAD, 2, 1)]);
}

#[test]
fn what_was_missed_is_made_up_once_and_what_was_there_before_is_not_told() {
    let bench = bench(1);
    bench.look();
    bench.put([Write::Token(living(1, 10))]);
    // Nobody looked for the whole of both days: one notice, of how it stands now.
    assert_eq!(looked(&bench, NOW + 9 * DAY + 5), [AHEAD]);
    // Tokens that expired long ago, and one that would have been reminded of long ago.
    let begun = |token| ApiToken { issued_at: at(NOW - 400 * DAY), ..token };
    bench.put([2, 3].map(|number| Write::Token(begun(living(number, -9)))));
    bench.put([Write::Token(begun(living(4, 11)))]);
    assert_eq!(looked(&bench, NOW + 9 * DAY + 6), [AHEAD]);
    assert_eq!(looked(&bench, NOW + 10 * DAY), [AHEAD, AHEAD, OVER], "4 comes, 1 is over");
    looked(&bench, NOW + 11 * DAY);
    assert_eq!(told(&bench)[3..], [(OVER, 1, 1)]);
}

#[test]
fn a_clock_that_jumps_tells_nobody_twice() {
    let bench = bench(1);
    bench.look();
    bench.put([Write::Token(living(1, 10)), Write::Token(living(2, 500))]);
    assert_eq!(looked(&bench, NOW + 4 * DAY), [AHEAD]);
    // Far ahead, and back.
    assert_eq!(looked(&bench, NOW + 300 * DAY), [AHEAD, OVER]);
    assert_eq!(looked(&bench, NOW + 4 * DAY), [AHEAD, OVER]);
    assert_eq!(looked(&bench, NOW + 10 * DAY), [AHEAD, OVER]);
    bench.put([Write::Token(ApiToken { issued_at: at(NOW + 10 * DAY), ..living(3, 20) })]);
    // By its time it stands before what was told when the clock was ahead.
    assert_eq!(looked(&bench, NOW + 13 * DAY), [AHEAD, AHEAD, OVER], "what comes after is told");
    assert_eq!(looked(&bench, NOW + 493 * DAY)[3..], [AHEAD, OVER]);
}

#[test]
fn a_look_at_much_is_taken_up_where_it_was_broken_off() {
    const OWNERS: u128 = 100;
    let bench = bench(OWNERS);
    bench.look();
    let of = |number: u64, owner: u128| ApiToken {
        owner: UserId::from_bits(owner),
        ..living(number, 8)
    };
    bench.put((1..=300).map(|number| Write::Token(of(number, u128::from(number) % OWNERS + 1))));
    // The process is asked to end while the first few are told; those stay told.
    let stop = Stop::default();
    bench.store.follow(Arc::new(Stopping(stop.clone())));
    let now = at(NOW + DAY);
    remind_all(&*bench.store, now, &stop).expect_err("it is asked to end");
    let some = told(&bench).len();
    assert!(0 < some && some < 100, "{some}");
    looked(&bench, NOW + DAY);
    let all: Vec<_> = (1..=OWNERS).map(|owner| (AHEAD, owner, 3)).collect();
    assert_eq!(told(&bench), all);
}

#[test]
fn an_owner_who_cannot_be_told_keeps_nobody_else_from_being_told() {
    let bench = bench(2);
    bench.look();
    let others = ApiToken { owner: UserId::from_bits(2), ..living(2, 8) };
    bench.put([Write::Token(living(1, 8)), Write::Token(others)]);
    let now = at(NOW + DAY);
    // Their token is read only once, and that fails.
    let reads = AtomicI64::new(0);
    let ledger = Wayward::of(&bench.store).reading(move |_| {
        assert!(reads.fetch_add(1, Ordering::Relaxed) > 0, "for the test");
        Ok(())
    });
    let failed = remind_all(&ledger, now, &Stop::default());
    assert!(matches!(failed, Err(Interrupted::Lost)), "{failed:?}");
    assert_eq!(told(&bench), [(AHEAD, 2, 1)]);
    looked(&bench, NOW + DAY);
    assert_eq!(told(&bench), [(AHEAD, 2, 1), (AHEAD, 1, 1)]);
}

/// Asks to stop at the first commit that it hears of.
struct Stopping(Stop);

impl Follower for Stopping {
    fn bar(&self, _: &[FactKey]) {}

    fn apply(&self, _: Revision, _: &[Fact]) {
        self.0.ask();
    }
}
