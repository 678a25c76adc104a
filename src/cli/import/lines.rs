//! A file, line by line, without ever holding more of it than one.

use anyhow::{Context, bail};
use bearward::inventory::{Format, Header, LINE_BYTES_MAX, Line, is_whole};
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

/// Read at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// The lines of a file.
pub(super) struct Lines {
    file: BufReader<File>,
    bytes: u64,
    position: u64,
    header: Option<Header>,
    /// Lines that were read, so the number of the last one.
    count: u64,
    current: Vec<u8>,
    too_long: bool,
}

impl Lines {
    /// Opens a file, and reads its header if it is of CSV.
    pub(super) fn open(path: &Path, format: Format) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(cannot)?;
        let metadata = file.metadata().with_context(cannot)?;
        if metadata.is_dir() {
            bail!("{} is a directory", path.display());
        }
        let mut lines = Self {
            file: BufReader::with_capacity(BUFFER_BYTES, file),
            bytes: metadata.len(),
            position: 0,
            header: None,
            count: 0,
            current: Vec::new(),
            too_long: false,
        };
        if format == Format::Csv {
            lines.header = Some(lines.read_header().with_context(cannot)?);
        }
        Ok(lines)
    }

    fn read_header(&mut self) -> anyhow::Result<Header> {
        // Before there is a header every line may be one.
        self.read_line(true)?;
        if self.too_long {
            bail!("its first line is no header: it has more than {LINE_BYTES_MAX} bytes");
        }
        let text = std::str::from_utf8(&self.current).context("its first line is not UTF-8")?;
        Ok(Header::read(text)?)
    }

    /// How long the file is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How much of it was read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Goes to the next line that is not empty, and answers its number.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<u64>> {
        loop {
            let number = self.count + 1;
            if !self.read_line(self.header.is_some())? {
                return Ok(None);
            }
            if !self.current.trim_ascii().is_empty() || self.too_long {
                return Ok(Some(number));
            }
        }
    }

    /// What the present line says, or what is wrong with it.
    pub(super) fn line(&self) -> Result<Line<'_>, String> {
        if self.too_long {
            return Err(format!("it has more than {LINE_BYTES_MAX} bytes"));
        }
        let text = std::str::from_utf8(&self.current).map_err(|_untold| "it is not UTF-8")?;
        let line = match &self.header {
            Some(header) => header.line(text),
            None => Line::from_json(text),
        };
        line.map_err(|error| error.to_string())
    }

    /// Reads a line; in CSV one whose quotes are open goes on with the next. Of one that is too long
    /// the rest is passed over.
    fn read_line(&mut self, quotes: bool) -> anyhow::Result<bool> {
        self.current.clear();
        self.too_long = false;
        loop {
            let room = (LINE_BYTES_MAX + 1 - self.current.len()) as u64;
            let read = (&mut self.file).take(room).read_until(b'\n', &mut self.current)?;
            if read == 0 {
                return Ok(!self.current.is_empty());
            }
            self.position += read as u64;
            self.count += 1;
            if self.current.len() > LINE_BYTES_MAX {
                self.too_long = true;
                if self.current.last() != Some(&b'\n') {
                    self.position += self.file.skip_until(b'\n')? as u64;
                }
                self.current.clear();
                return Ok(true);
            }
            if !quotes || is_whole(&self.current) {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers and the lines' first columns, or what is wrong with them.
    fn all(text: &str, format: Format) -> Vec<(u64, String)> {
        use bearward::inventory::Column;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lines");
        std::fs::write(&path, text).expect("written");
        let mut lines = Lines::open(&path, format).expect("a file");
        let mut all = Vec::new();
        while let Some(number) = lines.next().expect("readable") {
            let name = |line: Line<'_>| line.get(Column::Name).unwrap_or_default().to_owned();
            all.push((number, lines.line().map_or_else(|error| format!("! {error}"), name)));
        }
        assert_eq!(lines.position(), text.len() as u64);
        all
    }

    #[test]
    fn lines_keep_their_numbers() {
        let csv = "name,owner\r\na,x\n\n\"b\nc\",y\nd,z,zz\ne,v";
        let told = all(csv, Format::Csv);
        let told: Vec<_> = told.iter().map(|(at, name)| (*at, name.as_str())).collect();
        assert_eq!(told[..2], [(2, "a"), (4, "b\nc")]);
        assert_eq!((told[2].0, told[3]), (6, (7, "e")));
        assert!(told[2].1.starts_with("! it has 3 fields"));
        let json = "{\"name\": \"a\"}\n\n{\"name\": \"b\"}";
        assert_eq!(all(json, Format::Jsonl), [(1, "a".to_owned()), (3, "b".to_owned())]);
    }

    #[test]
    fn a_line_that_is_too_long_is_one_bad_line() {
        for length in [LINE_BYTES_MAX - 2, LINE_BYTES_MAX - 1, LINE_BYTES_MAX, 3 * LINE_BYTES_MAX] {
            let csv = format!("name\n{}\nb\n", "x".repeat(length));
            let told = all(&csv, Format::Csv);
            assert_eq!(told.len(), 2, "{length}");
            assert_eq!(told[1], (3, "b".to_owned()), "{length}");
            assert_eq!(told[0].0, 2);
            // The line break counts.
            assert_eq!(told[0].1.starts_with("! it has more"), length >= LINE_BYTES_MAX);
        }
    }

    #[test]
    fn an_open_quote_ends_with_the_file() {
        let told = all("name\n\"a\nb\nc", Format::Csv);
        assert_eq!(told.len(), 1);
        assert!(told[0].1.starts_with("! a quote"), "{told:?}");
    }
}
