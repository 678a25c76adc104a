//! A client's socket as the HTTP parser sees it: guarded, and with its phases noted.

use super::framing::Guard;
use crate::phase::Phase;
use crate::socket;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A byte that is in no HTTP/1 head, chunk size or field: the parser answers 400 and closes.
const POISON: u8 = 0;

pub(crate) struct ClientStream {
    stream: TcpStream,
    guard: Guard,
    phase: Rc<Phase>,
    broken: bool,
}

impl ClientStream {
    pub(crate) fn new(stream: TcpStream, head_bytes_max: usize, phase: Rc<Phase>) -> Self {
        Self { stream, guard: Guard::new(head_bytes_max), phase, broken: false }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.broken {
            // End of the stream: whatever the client still says is not listened to.
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let fresh = &mut buf.filled_mut()[before..];
        if fresh.is_empty() {
            return Poll::Ready(Ok(()));
        }
        this.phase.received();
        if let Err((at, fault)) = this.guard.follow(fresh) {
            tracing::debug!(?fault, "the framing of a request is refused");
            fresh[at..].fill(POISON);
            this.broken = true;
            this.phase.note_fault(this.guard.faulty_request());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = socket::poll_write_pieces(&mut this.stream, cx, bytes);
        this.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.look_out(cx);
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        if self.phase.is_cut() {
            // A reset instead of an end (RFC 9112 section 8: the message is incomplete).
            let _closed_anyway = self.stream.set_zero_linger();
        }
    }
}

impl ClientStream {
    /// While a request is handled and nothing is read, looks whether the client is still there.
    ///
    /// hyper would do so by reading on, which needs a fresh buffer for each request, because the
    /// head still holds the one that it came in. A look takes no buffer, and no system call as long
    /// as the socket is quiet.
    fn look_out(&self, cx: &mut Context<'_>) {
        if !self.phase.is_watched() {
            return;
        }
        let mut byte = [0];
        match self.stream.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Pending => {}
            // The next request is there already.
            Poll::Ready(Ok(1..)) => self.phase.unwatch(),
            Poll::Ready(Ok(0) | Err(_)) => self.phase.leave(),
        }
    }

    fn written(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if outcome.is_pending() {
            self.phase.write_waits();
        }
        let bytes = ready!(outcome)?;
        self.phase.wrote(bytes);
        Poll::Ready(Ok(bytes))
    }
}
