//! Filters (RFC 7644 section 3.4.2.2), and the paths of patches that hold one (section 3.5.2).

use super::path::{self, Attribute, Named};
use crate::admin::problem::Problem;
use crate::time::Timestamp;
use serde_json::Value;
use std::cmp::Ordering;

/// Longest filter.
pub(crate) const FILTER_BYTES_MAX: usize = 4 * 1024;
/// Deepest nesting of parentheses and brackets.
pub(crate) const FILTER_DEPTH_MAX: usize = 16;

/// How an attribute is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

const OPERATORS: [(&str, Operator); 9] = [
    ("eq", Operator::Equal),
    ("ne", Operator::NotEqual),
    ("co", Operator::Contains),
    ("sw", Operator::StartsWith),
    ("ew", Operator::EndsWith),
    ("gt", Operator::Greater),
    ("ge", Operator::GreaterOrEqual),
    ("lt", Operator::Less),
    ("le", Operator::LessOrEqual),
];

/// What a resource must be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filter {
    /// The attribute has a value.
    Present(Attribute),
    /// One of the attribute's values compares so.
    Compare(Attribute, Operator, Value),
    /// One value of an attribute with several is so.
    Some(Attribute, Box<Filter>),
    /// It is not so.
    Not(Box<Filter>),
    /// All of these.
    All(Vec<Filter>),
    /// At least one of these.
    Any(Vec<Filter>),
}

/// What the path of a patch names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) attribute: Attribute,
    /// Which of the attribute's values; all of them if nothing is said.
    pub(crate) of: Option<Filter>,
}

impl Filter {
    /// Reads a filter.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(wrong(&format!("at most {FILTER_BYTES_MAX} bytes")));
        }
        let mut reader = Reader { text, at: 0, within: None };
        let filter = reader.any(0).map_err(|told| wrong(&told))?;
        reader.space();
        if reader.at < text.len() {
            return Err(wrong(&reader.expected("the end, `and` or `or`")));
        }
        Ok(filter)
    }

    /// Whether a resource is so.
    pub(crate) fn matches(&self, resource: &Value) -> bool {
        match self {
            Self::Present(attribute) => values(resource, *attribute).iter().any(|v| is_there(v)),
            Self::Compare(attribute, operator, operand) => {
                compares(&values(resource, *attribute), *attribute, *operator, operand)
            }
            Self::Some(attribute, inner) => {
                values(resource, *attribute).iter().any(|value| inner.matches(value))
            }
            Self::Not(inner) => !inner.matches(resource),
            Self::All(all) => all.iter().all(|one| one.matches(resource)),
            Self::Any(any) => any.iter().any(|one| one.matches(resource)),
        }
    }
}

impl Target {
    /// Reads the path of a patch; `None` for an attribute that is not kept.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, Problem> {
        let wrong = |told: &str| Problem::scim("invalidPath", "path", told);
        if text.len() > FILTER_BYTES_MAX {
            return Err(wrong(&format!("at most {FILTER_BYTES_MAX} bytes")));
        }
        let (name, rest) = text.split_at(text.find('[').unwrap_or(text.len()));
        let attribute = match path::named(name) {
            Named::NotKept => return Ok(None),
            Named::Unknown => return Err(wrong(&path::unknown(text))),
            Named::Known(attribute) => attribute,
        };
        if rest.is_empty() {
            return Ok(Some(Self { attribute, of: None }));
        }
        let mut reader = Reader { text: rest, at: 1, within: Some(attribute.name) };
        let of = reader.any(1).map_err(|told| wrong(&told))?;
        reader.space();
        if !reader.take("]") {
            return Err(wrong(&reader.expected("`]`")));
        }
        let part = match reader.rest().strip_prefix('.') {
            None if reader.rest().is_empty() => None,
            None => return Err(wrong(&reader.expected("the end or `.`"))),
            Some(part) => match path::named(&format!("{name}.{part}")) {
                Named::Known(attribute) => attribute.part,
                Named::NotKept => return Ok(None),
                Named::Unknown => return Err(wrong(&path::unknown(text))),
            },
        };
        Ok(Some(Self { attribute: Attribute { part, ..attribute }, of: Some(of) }))
    }
}

fn wrong(told: &str) -> Problem {
    Problem::scim("invalidFilter", "filter", told)
}

/// The values that an attribute has in a resource.
fn values(resource: &Value, attribute: Attribute) -> Vec<&Value> {
    let all = match &resource[attribute.name] {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        one @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            vec![one]
        }
    };
    match attribute.part {
        Some(part) => all.into_iter().map(|value| &value[part]).collect(),
        None => all,
    }
}

fn is_there(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => true,
    }
}

fn compares(found: &[&Value], attribute: Attribute, operator: Operator, operand: &Value) -> bool {
    // An attribute with several values is compared by their `value` (RFC 7643 section 2.4).
    let plain = |value: &Value| value.get("value").unwrap_or(value).clone();
    let equal = |operand: &Value| {
        if operand.is_null() {
            return !found.iter().any(|value| is_there(value));
        }
        found.iter().any(|value| same(&plain(value), operand, attribute))
    };
    let texts = |test: fn(&str, &str) -> bool| {
        found.iter().any(|value| match (&plain(value), operand) {
            (Value::String(value), Value::String(operand)) => {
                test(&folded(value, attribute), &folded(operand, attribute))
            }
            (_, _) => false,
        })
    };
    let ordered = |test: fn(Ordering) -> bool| {
        found.iter().any(|value| match (&plain(value), operand) {
            (Value::String(value), Value::String(operand)) => {
                test(order(value, operand, attribute))
            }
            (_, _) => false,
        })
    };
    match operator {
        Operator::Equal => equal(operand),
        Operator::NotEqual => !equal(operand),
        Operator::Contains => texts(|value, part| value.contains(part)),
        Operator::StartsWith => texts(|value, part| value.starts_with(part)),
        Operator::EndsWith => texts(|value, part| value.ends_with(part)),
        Operator::Greater => ordered(Ordering::is_gt),
        Operator::GreaterOrEqual => ordered(Ordering::is_ge),
        Operator::Less => ordered(Ordering::is_lt),
        Operator::LessOrEqual => ordered(Ordering::is_le),
    }
}

fn same(value: &Value, operand: &Value, attribute: Attribute) -> bool {
    match (value, operand) {
        (Value::String(value), Value::String(operand)) => order(value, operand, attribute).is_eq(),
        // Some clients write truth as a text.
        (Value::Bool(value), Value::String(operand)) => {
            operand.eq_ignore_ascii_case(if *value { "true" } else { "false" })
        }
        (value, operand) => value == operand,
    }
}

/// Identities are compared as they are, everything else without case.
fn folded(text: &str, attribute: Attribute) -> String {
    if matches!(attribute.name, "id" | "externalId") {
        text.to_owned()
    } else {
        text.to_lowercase()
    }
}

/// The order of two values of an attribute; times are compared as such.
pub(crate) fn order(value: &str, other: &str, attribute: Attribute) -> Ordering {
    if matches!(attribute.part, Some("created" | "lastModified"))
        && let (Ok(value), Ok(other)) = (value.parse::<Timestamp>(), other.parse::<Timestamp>())
    {
        return value.cmp(&other);
    }
    folded(value, attribute).cmp(&folded(other, attribute))
}

/// Reads the text of a filter from the left.
struct Reader<'t> {
    text: &'t str,
    at: usize,
    /// The attribute in whose brackets we are.
    within: Option<&'static str>,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn expected(&self, what: &str) -> String {
        format!("expected {what} at byte {}", self.at)
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(' ').len();
    }

    fn take(&mut self, text: &str) -> bool {
        let is_next = self.rest().starts_with(text);
        self.at += if is_next { text.len() } else { 0 };
        is_next
    }

    /// A word of the grammar, if it is what comes next.
    fn keyword(&mut self, word: &str) -> bool {
        self.space();
        let next = self.word();
        let is_next = next.eq_ignore_ascii_case(word);
        self.at += if is_next { next.len() } else { 0 };
        is_next
    }

    fn word(&self) -> &'t str {
        let part = |char: char| char.is_ascii_alphanumeric() || "_$:.-".contains(char);
        let rest = self.rest();
        &rest[..rest.find(|char| !part(char)).unwrap_or(rest.len())]
    }

    fn any(&mut self, depth: usize) -> Result<Filter, String> {
        let mut any = vec![self.all(depth)?];
        while self.keyword("or") {
            any.push(self.all(depth)?);
        }
        Ok(if any.len() == 1 { any.swap_remove(0) } else { Filter::Any(any) })
    }

    fn all(&mut self, depth: usize) -> Result<Filter, String> {
        let mut all = vec![self.one(depth)?];
        while self.keyword("and") {
            all.push(self.one(depth)?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Filter::All(all) })
    }

    fn one(&mut self, depth: usize) -> Result<Filter, String> {
        if self.keyword("not") {
            self.space();
            if !self.take("(") {
                return Err(self.expected("`(` after `not`"));
            }
            return Ok(Filter::Not(Box::new(self.enclosed(depth, ")")?)));
        }
        self.space();
        if self.take("(") { self.enclosed(depth, ")") } else { self.comparison(depth) }
    }

    /// What stands up to the closing bracket.
    fn enclosed(&mut self, depth: usize, end: &str) -> Result<Filter, String> {
        if depth >= FILTER_DEPTH_MAX {
            return Err(format!("at most {FILTER_DEPTH_MAX} levels of parentheses"));
        }
        let inner = self.any(depth + 1)?;
        self.space();
        if self.take(end) { Ok(inner) } else { Err(self.expected(&format!("`{end}`"))) }
    }

    fn comparison(&mut self, depth: usize) -> Result<Filter, String> {
        let word = self.word();
        if word.is_empty() {
            return Err(self.expected("an attribute"));
        }
        let known = match (self.within, path::named(word)) {
            (Some(name), _) => path::within(name, word),
            (None, Named::Known(attribute)) => Some(attribute),
            (None, Named::NotKept | Named::Unknown) => None,
        };
        let attribute = known.ok_or_else(|| path::unknown(word))?;
        self.at += word.len();
        if self.within.is_none() && attribute.part.is_none() && self.take("[") {
            self.within = Some(attribute.name);
            let inner = self.enclosed(depth, "]")?;
            self.within = None;
            return Ok(Filter::Some(attribute, Box::new(inner)));
        }
        if self.keyword("pr") {
            return Ok(Filter::Present(attribute));
        }
        let operator = OPERATORS.iter().find(|(word, _)| self.keyword(word));
        let Some((_, operator)) = operator else {
            return Err(self.expected("pr, eq, ne, co, sw, ew, gt, ge, lt or le"));
        };
        self.space();
        Ok(Filter::Compare(attribute, *operator, self.operand()?))
    }

    /// A JSON text, number, truth value or null.
    fn operand(&mut self) -> Result<Value, String> {
        let expected = self.expected("a value, such as \"ada\", true or null");
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) if !value.is_array() && !value.is_object() => {
                self.at += values.byte_offset();
                Ok(value)
            }
            Some(_) | None => Err(expected),
        }
    }
}

#[cfg(test)]
mod tests;
