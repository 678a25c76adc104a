//! What is wrong with a configuration: everything at once, each error with its place.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A place in the file, counted from 1; columns count characters, not bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// The place of a byte offset. An offset beyond the text is the place of its end.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let (mut line, mut column) = (1, 1);
        for char in before.chars() {
            (line, column) = if char == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        Self { line, column }
    }
}

/// One error of a configuration. It never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Where it is; none when the file could not be read at all.
    pub place: Option<Place>,
    /// The path of the key, such as `routes[2].require.any_of`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.key, self.message)
        }
    }
}

/// All errors of a configuration, in the order of their places; never empty.
///
/// Written one a line, as `FILE:LINE:COLUMN: KEY: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    file: PathBuf,
    errors: Vec<Error>,
}

impl Errors {
    /// The one error of a file that could not be read.
    pub(super) fn unreadable(file: &Path, message: String) -> Self {
        let error = Error { place: None, key: String::new(), message };
        Self { file: file.to_owned(), errors: vec![error] }
    }

    /// The same errors as those of `file`.
    #[must_use]
    pub(super) fn in_file(mut self, file: &Path) -> Self {
        file.clone_into(&mut self.file);
        self
    }

    /// The errors, in the order of their places.
    #[must_use]
    pub fn all(&self) -> &[Error] {
        &self.errors
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.errors.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:", self.file.display())?;
            if let Some(Place { line, column }) = error.place {
                write!(f, "{line}:{column}:")?;
            }
            write!(f, " {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// Collects errors while a text is read.
#[derive(Debug)]
pub(super) struct Report<'t> {
    text: &'t str,
    errors: RefCell<Vec<(usize, Error)>>,
    broken: Cell<bool>,
}

impl<'t> Report<'t> {
    /// Without an error as yet.
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, errors: RefCell::new(Vec::new()), broken: Cell::new(false) }
    }

    /// Adds an error of the syntax: from now on, what is missing may only have been passed over.
    pub(super) fn add_syntax(&self, span: &Range<usize>, message: &str) {
        self.broken.set(true);
        self.add(span, "", message);
    }

    /// Whether the whole text could be read.
    pub(super) fn is_readable(&self) -> bool {
        !self.broken.get()
    }

    /// Adds an error.
    pub(super) fn add(&self, span: &Range<usize>, key: &str, message: impl Into<String>) {
        let error = Error {
            place: Some(Place::of(self.text, span.start)),
            key: key.to_owned(),
            message: message.into(),
        };
        self.errors.borrow_mut().push((span.start, error));
    }

    /// `value` if nothing was wrong with it or with anything else.
    pub(super) fn conclude<T>(self, value: Option<T>) -> Result<T, Errors> {
        let mut errors = self.errors.into_inner();
        match value {
            Some(value) if errors.is_empty() => Ok(value),
            // Whoever gives up on a value has said why; if not, this is better than a panic.
            None if errors.is_empty() => Err(Errors {
                file: PathBuf::from("configuration"),
                errors: vec![Error {
                    place: None,
                    key: String::new(),
                    message: "is not usable".to_owned(),
                }],
            }),
            _ => {
                errors.sort_by_key(|&(offset, _)| offset);
                let errors = errors.into_iter().map(|(_, error)| error).collect();
                Err(Errors { file: PathBuf::from("configuration"), errors })
            }
        }
    }
}

/// `, did you mean ...?` when one of `known` is close to what was written; else the list of what
/// is known, if it is short.
pub(super) fn suggestion<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    const LISTED_MAX: usize = 12;
    let known: Vec<&str> = known.into_iter().collect();
    let closest = known
        .iter()
        .map(|name| (distance(written, name), *name))
        .min()
        .filter(|&(distance, name)| distance <= 1 + name.len().min(written.len()) / 4);
    match closest {
        Some((_, name)) => format!("; did you mean `{name}`?"),
        None if known.is_empty() || known.len() > LISTED_MAX => String::new(),
        None => format!("; known here: `{}`", known.join("`, `")),
    }
}

/// Edits between two texts: inserted, removed or replaced bytes (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    const BYTES_MAX: usize = 64;
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().max(b.len()) > BYTES_MAX {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
