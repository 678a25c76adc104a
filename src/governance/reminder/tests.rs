use super::*;
use crate::governance::tests::{World, at as read};
use crate::id::TokenId;
use crate::org::{StatusChange, User, UserStatus};
use crate::token::TokenStatus;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// So many milliseconds after the beginning.
fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(read(crate::governance::tests::NOW).millis() + millis)
}

fn switched() -> StatusChange {
    StatusChange { at: at(0), by: None, reason: None, governed: true }
}

/// A token that lives for so many days.
fn token(world: &World, bits: u128, days: i64) -> ApiToken {
    ApiToken { expires_at: at(days * DAY), ..world.token(bits, &world.member) }
}

fn told(owner: &User, token: &ApiToken, since: i64, through: i64, now: i64) -> Vec<Kind> {
    let due = Due { at: at(since), token: token.clone() };
    let change = remind(Some(owner), vec![due], at(through), at(now));
    assert_eq!(change.writes.len(), 1, "it is done in any case");
    change.notices.iter().map(|notice| notice.kind).collect()
}

#[test]
fn an_instant_before_a_life_is_none() {
    let world = World::new();
    let all = |days| {
        let mut all: Vec<_> = token(&world, 9, days).reminders().collect();
        all.sort();
        all
    };
    assert_eq!(all(1), [at(DAY)], "a day before the end is the beginning");
    assert_eq!(all(7), [at(6 * DAY), at(7 * DAY)]);
    assert_eq!(all(8), [at(DAY), at(7 * DAY), at(8 * DAY)]);
    let token = token(&world, 9, 8);
    assert_eq!(token.next_reminder(at(DAY - 1)), Some(at(DAY)));
    assert_eq!(token.next_reminder(at(DAY)), Some(at(7 * DAY)));
    assert_eq!(token.next_reminder(at(8 * DAY)), None);
}

#[test]
fn of_several_that_have_passed_the_nearest_is_told() {
    let world = World::new();
    let token = token(&world, 9, 10);
    let told = |since, through, now| told(&world.member, &token, since, through, now);
    let (first, second, end) = (3 * DAY, 9 * DAY, 10 * DAY);
    assert_eq!(told(first, first - 1, first), [Kind::AboutToExpire]);
    assert_eq!(told(first, first - 1, end - 1), [Kind::AboutToExpire], "one, not two");
    assert_eq!(told(first, first - 1, end), [Kind::Expired], "and no warning of what is over");
    // Through its instant it was done: it came to be later.
    assert_eq!(told(first, first, first), []);
    assert_eq!(told(first, second - 1, second), [Kind::AboutToExpire]);
    assert_eq!(told(second, end, end + 1), []);
}

#[test]
fn what_is_switched_off_is_done_without_a_word() {
    let world = World::new();
    let (now, good) = (3 * DAY, token(&world, 9, 10));
    let status = TokenStatus::Deactivated(switched());
    let off = ApiToken { status, ..good.clone() };
    assert_eq!(told(&world.member, &off, now, now - 1, now), []);
    let status = UserStatus::Deactivated(switched());
    let owner = User { status, ..world.member.clone() };
    assert_eq!(told(&owner, &good, now, now - 1, now), []);
    assert_eq!(told(&world.member, &good, now, now - 1, now), [Kind::AboutToExpire]);
}

#[test]
fn one_notice_tells_of_all_the_first_to_end_first_and_how_many_more() {
    let world = World::new();
    let mut dues: Vec<_> =
        (0..120).map(|n| Due { at: at(DAY), token: token(&world, 500 - n, 8) }).collect();
    dues.push(Due { at: at(DAY), token: token(&world, 700, 2) });
    let change = remind(Some(&world.member), dues.clone(), at(0), at(DAY));
    assert_eq!((change.requires.len(), change.writes.len()), (121, 121));
    let [notice] = &change.notices[..] else { panic!("{:?}", change.notices) };
    assert_eq!((notice.kind, &notice.to[..]), (Kind::AboutToExpire, &[world.member.id][..]));
    assert_eq!(notice.details.len(), notice::DETAILS_MAX);
    let first = format!("({}) expires at {}", TokenId::from_bits(700), at(2 * DAY));
    assert!(notice.details[0].text.ends_with(&first), "{:?}", notice.details[0]);
    assert_eq!(notice.details[99], Detail::new("more", "22"));
}
