//! Writing to sockets.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Messages up to this length are copied together and sent in one piece.
const JOINED_BYTES_MAX: usize = 1024;

/// Writes what is in `pieces`, as far as the socket takes it.
///
/// Gathering costs the kernel more than copying a short message does: an ordinary answer, head and
/// body, goes out as one piece, and so does whatever is in one piece already.
pub(crate) fn poll_write_pieces(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    if let [piece] = pieces {
        return stream.poll_write(cx, piece);
    }
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    if length > JOINED_BYTES_MAX {
        return stream.poll_write_vectored(cx, pieces);
    }
    let mut joined = [0; JOINED_BYTES_MAX];
    let mut end = 0;
    for piece in pieces {
        joined[end..end + piece.len()].copy_from_slice(piece);
        end += piece.len();
    }
    stream.poll_write(cx, &joined[..end])
}
