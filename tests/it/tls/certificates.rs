//! Clients that show a certificate, or do not.

use super::pki::{Authority, Issued};
use super::{HOST, More, Stage};
use crate::upstream::ok;
use crate::wire::PATIENCE;
use crate::world::{eventually, get};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::{HandshakeKind, version};
use std::thread;
use std::time::Duration;

const ROUTES: &str = r#"
[[routes]]
name = "none"
path = "/none"
upstream = "main"
require = { service = "orders", organizations = "any", any_of = ["orders/reader"] }

[[routes]]
name = "optional"
path = "/optional"
upstream = "main"
client_certificate = "optional"
require = { service = "orders", organizations = "any", any_of = ["orders/reader"] }

[[routes]]
name = "required"
path = "/required"
upstream = "main"
client_certificate = "required"
require = { service = "orders", organizations = "any", any_of = ["orders/reader"] }

[[routes]]
name = "public"
path = "/public"
upstream = "main"
client_certificate = "required"
require = "public"
"#;

fn stage() -> (Stage, Authority) {
    let clients = Authority::new("clients");
    let stage = Stage::with(ok(), |_authority, files| More {
        client_ca: Some(files.put_text("clients.pem", &clients.pem)),
        routes: Some(ROUTES),
        ..More::default()
    });
    (stage, clients)
}

/// The field that tells of a certificate (RFC 9440 section 2.1).
fn told_of(issued: &Issued) -> String {
    format!(":{}:", BASE64_STANDARD.encode(&issued.der().0[0]))
}

#[test]
fn a_route_looks_at_no_certificate_takes_one_or_demands_one() {
    let (stage, clients) = stage();
    let identity = clients.client_identity("client.test");
    let bearer = stage.token.bearer();
    // Whatever a client says by itself of a certificate is taken off.
    let forged =
        format!("{bearer}Client-Cert: :Zm9yZ2Vk:\r\nclient_cert: x\r\nClient-Cert-Chain: y\r\n");
    for version in [&version::TLS13, &version::TLS12] {
        let with = stage.authority.client_of(Some(&identity), &[version]);
        let without = stage.authority.client_of(None, &[version]);
        for (path, status_without, tells) in [
            ("/none", 200, false),
            ("/optional", 200, true),
            ("/required", 403, true),
            ("/public", 403, true),
        ] {
            stage.upstream.forget();
            let told = stage.asks(&with, &get(path, &forged)).expect("an answer");
            assert_eq!(told.status, 200, "{path}: {told:?}");
            let asked = stage.upstream.only_request();
            let expected: Vec<_> = tells.then(|| told_of(&identity)).into_iter().collect();
            assert_eq!(asked.head.all("client-cert"), expected, "{path}");
            assert!(!asked.head.has("client-cert-chain") && !asked.head.has("client_cert"));

            stage.upstream.forget();
            let told = stage.asks(&without, &get(path, &forged)).expect("an answer");
            assert_eq!(told.status, status_without, "{path}: {told:?}");
            if status_without == 200 {
                assert!(!stage.upstream.only_request().head.has("client-cert"), "{path}");
            } else {
                let json: serde_json::Value = serde_json::from_slice(&told.body).expect("JSON");
                assert_eq!(json["error"], "certificate_required");
                // A token would not help.
                assert!(!told.head.has("www-authenticate"), "{told:?}");
                assert!(stage.upstream.requests().is_empty(), "{path}");
            }
        }
    }
    // A certificate is no token.
    let with = stage.authority.client(Some(&identity));
    assert_eq!(stage.asks(&with, &get("/required", "")).expect("an answer").status, 401);
    // Who resumes a session is who began it.
    let with = stage.authority.client(Some(&identity));
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut wire = stage.try_wire(&with, HOST).expect("a handshake");
        assert_eq!(wire.send(get("/required", &bearer)).answer().status, 200);
        assert_eq!(wire.tls().handshake_kind(), Some(expected));
        assert_eq!(
            stage.upstream.requests().pop().expect("a request").head.one("client-cert"),
            Some(told_of(&identity))
        );
    }
    // Counted, by its reason.
    assert!(stage.world.metric("bearward_requests_total").is_some_and(|sum| sum > 10.0));
}

#[test]
fn a_certificate_that_nobody_vouches_for_makes_no_connection() {
    let (stage, clients) = stage();
    let request = get("/none", &stage.token.bearer());
    let impostor = Authority::new("clients");
    let wrong = [
        ("stranger", Authority::new("strangers").client_identity("client.test")),
        ("impostor", impostor.client_identity("client.test")),
        ("ended", clients.ended_client("client.test")),
        ("a server's", clients.server(&["client.test"])),
        ("the gateway's authority", stage.authority.client_identity("client.test")),
    ];
    for (name, identity) in wrong {
        for version in [&version::TLS13, &version::TLS12] {
            let client = stage.authority.client_of(Some(&identity), &[version]);
            // A client that has only certificates of others may have none to show at all.
            let told = stage.asks(&client, &get("/required", &stage.token.bearer()));
            assert!(told.is_none_or(|told| told.status == 403), "{name}");
        }
    }
    assert!(stage.upstream.requests().is_empty());
    assert_eq!(stage.wire().send(request).answer().status, 200);
}

#[test]
fn a_certificate_that_ends_is_over_on_a_connection_that_goes_on() {
    let (stage, clients) = stage();
    let identity = clients.client_for("client.test", 4);
    let client = stage.authority.client(Some(&identity));
    let mut wire = stage.try_wire(&client, HOST).expect("a handshake");
    let bearer = stage.token.bearer();
    assert_eq!(wire.send(get("/required", &bearer)).answer().status, 200);
    let over = eventually(PATIENCE, || {
        thread::sleep(Duration::from_millis(100));
        wire.send(get("/required", &bearer)).answer().status == 403
    });
    assert!(over, "it is admitted for ever");
    stage.upstream.forget();
    assert_eq!(wire.send(get("/optional", &bearer)).answer().status, 200);
    assert!(!stage.upstream.only_request().head.has("client-cert"), "it is told of");
    // Nor does the session bring it back.
    let told = stage.asks(&client, &get("/required", &bearer));
    assert!(told.is_none_or(|told| told.status == 403));
}

#[test]
fn who_is_not_trusted_any_more_is_refused_on_the_next_request() {
    let (stage, clients) = stage();
    let identity = clients.client_identity("client.test");
    let client = stage.authority.client(Some(&identity));
    let bearer = stage.token.bearer();
    let mut kept = stage.try_wire(&client, HOST).expect("a handshake");
    assert_eq!(kept.send(get("/required", &bearer)).answer().status, 200);
    // Other authorities, in the place of those from before.
    let others = Authority::new("others");
    stage.files.put_text("clients.pem", &others.pem);
    let refused =
        eventually(PATIENCE, || kept.send(get("/required", &bearer)).answer().status == 403);
    assert!(refused, "{}", stage.world.told());
    assert_eq!(kept.send(get("/none", &bearer)).answer().status, 200, "it is a connection still");
    // And no session of theirs is resumed.
    let told = stage.asks(&client, &get("/required", &bearer));
    assert!(told.is_none_or(|told| told.status == 403));
    let client = stage.authority.client(Some(&others.client_identity("client.test")));
    assert_eq!(stage.asks(&client, &get("/required", &bearer)).expect("an answer").status, 200);
}

/// A12 of the list of attacks: nothing is asked of a client that could not be checked.
#[test]
fn a12_what_nobody_can_check_is_not_started() {
    let clients = Authority::new("clients");
    let files = super::Files::new();
    let own = files.put("gateway", &Authority::new("ours").server(&[HOST]));
    let garbage = files.put_text("garbage.pem", "no certificate");
    let other = files.put("other", &clients.server(&[HOST]));
    let crossed = super::named(&files.path("gateway.pem"), &files.path("other.key"));
    let keyless = super::named(&files.path("gateway.pem"), &garbage);
    let absent = super::named(&files.path("gateway.pem"), &files.path("absent.key"));
    let _ = other;
    let route = "client_certificate = \"required\"";
    for (tls, wants, expected) in [
        (format!("certificates = [{own}]"), true, "gateway.tls.client_ca"),
        (
            format!("certificates = [{own}], client_ca = \"{}\"", garbage.display()),
            true,
            "no certificate in PEM form",
        ),
        (format!("certificates = [{own}], client_ca = \"/nowhere.pem\""), true, "cannot be read"),
        (format!("certificates = [{crossed}]"), false, "is not the key of the certificate"),
        (format!("certificates = [{keyless}]"), false, "holds no private key"),
        (format!("certificates = [{absent}]"), false, "cannot be read"),
        ("certificates = []".to_owned(), false, "at least one"),
        (format!("client_ca = \"{}\"", garbage.display()), false, "needs `certificates`"),
    ] {
        let route = if wants { route } else { "" };
        let routes = format!(
            "[[routes]]\nname = \"r\"\npath = \"/\"\nupstream = \"main\"\n{route}\nrequire = \"public\"\n"
        );
        let world = crate::world::Setup::before_addresses(vec!["127.0.0.1:9".into()])
            .gateway(&format!("tls = {{ {tls} }}"))
            .routes(&routes)
            .unstarted();
        for command in ["check", "serve"] {
            let told = world.command(&[command]);
            let text = String::from_utf8_lossy(&told.stderr);
            assert!(!told.status.success() && text.contains(expected), "{command} {tls}: {text}");
            assert!(!text.contains("PRIVATE"), "{text}");
        }
    }
}
