//! HTTP/1 messages over a connection: reading them piece by piece, writing them.

use super::buffer::{Buffer, Buffers};
use super::channel::Channel;
use super::session::Session;
use crate::http1::{Decoder, Fault, HeadLimits, Parser, Piece, RequestHead, ResponseHead};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

/// Messages up to this length are put together and sent in one piece: gathering costs the kernel
/// more than copying a little does.
const JOINED_BYTES_MAX: usize = 4096;

/// A connection, in the clear or over TLS; or what looks like one: a stream of HTTP/2.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<Session>),
    Channel(Box<Channel>),
}

impl Stream {
    /// Both directions.
    pub(crate) fn split(&mut self) -> (Inward<'_>, Outward<'_>) {
        match self {
            Self::Plain(socket) => {
                let (read, write) = socket.split();
                (Inward::Plain(read), Outward::Plain(write))
            }
            Self::Tls(session) => (Inward::Tls(session), Outward::Tls(session)),
            Self::Channel(channel) => (Inward::Channel(channel), Outward::Channel(channel)),
        }
    }

    /// Whether nothing has come that anybody could read, nor the end.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::Plain(socket) => {
                // The system is only asked if something has happened. (`poll_read_ready` would not
                // do: to a task that has used up its budget it says nothing, which looks like
                // silence.)
                let read = socket.try_read(&mut [0]);
                read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            Self::Tls(session) => session.is_idle(),
            // It has one exchange, and is never waiting for another.
            Self::Channel(_) => false,
        }
    }

    /// Says that this is the end, where that is said beside ending.
    pub(crate) fn announce_end(&self) {
        match self {
            Self::Plain(_) => {}
            Self::Tls(session) => session.announce_end(),
            Self::Channel(channel) => channel.end(),
        }
    }

    /// Ends what is sent; the other side may go on.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.shutdown().await,
            Self::Tls(session) => session.end(),
            Self::Channel(channel) => {
                channel.end();
                Ok(())
            }
        }
    }

    /// Lets the connection end as a broken one does, without an announcement.
    pub(crate) fn break_off(&self) {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(session) => session.socket(),
            Self::Channel(channel) => return channel.end(),
        };
        let _closed_anyway = socket.set_zero_linger();
    }
}

/// What comes.
pub(crate) enum Inward<'s> {
    Plain(ReadHalf<'s>),
    Tls(&'s Session),
    Channel(&'s Channel),
}

impl Inward<'_> {
    /// Reads what there is.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(half) => Pin::new(half).poll_read(cx, room),
            Self::Tls(session) => session.poll_read(cx, room),
            Self::Channel(channel) => channel.poll_read(cx, room),
        }
    }
}

/// What goes.
pub(crate) enum Outward<'s> {
    Plain(WriteHalf<'s>),
    Tls(&'s Session),
    Channel(&'s Channel),
}

/// How a write went: TLS takes before it moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Bytes that need not be given again.
    pub(crate) taken: usize,
    /// Bytes that left, as they are on the wire.
    pub(crate) moved: usize,
}

impl Outward<'_> {
    /// Begins to write, without a wait. An error means that nothing has left.
    pub(crate) fn try_write(&self, text: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(half) => half.try_write(text),
            Self::Tls(session) => session.try_write(text),
            // Only links begin like that.
            Self::Channel(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Writes what is in `pieces`, as far as the socket takes it.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<Written>> {
        match self {
            Self::Plain(half) => {
                let half = Pin::new(half);
                let mut filled = pieces.iter().filter(|piece| !piece.is_empty());
                let polled = match (filled.next(), filled.next()) {
                    (None, _) => Poll::Ready(Ok(0)),
                    (Some(piece), None) => half.poll_write(cx, piece),
                    (Some(_), Some(_)) => half.poll_write_vectored(cx, pieces),
                };
                polled.map_ok(|count| Written { taken: count, moved: count })
            }
            Self::Tls(session) => {
                if pieces.iter().all(|piece| piece.is_empty()) {
                    let flushed = session.poll_flush(cx);
                    return flushed.map_ok(|moved| Written { taken: 0, moved });
                }
                session.poll_write(cx, pieces)
            }
            Self::Channel(channel) => channel.poll_write(cx, pieces),
        }
    }

    /// Whether what was taken has left.
    pub(super) fn is_flushed(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Channel(_) => true,
            Self::Tls(session) => session.is_flushed(),
        }
    }
}

/// One direction of a connection: what comes.
///
/// It holds a buffer only while something is in it.
pub(crate) struct Reader<'s> {
    half: Inward<'s>,
    parser: &'s mut Parser,
    limits: HeadLimits,
    buffers: Rc<Buffers>,
    buffer: Option<Buffer>,
    head_bytes: usize,
    body: Decoder,
    /// The body after the piece that was looked at last.
    ahead: Decoder,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(
        half: Inward<'s>,
        parser: &'s mut Parser,
        limits: HeadLimits,
        buffers: Rc<Buffers>,
    ) -> Self {
        parser.reset();
        let body = Decoder::ENDED;
        Self { half, parser, limits, buffers, buffer: None, head_bytes: 0, body, ahead: body }
    }

    /// Whether something was read that nobody has used.
    pub(crate) fn has_unused(&self) -> bool {
        self.buffer.is_some()
    }

    /// Whether nothing waits to be read, not even the end. The runtime hears of what has come a
    /// moment later than the system does; here the system is asked itself.
    pub(crate) fn is_silent(&self) -> bool {
        let socket = match &self.half {
            Inward::Plain(half) => half.as_ref(),
            Inward::Tls(session) => session.socket(),
            Inward::Channel(_) => return true,
        };
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let seen = rustix::net::recv(socket, &mut [0_u8; 1][..], flags);
        seen.is_err_and(|error| error == Errno::WOULDBLOCK)
    }

    /// Whether the other side sends no more, whatever it sent before that nobody has read; of a stream,
    /// whether it was given up, and whoever asks is woken when it is.
    pub(crate) fn has_left(&self, cx: &mut Context<'_>) -> bool {
        #[cfg(target_os = "linux")]
        const LEFT: PollFlags = PollFlags::RDHUP.union(PollFlags::HUP).union(PollFlags::ERR);
        // Elsewhere only who takes no more either is seen to have left.
        #[cfg(not(target_os = "linux"))]
        const LEFT: PollFlags = PollFlags::HUP.union(PollFlags::ERR);
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let socket = match &self.half {
            Inward::Plain(half) => half.as_ref(),
            Inward::Tls(session) => session.socket(),
            Inward::Channel(channel) => return channel.has_left(cx),
        };
        let mut asked = [PollFd::new(socket, LEFT)];
        let told = rustix::event::poll(&mut asked, Some(&AT_ONCE));
        told.is_ok() && asked[0].revents().intersects(LEFT)
    }

    /// What was read and not used.
    pub(crate) fn unused(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], Buffer::unused)
    }

    /// Reads what there is. Answers how much that was; nothing is the end of the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = self.buffer.take().unwrap_or_else(|| self.buffers.take());
        let mut room = ReadBuf::new(buffer.room(self.limits.bytes_max));
        let outcome = if room.capacity() == 0 {
            Poll::Ready(Err(io::Error::other("more is waiting to be read than there is room for")))
        } else {
            self.half.poll_read(cx, &mut room)
        };
        let count = room.filled().len();
        buffer.read(count);
        self.keep(buffer);
        outcome.map_ok(|()| count)
    }

    fn keep(&mut self, buffer: Buffer) {
        if buffer.unused().is_empty() {
            self.buffers.give(buffer);
        } else {
            self.buffer = Some(buffer);
        }
    }

    /// Reads on in a head. Answers whether its end is there.
    pub(crate) fn read_head(&mut self) -> Result<bool, Fault> {
        let unused = self.buffer.as_ref().map_or(&[][..], Buffer::unused);
        match self.parser.advance(unused, self.limits)? {
            Some(length) => {
                self.head_bytes = length;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// The request whose head is there to its end.
    pub(crate) fn request(&self) -> Option<RequestHead<'_>> {
        self.parser.request(self.unused())
    }

    /// The answer whose head is there to its end.
    pub(crate) fn response(&self) -> Option<ResponseHead<'_>> {
        self.parser.response(self.unused())
    }

    /// What has come of the body, while the head was not gone past yet.
    pub(crate) fn after_head(&self) -> &[u8] {
        &self.unused()[self.head_bytes..]
    }

    /// Goes past the head and so many bytes of the body, of which the rest is framed like this.
    pub(crate) fn begin_body(&mut self, used: usize, body: Decoder) {
        let head_bytes = std::mem::take(&mut self.head_bytes);
        self.consume(head_bytes + used);
        self.parser.reset();
        self.body = body;
    }

    /// The body, as far as it was not read yet.
    pub(crate) const fn body(&self) -> Decoder {
        self.body
    }

    /// Looks at what comes next in the body. Its bytes are the first of [`Reader::unused`], and it
    /// comes again until [`Reader::pass`] goes past it: whoever gives up while they work on it
    /// leaves body and bytes in step.
    pub(crate) fn next_piece(&mut self) -> Result<Piece, Fault> {
        let unused = self.buffer.as_ref().map_or(&[][..], Buffer::unused);
        self.ahead = self.body;
        self.ahead.next(unused)
    }

    /// Goes past the piece that was looked at last, which has so many bytes.
    pub(crate) fn pass(&mut self, count: usize) {
        self.body = self.ahead;
        self.consume(count);
    }

    /// So many bytes have been used.
    pub(crate) fn consume(&mut self, count: usize) {
        if let Some(mut buffer) = self.buffer.take() {
            buffer.consume(count);
            self.keep(buffer);
        }
    }

    /// Throws away what has come of the body. Answers whether that was all of it.
    pub(crate) fn discard_body(&mut self) -> Result<bool, Fault> {
        loop {
            match self.next_piece()? {
                Piece::Data(count) | Piece::Framing(count) | Piece::Trailers(count) => {
                    self.pass(count);
                }
                Piece::More => return Ok(false),
                Piece::End => return Ok(true),
            }
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.buffers.give(buffer);
        }
    }
}

/// Whether `data` is better appended to `text` than sent beside it.
pub(crate) fn is_joined(text: &[u8], data: usize) -> bool {
    text.len() + data <= JOINED_BYTES_MAX
}

/// How a write goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The other side does not take it.
    Waits,
    /// It took so many bytes.
    Took(usize),
}

/// Writes all pieces. `told` hears how it goes, and may end it while it waits. An error comes with
/// how much was written before it.
pub(crate) async fn write_all(
    half: &mut Outward<'_>,
    mut pieces: [&[u8]; 3],
    mut told: impl FnMut(Told) -> io::Result<()>,
) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while pieces.iter().any(|piece| !piece.is_empty()) || !half.is_flushed() {
        let outcome = poll_fn(|cx| {
            let slices = pieces.map(IoSlice::new);
            let polled = half.poll_write(cx, &slices);
            if polled.is_pending()
                && let Err(error) = told(Told::Waits)
            {
                return Poll::Ready(Err(error));
            }
            polled
        })
        .await;
        let Written { taken, moved } = match outcome {
            Ok(Written { taken: 0, moved: 0 }) => {
                return Err((written, io::ErrorKind::WriteZero.into()));
            }
            Ok(step) => step,
            Err(error) => return Err((written, error)),
        };
        written += taken;
        told(Told::Took(moved)).map_err(|error| (written, error))?;
        let mut left = taken;
        for piece in &mut pieces {
            let here = left.min(piece.len());
            *piece = &piece[here..];
            left -= here;
        }
    }
    Ok(())
}
