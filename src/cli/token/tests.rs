use super::*;
use bearward::time::{Ttl, Unit};
use clap::Parser;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn parse(line: &str) -> Result<Command, clap::Error> {
    let words = std::iter::once("token").chain(line.split(' '));
    Line::try_parse_from(words).map(|line| line.arguments.command)
}

fn token() -> Value {
    json!({
        "id": "tok_1",
        "name": "ci\u{1b}[2J",
        "owner": { "id": "usr_1", "name": "Ada", "email": "ada@example.com" },
        "created_by": null,
        "scope": {
            "org_roles": ["org_member"],
            "service_roles": [{ "service": "orders", "role": "reader" }],
        },
        "status": "activated",
        "status_changed": { "at": "2026-01-02T00:00:00.000Z", "by": null, "reason": "back" },
        "blocked": null,
        "expired": false,
        "created_at": "2026-01-01T00:00:00.000Z",
        "expires_at": "2026-07-01T00:00:00.000Z",
        "last_used_at": null,
        "use_count": 3,
        "violations": [{ "policy": "idle_ttl" }],
    })
}

#[test]
fn lives_are_short_to_write() {
    let of = |text: &str| text.parse().map(|ShortTtl(ttl)| ttl);
    assert_eq!(of("30d"), Ok(Ttl::new(30, Unit::Days)));
    assert_eq!(of("12h"), Ok(Ttl::new(12, Unit::Hours)));
    assert_eq!(of("6mo"), Ok(Ttl::new(6, Unit::Months)));
    assert_eq!(of("45m"), Ok(Ttl::new(45, Unit::Minutes)));
    for wrong in ["", "d", "30", "0d", "-1d", "1.5h", "30D", "1y", "99999999999d"] {
        assert!(wrong.parse::<ShortTtl>().is_err(), "{wrong}");
    }
}

#[test]
fn what_is_asked_for_becomes_the_body() {
    let owner = UserId::from_bits(7);
    let line = format!(
        "create --name ci --ttl 30d --scope org_member --scope orders/reader --owner {owner}"
    );
    let Ok(Command::Create(create)) = parse(&line) else { panic!("{line}") };
    let expected = json!({
        "name": "ci",
        "ttl": { "value": 30, "unit": "days" },
        "scope": {
            "org_roles": ["org_member"],
            "service_roles": [{ "service": "orders", "role": "reader" }],
        },
        "owner": owner,
    });
    assert_eq!(create.body(), expected);
    let Ok(Command::Create(create)) = parse("create --name ci --ttl longest --scope org_member")
    else {
        panic!("the longest life")
    };
    assert_eq!(create.body()["ttl"], "longest");
    assert!(parse("create --name ci").is_err(), "a scope is needed");
    assert!(parse("create --name ci --scope A").is_err());
}

#[test]
fn a_token_is_named_by_its_identity() {
    let named = |line: &str| parse(line).expect(line).named().map(One::id);
    let error = named("show bwt_0123456789").expect("one").expect_err("a secret");
    let told = format!("{error:#}");
    assert!(told.contains("never by its secret") && !told.contains("0123"), "{told}");
    let id = TokenId::from_bits(1);
    assert_eq!(named(&format!("revoke {id}")).expect("one").expect("an identity"), id);
}

#[test]
fn pages_are_asked_for_until_there_are_enough() {
    let Ok(Command::List(list)) = parse("list --limit 450 --q a&b --owner me --sort -name") else {
        panic!("a list")
    };
    let mut asked = Vec::new();
    let page = |query: &str| {
        asked.push(query.to_owned());
        Ok(json!({ "items": vec![json!({}); 200], "next_cursor": "c/1" }))
    };
    let (items, more) = list.pages(page).expect("pages");
    assert_eq!((items.len(), more), (600, true));
    assert_eq!(asked[0], "limit=200&owner=me&q=a%26b&sort=-name");
    assert_eq!(asked[2], "limit=50&owner=me&q=a%26b&sort=-name&cursor=c%2F1");
    assert_eq!(asked.len(), 3);
}

#[test]
fn a_token_is_shown_in_full_and_harmless() {
    let expected = "\
Token       tok_1
Name        ci\\u{1b}[2J
Owner       Ada <ada@example.com>
Created by  -
Scope       org_member orders/reader
Status      activated
Created     2026-01-01T00:00:00.000Z
Expires     2026-07-01T00:00:00.000Z
Last used   -
Uses        3
Changed     2026-01-02T00:00:00.000Z by nobody known
Reason      back
Alert       idle_ttl";
    assert_eq!(details(&token()), expected);
    let table = list_table(&[token()]);
    assert!(table.starts_with("TOKEN  NAME"), "{table}");
    assert!(
        table.lines().nth(1).is_some_and(|line| line.ends_with("-          idle_ttl")),
        "{table}"
    );
}

#[test]
fn what_keeps_a_token_out_is_its_status() {
    let with = |key: &str, value: Value| {
        let mut token = token();
        token[key] = value;
        token
    };
    assert_eq!(status(&with("expired", json!(true))), "expired");
    assert_eq!(status(&with("blocked", json!("owner_deactivated"))), "owner_deactivated");
    assert_eq!(status(&with("status", json!("deactivated"))), "deactivated");
    let mut revoked = with("status", json!("revoked"));
    revoked["expired"] = json!(true);
    assert_eq!(status(&revoked), "revoked");
}
