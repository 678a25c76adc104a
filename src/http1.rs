//! HTTP/1 messages as they are on the wire (RFC 9112): where a head ends, what its lines say, how the
//! body is framed. It reads and never repairs.
//!
//! The gateway speaks HTTP/1 by itself, because the parser of a gateway has two duties that those of
//! libraries do not have: to refuse what another implementation might read differently, and to let
//! what it has read go on byte for byte. A head is read in place: [`Parser`] notes where its lines
//! are and what they say that matters, and copies nothing.
//!
//! **Invariants.**
//! - A line ends with CR LF and with nothing else; no line continues another.
//! - A message has one framing. Two that agree are still two.
//! - What is refused is refused at the line that is wrong, so nothing that follows it is looked at.
//! - No byte is decoded, folded or trimmed away in what goes on; only blanks around a value are left
//!   out when it is compared.

mod body;
mod head;
mod line;

pub use body::{
    CHUNK_LINE_BYTES_MAX, Decoder, EXTENSION_BYTES_MAX, Piece, TRAILER_BYTES_MAX, trailer_fields,
};
pub use head::{
    CONNECTION_OPTIONS_MAX, Expectation, Framing, HeadLimits, Parser, RequestHead, ResponseHead,
    Seen, Side, nominated,
};
pub use line::{Field, Kind, Version};

/// Why a message is not read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A line feed without its carriage return, or the reverse (RFC 9112 section 2.2).
    BareLineBreak,
    /// A line that continues the one before (RFC 9112 section 5.2).
    Folding,
    /// A request or status line that is none (RFC 9112 sections 3 and 4).
    StartLine,
    /// A version of HTTP that is not spoken here (RFC 9110 section 2.5).
    Version,
    /// A field without a name, or with one that is no token (RFC 9110 section 5.1).
    FieldName,
    /// A field with a control character in its value (RFC 9110 section 5.5).
    FieldValue,
    /// `Content-Length` beside `Transfer-Encoding` (RFC 9112 section 6.1).
    BothFramings,
    /// More than one `Content-Length`, or one that is not a plain number (RFC 9112 section 6.3).
    ContentLength,
    /// `Transfer-Encoding` other than exactly `chunked`, once, in HTTP/1.1 (RFC 9112 section 6.1).
    TransferEncoding,
    /// A chunk-size line or the end of a chunk is broken (RFC 9112 section 7.1).
    Chunk,
    /// A chunk extension or trailer section is too long or holds control characters.
    Extension,
    /// The head is longer than it may be, or has more fields.
    TooLarge,
}

#[cfg(test)]
mod tests;
