use super::*;
use crate::access::Requirement;
use crate::config::Config;
use crate::gateway::route::Routes;
use crate::role::RoleTable;
use http::Method;
use std::path::Path;

const CONFIG: &str = r#"
gateway.listen = "127.0.0.1:8080"
admin.listen = "127.0.0.1:8081"
store.path = "b.redb"
[services.orders]
roles = ["reader"]
[upstreams.one]
addresses = ["127.0.0.1:9000"]
[[routes]]
name = "r"
path = "/"
upstream = "one"
methods = ["GET", "HEAD"]
require = { service = "orders", organizations = "any", any_of = ["orders/reader"] }
"#;

fn routes() -> Routes {
    let config =
        Config::parse(CONFIG, Path::new("/"), &|_| None).unwrap_or_else(|error| panic!("{error}"));
    let mut roles = RoleTable::new();
    roles.intern("orders/reader".parse().expect("a role"));
    Routes::compile(&config, &roles, &crate::usage::Asked::default())
        .expect("every role has its number")
}

/// The whole answer as text, its fields sorted.
fn text(outcome: Outcome) -> String {
    let routes = routes();
    let response = respond(outcome, Some(routes.route(0)), &Challenges::new("bearward"));
    let line = |(name, value): (&http::HeaderName, &HeaderValue)| {
        format!("{name}: {}\n", value.to_str().expect("visible"))
    };
    let mut lines: Vec<String> = response.headers().iter().map(line).collect();
    lines.sort();
    let body = String::from_utf8(response.body().to_vec()).expect("text");
    format!("{}\n{}\n{body}", response.status(), lines.concat())
}

/// An answer of ours with these further fields, which stand between the two that all have.
fn answer(status: &str, before: &str, after: &str, code: &str, text: &str) -> String {
    format!(
        "{status}\n{before}cache-control: no-store\n{after}\n\
         {{\"error\":\"{code}\",\"error_description\":\"{text}\"}}\n"
    )
}

const TYPE: &str = "content-type: application/json\n";

#[test]
fn each_reason_has_its_answer() {
    let invalid_token = answer(
        "401 Unauthorized",
        "",
        &format!(
            "{TYPE}www-authenticate: Bearer realm=\"bearward\", error=\"invalid_token\", \
             error_description=\"The token is not valid\"\n"
        ),
        "invalid_token",
        "The token is not valid",
    );
    let insufficient = answer(
        "403 Forbidden",
        "",
        &format!(
            "{TYPE}www-authenticate: Bearer realm=\"bearward\", error=\"insufficient_scope\", \
             error_description=\"The token does not carry what this resource needs\", \
             scope=\"orders/reader\"\n"
        ),
        "insufficient_scope",
        "The token does not carry what this resource needs",
    );
    for reason in Reason::ALL {
        let expected = match reason {
            // RFC 6750 section 3.1: without a credential, no error code.
            Reason::NoCredential => answer(
                "401 Unauthorized",
                "",
                &format!("{TYPE}www-authenticate: Bearer realm=\"bearward\"\n"),
                "unauthorized",
                "This resource needs a bearer token",
            ),
            Reason::Malformed => answer(
                "400 Bad Request",
                "",
                &format!(
                    "{TYPE}www-authenticate: Bearer realm=\"bearward\", \
                     error=\"invalid_request\", error_description=\"The request carries a \
                     malformed bearer credential, or more than one\"\n"
                ),
                "invalid_request",
                "The request carries a malformed bearer credential, or more than one",
            ),
            Reason::Unknown
            | Reason::Expired
            | Reason::Deactivated
            | Reason::Revoked
            | Reason::OwnerDeactivated
            | Reason::Superseded => invalid_token.clone(),
            Reason::WrongOrganization | Reason::InsufficientScope => insufficient.clone(),
            Reason::MethodNotAllowed => answer(
                "405 Method Not Allowed",
                "allow: GET, HEAD\n",
                TYPE,
                "method_not_allowed",
                "The route does not take this method",
            ),
            Reason::NoCertificate => answer(
                "403 Forbidden",
                "",
                TYPE,
                "certificate_required",
                "This resource takes clients with a certificate only, and the connection has none",
            ),
            Reason::Barred | Reason::Unavailable => answer(
                "503 Service Unavailable",
                "",
                &format!("{TYPE}retry-after: 1\n"),
                "temporarily_unavailable",
                "Nobody can say at the moment whether the token is valid",
            ),
        };
        assert_eq!(text(Outcome::Denied(reason)), expected, "{}", reason.as_str());
    }
}

#[test]
fn nobody_learns_why_a_token_is_dead() {
    let dead = [
        Reason::Unknown,
        Reason::Expired,
        Reason::Deactivated,
        Reason::Revoked,
        Reason::OwnerDeactivated,
        Reason::Superseded,
    ];
    let answers = dead.map(|reason| text(Outcome::Denied(reason)));
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[test]
fn a_request_that_is_in_doubt_ends_its_connection() {
    let objections = [
        (Objection::Framing, 400),
        (Objection::Head, 400),
        (Objection::TooLarge, 431),
        (Objection::Version, 505),
        (Objection::Host, 400),
        (Objection::Target, 400),
        (Objection::Path, 400),
        (Objection::Method, 405),
        (Objection::Expectation, 417),
    ];
    for (objection, status) in objections {
        let response = respond(Outcome::Objected(objection), None, &Challenges::new("r"));
        assert_eq!(response.status().as_u16(), status, "{objection:?}");
        assert!(Outcome::Objected(objection).ends_connection(), "{objection:?}");
        assert!(!response.headers().contains_key(WWW_AUTHENTICATE), "{objection:?}");
    }
    // RFC 9110 section 15.5.6 wants `Allow` in every 405.
    let response = respond(Outcome::Objected(Objection::Method), None, &Challenges::new("r"));
    assert!(response.headers().contains_key(ALLOW));
}

#[test]
fn upstream_mishaps_are_gateway_errors_and_keep_the_connection() {
    let mishaps = [
        (Mishap::Unreachable, 502),
        (Mishap::Broken, 502),
        (Mishap::Unsound, 502),
        (Mishap::Late, 504),
    ];
    for (mishap, status) in mishaps {
        let response = respond(Outcome::Failed(mishap), None, &Challenges::new("r"));
        assert_eq!(response.status().as_u16(), status, "{mishap:?}");
        assert!(!Outcome::Failed(mishap).ends_connection(), "{mishap:?}");
    }
    let broken_body = respond(Outcome::Failed(Mishap::ClientBody), None, &Challenges::new("r"));
    assert_eq!(broken_body.status(), StatusCode::BAD_REQUEST);
    assert!(Outcome::Failed(Mishap::ClientBody).ends_connection());
    for too_long in [Outcome::TooLong, Outcome::Failed(Mishap::ClientBodyTooLong)] {
        let response = respond(too_long, None, &Challenges::new("r"));
        assert_eq!(response.status(), 413);
        assert!(too_long.ends_connection());
    }
    assert!(!broken_body.headers().contains_key(WWW_AUTHENTICATE));
    let nowhere = respond(Outcome::NotFound, None, &Challenges::new("r"));
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
    assert!(!nowhere.headers().contains_key(WWW_AUTHENTICATE));
}

#[test]
fn every_body_is_json() {
    let mut outcomes: Vec<Outcome> = Reason::ALL.map(Outcome::Denied).into();
    outcomes.extend([Outcome::NotFound, Outcome::Failed(Mishap::Late)]);
    outcomes.push(Outcome::Objected(Objection::Path));
    for outcome in outcomes {
        let response = respond(outcome, None, &Challenges::new("r"));
        let body: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
        assert!(body["error"].is_string() && body["error_description"].is_string());
    }
}

#[test]
fn a_requirement_and_its_allow_agree() {
    let routes = routes();
    let Requirement { methods, .. } = &routes.route(0).requirement;
    assert_eq!(*methods, [Method::GET, Method::HEAD]);
    assert_eq!(routes.route(0).allow, "GET, HEAD");
}

#[test]
fn an_answer_is_written_as_one_message() {
    let response = respond(Outcome::NotFound, None, &Challenges::new("r"));
    let date = |text: &mut Vec<u8>| text.extend_from_slice(b"date: today\r\n");
    let written = |head_only| {
        let mut text = Vec::new();
        write(&mut text, &response, date, b"connection: close\r\n", head_only);
        String::from_utf8(text).expect("text")
    };
    let body = String::from_utf8(response.body().to_vec()).expect("text");
    let head = format!(
        "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
         date: today\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    assert_eq!(written(true), head);
    assert_eq!(written(false), head + &body);
}
