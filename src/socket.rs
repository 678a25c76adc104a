//! Sockets: taking connections, TLS and streams of HTTP/2 over them, and the HTTP/1 messages that go
//! over any.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

mod buffer;
mod channel;
mod duplex;
mod session;
mod stream;

pub(crate) use buffer::{Buffers, Text};
pub(crate) use channel::Channel;
pub(crate) use duplex::Duplex;
pub(crate) use session::Session;
pub(crate) use stream::{Outward, Reader, Stream, Told, is_joined, write_all};

/// First and longest pause after the system had no descriptor or memory for a socket.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

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

/// The next connection that is there already, if there is one, ready for a runtime.
pub(crate) fn accept_now(
    socket: &std::net::TcpListener,
) -> io::Result<Option<(std::net::TcpStream, SocketAddr)>> {
    loop {
        match socket.accept() {
            Ok((stream, peer)) => {
                let _slower = stream.set_nodelay(true);
                stream.set_nonblocking(true)?;
                return Ok(Some((stream, peer)));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if is_the_peers(error.kind()) => {}
            Err(error) => return Err(error),
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
