//! A TLS session over a socket.
//!
//! Both directions of an exchange go through one state, and both are driven by one task, so they
//! borrow it in turn and never across a wait. An idle session holds what its keys take and a few
//! kilobytes for what comes next; what was read goes into the buffers that the worker lends.

use super::stream::Written;
use rustix::net::Shutdown;
use rustls::Connection;
use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

/// Most that is encrypted ahead of what the other side takes.
const AHEAD_BYTES_MAX: usize = 32 * 1024;
/// What is said to those who begin to speak HTTP where TLS is spoken.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 80\r\n\r\n\
    {\"error\":\"bad_request\",\"error_description\":\"Only https is spoken on this port\"}\n";

/// A socket and the TLS that is spoken over it.
pub(crate) struct Session {
    socket: TcpStream,
    tls: RefCell<Connection>,
}

impl Session {
    pub(crate) fn new(socket: TcpStream, tls: impl Into<Connection>) -> Self {
        let mut tls = tls.into();
        tls.set_buffer_limit(Some(AHEAD_BYTES_MAX));
        Self { socket, tls: RefCell::new(tls) }
    }

    /// The socket below.
    pub(crate) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Looks at what has been agreed upon.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Connection) -> T) -> T {
        look(&self.tls.borrow())
    }

    /// Goes on with the handshake, to its end. When it fails the other side is told why, as far as it
    /// takes that at once.
    pub(crate) fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tls = &mut *self.tls.borrow_mut();
        let mut socket = Readied { socket: &self.socket, cx, first: None };
        loop {
            while tls.wants_write() {
                ready!(pending(tls.write_tls(&mut socket)))?;
            }
            if !tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(pending(tls.read_tls(&mut socket)))? == 0 {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            if let Err(error) = tls.process_new_packets() {
                if socket.first.is_some_and(|first| first.is_ascii_uppercase()) {
                    let _too_late = self.socket.try_write(PLAIN);
                } else {
                    tell(tls, &self.socket);
                }
                return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, error)));
            }
        }
    }

    /// Reads what there is. Nothing is the end that the other side has announced; one that it has
    /// not is an error, as somebody between may have cut off what belongs to the message.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tls = &mut *self.tls.borrow_mut();
        let mut socket = Readied { socket: &self.socket, cx, first: None };
        loop {
            match tls.reader().read(room.initialize_unfilled()) {
                Ok(count) => {
                    room.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            // What the protocol itself has to say, such as that keys were changed.
            if tls.wants_write() {
                match tls.write_tls(&mut socket) {
                    Err(error) if error.kind() != ErrorKind::WouldBlock => {
                        return Poll::Ready(Err(error));
                    }
                    Ok(_) | Err(_) => {}
                }
            }
            let _count = ready!(pending(tls.read_tls(&mut socket)))?;
            if let Err(error) = tls.process_new_packets() {
                tell(tls, &self.socket);
                return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, error)));
            }
        }
    }

    /// Encrypts what is in `pieces`, unless too much waits already, and writes what waits.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<Written>> {
        let mut written = Written::default();
        match self.poll_flush(cx)? {
            Poll::Ready(moved) => written.moved = moved,
            Poll::Pending => return Poll::Pending,
        }
        let tls = &mut *self.tls.borrow_mut();
        if tls.wants_write() {
            return Poll::Ready(Ok(written));
        }
        written.taken = tls.writer().write_vectored(pieces)?;
        let mut socket = Readied { socket: &self.socket, cx, first: None };
        written.moved += write_some(tls, &mut socket)?;
        Poll::Ready(Ok(written))
    }

    /// Writes what was encrypted, and answers how much it was; nothing once nothing is left.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let tls = &mut *self.tls.borrow_mut();
        let mut socket = Readied { socket: &self.socket, cx, first: None };
        let moved = write_some(tls, &mut socket)?;
        if moved == 0 && tls.wants_write() { Poll::Pending } else { Poll::Ready(Ok(moved)) }
    }

    /// Whether nothing that was encrypted is left.
    pub(crate) fn is_flushed(&self) -> bool {
        !self.tls.borrow().wants_write()
    }

    /// Encrypts the beginning of `text` and writes as much as the socket takes at once. Answers how
    /// much was taken; an error means that not a byte has left.
    pub(crate) fn try_write(&self, text: &[u8]) -> io::Result<usize> {
        let tls = &mut *self.tls.borrow_mut();
        let taken = tls.writer().write(text)?;
        let moved = tls.write_tls(&mut Bare(&self.socket))?;
        // What the socket does not take now is written on with the rest.
        if moved == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(taken) }
    }

    /// Whether nothing but the protocol's own has come, nor the end. Takes in what has come.
    pub(crate) fn is_idle(&self) -> bool {
        let tls = &mut *self.tls.borrow_mut();
        loop {
            let Ok(state) = tls.process_new_packets() else { return false };
            if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() {
                return false;
            }
            match tls.read_tls(&mut Bare(&self.socket)) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// Announces the end, as far as the other side takes that at once.
    pub(crate) fn announce_end(&self) {
        let tls = &mut *self.tls.borrow_mut();
        tls.send_close_notify();
        tell(tls, &self.socket);
    }

    /// Announces the end and sends no more.
    pub(crate) fn end(&self) -> io::Result<()> {
        self.announce_end();
        Ok(rustix::net::shutdown(&self.socket, Shutdown::Write)?)
    }
}

/// Writes as far as it goes.
fn write_some(tls: &mut Connection, socket: &mut Readied<'_, '_>) -> io::Result<usize> {
    let mut moved = 0;
    while tls.wants_write() {
        match tls.write_tls(socket) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => moved += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(moved)
}

/// Writes what is to be said last. Whoever does not take it will see the end without it.
fn tell(tls: &mut Connection, socket: &TcpStream) {
    while tls.wants_write() && matches!(tls.write_tls(&mut Bare(socket)), Ok(1..)) {}
}

fn pending<T>(outcome: io::Result<T>) -> Poll<io::Result<T>> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        outcome => Poll::Ready(outcome),
    }
}

/// A socket whose task is woken where it would block.
struct Readied<'a, 'c> {
    socket: &'a TcpStream,
    cx: &'a mut Context<'c>,
    /// The first byte that was read.
    first: Option<u8>,
}

impl Readied<'_, '_> {
    fn write_when_ready(
        &mut self,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            if self.socket.poll_write_ready(self.cx)?.is_pending() {
                return Err(ErrorKind::WouldBlock.into());
            }
            match write(self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }
}

impl Read for Readied<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.socket.poll_read_ready(self.cx)?.is_pending() {
                return Err(ErrorKind::WouldBlock.into());
            }
            match self.socket.try_read(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(count) => {
                    self.first = self.first.or(bytes.first().copied().filter(|_| count > 0));
                    return Ok(count);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Write for Readied<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_when_ready(|socket| socket.try_write(bytes))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_when_ready(|socket| socket.try_write_vectored(pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket that is only asked.
struct Bare<'a>(&'a TcpStream);

impl Read for Bare<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(bytes)
    }
}

impl Write for Bare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
