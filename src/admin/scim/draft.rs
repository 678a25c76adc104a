//! What an identity provider wants a user to be: whole (POST, PUT) or by operations (PATCH, RFC 7644
//! section 3.5.2).
//!
//! A draft begins with what the user is, so that what it comes to can be compared with that: only
//! what differs is asked for, and judged by the rules for it.

use super::filter::Target;
use super::path::{self, Named};
use super::{PATCH_SCHEMA, USER_SCHEMA, resource};
use crate::admin::problem::Problem;
use crate::org::{NAME_CHARS_MAX, User};
use crate::role::RoleTable;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Most operations in one PATCH.
pub(crate) const OPERATIONS_MAX: usize = 100;
/// Most values of one attribute.
const VALUES_MAX: usize = 256;

/// A user, as far as an identity provider says what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) active: bool,
    pub(crate) roles: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Add,
    Replace,
    Remove,
}

fn invalid(field: &str, told: impl Into<String>) -> Problem {
    Problem::scim("invalidValue", field, told)
}

impl Draft {
    /// What the user is.
    pub(crate) fn of(user: &User, table: &RoleTable) -> Self {
        Self {
            email: user.email.clone(),
            name: user.name.clone(),
            external_id: user.external_id.clone(),
            active: user.is_active(),
            roles: resource::roles(user, table).collect(),
        }
    }

    /// A new user.
    pub(crate) fn new(body: &Value) -> Result<Self, Problem> {
        let mut draft = Self {
            active: true,
            roles: BTreeSet::from(["org_member".to_owned()]),
            ..Self::default()
        };
        draft.replace(body)?;
        if draft.name.is_empty() {
            draft.name = draft.email.chars().take(NAME_CHARS_MAX).collect();
        }
        Ok(draft)
    }

    /// The user anew. Name, status and roles stay where nothing is said of them.
    pub(crate) fn replace(&mut self, body: &Value) -> Result<(), Problem> {
        let fields = object("", body)?;
        speaks(fields, USER_SCHEMA)?;
        self.external_id = None;
        let user_name = field(fields, "userName");
        if user_name.is_none_or(Value::is_null) {
            return Err(invalid("userName", "is required"));
        }
        self.merge(fields, Verb::Replace)
    }

    /// The user after the operations of a patch.
    pub(crate) fn patch(&mut self, body: &Value) -> Result<(), Problem> {
        let fields = object("", body)?;
        speaks(fields, PATCH_SCHEMA)?;
        let operations = field(fields, "Operations").and_then(Value::as_array);
        let operations = operations
            .filter(|operations| (1..=OPERATIONS_MAX).contains(&operations.len()))
            .ok_or_else(|| {
                let told = format!("expected 1 to {OPERATIONS_MAX} operations");
                Problem::scim("invalidSyntax", "Operations", told)
            })?;
        for operation in operations {
            let operation = object("Operations", operation)?;
            let verb = field(operation, "op").and_then(Value::as_str).map(str::to_lowercase);
            let verb = match verb.as_deref() {
                Some("add") => Verb::Add,
                Some("replace") => Verb::Replace,
                Some("remove") => Verb::Remove,
                Some(_) | None => {
                    let told = "expected add, replace or remove";
                    return Err(Problem::scim("invalidSyntax", "op", told));
                }
            };
            let value = field(operation, "value").unwrap_or(&Value::Null);
            match field(operation, "path").filter(|path| !path.is_null()) {
                Some(Value::String(path)) => self.apply(verb, path, value)?,
                Some(_) => return Err(Problem::scim("invalidPath", "path", "expected a text")),
                None if verb == Verb::Remove => {
                    return Err(Problem::scim("noTarget", "path", "is required to remove"));
                }
                None => self.merge(object("value", value)?, verb)?,
            }
        }
        Ok(())
    }

    /// Several attributes at once. The names may be paths, as some providers write them.
    fn merge(&mut self, fields: &Map<String, Value>, verb: Verb) -> Result<(), Problem> {
        // One name has two places, and one address too: the later one counts.
        let rank = |name: &str| match path::named(name) {
            Named::Known(attribute) if attribute.name == "userName" => 2,
            Named::Known(attribute) if attribute.name == "displayName" => 1,
            Named::Known(_) | Named::NotKept | Named::Unknown => 0,
        };
        let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
        fields.sort_by_key(|(name, _)| rank(name));
        for (name, value) in fields {
            let is_told_only = matches!(path::named(name), Named::Known(attribute)
                if matches!(attribute.name, "schemas" | "id" | "meta"));
            if !is_told_only && !value.is_null() {
                self.apply(verb, name, value)?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, verb: Verb, path: &str, value: &Value) -> Result<(), Problem> {
        let Some(target) = Target::parse(path)? else { return Ok(()) };
        let name = target.attribute.name;
        // What is told of it holds the schema's name, not the caller's text, which may be anything.
        let path = name;
        let kept = || {
            let told = "a user always has it, so it can be replaced and not removed";
            Err(Problem::scim("mutability", path, told))
        };
        match (name, verb) {
            ("externalId", Verb::Remove) => self.external_id = None,
            ("externalId", _) => self.external_id = Some(text(path, value)?),
            ("roles", _) => self.give(verb, path, &target, value)?,
            ("userName" | "displayName" | "name" | "emails" | "active", Verb::Remove) => {
                return kept();
            }
            ("userName", _) => self.email = text(path, value)?,
            ("displayName", _) => self.name = text(path, value)?,
            ("name", _) => self.rename(path, &target, value)?,
            ("active", _) => self.active = truth(path, value)?,
            ("emails", _) => self.readdress(path, &target, value)?,
            (_, _) => {
                return Err(Problem::scim("mutability", path, "cannot be changed"));
            }
        }
        Ok(())
    }

    fn rename(&mut self, path: &str, target: &Target, value: &Value) -> Result<(), Problem> {
        if target.attribute.part.is_some() {
            self.name = text(path, value)?;
            return Ok(());
        }
        let fields = object(path, value)?;
        let part = |name| field(fields, name).and_then(Value::as_str).filter(|t| !t.is_empty());
        let whole = part("formatted").map(str::to_owned).or_else(|| {
            let parts: Vec<&str> =
                ["givenName", "familyName"].into_iter().filter_map(part).collect();
            (!parts.is_empty()).then(|| parts.join(" "))
        });
        self.name = whole.unwrap_or_else(|| self.name.clone());
        Ok(())
    }

    fn readdress(&mut self, path: &str, target: &Target, value: &Value) -> Result<(), Problem> {
        let own = json!({"value": self.email, "type": "work", "primary": true});
        if target.of.as_ref().is_some_and(|filter| !filter.matches(&own)) {
            let told = "a user has one address, of the type work, and it is the primary one";
            return Err(Problem::scim("noTarget", path, told));
        }
        match target.attribute.part {
            Some("value") => self.email = text(path, value)?,
            // The one address is the primary one and of the type work, whatever is said of it.
            Some(_) => {}
            None => {
                let items = items(path, value)?;
                let is_primary = |item: &&Value| {
                    let primary = item.as_object().and_then(|item| field(item, "primary"));
                    primary.is_some_and(|primary| truth(path, primary).unwrap_or(false))
                };
                let item = items.iter().find(|item| is_primary(item)).or(items.first());
                if let Some(item) = item {
                    self.email = valued(path, item)?;
                }
            }
        }
        Ok(())
    }

    fn give(
        &mut self,
        verb: Verb,
        path: &str,
        target: &Target,
        value: &Value,
    ) -> Result<(), Problem> {
        let named: BTreeSet<String> = match (value, target.attribute.part) {
            (Value::Null, _) if verb == Verb::Remove => BTreeSet::new(),
            (value, Some(_)) => BTreeSet::from([text(path, value)?]),
            (value, None) => items(path, value)?
                .iter()
                .map(|item| valued(path, item))
                .collect::<Result<_, _>>()?,
        };
        let met: BTreeSet<String> = match &target.of {
            None => self.roles.clone(),
            Some(filter) => {
                let is_met = |role: &&String| filter.matches(&json!({"value": role}));
                self.roles.iter().filter(is_met).cloned().collect()
            }
        };
        match verb {
            Verb::Add => self.roles.extend(named),
            Verb::Remove if named.is_empty() => self.roles.retain(|role| !met.contains(role)),
            Verb::Remove => self.roles.retain(|role| !(met.contains(role) && named.contains(role))),
            Verb::Replace if target.of.is_some() && met.is_empty() => {
                return Err(Problem::scim("noTarget", path, "the user has no such role"));
            }
            Verb::Replace => {
                self.roles.retain(|role| !met.contains(role));
                self.roles.extend(named);
            }
        }
        Ok(())
    }
}

/// A field of an object, whose names are compared without case.
pub(super) fn field<'v>(fields: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The fields of an object, none of which it has twice.
pub(super) fn object<'v>(path: &str, value: &'v Value) -> Result<&'v Map<String, Value>, Problem> {
    let fields = value
        .as_object()
        .ok_or_else(|| Problem::scim("invalidSyntax", path, "expected a JSON object"))?;
    let mut seen = BTreeSet::new();
    for name in fields.keys() {
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(Problem::scim("invalidSyntax", path, "an attribute is there twice"));
        }
    }
    Ok(fields)
}

/// Whether a body says that it is of a schema.
pub(super) fn speaks(fields: &Map<String, Value>, schema: &str) -> Result<(), Problem> {
    let schemas = field(fields, "schemas").and_then(Value::as_array);
    let is_named = |named: &Value| named.as_str().is_some_and(|n| n.eq_ignore_ascii_case(schema));
    if schemas.is_some_and(|schemas| schemas.iter().any(is_named)) {
        return Ok(());
    }
    Err(Problem::scim("invalidSyntax", "schemas", format!("expected {schema}")))
}

fn text(path: &str, value: &Value) -> Result<String, Problem> {
    value.as_str().map(str::to_owned).ok_or_else(|| invalid(path, "expected a text"))
}

/// A truth value; some providers write it as a text.
fn truth(path: &str, value: &Value) -> Result<bool, Problem> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            Err(invalid(path, "expected true or false"))
        }
    }
}

/// The values of an attribute that may have several.
fn items<'v>(path: &str, value: &'v Value) -> Result<&'v [Value], Problem> {
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    if items.len() > VALUES_MAX {
        return Err(invalid(path, format!("at most {VALUES_MAX} values")));
    }
    Ok(items)
}

/// The `value` of one of them; some providers send it bare.
fn valued(path: &str, item: &Value) -> Result<String, Problem> {
    if !item.is_object() {
        return text(path, item);
    }
    let value = field(object(path, item)?, "value");
    text(&format!("{path}.value"), value.unwrap_or(&Value::Null))
}

#[cfg(test)]
mod tests;
