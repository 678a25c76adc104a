//! Upstreams with several addresses, with limits, and exchanges that take too long as a whole.

use super::started;
use crate::upstream::{Peer, Script, Upstream, answer, ok, response, slow};
use crate::wire::{Cut, PATIENCE};
use crate::world::{ROUTES, Setup, eventually, get};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Answers after a while.
fn late(pause: Duration) -> Script {
    answer(move |_request| {
        thread::sleep(pause);
        response("200 OK", "late")
    })
}

#[test]
fn of_two_addresses_the_slow_one_gets_less() {
    let (slow, quick) = (Upstream::start(late(Duration::from_millis(600))), Upstream::start(ok()));
    let setup = Setup::before_addresses(vec![slow.address.to_string(), quick.address.to_string()]);
    let world = setup.gateway("workers = 1").start();
    let token = world.mint();
    let gateway = world.gateway;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let request = get("/orders/x", &token.bearer());
            thread::spawn(move || {
                let mut wire = crate::wire::Wire::to(gateway);
                for _ in 0..25 {
                    assert_eq!(wire.send(&request).answer().status, 200);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("all are answered");
    }
    let [slow, quick] = [slow.requests().len(), quick.requests().len()];
    assert_eq!(slow + quick, 100);
    assert!((1..30).contains(&slow), "{slow} went to the slow one, {quick} to the quick one");
}

#[test]
fn beyond_its_connections_requests_wait_and_beyond_that_they_get_503() {
    let (upstream, world, token) = started(late(Duration::from_millis(1500)), |setup| {
        setup
            .gateway("workers = 1")
            .upstream("connections_max = 1")
            .upstream("pending_max = 1")
            .upstream("connect_timeout = \"20s\"")
    });
    let request = get("/orders/x", &token.bearer());
    let mut first = world.wire();
    first.send(&request);
    assert!(eventually(PATIENCE, || upstream.requests().len() == 1), "it did not arrive");
    // Who waits and leaves makes room for another one.
    let mut leaves = world.wire();
    leaves.send(&request);
    let pending = |count: f64| world.metric("bearward_upstream_pending") == Some(count);
    assert!(eventually(PATIENCE, || pending(1.0)), "nobody waits");
    let begun = Instant::now();
    let refused = world.ask(&request);
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.head.all("retry-after"), ["1"]);
    assert!(begun.elapsed() < Duration::from_millis(1400), "it waited: {:?}", begun.elapsed());
    drop(leaves);
    assert!(eventually(PATIENCE, || pending(0.0)), "who left still waits");
    let mut second = world.wire();
    second.send(&request);
    assert_eq!([first.answer().status, second.answer().status], [200, 200]);
    assert_eq!(upstream.connections(), 1, "more connections than may be");
    assert_eq!(upstream.requests().len(), 2, "who left was forwarded");
}

#[test]
fn a_route_bounds_the_whole_exchange() {
    let bounded =
        ROUTES.replacen("upstream = \"main\"", "upstream = \"main\"\ntotal_timeout = \"1s\"", 1);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let dripping = slow(head, &["1\r\na\r\n"; 40], Duration::from_millis(200));
    for (variant, script) in [("a drip", dripping), ("silence", late(Duration::from_secs(4)))] {
        let (_upstream, world, token) = started(script, |setup| setup.routes(&bounded));
        let begun = Instant::now();
        let mut wire = world.wire();
        wire.send(get("/orders/x", &token.bearer()));
        let answer = wire.answer_to("GET", PATIENCE).expect("an answer");
        let took = begun.elapsed();
        assert!(
            took > Duration::from_millis(900) && took < Duration::from_secs(4),
            "{variant}: {took:?}"
        );
        if variant == "a drip" {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(
                matches!(answer.cut, Some(Cut::Closed | Cut::Reset)),
                "it looks whole: {answer:?}"
            );
        } else {
            assert_eq!((answer.status, answer.cut), (504, None));
        }
    }
}

#[test]
fn whatever_point_an_upstream_closes_at_nothing_comes_twice() {
    for after in [0_usize, 1, 20, 60, 100, 150, 200] {
        let script: Script = Arc::new(move |peer: &mut Peer| {
            let mut left = after;
            while left > 0 {
                let Some(piece) = peer.some() else { return };
                left = left.saturating_sub(piece.len());
            }
        });
        let (upstream, world, token) = started(script, |setup| setup.gateway("workers = 1"));
        for method in ["GET", "POST", "PUT"] {
            upstream.forget();
            let request = crate::world::post("/orders/once", &token.bearer(), "hello");
            let answer = world.ask(request.replacen("POST", method, 1));
            assert_eq!(answer.status, 502, "{method} after {after}: {answer:?}");
            let came = upstream.recorded().iter().filter(|bytes| !bytes.is_empty()).count();
            assert!(came <= 1, "{method} after {after} went upstream {came} times");
        }
    }
}
