//! Tables for people.

use std::fmt::Write;

/// Columns under their headings, each as wide as its widest cell.
pub(super) fn columns(headings: &[&str], rows: &[Vec<String>]) -> String {
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let width = |at: usize| {
        let widest = cells.iter().filter_map(|row| row.get(at)).map(|cell| chars(cell)).max();
        widest.unwrap_or(0).max(chars(headings[at]))
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |row: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in row.zip(&widths) {
            let _infallible = write!(line, "{cell:width$}  ");
        }
        line.truncate(line.trim_end().len());
        line
    };
    let mut lines = vec![line(&mut headings.iter().copied())];
    lines.extend(cells.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// Names and their values, one pair a line.
pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| chars(name)).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{name:width$}  {}", printable(value));
    pairs.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Text as a terminal may have it. What others wrote (names, reasons) must not move the cursor,
/// recolour the screen, or turn the direction of writing around.
pub(super) fn printable(text: &str) -> String {
    let harmless = |char: char| {
        !char.is_control()
            && !matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if harmless(char) {
            out.push(char);
        } else {
            out.extend(char.escape_unicode());
        }
    }
    out
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows =
            vec![vec!["a".to_owned(), "long".to_owned()], vec!["äöü".to_owned(), String::new()]];
        assert_eq!(columns(&["X", "Y"], &rows), "X    Y\na    long\näöü");
    }

    #[test]
    fn what_others_wrote_stays_text() {
        assert_eq!(printable("a\u{1b}[2Jb\n\u{202e}c"), "a\\u{1b}[2Jb\\u{a}\\u{202e}c");
        assert_eq!(pairs(&[("k", "v\r".to_owned())]), "k  v\\u{d}");
    }
}
