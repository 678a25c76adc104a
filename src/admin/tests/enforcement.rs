//! Policies that are enforced, exemptions from it, and previews.

use super::*;

fn day(days: u64) -> Timestamp {
    at(NOW).after(Duration::from_hours(24 * days))
}

#[tokio::test]
async fn a_policy_is_enforced_only_if_that_is_said() {
    let house = House::new().await;
    let path = house.at("/policies");
    let put =
        |max: Value| house.ask("PUT", &path).by(&house.owner).json(&json!({"max_ttl": max})).send();
    let week = json!({"value": 7, "unit": "days"});
    let ladder = json!({"deactivate_after": week, "revoke_after": null});
    let with = |enforcement: Value| json!({"active": true, "value": 30, "unit": "days", "enforcement": enforcement});
    let answer = put(with(ladder.clone())).await.expect(200);
    assert_eq!(answer.body["max_ttl"], with(ladder));
    assert_eq!(house.get(&path).by(&house.admin).send().await.body, answer.body);
    let trail = house.get(&house.at("/audit")).by(&house.owner).send().await.body;
    let told = trail["items"][0]["changes"][0]["after"].as_str().expect("a text").to_owned();
    assert!(told.ends_with("enforced: deactivated 7 days after a warning"), "{told}");
    let both = json!({"deactivate_after": week, "revoke_after": {"value": 12, "unit": "hours"}});
    assert_eq!(put(with(both.clone())).await.expect(200).body["max_ttl"]["enforcement"], both);
    // Left out it is off.
    let flagging = put(json!({"active": true, "value": 30, "unit": "days"})).await.expect(200);
    assert_eq!(flagging.body["max_ttl"]["enforcement"], Value::Null);
    for (bad, field) in [
        (json!({"revoke_after": week}), "max_ttl.enforcement.deactivate_after"),
        (
            json!({"deactivate_after": {"value": 0, "unit": "days"}}),
            "max_ttl.enforcement.deactivate_after.value",
        ),
        (
            json!({"deactivate_after": {"value": 1, "unit": "months"}}),
            "max_ttl.enforcement.deactivate_after.unit",
        ),
        (json!({"deactivate_after": week, "warn": true}), "max_ttl.enforcement.warn"),
    ] {
        assert_eq!(put(with(bad)).await.problem(400, "invalid-request").field(), field);
    }
}

#[tokio::test]
async fn whoever_enforces_a_policy_is_told_whether_anybody_is_warned() {
    for has_mail in [true, false] {
        let house = House::with_mail(has_mail).await;
        let path = house.at("/policies");
        let week = json!({"value": 7, "unit": "days"});
        let max = json!({"active": true, "value": 30, "unit": "days",
            "enforcement": {"deactivate_after": week}});
        let enforced = json!({"max_ttl": max});
        let preview = house.ask("POST", &house.at("/policies/preview")).by(&house.owner);
        let preview = preview.json(&enforced).send().await.expect(200).body;
        assert_eq!(preview["policies"]["warned_by_mail"], has_mail);
        let put = house.ask("PUT", &path).by(&house.owner).json(&enforced);
        assert_eq!(put.send().await.expect(200).body["warned_by_mail"], has_mail);
        let read = house.get(&path).by(&house.admin).send().await.expect(200);
        assert_eq!(read.body["warned_by_mail"], has_mail);
    }
}

#[tokio::test]
async fn exemptions_are_granted_listed_and_withdrawn() {
    let house = House::new().await;
    let path = house.at("/exemptions");
    let list = || house.get(&path).by(&house.admin).send();
    let post = |body: Value| house.ask("POST", &path).by(&house.owner).json(&body).send();
    let body = json!({
        "token": house.bystander.token,
        "policy": "max_ttl",
        "until": day(30).to_string(),
        "reason": "a machine that nobody reaches",
    });
    let made = post(body).await.expect(201);
    let id = made.body["id"].as_str().expect("an identity").to_owned();
    let expected = json!({
        "id": id,
        "token": house.bystander.token,
        "user": null,
        "policy": "max_ttl",
        "until": day(30).to_string(),
        "over": false,
        "reason": "a machine that nobody reaches",
        "created_at": "2027-01-01T00:00:00.000Z",
        "created_by": house.owner.user,
    });
    assert_eq!(made.body, expected);
    assert_eq!(made.headers["location"], format!("{path}/{id}"));
    // Lists are in the order of making, which one millisecond has none of.
    house.set_now(at(NOW).after(Duration::from_millis(1)));
    let user = json!({"user": house.bystander.user, "policy": "idle_ttl",
        "until": day(1).to_string()});
    let keyed = || {
        let ask = house.ask("POST", &path).by(&house.owner).json(&user);
        ask.header("idempotency-key", "once").send()
    };
    let second = keyed().await.expect(201);
    assert_eq!(keyed().await.expect(201).body, second.body, "once per key");
    assert_eq!(list().await.expect(200).body["items"], json!([expected, second.body]));
    let trail = house.get(&house.at("/audit")).by(&house.owner).send().await.body;
    assert_eq!(trail["items"][0]["action"], "exemption.granted");
    assert_eq!(trail["items"][0]["target"]["name"], "By");
    // One that is over says so, and goes when the next is granted.
    house.set_now(day(1));
    assert_eq!(list().await.body["items"][1]["over"], true);
    let third = json!({"user": house.member.user, "policy": "idle_ttl",
        "until": day(2).to_string()});
    post(third).await.expect(201);
    let listed = list().await.body;
    let users: Vec<&Value> =
        listed["items"].as_array().expect("a list").iter().map(|item| &item["user"]).collect();
    assert_eq!(users, [&Value::Null, &json!(house.member.user)]);

    let delete = |tag: &str| {
        let ask = house.ask("DELETE", &format!("{path}/{id}")).by(&house.owner);
        ask.header("if-match", tag).send()
    };
    delete("\"1\"").await.problem(412, "changed");
    delete(&made.etag()).await.expect(204);
    delete("*").await.problem(404, "not-found");
    let trail = house.get(&house.at("/audit")).by(&house.owner).send().await.body;
    assert_eq!(trail["items"][0]["action"], "exemption.withdrawn");
    assert_eq!(list().await.body["items"].as_array().map(Vec::len), Some(1));

    let until = day(3).to_string();
    for (bad, field) in [
        (json!({"policy": "max_ttl", "until": until}), "token"),
        (json!({"token": "x", "policy": "max_ttl", "until": until}), "token"),
        (json!({"token": house.outsider.token, "policy": "max_ttl", "until": until}), "token"),
        (json!({"user": house.outsider.user, "policy": "max_ttl", "until": until}), "user"),
        (
            json!({"token": house.bystander.token, "user": house.bystander.user,
                "policy": "max_ttl", "until": until}),
            "user",
        ),
        (json!({"user": house.member.user, "policy": "all", "until": until}), "policy"),
        (json!({"user": house.member.user, "policy": "max_ttl"}), "until"),
        (
            json!({"user": house.member.user, "policy": "max_ttl", "until": day(1).to_string()}),
            "until",
        ),
    ] {
        assert_eq!(post(bad.clone()).await.problem(400, "invalid-request").field(), field, "{bad}");
    }
}

#[tokio::test]
async fn a_preview_says_what_a_change_would_come_to_and_changes_nothing() {
    let house = House::new().await;
    // Six tokens of half a year are there. One more lives a month; two are used.
    let (short, _) = house.token_of(house.member.user, "short").await;
    let token = ApiToken { expires_at: day(30), ..house.token(short) };
    house.write(Write::Token(token)).await;
    let used =
        |days, use_count| Usage { last_used_at: Some(day(days)), use_count, ..Usage::default() };
    // What came before the days that are counted, in them, and of a token that is not flagged.
    for (token, usage) in [
        (house.bystander.token, used(3, 1_000)),
        (house.bystander.token, used(4, 10)),
        (house.bystander.token, used(9, 55)),
        (short, used(10, 5)),
    ] {
        house.store.record_usage(vec![(token, usage).into()]).await.expect("the store takes it");
    }
    house.pending.0.lock().expect("no panic").insert(house.member.token, used(10, 40));
    house.set_now(day(10));
    let before = house.organization();
    let preview = |body: Value| {
        house.ask("POST", &house.at("/policies/preview")).by(&house.owner).json(&body).send()
    };
    let max = json!({"active": true, "value": 60, "unit": "days", "enforcement": null});
    let told = preview(json!({"max_ttl": max})).await.expect(200).body;
    assert_eq!(told["policies"]["max_ttl"], max);
    assert_eq!(told["tokens_read"], 6);
    for (field, count) in [
        ("flagged", 5),
        ("newly_flagged", 5),
        ("cleared", 0),
        ("idle_ttl", 0),
        ("max_ttl", 5),
        ("refused", 5),
        ("owners_count", 5),
        ("used_last_7_days", 2),
        // 10 and 55 on two of the days, and 40 that are not stored yet.
        ("requests_last_7_days", 105),
        ("requests_per_day", 15),
    ] {
        assert_eq!(told[field], count, "{field}: {told}");
    }
    // A day later the first of these days is none of them any more; one request is one a day.
    house.set_now(day(11));
    let told_later = preview(json!({"max_ttl": max})).await.expect(200).body;
    assert_eq!(told_later["requests_last_7_days"], 95);
    house.set_now(day(16));
    house.pending.0.lock().expect("no panic").insert(house.member.token, used(16, 1));
    let told_later = preview(json!({"max_ttl": max})).await.expect(200).body;
    assert_eq!(told_later["requests_last_7_days"], 1);
    assert_eq!(
        (&told_later["requests_per_day"], &told_later["used_last_7_days"]),
        (&json!(1), &json!(2))
    );
    house.pending.0.lock().expect("no panic").insert(house.member.token, used(10, 40));
    house.set_now(day(10));
    let owners = told["owners"].as_array().expect("a list");
    assert_eq!(owners.len(), 5);
    let by = json!({"id": house.bystander.user, "name": "By", "email": "by@example.com",
        "tokens": 1});
    assert!(owners.contains(&by), "{told}");
    // Idle for more than 5 days: the operator, the two owners' and the admin's, never used.
    let idle = json!({"active": true, "value": 5, "unit": "days"});
    let told = preview(json!({"idle_ttl": idle, "max_ttl": max})).await.expect(200).body;
    assert_eq!((&told["idle_ttl"], &told["flagged"]), (&json!(3), &json!(5)));
    assert_eq!(house.organization(), before, "nothing is changed");
    let runs = house.get(&house.at("/validations")).by(&house.owner).send().await.body;
    assert_eq!(runs["items"], json!([]), "and no run is wanted");
    // What a looser policy would heal.
    house.limit_lives(60).await;
    let off = json!({"active": false, "value": 60, "unit": "days"});
    let told = preview(json!({"max_ttl": off})).await.expect(200).body;
    assert_eq!((&told["cleared"], &told["flagged"]), (&json!(5), &json!(0)));
    let bad = preview(json!({"max_ttl": {"active": true, "value": 0, "unit": "days"}})).await;
    assert_eq!(bad.problem(400, "invalid-request").field(), "max_ttl.value");
}
