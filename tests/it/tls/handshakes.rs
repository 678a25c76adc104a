//! Handshakes that go wrong, or on for ever.

use super::{HOST, More, Stage};
use crate::upstream::ok;
use crate::wire::{Cut, PATIENCE, Wire};
use crate::world::get;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The first flight of a client: one record with a `ClientHello`.
fn hello(stage: &Stage) -> (ClientConnection, Vec<u8>) {
    let name = ServerName::try_from(HOST).expect("a name");
    let mut tls = ClientConnection::new(Arc::clone(&stage.client), name).expect("a connection");
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).expect("memory");
    (tls, hello)
}

/// Whether the gateway answers with a record of the handshake.
fn is_answered(wire: &mut Wire) -> bool {
    const HANDSHAKE: u8 = 22;
    wire.some(PATIENCE).is_ok_and(|said| said.first() == Some(&HANDSHAKE))
}

#[track_caller]
fn honest(stage: &Stage) {
    let told = stage.wire().send(get("/orders/x", &stage.token.bearer())).answer();
    assert_eq!(told.status, 200, "{told:?}");
}

/// S1 of the list of attacks: the message in pieces, of the stream and of records.
#[test]
fn s1_a_client_hello_in_pieces() {
    let stage = Stage::new(ok());
    let (_, hello) = hello(&stage);
    let (header, message) = hello.split_at(5);
    // Byte by byte.
    let mut wire = stage.world.wire();
    for byte in &hello {
        wire.send([*byte]);
    }
    assert!(is_answered(&mut wire), "bytes");
    // In records of a few bytes each, and in records of one byte (RFC 8446 section 5.1).
    for size in [7, 1] {
        let records: Vec<u8> = message
            .chunks(size)
            .flat_map(|piece| {
                let length = u16::try_from(piece.len()).expect("short").to_be_bytes();
                [&header[..3], &length, piece].concat()
            })
            .collect();
        let mut wire = stage.world.wire();
        wire.send(&records);
        // A server may find so many pieces too many, but must say so.
        let said = wire.some(PATIENCE);
        assert!(said.as_ref().is_ok_and(|said| matches!(said.first(), Some(21 | 22))), "{said:?}");
    }
    // Records without content, and a message that announces more than it ever may have.
    for wrong in [
        [&header[..3], &[0, 0]].concat().repeat(100),
        [&header[..3], &[0, 4, 1, 255, 255, 255]].concat(),
        [vec![22, 3, 1, 255, 255], vec![0; 70_000]].concat(),
    ] {
        let mut wire = stage.world.wire();
        wire.send(&wrong);
        assert_ne!(wire.rest(PATIENCE).1, Cut::TimedOut, "{:?}", &wrong[..6]);
    }
    honest(&stage);
}

/// S2 of the list of attacks.
#[test]
fn s2_a_stalled_handshake_is_closed() {
    let stage = Stage::with(ok(), |_authority, _files| More {
        limits: &["handshake_timeout = \"1s\"", "head_timeout = \"60s\""],
        ..More::default()
    });
    let (_, hello) = hello(&stage);
    let begun = Instant::now();
    let mut silent = stage.world.wire();
    let (mut half, mut unfinished) = (stage.world.wire(), stage.world.wire());
    half.send(&hello[..hello.len() / 2]);
    unfinished.send(&hello);
    assert!(is_answered(&mut unfinished));
    // It has no more time for being lively.
    let mut dripping = stage.world.wire();
    for byte in &hello {
        if dripping.try_send([*byte]).is_err() || begun.elapsed() > Duration::from_secs(5) {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    for (name, wire) in [
        ("silent", &mut silent),
        ("half", &mut half),
        ("unfinished", &mut unfinished),
        ("dripping", &mut dripping),
    ] {
        assert_ne!(wire.rest(PATIENCE).1, Cut::TimedOut, "{name}");
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(8), "{took:?}");
    // Once it is through, other limits hold.
    let mut kept = stage.wire();
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(kept.send(get("/orders/x", &stage.token.bearer())).answer().status, 200);
    let failed = stage.world.metric("bearward_tls_handshakes_total");
    assert!(failed.is_some_and(|sum| sum >= 5.0), "{failed:?}");
}

#[test]
fn garbage_is_answered_with_an_alert_and_harms_nobody() {
    let stage = Stage::new(ok());
    let (_, hello) = hello(&stage);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[2]
    };
    let mut wires = Vec::new();
    for nth in 0..200 {
        // Noise; and a hello in which one byte is another.
        let bytes: Vec<u8> = if nth % 2 == 0 {
            (0..64).map(|_| random()).collect()
        } else {
            let mut bytes = hello.clone();
            let at = (usize::from(random()) << 8 | usize::from(random())) % bytes.len();
            bytes[at] ^= random() | 1;
            bytes
        };
        let mut wire = stage.world.wire();
        wire.send(&bytes);
        wires.push(wire);
    }
    honest(&stage);
    // What is sent in the clear within a handshake.
    let mut wire = stage.world.wire();
    wire.send(&hello);
    assert!(is_answered(&mut wire));
    wire.send(get("/orders/secret", &stage.token.bearer()));
    assert_ne!(wire.rest(PATIENCE).1, Cut::TimedOut);
    assert!(!stage.upstream.saw("secret"));
    drop(wires);
    honest(&stage);
}

#[test]
fn a_crowd_of_stalled_handshakes_keeps_nobody_out() {
    let stage = Stage::with(ok(), |_authority, _files| More {
        limits: &["handshakes_max = 20", "handshake_timeout = \"60s\""],
        ..More::default()
    });
    let begun = Instant::now();
    let stalled: Vec<_> = (0..100).map(|_| stage.world.wire()).collect();
    // Those before it get a second each, twenty at a time.
    honest(&stage);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    drop(stalled);
    honest(&stage);
}
