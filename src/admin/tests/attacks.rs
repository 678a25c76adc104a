//! Named attacks on the admin port.

use super::*;
use crate::session::Refused;
use crate::store::CommitError;
use std::ops::ControlFlow;

#[tokio::test]
async fn a1_a_fresh_store_admits_nobody() {
    let house = House::new().await;
    let store = MemoryStore::new();
    let router = router(AdminState {
        ledger: Arc::clone(&store) as Arc<dyn Ledger>,
        exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
        backups: Backups::new(MemoryStore::new() as Arc<dyn Archive>, std::env::temp_dir()),
        evidences: Arc::new(Stored(Arc::clone(&store) as Arc<dyn Facts>)),
        uses: Arc::<Pending>::default(),
        passes: Arc::default(),
        insights: Insights::default(),
        shelves: Arc::default(),
        tidings: Arc::new(Tidings::new(Arc::clone(&store) as Arc<dyn Facts>)),
        overviews: Overviews::default(),
        guesses: Guesses::default(),
        browsers: Arc::default(),
        facts: Arc::clone(&store) as Arc<dyn Facts>,
        partners: Keys::default(),
        leaks: Leaks::default(),
        refusals: Arc::default(),
        catalogue: Arc::new(ArcSwap::from_pointee(catalogue())),
        hosts: vec![],
        bell: Arc::default(),
        token_prefix: DEFAULT_PREFIX.to_owned(),
        seal: Arc::clone(&house.seal),
        has_mail: false,
        callable: Vec::new(),
        own_ports: OwnPorts::default(),
        random: Arc::new(system_random),
        clock: Arc::new(crate::clock::now),
        ready: Arc::new(|| true),
        metrics: Arc::new(String::new),
    });
    let fresh = House { router, store, ..house };
    let guesses = ["", "admin", "bwt_", "bwt_default", "password", "null", "undefined", "Bearer"];
    for (path, method, operation) in documented::operations() {
        if operation.security.is_some() {
            continue;
        }
        let path = path
            .replace("{org}", &fresh.org.to_string())
            .replace("{user}", &fresh.member.user.to_string())
            .replace("{token}", &fresh.member.token.to_string());
        let method = method.as_str();
        refused(&path, fresh.ask(method, &path).send().await, "no-credential", "Bearer");
        for guess in guesses {
            let answer = fresh.ask(method, &path).with_secret(guess).send().await;
            let status = if guess.is_empty() { 400 } else { 401 };
            assert_eq!(answer.status.as_u16(), status, "{method} {path} {guess:?}");
        }
        // A secret of the right shape that was never issued, and basic authentication.
        let unknown = fresh.ask(method, &path).by(&fresh.owner).send().await;
        refused(&path, unknown, "invalid-token", r#"Bearer error="invalid_token""#);
        let basic = fresh.ask(method, &path).header("authorization", "Basic YWRtaW46YWRtaW4=");
        refused(&path, basic.send().await, "no-credential", "Bearer");
    }
}

/// Holds that an answer turns somebody away who has no good token, and says why in its form: SCIM
/// has no type of problem, so there the sentence does.
#[track_caller]
fn refused(path: &str, answer: Answer, name: &str, challenge: &str) {
    assert_eq!(answer.headers["www-authenticate"], challenge, "{path}");
    if path.starts_with("/scim/v2") {
        let answer = answer.expect(401);
        let why = if name == "no-credential" { Refused::NoCredential } else { Refused::Dead };
        assert_eq!(answer.body["detail"], why.to_string(), "{path}");
        assert_eq!(answer.body["scimType"], Value::Null, "{path}");
    } else {
        answer.problem(401, name);
    }
}

#[tokio::test]
async fn a3_what_another_site_can_send_is_refused() {
    let house = House::new().await;
    let path = house.at("/tokens");
    let body = json!({"name": "new", "scope": {}});
    let ask = || house.ask("POST", &path).by(&house.member);
    for origin in [
        "https://evil.example",
        "null",
        "http://localhost:8082",
        "http://localhost",
        "http://localhost.evil.example:8081",
        "file://localhost:8081",
        "localhost:8081",
        "",
    ] {
        let answer = ask().header("origin", origin).json(&body).send().await;
        answer.problem(403, "cross-origin");
    }
    for site in ["cross-site", "same-site"] {
        let answer = ask().header("sec-fetch-site", site).json(&body).send().await;
        answer.problem(403, "cross-origin");
    }
    for media_type in [
        "text/plain",
        "Text/Plain; charset=utf-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let ask = ask().header("content-type", media_type).body(body.to_string());
        ask.send().await.problem(403, "cross-origin");
    }
    for media_type in ["application/xml", "application/jsonx", "json", ""] {
        let ask = ask().header("content-type", media_type).body(body.to_string());
        ask.send().await.problem(415, "unsupported-media-type");
    }
    ask().body(body.to_string()).send().await.problem(415, "unsupported-media-type");
    let twice = ask().header("content-type", "application/json").json(&body);
    twice.send().await.problem(415, "unsupported-media-type");
    // The dashboard's own requests pass.
    let same = ask().header("origin", "http://localhost:8081").json(&body);
    same.header("sec-fetch-site", "same-origin").send().await.expect(201);
    // Also where there is no body to have a type.
    let id = house.token_of(house.member.user, "spare").await.0;
    let delete = house.ask("DELETE", &house.at(&format!("/tokens/{id}"))).by(&house.member);
    delete.header("origin", "https://evil.example").send().await.problem(403, "cross-origin");
    assert_eq!(house.token(id).standing(), crate::token::Standing::Activated);
}

#[tokio::test]
async fn a4_an_unknown_host_is_misdirected() {
    let house = House::new().await;
    let ask =
        |host: &str| house.get("/api/v1/me").by(&house.owner).header("host", host).send_bare();
    for ours in [
        "localhost",
        "localhost:1",
        "LOCALHOST:8081",
        "127.0.0.1:8081",
        "127.0.0.1",
        "[::1]:8081",
        "admin.example.com",
        "Admin.Example.Com:443",
    ] {
        ask(ours).await.expect(200);
    }
    for other in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8081",
        "10.0.0.1:8081",
        "0.0.0.0:8081",
        "[::2]:8081",
        "admin.example.com.",
        "localhost.",
    ] {
        ask(other).await.problem(421, "misdirected");
    }
    for broken in ["localhost@evil.example", "", ":8081", "a b"] {
        ask(broken).await.problem(400, "invalid-request");
    }
    house.get("/healthz").send_bare().await.problem(400, "invalid-request");
    let twice = house.get("/healthz").header("host", "localhost");
    twice.header("host", "localhost").send_bare().await.problem(400, "invalid-request");
    // The target of the request counts too, and so does every endpoint.
    house.get("http://evil.example/healthz").send().await.problem(421, "misdirected");
    let health = house.get("/healthz").header("host", "evil.example");
    health.send_bare().await.problem(421, "misdirected");
}

#[tokio::test]
async fn a5_markup_is_inert() {
    let house = House::new().await;
    let markup = "<script>alert(1)</script>\"'&";
    let body = json!({"name": markup, "scope": {}});
    let (id, _) = house.create_token(&house.member, body).await;
    let path = house.at(&format!("/tokens/{id}"));
    let off = house.ask("POST", &format!("{path}/deactivate")).by(&house.member);
    off.json(&json!({"reason": markup})).send().await.expect(200);
    let read = house.get(&path).by(&house.owner).header("user-agent", markup).send().await;
    assert_eq!(read.body["name"], markup, "kept as it is");
    assert_eq!(read.body["status_changed"]["reason"], markup);
    // Nothing that a browser would take for a page; `send` holds the policy and `nosniff`.
    assert_eq!(read.headers[CONTENT_TYPE], "application/json");
    let lost =
        house.get("/%3Cscript%3Ealert(1)%3C/script%3E").send().await.problem(404, "not-found");
    assert!(!lost.text.contains("script"), "{}", lost.text);
}

#[tokio::test]
async fn a7_a_secret_is_shown_once_and_nowhere_else() {
    let house = House::new().await;
    let path = house.at("/tokens");
    let body = json!({"name": "once", "scope": {"org_roles": ["org_member"]}});
    let create =
        || house.ask("POST", &path).by(&house.member).header("idempotency-key", "k1").json(&body);
    let made = create().send().await.expect(201);
    let secret = made.body["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("bwt_") && secret.len() == 53, "{secret}");
    let id = made.body["token"]["id"].as_str().expect("an identity").to_owned();
    let replayed = create().send().await.expect(201);
    assert_eq!(replayed.body["secret"], Value::Null);
    assert_eq!(replayed.body["token"]["id"], id);
    house.get("/api/v1/me").with_secret(&secret).send().await.expect(200);

    let token = house.token(id.parse().expect("an identity"));
    let digest = format!("{:02x?}", token.digest.as_bytes()).replace([',', ' ', '[', ']'], "");
    let random = &secret[4..47];
    let mut answers = vec![replayed];
    for path in [
        house.at("/tokens"),
        house.at("/tokens?sort=name&limit=200"),
        house.at(&format!("/tokens/{id}")),
        house.at("/audit?limit=200"),
        house.at("/users"),
        house.at(""),
        "/api/v1/me".to_owned(),
        "/api/v1/orgs".to_owned(),
        "/metrics".to_owned(),
        "/openapi.json".to_owned(),
    ] {
        answers.push(house.get(&path).by(&house.operator).send().await.expect(200));
    }
    answers.push(house.get("/api/v1/me").with_secret(&secret).send().await.expect(200));
    // Errors do not repeat what was sent.
    let rename = house.ask("PATCH", &house.at(&format!("/tokens/{id}"))).with_secret(&secret);
    answers.push(rename.json(&json!({"name": "", "scope": {}})).send().await.expect(400));
    let dead = secret.replace(random, &random.chars().rev().collect::<String>());
    answers.push(house.get("/api/v1/me").with_secret(&dead).send().await.expect(401));
    answers.push(house.get("/nowhere").with_secret(&secret).send().await.expect(404));
    for answer in answers {
        let shown = format!("{} {:?}", answer.text, answer.headers);
        for hidden in [&secret, random, &digest, &dead, &house.operator.secret] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
    // Nor is the secret in the store.
    let events = house.store.events(house.org, None, 1000).expect("readable");
    let mut held = format!("{events:?}");
    let mut visit = |token: ApiToken, _| {
        use std::fmt::Write as _;
        let _infallible = write!(held, "{token:?}");
        ControlFlow::Continue(())
    };
    house.store.visit_tokens(house.org, None, &mut visit).expect("readable");
    assert!(!held.contains(random));
}

#[tokio::test]
async fn a10_unknown_deep_and_large_json_is_refused() {
    let house = House::new().await;
    let path = house.at("/tokens");
    let ask = |body: String| {
        let ask = house.ask("POST", &path).by(&house.member);
        ask.header("content-type", "application/json").body(body).send()
    };
    let unknown = ask(r#"{"name": "x", "scope": {}, "admin": true}"#.to_owned()).await;
    assert_eq!(unknown.problem(400, "invalid-request").field(), "admin");
    let nested = ask(r#"{"name": "x", "scope": {"roles": []}}"#.to_owned()).await;
    assert_eq!(nested.problem(400, "invalid-request").field(), "scope.roles");
    let twice = ask(r#"{"name": "x", "name": "y", "scope": {}}"#.to_owned()).await;
    assert_eq!(twice.problem(400, "invalid-request").field(), "name");
    for deep in [
        format!(r#"{{"name": "x", "scope": {}1{}}}"#, "[".repeat(200_000), "]".repeat(200_000)),
        format!(r#"{{"a":{}1{}}}"#, r#"{"a":"#.repeat(100_000), "}".repeat(100_000)),
        "[".repeat(1_000_000),
    ] {
        ask(deep).await.problem(400, "invalid-request");
    }
    for broken in ["", "{", "null", "[]", "\"\"", "{}{}", "{\"name\": \"\u{0}\"}", "\u{feff}{}"] {
        ask(broken.to_owned()).await.problem(400, "invalid-request");
    }
    let bytes = house.ask("POST", &path).by(&house.member);
    let bytes = bytes.header("content-type", "application/json").body(vec![b'{', 0xff, b'}']);
    bytes.send().await.problem(400, "invalid-request");
    let ten = format!(r#"{{"name": "{}"}}"#, "x".repeat(10 * 1024 * 1024));
    ask(ten).await.problem(413, "too-large");
    let exact = format!(r#"{{"name": "{}"}}"#, "x".repeat(BODY_BYTES_MAX - 12));
    assert_eq!(exact.len(), BODY_BYTES_MAX);
    ask(exact.clone()).await.problem(400, "invalid-request");
    ask(exact + " ").await.problem(413, "too-large");
    let parameter = house.get(&house.at("/tokens?admin=true")).by(&house.owner).send().await;
    assert_eq!(parameter.problem(400, "invalid-request").field(), "admin");
    let stray = house.get("/api/v1/me?x=1").by(&house.owner).send().await;
    assert_eq!(stray.problem(400, "invalid-request").field(), "x");
    let long = format!("/api/v1/me?{}", "x".repeat(TARGET_BYTES_MAX));
    house.get(&long).by(&house.owner).send().await.problem(414, "target-too-long");
}

#[tokio::test]
async fn a11_a_change_that_cannot_be_recorded_fails() {
    for (failure, status, kind) in [
        (CommitError::Full, 507, "storage-full"),
        (CommitError::Failed("the disk is gone".to_owned()), 500, "not-recorded"),
    ] {
        let house = House::new().await;
        let before = house.store.events(house.org, None, 100).expect("readable");
        let path = house.at(&format!("/tokens/{}/deactivate", house.bystander.token));
        house.store.fail_next_commit(&failure);
        let answer = house.ask("POST", &path).by(&house.owner).send().await;
        let answer = answer.problem(status, kind);
        let detail = answer.body["detail"].as_str().expect("a detail");
        assert!(detail.contains("denied until restart, not recorded"), "{detail}");
        assert!(!answer.text.contains("disk is gone"), "{detail}");
        assert_eq!(
            house.token(house.bystander.token).standing(),
            crate::token::Standing::Activated
        );
        assert_eq!(house.store.events(house.org, None, 100).expect("readable"), before);
        house.get("/readyz").send().await.problem(503, "unavailable");
        // After a failure the store takes nothing more until it is opened anew.
        let next = house.ask("POST", &path).by(&house.owner).send().await;
        next.problem(503, "unavailable");
    }
}

#[tokio::test]
async fn a11_a_creation_that_cannot_be_recorded_shows_no_secret() {
    let house = House::new().await;
    house.store.fail_next_commit(&CommitError::Failed("no".to_owned()));
    let ask = house.ask("POST", &house.at("/tokens")).by(&house.member);
    let answer = ask.json(&json!({"name": "new", "scope": {}})).send().await;
    let answer = answer.problem(500, "not-recorded");
    assert!(!answer.text.contains("bwt_"));
    assert!(answer.text.contains("has no effect"), "{}", answer.text);
}

#[tokio::test]
async fn c3_an_expiry_at_the_ends_of_time_is_refused() {
    let house = House::new().await;
    let ask = |life: Value| {
        let mut body = json!({"name": "new", "scope": {}});
        body.as_object_mut().expect("fields").extend(life.as_object().expect("fields").clone());
        house.ask("POST", &house.at("/tokens")).by(&house.member).json(&body).send()
    };
    for end in [
        json!(NOW),
        json!("1970-01-01T00:00:00Z"),
        json!("0000-01-01T00:00:00Z"),
        json!("9999-12-31T23:59:59.999Z"),
        json!("2027-01-01T00:00:59.999Z"),
        json!("2032-01-01T00:00:00.001Z"),
        json!("-0001-01-01T00:00:00Z"),
        json!("292278994-08-17T07:12:55.807Z"),
        json!("2027-13-01T00:00:00Z"),
        json!("tomorrow"),
        json!(""),
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!([]),
    ] {
        let answer = ask(json!({"expires_at": end})).await.problem(400, "invalid-request");
        assert_eq!(answer.field(), "expires_at", "{end}");
    }
    for (ttl, field) in [
        (json!({"value": 0, "unit": "days"}), "ttl"),
        (json!({"value": u32::MAX, "unit": "months"}), "ttl"),
        (json!({"value": -1, "unit": "days"}), "ttl.value"),
        (json!({"value": i64::MAX, "unit": "days"}), "ttl.value"),
        (json!({"value": 1.5, "unit": "days"}), "ttl.value"),
        (json!({"value": 1, "unit": "years"}), "ttl.unit"),
        (json!({"value": 1}), "ttl.unit"),
    ] {
        let answer = ask(json!({"ttl": ttl})).await.problem(400, "invalid-request");
        assert_eq!(answer.field(), field, "{ttl}");
    }
    ask(json!({"expires_at": "2027-01-01T00:01:00Z"})).await.expect(201);
    ask(json!({"expires_at": "2032-01-01T00:00:00Z"})).await.expect(201);
    let both = json!({"expires_at": "2027-02-01T00:00:00Z", "ttl": {"value": 1, "unit": "days"}});
    assert_eq!(ask(both).await.problem(400, "invalid-request").field(), "expires_at");
}

#[tokio::test]
async fn c3_a_token_dies_at_the_instant_and_every_death_has_one_answer() {
    let house = House::new().await;
    let me = |secret: &str| house.get("/api/v1/me").with_secret(secret).send();
    let end = house.token(house.member.token).expires_at;
    house.set_now(Timestamp::from_millis(end.millis() - 1));
    me(&house.member.secret).await.expect(200);
    house.set_now(end);
    let expired = me(&house.member.secret).await.problem(401, "invalid-token");
    for end in [0, -1, i64::MIN] {
        let token = house.token(house.admin.token);
        let expires_at = Timestamp::from_millis(end);
        house.write(Write::Token(ApiToken { expires_at, ..token })).await;
        me(&house.admin.secret).await.problem(401, "invalid-token");
    }
    house.set_now(at(NOW));
    let mut answers = vec![expired];
    let status = TokenStatus::Deactivated(deactivated(true));
    let token = house.token(house.admin.token);
    let expires_at = end;
    house.write(Write::Token(ApiToken { expires_at, status, ..token })).await;
    answers.push(me(&house.admin.secret).await);
    let status = TokenStatus::Revoked(deactivated(true));
    house.write(Write::Token(ApiToken { status, ..house.token(house.admin.token) })).await;
    answers.push(me(&house.admin.secret).await);
    let status = UserStatus::Deactivated(deactivated(true));
    house.write(Write::User(User { status, ..house.user(house.bystander.user) })).await;
    answers.push(me(&house.bystander.secret).await);
    answers.push(me("bwt_wrong").await);
    answers.push(me("somebody-elses-format").await);
    for answer in &answers {
        assert_eq!(answer.status, 401);
        assert_eq!(answer.text, answers[0].text);
        assert_eq!(answer.headers["www-authenticate"], r#"Bearer error="invalid_token""#);
    }
    let none = house.get("/api/v1/me").send().await.problem(401, "no-credential");
    assert_eq!(none.headers["www-authenticate"], "Bearer");
    let twice = house.get("/api/v1/me").by(&house.owner).by(&house.owner).send().await;
    let twice = twice.problem(400, "malformed-credential");
    assert_eq!(twice.headers["www-authenticate"], r#"Bearer error="invalid_request""#);
}
