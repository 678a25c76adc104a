//! Forms, as browsers send them.

use super::answer::Answer;
use super::visitor::{self, SESSION, Theme};
use crate::admin::problem::{Kind, Problem};
use crate::admin::{BODY_TIMEOUT, Shared, extract};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{FromRequest, Request};
use http::header::CONTENT_TYPE;

/// Most fields of a form: as many tokens as can be switched at once, and some more.
const FIELDS_MAX: usize = 1_100;

/// The fields of a form whose sender's session is proved by it.
#[derive(Clone, Debug)]
pub(super) struct Form(pub(super) Fields);

/// The fields of a form that needs no session.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The text of a field; none if it is empty or missing.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).map(str::trim).find(|text| !text.is_empty())
    }

    /// One field, as if it had been sent.
    pub(super) fn said(name: &str, text: String) -> Self {
        Self(vec![(name.to_owned(), text)])
    }

    /// All texts of a field.
    pub(super) fn all<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f str> {
        let named = self.0.iter().filter(move |(found, _)| found == name);
        named.map(|(_, text)| text.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    async fn read(request: Request) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = extract::read(body, BODY_TIMEOUT).await?;
        let media_type = parts.headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        let essence = media_type.and_then(|field| field.split(|&byte| byte == b';').next());
        if essence.map(<[u8]>::trim_ascii) != Some(b"application/x-www-form-urlencoded") {
            return Err(Problem::new(Kind::UnsupportedMediaType, "expected a form"));
        }
        let fields: Vec<(String, String)> =
            form_urlencoded::parse(&bytes).take(FIELDS_MAX + 1).map(owned).collect();
        if fields.len() > FIELDS_MAX {
            return Err(Problem::new(Kind::TooLarge, format!("at most {FIELDS_MAX} fields")));
        }
        Ok(Self(fields))
    }
}

fn owned((name, text): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)) -> (String, String) {
    (name.into_owned(), text.into_owned())
}

impl FromRequest<Shared> for Fields {
    type Rejection = Answer;

    async fn from_request(request: Request, _state: &Shared) -> Result<Self, Answer> {
        let theme = Theme::of(request.headers());
        Self::read(request).await.map_err(|problem| Answer::problem(problem, theme))
    }
}

impl FromRequest<Shared> for Form {
    type Rejection = Answer;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, Answer> {
        let theme = Theme::of(request.headers());
        let expected = visitor::cookie(request.headers(), SESSION).map(visitor::proof);
        let fields = Fields::from_request(request, state).await?;
        let given = fields.text("proof").unwrap_or_default();
        let is_proved = expected.is_some_and(|expected| {
            verify_slices_are_equal(expected.as_bytes(), given.as_bytes()).is_ok()
        });
        if is_proved {
            return Ok(Self(fields));
        }
        let detail = "the form is not of this session: go back, reload the page, and try again";
        Err(Answer::problem(Problem::new(Kind::CrossOrigin, detail), theme))
    }
}
