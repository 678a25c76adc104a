use super::*;
use crate::time::Timestamp;
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// A self-signed certificate for these names, and its key, in PEM form.
fn issued(names: &[&str], end: (i32, u8, u8)) -> (rcgen::Certificate, KeyPair) {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = date_time_ymd(1990, 1, 1);
    params.not_after = date_time_ymd(end.0, end.1, end.2);
    let key = KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("a certificate"), key)
}

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    fn put(&self, name: &str, names: &[&str], end: (i32, u8, u8)) -> IdentityFiles {
        let (certificate, key) = issued(names, end);
        IdentityFiles {
            certificate: self.write(&format!("{name}.pem"), &certificate.pem()),
            key: self.write(&format!("{name}.key"), &key.serialize_pem()),
        }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("writable");
        path
    }
}

const FAR: (i32, u8, u8) = (2090, 1, 1);
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

#[test]
fn a_certificate_ends_a_second_after_the_last_that_it_names() {
    // RFC 5280 section 4.1.2.5: two digits of the year up to 2049, four from 2050 on.
    for (end, expected) in [
        ((1999, 12, 31), "1999-12-31T00:00:01"),
        ((2049, 12, 31), "2049-12-31T00:00:01"),
        ((2050, 1, 1), "2050-01-01T00:00:01"),
        ((2024, 2, 29), "2024-02-29T00:00:01"),
    ] {
        let (certificate, _) = issued(&["a.test"], end);
        let found = validity::ends_at(certificate.der()).expect("an end").to_string();
        assert!(found.starts_with(expected), "{found} is not {expected}");
    }
}

proptest! {
    #[test]
    fn what_is_no_certificate_has_no_end_and_harms_nobody(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _nothing_or_some_end = validity::ends_at(&bytes);
    }

    #[test]
    fn a_certificate_that_was_cut_has_no_end(cut in 0_usize..60) {
        let (certificate, _) = issued(&["a.test"], FAR);
        prop_assert_eq!(validity::ends_at(&certificate.der()[..cut]), None);
    }
}

#[test]
fn names_are_those_of_the_certificate_in_lower_case() {
    let home = Home::new();
    let files = home.put("a", &["A.test", "*.b.test"], FAR);
    let identity = Identity::read(&files).expect("usable");
    assert_eq!(identity.names(), ["a.test", "*.b.test"]);
}

#[test]
fn an_error_names_the_file_and_holds_nothing_of_a_key() {
    let home = Home::new();
    let (a, b) = (home.put("a", &["a.test"], FAR), home.put("b", &["b.test"], FAR));
    let key = std::fs::read_to_string(&a.key).expect("it was written");
    let cut = home.write("cut.key", &key[..key.len() / 2]);
    for (certificate, key_file, expected) in [
        (&a.certificate, &b.key, "is not the key of the certificate in"),
        (&a.certificate, &cut, "holds no private key"),
        (&a.certificate, &a.certificate, "holds no private key"),
        (&a.key, &a.key, "holds no certificate in PEM form"),
    ] {
        let files = IdentityFiles { certificate: certificate.clone(), key: key_file.clone() };
        let error = Identity::read(&files).expect_err("unusable").to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains(&home.0.path().display().to_string()), "{error}");
        assert!(key.lines().skip(1).all(|line| !error.contains(line)), "{error}");
    }
}

#[test]
fn a_renewal_is_taken_if_it_can_be_used_and_trust_counts_its_changes() {
    let home = Home::new();
    let pair = home.put("a", &["a.test"], FAR);
    let ca = home.write("ca.pem", &issued(&[], FAR).0.pem());
    let files = ServerFiles { certificates: vec![pair.clone()], client_ca: Some(ca), http2: true };
    let live = Live::load("gateway", files.clone(), true).expect("usable");
    let config = || Arc::as_ptr(&live.terms().config);
    let first = config();
    live.look(NOW, false);
    assert_eq!((config(), live.taken(), live.kept()), (first, 0, 0), "nothing has changed");

    std::fs::write(&pair.key, "garbage").expect("writable");
    live.look(NOW, false);
    assert_eq!((config(), live.kept(), live.is_stale()), (first, 1, true));
    live.look(NOW, false);
    assert_eq!(live.kept(), 1, "it was told");
    live.look(NOW, true);
    assert_eq!(live.kept(), 2, "once a minute it is told again");
    // Whoever asks to take it hears why not.
    assert!(live.take(files.clone(), true, NOW).is_err());

    home.put("a", &["a.test"], FAR);
    live.look(NOW, false);
    assert_ne!(config(), first);
    assert_eq!((live.taken(), live.is_stale(), live.trust()), (1, false, 0));
    let second = config();

    // One that has ended takes no other's place, however well it fits.
    home.put("a", &["a.test"], (2001, 1, 1));
    live.look(NOW, false);
    assert_eq!((config(), live.is_stale()), (second, true));
    // Beside another that is renewed it stays what it was.
    let both = vec![home.put("a", &["a.test"], FAR), home.put("old", &["old.test"], (2001, 1, 1))];
    let with_old = ServerFiles { certificates: both, ..files.clone() };
    let live =
        Live::load("gateway", with_old, true).expect("one that has ended is better than none");
    home.put("a", &["a.test"], FAR);
    live.look(NOW, false);
    assert_eq!((live.taken(), live.is_stale()), (1, false));

    home.write("ca.pem", &issued(&[], FAR).0.pem());
    live.look(NOW, false);
    assert_eq!((live.trust(), live.terms().trust), (1, 1));
    // Where nobody is asked any more, nobody is vouched for.
    live.take(files, false, NOW).expect("usable");
    assert_eq!(live.trust(), 2);
}

#[test]
fn what_ends_soon_is_a_concern() {
    let home = Home::new();
    let files = ServerFiles {
        certificates: vec![home.put("a", &["a.test"], FAR)],
        client_ca: None,
        http2: false,
    };
    let end = Identity::read(&files.certificates[0]).expect("usable").ends_at();
    let concerned = |now| concerns(&files, now).iter().any(|told| told.contains("the certificate"));
    let two_weeks = Duration::from_hours(14 * 24);
    assert!(!concerned(end.before(two_weeks + Duration::from_millis(1))));
    assert!(concerned(end.before(two_weeks)) && concerned(end));
}
