//! When owners are to be told of the ends of their tokens: the index follows every write of a token.

use super::Bed;
use super::fixture::*;
use crate::change::Write;
use crate::time::Timestamp;
use crate::token::ApiToken;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// A token that lives for so many days from `at(1)` on.
fn living(number: u64, days: i64) -> ApiToken {
    ApiToken { expires_at: at(1 + days * DAY), ..token(number) }
}

/// Where all tokens stand in the index, in days of [`living`].
fn listed(bed: &Bed) -> Vec<(i64, u64)> {
    let all = bed.store.due_reminders(Timestamp::MAX, usize::MAX).unwrap();
    let day = |at: Timestamp| (at.millis() - super::fixture::at(1).millis()) / DAY;
    all.iter()
        .map(|(at, token)| (day(*at), u64::try_from(token.id.bits()).expect("a small number")))
        .collect()
}

fn done(number: u64, day: i64, next: Option<i64>) -> Write {
    let [at, next] = [Some(day), next].map(|day| day.map(|day| at(1 + day * DAY)));
    Write::Reminded { org: ACME, token: token_id(number), at: at.expect("a day"), next }
}

pub(super) fn a_token_has_one_reminder_as_long_as_it_is_not_revoked(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::Token(living(1, 10)), Write::Token(revoked(living(2, 10)))]);
    assert_eq!(listed(bed), [(3, 1)]);
    // What has nothing to do with its end moves nothing, and switched off it keeps its place.
    put(&bed.store, [Write::Token(ApiToken { name: "other".to_owned(), ..living(1, 10) })]);
    put(&bed.store, [Write::Token(deactivated(living(1, 10)))]);
    assert_eq!(listed(bed), [(3, 1)]);
    put(&bed.store, [done(1, 3, Some(9)), Write::Token(ApiToken { owner: BOB, ..living(1, 10) })]);
    assert_eq!(listed(bed), [(9, 1)]);
    // Another life, which ends later.
    put(&bed.store, [Write::Token(living(1, 30))]);
    assert_eq!(listed(bed), [(23, 1)]);
    put(&bed.store, [done(1, 23, Some(30)), done(1, 30, None)]);
    assert_eq!(listed(bed), []);
    put(&bed.store, [Write::Token(living(1, 40))]);
    assert_eq!(listed(bed), [(33, 1)]);
    put(&bed.store, [Write::Token(revoked(living(1, 40)))]);
    assert_eq!(listed(bed), []);
}

pub(super) fn what_is_done_stays_done_in_the_same_life(bed: &Bed) {
    furnish(&bed.store);
    let with = |days: &[u16]| ApiToken { notify_before_expiry: days.to_vec(), ..living(1, 40) };
    let told = |days| put(&bed.store, [Write::Token(with(days))]);
    told(&[7, 1]);
    assert_eq!(listed(bed), [(33, 1)]);
    told(&[30, 7, 1]);
    assert_eq!(listed(bed), [(10, 1)]);
    put(&bed.store, [done(1, 10, Some(33)), done(1, 33, Some(39))]);
    told(&[30, 20, 7, 3, 1]);
    assert_eq!(listed(bed), [(37, 1)], "neither 20 nor 7 comes again");
    told(&[30, 20, 7]);
    assert_eq!(listed(bed), [(40, 1)]);
    put(&bed.store, [done(1, 40, None)]);
    told(&[30, 20, 7, 1]);
    assert_eq!(listed(bed), [], "it is over");
}

pub(super) fn a_reminder_that_moved_meanwhile_is_passed_over(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [Write::Token(living(1, 10))]);
    put(&bed.store, [Write::Token(living(1, 20))]);
    put(&bed.store, [done(1, 3, Some(9))]);
    assert_eq!(listed(bed), [(13, 1)]);
}

pub(super) fn reminders_come_longest_overdue_first_and_are_kept_through_a_time(bed: &Bed) {
    furnish(&bed.store);
    put(&bed.store, [(1, 20), (2, 9), (3, 10)].map(|(n, days)| Write::Token(living(n, days))));
    let due = |until: i64, limit| {
        let due = bed.store.due_reminders(at(1 + until * DAY), limit).unwrap();
        due.into_iter().map(|(_, token)| token.id).collect::<Vec<_>>()
    };
    assert_eq!(due(1, 9), []);
    assert_eq!(due(2, 9), [token_id(2)]);
    assert_eq!(due(13, 9), [2, 3, 1].map(token_id));
    assert_eq!(due(13, 2), [2, 3].map(token_id));
    assert_eq!(due(13, 0), []);
    assert_eq!(bed.store.reminded_through().unwrap(), None);
    put(&bed.store, [Write::RemindedThrough(at(5)), Write::RemindedThrough(at(4))]);
    assert_eq!(bed.store.reminded_through().unwrap(), Some(at(4)));
}
