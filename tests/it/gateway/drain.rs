//! SIGTERM in the middle of everything: whoever has asked is answered.

use super::started;
use crate::upstream::{Script, answer, ok, response};
use crate::wire::{PATIENCE, Wire};
use crate::world::{World, eventually, get, post};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// An upstream that takes this long for each answer.
fn late(pause: Duration) -> Script {
    answer(move |request| {
        thread::sleep(pause);
        response("200 OK", request.target())
    })
}

#[track_caller]
fn drained(world: &mut World) {
    let status = world.ended(PATIENCE).expect("SIGTERM ends the process");
    assert_eq!(status.code(), Some(0), "{}", world.told());
}

#[test]
fn sigterm_loses_no_request_that_is_on_the_wire_of_a_new_connection() {
    const COUNT: usize = 100;
    const ROUNDS: usize = 3;
    let (_upstream, mut world, token) = started(ok(), |setup| setup);
    for round in 0..ROUNDS {
        let ask = |nth| {
            let mut wire = world.wire();
            wire.send(get(&format!("/orders/{nth}"), &token.bearer()));
            wire
        };
        let mut wires: Vec<_> = (0..COUNT).map(ask).collect();
        // Some have been heard by now, some wait for the acceptor, and some for their worker.
        world.terminate();
        for (nth, wire) in wires.iter_mut().enumerate() {
            let answer = wire.answer_to("GET", PATIENCE);
            let answer = answer.unwrap_or_else(|cut| panic!("round {round}, {nth}: {cut:?}"));
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        drop(wires);
        drained(&mut world);
        world.serve();
    }
    assert_eq!(world.admin().use_count(&token.id), (COUNT * ROUNDS) as u64);
}

#[test]
fn sigterm_loses_no_request_that_is_on_the_wire_of_a_kept_connection() {
    const COUNT: usize = 100;
    let (_upstream, mut world, token) = started(ok(), |setup| setup);
    let request = get("/orders/x", &token.bearer());
    let mut wires: Vec<_> = (0..COUNT).map(|_| world.wire()).collect();
    for wire in &mut wires {
        assert_eq!(wire.send(&request).answer().status, 200);
    }
    for wire in &mut wires {
        wire.send(&request);
    }
    world.terminate();
    for (nth, wire) in wires.iter_mut().enumerate() {
        let answer = wire.answer_to("GET", PATIENCE);
        let answer = answer.unwrap_or_else(|cut| panic!("request {nth} of {COUNT}: {cut:?}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(wire.ends(PATIENCE), "connection {nth} was kept");
    }
    drop(wires);
    drained(&mut world);
}

#[test]
fn sigterm_lets_those_who_wait_at_a_full_port_in() {
    const COUNT: usize = 20;
    let (_upstream, mut world, token) =
        started(late(Duration::from_millis(20)), |setup| setup.limit("connections_max = 4"));
    let ask = |nth| {
        let mut wire = world.wire();
        wire.send(get(&format!("/orders/{nth}"), &token.bearer()));
        wire
    };
    let wires: Vec<_> = (0..COUNT).map(ask).collect();
    world.terminate();
    for (nth, mut wire) in wires.into_iter().enumerate() {
        let answer = wire.answer_to("GET", PATIENCE);
        let answer = answer.unwrap_or_else(|cut| panic!("request {nth} of {COUNT}: {cut:?}"));
        assert_eq!((answer.status, answer.text()), (200, format!("/orders/{nth}")));
    }
    drained(&mut world);
}

#[test]
fn sigterm_waits_for_every_request_that_has_begun() {
    let (upstream, mut world, token) =
        started(late(Duration::from_millis(500)), |setup| setup.limit("head_timeout = \"20s\""));
    let bearer = token.bearer();
    let request = |name: &str| get(&format!("/orders/{name}"), &bearer);
    let [mut waiting, mut body, mut chunks, mut head, mut silent] = [(); 5].map(|()| world.wire());
    waiting.send(request("waiting"));
    let whole = post("/orders/body", &bearer, "half and half");
    let (first, second) = whole.split_at(whole.len() - 8);
    body.send(first);
    let fields = format!("{bearer}Transfer-Encoding: chunked\r\n");
    chunks.send(get("/orders/chunks", &fields).replacen("GET", "POST", 1)).send("5\r\nhello\r\n");
    let whole_head = request("head");
    let (begun, ended) = whole_head.split_at(30);
    head.send(begun);
    let arrived = || ["/orders/waiting", "half ", "hello"].iter().all(|said| upstream.saw(said));
    assert!(eventually(PATIENCE, arrived), "{:?}", upstream.recorded());
    world.signal("TERM");
    // One that was made before, on which the first thing is said only now.
    silent.send(request("silent"));
    assert!(
        eventually(PATIENCE, || TcpStream::connect(world.gateway).is_err()),
        "it still listens"
    );
    body.send(second);
    chunks.send("0\r\n\r\n");
    head.send(ended);
    for (name, wire) in [
        ("waiting", &mut waiting),
        ("body", &mut body),
        ("chunks", &mut chunks),
        ("head", &mut head),
        ("silent", &mut silent),
    ] {
        let answer = wire.answer_to("GET", PATIENCE);
        let answer = answer.unwrap_or_else(|cut| panic!("{name}: {cut:?}"));
        assert_eq!((answer.status, answer.text()), (200, format!("/orders/{name}")));
        assert_eq!(answer.field("connection").as_deref(), Some("close"), "{name}");
        assert!(wire.ends(PATIENCE), "{name} was kept");
    }
    drop([waiting, body, chunks, head, silent]);
    drained(&mut world);
    assert!(upstream.requests().iter().all(crate::upstream::Request::is_complete));
}

#[test]
fn sigterm_answers_every_pipelined_request() {
    const COUNT: usize = 4;
    let (_upstream, mut world, token) = started(late(Duration::from_millis(300)), |setup| setup);
    let pipeline = |first: &str| {
        let rest = (1..COUNT).map(|nth| get(&format!("/orders/{nth}"), &token.bearer()));
        first.to_owned() + &rest.collect::<String>()
    };
    // A refusal of our own is an answer like any other.
    let [mut admitted, mut refused] = [world.wire(), world.wire()];
    admitted.send(pipeline(&get("/orders/0", &token.bearer())));
    refused.send(pipeline(&get("/orders/0", "")));
    thread::sleep(Duration::from_millis(100));
    world.signal("TERM");
    let statuses = |wire: &mut Wire| {
        let mut statuses = Vec::new();
        for nth in 0..COUNT {
            let answer = wire.answer_to("GET", PATIENCE);
            let answer = answer.unwrap_or_else(|cut| panic!("answer {nth}: {cut:?}"));
            let closes = answer.field("connection").as_deref() == Some("close");
            assert_eq!(closes, nth == COUNT - 1, "answer {nth}: {answer:?}");
            statuses.push(answer.status);
        }
        statuses
    };
    assert_eq!(statuses(&mut admitted), [200; COUNT]);
    assert_eq!(statuses(&mut refused), [401, 200, 200, 200]);
    drop([admitted, refused]);
    drained(&mut world);
}

#[test]
fn sigterm_does_not_wait_for_those_who_listen() {
    let (_upstream, mut world, _token) = started(ok(), |setup| setup);
    let form = format!("token={}", world.owner_secret);
    let host = format!("Host: {0}\r\nOrigin: http://{0}\r\n", world.admin);
    let mut wire = Wire::to(world.admin);
    wire.send(format!(
        "POST /sign-in HTTP/1.1\r\n{host}Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    ));
    let signed_in = wire.answer();
    assert_eq!(signed_in.status, 303, "{signed_in:?}");
    let cookie = signed_in.field("set-cookie").expect("a session");
    let cookie = cookie.split(';').next().expect("a pair");
    let mut listening = TcpStream::connect(world.admin).expect("the port listens");
    let ask = format!("GET /events?since=0 HTTP/1.1\r\n{host}Cookie: {cookie}\r\n\r\n");
    listening.write_all(ask.as_bytes()).expect("the port reads");
    let mut told = String::new();
    let mut part = [0; 4096];
    while !told.contains("retry:") {
        let count = listening.read(&mut part).expect("the port answers");
        assert_ne!(count, 0, "{told}");
        told.push_str(&String::from_utf8_lossy(&part[..count]));
    }
    // A browser keeps connections that say nothing, too.
    let _silent = TcpStream::connect(world.admin).expect("the port listens");
    let begun = Instant::now();
    world.terminate();
    drained(&mut world);
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
}
