//! The same with readers that are overtaken: whoever reads a token while it is being switched comes
//! back with what it read when the switch has been acknowledged.
//!
//! In the binary that takes a thread that loses its processor at the wrong moment, which is too rare
//! for a test. So the gateway is in this process here, on real sockets, and only its reads are slow.
//! Nothing but the fence then stands between a reader and the cache.

use super::{Phase, Switch, Token, hold, settle, stage};
use bearward::app;
use bearward::config::Config;
use bearward::org::Revision;
use bearward::secret::Digest;
use bearward::store::redb::{self, RedbStore};
use bearward::store::{Facts, Found, StoreError};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// The longest that a read is held up.
const HELD_MAX: Duration = Duration::from_millis(200);
/// How many requests are enough, as nearly each switch meets a reader.
const REQUESTS: usize = 30_000;
/// How many reads must have been overtaken for the test to say anything.
const OVERTAKEN_MIN: usize = 50;

/// A store that answers with what was true when it was asked, and takes its time.
struct Slow {
    store: Arc<RedbStore>,
    switches: OnceLock<HashMap<Digest, Arc<Switch>>>,
    /// Reads whose answer was not true any more when they came back.
    overtaken: AtomicUsize,
}

impl Slow {
    fn watch(&self, tokens: &[Token]) {
        let switches = tokens
            .iter()
            .map(|token| (Digest::of(token.minted.secret.as_bytes()), Arc::clone(&token.switch)));
        assert!(self.switches.set(switches.collect()).is_ok(), "they are told once");
    }
}

impl Facts for Slow {
    fn lookup(&self, digest: &Digest) -> Result<(Revision, Option<Found>), StoreError> {
        let read = self.store.lookup(digest)?;
        let Some(switch) = self.switches.get().and_then(|switches| switches.get(digest)) else {
            return Ok(read);
        };
        let (state, phase) = switch.read();
        let begun = Instant::now();
        while phase == Phase::Changing && switch.read().0 == state && begun.elapsed() < HELD_MAX {
            thread::sleep(Duration::from_micros(100));
        }
        if phase == Phase::Changing && self.store.lookup(digest)?.1 != read.1 {
            self.overtaken.fetch_add(1, Ordering::Relaxed);
        }
        Ok(read)
    }

    fn visit_digests(&self, visit: &mut dyn FnMut(&Digest)) -> Result<u64, StoreError> {
        self.store.visit_digests(visit)
    }
}

#[test]
fn no_read_that_was_overtaken_by_a_deactivation_admits_anybody() {
    let (setup, _upstream, reached) = stage(REQUESTS);
    let mut world = setup.unstarted();
    world.init();
    let config = Config::load(&world.config(), &|_name| None).expect("a good configuration");
    let store = redb::open(app::store_options(&config)).expect("the store that `init` made");
    let slow = Arc::new(Slow {
        store: Arc::clone(&store),
        switches: OnceLock::new(),
        overtaken: AtomicUsize::new(0),
    });
    let facts = Arc::clone(&slow) as Arc<dyn Facts>;
    let options = app::Options { store: Some(store), facts: Some(facts) };
    let running = app::start(config, options).expect("it starts");
    let tokens = settle(&world.admin());
    slow.watch(&tokens.0);
    let told = hold(&world, tokens, reached, REQUESTS);
    running.drain();
    let overtaken = slow.overtaken.load(Ordering::Relaxed);
    assert!(
        overtaken >= OVERTAKEN_MIN,
        "{overtaken} reads were overtaken, too few to say anything"
    );
    println!("{told}; {overtaken} reads were overtaken");
}
