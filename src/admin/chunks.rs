//! Answers that are too large for memory: a thread that may block makes them, piece by piece, as the
//! client takes them.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Pieces that wait for a client that reads slowly.
const CHUNKS_QUEUED_MAX: usize = 4;

/// What comes next; `None` at the end.
pub(crate) type Next = Option<io::Result<Bytes>>;

/// A body in pieces. An error among them breaks the answer off, so that it does not look complete, and
/// so does a thread that ends in a panic.
pub(crate) struct Chunks {
    chunks: mpsc::Receiver<Next>,
    left: Option<u64>,
}

impl Chunks {
    /// A body of what is sent, as it is sent.
    pub(crate) const fn told(chunks: mpsc::Receiver<Next>) -> Self {
        Self { chunks, left: None }
    }

    /// A body of so many bytes, if that is known, which `write` sends piece by piece. It may block,
    /// and is told `false` when nobody takes any more.
    pub(crate) fn written(
        bytes: Option<u64>,
        write: impl FnOnce(&mut dyn FnMut(io::Result<Bytes>) -> bool) + Send + 'static,
    ) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS_QUEUED_MAX);
        tokio::task::spawn_blocking(move || {
            write(&mut |chunk| sender.blocking_send(Some(chunk)).is_ok());
            let _gone = sender.blocking_send(None);
        });
        Self { chunks, left: bytes }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.chunks.poll_recv(cx).map(|chunk| {
            let chunk = chunk.unwrap_or_else(|| Some(Err(io::ErrorKind::BrokenPipe.into())))?;
            if let (Ok(chunk), Some(left)) = (&chunk, &mut self.left) {
                *left = left.saturating_sub(chunk.len() as u64);
            }
            Some(chunk.map(Frame::data))
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
