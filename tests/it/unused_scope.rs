//! Roles that tokens carry and that no request needed: what the report says of requests through the
//! gateway, across reloads, restarts and crashes.

use crate::upstream::{Upstream, ok};
use crate::world::{Admin, Minted, ROUTES, Setup, TokenWish, World, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
/// Beside those that there are: one for which reading will not do.
const WRITING: &str = r#"
[[routes]]
name = "writing"
path = "/orders/new"
upstream = "main"
require = { service = "orders", organizations = "any", all_of = ["orders/writer"] }
"#;

fn report(admin: &Admin, query: &str) -> Value {
    admin.org("GET", &format!("/insight/unused-scope?days=1&{query}"), None).expect(200)
}

/// What the report says of a token: its unused roles, and its choices.
fn told(admin: &Admin, token: &Minted) -> (String, String) {
    let report = report(admin, &format!("token={}", token.id));
    let row = &report["items"][0];
    assert_eq!(row["id"], token.id.as_str(), "{report}");
    let names = |scope: &Value| {
        let services = scope["service_roles"].as_array().expect("a list").iter();
        let services =
            services.map(|role| format!("{}/{}", role["service"], role["role"]).replace('"', ""));
        let org = scope["org_roles"].as_array().expect("a list").iter();
        let org = org.map(|role| role.as_str().expect("a name").to_owned());
        let mut names: Vec<String> = org.chain(services).collect();
        names.sort_unstable();
        names.join(" ")
    };
    let choices: Vec<String> =
        row["one_of"].as_array().expect("a list").iter().map(names).collect();
    (names(&row["unused"]), choices.join("; "))
}

fn wide(admin: &Admin) -> Minted {
    admin.mint(&TokenWish {
        service_roles: &[("orders", "reader"), ("orders", "writer"), ("billing", "reader")],
        ..TokenWish::default()
    })
}

/// The roles in the order that they are told in.
fn some(unused: &str, one_of: &str) -> (String, String) {
    let mut names: Vec<&str> = unused.split(' ').collect();
    names.sort_unstable();
    (names.join(" "), one_of.to_owned())
}

#[test]
fn a_role_is_unused_until_a_request_needs_it_and_stays_needed() {
    let upstream = Upstream::start(ok());
    let mut world = Setup::before(&upstream).start();
    let admin = world.admin();
    let token = wide(&admin);
    let nothing = some("org_member orders/reader orders/writer billing/reader", "");
    assert_eq!(told(&admin, &token), nothing);
    // A refused request needs nothing, and neither does a public route.
    assert_eq!(world.fetch("/nowhere", &token).status, 404);
    assert_eq!(world.fetch("/public", &token).status, 200);
    assert_eq!(told(&admin, &token), nothing);
    assert_eq!(world.fetch("/orders/x", &token).status, 200);
    let either = some("org_member billing/reader", "orders/reader orders/writer");
    assert_eq!(told(&admin, &token), either, "before it is stored");
    assert_eq!(world.fetch("/billing/x", &token).status, 200);
    let either = some("org_member", "orders/reader orders/writer");
    assert_eq!(told(&admin, &token), either);
    // A call of the admin port needs a role of the organization.
    let mine = Admin { secret: token.secret.clone(), ..admin.clone() };
    mine.call("GET", "/me", None).expect(200);
    assert_eq!(told(&admin, &token), some("", "orders/reader orders/writer"));
    world.restart();
    assert_eq!(told(&admin, &token), some("", "orders/reader orders/writer"), "after SIGTERM");

    // What routes ask for is numbered anew by the process, and more is asked for by a reload.
    world.rewrite_routes(&format!("{WRITING}{ROUTES}"));
    world.signal("HUP");
    let reloaded = || {
        world.fetch("/orders/new", &token);
        told(&admin, &token) == some("orders/reader", "")
    };
    assert!(eventually(PATIENCE, reloaded), "{:?}", told(&admin, &token));
    world.restart();
    assert_eq!(told(&admin, &token), some("orders/reader", ""));
    let report = report(&admin, "");
    assert_eq!(report["gaps"], json!([]), "every end was an orderly one");
    assert!(report["observed_since"].is_string());
}

#[test]
fn what_a_crash_may_have_lost_is_said() {
    let upstream = Upstream::start(ok());
    let mut world = Setup::before(&upstream).gateway("usage_flush_interval = \"100ms\"").start();
    let admin = world.admin();
    let token = wide(&admin);
    assert_eq!(world.fetch("/billing/x", &token).status, 200);
    assert_eq!(told(&admin, &token), some("org_member orders/reader orders/writer", ""));
    // For a flush, which is to be noticed, written and made durable on a busy machine.
    std::thread::sleep(Duration::from_millis(1500));
    let before = report(&admin, "");
    assert_eq!(before["gaps"], json!([]));
    world.kill();
    world.serve();
    let after = report(&admin, "");
    let gaps = after["gaps"].as_array().expect("a list");
    assert_eq!(gaps.len(), 1, "{after}");
    let time = |value: &Value| value.as_str().expect("a time").to_owned();
    let (from, until) = (time(&gaps[0]["from"]), time(&gaps[0]["until"]));
    assert!(from >= time(&before["observed_since"]) && from < until, "{after}");
    assert!(until > time(&before["as_of"]) && until <= time(&after["as_of"]), "{after}");
    assert_eq!(after["observed_since"], before["observed_since"]);
    // What was stored is there, and what was not needed is not said to be known for certain.
    assert_eq!(told(&admin, &token), some("org_member orders/reader orders/writer", ""));
    let listed = |query: &str| {
        let items = report(&admin, query)["items"].as_array().expect("a list").clone();
        items.iter().any(|row| row["id"] == token.id.as_str())
    };
    assert!(listed("complete=false") && !listed("complete=true"));
}

/// A copy of a store whose gateway had ended in good order: nothing in it tells that it went on.
#[test]
fn what_a_restored_copy_does_not_know_is_said() {
    let upstream = Upstream::start(ok());
    let mut world = Setup::before(&upstream).start();
    let admin = world.admin();
    let token = wide(&admin);
    let stop = |world: &mut World| {
        world.terminate();
        assert!(world.ended(PATIENCE).is_some_and(|status| status.success()), "{}", world.told());
    };
    stop(&mut world);
    let copy = world.file("copy.redb");
    let copy = copy.to_str().expect("ASCII").to_owned();
    let run = |world: &World, arguments: &[&str]| {
        let told = world.command(arguments);
        assert!(told.status.success(), "{told:?}");
    };
    run(&world, &["backup", "--out", &copy]);
    world.serve();
    assert_eq!(world.fetch("/billing/x", &token).status, 200);
    assert_eq!(told(&admin, &token), some("org_member orders/reader orders/writer", ""));
    assert_eq!(report(&admin, "")["gaps"], json!([]));
    stop(&mut world);
    run(&world, &["restore", "--from", &copy, "--yes"]);
    world.serve();
    let nothing = some("org_member orders/reader orders/writer billing/reader", "");
    assert_eq!(told(&admin, &token), nothing, "it does not know");
    let report = report(&admin, "");
    assert_eq!(report["gaps"].as_array().map(Vec::len), Some(1), "and says so: {report}");
}

/// Tokens of every choice of roles, used at random through two workers and a cache that is too small
/// for all of them: what is called unused is exactly what no request needed.
#[test]
fn no_need_is_lost_between_workers_evictions_and_flushes() {
    const TOKENS: usize = 40;
    let upstream = Upstream::start(ok());
    let setup = Setup::before(&upstream)
        .gateway("cache_entries_max = 16")
        .gateway("usage_flush_interval = \"100ms\"")
        .routes(&format!("{WRITING}{ROUTES}"));
    let mut world = setup.start();
    let admin = world.admin();
    let tokens: Vec<Minted> = (0..TOKENS).map(|_| wide(&admin)).collect();
    // Each is used on one choice of the three routes, those behind others on more than one pass.
    let paths = ["/orders/x", "/orders/new", "/billing/x"];
    let mut wires: Vec<_> = (0..4).map(|_| world.wire()).collect();
    for pass in 0..3 {
        for (nth, token) in tokens.iter().enumerate() {
            for (bit, path) in paths.iter().enumerate() {
                if nth >> bit & 1 == 1 && (nth + bit + pass) % 3 == 0 {
                    let wire = &mut wires[(nth + pass) % 4];
                    let request = crate::world::get(path, &token.bearer());
                    assert_eq!(wire.send(request).answer().status, 200);
                }
            }
        }
    }
    let check = |world: &World, when: &str| {
        for (nth, token) in tokens.iter().enumerate() {
            let (any, writing, billing) = (nth & 1 == 1, nth & 2 == 2, nth & 4 == 4);
            let orders = match (any, writing) {
                (_, true) => " orders/reader",
                (true, false) => "",
                (false, false) => " orders/reader orders/writer",
            };
            let one_of = if any && !writing { "orders/reader orders/writer" } else { "" };
            let unused =
                format!("org_member{orders}{}", if billing { "" } else { " billing/reader" });
            assert_eq!(told(&world.admin(), token), some(&unused, one_of), "{when}, token {nth}");
        }
    };
    check(&world, "while it runs");
    world.restart();
    check(&world, "after SIGTERM");
}

#[test]
fn the_command_tells_the_same() {
    let upstream = Upstream::start(ok());
    let world = Setup::before(&upstream).start();
    let token = wide(&world.admin());
    assert_eq!(world.fetch("/billing/x", &token).status, 200);
    let admin = format!("http://{}", world.admin);
    let run = |more: &[&str]| {
        let arguments = ["insight", "unused-scope", "--days", "30", "--admin", &admin];
        let told = std::process::Command::new(env!("CARGO_BIN_EXE_bearward"))
            .args(arguments)
            .args(more)
            .env("BEARWARD_TOKEN", &world.owner_secret)
            .output()
            .expect("it starts");
        assert!(told.status.success(), "{told:?}");
        told
    };
    let table = run(&["--token", &token.id]);
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    let row = text.lines().nth(1).unwrap_or_default();
    assert!(row.contains(&token.id) && row.ends_with("no"), "{text}");
    assert!(row.contains("org_member orders/reader orders/writer"), "{text}");
    assert!(String::from_utf8_lossy(&table.stderr).contains("Requests are recorded since 2"));
    assert!(!String::from_utf8_lossy(&run(&["--complete"]).stdout).contains(&token.id));
    let shown: Value = serde_json::from_slice(&run(&["--json", "--limit", "1"]).stdout).unwrap();
    assert_eq!(shown["items"].as_array().map(Vec::len), Some(1), "{shown}");
}
