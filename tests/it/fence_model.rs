//! A model of the race between a fill and a revocation, upon the shipped fence.
//!
//! loom runs a few threads in every order that the memory model allows. It does not see inside the
//! map, so a shard of it is a mutex here; the fence is the very file that the gateway is built from,
//! made of loom's atomics. What the threads do with it are the steps of `Cache::fill`,
//! `Cache::apply` and `Cache::make_room`.

use loom::sync::Mutex;
use loom::sync::atomic::AtomicBool;
use loom::thread;
use std::sync::Arc;

/// What the shipped fence is made of, in this model.
mod atomics {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
}

#[expect(dead_code, reason = "a fence of the shipped size is too large for a model")]
#[path = "../../src/cache/fence.rs"]
mod fence;

use atomics::Ordering;
use fence::Fence;

const KEY: u64 = 7;

/// Which threads there are beside the one that revokes.
#[derive(Clone, Copy)]
struct Cast {
    /// Read the store and fill the cache.
    fillers: usize,
    /// Throws the entry out.
    evicts: bool,
    /// Looks the token up once the revocation is acknowledged.
    reads: bool,
}

/// How a filler decides whether its read may go in.
#[derive(Clone, Copy, PartialEq)]
enum Check {
    /// As shipped: the fence, under the shard's lock.
    Shipped,
    /// The fence, before the shard is locked.
    Early,
    /// Not at all.
    Missing,
}

/// When the applier raises the fence.
#[derive(Clone, Copy, PartialEq)]
enum Raise {
    /// As shipped: before it touches the map.
    First,
    /// Afterwards.
    Late,
}

/// The token is either live or not.
struct World {
    /// The revision of the last commit, and whether the token lives.
    store: Mutex<(u64, bool)>,
    /// The token's entry.
    shard: Mutex<Option<bool>>,
    fence: Fence,
    acknowledged: AtomicBool,
}

impl World {
    fn new() -> Self {
        Self {
            store: Mutex::new((1, true)),
            shard: Mutex::new(None),
            fence: Fence::with_slots(1),
            acknowledged: AtomicBool::new(false),
        }
    }

    fn fill(&self, check: Check) {
        let (revision, lives) = *self.store.lock().unwrap();
        let early = check != Check::Early || self.fence.admits(KEY, revision);
        let mut shard = self.shard.lock().unwrap();
        if shard.is_some() {
            return;
        }
        let admitted = match check {
            Check::Shipped => self.fence.admits(KEY, revision),
            Check::Early => early,
            Check::Missing => true,
        };
        if admitted {
            *shard = Some(lives);
        }
    }

    fn revoke(&self, raise: Raise) {
        *self.store.lock().unwrap() = (2, false);
        if raise == Raise::First {
            self.fence.raise(KEY, 2);
        }
        if let Some(lives) = self.shard.lock().unwrap().as_mut() {
            *lives = false;
        }
        if raise == Raise::Late {
            self.fence.raise(KEY, 2);
        }
        self.acknowledged.store(true, Ordering::Release);
    }

    fn evict(&self) {
        *self.shard.lock().unwrap() = None;
    }

    /// Whether a request that was sent after the acknowledgement is admitted.
    fn is_violated(&self) -> bool {
        self.acknowledged.load(Ordering::Acquire) && *self.shard.lock().unwrap() == Some(true)
    }
}

/// Runs every interleaving; answers how many there were, and in how many of them a request was
/// admitted after the revocation had been acknowledged.
fn explore(cast: Cast, check: Check, raise: Raise) -> (usize, usize) {
    // Of the standard library, so that loom does not take them for part of what it explores.
    let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let violations = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut model = loom::model::Builder::new();
    // Most races need two switches or fewer; without a bound, three threads and the revocation
    // would run for minutes.
    model.preemption_bound = Some(3);
    let (ran, violated) = (Arc::clone(&runs), Arc::clone(&violations));
    model.check(move || {
        let world = Arc::new(World::new());
        let mut threads = Vec::new();
        for _ in 0..cast.fillers {
            let world = Arc::clone(&world);
            threads.push(thread::spawn(move || {
                world.fill(check);
                false
            }));
        }
        if cast.evicts {
            let world = Arc::clone(&world);
            threads.push(thread::spawn(move || {
                world.evict();
                false
            }));
        }
        if cast.reads {
            let world = Arc::clone(&world);
            threads.push(thread::spawn(move || world.is_violated()));
        }
        world.revoke(raise);
        let at_once = world.is_violated();
        let seen = threads.into_iter().filter_map(|thread| thread.join().ok()).any(|seen| seen);
        let order = std::sync::atomic::Ordering::Relaxed;
        ran.fetch_add(1, order);
        // The last look is that of a request that comes when all is quiet.
        if at_once || seen || world.is_violated() {
            violated.fetch_add(1, order);
        }
    });
    let read = |counter: &std::sync::atomic::AtomicUsize| {
        counter.load(std::sync::atomic::Ordering::Relaxed)
    };
    (read(&runs), read(&violations))
}

const CASTS: [Cast; 4] = [
    Cast { fillers: 1, evicts: false, reads: true },
    Cast { fillers: 1, evicts: true, reads: false },
    Cast { fillers: 2, evicts: false, reads: false },
    Cast { fillers: 2, evicts: true, reads: false },
];

#[test]
fn no_interleaving_brings_a_revoked_token_back() {
    for cast in CASTS {
        let (runs, violations) = explore(cast, Check::Shipped, Raise::First);
        assert!(runs > 10, "{runs} interleavings are not a model");
        assert_eq!(violations, 0, "of {runs}");
    }
}

#[test]
fn the_model_finds_a_fill_that_does_not_ask_the_fence() {
    for cast in CASTS {
        assert_ne!(explore(cast, Check::Missing, Raise::First).1, 0);
    }
}

#[test]
fn the_model_finds_a_fill_that_asks_before_it_locks_the_shard() {
    for cast in CASTS {
        assert_ne!(explore(cast, Check::Early, Raise::First).1, 0);
    }
}

#[test]
fn the_model_finds_a_fence_that_is_raised_after_the_map_was_touched() {
    // A fill between the two is neither refused nor corrected.
    for cast in CASTS {
        assert_ne!(explore(cast, Check::Shipped, Raise::Late).1, 0);
    }
}
