//! Words that people choose: names, e-mail addresses, reasons.
//!
//! Any character that is shown is allowed, markup included: who shows it escapes it. Control
//! characters are not, so nothing breaks a line of a log, a mail header or a terminal; nor are
//! characters that are not shown or turn the direction of text, so that two words that look alike
//! in a table or a mail are alike as far as that can be told.

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
    shown(field, text)?;
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
        !char.is_control()
            && !char.is_whitespace()
            && !is_joiner(char)
            && !r#"@<>()[],;:\""#.contains(char)
    };
    let part = |text: &str| !text.is_empty() && text.chars().all(plain);
    let dots = |text: &str| text.starts_with('.') || text.ends_with('.') || text.contains("..");
    if !part(local) || !part(domain) || dots(local) || dots(domain) {
        return Err(refusal());
    }
    shown(field, text)?;
    Ok(text.to_owned())
}

/// Accepts what an identity provider calls a user.
pub fn external_id(field: &str, text: &str) -> Result<String, Refusal> {
    let fits = text.chars().take(EXTERNAL_ID_CHARS_MAX + 1).count() <= EXTERNAL_ID_CHARS_MAX;
    if !fits || text.is_empty() || text.chars().any(char::is_control) {
        let message = format!("expected 1 to {EXTERNAL_ID_CHARS_MAX} characters, none of control");
        return Err(Refusal::invalid(field, message));
    }
    shown(field, text)?;
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
    shown(field, text)?;
    Ok(Some(text.to_owned()))
}

/// Refuses a text with characters that nobody sees, naming the first of them.
fn shown(field: &str, text: &str) -> Result<(), Refusal> {
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let joins = is_joiner(char) && joinable(before) && joinable(chars.peek().copied());
        if is_unseen(char) || (is_joiner(char) && !joins) {
            let code = u32::from(char);
            let message = format!(
                "has U+{code:04X}, which is not shown, or changes how the text around it is shown"
            );
            return Err(Refusal::invalid(field, message));
        }
        before = Some(char);
    }
    Ok(())
}

/// Formatting characters without a shape of their own: marks of direction, overrides and isolates,
/// spaces without width, separators of lines, fillers, tags, annotations.
const fn is_unseen(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// ZERO WIDTH NON-JOINER and JOINER: Persian and the scripts of India are spelt with them, and
/// pictures of families and professions are made with them.
const fn is_joiner(char: char) -> bool {
    matches!(char, '\u{200c}' | '\u{200d}')
}

/// Whether a joiner means something beside a character: in ASCII, beside blanks and at an end it
/// only hides.
fn joinable(char: Option<char>) -> bool {
    char.is_some_and(|char| !char.is_ascii() && !char.is_whitespace() && !is_joiner(char))
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
    fn what_is_not_shown_is_named_and_refused() {
        for good in [
            "Zoë Ångström",
            "e\u{301}tude",
            "ქართული",
            "שלום",
            "العربية",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "👩\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}\u{200d}🔥 CI",
        ] {
            assert_eq!(name("name", good).as_deref(), Ok(good));
            assert!(reason("reason", Some(good)).is_ok(), "{good}");
            assert!(external_id("external_id", good).is_ok(), "{good}");
        }
        for bad in [
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202b}',
            '\u{202c}',
            '\u{202d}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2067}',
            '\u{2068}',
            '\u{2069}',
            '\u{3164}',
            '\u{feff}',
            '\u{e0041}',
            '\u{200c}',
            '\u{200d}',
        ] {
            let text = format!("ad{bad}min");
            let code = format!("U+{:04X}", u32::from(bad));
            let told = format!("{:?}", name("name", &text).expect_err(&code));
            assert!(told.contains(&code), "{told}");
            assert!(reason("reason", Some(&text)).is_err(), "{code}");
            assert!(email("email", &format!("{text}@example.com")).is_err(), "{code}");
            let told = format!("{:?}", external_id("external_id", &text).expect_err(&code));
            assert!(told.contains(&code), "{told}");
        }
        for bad in ["\u{200d}👩", "👩\u{200d}", "👩\u{200d}\u{200d}👧", "می\u{200c} خواهم"]
        {
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
