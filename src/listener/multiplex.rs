//! HTTP/2 with a client: each stream is answered by a task of its own, as if it were a connection with
//! one request.
//!
//! Frames, header compression and windows are the `h2` library's. What may wait in memory on behalf
//! of one connection is bounded by the constants below and `limits.streams_max`.

use super::{Counted, Handler, Worker, exchange};
use crate::phase::{Late, Phase};
use crate::socket::{Channel, Duplex, Stream, Told};
use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// What a client may send of a stream's body ahead of what its upstream takes.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// The same of all streams together.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// What waits of a stream's answer for the socket to take it, beside what its client has no window
/// for: that is never taken from the upstream.
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Entries of the table of header compression, in bytes, that a client may have us keep.
const HEADER_TABLE_BYTES: u32 = 4096;
/// Streams that a client may have reset before anybody has looked at them; one more ends the
/// connection (CVE-2023-44487).
const RESETS_PENDING_MAX: usize = 20;
/// Streams that a client may have us reset for what it did wrong (CVE-2025-8671).
const RESETS_OWN_MAX: usize = 200;
/// Streams that were reset a moment ago, of which late frames are forgiven.
const RESETS_FORGIVEN_MAX: usize = 50;
/// How long a client may take to close what we have said is over.
const GOODBYE_FOR: Duration = Duration::from_secs(1);

/// What the tasks of a connection's streams have in common with it.
struct Common<H: Handler> {
    worker: Rc<Worker<H>>,
    /// Of the connection, which the handler makes one for each stream of.
    connection: H::Connection,
    phase: Rc<Phase>,
    open: Cell<usize>,
    _counted: Rc<Counted>,
}

/// Counts an open stream for as long as it lives.
struct Open<H: Handler>(Rc<Common<H>>);

impl<H: Handler> Open<H> {
    fn of(common: &Rc<Common<H>>) -> Self {
        if common.open.replace(common.open.get() + 1) == 0 {
            common.phase.begin_request();
        }
        Self(Rc::clone(common))
    }
}

impl<H: Handler> Drop for Open<H> {
    fn drop(&mut self) {
        let Common { open, phase, .. } = &*self.0;
        open.set(open.get() - 1);
        if open.get() == 0 {
            phase.end_request();
        }
    }
}

/// Serves a connection to its end. `begun` is what was read of it before.
pub(super) async fn serve<H: Handler>(
    worker: &Rc<Worker<H>>,
    connection: H::Connection,
    stream: Stream,
    begun: Vec<u8>,
    phase: &Rc<Phase>,
    counted: Rc<Counted>,
) {
    let is_secure = matches!(stream, Stream::Tls(_));
    let writing = Rc::clone(phase);
    let told = move |told| match told {
        Told::Waits => writing.write_waits(),
        Told::Took(count) => writing.wrote(count),
    };
    let stream = Duplex::new(stream, begun, told);
    let handshake = builder(worker).handshake::<_, Bytes>(stream);
    let mut h2 = match within(phase, handshake).await {
        Some(Ok(h2)) => h2,
        Some(Err(error)) => return tracing::debug!(%error, "no HTTP/2 came of a connection"),
        None => return,
    };
    let common = Rc::new(Common {
        worker: Rc::clone(worker),
        connection,
        phase: Rc::clone(phase),
        open: Cell::new(0),
        _counted: counted,
    });
    let mut farewell = Farewell::default();
    while let Some(accepted) = poll_fn(|cx| farewell.poll_accept(&mut h2, &common, cx)).await {
        match accepted {
            Ok((request, respond)) => {
                let channel = Channel::new(request, respond, is_secure);
                let _task = tokio::task::spawn_local(answer(Open::of(&common), channel));
            }
            Err(error) => return tracing::debug!(%error, "a connection of HTTP/2 broke off"),
        }
    }
}

fn builder<H>(worker: &Worker<H>) -> Builder {
    let limit = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limit(worker.limits.streams_max))
        .max_header_list_size(limit(worker.limits.head_bytes_max))
        .header_table_size(HEADER_TABLE_BYTES)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(Some(RESETS_OWN_MAX))
        .max_concurrent_reset_streams(RESETS_FORGIVEN_MAX);
    builder
}

/// How far a connection's end has been announced.
#[derive(Default)]
struct Farewell {
    /// That no more streams are wanted.
    drained: bool,
    /// That it is over.
    said: bool,
}

type Accepted = Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>;

impl Farewell {
    /// The next stream; nothing once the connection has ended. Whoever drains takes those that the
    /// client had begun before it came to know.
    fn poll_accept<H: Handler, T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        h2: &mut Connection<T, Bytes>,
        common: &Common<H>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Accepted>> {
        let phase = &common.phase;
        phase.keep_waker(cx.waker());
        if phase.late() == Some(Late::Client) {
            // A silent client is told that it was not cut off; one that does not read cannot be.
            if self.said || common.open.get() > 0 {
                return Poll::Ready(None);
            }
            self.said = true;
            phase.forgive();
            phase.close_within(GOODBYE_FOR);
            h2.abrupt_shutdown(Reason::NO_ERROR);
        } else if phase.is_draining() && !std::mem::replace(&mut self.drained, true) {
            h2.graceful_shutdown();
        }
        h2.poll_accept(cx)
    }
}

/// Answers the request of one stream.
async fn answer<H: Handler>(open: Open<H>, channel: Channel) {
    let Common { worker, connection, .. } = &*open.0;
    let phase = worker.phase();
    let connection = worker.handler.opened(connection, Rc::clone(&phase));
    let mut stream = Stream::Channel(Box::new(channel));
    let (handler, buffers) = (&*worker.handler, &worker.buffers);
    let limits = worker.head_limits();
    let served = exchange::serve_one(handler, &connection, &mut stream, &phase, limits, buffers);
    // A late client's stream is given up as it is, and `h2` says so.
    let _ended = within(&phase, served).await;
}

/// Waits until the client is late.
pub(super) async fn within<T>(phase: &Phase, waited_for: impl Future<Output = T>) -> Option<T> {
    let mut waited_for = pin!(waited_for);
    poll_fn(|cx| {
        phase.keep_waker(cx.waker());
        if phase.late() == Some(Late::Client) {
            return Poll::Ready(None);
        }
        waited_for.as_mut().poll(cx).map(Some)
    })
    .await
}
