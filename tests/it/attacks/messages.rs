//! F12 to F19: what stands around and between messages.

use super::{SOON, Stage};
use crate::upstream::{answer, echo, ok, response};
use crate::wire::{Cut, PATIENCE, lossy};
use crate::world::{get, post};
use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

#[test]
fn f12_a_refused_request_and_its_unread_body() {
    let stage = Stage::new();
    let smuggled = stage.get("/orders/smuggled", "");
    let second = stage.get("/orders/control-second", "");
    let length = smuggled.len();
    let chunk = format!("{length:x}\r\n{smuggled}\r\n0\r\n\r\n");
    let head = "POST /orders/x HTTP/1.1\r\nHost: gateway.test\r\n";
    for (variant, refused) in [
        ("a length", format!("{head}Content-Length: {length}\r\n\r\n{smuggled}")),
        ("chunked", format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}")),
    ] {
        let mut wire = stage.world.wire();
        wire.send(format!("{refused}{second}"));
        assert_eq!(wire.answer().status, 401, "{variant}");
        // The body is read and thrown away, or the connection is closed. It is never a request.
        match wire.answer_to("GET", SOON) {
            Ok(answer) => assert_eq!(answer.status, 200, "{variant}: {answer:?}"),
            Err(cut) => assert_ne!(cut, Cut::TimedOut, "{variant}: the connection hangs"),
        }
        stage.honest(variant);
        assert!(!stage.upstream.saw("/orders/smuggled"), "{variant}: a body became a request");
        assert!(!stage.upstream.saw("/orders/x"), "{variant}: the refused one was forwarded");
    }
}

#[test]
fn f12_a_body_that_never_comes_is_not_awaited() {
    let stage = Stage::with(ok(), |setup| setup.limit("body_idle_timeout = \"1s\""));
    let mut wire = stage.world.wire();
    let head = "POST /orders/x HTTP/1.1\r\nHost: gateway.test\r\n";
    wire.send(format!("{head}Content-Length: 1000000000\r\n\r\nbegin"));
    assert_eq!(wire.answer().status, 401);
    assert!(wire.ends(SOON), "the connection was kept for a gigabyte");
    // Nor is a body read to its end just because it comes: 64 MiB are more than any drain.
    let mut wire = stage.world.wire();
    wire.send(format!("{head}Content-Length: 1000000000\r\n\r\n"));
    assert_eq!(wire.answer().status, 401);
    let piece = vec![b'x'; 1 << 20];
    let taken = (0..64).take_while(|_| wire.try_send(&piece).is_ok()).count();
    assert!(taken < 64, "a refused request's body was read for {taken} MiB");
    stage.untouched("an unread body");
}

#[test]
fn f12_a_body_that_was_on_its_way_up_is_no_request() {
    // An upstream that takes the head and no more of the body than its socket holds, and leaves.
    let stage = Stage::with(
        Arc::new(|peer: &mut crate::upstream::Peer| {
            let Some(head) = peer.head() else { return };
            if head.second().contains("on-its-way") {
                thread::sleep(Duration::from_millis(500));
                return;
            }
            peer.send(response("200 OK", "ok"));
        }),
        |setup| setup,
    );
    let bearer = stage.bearer();
    let head = format!("POST /orders/on-its-way HTTP/1.1\r\nHost: gateway.test\r\n{bearer}");
    let smuggled = stage.get("/orders/smuggled", "");
    let mut data = format!("\r\n0\r\n\r\n{smuggled}").into_bytes();
    data.resize(8_000, b'x');
    let chunk = [format!("{:x}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat();
    let mut line = smuggled.repeat(1 + 8_000_000 / smuggled.len()).into_bytes();
    line.truncate(8_000_000);
    for (variant, framing, body) in [
        ("chunks", "Transfer-Encoding: chunked", chunk.repeat(1_000)),
        ("a length", "Content-Length: 8000000", line),
    ] {
        for round in 0..3 {
            let mut wire = stage.world.wire();
            wire.send(format!("{head}{framing}\r\n\r\n"));
            let mut socket = wire.socket();
            let body = body.clone();
            // The connection ends before all of it is taken.
            let sending = thread::spawn(move || drop(socket.write_all(&body)));
            let (said, cut) = wire.rest(PATIENCE);
            let said = lossy(&said);
            assert_ne!(cut, Cut::TimedOut, "{variant}, {round}: the connection hangs: {said}");
            assert!(said.matches("HTTP/1.1").count() <= 1, "{variant}, {round}: {said}");
            drop(wire);
            sending.join().expect("the sender lives");
            let begins = |bytes: &Vec<u8>| bytes.starts_with(b"GET /orders/smuggled");
            let smuggled = stage.upstream.recorded().iter().any(begins);
            assert!(!smuggled, "{variant}, {round}: a body became a request: {said}");
        }
    }
    stage.honest("bodies on their way");
}

#[test]
fn f13_upgrade_is_not_forwarded() {
    let stage = Stage::new();
    let tunnel = get("/orders/tunnelled", "");
    for (variant, fields) in [
        (
            "websocket",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ),
        ("not named in Connection", "Upgrade: websocket\r\n"),
        ("with keep-alive", "Connection: keep-alive, Upgrade\r\nUpgrade: foo/1\r\n"),
    ] {
        stage.arrived();
        let mut wire = stage.world.wire();
        // Bytes meant for a tunnel that is not there are the next request, without a credential.
        wire.send(format!("{}{tunnel}", stage.get("/orders/upgrade", fields)));
        let answer = wire.answer();
        assert_ne!(answer.status, 101, "{variant}");
        assert!(matches!(answer.status, 200 | 400 | 426 | 501), "{variant}: {answer:?}");
        match wire.answer_to("GET", SOON) {
            Ok(second) => assert_eq!(second.status, 401, "{variant}: {second:?}"),
            Err(cut) => assert_ne!(cut, Cut::TimedOut, "{variant}: the connection hangs"),
        }
        stage.honest(variant);
        assert!(!stage.upstream.saw("/orders/tunnelled"), "{variant}: a tunnel");
        for request in stage.arrived() {
            assert!(!request.head.has("upgrade"), "{variant}: {request:#?}");
            assert!(
                !request.head.all("connection").concat().to_lowercase().contains("upgrade"),
                "{variant}: {request:#?}"
            );
        }
    }
}

#[test]
fn f13_an_upstream_cannot_switch_protocols() {
    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
        Upgrade: foo\r\n\r\ntunnel";
    let script = answer(|request| match request.target() {
        "/orders/switch" => SWITCH.into(),
        _ => response("200 OK", "ok"),
    });
    let stage = Stage::with(script, |setup| setup);
    for (variant, fields, statuses) in [
        ("asked for", "Connection: Upgrade\r\nUpgrade: foo\r\n", &[400, 426, 501, 502][..]),
        ("not asked for", "", &[502]),
    ] {
        let mut wire = stage.world.wire();
        wire.send(stage.get("/orders/switch", fields));
        let answer = wire.answer_to("GET", SOON).expect("an answer");
        assert!(statuses.contains(&answer.status), "{variant}: {answer:?}");
        let (said, _) = wire.send("through the tunnel\r\n\r\n").rest(SOON);
        assert!(!lossy(&said).contains("tunnel"), "{variant}: {}", lossy(&said));
        stage.honest(variant);
        assert!(!stage.upstream.saw("through the tunnel"), "{variant}: a tunnel");
    }
}

#[test]
fn f14_upgrade_to_h2c_is_stripped() {
    let stage = Stage::new();
    for (variant, fields) in [
        (
            "as RFC 7540 wrote it",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        ),
        ("Connection without the settings", "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
        ("no Connection", "Upgrade: h2c\r\n"),
        ("odd case", "CONNECTION: uPGRADE\r\nuPGRADE: H2C\r\n"),
    ] {
        let arrived = stage.passes(variant, stage.get("/orders/h2c", fields));
        assert!(!arrived.head.has("upgrade"), "{variant}: {arrived:#?}");
        assert!(!arrived.head.has("http2-settings"), "{variant}: {arrived:#?}");
        let connection = arrived.head.all("connection").concat().to_lowercase();
        assert!(!connection.contains("upgrade"), "{variant}: {arrived:#?}");
    }
}

#[test]
fn f15_a_final_answer_to_an_expectation_leaves_the_pool_clean() {
    // An upstream that refuses at once and goes on reading requests, as it may: the body of a
    // request that it refused must not be the next one.
    let script = Arc::new(|peer: &mut crate::upstream::Peer| {
        while let Some(head) = peer.head() {
            if head.second().contains("expecting") {
                peer.send(response("417 Expectation Failed", "no"));
                continue;
            }
            if !peer.send(response("200 OK", head.second())) {
                return;
            }
        }
    });
    let stage = Stage::with(script, |setup| setup.gateway("workers = 1"));
    let bearer = stage.bearer();
    let body = get("/orders/poison", "");
    for round in 0..5 {
        let length = body.len();
        let mut wire = stage.world.wire();
        wire.send(format!(
            "POST /orders/expecting HTTP/1.1\r\nHost: gateway.test\r\n{bearer}\
             Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        ));
        let answer = if round % 2 == 0 {
            // A client that waits for `100` and gets something else.
            wire.answer()
        } else {
            wire.send(&body).answer()
        };
        assert!(matches!(answer.status, 417 | 502), "{answer:?}");
        for nth in 0..5 {
            let path = format!("/orders/after-{round}-{nth}");
            let answer = stage.world.fetch(&path, &stage.token);
            assert_eq!((answer.status, answer.text()), (200, path), "the pool is poisoned");
        }
    }
}

#[test]
fn f16_a_get_with_a_body_does_not_speak_for_the_next_request() {
    let stage = Stage::with(echo(), |setup| setup);
    let bearer = stage.bearer();
    let inner = get("/orders/smuggled", &bearer);
    let length = inner.len();
    let bare = get("/orders/bare", "");
    for method in ["GET", "OPTIONS", "DELETE"] {
        stage.arrived();
        let mut wire = stage.world.wire();
        wire.send(format!(
            "{method} /orders/body HTTP/1.1\r\nHost: gateway.test\r\n{bearer}\
             Content-Length: {length}\r\n\r\n{inner}{bare}"
        ));
        let first = wire.answer();
        assert!(matches!(first.status, 200 | 400), "{method}: {first:?}");
        if first.status == 200 {
            let expected = format!("{method} /orders/body HTTP/1.1\n{inner}");
            assert_eq!(first.text(), expected, "{method}: the body was lost");
            assert_eq!(wire.answer().status, 401, "{method}: the next request has no credential");
        } else {
            assert!(wire.ends(SOON), "{method}: the connection was left open");
        }
        stage.honest(method);
        let arrived = stage.arrived();
        assert!(arrived.len() <= 1, "{method}: {arrived:#?}");
        assert!(arrived.iter().all(|request| request.target() == "/orders/body"), "{arrived:#?}");
    }
}

#[test]
fn f17_absolute_form_against_host() {
    let stage = Stage::new();
    let bearer = stage.bearer();
    let ask =
        |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{bearer}\r\n");
    for (variant, target, host) in [
        ("the same", "http://gateway.test/orders/form?q=1", "gateway.test"),
        ("in another case", "http://GATEWAY.test/orders/form?q=1", "gateway.TEST"),
        ("with a port", "http://gateway.test:8080/orders/form?q=1", "gateway.test:8080"),
    ] {
        let arrived = stage.passes(variant, ask(target, host));
        assert_eq!(arrived.target(), "/orders/form?q=1", "{variant}: {arrived:?}");
        assert_eq!(arrived.head.all("host").len(), 1, "{variant}: {arrived:?}");
    }
    for (variant, target, host) in [
        ("another host", "http://other.test/orders/form", "gateway.test"),
        ("another port", "http://gateway.test:81/orders/form", "gateway.test:82"),
        ("with a user", "http://user@gateway.test/orders/form", "gateway.test"),
        ("a user that looks like us", "http://gateway.test@other.test/orders/x", "gateway.test"),
        ("another scheme", "https://gateway.test/orders/form", "gateway.test"),
        ("no scheme of ours", "ws://gateway.test/orders/form", "gateway.test"),
        ("no authority", "http:///orders/form", "gateway.test"),
        ("an authority and no path", "gateway.test:80", "gateway.test"),
        ("no leading slash", "orders/form", "gateway.test"),
    ] {
        stage.refuses(variant, ask(target, host), &[400]);
    }
}

#[test]
fn f18_none_two_or_joined_hosts() {
    let stage = Stage::new();
    let bearer = stage.bearer();
    let ask = |fields: &str| format!("GET /orders/host HTTP/1.1\r\n{fields}{bearer}\r\n");
    stage.passes("one", ask("Host: gateway.test\r\n"));
    stage.passes("one, with a port", ask("Host: gateway.test:8080\r\n"));
    stage.passes("an address", ask("Host: 127.0.0.1:8080\r\n"));
    stage.passes("a version 6 address", ask("Host: [::1]:8080\r\n"));
    for (variant, fields) in [
        ("none", ""),
        ("empty", "Host:\r\n"),
        ("two", "Host: gateway.test\r\nHost: other.test\r\n"),
        ("two, equal", "Host: gateway.test\r\nHost: gateway.test\r\n"),
        ("two, one empty", "Host: gateway.test\r\nHost:\r\n"),
        ("two, odd case", "hOsT: gateway.test\r\nHoSt: gateway.test\r\n"),
        ("joined", "Host: gateway.test, other.test\r\n"),
        ("joined without a space", "Host: gateway.test,gateway.test\r\n"),
        ("two words", "Host: gateway.test other.test\r\n"),
        ("a path", "Host: gateway.test/orders\r\n"),
        ("a user", "Host: user@gateway.test\r\n"),
        ("no port number", "Host: gateway.test:http\r\n"),
        ("folded", "Host: gateway.test\r\n other.test\r\n"),
        ("space before the colon", "Host : gateway.test\r\n"),
    ] {
        stage.refuses(variant, ask(fields), &[400]);
    }
    let absolute = format!("GET http://gateway.test/orders/host HTTP/1.1\r\n{bearer}\r\n");
    stage.refuses("none, absolute target", absolute, &[400]);
}

#[test]
fn f19_broken_heads() {
    let stage = Stage::new();
    stage
        .passes("an odd but legal field", stage.get("/orders/head", "X-!#$%&'*+.^_`|~1: a\tb\r\n"));
    for (variant, fields) in [
        ("no name", ": value\r\n"),
        ("no colon", "X-Nothing\r\n"),
        ("NUL in a name", "X-\0A: 1\r\n"),
        ("NUL in a value", "X-A: 1\u{0}2\r\n"),
        ("bare CR in a value", "X-A: 1\r2\r\n"),
        ("bare CR in a name", "X-\rA: 1\r\n"),
        ("space in a name", "X A: 1\r\n"),
        ("DEL in a value", "X-A: 1\u{7f}2\r\n"),
        ("a control character in a value", "X-A: 1\u{1}2\r\n"),
        ("a quoted name", "\"X-A\": 1\r\n"),
        ("obs-text in a name", "X-\u{e9}: 1\r\n"),
    ] {
        stage.refuses(variant, stage.get("/orders/head", fields), &[400]);
    }
    let rest = format!("Host: gateway.test\r\n{}\r\n", stage.bearer());
    for (variant, line) in [
        ("NUL in the target", "GET /orders/\0x HTTP/1.1\r\n"),
        ("bare CR in the line", "GET /orders/\rx HTTP/1.1\r\n"),
        ("a space in the target", "GET /orders/x y HTTP/1.1\r\n"),
        ("no target", "GET HTTP/1.1\r\n"),
        ("two spaces", "GET  /orders/x HTTP/1.1\r\n"),
        ("a broken method", "G(T /orders/x HTTP/1.1\r\n"),
        ("no version", "GET /orders/x\r\n"),
        ("a version that is none", "GET /orders/x HTTP/1.x\r\n"),
    ] {
        stage.refuses(variant, format!("{line}{rest}"), &[400]);
    }
}

#[test]
fn connect_trace_and_the_server_itself_are_no_targets() {
    let mut stage = Stage::new();
    let bearer = stage.bearer();
    let ask = |line: &str| format!("{line} HTTP/1.1\r\nHost: gateway.test\r\n{bearer}\r\n");
    for (variant, line, statuses) in [
        ("CONNECT", "CONNECT gateway.test:443", &[400, 405][..]),
        ("CONNECT without a port", "CONNECT gateway.test", &[400, 405]),
        ("CONNECT to a path", "CONNECT /orders/x", &[400, 405]),
        ("TRACE", "TRACE /orders/x", &[405]),
        ("OPTIONS *", "OPTIONS *", &[400]),
        ("GET *", "GET *", &[400]),
    ] {
        let mut wire = stage.world.wire();
        let answer = wire.send(ask(line)).answer_to("GET", PATIENCE);
        let answer = answer.unwrap_or_else(|cut| panic!("{variant}: {cut:?}"));
        assert!(statuses.contains(&answer.status), "{variant}: {answer:?}");
        stage.untouched(variant);
    }
    assert!(stage.world.lives());
    let posted = stage.passes("POST", post("/orders/x", &bearer, "hello"));
    assert_eq!(posted.method(), "POST");
}
