//! The audit trail: filters, exports, the head, and what is told of refused calls.

use super::*;
use crate::audit::chain::Published;
use crate::audit::{Event, Line};
use std::collections::HashSet;

/// A house where a few things were done by several people.
async fn lively() -> House {
    let house = House::new().await;
    for (number, by) in (0_i64..).zip([&house.member, &house.member, &house.owner, &house.admin]) {
        house.set_now(at(NOW).after(Duration::from_mins(u64::try_from(number).expect("small"))));
        house.create_token(by, json!({"name": format!("t{number}"), "scope": {}})).await;
    }
    let path = house.at(&format!("/tokens/{}/deactivate", house.bystander.token));
    let off = house.ask("POST", &path).by(&house.owner).json(&json!({"reason": "=HYPERLINK(1)"}));
    off.send().await.expect(200);
    house
}

async fn trail(house: &House, query: &str) -> Answer {
    house.get(&house.at(&format!("/audit{query}"))).by(&house.owner).send().await
}

fn seqs(answer: &Answer) -> Vec<u64> {
    let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    items.iter().map(|item| item["seq"].as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn the_trail_is_filtered_by_who_what_to_what_and_when() {
    let house = lively().await;
    let (member, owner, bystander) = (house.member.user, house.owner.user, &house.bystander);
    let moment = |minutes| at(NOW).after(Duration::from_mins(minutes));
    for (query, expected) in [
        (String::new(), vec![5, 4, 3, 2, 1]),
        (format!("?actor={member}"), vec![2, 1]),
        ("?actor=me".to_owned(), vec![5, 3]),
        ("?actor=system".to_owned(), vec![]),
        ("?actor=offline".to_owned(), vec![]),
        ("?actor=unknown".to_owned(), vec![]),
        (format!("?target={}", bystander.token), vec![5]),
        (format!("?token={}", bystander.token), vec![5]),
        (format!("?token={}", house.member.token), vec![2, 1]),
        ("?action=token.created".to_owned(), vec![4, 3, 2, 1]),
        ("?action=token.deactivated,user.created".to_owned(), vec![5]),
        (format!("?since={}", moment(2)), vec![5, 4, 3]),
        (format!("?until={}", moment(2)), vec![2, 1]),
        (format!("?since={}&until={}", moment(1), moment(3)), vec![3, 2]),
        (format!("?actor={owner}&action=token.created"), vec![3]),
    ] {
        let answer = trail(&house, &query).await.expect(200);
        assert_eq!(seqs(&answer), expected, "{query}");
        assert_eq!(answer.body["next_cursor"], Value::Null, "{query}");
    }
    for (query, field) in [
        ("?actor=nobody", "actor"),
        ("?target=x", "target"),
        ("?token=usr_00000000000000000000000001", "token"),
        ("?action=token.exploded", "action"),
        ("?action=", "action"),
        ("?since=yesterday", "since"),
        ("?until=", "until"),
        ("?format=xml", "format"),
        ("?kind=x", "kind"),
        ("?format=csv&limit=5", "limit"),
        ("?format=csv&sort=at", "sort"),
        ("?sort=hash", "sort"),
        ("?sort=seq&cursor=3", "cursor"),
        ("?sort=-seq&cursor=up-3", "cursor"),
        ("?sort=at&cursor=3", "cursor"),
        ("?format=jsonl&cursor=5", "cursor"),
    ] {
        let answer = trail(&house, query).await.problem(400, "invalid-request");
        assert_eq!(answer.field(), field, "{query}");
    }
}

#[tokio::test]
async fn the_trail_is_sorted_by_every_column_in_both_directions() {
    let house = lively().await;
    // Somebody's clock was ahead.
    house.set_now(at("2026-12-31T00:00:00Z"));
    house.create_token(&house.admin, json!({"name": "early", "scope": {}})).await;
    for (column, expected) in [
        ("seq", [1, 2, 3, 4, 5, 6]),
        ("at", [6, 1, 2, 3, 4, 5]),
        // By identity: the owner, the administrator, the member.
        ("actor", [3, 5, 4, 6, 1, 2]),
        ("action", [1, 2, 3, 4, 6, 5]),
        ("target", [5, 6, 1, 2, 3, 4]),
        ("address", [1, 2, 3, 4, 5, 6]),
        ("reason", [1, 2, 3, 4, 6, 5]),
    ] {
        for sign in ["", "-"] {
            for limit in [1, 2, 3, 6, 50] {
                let (mut found, mut cursor) = (Vec::new(), String::new());
                for page in 0.. {
                    assert!(page < 10, "it never ends");
                    let query = format!("?limit={limit}&sort={sign}{column}{cursor}");
                    let answer = trail(&house, &query).await.expect(200);
                    found.extend(seqs(&answer));
                    let Some(next) = answer.body["next_cursor"].as_str() else { break };
                    cursor = format!("&cursor={next}");
                }
                if sign == "-" {
                    found.reverse();
                }
                assert_eq!(found, expected, "{sign}{column}, {limit} at a time");
            }
        }
    }
}

#[tokio::test]
async fn pages_of_a_filtered_trail_leave_nothing_out() {
    let house = lively().await;
    let mut cursor = String::new();
    let mut found = Vec::new();
    for page in 0.. {
        assert!(page < 10, "it never ends");
        let query = format!("?limit=1&action=token.created{cursor}");
        let answer = trail(&house, &query).await.expect(200);
        found.extend(seqs(&answer));
        let Some(next) = answer.body["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, [4, 3, 2, 1]);
}

/// One page reads so much and no more; who goes on finds all the same.
#[tokio::test]
async fn a_filter_that_finds_little_reads_in_bounded_steps() {
    use crate::audit::{Action, Actor, Draft, Target};
    let house = House::new().await;
    let draft = |action| {
        let target = Target::Organization(house.org);
        Draft::new(house.org, at(NOW), Actor::System, action, target)
    };
    house.store.tell(vec![draft(Action::UserRemoved)]).await.expect("written");
    let many = vec![draft(Action::UserUpdated); crate::admin::audit::EVENTS_READ_MAX];
    house.store.tell(many).await.expect("written");
    let first = trail(&house, "?action=user.removed").await.expect(200);
    assert_eq!(seqs(&first), Vec::<u64>::new());
    let next = first.body["next_cursor"].as_str().expect("there is more").to_owned();
    let second = trail(&house, &format!("?action=user.removed&cursor={next}")).await.expect(200);
    assert_eq!((seqs(&second), &second.body["next_cursor"]), (vec![1], &Value::Null));
}

#[tokio::test]
async fn an_export_holds_every_event_and_can_be_proved() {
    let house = lively().await;
    let listed = trail(&house, "").await.expect(200);
    let lines = trail(&house, "?format=jsonl").await.expect(200);
    assert_eq!(lines.headers[CONTENT_TYPE], "application/x-ndjson");
    let mut told: Vec<Value> =
        lines.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    told.reverse();
    assert_eq!(Value::Array(told), listed.body["items"]);
    // Each line is an event with all that its hash is made of.
    let stored = house.store.events(house.org, None, 99).expect("readable");
    let events = lines.text.lines().rev().map(|line| {
        let line: Line = serde_json::from_str(line).expect("a line");
        Event::try_from(line).expect("an event")
    });
    assert!(events.eq(stored));

    let accepted = house.get(&house.at("/audit")).by(&house.owner);
    let accepted = accepted.header("accept", "text/csv").send().await.expect(200);
    assert!(accepted.headers[CONTENT_TYPE].to_str().expect("text").starts_with("text/csv"));
    let rows: Vec<&str> = accepted.text.split_terminator("\r\n").collect();
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[0], crate::audit::csv::HEADINGS.trim_end());
    assert!(rows[5].contains("\"'=HYPERLINK(1)\""), "a formula: {}", rows[5]);
    let filtered = trail(&house, "?format=csv&action=token.deactivated").await.expect(200);
    assert_eq!(filtered.text.lines().count(), 2);
    let admin = house.get(&house.at("/audit?format=csv")).by(&house.admin).send().await;
    admin.problem(403, "forbidden");
}

#[tokio::test]
async fn a_long_export_comes_whole() {
    use crate::audit::{Action, Actor, Draft, Target};
    let house = House::new().await;
    let target = Target::Organization(house.org);
    let draft = Draft::new(house.org, at(NOW), Actor::System, Action::UserUpdated, target);
    house.store.tell(vec![draft; 5_001]).await.expect("written");
    let lines = trail(&house, "?format=jsonl").await.expect(200);
    let seqs: Vec<u64> = lines
        .text
        .lines()
        .map(|line| serde_json::from_str::<Line>(line).expect("a line").seq)
        .collect();
    assert!(seqs.into_iter().eq(1..=5_001));
}

#[tokio::test]
async fn the_head_is_the_last_event() {
    let house = House::new().await;
    let head =
        async || house.get(&house.at("/audit/head")).by(&house.owner).send().await.expect(200);
    let fresh = json!({"seq": 0, "hash": null, "at": null, "checkpoint": null});
    assert_eq!(head().await.body, fresh);
    house.create_token(&house.member, json!({"name": "t", "scope": {}})).await;
    house.create_token(&house.member, json!({"name": "u", "scope": {}})).await;
    let head = head().await.body;
    let latest = trail(&house, "?limit=1").await.expect(200).body["items"][0].clone();
    assert_eq!(
        (&head["seq"], &head["hash"], &head["at"]),
        (&json!(2), &latest["hash"], &latest["at"])
    );
    let published =
        Published { seq: 2, link: head["hash"].as_str().expect("a hash").parse().expect("a hash") };
    let verdict = house.store.prove(house.org, Some(published)).expect("readable");
    assert_eq!((verdict.faults, verdict.proved), (vec![], 2));
    // Trails of others are chained for themselves, and read by nobody else.
    house.get(&house.at("/audit/head")).by(&house.outsider).send().await.problem(404, "not-found");
}

/// What an event tells, by the field.
fn told(event: &Value) -> HashMap<String, String> {
    let changes = event["changes"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    changes.iter().map(|change| (text(&change["field"]), text(&change["after"]))).collect()
}

#[tokio::test]
async fn what_somebody_was_not_permitted_is_in_the_trail() {
    let house = House::new().await;
    let path = house.at(&format!("/tokens/{}/deactivate", house.bystander.token));
    let ask = house.ask("POST", &path).by(&house.admin).header("x-request-id", "the-one");
    ask.json(&json!({})).send().await.problem(403, "forbidden");
    let event = trail(&house, "").await.expect(200).body["items"][0].clone();
    assert_eq!(event["action"], "call.refused");
    assert_eq!(event["actor"]["user"], house.admin.user.to_string());
    assert_eq!(event["actor"]["token"], house.admin.token.to_string());
    assert_eq!(
        (&event["request_id"], &event["target"]["name"]),
        (&json!("the-one"), &json!("Acme"))
    );
    let told = told(&event);
    assert_eq!(told["request"], "POST /api/v1/orgs/{org}/tokens/{token}/deactivate");
    assert!(told["answer"].starts_with("403 forbidden: "), "{told:?}");
    // What was only not found, or was no good request, is no refusal.
    house.get(&house.at("/users")).by(&house.outsider).send().await.expect(404);
    house.get(&house.at("/users?x=1")).by(&house.owner).send().await.expect(400);
    assert_eq!(seqs(&trail(&house, "").await), [1]);
    // A refusal of somebody in another organization is in theirs.
    house
        .ask("POST", "/api/v1/orgs")
        .by(&house.outsider)
        .json(&json!({"name": "x",
        "owner": {"name": "x", "email": "x@example.com"}}))
        .send()
        .await
        .expect(403);
    assert_eq!(seqs(&trail(&house, "").await), [1]);
    assert_eq!(house.store.events(house.other_org, None, 9).expect("readable").len(), 1);
}

#[tokio::test]
async fn what_nobody_known_was_refused_is_summed_up_in_the_operators_trail() {
    let house = House::new().await;
    let from = |last: u8| [127, 0, 0, last].into();
    for _ in 0..7 {
        house.get("/api/v1/me").from(from(1)).send().await.expect(401);
    }
    house.get(&house.at("/users")).from(from(2)).with_secret("bwt_no").send().await.expect(401);
    // A secret in an address is not in the trail.
    let leaky = house.at(&format!("/tokens/{}", house.member.secret));
    house.get(&leaky).from(from(3)).send().await.expect(401);
    // A token that is dead is somebody's.
    house
        .write(Write::Token(ApiToken {
            status: TokenStatus::Revoked(deactivated(false)),
            ..house.token(house.member.token)
        }))
        .await;
    house.get("/api/v1/me").from(from(1)).by(&house.member).send().await.expect(401);
    assert_eq!(seqs(&trail(&house, "").await), Vec::<u64>::new());

    let (refusals, ledger) = (Arc::clone(&house.refusals), Arc::clone(&house.store));
    let write = move || refusals.write(&*ledger, at(NOW));
    tokio::task::spawn_blocking(write).await.expect("no panic").expect("written");
    let events = trail(&house, "?actor=unknown").await.expect(200);
    let mut sums: Vec<(String, String, String)> = events.body["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| {
            let told = told(event);
            let address = event["address"].as_str().expect("an address").to_owned();
            (address, told["count"].clone(), told["request"].clone())
        })
        .collect();
    sums.sort();
    let sum = |address: &str, count: &str, request: &str| {
        (address.to_owned(), count.to_owned(), request.to_owned())
    };
    assert_eq!(
        sums,
        [
            sum("127.0.0.1", "7", "GET /api/v1/me"),
            sum("127.0.0.2", "1", "GET /api/v1/orgs/{org}/users"),
            sum("127.0.0.3", "1", "GET /api/v1/orgs/{org}/tokens/{token}"),
        ]
    );
    let dead = trail(&house, &format!("?actor={}", house.member.user)).await.expect(200);
    assert_eq!(dead.body["items"][0]["actor"]["token"], house.member.token.to_string());
    assert_eq!(told(&dead.body["items"][0])["answer"], "401 invalid-token: the token is not valid");
    let whole = trail(&house, "").await.text;
    assert!(!whole.contains("bwt_"), "{whole}");
}

#[tokio::test]
async fn a9_guessing_is_throttled_and_a_good_token_never() {
    let house = House::new().await;
    let from = [127, 0, 0, 9].into();
    let guess = || {
        let secret = Secret::generate(DEFAULT_PREFIX, system_random).expect("random bytes");
        house.get("/api/v1/me").from(from).with_secret(secret.expose()).send()
    };
    let mut told = HashSet::new();
    for _ in 0..20 {
        told.insert(guess().await.problem(401, "invalid-token").text);
    }
    assert_eq!(told.len(), 1);
    for _ in 0..5 {
        let late = guess().await.problem(429, "too-many-guesses");
        assert_eq!(late.headers["retry-after"], "6");
        // The honest administrator behind the same address is not made to wait.
        house.get("/api/v1/me").from(from).by(&house.admin).send().await.expect(200);
        let path = house.at("/users");
        house.get(&path).from(from).by(&house.admin).send().await.expect(200);
    }
    // A token that is dead is as wrong as one that never was.
    house
        .write(Write::Token(ApiToken {
            status: TokenStatus::Revoked(deactivated(false)),
            ..house.token(house.member.token)
        }))
        .await;
    let dead = house.get("/api/v1/me").from(from).by(&house.member).send();
    dead.await.problem(429, "too-many-guesses");
    // No credential at all is no guess, nor is a broken one.
    house.get("/api/v1/me").from(from).send().await.problem(401, "no-credential");
    // Other addresses are patient still, and so is this one, after a while.
    let other = house.get("/api/v1/me").from([127, 0, 9, 9].into()).with_secret("bwt_no");
    other.send().await.problem(401, "invalid-token");
    house.set_now(at(NOW).after(Duration::from_secs(6)));
    guess().await.problem(401, "invalid-token");
    guess().await.problem(429, "too-many-guesses");
}
