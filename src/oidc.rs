//! `OpenID` Connect, as far as it can be judged without asking anybody: what an identity provider says
//! of itself ([`Metadata`]), where somebody is sent to sign in, what they come back with
//! ([`Response`]), what an ID token proves ([`id_token`]), and whom its claims describe ([`Person`]).
//!
//! **Invariants.**
//! - A claim is not to be had but from a token whose signature, issuer, audience, time and nonce were
//!   judged: only [`id_token::Keys::prove`] makes [`id_token::Claims`].
//! - The algorithms are those of a list here, whatever a token or a key says: never none, and never one
//!   whose key both sides know.

pub mod id_token;
mod metadata;
mod person;

pub use metadata::{Authentication, Metadata, Unusable, is_loopback};
pub use person::{Person, UserClaim};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// Longest code of an authorization, in bytes.
pub const CODE_BYTES_MAX: usize = 4_096;
/// How much of the error of a provider is told, in characters.
const ERROR_CHARS_MAX: usize = 64;

/// What one sign-in is known by, each of it random and used once.
#[derive(Clone, Copy, Debug)]
pub struct Marks<'a> {
    /// What the provider sends back with the browser.
    pub state: &'a str,
    /// What it puts into the ID token.
    pub nonce: &'a str,
    /// What proves to it that the code is redeemed by who asked for it (RFC 7636).
    pub verifier: &'a str,
}

/// Who asks the provider, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// What the provider knows us by.
    pub client_id: &'a str,
    /// Where it sends the browser back to.
    pub redirect_uri: &'a str,
    /// What we want to know, separated by spaces.
    pub scopes: &'a str,
}

/// The address at which somebody signs in at the provider.
#[must_use]
pub fn authorization_address(metadata: &Metadata, asking: Asking<'_>, marks: Marks<'_>) -> String {
    let endpoint = metadata.authorization_endpoint.as_str();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(marks.verifier));
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("response_type", "code")
        .append_pair("client_id", asking.client_id)
        .append_pair("redirect_uri", asking.redirect_uri)
        .append_pair("scope", asking.scopes)
        .append_pair("state", marks.state)
        .append_pair("nonce", marks.nonce)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256")
        .finish();
    let joint = if endpoint.contains('?') { '&' } else { '?' };
    format!("{endpoint}{joint}{query}")
}

/// What somebody comes back from the provider with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Which sign-in it belongs to.
    pub state: String,
    issuer: Option<String>,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Code(String),
    Error(String),
}

/// Why what somebody came back with is no answer of the provider's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Not in the form of one.
    #[error("expected one state, and one code or one error")]
    Form,
    /// It is of another provider, or does not say of which (RFC 9207).
    #[error("the answer is another provider's, or does not say whose")]
    Issuer,
    /// The provider says no.
    #[error("the identity provider says {0}")]
    Error(String),
}

impl Response {
    /// Reads the query of the address that the browser came back to.
    pub fn read(query: &str) -> Result<Self, NoAnswer> {
        let (mut state, mut code, mut error, mut issuer) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "state" => &mut state,
                "code" => &mut code,
                "error" => &mut error,
                "iss" => &mut issuer,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(NoAnswer::Form);
            }
        }
        let outcome = match (code, error) {
            (Some(code), None) if (1..=CODE_BYTES_MAX).contains(&code.len()) => Outcome::Code(code),
            (None, Some(error)) => Outcome::Error(error_word(&error)),
            _ => return Err(NoAnswer::Form),
        };
        Ok(Self { state: state.ok_or(NoAnswer::Form)?, issuer, outcome })
    }

    /// The code, if the answer is this provider's and a yes.
    pub fn code(self, issuer: &str, metadata: &Metadata) -> Result<String, NoAnswer> {
        // Another provider that this browser signs in at must not have its answer taken for ours.
        let is_ours = match &self.issuer {
            Some(said) => said == issuer,
            None => !metadata.says_issuer,
        };
        if !is_ours {
            return Err(NoAnswer::Issuer);
        }
        match self.outcome {
            Outcome::Code(code) => Ok(code),
            Outcome::Error(error) => Err(NoAnswer::Error(error)),
        }
    }
}

/// An error's code as RFC 6749 has it, of which nothing but such a word is repeated.
#[must_use]
pub fn error_word(text: &str) -> String {
    let plain = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.');
    text.chars().filter(plain).take(ERROR_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
