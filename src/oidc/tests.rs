use super::id_token::Claims;
use super::*;
use serde_json::{Value, json};

const ISSUER: &str = "https://login.example.com/realm";

fn document() -> Value {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://login.example.com/realm/auth",
        "token_endpoint": "https://login.example.com/realm/token",
        "jwks_uri": "https://keys.example.com/realm",
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["plain", "S256"],
    })
}

fn read(document: &Value) -> Result<Metadata, Unusable> {
    Metadata::read(document.to_string().as_bytes(), ISSUER)
}

fn metadata() -> Metadata {
    read(&document()).expect("usable")
}

#[test]
fn a_document_is_of_its_issuer_byte_for_byte() {
    assert!(read(&document()).is_ok());
    for other in
        ["https://login.example.com/realm/", "https://LOGIN.example.com/realm", "", "http://x"]
    {
        let mut document = document();
        document["issuer"] = json!(other);
        assert_eq!(read(&document), Err(Unusable::Issuer), "{other}");
    }
}

#[test]
fn nothing_is_sent_in_the_clear() {
    for (field, address) in [
        ("authorization_endpoint", "http://login.example.com/auth"),
        ("token_endpoint", "http://login.example.com/token"),
        // Of an issuer elsewhere this machine is no better.
        ("token_endpoint", "http://127.0.0.1/token"),
        ("jwks_uri", "http://login.example.com/keys"),
        ("jwks_uri", "file:///etc/passwd"),
        ("authorization_endpoint", "javascript:alert(1)"),
        ("authorization_endpoint", "https://login.example.com/a\nSet-Cookie: x"),
    ] {
        let mut document = document();
        document[field] = json!(address);
        assert_eq!(read(&document), Err(Unusable::Address(field)), "{address}");
    }
    let mut here = document();
    for field in ["issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"] {
        here[field] = json!("http://127.0.0.1:9/x");
    }
    let text = here.to_string();
    assert!(Metadata::read(text.as_bytes(), "http://127.0.0.1:9/x").is_ok());
}

#[test]
fn a_provider_does_what_is_needed() {
    let with = |field: &str, value: Value| {
        let mut document = document();
        document[field] = value;
        read(&document)
    };
    assert!(matches!(
        with("code_challenge_methods_supported", json!(["plain"])),
        Err(Unusable::Lacks(_))
    ));
    assert!(matches!(with("response_types_supported", json!(["token"])), Err(Unusable::Lacks(_))));
    assert!(matches!(with("jwks_uri", Value::Null), Err(Unusable::Form(_))));
    let method = |methods: Value| {
        with("token_endpoint_auth_methods_supported", methods).expect("usable").authentication
    };
    assert_eq!(method(Value::Null), Authentication::Basic);
    assert_eq!(method(json!(["client_secret_post", "client_secret_basic"])), Authentication::Basic);
    assert_eq!(method(json!(["private_key_jwt", "client_secret_post"])), Authentication::Post);
}

#[test]
fn a_browser_is_sent_with_a_challenge_and_never_with_the_verifier() {
    // RFC 7636, appendix B.
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let asking = Asking {
        client_id: "bear ward&",
        redirect_uri: "https://here/sign-in/oidc/callback",
        scopes: "openid email",
    };
    let marks = Marks { state: "the-state", nonce: "the-nonce", verifier };
    let address = authorization_address(&metadata(), asking, marks);
    let (endpoint, query) = address.split_once('?').expect("a query");
    assert_eq!(endpoint, "https://login.example.com/realm/auth");
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let of = |name: &str| {
        let mut found = pairs.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice");
        value
    };
    assert_eq!(of("code_challenge"), Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
    assert_eq!(of("code_challenge_method"), Some("S256"));
    assert_eq!(of("response_type"), Some("code"));
    assert_eq!(of("client_id"), Some("bear ward&"));
    assert_eq!((of("state"), of("nonce")), (Some("the-state"), Some("the-nonce")));
    assert!(!address.contains(verifier));
}

#[test]
fn an_answer_is_one_and_of_this_provider() {
    let code = |query: &str, says_issuer: bool| {
        let metadata = Metadata { says_issuer, ..metadata() };
        Response::read(query).and_then(|response| response.code(ISSUER, &metadata))
    };
    let issuer: String = form_urlencoded::byte_serialize(ISSUER.as_bytes()).collect();
    let right = format!("state=s&code=c&iss={issuer}");
    assert_eq!(code(&right, true).as_deref(), Ok("c"));
    assert_eq!(code(&right, false).as_deref(), Ok("c"));
    assert_eq!(code("state=s&code=c", false).as_deref(), Ok("c"));
    // RFC 9207 section 2.4.
    assert_eq!(code("state=s&code=c", true), Err(NoAnswer::Issuer));
    for says in [true, false] {
        assert_eq!(code("state=s&code=c&iss=https://evil", says), Err(NoAnswer::Issuer));
    }
    for query in [
        "",
        "code=c",
        "state=s",
        "state=s&code=",
        "state=s&code=c&code=d",
        "state=s&state=t&code=c",
        "state=s&code=c&error=e",
        "state=s&code=c&iss=a&iss=b",
    ] {
        assert_eq!(code(query, false), Err(NoAnswer::Form), "{query}");
    }
    let long = format!("state=s&code={}", "c".repeat(CODE_BYTES_MAX + 1));
    assert_eq!(code(&long, false), Err(NoAnswer::Form));
    let denied = code("state=s&error=access_denied%0A<b>", false);
    assert_eq!(denied, Err(NoAnswer::Error("access_deniedb".to_owned())), "a word, no text");
}

#[test]
fn a_person_is_known_by_one_claim_and_only_by_a_verified_address() {
    let person = |claims: Value, user: &UserClaim| Person::of(&Claims::made(claims), user, None);
    let claims = |verified: Value| json!({"sub": "s", "oid": "o", "email": "p@example.com", "email_verified": verified});
    for verified in [json!(true), json!("true")] {
        let found = person(claims(verified), &UserClaim::Email).expect("verified");
        assert_eq!(found.email.as_deref(), Some("p@example.com"));
        assert_eq!((found.external_id, found.subject.as_str()), (None, "s"));
    }
    for unverified in [json!(false), json!("false"), Value::Null, json!(1)] {
        assert_eq!(person(claims(unverified.clone()), &UserClaim::Email), None, "{unverified}");
    }
    let by = |claim: &str| UserClaim::ExternalId(claim.to_owned());
    let of = |claim: &str| person(claims(json!(false)), &by(claim));
    assert_eq!(of("sub").and_then(|it| it.external_id).as_deref(), Some("s"));
    assert_eq!(of("oid").and_then(|it| it.external_id).as_deref(), Some("o"));
    assert_eq!(of("sub").expect("known").email, None, "nobody verified it");
    assert_eq!(of("upn"), None);
}

#[test]
fn roles_are_in_a_claim_or_within_one() {
    let roles = |claims: Value, claim: &str| {
        let mut all = json!({"sub": "s"});
        all.as_object_mut().expect("an object").extend(claims.as_object().expect("one").clone());
        let by = UserClaim::ExternalId("sub".to_owned());
        Person::of(&Claims::made(all), &by, Some(claim)).expect("a person").roles
    };
    let list = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
    assert_eq!(roles(json!({"groups": ["a", 5, "b", ""]}), "groups"), list(&["a", "b"]));
    assert_eq!(roles(json!({"groups": "a"}), "groups"), list(&["a"]));
    assert_eq!(
        roles(json!({"realm_access": {"roles": ["a"]}}), "realm_access.roles"),
        list(&["a"])
    );
    let flat = json!({"https://x.example/roles": ["a"]});
    assert_eq!(roles(flat, "https://x.example/roles"), list(&["a"]));
    assert_eq!(roles(json!({"groups": {"a": 1}}), "groups"), None);
    assert_eq!(roles(json!({}), "groups"), None);
    assert_eq!(roles(json!({"groups": []}), "groups"), list(&[]));
}
