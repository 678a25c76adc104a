//! Violations: how much hangs on them, lists by them, and owners who ignore them for a time.

use super::*;
use crate::time::Timestamp;

fn ids(answer: &Answer) -> Vec<&str> {
    let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    items.iter().map(|item| item["id"].as_str().expect("an identity")).collect()
}

fn day(days: u64) -> Timestamp {
    at(NOW).after(Duration::from_hours(24 * days))
}

/// Three tokens of the bystander under both policies at the 40th day: one breaks the Max Token TTL,
/// one the Idle Token TTL, one neither.
async fn three() -> (House, [String; 3]) {
    let house = House::new().await;
    let mut made = Vec::new();
    for (name, life) in [("x-long", 100), ("x-idle", 60), ("x-good", 60)] {
        let (id, _) = house.token_of(house.bystander.user, name).await;
        let token = ApiToken { expires_at: day(life), ..house.token(id) };
        house.write(Write::Token(token)).await;
        if name != "x-idle" {
            let usage = Usage::once(day(39));
            house.write(Write::Usage(id, usage)).await;
        }
        made.push(id.to_string());
    }
    let mut org = house.organization();
    org.policies.max_ttl = TtlPolicy { active: true, ttl: Ttl::new(60, Unit::Days) };
    org.policies.idle_ttl = TtlPolicy { active: true, ttl: Ttl::new(30, Unit::Days) };
    house.write(Write::Organization(org)).await;
    house.set_now(day(40));
    (house, made.try_into().expect("three"))
}

#[tokio::test]
async fn s12_tokens_are_listed_by_what_they_break() {
    let (house, [long, idle, good]) = three().await;
    let list = |violation: &str| {
        let path = house.at(&format!("/tokens?violation={violation}&q=x-&sort=name"));
        house.get(&path).by(&house.owner).send()
    };
    for (violation, expected) in [
        ("any", &[&idle, &long][..]),
        ("max_ttl", &[&long]),
        ("idle_ttl", &[&idle]),
        ("none", &[&good]),
    ] {
        assert_eq!(ids(&list(violation).await.expect(200)), expected, "{violation}");
    }
    let refused = list("some").await.problem(400, "invalid-request");
    assert_eq!(refused.field(), "violation");
    // Nothing is applied without governance, so nothing is broken.
    house.govern(Governance::Deactivated).await;
    let mine = house.get(&house.at("/tokens?owner=me&violation=any")).by(&house.bystander).send();
    assert_eq!(ids(&mine.await.expect(200)), [""; 0]);
}

#[tokio::test]
async fn an_ignored_violation_is_shown_and_not_counted_until_its_end() {
    let (house, [long, idle, _]) = three().await;
    let path = |token: &str, policy: &str| {
        house.at(&format!("/tokens/{token}/violations/{policy}/ignore"))
    };
    let post =
        |path: String, body: Value| house.ask("POST", &path).by(&house.owner).json(&body).send();
    let listed = |violation: &str| {
        let path = house.at(&format!("/tokens?violation={violation}&limit=200"));
        house.get(&path).by(&house.owner).send()
    };
    let until = json!({"until": day(50).to_string(), "reason": "is being replaced"});
    let before = house.get(&house.at(&format!("/tokens/{long}"))).by(&house.owner).send().await;
    let done = post(path(&long, "max_ttl"), until.clone()).await.expect(200);
    assert_eq!(done.body["violations"][0]["ignored_until"], day(50).to_string());
    assert_eq!(done.body["violations"][0]["policy"], "max_ttl");
    assert_ne!(done.etag(), before.etag());
    // The policy itself binds as ever.
    assert_eq!(done.body["expires_at"], before.body["expires_at"]);
    assert!(!ids(&listed("any").await).contains(&&*long));
    assert!(!ids(&listed("max_ttl").await).contains(&&*long));
    assert!(ids(&listed("none").await).contains(&&*long));
    // Twice is once, and another end is another decision.
    let again = post(path(&long, "max_ttl"), until).await.expect(200);
    assert_eq!(again.etag(), done.etag());
    let trail = house.get(&house.at("/audit")).by(&house.owner).send().await.body;
    let event = &trail["items"][0];
    assert_eq!(event["action"], "violation.ignored");
    assert_eq!(event["target"]["id"], long);
    assert_eq!(event["reason"], "is being replaced");
    assert_eq!(event["changes"][0]["field"], "max_ttl.ignored_until");
    assert_eq!(event["changes"][0]["after"], day(50).to_string());

    // The instant before its end, and at it.
    house.set_now(Timestamp::from_millis(day(50).millis() - 1));
    assert!(!ids(&listed("any").await).contains(&&*long));
    house.set_now(day(50));
    assert!(ids(&listed("any").await).contains(&&*long));
    let token = house.get(&house.at(&format!("/tokens/{long}"))).by(&house.owner).send().await;
    let counted = token.body["violations"].as_array().expect("a list");
    let max = counted.iter().find(|violation| violation["policy"] == "max_ttl").expect("one");
    assert_eq!(max["ignored_until"], Value::Null);

    // Withdrawn before its end it counts at once.
    let until = json!({"until": day(60).to_string()});
    post(path(&idle, "idle_ttl"), until).await.expect(200);
    assert!(!ids(&listed("idle_ttl").await).contains(&&*idle));
    let delete = || house.ask("DELETE", &path(&idle, "idle_ttl")).by(&house.owner).send();
    delete().await.expect(204);
    assert!(ids(&listed("idle_ttl").await).contains(&&*idle));
    let trail = house.get(&house.at("/audit")).by(&house.owner).send().await.body;
    assert_eq!(trail["items"][0]["action"], "violation.counted");
    delete().await.expect(204);
    let after = house.get(&house.at("/audit")).by(&house.owner).send().await.body;
    assert_eq!(after["items"][0]["seq"], trail["items"][0]["seq"], "nothing was done twice");
}

#[tokio::test]
async fn only_what_is_broken_is_ignored_and_only_until_a_time_ahead() {
    let (house, [long, _, good]) = three().await;
    let post = |token: &str, policy: &str, body: Value| {
        let path = house.at(&format!("/tokens/{token}/violations/{policy}/ignore"));
        house.ask("POST", &path).by(&house.owner).json(&body).send()
    };
    let until = |until: Timestamp| json!({"until": until.to_string()});
    let clash = post(&good, "max_ttl", until(day(41))).await.problem(409, "conflict");
    assert!(clash.text.contains("does not break this policy"), "{}", clash.text);
    post(&long, "none", until(day(41))).await.problem(404, "not-found");
    for wrong in [day(40), day(1), day(40 + 367), at("9999-01-01T00:00:00Z")] {
        let refused = post(&long, "max_ttl", until(wrong)).await;
        assert_eq!(refused.problem(400, "invalid-request").field(), "until", "{wrong}");
    }
    for (body, field) in [
        (json!({}), "until"),
        (json!({"until": "soon"}), "until"),
        (json!({"until": day(41).to_string(), "reason": "x".repeat(501)}), "reason"),
        (json!({"until": day(41).to_string(), "policy": "all"}), "policy"),
    ] {
        let refused = post(&long, "max_ttl", body).await.problem(400, "invalid-request");
        assert_eq!(refused.field(), field);
    }
    post(&long, "max_ttl", until(day(40 + 366))).await.expect(200);
    let path = house.at(&format!("/tokens/{long}/violations/max_ttl/ignore"));
    let stale =
        house.ask("DELETE", &path).by(&house.owner).header("if-match", "\"1\"").send().await;
    stale.problem(412, "changed");
}

#[tokio::test]
async fn severity_goes_by_use() {
    let (house, [long, ..]) = three().await;
    let severity = || async {
        let path = house.at(&format!("/tokens/{long}"));
        let token = house.get(&path).by(&house.owner).send().await.expect(200).body;
        token["violations"][0]["severity"].as_str().expect("a severity").to_owned()
    };
    assert_eq!(severity().await, "medium", "used yesterday, once");
    // Use that is not stored yet counts: 4,000 in 40 days are 100 a day.
    let used = Usage { use_count: 3_999, ..Usage::once(day(40)) };
    house.pending.0.lock().expect("no panic").insert(long.parse().expect("an identity"), used);
    assert_eq!(severity().await, "high");
}

#[tokio::test]
async fn s9_s10_s13_the_longest_life_is_chosen_in_one_step() {
    let house = House::new().await;
    let create = |ttl: Value| {
        let body = json!({"name": "new", "scope": {}, "ttl": ttl});
        house.ask("POST", &house.at("/tokens")).by(&house.member).json(&body).send()
    };
    let longest =
        || async { create(json!("longest")).await.expect(201).body["token"]["expires_at"].clone() };
    assert_eq!(longest().await, "2032-01-01T00:00:00.000Z", "60 months");
    house.limit_lives(30).await;
    assert_eq!(longest().await, "2027-01-31T00:00:00.000Z", "the policy's");
    // A policy beyond the cap does not lift it.
    house.limit_lives(9_000).await;
    assert_eq!(longest().await, "2032-01-01T00:00:00.000Z");
    let refused = create(json!({"value": 61, "unit": "months"})).await;
    let refused = refused.problem(400, "invalid-request");
    assert_eq!(refused.field(), "ttl");
    assert!(refused.text.contains("60 months"), "{}", refused.text);
    house.limit_lives(30).await;
    house.govern(Governance::Deactivated).await;
    assert_eq!(longest().await, "2032-01-01T00:00:00.000Z", "kept, and not applied");
    for (wrong, field) in [
        (json!("shortest"), "ttl"),
        (json!(30), "ttl"),
        (json!({"value": -1, "unit": "days"}), "ttl.value"),
        (json!({"value": 1, "unit": "years"}), "ttl.unit"),
        (json!({"value": 1}), "ttl.unit"),
        (json!({"value": 1, "unit": "days", "x": 1}), "ttl.x"),
    ] {
        assert_eq!(create(wrong.clone()).await.problem(400, "invalid-request").field(), field);
    }
}
