//! Creating once: `Idempotency-Key`. A creation that is repeated under its key is answered with
//! what the first one made, and never with a secret.

use super::Shared;
use super::problem::{Kind, Problem};
use crate::change::{Change, Creation, Require};
use crate::governance::Caller;
use crate::id::TokenId;
use crate::store::Ledger;
use crate::time::Timestamp;
use axum::extract::FromRequestParts;
use http::HeaderName;
use http::request::Parts;
use sha2::{Digest as _, Sha256};

const FIELD: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key.
const KEY_BYTES_MAX: usize = 255;

/// The key of a request, if it has one, with what else belongs to the request's identity.
#[derive(Clone, Debug)]
pub(crate) struct IdempotencyKey {
    key: Option<Vec<u8>>,
    target: String,
}

impl FromRequestParts<Shared> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &Shared) -> Result<Self, Problem> {
        let mut fields = parts.headers.get_all(FIELD).iter();
        let key = match (fields.next(), fields.next()) {
            (None, _) => None,
            (Some(field), None)
                if (1..=KEY_BYTES_MAX).contains(&field.len())
                    && field.as_bytes().iter().all(u8::is_ascii_graphic) =>
            {
                Some(field.as_bytes().to_vec())
            }
            (Some(_), _) => {
                let detail = format!(
                    "Idempotency-Key: expected one of 1 to {KEY_BYTES_MAX} visible characters"
                );
                return Err(Problem::new(Kind::InvalidRequest, detail));
            }
        };
        Ok(Self { key, target: parts.uri.path().to_owned() })
    }
}

/// A creation that may have happened before.
#[derive(Clone, Debug)]
pub(crate) enum Once {
    /// The request has no key: each one creates.
    Unkeyed,
    /// The request has a key.
    Keyed {
        /// Digest of caller and key.
        key: [u8; 32],
        /// Digest of what is asked for.
        request: [u8; 32],
    },
}

impl IdempotencyKey {
    /// No key: each such request creates.
    pub(crate) const fn absent() -> Self {
        Self { key: None, target: String::new() }
    }

    /// Binds the key to its caller and to the body.
    pub(crate) fn bind(self, caller: &Caller, body: &[u8; 32]) -> Once {
        let Some(key) = self.key else { return Once::Unkeyed };
        let digest = |parts: &[&[u8]]| {
            let mut digest = Sha256::new();
            for part in parts {
                // Lengths first, so that no two lists of parts read the same.
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
            digest.finalize().into()
        };
        let caller = caller.token().map_or(caller.user().bits(), TokenId::bits).to_be_bytes();
        Once::Keyed {
            key: digest(&[b"creation", &caller, &key]),
            request: digest(&[self.target.as_bytes(), body]),
        }
    }
}

impl Once {
    /// What was made under the key before, as text; nothing if nothing was.
    pub(crate) fn made(&self, ledger: &dyn Ledger) -> Result<Option<String>, Problem> {
        let Self::Keyed { key, request } = self else { return Ok(None) };
        let Some(creation) = ledger.creation(key)? else { return Ok(None) };
        if creation.request != *request {
            let detail = "the same Idempotency-Key came with another body or for another resource";
            return Err(Problem::new(Kind::KeyReused, detail));
        }
        Ok(Some(creation.made))
    }

    /// Has the change remember what it makes, and happen once.
    pub(crate) fn mark(&self, change: &mut Change, made: String, at: Timestamp) {
        if let Self::Keyed { key, request } = *self {
            change.requires.push(Require::CreationAbsent(key));
            change.creation = Some(Creation { key, request, made, at });
        }
    }
}

/// What was made under the key and is gone since.
pub(crate) fn gone() -> Problem {
    Problem::new(Kind::Conflict, "what was made under this Idempotency-Key is there no more")
}
