//! F8 to F11: chunked bodies. A body streams, so the head of its request may have gone upstream
//! before the break shows: what counts is that the request never becomes a whole one there.

use super::{SOON, Stage};
use crate::wire::find;

fn chunked(stage: &Stage, path: &str, body: &str) -> String {
    let bearer = stage.bearer();
    format!(
        "POST {path} HTTP/1.1\r\nHost: gateway.test\r\n{bearer}\
         Transfer-Encoding: chunked\r\n\r\n{body}"
    )
}

/// Holds that a body is refused: no good answer, a closed connection, no whole request upstream,
/// and nothing that followed it taken for a request.
#[track_caller]
fn breaks(stage: &Stage, variant: &str, body: &str) {
    stage.arrived();
    let smuggled = stage.get("/orders/smuggled", "");
    let mut wire = stage.world.wire();
    wire.send(chunked(stage, "/orders/broken", &format!("{body}{smuggled}")));
    if let Ok(answer) = wire.answer_to("POST", SOON) {
        let refused = (400..500).contains(&answer.status) || answer.status == 502;
        assert!(refused, "`{variant}` was answered with {answer:?}");
    }
    assert!(wire.ends(SOON), "`{variant}`: the connection was left open");
    stage.honest(variant);
    for request in stage.arrived() {
        assert_eq!(request.target(), "/orders/broken", "`{variant}`: {request:#?}");
        assert!(!request.is_complete(), "`{variant}` became whole: {request:#?}");
    }
}

fn whole_chunks_pass(stage: &Stage) {
    for (variant, body) in [
        ("plain", "5\r\nhello\r\n0\r\n\r\n"),
        ("leading zeros", "005\r\nhello\r\n000\r\n\r\n"),
        ("hexadecimal", "a\r\n0123456789\r\n0\r\n\r\n"),
        ("upper case", "A\r\n0123456789\r\n0\r\n\r\n"),
        ("an extension", "5;name=value\r\nhello\r\n0;last\r\n\r\n"),
        ("many chunks", "1\r\nh\r\n1\r\ne\r\n3\r\nllo\r\n0\r\n\r\n"),
    ] {
        let arrived = stage.passes(variant, chunked(stage, "/orders/whole", body));
        assert!(arrived.is_complete(), "{variant}: {arrived:?}");
        let content = arrived.body.bytes;
        assert!(content == b"hello" || content == b"0123456789", "{variant}: {content:?}");
    }
}

#[test]
fn f8_chunk_sizes_that_are_no_numbers() {
    let stage = Stage::new();
    whole_chunks_pass(&stage);
    for size in [
        "10000000000000005",
        "FFFFFFFFFFFFFFFFF",
        "f0000000000000000005",
        "0x5",
        "5_",
        "_5",
        "-5",
        "+5",
        "5 5",
        "5h",
        "g",
        "",
        "\u{665}",
    ] {
        breaks(&stage, &format!("size `{size}`"), &format!("{size}\r\nhello\r\n0\r\n\r\n"));
    }
}

#[test]
fn f9_bare_line_breaks_in_chunk_lines() {
    let stage = Stage::new();
    whole_chunks_pass(&stage);
    for (variant, body) in [
        ("LF after the size", "5\nhello\r\n0\r\n\r\n"),
        ("CR after the size", "5\rhello\r\n0\r\n\r\n"),
        ("LF after the data", "5\r\nhello\n0\r\n\r\n"),
        ("CR after the data", "5\r\nhello\r0\r\n\r\n"),
        ("nothing after the data", "5\r\nhello0\r\n\r\n"),
        ("two bytes too many", "5\r\nhelloxx0\r\n\r\n"),
        ("LF after the last size", "5\r\nhello\r\n0\n\r\n"),
        ("LF at the end", "5\r\nhello\r\n0\r\n\n"),
        ("LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        ("CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("LF in a quoted extension", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"),
    ] {
        breaks(&stage, variant, body);
    }
}

#[test]
fn f10_chunk_extensions_are_bounded() {
    let stage = Stage::new();
    whole_chunks_pass(&stage);
    let one = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(64 * 1024));
    breaks(&stage, "one of 64 KiB", &one);
    let many = format!("1;{}\r\nx\r\n", "y".repeat(1024)).repeat(256) + "0\r\n\r\n";
    breaks(&stage, "256 of 1 KiB", &many);
}

#[test]
fn f10_chunk_extensions_do_not_reach_the_upstream() {
    let stage = Stage::new();
    stage.passes("none", chunked(&stage, "/orders/whole", "5\r\nhello\r\n0\r\n\r\n"));
    for (variant, body) in [
        ("plain", "5;secret-extension\r\nhello\r\n0;secret-extension\r\n\r\n"),
        ("with NUL", "5;secret-extension\0\r\nhello\r\n0\r\n\r\n"),
    ] {
        // Passing without it and refusing are both right.
        let _either = stage.world.wire().send(chunked(&stage, "/orders/ext", body)).some(SOON);
        stage.honest(variant);
        for bytes in stage.upstream.recorded() {
            assert_eq!(find(&bytes, b"secret-extension"), None, "{variant}: it was forwarded");
            assert_eq!(find(&bytes, b"\0"), None, "{variant}: a NUL was forwarded");
        }
    }
}

#[test]
fn f11_trailers_do_not_name_what_only_a_head_may() {
    let stage = Stage::new();
    let bearer = stage.bearer();
    for name in [
        "Authorization",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "X-Auth-Subject",
        "X_Auth_Subject",
        "X-Auth-Organization",
        "X-Auth-Token-Id",
        "X-Auth-Scope",
        "X-Forwarded-For",
        "Forwarded",
    ] {
        let request = format!(
            "POST /orders/trailer HTTP/1.1\r\nHost: gateway.test\r\n{bearer}TE: trailers\r\n\
             Trailer: {name}, X-Checksum\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n{name}: evil-value\r\nX-Checksum: fine\r\n\r\n"
        );
        let arrived = stage.passes(name, request);
        assert_eq!(arrived.body.bytes, b"hello", "{name}");
        let known = |(known, value): &(String, Vec<u8>)| {
            known.eq_ignore_ascii_case(name) || value == b"evil-value"
        };
        assert!(!arrived.body.trailers.iter().any(known), "{name}: {arrived:#?}");
        let raw = &arrived.head.raw;
        assert_eq!(find(raw, b"evil-value"), None, "{name} moved into the head: {arrived:#?}");
    }
}
