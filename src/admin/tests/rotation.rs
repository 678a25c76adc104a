//! Another secret for a token.

use super::*;

impl House {
    async fn rotate(&self, by: &Member, body: Value) -> Answer {
        let path = self.at(&format!("/tokens/{}/rotate", self.member.token));
        self.ask("POST", &path).by(by).json(&body).send().await
    }

    async fn me(&self, secret: &str) -> u16 {
        self.get("/api/v1/me").with_secret(secret).send().await.status.as_u16()
    }

    async fn shown(&self, token: TokenId) -> Value {
        self.get(&self.at(&format!("/tokens/{token}")))
            .by(&self.owner)
            .send()
            .await
            .expect(200)
            .body
    }
}

fn secret(answer: &Answer) -> String {
    answer.body["secret"].as_str().unwrap_or_else(|| panic!("no secret: {}", answer.text)).into()
}

#[tokio::test]
async fn s9_a_rotation_kills_the_old_secret_and_keeps_the_token() {
    let house = House::new().await;
    let before = house.shown(house.member.token).await;
    house.set_now(at("2027-02-01T00:00:00Z"));
    let answer = house.rotate(&house.member, json!({})).await.expect(200);
    let new = secret(&answer);
    assert_eq!((house.me(&house.member.secret).await, house.me(&new).await), (401, 200));
    let mut after = answer.body["token"].clone();
    assert_eq!(after, house.shown(house.member.token).await);
    assert_eq!(after["issued_at"], "2027-02-01T00:00:00.000Z");
    assert_eq!(after["former_secret"], Value::Null, "nothing of it is good");
    for field in ["issued_at", "expires_at"] {
        assert!(after[field].as_str() > before[field].as_str());
        after[field] = before[field].clone();
    }
    // The dead secret was shown once since, and that is all that has changed otherwise.
    assert_eq!(after, before);
    let trail = house.get(&house.at("/audit")).by(&house.owner).send().await.expect(200);
    let event = &trail.body["items"][0];
    assert_eq!(
        (&event["action"], &event["actor"]["type"]),
        (&"token.rotated".into(), &"user".into())
    );
    assert!(!trail.text.contains(&new) && !trail.text.contains("bwt_"), "{}", trail.text);
}

#[tokio::test]
async fn an_overlap_is_good_until_its_end_and_shown() {
    let house = House::new().await;
    let body =
        json!({"overlap": {"value": 2, "unit": "days"}, "ttl": {"value": 30, "unit": "days"}});
    let answer = house.rotate(&house.member, body).await.expect(200);
    assert_eq!(answer.body["token"]["expires_at"], "2027-01-31T00:00:00.000Z");
    let left = json!({"rotated_at": "2027-01-01T00:00:00.000Z",
                      "ends_at": "2027-01-03T00:00:00.000Z", "until_first_use": false});
    assert_eq!(answer.body["token"]["former_secret"], left);
    let new = secret(&answer);
    house.set_now(at("2027-01-02T23:59:59.999Z"));
    assert_eq!((house.me(&house.member.secret).await, house.me(&new).await), (200, 200));
    house.set_now(at("2027-01-03T00:00:00Z"));
    assert_eq!((house.me(&house.member.secret).await, house.me(&new).await), (401, 200));
    assert_eq!(house.shown(house.member.token).await["former_secret"], Value::Null);
    let body = json!({"until": "first_use"});
    let by = Member { secret: new, ..house.member.clone() };
    let answer = house.rotate(&by, body).await.expect(200);
    assert_eq!(answer.body["token"]["former_secret"]["until_first_use"], true);
    for (body, field) in [
        (json!({"until": "tomorrow"}), "until"),
        (json!({"overlap": {"value": 0, "unit": "days"}}), "overlap.value"),
        (json!({"overlap": {"value": 1}}), "overlap.unit"),
        (json!({"ttl": {"value": 61, "unit": "months"}}), "ttl"),
        (json!({"grace": 1}), "grace"),
    ] {
        assert_eq!(house.rotate(&by, body).await.problem(400, "invalid-request").field(), field);
    }
}

#[tokio::test]
async fn s13_a_new_life_above_the_policy_is_refused_with_the_limit() {
    let house = House::new().await;
    let policies = house.at("/policies");
    let body = json!({"max_ttl": {"active": true, "value": 30, "unit": "days"}});
    house.ask("PUT", &policies).by(&house.owner).json(&body).send().await.expect(200);
    let body = json!({"ttl": {"value": 31, "unit": "days"}});
    let refused = house.rotate(&house.member, body).await.problem(400, "invalid-request");
    assert_eq!(refused.field(), "ttl");
    assert!(refused.text.contains("30 days"), "{}", refused.text);
    assert_eq!(house.me(&house.member.secret).await, 200, "nothing was lost");
    let answer = house.rotate(&house.member, json!({})).await.expect(200);
    assert_eq!(answer.body["token"]["expires_at"], "2027-01-31T00:00:00.000Z");
}

#[tokio::test]
async fn an_expired_token_is_rotated_and_a_dead_one_is_not() {
    let house = House::new().await;
    let (id, old) = house.token_of(house.member.user, "second").await;
    let path = house.at(&format!("/tokens/{id}/rotate"));
    let rotate = || house.ask("POST", &path).by(&house.member).send();
    let expires_at = at(NOW);
    house.write(Write::Token(ApiToken { expires_at, ..house.token(id) })).await;
    assert_eq!(house.me(&old).await, 401);
    let overlapping =
        json!({"overlap": {"value": 2, "unit": "days"}, "ttl": {"value": 9, "unit": "days"}});
    let ask = house.ask("POST", &path).by(&house.member).json(&overlapping);
    let answer = ask.send().await.expect(200);
    assert_eq!((house.me(&old).await, house.me(&secret(&answer)).await), (401, 200));
    let status = TokenStatus::Deactivated(deactivated(true));
    house.write(Write::Token(ApiToken { status, ..house.token(id) })).await;
    rotate().await.problem(409, "conflict");
    let status = TokenStatus::Revoked(deactivated(false));
    house.write(Write::Token(ApiToken { status, ..house.token(id) })).await;
    rotate().await.problem(409, "conflict");
}

#[tokio::test]
async fn a7_a_repeated_rotation_shows_no_secret_and_rotates_no_more() {
    let house = House::new().await;
    let (id, _) = house.token_of(house.member.user, "second").await;
    let path = house.at(&format!("/tokens/{id}/rotate"));
    let ask = |body: &'static str, key: &str| {
        let ask = house.ask("POST", &path).by(&house.member).header("idempotency-key", key);
        ask.header("content-type", "application/json").body(body).send()
    };
    let first = ask("{}", "k").await.expect(200);
    let new = secret(&first);
    let mut again = ask("{}", "k").await.expect(200);
    assert_eq!(again.body["secret"], Value::Null);
    assert_eq!(again.etag(), first.etag());
    again.body["secret"] = first.body["secret"].clone();
    assert_eq!(again.body, first.body);
    assert_eq!(house.me(&new).await, 200);
    ask(r#"{"until": "first_use"}"#, "k").await.problem(422, "idempotency-key-reused");
    ask("{}", "l").await.expect(200);
    assert_eq!(house.me(&new).await, 401, "another key, another rotation");
    let stale = house.ask("POST", &path).by(&house.member).header("if-match", &first.etag());
    stale.send().await.problem(412, "changed");
}

#[tokio::test]
async fn rotations_at_once_leave_one_good_secret() {
    let house = House::new().await;
    let (id, _) = house.token_of(house.member.user, "second").await;
    let path = house.at(&format!("/tokens/{id}/rotate"));
    let ask = || house.ask("POST", &path).by(&house.member).send();
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    let mut good = 0;
    for answer in [a, b, c, d] {
        let new = secret(&answer.expect(200));
        good += usize::from(house.me(&new).await == 200);
    }
    assert_eq!(good, 1);
    assert_eq!(house.token(id).former.len(), 4);
}

/// A change that a secret asked for is not made after the secret was rotated away.
#[tokio::test]
async fn a_secret_that_is_rotated_away_changes_nothing_any_more() {
    let house = House::new().await;
    let path = house.at(&format!("/tokens/{}", house.member.token));
    let rename = || house.ask("PATCH", &path).by(&house.member).json(&json!({"name": "n"})).send();
    rename().await.expect(200);
    let new = secret(&house.rotate(&house.member, json!({})).await.expect(200));
    rename().await.problem(401, "invalid-token");
    let body = json!({"overlap": {"value": 1, "unit": "days"}});
    let by = Member { secret: new, ..house.member.clone() };
    house.rotate(&by, body).await.expect(200);
    let ask = house.ask("PATCH", &path).by(&by).json(&json!({"name": "m"}));
    ask.send().await.expect(200);
}

#[tokio::test]
async fn s9_s10_a_rotation_can_take_the_longest_life() {
    let house = House::new().await;
    house.set_now(at("2027-02-01T00:00:00Z"));
    let answer = house.rotate(&house.member, json!({"ttl": "longest"})).await.expect(200);
    assert_eq!(answer.body["token"]["expires_at"], "2032-02-01T00:00:00.000Z", "60 months");
}

#[tokio::test]
async fn days_before_the_end_are_few_different_and_within_a_year() {
    let house = House::new().await;
    let token = house.at(&format!("/tokens/{}", house.member.token));
    for bad in [json!([0]), json!([366]), json!([7, 7]), json!([6, 5, 4, 3, 2, 1])] {
        let new = json!({"name": "new", "scope": {}, "notify_before_expiry": bad});
        let change = json!({"notify_before_expiry": bad});
        for (method, path, body) in
            [("POST", house.at("/tokens"), new), ("PATCH", token.clone(), change)]
        {
            let answer = house.ask(method, &path).by(&house.member).json(&body).send().await;
            let answer = answer.expect(400);
            assert!(answer.text.contains("notify_before_expiry"), "{}", answer.text);
        }
    }
    let days = || async { house.shown(house.member.token).await["notify_before_expiry"].clone() };
    assert_eq!(days().await, json!([7, 1]), "nothing is lost by what was refused");
    let change = json!({"notify_before_expiry": [1, 365, 30]});
    house.ask("PATCH", &token).by(&house.member).json(&change).send().await.expect(200);
    assert_eq!(days().await, json!([365, 30, 1]));
}
