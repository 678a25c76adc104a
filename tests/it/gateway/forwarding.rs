//! What the gateway adds to a message, and what it takes away.

use super::started;
use crate::upstream::{Upstream, answer, ok, raw_kept, response, slow};
use crate::wire::lossy;
use crate::world::{Setup, TokenWish, get, get_from, post};
use std::time::Duration;

#[test]
fn the_upstream_learns_who_calls() {
    let (upstream, world, token) = started(ok(), |setup| setup);
    let answer = world.fetch("/orders/x", &token);
    assert_eq!(answer.status, 200);
    let arrived = upstream.only_request();
    assert_eq!(arrived.head.one("X-Auth-Subject"), Some(world.owner.clone()));
    assert_eq!(arrived.head.one("X-Auth-Organization"), Some(world.org.clone()));
    assert_eq!(arrived.head.one("X-Auth-Token-Id"), Some(token.id));
    assert_eq!(arrived.head.one("X-Auth-Scope").as_deref(), Some("org_member orders/reader"));
    assert!(!arrived.head.has("authorization"), "{arrived:?}");
}

#[test]
fn the_scope_is_what_token_and_owner_share() {
    let (upstream, world, _) = started(ok(), |setup| setup);
    let admin = world.admin();
    let user = admin.add_user("narrow", &[("orders", "reader"), ("billing", "reader")]);
    let roles = [("orders", "reader"), ("billing", "reader")];
    let wish = TokenWish { owner: Some(&user), service_roles: &roles, ..TokenWish::default() };
    let token = admin.mint(&wish);
    let scope = || {
        upstream.forget();
        assert_eq!(world.fetch("/orders/x", &token).status, 200);
        let scope = upstream.only_request().head.one("X-Auth-Scope").unwrap_or_default();
        let mut scope: Vec<_> = scope.split(' ').map(str::to_owned).collect();
        scope.sort_unstable();
        scope
    };
    assert_eq!(scope(), ["billing/reader", "orders/reader", "org_member"]);
    let role = serde_json::json!({"service": "orders", "role": "reader"});
    let fewer = serde_json::json!({"org_roles": [], "service_roles": [role]});
    admin.org("PATCH", &format!("/users/{user}"), Some(&fewer)).expect(200);
    assert_eq!(scope(), ["orders/reader"], "the owner has fewer roles now");
}

#[test]
fn forwarding_fields_are_right() {
    let (upstream, world, token) = started(ok(), |setup| setup);
    let request = get_from("api.example.com:8080", "/orders/x", &token.bearer());
    assert_eq!(world.ask(request).status, 200);
    let arrived = upstream.only_request();
    assert_eq!(arrived.head.one("X-Forwarded-For").as_deref(), Some("127.0.0.1"));
    assert_eq!(arrived.head.one("X-Forwarded-Proto").as_deref(), Some("http"));
    assert_eq!(arrived.head.one("X-Forwarded-Host").as_deref(), Some("api.example.com:8080"));
    let via = arrived.head.one("Via").unwrap_or_default();
    assert!(via.starts_with("1.1 "), "Via names the protocol it came by: `{via}`");
    assert_eq!(arrived.head.all("host").len(), 1, "{arrived:?}");
}

#[test]
fn via_is_appended_on_both_ways() {
    let script = raw_kept("HTTP/1.1 200 OK\r\nVia: 1.1 behind\r\nContent-Length: 0\r\n\r\n");
    let (upstream, world, token) = started(script, |setup| setup);
    let fields = format!("{}Via: 1.0 before\r\n", token.bearer());
    let answer = world.ask(get("/orders/x", &fields));
    let via = upstream.only_request().head.all("Via").join(", ");
    let entries: Vec<_> = via.split(", ").collect();
    assert_eq!((entries.len(), entries[0]), (2, "1.0 before"), "{via}");
    let via = answer.head.all("Via").join(", ");
    assert!(via.starts_with("1.1 behind"), "the upstream's entry comes first: `{via}`");
    let old = get("/orders/x", &token.bearer()).replace("HTTP/1.1", "HTTP/1.0");
    upstream.forget();
    assert_eq!(world.ask(old).status, 200);
    let via = upstream.only_request().head.one("Via").unwrap_or_default();
    assert!(via.starts_with("1.0 "), "it came by HTTP/1.0: `{via}`");
}

#[test]
fn fields_of_the_connection_end_with_it() {
    let script = answer(|_| {
        b"HTTP/1.1 200 OK\r\nConnection: X-Theirs, keep-alive\r\nKeep-Alive: timeout=5\r\n\
          X-Theirs: hop\r\nProxy-Authenticate: Basic\r\nProxy-Connection: keep-alive\r\n\
          Upgrade: h2c\r\nX-Kept: theirs\r\nContent-Length: 2\r\n\r\nok"
            .to_vec()
    });
    let (upstream, world, token) = started(script, |setup| setup);
    let fields = format!(
        "{}Connection: X-Ours, keep-alive\r\nX-Ours: hop\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: gzip\r\n\
         X-Kept: ours\r\nAccept-Encoding: gzip\r\nCookie: a=b\r\n",
        token.bearer()
    );
    let answer = world.ask(get("/orders/x", &fields));
    let arrived = upstream.only_request();
    for name in [
        "X-Ours",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authorization",
        "TE",
        "Transfer-Encoding",
        "Upgrade",
    ] {
        assert!(!arrived.head.has(name), "{name} went upstream: {arrived:?}");
    }
    for (name, value) in [("X-Kept", "ours"), ("Accept-Encoding", "gzip"), ("Cookie", "a=b")] {
        assert_eq!(arrived.head.one(name).as_deref(), Some(value), "{arrived:?}");
    }
    for name in ["X-Theirs", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Upgrade"] {
        assert!(!answer.head.has(name), "{name} came back: {answer:?}");
    }
    assert_eq!((answer.text().as_str(), answer.field("X-Kept").as_deref()), ("ok", Some("theirs")));
}

#[test]
fn answers_keep_their_fields() {
    let script = raw_kept(
        "HTTP/1.1 299 Fine By Me\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nWWW-Authenticate: Foo\r\n\
         Server: theirs\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nX-Bytes: caf\u{e9}\r\n\
         Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok",
    );
    let (_upstream, world, token) = started(script, |setup| setup);
    let answer = world.fetch("/orders/x", &token);
    assert_eq!(answer.status, 299, "{answer:?}");
    assert_eq!(answer.head.all("Set-Cookie"), ["a=1", "b=2"]);
    for (name, value) in [
        ("WWW-Authenticate", "Foo"),
        ("Server", "theirs"),
        ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("X-Bytes", "caf\u{e9}"),
        ("Content-Type", "text/plain"),
        ("Content-Length", "2"),
    ] {
        assert_eq!(answer.field(name).as_deref(), Some(value), "{answer:?}");
    }
}

#[test]
fn the_upstream_s_own_credential_takes_the_place_of_the_bearer() {
    const ROUTES: &str = r#"
[[routes]]
name = "orders"
path = "/orders"
upstream = "main"
require = { service = "orders", organizations = "any", any_of = ["orders/reader"] }

[[routes]]
name = "public"
path = "/public"
upstream = "main"
require = "public"
"#;
    let upstream = Upstream::start(ok());
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let file = directory.path().join("credential");
    std::fs::write(&file, "Basic c2VydmljZTpzZWNyZXQ=\n").expect("the directory is writable");
    let line = format!("credential = {{ file = \"{}\" }}", file.display());
    let world = Setup::before(&upstream).upstream(&line).routes(ROUTES).start();
    let token = world.mint();
    for (path, fields) in [
        ("/orders/x", token.bearer()),
        ("/public/x", String::new()),
        ("/public/x", "Authorization: Basic bWluZTptaW5l\r\n".to_owned()),
    ] {
        upstream.forget();
        assert_eq!(world.ask(get(path, &fields)).status, 200, "{path}");
        let arrived = upstream.only_request();
        let expected = ["Basic c2VydmljZTpzZWNyZXQ="];
        assert_eq!(arrived.head.all("authorization"), expected, "{path}: {arrived:?}");
    }
    assert!(!world.told().contains("c2VydmljZTpzZWNyZXQ"), "it is on standard error");
}

#[test]
fn a_prefix_is_stripped_only_where_the_route_says_so() {
    const ROUTES: &str = r#"
[[routes]]
name = "stripped"
path = "/api/v1"
upstream = "main"
strip_prefix = true
require = "public"

[[routes]]
name = "kept"
path = "/api"
upstream = "main"
require = "public"
"#;
    let (upstream, world, _) = started(ok(), |setup| setup.routes(ROUTES));
    for (target, expected) in [
        ("/api/v1/things?q=1", "/things?q=1"),
        ("/api/v1", "/"),
        ("/api/v2/things", "/api/v2/things"),
        ("/api", "/api"),
    ] {
        upstream.forget();
        assert_eq!(world.ask(get(target, "")).status, 200, "{target}");
        assert_eq!(upstream.only_request().target(), expected, "{target}");
    }
}

#[test]
fn requests_are_spread_over_the_addresses_of_an_upstream() {
    // All at once: one after the other, a single kept connection would do for all of them.
    let answer = response("200 OK", "ok");
    let script = slow("", &[&lossy(&answer)], Duration::from_millis(100));
    let upstreams = [Upstream::start(script.clone()), Upstream::start(script)];
    let addresses = upstreams.iter().map(|upstream| upstream.address.to_string()).collect();
    let world = Setup::before_addresses(addresses).start();
    let token = world.mint();
    let mut wires: Vec<_> = (0..8).map(|_| world.wire()).collect();
    for _ in 0..5 {
        for wire in &mut wires {
            wire.send(post("/orders/x", &token.bearer(), "hello"));
        }
        for wire in &mut wires {
            let answer = wire.answer();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    let counts = upstreams.each_ref().map(|upstream| upstream.requests().len());
    assert_eq!(counts.iter().sum::<usize>(), 40, "{counts:?}");
    assert!(counts.iter().all(|&count| count >= 8), "one address got nearly all: {counts:?}");
}
