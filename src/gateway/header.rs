//! Header fields on their way up and down.
//!
//! One pass over the names finds what must go; only that is removed, so an ordinary request pays
//! for a comparison of lengths and no more. Ours is put in after the client's is gone, so nothing
//! that a client names in `Connection` can take it away again.

use crate::cache::IdentityValues;
use crate::config::IdentityHeaders;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, DATE, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields that only a trusted proxy may say, beside the identity headers and everything that
/// begins with [`X_FORWARDED`].
const FORWARDING: [HeaderName; 2] = [FORWARDED, HeaderName::from_static("x-real-ip")];
const X_FORWARDED: &str = "x-forwarded-";
/// Fields of one connection only (RFC 9110 section 7.6.1), and the proxy's own (section 11.7).
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    PROXY_AUTHORIZATION,
    PROXY_AUTHENTICATE,
];

/// How often a field is there, and its first value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Field<'a> {
    #[default]
    Absent,
    Once(&'a HeaderValue),
    Repeated(&'a HeaderValue),
}

impl<'a> Field<'a> {
    fn see(&mut self, value: &'a HeaderValue) {
        *self = match *self {
            Self::Absent => Self::Once(value),
            Self::Once(first) | Self::Repeated(first) => Self::Repeated(first),
        };
    }

    /// The first value.
    pub(super) fn value(self) -> Option<&'a HeaderValue> {
        match self {
            Self::Absent => None,
            Self::Once(value) | Self::Repeated(value) => Some(value),
        }
    }

    /// The value, if there is exactly one.
    pub(super) fn only(self) -> Option<&'a HeaderValue> {
        match self {
            Self::Once(value) => Some(value),
            Self::Absent | Self::Repeated(_) => None,
        }
    }
}

/// What one look over a header finds. Most requests have a handful of fields: looking at each once
/// is cheaper than asking the map for each name that matters.
#[derive(Debug, Default)]
pub(super) struct Survey<'a> {
    pub(super) host: Field<'a>,
    pub(super) authorization: Field<'a>,
    pub(super) transfer_encoding: Field<'a>,
    pub(super) content_length: Field<'a>,
    pub(super) expect: Field<'a>,
    pub(super) chores: Chores,
}

/// What there is to take off a header.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four independent findings, not a state")]
pub(super) struct Chores {
    /// `Connection` names more than this connection's fate.
    nominations: bool,
    /// A field that must not pass is there.
    strip: bool,
    authorization: bool,
    has_date: bool,
}

/// The fields that are taken off requests, and the names of those that are put on.
#[derive(Debug)]
pub(super) struct Names {
    identity: [HeaderName; 4],
    /// Lengths of all names that may have to go, as a set of bits.
    lengths: u64,
    stripped: Vec<HeaderName>,
}

/// What happens to the header of an admitted request, by itself: for measuring it.
#[derive(Debug)]
pub struct HeaderWork {
    names: Names,
    forwarded_for: HeaderValue,
    via: HeaderValue,
}

impl HeaderWork {
    /// With these names for the identity headers.
    #[must_use]
    pub fn new(identity: &IdentityHeaders) -> Self {
        let forwarded_for = HeaderValue::from_static("192.0.2.1");
        Self { names: Names::new(identity), forwarded_for, via: HeaderValue::from_static("1.1 b") }
    }

    /// The one look over a client's fields, and what it takes to make them the upstream's.
    pub fn pass(&self, headers: &mut HeaderMap, identity: &IdentityValues) {
        let chores = self.names.survey(headers).chores;
        let additions = Additions {
            authorization: Authorization::Drop,
            forwarded_for: &self.forwarded_for,
            via: &self.via,
        };
        self.names.prepare_request(headers, chores, &additions);
        self.names.identify(headers, identity);
    }
}

/// What is put on a request.
pub(super) struct Additions<'a> {
    /// What goes upstream as `Authorization`: the client's, the configuration's, or nothing.
    pub(super) authorization: Authorization<'a>,
    pub(super) forwarded_for: &'a HeaderValue,
    pub(super) via: &'a HeaderValue,
}

pub(super) enum Authorization<'a> {
    Drop,
    Keep,
    Replace(&'a HeaderValue),
}

impl Names {
    pub(super) fn new(identity: &IdentityHeaders) -> Self {
        // Kept for the life of the process: a name on the heap is counted for each request, and all
        // workers would count the same one.
        let kept = |name: &HeaderName| {
            let text: &'static str = String::leak(name.as_str().to_owned());
            HeaderName::from_static(text)
        };
        let IdentityHeaders { subject, organization, token_id, scope } = identity;
        let identity = [kept(subject), kept(organization), kept(token_id), kept(scope)];
        let mut stripped: Vec<HeaderName> = identity.to_vec();
        stripped.extend(FORWARDING);
        stripped.extend(HOP_BY_HOP);
        stripped.push(EXPECT);
        let lengths = stripped.iter().fold(0, |set, name| set | length_bit(name.as_str().len()));
        Self { identity, lengths, stripped }
    }

    /// Whether a client's field with this name must not reach an upstream. An underscore counts as
    /// a hyphen: CGI-like upstreams cannot tell them apart.
    fn is_stripped(&self, name: &str) -> bool {
        let same = |ours: &str, theirs: &[u8]| {
            ours.bytes()
                .zip(theirs)
                .all(|(ours, &theirs)| ours == theirs || (ours == b'-' && theirs == b'_'))
        };
        let name = name.as_bytes();
        if name.first() == Some(&b'x') && name.len() > X_FORWARDED.len() && same(X_FORWARDED, name)
        {
            return true;
        }
        self.lengths & length_bit(name.len()) != 0
            && self.stripped.iter().any(|stripped| {
                stripped.as_str().len() == name.len() && same(stripped.as_str(), name)
            })
    }

    /// Looks over the header of a request.
    pub(super) fn survey<'a>(&self, headers: &'a HeaderMap) -> Survey<'a> {
        let mut seen = Survey::default();
        for (name, value) in headers {
            if *name == HOST {
                seen.host.see(value);
            } else if *name == AUTHORIZATION {
                seen.authorization.see(value);
                seen.chores.authorization = true;
            } else if *name == CONTENT_LENGTH {
                seen.content_length.see(value);
            } else if self.is_stripped(name.as_str()) {
                seen.chores.strip = true;
                if *name == CONNECTION {
                    seen.chores.nominations |= nominates(value);
                } else if *name == TRANSFER_ENCODING {
                    seen.transfer_encoding.see(value);
                } else if *name == EXPECT {
                    seen.expect.see(value);
                }
            }
        }
        seen
    }

    /// Makes the client's fields into the upstream's.
    pub(super) fn prepare_request(
        &self,
        headers: &mut HeaderMap,
        chores: Chores,
        additions: &Additions<'_>,
    ) {
        if chores.nominations {
            remove_nominated(headers);
        }
        if chores.strip {
            remove_all(headers, |name| self.is_stripped(name.as_str()));
        }
        match additions.authorization {
            Authorization::Drop if chores.authorization => {
                headers.remove(AUTHORIZATION);
            }
            Authorization::Drop | Authorization::Keep => {}
            Authorization::Replace(value) => {
                headers.insert(AUTHORIZATION, value.clone());
            }
        }
        if let Some(host) = headers.get(HOST).cloned() {
            headers.insert(X_FORWARDED_HOST, host);
        }
        headers.insert(X_FORWARDED_FOR, additions.forwarded_for.clone());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
        headers.append(VIA, additions.via.clone());
    }

    /// Puts on who is calling.
    pub(super) fn identify(&self, headers: &mut HeaderMap, identity: &IdentityValues) {
        let [subject, organization, token_id, scope] = &self.identity;
        headers.insert(subject, identity.subject.clone());
        headers.insert(organization, identity.organization.clone());
        headers.insert(token_id, identity.token_id.clone());
        headers.insert(scope, identity.scope.clone());
    }

    /// Trailer fields of a request that may go upstream: nothing that frames, routes or
    /// authenticates a message (RFC 9110 section 6.5.1).
    pub(super) fn prepare_trailers(&self, trailers: &mut HeaderMap) {
        remove_all(trailers, |name| {
            self.is_stripped(name.as_str()) || [AUTHORIZATION, HOST, CONTENT_LENGTH].contains(name)
        });
    }
}

/// Looks over the header of an answer: its framing, and what there is to take off it.
pub(super) fn survey_response(headers: &HeaderMap) -> Survey<'_> {
    let mut seen = Survey::default();
    for (name, value) in headers {
        if *name == CONTENT_LENGTH {
            seen.content_length.see(value);
        } else if *name == DATE {
            seen.chores.has_date = true;
        } else if is_hop_by_hop(name) {
            seen.chores.strip = true;
            if *name == CONNECTION {
                seen.chores.nominations |= nominates(value);
            } else if *name == TRANSFER_ENCODING {
                seen.transfer_encoding.see(value);
            }
        }
    }
    seen
}

/// Makes the upstream's fields into the client's.
pub(super) fn prepare_response(
    headers: &mut HeaderMap,
    chores: Chores,
    via: &HeaderValue,
    date: impl FnOnce() -> HeaderValue,
) {
    if chores.nominations {
        remove_nominated(headers);
    }
    if chores.strip {
        remove_all(headers, is_hop_by_hop);
    }
    headers.append(VIA, via.clone());
    if !chores.has_date {
        headers.insert(DATE, date());
    }
}

fn remove_all(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| unwanted(name)) {
        let name = name.clone();
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    // Those that an upstream has reason to send; `trailer` announces what is passed on.
    *name == CONNECTION
        || *name == TRANSFER_ENCODING
        || *name == UPGRADE
        || *name == TE
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
        || *name == PROXY_AUTHENTICATE
}

/// Whether a `Connection` field says more than what becomes of the connection.
fn nominates(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    !value.eq_ignore_ascii_case(b"keep-alive") && !value.eq_ignore_ascii_case(b"close")
}

/// Removes the fields that `Connection` names, except those without which the message would be
/// another one.
fn remove_nominated(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| {
            ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING, AUTHORIZATION, DATE].contains(name)
        })
        .collect();
    for name in nominated {
        headers.remove(name);
    }
}

fn length_bit(length: usize) -> u64 {
    // No name is empty, so the lowest bit is free for those that are too long for one of their own.
    1_u64.checked_shl(u32::try_from(length).unwrap_or(u32::MAX)).unwrap_or(1)
}

#[cfg(test)]
mod tests;
