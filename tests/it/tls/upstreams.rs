//! Upstreams over TLS: with the one that is meant and with nobody else, never in the clear.

use super::Files;
use super::pki::{Authority, Issued};
use crate::upstream::{Upstream, echo, ok, raw};
use crate::wire::{Cut, PATIENCE};
use crate::world::{Setup, World, eventually, get, post};
use rustls::ServerConfig;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A gateway before an upstream over TLS at `localhost`, with these keys in the upstream's `tls`.
fn before(upstream: &Upstream, tls: &str) -> World {
    let address = format!("https://localhost:{}", upstream.address.port());
    Setup::before_addresses(vec![address])
        .upstream(&format!("tls = {{ {tls} }}"))
        .upstream("connect_timeout = \"5s\"")
        .start()
}

struct Scene {
    authority: Authority,
    files: Files,
}

impl Scene {
    fn new() -> Self {
        Self { authority: Authority::new("upstreams"), files: Files::new() }
    }

    fn roots(&self) -> String {
        let path = self.files.put_text("roots.pem", &self.authority.pem);
        format!("roots = \"{}\"", path.display())
    }

    fn showing(&self, identity: &Issued) -> Arc<ServerConfig> {
        self.authority.server_of(identity, false)
    }
}

#[test]
fn an_upstream_over_tls_is_one_like_any_other() {
    let scene = Scene::new();
    let tls = scene.showing(&scene.authority.server(&["localhost"]));
    let upstream = Upstream::secured(echo(), tls);
    let world = before(&upstream, &scene.roots());
    let token = world.mint();
    let mut wire = world.wire();
    for size in [0, 10, 20_000, 3 << 20] {
        let body = "y".repeat(size);
        let told = wire.send(post("/orders/x", &token.bearer(), &body)).answer();
        assert_eq!((told.status, told.cut), (200, None), "{size}");
        assert!(told.text().ends_with(&body), "{size}");
    }
    for nth in 0..20 {
        let told = world.fetch(&format!("/orders/{nth}"), &token);
        assert_eq!(told.status, 200, "{told:?}");
        // Tickets that come late must not make a connection look as if it had something to say.
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(upstream.connections(), 1 + usize::from(upstream.connections() > 1));
    assert!(upstream.saw("x-auth-subject"));
}

/// S4 of the list of attacks.
#[test]
fn s4_a_bad_certificate_of_an_upstream_is_502_and_nothing_is_told() {
    let scene = Scene::new();
    let good = scene.authority.server(&["localhost"]);
    let upstream = Upstream::secured(ok(), scene.showing(&good));
    let world = before(&upstream, &scene.roots());
    let token = world.mint();
    let request = post("/orders/secret", &token.bearer(), "in the body");
    let strangers = Authority::new("strangers");
    let impostor = Authority::new("upstreams");
    for (name, config) in [
        ("stranger", strangers.server_of(&strangers.server(&["localhost"]), false)),
        ("impostor", impostor.server_of(&impostor.server(&["localhost"]), false)),
        ("another name", scene.showing(&scene.authority.server(&["elsewhere.test"]))),
        ("ended", scene.showing(&scene.authority.ended_server(&["localhost"]))),
        ("a client's", scene.showing(&scene.authority.client_identity("localhost"))),
    ] {
        upstream.speak(config);
        let before = upstream.connections();
        let told = world.ask(&request);
        assert_eq!(told.status, 502, "{name}: {told:?}");
        assert!(upstream.connections() > before, "{name}: it was not even tried");
        assert_eq!(upstream.bytes(), 0, "{name}: {:?}", upstream.recorded());
    }
    // One that speaks no TLS sees a handshake and never a request.
    let plain = Upstream::start(Arc::new(|peer| {
        peer.some();
        peer.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    }));
    let world_of_plain = before(&plain, &scene.roots());
    let token_of_plain = world_of_plain.mint();
    let secret = post("/orders/secret", &token_of_plain.bearer(), "in the body");
    assert_eq!(world_of_plain.ask(&secret).status, 502);
    assert!(plain.connections() > 0 && plain.bytes() > 0);
    for word in ["POST", "secret", "body", "x-auth", "HTTP"] {
        assert!(!plain.saw(word), "{word} in the clear");
    }
    // One that is right again is used again.
    upstream.speak(scene.showing(&good));
    let again = eventually(PATIENCE, || world.fetch("/orders/x", &token).status == 200);
    assert!(again, "{}", world.told());
    let told = world.told();
    assert!(told.contains("UnknownIssuer") && told.contains("not valid for name"), "{told}");
}

#[test]
fn the_system_s_authorities_know_nothing_of_ours() {
    let scene = Scene::new();
    let tls = scene.showing(&scene.authority.server(&["localhost"]));
    let upstream = Upstream::secured(ok(), tls);
    let address = format!("https://localhost:{}", upstream.address.port());
    let world = Setup::before_addresses(vec![address]).start();
    let token = world.mint();
    assert_eq!(world.fetch("/orders/x", &token).status, 502);
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn an_upstream_may_be_meant_by_another_name_and_may_ask_who_we_are() {
    let scene = Scene::new();
    let identity = scene.authority.server(&["orders.internal"]);
    let upstream = Upstream::secured(ok(), scene.authority.server_of(&identity, true));
    let us = scene.authority.client_identity("gateway");
    scene.files.put("us", &us);
    let key = |key: &str, file: &str| format!("{key} = \"{}\"", scene.files.path(file).display());
    let (cert, key) = (key("client_cert", "us.pem"), key("client_key", "us.key"));
    let name = "server_name = \"orders.internal\"";
    for (tls, expected) in [
        (format!("{}, {name}, {cert}, {key}", scene.roots()), 200),
        (format!("{}, {name}", scene.roots()), 502),
        (format!("{}, {cert}, {key}", scene.roots()), 502),
    ] {
        let world = before(&upstream, &tls);
        let token = world.mint();
        assert_eq!(world.fetch("/orders/x", &token).status, expected, "{tls}: {}", world.told());
    }
}

#[test]
fn an_answer_whose_end_was_not_announced_is_no_whole_one() {
    let scene = Scene::new();
    let tls = scene.showing(&scene.authority.server(&["localhost"]));
    // It goes on until the end of the connection, of which TLS must tell: this upstream does not.
    let upstream = Upstream::secured(raw(b"HTTP/1.1 200 OK\r\n\r\nall of it?"), tls);
    let world = before(&upstream, &scene.roots());
    let token = world.mint();
    let told = world.wire().send(get("/orders/x", &token.bearer())).answer();
    assert_eq!(told.status, 200);
    assert!(matches!(told.cut, Some(Cut::Closed | Cut::Reset)), "{told:?}");
}

#[test]
fn keys_of_an_upstream_s_tls_are_held_against_each_other() {
    let scene = Scene::new();
    let us = scene.authority.client_identity("gateway");
    scene.files.put("us", &us);
    let cert = format!("client_cert = \"{}\"", scene.files.path("us.pem").display());
    let errors = |addresses: &[&str], tls: &str| {
        let addresses = addresses.iter().map(|&address| address.to_owned()).collect();
        let world = Setup::before_addresses(addresses).upstream(tls).unstarted();
        let told = world.command(&["check"]);
        assert!(!told.status.success(), "{tls}");
        String::from_utf8_lossy(&told.stderr).into_owned()
    };
    let secure = ["https://localhost:9"];
    for (addresses, tls, expected) in [
        (&["127.0.0.1:9"][..], "tls = { server_name = \"a.test\" }", "no meaning without TLS"),
        (&["127.0.0.1:9", "https://localhost:9"], "", "or none"),
        (&["http://localhost:9"], "", "without a scheme"),
        (&secure, &format!("tls = {{ {cert} }}"), "needs `client_key` beside it"),
        (&secure, "tls = { roots = \"/nowhere\" }", "cannot be read"),
        (&secure, "tls = { server_name = \"a b\" }", "tls.server_name"),
        (&secure, "tls = { verify = false }", "is not a key that exists here"),
    ] {
        let told = errors(addresses, tls);
        assert!(told.contains(expected), "{tls}: {told}");
    }
}
