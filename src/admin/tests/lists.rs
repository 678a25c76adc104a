//! Lists: filters, orders, pages.

use super::*;

fn names(answer: &Answer) -> Vec<String> {
    let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
}

/// A house with tokens `t0` to `t9` of the bystander, each used i times at the i-th day.
async fn with_tokens() -> House {
    let house = House::new().await;
    for i in 0_u64..10 {
        let (id, _) = house.token_of(house.bystander.user, &format!("t{i}")).await;
        let created_at = at("2026-06-01T00:00:00Z").after(Duration::from_secs(86_400 * i));
        let token = ApiToken { created_at, ..house.token(id) };
        house.write(Write::Token(token)).await;
        if i > 0 {
            let usage = Usage { last_used_at: Some(created_at), use_count: i, ..Usage::default() };
            house.write(Write::Usage(id, usage)).await;
        }
    }
    house
}

#[tokio::test]
async fn tokens_are_sorted_by_every_column_in_both_directions() {
    let house = with_tokens().await;
    let tokens = |query: String| {
        let path = house.at(&format!("/tokens?limit=200&owner={}{query}", house.bystander.user));
        house.get(&path).by(&house.owner).send()
    };
    for column in [
        "name",
        "owner",
        "created_by",
        "created_at",
        "issued_at",
        "expires_at",
        "last_used_at",
        "use_count",
        "scope",
        "status",
        "violations",
    ] {
        let up = names(&tokens(format!("&sort={column}")).await.expect(200));
        let mut down = names(&tokens(format!("&sort=-{column}")).await.expect(200));
        assert_eq!(up.len(), 11, "{column}");
        down.reverse();
        assert_eq!(up, down, "{column}");
    }
    let used = names(&tokens("&sort=-last_used_at&q=t".to_owned()).await);
    assert_eq!(used, ["t9", "t8", "t7", "t6", "t5", "t4", "t3", "t2", "t1", "t0"]);
    assert_eq!(names(&tokens("&q=T".to_owned()).await)[0], "t9", "the newest first");
    for sort in ["", "-", "secret", "--name", "digest", "name,owner"] {
        let answer = tokens(format!("&sort={sort}")).await;
        assert_eq!(answer.problem(400, "invalid-request").field(), "sort", "{sort}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_whatever_happens_between() {
    let house = with_tokens().await;
    let page = |cursor: &str| {
        let path = house.at(&format!("/tokens?limit=3&sort=name&q=t{cursor}"));
        house.get(&path).by(&house.owner).send()
    };
    let next = |answer: &Answer| {
        format!("&cursor={}", answer.body["next_cursor"].as_str().expect("a cursor"))
    };
    let first = page("").await.expect(200);
    assert_eq!(names(&first), ["t0", "t1", "t2"]);
    // Somebody removes a row that was read, and adds one before it.
    let id = first.body["items"][2]["id"].as_str().expect("an identity");
    house
        .write(Write::Token(ApiToken {
            name: "zz".to_owned(),
            ..house.token(id.parse().expect("an identity"))
        }))
        .await;
    house.token_of(house.bystander.user, "t00").await;
    let second = page(&next(&first)).await.expect(200);
    assert_eq!(names(&second), ["t3", "t4", "t5"]);
    let third = page(&next(&second)).await.expect(200);
    let fourth = page(&next(&third)).await.expect(200);
    assert_eq!(names(&third), ["t6", "t7", "t8"]);
    assert_eq!(names(&fourth), ["t9"]);
    assert_eq!(fourth.body["next_cursor"], Value::Null);

    let cursor = next(&first);
    let foreign = house.get(&house.at(&format!("/tokens?sort=-name{cursor}"))).by(&house.owner);
    assert_eq!(foreign.send().await.problem(400, "invalid-request").field(), "cursor");
    let long = "0".repeat(4000);
    for broken in ["x", "0", "00", "zz", "%20", &cursor[8..20], &long] {
        let answer = page(&format!("&cursor={broken}")).await;
        assert_eq!(answer.problem(400, "invalid-request").field(), "cursor", "{broken}");
    }
    for limit in ["0", "201", "-1", "x", "", "1e2"] {
        let path = house.at(&format!("/tokens?limit={limit}"));
        let answer = house.get(&path).by(&house.owner).send().await;
        assert_eq!(answer.problem(400, "invalid-request").field(), "limit", "{limit}");
    }
}

#[tokio::test]
async fn tokens_are_filtered_by_state_owner_and_text() {
    let house = House::new().await;
    let mut ids = Vec::new();
    for name in ["on", "off", "over", "gone"] {
        ids.push(house.token_of(house.bystander.user, name).await.0);
    }
    let [_, off, over, gone] = ids[..] else { panic!("four tokens") };
    let status = TokenStatus::Deactivated(deactivated(true));
    house.write(Write::Token(ApiToken { status, ..house.token(off) })).await;
    house.write(Write::Token(ApiToken { expires_at: at(NOW), ..house.token(over) })).await;
    let status = TokenStatus::Revoked(deactivated(true));
    house.write(Write::Token(ApiToken { status, ..house.token(gone) })).await;
    let list = |query: &str| {
        house.get(&house.at(&format!("/tokens?sort=name&{query}"))).by(&house.owner).send()
    };
    let by = format!("owner={}", house.bystander.user);
    for (status, expected) in [
        ("activated", &["By's", "on"][..]),
        ("deactivated", &["off"]),
        ("expired", &["over"]),
        ("revoked", &["gone"]),
    ] {
        let answer = list(&format!("{by}&status={status}")).await.expect(200);
        assert_eq!(names(&answer), expected, "{status}");
    }
    let answer = list("status=dead").await;
    assert_eq!(answer.problem(400, "invalid-request").field(), "status");
    assert_eq!(names(&list("q=BY@EXAMPLE").await).len(), 5, "the owner's address");
    assert_eq!(names(&list("q=owen").await), ["Owen's"]);
    assert_eq!(names(&list("q=nobody").await).len(), 0);
    let long = "q".repeat(101);
    assert_eq!(list(&format!("q={long}")).await.problem(400, "invalid-request").field(), "q");
    assert_eq!(list("owner=x").await.problem(400, "invalid-request").field(), "owner");
    let mine = house.get(&house.at("/tokens?owner=me")).by(&house.member).send().await;
    assert_eq!(names(&mine.expect(200)), ["Mem's"]);
}

#[tokio::test]
async fn reads_include_use_that_is_not_stored_yet() {
    let house = House::new().await;
    let id = house.bystander.token;
    let stored =
        Usage { last_used_at: Some(at("2026-12-01T00:00:00Z")), use_count: 5, ..Usage::default() };
    house.write(Write::Usage(id, stored)).await;
    let fresh =
        Usage { last_used_at: Some(at("2026-12-31T00:00:00Z")), use_count: 2, ..Usage::default() };
    house.pending.0.lock().expect("no panic").insert(id, fresh);
    let one = house.get(&house.at(&format!("/tokens/{id}"))).by(&house.owner).send().await.body;
    let path = house.at("/tokens?sort=-last_used_at&limit=1");
    let list = house.get(&path).by(&house.owner).send().await.body;
    assert_eq!(list["items"][0], one);
    assert_eq!(one["use_count"], 7);
    assert_eq!(one["last_used_at"], "2026-12-31T00:00:00.000Z");
}

#[tokio::test]
async fn users_and_organizations_are_lists_too() {
    let house = House::new().await;
    let users =
        |query: &str| house.get(&house.at(&format!("/users?{query}"))).by(&house.admin).send();
    assert_eq!(names(&users("").await.expect(200)), ["Ada", "By", "Mem", "Op", "Owen"]);
    assert_eq!(names(&users("sort=-email&limit=2").await), ["Owen", "Op"]);
    assert_eq!(names(&users("q=O").await).len(), 5, "example.com has one");
    assert_eq!(names(&users("q=owen").await), ["Owen"]);
    assert_eq!(names(&users("status=deactivated").await).len(), 0);
    assert_eq!(users("status=gone").await.problem(400, "invalid-request").field(), "status");
    let page = users("limit=2").await;
    let cursor = page.body["next_cursor"].as_str().expect("a cursor");
    assert_eq!(names(&users(&format!("limit=2&cursor={cursor}")).await), ["Mem", "Op"]);

    for (column, expected) in [
        // In the order of their making, as identities are.
        ("id", ["Op", "Owen", "Ada", "Mem", "By"]),
        ("name", ["Ada", "By", "Mem", "Op", "Owen"]),
        ("email", ["Ada", "By", "Mem", "Op", "Owen"]),
        ("org_roles", ["Ada", "Mem", "By", "Op", "Owen"]),
        ("service_roles", ["Op", "Owen", "Ada", "Mem", "By"]),
        ("status", ["Op", "Owen", "Ada", "Mem", "By"]),
        ("operator", ["Owen", "Ada", "Mem", "By", "Op"]),
        ("created_at", ["Op", "Owen", "Ada", "Mem", "By"]),
    ] {
        sorted(&house, &house.at("/users"), column, &expected).await;
    }

    let orgs = |by: &Member| house.get("/api/v1/orgs").by(by).send();
    assert_eq!(names(&orgs(&house.operator).await.expect(200)), ["Acme", "Globex"]);
    assert_eq!(names(&orgs(&house.member).await.expect(200)), ["Acme"]);
    assert_eq!(names(&orgs(&house.outsider).await.expect(200)), ["Globex"]);
    for column in ["id", "name", "governance", "created_at"] {
        sorted(&house, "/api/v1/orgs", column, &["Acme", "Globex"]).await;
    }
    let roles = house.get(&house.at("/roles")).by(&house.member).send().await.expect(200);
    assert_eq!(names(&roles), ["org_admin", "org_member", "org_owner"]);
    let services = house.get(&house.at("/services")).by(&house.member).send().await.expect(200);
    let expected = json!([{"name": "orders", "roles": ["reader", "writer"]}]);
    assert_eq!(services.body, json!({"items": expected, "next_cursor": null}));
    sorted(&house, &house.at("/roles"), "name", &["org_admin", "org_member", "org_owner"]).await;
    sorted(&house, &house.at("/roles"), "built_in", &["org_admin", "org_member", "org_owner"])
        .await;
    for column in ["name", "roles"] {
        sorted(&house, &house.at("/services"), column, &["orders"]).await;
    }
    for path in ["/roles", "/services"] {
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("cursor=x", "cursor"),
            ("sort=x", "sort"),
        ] {
            let path = house.at(&format!("{path}?{query}"));
            let answer = house.get(&path).by(&house.member).send().await;
            assert_eq!(answer.problem(400, "invalid-request").field(), field, "{path}");
        }
    }
}

/// Holds that a list comes in this order by this column, backwards in the other direction, and page by
/// page as in one.
async fn sorted(house: &House, path: &str, column: &str, expected: &[&str]) {
    for sign in ["", "-"] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        for page in 0.. {
            assert!(page <= expected.len(), "{path} by {column} never ends");
            let path = format!("{path}?limit=1&sort={sign}{column}{cursor}");
            let answer = house.get(&path).by(&house.operator).send().await.expect(200);
            found.extend(names(&answer));
            let Some(next) = answer.body["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        if sign == "-" {
            found.reverse();
        }
        assert_eq!(found, expected, "{path} by {sign}{column}");
    }
}
