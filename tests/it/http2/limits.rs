//! What HTTP/2 may take of memory and time.

use super::Stage;
use super::frames::{Client, DATA, WINDOW_UPDATE, frame};
use crate::upstream::{answer, huge, ok, response, silent, stop_reading_after};
use crate::wire::PATIENCE;
use std::thread;
use std::time::{Duration, Instant};

/// What memory may grow by, whatever goes through.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

#[test]
fn no_more_streams_than_may_be_at_once() {
    let stage = Stage::with(
        answer(|_request| {
            thread::sleep(Duration::from_secs(1));
            response("200 OK", "ok")
        }),
        |setup| setup.limit("streams_max = 3"),
    );
    let mut client = stage.client();
    let streams: Vec<u32> =
        (0..5).map(|_| client.ask(&stage.fields("GET", "/orders/x"), true)).collect();
    let told: Vec<_> = streams.into_iter().map(|stream| client.answer(stream)).collect();
    let served = told.iter().filter(|told| told.status == Some(200)).count();
    // REFUSED_STREAM: they may be asked again.
    let refused = told.iter().filter(|told| told.reset == Some(7)).count();
    assert_eq!((served, refused), (3, 2), "{told:?}");
}

#[test]
fn a_large_answer_goes_down_through_little_memory() {
    const BYTES: usize = 256 << 20;
    let stage = Stage::new(huge(BYTES as u64));
    assert_eq!(stage.world.fetch("/nowhere", &stage.token).status, 404);
    let before = stage.world.memory();
    let mut client = Client::with(stage.world.gateway, &[(4, 1 << 20)]);
    client.send(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 20).to_be_bytes()));
    client.keeps_bodies = false;
    let stream = client.ask(&stage.fields("GET", "/orders/x"), true);
    let over = |client: &Client| client.told(stream).is_ended;
    assert!(client.until(Duration::from_mins(2), over));
    assert_eq!(client.received, BYTES);
    let grown = stage.world.memory().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes");
}

#[test]
fn who_does_not_read_is_given_up_and_its_upstream_waits() {
    let stage = Stage::with(huge(1 << 30), |setup| setup.limit("write_idle_timeout = \"2s\""));
    let mut client = stage.client();
    client.opens_windows = false;
    let stream = client.ask(&stage.fields("GET", "/orders/x"), true);
    let told = client.answer(stream);
    assert_eq!((told.status, told.is_ended), (Some(200), false));
    assert_eq!(told.body.len(), 65_535, "the window and no more");
    assert!(stage.upstream.sent() < 32 << 20, "{} bytes were taken", stage.upstream.sent());
    // The connection is as good as before.
    stage.upstream.behave(ok());
    client.opens_windows = true;
    client.send(&frame(WINDOW_UPDATE, 0, 0, &65_535_u32.to_be_bytes()));
    let stream = client.ask(&stage.fields("GET", "/orders/y"), true);
    assert_eq!(client.answer(stream).status, Some(200));
}

#[test]
fn a_body_goes_up_as_fast_as_the_upstream_takes_it() {
    let stage =
        Stage::with(stop_reading_after(1 << 16), |setup| setup.upstream("idle_timeout = \"60s\""));
    let mut client = stage.client();
    assert!(client.until(PATIENCE, |client| client.window(1) > 65_535), "no windows were said");
    let stream = client.ask(&stage.fields("POST", "/orders/x"), false);
    let before = stage.world.memory();
    // Within the windows that the gateway opens, and no further.
    let piece = vec![b'x'; 16_384];
    let mut sent = 0;
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        if client.window(stream) >= piece.len() {
            client.send(&frame(DATA, 0, stream, &piece));
            sent += piece.len();
            client.spent(stream, piece.len());
        } else {
            client.until(Duration::from_millis(100), |_| false);
        }
    }
    assert!(sent >= 1 << 16, "{sent} bytes were wanted");
    assert!(sent < 32 << 20, "{sent} bytes were taken for an upstream that reads none");
    let grown = stage.world.memory().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes");
}

#[test]
fn silence_ends_as_it_does_elsewhere() {
    let stage = Stage::with(silent(), |setup| {
        setup
            .limit("head_timeout = \"1s\"")
            .limit("keep_alive_timeout = \"1s\"")
            .limit("body_idle_timeout = \"1s\"")
            .upstream("first_byte_timeout = \"1s\"")
    });
    let soon = Duration::from_secs(8);
    // Before the first request,
    let mut client = stage.client();
    assert!(client.ends(soon));
    assert_eq!(client.goaway, Some(0), "it was told");
    // of the upstream,
    let mut client = stage.client();
    let stream = client.ask(&stage.fields("GET", "/orders/x"), true);
    assert_eq!(client.answer(stream).status, Some(504));
    // after the last,
    assert!(client.ends(soon));
    assert_eq!(client.goaway, Some(0), "it was told");
    // and within a body, which ends one stream and no other.
    let mut client = stage.client();
    let stream = client.ask(&stage.fields("POST", "/orders/x"), false);
    client.send(&frame(DATA, 0, stream, b"begin"));
    let told = client.answer(stream);
    assert!(told.reset.is_some() && told.status.is_none(), "{told:?}");
    assert!(!client.is_closed && client.goaway.is_none());
    assert!(client.ends(PATIENCE));
}
