//! The tokens of an organization as lines of text: CSV (RFC 4180), or JSON with an object a line.
//!
//! Both forms have the same columns, all of them optional to leave out or empty. What is written can
//! be read back as it was, with one exception that is wanted: secrets are never written.
//!
//! **Formulas.** Spreadsheets take a cell that begins with `=`, `+`, `-` or `@` for one, whatever is
//! quoted. In CSV such a text gets an apostrophe before it, and so does one that begins with an
//! apostrophe itself; reading takes exactly these off again. Secrets and digests are read as they are.

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

mod csv;
mod row;

pub use csv::is_whole;
pub use row::Row;

/// Longest line, or record of CSV whose fields hold line breaks, in bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A header, then a record for each token.
    Csv,
    /// A JSON object for each token.
    Jsonl,
}

macro_rules! columns {
    ($($(#[$doc:meta])* $column:ident = $name:literal,)+) => {
        /// What a line can say of a token.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Column { $($(#[$doc])* $column,)+ }

        impl Column {
            /// All columns, in the order in which they are written.
            pub const ALL: &'static [Self] = &[$(Self::$column,)+];

            /// The column's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$column => $name,)+ }
            }
        }
    };
}

columns! {
    /// Identity of the token.
    Id = "id",
    /// Its name.
    Name = "name",
    /// E-mail address of its owner.
    Owner = "owner",
    /// The owner's name.
    OwnerName = "owner_name",
    /// The owner's roles, as [`Column::Scope`] is written.
    OwnerRoles = "owner_roles",
    /// The roles that it carries, with single spaces between them.
    Scope = "scope",
    /// When it was made.
    CreatedAt = "created_at",
    /// When its present life began.
    IssuedAt = "issued_at",
    /// When its life ends.
    ExpiresAt = "expires_at",
    /// `activated`, `deactivated` or `revoked`.
    Status = "status",
    /// When the status was changed.
    StatusAt = "status_at",
    /// Who changed it: identity of a user.
    StatusBy = "status_by",
    /// Why.
    StatusReason = "status_reason",
    /// `true` if that was the decision of an owner of the organization.
    StatusGoverned = "status_governed",
    /// When it was last used.
    LastUsedAt = "last_used_at",
    /// How often it was used.
    UseCount = "use_count",
    /// Who made it: identity of a user.
    CreatedBy = "created_by",
    /// The token that it was made with.
    MintedBy = "minted_by",
    /// The violations that are ignored, as JSON.
    Ignores = "ignores",
    /// SHA-256 of its secret: 64 hexadecimal digits, or base64.
    Digest = "digest",
    /// Its secret. Only ever read.
    Secret = "secret",
}

impl Column {
    /// The column of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|column| column.name() == name)
    }

    /// Whether a spreadsheet may take its texts for formulas.
    const fn is_guarded(self) -> bool {
        !matches!(self, Self::Digest | Self::Secret)
    }
}

/// Why a line cannot be read. Says nothing of what stands in it, which may be a secret in the wrong
/// place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenLine {
    /// It is no text.
    #[error("it is not UTF-8")]
    NotText,
    /// Quotes.
    #[error("a quote stands where none can, or is not closed")]
    Quotes,
    /// Its fields do not match the header.
    #[error("it has {found} fields, and the header has {expected}")]
    Fields {
        /// As the header has.
        expected: usize,
        /// As the line has.
        found: usize,
    },
    /// It is no JSON object as it has to be.
    #[error("{0}")]
    Json(String),
}

/// Why a header cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenHeader {
    /// It cannot be read.
    #[error("the header cannot be read: {0}")]
    Line(#[from] BrokenLine),
    /// A column is none of ours.
    #[error("column {0} of the header is none of: {names}", names = names())]
    Unknown(usize),
    /// A column is there twice.
    #[error("the header has the column `{0}` twice")]
    Twice(&'static str),
}

fn names() -> String {
    Column::ALL.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ")
}

/// What a line says, column by column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line<'a> {
    values: [Option<Cow<'a, str>>; Column::ALL.len()],
}

impl<'a> Line<'a> {
    /// What stands in a column, unless nothing does.
    #[must_use]
    pub fn get(&self, column: Column) -> Option<&str> {
        self.values[column as usize].as_deref().filter(|text| !text.is_empty())
    }

    /// The line with a text in a column.
    #[must_use]
    pub fn with(mut self, column: Column, text: impl Into<Cow<'a, str>>) -> Self {
        self.values[column as usize] = Some(text.into());
        self
    }

    /// Reads a line of JSON.
    pub fn from_json(line: &'a str) -> Result<Self, BrokenLine> {
        // Of what is no object the reader would tell the value.
        if !line.trim_start().starts_with('{') {
            return Err(BrokenLine::Json("expected a JSON object".to_owned()));
        }
        serde_json::from_str(line).map_err(|error| {
            let text = error.to_string();
            // All of it is on line 1.
            BrokenLine::Json(text.replace(" at line 1 column ", " at character "))
        })
    }
}

impl<'de> Deserialize<'de> for Line<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<'a>(Line<'a>);

        impl<'de, 'a> Visitor<'de> for Fields<'a> {
            type Value = Line<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Line<'a>, A::Error> {
                while let Some(key) = map.next_key::<String>()? {
                    let column = Column::of(&key)
                        .ok_or_else(|| de::Error::custom("a field has no name of ours"))?;
                    let slot = &mut self.0.values[column as usize];
                    if slot.is_some() {
                        let twice = format!("the field `{}` is there twice", column.name());
                        return Err(de::Error::custom(twice));
                    }
                    let text = text(column, map.next_value()?);
                    let text = text.ok_or_else(|| {
                        de::Error::custom(format!("the field `{}` is no text", column.name()))
                    })?;
                    *slot = Some(text.into());
                }
                Ok(self.0)
            }
        }

        deserializer.deserialize_map(Fields(Line::default()))
    }
}

/// A JSON value as the text that CSV has for it.
fn text(column: Column, value: Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(roles) if matches!(column, Column::Scope | Column::OwnerRoles) => {
            let roles: Option<Vec<&str>> = roles.iter().map(Value::as_str).collect();
            Some(roles?.join(" "))
        }
        Value::Object(_) if column == Column::Ignores => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// The columns of a file of CSV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header(Vec<Column>);

impl Header {
    /// Reads the first record of a file.
    pub fn read(record: &str) -> Result<Self, BrokenHeader> {
        // What some spreadsheets put first.
        let record = record.strip_prefix('\u{feff}').unwrap_or(record);
        let mut columns = Vec::new();
        for (at, name) in csv::fields(record)?.iter().enumerate() {
            let column = Column::of(name.trim()).ok_or(BrokenHeader::Unknown(at + 1))?;
            if columns.contains(&column) {
                return Err(BrokenHeader::Twice(column.name()));
            }
            columns.push(column);
        }
        Ok(Self(columns))
    }

    /// Reads another record.
    pub fn line<'a>(&self, record: &'a str) -> Result<Line<'a>, BrokenLine> {
        let fields = csv::fields(record)?;
        if fields.len() != self.0.len() {
            return Err(BrokenLine::Fields { expected: self.0.len(), found: fields.len() });
        }
        let mut line = Line::default();
        for (column, field) in self.0.iter().zip(fields) {
            let field = if column.is_guarded() { csv::unguarded(field) } else { field };
            line.values[*column as usize] = Some(field);
        }
        Ok(line)
    }
}

/// What stands before the first token.
pub fn begin(format: Format, digests: bool, out: &mut Vec<u8>) {
    if format == Format::Csv {
        let names = written(digests).map(|column| Cow::Borrowed(column.name()));
        csv::write(names, out);
    }
}

/// Writes a line.
pub fn write(line: &Line<'_>, format: Format, digests: bool, out: &mut Vec<u8>) {
    match format {
        Format::Csv => {
            let fields = written(digests).map(|column| {
                let text = line.get(column).unwrap_or_default();
                if column.is_guarded() { csv::guarded(text) } else { Cow::Borrowed(text) }
            });
            csv::write(fields, out);
        }
        Format::Jsonl => {
            let fields = written(digests).filter_map(|column| {
                Some((column.name().to_owned(), json(column, line.get(column)?)))
            });
            let object: Map<String, Value> = fields.collect();
            out.extend_from_slice(Value::Object(object).to_string().as_bytes());
            out.push(b'\n');
        }
    }
}

fn written(digests: bool) -> impl Iterator<Item = Column> {
    let is_written =
        move |column| column != Column::Secret && (digests || column != Column::Digest);
    Column::ALL.iter().copied().filter(move |&column| is_written(column))
}

/// A text as the JSON value that people expect in its column.
fn json(column: Column, text: &str) -> Value {
    let is_json = matches!(column, Column::UseCount | Column::StatusGoverned | Column::Ignores);
    let read = is_json.then(|| serde_json::from_str(text).ok()).flatten();
    read.unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests;
