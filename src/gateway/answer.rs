//! Answers of our own. Every refusal becomes a response here and nowhere else.

use super::route::Route;
use super::vet::Objection;
use crate::access::Reason;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use std::io::Write as _;

/// Why a permitted request got no answer from its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// No connection.
    Unreachable,
    /// The connection broke before the head of the answer was complete.
    Broken,
    /// What came cannot be trusted as one HTTP message.
    Unsound,
    /// No answer in time.
    Late,
    /// It has as much to do as it may have.
    Crowded,
    /// The client's own body broke off.
    ClientBody,
    /// The client's own body grew longer than the route takes.
    ClientBodyTooLong,
}

/// What the gateway answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Objected(Objection),
    NotFound,
    Denied(Reason),
    /// The body that is announced is longer than the route takes.
    TooLong,
    Failed(Mishap),
}

impl Outcome {
    /// Whether nothing that follows on the connection can be trusted.
    pub(super) const fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::Objected(_)
                | Self::TooLong
                | Self::Failed(Mishap::ClientBody | Mishap::ClientBodyTooLong)
        )
    }
}

/// Prebuilt challenges (RFC 6750 section 3).
#[derive(Debug)]
pub(super) struct Challenges {
    bare: HeaderValue,
    invalid_request: HeaderValue,
    invalid_token: HeaderValue,
}

const TOO_LONG: (StatusCode, &str, &str) = (
    StatusCode::PAYLOAD_TOO_LARGE,
    "content_too_large",
    "The body of the request is longer than this resource takes",
);
const INVALID_TOKEN: &str = "The token is not valid";
const INVALID_REQUEST: &str = "The request carries a malformed bearer credential, or more than one";

impl Challenges {
    pub(super) fn new(realm: &str) -> Self {
        let challenge = |rest: String| {
            HeaderValue::from_str(&format!("Bearer realm=\"{realm}\"{rest}"))
                .unwrap_or(HeaderValue::from_static("Bearer"))
        };
        let coded = |code: &str, text: &str| {
            challenge(format!(", error=\"{code}\", error_description=\"{text}\""))
        };
        Self {
            bare: challenge(String::new()),
            invalid_request: coded("invalid_request", INVALID_REQUEST),
            invalid_token: coded("invalid_token", INVALID_TOKEN),
        }
    }
}

/// The response to a request that goes no further. `route` is there when one was found.
pub(super) fn respond(
    outcome: Outcome,
    route: Option<&Route>,
    challenges: &Challenges,
) -> Response<Bytes> {
    let (status, code, text) = status_of(outcome);
    let body = format!("{{\"error\":\"{code}\",\"error_description\":\"{text}\"}}\n");
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match status {
        StatusCode::UNAUTHORIZED if outcome == Outcome::Denied(Reason::NoCredential) => {
            headers.insert(WWW_AUTHENTICATE, challenges.bare.clone());
        }
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, challenges.invalid_token.clone());
        }
        StatusCode::BAD_REQUEST if outcome == Outcome::Denied(Reason::Malformed) => {
            headers.insert(WWW_AUTHENTICATE, challenges.invalid_request.clone());
        }
        // No token would help, so none is asked for.
        StatusCode::FORBIDDEN if outcome == Outcome::Denied(Reason::NoCertificate) => {}
        StatusCode::FORBIDDEN => {
            if let Some(route) = route {
                headers.insert(WWW_AUTHENTICATE, route.insufficient_scope.clone());
            }
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            let allow = route.map_or(HeaderValue::from_static(""), |route| route.allow.clone());
            headers.insert(ALLOW, allow);
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

/// Writes a response: its head, and its body unless only the head was asked for.
pub(super) fn write(
    text: &mut Vec<u8>,
    response: &Response<Bytes>,
    date: impl FnOnce(&mut Vec<u8>),
    connection: &[u8],
    head_only: bool,
) {
    let status = response.status();
    text.extend_from_slice(b"HTTP/1.1 ");
    text.extend_from_slice(status.as_str().as_bytes());
    text.push(b' ');
    text.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    text.extend_from_slice(b"\r\n");
    for (name, value) in response.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    date(text);
    text.extend_from_slice(connection);
    // Writing into memory cannot fail.
    let _infallible = write!(text, "content-length: {}\r\n\r\n", response.body().len());
    if !head_only {
        text.extend_from_slice(response.body());
    }
}

fn status_of(outcome: Outcome) -> (StatusCode, &'static str, &'static str) {
    match outcome {
        Outcome::Objected(objection) => objected(objection),
        Outcome::NotFound => {
            (StatusCode::NOT_FOUND, "not_found", "No route leads from this host and path")
        }
        Outcome::Denied(reason) => denied(reason),
        Outcome::TooLong => TOO_LONG,
        Outcome::Failed(mishap) => failed(mishap),
    }
}

fn objected(objection: Objection) -> (StatusCode, &'static str, &'static str) {
    let bad = |text| (StatusCode::BAD_REQUEST, "bad_request", text);
    match objection {
        Objection::Framing => bad("The framing of the request is ambiguous"),
        Objection::Head => bad("The head of the request is malformed"),
        Objection::TooLarge => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head_too_large",
            "The head of the request is too long, or has too many fields",
        ),
        Objection::Version => (
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "version_not_supported",
            "Only HTTP/1.0 and HTTP/1.1 are spoken here",
        ),
        Objection::Host => bad("The request must have exactly one valid Host field"),
        Objection::Target => bad("The request target must be a path on the host that Host names"),
        Objection::Misdirected => (
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected_request",
            "This connection was made to another host than Host names",
        ),
        Objection::Path => bad("The path can be read in more than one way"),
        Objection::Method => (
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This method is not for a reverse proxy",
        ),
        Objection::Expectation => (
            StatusCode::EXPECTATION_FAILED,
            "expectation_failed",
            "No expectation but 100-continue can be met",
        ),
    }
}

fn denied(reason: Reason) -> (StatusCode, &'static str, &'static str) {
    match reason {
        Reason::NoCredential => {
            (StatusCode::UNAUTHORIZED, "unauthorized", "This resource needs a bearer token")
        }
        Reason::Malformed => (StatusCode::BAD_REQUEST, "invalid_request", INVALID_REQUEST),
        // One and the same answer: who presents a token learns nothing about why it is not good.
        Reason::Unknown
        | Reason::Expired
        | Reason::Deactivated
        | Reason::Revoked
        | Reason::OwnerDeactivated
        | Reason::Superseded => (StatusCode::UNAUTHORIZED, "invalid_token", INVALID_TOKEN),
        Reason::WrongOrganization | Reason::InsufficientScope => (
            StatusCode::FORBIDDEN,
            "insufficient_scope",
            "The token does not carry what this resource needs",
        ),
        Reason::NoCertificate => (
            StatusCode::FORBIDDEN,
            "certificate_required",
            "This resource takes clients with a certificate only, and the connection has none",
        ),
        Reason::MethodNotAllowed => (
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "The route does not take this method",
        ),
        // Something is being taken away from the token this moment, perhaps not all of it: whoever
        // asks again hears what is left.
        Reason::Barred | Reason::Unavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            "Nobody can say at the moment whether the token is valid",
        ),
    }
}

fn failed(mishap: Mishap) -> (StatusCode, &'static str, &'static str) {
    let bad = |text| (StatusCode::BAD_GATEWAY, "bad_gateway", text);
    match mishap {
        Mishap::Unreachable => bad("The upstream cannot be reached"),
        Mishap::Broken => bad("The upstream broke the exchange off"),
        Mishap::Unsound => bad("The upstream answered with something that is not sound HTTP"),
        Mishap::Late => {
            (StatusCode::GATEWAY_TIMEOUT, "gateway_timeout", "The upstream did not answer in time")
        }
        Mishap::Crowded => (
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "The upstream has as many requests as it may have",
        ),
        Mishap::ClientBodyTooLong => TOO_LONG,
        Mishap::ClientBody => {
            (StatusCode::BAD_REQUEST, "bad_request", "The body of the request is broken")
        }
    }
}

#[cfg(test)]
mod tests;
