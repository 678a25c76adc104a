//! One page of a sorted list, out of rows that come in any order.

use super::{CURSOR_CHARS_MAX, LIMIT_MAX};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt::Write as _;

/// Longest part of a text that counts for its order, in characters.
const KEY_CHARS_MAX: usize = 128;
const CURSOR_VERSION: u8 = 1;

/// What a row is sorted by. Nothing comes before everything else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Key {
    /// There is no value.
    Nothing,
    /// A number or a time.
    Number(i64),
    /// A text in lower case.
    Text(String),
}

impl Key {
    /// The key of a text, which sorts without case.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_lowercase().chars().take(KEY_CHARS_MAX).collect())
    }

    /// The key as it lies here.
    pub(super) fn seen(&self) -> Seen<'_> {
        match self {
            Self::Nothing => Seen::Nothing,
            Self::Number(number) => Seen::Number(*number),
            Self::Text(text) => Seen::Text(text),
        }
    }

    /// The key of a number that may be large or missing.
    #[must_use]
    pub fn number(number: Option<u64>) -> Self {
        number
            .map_or(Self::Nothing, |number| Self::Number(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

/// A key where it lies, in the order of [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen<'a> {
    Nothing,
    Number(i64),
    Text(&'a str),
}

impl Seen<'_> {
    fn key(self) -> Key {
        match self {
            Self::Nothing => Key::Nothing,
            Self::Number(number) => Key::Number(number),
            Self::Text(text) => Key::Text(text.to_owned()),
        }
    }
}

/// A column that a list can be sorted by.
pub trait Column: Copy + PartialEq + 'static {
    /// The order when nothing is said.
    const DEFAULT: Sort<Self>;
    /// All columns with their names.
    const ALL: &'static [(&'static str, Self)];

    /// The column's name.
    #[must_use]
    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, column)| *column == self).map_or("", |(name, _)| name)
    }
}

/// A column and a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort<C> {
    /// The column.
    pub column: C,
    /// The largest first.
    pub descending: bool,
}

impl<C: Column> Sort<C> {
    /// Reads `name` or `-name`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (descending, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text),
        };
        let (_, column) = C::ALL.iter().find(|(known, _)| *known == name)?;
        Some(Self { column: *column, descending })
    }

    fn text(self) -> String {
        format!("{}{}", if self.descending { "-" } else { "" }, self.column.name())
    }
}

/// The page that somebody asks for.
#[derive(Clone, Debug)]
pub struct Asked<C> {
    /// In which order.
    pub sort: Sort<C>,
    /// How many rows.
    pub limit: usize,
    after: Option<Position>,
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Position {
    key: Key,
    id: u128,
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    version: u8,
    sort: String,
    position: Position,
}

impl<C: Column> Asked<C> {
    /// The first page.
    #[must_use]
    pub fn first(sort: Sort<C>, limit: usize) -> Self {
        Self { sort, limit: limit.clamp(1, LIMIT_MAX), after: None }
    }

    /// The page after a cursor, unless that is broken or of a list in another order.
    #[must_use]
    pub fn after(mut self, cursor: &str) -> Option<Self> {
        if cursor.len() > CURSOR_CHARS_MAX {
            return None;
        }
        let cursor: Cursor = postcard::from_bytes(&unhex(cursor)?).ok()?;
        if cursor.version != CURSOR_VERSION || cursor.sort != self.sort.text() {
            return None;
        }
        self.after = Some(cursor.position);
        Some(self)
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// Rows of one page, and where the next one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The cursor of the next page; none at the end.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The same page with other rows.
    pub fn map<U>(self, row: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(row).collect(), next_cursor: self.next_cursor }
    }
}

/// Keeps the rows of one page out of all that are offered.
#[derive(Debug)]
pub struct Window<C, T> {
    asked: Asked<C>,
    /// The last of the page on top, so that a better row throws it out.
    kept: BinaryHeap<Row<T>>,
}

#[derive(Debug)]
struct Row<T> {
    position: Position,
    descending: bool,
    value: T,
}

impl<T> Ord for Row<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        directed(self.descending, &self.position, &other.position)
    }
}

impl<T> PartialOrd for Row<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Row<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Row<T> {}

fn directed(descending: bool, a: &Position, b: &Position) -> Ordering {
    if descending { b.cmp(a) } else { a.cmp(b) }
}

impl<C: Column, T> Window<C, T> {
    /// An empty page.
    #[must_use]
    pub fn new(asked: Asked<C>) -> Self {
        Self { kept: BinaryHeap::with_capacity(asked.limit + 2), asked }
    }

    /// Offers a row; `value` is only made if the row is kept for now.
    pub fn offer(&mut self, key: Key, id: u128, value: impl FnOnce() -> T) {
        if self.is_wanted(key.seen(), id) {
            self.keep(Position { key, id }, value());
        }
    }

    /// As [`Window::offer`]; the key is only copied if the row is kept for now.
    pub(super) fn offer_seen(&mut self, key: Seen<'_>, id: u128, value: impl FnOnce() -> T) {
        if self.is_wanted(key, id) {
            self.keep(Position { key: key.key(), id }, value());
        }
    }

    fn is_wanted(&self, key: Seen<'_>, id: u128) -> bool {
        let directed = |other: &Position| {
            let order = key.cmp(&other.key.seen()).then(id.cmp(&other.id));
            if self.asked.sort.descending { order.reverse() } else { order }
        };
        if self.asked.after.as_ref().is_some_and(|after| directed(after).is_le()) {
            return false;
        }
        let beyond = |last: &Row<T>| directed(&last.position).is_ge();
        !(self.is_full() && self.kept.peek().is_some_and(beyond))
    }

    /// One row more than the page holds tells whether there is a next page.
    fn is_full(&self) -> bool {
        self.kept.len() > self.asked.limit
    }

    fn keep(&mut self, position: Position, value: T) {
        let is_full = self.is_full();
        self.kept.push(Row { position, descending: self.asked.sort.descending, value });
        if is_full {
            self.kept.pop();
        }
    }

    /// The page.
    #[must_use]
    pub fn page(self) -> Page<T> {
        let mut rows = self.kept.into_sorted_vec();
        let has_next = rows.len() > self.asked.limit;
        rows.truncate(self.asked.limit);
        let next_cursor = rows.last().filter(|_| has_next).map(|last| {
            let cursor = Cursor {
                version: CURSOR_VERSION,
                sort: self.asked.sort.text(),
                position: last.position.clone(),
            };
            let mut text = String::new();
            for byte in postcard::to_stdvec(&cursor).unwrap_or_default() {
                let _infallible = write!(text, "{byte:02x}");
            }
            text
        });
        Page { items: rows.into_iter().map(|row| row.value).collect(), next_cursor }
    }
}
