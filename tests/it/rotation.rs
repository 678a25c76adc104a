//! Rotation, seen from the data port: when an old secret is over, and who notices its use.

use crate::upstream::{Upstream, ok};
use crate::world::{Admin, Minted, Setup, World, eventually, get};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

fn started(adjust: impl FnOnce(Setup) -> Setup) -> (Upstream, World, Minted) {
    let upstream = Upstream::start(ok());
    let world = adjust(Setup::before(&upstream)).start();
    let token = world.mint();
    (upstream, world, token)
}

impl Admin {
    /// The same token with its new secret.
    #[track_caller]
    fn rotate(&self, token: &Minted, body: &Value) -> Minted {
        let path = format!("/tokens/{}/rotate", token.id);
        let rotated = self.org("POST", &path, Some(body)).expect(200);
        let secret = rotated["secret"].as_str().expect("a secret").to_owned();
        Minted { id: token.id.clone(), secret }
    }
}

fn statuses(world: &World, tokens: &[&Minted]) -> Vec<u16> {
    tokens.iter().map(|token| world.fetch("/orders/x", token).status).collect()
}

#[test]
fn s9_the_old_secret_is_refused_from_the_answer_on() {
    let (upstream, world, first) = started(|setup| setup.gateway("workers = 4"));
    let admin = world.admin();
    let mut wires: Vec<_> = (0..8).map(|_| world.wire()).collect();
    let mut token = first;
    for round in 0..10 {
        for wire in &mut wires {
            assert_eq!(wire.send(get("/orders/x", &token.bearer())).answer().status, 200);
        }
        let next = admin.rotate(&token, &json!({}));
        for wire in &mut wires {
            let refused = wire.send(get("/orders/x", &token.bearer())).answer();
            assert_eq!(refused.status, 401, "round {round}");
        }
        token = next;
    }
    assert_eq!(upstream.requests().len(), 80);
    let shown = admin.token(&token.id);
    assert_eq!(
        (&shown["use_count"], &shown["reuse"]["count"]),
        (&80.into(), &80.into()),
        "{shown}"
    );
}

#[test]
fn use_of_a_former_secret_is_counted_and_shown_and_kept() {
    let (_upstream, mut world, old) = started(|setup| setup);
    let admin = world.admin();
    let unused = admin.token(&old.id);
    assert_eq!(unused["reuse"], json!({"count": 0, "last_at": null}));
    let new = admin.rotate(&old, &json!({"overlap": {"value": 1, "unit": "hours"}}));
    assert_eq!(statuses(&world, &[&old, &new, &old]), [200, 200, 200]);
    let shown = admin.token(&old.id);
    assert_eq!((&shown["use_count"], &shown["reuse"]["count"]), (&3.into(), &2.into()), "{shown}");
    let newest = admin.rotate(&new, &json!({}));
    assert_eq!(statuses(&world, &[&old, &new, &newest, &old]), [401, 401, 200, 401]);
    world.restart();
    let shown = world.admin().token(&old.id);
    assert_eq!((&shown["use_count"], &shown["reuse"]["count"]), (&4.into(), &5.into()), "{shown}");
    assert!(shown["reuse"]["last_at"].as_str() >= shown["last_used_at"].as_str(), "{shown}");
    assert_eq!(statuses(&world, &[&old, &new, &newest]), [401, 401, 200]);
}

#[test]
fn an_overlap_until_the_first_use_ends_with_it_on_every_worker() {
    let (_upstream, mut world, old) = started(|setup| {
        // The store is not told while this test runs, except at the end.
        setup.gateway("workers = 4").gateway("usage_flush_interval = \"300s\"")
    });
    let admin = world.admin();
    let new = admin.rotate(&old, &json!({"until": "first_use"}));
    let mut wires: Vec<_> = (0..8).map(|_| world.wire()).collect();
    for wire in &mut wires {
        assert_eq!(wire.send(get("/orders/x", &old.bearer())).answer().status, 200);
    }
    // A refused request is no use.
    assert_eq!(world.fetch("/billing/x", &new).status, 403);
    assert_eq!(world.fetch("/orders/x", &old).status, 200);
    assert_eq!(world.fetch("/orders/x", &new).status, 200);
    for wire in &mut wires {
        assert_eq!(wire.send(get("/orders/x", &old.bearer())).answer().status, 401);
    }
    world.restart();
    assert_eq!(statuses(&world, &[&old, &new]), [401, 200]);
    let trail = world.admin().org("GET", "/audit", None).expect(200);
    let ended = trail["items"].as_array().expect("items").iter();
    let mut ended = ended.filter(|event| event["action"] == "token.former_secret_ended");
    let event = ended.next().expect("it is recorded");
    assert_eq!(event["actor"]["type"], "system", "{event}");
    assert!(ended.next().is_none(), "once");
}

#[test]
fn the_store_is_told_of_a_first_use_soon() {
    let (_upstream, world, old) =
        started(|setup| setup.gateway("usage_flush_interval = \"100ms\""));
    let admin = world.admin();
    let new = admin.rotate(&old, &json!({"until": "first_use"}));
    assert_eq!(admin.token(&old.id)["former_secret"]["until_first_use"], true);
    assert_eq!(statuses(&world, &[&new, &old]), [200, 401]);
    let told = eventually(Duration::from_secs(10), || {
        admin.token(&old.id)["former_secret"] == Value::Null
    });
    assert!(told, "{}", admin.token(&old.id));
    assert_eq!(statuses(&world, &[&old, &new]), [401, 200]);
}

#[test]
fn a_first_use_on_the_admin_port_counts_too() {
    let (_upstream, world, _token) = started(|setup| setup);
    let admin = world.admin();
    let me = admin.call("GET", "/me", None).expect(200);
    let id = me["token"]["id"].as_str().expect("a token").to_owned();
    let old = Minted { id, secret: admin.secret.clone() };
    let new = admin.rotate(&old, &json!({"until": "first_use"}));
    assert_eq!(admin.call("GET", "/me", None).status, 200);
    let after = Admin { secret: new.secret, ..admin.clone() };
    after.call("GET", "/me", None).expect(200);
    assert_eq!(admin.call("GET", "/me", None).status, 401);
}

/// The checker of first uses: clients show the old secret on every worker while another uses the new
/// one. Whatever begins after that use was answered is refused, and no rotation refuses everything.
#[test]
fn no_request_is_admitted_on_an_old_secret_after_the_first_use_was_answered() {
    const ROUNDS: usize = 25;
    const CLIENTS: usize = 4;
    let (_upstream, world, mut old) =
        started(|setup| setup.gateway("workers = 4").gateway("usage_flush_interval = \"20ms\""));
    let admin = world.admin();
    let (mut admitted_before, mut refused_after) = (0, 0);
    for round in 0..ROUNDS {
        let new = admin.rotate(&old, &json!({"until": "first_use"}));
        let (answered, stop) = (AtomicBool::new(false), AtomicBool::new(false));
        let (before, after) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _client in 0..CLIENTS {
                scope.spawn(|| {
                    let mut wire = world.wire();
                    let request = get("/orders/x", &old.bearer());
                    while !stop.load(Ordering::SeqCst) {
                        let late = answered.load(Ordering::SeqCst);
                        let status = wire.send(&request).answer().status;
                        if late {
                            assert_eq!(status, 401, "round {round}: after the first use");
                            after.fetch_add(1, Ordering::SeqCst);
                        } else if status == 200 {
                            before.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
            let all_admitted =
                eventually(Duration::from_secs(30), || before.load(Ordering::SeqCst) >= CLIENTS);
            let status = world.fetch("/orders/x", &new).status;
            answered.store(true, Ordering::SeqCst);
            // Beyond the time at which the store is told.
            thread::sleep(Duration::from_millis(60));
            stop.store(true, Ordering::SeqCst);
            assert!(all_admitted, "round {round}: the old secret is good before");
            assert_eq!(status, 200, "round {round}");
        });
        admitted_before += before.into_inner();
        refused_after += after.into_inner();
        old = new;
    }
    assert!(admitted_before >= ROUNDS * CLIENTS && refused_after >= ROUNDS, "{refused_after}");
}
