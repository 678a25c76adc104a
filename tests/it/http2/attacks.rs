//! H1 to H13 of the list of attacks: what is said in HTTP/2 to confuse, or to keep busy.

use super::Stage;
use super::frames::{
    ACK, CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING,
    PROTOCOL_ERROR, SETTINGS, WINDOW_UPDATE, block, frame,
};
use crate::upstream::{echo, huge, ok, silent};
use crate::wire::PATIENCE;
use std::time::Duration;

/// Sends a request with these changes on a connection of its own: the status, and the code with which
/// the stream, or the connection with it, was reset.
fn asked(stage: &Stage, path: &str, changes: &[(&str, &str)]) -> (Option<u16>, Option<u32>) {
    let mut client = stage.client();
    let stream = client.ask(&stage.but(path, changes), true);
    let over = |client: &Client| {
        let told = client.told(stream);
        told.is_ended || told.reset.or(client.goaway).is_some()
    };
    assert!(client.until(PATIENCE, over), "{path} {changes:?}: no answer");
    let told = client.told(stream);
    (told.status, told.reset.or(client.goaway))
}

/// Whether a connection ends with this code while the gateway lives.
fn ends_with(stage: &Stage, client: &mut Client, code: u32, variant: &str) {
    assert!(client.ends(PATIENCE), "{variant}: it was kept");
    assert_eq!(client.goaway, Some(code), "{variant}");
    stage.honest(variant);
}

#[test]
fn h1_rapid_reset() {
    let stage = Stage::new(ok());
    let mut client = stage.client();
    for _ in 0..1_000 {
        let stream = client.ask(&stage.fields("GET", "/orders/x"), true);
        client.reset(stream);
    }
    ends_with(&stage, &mut client, ENHANCE_YOUR_CALM, "rapid reset");
    assert!(stage.upstream.requests().len() < 200, "they were forwarded");
}

#[test]
fn h2_made_to_reset() {
    let stage = Stage::new(silent());
    let mut client = stage.client();
    for _ in 0..1_000 {
        let stream = client.ask(&stage.fields("GET", "/orders/x"), true);
        // No window can be that wide: the stream is reset, by us.
        client.send(&frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes()));
    }
    assert!(client.ends(PATIENCE), "it was kept");
    assert_eq!(client.goaway, Some(ENHANCE_YOUR_CALM));
    // The upstream says nothing to anybody; the gateway still does.
    let (status, _) = asked(&stage, "/orders/x", &[("authorization", "Bearer nobody")]);
    assert_eq!(status, Some(401));
}

#[test]
fn h3_a_head_without_an_end() {
    let stage = Stage::new(ok());
    let mut client = stage.client();
    client.send(&frame(HEADERS, END_STREAM, 1, &block(&stage.fields("GET", "/orders/x"))));
    let piece = block(&[("x-more", "x".repeat(1_000))]);
    let before = stage.world.memory();
    let taken = (0..100_000).take_while(|_| client.send(&frame(CONTINUATION, 0, 1, &piece)));
    assert!(taken.count() < 50_000, "it was read on and on");
    assert!(stage.world.memory().saturating_sub(before) < 16 << 20);
    assert!(client.ends(PATIENCE));
    stage.honest("a head without an end");
    assert!(!stage.upstream.saw("/orders/x"));
}

#[test]
fn h4_a_flood_of_empty_data() {
    let stage = Stage::new(echo());
    let mut honest = stage.client();
    let streams: Vec<u32> =
        (0..100).map(|_| honest.ask(&stage.fields("POST", "/orders/x"), false)).collect();
    let mut client = stage.client();
    let stream = client.ask(&stage.fields("POST", "/orders/flood"), false);
    let empty = frame(DATA, 0, stream, b"").repeat(1_000);
    let _taken = (0..200).take_while(|_| client.send(&empty)).count();
    ends_with(&stage, &mut client, ENHANCE_YOUR_CALM, "empty data");
    // Many streams with small bodies are no flood.
    for round in 0..20 {
        for &stream in &streams {
            honest.send(&frame(DATA, if round == 19 { END_STREAM } else { 0 }, stream, b"x"));
        }
    }
    for stream in streams {
        let told = honest.answer(stream);
        assert_eq!(told.status, Some(200));
        assert!(told.text().ends_with(&"x".repeat(20)), "{told:?}");
    }
}

#[test]
fn h5_floods_of_ping_and_settings_are_answered_within_bounds() {
    let stage = Stage::new(ok());
    for (variant, flood) in [
        ("ping", frame(PING, 0, 0, &[7; 8])),
        ("settings", frame(SETTINGS, 0, 0, b"")),
        ("acknowledgements", frame(PING, ACK, 0, &[7; 8])),
    ] {
        let before = stage.world.memory();
        let mut client = stage.client();
        let _taken = (0..100).take_while(|_| client.send(&flood.repeat(100))).count();
        let stream = client.ask(&stage.fields("GET", "/orders/x"), true);
        let over = |client: &Client| client.told(stream).is_ended || client.is_closed;
        assert!(client.until(PATIENCE, over), "{variant}");
        assert!(stage.world.memory().saturating_sub(before) < 16 << 20, "{variant}");
        assert!(variant != "ping" || client.pongs <= 10_000);
        stage.honest(variant);
    }
}

#[test]
fn h6_a_head_that_is_too_long_when_it_is_unpacked() {
    let stage = Stage::new(ok());
    let mut client = stage.client();
    // One entry of the table, and then that again and again: a byte each for 4,000.
    let mut bomb = block(&stage.fields("GET", "/orders/bomb"));
    bomb.extend([0x40, 1, b'a', 127, 0x81, 0x1e]);
    bomb.extend([b'x'; 4_000]);
    bomb.extend([0xbe; 1_000]);
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb));
    let told = client.answer(1);
    assert!(told.status == Some(431) || told.reset.is_some(), "{told:?}");
    let many: Vec<_> = (0..200).map(|nth| (format!("x-{nth}"), "x".to_owned())).collect();
    let mut client = stage.client();
    let stream = client.ask(&[stage.fields("GET", "/orders/many"), many].concat(), true);
    assert_eq!(client.answer(stream).status, Some(431));
    assert!(!stage.upstream.saw("/orders/bomb") && !stage.upstream.saw("/orders/many"));
}

#[test]
fn h7_a_length_that_is_not_that_of_the_data() {
    let stage = Stage::new(echo());
    for (length, body) in [("3", "four"), ("5", "four"), ("x", "four"), ("+4", "four")] {
        let mut client = stage.client();
        let stream = client.ask(&stage.but("/orders/x", &[("content-length", length)]), false);
        client.body(stream, body.as_bytes());
        let told = client.answer(stream);
        assert!(told.reset.is_some() || told.status == Some(400), "{length}: {told:?}");
    }
    // Two of them, and one without any data.
    let mut fields = stage.but("/orders/x", &[("content-length", "4")]);
    fields.push(fields[fields.len() - 1].clone());
    let mut client = stage.client();
    let stream = client.ask(&fields, false);
    client.body(stream, b"four");
    assert!(!matches!(client.answer(stream).status, Some(200)));
    let (status, reset) = asked(&stage, "/orders/x", &[("content-length", "4")]);
    assert_eq!((status, reset), (None, Some(PROTOCOL_ERROR)));
    assert!(stage.upstream.requests().iter().all(|request| !request.is_complete()));
}

#[test]
fn h8_fields_of_a_connection() {
    let stage = Stage::new(ok());
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("connection", "x-auth-subject"),
        ("keep-alive", "1"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("X-Upper", "x"),
        (":status", "200"),
        (":unknown", "x"),
    ] {
        let told = asked(&stage, "/orders/x", &[(name, value)]);
        assert!(told.0.is_none() && told.1.is_some(), "{name}: {told:?}");
        stage.honest(name);
    }
    assert!(!stage.upstream.saw("/orders/x"));
}

#[test]
fn h9_line_breaks_in_fields_and_pseudo_fields() {
    let stage = Stage::new(ok());
    for name in ["x-field", "cookie", ":path", ":authority", ":method", ":scheme", "x\r\nname"] {
        for bad in ["a\r\nx-auth-subject: b", "a\nb", "a\rb", "a\0b", "a b\u{7f}"] {
            let value = if name == ":path" { format!("/orders/x{bad}") } else { bad.to_owned() };
            let mut client = stage.client();
            let stream = client.ask(&stage.but("/orders/x", &[(name, &value)]), true);
            let over = |client: &Client| {
                let told = client.told(stream);
                told.reset.is_some() || told.status.is_some() || client.is_closed
            };
            assert!(client.until(PATIENCE, over), "{name} {bad:?}");
            let status = client.told(stream).status;
            assert!(matches!(status, None | Some(400)), "{name} {bad:?}: {status:?}");
        }
    }
    assert!(!stage.upstream.saw("/orders/x"));
    stage.honest("line breaks");
}

#[test]
fn h10_a_path_that_is_none() {
    let stage = Stage::new(ok());
    for path in ["orders/x", "http://gateway.test/orders/x", "*", "?x", "/orders/../x", "/a b"] {
        let (status, reset) = asked(&stage, path, &[]);
        assert!(status == Some(400) || (status.is_none() && reset.is_some()), "{path}: {status:?}");
    }
    for missing in [":path", ":method", ":scheme"] {
        let (status, reset) = asked(&stage, "/orders/x", &[(missing, "")]);
        assert!(status.is_none() && reset.is_some(), "{missing}: {status:?}");
    }
    // Another scheme than the connection's is another origin.
    assert_eq!(asked(&stage, "/orders/x", &[(":scheme", "https")]).0, Some(400));
    assert!(!stage.upstream.saw("orders/x"));
    // A fragment is cut off before anybody sees it: what is matched is what goes on.
    assert_eq!(asked(&stage, "/orders/y#/../z", &[]).0, Some(200));
    assert_eq!(stage.upstream.only_request().target(), "/orders/y");
}

#[test]
fn h11_an_authority_unlike_the_host() {
    let stage = Stage::new(ok());
    let ask = |changes: &[(&str, &str)]| asked(&stage, "/orders/x", changes).0;
    assert_eq!(ask(&[("host", "other.test")]), Some(400));
    assert_eq!(ask(&[(":authority", "")]), Some(400));
    assert!(matches!(ask(&[(":authority", "somebody@gateway.test")]), Some(400) | None));
    assert!(!stage.upstream.saw("/orders/x"));
    assert_eq!(ask(&[("host", "GATEWAY.test")]), Some(200));
    assert_eq!(ask(&[(":authority", ""), ("host", "gateway.test")]), Some(200));
}

#[test]
fn h12_connect() {
    let stage = Stage::new(ok());
    let gone = [(":method", "CONNECT"), (":path", ""), (":scheme", "")];
    assert_eq!(asked(&stage, "", &gone).0, Some(405));
    let tunnel = [(":method", "CONNECT"), (":protocol", "websocket")];
    let told = asked(&stage, "/orders/x", &tunnel);
    assert!(told.0 != Some(200), "{told:?}");
    assert_eq!(asked(&stage, "/orders/x", &[(":method", "TRACE")]).0, Some(405));
    assert_eq!(stage.upstream.connections(), 0);
    stage.honest("CONNECT");
}

#[test]
fn h13_a_window_that_stays_shut() {
    let stage = Stage::with(huge(1 << 30), |setup| setup.limit("write_idle_timeout = \"1s\""));
    let mut client = Client::with(stage.world.gateway, &[(4, 0)]);
    client.opens_windows = false;
    let streams: Vec<u32> =
        (0..50).map(|_| client.ask(&stage.fields("GET", "/orders/x"), true)).collect();
    for stream in streams {
        let told = client.answer(stream);
        assert!(told.reset.is_some() && told.body.is_empty(), "{told:?}");
    }
    assert!(client.until(Duration::from_secs(1), |_| true));
    stage.upstream.behave(ok());
    stage.honest("a window that stays shut");
}
