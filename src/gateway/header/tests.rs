use super::*;
use crate::org::Revision;
use proptest::prelude::*;

fn config(subject: &str) -> IdentityHeaders {
    let name = |text: &str| HeaderName::from_bytes(text.as_bytes()).expect("a header name");
    IdentityHeaders {
        subject: name(subject),
        organization: name("x-auth-organization"),
        token_id: name("x-auth-token-id"),
        scope: name("x-auth-scope"),
    }
}

fn names() -> Names {
    Names::new(&config("x-auth-subject"))
}

fn fields(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a header name"),
            HeaderValue::from_str(value).expect("a header value"),
        );
    }
    headers
}

/// All fields as `name: value`, sorted.
fn lines(headers: &HeaderMap) -> Vec<String> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        format!("{name}: {}", value.to_str().expect("visible"))
    };
    let mut lines: Vec<String> = headers.iter().map(line).collect();
    lines.sort();
    lines
}

fn identity() -> IdentityValues {
    IdentityValues {
        owner_version: Revision(1),
        subject: HeaderValue::from_static("usr_1"),
        organization: HeaderValue::from_static("org_1"),
        token_id: HeaderValue::from_static("tok_1"),
        scope: HeaderValue::from_static("orders/reader"),
        privileged: false,
    }
}

/// What reaches the upstream of a request with these fields.
fn sent(client: &[(&str, &str)], authorization: Authorization<'_>, known: bool) -> HeaderMap {
    let (names, mut headers, identity) = (names(), fields(client), identity());
    let chores = names.survey(&headers).chores;
    let additions = Additions {
        authorization,
        forwarded_for: &HeaderValue::from_static("192.0.2.1"),
        via: &HeaderValue::from_static("1.1 bearward"),
    };
    names.prepare_request(&mut headers, chores, &additions);
    if known {
        names.identify(&mut headers, &identity);
    }
    headers
}

const OURS: [&str; 7] = [
    "via: 1.1 bearward",
    "x-auth-organization: org_1",
    "x-auth-scope: orders/reader",
    "x-auth-subject: usr_1",
    "x-auth-token-id: tok_1",
    "x-forwarded-for: 192.0.2.1",
    "x-forwarded-proto: http",
];

#[test]
fn an_ordinary_request_keeps_its_fields_and_gets_ours() {
    let headers = sent(
        &[
            ("host", "a.test"),
            ("accept", "*/*"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("authorization", "Bearer x"),
        ],
        Authorization::Drop,
        true,
    );
    let mut expected = vec![
        "accept: */*",
        "cookie: a=1",
        "cookie: b=2",
        "host: a.test",
        "x-forwarded-host: a.test",
    ];
    expected.extend(OURS);
    expected.sort_unstable();
    assert_eq!(lines(&headers), expected);
}

#[test]
fn what_a_client_says_about_itself_does_not_pass_by_any_spelling() {
    let said = [
        "x-auth-subject",
        "X-Auth-Subject",
        "x_auth_subject",
        "X-AUTH_subject",
        "x_auth-organization",
        "x-auth_token_id",
        "x_auth_scope",
        "forwarded",
        "x-forwarded-for",
        "x_forwarded_for",
        "x-forwarded_host",
        "x_forwarded-proto",
        "x-forwarded-port",
        "x_forwarded_port",
        "x-real-ip",
        "x_real_ip",
        "proxy-authorization",
        "proxy_authorization",
        "keep_alive",
        "transfer_encoding",
        "proxy_connection",
    ];
    for known in [false, true] {
        for name in said {
            let client = [("host", "a.test"), (name, "evil"), (name, "evil again")];
            let headers = sent(&client, Authorization::Drop, known);
            let evil = lines(&headers).into_iter().find(|line| line.contains("evil"));
            assert_eq!(evil, None, "{name}");
        }
        let client: Vec<_> = said.map(|name| (name, "evil")).into();
        let headers = sent(&client, Authorization::Drop, known);
        assert!(!lines(&headers).iter().any(|line| line.contains("evil")));
    }
}

#[test]
fn names_that_only_look_alike_pass() {
    let client = [("x-auth-subjects", "a"), ("x.auth.subject", "b"), ("xx-real-ip", "c")];
    let headers = sent(&client, Authorization::Drop, false);
    for (name, value) in client {
        assert_eq!(headers.get(name).map(HeaderValue::as_bytes), Some(value.as_bytes()), "{name}");
    }
}

#[test]
fn the_longest_name_that_may_be_configured_is_stripped_too() {
    let long = format!("x-{}", "a".repeat(62));
    let names = Names::new(&config(&long));
    let alias = long.replace('-', "_");
    for name in [long.as_str(), alias.as_str()] {
        let mut headers = fields(&[("host", "a.test"), (name, "evil")]);
        let chores = names.survey(&headers).chores;
        let additions = Additions {
            authorization: Authorization::Drop,
            forwarded_for: &HeaderValue::from_static("192.0.2.1"),
            via: &HeaderValue::from_static("1.1 bearward"),
        };
        names.prepare_request(&mut headers, chores, &additions);
        assert!(!headers.contains_key(name), "{name}");
    }
}

#[test]
fn hop_by_hop_fields_and_what_connection_names_stay_behind() {
    let headers = sent(
        &[
            ("host", "a.test"),
            ("connection", "close, X-Secret"),
            ("connection", " x-other ,,keep-alive"),
            ("x-secret", "1"),
            ("x-other", "2"),
            ("x-kept", "3"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("expect", "100-continue"),
        ],
        Authorization::Drop,
        true,
    );
    let mut expected = vec!["host: a.test", "x-forwarded-host: a.test", "x-kept: 3"];
    expected.extend(OURS);
    expected.sort_unstable();
    assert_eq!(lines(&headers), expected);
}

#[test]
fn a_client_cannot_have_ours_or_the_messages_own_taken_away() {
    let nominated = "x-auth-subject, x-auth-scope, x-forwarded-for, via, host, content-length, \
                     authorization, x-auth-token-id, x-auth-organization, x-forwarded-proto";
    let headers = sent(
        &[
            ("host", "a.test"),
            ("content-length", "5"),
            ("authorization", "Bearer x"),
            ("connection", nominated),
            ("x-auth-subject", "evil"),
        ],
        Authorization::Keep,
        true,
    );
    let mut expected = vec![
        "authorization: Bearer x",
        "content-length: 5",
        "host: a.test",
        "x-forwarded-host: a.test",
    ];
    expected.extend(OURS);
    expected.sort_unstable();
    assert_eq!(lines(&headers), expected);
}

#[test]
fn authorization_is_dropped_kept_or_replaced() {
    let client = [("authorization", "Bearer x")];
    let of = |headers: &HeaderMap| -> Vec<String> {
        let values = headers.get_all(AUTHORIZATION).iter();
        values.map(|value| value.to_str().expect("visible").to_owned()).collect()
    };
    assert!(of(&sent(&client, Authorization::Drop, true)).is_empty());
    assert_eq!(of(&sent(&client, Authorization::Keep, true)), ["Bearer x"]);
    let ours = HeaderValue::from_static("Basic b3Vycw==");
    assert_eq!(of(&sent(&client, Authorization::Replace(&ours), true)), ["Basic b3Vycw=="]);
    assert_eq!(of(&sent(&[], Authorization::Replace(&ours), true)), ["Basic b3Vycw=="]);
    let two = [("authorization", "Bearer x"), ("authorization", "Bearer y")];
    assert!(of(&sent(&two, Authorization::Drop, false)).is_empty());
    assert_eq!(of(&sent(&two, Authorization::Replace(&ours), true)), ["Basic b3Vycw=="]);
}

#[test]
fn via_is_appended_to_what_was_there() {
    let headers = sent(&[("via", "1.0 edge")], Authorization::Drop, false);
    let via: Vec<_> = headers.get_all(VIA).iter().collect();
    assert_eq!(via, ["1.0 edge", "1.1 bearward"]);
}

#[test]
fn a_survey_tells_absent_once_and_repeated_apart() {
    let names = names();
    let headers = fields(&[
        ("host", "a.test"),
        ("authorization", "Bearer x"),
        ("authorization", "Bearer x"),
        ("content-length", "1"),
        ("transfer-encoding", "chunked"),
    ]);
    let seen = names.survey(&headers);
    assert!(matches!(seen.host, Field::Once(_)));
    assert!(matches!(seen.authorization, Field::Repeated(_)));
    assert!(matches!(seen.content_length, Field::Once(_)));
    assert!(matches!(seen.transfer_encoding, Field::Once(_)));
    assert!(matches!(seen.expect, Field::Absent));
    assert!(seen.authorization.only().is_none() && seen.authorization.value().is_some());
}

#[test]
fn trailers_carry_nothing_that_frames_routes_or_authenticates() {
    let mut trailers = fields(&[
        ("x-sum", "1"),
        ("authorization", "Bearer x"),
        ("host", "b.test"),
        ("content-length", "9"),
        ("transfer-encoding", "chunked"),
        ("x-auth-subject", "evil"),
        ("x_auth_scope", "evil"),
        ("x-forwarded-for", "evil"),
        ("connection", "x-sum"),
    ]);
    names().prepare_trailers(&mut trailers);
    assert_eq!(lines(&trailers), ["x-sum: 1"]);
}

#[test]
fn an_answer_loses_what_belongs_to_its_connection_and_gets_a_date() {
    let date = || HeaderValue::from_static("now");
    let via = HeaderValue::from_static("1.1 bearward");
    let mut headers = fields(&[
        ("content-type", "text/plain"),
        ("connection", "x-hop, close"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("upgrade", "h2c"),
        ("transfer-encoding", "chunked"),
        ("trailer", "x-sum"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ]);
    let chores = survey_response(&headers).chores;
    prepare_response(&mut headers, chores, &via, date);
    let expected = [
        "content-type: text/plain",
        "date: now",
        "set-cookie: a=1",
        "set-cookie: b=2",
        "trailer: x-sum",
        "via: 1.1 bearward",
    ];
    assert_eq!(lines(&headers), expected);

    let mut headers = fields(&[("date", "then"), ("connection", "keep-alive")]);
    let chores = survey_response(&headers).chores;
    prepare_response(&mut headers, chores, &via, date);
    assert_eq!(lines(&headers), ["date: then", "via: 1.1 bearward"]);
}

#[test]
fn an_answer_always_has_a_date() {
    let date = || HeaderValue::from_static("now");
    let via = HeaderValue::from_static("1.1 bearward");
    let mut headers = fields(&[("date", "then"), ("connection", "date")]);
    let chores = survey_response(&headers).chores;
    prepare_response(&mut headers, chores, &via, date);
    assert_eq!(headers.get_all(DATE).iter().count(), 1);
}

proptest! {
    /// However an identity header is spelt, and whatever `Connection` says, the upstream gets
    /// exactly one, ours.
    #[test]
    fn the_upstream_reads_our_identity_and_no_other(
        spellings in prop::collection::vec("[xX][-_][aA]uth[-_](subject|scope|token[-_]id)", 0..6),
        nominated in prop::option::of("[a-z-]{0,12}(, ?x[-_]auth[-_]subject)?"),
    ) {
        let mut client: Vec<(&str, &str)> = vec![("host", "a.test")];
        for name in &spellings {
            client.push((name, "evil"));
        }
        if let Some(nominated) = &nominated {
            client.push(("connection", nominated));
        }
        let headers = sent(&client, Authorization::Drop, true);
        for (name, value) in &headers {
            let folded = name.as_str().replace('_', "-");
            prop_assert!(!folded.starts_with("x-auth-") || value != "evil");
        }
        prop_assert_eq!(headers.get_all("x-auth-subject").iter().count(), 1);
    }
}
