//! How long a request's body may be.

use super::started;
use crate::upstream::{Upstream, ok};
use crate::wire::PATIENCE;
use crate::world::{Minted, ROUTES, World, eventually, get, post};

/// A limit of ten bytes, and a route that takes forty.
fn limited() -> (Upstream, World, Minted) {
    const LARGE: &str = r#"
[[routes]]
name = "large"
path = "/large"
upstream = "main"
request_body_bytes_max = 40
require = "public"
"#;
    started(ok(), |setup| {
        let setup = setup.gateway("workers = 1").limit("request_body_bytes_max = 10");
        setup.routes(&format!("{ROUTES}{LARGE}"))
    })
}

#[test]
fn a_body_that_is_too_long_never_reaches_the_upstream() {
    let (upstream, world, token) = limited();
    let bearer = token.bearer();
    for (path, fields, longest) in [("/orders/x", bearer.as_str(), 10), ("/large/x", "", 40)] {
        let exact = world.ask(post(path, fields, &"x".repeat(longest)));
        assert_eq!(exact.status, 200, "{path}: {exact:?}");
        let expecting = format!("{fields}Expect: 100-continue\r\n");
        for request in [
            post(path, fields, &"x".repeat(longest + 1)),
            // None of it is sent before it is asked for.
            post(path, &expecting, "").replace("Length: 0", "Length: 1000000000000"),
        ] {
            let answer = world.wire().send(request).answer();
            assert_eq!(answer.status, 413, "{path}: {answer:?}");
            assert!(answer.text().contains("content_too_large"), "{answer:?}");
            assert_eq!(answer.field("connection").as_deref(), Some("close"), "{answer:?}");
            assert!(answer.interim.is_empty(), "it was asked for: {answer:?}");
        }
    }
    assert_eq!(upstream.requests().len(), 2, "{:#?}", upstream.requests());
    let stranger = world.ask(post("/orders/x", "", "longer than ten bytes"));
    assert_eq!(stranger.status, 401, "who may not ask at all hears of no limit: {stranger:?}");
    assert_eq!(world.metric("bearward_upstream_failures_total"), Some(0.0));
}

#[test]
fn a_body_in_chunks_is_cut_off_where_it_is_too_long() {
    let (upstream, world, token) = limited();
    let head = get("/orders/x", &format!("{}Transfer-Encoding: chunked\r\n", token.bearer()));
    let head = head.replacen("GET", "POST", 1);
    let exact = world.ask(format!("{head}6\r\n012345\r\n4\r\n6789\r\n0\r\n\r\n"));
    assert_eq!(exact.status, 200, "{exact:?}");
    // What comes with the head is known to be too long before anything is sent.
    let at_once = world.ask(format!("{head}6\r\n012345\r\n5\r\n6789x\r\n0\r\n\r\n"));
    assert_eq!(at_once.status, 413, "{at_once:?}");
    assert_eq!(upstream.requests().len(), 1);
    let connections = upstream.connections();
    upstream.forget();
    let mut wire = world.wire();
    wire.send(format!("{head}6\r\n012345\r\n"));
    assert!(eventually(PATIENCE, || upstream.saw("012345")), "the beginning did not arrive");
    let answer = wire.send("5\r\n6789x\r\n0\r\n\r\n").answer();
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(wire.ends(PATIENCE), "the connection was kept");
    let arrived = upstream.only_request();
    assert!(!arrived.is_complete() && !upstream.saw("6789"), "{arrived:?}");
    assert_eq!(world.fetch("/orders/y", &token).status, 200);
    assert_eq!(upstream.connections(), connections + 1, "a broken connection was used again");
    assert_eq!(world.metric("bearward_upstream_failures_total"), Some(0.0));
}
