//! Users by SCIM, as identity providers make, change, switch off and remove them.

use super::*;
use crate::notice::{Addressee, Kind};
use std::fmt::Write as _;

const USERS: &str = "/scim/v2/Users";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn new_user(email: &str) -> Value {
    json!({"schemas": [USER], "userName": email, "externalId": "ext-7",
           "name": {"givenName": "Grace", "familyName": "Hopper"}, "title": "not kept",
           "emails": [{"value": email, "type": "work", "primary": true}]})
}

async fn patch(house: &House, by: &Member, user: &str, operation: Value) -> Answer {
    let body = json!({"schemas": [PATCH], "Operations": [operation]});
    house.ask("PATCH", &format!("{USERS}/{user}")).by(by).json(&body).send().await
}

#[tokio::test]
async fn a_user_from_beginning_to_end() {
    let house = House::new().await;
    let made = house.ask("POST", USERS).by(&house.owner).json(&new_user("grace@example.com"));
    let made = made.send().await.expect(201);
    assert_eq!(made.headers[CONTENT_TYPE], "application/scim+json");
    assert_eq!(made.body["displayName"], "Grace Hopper");
    assert_eq!(made.body["roles"], json!([{"value": "org_member"}]));
    assert_eq!(made.body["meta"]["version"], made.etag());
    let id = made.body["id"].as_str().expect("an identity").to_owned();
    let path = format!("{USERS}/{id}");
    assert_eq!(made.headers["location"], path.as_str());
    let read = house.get(&path).by(&house.owner).send().await.expect(200);
    assert_eq!(read.body, made.body);

    let again = house.ask("POST", USERS).by(&house.owner).json(&new_user("GRACE@example.com"));
    let again = again.send().await.expect(409);
    assert_eq!(again.body["scimType"], "uniqueness");
    assert_eq!(again.body["status"], "409");

    let found =
        house.get("/scim/v2/Users?filter=externalId%20eq%20%22ext-7%22&attributes=userName");
    let found = found.by(&house.owner).send().await.expect(200);
    assert_eq!(found.body["totalResults"], 1);
    let only = json!({"schemas": [USER], "id": id, "userName": "grace@example.com"});
    assert_eq!(found.body["Resources"], json!([only]));

    let stale = house.ask("PUT", &path).by(&house.owner).header("if-match", "\"1\"");
    stale.json(&new_user("hopper@example.com")).send().await.expect(412);
    let put = house.ask("PUT", &path).by(&house.owner).header("if-match", &made.etag());
    let put = put.json(&new_user("hopper@example.com")).send().await.expect(200);
    assert_eq!(put.body["emails"][0]["value"], "hopper@example.com");
    assert_ne!(put.etag(), made.etag());
}

#[tokio::test]
async fn deactivated_by_the_provider_is_deactivated_at_once_and_comes_back() {
    let house = House::new().await;
    let user = house.bystander.user.to_string();
    for (value, admitted) in [(json!(false), 401), (json!(true), 200), (json!("False"), 401)] {
        let operation = json!({"op": "Replace", "path": "active", "value": value});
        patch(&house, &house.owner, &user, operation).await.expect(200);
        house.get("/api/v1/me").by(&house.bystander).send().await.expect(admitted);
    }
    let by_admin = json!({"op": "replace", "path": "active", "value": true});
    patch(&house, &house.admin, &user, by_admin).await.expect(403);
    let events = house.get(&house.at("/audit")).by(&house.owner).send().await.expect(200);
    let actions: Vec<&str> =
        (0..2).filter_map(|at| events.body["items"][at]["action"].as_str()).collect();
    assert_eq!(actions, ["call.refused", "user.deactivated"]);
}

#[tokio::test]
async fn fields_and_status_change_together_or_not_at_all() {
    let house = House::new().await;
    let user = house.bystander.user.to_string();
    let both = json!({"op": "replace", "value": {"displayName": "Left", "active": false}});
    let answer = patch(&house, &house.owner, &user, both).await.expect(200);
    assert_eq!(
        (&answer.body["displayName"], &answer.body["active"]),
        (&json!("Left"), &json!(false))
    );
    assert!(!house.user(house.bystander.user).is_active());
    let bad = json!({"op": "replace", "value": {"active": true, "roles": ["no_such"]}});
    patch(&house, &house.owner, &user, bad).await.expect(400);
    assert!(!house.user(house.bystander.user).is_active());
}

#[tokio::test]
async fn a_removed_user_takes_their_tokens_along() {
    let house = House::new().await;
    let path = format!("{USERS}/{}", house.bystander.user);
    house.ask("DELETE", &path).by(&house.owner).send().await.expect(204);
    house.get("/api/v1/me").by(&house.bystander).send().await.expect(401);
    assert!(matches!(house.token(house.bystander.token).status, TokenStatus::Revoked(_)));
    house.get(&path).by(&house.owner).send().await.expect(404);
    house.ask("DELETE", &path).by(&house.owner).send().await.expect(404);
}

#[tokio::test]
async fn webhooks_hear_of_the_tokens_that_go_with_their_user() {
    let house = House::new().await;
    let (webhook, _secret) = house.webhook().await;
    let path = format!("{USERS}/{}", house.bystander.user);
    house.ask("DELETE", &path).by(&house.owner).send().await.expect(204);
    let all = house.all_notices();
    let [told] = &all[..] else { panic!("one, to the webhook: {all:?}") };
    assert_eq!(told.to, Addressee::Webhook(webhook.parse().expect("an identity")));
    assert_eq!(told.says.kind, Kind::Revoked);
    assert!(told.says.details[0].text.contains(&house.bystander.token.to_string()));
}

#[tokio::test]
async fn the_last_active_owner_stays() {
    let house = House::new().await;
    let owner = house.owner.user.to_string();
    let off = || json!({"op": "replace", "path": "active", "value": false});
    patch(&house, &house.operator, &owner, off()).await.expect(200);
    let operator = house.operator.user.to_string();
    patch(&house, &house.operator, &operator, off()).await.expect(409);
    let demoted = json!({"op": "replace", "path": "roles", "value": [{"value": "org_member"}]});
    patch(&house, &house.operator, &operator, demoted).await.expect(409);
}

#[tokio::test]
async fn an_admin_gives_only_what_its_token_carries() {
    let house = House::new().await;
    let user = house.bystander.user.to_string();
    for (role, status) in [("orders/reader", 200), ("orders/writer", 403), ("org_owner", 403)] {
        let add = json!({"op": "add", "path": "roles", "value": [{"value": role}]});
        patch(&house, &house.admin, &user, add).await.expect(status);
    }
    let other = house.outsider.user.to_string();
    let off = json!({"op": "replace", "path": "active", "value": false});
    patch(&house, &house.owner, &other, off).await.expect(404);
}

#[tokio::test]
async fn an_admin_and_a_provider_with_its_token_touch_no_owner() {
    let house = House::new().await;
    let owner = house.user(house.owner.user);
    let (id, path) = (owner.id.to_string(), format!("{USERS}/{}", owner.id));
    for operation in [
        json!({"op": "replace", "path": "active", "value": false}),
        json!({"op": "replace", "path": "userName", "value": "mine@example.com"}),
        json!({"op": "replace", "path": "roles", "value": [{"value": "org_member"}]}),
    ] {
        patch(&house, &house.admin, &id, operation).await.expect(403);
    }
    let put = house.ask("PUT", &path).by(&house.admin).json(&new_user("mine@example.com"));
    put.send().await.expect(403);
    house.ask("DELETE", &path).by(&house.admin).send().await.expect(403);
    assert_eq!(house.user(owner.id), owner);
    house.get("/api/v1/me").by(&house.owner).send().await.expect(200);
}

#[tokio::test]
async fn lists_are_sorted_and_come_in_parts() {
    let house = House::new().await;
    let search = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
                        "sortBy": "userName", "sortOrder": "descending", "startIndex": 2,
                        "count": 2, "filter": "active eq true"});
    let path = "/scim/v2/Users/.search";
    let page = house.ask("POST", path).by(&house.owner).json(&search).send().await.expect(200);
    assert_eq!(page.body["totalResults"], 5);
    assert_eq!(page.body["itemsPerPage"], 2);
    let names: Vec<&str> =
        (0..2).filter_map(|at| page.body["Resources"][at]["userName"].as_str()).collect();
    assert_eq!(names, ["op@example.com", "mem@example.com"]);
    let bad = house.get("/scim/v2/Users?filter=userName").by(&house.owner).send().await.expect(400);
    assert_eq!(bad.body["scimType"], "invalidFilter");
    house.get("/scim/v2/Nothing").by(&house.owner).send().await.expect(404);
}

#[tokio::test]
async fn what_was_sent_is_not_repeated_by_errors() {
    let house = House::new().await;
    let secret = house.owner.secret.clone();
    let path = format!("{USERS}/{}", house.bystander.user);
    for body in [
        json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": secret, "value": 1}]}),
        json!({"schemas": [PATCH], "Operations": [{"op": secret, "path": "active"}]}),
        json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path":
               format!("emails[value eq \"{secret}\"].value"), "value": "a@example.com"}]}),
        json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path":
               format!("roles[{secret} eq 1]"), "value": "x"}]}),
        json!({"schemas": [PATCH], "Operations": [{"op": "replace", "value": {&*secret: 1}}]}),
        json!({"schemas": [PATCH], "Operations":
               [{"op": "replace", "path": "active", "value": secret}]}),
        json!({"schemas": [secret]}),
    ] {
        let answer =
            house.ask("PATCH", &path).by(&house.owner).json(&body).send().await.expect(400);
        assert!(!answer.text.contains(&secret), "{body}: {}", answer.text);
    }
    for query in ["filter", "sortBy", "sortOrder", "attributes", "count"] {
        let path = format!("{USERS}?{query}={secret}");
        let answer = house.get(&path).by(&house.owner).send().await.expect(400);
        assert!(!answer.text.contains(&secret), "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn no_organization_sees_another_by_any_filter() {
    let house = House::new().await;
    let theirs = house.user(house.outsider.user);
    for filter in [
        format!("userName eq \"{}\"", theirs.email),
        format!("id eq \"{}\"", theirs.id),
        format!("not (id ne \"{}\")", theirs.id),
    ] {
        let filter = filter.replace(' ', "%20").replace('"', "%22");
        let list = format!("{USERS}?filter={filter}");
        let found = house.get(&list).by(&house.owner).send().await.expect(200);
        assert_eq!(found.body["totalResults"], 0, "{filter}");
        let found = house.get(&list).by(&house.outsider).send().await.expect(200);
        assert_eq!(found.body["totalResults"], 1, "{filter}");
    }
    let path = format!("{USERS}/{}", theirs.id);
    house.get(&path).by(&house.operator).send().await.expect(404);
    house.ask("DELETE", &path).by(&house.operator).send().await.expect(404);
    house
        .ask("PUT", &path)
        .by(&house.owner)
        .json(&new_user("x@example.com"))
        .send()
        .await
        .expect(404);
    assert_eq!(house.user(theirs.id), theirs);
}

/// Whatever is asked of the users of another organization, by whatever address of theirs: they are not
/// there, and they stay as they are.
#[tokio::test]
async fn a_provider_of_one_organization_touches_nobody_in_another() {
    let house = House::new().await;
    let theirs = house.user(house.outsider.user);
    let path = format!("{USERS}/{}", theirs.id);
    let operations = [
        json!({"op": "replace", "path": "active", "value": false}),
        json!({"op": "replace", "value": {"active": false}}),
        json!({"op": "replace", "path": "userName", "value": "taken@example.com"}),
        json!({"op": "add", "path": "roles", "value": [{"value": "org_owner"}]}),
        json!({"op": "remove", "path": "roles[value eq \"org_owner\"]"}),
    ];
    for by in [&house.operator, &house.owner, &house.admin] {
        for operation in &operations {
            patch(&house, by, &theirs.id.to_string(), operation.clone()).await.expect(404);
        }
        let body = new_user("x@example.com");
        house.ask("PUT", &path).by(by).json(&body).send().await.expect(404);
        house.ask("DELETE", &path).by(by).send().await.expect(404);
        house.get(&path).by(by).send().await.expect(404);
        // A user who is made with the address of one of theirs is another user, in one's own.
        let search = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "filter": format!("userName eq \"{}\" or id pr", theirs.email),
        });
        let found = house.ask("POST", &format!("{USERS}/.search")).by(by).json(&search);
        let found = found.send().await.expect(200);
        assert!(!found.text.contains(&theirs.id.to_string()), "{}", found.text);
    }
    assert_eq!(house.user(theirs.id), theirs);
    house.get("/api/v1/me").by(&house.outsider).send().await.expect(200);
    let made = new_user(&theirs.email);
    let made = house.ask("POST", USERS).by(&house.owner).json(&made).send().await.expect(201);
    assert_ne!(made.body["id"], theirs.id.to_string());
    assert_eq!(house.user(theirs.id), theirs);
}

/// A filter is read as a filter: what would end a text, a bracket or a query elsewhere is data here,
/// or is refused.
#[tokio::test]
async fn a_filter_finds_what_it_says_and_no_more() {
    let house = House::new().await;
    let count = |filter: &str| {
        let encoded = filter.bytes().fold(String::new(), |mut text, byte| {
            write!(text, "%{byte:02X}").expect("a text takes it");
            text
        });
        let house = &house;
        async move {
            let path = format!("{USERS}?filter={encoded}");
            house.get(&path).by(&house.owner).send().await
        }
    };
    let all = count("id pr").await.expect(200).body["totalResults"].clone();
    assert_eq!(all, 5);
    for data in [
        r#"userName eq "x\" or id pr or userName eq \"""#,
        r#"userName eq "' OR '1'='1""#,
        r#"userName eq "*""#,
        r#"userName eq "%""#,
        r#"userName eq ".*""#,
        r#"userName eq "by@example.com\u0000""#,
        r#"userName eq "by@example.com) or (id pr""#,
    ] {
        assert_eq!(count(data).await.expect(200).body["totalResults"], 0, "{data}");
    }
    for broken in [
        r#"userName eq "x" or"#,
        r#"userName eq "x") or (id pr"#,
        r#"userName eq "x"; id pr"#,
        r#"userName eq "x" -- "#,
        r#"userName eq "x" id pr"#,
        "userName eq 'x'",
        r#"userName eq "x"#,
        r#"password pr or $where eq "1""#,
    ] {
        let refused = count(broken).await.expect(400);
        assert_eq!(refused.body["scimType"], "invalidFilter", "{broken}: {}", refused.text);
    }
    // The filter of a path chooses values of one user, and of no other.
    let user = house.bystander.user.to_string();
    let path = r#"emails[type eq "work" or value eq "owen@example.com"].value"#;
    let operation = json!({"op": "replace", "path": path, "value": "by2@example.com"});
    patch(&house, &house.owner, &user, operation).await;
    assert_eq!(house.user(house.owner.user).email, "owen@example.com");
}

#[tokio::test]
async fn changes_say_when_and_a_filter_finds_them() {
    let house = House::new().await;
    let made = house.ask("POST", USERS).by(&house.owner).json(&new_user("grace@example.com"));
    let made = made.send().await.expect(201);
    assert_eq!(made.body["meta"]["created"], made.body["meta"]["lastModified"]);
    let filter = "filter=meta.lastModified%20ge%20%222000-01-01T00:00:00Z%22";
    let found = house.get(&format!("{USERS}?{filter}&count=1")).by(&house.owner).send().await;
    assert_eq!(found.expect(200).body["itemsPerPage"], 1);
}
