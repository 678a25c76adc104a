//! Lists: their parameters and their shape.

use super::problem::Problem;
use crate::directory::{
    Asked, CURSOR_CHARS_MAX, Column, LIMIT_DEFAULT, LIMIT_MAX, Page, SEARCH_CHARS_MAX, Sort,
};
use serde::Serialize;
use utoipa::ToSchema;

/// One page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Page)]
pub(crate) struct PageBody<T> {
    /// The rows.
    pub(crate) items: Vec<T>,
    /// What `cursor` is on the next page; null at the end.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

impl<T> From<Page<T>> for PageBody<T> {
    fn from(page: Page<T>) -> Self {
        Self { items: page.items, next_cursor: page.next_cursor }
    }
}

/// A list that always fits one page.
pub(crate) fn whole<T>(items: Vec<T>) -> PageBody<T> {
    PageBody { items, next_cursor: None }
}

/// The number of rows that are asked for.
pub(crate) fn limit(text: Option<&str>) -> Result<usize, Problem> {
    let Some(text) = text else { return Ok(LIMIT_DEFAULT) };
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| Problem::field("limit", format!("expected 1 to {LIMIT_MAX}")))
}

/// Whether something is to be so, if that is said.
pub(crate) fn truth(field: &str, text: Option<&str>) -> Result<Option<bool>, Problem> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|_neither| Problem::field(field, "expected true or false"))
}

/// The page that is asked for.
pub(crate) fn asked<C: Column>(
    sort: Option<&str>,
    limit_text: Option<&str>,
    cursor: Option<&str>,
) -> Result<Asked<C>, Problem> {
    let sort = match sort {
        None => C::DEFAULT,
        Some(text) => Sort::parse(text).ok_or_else(|| {
            let names: Vec<&str> = C::ALL.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            Problem::field("sort", format!("expected one of {names}, or `-` and one of them"))
        })?,
    };
    let first = Asked::first(sort, limit(limit_text)?);
    let Some(cursor) = cursor else { return Ok(first) };
    first.after(cursor).ok_or_else(broken_cursor)
}

/// The refusal of a cursor that is none of ours.
pub(crate) fn broken_cursor() -> Problem {
    let detail = format!(
        "expected the next_cursor of a page in the same order, at most {CURSOR_CHARS_MAX} characters"
    );
    Problem::field("cursor", detail)
}

/// The text that is searched for, in lower case.
pub(crate) fn search(text: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > SEARCH_CHARS_MAX {
        return Err(Problem::field("q", format!("at most {SEARCH_CHARS_MAX} characters")));
    }
    Ok(Some(text.to_lowercase()))
}
