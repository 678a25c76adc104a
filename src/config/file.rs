//! The configuration as it was typed: a TOML document that is read key by key.
//!
//! Derived deserialization stops at the first error. Here every value is asked for by name, says
//! itself what is wrong with it, and the reading goes on; a key that nobody asked for is an error
//! too, so the keys that exist are written down once, where they are read.

use super::error::{Report, suggestion};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Largest file that is read, in bytes; also for a secret in a file of its own.
pub(super) const FILE_BYTES_MAX: u64 = 4 << 20;
/// Longest part of a value that an error repeats, in characters.
const QUOTED_CHARS_MAX: usize = 60;

/// Where secrets and relative paths come from.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'s> {
    /// The directory that relative paths begin at.
    pub(super) base_dir: &'s Path,
    /// The environment.
    pub(super) env: &'s dyn Fn(&str) -> Option<String>,
}

/// Parses the text. Syntax errors are reported, and what can be read is still handed on.
pub(super) fn parse<'t>(text: &'t str, report: &Report<'t>) -> Spanned<DeTable<'t>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        // Not the error's own text: that quotes the line, and a secret may have been put there.
        report.add_syntax(&error.span().unwrap_or(0..0), error.message());
    }
    document
}

/// A table that is being read.
pub(super) struct Table<'a> {
    report: &'a Report<'a>,
    /// None for a section that is not there, which is as good as an empty one.
    fields: Option<&'a DeTable<'a>>,
    key: String,
    span: Range<usize>,
    asked: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// The whole document.
    pub(super) fn root(document: &'a Spanned<DeTable<'a>>, report: &'a Report<'a>) -> Self {
        let fields = Some(document.get_ref());
        Self { report, fields, key: String::new(), span: 0..0, asked: Vec::new() }
    }

    /// The value of a key, if it is there.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Entry<'a>> {
        self.asked.push(name);
        let value = self.fields?.get(name)?;
        Some(Entry { report: self.report, key: self.key_of(name), value })
    }

    /// The value of a key that must be there.
    pub(super) fn required(&mut self, name: &'static str) -> Option<Entry<'a>> {
        let entry = self.take(name);
        if entry.is_none() {
            self.lacks(format!("needs `{name}`"));
        }
        entry
    }

    /// A table of known keys; an empty one where there is none.
    pub(super) fn section(&mut self, name: &'static str) -> Self {
        self.take(name).and_then(|entry| entry.table()).unwrap_or_else(|| Self {
            report: self.report,
            fields: None,
            key: self.key_of(name),
            span: self.span.clone(),
            asked: Vec::new(),
        })
    }

    /// A table whose keys are names that the user chose, in the order of the file.
    pub(super) fn named_tables(&mut self, name: &'static str) -> Vec<(Named<'a>, Table<'a>)> {
        let section = self.section(name);
        let mut fields: Vec<_> = section.fields.into_iter().flat_map(|map| map.iter()).collect();
        fields.sort_by_key(|(name, _)| name.span().start);
        fields
            .into_iter()
            .filter_map(|(name, value)| {
                let key = section.key_of(name.get_ref());
                let entry = Entry { report: section.report, key: key.clone(), value };
                let text = name.get_ref().as_ref();
                let named = Named { report: section.report, key, text, span: name.span() };
                Some((named, entry.table()?))
            })
            .collect()
    }

    /// The values of keys that the user chose, in the order of the file.
    pub(super) fn every<T>(self, read: impl Fn(&Entry<'a>) -> Option<T>) -> Vec<(String, T)> {
        let mut fields: Vec<_> = self.fields.into_iter().flat_map(|map| map.iter()).collect();
        fields.sort_by_key(|(name, _)| name.span().start);
        fields
            .into_iter()
            .filter_map(|(name, value)| {
                let key = self.key_of(name.get_ref());
                let entry = Entry { report: self.report, key, value };
                Some((name.get_ref().clone().into_owned(), read(&entry)?))
            })
            .collect()
    }

    /// Whether nothing stands in it.
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_none_or(toml::map::Map::is_empty)
    }

    /// Reports that something is not there. Where the syntax is broken it may well be there, and
    /// nothing is said.
    pub(super) fn lacks(&self, message: impl Into<String>) {
        if self.report.is_readable() {
            self.report.add(&self.span, &self.key, message);
        }
    }

    /// Ends the reading: keys that were not asked for are errors.
    pub(super) fn finish(self) {
        for name in self.fields.into_iter().flat_map(|fields| fields.keys()) {
            let written = name.get_ref().as_ref();
            if !self.asked.contains(&written) {
                let hint = suggestion(written, self.asked.iter().copied());
                let message = format!("is not a key that exists here{hint}");
                self.report.add(&name.span(), &self.key_of(written), message);
            }
        }
    }

    fn key_of(&self, name: &str) -> String {
        let name = if name.is_empty() || name.contains(|c: char| !is_bare(c)) {
            format!("{:?}", shortened(name))
        } else {
            name.to_owned()
        };
        if self.key.is_empty() { name } else { format!("{}.{name}", self.key) }
    }
}

/// A key that is a name of the user's own.
pub(super) struct Named<'a> {
    report: &'a Report<'a>,
    key: String,
    text: &'a str,
    span: Range<usize>,
}

impl Named<'_> {
    /// The name as a value.
    pub(super) fn parse<T: FromStr<Err: std::fmt::Display>>(&self) -> Option<T> {
        self.text
            .parse()
            .map_err(|error| {
                let message = format!("{} is not a name: {error}", quoted(self.text));
                self.report.add(&self.span, &self.key, message);
            })
            .ok()
    }
}

/// A value that is being read.
pub(super) struct Entry<'a> {
    report: &'a Report<'a>,
    key: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Entry<'a> {
    /// Reports an error about the value.
    pub(super) fn error(&self, message: impl Into<String>) {
        self.report.add(&self.value.span(), &self.key, message);
    }

    /// Reports that the value names something that is not there. Where the syntax is broken it may
    /// well be there, and nothing is said.
    pub(super) fn dangling(&self, message: impl Into<String>) {
        if self.report.is_readable() {
            self.error(message);
        }
    }

    /// Text.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.typed("text in quotes", self.value.get_ref().as_str())
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Option<bool> {
        self.typed("true or false", self.value.get_ref().as_bool())
    }

    /// Text that `read` can turn into a value; it says what would be right.
    pub(super) fn read<T>(&self, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text()?;
        read(text).map_err(|reason| self.error(format!("{} {reason}", quoted(text)))).ok()
    }

    /// Text that is a name.
    pub(super) fn name<T: FromStr<Err: std::fmt::Display>>(&self) -> Option<T> {
        self.read(|text| text.parse().map_err(|error| format!("is not a name: {error}")))
    }

    /// A whole number within `range`.
    pub(super) fn integer(&self, range: &RangeInclusive<u64>) -> Option<u64> {
        let written = self.typed("a whole number", self.value.get_ref().as_integer())?;
        let number = i128::from_str_radix(written.as_str(), written.radix()).ok();
        let number = number.and_then(|number| u64::try_from(number).ok());
        let within = number.filter(|number| range.contains(number));
        if within.is_none() {
            let (low, high) = (range.start(), range.end());
            self.error(format!("{written} is out of range: {low} to {high}"));
        }
        within
    }

    /// A whole number within `range` that counts something in memory.
    pub(super) fn count(&self, range: &RangeInclusive<u64>) -> Option<usize> {
        usize::try_from(self.integer(range)?).ok()
    }

    /// A duration within `range`.
    pub(super) fn duration(&self, range: &RangeInclusive<Duration>) -> Option<Duration> {
        let (low, high) = (range.start(), range.end());
        self.read(|text| {
            let duration = super::resolve::value::duration(text)?;
            if range.contains(&duration) {
                Ok(duration)
            } else {
                Err(format!("is out of range: {low:?} to {}s", high.as_secs()))
            }
        })
    }

    /// A list's elements.
    pub(super) fn list(&self) -> Option<Vec<Entry<'a>>> {
        let elements = self.typed("a list in brackets", self.value.get_ref().as_array())?;
        let entry = |(at, value): (usize, &'a Spanned<DeValue<'a>>)| Entry {
            report: self.report,
            key: format!("{}[{at}]", self.key),
            value,
        };
        Some(elements.iter().enumerate().map(entry).collect())
    }

    /// A list of different values, each read by `read`.
    pub(super) fn distinct<T: PartialEq>(
        &self,
        mut read: impl FnMut(&Entry<'a>) -> Option<T>,
    ) -> Vec<T> {
        let mut seen = Vec::new();
        for entry in self.list().unwrap_or_default() {
            match read(&entry) {
                Some(value) if seen.contains(&value) => entry.error("stands in this list twice"),
                Some(value) => seen.push(value),
                None => {}
            }
        }
        seen
    }

    /// The same of a list that must not be empty; `when_empty` is the error if it is.
    pub(super) fn distinct_some<T: PartialEq>(
        &self,
        when_empty: &str,
        read: impl FnMut(&Entry<'a>) -> Option<T>,
    ) -> Vec<T> {
        if self.value.get_ref().as_array().is_some_and(|list| list.is_empty()) {
            self.error(when_empty);
        }
        self.distinct(read)
    }

    /// A table of known keys.
    pub(super) fn table(&self) -> Option<Table<'a>> {
        let fields = self.typed("a table", self.value.get_ref().as_table())?;
        Some(Table {
            report: self.report,
            fields: Some(fields),
            key: self.key.clone(),
            span: self.value.span(),
            asked: Vec::new(),
        })
    }

    /// Whether the value is text (where it may be something else as well).
    pub(super) fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    /// Whether the value is a table (where it may be something else as well).
    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// A path, relative ones beginning at the configuration's directory.
    pub(super) fn path(&self, surroundings: Surroundings<'_>) -> Option<PathBuf> {
        let text = self.text()?;
        if text.is_empty() || text.contains('\0') {
            self.error("expected a path");
            return None;
        }
        Some(surroundings.base_dir.join(text))
    }

    /// A secret and where it came from: `{ env = "NAME" }` or `{ file = "PATH" }`. No error
    /// repeats any of it, not even of one that stands where it should not.
    pub(super) fn secret(&self, surroundings: Surroundings<'_>) -> Option<Secret> {
        if !self.is_table() {
            self.error(
                "is a secret, which is never written here: use { env = \"NAME\" } or \
                 { file = \"PATH\" }",
            );
            return None;
        }
        let mut table = self.table()?;
        let (env, file) = (table.take("env"), table.take("file"));
        let secret = match (&env, &file) {
            (Some(entry), None) => from_env(entry, surroundings),
            (None, Some(entry)) => from_file(entry, surroundings),
            (None, None) | (Some(_), Some(_)) => {
                self.error("expected either { env = \"NAME\" } or { file = \"PATH\" }");
                None
            }
        };
        table.finish();
        secret
    }

    fn typed<T>(&self, expected: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            let found = match self.value.get_ref() {
                DeValue::String(_) => "text",
                DeValue::Integer(_) => "a whole number",
                DeValue::Float(_) => "a number with a fraction",
                DeValue::Boolean(_) => "true or false",
                DeValue::Datetime(_) => "a date or time",
                DeValue::Array(_) => "a list",
                DeValue::Table(_) => "a table",
            };
            self.error(format!("expected {expected}, found {found}"));
        }
        value
    }
}

/// A secret that was read. It has no `Debug`, and its memory is wiped when it goes.
pub(super) struct Secret {
    /// The secret itself.
    pub(super) value: zeroize::Zeroizing<String>,
    /// Where it came from, for an error about it.
    pub(super) source: String,
}

fn from_env(entry: &Entry<'_>, surroundings: Surroundings<'_>) -> Option<Secret> {
    let name = entry.text()?;
    let source = format!("the environment variable {}", quoted(name));
    match (surroundings.env)(name).map(zeroize::Zeroizing::new) {
        Some(value) if !value.is_empty() => Some(Secret { value, source }),
        Some(_) => {
            entry.error(format!("{source} is empty"));
            None
        }
        None => {
            entry.error(format!("{source} is not set, or is not text"));
            None
        }
    }
}

fn from_file(entry: &Entry<'_>, surroundings: Surroundings<'_>) -> Option<Secret> {
    let path = entry.path(surroundings)?;
    let source = format!("the file {}", path.display());
    match read_limited(&path).map(zeroize::Zeroizing::new) {
        Ok(text) => {
            let value = text.strip_suffix('\n').unwrap_or(&text);
            let value = value.strip_suffix('\r').unwrap_or(value);
            if value.is_empty() {
                entry.error(format!("{source} is empty"));
                return None;
            }
            Some(Secret { value: value.to_owned().into(), source })
        }
        Err(error) => {
            entry.error(format!("cannot read {source}: {error}"));
            None
        }
    }
}

/// Reads a text file of at most [`FILE_BYTES_MAX`].
pub(super) fn read_limited(path: &Path) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind, Read};
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| {
        let not_text = error.kind() == ErrorKind::InvalidData;
        if not_text { Error::new(ErrorKind::InvalidData, "it is not UTF-8 text") } else { error }
    })?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let message = format!("it is larger than {FILE_BYTES_MAX} bytes");
        return Err(Error::new(ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

const fn is_bare(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-')
}

/// A piece of the user's text as errors repeat it: in backticks, shortened, control characters
/// escaped.
pub(super) fn quoted(text: &str) -> String {
    let escaped: String = shortened(text).chars().flat_map(char::escape_debug).collect();
    format!("`{}`", escaped.replace("\\\"", "\"").replace("\\'", "'"))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
