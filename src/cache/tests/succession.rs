//! Tokens that were rotated: their former secrets, and what the first use of the new one ends.

use super::*;
use crate::rotation;
use crate::token::FormerSecret;
use crate::usage::{Bit, Board};
use std::sync::atomic::AtomicUsize;
use std::thread;

/// The digests of token 0 after its rotation.
const OLD: u64 = 0;
const NEW: u64 = 100;

fn rotated(ends_at: i64, until_first_use: bool) -> ApiToken {
    let former = FormerSecret {
        digest: digest(OLD),
        rotated_at: EPOCH,
        ends_at: Timestamp::from_millis(ends_at),
        until_first_use,
    };
    ApiToken { digest: digest(NEW), former: vec![former], ..token(0, 0, Standing::Activated) }
}

impl World {
    fn rotate(&self, restrictive: bool, to: ApiToken) -> Revision {
        self.commit(restrictive, vec![Write::Token(to)]).expect("it is written")
    }

    /// As [`World::reason`], for a cache so small that an entry may go before it is looked at.
    fn pressed_reason(&self, number: u64) -> Option<Reason> {
        for _look in 0..8 {
            let _evicted = self.fill(number);
            if let Lookup::Hit(entry) = self.cache.lookup(&digest(number)) {
                return match entry.with_evidence(verdict) {
                    Verdict::Permit(_) => None,
                    Verdict::Deny(reason) => Some(reason),
                };
            }
        }
        panic!("{number} cannot be filled")
    }

    fn touch_new(&self) {
        let shard = Board::<Entry>::new(1).shard(0);
        if !self.holds(NEW) {
            assert!(self.fill(NEW).is_ok());
        }
        shard.touch(&self.entry(NEW), EPOCH, Bit::NONE);
    }
}

#[test]
fn an_old_secret_is_barred_before_its_rotation_is_committed_and_over_after() {
    let world = World::following(1, 10);
    assert_eq!(world.reason(OLD), None);
    let held = world.entry(OLD);
    let (store, cache) = (Arc::clone(&world.store), Arc::clone(&world.cache));
    let onlooker = Arc::new(Onlooker { store, cache, seen: Mutex::default() });
    world.store.follow(Arc::clone(&onlooker) as _);
    world.rotate(true, rotated(0, false));
    let seen = onlooker.seen.lock().expect("nobody panics").clone();
    assert_eq!(seen[0], ("bar", Standing::Activated, Some(false)), "{seen:?}");
    assert!(matches!(held.with_evidence(verdict), Verdict::Deny(Reason::Barred)));
    assert_eq!(world.reason(OLD), Some(Reason::Superseded));
    assert_eq!(world.reason(NEW), None);
}

#[test]
fn both_secrets_are_good_in_an_overlap_and_follow_their_token() {
    let world = World::following(1, 10);
    world.rotate(false, rotated(500, false));
    assert_eq!((world.reason(OLD), world.reason(NEW)), (None, None));
    let off = TokenStatus::Deactivated(change_of_status());
    world.rotate(true, ApiToken { status: off, ..rotated(500, false) });
    let refused = Some(Reason::Deactivated);
    assert_eq!((world.reason(OLD), world.reason(NEW)), (refused, refused));
    world.rotate(false, rotated(500, false));
    assert_eq!((world.reason(OLD), world.reason(NEW)), (None, None));
    world.set_user(0, false).expect("it is written");
    assert_eq!(world.reason(OLD), Some(Reason::OwnerDeactivated));
}

#[test]
fn nothing_older_comes_back_for_a_former_secret() {
    let world = World::following(1, 10);
    let before = world.read(OLD);
    world.rotate(true, rotated(0, false));
    let (revision, found) = before;
    assert!(matches!(world.cache.fill(digest(OLD), revision, found), Err(Refused::Stale)));
    let overlapping = ApiToken { digest: digest(101), ..rotated(500, false) };
    world.rotate(true, overlapping);
    let before = world.read(OLD);
    world.rotate(true, ApiToken { digest: digest(101), ..rotated(0, false) });
    let (revision, found) = before;
    assert!(matches!(world.cache.fill(digest(OLD), revision, found), Err(Refused::Stale)));
    assert_eq!(world.reason(OLD), Some(Reason::Superseded));
}

#[test]
fn the_first_use_of_the_new_secret_ends_the_old_one_whatever_is_evicted() {
    let world = World::following(8, 2);
    world.rotate(false, rotated(500, true));
    // Looking at the new one is no use.
    assert_eq!(world.pressed_reason(NEW), None);
    assert_eq!(world.pressed_reason(OLD), None);
    let held = world.entry(OLD);
    world.touch_new();
    assert_eq!(world.pressed_reason(OLD), Some(Reason::Superseded));
    assert!(matches!(held.with_evidence(verdict), Verdict::Deny(Reason::Superseded)));
    drop(held);
    for number in [1, 2, 4, 5] {
        let _pressed = world.pressed_reason(number);
    }
    assert!(!world.holds(OLD) && !world.holds(NEW), "both were evicted");
    world.cache.tidy();
    assert_eq!(world.pressed_reason(OLD), Some(Reason::Superseded), "the store does not know yet");
    // A change of the token that says nothing of it brings nothing back.
    world.rotate(false, ApiToken { name: "renamed".into(), ..rotated(500, true) });
    assert_eq!(world.pressed_reason(OLD), Some(Reason::Superseded));
    rotation::record(&world.cache, world.store.as_ref(), EPOCH);
    let stored = world.store.token(TokenId::from_bits(1)).expect("readable").expect("there").0;
    assert_eq!((stored.former[0].ends_at, stored.former[0].until_first_use), (EPOCH, false));
    assert_eq!(world.cache.taken(), [], "and nothing is left to be recorded");
    assert_eq!(world.pressed_reason(OLD), Some(Reason::Superseded), "by the store now");
    assert_eq!(world.pressed_reason(NEW), None);
}

#[test]
fn a_first_use_that_cannot_be_recorded_holds_all_the_same() {
    let world = World::following(1, 10);
    world.rotate(false, rotated(500, true));
    world.touch_new();
    world.store.close();
    rotation::record(&world.cache, world.store.as_ref(), EPOCH);
    assert_eq!(world.cache.taken().len(), 1, "for the next time");
    assert_eq!(world.reason(OLD), Some(Reason::Superseded));
}

#[test]
fn a_use_without_an_entry_is_noticed_too() {
    let world = World::following(1, 10);
    world.rotate(false, rotated(500, true));
    world.cache.notice(digest(NEW), TokenId::from_bits(1), EPOCH);
    assert_eq!(world.reason(OLD), Some(Reason::Superseded));
}

#[test]
fn a_later_rotation_is_not_taken_for_the_one_before() {
    let world = World::following(1, 10);
    world.rotate(false, rotated(500, true));
    world.touch_new();
    let second = FormerSecret { digest: digest(NEW), ..rotated(500, true).former[0].clone() };
    let mut former = rotated(0, false).former;
    former.push(second);
    world.rotate(true, ApiToken { digest: digest(101), former, ..rotated(0, false) });
    assert_eq!(world.reason(NEW), None, "its own heir was not used yet");
    assert_eq!(world.reason(OLD), Some(Reason::Superseded));
    rotation::record(&world.cache, world.store.as_ref(), EPOCH);
    assert_eq!(world.cache.taken(), []);
    assert_eq!(world.reason(NEW), None);
}

#[test]
fn takeovers_that_nobody_waits_for_are_dropped() {
    let world = World::following(4, 1);
    world.rotate(false, rotated(500, true));
    assert_eq!(world.reason(OLD), None);
    assert_eq!(world.cache.takeovers.len(), 1);
    assert_eq!(world.reason(1), None);
    assert!(!world.holds(OLD));
    world.cache.tidy();
    assert!(world.cache.takeovers.is_empty());
}

/// Threads show the old secret all the time while another uses the new one for the first time: none
/// that begins to decide after the use was counted is permitted.
#[test]
fn no_thread_admits_the_old_secret_after_the_first_use() {
    for _round in 0..50 {
        let world = World::following(1, 10);
        world.rotate(false, rotated(500, true));
        assert_eq!((world.reason(OLD), world.reason(NEW)), (None, None));
        let (used, admitted) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _thread in 0..3 {
                scope.spawn(|| {
                    for _request in 0..2_000 {
                        let after = used.load(Ordering::SeqCst);
                        let permitted = permitted(&world.cache.lookup(&digest(OLD)));
                        if after {
                            assert_ne!(permitted, Some(true), "admitted after the first use");
                        } else if permitted == Some(true) {
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            while admitted.load(Ordering::Relaxed) == 0 {
                std::hint::spin_loop();
            }
            world.touch_new();
            used.store(true, Ordering::SeqCst);
            rotation::record(&world.cache, world.store.as_ref(), EPOCH);
        });
    }
}
