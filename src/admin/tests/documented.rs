//! The `OpenAPI` document against the handlers.

use super::*;
use http::Method;
use utoipa::openapi::path::Operation;

/// Every documented path with its operations, by method.
pub(super) fn operations() -> Vec<(String, Method, Operation)> {
    let mut all = Vec::new();
    for (path, item) in openapi().paths.paths {
        for (method, operation) in [
            (Method::GET, item.get),
            (Method::POST, item.post),
            (Method::PUT, item.put),
            (Method::PATCH, item.patch),
            (Method::DELETE, item.delete),
        ] {
            all.extend(operation.map(|operation| (path.clone(), method, operation)));
        }
        assert!(item.head.is_none() && item.options.is_none() && item.trace.is_none());
    }
    all
}

fn matches(template: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    template.split('/').all(|part| {
        parts
            .next()
            .is_some_and(|found| found == part || (part.starts_with('{') && !found.is_empty()))
    }) && parts.next().is_none()
}

/// Fails when an endpoint answers with a status that its description does not have.
#[track_caller]
pub(super) fn check(method: &Method, path: &str, status: StatusCode) {
    let all = operations();
    // `/tokens/bulk` is no token.
    let wildcards = |template: &str| template.matches('{').count();
    let closest = all.iter().filter(|(template, ..)| matches(template, path));
    let closest = closest.map(|(template, ..)| wildcards(template)).min();
    for (template, documented, operation) in all {
        if closest.is_some_and(|closest| wildcards(&template) > closest) {
            continue;
        }
        if documented == *method && matches(&template, path) {
            let statuses = &operation.responses.responses;
            assert!(
                statuses.contains_key(status.as_str()),
                "{method} {template} answers {status}, which is not documented"
            );
        }
    }
}

#[tokio::test]
async fn every_documented_operation_is_routed_and_no_other() {
    let house = House::new().await;
    let all = operations();
    let mut paths: Vec<&String> = all.iter().map(|(path, ..)| path).collect();
    paths.dedup();
    for path in paths {
        let concrete = path
            .replace("{org}", &house.org.to_string())
            .replace("{user}", &house.bystander.user.to_string())
            .replace("{token}", &house.bystander.token.to_string())
            .replace("{policy}", "max_ttl")
            .replace("{exemption}", "exm_00000000000000000000000007")
            .replace("{webhook}", &crate::id::WebhookId::from_bits(1).to_string())
            .replace("{notice}", &crate::id::NoticeId::from_bits(1).to_string())
            .replace("{resource_type}", "User")
            .replace("{schema}", "urn:ietf:params:scim:schemas:core:2.0:User");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let documented = all.iter().any(|(p, m, _)| p == path && m.as_str() == method);
            let status = house.ask(method, &concrete).send().await.status;
            let routed = status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(routed, documented, "{method} {path}: {status}");
            assert_ne!(status, StatusCode::NOT_FOUND, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_document_is_served_as_it_is_printed() {
    let house = House::new().await;
    let printed: Value =
        serde_json::from_str(&openapi().to_json().expect("JSON")).expect("JSON again");
    for path in ["/openapi.json", "/api/v1/openapi.json"] {
        let served = house.get(path).send().await.expect(200);
        assert_eq!(served.body, printed);
        assert_eq!(served.headers[CONTENT_TYPE], "application/json");
    }
    assert!(printed["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    assert_eq!(printed["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    assert_eq!(printed["security"], json!([{"bearer": []}]));
    assert_eq!(printed["paths"]["/healthz"]["get"]["security"], json!([]));
}

/// Every `$ref` of the document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(target) if name == "$ref" => found.push(target.to_owned()),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_reference_resolves_and_every_operation_is_described() {
    let document = serde_json::to_value(openapi()).expect("JSON");
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.iter().any(|target| target == "#/components/schemas/Problem"));
    for target in found {
        let pointer = target.strip_prefix('#').expect("within the document");
        assert!(document.pointer(pointer).is_some(), "{target} is nowhere");
    }
    let mut names = std::collections::HashSet::new();
    for (path, method, operation) in operations() {
        let name = operation.operation_id.expect("a name");
        assert!(names.insert(name.clone()), "{name} twice");
        assert!(operation.summary.is_some_and(|text| !text.is_empty()), "{method} {path}");
        for part in path.split('/').filter_map(|part| part.strip_prefix('{')) {
            let part = part.trim_end_matches('}');
            let params = operation.parameters.iter().flatten();
            let params = serde_json::to_value(params.collect::<Vec<_>>()).expect("JSON");
            let is_named =
                params.as_array().expect("a list").iter().any(|param| param["name"] == part);
            assert!(is_named, "{method} {path}: {part}");
        }
    }
}

/// What the answers hold, against the schemas.
#[tokio::test]
async fn answers_have_the_documented_fields() {
    let house = House::new().await;
    let document = serde_json::to_value(openapi()).expect("JSON");
    let get = |path: String| house.get(&path).by(&house.operator).send();
    let user = house.bystander.user;
    house.webhook().await;
    house.tell(crate::notice::Kind::Created, user).await;
    for (name, body) in [
        ("Token", get(house.at("/tokens")).await.body["items"][0].clone()),
        ("User", get(house.at(&format!("/users/{user}"))).await.body),
        ("Organization", get(house.at("")).await.body),
        ("Policies", get(house.at("/policies")).await.body),
        ("Me", get("/api/v1/me".to_owned()).await.body),
        ("Webhook", get(house.at("/webhooks")).await.body["items"][0].clone()),
        ("Notice", get(house.at("/notices")).await.body["items"][0].clone()),
        ("Problem", get("/nowhere".to_owned()).await.body),
    ] {
        let schema = &document["components"]["schemas"][name];
        let documented = schema["properties"].as_object().unwrap_or_else(|| panic!("{name}"));
        let answered = body.as_object().unwrap_or_else(|| panic!("{name}: {body}"));
        let mut optional: Vec<&String> =
            documented.keys().filter(|field| !answered.contains_key(*field)).collect();
        optional.retain(|field| !(name == "Problem" && *field == "field"));
        assert!(optional.is_empty(), "{name} lacks {optional:?}");
        for field in answered.keys() {
            assert!(documented.contains_key(field), "{name} has {field} too");
        }
        let required = schema["required"].as_array().expect("a list").len();
        assert_eq!(required, answered.len(), "{name}: every field is always there");
    }
}
