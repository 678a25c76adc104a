use super::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use proptest::prelude::*;

const SECRET: &str = "bwt_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG01234";

fn report(secret: &str, url: &str) -> Report {
    let source = Some("content".to_owned());
    Report { secret: Zeroizing::new(secret.to_owned()), url: Some(url.to_owned()), source }
}

fn url_of(url: &str) -> Option<String> {
    places(&[report(SECRET, url), report("bwt_anotherone_of_the_same_report", "")])[0].url.clone()
}

#[test]
fn a_place_is_kept_in_one_line_without_any_of_the_secrets() {
    assert_eq!(url_of(" https://x.example/a#L3 ").as_deref(), Some("https://x.example/a#L3"));
    assert_eq!(url_of(" "), None);
    assert_eq!(url_of("a\r\nb\u{1b}[2J").as_deref(), Some("a\\r\\nb\\u{1b}[2J"));
    assert_eq!(url_of("a\u{202e}b").as_deref(), Some("a\\u{202e}b"));
    let held = url_of(&format!("https://x.example/?t={SECRET}&u={SECRET}"));
    assert_eq!(held.as_deref(), Some("https://x.example/?t=[secret]&u=[secret]"));
    let other = url_of("https://x.example/?t=bwt_anotherone_of_the_same_report");
    assert_eq!(other.as_deref(), Some("https://x.example/?t=[secret]"));
    // Written in another way it still is one.
    let percent: Vec<String> = SECRET.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let percent = percent.concat();
    for hidden in [format!("https://x.example/{percent}"), SECRET.to_uppercase()] {
        assert_eq!(url_of(&hidden).as_deref(), Some("[secret]"), "{hidden}");
    }
    let long = "x".repeat(PLACE_CHARS_MAX + 1);
    assert_eq!(url_of(&long).map(|url| url.len()), Some(PLACE_CHARS_MAX));
    assert!(!format!("{:?}", report(SECRET, "u")).contains(SECRET));
}

proptest! {
    #[test]
    fn no_place_holds_a_secret_or_breaks_a_line(
        before in ".{0,40}", after in ".{0,40}", encoded in proptest::collection::vec(any::<bool>(), 52)
    ) {
        let written: Vec<String> = SECRET
            .bytes()
            .zip(encoded)
            .map(|(byte, encoded)| {
                if encoded { format!("%{byte:02X}") } else { char::from(byte).to_string() }
            })
            .collect();
        let url = url_of(&format!("{before}{}{after}", written.concat())).unwrap_or_default();
        prop_assert!(!unescaped(&url).contains(SECRET), "{}", url);
        prop_assert!(!url.contains(char::is_control), "{}", url);
        prop_assert!(url.chars().count() <= PLACE_CHARS_MAX);
    }
}

/// A pair of keys, and the public one in PEM form.
fn pair() -> (EcdsaKeyPair, String) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a pair");
    // RFC 5480: the identifier of the algorithm, before the point.
    let mut der = vec![
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    der.extend_from_slice(pair.public_key().as_ref());
    let text = STANDARD.encode(der);
    (pair, format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"))
}

#[test]
fn only_a_signature_of_this_body_under_a_known_key_counts() {
    let (ours, pem) = pair();
    let (other, _) = pair();
    let keys: Keys =
        [("one".to_owned(), PublicKey::of(&pem).expect("a key"))].into_iter().collect();
    let sign = |pair: &EcdsaKeyPair, body: &[u8]| {
        STANDARD.encode(pair.sign(&SystemRandom::new(), body).expect("signed").as_ref())
    };
    let good = sign(&ours, b"body");
    assert_eq!(keys.verify("one", &good, b"body"), Ok(()));
    assert_eq!(keys.verify("two", &good, b"body"), Err(Forged::UnknownKey));
    assert_eq!(Keys::default().verify("one", &good, b"body"), Err(Forged::UnknownKey));
    let forged = [
        (good.clone(), &b"Body"[..]),
        (sign(&other, b"body"), b"body"),
        (good[..good.len() - 4].to_owned(), b"body"),
        (String::new(), b"body"),
        ("%%%".to_owned(), b"body"),
        ("A".repeat(SIGNATURE_BYTES_MAX + 4), b"body"),
    ];
    for (signature, body) in forged {
        assert_eq!(keys.verify("one", &signature, body), Err(Forged::Signature), "{signature}");
    }
    assert!(!format!("{keys:?}").contains("BEGIN"));
}

#[test]
fn what_is_no_key_of_the_curve_is_refused() {
    let (_, pem) = pair();
    assert!(PublicKey::of(&pem).is_ok());
    let broken = pem.replacen("MFkw", "MFkx", 1);
    for bad in ["", "key", &pem.replace("PUBLIC", "PRIVATE"), &broken] {
        assert!(PublicKey::of(bad).is_err(), "{bad}");
    }
}
