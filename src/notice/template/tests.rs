use super::*;
use crate::id::TokenId;

fn values() -> Values {
    let mut values = Values::default();
    values.set("headline", "Your API token \"<ci>\" was deactivated");
    values.set("name", "<ci>");
    values.set("by", "Ann & Bob");
    values.set("kind", "token.deactivated");
    values.set("recipient", "Cy");
    values.set("organization", "Acme");
    values.detail("scope", "orders/reader");
    values.detail("expires_at", "2027-01-01T00:00:00.000Z");
    values
}

fn replaced(file: &str, text: &str) -> Result<Templates, Unusable> {
    let mut templates = Templates::default();
    templates.replace(file, text).map(|()| templates)
}

#[test]
fn what_is_built_in_is_good_for_every_kind() {
    let templates = Templates::default();
    assert!(templates.default.text.is_some() && templates.default.html.is_some());
    let about = About::Token(TokenId::from_bits(1), "ci".to_owned());
    for kind in Kind::ALL {
        let mut values = values();
        values.set("headline", headline(kind, &about));
        values.set("kind", kind.name());
        let mail = templates.mail(kind, &values);
        assert_eq!(mail.subject, headline(kind, &about));
        assert!(mail.text.starts_with(&mail.subject), "{}", mail.text);
        for part in [&mail.text, &mail.html] {
            assert!(part.contains(kind.name()) && part.contains("orders/reader"), "{part}");
            assert!(!part.contains("{{") && !part.contains("}}"), "{part}");
        }
    }
}

#[test]
fn a_line_without_its_value_is_left_out_and_details_repeat_theirs() {
    let text = "Subject: x\n\nBy {{by}} because {{reason}}\nBy {{ by }}\n- {{detail.field}}={{detail.text}} of {{name}}\nend\n";
    let mail = replaced("default.txt", text).unwrap().mail(Kind::Created, &values());
    let expected = "By Ann & Bob\n- scope=orders/reader of <ci>\n\
                    - expires_at=2027-01-01T00:00:00.000Z of <ci>\nend\n";
    assert_eq!((mail.subject.as_str(), mail.text.as_str()), ("x", expected));
}

#[test]
fn values_are_escaped_in_html_and_forge_no_line_anywhere() {
    let mut values = values();
    values.set("reason", "a\r\nBcc: evil@example.com\u{0}");
    let templates = replaced("default.txt", "Subject: {{reason}}\n\n{{reason}}\n").unwrap();
    let mail = templates.mail(Kind::Created, &values);
    assert_eq!(mail.subject, "a  Bcc: evil@example.com");
    assert_eq!(mail.text, "a  Bcc: evil@example.com \n");
    assert!(mail.html.contains("&lt;ci&gt;") && !mail.html.contains("<ci>"), "{}", mail.html);
    assert!(mail.html.contains("Ann &amp; Bob"));
    let mut quoted = String::new();
    push_escaped(&mut quoted, "\"'");
    assert_eq!(quoted, "&quot;&#39;");
}

#[test]
fn a_kinds_own_template_goes_before_the_default() {
    let templates = replaced("token.revoked.txt", "Subject: gone\n\nGone.\n").unwrap();
    assert_eq!(templates.mail(Kind::Revoked, &values()).text, "Gone.\n");
    assert!(templates.mail(Kind::Revoked, &values()).html.contains("<html"));
    assert_ne!(templates.mail(Kind::Created, &values()).text, "Gone.\n");
    let templates = replaced("token.revoked.html", "<b>{{name}}</b>").unwrap();
    assert_eq!(templates.mail(Kind::Revoked, &values()).html, "<b>&lt;ci&gt;</b>\n");
}

#[test]
fn what_is_no_template_says_why() {
    let why = |file: &str, text: &str| replaced(file, text).map(|_| ()).unwrap_err();
    assert_eq!(why("token.lost.txt", "Subject: x\n\n"), Unusable::Name);
    assert_eq!(why("README.md", "Subject: x\n\n"), Unusable::Name);
    for text in ["", "Hello\n\n", "Subject: \n\n", "Subject: x\nHello\n"] {
        assert_eq!(why("default.txt", text), Unusable::Subject, "{text}");
    }
    let field = Unusable::Field { line: 3, name: "secret".to_owned() };
    assert_eq!(why("default.txt", "Subject: x\n\n{{secret}}"), field);
    assert_eq!(why("default.html", "\n{{name"), Unusable::Open { line: 2 });
    assert_eq!(why("default.html", &"x".repeat(TEMPLATE_BYTES_MAX + 1)), Unusable::Large);
    assert!(field.to_string().contains("line 3: `{{secret}}` is no value"), "{field}");
}
