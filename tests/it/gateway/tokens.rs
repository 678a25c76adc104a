//! Tokens as the admin port switches them, seen from the data port.

use super::started;
use crate::upstream::ok;
use crate::world::{TokenWish, get};
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
