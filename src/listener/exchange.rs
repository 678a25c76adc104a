//! One request after the other on a client's connection.

use super::Handler;
use crate::http1::{Fault, HeadLimits, Parser, Side};
use crate::phase::Phase;
use crate::socket::{Buffers, Outward, Reader, Stream, Told, write_all};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// What of a body that nobody wants is read before the connection is closed, so that the client
/// comes to see the answer (RFC 9112 section 9.6): so many bytes, and for so long.
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;
const LINGER_FOR: Duration = Duration::from_secs(2);

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next request.
    Request,
    /// It is closed.
    Close,
    /// It is closed, but the client may still be sending.
    Linger,
    /// It ends as a broken one does: what was sent must not look complete.
    Reset,
}

/// A request whose head has come, and the way to answer it.
pub struct Exchange<'c, 's> {
    pub(crate) reader: &'c mut Reader<'s>,
    pub(crate) writer: &'c mut Writer<'s>,
    pub(crate) buffers: &'c Rc<Buffers>,
}

/// The way to a client.
pub(crate) struct Writer<'s> {
    half: Outward<'s>,
    phase: Rc<Phase>,
}

impl Writer<'_> {
    /// Writes all pieces, as slowly as the client takes them.
    pub(crate) async fn send(&mut self, pieces: [&[u8]; 3]) -> io::Result<()> {
        let phase = &self.phase;
        let told = |told| {
            match told {
                Told::Waits => phase.write_waits(),
                Told::Took(count) => phase.wrote(count),
            }
            Ok(())
        };
        write_all(&mut self.half, pieces, told).await.map_err(|(_written, error)| error)
    }
}

/// What the client of a connection of HTTP/2 begins with (RFC 9113 section 3.4), as far as it looks
/// like a request.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// How the requests of a connection have ended.
pub(super) enum Over {
    Closed,
    /// They have not begun: what came first is what HTTP/2 begins with.
    Preface(Vec<u8>),
}

/// Serves a connection to its end, or until it turns out that HTTP/2 is what is spoken, if that may
/// be.
pub(super) async fn serve<H: Handler>(
    handler: &H,
    connection: &H::Connection,
    stream: &mut Stream,
    phase: &Rc<Phase>,
    limits: HeadLimits,
    (buffers, h2c): (&Rc<Buffers>, bool),
) -> Over {
    let next = {
        let mut parser = Parser::new(Side::Requests);
        let (read, write) = stream.split();
        let mut reader = Reader::new(read, &mut parser, limits, Rc::clone(buffers));
        let mut writer = Writer { half: write, phase: Rc::clone(phase) };
        let mut is_fresh = true;
        loop {
            let head = read_head(&mut reader, phase, is_fresh).await;
            let is_first = std::mem::replace(&mut is_fresh, false);
            if matches!(head, Head::Ended) {
                break Next::Close;
            }
            if let Head::Faulty(Fault::Version) = head
                && h2c
                && is_first
                && reader.unused().starts_with(PREFACE)
            {
                return Over::Preface(reader.unused().to_vec());
            }
            phase.begin_request();
            let mut exchange = Exchange { reader: &mut reader, writer: &mut writer, buffers };
            let next = match head {
                Head::Faulty(fault) => handler.refuse(connection, fault, &mut exchange).await,
                Head::Complete | Head::Ended => handler.handle(connection, &mut exchange).await,
            };
            phase.end_request();
            if next != Next::Request {
                break next;
            }
        }
    };
    match next {
        Next::Request | Next::Close => stream.announce_end(),
        Next::Linger => linger(stream, phase, buffers).await,
        Next::Reset => {
            // A reset instead of an end (RFC 9112 section 8: the message is incomplete).
            stream.break_off();
        }
    }
    Over::Closed
}

/// Serves the one request of a stream.
pub(super) async fn serve_one<H: Handler>(
    handler: &H,
    connection: &H::Connection,
    stream: &mut Stream,
    phase: &Rc<Phase>,
    limits: HeadLimits,
    buffers: &Rc<Buffers>,
) {
    {
        let mut parser = Parser::new(Side::Requests);
        let (read, write) = stream.split();
        let mut reader = Reader::new(read, &mut parser, limits, Rc::clone(buffers));
        let mut writer = Writer { half: write, phase: Rc::clone(phase) };
        let head = read_head(&mut reader, phase, true).await;
        phase.begin_request();
        let mut exchange = Exchange { reader: &mut reader, writer: &mut writer, buffers };
        // A stream ends with its answer, whatever a connection would do.
        let _next = match head {
            Head::Ended => Next::Close,
            Head::Faulty(fault) => handler.refuse(connection, fault, &mut exchange).await,
            Head::Complete => handler.handle(connection, &mut exchange).await,
        };
        phase.end_request();
    }
    stream.announce_end();
}

enum Head {
    Complete,
    Ended,
    Faulty(Fault),
}

async fn read_head(reader: &mut Reader<'_>, phase: &Phase, is_fresh: bool) -> Head {
    loop {
        if reader.has_unused() {
            phase.received();
            match reader.read_head() {
                Ok(true) => return Head::Complete,
                Ok(false) => {}
                Err(fault) => return Head::Faulty(fault),
            }
        }
        let read = poll_fn(|cx| match reader.poll_fill(cx) {
            // Nobody has asked for anything. On a connection that was made a moment ago somebody is
            // about to.
            Poll::Pending
                if phase.is_draining()
                    && !reader.has_unused()
                    && !(is_fresh && phase.is_grace())
                    && reader.is_silent() =>
            {
                Poll::Ready(Ok(0))
            }
            polled @ (Poll::Ready(_) | Poll::Pending) => polled,
        })
        .await;
        if !matches!(read, Ok(1..)) {
            return Head::Ended;
        }
    }
}

async fn linger(stream: &mut Stream, phase: &Phase, buffers: &Rc<Buffers>) {
    phase.close_within(LINGER_FOR);
    if stream.end().await.is_err() {
        return;
    }
    let (read, _write) = stream.split();
    let mut parser = Parser::new(Side::Requests);
    let limits = HeadLimits { bytes_max: usize::MAX, fields_max: 0 };
    let mut reader = Reader::new(read, &mut parser, limits, Rc::clone(buffers));
    let mut seen = 0;
    while let Ok(count @ 1..) = poll_fn(|cx| reader.poll_fill(cx)).await {
        reader.consume(count);
        seen += count;
        if seen >= LINGER_BYTES_MAX {
            return;
        }
    }
}
