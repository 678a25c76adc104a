//! What mails look like: plain text with names in double braces, and nothing that is executed.
//!
//! A template is a text for people and one in HTML. `{{name}}` stands for a value ([`FIELDS`]); a
//! line in which a value is missing is left out, and a line with `{{detail.field}}` or
//! `{{detail.text}}` stands once for each detail. In HTML every value is escaped. The text begins
//! with a line `Subject: ...` and an empty one.

use super::{About, Kind};
use std::collections::HashMap;
use std::fmt;

/// The values that a template may name.
pub const FIELDS: [&str; 12] = [
    "at",
    "by",
    "detail.field",
    "detail.text",
    "headline",
    "id",
    "kind",
    "name",
    "notice",
    "organization",
    "reason",
    "recipient",
];
/// Largest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 64 * 1024;

const DEFAULT_TEXT: &str = include_str!("../../config/templates/default.txt");
const DEFAULT_HTML: &str = include_str!("../../config/templates/default.html");

/// Why a file is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Its name says nothing.
    #[error(
        "is the name of no template: expected default.txt, default.html, or a kind of notice with .txt or .html, such as token.deactivated.txt"
    )]
    Name,
    /// It is too large.
    #[error("is larger than {TEMPLATE_BYTES_MAX} bytes")]
    Large,
    /// It has no subject.
    #[error("begins with a line `Subject: ...` and an empty line after it")]
    Subject,
    /// It names something that is no value.
    #[error("line {line}: `{{{{{name}}}}}` is no value; known here: {}", FIELDS.join(", "))]
    Field {
        /// Where, from 1.
        line: usize,
        /// What it names.
        name: String,
    },
    /// Braces that do not end.
    #[error("line {line}: `{{{{` without `}}}}`")]
    Open {
        /// Where, from 1.
        line: usize,
    },
}

/// The templates of all kinds.
#[derive(Clone, PartialEq, Eq)]
pub struct Templates {
    default: Pair,
    own: HashMap<Kind, Pair>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Pair {
    text: Option<Template>,
    html: Option<Template>,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Templates").field("own", &self.own.len()).finish_non_exhaustive()
    }
}

impl Default for Templates {
    /// Those that are built in, which a test holds to be good.
    fn default() -> Self {
        let default = Pair {
            text: Template::parse(DEFAULT_TEXT, Escape::None).ok(),
            html: Template::parse(DEFAULT_HTML, Escape::Html).ok(),
        };
        Self { default, own: HashMap::new() }
    }
}

impl Templates {
    /// Puts a file in the place of what is built in.
    pub fn replace(&mut self, file: &str, text: &str) -> Result<(), Unusable> {
        let (stem, escape) = match (file.strip_suffix(".txt"), file.strip_suffix(".html")) {
            (Some(stem), _) => (stem, Escape::None),
            (_, Some(stem)) => (stem, Escape::Html),
            (None, None) => return Err(Unusable::Name),
        };
        let template = Template::parse(text, escape)?;
        let pair = match (stem, Kind::named(stem)) {
            ("default", _) => &mut self.default,
            (_, Some(kind)) => self.own.entry(kind).or_default(),
            (_, None) => return Err(Unusable::Name),
        };
        match escape {
            Escape::None => pair.text = Some(template),
            Escape::Html => pair.html = Some(template),
        }
        Ok(())
    }

    /// The mail that tells these values.
    #[must_use]
    pub fn mail(&self, kind: Kind, values: &Values) -> Mail {
        let own = self.own.get(&kind);
        let text = own.and_then(|own| own.text.as_ref()).or(self.default.text.as_ref());
        let html = own.and_then(|own| own.html.as_ref()).or(self.default.html.as_ref());
        let text = text.map(|text| text.fill(values)).unwrap_or_default();
        let html = html.map(|html| html.fill(values)).unwrap_or_default();
        // The first line was found to be the subject; where a value is missing in it, it is gone.
        let (subject, text) =
            match text.strip_prefix(SUBJECT).and_then(|text| text.split_once('\n')) {
                Some((subject, text)) => (subject.trim().to_owned(), text.to_owned()),
                None => (values.text("headline").unwrap_or_default().to_owned(), text),
            };
        Mail { subject, text: text.trim_start().to_owned(), html }
    }
}

/// A mail's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// One line.
    pub subject: String,
    /// For people.
    pub text: String,
    /// The same in HTML.
    pub html: String,
}

/// What a template is filled with. Control characters become spaces, so no value forges a line.
#[derive(Clone, Debug, Default)]
pub struct Values {
    fields: HashMap<&'static str, String>,
    details: Vec<(String, String)>,
}

impl Values {
    /// Sets a value; an empty one is as good as none.
    pub fn set(&mut self, field: &'static str, value: impl AsRef<str>) {
        debug_assert!(FIELDS.contains(&field), "{field} is no value");
        let value = plain(value.as_ref());
        if !value.is_empty() {
            self.fields.insert(field, value);
        }
    }

    /// Adds a detail.
    pub fn detail(&mut self, field: &str, text: &str) {
        self.details.push((plain(field), plain(text)));
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }
}

fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

const SUBJECT: &str = "Subject: ";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Html,
}

#[derive(Clone, PartialEq, Eq)]
struct Template {
    escape: Escape,
    lines: Vec<Line>,
}

#[derive(Clone, PartialEq, Eq)]
struct Line {
    pieces: Vec<Piece>,
    /// Whether it stands once for each detail.
    repeats: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(&'static str),
}

impl Template {
    fn parse(text: &str, escape: Escape) -> Result<Self, Unusable> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(Unusable::Large);
        }
        if escape == Escape::None {
            let mut lines = text.lines();
            let subject = lines.next().and_then(|line| line.strip_prefix(SUBJECT));
            let is_good = subject.is_some_and(|subject| !subject.trim().is_empty())
                && lines.next().is_none_or(|line| line.trim().is_empty());
            if !is_good {
                return Err(Unusable::Subject);
            }
        }
        let lines = text.lines().enumerate().map(|(at, line)| Line::parse(line, at + 1));
        Ok(Self { escape, lines: lines.collect::<Result<_, _>>()? })
    }

    fn fill(&self, values: &Values) -> String {
        let mut filled = String::new();
        for line in &self.lines {
            if line.repeats {
                for detail in &values.details {
                    line.fill(self.escape, values, Some(detail), &mut filled);
                }
            } else {
                line.fill(self.escape, values, None, &mut filled);
            }
        }
        filled
    }
}

impl Line {
    fn parse(text: &str, line: usize) -> Result<Self, Unusable> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or(Unusable::Open { line })?;
            let name = name.trim();
            let field = FIELDS.into_iter().find(|field| *field == name);
            let field = field.ok_or_else(|| Unusable::Field { line, name: name.to_owned() })?;
            pieces.extend([Piece::Text(before.to_owned()), Piece::Field(field)]);
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let repeats = pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Field(field) if field.starts_with("detail.")));
        Ok(Self { pieces, repeats })
    }

    fn fill(
        &self,
        escape: Escape,
        values: &Values,
        detail: Option<&(String, String)>,
        filled: &mut String,
    ) {
        let start = filled.len();
        for piece in &self.pieces {
            let value = match (piece, detail) {
                (Piece::Text(text), _) => {
                    filled.push_str(text);
                    continue;
                }
                (Piece::Field("detail.field"), Some((field, _))) => Some(field.as_str()),
                (Piece::Field("detail.text"), Some((_, text))) => Some(text.as_str()),
                (Piece::Field(field), _) => values.text(field),
            };
            let Some(value) = value else {
                filled.truncate(start);
                return;
            };
            match escape {
                Escape::None => filled.push_str(value),
                Escape::Html => push_escaped(filled, value),
            }
        }
        filled.push('\n');
    }
}

fn push_escaped(filled: &mut String, value: &str) {
    for char in value.chars() {
        match char {
            '&' => filled.push_str("&amp;"),
            '<' => filled.push_str("&lt;"),
            '>' => filled.push_str("&gt;"),
            '"' => filled.push_str("&quot;"),
            '\'' => filled.push_str("&#39;"),
            other => filled.push(other),
        }
    }
}

/// The sentence that a kind of notice begins with.
#[must_use]
pub fn headline(kind: Kind, about: &About) -> String {
    let name: &str = match about {
        About::Token(_, name) | About::User(_, name) => name,
        About::Organization => "",
    };
    match kind {
        Kind::Deactivated => format!("Your API token \"{name}\" was deactivated"),
        Kind::Reactivated => format!("Your API token \"{name}\" was activated again"),
        Kind::Created => format!("An API token of yours was created: \"{name}\""),
        Kind::Regenerated => format!("Your API token \"{name}\" has a new secret"),
        Kind::Revoked => format!("Your API token \"{name}\" was revoked"),
        Kind::NewViolations => "API tokens of yours break a policy".to_owned(),
        Kind::AboutToExpire => "API tokens of yours expire soon".to_owned(),
        Kind::Expired => "API tokens of yours have expired".to_owned(),
        Kind::EnforcementStep => {
            "API tokens of yours break a policy, and will be deactivated for it".to_owned()
        }
        Kind::SuccessorReady => {
            format!("What takes the place of your API token \"{name}\" is ready")
        }
        Kind::UserDeactivated => "You were deactivated, and your API tokens with you".to_owned(),
        Kind::Leaked => format!("The API token \"{name}\" has leaked"),
        Kind::Transferred => match about {
            About::User(..) => format!("The API tokens of \"{name}\" have another owner"),
            About::Token(..) | About::Organization => {
                format!("The API token \"{name}\" has another owner")
            }
        },
        Kind::UserActivated => "You were activated again, and your API tokens with you".to_owned(),
    }
}

#[cfg(test)]
mod tests;
