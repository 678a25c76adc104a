//! F1 to F7: where a message ends must never be a matter of opinion.

use super::Stage;

/// A `POST` whose framing fields are these, with a body that a careless reader takes for a request.
fn framed(stage: &Stage, fields: &str) -> String {
    let bearer = stage.bearer();
    format!(
        "POST /orders/x HTTP/1.1\r\nHost: gateway.test\r\n{bearer}{fields}\r\n\
         0\r\n\r\nGET /orders/smuggled HTTP/1.1\r\nHost: gateway.test\r\n{bearer}\r\n"
    )
}

/// The honest neighbours of every row here: each framing alone, and none.
fn both_framings_pass(stage: &Stage) {
    let bearer = stage.bearer();
    let head = format!("POST /orders/neighbour HTTP/1.1\r\nHost: gateway.test\r\n{bearer}");
    for (variant, rest, body) in [
        ("Content-Length", "Content-Length: 5\r\n\r\nhello", "hello"),
        ("Content-Length of nothing", "Content-Length: 0\r\n\r\n", ""),
        ("Transfer-Encoding", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("no framing field", "\r\n", ""),
    ] {
        let arrived = stage.passes(variant, format!("{head}{rest}"));
        assert!(arrived.is_complete(), "{variant}: {arrived:?}");
        assert_eq!(arrived.body.bytes, body.as_bytes(), "{variant}");
        let framings =
            arrived.head.all("content-length").len() + arrived.head.all("transfer-encoding").len();
        assert!(framings <= 1, "{variant}: {arrived:?}");
    }
}

#[test]
fn f1_content_length_with_transfer_encoding() {
    let stage = Stage::new();
    both_framings_pass(&stage);
    for (variant, fields) in [
        ("length first", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        ("coding first", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        ("length 0", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
        ("apart", "Content-Length: 5\r\nX-Between: 1\r\nTransfer-Encoding: chunked\r\n"),
        ("odd case", "cOnTeNt-LeNgTh: 5\r\ntRaNsFeR-eNcOdInG: chunked\r\n"),
        ("identity", "Content-Length: 5\r\nTransfer-Encoding: identity\r\n"),
        ("length of all", "Content-Length: 99\r\nTransfer-Encoding: chunked\r\n"),
        ("empty coding", "Content-Length: 5\r\nTransfer-Encoding:\r\n"),
    ] {
        stage.refuses(variant, framed(&stage, fields), &[400]);
    }
}

#[test]
fn f2_differing_or_joined_content_lengths() {
    let stage = Stage::new();
    both_framings_pass(&stage);
    for (variant, fields) in [
        ("differing", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("differing, 0 first", "Content-Length: 0\r\nContent-Length: 5\r\n"),
        ("differing, apart", "Content-Length: 5\r\nX-Between: 1\r\nContent-Length: 0\r\n"),
        ("differing in form", "Content-Length: 5\r\nContent-Length: 05\r\n"),
        ("joined, differing", "Content-Length: 5, 6\r\n"),
        ("joined, equal", "Content-Length: 5, 5\r\n"),
        ("joined without space", "Content-Length: 5,5\r\n"),
        ("joined with nothing", "Content-Length: 5,\r\n"),
    ] {
        stage.refuses(variant, framed(&stage, fields), &[400]);
    }
}

#[test]
fn f2_equal_content_lengths_are_refused_or_become_one() {
    let stage = Stage::new();
    let bearer = stage.bearer();
    let request = format!(
        "POST /orders/twice HTTP/1.1\r\nHost: gateway.test\r\n{bearer}\
         Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"
    );
    let answer = stage.world.ask(request);
    stage.honest("two equal lengths");
    let arrived = stage.arrived();
    if answer.status == 400 {
        assert!(arrived.is_empty(), "refused and yet forwarded: {arrived:#?}");
    } else {
        assert_eq!((answer.status, arrived.len()), (200, 1), "{answer:?} {arrived:#?}");
        assert_eq!(arrived[0].head.all("content-length"), ["5"]);
        assert_eq!(arrived[0].body.bytes, b"hello");
    }
}

#[test]
fn f3_content_lengths_that_are_no_numbers() {
    let stage = Stage::new();
    both_framings_pass(&stage);
    for length in [
        "+5",
        "-0",
        "-5",
        "0x5",
        "5x",
        "5 5",
        "5_0",
        "1e1",
        "5.0",
        "five",
        "\"5\"",
        "5;q=1",
        "18446744073709551616",
        "18446744073709551621",
        "100000000000000000000000000000000000005",
        "\u{665}",
    ] {
        let fields = format!("Content-Length: {length}\r\n");
        stage.refuses(length, framed(&stage, &fields), &[400]);
    }
    // A number, but more than anybody can mean: too large is as good an answer as bad.
    let most = "Content-Length: 18446744073709551615\r\n";
    stage.refuses("the largest number", framed(&stage, most), &[400, 413, 431]);
}

#[test]
fn f4_empty_content_length() {
    let stage = Stage::new();
    both_framings_pass(&stage);
    for (variant, fields) in [
        ("nothing", "Content-Length:\r\n"),
        ("a space", "Content-Length: \r\n"),
        ("a tab", "Content-Length:\t\r\n"),
        ("nothing, then 5", "Content-Length:\r\nContent-Length: 5\r\n"),
        ("5, then nothing", "Content-Length: 5\r\nContent-Length:\r\n"),
    ] {
        stage.refuses(variant, framed(&stage, fields), &[400]);
    }
}

#[test]
fn f5_transfer_encoding_that_is_not_exactly_chunked() {
    let stage = Stage::new();
    both_framings_pass(&stage);
    for coding in [
        "gzip, chunked",
        "x, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked, identity",
        "identity, chunked",
        "identity",
        "gzip",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "\"chunked\"",
        "chunked chunked",
        "chunked,",
        ",chunked",
        "",
    ] {
        let fields = format!("Transfer-Encoding: {coding}\r\n");
        stage.refuses(coding, framed(&stage, &fields), &[400]);
    }
    for (variant, fields) in [
        ("twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("two fields", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
        ("two fields, apart", "Transfer-Encoding: chunked\r\nX-A: 1\r\nTransfer-Encoding: x\r\n"),
    ] {
        stage.refuses(variant, framed(&stage, fields), &[400]);
    }
}

#[test]
fn f5_the_name_of_a_coding_has_no_case() {
    let stage = Stage::new();
    let bearer = stage.bearer();
    let request = format!(
        "POST /orders/case HTTP/1.1\r\nHost: gateway.test\r\n{bearer}\
         Transfer-Encoding: ChUnKeD\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    );
    let answer = stage.world.ask(request);
    stage.honest("odd case");
    let arrived = stage.arrived();
    if answer.status == 400 {
        assert!(arrived.is_empty(), "refused and yet forwarded: {arrived:#?}");
    } else {
        assert_eq!((answer.status, arrived.len()), (200, 1), "{answer:?} {arrived:#?}");
        assert!(arrived[0].is_complete());
        assert_eq!(arrived[0].body.bytes, b"hello");
    }
}

#[test]
fn f6_transfer_encoding_in_disguise() {
    let stage = Stage::new();
    both_framings_pass(&stage);
    for (variant, fields) in [
        ("space before the colon", "Transfer-Encoding : chunked\r\n"),
        ("tab before the colon", "Transfer-Encoding\t: chunked\r\n"),
        ("space before the name", " Transfer-Encoding: chunked\r\n"),
        ("vertical tab in the value", "Transfer-Encoding: \u{b}chunked\r\n"),
        ("vertical tab after the value", "Transfer-Encoding: chunked\u{b}\r\n"),
        ("NUL before the value", "Transfer-Encoding: \0chunked\r\n"),
        ("NUL in the value", "Transfer-Encoding: chun\0ked\r\n"),
        ("NUL in the name", "Transfer-\0Encoding: chunked\r\n"),
        ("folded value", "Transfer-Encoding:\r\n chunked\r\n"),
        ("folded behind another field", "X-Before: 1\r\n Transfer-Encoding: chunked\r\n"),
        ("bare CR before the value", "Transfer-Encoding:\rchunked\r\n"),
        ("bare CR as a line break", "X-Before: 1\rTransfer-Encoding: chunked\r\n"),
        ("obs-text in the value", "Transfer-Encoding: \u{a0}chunked\r\n"),
        ("obs-text in the name", "Transfer\u{ad}-Encoding: chunked\r\n"),
    ] {
        stage.refuses(variant, framed(&stage, fields), &[400]);
        let beside = format!("Content-Length: 5\r\n{fields}");
        stage.refuses(&format!("{variant}, beside a length"), framed(&stage, &beside), &[400]);
    }
}

#[test]
fn f7_transfer_encoding_on_http_1_0() {
    let stage = Stage::new();
    let bearer = stage.bearer();
    let head = format!("POST /orders/old HTTP/1.0\r\nHost: gateway.test\r\n{bearer}");
    let arrived = stage.passes("a length", format!("{head}Content-Length: 5\r\n\r\nhello"));
    assert_eq!(arrived.body.bytes, b"hello");
    for (variant, fields) in [
        ("chunked", "Transfer-Encoding: chunked\r\n"),
        ("kept alive", "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"),
        ("with a length", "Content-Length: 10\r\nTransfer-Encoding: chunked\r\n"),
        ("identity", "Transfer-Encoding: identity\r\n"),
    ] {
        let request = format!("{head}{fields}\r\n5\r\nhello\r\n0\r\n\r\n");
        stage.refuses(variant, request, &[400]);
    }
}
