//! Taking connections, and writing to them.

use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::net::{TcpListener, TcpStream};

/// First and longest pause after the system had no descriptor or memory for a socket.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// Messages up to this length are copied together and sent in one piece.
const JOINED_BYTES_MAX: usize = 1024;

/// The next connection. Backs off when the system has none to give.
pub(crate) async fn accept(socket: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut pause = BACK_OFF.0;
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                // Without this a small answer can wait for an acknowledgement; the socket works
                // all the same.
                let _slower = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) if is_the_peers(error.kind()) => {}
            Err(error) => {
                tracing::warn!(%error, ?pause, "no connection can be taken");
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(BACK_OFF.1);
            }
        }
    }
}

/// Errors of one connection, not of the socket.
fn is_the_peers(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

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
