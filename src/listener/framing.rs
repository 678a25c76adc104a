//! The framing guard: reads along with the HTTP/1 parser and refuses what the parser would quietly
//! mend.
//!
//! hyper drops a `Content-Length` beside `Transfer-Encoding`, folds equal `Content-Length` fields
//! into one, takes a bare line feed for the end of a line and skips chunk extensions whatever they
//! hold. Each of those is a way for two parsers in a row to see two different messages. The guard
//! sees the bytes before hyper does and follows nothing but the framing: where heads end, how long
//! bodies are, where chunks begin. It copies nothing unless a head comes in pieces.
//!
//! What it refuses, the connection turns into bytes that no parser takes for HTTP (`io.rs`), so the
//! answer is 400 and the connection closes.

use memchr::memchr;

/// Longest chunk-size line, extension included.
const CHUNK_LINE_BYTES_MAX: usize = 4096;
/// Longest trailer section.
const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// What is wrong with the framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A line feed without its carriage return, or the reverse (RFC 9112 section 2.2).
    BareLineBreak,
    /// A line that continues the one before (RFC 9112 section 5.2).
    Folding,
    /// `Content-Length` beside `Transfer-Encoding` (RFC 9112 section 6.1).
    BothFramings,
    /// More than one `Content-Length`, or one that is not a plain number (RFC 9112 section 6.3).
    ContentLength,
    /// `Transfer-Encoding` other than exactly `chunked`, once (RFC 9112 section 6.1).
    TransferEncoding,
    /// A request line with a `#`, which no target holds (RFC 9112 section 3.2) and which hyper cuts
    /// off together with what follows it.
    Fragment,
    /// A chunk-size line or the end of a chunk is broken (RFC 9112 section 7.1).
    Chunk,
    /// A chunk extension or trailer section is too long or holds control characters.
    Extension,
}

/// Where the guard is in the stream.
#[derive(Debug)]
enum State {
    Head,
    Body { rest: u64 },
    ChunkSize { seen: usize, size: u64, digits: u8, part: SizePart },
    ChunkData { rest: u64 },
    ChunkEnd { carriage: bool },
    Trailers { seen: usize, line: usize, carriage: bool },
    Faulty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SizePart {
    Digits,
    Blank,
    Extension,
    Carriage,
}

const NEXT_CHUNK: State = State::ChunkSize { seen: 0, size: 0, digits: 0, part: SizePart::Digits };

/// Follows the framing of one connection's requests.
#[derive(Debug)]
pub(crate) struct Guard {
    state: State,
    /// The line of a head that has not come to its end yet.
    partial: Vec<u8>,
    /// What the lines of this head before it have said.
    scan: Scan,
    head_bytes_max: usize,
    heads: u64,
    faulty: u64,
}

impl Guard {
    pub(crate) fn new(head_bytes_max: usize) -> Self {
        Self {
            state: State::Head,
            partial: Vec::new(),
            scan: Scan::default(),
            head_bytes_max,
            heads: 0,
            faulty: 0,
        }
    }

    /// The number of the faulty request on this connection, counted from 1.
    pub(crate) fn faulty_request(&self) -> u64 {
        self.faulty
    }

    /// Follows `bytes`. On a fault, answers from which of them on nothing may be believed.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<(), (usize, Fault)> {
        let mut at = 0;
        while at < bytes.len() {
            let next = self.heads + u64::from(matches!(self.state, State::Head));
            match self.step(&bytes[at..]) {
                Ok(used) => at += used,
                Err(fault) => {
                    self.faulty = next;
                    self.state = State::Faulty;
                    return Err((at, fault));
                }
            }
        }
        Ok(())
    }

    /// Follows at least one of `bytes` and answers how many.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        match &mut self.state {
            State::Head => self.head(bytes),
            State::Body { rest } => {
                let used = take(rest, bytes.len());
                if *rest == 0 {
                    self.state = State::Head;
                }
                Ok(used)
            }
            State::ChunkData { rest } => {
                let used = take(rest, bytes.len());
                if *rest == 0 {
                    self.state = State::ChunkEnd { carriage: false };
                }
                Ok(used)
            }
            State::ChunkSize { .. } => self.chunk_size(bytes[0]).map(|()| 1),
            State::ChunkEnd { carriage } => {
                match (*carriage, bytes[0]) {
                    (false, b'\r') => *carriage = true,
                    (true, b'\n') => self.state = NEXT_CHUNK,
                    _ => return Err(Fault::Chunk),
                }
                Ok(1)
            }
            State::Trailers { seen, line, carriage } => {
                *seen += 1;
                if *seen > TRAILER_BYTES_MAX {
                    return Err(Fault::Extension);
                }
                match (*carriage, bytes[0]) {
                    (true, b'\n') if *line == 0 => self.state = State::Head,
                    (true, b'\n') => (*line, *carriage) = (0, false),
                    (true, _) | (false, b'\n') => return Err(Fault::BareLineBreak),
                    (false, b'\r') => *carriage = true,
                    (false, b' ' | b'\t') if *line == 0 => return Err(Fault::Folding),
                    (false, 0) => return Err(Fault::Extension),
                    (false, _) => *line += 1,
                }
                Ok(1)
            }
            State::Faulty => Ok(bytes.len()),
        }
    }

    fn head(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        // Beyond the limit hyper answers 431, whatever the bytes are.
        if self.scan.bytes + self.partial.len() >= self.head_bytes_max {
            return Ok(bytes.len());
        }
        let mut at = 0;
        while let Some(length) = memchr(b'\n', &bytes[at..]) {
            let piece = &bytes[at..at + length];
            at += length + 1;
            let ended = if self.partial.is_empty() {
                self.scan.line(piece)?
            } else {
                self.partial.extend_from_slice(piece);
                let line = std::mem::take(&mut self.partial);
                self.scan.line(&line)?
            };
            if ended {
                let framing = std::mem::take(&mut self.scan).framing;
                return self.begin_body(framing, at);
            }
            if self.scan.bytes >= self.head_bytes_max {
                return Ok(bytes.len());
            }
        }
        let rest = &bytes[at..];
        let room =
            self.head_bytes_max - (self.scan.bytes + self.partial.len()).min(self.head_bytes_max);
        self.partial.extend_from_slice(&rest[..rest.len().min(room)]);
        Ok(bytes.len())
    }

    fn begin_body(&mut self, framing: Framing, used: usize) -> Result<usize, Fault> {
        self.heads += 1;
        self.state = match framing {
            Framing::None | Framing::Length(0) => State::Head,
            Framing::Length(rest) => State::Body { rest },
            Framing::Chunked => NEXT_CHUNK,
            Framing::Fault(fault) => return Err(fault),
        };
        Ok(used)
    }

    fn chunk_size(&mut self, byte: u8) -> Result<(), Fault> {
        let State::ChunkSize { seen, size, digits, part } = &mut self.state else {
            return Ok(());
        };
        *seen += 1;
        if *seen > CHUNK_LINE_BYTES_MAX {
            return Err(Fault::Extension);
        }
        match (*part, byte) {
            (SizePart::Digits, digit) if digit.is_ascii_hexdigit() => {
                // Fifteen digits cannot overflow, and no body is that long.
                if *digits == 15 {
                    return Err(Fault::Chunk);
                }
                *digits += 1;
                let value = char::from(digit).to_digit(16).unwrap_or(0);
                *size = *size << 4 | u64::from(value);
            }
            (SizePart::Digits, b'\r') if *digits > 0 => *part = SizePart::Carriage,
            (SizePart::Digits, b';') if *digits > 0 => *part = SizePart::Extension,
            (SizePart::Digits, b' ' | b'\t') if *digits > 0 => *part = SizePart::Blank,
            (SizePart::Blank, b';') => *part = SizePart::Extension,
            (SizePart::Extension, b'\r') => *part = SizePart::Carriage,
            (SizePart::Blank, b' ' | b'\t') | (SizePart::Extension, b'\t' | b' '..=b'~') => {}
            (SizePart::Extension, _) => return Err(Fault::Extension),
            (SizePart::Carriage, b'\n') => {
                self.state = match *size {
                    0 => State::Trailers { seen: 0, line: 0, carriage: false },
                    rest => State::ChunkData { rest },
                };
            }
            (SizePart::Digits | SizePart::Blank | SizePart::Carriage, _) => {
                return Err(Fault::Chunk);
            }
        }
        Ok(())
    }
}

/// Takes as much of `rest` as there is, and answers how much that was.
fn take(rest: &mut u64, there: usize) -> usize {
    let used = usize::try_from(*rest).unwrap_or(usize::MAX).min(there);
    *rest -= used as u64;
    used
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Framing {
    #[default]
    None,
    Length(u64),
    Chunked,
    Fault(Fault),
}

/// What the complete lines of a head have said so far.
#[derive(Debug, Default)]
struct Scan {
    bytes: usize,
    lines: usize,
    framing: Framing,
}

impl Scan {
    /// Takes the next line, without its line feed, and answers whether it ends the head. Anything
    /// wrong with the line breaks is a fault at once, before the head has ended: a parser that
    /// forgives it would see the head end elsewhere.
    fn line(&mut self, line: &[u8]) -> Result<bool, Fault> {
        self.bytes += line.len() + 1;
        let Some((b'\r', line)) = line.split_last() else {
            return Err(Fault::BareLineBreak);
        };
        match line.first() {
            // Empty lines before a request line are forgiven (RFC 9112 section 2.2).
            None => return Ok(self.lines > 0),
            Some(_) if self.lines == 0 && memchr(b'#', line).is_some() => {
                return Err(Fault::Fragment);
            }
            Some(b' ' | b'\t') if self.lines > 0 => return Err(Fault::Folding),
            Some(b'c' | b'C' | b't' | b'T') if self.lines > 0 => field(line, &mut self.framing),
            Some(_) => {}
        }
        self.lines += 1;
        Ok(false)
    }
}

fn field(line: &[u8], framing: &mut Framing) {
    const LENGTH: &[u8] = b"content-length";
    const ENCODING: &[u8] = b"transfer-encoding";
    let named = |name: &[u8]| {
        line.len() > name.len()
            && line[..name.len()].eq_ignore_ascii_case(name)
            && matches!(line[name.len()], b':' | b' ' | b'\t')
    };
    if named(LENGTH) {
        *framing = match (*framing, &line[LENGTH.len()..]) {
            (Framing::None, [b':', value @ ..]) => number(value.trim_ascii())
                .map_or(Framing::Fault(Fault::ContentLength), Framing::Length),
            (Framing::Chunked, _) => Framing::Fault(Fault::BothFramings),
            (Framing::None | Framing::Length(_), _) => Framing::Fault(Fault::ContentLength),
            (fault @ Framing::Fault(_), _) => fault,
        };
    } else if named(ENCODING) {
        *framing = match (*framing, &line[ENCODING.len()..]) {
            (Framing::None, [b':', value @ ..]) => {
                // Exactly this: a parser that does not know vertical tabs sees another coding.
                if blanks_trimmed(value).eq_ignore_ascii_case(b"chunked") {
                    Framing::Chunked
                } else {
                    Framing::Fault(Fault::TransferEncoding)
                }
            }
            (Framing::Length(_), _) => Framing::Fault(Fault::BothFramings),
            (Framing::None | Framing::Chunked, _) => Framing::Fault(Fault::TransferEncoding),
            (fault @ Framing::Fault(_), _) => fault,
        };
    }
}

fn blanks_trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A plain decimal number that fits (RFC 9110 section 8.6): digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests;
