//! Whom the claims of a token describe.

use super::id_token::Claims;
use serde_json::Value;

/// Longest value of a claim that is looked at, in bytes.
const VALUE_BYTES_MAX: usize = 1_024;
/// Most values of the claim with the roles: groups of a large company.
const ROLES_MAX: usize = 2_000;

/// What a user is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserClaim {
    /// An e-mail address that the provider has verified.
    Email,
    /// A claim of this name, which is what the user's `external_id` says.
    ExternalId(String),
}

/// Somebody for whom an identity provider vouches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// What the provider calls them (`sub`).
    pub subject: String,
    /// Their address, if the provider has verified it.
    pub email: Option<String>,
    /// Their name.
    pub name: Option<String>,
    /// What the user's `external_id` has to say; none if users are found by their address.
    pub external_id: Option<String>,
    /// The values of the claim with the roles; none where it is missing.
    pub roles: Option<Vec<String>>,
}

impl Person {
    /// The person of these claims; nobody if the claim that they are found by is missing.
    #[must_use]
    pub fn of(claims: &Claims, user: &UserClaim, roles: Option<&str>) -> Option<Self> {
        let text = |name: &str| match claims.value(name) {
            Some(Value::String(text)) if fits(text) => Some(text.clone()),
            _ => None,
        };
        let is_verified = match claims.value("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            // Some providers write it as text.
            Some(Value::String(text)) => text == "true",
            _ => false,
        };
        let email = text("email").filter(|_address| is_verified);
        let subject = claims.subject().to_owned();
        let external_id = match user {
            UserClaim::Email => {
                email.as_ref()?;
                None
            }
            UserClaim::ExternalId(claim) if claim == "sub" => Some(subject.clone()),
            UserClaim::ExternalId(claim) => Some(text(claim)?),
        };
        let roles = roles.and_then(|claim| values(claims.found(claim)?));
        Some(Self { subject, email, name: text("name"), external_id, roles })
    }
}

fn values(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) => {
            let texts = list.iter().take(ROLES_MAX).filter_map(Value::as_str);
            Some(texts.filter(|text| fits(text)).map(str::to_owned).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn fits(text: &str) -> bool {
    (1..=VALUE_BYTES_MAX).contains(&text.len())
}
