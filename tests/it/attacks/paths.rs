//! P1 to P9: the bytes that choose the route are the bytes that go upstream.

use super::Stage;
use crate::upstream::ok;
use crate::world::{get, get_from};

/// A protected prefix within a public everything: where a confused path does the most harm.
const OPEN_ROOT: &str = r#"
[[routes]]
name = "orders"
path = "/orders"
upstream = "main"
require = { service = "orders", organizations = "any", any_of = ["orders/reader"] }

[[routes]]
name = "lenient"
path = "/lenient"
upstream = "main"
lenient_path = true
require = "public"

[[routes]]
name = "stripped"
path = "/stripped"
upstream = "main"
strip_prefix = true
require = "public"

[[routes]]
name = "root"
path = "/"
upstream = "main"
require = "public"
"#;

fn stage() -> Stage {
    Stage::with(ok(), |setup| setup.routes(OPEN_ROOT))
}

/// Holds that a path is refused, or else goes upstream byte for byte on the route that these bytes
/// name, for callers with and without a token.
#[track_caller]
fn same_bytes_or_refused(stage: &Stage, path: &str) {
    for fields in [String::new(), stage.bearer()] {
        let answer = stage.world.ask(get(path, &fields));
        stage.honest(path);
        let arrived = stage.arrived();
        match answer.status {
            400 | 401 => {
                assert!(arrived.is_empty(), "{path}: refused, yet forwarded: {arrived:#?}");
            }
            200 => {
                assert_eq!(arrived.len(), 1, "{path}: {arrived:#?}");
                assert_eq!(arrived[0].target(), path, "the path was rewritten");
                let named = path == "/orders" || path.starts_with("/orders/");
                assert_eq!(
                    arrived[0].head.has("x-auth-subject"),
                    named,
                    "{path} was matched as something else: {arrived:#?}"
                );
            }
            _ => panic!("{path}: {answer:?}"),
        }
    }
}

#[track_caller]
fn refused(stage: &Stage, path: &str) {
    for fields in [String::new(), stage.bearer()] {
        let answer = stage.world.ask(get(path, &fields));
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        stage.untouched(path);
    }
}

#[test]
fn p1_dot_segments() {
    let stage = stage();
    let arrived = stage.passes("dots within names", get("/a..b/.hidden/x.y/...", ""));
    assert_eq!(arrived.target(), "/a..b/.hidden/x.y/...");
    for path in [
        "/public/../orders/x",
        "/public/%2e%2e/orders/x",
        "/public/%2E%2E/orders/x",
        "/public/.%2e/orders/x",
        "/public/%2e./orders/x",
        "/public/x/../../orders/x",
        "/../orders/x",
        "/./orders/x",
        "/%2e/orders/x",
        "/orders/../public",
        "/orders/..",
        "/orders/.",
        "/..",
    ] {
        same_bytes_or_refused(&stage, path);
    }
}

#[test]
fn p1_encoded_letters_do_not_change_the_route() {
    let stage = stage();
    // What an upstream decodes to `/orders` must not come in by the public root.
    for path in ["/%6frders/x", "/%6Frders/x", "/order%73/x", "/orders%2fx", "/%6f%72ders"] {
        refused(&stage, path);
    }
    let arrived = stage.passes("encoded elsewhere", stage.get("/orders/a%20b%C3%A9", ""));
    assert_eq!(arrived.target(), "/orders/a%20b%C3%A9");
    assert!(arrived.head.has("x-auth-subject"));
}

#[test]
fn p2_encoded_slashes_backslashes_and_empty_segments() {
    let stage = stage();
    for path in [
        "/orders%2Fx",
        "/x%2forders",
        "/public%2F..%2Forders",
        "/x%5Corders",
        "/x%5corders",
        "/x\\orders",
        "//orders/x",
        "/x//orders",
        "/orders//x",
        "/orders/x//",
        "/public/%2F%2F",
    ] {
        refused(&stage, path);
    }
    for path in ["/lenient/a%2Fb", "/lenient/a%5Cb", "/lenient/a//b", "/lenient/a%2f%2Fb//"] {
        let arrived = stage.passes(path, get(path, ""));
        assert_eq!(arrived.target(), path, "a lenient route forwards the same bytes");
    }
    // Leniency is the route's: it does not begin before the prefix.
    for path in ["//lenient/x", "/lenient%2Fx", "/x%2Flenient"] {
        refused(&stage, path);
    }
}

#[test]
fn p3_path_parameters() {
    let stage = stage();
    for path in [
        "/orders;x",
        "/orders;x/y",
        "/;x/orders",
        "/.;/orders/x",
        "/public/..;/orders/x",
        "/orders/x;y=z",
        "/orders/%2e;/x",
    ] {
        refused(&stage, path);
    }
    let arrived = stage.passes("a lenient route", get("/lenient/a;b=c", ""));
    assert_eq!(arrived.target(), "/lenient/a;b=c");
    let arrived = stage.passes("in the query", get("/public?a=b;c=/../d//e%2F", ""));
    assert_eq!(arrived.target(), "/public?a=b;c=/../d//e%2F");
}

#[test]
fn p4_fragments() {
    let stage = stage();
    stage.passes("encoded", stage.get("/orders/a%23b", ""));
    for target in [
        "/public#",
        "/public#/orders",
        "/public#/../orders/x",
        "/orders/x#fragment",
        "/public?q=1#fragment",
        "#",
    ] {
        stage.refuses(target, stage.get(target, ""), &[400]);
    }
}

#[test]
fn p5_stripping_a_prefix_keeps_the_bytes() {
    let stage = stage();
    for (target, expected) in [
        ("/stripped/x", "/x"),
        ("/stripped/a%20b/c", "/a%20b/c"),
        ("/stripped/x?q=%2F&r=/stripped", "/x?q=%2F&r=/stripped"),
        ("/stripped/stripped/x", "/stripped/x"),
        ("/stripped", "/"),
        ("/stripped/", "/"),
        ("/stripped?q=1", "/?q=1"),
        ("/stripped/?q=1", "/?q=1"),
        ("/stripped/%C3%A9", "/%C3%A9"),
    ] {
        let arrived = stage.passes(target, get(target, ""));
        assert_eq!(arrived.target(), expected, "{target}");
    }
    for path in ["/strippe%64/x", "/%73tripped/orders/x"] {
        refused(&stage, path);
    }
    // What is left must not be another path than the one that was vetted.
    refused(&stage, "/stripped//orders/x");
}

#[test]
fn p5_what_is_left_of_a_lenient_path_is_a_path() {
    const BARE: &str = r#"
[[routes]]
name = "bare"
path = "/l"
upstream = "main"
strip_prefix = true
lenient_path = true
require = "public"
"#;
    let stage = Stage::with(ok(), |setup| setup.routes(&format!("{OPEN_ROOT}{BARE}")));
    for (target, expected) in [
        ("/l/a//b", "/a//b"),
        ("/l/a%2Fb;c", "/a%2Fb;c"),
        ("/l/a/%5Cevil.test", "/a/%5Cevil.test"),
        ("/l/?q=//x", "/?q=//x"),
    ] {
        assert_eq!(stage.passes(target, get(target, "")).target(), expected, "{target}");
    }
    for path in [
        "/l//evil.test/x",
        "/l/%2Fevil.test/x",
        "/l/%2fevil.test/x",
        "/l/%5Cevil.test/x",
        "/l/\\evil.test/x",
        "/l/;a/evil.test/x",
        "/l///",
    ] {
        refused(&stage, path);
    }
}

#[test]
fn p6_hosts_are_compared_as_hosts() {
    const ROUTES: &str = r#"
[[routes]]
name = "api"
hosts = ["api.example.com"]
path = "/orders"
upstream = "main"
require = { service = "orders", organizations = "any", any_of = ["orders/reader"] }

[[routes]]
name = "any"
path = "/"
hosts = ["gateway.test"]
upstream = "main"
require = "public"
"#;
    let stage = Stage::with(ok(), |setup| setup.routes(ROUTES));
    for host in [
        "api.example.com",
        "API.Example.COM",
        "api.example.com.",
        "api.example.com:80",
        "api.example.com:8080",
        "API.EXAMPLE.COM.:65535",
    ] {
        let arrived = stage.passes(host, get_from(host, "/orders/x", &stage.bearer()));
        assert!(arrived.head.has("x-auth-subject"), "{host}: {arrived:#?}");
        let without = stage.world.ask(get_from(host, "/orders/x", ""));
        assert_eq!(without.status, 401, "{host}: {without:?}");
    }
    for host in [
        "evil-api.example.com",
        "api.example.com.evil.test",
        "api.example.comx",
        "example.com",
        "xapi.example.com",
        "127.0.0.1",
    ] {
        stage.arrived();
        let answer = stage.world.ask(get_from(host, "/orders/x", &stage.bearer()));
        assert_eq!(answer.status, 404, "{host}: {answer:?}");
        assert_eq!(stage.arrived(), [], "{host}");
    }
    for host in ["api.example.com..", "api.example.com:", "api.example.com:80:80"] {
        let answer = stage.world.ask(get_from(host, "/orders/x", ""));
        assert!(matches!(answer.status, 400 | 401 | 404), "{host}: {answer:?}");
        assert_eq!(stage.arrived(), [], "{host}");
    }
}

#[test]
fn p7_a_query_satisfies_no_path() {
    let stage = Stage::new();
    stage.passes("the route itself", get("/public/x?y=/orders/z", ""));
    for (target, status) in [
        ("/?/public", 404),
        ("/nowhere?/public/x", 404),
        ("/nowhere?x=/public", 404),
        ("/orders?/public", 401),
        ("/orders/x?/../public/", 401),
        ("/orders?", 401),
        ("/?", 404),
    ] {
        let answer = stage.world.ask(get(target, ""));
        assert_eq!(answer.status, status, "{target}: {answer:?}");
        stage.untouched(target);
    }
}

#[test]
fn p8_nothing_is_decoded_twice() {
    let stage = stage();
    for path in [
        "/x%252forders",
        "/%256frders/x",
        "/public/%252e%252e/orders/x",
        "/orders/a%252fb",
        "/public/%00",
        "/orders%00",
        "/public/%c0%ae%c0%ae/orders/x",
        "/public/%c0%af",
        "/public/%e0%80%af",
        "/public/%ff",
    ] {
        same_bytes_or_refused(&stage, path);
    }
    for path in ["/orders/%", "/orders/%2", "/orders/%zz", "/public/%u002e", "/public/100%"] {
        same_bytes_or_refused(&stage, path);
    }
}

#[test]
fn p9_a_prefix_ends_at_a_slash() {
    let stage = Stage::new();
    for path in ["/orders", "/orders/", "/orders/x", "/orders?q", "/orders/x/y"] {
        let arrived = stage.passes(path, stage.get(path, ""));
        assert_eq!(arrived.target(), path);
    }
    for path in ["/ordersX", "/orders-x", "/orders.x", "/order", "/Orders/x", "/x/orders", "/"] {
        let answer = stage.world.ask(stage.get(path, ""));
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        stage.untouched(path);
    }
}
