//! D1 to D9: what the upstream is told, and what nobody is told.

use super::Stage;
use crate::upstream::{Request, ok};
use crate::world::{Minted, get, post};
use std::fs;

const IDENTITY: [&str; 4] =
    ["X-Auth-Subject", "X-Auth-Organization", "X-Auth-Token-Id", "X-Auth-Scope"];

/// Holds that the upstream was told who called, by us and by nobody else.
#[track_caller]
fn tells_the_truth(stage: &Stage, variant: &str, arrived: &Request) {
    let truth = [
        stage.world.owner.clone(),
        stage.world.org.clone(),
        stage.token.id.clone(),
        "org_member orders/reader".to_owned(),
    ];
    for (name, value) in IDENTITY.iter().zip(truth) {
        assert_eq!(arrived.head.all(name), [value], "{variant}: {name}: {arrived:#?}");
    }
    let raw = String::from_utf8_lossy(&arrived.head.raw).to_lowercase();
    assert!(!raw.contains("evil"), "{variant}: {arrived:#?}");
}

#[test]
fn d1_identity_headers_of_the_client_are_deleted() {
    let stage = Stage::new();
    for name in IDENTITY {
        let fields = format!("{name}: evil\r\n");
        let arrived = stage.passes(name, stage.get("/orders/x", &fields));
        tells_the_truth(&stage, name, &arrived);
        // Where nobody is authenticated, nobody is named either.
        let arrived = stage.passes(name, get("/public/x", &fields));
        for name in IDENTITY {
            assert!(!arrived.head.has(name), "public: {arrived:#?}");
        }
        // Not even with a token that the route does not look at.
        let arrived = stage.passes(name, stage.get("/public/x", &fields));
        assert_eq!(arrived.head.all(name), Vec::<String>::new(), "public: {arrived:#?}");
    }
}

#[test]
fn d1_renamed_identity_headers_are_deleted_too() {
    let stage = Stage::with(ok(), |setup| {
        setup.extra("[identity]\nsubject = \"Remote-User\"\nscope = \"Remote-Groups\"\n")
    });
    let fields = "Remote-User: evil\r\nremote_user: evil\r\nREMOTE-GROUPS: evil\r\n";
    let request = stage.get("/orders/x", "");
    let arrived = stage.passes("renamed, honest", request);
    assert_eq!(arrived.head.all("Remote-User"), [&*stage.world.owner]);
    assert_eq!(arrived.head.all("Remote-Groups"), ["org_member orders/reader"]);
    assert!(!arrived.head.has("X-Auth-Subject"), "{arrived:#?}");
    let answer = stage.world.ask(stage.get("/orders/x", fields));
    stage.honest("renamed");
    if answer.status != 400 {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for arrived in stage.arrived() {
        assert_eq!(arrived.head.all("Remote-User"), [&*stage.world.owner]);
        assert!(!String::from_utf8_lossy(&arrived.head.raw).contains("evil"), "{arrived:#?}");
    }
}

#[test]
fn d2_aliases_are_deleted() {
    let stage = Stage::new();
    for name in ["My_Field", "My.Field", "x.auth", "x_auth_subjects", "xauthsubject"] {
        let arrived = stage.passes(name, stage.get("/orders/x", &format!("{name}: 1\r\n")));
        assert_eq!(arrived.head.one(name).as_deref(), Some("1"), "an innocent name: {arrived:#?}");
    }
    for name in [
        "x_auth_subject",
        "X_Auth_Subject",
        "X-Auth_Subject",
        "X_Auth-Subject",
        "x_auth_organization",
        "x_auth_token_id",
        "X-Auth-Token_Id",
        "x_auth_scope",
        "x.auth.subject",
        "X.Auth.Subject",
        "x-auth.subject",
        "x_auth.subject",
        "x.auth-organization",
        "x.auth_token.id",
        "x-auth-token.id",
        "x~auth~scope",
        "x!auth!scope",
        "x|auth|scope",
        "x+auth+scope",
        "x$auth%scope",
        "x'auth`scope",
        "x^auth#scope",
        "x&auth*scope",
    ] {
        let alias_of = |known: &str| {
            let plain = |name: &str| {
                name.replace(|char: char| !char.is_ascii_alphanumeric(), "-").to_ascii_lowercase()
            };
            plain(known) == plain(name)
        };
        for path in ["/orders/x", "/public/x"] {
            let arrived = stage.passes(name, stage.get(path, &format!("{name}: evil\r\n")));
            // A hyphen is what ours have.
            let mut fields = arrived.head.fields.iter();
            let is_alias = |(known, _): &(String, Vec<u8>)| {
                alias_of(known) && !IDENTITY.iter().any(|ours| ours.eq_ignore_ascii_case(known))
            };
            assert!(!fields.any(is_alias), "{name}: {arrived:#?}");
            let raw = String::from_utf8_lossy(&arrived.head.raw);
            assert!(!raw.contains("evil"), "{name}: {arrived:#?}");
            if path == "/orders/x" {
                tells_the_truth(&stage, name, &arrived);
            }
        }
    }
}

#[test]
fn d3_connection_cannot_take_our_fields_away() {
    let stage = Stage::new();
    for (variant, fields) in [
        ("one", "Connection: x-auth-subject\r\n".to_owned()),
        ("all", format!("Connection: {}\r\n", IDENTITY.join(", "))),
        ("with close", format!("Connection: close, {}\r\n", IDENTITY.join(","))),
        ("sent as well", "Connection: X-Auth-Scope\r\nX-Auth-Scope: evil\r\n".to_owned()),
        ("two fields", "Connection: x-auth-subject\r\nConnection: x-auth-scope\r\n".to_owned()),
    ] {
        let arrived = stage.passes(variant, stage.get("/orders/x", &fields));
        tells_the_truth(&stage, variant, &arrived);
    }
    for name in ["Host", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"] {
        let fields = format!("Connection: {name}\r\n");
        let arrived = stage.passes(name, stage.get("/orders/x", &fields));
        assert!(arrived.head.one(name).is_some_and(|value| !value.is_empty()), "{arrived:#?}");
    }
    // A framing field named there is no field of the connection: the body must stay a body.
    for name in ["Content-Length", "Transfer-Encoding"] {
        stage.arrived();
        let fields = format!("{}Connection: {name}\r\n", stage.bearer());
        let answer = stage.world.ask(post("/orders/x", &fields, "hello"));
        stage.honest(name);
        let arrived = stage.arrived();
        if answer.status == 400 {
            assert!(arrived.is_empty(), "{name}: refused and yet forwarded: {arrived:#?}");
        } else {
            assert_eq!((answer.status, arrived.len()), (200, 1), "{name}: {answer:?} {arrived:#?}");
            assert_eq!(arrived[0].body.bytes, b"hello", "{name}: {arrived:#?}");
        }
    }
}

#[test]
fn d4_odd_case_makes_no_second_field() {
    let stage = Stage::new();
    for name in IDENTITY {
        let odd: String = name
            .char_indices()
            .map(
                |(at, c)| if at % 2 == 0 { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() },
            )
            .collect();
        for name in [odd, name.to_lowercase(), name.to_uppercase()] {
            let arrived = stage.passes(&name, stage.get("/orders/x", &format!("{name}: evil\r\n")));
            tells_the_truth(&stage, &name, &arrived);
        }
    }
}

#[test]
fn d5_each_value_of_a_repeated_field_counts() {
    let stage = Stage::new();
    let twice = "X-Auth-Subject: evil\r\nX-Between: 1\r\nX-Auth-Subject: evil too\r\n";
    let arrived = stage.passes("identity, twice", stage.get("/orders/x", twice));
    tells_the_truth(&stage, "identity, twice", &arrived);

    let named = "Connection: x-first\r\nConnection: close, x-second\r\n\
                 X-First: evil\r\nX-Second: evil\r\nX-Third: kept\r\n";
    let arrived = stage.passes("Connection, twice", stage.get("/orders/x", named));
    tells_the_truth(&stage, "Connection, twice", &arrived);
    assert_eq!(arrived.head.all("X-Third"), ["kept"]);

    let repeated = "X-Multi: a\r\nX-Multi: b\r\nX-Multi: c\r\n";
    let arrived = stage.passes("an ordinary field", stage.get("/orders/x", repeated));
    let joined = arrived.head.all("X-Multi").join(", ");
    assert_eq!(joined, "a, b, c", "values must be kept, in order: {arrived:#?}");
}

#[test]
fn d6_forwarding_fields_of_a_stranger_are_replaced() {
    let stage = Stage::new();
    let fields = "X-Forwarded-For: 10.9.8.7\r\nX-Forwarded-For: 10.9.8.6\r\n\
                  X-Forwarded-Proto: evil\r\nX-Forwarded-Host: evil.test\r\n\
                  X-Forwarded-Port: 666\r\nX-Forwarded-Prefix: /evil\r\n\
                  Forwarded: for=10.9.8.7;host=evil.test\r\nX-Real-IP: 10.9.8.7\r\n";
    for path in ["/orders/x", "/public/x"] {
        let arrived = stage.passes(path, stage.get(path, fields));
        assert_eq!(arrived.head.all("X-Forwarded-For"), ["127.0.0.1"], "{arrived:#?}");
        assert_eq!(arrived.head.all("X-Forwarded-Proto"), ["http"], "{arrived:#?}");
        assert_eq!(arrived.head.all("X-Forwarded-Host"), ["gateway.test"], "{arrived:#?}");
        let raw = String::from_utf8_lossy(&arrived.head.raw);
        for lie in ["10.9.8.", "evil"] {
            assert!(!raw.contains(lie), "{path}: {lie} went through: {arrived:#?}");
        }
    }
}

#[test]
fn d8_the_bearer_is_neither_forwarded_nor_logged() {
    let stage = Stage::with(ok(), |setup| setup.gateway("access_log = \"-\""));
    let dead = stage.world.mint();
    stage.world.admin().deactivate(&dead);
    let secrets = [&stage.token, &dead, &stage.world.owner_credential()].map(|t| t.secret.clone());
    let near_miss = format!("{}x", stage.token.secret);
    let presented = |field: String| get("/orders/x", &field);
    for (variant, request, status) in [
        ("admitted", stage.get("/orders/x", ""), 200),
        ("public", stage.get("/public/x", ""), 200),
        ("deactivated", presented(dead.bearer()), 401),
        ("another scheme", presented(format!("Authorization: Basic {}\r\n", secrets[0])), 401),
        ("malformed", presented(format!("Authorization: Bearer  {}\r\n", secrets[0])), 400),
        ("near miss", presented(format!("Authorization: Bearer {near_miss}\r\n")), 401),
        ("twice", stage.get("/orders/x", &stage.bearer()), 400),
        ("no such route", stage.get("/nowhere", ""), 404),
        ("no such role", stage.get("/billing/x", ""), 403),
        ("broken head", stage.get("/orders/x", "broken\r\n"), 400),
    ] {
        let answer = stage.world.ask(request);
        assert_eq!(answer.status, status, "{variant}: {answer:?}");
        for secret in &secrets {
            assert!(!answer.text().contains(secret.as_str()), "{variant}: {answer:?}");
            assert!(!format!("{:?}", answer.head).contains(secret.as_str()), "{variant}");
        }
    }
    for request in stage.upstream.requests() {
        assert!(!request.head.has("authorization"), "{request:#?}");
    }
    let mut world = stage.world;
    world.restart();
    let logged = fs::read_to_string(world.file("stdout")).expect("the access log");
    assert!(logged.lines().count() >= 9, "the access log says too little:\n{logged}");
    for secret in secrets {
        // Without its checksum it is as good as whole.
        let body = &secret[..secret.len() - 6];
        assert!(!stage.upstream.saw(body), "a secret went upstream");
        assert!(!logged.contains(body), "a secret is in the access log:\n{logged}");
        assert!(!world.told().contains(body), "a secret is on standard error:\n{}", world.told());
        let stored = fs::read(world.store()).expect("the store file");
        assert_eq!(crate::wire::find(&stored, body.as_bytes()), None, "a secret is in the store");
    }
}

#[test]
fn d9_control_characters_are_escaped_in_the_log() {
    let stage = Stage::with(ok(), |setup| setup.gateway("access_log = \"-\""));
    let requests = [
        ("escapes in the path", stage.get("/orders/%1b[31m%0d%0aX", "")),
        ("quotes in the path", stage.get("/orders/\"quoted\"'x'", "")),
        ("quotes in a field", stage.get("/orders/x", "User-Agent: \"a\\\",\\\"b\":\"c\"\r\n")),
        ("a tab in a field", stage.get("/orders/x", "User-Agent: a\tb\r\n")),
        ("obs-text in a field", stage.get("/orders/x", "User-Agent: \u{9b}31m\u{2028}\r\n")),
        ("markup", stage.get("/orders/<script>", "Referer: <script>\r\n")),
        ("a long path", stage.get(&format!("/orders/{}", "x".repeat(8000)), "")),
        ("an odd method", format!("X-{} / HTTP/1.1\r\nHost: gateway.test\r\n\r\n", "Y".repeat(60))),
    ];
    for (variant, request) in &requests {
        let answer = stage.world.ask(request);
        assert!((200..500).contains(&answer.status), "{variant}: {answer:?}");
    }
    stage.honest("all of them");
    let mut world = stage.world;
    world.restart();
    let logged = fs::read(world.file("stdout")).expect("the access log");
    for line in logged.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let shown = String::from_utf8_lossy(line);
        assert!(!line.iter().any(u8::is_ascii_control), "a bare control character: {shown:?}");
        let parsed = serde_json::from_slice::<serde_json::Value>(line);
        assert!(parsed.is_ok_and(|line| line.is_object()), "no JSON object: {shown:?}");
    }
    let lines = logged.split(|&byte| byte == b'\n').count() - 1;
    // At least what was forwarded; a request that never was one may have no line.
    assert!((5..=requests.len() + 1).contains(&lines), "{lines} lines:\n{logged:?}");
}

#[test]
fn a_bearer_is_forwarded_only_where_a_route_says_so_and_never_an_administrator_s() {
    const ROUTES: &str = r#"
[[routes]]
name = "with"
path = "/with"
upstream = "main"
forward_bearer = true
require = { service = "orders", organizations = "any", any_of = ["orders/reader"] }

[[routes]]
name = "orders"
path = "/orders"
upstream = "main"
require = { service = "orders", organizations = "any", any_of = ["orders/reader"] }
"#;
    let stage = Stage::with(ok(), |setup| setup.routes(ROUTES));
    let admin = stage.world.admin();
    let with_roles = |org_roles: &[&str]| -> Minted {
        admin.mint(&crate::world::TokenWish { org_roles, ..Default::default() })
    };
    let bearer = |token: &Minted| vec![format!("Bearer {}", token.secret)];
    let none = Vec::<String>::new();
    let member = with_roles(&["org_member"]);
    let plain = with_roles(&[]);
    let [owner, administrator] = [with_roles(&["org_owner"]), with_roles(&["org_admin"])];
    for (variant, token, path, expected) in [
        ("a member's", &member, "/with/x", bearer(&member)),
        ("nobody's in the organization", &plain, "/with/x", bearer(&plain)),
        ("a member's", &member, "/orders/x", none.clone()),
        ("an owner's", &owner, "/with/x", none.clone()),
        ("an administrator's", &administrator, "/with/x", none),
    ] {
        stage.upstream.forget();
        let answer = stage.world.ask(get(path, &token.bearer()));
        assert_eq!(answer.status, 200, "{variant} on {path}: {answer:?}");
        let arrived = stage.upstream.only_request();
        assert_eq!(arrived.head.all("authorization"), expected, "{variant} on {path}");
    }
}
