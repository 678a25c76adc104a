//! Bodies both ways, and several requests on one connection.

use super::started;
use crate::upstream::{Peer, Request, answer, echo, ok, raw_kept, response, slow, stream_echo};
use crate::wire::{PATIENCE, lossy};
use crate::world::{get, post};
use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn every_method_goes_through() {
    let (upstream, world, token) = started(echo(), |setup| setup);
    let mut wire = world.wire();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH"] {
        let request = post("/orders/x?q=1", &token.bearer(), "hello").replacen("POST", method, 1);
        let answer = wire.send(request).answer();
        assert_eq!(answer.status, 200, "{method}: {answer:?}");
        assert_eq!(answer.text(), format!("{method} /orders/x?q=1 HTTP/1.1\nhello"));
    }
    assert_eq!(upstream.requests().len(), 8);
    assert!(upstream.requests().iter().all(Request::is_complete));
}

#[test]
fn request_bodies_keep_their_bytes() {
    let (upstream, world, token) = started(ok(), |setup| setup);
    let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
    let head = format!("POST /orders/x HTTP/1.1\r\nHost: gateway.test\r\n{}", token.bearer());
    let sized = format!("{head}Content-Length: {}\r\n\r\n", bytes.len());
    let mut wire = world.wire();
    assert_eq!(wire.send(&sized).send(&bytes).answer().status, 200);
    wire.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
    for piece in bytes.chunks(7001) {
        wire.send(format!("{:x}\r\n", piece.len())).send(piece).send("\r\n");
    }
    assert_eq!(wire.send("0\r\n\r\n").answer().status, 200);
    let arrived = upstream.requests();
    assert_eq!(arrived.len(), 2, "{:?}", arrived.iter().map(|r| &r.head).collect::<Vec<_>>());
    for (variant, request) in ["a length", "chunked"].iter().zip(&arrived) {
        assert!(request.is_complete(), "{variant}");
        assert!(request.body.bytes == bytes, "{variant}: other bytes arrived");
    }
    assert_eq!(arrived[0].head.one("content-length"), Some(bytes.len().to_string()));
    assert_eq!(arrived[1].head.one("transfer-encoding").as_deref(), Some("chunked"));
}

#[test]
fn answers_keep_their_bytes_and_their_framing() {
    let all: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let sized = response("201 Created", &all);
    let pieces: Vec<_> = all.chunks(60_000).collect();
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in pieces {
        chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let script = answer(move |request| match request.target() {
        "/orders/sized" => sized.clone(),
        _ => chunked.clone(),
    });
    let (_upstream, world, token) = started(script, |setup| setup);
    let mut wire = world.wire();
    let first = wire.send(get("/orders/sized", &token.bearer())).answer();
    assert_eq!((first.status, first.cut), (201, None));
    assert_eq!(first.field("content-length"), Some(all.len().to_string()));
    assert!(first.body == all, "other bytes came back");
    let second = wire.send(get("/orders/chunked", &token.bearer())).answer();
    assert_eq!((second.status, second.cut), (200, None));
    assert!(second.body == all, "other bytes came back");
    // HTTP/1.0 knows no chunks: the end of the connection ends the body.
    let old = get("/orders/chunked", &token.bearer()).replace("HTTP/1.1", "HTTP/1.0");
    let third = world.ask(old);
    assert_eq!((third.status, third.cut, third.head.has("transfer-encoding")), (200, None, false));
    assert!(third.body == all, "other bytes came back");
}

#[test]
fn an_answer_that_the_end_of_the_connection_ends_is_whole() {
    let script = crate::upstream::raw("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end");
    let (_upstream, world, token) = started(script, |setup| setup);
    let answer = world.fetch("/orders/x", &token);
    assert_eq!((answer.status, answer.text().as_str(), answer.cut), (200, "until the end", None));
}

#[test]
fn answers_without_a_body() {
    for (variant, method, bytes, status) in [
        ("HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", 200),
        ("HEAD of chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
        ("204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204),
        (
            "304",
            "GET",
            "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 99\r\n\r\n",
            304,
        ),
        ("empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
    ] {
        let (upstream, world, token) =
            started(raw_kept(bytes), |setup| setup.gateway("workers = 1"));
        let request = get("/orders/x", &token.bearer()).replace("GET", method);
        let mut wire = world.wire();
        for round in 0..3 {
            let answer = wire.send(&request).answer_to(method, PATIENCE).expect("an answer");
            assert_eq!(answer.status, status, "{variant}, round {round}: {answer:?}");
            assert_eq!(answer.body, b"", "{variant}");
            if variant == "HEAD" {
                assert_eq!(answer.field("content-length").as_deref(), Some("1234"));
            }
            if variant == "304" {
                assert_eq!(answer.field("etag").as_deref(), Some("\"x\""));
            }
            if variant == "204" {
                assert!(!answer.head.has("content-length"), "{answer:?}");
                assert!(!answer.head.has("transfer-encoding"), "{answer:?}");
            }
        }
        assert_eq!(upstream.connections(), 1, "{variant}: the upstream connection was not kept");
    }
}

#[test]
fn twenty_megabytes_stream_through_both_ways_at_once() {
    const SIZE: usize = 20 << 20;
    let (_upstream, world, token) = started(stream_echo(), |setup| setup);
    let before = world.memory();
    let bytes: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
    let head = format!(
        "POST /orders/x HTTP/1.1\r\nHost: gateway.test\r\n{}Content-Length: {SIZE}\r\n\r\n",
        token.bearer()
    );
    let mut wire = world.wire();
    let mut sender = wire.send(head).socket();
    let sent = bytes.clone();
    let sending = thread::spawn(move || sender.write_all(&sent));
    let answer = wire.answer_to("POST", Duration::from_mins(1)).expect("an answer");
    sending.join().expect("the sender lives").expect("everything was taken");
    assert_eq!((answer.status, answer.body.len(), answer.cut), (200, SIZE, None));
    assert!(answer.body == bytes, "other bytes came back");
    let grown = world.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "20 MB took {grown} bytes of memory: they were not streamed");
}

#[test]
fn pieces_are_passed_on_as_they_come() {
    const PAUSE: Duration = Duration::from_millis(400);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let script = slow(head, &["2\r\nab\r\n", "2\r\ncd\r\n", "0\r\n\r\n"], PAUSE);
    let (_upstream, world, token) = started(script, |setup| setup);
    let mut wire = world.wire();
    let begun = Instant::now();
    wire.send(get("/orders/x", &token.bearer()));
    wire.answer_head();
    assert!(begun.elapsed() < PAUSE, "the head waited for the body");
    let first = wire.some(PATIENCE).map(|piece| lossy(&piece));
    assert_eq!(first.as_deref(), Ok("2\r\nab\r\n"));
    assert!(begun.elapsed() < PAUSE * 2, "the first piece waited for the second");
}

#[test]
fn trailers_of_an_answer_pass() {
    let script = answer(|_| {
        b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
          2\r\nok\r\n0\r\nX-Sum: theirs\r\n\r\n"
            .to_vec()
    });
    let (upstream, world, token) = started(script, |setup| setup);
    let answer = world.ask(format!(
        "POST /orders/x HTTP/1.1\r\nHost: gateway.test\r\n{}TE: trailers\r\nTrailer: X-Sum\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: ours\r\n\r\n",
        token.bearer()
    ));
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let sums = |trailers: &[(String, Vec<u8>)]| -> Vec<String> {
        let named = trailers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-sum"));
        named.map(|(_, value)| lossy(value)).collect()
    };
    assert_eq!(sums(&answer.trailers), ["theirs"], "{answer:?}");
    let arrived = upstream.only_request();
    assert_eq!(arrived.body.bytes, b"hello");
    // Those of a request may be left out (RFC 9110 section 6.5.1), but nothing else.
    let sums = sums(&arrived.body.trailers);
    assert!(sums.is_empty() || sums == ["ours"], "{arrived:?}");
    assert!(!arrived.head.has("x-sum"), "a trailer moved into the head: {arrived:?}");
}

#[test]
fn expect_100_continue_gets_its_100() {
    let (upstream, world, token) = started(echo(), |setup| setup);
    let head = format!(
        "POST /orders/x HTTP/1.1\r\nHost: gateway.test\r\n{}Expect: 100-continue\r\n\
         Content-Length: 5\r\n\r\n",
        token.bearer()
    );
    let mut wire = world.wire();
    wire.send(&head);
    let interim = wire.answer_head();
    assert_eq!(interim.second(), "100", "{interim:?}");
    let answer = wire.send("hello").answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "POST /orders/x HTTP/1.1\nhello"));
    assert_eq!(upstream.only_request().body.bytes, b"hello");
    // Whoever is refused need not send the body at all.
    let refused = world.ask(head.replace("Bearer bwt_", "Bearer bwt_x"));
    assert_eq!((refused.status, refused.interim.len()), (401, 0), "{refused:?}");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn connections_are_kept_on_both_sides() {
    let (upstream, world, token) = started(ok(), |setup| setup.gateway("workers = 1"));
    let request = get("/orders/x", &token.bearer());
    let mut wire = world.wire();
    for _ in 0..50 {
        assert_eq!(wire.send(&request).answer().status, 200);
    }
    // A refusal without a body to read does not end a connection.
    assert_eq!(wire.send(get("/orders/x", "")).answer().status, 401);
    assert_eq!(wire.send(get("/nowhere", "")).answer().status, 404);
    assert_eq!(wire.send(&request).answer().status, 200);
    assert_eq!(upstream.connections(), 1);
    let last = wire.send(get("/orders/x", &format!("{}Connection: close\r\n", token.bearer())));
    assert_eq!(last.answer().field("connection").as_deref(), Some("close"));
    assert!(wire.ends(PATIENCE));
    let mut old = world.wire();
    old.send(request.replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(old.answer().status, 200);
    assert!(old.ends(PATIENCE), "HTTP/1.0 without keep-alive was kept");
}

#[test]
fn an_upstream_connection_is_kept_after_chunks() {
    let chunked = |rest: &str| {
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n{rest}")
    };
    let [head, beginning] =
        ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "2\r\nok\r\n"];
    let late = |rest| slow(head, &[beginning, rest], Duration::from_millis(20));
    for (variant, script) in [
        ("in one piece", raw_kept(chunked("0\r\n\r\n"))),
        ("in one piece, with trailers", raw_kept(chunked("0\r\nX-Sum: 1\r\n\r\n"))),
        ("the end by itself", late("0\r\n\r\n")),
        ("the end by itself, with trailers", late("0\r\nX-Sum: 1\r\n\r\n")),
    ] {
        let (upstream, world, token) = started(script, |setup| setup.gateway("workers = 1"));
        for (client, fields) in
            [("HTTP/1.1", ""), ("HTTP/1.1", "TE: trailers\r\n"), ("HTTP/1.0", "")]
        {
            let request = get("/orders/x", &format!("{}{fields}", token.bearer()));
            let request = request.replace("HTTP/1.1", client);
            for round in 0..3 {
                let answer = world.ask(&request);
                let told = (answer.status, answer.text(), answer.cut);
                assert_eq!(told, (200, "ok".to_owned(), None), "{variant}, {client}, {round}");
            }
            let count = upstream.connections();
            assert_eq!(count, 1, "{variant}, {client}, `{fields}`: {count} upstream connections");
        }
        assert_eq!(upstream.requests().len(), 9, "{variant}");
    }
}

#[test]
fn bodies_of_methods_that_rarely_have_one_arrive_whole() {
    let script = answer(|_request| response("200 OK", ""));
    let (upstream, world, token) = started(script, |setup| setup.gateway("workers = 1"));
    let framings = [
        ("Content-Length: 11\r\n", ["hello", " world"], ("content-length", "11")),
        (
            "Transfer-Encoding: chunked\r\n",
            ["5\r\nhello\r\n", "6\r\n world\r\n0\r\n\r\n"],
            ("transfer-encoding", "chunked"),
        ),
    ];
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        for (fields, [first, second], (name, value)) in framings {
            for pause in [Duration::ZERO, Duration::from_millis(50)] {
                let head = get("/orders/x", &format!("{}{fields}", token.bearer()));
                let head = head.replace("GET", method);
                let mut wire = world.wire();
                upstream.forget();
                if pause.is_zero() {
                    wire.send(format!("{head}{first}{second}"));
                } else {
                    for piece in [head.as_str(), first, second] {
                        wire.send(piece);
                        thread::sleep(pause);
                    }
                }
                let variant = format!("{method}, {name}, {pause:?} between pieces");
                let answer = wire.answer_to(method, PATIENCE);
                let answer = answer.unwrap_or_else(|cut| panic!("{variant}: no answer, {cut:?}"));
                assert_eq!(answer.status, 200, "{variant}: {answer:?}");
                // The next request shows what is left over of this one, if anything is.
                let next = wire.send(get("/orders/next", &token.bearer())).answer();
                assert_eq!(next.status, 200, "{variant}: {next:?}");
                let arrived = upstream.requests();
                let lines: Vec<_> = arrived.iter().map(|r| (r.method(), r.target())).collect();
                let expected = [(method, "/orders/x"), ("GET", "/orders/next")];
                assert_eq!(lines, expected, "{variant}: {arrived:#?}");
                let Request { head, body } = &arrived[0];
                assert_eq!(
                    (lossy(&body.bytes).as_str(), body.cut),
                    ("hello world", None),
                    "{variant}"
                );
                assert_eq!(head.one(name).as_deref(), Some(value), "{variant}");
                let framings = ["content-length", "transfer-encoding"].map(|name| head.has(name));
                assert!(framings != [true, true], "{variant}: framed twice: {head:?}");
                assert!(arrived[1].body.bytes.is_empty(), "{variant}: {arrived:#?}");
            }
        }
    }
    assert_eq!(upstream.connections(), 1, "no exchange here ends a connection");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (upstream, world, token) = started(echo(), |setup| setup);
    let bearer = token.bearer();
    let mut wire = world.wire();
    let requests: String = (0..20)
        .map(|nth| match nth % 4 {
            0 => get(&format!("/orders/{nth}"), &bearer),
            1 => post(&format!("/orders/{nth}"), &bearer, "hello"),
            2 => get(&format!("/orders/{nth}"), ""),
            _ => get(&format!("/nowhere/{nth}"), &bearer),
        })
        .collect();
    wire.send(requests);
    for nth in 0..20 {
        let answer = wire.answer();
        match nth % 4 {
            0 => assert_eq!(answer.text(), format!("GET /orders/{nth} HTTP/1.1\n")),
            1 => assert_eq!(answer.text(), format!("POST /orders/{nth} HTTP/1.1\nhello")),
            2 => assert_eq!(answer.status, 401, "{nth}: {answer:?}"),
            _ => assert_eq!(answer.status, 404, "{nth}: {answer:?}"),
        }
    }
    assert_eq!(upstream.requests().len(), 10);
}

#[test]
fn a_client_that_goes_away_takes_its_request_along() {
    // The upstream sees the end of the connection, and the next client is not affected.
    let script = Arc::new(|peer: &mut Peer| {
        if let Some(head) = peer.head()
            && head.second().contains("endless")
        {
            peer.hold();
        } else {
            peer.send(response("200 OK", "ok"));
        }
    });
    let (upstream, world, token) = started(script, |setup| setup);
    let calm = world.descriptors();
    for _ in 0..10 {
        let mut wire = world.wire();
        wire.send(get("/orders/endless", &token.bearer()));
        assert!(crate::world::eventually(PATIENCE, || upstream.saw("endless")));
        upstream.forget();
    }
    let released = crate::world::eventually(PATIENCE, || world.descriptors() <= calm + 1);
    assert!(released, "{calm} descriptors before, {} after", world.descriptors());
    assert_eq!(world.fetch("/orders/x", &token).status, 200);
}

#[test]
fn a_refused_request_whose_body_has_come_costs_no_connection() {
    let (upstream, world, token) = started(ok(), |setup| setup);
    let mut wire = world.wire();
    for nth in 0..3 {
        let refused = wire.send(post("/orders/x", "", "hello")).answer();
        assert_eq!(
            (refused.status, refused.field("connection")),
            (401, None),
            "{nth}: {refused:?}"
        );
    }
    assert_eq!(wire.send(get("/orders/x", &token.bearer())).answer().status, 200);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn http_1_0_clients_may_keep_their_connection() {
    let (_upstream, world, token) = started(ok(), |setup| setup);
    let fields = format!("{}Connection: Keep-Alive\r\n", token.bearer());
    let request = get("/orders/x", &fields).replace("HTTP/1.1", "HTTP/1.0");
    let mut wire = world.wire();
    for nth in 0..3 {
        let answer = wire.send(&request).answer();
        assert_eq!(answer.status, 200, "{nth}: {answer:?}");
        assert_eq!(answer.field("connection").as_deref(), Some("keep-alive"), "{nth}: {answer:?}");
    }
}
