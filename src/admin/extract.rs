//! Reading a request: who calls, which identities the path names, the JSON of the body. All of it
//! strict; what is not understood is refused by name.

use super::leaks::REPORT_BYTES_MAX;
use super::openapi;
use super::problem::{Kind, Problem};
use super::refused::{self, Visitor};
use super::{AdminState, BODY_BYTES_MAX, BODY_TIMEOUT, Shared};
use crate::audit::Origin;
use crate::governance::Caller;
use crate::session::{self, Shown};
use crate::trails::Who;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Uri};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::str::FromStr;
use std::time::Duration;

/// An authenticated call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) caller: Caller,
    /// The secret that was shown, or for whom the identity provider vouched.
    pub(crate) shown: Shown,
    pub(crate) origin: Origin,
}

/// What callers are judged by.
pub(crate) fn room(state: &AdminState) -> session::Room<'_> {
    session::Room {
        prefix: &state.token_prefix,
        evidences: &*state.evidences,
        uses: &*state.uses,
        clock: &*state.clock,
    }
}

impl FromRequestParts<Shared> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Problem> {
        let admitted = session::authenticate(&parts.headers, room(state)).await;
        let (caller, shown) =
            admitted.map_err(|turned| refused::answer(state, turned, &parts.extensions))?;
        Visitor::tell(&parts.extensions, Who::Live((&caller).into()));
        known_parameters(parts)?;
        Ok(Self { caller, shown: Shown::Secret(shown), origin: refused::origin(&parts.extensions) })
    }
}

/// The parts of the path that stand for something.
#[derive(Clone, Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// As if a path had said so.
    pub(crate) fn said<const N: usize>(said: [(&str, String); N]) -> Self {
        Self(said.into_iter().map(|(name, text)| (name.to_owned(), text)).collect())
    }

    /// An identity; what is none is not found, as one that does not exist.
    pub(crate) fn id<I: FromStr>(&self, name: &str) -> Result<I, Problem> {
        let text = self.0.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str());
        text.and_then(|text| text.parse().ok()).ok_or_else(Problem::not_found)
    }
}

impl Params {
    /// A name.
    pub(crate) fn text(&self, name: &str) -> Result<String, Problem> {
        let text = self.0.iter().find(|(known, _)| known == name);
        text.map(|(_, text)| text.clone()).ok_or_else(Problem::not_found)
    }
}

impl FromRequestParts<Shared> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_not_utf_8| Problem::not_found())?;
        Ok(Self(params.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()))
    }
}

/// The parameters of the query. `T` denies unknown ones and holds texts only, so that whoever reads
/// them can name the one that is wrong.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Shared> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &Shared) -> Result<Self, Problem> {
        query(&parts.uri).map(Self)
    }
}

/// Refuses a write with a parameter that it does not take, such as a `dry_run` that stands in the
/// query and belongs into the body. Reads, whose parameters are their only say, have [`Query`].
fn known_parameters(parts: &Parts) -> Result<(), Problem> {
    if parts.method.is_safe() || parts.uri.query().is_none_or(str::is_empty) {
        return Ok(());
    }
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let known = openapi::parameters(&parts.method, path);
    let given: Vec<(String, String)> = query(&parts.uri)?;
    let Some((name, _)) = given.iter().find(|(name, _)| !known.contains(name)) else {
        return Ok(());
    };
    let quoted: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let takes = match quoted.as_slice() {
        [] => "there are no parameters here".to_owned(),
        names => format!("expected {}", names.join(", ")),
    };
    Err(Problem::field(name, format!("unknown field `{name}`, {takes}")))
}

fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let parsed = axum::extract::Query::<T>::try_from_uri(uri);
    parsed.map(|axum::extract::Query(value)| value).map_err(|rejection| {
        let text = rejection.body_text();
        let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        Problem::field(quoted(text).unwrap_or_default(), text)
    })
}

/// What serde names in an error, as in "unknown field `x`".
fn quoted(message: &str) -> Option<&str> {
    let named = ["unknown field `", "missing field `", "duplicate field `"];
    let at = named.iter().find_map(|intro| Some(message.find(intro)? + intro.len()))?;
    message[at..].split_once('`').map(|(name, _)| name)
}

/// A body of strict JSON, and the digest of its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Json<T> {
    pub(crate) value: T,
    pub(crate) digest: [u8; 32],
}

impl<T: DeserializeOwned> FromRequest<Shared> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &Shared) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, BODY_TIMEOUT).await?;
        media_type(&parts.headers)?;
        Ok(Self { value: parse(&bytes)?, digest: Sha256::digest(&bytes).into() })
    }
}

/// A body that may be left out, or be null, which is as good as `{}`; and the digest of its bytes.
#[derive(Clone, Debug)]
pub(crate) struct OptionalJson<T> {
    pub(crate) value: T,
    pub(crate) digest: [u8; 32],
}

impl<T: DeserializeOwned + Default> FromRequest<Shared> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &Shared) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, BODY_TIMEOUT).await?;
        let digest = Sha256::digest(&bytes).into();
        if bytes.is_empty() {
            return Ok(Self { value: T::default(), digest });
        }
        media_type(&parts.headers)?;
        if bytes.trim_ascii() == b"null" {
            return Ok(Self { value: T::default(), digest });
        }
        Ok(Self { value: parse(&bytes)?, digest })
    }
}

/// A body of JSON as SCIM clients send it: their media type or the plain one.
#[derive(Clone, Debug)]
pub(crate) struct ScimJson(pub(crate) serde_json::Value);

impl FromRequest<Shared> for ScimJson {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &Shared) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, BODY_TIMEOUT).await?;
        one_of(&parts.headers, &["application/scim+json", "application/json"])?;
        let invalid = |told: String| Problem::scim("invalidSyntax", "", told);
        serde_json::from_slice(&bytes).map(Self).map_err(|error| invalid(error.to_string()))
    }
}

/// A body as it is, for who proves that it is a partner's, and what that is proved by.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) body: bytes::Bytes,
    /// The identifier of the key, and the signature.
    pub(crate) signature: Option<(String, String)>,
    pub(crate) origin: Origin,
}

const KEY_FIELD: &str = "github-public-key-identifier";
const SIGNATURE_FIELD: &str = "github-public-key-signature";

impl FromRequest<Shared> for Signed {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &Shared) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        known_parameters(&parts)?;
        let body = read_within(body, REPORT_BYTES_MAX, BODY_TIMEOUT).await?;
        media_type(&parts.headers)?;
        let one = |name: &str| {
            let mut fields = parts.headers.get_all(name).iter();
            match (fields.next(), fields.next()) {
                (None, _) => Ok(None),
                (Some(field), None) => match field.to_str() {
                    Ok(text) => Ok(Some(text.to_owned())),
                    Err(_not_ascii) => Err(Problem::field(name, "expected ASCII")),
                },
                (Some(_), Some(_)) => Err(Problem::field(name, "expected one such field")),
            }
        };
        let signature = match (one(KEY_FIELD)?, one(SIGNATURE_FIELD)?) {
            (Some(key), Some(signature)) => Some((key, signature)),
            (None, None) => None,
            (Some(_), None) => return Err(Problem::field(SIGNATURE_FIELD, "is missing")),
            (None, Some(_)) => return Err(Problem::field(KEY_FIELD, "is missing")),
        };
        let origin = refused::origin(&parts.extensions);
        Ok(Self { body, signature, origin })
    }
}

pub(super) async fn read(body: Body, patience: Duration) -> Result<bytes::Bytes, Problem> {
    read_within(body, BODY_BYTES_MAX, patience).await
}

async fn read_within(
    body: Body,
    limit: usize,
    patience: Duration,
) -> Result<bytes::Bytes, Problem> {
    let collecting = Limited::new(body, limit).collect();
    let collected = tokio::time::timeout(patience, collecting).await.map_err(|_elapsed| {
        let detail = format!("a body has {} seconds to come", patience.as_secs());
        Problem::new(Kind::Timeout, detail)
    })?;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Problem::new(Kind::TooLarge, format!("at most {limit} bytes"));
        }
        Problem::new(Kind::InvalidRequest, "the body could not be read to its end")
    })
}

fn media_type(headers: &HeaderMap) -> Result<(), Problem> {
    one_of(headers, &["application/json"])
}

fn one_of(headers: &HeaderMap, media_types: &[&str]) -> Result<(), Problem> {
    let mut fields = headers.get_all(CONTENT_TYPE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Err(Problem::new(Kind::UnsupportedMediaType, "expected one Content-Type field"));
    };
    let essence = field.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii();
    if media_types.iter().any(|known| essence.eq_ignore_ascii_case(known.as_bytes())) {
        return Ok(());
    }
    let detail = format!("expected Content-Type: {}", media_types.join(" or "));
    Err(Problem::new(Kind::UnsupportedMediaType, detail))
}

/// Reads an object.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // The reader would take a list of the fields' values too.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::new(Kind::InvalidRequest, "expected a JSON object"));
    }
    parse_any(bytes)
}

/// Reads a list.
pub(crate) fn parse_list<T: DeserializeOwned>(bytes: &[u8]) -> Result<Vec<T>, Problem> {
    if bytes.trim_ascii_start().first() != Some(&b'[') {
        return Err(Problem::new(Kind::InvalidRequest, "expected a JSON list"));
    }
    parse_any(bytes)
}

fn parse_any<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let message = error.inner().to_string();
        Problem::field(&place(&path, quoted(&message)), message)
    })?;
    reader.end().map_err(|error| Problem::new(Kind::InvalidRequest, error.to_string()))?;
    Ok(value)
}

/// The path of the value that is wrong: of the one that is missing or unknown, if it is named.
fn place(path: &str, named: Option<&str>) -> String {
    let path = if matches!(path, "." | "?") { "" } else { path };
    match named {
        Some(named) if path.is_empty() => named.to_owned(),
        Some(named) if path.rsplit('.').next() == Some(named) => path.to_owned(),
        Some(named) => format!("{path}.{named}"),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: String,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        value: u32,
    }

    fn field_of(text: &str) -> String {
        let problem = parse::<Outer>(text.as_bytes()).expect_err("refused");
        assert_eq!(problem.status(), http::StatusCode::BAD_REQUEST);
        problem.named_field().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_wrong_value_is_named() {
        assert_eq!(field_of(r#"{"name": 5}"#), "name");
        assert_eq!(field_of(r#"{"inner": {"value": 1}}"#), "name");
        assert_eq!(field_of(r#"{"name": "", "x": 1}"#), "x");
        assert_eq!(field_of(r#"{"name": "", "inner": {"value": -1}}"#), "inner.value");
        assert_eq!(field_of(r#"{"name": "", "inner": {"y": -1}}"#), "inner.y");
        assert_eq!(field_of(r#"{"name": "", "inner": {}}"#), "inner.value");
        assert_eq!(field_of(r#"{"name": "", "name": ""}"#), "name");
        assert_eq!(field_of(r#"["x", null]"#), "");
        assert_eq!(field_of(r#"{"name": "x"#), "name");
        assert_eq!(field_of(r#"{"name": "x"} {}"#), "");
    }

    #[test]
    fn depth_is_limited() {
        let deep = format!(r#"{{"name": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse::<Outer>(deep.as_bytes()).is_err());
        let deep = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
        assert!(parse::<serde_json::Value>(deep.as_bytes()).is_err());
    }

    /// A body that never comes.
    struct Stalled;

    impl http_body::Body for Stalled {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let problem = read(Body::new(Stalled), Duration::from_millis(5)).await.expect_err("late");
        assert_eq!(problem.status(), http::StatusCode::REQUEST_TIMEOUT);
    }
}
