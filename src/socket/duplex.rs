//! A connection as the library of HTTP/2 takes it.

use super::stream::{Outward, Stream, Told, Written};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection of which something was read already.
pub(crate) struct Duplex<F> {
    stream: Stream,
    /// What was read before.
    begun: Vec<u8>,
    /// Hears how writing goes.
    told: F,
}

impl<F: FnMut(Told)> Duplex<F> {
    pub(crate) const fn new(stream: Stream, begun: Vec<u8>, told: F) -> Self {
        Self { stream, begun, told }
    }

    fn poll_some(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<Written>> {
        let (_read, mut write) = self.stream.split();
        let polled = write.poll_write(cx, pieces);
        match &polled {
            Poll::Pending => (self.told)(Told::Waits),
            Poll::Ready(Ok(written)) => (self.told)(Told::Took(written.moved)),
            Poll::Ready(Err(_)) => {}
        }
        polled
    }
}

impl<F: FnMut(Told) + Unpin> AsyncRead for Duplex<F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.begun.is_empty() {
            let count = self.begun.len().min(room.remaining());
            room.put_slice(&self.begun[..count]);
            self.begun.drain(..count);
            return Poll::Ready(Ok(()));
        }
        let (mut read, _write) = self.stream.split();
        read.poll_read(cx, room)
    }
}

impl<F: FnMut(Told) + Unpin> AsyncWrite for Duplex<F> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            // TLS may have to move what it has before it takes more.
            match ready!(self.poll_some(cx, pieces))? {
                Written { taken: 0, moved: 1.. } => {}
                Written { taken, .. } => return Poll::Ready(Ok(taken)),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.stream.split().1.is_flushed() {
            ready!(self.poll_some(cx, &[]))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.stream.announce_end();
        match self.stream.split().1 {
            Outward::Plain(mut half) => Pin::new(&mut half).poll_shutdown(cx),
            Outward::Tls(_) | Outward::Channel(_) => Poll::Ready(Ok(())),
        }
    }
}
