//! C1 to C3: the end of a life, on a clock that jumps.

use super::Stage;
use crate::upstream::ok;
use crate::world::{Setup, TokenWish};
use serde_json::json;

const HOUR: i64 = 3600;

fn minute() -> TokenWish<'static> {
    TokenWish { ttl: (1, "minutes"), ..TokenWish::default() }
}

fn day() -> TokenWish<'static> {
    TokenWish { ttl: (1, "days"), ..TokenWish::default() }
}

#[test]
fn c1_a_clock_that_is_set_back_revives_nothing() {
    let stage = Stage::with(ok(), Setup::clock);
    let admin = stage.world.admin();
    let [short, long] = [admin.mint(&minute()), admin.mint(&day())];
    let statuses = || [&short, &long].map(|token| stage.world.fetch("/orders/x", token).status);
    assert_eq!(statuses(), [200, 200], "at first");
    stage.world.set_clock(HOUR);
    assert_eq!(statuses(), [401, 200], "an hour later");
    for back in [0, -HOUR, -24 * HOUR] {
        stage.world.set_clock(back);
        assert_eq!(statuses(), [401, 200], "set to {back} seconds from the beginning");
        assert_eq!(admin.token(&short.id)["expired"], true, "the list agrees with the gateway");
    }
}

#[test]
fn c2_a_token_is_dead_at_the_first_request_past_its_end() {
    let stage = Stage::with(ok(), Setup::clock);
    let admin = stage.world.admin();
    let [short, long] = [admin.mint(&minute()), admin.mint(&day())];
    let mut wires = [stage.world.wire(), stage.world.wire()];
    let mut statuses = || {
        let mut wires = wires.iter_mut();
        [&short, &long].map(|token| {
            let request = crate::world::get("/orders/x", &token.bearer());
            wires.next().expect("two of them").send(request).answer().status
        })
    };
    assert_eq!(statuses(), [200, 200], "at first");
    stage.world.set_clock(30);
    assert_eq!(statuses(), [200, 200], "before the end");
    stage.arrived();
    stage.world.set_clock(HOUR);
    assert_eq!(statuses(), [401, 200], "the same connections, an hour later");
    assert_eq!(stage.arrived().len(), 1, "only the living token's request goes upstream");
    assert_eq!(admin.token(&short.id)["expired"], true);
    stage.world.set_clock(25 * HOUR);
    assert_eq!(statuses(), [401, 401], "a day later");
}

#[test]
fn c3_lives_that_cannot_be_are_not_made() {
    let stage = Stage::with(ok(), |setup| setup);
    let admin = stage.world.admin();
    let scope =
        json!({"org_roles": [], "service_roles": [{"service": "orders", "role": "reader"}]});
    let ask = |life: serde_json::Value| {
        let mut body = json!({"name": "edge", "scope": scope});
        for (key, value) in life.as_object().expect("an object") {
            body[key] = value.clone();
        }
        admin.org("POST", "/tokens", Some(&body))
    };
    for life in [
        json!({"ttl": {"value": 1, "unit": "minutes"}}),
        json!({"ttl": {"value": 60, "unit": "months"}}),
        json!({}),
    ] {
        assert_eq!(ask(life.clone()).status, 201, "{life}");
    }
    for life in [
        json!({"ttl": {"value": 0, "unit": "minutes"}}),
        json!({"ttl": {"value": -1, "unit": "hours"}}),
        json!({"ttl": {"value": 1.5, "unit": "hours"}}),
        json!({"ttl": {"value": "1", "unit": "hours"}}),
        json!({"ttl": {"value": 1, "unit": "years"}}),
        json!({"ttl": {"value": 61, "unit": "months"}}),
        json!({"ttl": {"value": u32::MAX, "unit": "days"}}),
        json!({"ttl": {"value": u32::MAX, "unit": "months"}}),
        json!({"ttl": {"value": i64::MAX, "unit": "minutes"}}),
        json!({"ttl": {"value": u64::MAX, "unit": "months"}}),
        json!({"ttl": {"value": 1e300, "unit": "minutes"}}),
        json!({"expires_at": "1970-01-01T00:00:00Z"}),
        json!({"expires_at": "0000-01-01T00:00:00Z"}),
        json!({"expires_at": "9999-12-31T23:59:59.999Z"}),
        json!({"expires_at": "+292278994-08-17T07:12:55.807Z"}),
        json!({"expires_at": "now"}),
        json!({"expires_at": 0}),
        json!({"expires_at": i64::MAX}),
        json!({"expires_at": -1}),
        json!({"ttl": {"value": 1, "unit": "hours"}, "expires_at": "2027-01-01T00:00:00Z"}),
    ] {
        let reply = ask(life.clone());
        assert!(matches!(reply.status, 400 | 409 | 422), "{life}: {} {}", reply.status, reply.json);
        assert!(reply.json["type"].is_string(), "{life}: no problem document: {}", reply.json);
        let told = reply.json.to_string();
        let named = ["ttl", "expires_at", "lifetime", "Token TTL"].iter().any(|w| told.contains(w));
        assert!(named, "{life}: the field is not named: {told}");
    }
    stage.honest("impossible lives");
}
