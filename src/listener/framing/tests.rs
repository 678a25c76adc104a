use super::*;
use proptest::prelude::*;

fn guard() -> Guard {
    Guard::new(64 * 1024)
}

/// The fault that the guard finds, whether the bytes come at once or one at a time.
fn fault(bytes: &[u8]) -> Option<Fault> {
    let at_once = guard().follow(bytes).err().map(|(_at, fault)| fault);
    let mut guard = guard();
    let dripping = bytes.iter().find_map(|byte| guard.follow(&[*byte]).err());
    assert_eq!(at_once, dripping.map(|(_at, fault)| fault), "{}", String::from_utf8_lossy(bytes));
    at_once
}

#[test]
fn honest_requests_pass() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\ncontent-length:0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nT: v\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(fault(request.as_bytes()), None, "{request:?}");
    }
}

#[test]
fn each_trick_is_found() {
    use Fault::{
        BareLineBreak, BothFramings, Chunk, ContentLength, Extension, Folding, Fragment,
        TransferEncoding,
    };
    let chunked =
        |body: &str| format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let head = |fields: &str| format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(5000));
    for (bytes, expected) in [
        (head("Content-Length: 5\r\nTransfer-Encoding: chunked"), BothFramings),
        (head("Transfer-Encoding: chunked\r\nContent-Length: 5"), BothFramings),
        (head("Content-Length: 5\r\nContent-Length: 5"), ContentLength),
        (head("Content-Length: 5\r\nContent-Length: 6"), ContentLength),
        (head("Content-Length: 5, 5"), ContentLength),
        (head("Content-Length: +5"), ContentLength),
        (head("Content-Length: -0"), ContentLength),
        (head("Content-Length: 0x5"), ContentLength),
        (head("Content-Length: 18446744073709551616"), ContentLength),
        (head("Content-Length:"), ContentLength),
        (head("Content-Length : 5"), ContentLength),
        (head("Transfer-Encoding: x, chunked"), TransferEncoding),
        (head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), TransferEncoding),
        (head("Transfer-Encoding : chunked"), TransferEncoding),
        (head("Transfer-Encoding: \x0bchunked"), TransferEncoding),
        (head("Transfer-Encoding:\r\n chunked"), Folding),
        (head("X: a\r\n b"), Folding),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n".into(), Fragment),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n".into(), BareLineBreak),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), BareLineBreak),
        (head("Host: a\n"), BareLineBreak),
        (chunked("5\nhello\r\n0\r\n\r\n"), Chunk),
        (chunked("5\r\nhello\n0\r\n\r\n"), Chunk),
        (chunked("5\rhello\r\n0\r\n\r\n"), Chunk),
        (chunked("0x5\r\nhello\r\n0\r\n\r\n"), Chunk),
        (chunked("5_\r\nhello\r\n0\r\n\r\n"), Chunk),
        (chunked("+5\r\nhello\r\n0\r\n\r\n"), Chunk),
        (chunked("\r\nhello"), Chunk),
        (chunked("10000000000000000\r\n"), Chunk),
        (chunked("5;a=\0\r\nhello\r\n0\r\n\r\n"), Extension),
        (chunked("5;a\nb\r\nhello\r\n0\r\n\r\n"), Extension),
        (chunked(&long), Extension),
        (chunked("0\r\nX: y\n\r\n"), BareLineBreak),
        (chunked("0\r\n folded\r\n\r\n"), Folding),
    ] {
        let found = fault(bytes.as_bytes());
        assert_eq!(found, Some(expected), "{bytes:?}");
    }
}

#[test]
fn a_fault_names_its_place_and_its_request() {
    let good = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let bytes = [good.as_slice(), b"GET / HTTP/1.1\nX: y\r\n\r\n"].concat();
    let mut guard = guard();
    assert_eq!(guard.follow(&bytes), Err((good.len(), Fault::BareLineBreak)));
    assert_eq!(guard.faulty_request(), 2);
}

#[test]
fn a_head_beyond_the_limit_is_left_to_the_parser() {
    let mut guard = Guard::new(64);
    let line = [b"X: ".as_slice(), &[b'y'; 200]].concat();
    assert_eq!(guard.follow(b"GET / HTTP/1.1\r\n"), Ok(()));
    for _ in 0..10 {
        assert_eq!(guard.follow(&line), Ok(()));
    }
    assert!(guard.partial.len() <= 64);
}

proptest! {
    #[test]
    fn never_panics_and_never_depends_on_how_bytes_are_cut(
        bytes in proptest::collection::vec(
            prop_oneof![
                Just(b"POST / HTTP/1.1\r\n".to_vec()),
                Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
                Just(b"Content-Length: 3\r\n".to_vec()),
                Just(b"\r\n".to_vec()),
                Just(b"3\r\nabc\r\n".to_vec()),
                Just(b"0\r\n\r\n".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..6),
            ],
            0..12,
        ),
        cut in 1_usize..7,
    ) {
        let bytes = bytes.concat();
        let whole = guard().follow(&bytes).err().map(|(_at, fault)| fault);
        let mut pieces = guard();
        let found = bytes.chunks(cut).find_map(|piece| pieces.follow(piece).err());
        prop_assert_eq!(whole, found.map(|(_at, fault)| fault));
    }
}
