use super::*;
use proptest::prelude::*;
use serde_json::json;

fn ada() -> Value {
    json!({
        "id": "usr_1", "externalId": "Ext-1", "userName": "Ada@example.com", "displayName": "Ada",
        "name": {"formatted": "Ada"}, "active": true,
        "emails": [{"value": "Ada@example.com", "type": "work", "primary": true}],
        "roles": [{"value": "org_member"}, {"value": "orders/reader"}],
        "meta": {"created": "2027-01-01T00:00:00Z"},
    })
}

fn holds(text: &str) -> bool {
    Filter::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem:?}")).matches(&ada())
}

#[test]
fn what_the_rfc_shows_is_understood() {
    for yes in [
        r#"userName eq "ada@EXAMPLE.com""#,
        r#"USERNAME Eq "ada@example.com" AND active EQ true"#,
        r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "ADA""#,
        r#"emails.value co "example" and not (displayName eq "Bob")"#,
        r#"emails[type eq "work" and value co "@example.com"]"#,
        r#"emails co "example""#,
        r#"externalId pr and id eq "usr_1""#,
        r#"displayName eq "Bob" or displayName eq "Ada""#,
        r#"(displayName eq "Bob" or displayName eq "Ada") and active eq "True""#,
        r#"displayName eq "Ada" or displayName eq "Ada" and active eq false"#,
        r#"roles.value eq "orders/reader""#,
        r#"meta.created ge "2027-01-01T01:00:00+01:00""#,
        r#"userName ew ".com" and userName ne "bob@example.com""#,
    ] {
        assert!(holds(yes), "{yes}");
    }
    for no in [
        r#"externalId eq "ext-1""#,
        "active eq false",
        r#"displayName eq "Bob""#,
        r#"emails[type eq "home"]"#,
        "not (userName pr)",
        r#"meta.created gt "2027-01-01T00:00:00Z""#,
        r#"(displayName eq "Ada" or displayName eq "Ada") and active eq false"#,
    ] {
        assert!(!holds(no), "{no}");
    }
}

#[test]
fn what_is_no_filter_is_refused() {
    let deep = |levels| format!("{}active pr{}", "(".repeat(levels), ")".repeat(levels));
    assert!(Filter::parse(&deep(FILTER_DEPTH_MAX)).is_ok());
    let long = format!("userName eq \"{}\"", "a".repeat(FILTER_BYTES_MAX));
    for bad in [
        "",
        "userName",
        "userName eq",
        "userName is \"x\"",
        "nickname.x eq \"x\"",
        "title eq \"x\"",
        "userName eq ada",
        "userName eq [1]",
        "userName eq \"x",
        "userName eq \"x\" and",
        "not userName pr",
        "(userName pr",
        "userName pr)",
        "emails[value pr",
        "emails[emails[value pr]]",
        &deep(FILTER_DEPTH_MAX + 1),
        &long,
    ] {
        let problem = Filter::parse(bad).expect_err(bad);
        assert_eq!(problem.scim_type(), Some("invalidFilter"), "{bad}");
    }
}

#[test]
fn the_filter_in_a_path_is_bounded_as_any_other() {
    let deep = |levels| format!("emails[{}value pr{}]", "(".repeat(levels), ")".repeat(levels));
    assert!(matches!(Target::parse(&deep(FILTER_DEPTH_MAX - 1)), Ok(Some(_))));
    let long = format!("emails[value eq \"{}\"]", "a".repeat(FILTER_BYTES_MAX));
    for bad in [&deep(FILTER_DEPTH_MAX), &long] {
        let problem = Target::parse(bad).expect_err(bad);
        assert_eq!(problem.scim_type(), Some("invalidPath"), "{bad}");
    }
}

/// A filter as text, with what it says of [`ada`].
fn known() -> impl Strategy<Value = (String, bool)> {
    let leaf = prop_oneof![
        Just((r#"userName eq "ada@example.com""#.to_owned(), true)),
        Just((r#"displayName co "ob""#.to_owned(), false)),
        Just(("active pr".to_owned(), true)),
        Just((r#"emails[value sw "x"]"#.to_owned(), false)),
        Just((r#"externalId eq "Ext-1""#.to_owned(), true)),
    ];
    leaf.prop_recursive(5, 32, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            two.clone().prop_map(|((a, x), (b, y))| (format!("({a} and {b})"), x && y)),
            two.prop_map(|((a, x), (b, y))| (format!("({a} OR {b})"), x || y)),
            inner.prop_map(|(a, x)| (format!("not ({a})"), !x)),
        ]
    })
}

proptest! {
    #[test]
    fn a_filter_means_what_its_parts_mean((text, expected) in known()) {
        prop_assert_eq!(holds(&text), expected, "{}", text);
    }

    #[test]
    fn and_binds_before_or(parts in proptest::collection::vec((known(), any::<bool>()), 1..6)) {
        let mut text = String::new();
        let mut any = vec![true];
        for (at, ((part, value), or)) in parts.into_iter().enumerate() {
            if at > 0 {
                text += if or { " or " } else { " and " };
                if or { any.push(true); }
            }
            text += &part;
            *any.last_mut().expect("one") &= value;
        }
        prop_assert_eq!(holds(&text), any.contains(&true), "{}", text);
    }

    #[test]
    fn no_text_breaks_the_reader(text in "[a-zA-Z\\[\\]()\" .:ü0-9]{0,60}") {
        if let Ok(filter) = Filter::parse(&text) {
            let _either = filter.matches(&ada());
        }
        let _either = Target::parse(&text);
    }
}
