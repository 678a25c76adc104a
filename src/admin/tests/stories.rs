//! What the rows of the design ask for, over HTTP.

use super::*;

#[tokio::test]
async fn s5_a_member_makes_a_token_and_it_reads_as_documented() {
    let house = House::new().await;
    let scope = json!({
        "org_roles": ["org_member"],
        "service_roles": [{"service": "orders", "role": "reader"}],
    });
    let body = json!({"name": "ci", "ttl": {"value": 30, "unit": "days"}, "scope": scope});
    let (id, secret) = house.create_token(&house.member, body).await;
    let path = house.at(&format!("/tokens/{id}"));
    let token = house.get(&path).by(&house.member).send().await.expect(200).body;
    let me = json!({"id": house.member.user, "name": "Mem", "email": "mem@example.com"});
    assert_eq!(
        token,
        json!({
            "id": id,
            "name": "ci",
            "owner": me,
            "created_by": me,
            "scope": scope,
            "status": "activated",
            "status_changed": null,
            "blocked": null,
            "expired": false,
            "created_at": "2027-01-01T00:00:00.000Z",
            "issued_at": "2027-01-01T00:00:00.000Z",
            "expires_at": "2027-01-31T00:00:00.000Z",
            "last_used_at": null,
            "use_count": 0,
            "reuse": {"count": 0, "last_at": null},
            "former_secret": null,
            "notify_before_expiry": [7, 1],
            "violations": [],
        })
    );
    let who = house.get("/api/v1/me").with_secret(&secret).send().await.expect(200).body;
    assert_eq!(who["token"]["id"], id);
    assert_eq!(who["token"]["scope"], scope);
    assert_eq!(who["effective_roles"], scope);
    assert_eq!(who["user"]["email"], "mem@example.com");
    assert_eq!(who["organization"]["name"], "Acme");
}

#[tokio::test]
async fn s13_s14_s15_policies_bind_new_tokens_and_flag_old_ones() {
    let house = House::new().await;
    let policies = house.at("/policies");
    let put = |by: &Member, body: Value| house.ask("PUT", &policies).by(by).json(&body).send();
    let max = json!({"active": true, "value": 30, "unit": "days", "enforcement": null});
    let answer = put(&house.owner, json!({"max_ttl": max})).await.expect(200);
    let idle = json!({"active": false, "value": 90, "unit": "days", "enforcement": null});
    assert_eq!(answer.body, json!({"idle_ttl": idle, "max_ttl": max, "warned_by_mail": true}));
    assert_eq!(house.get(&policies).by(&house.admin).send().await.body, answer.body);

    // The old ones live half a year: flagged, and alive.
    let path = house.at(&format!("/tokens/{}", house.bystander.token));
    let flagged = house.get(&path).by(&house.owner).send().await.expect(200).body;
    let over = house.token(house.bystander.token).expires_at.since(at("2027-01-31T00:00:00Z"));
    assert_eq!(
        flagged["violations"],
        json!([{
            "policy": "max_ttl",
            "since": "2027-01-01T00:00:00.000Z",
            "over_by_seconds": over.as_secs(),
            "ignored_until": null,
            "severity": "low",
        }])
    );
    house.get("/api/v1/me").by(&house.bystander).send().await.expect(200);

    // A new one is held to the limit, which the refusal names.
    let create = |ttl: Value| {
        let body = json!({"name": "new", "scope": {}, "ttl": ttl});
        house.ask("POST", &house.at("/tokens")).by(&house.member).json(&body).send()
    };
    let refused = create(json!({"value": 31, "unit": "days"})).await;
    let refused = refused.problem(400, "invalid-request");
    assert_eq!(refused.field(), "ttl");
    assert!(refused.text.contains("30 days"), "{}", refused.text);
    create(json!({"value": 30, "unit": "days"})).await.expect(201);
    let unsaid = create(Value::Null).await.expect(201);
    assert_eq!(unsaid.body["token"]["expires_at"], "2027-01-31T00:00:00.000Z");

    // Without governance nothing of it is applied, and its value stays.
    house.govern(Governance::Deactivated).await;
    create(json!({"value": 31, "unit": "days"})).await.expect(201);
    let own = house.get(&house.at("/tokens?owner=me")).by(&house.member).send().await;
    assert_eq!(own.body["items"][0]["violations"], json!([]));
    let refused = put(&house.owner, json!({"max_ttl": max})).await.problem(403, "forbidden");
    assert!(refused.text.contains("governance is deactivated"), "{}", refused.text);
    house.govern(Governance::Activated).await;
    assert_eq!(house.get(&policies).by(&house.owner).send().await.body["max_ttl"], max);

    for (body, field) in [
        (json!({"max_ttl": {"active": true, "value": 0, "unit": "days"}}), "max_ttl.value"),
        (json!({"max_ttl": {"active": true, "value": 1, "unit": "months"}}), "max_ttl.unit"),
        (json!({"idle_ttl": {"active": true, "value": 1}}), "idle_ttl.unit"),
        (json!({"idle_ttl": {"value": 1, "unit": "days"}}), "idle_ttl.active"),
        (json!({"enforce": true}), "enforce"),
    ] {
        let answer = put(&house.owner, body).await.problem(400, "invalid-request");
        assert_eq!(answer.field(), field);
    }
}

#[tokio::test]
async fn s2_s16_a_switched_token_is_dead_at_the_next_request() {
    let house = House::new().await;
    let path = house.at(&format!("/tokens/{}", house.bystander.token));
    let post = |verb: &str, by: &Member| {
        let ask = house.ask("POST", &format!("{path}/{verb}")).by(by);
        ask.json(&json!({"reason": "leaked"})).send()
    };
    let me = || house.get("/api/v1/me").by(&house.bystander).send();
    me().await.expect(200);
    let off = post("deactivate", &house.owner).await.expect(200).body;
    assert_eq!(off["status"], "deactivated");
    let changed =
        json!({"at": "2027-01-01T00:00:00.000Z", "by": house.owner.user, "reason": "leaked"});
    assert_eq!(off["status_changed"], changed);
    me().await.problem(401, "invalid-token");
    // Twice is once.
    house.set_now(at("2027-01-02T00:00:00Z"));
    let again = post("deactivate", &house.owner).await.expect(200).body;
    assert_eq!(again["status_changed"], changed);
    // What an owner deactivated, its user does not activate.
    let (_, secret) = house.token_of(house.bystander.user, "other").await;
    let other = Member { secret, ..house.bystander.clone() };
    let refused = post("activate", &other).await.problem(403, "forbidden");
    assert!(refused.text.contains("only an owner activates"), "{}", refused.text);
    post("activate", &house.owner).await.expect(200);
    me().await.expect(200);
    house.ask("DELETE", &path).by(&house.owner).send().await.expect(204);
    me().await.problem(401, "invalid-token");
    post("activate", &house.owner).await.problem(409, "conflict");
    post("deactivate", &house.owner).await.problem(409, "conflict");
    house.ask("DELETE", &path).by(&house.owner).send().await.expect(204);
    let rows = house.get(&house.at("/tokens?status=revoked")).by(&house.owner).send().await;
    assert_eq!(rows.body["items"][0]["id"], house.bystander.token.to_string());
}

#[tokio::test]
async fn a_token_switches_itself_off() {
    let house = House::new().await;
    let path = house.at(&format!("/tokens/{}/deactivate", house.member.token));
    house.ask("POST", &path).by(&house.member).send().await.expect(200);
    house.get("/api/v1/me").by(&house.member).send().await.problem(401, "invalid-token");
}

#[tokio::test]
async fn deactivating_a_user_stops_their_tokens_and_activating_restores_exactly_them() {
    let house = House::new().await;
    let (off, off_secret) = house.token_of(house.bystander.user, "off").await;
    let user = house.at(&format!("/users/{}", house.bystander.user));
    let token =
        |id: TokenId| house.get(&house.at(&format!("/tokens/{id}"))).by(&house.owner).send();
    let post = |path: String| house.ask("POST", &path).by(&house.owner).send();
    post(house.at(&format!("/tokens/{off}/deactivate"))).await.expect(200);
    let before = [token(off).await.etag(), token(house.bystander.token).await.etag()];
    let answer = post(format!("{user}/deactivate")).await.expect(200).body;
    assert_eq!(answer["status"], "deactivated");
    house.get("/api/v1/me").by(&house.bystander).send().await.problem(401, "invalid-token");
    let blocked = token(house.bystander.token).await.body;
    assert_eq!(blocked["status"], "activated");
    assert_eq!(blocked["blocked"], "owner_deactivated");
    post(format!("{user}/deactivate")).await.expect(200);
    // An admin does not take an owner's decision back.
    let admin = house.ask("POST", &format!("{user}/activate")).by(&house.admin).send().await;
    admin.problem(403, "forbidden");
    post(format!("{user}/activate")).await.expect(200);
    house.get("/api/v1/me").by(&house.bystander).send().await.expect(200);
    house.get("/api/v1/me").with_secret(&off_secret).send().await.problem(401, "invalid-token");
    let after = [token(off).await.etag(), token(house.bystander.token).await.etag()];
    assert_eq!(after, before, "no token row was rewritten");
    assert_eq!(token(house.bystander.token).await.body["blocked"], Value::Null);
}

#[tokio::test]
async fn removing_a_user_wants_the_tokens_revoked_or_handed_over() {
    let house = House::new().await;
    let user = house.at(&format!("/users/{}", house.bystander.user));
    let delete = |path: &str| house.ask("DELETE", path).by(&house.owner).send();
    let refused = delete(&user).await.problem(409, "conflict");
    assert!(refused.text.contains("hand them over"), "{}", refused.text);
    // A role without effect under its former owner gets none under the new one.
    let scope: RoleSet = [RoleId::ORG_MEMBER, ROLE_READER, ROLE_WRITER].into_iter().collect();
    let token = house.token(house.bystander.token);
    house.write(Write::Token(ApiToken { scope, ..token })).await;
    let heir = house.user(house.member.user);
    let roles = [RoleId::ORG_MEMBER, ROLE_WRITER].into_iter().collect();
    house.write(Write::User(User { roles, ..heir })).await;
    delete(&format!("{user}?hand_over_to={}", house.member.user)).await.expect(204);
    house.get(&user).by(&house.owner).send().await.problem(404, "not-found");
    let who = house.get("/api/v1/me").by(&house.bystander).send().await.expect(200).body;
    assert_eq!(who["user"]["id"], house.member.user.to_string());
    let scope = |roles: Value| json!({"org_roles": ["org_member"], "service_roles": roles});
    let reader = json!([{"service": "orders", "role": "reader"}]);
    assert_eq!(who["token"]["scope"], scope(reader));
    assert_eq!(who["effective_roles"], scope(json!([])));
    let path = house.at(&format!("/tokens/{}", house.bystander.token));
    let token = house.get(&path).by(&house.owner).send().await.expect(200).body;
    assert_eq!(token["created_by"]["name"], Value::Null, "the maker is gone");
    assert_eq!(token["created_by"]["id"], house.bystander.user.to_string());
}

#[tokio::test]
async fn a_removed_users_revoked_tokens_stay_in_the_list() {
    let house = House::new().await;
    let token = house.at(&format!("/tokens/{}", house.bystander.token));
    let user = house.at(&format!("/users/{}", house.bystander.user));
    house.ask("DELETE", &token).by(&house.owner).send().await.expect(204);
    house.ask("DELETE", &user).by(&house.owner).send().await.expect(204);
    let row = house.get(&token).by(&house.owner).send().await.expect(200).body;
    assert_eq!(row["owner"], json!({"id": house.bystander.user, "name": null, "email": null}));
    let post = house.ask("POST", &format!("{token}/activate")).by(&house.owner).send().await;
    post.problem(409, "conflict");
    house.ask("DELETE", &token).by(&house.owner).send().await.expect(204);
}

#[tokio::test]
async fn s8_a_token_loses_a_role_when_its_owner_does() {
    let house = House::new().await;
    let roles = |who: Value| who["effective_roles"]["service_roles"].clone();
    let me = || house.get("/api/v1/me").by(&house.member).send();
    assert_eq!(roles(me().await.body), json!([{"service": "orders", "role": "reader"}]));
    let path = house.at(&format!("/users/{}", house.member.user));
    let set = |body: Value| house.ask("PATCH", &path).by(&house.owner).json(&body).send();
    set(json!({"service_roles": []})).await.expect(200);
    let who = me().await.expect(200).body;
    assert_eq!(roles(who.clone()), json!([]));
    assert_eq!(who["token"]["scope"]["service_roles"][0]["role"], "reader");
    set(json!({"org_roles": []})).await.expect(200);
    let tokens = house.get(&house.at("/tokens?owner=me")).by(&house.member).send().await;
    tokens.problem(403, "forbidden");
    me().await.expect(200);
}

#[tokio::test]
async fn users_are_shown_the_roles_that_they_were_given() {
    let house = House::new().await;
    let id = house.create_user(&house.owner, "new@example.com", &["org_owner"]).await;
    let user = house.get(&house.at(&format!("/users/{id}"))).by(&house.owner).send().await.body;
    assert_eq!(
        user,
        json!({
            "id": id,
            "name": "new@example.com",
            "email": "new@example.com",
            "org_roles": ["org_owner"],
            "service_roles": [],
            "status": "activated",
            "status_changed": null,
            "operator": false,
            "created_at": "2027-01-01T00:00:00.000Z",
        })
    );
    // An owner's token may carry less than org_owner.
    let body = json!({"name": "less", "scope": {"org_roles": ["org_member"]}});
    let (_, secret) = house.create_token(&house.owner, body).await;
    let who = house.get("/api/v1/me").with_secret(&secret).send().await.expect(200).body;
    assert_eq!(who["effective_roles"]["org_roles"], json!(["org_member"]));
    let default = json!({"email": "plain@example.com", "name": "Plain"});
    let ask = house.ask("POST", &house.at("/users")).by(&house.owner).json(&default);
    assert_eq!(ask.send().await.expect(201).body["org_roles"], json!(["org_member"]));
    for (body, field) in [
        (json!({"email": "x", "name": "X"}), "email"),
        (json!({"email": "x@y", "name": ""}), "name"),
        (json!({"email": "x@y"}), "name"),
        (json!({"email": "x@y", "name": "X", "org_roles": ["root"]}), "org_roles[0]"),
        (
            json!({"email": "x@y", "name": "X", "service_roles": [{"service": "orders"}]}),
            "service_roles[0].role",
        ),
        (
            json!({"email": "x@y", "name": "X",
                "service_roles": [{"service": "orders", "role": "x"}]}),
            "service_roles[0].role",
        ),
        (json!({"email": "x@y", "name": "X", "operator": true}), "operator"),
    ] {
        let answer =
            house.ask("POST", &house.at("/users")).by(&house.owner).json(&body).send().await;
        assert_eq!(answer.problem(400, "invalid-request").field(), field, "{body}");
    }
}

#[tokio::test]
async fn a_new_organization_begins_with_an_owner_and_their_token() {
    let house = House::new().await;
    let body = json!({"name": "New", "owner": {"email": "g@example.com", "name": "Grace"}});
    let ask = house.ask("POST", "/api/v1/orgs").by(&house.operator).json(&body);
    let made = ask.send().await.expect(201).body;
    assert_eq!(made["organization"]["governance"], "activated");
    assert_eq!(made["owner"]["org_roles"], json!(["org_owner"]));
    assert_eq!(made["owner"]["operator"], false);
    assert_eq!(made["token"]["owner"]["name"], "Grace");
    let secret = made["secret"].as_str().expect("a secret");
    let org = made["organization"]["id"].as_str().expect("an identity");
    let root = format!("/api/v1/orgs/{org}");
    let ask = |rest: &str| house.get(&format!("{root}{rest}")).with_secret(secret).send();
    let listed = ask("/tokens").await.expect(200).body;
    assert_eq!(listed["items"][0], {
        // The maker is of another organization: no more than the identity is shown here.
        let mut token = made["token"].clone();
        token["created_by"] = json!({"id": house.operator.user, "name": null, "email": null});
        token
    });
    let events = ask("/audit").await.expect(200).body;
    assert_eq!(events["items"].as_array().map(Vec::len), Some(3));
    house.get(&root).by(&house.operator).send().await.problem(404, "not-found");
    let trail = house.get(&house.at("/audit")).by(&house.owner).send().await.expect(200).body;
    assert_eq!(trail["items"][0]["action"], "organization.created");
    assert_eq!(trail["items"][0]["target"]["name"], "New");
}

#[tokio::test]
async fn readiness_tells_of_the_gateway_and_the_store() {
    let house = House::new().await;
    assert_eq!(house.get("/readyz").send().await.expect(200).text, "ready\n");
    assert_eq!(house.get("/healthz").send().await.expect(200).text, "ok\n");
    let metrics = house.get("/metrics").send().await.expect(200);
    assert_eq!(metrics.text, "# EOF\n");
}
