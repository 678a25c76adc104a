//! Tokens as people are shown them.

use super::super::table;
use serde_json::{Value, json};

/// A list of tokens.
pub(super) fn list_table(items: &[Value]) -> String {
    let headings =
        ["TOKEN", "NAME", "OWNER", "SCOPE", "STATUS", "CREATED", "EXPIRES", "LAST USED", "ALERT"];
    let row = |token: &Value| {
        vec![
            text(&token["id"]),
            text(&token["name"]),
            text(&token["owner"]["email"]),
            scope(token).join(" "),
            status(token),
            day(&token["created_at"]),
            day(&token["expires_at"]),
            day(&token["last_used_at"]),
            violations(token).join(" "),
        ]
    };
    table::columns(&headings, &items.iter().map(row).collect::<Vec<_>>())
}

/// All of one token.
pub(super) fn details(token: &Value) -> String {
    let person = |person: &Value| match (person["name"].as_str(), person["email"].as_str()) {
        (Some(name), Some(email)) => format!("{name} <{email}>"),
        _ => "-".to_owned(),
    };
    let mut pairs = vec![
        ("Token", text(&token["id"])),
        ("Name", text(&token["name"])),
        ("Owner", person(&token["owner"])),
        ("Created by", person(&token["created_by"])),
        ("Scope", scope(token).join(" ")),
        ("Status", status(token)),
        ("Created", text(&token["created_at"])),
        ("Expires", text(&token["expires_at"])),
        ("Last used", text(&token["last_used_at"])),
        ("Uses", token["use_count"].to_string()),
    ];
    let change = &token["status_changed"];
    if let Some(at) = change["at"].as_str() {
        let by = change["by"].as_str().unwrap_or("nobody known");
        pairs.push(("Changed", format!("{at} by {by}")));
    }
    if let Some(reason) = change["reason"].as_str() {
        pairs.push(("Reason", reason.to_owned()));
    }
    let violations = violations(token);
    if !violations.is_empty() {
        pairs.push(("Alert", violations.join(" ")));
    }
    table::pairs(&pairs)
}

/// The status, unless something else keeps the token from being admitted.
pub(super) fn status(token: &Value) -> String {
    let status = text(&token["status"]);
    if status == "revoked" {
        status
    } else if token["expired"] == json!(true) {
        "expired".to_owned()
    } else if let (Some(blocked), "activated") = (token["blocked"].as_str(), status.as_str()) {
        blocked.to_owned()
    } else {
        status
    }
}

fn scope(token: &Value) -> Vec<String> {
    let scope = &token["scope"];
    let list = |key: &str| scope[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let organization = list("org_roles").iter().map(text);
    let service = |role: &Value| format!("{}/{}", text(&role["service"]), text(&role["role"]));
    organization.chain(list("service_roles").iter().map(service)).collect()
}

fn violations(token: &Value) -> Vec<String> {
    let all = token["violations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let counted = all.iter().filter(|violation| violation["ignored_until"].is_null());
    counted.map(|violation| text(&violation["policy"])).collect()
}

/// Text, or a dash where there is none.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

/// The date of a time: a list has no room for more.
fn day(value: &Value) -> String {
    value.as_str().and_then(|time| time.get(..10)).unwrap_or("-").to_owned()
}
