//! SCIM judged by somebody else: scim2-tester, a validator of the protocol, against the real binary.

use crate::upstream::{Upstream, ok};
use crate::world::{Setup, World};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Fewer checks than this would mean that the validator did not get to see most of the service.
const CHECKS_MIN: usize = 40;
/// What the validator does not call a success: the check, the attribute, and why that is so.
const EXPECTED: [(&str, &str, &str); 1] = [(
    "check_replace_attribute",
    "emails",
    "it sends an address without `type` and `primary` and wants it back without them; a user has one \
     address, and providers that ask for `emails[type eq \"work\"]` have to find it",
)];

/// What the validator says of each of its checks.
fn judged(world: &World) -> Vec<Value> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scim");
    let python = Command::new(here.join("install")).output().expect("bash runs");
    assert!(python.status.success(), "scim2-tester is not there: {python:?}");
    let python = String::from_utf8(python.stdout).expect("a path");
    let mut judge = Command::new(python.trim())
        .arg(here.join("validator.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let told = format!("http://{}/scim/v2 {}", world.admin, world.owner_secret);
    judge.stdin.take().expect("a pipe").write_all(told.as_bytes()).expect("it reads");
    let judged = judge.wait_with_output().expect("it ends");
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    let lines = String::from_utf8(judged.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn is_about(result: &Value, check: &str, attribute: &str) -> bool {
    let reason = result["reason"].as_str().unwrap_or_default();
    result["check"] == check && reason.contains(&format!("'{attribute}'"))
}

#[test]
fn a_validator_finds_nothing_but_what_is_known() {
    let upstream = Upstream::start(ok());
    let world = Setup::before(&upstream).start();
    let results = judged(&world);
    assert!(results.len() >= CHECKS_MIN, "{} checks: {results:#?}", results.len());
    let is_good = |result: &&Value| {
        matches!(result["status"].as_str(), Some("SUCCESS" | "COMPLIANT" | "ACCEPTABLE"))
    };
    let others: Vec<&Value> = results.iter().filter(|result| !is_good(result)).collect();
    let unknown: Vec<&&Value> = others
        .iter()
        .filter(|result| {
            !EXPECTED.iter().any(|(check, about, _why)| is_about(result, check, about))
        })
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    // What does not fail any more leaves the list.
    for (check, about, _why) in EXPECTED {
        let is_met = others.iter().any(|result| is_about(result, check, about));
        assert!(is_met, "{check} of {about} is good now");
    }
    // It cleans up behind itself: only the operator is left.
    let users = world.admin().org("GET", "/users", None).expect(200);
    assert_eq!(users["items"].as_array().map(Vec::len), Some(1), "{users}");
}

#[test]
fn whom_the_provider_switches_off_is_refused_at_the_gateway_at_once() {
    let upstream = Upstream::start(ok());
    let world = Setup::before(&upstream).start();
    let admin = world.admin();
    let user = admin.add_user("ada", &[("orders", "reader")]);
    let wish = crate::world::TokenWish { owner: Some(&user), ..Default::default() };
    let token = admin.mint(&wish);
    let path = format!("/scim/v2/Users/{user}");
    let switch = |value: Value| {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "Replace", "path": "active", "value": value}],
        });
        admin.at("PATCH", &path, Some(&body)).expect(200)
    };
    for (value, status) in
        [(json!(false), 401), (json!(true), 200), (json!("False"), 401), (json!("True"), 200)]
    {
        let shown = switch(value.clone());
        assert_eq!(shown["active"], status == 200, "{value}");
        assert_eq!(world.fetch("/orders/x", &token).status, status, "{value}");
    }
    assert_eq!(admin.at("DELETE", &path, None).status, 204);
    assert_eq!(world.fetch("/orders/x", &token).status, 401);
    assert_eq!(admin.token(&token.id)["status"], "revoked");
}

#[test]
fn a_provider_switches_off_nobody_elses_tokens() {
    let upstream = Upstream::start(ok());
    let world = Setup::before(&upstream).start();
    let admin = world.admin();
    let user = admin.add_user("ada", &[("orders", "reader")]);
    let wish = crate::world::TokenWish { owner: Some(&user), ..Default::default() };
    let token = admin.mint(&wish);
    let founded = json!({"name": "Globex", "owner": {"name": "Gus", "email": "gus@example.com"}});
    let founded = admin.call("POST", "/orgs", Some(&founded)).expect(201);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let other = crate::world::Admin {
        org: text(&founded["organization"]["id"]),
        secret: text(&founded["secret"]),
        ..admin.clone()
    };
    other.at("GET", "/scim/v2/Users", None).expect(200);
    let path = format!("/scim/v2/Users/{user}");
    let off = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "active", "value": false}],
    });
    let whole = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "ada@example.com", "name": {"formatted": "Ada"}, "active": false,
    });
    for (method, body) in
        [("GET", None), ("PATCH", Some(&off)), ("PUT", Some(&whole)), ("DELETE", None)]
    {
        assert_eq!(other.at(method, &path, body).status, 404, "{method}");
        assert_eq!(world.fetch("/orders/x", &token).status, 200, "after {method}");
    }
    // Somebody of theirs with the same address is somebody else.
    let made = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "ada@example.com", "name": {"formatted": "Ada"},
    });
    let made = other.at("POST", "/scim/v2/Users", Some(&made)).expect(201);
    let theirs = format!("/scim/v2/Users/{}", text(&made["id"]));
    other.at("PATCH", &theirs, Some(&off)).expect(200);
    assert_eq!(other.at("DELETE", &theirs, None).status, 204);
    assert_eq!(world.fetch("/orders/x", &token).status, 200);
    assert_eq!(admin.token(&token.id)["blocked"], Value::Null);
    admin.at("PATCH", &path, Some(&off)).expect(200);
    assert_eq!(world.fetch("/orders/x", &token).status, 401);
}
