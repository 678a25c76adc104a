use super::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

pub(crate) const ISSUER: &str = "https://login.example.com/realm";
pub(crate) const CLIENT: &str = "bearward";
const NONCE: &str = "a nonce of this sign-in";
const ACCESS: &str = "an access token";
const NOW: i64 = 1_800_000_000;

/// The key of a provider.
pub(crate) struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    pub(crate) id: &'static str,
}

impl Signer {
    pub(crate) fn ec(id: &'static str) -> Self {
        let pair =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let key = EncodingKey::from_ec_der(pair.expect("a key").as_ref());
        Self { algorithm: Algorithm::ES256, key, id }
    }

    fn ed(id: &'static str) -> Self {
        // The library reads no other version of the form.
        let pair = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new());
        let key = EncodingKey::from_ed_der(pair.expect("a key").as_ref());
        Self { algorithm: Algorithm::EdDSA, key, id }
    }

    /// What the provider publishes of it.
    pub(crate) fn public(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a public key");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(Some(self.id), claims)
    }

    fn sign_as(&self, id: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = id.map(str::to_owned);
        encode(&header, claims, &self.key).expect("a token")
    }
}

/// A token that nobody signed.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.", part(header), part(claims))
}

/// A token that is signed with the public key, as if both sides knew it.
pub(crate) fn hmac_with_public_key(signer: &Signer, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(signer.id.to_owned());
    let Value::String(x) = &signer.public()["x"] else { panic!("no key") };
    let secret = URL_SAFE_NO_PAD.decode(x).expect("base64");
    encode(&header, claims, &EncodingKey::from_secret(&secret)).expect("a token")
}

fn set(keys: &[Value]) -> Keys {
    Keys::read(json!({ "keys": keys }).to_string().as_bytes()).expect("a set")
}

fn good() -> Value {
    json!({
        "iss": ISSUER, "sub": "person", "aud": CLIENT, "exp": NOW + 300, "iat": NOW,
        "nonce": NONCE, "email": "p@example.com",
    })
}

fn expected() -> Expected<'static> {
    let now = Timestamp::from_millis(1000 * NOW);
    Expected { issuer: ISSUER, client_id: CLIENT, nonce: NONCE, access_token: ACCESS, now }
}

#[test]
fn a_good_token_proves_its_claims() {
    for signer in [Signer::ec("one"), Signer::ed("one")] {
        let keys = set(&[signer.public()]);
        let claims = keys.prove(&signer.sign(&good()), &expected()).expect("good");
        assert_eq!(claims.subject(), "person");
        assert_eq!(claims.value("email"), Some(&json!("p@example.com")));
        let unnamed = signer.sign_as(None, &good());
        assert!(keys.prove(&unnamed, &expected()).is_ok(), "there is one key only");
    }
}

#[test]
fn every_claim_is_judged() {
    let signer = Signer::ec("one");
    let keys = set(&[signer.public()]);
    let with = |changes: Value| {
        let mut claims = good();
        for (name, value) in changes.as_object().expect("an object") {
            if value.is_null() {
                claims.as_object_mut().expect("an object").remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        keys.prove(&signer.sign(&claims), &expected()).map(|_claims| ())
    };
    let right = half_hash(Algorithm::ES256, ACCESS);
    for fine in [
        json!({}),
        json!({"exp": NOW - 59}),
        json!({"iat": NOW + 60, "nbf": NOW + 60}),
        json!({"aud": [CLIENT]}),
        json!({"aud": [CLIENT, "another"], "azp": CLIENT}),
        json!({"azp": CLIENT}),
        json!({ "at_hash": right }),
    ] {
        assert_eq!(with(fine.clone()), Ok(()), "{fine}");
    }
    for (wrong, fault) in [
        (json!({"iss": format!("{ISSUER}/")}), Fault::Issuer),
        (json!({"iss": null}), Fault::Form),
        (json!({"aud": "another"}), Fault::Audience),
        (json!({"aud": []}), Fault::Audience),
        (json!({"aud": null}), Fault::Form),
        (json!({"aud": [CLIENT, "another"]}), Fault::Audience),
        (json!({"aud": [CLIENT, "another"], "azp": "another"}), Fault::Audience),
        (json!({"azp": "another"}), Fault::Audience),
        (json!({"exp": NOW - 60}), Fault::Time),
        (json!({"exp": null}), Fault::Form),
        (json!({"exp": "tomorrow"}), Fault::Form),
        (json!({"iat": NOW + 61}), Fault::Time),
        (json!({"iat": null}), Fault::Form),
        (json!({"nbf": NOW + 61}), Fault::Time),
        (json!({"nonce": "another"}), Fault::Nonce),
        (json!({"nonce": null}), Fault::Nonce),
        (json!({"at_hash": half_hash(Algorithm::ES256, "another")}), Fault::AccessToken),
        (json!({"at_hash": ""}), Fault::AccessToken),
        (json!({"sub": ""}), Fault::Form),
        (json!({"sub": null}), Fault::Form),
        (json!({"sub": "x".repeat(256)}), Fault::Form),
    ] {
        assert_eq!(with(wrong.clone()), Err(fault), "{wrong}");
    }
}

#[test]
fn what_the_access_token_is_hashed_with_follows_the_signature() {
    // OpenID Connect Core 1.0, appendix A.3, which is signed with RS256.
    let access = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
    assert_eq!(half_hash(Algorithm::RS256, access), "77QmUPtjPfzWtF2AnpK9RQ");
    assert_eq!(half_hash(Algorithm::EdDSA, access).len(), 43, "half of 64 bytes");
}

#[test]
fn a_signature_is_of_a_key_that_is_published_for_it() {
    let (signer, other) = (Signer::ec("one"), Signer::ec("two"));
    let of = |keys: &[Value], token: &str| {
        set(keys).prove(token, &expected()).map(|_claims| ()).expect_err("refused")
    };
    let mine = signer.public();
    let token = signer.sign(&good());
    let forged = other.sign_as(Some("one"), &good());
    assert_eq!(of(std::slice::from_ref(&mine), &forged), Fault::Signature);
    // The claims of one, the signature of another one.
    let (head, tail) = token.rsplit_once('.').expect("three parts");
    let mut claims = good();
    claims["sub"] = json!("somebody else");
    let others = signer.sign(&claims);
    let (others, _) = others.rsplit_once('.').expect("three parts");
    assert_eq!(of(std::slice::from_ref(&mine), &format!("{others}.{tail}")), Fault::Signature);
    assert_eq!(of(std::slice::from_ref(&mine), &format!("{head}.")), Fault::Signature);
    assert_eq!(of(&[], &token), Fault::UnknownKey);
    assert_eq!(of(&[other.public()], &token), Fault::UnknownKey);
    // Two could have signed it, and it does not say which.
    let unnamed = signer.sign_as(None, &good());
    assert_eq!(of(&[mine.clone(), other.public()], &unnamed), Fault::UnknownKey);
    for (field, value) in [("use", "enc"), ("alg", "ES384"), ("crv", "P-384")] {
        let mut key = mine.clone();
        key[field] = json!(value);
        assert_eq!(of(&[key], &token), Fault::UnknownKey, "{field}");
    }
    // What is not understood takes nothing with it.
    let odd = [json!({"kty": "new"}), json!(5), json!({"kty": "EC", "kid": "one"}), mine];
    assert!(set(&odd).prove(&token, &expected()).is_ok());
}

#[test]
fn the_algorithm_is_one_of_ours() {
    let signer = Signer::ec("one");
    let shared = json!({"kty": "oct", "kid": "one", "alg": "HS256", "k": "c2VjcmV0"});
    let of = |keys: &[Value], token: &str| {
        set(keys).prove(token, &expected()).map(|_claims| ()).expect_err("refused")
    };
    for algorithm in ["none", "None", "NONE", ""] {
        let token = unsigned(&json!({"alg": algorithm, "kid": "one"}), &good());
        assert_eq!(of(&[signer.public()], &token), Fault::Algorithm, "{algorithm}");
    }
    let token = unsigned(&json!({"kid": "one"}), &good());
    assert_eq!(of(&[signer.public()], &token), Fault::Algorithm, "no algorithm at all");
    let token = hmac_with_public_key(&signer, &good());
    assert_eq!(of(&[signer.public()], &token), Fault::Algorithm);
    // Nor when the provider publishes such a key.
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("one".to_owned());
    let token = encode(&header, &good(), &EncodingKey::from_secret(b"secret")).expect("a token");
    assert_eq!(of(&[shared], &token), Fault::Algorithm);
}

#[test]
fn what_is_no_token_is_refused() {
    let signer = Signer::ec("one");
    let keys = set(&[signer.public()]);
    let long = "x".repeat(TOKEN_BYTES_MAX + 1);
    for text in ["", ".", "..", "a.b.c", "a.b.c.d", &long] {
        assert!(keys.prove(text, &expected()).is_err(), "{text:.20}");
    }
    assert!(Keys::read(b"{}").is_err());
    assert!(Keys::read(b"<html>").is_err());
}
