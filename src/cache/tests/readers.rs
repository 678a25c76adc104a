//! The threads that read for the gateway.

use super::*;
use std::sync::Condvar;
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, yield_now};

/// A store whose reads wait until they may go on.
struct Gated {
    store: Arc<MemoryStore>,
    open: Mutex<bool>,
    opened: Condvar,
    reads: AtomicUsize,
    broken: AtomicBool,
}

impl Gated {
    fn open(&self) {
        *self.open.lock().expect("nobody panics") = true;
        self.opened.notify_all();
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

impl Facts for Gated {
    fn lookup(&self, digest: &Digest) -> Result<(Revision, Option<Found>), StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let gate = self.open.lock().expect("nobody panics");
        drop(self.opened.wait_while(gate, |open| !*open).expect("nobody panics"));
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError("the disk is on fire".into()));
        }
        self.store.lookup(digest)
    }

    fn visit_digests(&self, visit: &mut dyn FnMut(&Digest)) -> Result<u64, StoreError> {
        self.store.visit_digests(visit)
    }
}

struct Desk {
    world: World,
    gate: Arc<Gated>,
    cache: Arc<Cache>,
    readers: Arc<Readers>,
    runtime: Runtime,
}

impl Desk {
    fn new(tokens: u64, threads: usize, open: bool) -> Self {
        let world = World::apart(tokens, 1);
        let gate = Arc::new(Gated {
            store: Arc::clone(&world.store),
            open: Mutex::new(open),
            opened: Condvar::new(),
            reads: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        });
        let cache = Cache::new(Arc::clone(&gate) as _, 10_000, 7).expect("memory does not fail");
        world.store.follow(Arc::clone(&cache) as _);
        let readers = Readers::start(Arc::clone(&cache), threads).expect("a thread can be had");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        Self { world, gate, cache, readers: Arc::new(readers), runtime }
    }

    fn resolve(&self, digest: &Digest) -> Resolved {
        self.runtime.block_on(self.readers.resolve(digest))
    }

    fn ask(&self, waiting: &mut JoinSet<Resolved>, digest: Digest) {
        let readers = Arc::clone(&self.readers);
        waiting.spawn_on(async move { readers.resolve(&digest).await }, self.runtime.handle());
        self.runtime.block_on(yield_now());
    }
}

fn is_permitted(resolved: &Resolved) -> bool {
    matches!(resolved, Resolved::Known(found) if permitted(found) == Some(true))
}

#[test]
fn requests_that_miss_the_same_token_share_one_read() {
    let desk = Desk::new(1, 2, false);
    let mut waiting = JoinSet::new();
    for _ in 0..50 {
        desk.ask(&mut waiting, digest(0));
    }
    desk.gate.open();
    let all = desk.runtime.block_on(waiting.join_all());
    assert_eq!(all.iter().filter(|resolved| is_permitted(resolved)).count(), 50);
    assert_eq!(desk.gate.reads(), 1);
    assert!(is_permitted(&desk.resolve(&digest(0))));
    assert_eq!(desk.gate.reads(), 1, "known by now");
}

#[test]
fn an_unknown_token_that_passes_the_filter_is_unknown_all_the_same() {
    let desk = Desk::new(1, 1, true);
    desk.cache.learn(&digest(9));
    let resolved = desk.resolve(&digest(9));
    assert!(matches!(resolved, Resolved::Known(Lookup::Unknown)));
    assert!(desk.cache.is_empty() && desk.cache.owners.is_empty());
    assert!(matches!(desk.resolve(&digest(10)), Resolved::Known(Lookup::Unknown)));
    assert_eq!(desk.gate.reads(), 1, "the filter spares the store the other");
}

#[test]
fn when_the_store_fails_nobody_can_say() {
    let desk = Desk::new(1, 1, true);
    desk.gate.broken.store(true, Ordering::SeqCst);
    assert!(matches!(desk.resolve(&digest(0)), Resolved::Unavailable));
    assert!(desk.cache.is_empty());
    desk.gate.broken.store(false, Ordering::SeqCst);
    assert!(is_permitted(&desk.resolve(&digest(0))), "the failure is not remembered");
}

#[test]
fn what_is_known_needs_no_store() {
    let desk = Desk::new(1, 1, true);
    assert!(is_permitted(&desk.resolve(&digest(0))));
    desk.gate.broken.store(true, Ordering::SeqCst);
    assert!(is_permitted(&desk.resolve(&digest(0))));
    desk.world.set_token(0, Standing::Deactivated).expect("it is written");
    let resolved = desk.resolve(&digest(0));
    assert!(matches!(&resolved, Resolved::Known(found) if permitted(found) == Some(false)));
}

#[test]
fn a_read_that_is_overtaken_by_a_deactivation_is_repeated() {
    let desk = Desk::new(1, 1, false);
    let mut waiting = JoinSet::new();
    // The gate is before the read proper, so hold the old snapshot by hand.
    let (revision, found) = desk.world.read(0);
    desk.ask(&mut waiting, digest(0));
    desk.world.set_token(0, Standing::Deactivated).expect("it is written");
    assert!(matches!(desk.cache.fill(digest(0), revision, found), Err(Refused::Stale)));
    desk.gate.open();
    let all = desk.runtime.block_on(waiting.join_all());
    assert!(all.iter().all(|resolved| !is_permitted(resolved)));
}

#[test]
fn a_barred_token_is_answered_without_waiting_for_the_end_of_the_bar() {
    let desk = Desk::new(1, 1, false);
    let mut waiting = JoinSet::new();
    desk.ask(&mut waiting, digest(0));
    desk.cache.bar(&[token_key(0)]);
    desk.gate.open();
    let all = desk.runtime.block_on(waiting.join_all());
    assert!(matches!(all.as_slice(), [Resolved::Known(Lookup::Barred)]));
}

#[test]
fn the_queue_is_bounded_and_those_beyond_it_are_told_at_once() {
    let desk = Desk::new(1, 1, false);
    let mut waiting = JoinSet::new();
    let most = LOOKUPS_WAITING_MAX as u64;
    for number in 0..most + 3 {
        desk.cache.learn(&digest(number));
    }
    // The first leaves the queue for the thread that reads it.
    desk.ask(&mut waiting, digest(0));
    while desk.gate.reads() == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    for number in 1..=most {
        desk.ask(&mut waiting, digest(number));
    }
    assert!(matches!(desk.resolve(&digest(most + 1)), Resolved::Unavailable));
    assert!(matches!(desk.resolve(&digest(most + 2)), Resolved::Unavailable));
    desk.gate.open();
    let all = desk.runtime.block_on(waiting.join_all());
    assert!(all.iter().all(|resolved| matches!(resolved, Resolved::Known(_))));
    let later = desk.resolve(&digest(most + 1));
    assert!(matches!(later, Resolved::Known(Lookup::Unknown)), "there is room again");
}

/// Deactivations, reactivations, reads and evictions on several threads: what was acknowledged is
/// in force, at once and everywhere.
#[test]
fn no_look_up_after_an_acknowledged_deactivation_is_permitted() {
    const TOKENS: u64 = 24;
    const ROUNDS: u64 = 1_500;
    let world = World::following(TOKENS, 4);
    let readers =
        Arc::new(Readers::start(Arc::clone(&world.cache), 2).expect("a thread can be had"));
    let done = AtomicBool::new(false);
    let asks = AtomicUsize::new(0);
    let runtime = || tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    thread::scope(|scope| {
        for start in 0..2 {
            let (readers, done, asks) = (&readers, &done, &asks);
            scope.spawn(move || {
                let runtime = runtime();
                let mut number = start;
                while !done.load(Ordering::Relaxed) {
                    number = (number * 5 + 3) % TOKENS;
                    let _whatever = runtime.block_on(readers.resolve(&digest(number)));
                    asks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let runtime = runtime();
        for round in 0..ROUNDS {
            let number = round * 7 % TOKENS;
            let by_owner = round % 5 == 0;
            let owner = number % World::USERS;
            let off = if by_owner {
                world.set_user(owner, false)
            } else {
                world.set_token(number, Standing::Deactivated)
            };
            off.expect("it is written");
            for _ in 0..3 {
                let resolved = runtime.block_on(readers.resolve(&digest(number)));
                assert!(!is_permitted(&resolved), "round {round}: token {number} was admitted");
                assert!(!matches!(resolved, Resolved::Unavailable), "round {round}");
            }
            let on = if by_owner {
                world.set_user(owner, true)
            } else {
                world.set_token(number, Standing::Activated)
            };
            on.expect("it is written");
            let resolved = runtime.block_on(readers.resolve(&digest(number)));
            assert!(is_permitted(&resolved), "round {round}: token {number} was not restored");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(asks.load(Ordering::Relaxed) > 0 && world.cache.evictions() > 0);
}
