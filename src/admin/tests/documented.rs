//! The `OpenAPI` document against the handlers.

use super::*;
use http::Method;
use std::collections::BTreeSet;
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
        let concrete = concrete(&house, path);
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let documented = all.iter().any(|(p, m, _)| p == path && m.as_str() == method);
            let status = house.ask(method, &concrete).send().await.status;
            let routed = status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(routed, documented, "{method} {path}: {status}");
            assert_ne!(status, StatusCode::NOT_FOUND, "{method} {path}");
        }
    }
}

/// What a writer says where nobody reads it would be passed over, such as a `dry_run` in the query.
#[tokio::test]
async fn every_write_refuses_parameters_that_it_does_not_document() {
    let house = House::new().await;
    let before = house.store.revision().expect("readable");
    let mut writes = 0;
    for (template, method, operation) in operations() {
        if method == Method::GET {
            continue;
        }
        writes += 1;
        let path = concrete(&house, &template);
        let ask = |query: &str, body: Value| {
            house
                .ask(method.as_str(), &format!("{path}?{query}"))
                .by(&house.owner)
                .json(&body)
                .send()
        };
        for (query, name) in [("surprise=1", "surprise"), ("dry_run", "dry_run"), ("%41=", "A")] {
            let answer = ask(query, json!({})).await.expect(400);
            // SCIM has no field of its own for it.
            assert!(answer.text.contains(&format!("unknown field `{name}`")), "{}", answer.text);
            if !path.starts_with("/scim/") {
                assert_eq!(answer.field(), name, "{method} {template}");
            }
        }
        for known in openapi::of_query(&operation) {
            let answer = ask(&format!("{known}=&surprise=1"), json!({})).await.expect(400);
            assert!(answer.text.contains("unknown field `surprise`"), "{}", answer.text);
        }
        // A stranger hears that they are one, and no more; reports are open to all.
        if !template.ends_with("/leaks") {
            house.ask(method.as_str(), &format!("{path}?surprise=1")).send().await.expect(401);
        }
    }
    assert!(writes > 30, "{writes}");
    assert_eq!(house.store.revision().expect("readable"), before, "nothing was changed");
    // Nothing after the question mark is nothing.
    house.ask("POST", &house.at("/validations?")).by(&house.owner).send().await.expect(202);
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

/// A name that no field or parameter has.
const UNHEARD_OF: &str = "unheard_of";

/// The names that a refusal of [`UNHEARD_OF`] says there are.
fn known_names(answer: &Answer, place: &str) -> BTreeSet<String> {
    let detail = answer.body["detail"].as_str().unwrap_or_default();
    let refused = format!("unknown field `{UNHEARD_OF}`, ");
    let rest = detail.split_once(refused.as_str()).map(|(_, rest)| rest);
    let rest = rest.unwrap_or_else(|| panic!("{place} is taken: {}", answer.text));
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{place}");
    rest.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A path with something of everything that it names.
fn concrete(house: &House, path: &str) -> String {
    path.replace("{org}", &house.org.to_string())
        .replace("{user}", &house.bystander.user.to_string())
        .replace("{token}", &house.bystander.token.to_string())
        .replace("{policy}", "max_ttl")
        .replace("{exemption}", "exm_00000000000000000000000007")
        .replace("{webhook}", &crate::id::WebhookId::from_bits(1).to_string())
        .replace("{notice}", &crate::id::NoticeId::from_bits(1).to_string())
        .replace("{resource_type}", "User")
        .replace("{schema}", "urn:ietf:params:scim:schemas:core:2.0:User")
}

/// The objects of a schema: where each stands in a body, as a body that holds this one, and the names
/// of its fields.
fn objects(
    document: &Value,
    schema: &Value,
    place: &str,
    around: &dyn Fn(Value) -> Value,
    found: &mut Vec<(String, Value, BTreeSet<String>)>,
) {
    assert!(place.len() < 200, "{place} goes on for ever");
    if let Some(target) = schema["$ref"].as_str() {
        let pointer = target.strip_prefix('#').expect("within the document");
        let schema = document.pointer(pointer).expect("it resolves");
        return objects(document, schema, place, around, found);
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        for part in schema[key].as_array().into_iter().flatten() {
            objects(document, part, place, around, found);
        }
    }
    if !schema["items"].is_null() {
        let around = |value| around(json!([value]));
        objects(document, &schema["items"], &format!("{place}[]"), &around, found);
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    found.push((
        place.to_owned(),
        around(json!({ UNHEARD_OF: null })),
        properties.keys().cloned().collect(),
    ));
    for (name, schema) in properties {
        let around = |value| around(json!({ name.as_str(): value }));
        objects(document, schema, &format!("{place}.{name}"), &around, found);
    }
}

/// What may be asked for is what is documented, and nothing else: a refusal of what nobody knows names
/// all that there is.
#[tokio::test]
async fn bodies_and_parameters_have_the_documented_fields() {
    let house = House::new().await;
    let document = serde_json::to_value(openapi()).expect("JSON");
    let (mut bodies, mut queries) = (0, 0);
    for (path, method, operation) in operations() {
        if operation.security.as_ref().is_some_and(Vec::is_empty) {
            // What is open to all has tests of its own.
            continue;
        }
        if !path.starts_with("/api/") {
            // SCIM's are those of its standard, and have tests of their own.
            continue;
        }
        let described = serde_json::to_value(&operation).expect("JSON");
        let name = operation.operation_id.as_deref().expect("a name");
        let there = concrete(&house, &path);
        let ask = |path: &str| house.ask(method.as_str(), path).by(&house.operator);

        let parameters = described["parameters"].as_array().into_iter().flatten();
        let documented: BTreeSet<String> = parameters
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().expect("a name").to_owned())
            .collect();
        // Where nothing is read there may be no parameters, and what changes something may pass over
        // those that it has none of.
        if method == Method::GET || !documented.is_empty() {
            let answer = ask(&format!("{there}?{UNHEARD_OF}=1")).send().await;
            assert_eq!(known_names(&answer, name), documented, "parameters of {name}");
            queries += 1;
        }

        let schema = &described["requestBody"]["content"]["application/json"]["schema"];
        let mut found = Vec::new();
        objects(&document, schema, name, &|value| value, &mut found);
        for (place, body, documented) in found {
            let answer = ask(&there).json(&body).send().await;
            assert_eq!(known_names(&answer, &place), documented, "fields of {place}");
            bodies += 1;
        }
    }
    assert!(bodies > 15 && queries > 15, "{bodies} objects and {queries} queries are too few");
}
