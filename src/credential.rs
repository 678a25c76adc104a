//! The credential of a request: what stands in its `Authorization` field (RFC 6750 section 2.1).
//!
//! The one rule, for every route: exactly one `Authorization` field; the scheme `Bearer` in any
//! case; exactly one space; then the token, a run of visible ASCII characters without a space or
//! comma, up to [`TOKEN_BYTES_MAX`]; then nothing. Tokens in a query or a body are ignored.

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

/// Longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// Whether a client can present this as a bearer token at all.
pub(crate) fn is_presentable(token: &[u8]) -> bool {
    well_formed(token)
}

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    /// No `Authorization` field, or one of another scheme.
    Absent,
    /// A bearer credential that breaks the rule, or more than one `Authorization` field.
    Malformed,
    /// A bearer token, not yet looked up.
    Bearer(&'a [u8]),
}

/// Reads the credential of a request.
#[must_use]
pub fn extract(headers: &HeaderMap) -> Credential<'_> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    read(fields.next(), fields.next().is_some())
}

/// Reads the credential from the first `Authorization` field, if there is one, and whether there
/// are more of them.
#[must_use]
pub fn read(first: Option<&HeaderValue>, more: bool) -> Credential<'_> {
    match first {
        None => Credential::Absent,
        Some(_) if more => Credential::Malformed,
        Some(field) => parse(field.as_bytes()),
    }
}

fn parse(field: &[u8]) -> Credential<'_> {
    const SCHEME: &[u8] = b"bearer";
    let Some((scheme, rest)) = field.split_at_checked(SCHEME.len()) else {
        return Credential::Absent;
    };
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Credential::Absent;
    }
    match rest {
        [b' ', token @ ..] if well_formed(token) => Credential::Bearer(token),
        // `Bearertoken` and the like name a scheme that is not ours.
        [byte, ..] if !matches!(byte, b' ' | b'\t' | b',') => Credential::Absent,
        _ => Credential::Malformed,
    }
}

fn well_formed(token: &[u8]) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.iter().all(|&byte| byte.is_ascii_graphic() && byte != b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(field).expect("a field value"));
        }
        headers
    }

    #[test]
    fn absent_malformed_and_present_are_told_apart() {
        use Credential::{Absent, Bearer, Malformed};
        let long = [b"Bearer ".as_slice(), &[b'x'; TOKEN_BYTES_MAX + 1]].concat();
        let cases: &[(&[u8], Credential<'_>)] = &[
            (b"Bearer abc", Bearer(b"abc")),
            (b"bEaReR abc", Bearer(b"abc")),
            (b"Bearer a.b-c_d~e+f/g==", Bearer(b"a.b-c_d~e+f/g==")),
            (b"Basic abc", Absent),
            (b"", Absent),
            (b"Bear", Absent),
            (b"Bearerabc", Absent),
            (b"BearerX abc", Absent),
            (b"Bearer", Malformed),
            (b"Bearer ", Malformed),
            (b"Bearer  abc", Malformed),
            (b"Bearer\tabc", Malformed),
            (b"Bearer abc ", Malformed),
            (b"Bearer abc def", Malformed),
            (b"Bearer abc,def", Malformed),
            (b"Bearer ab\xffc", Malformed),
            (&long, Malformed),
        ];
        for (field, expected) in cases {
            let headers = of(&[field]);
            assert_eq!(extract(&headers), *expected, "{}", String::from_utf8_lossy(field));
        }
        assert_eq!(extract(&HeaderMap::new()), Absent);
    }

    #[test]
    fn two_fields_are_malformed_even_when_equal() {
        let headers = of(&[b"Bearer abc", b"Bearer abc"]);
        assert_eq!(extract(&headers), Credential::Malformed);
        let headers = of(&[b"Basic abc", b"Bearer abc"]);
        assert_eq!(extract(&headers), Credential::Malformed);
    }
}
