//! The data port over TLS: what an honest client sees.

use super::{HOST, More, Stage};
use crate::upstream::{answer, echo, huge, ok, raw, response};
use crate::wire::{Cut, PATIENCE};
use crate::world::{eventually, get, get_from, post};
use rustls::{Connection, HandshakeKind, ProtocolVersion, version};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

#[test]
fn a_request_over_tls_is_served_as_any_other() {
    let stage = Stage::new(echo());
    let bearer = stage.token.bearer();
    for (version, expected) in
        [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let client = stage.authority.client_of(None, &[version]);
        let mut wire = stage.try_wire(&client, HOST).expect("a handshake");
        assert_eq!(wire.tls().protocol_version(), Some(expected));
        // One after the other, several at once, refused in between, with bodies of all sizes.
        for nth in 0..3 {
            let told = wire.send(get(&format!("/orders/{nth}"), &bearer)).answer();
            assert_eq!((told.status, told.cut), (200, None), "{told:?}");
        }
        assert_eq!(wire.send(get("/orders/x", "")).answer().status, 401);
        wire.send(get("/orders/a", &bearer) + &get("/orders/b", &bearer));
        assert!(wire.answer().text().starts_with("GET /orders/a "));
        assert!(wire.answer().text().starts_with("GET /orders/b "));
        for size in [1, 16_383, 16_384, 16_385, 40_000, 3 << 20] {
            let body = "x".repeat(size);
            wire.send(post("/orders/body", &bearer, &body));
            let told = wire.answer();
            assert_eq!((told.status, told.cut), (200, None));
            assert!(told.text().ends_with(&body), "{size} bytes came back as others");
        }
    }
    let asked = stage.upstream.requests();
    assert!(asked.iter().all(|request| {
        request.head.one("x-forwarded-proto").as_deref() == Some("https")
            && !request.head.has("authorization")
    }));
}

#[test]
fn an_absolute_target_names_the_scheme_of_the_connection() {
    let stage = Stage::new(echo());
    let ask = |scheme: &str| {
        let target = format!("{scheme}://{HOST}/orders/x");
        stage.wire().send(get(&target, &stage.token.bearer())).answer().status
    };
    assert_eq!((ask("https"), ask("http")), (200, 400));
}

#[test]
fn who_speaks_plain_http_is_told_so() {
    let stage = Stage::new(ok());
    let mut wire = stage.world.wire();
    let told = wire.send(get("/orders/x", &stage.token.bearer())).answer();
    assert_eq!(told.status, 400, "{told:?}");
    let json: serde_json::Value = serde_json::from_slice(&told.body).expect("JSON");
    assert_eq!(json["error"], "bad_request", "{json}");
    assert!(wire.ends(PATIENCE));
    assert_eq!(stage.upstream.connections(), 0);
}

#[test]
fn the_certificate_goes_by_the_name_that_is_asked_for() {
    const NAMES: [(&str, &[&str]); 3] = [
        ("other", &["other.test", "third.test"]),
        ("wild", &["*.wild.test", "wild.test"]),
        ("exact", &["exact.wild.test"]),
    ];
    let mut issued = Vec::new();
    let stage = Stage::with(ok(), |authority, files| {
        issued.extend(NAMES.map(|(file, names)| (file, authority.server(names))));
        let certificates = issued.iter().map(|(file, issued)| files.put(file, issued)).collect();
        More { certificates, ..More::default() }
    });
    for (host, expected) in [
        ("other.test", "other"),
        ("third.test", "other"),
        ("wild.test", "wild"),
        ("any.wild.test", "wild"),
        ("exact.wild.test", "exact"),
    ] {
        let mut wire = stage.try_wire(&stage.client, host).expect(host);
        let shown = wire.tls().peer_certificates().expect("one is shown")[0].clone();
        let found = issued.iter().find(|(_, issued)| issued.der().0[0] == shown);
        assert_eq!(found.map(|(file, _)| *file), Some(expected), "{host}");
        let request = get_from(host, "/orders/x", &stage.token.bearer());
        assert_eq!(wire.send(request).answer().status, 200, "{host}");
    }
    // A name of which there is no certificate, and none at all: the first one, in any case of
    // letters.
    for host in ["nowhere.test", "two.labels.wild.test"] {
        assert!(stage.try_wire(&stage.client, host).is_err(), "{host}");
    }
    let ca = stage.files.put_text("ca.pem", &stage.authority.pem);
    for (arguments, expected) in [
        (&["-noservername"][..], HOST),
        (&["-servername", "nowhere.test"], HOST),
        (&["-servername", "OTHER.Test"], "third.test"),
    ] {
        let told = Command::new("openssl")
            .args(["s_client", "-verify_return_error", "-verify_hostname", expected, "-CAfile"])
            .arg(&ca)
            .args(arguments)
            .args(["-connect", &stage.world.gateway.to_string()])
            .stdin(Stdio::null())
            .output()
            .expect("openssl is needed");
        assert!(told.status.success(), "{arguments:?}: {told:?}");
    }
}

#[test]
fn a_session_is_resumed_whoever_serves_it() {
    let stage = Stage::new(ok());
    for version in [&version::TLS13, &version::TLS12] {
        let client = stage.authority.client_of(None, &[version]);
        let request = get("/orders/x", &stage.token.bearer());
        let mut kinds = Vec::new();
        for _ in 0..6 {
            let mut wire = stage.try_wire(&client, HOST).expect("a handshake");
            assert_eq!(wire.send(&request).answer().status, 200);
            kinds.push(wire.tls().handshake_kind().expect("it is through"));
        }
        let resumed = kinds.iter().filter(|kind| **kind == HandshakeKind::Resumed).count();
        assert_eq!(resumed, 5, "{version:?}: {kinds:?}");
    }
    assert!(stage.world.metric("bearward_tls_handshakes_total").is_some_and(|sum| sum >= 12.0));
}

/// S5 of the list of attacks.
#[test]
fn s5_there_is_no_early_data() {
    let stage = Stage::new(ok());
    let mut client = Arc::unwrap_or_clone(stage.authority.client_of(None, &[&version::TLS13]));
    client.enable_early_data = true;
    let client = Arc::new(client);
    let request = get("/orders/x", &stage.token.bearer());
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut wire = stage.try_wire(&client, HOST).expect("a handshake");
        assert_eq!(wire.send(&request).answer().status, 200);
        assert_eq!(wire.tls().handshake_kind(), Some(expected));
        let Connection::Client(tls) = wire.tls() else { panic!("a client") };
        assert!(!tls.is_early_data_accepted());
        // The ticket of a session that takes none says so.
        assert!(tls.early_data().is_none());
    }
}

#[test]
fn another_host_than_the_connection_was_made_to_is_misdirected() {
    let stage = Stage::new(ok());
    let bearer = stage.token.bearer();
    for host in [HOST, "GATEWAY.test", "gateway.test:443", "gateway.test."] {
        let told = stage.wire().send(get_from(host, "/orders/x", &bearer)).answer();
        assert_eq!(told.status, 200, "{host}: {told:?}");
    }
    for host in ["other.test", "gateway.test.other", "127.0.0.1", "x.gateway.test"] {
        let mut wire = stage.wire();
        let told = wire.send(get_from(host, "/orders/y", &bearer)).answer();
        assert_eq!(told.status, 421, "{host}: {told:?}");
        assert!(wire.ends(PATIENCE));
    }
    assert!(!stage.upstream.saw("/orders/y"));
}

#[test]
fn sigterm_answers_and_announces_the_end() {
    const COUNT: usize = 20;
    let mut stage = Stage::new(answer(|request| {
        thread::sleep(Duration::from_millis(300));
        response("200 OK", request.target())
    }));
    let request = get("/orders/x", &stage.token.bearer());
    let mut idle = stage.wire();
    assert_eq!(idle.send(&request).answer().status, 200);
    let mut wires: Vec<_> = (0..COUNT).map(|_| stage.wire()).collect();
    for wire in &mut wires {
        wire.send(&request);
    }
    let arrived = || stage.upstream.requests().len() > COUNT;
    assert!(eventually(PATIENCE, arrived), "{}", stage.world.told());
    stage.world.terminate();
    for wire in &mut wires {
        let told = wire.answer_to("GET", PATIENCE).expect("an answer");
        assert_eq!(told.field("connection").as_deref(), Some("close"), "{told:?}");
    }
    for wire in wires.iter_mut().chain([&mut idle]) {
        // Not cut off: announced.
        assert_eq!(wire.rest(PATIENCE), (Vec::new(), Cut::Closed));
    }
    drop((wires, idle));
    let status = stage.world.ended(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", stage.world.told());
}

#[test]
fn an_answer_that_breaks_off_is_not_announced_as_its_end() {
    let stage =
        Stage::new(raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"));
    // To HTTP/1.0 the body goes on until the end of the connection, so the end must be a broken one.
    let request = format!("GET /orders/x HTTP/1.0\r\nHost: {HOST}\r\n{}\r\n", stage.token.bearer());
    let told = stage.wire().send(request).answer();
    assert_eq!((told.text().as_str(), told.cut), ("abc", Some(Cut::Reset)));
}

#[test]
fn a_reader_over_tls_that_does_not_read_is_closed() {
    let stage = Stage::with(huge(256 << 20), |_authority, _files| More {
        limits: &["write_idle_timeout = \"1s\""],
        ..More::default()
    });
    let before = stage.world.memory();
    let mut wires: Vec<_> = (0..20).map(|_| stage.wire()).collect();
    for wire in &mut wires {
        wire.send(get("/orders/x", &stage.token.bearer()));
    }
    let open = || stage.world.metric("bearward_connections");
    assert!(eventually(PATIENCE, || stage.upstream.connections() == wires.len()));
    let grown = stage.world.memory().saturating_sub(before);
    assert!(grown < 20 << 20, "{grown} bytes are held for those who do not read");
    assert!(eventually(PATIENCE, || open() == Some(0.0)), "{:?}", open());
    // One that reads slowly, but reads, goes on: what counts is what leaves.
    let mut slow = stage.wire();
    slow.send(get("/orders/x", &stage.token.bearer()));
    slow.answer_head();
    for _ in 0..25 {
        assert!(slow.some(PATIENCE).is_ok());
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn curl_and_openssl_agree() {
    let stage = Stage::new(ok());
    let ca = stage.files.put_text("ca.pem", &stage.authority.pem);
    let port = stage.world.gateway.port();
    let resolve = format!("{HOST}:{port}:{}", stage.world.gateway.ip());
    let bearer = format!("Authorization: Bearer {}", stage.token.secret);
    for (version, http, expected) in [
        (["--tls-max", "1.3"], "--http1.1", "200 1.1"),
        (["--tls-max", "1.2"], "--http1.1", "200 1.1"),
        (["--tls-max", "1.3"], "--http2", "200 2"),
        (["--tls-max", "1.2"], "--http2", "200 2"),
    ] {
        let told = Command::new("curl")
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--cacert"])
            .arg(&ca)
            .args(["--resolve", &resolve, "-H", &bearer])
            .args(version)
            .arg(http)
            .arg(format!("https://{HOST}:{port}/orders/x"))
            .output()
            .expect("curl is needed");
        assert_eq!(String::from_utf8_lossy(&told.stdout), expected, "{told:?}");
    }
    // TLS before 1.2 is not spoken.
    let told = Command::new("openssl")
        .args(["s_client", "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0", "-connect"])
        .arg(stage.world.gateway.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("openssl is needed");
    assert!(!told.status.success(), "{told:?}");
}
