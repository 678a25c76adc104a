use super::*;
use crate::http1::{HeadLimits, Parser, Side};
use http::HeaderName;
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

const LIMITS: HeadLimits = HeadLimits { bytes_max: 64 * 1024, fields_max: 100 };

fn head(start: &str, fields: &[(&str, &str)]) -> String {
    let lines = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("{start}\r\n{}\r\n", lines.collect::<String>())
}

/// The lines of some fields, sorted, with their names in lower case.
fn lines(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8(text.to_vec()).expect("visible");
    let lower = |line: &str| {
        let (name, value) = line.split_once(": ").expect("a field");
        format!("{}: {value}", name.to_ascii_lowercase())
    };
    let mut lines: Vec<String> = text.lines().map(lower).collect();
    lines.sort();
    lines
}

fn sent_by(
    names: &Names,
    client: &[(&str, &str)],
    authorization: Authorization<'_>,
    known: bool,
) -> Vec<String> {
    let head = head("GET / HTTP/1.1", client);
    let mut parser = Parser::new(Side::Requests);
    parser.advance(head.as_bytes(), LIMITS).expect("a sound head").expect("a whole head");
    let request = parser.request(head.as_bytes()).expect("a request");
    let mut text = Vec::new();
    let forwarded = Forwarded::of(IpAddr::from([192, 0, 2, 1]), false, Protocol::Http1);
    names.write_fields(&mut text, &request, authorization, &forwarded);
    if known {
        let values = ["usr_1", "org_1", "tok_1", "orders/reader"];
        text.extend_from_slice(names.identity_fields(values).as_bytes());
    }
    lines(&text)
}

/// What reaches the upstream of a request with these fields.
fn sent(client: &[(&str, &str)], authorization: Authorization<'_>, known: bool) -> Vec<String> {
    sent_by(&names(), client, authorization, known)
}

/// What reaches the client of an answer with these fields.
fn answered(upstream: &[(&str, &str)], down: Down, connection: &[u8]) -> (String, Vec<String>) {
    let head = head("HTTP/1.1 200 OK", upstream);
    let mut parser = Parser::new(Side::Responses);
    parser.advance(head.as_bytes(), LIMITS).expect("a sound head").expect("a whole head");
    let answer = parser.response(head.as_bytes()).expect("an answer");
    let mut text = Vec::new();
    write_answer(&mut text, &answer, down, connection);
    let text = String::from_utf8(text).expect("visible");
    let (status, fields) = text.split_once("\r\n").expect("a status line");
    (status.to_owned(), lines(fields.as_bytes()))
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
    assert_eq!(headers, expected);
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
        "x.auth.subject",
        "X~Auth~Subject",
        "x-auth|token`id",
        "x.forwarded.for",
        "transfer.encoding",
    ];
    for known in [false, true] {
        for name in said {
            let client = [("host", "a.test"), (name, "evil"), (name, "evil again")];
            let headers = sent(&client, Authorization::Drop, known);
            let evil = headers.into_iter().find(|line| line.contains("evil"));
            assert_eq!(evil, None, "{name}");
        }
        let client: Vec<_> = said.map(|name| (name, "evil")).into();
        let headers = sent(&client, Authorization::Drop, known);
        assert!(!headers.iter().any(|line| line.contains("evil")));
    }
}

#[test]
fn names_that_only_look_alike_pass() {
    let client = [("x-auth-subjects", "a"), ("xauthsubject", "b"), ("xx-real-ip", "c")];
    let headers = sent(&client, Authorization::Drop, false);
    for (name, value) in client {
        assert!(headers.contains(&format!("{name}: {value}")), "{name}: {headers:?}");
    }
}

#[test]
fn the_longest_name_that_may_be_configured_is_stripped_too() {
    let long = format!("x-{}", "a".repeat(62));
    let names = Names::new(&config(&long));
    let alias = long.replace('-', "_");
    for name in [long.as_str(), alias.as_str()] {
        let client = [("host", "a.test"), (name, "evil")];
        let headers = sent_by(&names, &client, Authorization::Drop, false);
        assert!(!headers.iter().any(|line| line.contains("evil")), "{name}");
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
    expected.push("transfer-encoding: chunked");
    expected.extend(OURS);
    expected.sort_unstable();
    assert_eq!(headers, expected);
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
    assert_eq!(headers, expected);
}

#[test]
fn authorization_is_dropped_kept_or_replaced() {
    let client = [("authorization", "Bearer x")];
    let of = |headers: &[String]| -> Vec<String> {
        let values = headers.iter().filter_map(|line| line.strip_prefix("authorization: "));
        values.map(str::to_owned).collect()
    };
    assert!(of(&sent(&client, Authorization::Drop, true)).is_empty());
    assert_eq!(of(&sent(&client, Authorization::Keep, true)), ["Bearer x"]);
    let ours = b"Basic b3Vycw==";
    assert_eq!(of(&sent(&client, Authorization::Replace(ours), true)), ["Basic b3Vycw=="]);
    assert_eq!(of(&sent(&[], Authorization::Replace(ours), true)), ["Basic b3Vycw=="]);
    let two = [("authorization", "Bearer x"), ("authorization", "Bearer y")];
    assert!(of(&sent(&two, Authorization::Drop, false)).is_empty());
    assert_eq!(of(&sent(&two, Authorization::Replace(ours), true)), ["Basic b3Vycw=="]);
}

#[test]
fn via_is_appended_to_what_was_there() {
    let headers = sent(&[("via", "1.0 edge")], Authorization::Drop, false);
    let via: Vec<_> = headers.iter().filter(|line| line.starts_with("via: ")).collect();
    assert_eq!(via, ["via: 1.0 edge", "via: 1.1 bearward"]);
}

#[test]
fn trailers_carry_nothing_that_frames_or_authenticates() {
    let fields = [
        ("x-sum", "1"),
        ("authorization", "Bearer x"),
        ("host", "b.test"),
        ("content-length", "9"),
        ("transfer-encoding", "chunked"),
        ("connection", "x-sum"),
        ("date", "now"),
    ];
    let section = head("", &fields);
    let mut text = Vec::new();
    write_trailers(&mut text, &section.as_bytes()[2..]);
    assert_eq!(lines(&text), ["x-sum: 1"]);
}

#[test]
fn an_answer_loses_what_belongs_to_its_connection() {
    let upstream = [
        ("Content-Type", "text/plain"),
        ("connection", "x-hop, close"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("upgrade", "h2c"),
        ("transfer-encoding", "chunked"),
        ("trailer", "x-sum"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ];
    let kept = [
        "content-type: text/plain",
        "set-cookie: a=1",
        "set-cookie: b=2",
        "trailer: x-sum",
        "transfer-encoding: chunked",
        "via: 1.1 bearward",
    ];
    let told = answered(&upstream, Down::Chunks, b"");
    assert_eq!(told, ("HTTP/1.1 200 OK".to_owned(), kept.map(str::to_owned).to_vec()));
    let (_status, headers) = answered(&upstream, Down::UntilClose, b"connection: close\r\n");
    assert!(headers.contains(&"connection: close".to_owned()));
    assert!(!headers.iter().any(|line| line.starts_with("transfer-encoding")), "{headers:?}");
    let upstream = [("date", "then"), ("content-length", "5"), ("connection", "date")];
    let (_status, headers) = answered(&upstream, Down::AsItCame, b"");
    assert_eq!(headers, ["content-length: 5", "date: then", "via: 1.1 bearward"]);
    let (_status, headers) = answered(&upstream, Down::Bare, b"");
    assert_eq!(headers, ["date: then", "via: 1.1 bearward"]);
}

proptest! {
    /// However an identity header is spelt, and whatever `Connection` says, the upstream gets
    /// exactly one, ours.
    #[test]
    fn the_upstream_reads_our_identity_and_no_other(
        spellings in prop::collection::vec("[xX][-_.~][aA]uth[-_.](subject|scope|token[-_]id)", 0..6),
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
        for line in &headers {
            let folded = line.replace(['_', '.', '~'], "-");
            prop_assert!(!folded.starts_with("x-auth-") || !folded.ends_with("evil"));
        }
        let subjects = headers.iter().filter(|line| line.starts_with("x-auth-subject: "));
        prop_assert_eq!(subjects.count(), 1);
    }
}
