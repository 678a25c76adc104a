//! Errors as problems (RFC 9457). Every error answer of the admin port is made here.

use crate::governance::{Clash, Refusal};
use crate::session::Refused;
use crate::store::{CommitError, StoreError};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::time::Duration;

/// The media type of a problem.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, in kinds that clients can tell apart. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    InvalidRequest,
    MalformedCredential,
    NoCredential,
    InvalidToken,
    Forbidden,
    CrossOrigin,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    Changed,
    TooLarge,
    TargetTooLong,
    UnsupportedMediaType,
    Misdirected,
    KeyReused,
    TooManyGuesses,
    Internal,
    NotRecorded,
    Unavailable,
    Busy,
    StorageFull,
}

impl Kind {
    /// Status, last part of the `type`, title.
    const fn about(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => {
                (StatusCode::BAD_REQUEST, "invalid-request", "The request is not acceptable")
            }
            Self::MalformedCredential => {
                (StatusCode::BAD_REQUEST, "malformed-credential", "The credential is broken")
            }
            Self::NoCredential => {
                (StatusCode::UNAUTHORIZED, "no-credential", "A credential is needed")
            }
            Self::InvalidToken => {
                (StatusCode::UNAUTHORIZED, "invalid-token", "The token is not valid")
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Not permitted"),
            Self::CrossOrigin => {
                (StatusCode::FORBIDDEN, "cross-origin", "Not permitted to other sites")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "The resource does not take this method",
            ),
            Self::Timeout => {
                (StatusCode::REQUEST_TIMEOUT, "timeout", "The request came too slowly")
            }
            Self::Conflict => {
                (StatusCode::CONFLICT, "conflict", "The present state does not allow it")
            }
            Self::Changed => (
                StatusCode::PRECONDITION_FAILED,
                "changed",
                "The resource is not what it was when it was read",
            ),
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large")
            }
            Self::TargetTooLong => {
                (StatusCode::URI_TOO_LONG, "target-too-long", "The request's address is too long")
            }
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The request is not JSON",
            ),
            Self::Misdirected => {
                (StatusCode::MISDIRECTED_REQUEST, "misdirected", "No such host here")
            }
            Self::KeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The idempotency key belongs to another request",
            ),
            Self::TooManyGuesses => (
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-guesses",
                "Too many wrong tokens or reports came from this address",
            ),
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here")
            }
            Self::NotRecorded => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "not-recorded",
                "The change could not be recorded",
            ),
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available at the moment")
            }
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many requests at once"),
            Self::StorageFull => {
                (StatusCode::INSUFFICIENT_STORAGE, "storage-full", "The store's disk is full")
            }
        }
    }

    pub(crate) const fn status(self) -> StatusCode {
        self.about().0
    }

    pub(crate) const fn title(self) -> &'static str {
        self.about().2
    }
}

/// An error, as RFC 9457 writes it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// What kind of error: `urn:bearward:problem:` and a word that stays the same.
    #[schema(example = "urn:bearward:problem:forbidden")]
    r#type: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What was wrong this time.
    detail: String,
    /// The field that was wrong, as a path: `owner.email`, `scope.org_roles[0]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// An error on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    field: Option<String>,
    retry_after: Option<Duration>,
    scim_type: Option<&'static str>,
}

/// What the audit trail hears of a problem: the last part of its `type`, and its detail.
#[derive(Clone, Debug)]
pub(crate) struct Why(pub(crate) String);

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), field: None, retry_after: None, scim_type: None }
    }

    /// A request whose `field` is not acceptable.
    pub(crate) fn field(field: &str, detail: impl Into<String>) -> Self {
        let field = Some(field.to_owned()).filter(|field| !field.is_empty());
        Self { field, ..Self::new(Kind::InvalidRequest, detail) }
    }

    /// The same, of a field within `outer`.
    pub(crate) fn within(self, outer: &str) -> Self {
        Self { field: self.field.map(|field| format!("{outer}.{field}")), ..self }
    }

    /// What was wrong, in a sentence.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Another wrong token, after many; a good one is welcome at any time.
    pub(crate) fn too_many_guesses(wait: Duration) -> Self {
        let detail = "a token that is not valid has to wait; one that is valid need not";
        Self { retry_after: Some(wait), ..Self::new(Kind::TooManyGuesses, detail) }
    }

    /// Another report from one address, after many.
    pub(crate) fn too_many_reports(wait: Duration) -> Self {
        let detail = "reports from one address have to wait for each other, whatever they report";
        Self { retry_after: Some(wait), ..Self::new(Kind::TooManyGuesses, detail) }
    }

    /// A SCIM request that is not acceptable, with its error type (RFC 7644 table 9).
    pub(crate) fn scim(scim_type: &'static str, field: &str, detail: impl Into<String>) -> Self {
        Self { scim_type: Some(scim_type), ..Self::field(field, detail) }
    }

    /// The error type in SCIM, if the status alone does not say what it is.
    pub(crate) const fn scim_type(&self) -> Option<&'static str> {
        match (self.scim_type, self.kind) {
            (None, Kind::InvalidRequest) => Some("invalidValue"),
            (scim_type, _) => scim_type,
        }
    }

    /// The sentence for a SCIM client, which has no other place for the field.
    pub(crate) fn scim_detail(&self) -> String {
        let Some(field) = self.field.as_deref() else { return self.detail.clone() };
        let field = match field {
            "email" => "userName",
            "name" => "displayName",
            "external_id" => "externalId",
            field => field,
        };
        format!("{field}: {}", self.detail)
    }

    pub(crate) fn not_found() -> Self {
        Refusal::NotFound.into()
    }

    /// A bug or a failing machine: the caller learns no more than that; the log has the rest.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "an admin request failed");
        Self::new(Kind::Internal, "the log of the service says what")
    }

    /// A change that the writer did not take. `denied` if what it takes away is refused all the same.
    pub(crate) fn uncommitted(error: &CommitError, denied: bool) -> Self {
        tracing::error!(%error, denied, "a change was not committed");
        let not_recorded = if denied {
            "what it takes away is denied until restart, not recorded"
        } else {
            "it is not recorded and has no effect"
        };
        match error {
            CommitError::Conflict(_) => {
                Self::new(Kind::Conflict, "others keep changing the same; try again")
            }
            CommitError::Busy => {
                Self::new(Kind::Busy, "too many changes are waiting to be written; try again")
            }
            CommitError::Full => Self::new(Kind::StorageFull, not_recorded),
            CommitError::Failed(_) => Self::new(Kind::NotRecorded, not_recorded),
            CommitError::Closed => {
                Self::new(Kind::Unavailable, "the store takes no changes until it is opened anew")
            }
        }
    }

    /// What kind it is of.
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// What was wrong and where, for people.
    pub(crate) fn sentence(&self) -> String {
        match &self.field {
            Some(field) => format!("{field}: {}", self.detail),
            None => self.detail.clone(),
        }
    }

    #[cfg(test)]
    pub(crate) fn named_field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    #[cfg(test)]
    pub(crate) const fn status(&self) -> StatusCode {
        self.kind.status()
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::Invalid { field, message } => return Self::field(&field, message),
            Refusal::Forbidden(_) => Kind::Forbidden,
            Refusal::Clash(_) => Kind::Conflict,
            Refusal::NotFound => Kind::NotFound,
        };
        let scim_type = (refusal == Refusal::Clash(Clash::EmailTaken)).then_some("uniqueness");
        Self { scim_type, ..Self::new(kind, refusal.to_string()) }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let kind = match refused {
            Refused::NoCredential => Kind::NoCredential,
            Refused::Malformed => Kind::MalformedCredential,
            Refused::Dead => Kind::InvalidToken,
            Refused::Unavailable => Kind::Unavailable,
        };
        Self::new(kind, refused.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, name, title) = self.kind.about();
        let why = Why(format!("{name}: {}", self.detail));
        let kept = self.clone();
        let body = ProblemBody {
            r#type: format!("urn:bearward:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: self.detail,
            field: self.field,
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, body).into_response();
        // Whoever speaks another form finds it here.
        response.extensions_mut().insert(kept);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        // RFC 6750 section 3: no error code where no credential was shown.
        let challenges = [
            (Kind::NoCredential, "Bearer"),
            (Kind::InvalidToken, r#"Bearer error="invalid_token""#),
            (Kind::MalformedCredential, r#"Bearer error="invalid_request""#),
        ];
        if let Some((_, challenge)) = challenges.iter().find(|(kind, _)| *kind == self.kind) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if matches!(self.kind, Kind::Busy | Kind::Unavailable) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up: who waits so long is not early.
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(1)));
        }
        response.extensions_mut().insert(why);
        response
    }
}

/// The answer where no endpoint is.
pub(crate) async fn not_found() -> Problem {
    Problem::new(Kind::NotFound, "there is no such endpoint; see /openapi.json")
}

/// The answer where an endpoint is, but not with this method.
pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(Kind::MethodNotAllowed, "see the Allow field, or /openapi.json")
}
