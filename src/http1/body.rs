//! Bodies: where their bytes are among those that frame them.

use super::line::{self, Field};
use super::{Fault, Framing};
use memchr::memchr;

/// Longest chunk-size line, extension included.
pub const CHUNK_LINE_BYTES_MAX: usize = 4096;
/// Longest trailer section.
pub const TRAILER_BYTES_MAX: usize = 16 * 1024;
/// Most bytes of chunk extensions in one body: nobody uses them, and they are no way to keep
/// somebody busy.
pub const EXTENSION_BYTES_MAX: usize = 16 * 1024;
/// Digits of a chunk size: so many cannot overflow, and no body is that long.
const SIZE_DIGITS_MAX: usize = 15;

/// Follows a body from its first byte to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoder {
    state: State,
    extension_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At its end, or there is none.
    Ended,
    /// So many bytes are to come.
    Length(u64),
    /// It ends with the connection.
    UntilClose,
    /// Before a chunk-size line.
    ChunkSize,
    /// Within a chunk, with so many bytes to come.
    Chunk(u64),
    /// At the line break after a chunk.
    ChunkEnd,
    /// In the trailer section.
    Trailers,
}

/// What comes next in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes of content.
    Data(usize),
    /// So many bytes of framing, which are nobody's.
    Framing(usize),
    /// The trailer section: so many bytes, its empty line included. The body has ended.
    Trailers(usize),
    /// It cannot be told yet.
    More,
    /// Nothing: the body has ended.
    End,
}

impl Decoder {
    /// No body, or the end of one.
    pub const ENDED: Self = Self::at(State::Ended);

    const fn at(state: State) -> Self {
        Self { state, extension_bytes: 0 }
    }

    /// The body of a request with this framing.
    #[must_use]
    pub const fn of_request(framing: Framing) -> Self {
        Self::at(match framing {
            Framing::None | Framing::Length(0) => State::Ended,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
        })
    }

    /// The body of an answer with this framing, where an answer may have one.
    #[must_use]
    pub const fn of_response(framing: Framing) -> Self {
        Self::at(match framing {
            Framing::None => State::UntilClose,
            Framing::Length(0) => State::Ended,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
        })
    }

    /// Whether the body is at its end.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether the body ends with the connection.
    #[must_use]
    pub const fn is_until_close(self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// Whether the body comes in chunks.
    #[must_use]
    pub const fn is_chunked(self) -> bool {
        matches!(self.state, State::ChunkSize | State::Chunk(_) | State::ChunkEnd | State::Trailers)
    }

    /// The same, a little later: so many bytes of the present content have been taken.
    #[must_use]
    pub const fn without(self, taken: u64) -> Self {
        let state = match self.state {
            State::Length(rest) => State::Length(rest.saturating_sub(taken)),
            State::Chunk(rest) => State::Chunk(rest.saturating_sub(taken)),
            state @ (State::Ended
            | State::UntilClose
            | State::ChunkSize
            | State::ChunkEnd
            | State::Trailers) => state,
        };
        Self { state, ..self }
    }

    /// Says what `bytes`, the next of the message, begin with, and goes past it.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Piece, Fault> {
        match self.state {
            State::Ended => Ok(Piece::End),
            _ if bytes.is_empty() => Ok(Piece::More),
            State::UntilClose => Ok(Piece::Data(bytes.len())),
            State::Length(rest) => {
                let (taken, left) = take(rest, bytes.len());
                self.state = if left == 0 { State::Ended } else { State::Length(left) };
                Ok(Piece::Data(taken))
            }
            State::Chunk(rest) => {
                let (taken, left) = take(rest, bytes.len());
                self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                Ok(Piece::Data(taken))
            }
            State::ChunkSize => self.chunk_size(bytes),
            State::ChunkEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    self.state = State::ChunkSize;
                    Ok(Piece::Framing(2))
                }
                [b'\r'] => Ok(Piece::More),
                _ => Err(Fault::Chunk),
            },
            State::Trailers => self.trailers(bytes),
        }
    }

    fn chunk_size(&mut self, bytes: &[u8]) -> Result<Piece, Fault> {
        let Some(feed) = memchr(b'\n', bytes) else {
            return if bytes.len() >= CHUNK_LINE_BYTES_MAX {
                Err(Fault::Extension)
            } else {
                // What cannot become a chunk size is not waited for.
                let first = bytes[0];
                if first.is_ascii_hexdigit() { Ok(Piece::More) } else { Err(Fault::Chunk) }
            };
        };
        if feed >= CHUNK_LINE_BYTES_MAX {
            return Err(Fault::Extension);
        }
        let Some((b'\r', line)) = bytes[..feed].split_last() else {
            return Err(Fault::Chunk);
        };
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits == 0 || digits > SIZE_DIGITS_MAX {
            return Err(Fault::Chunk);
        }
        extension(&line[digits..])?;
        self.extension_bytes += line.len() - digits;
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            return Err(Fault::Extension);
        }
        let size = line[..digits].iter().fold(0_u64, |size, &digit| {
            size << 4 | u64::from(char::from(digit).to_digit(16).unwrap_or(0))
        });
        self.state = if size == 0 { State::Trailers } else { State::Chunk(size) };
        Ok(Piece::Framing(feed + 1))
    }

    fn trailers(&mut self, bytes: &[u8]) -> Result<Piece, Fault> {
        let mut at = 0;
        while let Some(found) = memchr(b'\n', &bytes[at..]) {
            let feed = at + found;
            if feed >= TRAILER_BYTES_MAX {
                return Err(Fault::Extension);
            }
            if feed == at || bytes[feed - 1] != b'\r' {
                return Err(Fault::BareLineBreak);
            }
            if feed - 1 == at {
                self.state = State::Ended;
                return Ok(Piece::Trailers(feed + 1));
            }
            line::field(bytes, at, feed - 1)?;
            at = feed + 1;
        }
        if bytes.len() >= TRAILER_BYTES_MAX { Err(Fault::Extension) } else { Ok(Piece::More) }
    }
}

/// What may follow a chunk size: blanks, then nothing or an extension of visible characters.
fn extension(rest: &[u8]) -> Result<(), Fault> {
    let visible = |&byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    match &rest[blanks..] {
        [] if blanks == 0 => Ok(()),
        [b';', extension @ ..] if extension.iter().all(visible) => Ok(()),
        [b';', ..] => Err(Fault::Extension),
        _ => Err(Fault::Chunk),
    }
}

/// The fields of a trailer section that [`Piece::Trailers`] has measured.
pub fn trailer_fields(section: &[u8]) -> impl Iterator<Item = Field> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let feed = at + memchr(b'\n', &section[at..])?;
        let begin = std::mem::replace(&mut at, feed + 1);
        line::field(section, begin, feed.checked_sub(1)?).ok()
    })
}

/// How much of `rest` is there, and what is left of it then.
fn take(rest: u64, there: usize) -> (usize, u64) {
    let taken = usize::try_from(rest).unwrap_or(usize::MAX).min(there);
    (taken, rest - taken as u64)
}
