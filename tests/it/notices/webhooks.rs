//! Calls to webhooks: the gateway before real receivers, and before addresses that it must not call.

use super::mailbox::PATIENCE;
use crate::upstream::{Request, Upstream, answer, ok, raw};
use crate::world::{Admin, Setup, TokenWish, World, eventually};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::Duration;

pub(super) const QUICK: &str =
    "[notices]\nattempts_max = 4\nretry_first = \"50ms\"\nretry_longest = \"100ms\"\n";
/// The networks of the tests' own receivers.
const ALLOWED: &str = "[webhooks]\nallow = [\"127.0.0.0/8\"]\ntimeout = \"2s\"\n";

fn world(upstream: &Upstream, webhooks: &str) -> World {
    Setup::before(upstream).extra(QUICK).extra(webhooks).start()
}

pub(super) struct Hook {
    id: String,
    pub(super) secret: String,
}

pub(super) fn hook(admin: &Admin, url: &str, kinds: &Value) -> Hook {
    let made = admin.org("POST", "/webhooks", Some(&json!({"url": url, "kinds": kinds})));
    let made = made.expect(201);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    Hook { id: text(&made["webhook"]["id"]), secret: text(&made["secret"]) }
}

/// The notices of the organization that wait for nothing more.
pub(super) fn ended(admin: &Admin) -> Vec<Value> {
    let all = admin.org("GET", "/notices", None).expect(200);
    let all = all["items"].as_array().expect("a list").clone();
    all.into_iter().filter(|notice| !notice["ended_at"].is_null()).collect()
}

/// Waits until one notice has ended in this state.
#[track_caller]
fn ends(admin: &Admin, state: &str) -> Value {
    let mut found = None;
    let patience = || {
        found = ended(admin).into_iter().find(|notice| notice["state"] == state);
        found.is_some()
    };
    assert!(eventually(PATIENCE, patience), "{:?}", admin.org("GET", "/notices", None));
    found.expect("it was found")
}

/// HMAC (RFC 2104) over SHA-256, written down once more so that two programs have to agree.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::digest([&pad(0x36)[..], message].concat());
    let outer = Sha256::digest([&pad(0x5c)[..], &inner].concat());
    outer.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Holds a call against the secret of its webhook, as a receiver should.
#[track_caller]
pub(super) fn verified(request: &Request, secret: &str) -> Value {
    let field = |name| request.head.one(name).unwrap_or_else(|| panic!("no {name}"));
    let message = [field("bearward-timestamp").as_bytes(), b".", &request.body.bytes].concat();
    let signature = format!("v1={}", hmac(secret.as_bytes(), &message));
    assert_eq!(field("bearward-signature"), signature);
    let body: Value = serde_json::from_slice(&request.body.bytes).expect("JSON");
    assert_eq!(field("bearward-delivery"), body["id"]);
    assert_eq!(field("bearward-kind"), body["kind"]);
    body
}

#[test]
fn a_call_is_signed_and_says_who_did_what_to_what() {
    let (upstream, receiver) = (Upstream::start(ok()), Upstream::start(ok()));
    let world = world(&upstream, ALLOWED);
    let admin = world.admin();
    let url = format!("http://{}/hooks?from=bearward", receiver.address);
    let made = hook(&admin, &url, &json!(["token.created", "token.deactivated"]));
    let token = world.mint();
    admin.deactivate(&token);
    admin.activate(&token);
    admin.deactivate(&token);
    assert!(eventually(PATIENCE, || receiver.requests().len() >= 3));
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3, "every event, and only the kinds that were asked for");
    let bodies: Vec<_> = requests.iter().map(|request| verified(request, &made.secret)).collect();
    let kinds: Vec<_> = bodies.iter().map(|body| body["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["token.created", "token.deactivated", "token.deactivated"]);
    assert_eq!(requests[0].head.line, "POST /hooks?from=bearward HTTP/1.1");
    let told = &bodies[1];
    assert_eq!(told["about"], json!({"type": "token", "id": token.id, "name": "test"}));
    assert_eq!(told["by"], world.owner);
    assert_eq!(told["reason"], "a test");
    assert_eq!(told["organization"]["id"], world.org);
    let whole = format!("{bodies:?}");
    assert!(!whole.contains(&token.secret) && !whole.contains(&made.secret));

    // One that is switched off is told nothing.
    let path = format!("/webhooks/{}", made.id);
    admin.org("PATCH", &path, Some(&json!({"activated": false}))).expect(200);
    world.mint();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(receiver.requests().len(), 3);
}

#[test]
fn what_fails_is_tried_again_given_up_and_delivered_again_on_demand() {
    let upstream = Upstream::start(ok());
    let broken = || answer(|_request| b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n".to_vec());
    let receiver = Upstream::start(broken());
    let world = world(&upstream, ALLOWED);
    let admin = world.admin();
    let url = format!("http://{}/", receiver.address);
    let made = hook(&admin, &url, &json!(["token.created"]));
    world.mint();
    let dead = ends(&admin, "dead");
    assert_eq!((&dead["attempts"], &dead["error"]), (&json!(4), &json!("answered 500")));
    assert_eq!(receiver.requests().len(), 4);
    let failed = admin.told_of("notice.failed");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["target"]["id"], dead["id"]);
    assert_eq!(admin.told_of("notice.delivered"), [json!(null); 0]);

    receiver.behave(ok());
    let path = format!("/notices/{}/redeliver", dead["id"].as_str().expect("an identity"));
    assert_eq!(admin.org("POST", &path, None).expect(200)["state"], "waiting");
    let delivered = ends(&admin, "delivered");
    assert_eq!(delivered["id"], dead["id"]);
    let told = admin.told_of("notice.delivered");
    assert_eq!(told.len(), 1, "{told:?}");
    let event = &told[0];
    assert_eq!((&event["target"]["id"], &event["actor"]["type"]), (&dead["id"], &json!("system")));
    assert_eq!(event["target"]["name"], "token.created");
    let to = json!({"field": "to", "before": null, "after": made.id});
    let attempts = json!({"field": "attempts", "before": null, "after": "1"});
    assert_eq!(event["changes"], json!([to, attempts]));
    let requests = receiver.requests();
    assert_eq!(requests.len(), 5);
    for request in &requests {
        assert_eq!(verified(request, &made.secret)["id"], dead["id"], "one identity, five times");
    }
}

#[test]
fn a_call_survives_the_kill_of_the_gateway_and_the_secret_is_sealed() {
    let upstream = Upstream::start(ok());
    let receiver = Upstream::start(crate::upstream::silent());
    let mut world = world(&upstream, ALLOWED);
    let admin = world.admin();
    let made = hook(&admin, &format!("http://{}/", receiver.address), &json!(["token.created"]));
    world.mint();
    assert!(eventually(PATIENCE, || receiver.requests().len() == 1));
    world.kill();
    receiver.behave(ok());
    world.serve();
    ends(&world.admin(), "delivered");
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    let ids: Vec<_> =
        requests.iter().map(|call| verified(call, &made.secret)["id"].clone()).collect();
    assert_eq!(ids[0], ids[1]);

    let store = std::fs::read(world.store()).expect("the store can be read");
    let secret = made.secret.as_bytes();
    assert!(!store.windows(secret.len()).any(|window| window == secret), "in the clear");
    let key = std::fs::metadata(world.file("bearward.redb.key")).expect("a key beside the store");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    assert!(!world.told().contains(&made.secret));
}

#[test]
fn a8_names_and_numbers_that_lead_to_this_machine_are_not_called() {
    let (upstream, inside) = (Upstream::start(ok()), Upstream::start(ok()));
    let world = world(&upstream, "");
    let admin = world.admin();
    let port = inside.address.port();
    let literal = inside.address.ip();
    for url in [
        format!("http://{literal}:{port}/"),
        format!("http://[::ffff:{literal}]:{port}/"),
        format!("http://[::1]:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://0.0.0.0/".to_owned(),
    ] {
        let reply = admin.org("POST", "/webhooks", Some(&json!({"url": url})));
        assert_eq!(reply.expect(400)["field"], "url", "{url}");
    }
    // Names, and numbers that only a resolver takes for addresses: judged once they are resolved.
    let number = match literal {
        std::net::IpAddr::V4(address) => u32::from(address),
        std::net::IpAddr::V6(_) => 0x7f00_0001,
    };
    let names = ["localhost".to_owned(), number.to_string(), format!("{number:#x}")];
    for (nth, name) in names.iter().enumerate() {
        hook(&admin, &format!("http://{name}:{port}/"), &json!(["token.created"]));
        let dead = || {
            let ended = ended(&admin);
            let dead = ended.iter().filter(|notice| {
                let error = notice["error"].as_str().unwrap_or_default();
                notice["state"] == "dead"
                    && error.contains("is not an address that webhooks may call")
            });
            dead.count()
        };
        world.mint();
        // Each is told of each token that was made since.
        let expected: usize = (1..=nth + 1).sum();
        assert!(eventually(PATIENCE, || dead() == expected), "{name}: {:?}", ended(&admin));
    }
    assert_eq!(inside.connections(), 0, "nobody connected");
}

#[test]
fn a8_no_allowed_network_leads_to_the_admin_port() {
    const NAME: &str = "inside.hooks.example";
    let upstream = Upstream::start(ok());
    let world = Setup::before(&upstream).extra(QUICK).extra(ALLOWED).named(NAME).start();
    let admin = world.admin();
    let port = world.admin.port();
    for host in [world.admin.ip().to_string(), "127.0.0.1".to_owned(), "localhost".to_owned()] {
        let body = json!({"url": format!("http://{host}:{port}/api/v1/leaks")});
        let reply = admin.org("POST", "/webhooks", Some(&body)).expect(400);
        assert_eq!(reply["field"], "url", "{reply}");
        assert!(reply["detail"].to_string().contains("admin port"), "{reply}");
    }
    // The name is not known for what it is until it is called.
    hook(&admin, &format!("http://{NAME}:{port}/api/v1/leaks"), &json!(["token.created"]));
    world.mint();
    let dead = ends(&admin, "dead");
    assert_eq!(dead["attempts"], 1, "{dead}");
    assert!(dead["error"].to_string().contains("is the admin port"), "{dead}");
    // Next door it is called.
    let receiver = Upstream::start(ok());
    let made = hook(&admin, &format!("http://{}/", receiver.address), &json!(["token.revoked"]));
    admin.revoke(&world.mint());
    assert!(eventually(PATIENCE, || receiver.requests().len() == 1), "{}", world.told());
    verified(&receiver.requests()[0], &made.secret);
}

#[test]
fn new_violations_are_one_call_for_each_owner_and_run() {
    let (upstream, receiver) = (Upstream::start(ok()), Upstream::start(ok()));
    let world = world(&upstream, ALLOWED);
    let admin = world.admin();
    let url = format!("http://{}/", receiver.address);
    let made = hook(&admin, &url, &json!(["violations.new"]));
    let mint = |owner: &str, name: &str| {
        admin.mint(&TokenWish { name, owner: Some(owner), ..TokenWish::default() })
    };
    let [mia, ben] = ["mia", "ben"].map(|name| admin.add_user(name, &[("orders", "reader")]));
    let of_mia: Vec<_> = (0..3).map(|nth| mint(&mia, &format!("mia {nth}"))).collect();
    let of_ben = [mint(&ben, "ben's")];
    let calls = || {
        let requests = receiver.requests();
        requests.iter().map(|call| verified(call, &made.secret)).collect::<Vec<_>>()
    };
    let through = |number: u64| {
        let patience = || {
            let runs = admin.org("GET", "/validations", None).expect(200);
            runs["items"][0]["number"] == number && runs["items"][0]["state"] == "finished"
        };
        assert!(eventually(PATIENCE, patience), "{}", world.told());
    };
    let limit = |active: bool| {
        let max = json!({"active": active, "value": 1, "unit": "minutes"});
        admin.org("PUT", "/policies", Some(&json!({"max_ttl": max}))).expect(200);
    };
    limit(true);
    through(1);
    // The operator's own token breaks the policy, too.
    assert!(eventually(PATIENCE, || calls().len() >= 3), "{:#?}", calls());
    let first = calls();
    assert_eq!(first.len(), 3, "one for each owner: {first:#?}");
    for (tokens, secrets) in
        [(&of_mia[..], &of_ben[..]), (&of_ben[..], &of_mia[..])].map(|(own, others)| (own, others))
    {
        let is_about = |call: &&Value, token: &crate::world::Minted| {
            call["details"].to_string().contains(&token.id)
        };
        let told: Vec<_> = first.iter().filter(|call| is_about(call, &tokens[0])).collect();
        assert_eq!(told.len(), 1, "{first:#?}");
        assert_eq!(told[0]["kind"], "violations.new");
        assert_eq!(told[0]["about"]["type"], "organization");
        assert_eq!(told[0]["details"].as_array().map(Vec::len), Some(tokens.len()), "{told:#?}");
        assert!(tokens.iter().all(|token| is_about(&told[0], token)), "{told:#?}");
        assert!(!secrets.iter().any(|token| is_about(&told[0], token)), "{told:#?}");
        assert!(!told[0].to_string().contains(&tokens[0].secret));
    }

    // Another run has nothing new; then one token more breaks it.
    admin.org("POST", "/validations", None).expect(202);
    through(2);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(calls().len(), 3, "{:#?}", calls());
    limit(false);
    through(3);
    let late = mint(&ben, "late");
    limit(true);
    through(4);
    assert!(eventually(PATIENCE, || calls().len() >= 6), "{:#?}", calls());
    let last = calls().split_off(3);
    assert_eq!(last.len(), 3, "{last:#?}");
    assert_eq!(last.iter().filter(|call| call.to_string().contains(&late.id)).count(), 1);
    let ids: std::collections::HashSet<_> = calls().iter().map(|c| c["id"].to_string()).collect();
    assert_eq!(ids.len(), 6, "each has an identity of its own");
}

#[test]
fn a8_a_redirect_is_not_followed() {
    let (upstream, inside) = (Upstream::start(ok()), Upstream::start(ok()));
    let location = format!("http://{}/inside", inside.address);
    let redirect = format!("HTTP/1.1 307 X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    let receiver = Upstream::start(raw(redirect));
    let world = world(&upstream, ALLOWED);
    let admin = world.admin();
    hook(&admin, &format!("http://{}/", receiver.address), &json!(["token.created"]));
    world.mint();
    let dead = ends(&admin, "dead");
    assert_eq!(dead["error"], "answered 307: redirects are not followed");
    assert_eq!(inside.connections(), 0);
}

#[test]
fn an_answer_that_never_ends_and_one_that_never_comes_cost_a_bounded_time() {
    let upstream = Upstream::start(ok());
    let endless = Upstream::start_unrecorded(std::sync::Arc::new(|peer| {
        if peer.request().is_some()
            && peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        {
            let chunk = [&b"4000\r\n"[..], &[b'x'; 0x4000], b"\r\n"].concat();
            while peer.send(&chunk) {}
        }
    }));
    let silent = Upstream::start(crate::upstream::silent());
    let world = world(&upstream, &ALLOWED.replace("2s", "300ms"));
    let admin = world.admin();
    hook(&admin, &format!("http://{}/", endless.address), &json!(["token.created"]));
    world.mint();
    ends(&admin, "delivered");
    hook(&admin, &format!("http://{}/", silent.address), &json!(["token.revoked"]));
    admin.revoke(&world.mint());
    let dead = ends(&admin, "dead");
    assert!(dead["error"].as_str().expect("an error").starts_with("no answer within"), "{dead}");
}

#[test]
fn without_a_mail_server_a_notice_has_no_channel() {
    let upstream = Upstream::start(ok());
    let world = world(&upstream, "");
    let admin = world.admin();
    let token = admin.mint(&TokenWish::default());
    let notice = ends(&admin, "no_channel");
    assert_eq!(notice["about"]["id"], token.id);
    assert_eq!(notice["to"], json!({"type": "user", "id": world.owner}));
    assert_eq!(notice["attempts"], 0);
    let told = admin.told_of("notice.undeliverable");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["target"]["id"], notice["id"]);
    assert_eq!(told[0]["changes"], json!([{"field": "to", "before": null, "after": world.owner}]));
    assert_eq!(admin.told_of("notice.failed"), [json!(null); 0], "that is no failure");
}
