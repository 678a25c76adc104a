use super::*;
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits { bytes_max: 64 * 1024, fields_max: 100 };

/// A request as somebody reads it who gets its bytes in pieces, one after the other.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    start: (String, String),
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    trailers: Vec<(String, String)>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads requests up to the first fault, or to the end of what there is.
fn read(pieces: &[&[u8]]) -> (Vec<Read>, Option<Fault>) {
    let (mut parser, mut requests) = (Parser::new(Side::Requests), Vec::new());
    let mut unused: Vec<u8> = Vec::new();
    let mut body: Option<Decoder> = None;
    for piece in pieces {
        unused.extend_from_slice(piece);
        loop {
            let Some(decoder) = &mut body else {
                match parser.advance(&unused, LIMITS) {
                    Ok(None) => break,
                    Err(fault) => return (requests, Some(fault)),
                    Ok(Some(length)) => {
                        let head = parser.request(&unused).expect("its end is there");
                        let field = |field: &Field| {
                            (text(field.name(head.bytes())), text(field.value(head.bytes())))
                        };
                        requests.push(Read {
                            start: (text(head.method()), text(head.target())),
                            fields: head.fields().iter().map(field).collect(),
                            body: Vec::new(),
                            trailers: Vec::new(),
                        });
                        body = Some(Decoder::of_request(head.framing()));
                        unused.drain(..length);
                        parser.reset();
                        continue;
                    }
                }
            };
            let request = requests.last_mut().expect("it has a head");
            match decoder.next(&unused) {
                Err(fault) => return (requests, Some(fault)),
                Ok(Piece::Data(count)) => request.body.extend(unused.drain(..count)),
                Ok(Piece::Framing(count)) => drop(unused.drain(..count)),
                Ok(Piece::Trailers(count)) => {
                    let field =
                        |field: Field| (text(field.name(&unused)), text(field.value(&unused)));
                    request.trailers = trailer_fields(&unused[..count]).map(field).collect();
                    unused.drain(..count);
                }
                Ok(Piece::More) => break,
                Ok(Piece::End) => body = None,
            }
        }
    }
    (requests, None)
}

/// The fault that is found, whether the bytes come at once or one at a time.
fn fault(bytes: &[u8]) -> Option<Fault> {
    let at_once = read(&[bytes]).1;
    let dripping: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(at_once, read(&dripping).1, "{}", text(bytes));
    at_once
}

#[test]
fn honest_requests_are_read() {
    let bytes = b"\r\n\r\nGET /a?b HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-B:\t b  c \t\r\n\r\n\
        POST / HTTP/1.1\r\ncontent-length:5\r\n\r\nhello\
        POST /c HTTP/1.0\r\nContent-Length: 0\r\n\r\n\
        PUT /d HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n\
        A;x=\"y\"\r\n0123456789\r\n003 ;z\r\nabc\r\n0\r\nT: v\r\n\r\nGET /last HTTP/1.1\r\n\r\n";
    let pair = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
    let request = |start, fields: &[(&str, &str)], body: &str, trailers: &[(&str, &str)]| Read {
        start: pair(start),
        fields: fields.iter().copied().map(pair).collect(),
        body: body.into(),
        trailers: trailers.iter().copied().map(pair).collect(),
    };
    let expected = vec![
        request(("GET", "/a?b"), &[("Host", "a"), ("X-Empty", ""), ("X-B", "b  c")], "", &[]),
        request(("POST", "/"), &[("content-length", "5")], "hello", &[]),
        request(("POST", "/c"), &[("Content-Length", "0")], "", &[]),
        request(("PUT", "/d"), &[("Transfer-Encoding", "Chunked")], "0123456789abc", &[("T", "v")]),
        request(("GET", "/last"), &[], "", &[]),
    ];
    assert_eq!(fault(bytes), None);
    assert_eq!(read(&[bytes]).0, expected);
}

#[test]
fn each_trick_is_found() {
    use Fault::{
        BareLineBreak, BothFramings, Chunk, ContentLength, Extension, FieldName, FieldValue,
        Folding, StartLine, TransferEncoding, Version,
    };
    let chunked =
        |body: &str| format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let head = |fields: &str| format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(5000));
    let many = format!("1;{}\r\nx\r\n", "e".repeat(1000)).repeat(17);
    for (bytes, expected) in [
        (head("Content-Length: 5\r\nTransfer-Encoding: chunked"), BothFramings),
        (head("Transfer-Encoding: chunked\r\nContent-Length: 5"), BothFramings),
        (head("Content-Length: 5\r\nContent-Length: 5"), ContentLength),
        (head("Content-Length: 5\r\nContent-Length: 6"), ContentLength),
        (head("Content-Length: 5, 5"), ContentLength),
        (head("Content-Length: +5"), ContentLength),
        (head("Content-Length: -0"), ContentLength),
        (head("Content-Length: 0x5"), ContentLength),
        (head("Content-Length: 9223372036854775808"), ContentLength),
        (head("Content-Length: 18446744073709551616"), ContentLength),
        (head("Content-Length:"), ContentLength),
        (head("Content-Length : 5"), FieldName),
        (head("Transfer-Encoding: x, chunked"), TransferEncoding),
        (head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), TransferEncoding),
        (head("Transfer-Encoding : chunked"), FieldName),
        (head("Transfer-Encoding: \x0bchunked"), FieldValue),
        (head("Transfer-Encoding: chunked;q=1"), TransferEncoding),
        (head("Transfer-Encoding:\r\n chunked"), TransferEncoding),
        (head("X: a\r\n b"), Folding),
        (head("X: a\r\n\tb"), Folding),
        (head(": b"), FieldName),
        (head("X"), FieldName),
        (head("X Y: b"), FieldName),
        (head("X\0: b"), FieldName),
        (head("X: a\rb"), FieldValue),
        (head("X: a\0b"), FieldValue),
        (head("X: a\x7fb"), FieldValue),
        (line("GET /a#b HTTP/1.1"), StartLine),
        (line("GET /a b HTTP/1.1"), StartLine),
        (line("GET  /a HTTP/1.1"), StartLine),
        (line("GET /a  HTTP/1.1"), StartLine),
        (line("GET /a HTTP/1.1 "), StartLine),
        (line("GET HTTP/1.1"), StartLine),
        (line("GET /a"), StartLine),
        (line("G(T /a HTTP/1.1"), StartLine),
        (line(" GET /a HTTP/1.1"), StartLine),
        (line("GET /a http/1.1"), StartLine),
        (line("GET /a HTTP/1.10"), StartLine),
        (line("GET /a\x7f HTTP/1.1"), StartLine),
        (line("GET /a HTTP/2.0"), Version),
        (line("GET /a HTTP/1.2"), Version),
        ("\x16\x03\x01".into(), StartLine),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n".into(), BareLineBreak),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), BareLineBreak),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(), TransferEncoding),
        (head("Host: a\n"), BareLineBreak),
        (chunked("5\nhello\r\n0\r\n\r\n"), Chunk),
        (chunked("5\r\nhello\n0\r\n\r\n"), Chunk),
        (chunked("5\rhello\r\n0\r\n\r\n"), Chunk),
        (chunked("0x5\r\nhello\r\n0\r\n\r\n"), Chunk),
        (chunked("5_\r\nhello\r\n0\r\n\r\n"), Chunk),
        (chunked("+5\r\nhello\r\n0\r\n\r\n"), Chunk),
        (chunked("5 \r\nhello\r\n0\r\n\r\n"), Chunk),
        (chunked("\r\nhello"), Chunk),
        (chunked("10000000000000000\r\n"), Chunk),
        (chunked("5;a=\0\r\nhello\r\n0\r\n\r\n"), Extension),
        (chunked("5;a\nb\r\nhello\r\n0\r\n\r\n"), Chunk),
        (chunked(&long), Extension),
        (chunked(&many), Extension),
        (chunked("0\r\nX: y\n\r\n"), BareLineBreak),
        (chunked("0\r\n folded\r\n\r\n"), Folding),
        (chunked("0\r\nX y: 1\r\n\r\n"), FieldName),
    ] {
        let found = fault(bytes.as_bytes());
        assert_eq!(found, Some(expected), "{bytes:?}");
    }
}

#[test]
fn heads_and_trailers_have_limits() {
    let limits = HeadLimits { bytes_max: 64, fields_max: 2 };
    let advance = |head: &str| Parser::new(Side::Requests).advance(head.as_bytes(), limits);
    let of = |length: usize| format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(length - 23));
    assert_eq!(advance(&of(63)), Ok(Some(63)));
    assert_eq!(advance(&of(64)), Ok(Some(64)));
    assert_eq!(advance(&of(65)), Err(Fault::TooLarge));
    assert_eq!(advance(&of(65)[..63]), Ok(None));
    assert_eq!(advance(&of(99)[..64]), Err(Fault::TooLarge), "its end cannot come in time");
    assert!(matches!(advance("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n"), Ok(Some(_))));
    assert_eq!(advance("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n"), Err(Fault::TooLarge));
    let options = |count: usize| {
        let head =
            format!("GET / HTTP/1.1\r\nConnection: {}\r\n\r\n", ["a"].repeat(count).join(","));
        Parser::new(Side::Requests).advance(head.as_bytes(), LIMITS)
    };
    assert!(matches!(options(CONNECTION_OPTIONS_MAX), Ok(Some(_))));
    assert_eq!(options(CONNECTION_OPTIONS_MAX + 1), Err(Fault::TooLarge));
    let trailers = |length: usize| {
        let section = format!("X: {}\r\n\r\n", "y".repeat(length - 7));
        let mut decoder = Decoder::of_request(Framing::Chunked);
        assert_eq!(decoder.next(b"0\r\n"), Ok(Piece::Framing(3)));
        decoder.next(section.as_bytes())
    };
    assert_eq!(trailers(TRAILER_BYTES_MAX), Ok(Piece::Trailers(TRAILER_BYTES_MAX)));
    assert_eq!(trailers(TRAILER_BYTES_MAX + 1), Err(Fault::Extension));
}

#[test]
fn a_head_tells_what_it_says_of_the_connection() {
    for (head, persists, nominates) in [
        ("GET / HTTP/1.1\r\n\r\n", true, false),
        ("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", false, false),
        ("GET / HTTP/1.1\r\nConnection: x, close\r\n\r\n", false, true),
        ("GET / HTTP/1.1\r\nConnection: keep-alive,,\r\nConnection: X-A\r\n\r\n", true, true),
        ("GET / HTTP/1.0\r\n\r\n", false, false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, false),
        ("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false, false),
    ] {
        let mut parser = Parser::new(Side::Requests);
        assert!(matches!(parser.advance(head.as_bytes(), LIMITS), Ok(Some(_))), "{head}");
        let request = parser.request(head.as_bytes()).expect("its end is there");
        assert_eq!((request.persists(), request.nominates()), (persists, nominates), "{head}");
        assert!(parser.response(head.as_bytes()).is_none());
    }
}

#[test]
fn once_and_more_often_are_told_apart() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nAUTHORIZATION: y\r\n\
        TE: gzip, Trailers\r\nExpect: 100-Continue\r\n\r\n";
    let mut parser = Parser::new(Side::Requests);
    assert_eq!(parser.advance(head, LIMITS), Ok(Some(head.len())));
    let request = parser.request(head).expect("its end is there");
    assert_eq!(request.host(), Some(&b"a"[..]));
    assert_eq!(request.authorization(), (Some(&b"x"[..]), true));
    assert!(request.takes_trailers());
    assert_eq!(request.expectation(), Expectation::Continue);
    for fields in ["Expect: 100-continue\r\nExpect: 100-continue", "Expect: more", "Expect:"] {
        let head = format!("GET / HTTP/1.1\r\n{fields}\r\nHost: a\r\nHost: a\r\n\r\n");
        parser.reset();
        assert!(matches!(parser.advance(head.as_bytes(), LIMITS), Ok(Some(_))));
        let request = parser.request(head.as_bytes()).expect("its end is there");
        assert_eq!(request.expectation(), Expectation::Other, "{fields}");
        assert_eq!((request.host(), request.authorization()), (None, (None, false)));
    }
}

#[test]
fn answers_are_read() {
    for (head, status, text, persists) in [
        ("HTTP/1.1 200 OK\r\n\r\n", 200, "200 OK", true),
        ("HTTP/1.1 204 \r\nConnection: close\r\n\r\n", 204, "204 ", false),
        ("HTTP/1.0 404\r\n\r\n", 404, "404", false),
        ("HTTP/1.1 299 Caf\u{e9}  x\r\nDate: now\r\n\r\n", 299, "299 Caf\u{e9}  x", true),
    ] {
        let mut parser = Parser::new(Side::Responses);
        assert_eq!(parser.advance(head.as_bytes(), LIMITS), Ok(Some(head.len())), "{head}");
        let answer = parser.response(head.as_bytes()).expect("its end is there");
        assert_eq!(answer.status(), status);
        assert_eq!(answer.status_text(), text.as_bytes());
        assert_eq!(answer.persists(), persists, "{head}");
        assert_eq!(answer.is_dated(), head.contains("Date"));
    }
    for line in [
        "HTTP/1.1 099 Low",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 abc OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200 O\0K",
        "\r\nHTTP/1.1 200 OK",
        "SSH-2.0-OpenSSH_9.7",
        "GET / HTTP/1.1",
        "",
    ] {
        let head = format!("{line}\r\n\r\n");
        let found = Parser::new(Side::Responses).advance(head.as_bytes(), LIMITS);
        assert_eq!(found, Err(Fault::StartLine), "{line}");
    }
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
                Just(b"X: y\r\n\r\n".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..6),
            ],
            0..12,
        ),
        cut in 1_usize..7,
    ) {
        let bytes = bytes.concat();
        let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
        prop_assert_eq!(read(&[&bytes]), read(&pieces));
    }

    #[test]
    fn a_part_of_a_body_leaves_the_rest(length in 1_u64..100, taken in 0_u64..120) {
        let whole = Decoder::of_request(Framing::Length(length));
        let mut rest = whole.without(taken);
        let expected = usize::try_from(length.saturating_sub(taken)).expect("a small number");
        let piece = if expected == 0 { Piece::More } else { Piece::Data(expected) };
        prop_assert_eq!(rest.next(if expected == 0 { b"" } else { &[0; 100] }), Ok(piece));
    }
}
