//! K6, and A2: two things that must not be reached by a second way in.

use super::Stage;
use crate::upstream::{Upstream, ok};
use crate::wire::lossy;
use crate::world::{Minted, Setup, get, get_from};
use std::net::TcpListener;

#[test]
fn k6_a_second_process_on_the_same_store_is_refused() {
    let mut stage = Stage::new();
    let second = stage.world.command(&["serve"]);
    assert!(!second.status.success(), "a second process served the same store: {second:?}");
    let told = lossy(&second.stderr);
    let store = stage.world.store().display().to_string();
    assert!(told.contains(&store), "the message does not name the store:\n{told}");
    let clear = ["in use", "locked", "another process", "already open"];
    assert!(clear.iter().any(|words| told.contains(words)), "the message is not clear:\n{told}");
    assert!(!told.contains("panicked"), "{told}");
    assert!(stage.world.lives(), "the first process died of it");
    stage.honest("a second process");
    stage.world.restart();
    stage.honest("a restart");
}

#[test]
fn a2_the_admin_port_is_not_reached_by_a_host_trick() {
    let stage = Stage::new();
    let owner = stage.world.owner_credential().bearer();
    let admin = stage.world.admin.to_string();
    for host in ["localhost", &admin, &stage.world.gateway.to_string(), "127.0.0.1", "gateway.test"]
    {
        for path in ["/api/v1/me", "/readyz", "/healthz", "/metrics", "/openapi.json", "/"] {
            let answer = stage.world.ask(get_from(host, path, &owner));
            assert_eq!(answer.status, 404, "{path} at {host}: {answer:?}");
        }
    }
    let absolute = format!("http://{admin}/api/v1/me");
    for target in [absolute, admin.clone()] {
        stage.refuses(&target, get(&target, &owner), &[400]);
    }
    stage.untouched("host tricks");
}

#[test]
fn a2_the_admin_port_is_not_reached_as_an_upstream() {
    const ROUTES: &str = r#"
[[routes]]
name = "all"
path = "/"
upstream = "main"
require = "public"
"#;
    let upstream = Upstream::start(ok());
    let sane = Setup::before(&upstream).routes(ROUTES).unstarted();
    assert!(sane.command(&["check"]).status.success(), "the honest neighbour is refused");
    for host in
        ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "127.0.0.2", "ip6-localhost"]
    {
        let mut world = Setup::before(&upstream).routes(ROUTES).unstarted();
        world.move_admin_to_loopback();
        let address = format!("{host}:{}", world.admin.port());
        world.replace_addresses(vec![address.clone()]);
        let checked = world.command(&["check"]);
        let told = lossy(&checked.stderr) + &lossy(&checked.stdout);
        if !checked.status.success() {
            assert!(
                told.contains("admin"),
                "{address} is refused, but not for what it is:\n{told}"
            );
            continue;
        }
        // Where the configuration cannot tell, the answer must not be the admin port's.
        world.init();
        world.serve();
        let owner = world.owner_credential();
        let answer = world.fetch("/api/v1/me", &Minted { id: String::new(), ..owner });
        assert!(
            answer.status >= 400 && !answer.text().contains(&world.owner),
            "{address}: the data port led to the admin port: {answer:?}"
        );
    }
}

#[test]
fn a2_the_admin_port_is_not_reached_by_a_name_that_leads_there() {
    const ROUTES: &str = r#"
[upstreams.admin]
addresses = ["inner.test:{admin}"]

[upstreams.gateway]
addresses = ["inner.test:{gateway}"]

[upstreams.honest]
addresses = ["inner.test:{honest}"]

[[routes]]
name = "admin"
path = "/admin"
strip_prefix = true
forward_bearer = true
upstream = "admin"
require = { service = "orders", organizations = "any" }

[[routes]]
name = "public"
path = "/public"
strip_prefix = true
upstream = "admin"
require = "public"

[[routes]]
name = "circle"
path = "/circle"
upstream = "gateway"
require = "public"

[[routes]]
name = "honest"
path = "/honest"
upstream = "honest"
require = "public"
"#;
    let unused = Upstream::start(ok());
    let mut world = Setup::before(&unused).named("inner.test").routes("").unstarted();
    let neighbour = TcpListener::bind((world.gateway.ip(), 0)).expect("a free port");
    let honest = neighbour.local_addr().expect("it has an address").port();
    let neighbour = Upstream::on(neighbour, ok(), true);
    world.rewrite_routes(&ROUTES.replace("{honest}", &honest.to_string()));
    let checked = world.command(&["check"]);
    assert!(checked.status.success(), "names lead where they lead when it runs: {checked:?}");
    world.init();
    world.serve();
    let token = world.mint();
    let answer = world.ask(get("/honest/x", ""));
    assert_eq!(answer.status, 200, "the name is known, and nothing is wrong with it: {answer:?}");
    assert_eq!(neighbour.requests().len(), 1);
    for path in ["/public/metrics", "/public/healthz", "/admin/api/v1/me", "/circle/x"] {
        let answer = world.fetch(path, &token);
        assert_eq!(answer.status, 502, "{path}: {answer:?}");
        assert!(!answer.text().contains("inner.test"), "{path}: {answer:?}");
    }
    assert_eq!(world.metric("bearward_upstream_failures_total"), Some(4.0));
    let told = world.told();
    assert!(told.contains("inner.test") && told.contains("is the admin port"), "{told}");
    assert!(told.contains("requests would go in a circle"), "{told}");
}
