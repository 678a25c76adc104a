//! A user as SCIM writes it (RFC 7643 section 4.1), and the part of it that is asked for.

use super::USER_SCHEMA;
use super::path::{self, Attribute, Named};
use crate::admin::etag;
use crate::admin::problem::Problem;
use crate::governance::reduced;
use crate::org::{Revision, User};
use crate::role::{RoleName, RoleTable};
use serde_json::{Map, Value, json};

/// Most attributes that one request names.
pub(crate) const ATTRIBUTES_MAX: usize = 64;

/// The resource.
pub(crate) fn resource(user: &User, table: &RoleTable) -> Value {
    let roles: Vec<Value> = roles(user, table).map(|role| json!({"value": role})).collect();
    let mut resource = json!({
        "schemas": [USER_SCHEMA],
        "id": user.id,
        "userName": user.email,
        "name": {"formatted": user.name},
        "displayName": user.name,
        "active": user.is_active(),
        "emails": [{"value": user.email, "type": "work", "primary": true}],
        "roles": roles,
        "meta": {
            "resourceType": "User",
            "created": user.created_at,
            "lastModified": user.modified_at,
            "location": location(user),
            "version": version(user.version),
        },
    });
    if let Some(external_id) = &user.external_id {
        resource["externalId"] = json!(external_id);
    }
    resource
}

/// Where a user is.
pub(crate) fn location(user: &User) -> String {
    format!("/scim/v2/Users/{}", user.id)
}

/// The names of a user's roles, without those that follow from others.
pub(crate) fn roles(user: &User, table: &RoleTable) -> impl Iterator<Item = String> {
    let names = reduced(&user.roles);
    let names: Vec<String> = names
        .iter()
        .filter_map(|role| match table.name(role)? {
            RoleName::Organization(name) => Some(name.to_string()),
            RoleName::Service { service, role } => Some(format!("{service}/{role}")),
        })
        .collect();
    names.into_iter()
}

fn version(version: Revision) -> String {
    String::from_utf8_lossy(etag::tag(version).as_bytes()).into_owned()
}

/// Puts the version of the commit that wrote it into a resource.
pub(crate) fn versioned(mut resource: Value, revision: Revision) -> Value {
    resource["meta"]["version"] = json!(version(revision));
    resource
}

/// Which attributes are answered (RFC 7644 section 3.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Projection {
    /// All of them.
    Whole,
    /// These, and those that are always answered.
    Only(Vec<Attribute>),
    /// All but these.
    Without(Vec<Attribute>),
}

impl Projection {
    /// Reads `attributes` and `excludedAttributes`.
    pub(crate) fn parse(
        only: Option<&[String]>,
        without: Option<&[String]>,
    ) -> Result<Self, Problem> {
        match (only, without) {
            (None, None) => Ok(Self::Whole),
            (Some(only), None) => Ok(Self::Only(attributes("attributes", only)?)),
            (None, Some(without)) => Ok(Self::Without(attributes("excludedAttributes", without)?)),
            (Some(_), Some(_)) => {
                let told = "expected either attributes or excludedAttributes";
                Err(Problem::scim("invalidValue", "excludedAttributes", told))
            }
        }
    }

    /// The part of a resource that is asked for.
    pub(crate) fn of(&self, resource: Value) -> Value {
        let Value::Object(all) = resource else { return resource };
        match self {
            Self::Whole => Value::Object(all),
            Self::Only(wanted) => Value::Object(only(&all, wanted)),
            Self::Without(unwanted) => Value::Object(without(all, unwanted)),
        }
    }
}

fn attributes(field: &str, names: &[String]) -> Result<Vec<Attribute>, Problem> {
    if names.len() > ATTRIBUTES_MAX {
        let told = format!("at most {ATTRIBUTES_MAX} attributes");
        return Err(Problem::scim("invalidValue", field, told));
    }
    let mut known = Vec::new();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        match path::named(name) {
            Named::Known(attribute) => known.push(attribute),
            // It has no value with anybody.
            Named::NotKept => {}
            Named::Unknown => {
                return Err(Problem::scim("invalidValue", field, path::unknown(name)));
            }
        }
    }
    Ok(known)
}

const ALWAYS: [&str; 2] = ["schemas", "id"];

fn only(all: &Map<String, Value>, wanted: &[Attribute]) -> Map<String, Value> {
    let mut part = Map::new();
    for (name, value) in all {
        let whole = ALWAYS.contains(&name.as_str())
            || wanted.iter().any(|wanted| wanted.name == name && wanted.part.is_none());
        let keep = |inner: &str| {
            wanted.iter().any(|wanted| wanted.name == name && wanted.part == Some(inner))
        };
        if whole {
            part.insert(name.clone(), value.clone());
        } else if wanted.iter().any(|wanted| wanted.name == name) {
            part.insert(name.clone(), parts(value, &keep));
        }
    }
    part
}

fn without(mut all: Map<String, Value>, unwanted: &[Attribute]) -> Map<String, Value> {
    for unwanted in unwanted.iter().filter(|unwanted| !ALWAYS.contains(&unwanted.name)) {
        match unwanted.part {
            None => _ = all.remove(unwanted.name),
            Some(part) => {
                if let Some(value) = all.get_mut(unwanted.name) {
                    *value = parts(value, &|inner| inner != part);
                }
            }
        }
    }
    all
}

fn parts(value: &Value, keep: &dyn Fn(&str) -> bool) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| parts(item, keep)).collect(),
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| keep(name));
            Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            plain.clone()
        }
    }
}
