//! Versions in requests: `ETag` and `If-Match` (RFC 9110 sections 8.8.3 and 13.1.1).

use super::Shared;
use super::problem::{Kind, Problem};
use crate::org::Revision;
use axum::extract::FromRequestParts;
use http::header::IF_MATCH;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

/// Most tags in one `If-Match`.
const TAGS_MAX: usize = 16;

/// The tag of a version.
pub(crate) fn tag(version: Revision) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{}\"", version.0))
        .unwrap_or_else(|_never| HeaderValue::from_static("\"0\""))
}

/// What the state must be for a change to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// Nothing is asked.
    Absent,
    /// The resource is there.
    Existing,
    /// The resource is in one of these versions, as `ETag` told them.
    Versions(Vec<String>),
}

impl Precondition {
    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let invalid = || {
            let detail = "If-Match: expected * or entity tags, such as \"42\"";
            Problem::new(Kind::InvalidRequest, detail)
        };
        let mut tags = Vec::new();
        let mut any = false;
        let mut seen = false;
        for field in headers.get_all(IF_MATCH) {
            seen = true;
            let field = field.to_str().map_err(|_not_ascii| invalid())?;
            for tag in field.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
                let opaque = tag.strip_prefix("W/").unwrap_or(tag);
                let is_quoted =
                    opaque.len() >= 2 && opaque.starts_with('"') && opaque.ends_with('"');
                any |= tag == "*";
                if (tag != "*" && !is_quoted) || tags.len() >= TAGS_MAX {
                    return Err(invalid());
                }
                tags.push(tag.to_owned());
            }
        }
        match (seen, any, tags.len()) {
            (false, ..) => Ok(Self::Absent),
            (true, true, 1) => Ok(Self::Existing),
            (true, false, 1..) => Ok(Self::Versions(tags)),
            (true, ..) => Err(invalid()),
        }
    }

    /// This version, which somebody has looked at.
    pub(crate) fn this(version: Revision) -> Self {
        Self::Versions(vec![format!("\"{}\"", version.0)])
    }

    /// Whether a change of a resource in this version may be made. A weak tag matches nothing.
    pub(crate) fn holds(&self, version: Revision) -> Result<(), Problem> {
        match self {
            Self::Absent | Self::Existing => Ok(()),
            Self::Versions(tags) if tags.iter().any(|known| *known == tag(version)) => Ok(()),
            Self::Versions(_) => {
                Err(Problem::new(Kind::Changed, "read it again and decide anew: If-Match failed"))
            }
        }
    }
}

impl FromRequestParts<Shared> for Precondition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &Shared) -> Result<Self, Problem> {
        Self::read(&parts.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_compared_strongly() {
        let of = |fields: &[&'static str], version| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(IF_MATCH, HeaderValue::from_static(field));
            }
            Precondition::read(&headers)
                .and_then(|asked| asked.holds(Revision(version)))
                .map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(of(&[], 7), Ok(()));
        assert_eq!(of(&["*"], 7), Ok(()));
        assert_eq!(of(&["\"7\""], 7), Ok(()));
        assert_eq!(of(&["\"6\", \"7\""], 7), Ok(()));
        assert_eq!(of(&["\"6\"", "\"7\""], 7), Ok(()));
        assert_eq!(of(&["\"6\""], 7), Err(412));
        assert_eq!(of(&["W/\"7\""], 7), Err(412));
        for bad in ["7", "\"7", "", "*, \"7\"", "\"", "W/7"] {
            assert_eq!(of(&[bad], 7), Err(400), "{bad}");
        }
    }
}
