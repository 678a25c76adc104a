//! How changes are made: versions, idempotency, conflicts, problems, the audit trail.

use super::*;

#[tokio::test]
async fn if_match_holds_a_change_to_what_was_read() {
    let house = House::new().await;
    let by = &house.owner;
    let member = house.at(&format!("/users/{}", house.bystander.user));
    let token = house.at(&format!("/tokens/{}", house.bystander.token));
    for (path, body) in [
        (house.at(""), json!({"name": "A"})),
        (member.clone(), json!({"name": "B"})),
        (token.clone(), json!({"name": "C"})),
    ] {
        let tag = house.get(&path).by(by).send().await.expect(200).etag();
        let patch = |tag: &str, body: &Value| {
            house.ask("PATCH", &path).by(by).header("if-match", tag).json(body).send()
        };
        patch("\"999999\"", &body).await.problem(412, "changed");
        let changed = patch(&tag, &body).await.expect(200);
        assert_ne!(changed.etag(), tag);
        patch(&tag, &json!({"name": "D"})).await.problem(412, "changed");
        // Also where nothing would be changed.
        patch(&tag, &body).await.problem(412, "changed");
        patch("*", &body).await.expect(200);
        patch("broken", &body).await.problem(400, "invalid-request");
        let again = house.get(&path).by(by).send().await;
        assert_eq!(again.etag(), changed.etag(), "nothing was written for nothing");
    }
    let policies = house.at("/policies");
    let tag = house.get(&policies).by(by).send().await.expect(200).etag();
    let body = json!({"max_ttl": {"active": true, "value": 1, "unit": "days"}});
    let put = |tag: &str| house.ask("PUT", &policies).by(by).header("if-match", tag).json(&body);
    put(&tag).send().await.expect(200);
    put(&tag).send().await.problem(412, "changed");
    for verb in ["deactivate", "activate"] {
        for path in [&member, &token] {
            let tag = house.get(path).by(by).send().await.etag();
            let path = format!("{path}/{verb}");
            let post = |tag: &str| house.ask("POST", &path).by(by).header("if-match", tag).send();
            post("\"1\", \"2\"").await.problem(412, "changed");
            post(&tag).await.expect(200);
        }
    }
    for path in [&token, &member] {
        let stale = house.ask("DELETE", path).by(by).header("if-match", "\"1\"").send().await;
        stale.problem(412, "changed");
        house.ask("DELETE", path).by(by).send().await.expect(204);
    }
}

#[tokio::test]
async fn who_may_not_learns_no_version() {
    let house = House::new().await;
    let path = house.at(&format!("/tokens/{}", house.bystander.token));
    let ask = house.ask("PATCH", &path).by(&house.member).header("if-match", "\"1\"");
    ask.json(&json!({"name": "x"})).send().await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_creation_is_made_once_per_key_caller_and_body() {
    let house = House::new().await;
    let tokens = house.at("/tokens");
    let body = |name: &str| json!({"name": name, "scope": {}});
    let ask = |by: &Member, key: &str, body: &Value| {
        let ask = house.ask("POST", &tokens).by(by).header("idempotency-key", key);
        ask.json(body).send()
    };
    let first = ask(&house.member, "k", &body("a")).await.expect(201);
    let again = ask(&house.member, "k", &body("a")).await.expect(201);
    assert_eq!(again.body["token"]["id"], first.body["token"]["id"]);
    assert_eq!(again.headers["location"], first.headers["location"]);
    assert!(first.body["secret"].is_string() && again.body["secret"].is_null());
    ask(&house.member, "k", &body("b")).await.problem(422, "idempotency-key-reused");
    // Another caller's key is another key, and so is another key.
    let other = ask(&house.admin, "k", &body("a")).await.expect(201);
    assert_ne!(other.body["token"]["id"], first.body["token"]["id"]);
    let other = ask(&house.member, "K", &body("a")).await.expect(201);
    assert_ne!(other.body["token"]["id"], first.body["token"]["id"]);
    // The key belongs to the path too.
    let users = house.at("/users");
    let user = json!({"email": "new@example.com", "name": "New"});
    let create = |body: &Value| {
        let ask = house.ask("POST", &users).by(&house.admin).header("idempotency-key", "k");
        ask.json(body).send()
    };
    create(&user).await.problem(422, "idempotency-key-reused");
    let long = "k".repeat(256);
    for key in ["", "a b", long.as_str()] {
        ask(&house.member, key, &body("a")).await.problem(400, "invalid-request");
    }
    // A repeat shows what is there now, and says so when it is gone.
    let ask = || {
        let ask = house.ask("POST", &users).by(&house.owner).header("idempotency-key", "u");
        ask.json(&user).send()
    };
    let made = ask().await.expect(201);
    let id = made.body["id"].as_str().expect("an identity").to_owned();
    let path = house.at(&format!("/users/{id}"));
    house.ask("POST", &format!("{path}/deactivate")).by(&house.owner).send().await.expect(200);
    assert_eq!(ask().await.expect(201).body["status"], "deactivated");
    house.ask("DELETE", &path).by(&house.owner).send().await.expect(204);
    ask().await.problem(409, "conflict");
}

#[tokio::test]
async fn a_repeated_founding_shows_no_secret() {
    let house = House::new().await;
    let body = json!({"name": "New", "owner": {"email": "n@example.com", "name": "N"}});
    let ask = || {
        let ask = house.ask("POST", "/api/v1/orgs").by(&house.operator);
        ask.header("idempotency-key", "o").json(&body).send()
    };
    let mut made = ask().await.expect(201).body;
    assert!(made["secret"].is_string());
    let again = ask().await.expect(201).body;
    made["secret"] = Value::Null;
    assert_eq!(again, made);
}

#[tokio::test]
async fn many_creations_at_once_under_one_key_make_one_token() {
    let house = House::new().await;
    let body = json!({"name": "a", "scope": {}});
    let tokens = house.at("/tokens");
    let ask = || {
        let ask = house.ask("POST", &tokens).by(&house.member).header("idempotency-key", "k");
        ask.json(&body).send()
    };
    let answers =
        [tokio::join!(ask(), ask(), ask(), ask()), tokio::join!(ask(), ask(), ask(), ask())];
    let answers: Vec<Answer> = answers.into_iter().flat_map(|(a, b, c, d)| [a, b, c, d]).collect();
    let secrets = answers.iter().filter(|answer| answer.body["secret"].is_string()).count();
    assert_eq!(secrets, 1, "{answers:?}");
    for answer in &answers {
        assert_eq!(answer.status, 201);
        assert_eq!(answer.body["token"]["id"], answers[0].body["token"]["id"]);
    }
}

#[tokio::test]
async fn changes_that_meet_are_planned_anew() {
    let house = House::new().await;
    let path = house.at(&format!("/users/{}", house.bystander.user));
    let rename = |name: &'static str| {
        house.ask("PATCH", &path).by(&house.owner).json(&json!({"name": name})).send()
    };
    let (a, b, c, d) = tokio::join!(rename("A"), rename("B"), rename("C"), rename("D"));
    for answer in [a, b, c, d] {
        answer.expect(200);
    }
    // Two owners who would leave none behind: one of them is told.
    let demote = |whom: &Member, by: &Member| {
        let path = house.at(&format!("/users/{}", whom.user));
        house.ask("POST", &format!("{path}/deactivate")).by(by).send()
    };
    let (a, b) =
        tokio::join!(demote(&house.operator, &house.owner), demote(&house.owner, &house.operator),);
    let statuses = [a.status.as_u16(), b.status.as_u16()];
    assert!(statuses.contains(&200) && !statuses.eq(&[200, 200]), "{statuses:?}");
    let active = house.store.users(house.org).expect("readable");
    assert_eq!(active.iter().filter(|user| user.is_active_owner()).count(), 1);
}

#[tokio::test]
async fn the_last_active_owner_stays() {
    let house = House::new().await;
    let [first, last] =
        [house.operator.user, house.owner.user].map(|user| house.at(&format!("/users/{user}")));
    let owner = &house.owner;
    house.ask("POST", &format!("{first}/deactivate")).by(owner).send().await.expect(200);
    let post = |path: String| house.ask("POST", &path).by(owner).send();
    post(format!("{last}/deactivate")).await.problem(409, "conflict");
    let demote = json!({"org_roles": ["org_admin"]});
    let patch = house.ask("PATCH", &last).by(owner).json(&demote).send().await;
    assert!(patch.problem(409, "conflict").text.contains("last active owner"));
    post(format!("{first}/activate")).await.expect(200);
    house.ask("PATCH", &last).by(owner).json(&demote).send().await.expect(200);
}

#[tokio::test]
async fn addresses_are_unique_without_case() {
    let house = House::new().await;
    let body = json!({"email": "MEM@example.com", "name": "Twin"});
    let create = house.ask("POST", &house.at("/users")).by(&house.owner).json(&body);
    create.send().await.problem(409, "conflict");
    let path = house.at(&format!("/users/{}", house.bystander.user));
    let taken = house.ask("PATCH", &path).by(&house.owner);
    taken.json(&json!({"email": "mem@EXAMPLE.com"})).send().await.problem(409, "conflict");
    let own = house.ask("PATCH", &path).by(&house.owner);
    own.json(&json!({"email": "BY@example.com"})).send().await.expect(200);
}

#[tokio::test]
async fn every_change_is_in_the_audit_trail_with_what_changed() {
    let house = House::new().await;
    let path = house.at(&format!("/tokens/{}", house.bystander.token));
    let ask = house.ask("POST", &format!("{path}/deactivate")).by(&house.owner);
    let mut ask = ask.header("x-request-id", "req-1").json(&json!({"reason": "<b>leaked</b>"}));
    let peer: std::net::SocketAddr = "[::ffff:192.0.2.7]:4711".parse().expect("an address");
    ask.request = ask.request.extension(axum::extract::ConnectInfo(peer));
    let answer = ask.send().await.expect(200);
    assert_eq!(answer.headers["x-request-id"], "req-1");
    let trail = house.get(&house.at("/audit")).by(&house.owner).send().await.expect(200);
    let mut event = trail.body["items"][0].clone();
    let chained = event.as_object_mut().expect("fields");
    for hash in ["previous_hash", "hash"] {
        let hash = chained.remove(hash).expect("a hash");
        assert_eq!(hash.as_str().map(str::len), Some(64));
    }
    assert!(chained.remove("revision").is_some_and(|revision| revision.is_u64()));
    assert_eq!(
        event,
        json!({
            "seq": 1,
            "org": house.org,
            "at": "2027-01-01T00:00:00.000Z",
            "actor": {"type": "user", "user": house.owner.user, "token": house.owner.token},
            "action": "token.deactivated",
            "target": {"type": "token", "id": house.bystander.token, "name": "By's"},
            "address": "192.0.2.7",
            "request_id": "req-1",
            "reason": "<b>leaked</b>",
            "changes": [{"field": "status", "before": "activated", "after": "deactivated"}],
        })
    );
    // Repeating it is 200 and leaves no trace.
    house.ask("POST", &format!("{path}/deactivate")).by(&house.owner).send().await.expect(200);
    for name in ["A", "B", "C"] {
        let ask = house.ask("PATCH", &path).by(&house.owner).json(&json!({"name": name}));
        ask.send().await.expect(200);
    }
    let page = |cursor: &str| {
        house.get(&house.at(&format!("/audit?limit=3{cursor}"))).by(&house.owner).send()
    };
    let first = page("").await.expect(200);
    let seqs = |answer: &Answer| -> Vec<u64> {
        let items = answer.body["items"].as_array().expect("a list");
        items.iter().filter_map(|event| event["seq"].as_u64()).collect()
    };
    assert_eq!(seqs(&first), [4, 3, 2]);
    let cursor = format!("&cursor={}", first.body["next_cursor"].as_str().expect("a cursor"));
    let second = page(&cursor).await.expect(200);
    assert_eq!(seqs(&second), [1]);
    assert_eq!(second.body["next_cursor"], Value::Null);
    page("&cursor=x").await.problem(400, "invalid-request");
}

#[tokio::test]
async fn a_request_has_a_name() {
    let house = House::new().await;
    let named = |id: &str| house.get("/healthz").header("x-request-id", id).send();
    assert_eq!(named("a.B_c-1:2").await.headers["x-request-id"], "a.B_c-1:2");
    let long = "x".repeat(129);
    for bad in ["", "a b", "<script>", "a\tb", long.as_str()] {
        let answer = named(bad).await;
        let given = answer.headers["x-request-id"].to_str().expect("ASCII");
        assert!(given.len() == 32 && given.bytes().all(|byte| byte.is_ascii_hexdigit()), "{given}");
    }
}

#[tokio::test]
async fn what_is_no_endpoint_is_a_problem_too() {
    let house = House::new().await;
    for path in ["/api", "/api/v2/me", "/api/v1/me/", "/api/v1/orgs//tokens", "/admin"] {
        house.get(path).by(&house.owner).send().await.problem(404, "not-found");
    }
    let answer = house.ask("PUT", "/api/v1/me").by(&house.owner).send().await;
    let answer = answer.problem(405, "method-not-allowed");
    assert_eq!(answer.headers["allow"], "GET,HEAD");
    house.ask("OPTIONS", "/api/v1/me").send().await.problem(405, "method-not-allowed");
    for path in ["/tokens/tok_x", "/users/x", "/users/%ff", "/tokens/..%2f"] {
        let answer = house.get(&house.at(path)).by(&house.owner).send().await;
        answer.problem(404, "not-found");
    }
    house.get("/api/v1/orgs/org_x").by(&house.owner).send().await.problem(404, "not-found");
}

#[tokio::test]
async fn foreign_identities_are_not_found_whatever_they_are() {
    let house = House::new().await;
    let absent = TokenId::from_bits(9999);
    for id in [house.outsider.token, absent] {
        let path = house.at(&format!("/tokens/{id}"));
        let answer = house.get(&path).by(&house.owner).send().await.problem(404, "not-found");
        let other =
            house.get(&house.at(&format!("/tokens/{absent}"))).by(&house.owner).send().await;
        assert_eq!(answer.text, other.text);
    }
    for path in [format!("/api/v1/orgs/{}", house.other_org), "/api/v1/orgs/org_x".to_owned()] {
        house.get(&path).by(&house.operator).send().await.problem(404, "not-found");
        let tokens = format!("{path}/tokens");
        house.get(&tokens).by(&house.operator).send().await.problem(404, "not-found");
    }
    let theirs = house.at(&format!("/tokens?owner={}", house.outsider.user));
    let listed = house.get(&theirs).by(&house.owner).send().await.expect(200);
    assert_eq!(listed.body["items"], json!([]));
    let body = json!({"name": "x", "scope": {}, "owner": house.outsider.user});
    let answer = house.ask("POST", &house.at("/tokens")).by(&house.owner).json(&body).send().await;
    assert_eq!(answer.problem(400, "invalid-request").field(), "owner");
    let path = house.at(&format!("/users/{}", house.bystander.user));
    let heir = format!("{path}?hand_over_to={}", house.outsider.user);
    let answer = house.ask("DELETE", &heir).by(&house.owner).send().await;
    assert_eq!(answer.problem(400, "invalid-request").field(), "hand_over_to");
}
