//! Last-used figures may be late, never wrong: what a crash and an eviction cost.

use crate::upstream::{Upstream, ok};
use crate::world::{Setup, TokenWish, World, get};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_crash_loses_at_most_one_flush_interval() {
    const INTERVAL: Duration = Duration::from_secs(4);
    // For a flush to be noticed, written and made durable on a busy machine.
    const SLACK: Duration = Duration::from_millis(1200);
    let upstream = Upstream::start(ok());
    let mut world = Setup::before(&upstream).gateway("usage_flush_interval = \"4s\"").start();
    let token = world.mint();
    let request = get("/orders/x", &token.bearer());
    let mut wires: Vec<_> = (0..4).map(|_| world.wire()).collect();
    let mut answered = Vec::new();
    let begun = Instant::now();
    // Just before the fourth flush, and before the second one if each came at twice its time: that
    // would lose nearly eight seconds.
    while begun.elapsed() < INTERVAL * 39 / 10 {
        for wire in &mut wires {
            assert_eq!(wire.send(&request).answer().status, 200);
            answered.push(Instant::now());
        }
        thread::sleep(Duration::from_millis(5));
    }
    let killed = Instant::now();
    world.kill();
    let kept_at_least =
        answered.iter().filter(|at| killed.duration_since(**at) > INTERVAL + SLACK).count() as u64;
    assert!(kept_at_least > 50, "the test is too slow to say anything: {kept_at_least}");
    world.serve();
    let count = world.admin().use_count(&token.id);
    let sent = answered.len() as u64;
    assert!(count >= kept_at_least, "{count} uses of {sent} survived, not {kept_at_least}");
    assert!(count <= sent, "{count} uses of {sent}: some were counted twice");
    let shown = world.admin().token(&token.id);
    assert!(shown["last_used_at"].is_string(), "{shown}");
}

#[test]
fn an_eviction_loses_nothing() {
    const TOKENS: usize = 100;
    let upstream = Upstream::start(ok());
    let setup = Setup::before(&upstream)
        .gateway("cache_entries_max = 16")
        .gateway("usage_flush_interval = \"300ms\"");
    let mut world = setup.start();
    let admin = world.admin();
    let tokens: Vec<_> = (0..TOKENS).map(|_| admin.mint(&TokenWish::default())).collect();
    let mut wires: Vec<_> = (0..4).map(|_| world.wire()).collect();
    let mut counts = vec![0_u64; TOKENS];
    // Each pass goes over more tokens than the cache can hold, some more often than others.
    for pass in 0..12 {
        for (nth, token) in tokens.iter().enumerate().filter(|(nth, _)| pass % (1 + nth % 4) == 0) {
            let wire = &mut wires[nth % 4];
            let answer = wire.send(get("/orders/x", &token.bearer())).answer();
            assert_eq!(answer.status, 200, "pass {pass}, token {nth}: {answer:?}");
            counts[nth] += 1;
        }
    }
    let shown = |world: &World| -> Vec<u64> {
        tokens.iter().map(|token| world.admin().use_count(&token.id)).collect()
    };
    assert_eq!(shown(&world), counts, "while it runs");
    world.restart();
    assert_eq!(shown(&world), counts, "after SIGTERM");
    assert_eq!(upstream.requests().len() as u64, counts.iter().sum::<u64>());
}
