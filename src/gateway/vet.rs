//! Step 0 of a request: is it one that upstream and gateway are certain to read alike?
//!
//! What is refused here is what one HTTP implementation mends silently and another reads
//! differently. Nothing is normalised: the bytes that are matched are the bytes that are forwarded.

use crate::http1::{Expectation, Fault, RequestHead};
use http::Method;
use std::borrow::Cow;

/// Why a request is refused before anything is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// The framing is in doubt; what follows on the connection cannot be told apart either.
    Framing,
    /// The head is no head of a request.
    Head,
    /// The head is too long, or has too many fields (RFC 6585 section 5).
    TooLarge,
    /// A version of HTTP that is not spoken here.
    Version,
    /// None, more than one, or a malformed `Host` (RFC 9112 section 3.2).
    Host,
    /// An absolute target that names another host than `Host` does or another scheme than the
    /// port's, or another form of target than a path.
    Target,
    /// Another host than the one that the connection was made to (RFC 9110 section 15.5.20).
    Misdirected,
    /// A path that gateway and upstream could read differently.
    Path,
    /// CONNECT and TRACE are not for a reverse proxy.
    Method,
    /// `Expect` with anything but `100-continue` (RFC 9110 section 10.1.1).
    Expectation,
}

impl From<Fault> for Objection {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLarge => Self::TooLarge,
            Fault::Version => Self::Version,
            Fault::StartLine | Fault::FieldName | Fault::FieldValue => Self::Head,
            Fault::BareLineBreak
            | Fault::Folding
            | Fault::BothFramings
            | Fault::ContentLength
            | Fault::TransferEncoding
            | Fault::Chunk
            | Fault::Extension => Self::Framing,
        }
    }
}

/// What the connection says about the requests on it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Origin<'a> {
    /// Whether TLS is spoken.
    pub(super) is_secure: bool,
    /// The host that the connection was made to, in lower case, as far as TLS says.
    pub(super) server_name: Option<&'a str>,
}

/// What is certain about a request.
pub(super) struct Vetted<'a> {
    pub(super) method: Method,
    /// Lower-case, without port and trailing dot.
    pub(super) host: Cow<'a, str>,
    pub(super) path: &'a str,
    pub(super) target: Target,
}

/// Where path and query are in the target, as they came and will be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    start: usize,
}

impl Target {
    /// Writes the target as it goes upstream: less so many bytes of the path, and never without its
    /// slash.
    pub(super) fn write(self, text: &mut Vec<u8>, head: &RequestHead<'_>, strip_bytes: usize) {
        let target = head.target();
        let rest = &target[(self.start + strip_bytes).min(target.len())..];
        if rest.first() != Some(&b'/') {
            text.push(b'/');
        }
        text.extend_from_slice(rest);
    }
}

/// Vets the head of a request.
pub(super) fn vet<'a>(head: &RequestHead<'a>, origin: Origin<'_>) -> Result<Vetted<'a>, Objection> {
    let method = Method::from_bytes(head.method()).map_err(|_no_method| Objection::Head)?;
    if matches!(method, Method::CONNECT | Method::TRACE) {
        return Err(Objection::Method);
    }
    if head.expectation() == Expectation::Other {
        return Err(Objection::Expectation);
    }
    let field = head.host().ok_or(Objection::Host)?;
    let host = canonical_host(field)?;
    // What the handshake showed and asked for was meant for that host and no other.
    if origin.server_name.is_some_and(|name| name != host) {
        return Err(Objection::Misdirected);
    }
    let target = std::str::from_utf8(head.target()).map_err(|_no_text| Objection::Target)?;
    let start = path_start(target, field, origin)?;
    let end = target[start..].find('?').map_or(target.len(), |length| start + length);
    // An absolute target may have no path.
    let path = if start == end { "/" } else { &target[start..end] };
    Ok(Vetted { method, host, path, target: Target { start } })
}

/// Where the path begins in a target in origin or absolute form (RFC 9112 section 3.2). Asterisk
/// and authority forms have none.
fn path_start(target: &str, host: &[u8], origin: Origin<'_>) -> Result<usize, Objection> {
    if target.starts_with('/') {
        return Ok(0);
    }
    let (scheme, rest) = target.split_once("://").ok_or(Objection::Target)?;
    // Whoever names another scheme than the connection's means another origin (RFC 9110 section
    // 4.3.3).
    if !scheme.eq_ignore_ascii_case(if origin.is_secure { "https" } else { "http" }) {
        return Err(Objection::Target);
    }
    let length = rest.find(['/', '?']).unwrap_or(rest.len());
    if rest.as_bytes()[..length].eq_ignore_ascii_case(host) {
        Ok(target.len() - rest.len() + length)
    } else {
        Err(Objection::Target)
    }
}

/// A host as routes are keyed by it (RFC 3986 section 3.2.2): without its port and trailing dot,
/// in lower case.
fn canonical_host(field: &[u8]) -> Result<Cow<'_, str>, Objection> {
    let length = if field.first() == Some(&b'[') {
        let end = field.iter().position(|&byte| byte == b']').ok_or(Objection::Host)?;
        let inside = std::str::from_utf8(&field[1..end]).map_err(|_no_text| Objection::Host)?;
        let address = inside.parse::<std::net::Ipv6Addr>();
        address.map_err(|_not_an_address| Objection::Host)?;
        end + 1
    } else {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        field.iter().take_while(|&&byte| plain(byte)).count()
    };
    let (host, port) = field.split_at(length);
    match port {
        [] => {}
        [b':', digits @ ..] if digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) => {}
        _ => return Err(Objection::Host),
    }
    if host.is_empty() {
        return Err(Objection::Host);
    }
    let host = host.strip_suffix(b".").unwrap_or(host);
    let host = std::str::from_utf8(host).map_err(|_no_text| Objection::Host)?;
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
