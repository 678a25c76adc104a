//! The table of `docs/authorization.md`, cell by cell.

use super::*;
use crate::exemption::{Exempt, Exemption};
use crate::id::ExemptionId;
use crate::policy::PolicyKind;
use crate::validation;
use http::Method;

const DOCUMENT: &str = include_str!("../../../docs/authorization.md");
const COLUMNS: [&str; 8] =
    ["operator", "org_owner", "org_admin", "org_member", "no role", "none", "dead", "outsider"];

struct Row<'t> {
    method: &'t str,
    path: &'t str,
    about: &'t str,
    statuses: Vec<u16>,
}

/// The tables under a heading.
fn rows(heading: &str) -> Vec<Row<'static>> {
    let (_, rest) = DOCUMENT.split_once(heading).expect("the heading");
    let section = rest.split("\n## ").next().expect("a section");
    let mut lines = section.lines().filter(|line| line.starts_with('|'));
    let cells = |line: &'static str| {
        line.trim_matches('|').split('|').map(str::trim).collect::<Vec<&'static str>>()
    };
    let head = cells(lines.next().expect("a head"));
    assert_eq!(head[..2], ["endpoint", "about"]);
    assert_eq!(head[2..], COLUMNS);
    let rows = lines.skip(1).map(|line| {
        let cells = cells(line);
        assert_eq!(cells.len(), 2 + COLUMNS.len(), "{line}");
        let endpoint = cells[0].trim_matches('`');
        let (method, path) = endpoint.split_once(' ').expect("a method and a path");
        let status = |cell: &&str| cell.parse().expect("a status");
        Row { method, path, about: cells[1], statuses: cells[2..].iter().map(status).collect() }
    });
    rows.collect()
}

/// The credential of a column, and the user who is `themself` there.
async fn credential(house: &House, column: &str) -> (Option<String>, UserId) {
    let of = |member: &Member| (Some(member.secret.clone()), member.user);
    match column {
        "operator" => of(&house.operator),
        "org_owner" => of(&house.owner),
        "org_admin" => of(&house.admin),
        "org_member" => of(&house.member),
        "outsider" => of(&house.outsider),
        "none" => (None, house.member.user),
        "no role" => {
            let (id, secret) = house.token_of(house.owner.user, "service only").await;
            let scope = [ROLE_READER].into_iter().collect();
            house.write(Write::Token(ApiToken { scope, ..house.token(id) })).await;
            (Some(secret), house.owner.user)
        }
        "dead" => {
            let (id, secret) = house.token_of(house.owner.user, "dead").await;
            let status = TokenStatus::Deactivated(deactivated(false));
            house.write(Write::Token(ApiToken { status, ..house.token(id) })).await;
            (Some(secret), house.owner.user)
        }
        other => panic!("no column {other}"),
    }
}

/// Somebody to act upon, without tokens.
async fn target(house: &House, roles: &[u32], status: UserStatus) -> UserId {
    let mut seed = Seed { next: 5000, writes: vec![] };
    let user = User { status, ..seed.user(house.org, "Target", roles, false) };
    house.write(Write::User(user.clone())).await;
    user.id
}

/// An exemption of the bystander.
async fn exempted(house: &House) -> ExemptionId {
    let id = ExemptionId::from_bits(7);
    let exemption = Exemption {
        id,
        version: Revision(0),
        org: house.org,
        exempt: Exempt::User(house.bystander.user),
        policy: PolicyKind::MaxTtl,
        until: at("2027-02-01T00:00:00Z"),
        created_at: at(NOW),
        created_by: house.owner.user,
        reason: None,
    };
    let exempt = validation::Write::Exempt(Box::new(exemption));
    house.write(Write::Validation(exempt)).await;
    id
}

/// The path with its identities, the query, and the body of a row's request.
async fn request(house: &House, row: &Row<'_>, me: UserId) -> (String, Value) {
    let on = || UserStatus::Activated(None);
    let off = |governed| UserStatus::Deactivated(deactivated(governed));
    let mut query = String::new();
    let mut user = String::new();
    if row.path.contains("{user}") {
        let activate = row.path.ends_with("/activate");
        let status = if activate { off(row.about.ends_with("by an owner")) } else { on() };
        user = match row.about {
            "themself" | "their own name" | "their own roles" => me.to_string(),
            "an owner" => target(house, &[0], status).await.to_string(),
            _ => target(house, &[2], status).await.to_string(),
        };
        let heir = match row.about {
            "a member, tokens to a member" => Some(house.bystander.user),
            "a member, tokens to an owner" => Some(house.operator.user),
            _ => None,
        };
        if let Some(heir) = heir {
            house.token_of(user.parse().expect("an identity"), "estate").await;
            query = format!("?hand_over_to={heir}");
        }
    }
    let (mut webhook, mut notice) = (String::new(), String::new());
    if row.path.contains("{webhook}") {
        (webhook, _) = house.webhook().await;
    }
    if row.path.contains("{notice}") {
        notice =
            house.tell(crate::notice::Kind::Created, house.bystander.user).await.id.to_string();
    }
    let mut token = String::new();
    if row.path.contains("{token}") {
        let owner = if row.about.starts_with("their own") { me } else { house.bystander.user };
        let (id, _) = house.token_of(owner, "target").await;
        if row.path.contains("/violations/") {
            house.limit_lives(30).await;
        }
        if row.path.ends_with("/activate") {
            let governed = row.about.ends_with("by an owner");
            let status = TokenStatus::Deactivated(deactivated(governed));
            house.write(Write::Token(ApiToken { status, ..house.token(id) })).await;
        }
        token = id.to_string();
    }
    if row.method == "GET" && row.path.ends_with("/tokens") {
        query = match row.about {
            "all" => String::new(),
            "their own" => "?owner=me".to_owned(),
            "another's" => format!("?owner={}", house.bystander.user),
            other => panic!("{other}"),
        };
    }
    let mut exemption = String::new();
    if row.path.contains("{exemption}") {
        exemption = exempted(house).await.to_string();
    }
    let path = row
        .path
        .replace("{org}", &house.org.to_string())
        .replace("{user}", &user)
        .replace("{token}", &token)
        .replace("{policy}", "max_ttl")
        .replace("{exemption}", &exemption)
        .replace("{webhook}", &webhook)
        .replace("{notice}", &notice)
        .replace("{resource_type}", "User")
        .replace("{schema}", "urn:ietf:params:scim:schemas:core:2.0:User");
    (path + &query, body(house, row))
}

fn body(house: &House, row: &Row<'_>) -> Value {
    let writer = json!([{"service": "orders", "role": "writer"}]);
    let reader = json!([{"service": "orders", "role": "reader"}]);
    let named = |name: &str| json!({"name": name});
    match (row.method, row.path.rsplit('/').next().unwrap_or_default(), row.about) {
        ("GET" | "DELETE", ..) | ("POST", "backup" | "export" | "redeliver", _) => Value::Null,
        ("POST", "orgs", "") => {
            json!({"name": "New", "owner": {"email": "n@example.com", "name": "N"}})
        }
        ("PATCH", "{org}", "") | ("PATCH", "{user}", "their own name") => named("Renamed"),
        ("POST", "Users", about) => {
            let role = match about {
                "a new member" => "orders/reader",
                "with a role the caller lacks" => "orders/writer",
                "a new owner" => "org_owner",
                other => panic!("{other}"),
            };
            json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                   "userName": "new@example.com", "roles": [{"value": "org_member"}, {"value": role}]})
        }
        ("POST", ".search", "") => {
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]})
        }
        ("PUT", "{user}", _) => {
            json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                   "userName": "renamed@example.com"})
        }
        ("PATCH", "{user}", "switched off" | "an owner") if row.path.starts_with("/scim") => {
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                   "Operations": [{"op": "replace", "path": "active", "value": "False"}]})
        }
        ("POST", "users", about) => {
            let (org_roles, service_roles) = match about {
                "a new member" => (["org_member"], reader),
                "with a role the caller lacks" => (["org_member"], writer),
                "a new owner" => (["org_owner"], reader),
                other => panic!("{other}"),
            };
            json!({"email": "new@example.com", "name": "New", "org_roles": org_roles,
                   "service_roles": service_roles})
        }
        ("PATCH", "{user}", "with a role the caller lacks") => json!({"service_roles": writer}),
        ("PATCH", "{user}", "their own roles") => json!({"service_roles": []}),
        ("PATCH", "{user}", "a member" | "an owner") => {
            json!({"name": "Renamed", "service_roles": reader})
        }
        ("POST", "tokens", about) => {
            let scope = json!({"org_roles": ["org_member"]});
            match about {
                "for themself" => json!({"name": "new", "scope": scope}),
                "for another" => {
                    json!({"name": "new", "scope": scope, "owner": house.bystander.user})
                }
                "with a role the calling token lacks" => {
                    json!({"name": "new", "scope": {"service_roles": writer}})
                }
                other => panic!("{other}"),
            }
        }
        ("PATCH", "{token}", _) => json!({"name": "Renamed", "scope": {}}),
        ("POST", "leaks", "") => json!({"token": house.bystander.secret}),
        ("POST", "webhooks", _) => json!({"url": "https://example.com/"}),
        ("PATCH", "{webhook}", _) => json!({"activated": false}),
        ("POST", "activate" | "deactivate", _) => json!({"reason": "a reason"}),
        ("POST", "ignore", _) => json!({"until": "2027-02-01T00:00:00Z", "reason": "known"}),
        ("POST", "validations", "") => json!({}),
        ("POST", "rotate", _) => json!({"until": "first_use"}),
        ("POST", "preview", "") => {
            json!({"idle_ttl": {"active": true, "value": 30, "unit": "days"}})
        }
        ("POST", "exemptions", "") => json!({"user": house.bystander.user, "policy": "max_ttl",
            "until": "2027-02-01T00:00:00Z"}),
        ("POST", "transfer", _) => json!({"owner": house.admin.user, "narrow": true}),
        ("POST", "bulk", "by identities") => {
            json!({"action": "deactivate", "ids": [house.bystander.token]})
        }
        ("POST", "bulk", "by a filter") => {
            json!({"action": "deactivate", "filter": {"owner": house.bystander.user}})
        }
        ("PUT", "policies", "") => {
            json!({"max_ttl": {"active": true, "value": 30, "unit": "days"}})
        }
        other => panic!("no request for {other:?}"),
    }
}

async fn walk(heading: &str, governance: Governance) {
    let mut wrong = Vec::new();
    for row in rows(heading) {
        for (column, expected) in COLUMNS.iter().zip(&row.statuses) {
            let house = House::new().await;
            house.govern(governance).await;
            let (secret, me) = credential(&house, column).await;
            let (path, body) = request(&house, &row, me).await;
            let mut ask = house.ask(row.method, &path);
            if let Some(secret) = secret {
                ask = ask.with_secret(&secret);
            }
            if !body.is_null() {
                ask = ask.json(&body);
            }
            let answer = ask.send().await;
            if answer.status.as_u16() != *expected {
                wrong.push(format!(
                    "{} {} ({}) as {column}: {} instead of {expected}: {}",
                    row.method, row.path, row.about, answer.status, answer.text
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn a6_every_role_at_every_endpoint() {
    walk("## While governance is activated", Governance::Activated).await;
}

#[tokio::test]
async fn a6_every_role_while_governance_is_deactivated() {
    walk("## While governance is deactivated", Governance::Deactivated).await;
}

#[test]
fn every_endpoint_has_a_row_and_every_row_an_endpoint() {
    let rows = rows("## While governance is activated");
    let documented = documented::operations();
    for (path, method, _) in &documented {
        let has_row = rows.iter().any(|row| row.method == method.as_str() && row.path == path);
        assert!(has_row, "{method} {path} has no row in docs/authorization.md");
    }
    for row in &rows {
        let method: Method = row.method.parse().expect("a method");
        let is_there =
            documented.iter().any(|(path, known, _)| *known == method && path == row.path);
        assert!(is_there, "{} {} is no endpoint", row.method, row.path);
    }
}
