//! The meaning of single texts. Each function says what would be right when the text is not; what
//! it says is put after the text itself.

use crate::config::Address;
use http::{HeaderName, Method};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

const REALM_CHARS_MAX: usize = 64;
const PREFIX_CHARS_MAX: usize = 16;
const PATH_BYTES_MAX: usize = 1024;
/// RFC 1035 section 2.3.4, without the length bytes and the root.
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
const HEADER_NAME_BYTES_MAX: usize = 64;

/// A duration: a whole number and its unit.
pub(in crate::config) fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || "is not a duration: expected \"250ms\", \"10s\", \"5m\", \"24h\" or \"90d\"".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_overflow| wrong())?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "d" => number.checked_mul(86_400_000),
        _ => None,
    };
    millis.map(Duration::from_millis).ok_or_else(wrong)
}

/// Where a port listens.
pub(super) fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_unspecific| {
        "is not an address and port: expected \"127.0.0.1:8080\" or \"[::1]:8080\"".to_owned()
    })
}

/// A realm, which stands in a quoted string (RFC 9110 section 5.6.4).
pub(super) fn realm(text: &str) -> Result<String, String> {
    let allowed = |char: char| matches!(char, ' '..='~') && !matches!(char, '"' | '\\');
    if (1..=REALM_CHARS_MAX).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "is not a realm: expected 1 to {REALM_CHARS_MAX} ASCII characters, none of them a \
             quote or a backslash"
        ))
    }
}

/// What secrets begin with.
pub(super) fn token_prefix(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=PREFIX_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "is not a token prefix: expected 1 to {PREFIX_CHARS_MAX} letters, digits, `_` or `-`"
        ))
    }
}

/// A host of a route or of the admin port: lower-case, without a port.
pub(super) fn host(text: &str) -> Result<String, String> {
    if let Some(inner) = text.strip_prefix('[') {
        let ip: Option<Ipv6Addr> = inner.strip_suffix(']').and_then(|ip| ip.parse().ok());
        return ip.map(|ip| format!("[{ip}]")).ok_or_else(|| {
            "is not a host: an IPv6 address stands in brackets, without a port".to_owned()
        });
    }
    if text.contains("//") {
        return Err("is not a host: leave the scheme away".to_owned());
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("is not a host: write \"[{text}]\""));
    }
    if text.contains(':') {
        return Err("is not a host: leave the port away, any port matches".to_owned());
    }
    if text.contains('*') {
        return Err("is not a host: patterns are not supported, list each host".to_owned());
    }
    host_name(text)
}

/// An address of an upstream, and whether TLS is spoken with it.
pub(super) fn upstream(text: &str) -> Result<(Address, bool), String> {
    let Some(secure) = text.strip_prefix("https://") else {
        return Ok((address(text)?, false));
    };
    let secure = secure.strip_suffix('/').unwrap_or(secure);
    // The port of `https` (RFC 9110 section 4.2.2) need not be written.
    let has_port = secure.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let written = if has_port { secure.to_owned() } else { format!("{secure}:443") };
    Ok((address(&written)?, true))
}

/// An address.
pub(super) fn address(text: &str) -> Result<Address, String> {
    let wrong = |reason: &str| format!("is not an address: {reason}");
    if text.contains("//") {
        return Err(wrong("expected host:port, without a scheme"));
    }
    let (host, port) =
        text.rsplit_once(':').ok_or_else(|| wrong("expected host:port, the port is missing"))?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse::<u16>().ok().filter(|&port| digits && port != 0);
    let port = port.ok_or_else(|| wrong("expected a port from 1 to 65535 after the host"))?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => ip
            .parse::<Ipv6Addr>()
            .map(|ip| ip.to_string())
            .map_err(|_unspecific| wrong("what stands in brackets is no IPv6 address"))?,
        None if host.contains(':') => return Err(wrong("an IPv6 address stands in brackets")),
        None => host_name(host)?,
    };
    Ok(Address { host, port })
}

/// A DNS name or an IPv4 address, in lower case.
fn host_name(text: &str) -> Result<String, String> {
    let wrong = |reason: &str| Err(format!("is not a host: {reason}"));
    if !text.is_ascii() {
        return wrong("write it in its ASCII form (xn--...)");
    }
    if text.ends_with('.') {
        return wrong("leave the dot at the end away");
    }
    if text.is_empty() || text.len() > HOST_BYTES_MAX {
        return wrong("expected 1 to 253 characters");
    }
    let name = text.to_ascii_lowercase();
    let label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(allowed)
    };
    if !name.split('.').all(label) {
        return wrong("expected letters, digits, `-` and `_`, in parts of 1 to 63 between dots");
    }
    // `127.1` or `0x7f.1` would reach a resolver as some IPv4 address: say it plainly.
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if numeric && name.parse::<Ipv4Addr>().is_err() {
        return wrong("expected an IPv4 address of four decimal numbers");
    }
    Ok(name.parse::<IpAddr>().map_or(name, |ip| ip.to_string()))
}

/// The path prefix of a route.
pub(super) fn path(text: &str) -> Result<String, String> {
    let wrong = |reason: &str| Err(format!("is not a path prefix: {reason}"));
    if !text.starts_with('/') {
        return wrong("it begins with `/`");
    }
    if text.len() > PATH_BYTES_MAX {
        return wrong("it has at most 1024 characters");
    }
    if text.contains("//") {
        return wrong("it has no empty segment (`//`)");
    }
    if text.contains('%') {
        return wrong("it is matched byte by byte and has no `%` escape");
    }
    if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return wrong("it has no `.` or `..` segment");
    }
    // RFC 3986 section 3.3: pchar, without escapes; `;` begins parameters that routes do not see.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(&byte);
    if !text.bytes().all(allowed) {
        return wrong("it has letters, digits and -._~!$&'()*+,=:@/ only");
    }
    match text.strip_suffix('/') {
        Some(shorter) if !shorter.is_empty() => {
            wrong(&format!("write `{shorter}`, which matches itself and everything below"))
        }
        _ => Ok(text.to_owned()),
    }
}

/// A request method, in the case that requests have it in.
pub(super) fn method(text: &str) -> Result<Method, String> {
    let standard = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    let upper = standard.iter().find(|name| text.eq_ignore_ascii_case(name) && text != **name);
    if let Some(upper) = upper {
        return Err(format!("is not a method: methods have a case, write \"{upper}\""));
    }
    match Method::from_bytes(text.as_bytes()) {
        Ok(Method::CONNECT) => Err("is never forwarded".to_owned()),
        Ok(method) => Ok(method),
        Err(_unspecific) => Err("is not a method: expected \"GET\" or the like".to_owned()),
    }
}

/// The name of an identity header.
pub(super) fn identity_header(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .ok()
        .filter(|_| text.len() <= HEADER_NAME_BYTES_MAX)
        .ok_or("is not a header name: expected 1 to 64 letters, digits and `-`")?;
    // The alias of a header that upstreams fold to the same variable must not be one of ours.
    if text.contains('_') {
        return Err("is not a good header name: many servers drop names with `_`".to_owned());
    }
    let reserved = [
        "authorization",
        "client-cert",
        "client-cert-chain",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
    ];
    if reserved.contains(&name.as_str()) {
        return Err("has a meaning of its own: choose another name".to_owned());
    }
    Ok(name)
}
