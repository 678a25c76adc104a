//! Where a webhook may lead: nowhere that only this machine or its network can reach.
//!
//! Whoever sets up a webhook has us connect to an address of their choice, from where we stand. So
//! the address that is connected to has to be one that they could reach themselves: a public one,
//! unless the configuration allows a network. A name is judged by what it resolves to, each time.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest address of a webhook, in bytes.
pub const URL_BYTES_MAX: usize = 2_048;

/// Whether a connection may be made to this address.
#[must_use]
pub fn may_call(address: IpAddr, allowed: &[IpNet]) -> bool {
    let address = address.to_canonical();
    allowed.iter().any(|network| network.contains(&address)) || is_public(address)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// By the registry of special-purpose addresses (RFC 6890 and its successors). What clouds tell
/// their machines about themselves is at link-local (169.254.169.254), shared (100.100.100.200) or
/// reserved (192.0.0.192) addresses.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = match (a, b, c) {
        // This network, private, loopback, multicast, reserved and broadcast.
        (0 | 10 | 127 | 224..=255, ..)
        // Shared between a provider and its customers.
        | (100, 64..=127, _)
        // Link-local.
        | (169, 254, _)
        // Private.
        | (172, 16..=31, _)
        | (192, 168, _)
        // For protocols, documentation, the old 6to4 relays.
        | (192, 0, 0 | 2)
        | (192, 88, 99)
        // Measurements, documentation.
        | (198, 18 | 19, _)
        | (198, 51, 100)
        | (203, 0, 113) => true,
        _ => false,
    };
    !is_special
}

/// Only what is given out to the public (`2000::/3`), without what leads back into IPv4 unless that
/// is public, too.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, middle @ .., high, low] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (first, second) {
        // NAT64 (RFC 6052).
        (0x64, 0xff9b) => third == 0 && middle == [0; 3] && v4(high, low),
        // 6to4 (RFC 3056).
        (0x2002, _) => v4(second, third),
        // Teredo, benchmarks, ORCHID, documentation.
        (0x2001, 0..=0x01ff | 0x0db8) | (0x3fff, 0..=0x0fff) => false,
        _ => first & 0xe000 == 0x2000,
    }
}

/// The parts of a webhook's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether it is `https`.
    pub is_secure: bool,
    /// A name or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What the `Host` field says.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// Why a text is no address of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATarget {
    /// Not in the form of one.
    #[error(
        "expected https://host/path or http://host/path, at most {URL_BYTES_MAX} ASCII characters"
    )]
    Form,
    /// A name and a password in it.
    #[error("expected no user name or password before the host: what we send is signed")]
    UserInfo,
    /// A part that is never sent.
    #[error("expected no fragment (`#`)")]
    Fragment,
}

impl Target {
    /// Reads an address. Nothing is resolved.
    pub fn parse(url: &str) -> Result<Self, NotATarget> {
        if url.len() > URL_BYTES_MAX || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NotATarget::Form);
        }
        if url.contains('#') {
            return Err(NotATarget::Fragment);
        }
        let uri: http::Uri = url.parse().map_err(|_unspecific| NotATarget::Form)?;
        let is_secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(NotATarget::Form),
        };
        let authority = uri.authority().ok_or(NotATarget::Form)?;
        if authority.as_str().contains('@') {
            return Err(NotATarget::UserInfo);
        }
        let host = authority.host().to_ascii_lowercase();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        let port = match authority.port_u16() {
            Some(0) => return Err(NotATarget::Form),
            Some(port) => port,
            // A port that is there and no number is no port.
            None if authority.as_str().ends_with(authority.host()) => {
                if is_secure {
                    443
                } else {
                    80
                }
            }
            None => return Err(NotATarget::Form),
        };
        if host.is_empty() {
            return Err(NotATarget::Form);
        }
        Ok(Self {
            is_secure,
            host: host.to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }

    /// The address, if the host is one rather than a name.
    #[must_use]
    pub fn literal(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

#[cfg(test)]
mod tests;
