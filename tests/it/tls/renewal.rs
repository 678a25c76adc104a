//! Certificates that are renewed while the gateway serves.

use super::pki::Issued;
use super::{HOST, Stage};
use crate::upstream::ok;
use crate::wire::{PATIENCE, Wire};
use crate::world::{eventually, get};
use rustls::HandshakeKind;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Whether a new connection is shown this certificate.
fn shows(stage: &Stage, issued: &Issued) -> bool {
    // Without a session to resume, in which none is shown.
    let client = stage.authority.client(None);
    let mut wire = stage.try_wire(&client, HOST).expect("a handshake");
    let shown = wire.tls().peer_certificates().expect("one is shown")[0].clone();
    issued.der().0[0] == shown
}

#[test]
fn a_hundred_renewals_under_load_fail_no_handshake() {
    const RENEWALS: usize = 100;
    let stage = Stage::new(ok());
    let issued: Vec<_> = (0..10).map(|_| stage.authority.server(&[HOST])).collect();
    let (done, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    let request = get("/orders/x", &stage.token.bearer());
    thread::scope(|scope| {
        for nth in 0..4 {
            let (stage, done, made, request) = (&stage, &done, &made, &request);
            scope.spawn(move || {
                let kept = stage.authority.client(None);
                while !done.load(Ordering::Relaxed) {
                    // Half of them resume sessions, which outlive a renewal.
                    let client =
                        if nth % 2 == 0 { Arc::clone(&kept) } else { stage.authority.client(None) };
                    let wire = Wire::secured(stage.world.gateway, &client, HOST);
                    let told = wire.expect("a handshake").send(request).answer();
                    assert_eq!(told.status, 200, "{told:?}");
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for nth in 0..RENEWALS {
            stage.files.put("gateway", &issued[nth % issued.len()]);
            let before = made.load(Ordering::Relaxed);
            // By the watch alone, and by a signal in between.
            if nth % 10 == 0 {
                stage.world.signal("HUP");
            }
            // The first handshake to be seen with it, so that each is really taken.
            let taken = eventually(PATIENCE, || shows(&stage, &issued[nth % issued.len()]));
            assert!(taken, "renewal {nth} was not taken: {}", stage.world.told());
            assert!(eventually(PATIENCE, || made.load(Ordering::Relaxed) > before));
        }
        done.store(true, Ordering::Relaxed);
    });
    let taken = stage.world.metric("bearward_tls_renewals_total").expect("it is counted");
    assert!(taken >= 100.0, "{taken}");
    assert!(made.load(Ordering::Relaxed) > RENEWALS);
}

/// S3 of the list of attacks.
#[test]
fn s3_a_bad_certificate_keeps_the_old_one_loudly() {
    let stage = Stage::new(ok());
    let first = stage.authority.server(&[HOST]);
    stage.files.put("gateway", &first);
    assert!(eventually(PATIENCE, || shows(&stage, &first)), "{}", stage.world.told());
    let other = stage.authority.server(&[HOST]);
    let ended = stage.authority.ended_server(&[HOST]);
    let unused = |world: &crate::world::World| world.metric("bearward_tls_stale");
    assert_eq!(unused(&stage.world), Some(0.0));
    for (chain, key, why) in [
        (other.chain.as_str(), first.key.as_str(), "is not the key of the certificate"),
        ("garbage", other.key.as_str(), "no certificate in PEM form"),
        ("", other.key.as_str(), "no certificate in PEM form"),
        (other.chain.as_str(), "garbage", "no private key"),
        (&other.chain[..other.chain.len() / 2], other.key.as_str(), "PEM form"),
        (ended.chain.as_str(), ended.key.as_str(), "has ended"),
    ] {
        stage.files.put("gateway", &Issued { chain: chain.to_owned(), key: key.to_owned() });
        let told = || {
            let told = stage.world.told();
            told.contains("CERTIFICATES NOT RENEWED") && told.contains(why)
        };
        assert!(eventually(PATIENCE, told), "{why}: {}", stage.world.told());
        assert!(shows(&stage, &first), "{why}");
        assert_eq!(unused(&stage.world), Some(1.0), "{why}");
        // A reload of the configuration takes none of it either.
        stage.world.signal("HUP");
        assert!(eventually(PATIENCE, || stage.world.told().contains("NOT RELOADED")));
        assert!(shows(&stage, &first), "{why}");
    }
    let told = stage.world.told();
    assert!(!told.contains("PRIVATE") && !told.contains(&first.key[40..80]), "a key in the log");
    stage.files.put("gateway", &other);
    assert!(eventually(PATIENCE, || shows(&stage, &other)), "{}", stage.world.told());
    assert!(eventually(PATIENCE, || unused(&stage.world) == Some(0.0)));
    let end = stage.world.metric("bearward_tls_certificate_end_seconds").expect("it is told");
    assert!(end > 4_000_000_000.0, "{end}");
}

#[test]
fn a_session_outlives_a_renewal() {
    let stage = Stage::new(ok());
    let client = stage.authority.client(None);
    let request = get("/orders/x", &stage.token.bearer());
    let kind = || {
        let mut wire = stage.try_wire(&client, HOST).expect("a handshake");
        assert_eq!(wire.send(&request).answer().status, 200);
        wire.tls().handshake_kind().expect("it is through")
    };
    assert_eq!(kind(), HandshakeKind::Full);
    let next = stage.authority.server(&[HOST]);
    stage.files.put("gateway", &next);
    assert!(eventually(PATIENCE, || shows(&stage, &next)));
    assert_eq!(kind(), HandshakeKind::Resumed);
}

/// As a volume of Kubernetes does it: the files are links into a directory that is itself a link,
/// and that one is replaced.
#[test]
fn a_directory_that_is_swapped_is_noticed() {
    let issued: Vec<_> = {
        let authority = super::pki::Authority::new("volumes");
        (0..2).map(|_| authority.server(&["volume.test"])).collect()
    };
    let mut folder = std::path::PathBuf::new();
    let stage = Stage::with(ok(), |_authority, files| {
        folder = files.path("volume");
        for (name, issued) in ["..1", "..2"].iter().zip(&issued) {
            fs::create_dir_all(folder.join(name)).expect("writable");
            fs::write(folder.join(name).join("tls.crt"), &issued.chain).expect("writable");
            fs::write(folder.join(name).join("tls.key"), &issued.key).expect("writable");
        }
        symlink("..1", folder.join("..data")).expect("a link");
        for file in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{file}"), folder.join(file)).expect("a link");
        }
        let certificate = super::named(&folder.join("tls.crt"), &folder.join("tls.key"));
        super::More { certificates: vec![certificate], ..super::More::default() }
    });
    let shown = |issued: &Issued| {
        let told = std::process::Command::new("openssl")
            .args(["s_client", "-servername", "volume.test", "-connect"])
            .arg(stage.world.gateway.to_string())
            .stdin(std::process::Stdio::null())
            .output()
            .expect("openssl is needed");
        let lines = issued.chain.lines().rev().nth(2).expect("PEM").to_owned();
        String::from_utf8_lossy(&told.stdout).contains(&lines)
    };
    assert!(shown(&issued[0]) && !shown(&issued[1]));
    symlink("..2", folder.join("..next")).expect("a link");
    fs::rename(folder.join("..next"), folder.join("..data")).expect("in one step");
    assert!(eventually(PATIENCE, || shown(&issued[1])), "{}", stage.world.told());
}
