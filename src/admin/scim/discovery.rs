//! What a provider can ask about this service (RFC 7643 sections 5 to 7).

use super::list::RESULTS_MAX;
use super::{Answer, LIST_SCHEMA, USER_SCHEMA};
use crate::admin::Shared;
use crate::admin::extract::{Call, Params};
use crate::admin::openapi::ScimReadProblems;
use crate::admin::problem::Problem;
use axum::extract::State;
use serde_json::{Value, json};

const CONFIG_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const TYPE_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const SCHEMA_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

/// Tell which parts of SCIM there are.
#[utoipa::path(
    get,
    path = "/scim/v2/ServiceProviderConfig",
    tag = "scim",
    operation_id = "scim_read_config",
    responses(
        (status = 200, description = "RFC 7643 section 5", body = Value,
         content_type = "application/scim+json"),
        ScimReadProblems
    )
)]
pub(crate) async fn config(State(_state): State<Shared>, _call: Call) -> Answer {
    Answer(json!({
        "schemas": [CONFIG_SCHEMA],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": RESULTS_MAX},
        "changePassword": {"supported": false},
        "sort": {"supported": true},
        "etag": {"supported": true},
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "API token",
            "description": "An API token of an owner or admin of the organization, as bearer",
            "primary": true,
        }],
        "meta": meta("ServiceProviderConfig", "/scim/v2/ServiceProviderConfig"),
    }))
}

/// List the types of resources.
#[utoipa::path(
    get,
    path = "/scim/v2/ResourceTypes",
    tag = "scim",
    operation_id = "scim_list_resource_types",
    responses(
        (status = 200, description = "RFC 7643 section 6", body = Value,
         content_type = "application/scim+json"),
        ScimReadProblems
    )
)]
pub(crate) async fn types(State(_state): State<Shared>, _call: Call) -> Answer {
    listed(&[user_type()])
}

/// Read a type of resources.
#[utoipa::path(
    get,
    path = "/scim/v2/ResourceTypes/{resource_type}",
    tag = "scim",
    operation_id = "scim_read_resource_type",
    params(("resource_type" = String, Path, description = "User")),
    responses(
        (status = 200, description = "RFC 7643 section 6", body = Value,
         content_type = "application/scim+json"),
        ScimReadProblems
    )
)]
pub(crate) async fn one_type(
    State(_state): State<Shared>,
    _call: Call,
    params: Params,
) -> Result<Answer, Problem> {
    named(vec![user_type()], &params.text("resource_type")?)
}

/// List the schemas.
#[utoipa::path(
    get,
    path = "/scim/v2/Schemas",
    tag = "scim",
    operation_id = "scim_list_schemas",
    responses(
        (status = 200, description = "RFC 7643 section 7", body = Value,
         content_type = "application/scim+json"),
        ScimReadProblems
    )
)]
pub(crate) async fn schemas(State(_state): State<Shared>, _call: Call) -> Answer {
    listed(&[user_schema()])
}

/// Read a schema.
#[utoipa::path(
    get,
    path = "/scim/v2/Schemas/{schema}",
    tag = "scim",
    operation_id = "scim_read_schema",
    params(("schema" = String, Path, description = "Its name, as a URN")),
    responses(
        (status = 200, description = "RFC 7643 section 7", body = Value,
         content_type = "application/scim+json"),
        ScimReadProblems
    )
)]
pub(crate) async fn one_schema(
    State(_state): State<Shared>,
    _call: Call,
    params: Params,
) -> Result<Answer, Problem> {
    named(vec![user_schema()], &params.text("schema")?)
}

fn listed(all: &[Value]) -> Answer {
    Answer(json!({
        "schemas": [LIST_SCHEMA],
        "totalResults": all.len(),
        "startIndex": 1,
        "itemsPerPage": all.len(),
        "Resources": all,
    }))
}

fn named(all: Vec<Value>, id: &str) -> Result<Answer, Problem> {
    all.into_iter().find(|one| one["id"] == id).map(Answer).ok_or_else(Problem::not_found)
}

fn meta(resource_type: &str, location: &str) -> Value {
    json!({"resourceType": resource_type, "location": location})
}

fn user_type() -> Value {
    json!({
        "schemas": [TYPE_SCHEMA],
        "id": "User",
        "name": "User",
        "description": "A user of the organization",
        "endpoint": "/Users",
        "schema": USER_SCHEMA,
        "meta": meta("ResourceType", "/scim/v2/ResourceTypes/User"),
    })
}

fn user_schema() -> Value {
    let value = |told: &str, exact: bool| attribute("value", told, exact, "readWrite");
    // What a user always has and nobody can take off.
    let required = json!({"required": true});
    let mut formatted = attribute("formatted", "The name", false, "readWrite");
    formatted["required"] = json!(true);
    let mut email = value("The address, which is the userName too", false);
    email["required"] = json!(true);
    json!({
        "schemas": [SCHEMA_SCHEMA],
        "id": USER_SCHEMA,
        "name": "User",
        "description": "A user of the organization",
        "attributes": [
            with(attribute("userName", "The user's e-mail address", false, "readWrite"),
                 &json!({"required": true, "uniqueness": "server"})),
            with(attribute("displayName", "The user's name, 1 to 64 characters", false,
                           "readWrite"), &required),
            with(attribute("name", "The user's name again", false, "readWrite"),
                 &json!({"type": "complex", "required": true, "subAttributes": [formatted]})),
            with(attribute("active", "Whether the user's tokens are admitted", false,
                           "readWrite"), &json!({"type": "boolean", "required": true})),
            with(attribute("emails", "The user's e-mail address", false, "readWrite"),
                 &json!({"type": "complex", "required": true, "multiValued": true, "subAttributes": [
                     email,
                     attribute("type", "Always work", false, "readOnly"),
                     with(attribute("primary", "Always true", false, "readOnly"),
                          &json!({"type": "boolean"})),
                 ]})),
            with(attribute("roles", "Organization roles, and service roles as service/role",
                           false, "readWrite"),
                 &json!({"type": "complex", "multiValued": true,
                         "subAttributes": [value("The role's name", true)]})),
        ],
        "meta": meta("Schema", &format!("/scim/v2/Schemas/{USER_SCHEMA}")),
    })
}

fn attribute(name: &str, description: &str, exact: bool, mutability: &str) -> Value {
    json!({
        "name": name,
        "type": "string",
        "multiValued": false,
        "description": description,
        "required": false,
        "caseExact": exact,
        "mutability": mutability,
        "returned": "default",
        "uniqueness": "none",
    })
}

fn with(mut attribute: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().into_iter().flatten() {
        attribute[name] = value.clone();
    }
    attribute
}
