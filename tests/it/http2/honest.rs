//! Requests over HTTP/2 are decided and forwarded as any other.

use super::Stage;
use crate::upstream::{answer, echo, ok, raw_kept, response, slow};
use crate::wire::PATIENCE;
use crate::world::{eventually, get};
use std::process::Command;
use std::thread;
use std::time::Duration;

#[test]
fn a_request_over_http2_is_served_as_any_other() {
    let stage = Stage::new(echo());
    let mut client = stage.client();
    let mut stranger = stage.fields("GET", "/orders/refused");
    stranger.retain(|(name, _)| name != "authorization");
    let streams: Vec<u32> = (0..20)
        .map(|nth| {
            if nth % 4 == 3 {
                return client.ask(&stranger, true);
            }
            let mut fields = stage.fields("GET", &format!("/orders/{nth}?x=1"));
            let identity = ("x-auth-subject".to_owned(), "somebody".to_owned());
            let crumbs = ["a=1", "b=2"].map(|crumb| ("cookie".to_owned(), crumb.to_owned()));
            fields.extend([identity].into_iter().chain(crumbs));
            client.ask(&fields, true)
        })
        .collect();
    for (nth, &stream) in streams.iter().enumerate() {
        let told = client.answer(stream);
        if nth % 4 == 3 {
            assert_eq!((told.status, told.is_ended), (Some(401), true), "{told:?}");
            assert!(told.text().contains("unauthorized"), "{told:?}");
        } else {
            assert_eq!((told.status, told.is_ended), (Some(200), true), "{told:?}");
            assert!(told.text().starts_with(&format!("GET /orders/{nth}?x=1 HTTP/1.1\n")));
        }
    }
    let asked = stage.upstream.requests();
    assert_eq!(asked.len(), 15);
    for request in &asked {
        let one = |name| request.head.one(name);
        assert_eq!(one("via").as_deref(), Some("2.0 bearward"));
        assert_eq!(one("host").as_deref(), Some("gateway.test"));
        assert_eq!(one("x-forwarded-host").as_deref(), Some("gateway.test"));
        assert_eq!(one("x-auth-subject").as_deref(), Some(stage.world.owner.as_str()));
        assert_eq!(one("cookie").as_deref(), Some("a=1; b=2"));
        assert!(!request.head.has("authorization") && !request.head.has("transfer-encoding"));
    }
    assert_eq!(stage.world.metric("bearward_connections"), Some(1.0));
}

#[test]
fn bodies_go_both_ways_with_and_without_a_length() {
    let stage = Stage::new(echo());
    let mut client = stage.client();
    for size in [0, 1, 16_384, 40_000] {
        let body: Vec<u8> = (0..size).map(|at| b'a' + u8::try_from(at % 26).unwrap()).collect();
        for with_length in [true, false] {
            let mut fields = stage.fields("POST", "/orders/body");
            if with_length {
                fields.push(("content-length".to_owned(), size.to_string()));
            }
            let stream = client.ask(&fields, false);
            client.body(stream, &body);
            let told = client.answer(stream);
            assert_eq!((told.status, told.is_ended), (Some(200), true), "{size}: {told:?}");
            assert!(told.body.ends_with(&body), "{size} bytes came back as others");
        }
    }
    let framed = |name: &str| {
        stage.upstream.requests().iter().filter(|request| request.head.has(name)).count()
    };
    assert_eq!((framed("content-length"), framed("transfer-encoding")), (4, 4));
}

#[test]
fn heads_only_statuses_and_interim_answers() {
    let stage = Stage::new(answer(|request| match request.target() {
        "/orders/none" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/orders/gone" => response("410 Gone", "gone"),
        _ => response("200 OK", if request.method() == "HEAD" { "" } else { "body" }),
    }));
    let mut client = stage.client();
    for (method, path, status, body) in [
        ("HEAD", "/orders/x", 200, ""),
        ("GET", "/orders/none", 204, ""),
        ("GET", "/orders/gone", 410, "gone"),
        ("GET", "/orders/x", 200, "body"),
        ("GET", "/nowhere", 404, "no"),
    ] {
        let stream = client.ask(&stage.fields(method, path), true);
        let told = client.answer(stream);
        assert_eq!((told.status, told.is_ended), (Some(status), true), "{path}: {told:?}");
        let found = told.text();
        assert!(if body == "no" { found.contains("not_found") } else { found == body }, "{found}");
    }
    // Who waits to be asked for the body is asked for it.
    let mut fields = stage.fields("POST", "/orders/x");
    fields.push(("expect".to_owned(), "100-continue".to_owned()));
    let stream = client.ask(&fields, false);
    assert!(client.until(PATIENCE, |client| client.told(stream).interim == [100]));
    client.body(stream, b"all");
    assert_eq!(client.answer(stream).status, Some(200));
}

#[test]
fn a_slow_stream_holds_up_no_other() {
    let stage = Stage::new(answer(|request| {
        if request.target() == "/orders/slow" {
            thread::sleep(Duration::from_secs(2));
        }
        response("200 OK", request.target())
    }));
    let mut client = stage.client();
    let slow = client.ask(&stage.fields("GET", "/orders/slow"), true);
    for nth in 0..50 {
        let stream = client.ask(&stage.fields("GET", &format!("/orders/{nth}")), true);
        assert_eq!(client.answer(stream).status, Some(200));
    }
    assert_eq!(client.told(slow).status, None, "the others waited for it");
    assert_eq!(client.answer(slow).text(), "/orders/slow");
}

#[test]
fn what_comes_piece_by_piece_goes_on_piece_by_piece() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\n";
    let stage = Stage::new(slow(head, &["one", "two", "end"], Duration::from_secs(1)));
    let mut client = stage.client();
    let stream = client.ask(&stage.fields("GET", "/orders/events"), true);
    for so_far in ["one", "onetwo", "onetwoend"] {
        assert!(client.until(PATIENCE, |client| !client.told(stream).body.is_empty()));
        assert!(client.until(PATIENCE, |client| client.told(stream).text() == so_far));
        assert_eq!(client.told(stream).is_ended, so_far.ends_with("end"));
    }
}

#[test]
fn a_token_is_judged_for_each_stream() {
    let stage = Stage::new(ok());
    let mut client = stage.client();
    let mut ask = || {
        let stream = client.ask(&stage.fields("GET", "/orders/x"), true);
        client.answer(stream).status
    };
    let admin = stage.world.admin();
    assert_eq!(ask(), Some(200));
    admin.deactivate(&stage.token);
    assert_eq!(ask(), Some(401));
    admin.activate(&stage.token);
    assert_eq!(ask(), Some(200));
    assert!(eventually(PATIENCE, || admin.use_count(&stage.token.id) == 2));
}

#[test]
fn trailers_go_to_those_who_take_them() {
    let stage = Stage::new(raw_kept(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\
         grpc-status: 0\r\nContent-Length: 7\r\n\r\n",
    ));
    for takes in [true, false] {
        let mut fields = stage.fields("GET", "/orders/x");
        if takes {
            fields.push(("te".to_owned(), "trailers".to_owned()));
        }
        let mut client = stage.client();
        let stream = client.ask(&fields, true);
        let told = client.answer(stream);
        assert_eq!((told.text().as_str(), told.is_ended, told.trailers), ("ok", true, takes));
    }
}

#[test]
fn an_answer_that_breaks_off_does_not_look_complete() {
    let stage = Stage::new(crate::upstream::raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ));
    let mut client = stage.client();
    let stream = client.ask(&stage.fields("GET", "/orders/x"), true);
    let told = client.answer(stream);
    assert_eq!((told.is_ended, told.reset), (false, Some(2)), "INTERNAL_ERROR");
    // The others go on.
    let mut fields = stage.fields("GET", "/public/x");
    fields.retain(|(name, _)| name != "authorization");
    stage.upstream.behave(ok());
    let stream = client.ask(&fields, true);
    assert_eq!(client.answer(stream).status, Some(200));
}

#[test]
fn without_h2c_its_beginning_is_no_request() {
    let (upstream, world) = {
        let upstream = crate::upstream::Upstream::start(ok());
        let world = crate::world::Setup::before(&upstream).start();
        (upstream, world)
    };
    let told = world.ask(super::frames::PREFACE);
    assert_eq!(told.status, 505, "{told:?}");
    assert_eq!(upstream.connections(), 0);
    // Nor is it one where a request went before.
    let stage = Stage::new(ok());
    let mut wire = stage.world.wire();
    assert_eq!(wire.send(get("/orders/x", &stage.token.bearer())).answer().status, 200);
    assert_eq!(wire.send(super::frames::PREFACE).answer().status, 505);
    assert!(wire.ends(PATIENCE));
}

#[test]
fn sigterm_loses_no_stream() {
    let mut stage = Stage::new(answer(|request| {
        thread::sleep(Duration::from_millis(700));
        response("200 OK", request.target())
    }));
    let mut idle = stage.client();
    let stream = idle.ask(&stage.fields("GET", "/orders/x"), true);
    assert_eq!(idle.answer(stream).status, Some(200));
    let mut client = stage.client();
    let streams: Vec<u32> =
        (0..30).map(|_| client.ask(&stage.fields("GET", "/orders/x"), true)).collect();
    assert!(eventually(PATIENCE, || stage.upstream.requests().len() > 30));
    stage.world.terminate();
    for stream in streams {
        let told = client.answer(stream);
        assert_eq!((told.status, told.is_ended), (Some(200), true), "{told:?}");
    }
    for client in [&mut client, &mut idle] {
        assert!(client.ends(PATIENCE));
        assert_eq!(client.goaway, Some(0), "it was told");
    }
    let status = stage.world.ended(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", stage.world.told());
}

#[test]
fn curl_speaks_it_without_tls() {
    let stage = Stage::new(echo());
    let told = Command::new("curl")
        .args(["-sS", "--http2-prior-knowledge", "-w", "\n%{http_version} %{http_code}"])
        .args(["-H", "Host: gateway.test", "-H", &format!("Authorization: {}", stage.credential())])
        .args(["--data-binary", "hello"])
        .arg(format!("http://{}/orders/x", stage.world.gateway))
        .output()
        .expect("curl is needed");
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(text.starts_with("POST /orders/x HTTP/1.1\nhello\n2 200"), "{told:?}");
}
