//! Header fields on their way up and down.
//!
//! What passes, passes as it came, byte for byte: lines that stay together are copied together. Ours
//! are written after everything of the client's, so nothing that a client names in `Connection` can
//! take them away.

use crate::config::IdentityHeaders;
use crate::http1::{self, Field, Framing, Kind, RequestHead, ResponseHead, Version};
use crate::listener::Protocol;
use std::net::IpAddr;

/// Fields that only a trusted proxy may say, beside the identity headers and everything that
/// begins with [`X_FORWARDED`].
const FORWARDING: [&str; 4] = ["forwarded", "x-real-ip", "client-cert", "client-cert-chain"];
const X_FORWARDED: &str = "x-forwarded-";
/// Fields of one connection only, and the proxy's own: those that are taken off by their
/// [`Kind`], here for their aliases.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
    "proxy-authenticate",
    "expect",
    "content-length",
];

/// The fields that are taken off requests, and the names of those that are put on.
#[derive(Debug)]
pub(super) struct Names {
    identity: [String; 4],
    /// Lengths of all names that may have to go, as a set of bits.
    lengths: u64,
    stripped: Vec<String>,
}

/// What becomes of the client's `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authorization<'a> {
    Drop,
    Keep,
    Replace(&'a [u8]),
}

/// What every request of a connection has in common.
#[derive(Debug)]
pub(super) struct Forwarded {
    /// For requests of HTTP/1.1, and for those of HTTP/2, which look like them.
    lines: Box<[u8]>,
    /// For requests of HTTP/1.0.
    lines_1_0: Box<[u8]>,
}

impl Forwarded {
    pub(super) fn of(peer: IpAddr, is_secure: bool, protocol: Protocol) -> Self {
        let scheme = if is_secure { "https" } else { "http" };
        let lines = |version: &str| {
            let text = format!(
                "x-forwarded-for: {peer}\r\nx-forwarded-proto: {scheme}\r\n\
                 via: {version} bearward\r\n"
            );
            text.into_bytes().into_boxed_slice()
        };
        let version = match protocol {
            Protocol::Http1 => "1.1",
            Protocol::Http2 => "2.0",
        };
        Self { lines: lines(version), lines_1_0: lines("1.0") }
    }
}

/// What happens to the header of an admitted request, by itself: for measuring it.
#[derive(Debug)]
pub struct HeaderWork {
    names: Names,
    forwarded: Forwarded,
}

impl HeaderWork {
    /// With these names for the identity headers.
    #[must_use]
    pub fn new(identity: &IdentityHeaders) -> Self {
        let peer = IpAddr::from([192, 0, 2, 1]);
        Self { names: Names::new(identity), forwarded: Forwarded::of(peer, false, Protocol::Http1) }
    }

    /// Writes the upstream's fields for a client's.
    pub fn pass(&self, text: &mut Vec<u8>, head: &RequestHead<'_>, identity: &[u8]) {
        self.names.write_fields(text, head, Authorization::Drop, &self.forwarded);
        text.extend_from_slice(identity);
    }
}

impl Names {
    pub(super) fn new(identity: &IdentityHeaders) -> Self {
        let IdentityHeaders { subject, organization, token_id, scope } = identity;
        let identity = [subject, organization, token_id, scope].map(|name| name.as_str().into());
        let mut stripped: Vec<String> = identity.to_vec();
        stripped.extend(FORWARDING.map(str::to_owned));
        stripped.extend(HOP_BY_HOP.map(str::to_owned));
        let lengths = stripped.iter().fold(0, |set, name| set | length_bit(name.len()));
        Self { identity, lengths, stripped }
    }

    /// Whether a client's field with this name must not reach an upstream. Whatever is no letter or
    /// digit counts as a hyphen: CGI-like upstreams cannot tell `_`, `.` and the like apart.
    fn is_stripped(&self, name: &[u8]) -> bool {
        let begins = |ours: &str| {
            ours.bytes().zip(name).all(|(ours, &theirs)| {
                ours == theirs.to_ascii_lowercase()
                    || (ours == b'-' && !theirs.is_ascii_alphanumeric())
            })
        };
        if matches!(name.first(), Some(b'x' | b'X'))
            && name.len() > X_FORWARDED.len()
            && begins(X_FORWARDED)
        {
            return true;
        }
        self.lengths & length_bit(name.len()) != 0
            && self.stripped.iter().any(|stripped| stripped.len() == name.len() && begins(stripped))
    }

    /// Writes the client's fields as far as they go upstream, and what we know of the connection.
    pub(super) fn write_fields(
        &self,
        text: &mut Vec<u8>,
        head: &RequestHead<'_>,
        authorization: Authorization<'_>,
        forwarded: &Forwarded,
    ) {
        let nominated = |field: &Field| {
            head.nominates()
                && http1::nominated(head.fields(), head.bytes(), field.name(head.bytes()))
        };
        write_kept(text, head.fields(), head.bytes(), |field| match field.kind {
            Kind::Host | Kind::Date | Kind::ContentLength => true,
            Kind::Authorization => authorization == Authorization::Keep,
            Kind::TransferEncoding
            | Kind::Connection
            | Kind::Expect
            | Kind::Te
            | Kind::Trailer
            | Kind::HopByHop => false,
            Kind::Other => !self.is_stripped(field.name(head.bytes())) && !nominated(field),
        });
        if head.framing() == Framing::Chunked {
            text.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        if let Authorization::Replace(value) = authorization {
            write_field(text, b"authorization", value);
        }
        if let Some(host) = head.host() {
            write_field(text, b"x-forwarded-host", host);
        }
        text.extend_from_slice(match head.version() {
            Version::Http11 => &forwarded.lines,
            Version::Http10 => &forwarded.lines_1_0,
        });
    }

    /// The identity fields with these values.
    pub(super) fn identity_fields(&self, values: [&str; 4]) -> String {
        let mut fields = String::new();
        for (name, value) in self.identity.iter().zip(values) {
            fields.push_str(name);
            fields.push_str(": ");
            fields.push_str(value);
            fields.push_str("\r\n");
        }
        fields
    }
}

/// Writes the fields of an answer's trailer section that may go to the client: nothing that frames
/// or authenticates a message (RFC 9110 section 6.5.1).
pub(super) fn write_trailers(text: &mut Vec<u8>, section: &[u8]) {
    for field in http1::trailer_fields(section).filter(|field| field.kind == Kind::Other) {
        let (start, end) = field.line();
        text.extend_from_slice(&section[start..end]);
    }
}

/// How an answer goes to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Down {
    /// As its own framing says; or it has no body.
    AsItCame,
    /// As [`Down::AsItCame`], for a status that never has a body, nor a length of one (RFC 9110
    /// section 8.6).
    Bare,
    /// In chunks.
    Chunks,
    /// Until the connection ends.
    UntilClose,
}

/// Writes the head of an answer, all but its last line. `connection` is what the client is told of
/// the connection.
pub(super) fn write_answer(
    text: &mut Vec<u8>,
    head: &ResponseHead<'_>,
    down: Down,
    connection: &[u8],
) {
    text.extend_from_slice(b"HTTP/1.1 ");
    let status = head.status_text();
    text.extend_from_slice(status);
    // The space before an empty reason is no option (RFC 9112 section 4).
    text.extend_from_slice(if status.len() == 3 { b" \r\n" } else { b"\r\n" });
    let nominated = |field: &Field| {
        head.nominates() && http1::nominated(head.fields(), head.bytes(), field.name(head.bytes()))
    };
    write_kept(text, head.fields(), head.bytes(), |field| match field.kind {
        Kind::ContentLength => down != Down::Bare,
        Kind::Connection | Kind::HopByHop | Kind::TransferEncoding | Kind::Te => false,
        // `Trailer` announces what is passed on.
        Kind::Host | Kind::Authorization | Kind::Date | Kind::Expect | Kind::Trailer => true,
        Kind::Other => !nominated(field),
    });
    if down == Down::Chunks {
        text.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    text.extend_from_slice(b"via: 1.1 bearward\r\n");
    text.extend_from_slice(connection);
}

/// Copies the lines of the fields that are kept; those that stand together, at once.
fn write_kept(text: &mut Vec<u8>, fields: &[Field], head: &[u8], keeps: impl Fn(&Field) -> bool) {
    let mut run: Option<(usize, usize)> = None;
    for field in fields {
        let (start, end) = field.line();
        if keeps(field) {
            run = Some((run.map_or(start, |(first, _)| first), end));
        } else if let Some((first, last)) = run.take() {
            text.extend_from_slice(&head[first..last]);
        }
    }
    if let Some((first, last)) = run {
        text.extend_from_slice(&head[first..last]);
    }
}

fn write_field(text: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    text.extend_from_slice(name);
    text.extend_from_slice(b": ");
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\n");
}

fn length_bit(length: usize) -> u64 {
    // No name is empty, so the lowest bit is free for those that are too long for one of their own.
    1_u64.checked_shl(u32::try_from(length).unwrap_or(u32::MAX)).unwrap_or(1)
}

#[cfg(test)]
mod tests;
