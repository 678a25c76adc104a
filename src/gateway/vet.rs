//! Step 0 of a request: is it one that upstream and gateway are certain to read alike?
//!
//! What is refused here is what one HTTP implementation mends silently and another reads
//! differently. Nothing is normalised: the bytes that are matched are the bytes that are forwarded.

use super::header::Survey;
use http::request::Parts;
use http::{Method, Version};
use std::borrow::Cow;

/// Why a request is refused before anything is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// The framing is in doubt; what follows on the connection cannot be told apart either.
    Framing,
    /// None, more than one, or a malformed `Host` (RFC 9112 section 3.2).
    Host,
    /// An absolute target that names another host than `Host` does, or another form of target than
    /// a path.
    Target,
    /// A path that gateway and upstream could read differently.
    Path,
    /// CONNECT and TRACE are not for a reverse proxy.
    Method,
    /// `Expect` with anything but `100-continue` (RFC 9110 section 10.1.1).
    Expectation,
}

/// What is certain about a request.
pub(super) struct Vetted<'a> {
    /// Lower-case, without port and trailing dot.
    pub(super) host: Cow<'a, str>,
}

/// Vets the head of a request. `fields` is what one look over its header has found.
pub(super) fn vet<'a>(parts: &'a Parts, fields: &Survey<'a>) -> Result<Vetted<'a>, Objection> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Objection::Method);
    }
    framing(fields, parts.version)?;
    if fields
        .expect
        .value()
        .is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(Objection::Expectation);
    }
    let host = fields.host.only().ok_or(Objection::Host)?;
    let host = host.to_str().map_err(|_invisible| Objection::Host)?;
    let uri = &parts.uri;
    if let Some(authority) = uri.authority() {
        let same = authority.as_str().eq_ignore_ascii_case(host);
        if !same || !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(Objection::Target);
        }
    }
    // Asterisk and authority forms have no path of their own.
    if !uri.path().starts_with('/') {
        return Err(Objection::Target);
    }
    Ok(Vetted { host: canonical_host(host)? })
}

fn framing(fields: &Survey<'_>, version: Version) -> Result<(), Objection> {
    let Some(coding) = fields.transfer_encoding.value() else { return Ok(()) };
    let chunked = fields.transfer_encoding.only().is_some()
        && coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if chunked && version == Version::HTTP_11 && fields.content_length.value().is_none() {
        Ok(())
    } else {
        Err(Objection::Framing)
    }
}

/// A host as routes are keyed by it (RFC 3986 section 3.2.2): without its port and trailing dot,
/// in lower case.
fn canonical_host(field: &str) -> Result<Cow<'_, str>, Objection> {
    let (host, port) = match field.strip_prefix('[') {
        Some(literal) => {
            let (inside, rest) = literal.split_once(']').ok_or(Objection::Host)?;
            let address = inside.parse::<std::net::Ipv6Addr>();
            address.map_err(|_not_an_address| Objection::Host)?;
            (&field[..inside.len() + 2], rest.strip_prefix(':').or(rest.is_empty().then_some("")))
        }
        None => match field.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (field, Some("")),
        },
    };
    let port = port.ok_or(Objection::Host)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let named = host.starts_with('[') || (!host.is_empty() && host.bytes().all(plain));
    if !named || port.len() > 5 || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Objection::Host);
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    Ok(if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    })
}

/// What a path holds that matters for how it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PathTraits {
    /// `%2F`, `%5C`, `\`, `//` or `;`: some servers give them a meaning. Refused unless the route
    /// is lenient.
    pub(super) ambiguous: bool,
    /// Percent-encoded characters that need no encoding: a server may decode them at any time.
    pub(super) decodable: bool,
}

/// Looks at a path as it came. Dot segments, encoded or not, control characters, overlong UTF-8
/// and broken escapes are refused on every route.
pub(super) fn path_traits(path: &str) -> Result<PathTraits, Objection> {
    let bytes = path.as_bytes();
    let mut traits = PathTraits::default();
    let mut at = 0;
    // Dots and other characters of the present segment, counted as they decode.
    let (mut dots, mut others) = (0_usize, 0_usize);
    while at < bytes.len() {
        let mut byte = bytes[at];
        at += 1;
        let mut escaped = false;
        if byte == b'%' {
            let digits = bytes.get(at..at + 2).ok_or(Objection::Path)?;
            byte = unescape(digits)?;
            at += 2;
            escaped = true;
        }
        match byte {
            b'/' if !escaped => {
                if at > 1 {
                    end_of_segment(dots, others)?;
                    traits.ambiguous |= dots + others == 0;
                }
                (dots, others) = (0, 0);
                continue;
            }
            // A server that decodes first sees the end of a segment here.
            b'/' | b'\\' => {
                end_of_segment(dots, others)?;
                traits.ambiguous = true;
                (dots, others) = (0, 0);
                continue;
            }
            // A server that strips parameters first sees the end of a segment here.
            b';' => {
                end_of_segment(dots, others)?;
                traits.ambiguous = true;
                others += 1;
            }
            b'#' if !escaped => return Err(Objection::Path),
            // Control characters; and bytes that no valid UTF-8 holds, which only serve to hide
            // another character.
            0..=0x1f | 0x7f | 0xc0 | 0xc1 | 0xf5..=0xff => return Err(Objection::Path),
            b'.' => dots += 1,
            _ => others += 1,
        }
        traits.decodable |=
            escaped && (byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'));
    }
    end_of_segment(dots, others)?;
    Ok(traits)
}

fn end_of_segment(dots: usize, others: usize) -> Result<(), Objection> {
    if others == 0 && (dots == 1 || dots == 2) { Err(Objection::Path) } else { Ok(()) }
}

fn unescape(digits: &[u8]) -> Result<u8, Objection> {
    digits.iter().try_fold(0_u8, |value, &digit| {
        let digit = char::from(digit).to_digit(16).ok_or(Objection::Path)?;
        Ok(value << 4 | u8::try_from(digit).unwrap_or(0))
    })
}

/// The path with every escape of an unreserved character decoded, as a server may do at any time
/// (RFC 3986 section 6.2.2.2).
pub(super) fn decode_unreserved(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%'
            && let Some(Ok(byte)) = bytes.get(at + 1..at + 3).map(unescape)
            && (byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
        {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// How servers may read an ambiguous path: with encoded separators decoded and parameters cut off,
/// and with empty segments kept or merged.
pub(super) fn readings(path: &str) -> [String; 2] {
    let separated = decode_unreserved(path)
        .replace("%2f", "/")
        .replace("%2F", "/")
        .replace("%5c", "/")
        .replace("%5C", "/")
        .replace('\\', "/");
    let plain = |segment: &str| segment.split(';').next().unwrap_or("").to_owned();
    let segments: Vec<String> = separated.split('/').map(plain).collect();
    let kept = segments.iter().filter(|segment| !segment.is_empty());
    let merged = kept.fold(String::new(), |path, segment| path + "/" + segment);
    [segments.join("/"), if merged.is_empty() { "/".into() } else { merged }]
}

#[cfg(test)]
mod tests;
