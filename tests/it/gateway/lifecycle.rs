//! Signals: reload without a break, drain without a loss.

use super::started;
use crate::upstream::{ok, slow};
use crate::wire::PATIENCE;
use crate::world::{ROUTES, World, eventually, get};
use std::fs;
use std::thread;
use std::time::Duration;

const MORE: &str = r#"
[[routes]]
name = "more"
path = "/more"
upstream = "main"
require = "public"
"#;

fn status(world: &World, path: &str) -> u16 {
    world.ask(get(path, "")).status
}

#[test]
fn sighup_reloads_the_routes() {
    let (_upstream, mut world, token) = started(ok(), |setup| setup);
    let mut wire = world.wire();
    assert_eq!(wire.send(get("/more/x", "")).answer().status, 404);
    world.rewrite_routes(&format!("{ROUTES}{MORE}"));
    assert_eq!(status(&world, "/more/x"), 404, "nobody asked for a reload yet");
    world.signal("HUP");
    assert!(eventually(PATIENCE, || status(&world, "/more/x") == 200), "the new route is missing");
    assert_eq!(wire.send(get("/more/x", "")).answer().status, 200, "on a connection from before");
    // Every worker has it.
    assert!((0..20).all(|_| status(&world, "/more/x") == 200));
    assert_eq!(world.fetch("/orders/x", &token).status, 200, "roles keep their numbers");
    world.rewrite_routes(MORE);
    world.signal("HUP");
    assert!(eventually(PATIENCE, || world.fetch("/orders/x", &token).status == 404));
    assert_eq!(status(&world, "/public/x"), 404, "an old route lives on");
    assert!(world.lives());
}

#[test]
fn a_bad_file_keeps_the_old_routes_and_says_so() {
    let (_upstream, mut world, token) = started(ok(), |setup| setup);
    for (variant, routes, place) in [
        ("no TOML", format!("{ROUTES}\n[[routes"), "bearward.toml:"),
        ("an unknown key", format!("{ROUTES}{MORE}sTrIp = true\n"), "sTrIp"),
        (
            "an unknown upstream",
            format!("{ROUTES}{}", MORE.replace("\"main\"", "\"gone\"")),
            "gone",
        ),
        (
            "no requirement",
            format!("{ROUTES}{}", MORE.replace("require = \"public\"", "")),
            "require",
        ),
    ] {
        let before = world.told().len();
        world.rewrite_routes(&routes);
        world.signal("HUP");
        let loud = eventually(PATIENCE, || world.told()[before..].contains(place));
        assert!(loud, "{variant}: nothing about `{place}` on standard error:\n{}", world.told());
        assert_eq!(status(&world, "/more/x"), 404, "{variant}: half of the file is in force");
        assert_eq!(status(&world, "/public/x"), 200, "{variant}");
        assert_eq!(world.fetch("/orders/x", &token).status, 200, "{variant}");
    }
    world.rewrite_routes(&format!("{ROUTES}{MORE}"));
    world.signal("HUP");
    assert!(
        eventually(PATIENCE, || status(&world, "/more/x") == 200),
        "a good file is taken again"
    );
}

/// An upstream, and a route to it for everybody.
fn route_to(address: std::net::SocketAddr) -> String {
    let upstream = format!("\n[upstreams.inner]\naddresses = [\"{address}\"]\n");
    upstream + &MORE.replace("\"main\"", "\"inner\"").replace("path", "strip_prefix = true\npath")
}

#[test]
fn a_file_with_other_ports_or_another_store_is_refused() {
    let (_upstream, world, token) = started(ok(), |setup| setup);
    let good = fs::read_to_string(world.config()).expect("the configuration");
    let (gateway, admin) = (world.gateway.to_string(), world.admin.to_string());
    let elsewhere = format!("{}:1", world.admin.ip());
    for (key, from, more) in [
        // To the new ports the old ones are upstreams like any other.
        ("gateway.listen", gateway.as_str(), route_to(world.gateway)),
        ("admin.listen", admin.as_str(), route_to(world.admin)),
        ("store.path", "bearward.redb", MORE.to_owned()),
    ] {
        let before = world.told().len();
        let moved = good.replacen(from, &elsewhere, 1) + &more;
        fs::write(world.config(), moved).expect("the directory is writable");
        let checked = world.command(&["check"]);
        assert!(checked.status.success(), "{key}: nothing else is wrong with it: {checked:?}");
        world.signal("HUP");
        let refusal = format!(
            "{key} has changed: that needs a restart; the old configuration stays in force"
        );
        let loud = eventually(PATIENCE, || world.told()[before..].contains(&refusal));
        assert!(loud, "{key}:\n{}", world.told());
        assert_eq!(status(&world, "/more/healthz"), 404, "{key}: the new route is in force");
        assert_eq!(world.fetch("/orders/x", &token).status, 200, "{key}");
    }
    fs::write(world.config(), good + MORE).expect("the directory is writable");
    world.signal("HUP");
    assert!(eventually(PATIENCE, || status(&world, "/more/x") == 200), "a good file is taken");
}

#[test]
fn a_reload_names_what_it_does_not_take() {
    let (_upstream, world, _token) = started(ok(), |setup| setup);
    let file = fs::read_to_string(world.config()).expect("the configuration");
    let changed = file.replacen("workers = 2", "workers = 3", 1).replacen(
        "[limits]",
        "[limits]\nconnections_max = 1",
        1,
    );
    fs::write(world.config(), changed + MORE).expect("the directory is writable");
    world.signal("HUP");
    assert!(eventually(PATIENCE, || status(&world, "/more/x") == 200), "the rest is not taken");
    // It is said once the routes are there.
    assert!(eventually(PATIENCE, || world.told().contains(" reloaded")), "{}", world.told());
    for (section, is_named) in [
        ("gateway", true),
        ("limits", true),
        ("admin", false),
        ("store", false),
        ("identity", false),
    ] {
        let name = format!("section=\"{section}\"");
        assert_eq!(world.told().contains(&name), is_named, "{section}:\n{}", world.told());
    }
}

#[test]
fn a_request_in_flight_keeps_the_routes_it_began_with() {
    let pause = Duration::from_millis(300);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n";
    let script = slow(head, &["ab", "cd", "ef"], pause);
    let (_upstream, mut world, token) = started(script, |setup| setup);
    let mut wire = world.wire();
    wire.send(get("/orders/x", &token.bearer()));
    thread::sleep(pause / 2);
    world.rewrite_routes(MORE);
    world.signal("HUP");
    assert!(eventually(PATIENCE, || status(&world, "/public/x") == 404));
    let answer = wire.answer();
    assert_eq!((answer.status, answer.text().as_str(), answer.cut), (200, "abcdef", None));
}

#[test]
fn sigterm_drains_and_loses_nothing() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n";
    let script = slow(head, &["ab", "cd", "ef"], Duration::from_millis(400));
    // No flush but the last one.
    let (_upstream, mut world, token) =
        started(script, |setup| setup.gateway("usage_flush_interval = \"300s\""));
    let mut idle = world.wire();
    let mut wires: Vec<_> = (0..6).map(|_| world.wire()).collect();
    for wire in &mut wires {
        wire.send(get("/orders/x", &token.bearer()));
        wire.answer_head();
    }
    world.signal("TERM");
    let refused = eventually(PATIENCE, || std::net::TcpStream::connect(world.gateway).is_err());
    for (nth, wire) in wires.iter_mut().enumerate() {
        let (body, cut) = wire.rest(PATIENCE);
        let body = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(body, "abcdef", "request {nth} was cut off ({cut:?})");
    }
    assert!(idle.ends(PATIENCE), "an idle connection was kept");
    let status = world.ended(PATIENCE).expect("SIGTERM ends the process");
    assert_eq!(status.code(), Some(0), "{}", world.told());
    assert!(refused, "connections were taken to the end");
    world.serve();
    let shown = world.admin().token(&token.id);
    assert_eq!(shown["use_count"], 6, "{shown}");
    assert!(shown["last_used_at"].is_string(), "{shown}");
}

#[test]
fn sigterm_waits_no_longer_than_it_was_told() {
    let (_upstream, mut world, token) =
        started(crate::upstream::silent(), |setup| setup.limit("drain_timeout = \"1s\""));
    let mut wire = world.wire();
    wire.send(get("/orders/x", &token.bearer()));
    thread::sleep(Duration::from_millis(300));
    world.signal("TERM");
    let status = world.ended(Duration::from_secs(10));
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", world.told());
    assert!(wire.rest(PATIENCE).1 != crate::wire::Cut::TimedOut);
}

#[test]
fn an_idle_gateway_ends_at_once() {
    let (_upstream, mut world, token) = started(ok(), |setup| setup);
    let mut kept = world.wire();
    assert_eq!(kept.send(get("/orders/x", &token.bearer())).answer().status, 200);
    world.signal("TERM");
    let status = world.ended(Duration::from_secs(5));
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", world.told());
    world.serve();
    assert_eq!(world.fetch("/orders/x", &token).status, 200, "the token outlives a restart");
}
