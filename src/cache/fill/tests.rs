use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn quick_reads_never_try_the_patience() {
    let patience = Patience::default();
    let mut now = ms(0);
    for _ in 0..1_000_000 {
        let begun = now;
        now += READ_SLOW;
        patience.took(begun, now);
    }
    assert!(patience.has_some(now));
}

/// As it is on a machine that has more to do than processors: a few milliseconds in the midst of a
/// read, every now and then.
#[test]
fn a_processor_that_is_lent_to_others_now_and_then_is_no_slow_disk() {
    let patience = Patience::default();
    for second in 0..100 {
        for number in 0..20 {
            let begun = ms(1_000 * second + 50 * number);
            assert!(patience.has_some(begun), "{begun:?}");
            patience.took(begun, begun + ms(4));
        }
    }
}

#[test]
fn a_disk_that_has_to_turn_stops_the_workers_for_a_moment_in_each_second() {
    let patience = Patience::default();
    let (mut now, mut waited) = (ms(0), ms(0));
    while now < ms(100_000) {
        if patience.has_some(now) {
            patience.took(now, now + ms(10));
            now += ms(10);
            waited += ms(10);
        } else {
            now += ms(1);
        }
    }
    assert!(waited > ms(100 * 10), "it is tried again: {waited:?}");
    assert!(waited <= ms(100 * 30), "{waited:?} of 100 s");
}

#[test]
fn one_read_that_takes_long_is_enough() {
    let patience = Patience::default();
    let (done, again) = (ms(21), ms(21) + READ_ELSEWHERE_FOR);
    patience.took(ms(0), done);
    assert!(!patience.has_some(done));
    assert!(!patience.has_some(ms(20) + READ_ELSEWHERE_FOR));
    assert!(patience.has_some(again));
    // Another worker's read that ends later puts it off; one that ended earlier does not bring it on.
    patience.took(done, done + ms(30));
    assert!(!patience.has_some(again));
    patience.took(ms(0), done);
    assert!(!patience.has_some(again));
}
