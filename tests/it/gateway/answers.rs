//! The gateway's own answers: RFC 6750 challenges, 404, 405.

use super::started;
use crate::upstream::ok;
use crate::wire::{Answer, PATIENCE};
use crate::world::{Minted, TokenWish, World, get, get_from, post};
use serde_json::json;

const ROUTES: &str = r#"
[[routes]]
name = "read"
path = "/orders"
upstream = "main"
methods = ["GET", "HEAD"]
require = { service = "orders", organizations = "any", any_of = ["orders/reader", "orders/writer"] }

[[routes]]
name = "write"
path = "/orders"
upstream = "main"
methods = ["POST", "PUT"]
require = { service = "orders", organizations = "any", all_of = ["orders/writer"] }

[[routes]]
name = "both"
path = "/both"
upstream = "main"
require = { service = "orders", organizations = "any", all_of = ["orders/reader", "orders/writer"] }

[[routes]]
name = "ours"
path = "/ours"
upstream = "main"
require = { service = "orders", organizations = ["{org}"], any_of = ["orders/reader"] }

[[routes]]
name = "theirs"
path = "/theirs"
upstream = "main"
require = { service = "orders", organizations = ["org_00000000000000000000000002"], any_of = ["orders/reader"] }

[[routes]]
name = "any-token"
path = "/any-token"
upstream = "main"
require = { service = "orders", organizations = "any" }

[[routes]]
name = "get-only"
path = "/get-only"
upstream = "main"
methods = ["GET"]
require = "public"
"#;

fn challenge(answer: &Answer) -> String {
    answer.field("www-authenticate").unwrap_or_default()
}

/// The parameters of a challenge.
fn parameter(answer: &Answer, name: &str) -> Option<String> {
    let challenge = challenge(answer);
    let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

/// Holds what RFC 9110 asks of each answer that the gateway makes by itself.
#[track_caller]
fn is_our_own(variant: &str, answer: &Answer) {
    assert!(answer.head.has("content-length"), "{variant}: {answer:?}");
    assert!(!answer.text().contains("bwt_"), "{variant}: {answer:?}");
    let stored = answer.field("cache-control").unwrap_or_default();
    let denied = matches!(answer.status, 401 | 403);
    assert!(!denied || stored.contains("no-store"), "{variant}: may be cached: {answer:?}");
}

fn with_roles(world: &World, roles: &[(&str, &str)]) -> Minted {
    world.admin().mint(&TokenWish { service_roles: roles, ..TokenWish::default() })
}

#[test]
fn challenges_say_what_rfc_6750_says() {
    let (upstream, world, token) = started(ok(), |setup| setup.routes(ROUTES));
    for (variant, fields) in
        [("none", ""), ("Basic", "Authorization: Basic eDp5\r\n"), ("empty", "Authorization:\r\n")]
    {
        let answer = world.ask(get("/orders/x", fields));
        assert_eq!(answer.status, 401, "{variant}: {answer:?}");
        assert_eq!(challenge(&answer), "Bearer realm=\"bearward\"", "{variant}");
        is_our_own(variant, &answer);
    }
    let answer = world.ask(get("/orders/x", "Authorization: Bearer a b\r\n"));
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(challenge(&answer).starts_with("Bearer realm=\"bearward\", "), "{answer:?}");
    assert_eq!(parameter(&answer, "error").as_deref(), Some("invalid_request"));
    is_our_own("malformed", &answer);

    let answer = world.ask(get("/orders/x", "Authorization: Bearer unknown\r\n"));
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(challenge(&answer).starts_with("Bearer realm=\"bearward\", "), "{answer:?}");
    assert_eq!(parameter(&answer, "error").as_deref(), Some("invalid_token"));
    is_our_own("unknown", &answer);

    let answer = world.ask(post("/orders/x", &token.bearer(), "hello"));
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(challenge(&answer).starts_with("Bearer realm=\"bearward\", "), "{answer:?}");
    assert_eq!(parameter(&answer, "error").as_deref(), Some("insufficient_scope"));
    assert_eq!(parameter(&answer, "scope").as_deref(), Some("orders/writer"));
    is_our_own("lacks a role", &answer);
    assert_eq!(upstream.bytes(), 0, "a refused request went upstream");
    assert_eq!(world.fetch("/orders/x", &token).status, 200);
}

#[test]
fn the_realm_is_the_configured_one() {
    let (_upstream, world, _) = started(ok(), |setup| setup.gateway("realm = \"Acme APIs\""));
    let answer = world.ask(get("/orders/x", ""));
    assert_eq!(challenge(&answer), "Bearer realm=\"Acme APIs\"");
}

#[test]
fn requirements_are_any_of_and_all_of() {
    let (upstream, world, reader) = started(ok(), |setup| setup.routes(ROUTES));
    let writer = with_roles(&world, &[("orders", "writer")]);
    let both = with_roles(&world, &[("orders", "reader"), ("orders", "writer")]);
    let other = with_roles(&world, &[("billing", "reader")]);
    let none = with_roles(&world, &[]);
    // GET of a path by: reader, writer, both, another service's, nobody's.
    for (path, expected) in [
        ("/orders/x", [200, 200, 200, 403, 403]),
        ("/both/x", [403, 403, 200, 403, 403]),
        ("/any-token/x", [200, 200, 200, 200, 200]),
        ("/ours/x", [200, 403, 200, 403, 403]),
        ("/theirs/x", [403, 403, 403, 403, 403]),
    ] {
        let tokens = [&reader, &writer, &both, &other, &none];
        let statuses = tokens.map(|token| world.fetch(path, token).status);
        assert_eq!(statuses, expected, "{path}");
    }
    let posted = [&reader, &writer, &both]
        .map(|token| world.ask(post("/orders/x", &token.bearer(), "hello")).status);
    assert_eq!(posted, [403, 200, 200]);
    let scope = |path| parameter(&world.fetch(path, &none), "scope").unwrap_or_default();
    assert_eq!(scope("/orders/x"), "orders/reader orders/writer");
    assert_eq!(scope("/both/x"), "orders/reader orders/writer");
    assert_eq!(upstream.requests().len(), 13);
}

#[test]
fn a_role_of_an_owner_who_lost_it_no_longer_counts() {
    let (_upstream, world, _) = started(ok(), |setup| setup);
    let admin = world.admin();
    let user = admin.add_user("demoted", &[("orders", "reader"), ("orders", "writer")]);
    let wish = TokenWish { owner: Some(&user), ..TokenWish::default() };
    let token = admin.mint(&wish);
    assert_eq!(world.fetch("/orders/x", &token).status, 200);
    let reduced = json!({"service_roles": []});
    admin.org("PATCH", &format!("/users/{user}"), Some(&reduced)).expect(200);
    let answer = world.fetch("/orders/x", &token);
    assert_eq!(answer.status, 403, "{answer:?}");
    let role = json!({"service": "orders", "role": "reader"});
    let restored = json!({"service_roles": [role]});
    admin.org("PATCH", &format!("/users/{user}"), Some(&restored)).expect(200);
    assert_eq!(world.fetch("/orders/x", &token).status, 200);
}

#[test]
fn another_organization_s_token_is_refused() {
    let (upstream, mut world, ours) = started(ok(), |setup| setup.routes(ROUTES));
    let body = json!({"name": "Other", "owner": {"email": "ada@example.com", "name": "Ada"}});
    let made = world.admin().call("POST", "/orgs", Some(&body)).expect(201);
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let other = text(&made["organization"]["id"]);
    let theirs = Minted { id: text(&made["token"]["id"]), secret: text(&made["secret"]) };
    world.rewrite_routes(&ROUTES.replace("org_00000000000000000000000002", &other));
    world.signal("HUP");
    let routes =
        |token| ["/ours/x", "/theirs/x", "/any-token/x"].map(|path| world.fetch(path, token));
    assert!(crate::world::eventually(PATIENCE, || routes(&theirs)[1].status == 200));
    upstream.forget();
    let [refused, _, admitted] = routes(&theirs);
    assert_eq!((refused.status, admitted.status), (403, 200), "{refused:?} {admitted:?}");
    assert_eq!(parameter(&refused, "error").as_deref(), Some("insufficient_scope"));
    assert!(!refused.text().contains(&world.org), "it tells whose it is: {refused:?}");
    let arrived = upstream.requests();
    let named = |request: &crate::upstream::Request| request.head.one("X-Auth-Organization");
    assert_eq!(arrived.iter().filter_map(named).collect::<Vec<_>>(), [other.clone(), other]);
    let statuses = routes(&ours).map(|answer| answer.status);
    assert_eq!(statuses, [200, 403, 200]);
}

#[test]
fn no_route_is_404_and_another_method_is_405() {
    let (upstream, world, token) = started(ok(), |setup| setup.routes(ROUTES));
    for path in ["/", "/nowhere", "/order", "/ORDERS/x"] {
        let answer = world.fetch(path, &token);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert_eq!(world.ask(get(path, "")).status, 404, "{path}, without a token");
        is_our_own(path, &answer);
    }
    let all = "DELETE /orders/x HTTP/1.1\r\nHost: gateway.test\r\n";
    let answer = world.ask(format!("{all}{}\r\n", token.bearer()));
    assert_eq!(answer.status, 405, "{answer:?}");
    let allowed = answer.field("allow").unwrap_or_default();
    let mut allowed: Vec<_> = allowed.split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST", "PUT"], "{answer:?}");
    assert_eq!(world.ask(format!("{all}\r\n")).status, 405, "before any credential");
    let answer = world.ask(post("/get-only", "", "hello"));
    assert_eq!((answer.status, answer.field("allow").as_deref()), (405, Some("GET")), "{answer:?}");
    assert_eq!(upstream.bytes(), 0);
    assert_eq!(world.ask(get("/get-only", "")).status, 200);
}

#[test]
fn the_answer_to_head_has_no_body_when_it_is_ours_either() {
    let (_upstream, world, token) = started(ok(), |setup| setup);
    let mut wire = world.wire();
    for (path, fields, status) in [
        ("/orders/x", String::new(), 401),
        ("/nowhere", String::new(), 404),
        ("/billing/x", token.bearer(), 403),
        ("/orders/x", token.bearer(), 200),
    ] {
        let head = get(path, &fields).replace("GET", "HEAD");
        let answer = wire.send(head).answer_to("HEAD", PATIENCE).expect("an answer");
        // A body would be read as the beginning of the next answer.
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
}

#[test]
fn a_public_route_looks_at_no_credential() {
    let (upstream, world, token) = started(ok(), |setup| setup);
    for (variant, fields) in [
        ("none", String::new()),
        ("live", token.bearer()),
        ("unknown", "Authorization: Bearer unknown\r\n".to_owned()),
        ("malformed", "Authorization: Bearer a b\r\n".to_owned()),
        ("another scheme", "Authorization: Basic eDp5\r\n".to_owned()),
    ] {
        let answer = world.ask(get("/public/x", &fields));
        assert_eq!(answer.status, 200, "{variant}: {answer:?}");
    }
    assert_eq!(upstream.requests().len(), 5);
    // Nobody may read a token off a public upstream.
    assert!(!upstream.saw("bwt_"), "a bearer went to a public upstream");
}

#[test]
fn routes_are_chosen_by_host_then_by_the_longest_prefix() {
    const ROUTES: &str = r#"
[[routes]]
name = "a"
hosts = ["a.test"]
path = "/"
upstream = "main"
require = "public"

[[routes]]
name = "a-private"
hosts = ["a.test"]
path = "/private"
upstream = "main"
require = { service = "orders", organizations = "any", any_of = ["orders/reader"] }

[[routes]]
name = "a-private-open"
hosts = ["a.test"]
path = "/private/open"
upstream = "main"
require = "public"

[[routes]]
name = "any"
path = "/shared"
upstream = "main"
require = "public"

[[routes]]
name = "b"
hosts = ["b.test", "c.test"]
path = "/private"
upstream = "main"
require = "public"
"#;
    let (_upstream, world, _) = started(ok(), |setup| setup.routes(ROUTES));
    for (host, path, status) in [
        ("a.test", "/x", 200),
        ("a.test", "/private", 401),
        ("a.test", "/private/x", 401),
        ("a.test", "/private/open", 200),
        ("a.test", "/private/open/x", 200),
        ("a.test", "/private/openx", 401),
        ("b.test", "/private/x", 200),
        ("c.test", "/private/x", 200),
        ("b.test", "/x", 404),
        ("b.test", "/shared/x", 200),
        ("d.test", "/shared/x", 200),
        ("d.test", "/private/x", 404),
    ] {
        let answer = world.ask(get_from(host, path, ""));
        assert_eq!(answer.status, status, "{path} at {host}: {answer:?}");
    }
}
