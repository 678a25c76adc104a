//! Reports of secrets that turned up where they should not: what a report says, and whether it comes
//! from a partner that signs what it sends (GitHub's secret scanning partner program).
//!
//! **Invariant.** What is kept of a report, its place and its kind, holds no control character and
//! none of the secrets that were reported with it.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Most secrets in one report.
pub const REPORTED_MAX: usize = 100;
/// Longest secret that is looked up, in bytes; none of ours is longer.
pub const SECRET_BYTES_MAX: usize = 4_096;
/// What is kept of a place, in characters.
pub const PLACE_CHARS_MAX: usize = 300;
/// What is kept of the kind of a place, in characters.
pub const SOURCE_CHARS_MAX: usize = 64;
/// Longest signature as text, in bytes: one of P-256 has 72 bytes at most.
const SIGNATURE_BYTES_MAX: usize = 128;
/// Longest identifier of a key, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 128;
/// The shortest text that is taken out of what is kept: what is shorter is no secret.
const HIDDEN_BYTES_MIN: usize = 16;
const HIDDEN: &str = "[secret]";

/// One secret that was found, and where.
pub struct Report {
    /// What was found.
    pub secret: Zeroizing<String>,
    /// Where: an address, most of the time.
    pub url: Option<String>,
    /// In what kind of place.
    pub source: Option<String>,
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").finish_non_exhaustive()
    }
}

/// Where a secret was found, as it is kept and told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// An address, most of the time.
    pub url: Option<String>,
    /// What kind of place.
    pub source: Option<String>,
}

/// What is kept of the places of reports that came together: bounded, in one line each, and without
/// any of their secrets.
#[must_use]
pub fn places(reports: &[Report]) -> Vec<Place> {
    let secrets: Vec<&str> = reports.iter().map(|report| report.secret.as_str().trim()).collect();
    let kept = |text: &Option<String>, max| {
        let text = text.as_deref()?;
        let text = shown(text, &secrets, max);
        (!text.is_empty()).then_some(text)
    };
    let place = |report: &Report| Place {
        url: kept(&report.url, PLACE_CHARS_MAX),
        source: kept(&report.source, SOURCE_CHARS_MAX),
    };
    reports.iter().map(place).collect()
}

fn shown(text: &str, secrets: &[&str], chars_max: usize) -> String {
    let secrets = || secrets.iter().filter(|secret| secret.len() >= HIDDEN_BYTES_MIN);
    let mut text = text.trim().to_owned();
    for secret in secrets() {
        text = text.replace(secret, HIDDEN);
    }
    // Written in another way it still is the secret: then nothing of the text is kept.
    let plain = unescaped(&text).to_lowercase();
    if secrets().any(|secret| plain.contains(&secret.to_lowercase())) {
        return HIDDEN.to_owned();
    }
    let escaped = text.chars().flat_map(|char| {
        let is_plain = !char.is_control() && !is_invisible(char);
        let escaped = (!is_plain).then(|| char.escape_default());
        escaped.into_iter().flatten().chain(is_plain.then_some(char))
    });
    escaped.take(chars_max).collect()
}

/// Characters that turn the direction of a line or show nothing, so that a place could look like
/// another one.
const fn is_invisible(char: char) -> bool {
    matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The text with its percent-encoding (RFC 3986 section 2.1) undone, as far as it is one.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%');
        let byte = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no public key of the curve P-256 in PEM form (-----BEGIN PUBLIC KEY-----)")]
pub struct NoKey;

/// A signature that is not there, or not by a key that we know, or not of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// No such key.
    #[error("no key of this identifier is in the configuration")]
    UnknownKey,
    /// It does not fit.
    #[error("the signature is not one of the body under this key")]
    Signature,
}

/// The public keys of those who sign their reports.
#[derive(Clone, Default)]
pub struct Keys(Arc<[(String, ParsedPublicKey)]>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |keys: &Self| -> Vec<(String, Vec<u8>)> {
            keys.0.iter().map(|(id, key)| (id.clone(), key.as_ref().to_vec())).collect()
        };
        bytes(self) == bytes(other)
    }
}

impl Eq for Keys {}

/// A key that reports are signed with.
#[derive(Clone)]
pub struct PublicKey(ParsedPublicKey);

impl PublicKey {
    /// Reads a key in PEM form (RFC 7468 section 13).
    pub fn of(pem: &str) -> Result<Self, NoKey> {
        let key = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes());
        let key = key.map_err(|_no_pem| NoKey)?;
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &*key);
        Ok(Self(key.map_err(|_other_key| NoKey)?))
    }
}

impl FromIterator<(String, PublicKey)> for Keys {
    fn from_iter<I: IntoIterator<Item = (String, PublicKey)>>(keys: I) -> Self {
        Self(keys.into_iter().map(|(id, key)| (id, key.0)).collect())
    }
}

impl Keys {
    /// Proves that `signature` (ECDSA over P-256 and SHA-256, ASN.1, base64) is one of `body` under
    /// the key of this identifier.
    pub fn verify(&self, id: &str, signature: &str, body: &[u8]) -> Result<(), Forged> {
        let (_, key) = self.0.iter().find(|(known, _)| known == id).ok_or(Forged::UnknownKey)?;
        if signature.len() > SIGNATURE_BYTES_MAX {
            return Err(Forged::Signature);
        }
        let signature = STANDARD.decode(signature).map_err(|_no_base64| Forged::Signature)?;
        key.verify_sig(body, &signature).map_err(|_does_not_fit| Forged::Signature)
    }
}

#[cfg(test)]
mod tests;
