//! U1 to U4: upstreams that fail, and ones that lie.

use super::{SOON, Stage};
use crate::upstream::{
    Script, answer, close_after_request, close_instead_of_answer, close_when_idle,
    flood_of_interim, huge, ok, raw, response, silent,
};
use crate::wire::{Cut, PATIENCE, lossy};
use crate::world::{Setup, eventually, get, post};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn u1_a_refused_connection_is_502_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = listener.local_addr().expect("it has an address").to_string();
    drop(listener);
    let world = Setup::before_addresses(vec![nobody]).start();
    let token = world.mint();
    for _ in 0..3 {
        let begun = Instant::now();
        let answer = world.fetch("/orders/x", &token);
        assert_eq!(answer.status, 502, "{answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
    }
    let answer = world.ask(post("/orders/x", &token.bearer(), "hello"));
    assert_eq!(answer.status, 502, "{answer:?}");
    // Nobody learns from the outside where the upstream is.
    assert!(!answer.text().contains("127.0.0.1"), "{answer:?}");
}

#[test]
fn u1_a_dead_address_does_not_take_the_others_along() {
    let upstream = crate::upstream::Upstream::start(ok());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = listener.local_addr().expect("it has an address").to_string();
    drop(listener);
    let setup = Setup::before_addresses(vec![nobody, upstream.address.to_string()]);
    let world = setup.gateway("workers = 1").start();
    let token = world.mint();
    let statuses: Vec<_> =
        (0..10).map(|nth| world.fetch(&format!("/orders/{nth}"), &token).status).collect();
    assert_eq!(statuses, [200; 10], "a connection that was never made can be made elsewhere");
    assert_eq!(upstream.requests().len(), 10);
}

#[test]
fn u1_a_slow_upstream_is_504() {
    let stage = Stage::with(silent(), |setup| setup.upstream("first_byte_timeout = \"1s\""));
    let begun = Instant::now();
    let answer = stage.world.fetch("/orders/x", &stage.token);
    assert_eq!(answer.status, 504, "{answer:?}");
    let took = begun.elapsed();
    assert!((900..8000).contains(&took.as_millis()), "it took {took:?}");
    let posted = stage.world.ask(post("/orders/x", &stage.bearer(), "hello"));
    assert_eq!(posted.status, 504, "{posted:?}");
    assert_eq!(stage.upstream.requests().len(), 2, "what timed out was sent again");
    // The late answer of a connection that timed out belongs to nobody.
    stage.upstream.behave(ok());
    stage.honest("a timeout");
    assert_eq!(stage.upstream.connections(), 3, "a connection that timed out was used again");
}

#[test]
fn u1_nothing_that_was_sent_is_sent_again() {
    for (variant, script, pooled) in [
        ("a new connection", close_after_request(), false),
        ("a pooled connection", close_instead_of_answer(1), true),
    ] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let stage = Stage::with(script.clone(), |setup| setup.gateway("workers = 1"));
            if pooled {
                stage.honest(variant);
            }
            let request = post("/orders/once", &stage.bearer(), "hello").replace("POST", method);
            let answer = stage.world.ask(request);
            assert_eq!(answer.status, 502, "{method} on {variant}: {answer:?}");
            let count = stage.arrived().len();
            assert_eq!(count, 1, "{method} on {variant} went upstream {count} times");
            assert_eq!(stage.upstream.connections(), 1, "{method} on {variant}");
        }
    }
}

#[test]
fn u1_a_stale_pooled_connection_costs_nobody_an_answer() {
    let stage = Stage::with(close_when_idle(), |setup| setup.gateway("workers = 1"));
    let bearer = stage.bearer();
    for nth in 0..20 {
        // Each connection is closed by the upstream right after its first answer. The gateway may
        // or may not have seen it when the next request comes; nothing was sent, so it is tried on
        // another. Without a pause the request may be on the wire before the end is seen: then it
        // is lost, and 502.
        thread::sleep(Duration::from_millis(50));
        let request = if nth % 2 == 0 {
            stage.get("/orders/x", "")
        } else {
            post("/orders/x", &bearer, "hello")
        };
        let answer = stage.world.ask(request);
        assert_eq!(answer.status, 200, "request {nth}: {answer:?}");
    }
    let arrived = stage.upstream.requests();
    assert_eq!(arrived.len(), 20, "{arrived:#?}");
    assert!(arrived.iter().all(crate::upstream::Request::is_complete));
}

#[test]
fn u2_a_truncated_answer_is_no_whole_one() {
    let chunked =
        |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    for (variant, bytes) in [
        ("no last chunk", chunked("5\r\nhello\r\n")),
        ("within a chunk", chunked("50\r\nhello")),
        ("within a size", chunked("5\r\nhello\r\n5")),
        ("no end of trailers", chunked("5\r\nhello\r\n0\r\n")),
        ("a broken size", chunked("5\r\nhello\r\nxyz\r\n")),
        ("a length", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello".to_owned()),
    ] {
        let stage = Stage::with(raw(bytes), |setup| setup);
        let mut wire = stage.world.wire();
        let answer = wire.send(stage.get("/orders/cut", "")).answer_to("GET", SOON);
        // The head may be on its way before the break shows; the end of the body never is.
        match answer {
            Ok(answer) if answer.status == 502 => {}
            Ok(answer) => {
                let aborted = matches!(answer.cut, Some(Cut::Closed | Cut::Reset));
                assert!(aborted, "`{variant}` looks whole or hangs: {answer:?}");
            }
            Err(cut) => assert_ne!(cut, Cut::TimedOut, "`{variant}`: nothing came"),
        }
        stage.upstream.behave(ok());
        stage.honest(variant);
    }
}

#[test]
fn u2_http_1_0_clients_see_a_truncated_answer_too() {
    // Without chunks, only the end of the connection ends a body: it must not be an orderly one.
    let script = |whole: bool| -> Script {
        Arc::new(move |peer| {
            if peer.request().is_some() {
                peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
                // Until the beginning is on its way to the client.
                thread::sleep(Duration::from_millis(300));
                peer.send(if whole { "0\r\n\r\n" } else { "" });
            }
        })
    };
    for (variant, whole) in [("whole", true), ("truncated", false)] {
        let stage = Stage::with(script(whole), |setup| setup);
        let request = stage.get("/orders/cut", "").replace("HTTP/1.1", "HTTP/1.0");
        let answer = stage.world.wire().send(request).answer_to("GET", SOON);
        let answer = answer.unwrap_or_else(|cut| panic!("{variant}: {cut:?} and no head"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{variant}");
        let expected = if whole { None } else { Some(Cut::Reset) };
        assert_eq!(answer.cut, expected, "{variant}: {answer:?}");
    }
}

#[test]
fn u3_answers_that_lie_about_themselves() {
    let both = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n5\r\nhello\r\n0\r\n\r\n");
    let length = "Content-Length: 5\r\n";
    let coding = "Transfer-Encoding: chunked\r\n";
    let smuggled = lossy(&response("200 OK", "smuggled"));
    let cases = [
        ("both framings", both(&format!("{length}{coding}"))),
        ("both framings, other order", both(&format!("{coding}{length}"))),
        ("differing lengths", both("Content-Length: 5\r\nContent-Length: 6\r\n")),
        ("joined lengths", both("Content-Length: 5, 6\r\n")),
        ("no number", both("Content-Length: +5\r\n")),
        ("a negative number", both("Content-Length: -5\r\n")),
        ("a huge number", both("Content-Length: 18446744073709551616\r\n")),
        ("another coding", both("Transfer-Encoding: chunked, gzip\r\n")),
        ("garbage", "\0\u{1}\u{2}garbage garbage garbage\r\n\r\n".to_owned()),
        ("no HTTP", "SSH-2.0-OpenSSH_9.7\r\n\r\n".to_owned()),
        ("a status that is none", "HTTP/1.1 abc OK\r\n\r\n".to_owned()),
        ("a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n".to_owned()),
        ("a status too low", "HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n".to_owned()),
        (
            "NUL in a field",
            "HTTP/1.1 200 OK\r\nX-A: 1\u{0}2\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
        (
            "bare CR in a field",
            "HTTP/1.1 200 OK\r\nX-A: 1\r2\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
        ("a request", "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n".to_owned()),
        ("an endless head", format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(2 << 20))),
        ("too many fields", format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: 1\r\n".repeat(5000))),
    ];
    let lies = cases.clone();
    let script = answer(move |request| {
        let nth =
            request.target().strip_prefix("/orders/lie-").and_then(|n| n.parse::<usize>().ok());
        nth.map_or_else(|| response("200 OK", "ok"), |nth| (lies[nth].1.clone() + &smuggled).into())
    });
    let stage = Stage::with(script, |setup| setup.gateway("workers = 1"));
    for (nth, (variant, _)) in cases.iter().enumerate() {
        stage.honest(variant);
        let before = stage.upstream.connections();
        let answer = stage.world.fetch(&format!("/orders/lie-{nth}"), &stage.token);
        assert_eq!(answer.status, 502, "`{variant}`: {answer:?}");
        assert!(!answer.text().contains("hello"), "`{variant}`: {answer:?}");
        let next = stage.world.fetch("/orders/control-next", &stage.token);
        assert_eq!((next.status, next.text().as_str()), (200, "ok"), "after `{variant}`: {next:?}");
        assert_eq!(
            stage.upstream.connections(),
            before + 1,
            "after `{variant}` the connection was used again"
        );
    }
}

#[test]
fn u3_what_follows_an_answer_is_no_answer() {
    let twice = [response("200 OK", "first"), response("200 OK", "smuggled")].concat();
    let script = answer(move |request| match request.target() {
        "/orders/two" => twice.clone(),
        _ => response("200 OK", "ok"),
    });
    let stage = Stage::with(script, |setup| setup.gateway("workers = 1"));
    for _ in 0..5 {
        let answer = stage.world.fetch("/orders/two", &stage.token);
        assert!(answer.status == 502 || answer.text() == "first", "{answer:?}");
        let next = stage.world.fetch("/orders/next", &stage.token);
        assert_eq!((next.status, next.text().as_str()), (200, "ok"), "somebody else's: {next:?}");
    }
}

#[test]
fn u3_a_body_where_there_must_be_none_is_no_answer() {
    for (variant, method, bytes) in [
        ("HEAD", "HEAD", response("200 OK", "smuggled")),
        ("204", "GET", response("204 No Content", "smuggled")),
        ("304", "GET", response("304 Not Modified", "smuggled")),
    ] {
        let script = answer(move |request| match request.target() {
            "/orders/bodiless" => bytes.clone(),
            _ => response("200 OK", "ok"),
        });
        let stage = Stage::with(script, |setup| setup.gateway("workers = 1"));
        let request = stage.get("/orders/bodiless", "").replace("GET", method);
        let mut wire = stage.world.wire();
        let answer = wire.send(request).answer_to(method, SOON).expect("an answer");
        assert!(matches!(answer.status, 200 | 204 | 304 | 502), "{variant}: {answer:?}");
        let next = wire.send(stage.get("/orders/next", "")).answer_to("GET", SOON);
        if let Ok(next) = next {
            assert_eq!((next.status, next.text().as_str()), (200, "ok"), "{variant}: {next:?}");
        }
        let next = stage.world.fetch("/orders/next", &stage.token);
        assert_eq!((next.status, next.text().as_str()), (200, "ok"), "{variant}: {next:?}");
    }
}

#[test]
fn u3_an_answer_that_nobody_asked_for_is_nobody_s() {
    let script: Script = Arc::new(|peer| {
        while let Some(head) = peer.head() {
            let target = head.second().to_owned();
            if !peer.send(response("200 OK", &target)) {
                return;
            }
            if target.contains("twice") {
                thread::sleep(Duration::from_millis(50));
                peer.send(response("200 OK", "smuggled"));
            }
        }
    });
    let stage = Stage::with(script, |setup| setup.gateway("workers = 1"));
    // Many requests in one piece: who looks whether a connection is good must not be fooled by a
    // task that has used up its share of the processor.
    for before in [0, 1, 63, 125, 126, 127, 128, 129] {
        let answer = stage.world.fetch("/orders/twice", &stage.token);
        assert_eq!((answer.status, answer.text().as_str()), (200, "/orders/twice"));
        thread::sleep(Duration::from_millis(150));
        let mut wire = stage.world.wire();
        wire.send(get("/orders/refused", "").repeat(before) + &stage.get("/orders/next", ""));
        for _ in 0..before {
            assert_eq!(wire.answer().status, 401);
        }
        let next = wire.answer();
        assert_eq!((next.status, next.text().as_str()), (200, "/orders/next"), "{before} before");
    }
}

#[test]
fn u3_a_body_of_a_204_is_no_answer_however_late_it_comes() {
    let late = response("200 OK", "smuggled");
    let script: Script = Arc::new(move |peer| {
        while let Some(head) = peer.head() {
            if !head.second().contains("bare") {
                peer.send(response("200 OK", "ok"));
                continue;
            }
            let length = late.len();
            peer.send(format!("HTTP/1.1 204 No Content\r\nContent-Length: {length}\r\n\r\n"));
            thread::sleep(Duration::from_millis(20));
            peer.send(&late);
        }
    });
    let stage = Stage::with(script, |setup| setup.gateway("workers = 1"));
    for _ in 0..3 {
        let mut wire = stage.world.wire();
        wire.send(stage.get("/orders/bare", "") + &stage.get("/orders/next", ""));
        assert_eq!(wire.answer().status, 204);
        let next = wire.answer();
        assert_eq!((next.status, next.text().as_str()), (200, "ok"));
    }
}

#[test]
fn u3_a_flood_of_interim_answers() {
    let stage = Stage::with(flood_of_interim(100_000), |setup| setup.gateway("workers = 1"));
    let before = stage.world.memory();
    let mut wire = stage.world.wire();
    wire.send(stage.get("/orders/flood", ""));
    let answer = wire.answer_to("GET", PATIENCE).expect("an answer");
    assert_eq!(answer.status, 502, "after {} interim answers: {answer:?}", answer.interim.len());
    assert!(answer.interim.len() < 1000, "{} were passed on", answer.interim.len());
    let grown = stage.world.memory().saturating_sub(before);
    assert!(grown < 8 << 20, "the flood took {grown} bytes");
    stage.upstream.behave(ok());
    let connections = stage.upstream.connections();
    stage.honest("a flood");
    assert_eq!(stage.upstream.connections(), connections + 1, "the flooded connection was reused");
}

#[test]
fn u4_a_slow_client_does_not_fill_memory() {
    const SIZE: u64 = 512 << 20;
    let stage = Stage::with(huge(SIZE), |setup| setup);
    let mut warm = stage.world.wire();
    warm.send(stage.get("/orders/huge", "")).answer_head();
    let before = stage.world.memory();
    let mut wires: Vec<_> = (0..4).map(|_| stage.world.wire()).collect();
    for wire in &mut wires {
        wire.send(stage.get("/orders/huge", "")).answer_head();
    }
    // Until it stands still: nothing more is taken from the upstream than buffers hold.
    let mut seen = 0;
    let still = eventually(PATIENCE, || {
        thread::sleep(Duration::from_millis(300));
        let sent = stage.upstream.sent();
        std::mem::replace(&mut seen, sent) == sent
    });
    assert!(still, "the upstream still sends, to clients that do not read");
    let grown = stage.world.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "four slow clients cost {grown} bytes");
    assert!(seen < 5 * (64 << 20), "the gateway took {seen} bytes that nobody read");
    assert!(seen > 0, "nothing was sent at all");
}
