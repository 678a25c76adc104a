//! Words that people choose: names, e-mail addresses, reasons.
//!
//! Any character that is shown is allowed, markup included: who shows it escapes it. Control
//! characters are not, so nothing breaks a line of a log, a mail header or a terminal.

use super::Refusal;
use crate::org::{EMAIL_BYTES_MAX, EXTERNAL_ID_CHARS_MAX, NAME_CHARS_MAX, REASON_CHARS_MAX};

/// Accepts the name of an organization, a user or a token.
pub fn name(field: &str, text: &str) -> Result<String, Refusal> {
    let fits = text.chars().take(NAME_CHARS_MAX + 1).count() <= NAME_CHARS_MAX;
    if !fits || text.trim().is_empty() || text.chars().any(char::is_control) {
        let message =
            format!("expected 1 to {NAME_CHARS_MAX} characters, not all blank, none of control");
        return Err(Refusal::invalid(field, message));
    }
    Ok(text.to_owned())
}

/// Accepts an e-mail address: the addr-spec of RFC 5322 without quoting, comments or folding.
pub fn email(field: &str, text: &str) -> Result<String, Refusal> {
    let refusal = || {
        let message = format!(
            "expected an e-mail address, such as ada@example.com, of at most {EMAIL_BYTES_MAX} bytes"
        );
        Refusal::invalid(field, message)
    };
    if text.len() > EMAIL_BYTES_MAX {
        return Err(refusal());
    }
    let (local, domain) = text.split_once('@').ok_or_else(refusal)?;
    let plain = |char: char| {
        !char.is_control() && !char.is_whitespace() && !r#"@<>()[],;:\""#.contains(char)
    };
    let part = |text: &str| !text.is_empty() && text.chars().all(plain);
    let dots = |text: &str| text.starts_with('.') || text.ends_with('.') || text.contains("..");
    if !part(local) || !part(domain) || dots(local) || dots(domain) {
        return Err(refusal());
    }
    Ok(text.to_owned())
}

/// Accepts what an identity provider calls a user.
pub fn external_id(field: &str, text: &str) -> Result<String, Refusal> {
    let fits = text.chars().take(EXTERNAL_ID_CHARS_MAX + 1).count() <= EXTERNAL_ID_CHARS_MAX;
    if !fits || text.is_empty() || text.chars().any(char::is_control) {
        let message = format!("expected 1 to {EXTERNAL_ID_CHARS_MAX} characters, none of control");
        return Err(Refusal::invalid(field, message));
    }
    Ok(text.to_owned())
}

/// Accepts the reason of a change; an empty one is none.
pub fn reason(field: &str, text: Option<&str>) -> Result<Option<String>, Refusal> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    let fits = text.chars().take(REASON_CHARS_MAX + 1).count() <= REASON_CHARS_MAX;
    if !fits || text.chars().any(|char| char.is_control() && char != '\n') {
        let message = format!(
            "expected at most {REASON_CHARS_MAX} characters, none of control except line breaks"
        );
        return Err(Refusal::invalid(field, message));
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_1_to_64_characters() {
        for good in ["a", "x y", "<b>ü</b>", &"ß".repeat(64)] {
            assert_eq!(name("name", good).as_deref(), Ok(good));
        }
        for bad in ["", " ", "a\nb", "\u{7f}", &"ß".repeat(65)] {
            assert!(name("name", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_have_two_plain_sides() {
        for good in ["a@b", "ada+x@example.com", "jürgen@exämple.de"] {
            assert_eq!(email("email", good).as_deref(), Ok(good));
        }
        let long = format!("{}@example.com", "a".repeat(EMAIL_BYTES_MAX));
        let bad = ["", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\r\nBcc: c@d", "A <a@b>", "a@.b"];
        for bad in bad.into_iter().chain([long.as_str()]) {
            assert!(email("email", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_blank_reason_is_none() {
        assert_eq!(reason("reason", None), Ok(None));
        assert_eq!(reason("reason", Some("  ")), Ok(None));
        assert_eq!(reason("reason", Some("left\nus")), Ok(Some("left\nus".into())));
        assert!(reason("reason", Some("a\u{1b}[2J")).is_err());
        assert!(reason("reason", Some(&"x".repeat(500))).is_ok());
        assert!(reason("reason", Some(&"x".repeat(501))).is_err());
    }
}
