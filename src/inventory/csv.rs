//! Comma-separated values as RFC 4180 writes them.

use super::BrokenLine;
use std::borrow::Cow;

/// What a spreadsheet takes a formula to begin with, and our own mark.
const GUARDED: [char; 7] = ['=', '+', '-', '@', '\t', '\r', MARK];
const MARK: char = '\'';

/// Whether a record ends with the line break that it ends with: not if it stands between quotes.
#[must_use]
pub fn is_whole(record: &[u8]) -> bool {
    memchr::memchr_iter(b'"', record).count().is_multiple_of(2)
}

/// The fields of a record, with or without its line break.
pub(super) fn fields(record: &str) -> Result<Vec<Cow<'_, str>>, BrokenLine> {
    let record = record.strip_suffix('\n').unwrap_or(record);
    let mut rest = record.strip_suffix('\r').unwrap_or(record);
    let mut fields = Vec::new();
    loop {
        let (field, after) = field(rest)?;
        fields.push(field);
        match after.split_at_checked(1) {
            None => return Ok(fields),
            Some((_comma, after)) => rest = after,
        }
    }
}

/// The first field, and what is behind it: nothing, or a comma and more.
fn field(text: &str) -> Result<(Cow<'_, str>, &str), BrokenLine> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (field, after) = text.split_at(text.find(',').unwrap_or(text.len()));
        if field.contains('"') {
            return Err(BrokenLine::Quotes);
        }
        return Ok((Cow::Borrowed(field), after));
    };
    let mut from = 0;
    loop {
        let at = from + quoted[from..].find('"').ok_or(BrokenLine::Quotes)?;
        let after = &quoted[at + 1..];
        if after.starts_with('"') {
            from = at + 2;
            continue;
        }
        if !after.is_empty() && !after.starts_with(',') {
            return Err(BrokenLine::Quotes);
        }
        let inner = &quoted[..at];
        let field = if from == 0 { inner.into() } else { inner.replace("\"\"", "\"").into() };
        return Ok((field, after));
    }
}

/// Writes a record.
pub(super) fn write<'a>(fields: impl Iterator<Item = Cow<'a, str>>, out: &mut Vec<u8>) {
    for (at, field) in fields.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if field.contains([',', '"', '\r', '\n']) {
            out.push(b'"');
            out.extend_from_slice(field.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(field.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// A text that is no formula.
pub(super) fn guarded(text: &str) -> Cow<'_, str> {
    if text.starts_with(GUARDED) { format!("{MARK}{text}").into() } else { text.into() }
}

/// The text that [`guarded`] made this of, or else the text itself.
pub(super) fn unguarded(text: Cow<'_, str>) -> Cow<'_, str> {
    let inner = text.strip_prefix(MARK).filter(|inner| inner.starts_with(GUARDED));
    match inner {
        None => text,
        Some(inner) => inner.to_owned().into(),
    }
}
