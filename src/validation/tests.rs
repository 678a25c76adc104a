use super::*;
use proptest::prelude::*;

const DAY: i64 = 24 * 60 * 60 * 1000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn schedule(next_at: i64) -> Schedule {
    Schedule { next_at: at(next_at), ..Schedule::new(OrgId::from_bits(1), at(0)) }
}

#[test]
fn the_first_run_is_due_a_day_after_the_beginning() {
    let fresh = Schedule::new(OrgId::from_bits(1), at(5));
    assert_eq!(fresh.due(at(5 + DAY - 1)), Due::Later);
    assert_eq!(fresh.due(at(5 + DAY)), Due::Now { next_at: at(5 + 2 * DAY) });
}

#[test]
fn a_missed_run_is_made_up_once_and_the_time_of_day_stays() {
    let due = |now| schedule(DAY).due(at(now));
    assert_eq!(due(DAY - 1), Due::Later);
    assert_eq!(due(DAY), Due::Now { next_at: at(2 * DAY) });
    assert_eq!(due(2 * DAY - 1), Due::Now { next_at: at(2 * DAY) });
    assert_eq!(due(2 * DAY), Due::Now { next_at: at(3 * DAY) });
    assert_eq!(due(9 * DAY + 7), Due::Now { next_at: at(10 * DAY) });
}

#[test]
fn a_clock_that_was_set_back_puts_nothing_off_for_more_than_a_day() {
    let due = |now| schedule(10 * DAY).due(at(now));
    assert_eq!(due(9 * DAY), Due::Later);
    assert_eq!(due(9 * DAY - 1), Due::Moved(at(10 * DAY - 1)));
    assert_eq!(due(DAY), Due::Moved(at(2 * DAY)));
}

proptest! {
    /// Whatever the clock does, the next run is within a day of now, ahead, and never asked for
    /// twice at one instant.
    #[test]
    fn the_next_run_is_ahead_by_a_day_at_most(next in 0..100 * DAY, now in 0..200 * DAY) {
        let schedule = schedule(next);
        let next_at = match schedule.due(at(now)) {
            Due::Later => schedule.next_at,
            Due::Moved(next_at) | Due::Now { next_at } => next_at,
        };
        prop_assert!(next_at > at(now) && next_at <= at(now + DAY));
        prop_assert_eq!(Schedule { next_at, ..schedule }.due(at(now)), Due::Later);
    }
}
