//! What an identity provider says of itself (`OpenID` Connect Discovery 1.0, section 3).

use crate::notice::target::Target;
use serde::Deserialize;
use std::net::IpAddr;

/// What is used of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Where browsers are sent.
    pub authorization_endpoint: String,
    /// Where codes are redeemed.
    pub token_endpoint: Target,
    /// Where its keys are.
    pub keys: Target,
    /// Whether its answers say whose they are (RFC 9207).
    pub says_issuer: bool,
    /// How a client with a secret proves who it is.
    pub authentication: Authentication,
}

/// How a client with a secret proves who it is at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// In the `Authorization` field.
    Basic,
    /// In the body.
    Post,
}

/// Why a document cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Not what such a document is.
    #[error("is not what is expected there: {0}")]
    Form(String),
    /// It is another provider's.
    #[error("is of another issuer than `oidc.issuer`")]
    Issuer,
    /// An address in the clear.
    #[error("names a `{0}` that is no https:// address")]
    Address(&'static str),
    /// It does not do what is needed.
    #[error("says that the provider does not support {0}")]
    Lacks(&'static str),
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    response_types_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    /// Reads the document of an issuer, whose name it must repeat byte for byte (section 4.3).
    pub fn read(document: &[u8], issuer: &str) -> Result<Self, Unusable> {
        let document: Document =
            serde_json::from_slice(document).map_err(|error| Unusable::Form(error.to_string()))?;
        if document.issuer != issuer {
            return Err(Unusable::Issuer);
        }
        let lacks = |list: &Option<Vec<String>>, word: &str| {
            list.as_ref().is_some_and(|list| !list.iter().any(|found| found == word))
        };
        if lacks(&document.response_types_supported, "code") {
            return Err(Unusable::Lacks("the response type code"));
        }
        // Where nothing is said nothing is known: a provider that does not know PKCE ignores it.
        if lacks(&document.code_challenge_methods_supported, "S256") {
            return Err(Unusable::Lacks("the code challenge method S256"));
        }
        let methods = &document.token_endpoint_auth_methods_supported;
        let authentication =
            if lacks(methods, "client_secret_basic") && !lacks(methods, "client_secret_post") {
                Authentication::Post
            } else {
                Authentication::Basic
            };
        let address = |name, text: &str| {
            let target = Target::parse(text).map_err(|_unspecific| Unusable::Address(name))?;
            let may_be_clear = issuer.starts_with("http://") && is_loopback(&target.host);
            if target.is_secure || may_be_clear { Ok(target) } else { Err(Unusable::Address(name)) }
        };
        address("authorization_endpoint", &document.authorization_endpoint)?;
        Ok(Self {
            token_endpoint: address("token_endpoint", &document.token_endpoint)?,
            keys: address("jwks_uri", &document.jwks_uri)?,
            authorization_endpoint: document.authorization_endpoint,
            says_issuer: document.authorization_response_iss_parameter_supported,
            authentication,
        })
    }
}

/// Whether a host is this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}
