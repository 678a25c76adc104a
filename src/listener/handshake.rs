//! The beginning of a connection over TLS.

use super::Protocol;
use crate::phase::Phase;
use crate::socket::{Session, Stream};
use crate::tls::{Certificate, HTTP2, Live};
use rustls::{HandshakeKind, ServerConnection};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::net::TcpStream;

/// What a client's connection over TLS has agreed upon.
#[derive(Debug)]
pub struct Secured {
    /// What is spoken over it.
    pub protocol: Protocol,
    /// The name that the client asked for, in lower case.
    pub server_name: Option<String>,
    /// Who the client is, where somebody whom we trust vouches for it.
    pub certificate: Option<Certificate>,
}

/// Handshakes of the data port, counted.
#[derive(Debug, Default)]
pub struct Handshakes {
    under_way: AtomicUsize,
    full: AtomicU64,
    resumed: AtomicU64,
    failed: AtomicU64,
}

impl Handshakes {
    /// Those that have begun and not ended.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Those that came to their end, without those that resumed a session.
    pub fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Those that resumed a session.
    pub fn resumed(&self) -> u64 {
        self.resumed.load(Ordering::Relaxed)
    }

    /// Those that did not come to their end, for whatever reason.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// One begins.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay { handshakes: Arc::clone(self), kind: None }
    }
}

/// A handshake that counts as one under way until it has ended.
pub(super) struct UnderWay {
    handshakes: Arc<Handshakes>,
    /// How it ended, if well.
    kind: Option<HandshakeKind>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Self { handshakes, kind } = self;
        handshakes.under_way.fetch_sub(1, Ordering::Relaxed);
        let counter = match kind {
            Some(HandshakeKind::Resumed) => &handshakes.resumed,
            Some(_) => &handshakes.full,
            None => &handshakes.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Makes the handshake. Nothing where it fails: the client has been told as much as there is to tell.
pub(super) async fn secure(
    socket: TcpStream,
    live: &Live,
    phase: &Phase,
    mut under_way: UnderWay,
) -> Option<(Stream, Secured)> {
    let terms = live.terms();
    phase.begin_handshake();
    let connection = ServerConnection::new(terms.config)
        .inspect_err(|error| tracing::error!(%error, "no connection over TLS can begin"))
        .ok()?;
    // Not within the task, where every connection in the clear would pay for its size.
    let session = Box::new(Session::new(socket, connection));
    if let Err(error) = poll_fn(|cx| session.poll_handshake(cx)).await {
        tracing::debug!(%error, "a handshake failed");
        return None;
    }
    phase.end_handshake();
    let secured = session.look(|tls| {
        under_way.kind = tls.handshake_kind();
        let certificate = tls.peer_certificates().and_then(|chain| chain.first());
        let server_name = match tls {
            rustls::Connection::Server(tls) => tls.server_name().map(str::to_ascii_lowercase),
            rustls::Connection::Client(_) => None,
        };
        let is_http2 = tls.alpn_protocol() == Some(HTTP2);
        Secured {
            protocol: if is_http2 { Protocol::Http2 } else { Protocol::Http1 },
            server_name,
            certificate: certificate.and_then(|found| Certificate::of(found, terms.trust)),
        }
    });
    Some((Stream::Tls(session), secured))
}
