//! Tokens as the admin port switches them, seen from the data port.

use super::started;
use crate::upstream::{answer, ok, response};
use crate::world::{TokenWish, get};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

#[test]
fn use_is_visible_at_once() {
    let (_upstream, world, token) =
        started(ok(), |setup| setup.gateway("usage_flush_interval = \"300s\""));
    let admin = world.admin();
    let fresh = admin.token(&token.id);
    assert_eq!((fresh["use_count"].as_u64(), &fresh["last_used_at"]), (Some(0), &().into()));
    let mut wires: Vec<_> = (0..4).map(|_| world.wire()).collect();
    for round in 1..=3 {
        for wire in &mut wires {
            assert_eq!(wire.send(get("/orders/x", &token.bearer())).answer().status, 200);
        }
        let shown = admin.token(&token.id);
        assert_eq!(shown["use_count"], 4 * round, "{shown}");
        assert!(shown["last_used_at"].as_str() >= shown["created_at"].as_str(), "{shown}");
    }
    let first = admin.token(&token.id)["last_used_at"].clone();
    thread::sleep(Duration::from_millis(20));
    assert_eq!(world.fetch("/orders/x", &token).status, 200);
    let second = admin.token(&token.id)["last_used_at"].clone();
    assert!(second.as_str() > first.as_str(), "{first} then {second}");
    // The list says the same as the token.
    let list = admin.org("GET", "/tokens?limit=100", None).expect(200);
    let items = list["items"].as_array().expect("items");
    let listed = items.iter().find(|item| item["id"] == token.id.as_str()).expect("it is listed");
    assert_eq!((&listed["use_count"], &listed["last_used_at"]), (&13.into(), &second), "{listed}");
}

#[test]
fn refused_requests_are_no_use() {
    let (_upstream, world, token) = started(ok(), |setup| setup);
    let admin = world.admin();
    assert_eq!(world.fetch("/billing/x", &token).status, 403);
    assert_eq!(world.fetch("/nowhere", &token).status, 404);
    assert_eq!(world.fetch("/public/x", &token).status, 200, "a public route asks nobody");
    admin.deactivate(&token);
    assert_eq!(world.fetch("/orders/x", &token).status, 401);
    assert_eq!(admin.use_count(&token.id), 0);
    admin.activate(&token);
    assert_eq!(world.fetch("/orders/x", &token).status, 200);
    assert_eq!(admin.use_count(&token.id), 1);
}

#[test]
fn a_status_holds_from_the_next_request_on() {
    let (upstream, world, token) = started(ok(), |setup| setup.gateway("workers = 4"));
    let admin = world.admin();
    let request = get("/orders/x", &token.bearer());
    let mut wire = world.wire();
    for round in 0..20 {
        assert_eq!(wire.send(&request).answer().status, 200, "round {round}");
        admin.deactivate(&token);
        assert_eq!(wire.send(&request).answer().status, 401, "round {round}");
        // Saying it twice changes nothing.
        admin.deactivate(&token);
        assert_eq!(wire.send(&request).answer().status, 401, "round {round}");
        admin.activate(&token);
    }
    admin.revoke(&token);
    assert_eq!(wire.send(&request).answer().status, 401);
    let again = admin.org("POST", &format!("/tokens/{}/activate", token.id), None);
    assert!((400..500).contains(&again.status), "a revoked token was activated: {again:?}");
    assert_eq!(wire.send(&request).answer().status, 401);
    assert_eq!(upstream.requests().len(), 20);
}

#[test]
fn a_user_s_return_restores_what_was_not_switched_off_itself() {
    let (_upstream, mut world, _) = started(ok(), |setup| setup);
    let admin = world.admin();
    let user = admin.add_user("returning", &[("orders", "reader")]);
    let wish = TokenWish { owner: Some(&user), ..TokenWish::default() };
    let [kept, off_before, off_meanwhile, revoked] = [(); 4].map(|()| admin.mint(&wish));
    let tokens = [&kept, &off_before, &off_meanwhile, &revoked];
    let statuses = |world: &crate::world::World| tokens.map(|t| world.fetch("/orders/x", t).status);
    assert_eq!(statuses(&world), [200; 4]);
    admin.deactivate(&off_before);
    assert_eq!(statuses(&world), [200, 401, 200, 200]);
    admin.deactivate_user(&user);
    assert_eq!(statuses(&world), [401; 4]);
    admin.deactivate(&off_meanwhile);
    admin.revoke(&revoked);
    let shown: Vec<_> = tokens.iter().map(|token| admin.token(&token.id)).collect();
    let read = |key: &str| shown.iter().map(|token| token[key].clone()).collect::<Vec<_>>();
    assert_eq!(read("status"), ["activated", "deactivated", "deactivated", "revoked"]);
    assert_eq!(shown[0]["blocked"], "owner_deactivated");
    world.restart();
    assert_eq!(statuses(&world), [401; 4], "after a restart");
    let admin = world.admin();
    admin.activate_user(&user);
    assert_eq!(statuses(&world), [200, 401, 401, 401], "exactly what was not switched off itself");
    assert_eq!(admin.token(&kept.id)["blocked"], serde_json::Value::Null);
    admin.activate(&off_before);
    admin.activate(&off_meanwhile);
    assert_eq!(statuses(&world), [200, 200, 200, 401]);
}

#[test]
fn a_narrowed_token_is_narrower_at_the_next_request() {
    let (_upstream, world, _) = started(ok(), |setup| setup);
    let admin = world.admin();
    let roles = [("orders", "reader"), ("billing", "reader")];
    let token = admin.mint(&TokenWish { service_roles: &roles, ..TokenWish::default() });
    assert_eq!(world.fetch("/billing/x", &token).status, 200);
    let role = serde_json::json!({"service": "orders", "role": "reader"});
    let scope = serde_json::json!({"scope": {"org_roles": [], "service_roles": [role]}});
    admin.org("PATCH", &format!("/tokens/{}", token.id), Some(&scope)).expect(200);
    assert_eq!(world.fetch("/billing/x", &token).status, 403);
    assert_eq!(world.fetch("/orders/x", &token).status, 200);
}

#[test]
fn a_change_of_roles_that_a_route_does_not_need_refuses_nobody() {
    const CHANGES: usize = 40;
    let both = [("orders", "reader"), ("billing", "reader")];
    // What the upstream was told comes back as the body.
    let script = answer(|request| {
        let scope = request.head.one("X-Auth-Scope").unwrap_or_default();
        let mut roles: Vec<_> = scope.split(' ').collect();
        roles.sort_unstable();
        response("200 OK", roles.join(" "))
    });
    let (_upstream, world, _) = started(script, |setup| setup);
    let admin = world.admin();
    let user = admin.add_user("changing", &both);
    let wish = TokenWish { owner: Some(&user), service_roles: &both, ..TokenWish::default() };
    let token = admin.mint(&wish);
    let request = get("/orders/x", &token.bearer());
    let known = ["billing/reader orders/reader org_member", "orders/reader org_member"];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients = [(); 2].map(|()| {
            scope.spawn(|| {
                let mut wire = world.wire();
                let mut admitted = 0_usize;
                while !done.load(Ordering::SeqCst) {
                    let answer = wire.send(&request).answer();
                    match answer.status {
                        200 => {
                            let scope = answer.text();
                            assert!(known.contains(&scope.as_str()), "neither scope: `{scope}`");
                            admitted += 1;
                        }
                        503 => {}
                        _ => panic!("the token is on, and so is its owner: {answer:?}"),
                    }
                    if answer.field("connection").as_deref() == Some("close") {
                        wire = world.wire();
                    }
                }
                admitted
            })
        });
        // Whatever fails here ends the clients too.
        let changes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut wire = world.wire();
            for change in 0..CHANGES {
                let roles = if change % 2 == 0 { &both[..1] } else { &both[..] };
                let roles: Vec<_> = roles
                    .iter()
                    .map(|(service, role)| json!({"service": service, "role": role}))
                    .collect();
                let roles = json!({"service_roles": roles});
                admin.org("PATCH", &format!("/users/{user}"), Some(&roles)).expect(200);
                let answer = wire.send(&request).answer();
                assert_eq!(answer.status, 200, "after change {change}: {answer:?}");
                let expected = known[(change + 1) % 2];
                assert_eq!(answer.text(), expected, "after change {change} was acknowledged");
            }
        }));
        done.store(true, Ordering::SeqCst);
        let admitted = clients.map(|client| client.join().expect("no request is refused"));
        changes.expect("every change is in force once it is acknowledged");
        assert!(admitted.iter().all(|&count| count >= CHANGES), "too few requests: {admitted:?}");
    });
}

#[test]
fn a_name_that_is_not_what_it_looks_like_is_refused() {
    let (_upstream, world, token) = started(ok(), |setup| setup);
    let admin = world.admin();
    let patch = |name: &str| {
        let path = format!("/tokens/{}", token.id);
        admin.org("PATCH", &path, Some(&json!({ "name": name })))
    };
    for (code, name) in [
        ("U+202E", "ci \u{202e}nimda"),
        ("U+200B", "ad\u{200b}min"),
        ("U+2066", "\u{2066}admin"),
        ("U+FEFF", "\u{feff}admin"),
        ("U+2028", "admin\u{2028}second line"),
        ("U+200D", "ad\u{200d}min"),
    ] {
        let created = admin.try_mint(&TokenWish { name, ..TokenWish::default() }).expect(400);
        let user = json!({"name": name, "email": "eve@example.com", "org_roles": ["org_member"]});
        let user = admin.org("POST", "/users", Some(&user)).expect(400);
        let renamed = admin.org("PATCH", "", Some(&json!({ "name": name }))).expect(400);
        for told in [created, patch(name).expect(400), user, renamed] {
            let text = told.to_string();
            assert!(text.contains("name") && text.contains(code), "{code}: {text}");
        }
    }
    for name in ["Zoë", "می\u{200c}خواهم", "👩\u{200d}💻 deploys"] {
        assert_eq!(patch(name).expect(200)["name"], name);
    }
}
