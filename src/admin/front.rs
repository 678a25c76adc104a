//! What every request passes before an endpoint sees it, and every answer on its way out.
//!
//! A browser on the same machine reaches the admin port too, and so does every page it shows. So a
//! request must name a host of ours (a page elsewhere that rebinds its own name does not), and one
//! that changes something must not come from another site nor look as a plain form can make it
//! look.

use super::pages;
use super::problem::{Kind, Problem};
use super::refused::{self, Incoming};
use super::{Shared, scim};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The field that names a request, in both directions.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_CHARS_MAX: usize = 128;

/// The name of the request, for the audit trail.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

/// The room before the endpoints.
#[derive(Clone)]
pub(crate) struct Entrance {
    pub(crate) state: Shared,
    pub(crate) slots: Arc<Semaphore>,
}

/// Vets a request, lets it through, and dresses its answer.
pub(crate) async fn enter(
    State(entrance): State<Entrance>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = match request_id(request.headers(), &entrance.state) {
        Ok(id) => id,
        Err(problem) => return dressed(problem.into_response(), None),
    };
    let is_scim = scim::is_ours(request.uri().path());
    request.extensions_mut().insert(RequestId(id.clone()));
    let incoming = Incoming::of(&mut request);
    let response = match entrance.slots.try_acquire() {
        Err(_full) => Problem::new(Kind::Busy, "try again").into_response(),
        Ok(_slot) => match vet(&request, &entrance.state.hosts) {
            Err(problem) => problem.into_response(),
            Ok(()) => next.run(request).await,
        },
    };
    if let Some(single) = incoming.answered(&entrance.state, &response) {
        refused::record(&entrance.state, single).await;
    }
    let response = if is_scim { scim::in_its_form(response) } else { response };
    dressed(response, Some(&id))
}

fn request_id(headers: &HeaderMap, state: &Shared) -> Result<String, Problem> {
    let given = headers.get(X_REQUEST_ID).and_then(|given| given.to_str().ok());
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_.:".contains(char);
    let fits = |given: &&str| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&given.len()) && given.chars().all(plain)
    };
    if let Some(given) = given.filter(fits) {
        return Ok(given.to_owned());
    }
    let mut bytes = [0_u8; 16];
    (state.random)(&mut bytes).map_err(|error| Problem::internal(&error))?;
    let mut id = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _infallible = write!(id, "{byte:02x}");
    }
    Ok(id)
}

fn vet(request: &Request, hosts: &[String]) -> Result<(), Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > super::TARGET_BYTES_MAX {
        let limit = super::TARGET_BYTES_MAX;
        return Err(Problem::new(Kind::TargetTooLong, format!("at most {limit} bytes")));
    }
    let host = host(request.headers())?;
    let named = request.uri().authority().into_iter().chain([&host]);
    for authority in named {
        if !is_ours(authority.host(), hosts) {
            let detail = "the Host field names no host of this service; see `hosts` under \
                          [admin] in its configuration";
            return Err(Problem::new(Kind::Misdirected, detail));
        }
    }
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    same_site(request.headers(), &host)?;
    if pages::is_page(request.uri().path()) {
        from_a_page(request)
    } else {
        not_from_a_form(request)
    }
}

/// The one host that a request names.
fn host(headers: &HeaderMap) -> Result<Authority, Problem> {
    let mut fields = headers.get_all(HOST).iter();
    let problem = || Problem::new(Kind::InvalidRequest, "expected one Host field");
    let (Some(field), None) = (fields.next(), fields.next()) else { return Err(problem()) };
    // User information would let `localhost@evil` through a careless reader.
    let host = Authority::try_from(field.as_bytes())
        .ok()
        .filter(|host| !host.as_str().contains('@') && !host.host().is_empty());
    host.ok_or_else(problem)
}

fn is_ours(host: &str, hosts: &[String]) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback
        || host.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host))
}

/// Refuses what a page of another site can have a browser send without asking first.
fn same_site(headers: &HeaderMap, host: &Authority) -> Result<(), Problem> {
    let refusal = || Problem::new(Kind::CrossOrigin, "the request comes from another site");
    for origin in headers.get_all(ORIGIN) {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        let is_same = origin.is_some_and(|(scheme, authority)| {
            matches!(scheme, "http" | "https") && authority.eq_ignore_ascii_case(host.as_str())
        });
        if !is_same {
            return Err(refusal());
        }
    }
    let fetch_site = HeaderName::from_static("sec-fetch-site");
    for site in headers.get_all(fetch_site) {
        if site == "cross-site" || site == "same-site" {
            return Err(refusal());
        }
    }
    Ok(())
}

/// The pages' own forms come as forms do. What a browser says beside them must say that it was one
/// of ours: a client that says nothing is no browser, and has the API.
fn from_a_page(request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let said = headers.get(HeaderName::from_static("sec-fetch-site"));
    // Another value of Origin than our own did not get here.
    if headers.contains_key(ORIGIN) || said.is_some_and(|site| site == "same-origin") {
        return Ok(());
    }
    Err(Problem::new(Kind::CrossOrigin, "a form of these pages says where it comes from"))
}

fn not_from_a_form(request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    // The three media types that an HTML form can send (Fetch standard, "CORS-safelisted").
    let plain = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"];
    for media_type in headers.get_all(CONTENT_TYPE) {
        let essence = media_type.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
        let essence = essence.trim_ascii();
        if plain.iter().any(|plain| essence.eq_ignore_ascii_case(plain.as_bytes())) {
            let detail = "a form could have sent this; send application/json";
            return Err(Problem::new(Kind::CrossOrigin, detail));
        }
    }
    Ok(())
}

fn dressed(mut response: Response, id: Option<&str>) -> Response {
    let headers = response.headers_mut();
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(X_REQUEST_ID, id);
    }
    let fixed = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What the pages and their files say otherwise.
    let usual = [
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in usual {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_ours_or_not() {
        let hosts = ["admin.example.com".to_owned()];
        for ours in ["localhost", "LocalHost", "127.0.0.1", "[::1]", "ADMIN.example.com"] {
            assert!(is_ours(ours, &hosts), "{ours}");
        }
        for other in ["example.com", "localhost.evil.example", "10.0.0.1", "[::2]", "0.0.0.0", ""] {
            assert!(!is_ours(other, &hosts), "{other}");
        }
    }

    #[test]
    fn one_host_without_user_information() {
        let of = |fields: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(HOST, HeaderValue::from_static(field));
            }
            host(&headers).map(|host| host.host().to_owned()).map_err(|problem| problem.status())
        };
        assert_eq!(of(&["localhost:8081"]).as_deref(), Ok("localhost"));
        assert_eq!(of(&["[::1]:8081"]).as_deref(), Ok("[::1]"));
        for bad in [&[][..], &["a", "a"], &["localhost@evil"], &[""], &["a b"], &[":80"]] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }
}
