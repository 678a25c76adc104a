//! ID tokens: whether one proves what it claims (`OpenID` Connect Core 1.0, section 3.1.3.7).

use super::metadata::Unusable;
use crate::time::Timestamp;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha512};
use std::collections::HashSet;
use std::time::Duration;

/// How far the clocks of the provider and of this machine may be apart.
pub const LEEWAY: Duration = Duration::from_mins(1);
/// Longest ID token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// Most keys of a provider that are looked at.
pub const KEYS_MAX: usize = 64;
/// Longest `sub` (section 2), in bytes.
const SUBJECT_BYTES_MAX: usize = 255;
/// What a token may be signed with: by a key whose other half the provider alone has.
const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];

/// The keys of a provider.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Jwk>);

/// What a token has to say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Who made it.
    pub issuer: &'a str,
    /// Whom it is for.
    pub client_id: &'a str,
    /// In which sign-in.
    pub nonce: &'a str,
    /// The access token that came with it.
    pub access_token: &'a str,
    /// The present.
    pub now: Timestamp,
}

/// Why a token proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is none.
    #[error("the ID token is none, or lacks a claim that it must have")]
    Form,
    /// It is signed in a way that is not accepted.
    #[error("the ID token is signed in a way that is not accepted, or not at all")]
    Algorithm,
    /// There is no such key; there may be one soon.
    #[error("the ID token is signed with a key that the provider does not publish")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the signature of the ID token is wrong")]
    Signature,
    /// Another provider made it.
    #[error("the ID token is of another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("the ID token is for another client")]
    Audience,
    /// Its time is over, or has not begun.
    #[error("the ID token is not of this time: its clock or ours may be wrong")]
    Time,
    /// It belongs to another sign-in.
    #[error("the ID token belongs to another sign-in")]
    Nonce,
    /// It does not belong to the access token that came with it.
    #[error("the ID token does not belong to the access token beside it")]
    AccessToken,
}

/// What a proven token says.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    subject: String,
    all: Map<String, Value>,
}

impl Claims {
    /// What the provider calls the person: never another one's, never changed.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The value of a claim.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.all.get(name)
    }

    /// The value of a claim, or of one within others: `realm_access.roles`.
    pub(super) fn found(&self, path: &str) -> Option<&Value> {
        self.all.get(path).or_else(|| {
            let mut steps = path.split('.');
            let first = self.all.get(steps.next()?)?;
            steps.try_fold(first, |within, step| within.get(step))
        })
    }

    /// Claims that nobody proved.
    #[cfg(test)]
    pub(crate) fn made(claims: Value) -> Self {
        let Value::Object(all) = claims else { panic!("not an object") };
        let subject = all["sub"].as_str().expect("a subject").to_owned();
        Self { subject, all }
    }
}

#[derive(Deserialize)]
struct Standard {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    nonce: Option<String>,
    at_hash: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Keys {
    /// Reads a JWK set (RFC 7517 section 5). Keys that are not understood are passed over.
    pub fn read(document: &[u8]) -> Result<Self, Unusable> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set =
            serde_json::from_slice(document).map_err(|error| Unusable::Form(error.to_string()))?;
        let keys = set.keys.into_iter().take(KEYS_MAX);
        Ok(Self(keys.filter_map(|key| serde_json::from_value(key).ok()).collect()))
    }

    /// The claims of a token, if it is a proof of what is expected.
    pub fn prove(&self, token: &str, expected: &Expected<'_>) -> Result<Claims, Fault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Fault::Form);
        }
        let (algorithm, standard) = self.signed(token)?;
        judge(algorithm, standard, expected)
    }

    /// What a token says that one of the keys has signed.
    fn signed(&self, token: &str) -> Result<(Algorithm, Standard), Fault> {
        // An algorithm that the library does not know, "none" among them, is no header to it.
        let header = decode_header(token).map_err(|_unspecific| Fault::Algorithm)?;
        let algorithm = header.alg;
        if !ALGORITHMS.contains(&algorithm) {
            return Err(Fault::Algorithm);
        }
        let mut validation = Validation::new(algorithm);
        // The claims are judged here, by our clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims = HashSet::new();
        let key = self.key(algorithm, header.kid.as_deref())?;
        let key = DecodingKey::from_jwk(key).map_err(|_no_key| Fault::UnknownKey)?;
        let decoded = decode::<Standard>(token, &key, &validation).map_err(|error| {
            let is_form = matches!(error.kind(), ErrorKind::Json(_) | ErrorKind::Utf8(_));
            if is_form { Fault::Form } else { Fault::Signature }
        })?;
        Ok((algorithm, decoded.claims))
    }

    /// The key that a token names; or the only one there could be, if it names none.
    fn key(&self, algorithm: Algorithm, id: Option<&str>) -> Result<&Jwk, Fault> {
        let mut fitting = self.0.iter().filter(|key| {
            fits(key, algorithm) && id.is_none_or(|id| key.common.key_id.as_deref() == Some(id))
        });
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) | (Some(_), Some(_)) => Err(Fault::UnknownKey),
        }
    }
}

/// Whether a key is one for an algorithm. What it is for is said by the key, never by the token.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_for_signatures =
        !matches!(&key.common.public_key_use, Some(other) if *other != PublicKeyUse::Signature);
    let (named, of_kind) = match (algorithm, &key.algorithm) {
        (Algorithm::RS256, AlgorithmParameters::RSA(_)) => (KeyAlgorithm::RS256, true),
        (Algorithm::PS256, AlgorithmParameters::RSA(_)) => (KeyAlgorithm::PS256, true),
        (Algorithm::ES256, AlgorithmParameters::EllipticCurve(curve)) => {
            (KeyAlgorithm::ES256, curve.curve == EllipticCurve::P256)
        }
        (Algorithm::EdDSA, AlgorithmParameters::OctetKeyPair(pair)) => {
            (KeyAlgorithm::EdDSA, pair.curve == EllipticCurve::Ed25519)
        }
        _ => return false,
    };
    let says_so = key.common.key_algorithm.as_ref().is_none_or(|said| *said == named);
    is_for_signatures && of_kind && says_so
}

fn judge(algorithm: Algorithm, said: Standard, expected: &Expected<'_>) -> Result<Claims, Fault> {
    if said.iss != expected.issuer {
        return Err(Fault::Issuer);
    }
    let (is_for_us, is_for_others) = match &said.aud {
        Audience::One(one) => (one == expected.client_id, false),
        Audience::Many(many) => {
            let is_us = |one: &String| one == expected.client_id;
            (many.iter().any(is_us), !many.iter().all(is_us))
        }
    };
    let is_party = match &said.azp {
        Some(party) => party == expected.client_id,
        // One that others may present, too, has to say that it was made for us.
        None => !is_for_others,
    };
    if !is_for_us || !is_party {
        return Err(Fault::Audience);
    }
    let (now, leeway) = (expected.now.seconds(), LEEWAY.as_secs().cast_signed());
    let (earliest, latest) = (now.saturating_sub(leeway), now.saturating_add(leeway));
    let has_begun = said.iat <= latest && said.nbf.is_none_or(|begin| begin <= latest);
    if said.exp <= earliest || !has_begun {
        return Err(Fault::Time);
    }
    if !is_same(said.nonce.as_deref().unwrap_or_default(), expected.nonce) {
        return Err(Fault::Nonce);
    }
    if let Some(hash) = &said.at_hash
        && !is_same(hash, &half_hash(algorithm, expected.access_token))
    {
        return Err(Fault::AccessToken);
    }
    if said.sub.is_empty() || said.sub.len() > SUBJECT_BYTES_MAX {
        return Err(Fault::Form);
    }
    Ok(Claims { subject: said.sub, all: said.others })
}

/// The left half of an access token's hash (section 3.1.3.6), by the hash of the signature.
fn half_hash(algorithm: Algorithm, access_token: &str) -> String {
    let whole = if algorithm == Algorithm::EdDSA {
        Sha512::digest(access_token).to_vec()
    } else {
        Sha256::digest(access_token).to_vec()
    };
    URL_SAFE_NO_PAD.encode(&whole[..whole.len() / 2])
}

fn is_same(one: &str, other: &str) -> bool {
    !other.is_empty() && verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

#[cfg(test)]
pub(crate) mod tests;
