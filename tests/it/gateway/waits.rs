//! Long uploads, and connections that are long in coming.

use super::started;
use crate::upstream::{BlackHole, Upstream, ok, raw_kept, silent, stop_reading_after};
use crate::wire::{PATIENCE, Wire};
use crate::world::{Minted, ROUTES, Setup, World, eventually, get};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What a limit of one second may take on a busy machine.
const LATEST: Duration = Duration::from_secs(8);
/// The timeouts of upstreams have a second; they are kept to within two ticks.
const EARLIEST: Duration = Duration::from_millis(900);

fn upload(world: &World, token: &Minted, framing: &str) -> Wire {
    let bearer = token.bearer();
    let mut wire = world.wire();
    wire.send(format!(
        "POST /orders/x HTTP/1.1\r\nHost: gateway.test\r\n{bearer}{framing}\r\n\r\n"
    ));
    wire
}

#[test]
fn a_steady_upload_may_last_longer_than_an_answer_s_first_byte() {
    const PIECES: usize = 25;
    let (upstream, world, token) =
        started(ok(), |setup| setup.upstream("first_byte_timeout = \"1s\""));
    let mut sized = upload(&world, &token, &format!("Content-Length: {}", PIECES * 10));
    let mut chunked = upload(&world, &token, "Transfer-Encoding: chunked");
    let begun = Instant::now();
    for nth in 0..PIECES {
        sized.send("0123456789");
        chunked.send("a\r\n0123456789\r\n");
        if nth == PIECES - 1 {
            chunked.send("0\r\n\r\n");
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert!(begun.elapsed() > Duration::from_secs(2), "the upload was no long one");
    for (variant, wire) in [("a length", &mut sized), ("chunked", &mut chunked)] {
        let answer = wire.answer();
        assert_eq!(answer.status, 200, "{variant}: {answer:?}");
    }
    let arrived = upstream.requests();
    assert_eq!(arrived.len(), 2, "{arrived:#?}");
    for request in arrived {
        assert!(request.is_complete(), "{request:?}");
        assert_eq!(request.body.bytes, "0123456789".repeat(PIECES).as_bytes());
    }
}

#[test]
fn an_upstream_that_has_the_whole_upload_and_does_not_answer_is_504() {
    let (upstream, world, token) =
        started(silent(), |setup| setup.upstream("first_byte_timeout = \"1s\""));
    let mut wire = upload(&world, &token, "Content-Length: 15");
    for _ in 0..15 {
        thread::sleep(Duration::from_millis(100));
        wire.send("x");
    }
    let sent = Instant::now();
    let answer = wire.answer();
    let took = sent.elapsed();
    assert_eq!(answer.status, 504, "{took:?} after the body: {answer:?}");
    assert!((EARLIEST..LATEST).contains(&took), "it took {took:?} after the end of the body");
    assert!(upstream.only_request().is_complete());
}

#[test]
fn an_upstream_that_stops_reading_an_upload_is_504() {
    const SIZE: usize = 64 << 20;
    let setup = |setup: Setup| {
        setup.upstream("idle_timeout = \"1s\"").upstream("first_byte_timeout = \"30s\"")
    };
    for (variant, framing) in [
        ("a length", format!("Content-Length: {SIZE}")),
        ("chunked", "Transfer-Encoding: chunked".to_owned()),
    ] {
        let (_upstream, world, token) = started(stop_reading_after(1 << 20), setup);
        let mut wire = upload(&world, &token, &framing);
        let mut socket = wire.socket();
        if framing.contains("chunked") {
            wire.send(format!("{SIZE:x}\r\n"));
        }
        let begun = Instant::now();
        // It is cut off in the middle: nobody takes all of it.
        let sending = thread::spawn(move || socket.write_all(&vec![b'x'; SIZE]));
        let answer = wire.answer_to("POST", PATIENCE);
        let took = begun.elapsed();
        let answer = answer.unwrap_or_else(|cut| panic!("{variant}: {cut:?} after {took:?}"));
        assert_eq!(answer.status, 504, "{variant}, after {took:?}: {answer:?}");
        assert!((EARLIEST..LATEST).contains(&took), "{variant}: it took {took:?}");
        drop(world);
        assert!(sending.join().expect("the sender lives").is_err(), "{variant}: all was taken");
    }
}

#[test]
fn a_silent_address_is_waited_for_once() {
    let hole = BlackHole::open();
    // Each request needs a connection of its own.
    let upstream = Upstream::start(raw_kept(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    ));
    let setup =
        Setup::before_addresses(vec![hole.address.to_string(), upstream.address.to_string()]);
    let world = setup.gateway("workers = 1").upstream("connect_timeout = \"4s\"").start();
    let token = world.mint();
    let mut took = Vec::new();
    for nth in 0..12 {
        let begun = Instant::now();
        let answer = world.fetch(&format!("/orders/{nth}"), &token);
        took.push(begun.elapsed());
        assert_eq!(answer.status, 200, "request {nth}, {took:?}: {answer:?}");
    }
    assert_eq!(upstream.requests().len(), 12);
    // Which of them comes to the silent address first is chance.
    let slow = took.iter().filter(|took| **took > Duration::from_secs(1)).count();
    assert!(slow <= 1, "more than one waits for the silent address: {took:?}");
    assert!(
        took.iter().all(|took| *took < Duration::from_secs(4)),
        "it is waited for too long: {took:?}"
    );
}

#[test]
fn a_token_that_is_switched_off_while_its_request_waits_for_a_connection() {
    let hole = BlackHole::open();
    let setup = Setup::before_addresses(vec![hole.address.to_string()]);
    let mut world = setup.upstream("connect_timeout = \"20s\"").start();
    let admin = world.admin();
    let [on, off] = [world.mint(), world.mint()];
    let mut wires = [&on, &off].map(|token| {
        let mut wire = world.wire();
        wire.send(get(&format!("/orders/{}", token.id), &token.bearer()));
        wire
    });
    assert!(eventually(PATIENCE, || hole.is_asked_for(2)), "nobody wants a connection");
    admin.deactivate(&off);
    let upstream = hole.answer(ok());
    let [admitted, refused] = wires.each_mut().map(Wire::answer);
    assert_eq!(admitted.status, 200, "{admitted:?}");
    assert_eq!(refused.status, 401, "{refused:?}");
    // The last of the uses is written down when the process ends.
    world.restart();
    let targets: Vec<_> = upstream.requests().iter().map(|r| r.target().to_owned()).collect();
    assert_eq!(targets, [format!("/orders/{}", on.id)]);
    assert!(!upstream.saw(&off.id), "what was refused reached the upstream");
    assert_eq!([&on, &off].map(|token| admin.use_count(&token.id)), [1, 0], "uses");
}

#[test]
fn a_request_that_waits_for_a_connection_keeps_the_routes_it_began_with() {
    let hole = BlackHole::open();
    let setup = Setup::before_addresses(vec![hole.address.to_string()]);
    let mut world = setup.upstream("connect_timeout = \"20s\"").start();
    let token = world.mint();
    let mut wire = world.wire();
    wire.send(get("/orders/x", &token.bearer()));
    assert!(eventually(PATIENCE, || hole.is_asked_for(1)), "nobody wants a connection");
    // It is judged once more when it has its connection; by then the path wants another role.
    let stricter = "all_of = [\"orders/writer\"]";
    let routes = ROUTES.replace("any_of = [\"orders/reader\", \"orders/writer\"]", stricter);
    assert!(routes.contains(stricter));
    world.rewrite_routes(&routes);
    world.signal("HUP");
    assert!(eventually(PATIENCE, || world.told().contains(" reloaded")), "{}", world.told());
    assert_eq!(world.fetch("/orders/y", &token).status, 403, "the new route is not in force");
    let upstream = hole.answer(ok());
    let answer = wire.answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(upstream.only_request().target(), "/orders/x");
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let over = Arc::new(AtomicUsize::new(0));
    let script = {
        let over = Arc::clone(&over);
        Arc::new(move |peer: &mut crate::upstream::Peer| {
            if peer.request().is_some() && peer.some().is_none() {
                over.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let (upstream, mut world, token) = started(script, |setup| setup.gateway("workers = 1"));
    let mut wires: Vec<_> = (0..3).map(|_| world.wire()).collect();
    for wire in &mut wires {
        wire.send(get("/orders/x", &token.bearer()));
    }
    let mut uploading = upload(&world, &token, "Content-Length: 5");
    uploading.send("hello");
    assert!(eventually(PATIENCE, || upstream.requests().len() == 4), "they did not arrive");
    let begun = Instant::now();
    drop((wires, uploading));
    let gone = eventually(PATIENCE, || over.load(Ordering::Relaxed) == 4);
    assert!(gone, "{} of 4 upstream connections were closed", over.load(Ordering::Relaxed));
    assert!(begun.elapsed() < LATEST, "it took {:?}", begun.elapsed());
    assert!(world.lives());
}
