//! A stream of HTTP/2, shown to whoever answers it as a connection of HTTP/1.1 with one exchange.
//!
//! So there is one reader of heads, one set of rules for what may pass, and one way to an upstream,
//! whatever the client speaks: what HTTP/2 says apart (RFC 9113 section 8.3) is put together as the
//! text that HTTP/1.1 says it in, with nothing mended, and goes the way of every other text. What
//! could not be said in it at all was refused by `h2` before.
//!
//! Both directions go through one state and are driven by one task, so they borrow it in turn and
//! never across a wait.

use super::stream::Written;
use crate::http1::{
    self, Decoder, Fault, Field, HeadLimits, Kind, Parser, Piece, ResponseHead, Side,
};
use bytes::{Buf as _, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, request};
use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice, Write as _};
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

/// Heads of answers are our own, or were read within limits before.
const ANSWERS: HeadLimits = HeadLimits { bytes_max: usize::MAX, fields_max: usize::MAX };
/// Stands before a target that is no path, so that it is taken for no other form of one.
const NO_PATH: u8 = b':';

/// One stream.
pub(crate) struct Channel(RefCell<Both>);

struct Both {
    coming: Coming,
    going: Going,
}

/// The request.
struct Coming {
    /// What was put together and not read, from the mark on.
    text: Vec<u8>,
    mark: usize,
    /// What came of the body and was not read.
    data: Bytes,
    body: RecvStream,
    is_chunked: bool,
    is_ended: bool,
}

/// The answer.
struct Going {
    is_head: bool,
    parser: Parser,
    stage: Stage,
}

enum Stage {
    /// Its head has not been sent.
    Head(SendResponse<Bytes>),
    /// Its body is on the way.
    Body(Decoder, SendStream<Bytes>),
    /// It was sent to its end.
    Ended,
}

impl Channel {
    /// A stream on which a request has come. `is_secure` says whether it came over TLS.
    pub(crate) fn new(
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        is_secure: bool,
    ) -> Self {
        let (parts, body) = request.into_parts();
        let is_ended = body.is_end_stream();
        let is_chunked = !is_ended && !parts.headers.contains_key(CONTENT_LENGTH);
        let text = text_of(&parts, is_chunked, is_secure);
        let data = Bytes::new();
        let coming = Coming { text, mark: 0, data, body, is_chunked, is_ended };
        let is_head = parts.method == Method::HEAD;
        let parser = Parser::new(Side::Responses);
        let going = Going { is_head, parser, stage: Stage::Head(respond) };
        Self(RefCell::new(Both { coming, going }))
    }

    /// Reads what there is of the request. After its end there is nothing more to come: an error
    /// says that the client has given the stream up.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Both { coming, going } = &mut *self.0.borrow_mut();
        loop {
            if coming.copy(room)? {
                return Poll::Ready(Ok(()));
            }
            if coming.is_ended {
                return going.poll_left(cx).map(Err);
            }
            ready!(coming.poll_data(cx))?;
        }
    }

    /// Whether the client has given the stream up; whoever asks is woken when it does.
    pub(crate) fn has_left(&self, cx: &mut Context<'_>) -> bool {
        self.0.borrow_mut().going.poll_left(cx).is_ready()
    }

    /// Sends what is in `pieces`, each of which ends where a line or content does, as far as the
    /// client has opened its window.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<Written>> {
        let going = &mut self.0.borrow_mut().going;
        let mut taken = 0;
        for piece in pieces {
            let mut rest = &**piece;
            while !rest.is_empty() {
                match going.poll_send(cx, rest)? {
                    Poll::Ready(count) => {
                        taken += count;
                        rest = &rest[count..];
                    }
                    Poll::Pending if taken == 0 => return Poll::Pending,
                    Poll::Pending => return Poll::Ready(Ok(Written { taken, moved: taken })),
                }
            }
        }
        Poll::Ready(Ok(Written { taken, moved: taken }))
    }

    /// Nothing more is said. An answer that is not through must not look complete.
    pub(crate) fn end(&self) {
        match &mut self.0.borrow_mut().going.stage {
            Stage::Head(respond) => respond.send_reset(Reason::INTERNAL_ERROR),
            Stage::Body(_, stream) => stream.send_reset(Reason::INTERNAL_ERROR),
            Stage::Ended => {}
        }
    }
}

/// A head of HTTP/2 as one of HTTP/1.1.
fn text_of(parts: &request::Parts, is_chunked: bool, is_secure: bool) -> Vec<u8> {
    let mut text = Vec::with_capacity(1024);
    text.extend_from_slice(parts.method.as_str().as_bytes());
    text.push(b' ');
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let path = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    let ours = if is_secure { "https" } else { "http" };
    match (parts.uri.scheme_str(), authority) {
        _ if parts.method == Method::CONNECT => {
            text.extend_from_slice(authority.unwrap_or_default().as_bytes());
        }
        _ if path.is_empty() => {}
        _ if !path.starts_with('/') => {
            text.push(NO_PATH);
            text.extend_from_slice(path.as_bytes());
        }
        // Who names another scheme means another origin, and says so in the absolute form.
        (Some(scheme), Some(authority)) if scheme != ours => {
            let _infallible = write!(text, "{scheme}://{authority}{path}");
        }
        _ => text.extend_from_slice(path.as_bytes()),
    }
    text.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = authority {
        write_field(&mut text, "host", authority.as_bytes());
    }
    for (name, value) in &parts.headers {
        let value = value.as_bytes();
        // Two that say the same are one; of two that do not, neither is preferred (RFC 9113 section
        // 8.3.1): both are written, and two hosts are refused.
        let same = |it: &str| it.as_bytes().eq_ignore_ascii_case(value);
        if name == COOKIE || (name == HOST && authority.is_some_and(same)) {
            continue;
        }
        write_field(&mut text, name.as_str(), value);
    }
    // Crumbs are one field outside of HTTP/2 (RFC 9113 section 8.2.3).
    let crumbs: Vec<&[u8]> =
        parts.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if !crumbs.is_empty() {
        write_field(&mut text, "cookie", &crumbs.join(&b"; "[..]));
    }
    if is_chunked {
        write_field(&mut text, "transfer-encoding", b"chunked");
    }
    text.extend_from_slice(b"\r\n");
    text
}

fn write_field(text: &mut Vec<u8>, name: &str, value: &[u8]) {
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b": ");
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\n");
}

impl Coming {
    /// Copies what is there. Answers whether that was anything.
    fn copy(&mut self, room: &mut ReadBuf<'_>) -> io::Result<bool> {
        let before = room.filled().len();
        let text = &self.text[self.mark..];
        let count = text.len().min(room.remaining());
        room.put_slice(&text[..count]);
        self.mark += count;
        if self.mark == self.text.len() && !self.data.is_empty() {
            let count = self.data.len().min(room.remaining());
            room.put_slice(&self.data[..count]);
            self.data.advance(count);
            // The window opens as fast as what comes goes on.
            self.body.flow_control().release_capacity(count).map_err(io::Error::other)?;
            if self.data.is_empty() && self.is_chunked {
                self.say(|text| text.extend_from_slice(b"\r\n"));
            }
        }
        Ok(room.filled().len() > before)
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.body.poll_data(cx)) {
            Some(Ok(data)) if data.is_empty() => {}
            Some(Ok(data)) => {
                if self.is_chunked {
                    self.say(|text| {
                        let _infallible = write!(text, "{:x}\r\n", data.len());
                    });
                }
                self.data = data;
            }
            Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            None => {
                // Trailer fields of a request stay behind, as those of HTTP/1.1 do.
                self.is_ended = true;
                if self.is_chunked {
                    self.say(|text| text.extend_from_slice(b"0\r\n\r\n"));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.text.drain(..self.mark);
        self.mark = 0;
        write(&mut self.text);
    }
}

impl Going {
    /// Ready once the client has given the stream up.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let left = match &mut self.stage {
            Stage::Head(respond) => ready!(respond.poll_reset(cx)),
            Stage::Body(_, stream) => ready!(stream.poll_reset(cx)),
            Stage::Ended => return Poll::Pending,
        };
        Poll::Ready(left.map_or_else(broken, |reason| broken(reason.into())))
    }

    /// Sends what `text` begins with, and answers how many of its bytes that were.
    fn poll_send(&mut self, cx: &mut Context<'_>, text: &[u8]) -> Poll<io::Result<usize>> {
        let (body, stream) = match &mut self.stage {
            Stage::Head(_) => return Poll::Ready(self.send_head(text)),
            Stage::Body(body, stream) => (body, stream),
            Stage::Ended => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
        };
        let mut ahead = *body;
        let (count, is_ended) = match ahead.next(text).map_err(unsound)? {
            Piece::Data(count) => {
                stream.reserve_capacity(count);
                let mut room = stream.capacity();
                while room == 0 {
                    room = match ready!(stream.poll_capacity(cx)) {
                        Some(room) => room.map_err(broken)?,
                        None => return Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
                    };
                }
                let taken = count.min(room);
                if taken < count {
                    ahead = body.without(taken as u64);
                }
                let data = Bytes::copy_from_slice(&text[..taken]);
                stream.send_data(data, ahead.is_ended()).map_err(broken)?;
                (taken, ahead.is_ended())
            }
            Piece::Framing(count) => (count, false),
            Piece::Trailers(count) => {
                let fields = http1::trailer_fields(&text[..count]);
                let trailers = fields_of(fields, text)?;
                if trailers.is_empty() {
                    stream.send_data(Bytes::new(), true).map_err(broken)?;
                } else {
                    stream.send_trailers(trailers).map_err(broken)?;
                }
                (count, true)
            }
            Piece::More | Piece::End => {
                return Poll::Ready(Err(ErrorKind::InvalidInput.into()));
            }
        };
        *body = ahead;
        if is_ended {
            self.stage = Stage::Ended;
        }
        Poll::Ready(Ok(count))
    }

    fn send_head(&mut self, text: &[u8]) -> io::Result<usize> {
        let Stage::Head(respond) = &mut self.stage else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let length = self.parser.advance(text, ANSWERS).map_err(unsound)?;
        let head = self.parser.response(text).zip(length);
        let (head, length) = head.ok_or(ErrorKind::InvalidInput)?;
        let answer = answer_of(&head)?;
        let status = answer.status();
        if status.is_informational() {
            respond.send_informational(answer).map_err(broken)?;
            self.parser.reset();
            return Ok(length);
        }
        let bare = self.is_head || matches!(status.as_u16(), 204 | 304);
        let body = if bare { Decoder::ENDED } else { Decoder::of_response(head.framing()) };
        if body.is_until_close() {
            return Err(ErrorKind::InvalidInput.into());
        }
        let stream = respond.send_response(answer, body.is_ended()).map_err(broken)?;
        self.stage = if body.is_ended() { Stage::Ended } else { Stage::Body(body, stream) };
        Ok(length)
    }
}

/// The head of an answer without what is said of a connection of HTTP/1.1 only.
fn answer_of(head: &ResponseHead<'_>) -> io::Result<Response<()>> {
    let mut answer = Response::new(());
    *answer.status_mut() = StatusCode::from_u16(head.status()).map_err(io::Error::other)?;
    *answer.headers_mut() = fields_of(head.fields().iter().copied(), head.bytes())?;
    Ok(answer)
}

fn fields_of(fields: impl Iterator<Item = Field>, text: &[u8]) -> io::Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for field in fields {
        match field.kind {
            Kind::Connection | Kind::TransferEncoding | Kind::Te | Kind::HopByHop => continue,
            Kind::Host
            | Kind::Authorization
            | Kind::ContentLength
            | Kind::Expect
            | Kind::Trailer
            | Kind::Date
            | Kind::Other => {}
        }
        let name = HeaderName::from_bytes(field.name(text)).map_err(io::Error::other)?;
        let value = HeaderValue::from_bytes(field.value(text)).map_err(io::Error::other)?;
        map.try_append(name, value).map_err(io::Error::other)?;
    }
    Ok(map)
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error.into_io().unwrap_or_else(|| ErrorKind::BrokenPipe.into());
    }
    io::Error::new(ErrorKind::ConnectionReset, error)
}

/// What we were about to say is no answer of HTTP/1.1.
fn unsound(fault: Fault) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, format!("{fault:?}"))
}
