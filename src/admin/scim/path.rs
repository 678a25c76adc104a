//! Names of attributes (RFC 7643 section 2.1, RFC 7644 section 3.10): compared without case, with or
//! without the schema before them.

use super::USER_SCHEMA;

/// The attributes of a user that Bearward keeps or tells, with their sub-attributes.
const ATTRIBUTES: [(&str, &[&str]); 10] = [
    ("schemas", &[]),
    ("id", &[]),
    ("externalId", &[]),
    ("userName", &[]),
    ("displayName", &[]),
    ("active", &[]),
    ("name", &["formatted"]),
    ("emails", &["value", "type", "primary"]),
    ("roles", &["value"]),
    ("meta", &["resourceType", "created", "lastModified", "location", "version"]),
];

/// What RFC 7643 section 4.1 has beside these. Identity providers send them unasked; they are not
/// kept.
const NOT_KEPT: [&str; 15] = [
    "nickName",
    "profileUrl",
    "title",
    "userType",
    "preferredLanguage",
    "locale",
    "timezone",
    "password",
    "phoneNumbers",
    "ims",
    "photos",
    "addresses",
    "groups",
    "entitlements",
    "x509Certificates",
];
const NAME_NOT_KEPT: [&str; 5] =
    ["givenName", "familyName", "middleName", "honorificPrefix", "honorificSuffix"];
const VALUE_NOT_KEPT: [&str; 4] = ["type", "display", "primary", "$ref"];

/// Longest unknown name that an error repeats: no secret is so short.
const TOLD_BYTES_MAX: usize = 32;

/// Says that there is no such attribute. What is no plain name is not repeated, since whoever puts
/// something in the wrong place may put a secret there.
pub(crate) fn unknown(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:_$-".contains(&byte);
    if (1..=TOLD_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain) {
        format!("there is no attribute `{text}`")
    } else {
        "there is no attribute of that name".to_owned()
    }
}

/// An attribute, or one of its parts. The names are spelled as the schema spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    pub(crate) part: Option<&'static str>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// An attribute that is kept or told.
    Known(Attribute),
    /// One of the standard or of an extension that is not kept.
    NotKept,
    /// Nothing.
    Unknown,
}

/// Reads a name.
pub(crate) fn named(text: &str) -> Named {
    let text = match text.get(..USER_SCHEMA.len()) {
        Some(schema) if schema.eq_ignore_ascii_case(USER_SCHEMA) => {
            match text[USER_SCHEMA.len()..].strip_prefix(':') {
                Some(rest) => rest,
                None => return Named::Unknown,
            }
        }
        Some(_) | None => text,
    };
    if text.get(..4).is_some_and(|urn| urn.eq_ignore_ascii_case("urn:")) {
        return Named::NotKept;
    }
    let (name, part) = match text.split_once('.') {
        Some((name, part)) => (name, Some(part)),
        None => (text, None),
    };
    let same = |known: &&&str| known.eq_ignore_ascii_case(name);
    if NOT_KEPT.iter().any(|known| same(&known)) {
        return Named::NotKept;
    }
    let Some((name, parts)) = ATTRIBUTES.iter().find(|(known, _)| same(&known)) else {
        return Named::Unknown;
    };
    let Some(part) = part else { return Named::Known(Attribute { name, part: None }) };
    if let Some(known) = part_of(parts, part) {
        return Named::Known(Attribute { name, part: Some(known) });
    }
    let others: &[&str] = match *name {
        "name" => &NAME_NOT_KEPT,
        "emails" | "roles" => &VALUE_NOT_KEPT,
        _ => &[],
    };
    if part_of(others, part).is_some() { Named::NotKept } else { Named::Unknown }
}

fn part_of(parts: &[&'static str], text: &str) -> Option<&'static str> {
    parts.iter().find(|part| part.eq_ignore_ascii_case(text)).copied()
}

/// A part of an attribute by its own name, as it stands in the brackets of a value filter.
pub(crate) fn within(name: &str, text: &str) -> Option<Attribute> {
    let (_, parts) = ATTRIBUTES.iter().find(|(known, _)| *known == name)?;
    part_of(parts, text).map(|part| Attribute { name: part, part: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_repeated_if_it_is_one() {
        assert_eq!(unknown("colour.x"), "there is no attribute `colour.x`");
        for hidden in ["", "a b", "emails[value eq \"x\"]", &"a".repeat(TOLD_BYTES_MAX + 1)] {
            assert_eq!(unknown(hidden), "there is no attribute of that name", "{hidden}");
        }
    }

    #[test]
    fn names_are_read_without_case_and_with_their_schema() {
        let known = |name, part| Named::Known(Attribute { name, part });
        assert_eq!(named("USERNAME"), known("userName", None));
        assert_eq!(named("emails.Value"), known("emails", Some("value")));
        assert_eq!(
            named(&format!("{USER_SCHEMA}:name.formatted")),
            known("name", Some("formatted"))
        );
        assert_eq!(named("urn:example:x"), Named::NotKept);
        assert_eq!(named("name.givenName"), Named::NotKept);
        assert_eq!(named("title"), Named::NotKept);
        for unknown in ["", "x", "emails.x", "emails.value.x", "userName.x", USER_SCHEMA] {
            assert_eq!(named(unknown), Named::Unknown, "{unknown}");
        }
    }
}
