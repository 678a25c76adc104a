//! Validation runs of the real process: by the clock, on demand, and across restarts.

use crate::upstream::{Upstream, ok};
use crate::world::{Setup, TokenWish, World, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const HOUR: i64 = 60 * 60;
/// For a run to be noticed and made on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

fn runs(world: &World) -> Vec<Value> {
    let list = world.admin().org("GET", "/validations", None).expect(200);
    list["items"].as_array().expect("a list").clone()
}

/// Waits for so many runs, all of them through.
#[track_caller]
fn wait_for(world: &World, count: usize) -> Vec<Value> {
    let through = |runs: &[Value]| runs.iter().all(|run| run["state"] == "finished");
    let done = eventually(PATIENCE, || {
        let runs = runs(world);
        runs.len() >= count && through(&runs)
    });
    let runs = runs(world);
    assert!(done && runs.len() == count, "{count} runs expected: {runs:#?}\n{}", world.told());
    runs
}

#[test]
fn s18_one_run_a_day_across_restarts_and_clock_jumps() {
    let upstream = Upstream::start(ok());
    let mut world = Setup::before(&upstream).clock().start();
    // The schedule stands once the process has looked.
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(runs(&world), [Value::Null; 0], "none before a day has passed");
    world.set_clock(25 * HOUR);
    assert_eq!(wait_for(&world, 1)[0]["reason"], "scheduled");
    // Three days are missed, and made up once.
    world.set_clock(99 * HOUR);
    wait_for(&world, 2);
    std::thread::sleep(Duration::from_secs(7));
    wait_for(&world, 2);
    // A restart, and a clock that is four days back with it: neither repeats nor starves.
    world.restart();
    std::thread::sleep(Duration::from_secs(7));
    wait_for(&world, 2);
    world.set_clock(25 * HOUR);
    wait_for(&world, 3);
}

#[test]
fn s14_s18_a_tightened_policy_is_validated_at_once_and_kills_nothing() {
    let upstream = Upstream::start(ok());
    let mut world = Setup::before(&upstream).start();
    let token = world.mint();
    let body = json!({"max_ttl": {"active": true, "value": 1, "unit": "minutes"}});
    world.admin().org("PUT", "/policies", Some(&body)).expect(200);
    let run = wait_for(&world, 1).remove(0);
    assert_eq!(run["reason"], "policy_changed");
    assert_eq!(run["tokens_read"], 2);
    assert_eq!(run["new_violations"], 2);
    assert_eq!(world.fetch("/orders/x", &token).status, 200);
    let answer = world.admin().org("POST", "/validations", None).expect(202);
    assert_eq!(answer["number"], 2);
    let run = wait_for(&world, 2).remove(0);
    assert_eq!((&run["flagged"], &run["new_violations"]), (&json!(2), &json!(0)));

    // Killed with a run that waits or is at work, it is made once, under its number.
    world.admin().org("POST", "/validations", None).expect(202);
    world.kill();
    world.serve();
    let runs = wait_for(&world, 3);
    assert_eq!(runs[0]["number"], 3);
    assert_eq!(runs[0]["new_violations"], 0);
}

#[test]
fn an_enforced_policy_switches_a_token_off_at_the_gateway_and_an_owner_switches_it_on() {
    let upstream = Upstream::start(ok());
    let world = Setup::before(&upstream).clock().start();
    let admin = world.admin();
    let wish = TokenWish { ttl: (2, "days"), ..TokenWish::default() };
    let (token, spared) = (admin.mint(&wish), admin.mint(&wish));
    for id in [&spared.id, &world.owner_token] {
        let until = world.admin().token(id)["expires_at"].clone();
        let body = json!({"token": id, "policy": "max_ttl", "until": until});
        admin.org("POST", "/exemptions", Some(&body)).expect(201);
    }
    let hour = json!({"value": 1, "unit": "hours"});
    let max = json!({"active": true, "value": 1, "unit": "minutes",
        "enforcement": {"deactivate_after": hour}});
    admin.org("PUT", "/policies", Some(&json!({"max_ttl": max}))).expect(200);
    let run = wait_for(&world, 1).remove(0);
    assert_eq!((&run["flagged"], &run["warned"]), (&json!(3), &json!(1)), "{run}");
    world.set_clock(HOUR - 60);
    admin.org("POST", "/validations", None).expect(202);
    assert_eq!(wait_for(&world, 2)[0]["deactivated"], 0);
    assert_eq!(world.fetch("/orders/x", &token).status, 200);
    world.set_clock(HOUR + 60);
    admin.org("POST", "/validations", None).expect(202);
    assert_eq!(wait_for(&world, 3)[0]["deactivated"], 1);
    assert_eq!(world.fetch("/orders/x", &token).status, 401);
    assert_eq!(world.fetch("/orders/x", &spared).status, 200);
    let shown = admin.token(&token.id);
    assert_eq!(shown["status_changed"]["by"], Value::Null);
    let reason = shown["status_changed"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("Max Token TTL of 1 minute"), "{reason}");
    admin.activate(&token);
    assert_eq!(world.fetch("/orders/x", &token).status, 200);
}
