//! Which users are asked for, in which order, and which of them (RFC 7644 sections 3.4.2 and 3.4.3).

use super::filter::{self, Filter};
use super::path::{self, Attribute, Named};
use super::resource::{Projection, resource};
use super::{Answer, LIST_SCHEMA, SEARCH_SCHEMA, draft};
use crate::admin::desk::Desk;
use crate::admin::problem::Problem;
use serde::Deserialize;
use serde_json::{Value, json};
use std::cmp::Ordering;

/// Most resources in one answer.
pub(crate) const RESULTS_MAX: usize = 200;
/// Resources in one answer if nothing is said.
pub(crate) const RESULTS_DEFAULT: usize = 100;

/// Parameters of a list.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// RFC 7644 section 3.4.2.2, such as `userName eq "ada@example.com"`.
    pub(super) filter: Option<String>,
    /// The first result, counted from 1.
    #[serde(rename = "startIndex")]
    pub(super) start_index: Option<String>,
    /// Results in the answer, up to 200; 100 if nothing is said.
    pub(super) count: Option<String>,
    /// The attribute to sort by; in the order of their making if nothing is said.
    #[serde(rename = "sortBy")]
    pub(super) sort_by: Option<String>,
    /// `ascending` or `descending`.
    #[serde(rename = "sortOrder")]
    pub(super) sort_order: Option<String>,
    /// The attributes to answer, separated by commas.
    pub(super) attributes: Option<String>,
    /// The attributes not to answer.
    #[serde(rename = "excludedAttributes")]
    pub(super) excluded_attributes: Option<String>,
    /// Sent by Microsoft Entra ID with every request; says nothing here.
    #[serde(rename = "aadOptscim062020")]
    #[expect(dead_code, reason = "it is taken so that it is not refused as unknown")]
    pub(super) entra: Option<String>,
}

/// What is asked of an answer about one user.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Shown {
    /// The attributes to answer, separated by commas.
    attributes: Option<String>,
    /// The attributes not to answer.
    #[serde(rename = "excludedAttributes")]
    excluded_attributes: Option<String>,
    /// Sent by Microsoft Entra ID with every request; says nothing here.
    #[serde(rename = "aadOptscim062020")]
    #[expect(dead_code, reason = "it is taken so that it is not refused as unknown")]
    entra: Option<String>,
}

impl Shown {
    /// Which attributes are asked for.
    pub(super) fn projection(&self) -> Result<Projection, Problem> {
        projection(self.attributes.as_deref(), self.excluded_attributes.as_deref())
    }
}

/// What comes with requests whose answers have no attributes to choose from.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Bare {
    /// Sent by Microsoft Entra ID with every request; says nothing here.
    #[serde(rename = "aadOptscim062020")]
    #[expect(dead_code, reason = "it is taken so that it is not refused as unknown")]
    entra: Option<String>,
}

/// A list that was asked for and understood.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    filter: Option<Filter>,
    start: usize,
    count: usize,
    sort: Option<Attribute>,
    descending: bool,
    projection: Projection,
}

impl Wanted {
    /// What is asked for.
    pub(super) fn search(&self) -> Result<Search, Problem> {
        let descending = match self.sort_order.as_deref().map(str::to_lowercase).as_deref() {
            None | Some("ascending") => false,
            Some("descending") => true,
            Some(_) => {
                let told = "expected ascending or descending";
                return Err(Problem::scim("invalidValue", "sortOrder", told));
            }
        };
        Ok(Search {
            filter: self.filter.as_deref().map(Filter::parse).transpose()?,
            // Less than 1 is 1, and a negative count is 0 (section 3.4.2.4).
            start: number("startIndex", self.start_index.as_deref())?.unwrap_or(1).max(1),
            count: number("count", self.count.as_deref())?
                .unwrap_or(RESULTS_DEFAULT)
                .min(RESULTS_MAX),
            sort: self.sort_by.as_deref().map(sort).transpose()?,
            descending,
            projection: projection(
                self.attributes.as_deref(),
                self.excluded_attributes.as_deref(),
            )?,
        })
    }

    /// The same parameters as a body (section 3.4.3).
    pub(super) fn of(body: &Value) -> Result<Self, Problem> {
        let fields = draft::object("", body)?;
        draft::speaks(fields, SEARCH_SCHEMA)?;
        let text = |name: &str| match draft::field(fields, name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Array(items)) => {
                let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
                let items = items.ok_or_else(|| {
                    Problem::scim("invalidValue", name, "expected a list of texts")
                })?;
                Ok(Some(items.join(",")))
            }
            Some(Value::Bool(_) | Value::Object(_)) => {
                Err(Problem::scim("invalidValue", name, "expected a text or a number"))
            }
        };
        Ok(Self {
            filter: text("filter")?,
            start_index: text("startIndex")?,
            count: text("count")?,
            sort_by: text("sortBy")?,
            sort_order: text("sortOrder")?,
            attributes: text("attributes")?,
            excluded_attributes: text("excludedAttributes")?,
            entra: None,
        })
    }
}

/// The attributes in two lists that are separated by commas.
fn projection(only: Option<&str>, without: Option<&str>) -> Result<Projection, Problem> {
    let list =
        |text: Option<&str>| Some(text?.split(',').map(str::to_owned).collect::<Vec<String>>());
    let (only, without) = (list(only), list(without));
    Projection::parse(only.as_deref(), without.as_deref())
}

fn number(name: &str, text: Option<&str>) -> Result<Option<usize>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let number: i64 = text
        .parse()
        .map_err(|_no_number| Problem::scim("invalidValue", name, "expected a number"))?;
    Ok(Some(usize::try_from(number.max(0)).unwrap_or(usize::MAX)))
}

fn sort(text: &str) -> Result<Attribute, Problem> {
    match path::named(text) {
        Named::Known(attribute) => Ok(attribute),
        Named::NotKept | Named::Unknown => {
            Err(Problem::scim("invalidPath", "sortBy", path::unknown(text)))
        }
    }
}

impl Search {
    /// The users of the caller's organization that are asked for.
    pub(super) fn answer(&self, desk: &Desk<'_>) -> Result<Answer, Problem> {
        let org = desk.caller.org();
        desk.caller.lists_users(org)?;
        let users = desk.ledger().users(org)?;
        let resources = users.iter().map(|user| resource(user, desk.roles()));
        let mut found: Vec<Value> = resources
            .filter(|resource| self.filter.as_ref().is_none_or(|filter| filter.matches(resource)))
            .collect();
        if let Some(attribute) = self.sort {
            found.sort_by(|one, other| self.order(one, other, attribute));
        }
        let total = found.len();
        let page: Vec<Value> = found
            .into_iter()
            .skip(self.start - 1)
            .take(self.count)
            .map(|resource| self.projection.of(resource))
            .collect();
        Ok(Answer(json!({
            "schemas": [LIST_SCHEMA],
            "totalResults": total,
            "startIndex": self.start,
            "itemsPerPage": page.len(),
            "Resources": page,
        })))
    }

    fn order(&self, one: &Value, other: &Value, attribute: Attribute) -> Ordering {
        let order = match (plain(one, attribute), plain(other, attribute)) {
            (Some(one), Some(other)) => filter::order(&one, &other, attribute),
            // Who has no value comes last (RFC 7644 section 3.4.2.3).
            (one, other) => other.is_some().cmp(&one.is_some()),
        };
        if self.descending { order.reverse() } else { order }
    }
}

/// The value that a resource is sorted by: of several, the first.
fn plain(resource: &Value, attribute: Attribute) -> Option<String> {
    let value = &resource[attribute.name];
    let value = value.get(0).unwrap_or(value);
    let value = match (attribute.part, value) {
        (Some(part), value) => &value[part],
        (None, value) => value.get("value").or(value.get("formatted")).unwrap_or(value),
    };
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
