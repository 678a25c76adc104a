//! Connections of the admin port: a loop that takes them, and a limit on whatever they may keep.

use crate::socket;
use crate::tls::{Live, Terms};
use axum::Router;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;

/// Most connections at once; further ones wait in the backlog.
const CONNECTIONS_MAX: u32 = 256;
/// Longest time for a handshake of TLS, and for a head to come, from the connection's start or from the end of the answer
/// before it. So it is the longest silence between two requests, too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest head of a request. As much is read or written ahead.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// When a connection is asked to end: one whose client does not read must not stay for ever.
const CONNECTION_AGE_MAX: Duration = Duration::from_mins(5);
/// How long a connection that was asked to end may take to answer its request.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long connections go on once the port closes, before they are asked to end: what has been
/// sent by then may not have been read.
const STOP_GRACE: Duration = Duration::from_millis(250);

/// The limits in time and number, which tests make small.
#[derive(Clone, Copy)]
struct Limits {
    connections_max: u32,
    head_timeout: Duration,
    age_max: Duration,
    drain_timeout: Duration,
}

const LIMITS: Limits = Limits {
    connections_max: CONNECTIONS_MAX,
    head_timeout: HEAD_TIMEOUT,
    age_max: CONNECTION_AGE_MAX,
    drain_timeout: DRAIN_TIMEOUT,
};

/// Serves a router until `stop`, and then until the requests in flight are answered, at most for
/// [`DRAIN_TIMEOUT`]; over TLS, if `tls` says how. The peer's address is among each request's
/// extensions, as [`ConnectInfo`].
pub async fn serve(
    socket: TcpListener,
    tls: Option<Arc<Live>>,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    serve_within(LIMITS, socket, tls, router, stop).await;
}

async fn serve_within(
    limits: Limits,
    socket: TcpListener,
    tls: Option<Arc<Live>>,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections_max as usize));
    // Nothing is ever sent: connections are asked to end when the sender is gone.
    let (serving, stopped) = watch::channel(());
    let begin = |slot: OwnedSemaphorePermit, stream, peer| {
        let (router, stopped) = (router.clone(), stopped.clone());
        let terms = tls.as_ref().map(|live| live.terms());
        let _task = tokio::spawn(async move {
            match terms {
                None => converse(limits, stream, peer, router, stopped).await,
                Some(terms) => {
                    if let Some(stream) = secured(limits, stream, peer, terms, &stopped).await {
                        converse(limits, stream, peer, router, stopped).await;
                    }
                }
            }
            drop(slot);
        });
    };
    let accept = async {
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            let (stream, peer) = socket::accept(&socket).await;
            begin(slot, stream, peer);
        }
    };
    tokio::select! {
        () = stop => {}
        () = accept => {}
    }
    drop(serving);
    let backlog = take_backlog(socket, &slots, begin);
    if timeout(limits.drain_timeout, backlog).await.is_err() {
        tracing::debug!("not everybody who waited for the admin port had a turn");
    }
    // Every connection ends within its own time, and gives its slot back.
    let _all = slots.acquire_many(limits.connections_max).await;
}

/// Takes those who have connected and wait: to them the system has accepted the connection, and
/// they may have sent a request.
async fn take_backlog(
    socket: TcpListener,
    slots: &Arc<Semaphore>,
    begin: impl Fn(OwnedSemaphorePermit, TcpStream, SocketAddr),
) {
    let Ok(socket) = socket.into_std() else { return };
    while let Ok(slot) = Arc::clone(slots).acquire_owned().await {
        let Ok(Some((stream, peer))) = socket::accept_now(&socket) else { return };
        if let Ok(stream) = TcpStream::from_std(stream) {
            begin(slot, stream, peer);
        }
    }
}

/// The same connection over TLS, once the handshake is through. It has less time once the port
/// closes.
async fn secured(
    limits: Limits,
    stream: TcpStream,
    peer: SocketAddr,
    terms: Terms,
    stopped: &watch::Receiver<()>,
) -> Option<TlsStream<TcpStream>> {
    let mut stopped = stopped.clone();
    tokio::select! {
        made = TlsAcceptor::from(terms.config).accept(stream) => {
            made.inspect_err(|error| tracing::debug!(%peer, %error, "a handshake failed")).ok()
        }
        () = async {
            let _gone = stopped.changed().await;
            sleep(STOP_GRACE).await;
        } => None,
        () = sleep(limits.head_timeout) => None,
    }
}

/// One connection, to its end.
async fn converse(
    limits: Limits,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    router: Router,
    mut stopped: watch::Receiver<()>,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        outcome = connection.as_mut() => Some(outcome),
        () = async {
            let _gone = stopped.changed().await;
            sleep(STOP_GRACE).await;
        } => None,
        () = sleep(limits.age_max) => None,
    };
    let outcome = if let Some(outcome) = ended {
        Ok(outcome)
    } else {
        connection.as_mut().graceful_shutdown();
        timeout(limits.drain_timeout, connection).await
    };
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "an admin connection ended early"),
        Err(error) => tracing::debug!(%peer, %error, "an admin connection was cut"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::time::Instant;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::{Notify, oneshot};
    use tokio::task::JoinHandle;

    /// The longest anything here waits for what must come.
    const PATIENCE: Duration = Duration::from_secs(10);
    /// Long enough to see that something does not come.
    const A_WHILE: Duration = Duration::from_millis(300);
    /// No limit is met.
    const WIDE: Limits = Limits {
        connections_max: 16,
        head_timeout: PATIENCE,
        age_max: PATIENCE,
        drain_timeout: PATIENCE,
    };
    const ASK: &str = "GET /peer HTTP/1.1\r\nHost: localhost\r\n\r\n";
    /// More than the buffers of two sockets hold.
    const LARGE: usize = 32 << 20;

    /// A port with three answers: who asks, one that comes when told to, and a large one.
    struct Port {
        address: SocketAddr,
        /// A request for `/later` has come.
        begun: Arc<Notify>,
        /// It may be answered.
        finish: Arc<Notify>,
        stop: oneshot::Sender<()>,
        served: JoinHandle<()>,
    }

    impl Port {
        async fn open(limits: Limits) -> Self {
            let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = socket.local_addr().expect("it is bound");
            let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let later = {
                let (begun, finish) = (Arc::clone(&begun), Arc::clone(&finish));
                || async move {
                    begun.notify_one();
                    finish.notified().await;
                    "later"
                }
            };
            let router =
                Router::new()
                    .route(
                        "/peer",
                        get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move {
                            peer.to_string()
                        }),
                    )
                    .route("/later", get(later))
                    .route("/large", get(|| async { vec![0_u8; LARGE] }));
            let (stop, stopped) = oneshot::channel::<()>();
            let until = async { drop(stopped.await) };
            let served = tokio::spawn(serve_within(limits, socket, None, router, until));
            Self { address, begun, finish, stop, served }
        }

        /// A connection that has said this.
        async fn said(&self, text: &str) -> TcpStream {
            let mut client = TcpStream::connect(self.address).await.expect("it listens");
            client.write_all(text.as_bytes()).await.expect("it is open");
            client
        }
    }

    /// All that comes up to the end.
    async fn rest(client: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        let end = timeout(PATIENCE, client.read_to_end(&mut bytes)).await;
        // A connection may end with a reset.
        let _read = end.expect("the connection was left open");
        String::from_utf8(bytes).expect("UTF-8")
    }

    /// What comes next, if anything comes within a while.
    async fn next(client: &mut TcpStream, patience: Duration) -> Option<String> {
        let mut bytes = vec![0; 4096];
        let count = timeout(patience, client.read(&mut bytes)).await.ok()?.expect("it is open");
        bytes.truncate(count);
        Some(String::from_utf8(bytes).expect("UTF-8"))
    }

    #[tokio::test]
    async fn a_client_that_sends_no_whole_head_is_closed() {
        let head_timeout = A_WHILE;
        let port = Port::open(Limits { head_timeout, ..WIDE }).await;
        let begun = Instant::now();
        let mut silent = port.said("").await;
        let mut half = port.said("GET /peer HTTP/1.1\r\nHost: loc").await;
        let mut kept = port.said(ASK).await;
        for client in [&mut silent, &mut half] {
            let told = rest(client).await;
            assert!(told.is_empty() || told.starts_with("HTTP/1.1 408"), "{told}");
        }
        let told = rest(&mut kept).await;
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        assert!(begun.elapsed() >= head_timeout, "they were closed before their time");
        // A head that comes piece by piece has no more time than one that comes at once.
        let mut slow = port.said("GET /peer HTTP/1.1\r\n").await;
        let begun = Instant::now();
        while slow.write_all(b"X-Slow: 1\r\n").await.is_ok() {
            assert!(begun.elapsed() < PATIENCE, "a head that drips in keeps its connection");
            sleep(head_timeout / 6).await;
        }
    }

    #[tokio::test]
    async fn one_connection_too_many_waits() {
        let port = Port::open(Limits { connections_max: 2, ..WIDE }).await;
        let mut open = [port.said(ASK).await, port.said(ASK).await];
        for client in &mut open {
            assert!(next(client, PATIENCE).await.is_some_and(|told| told.contains(" 200 ")));
        }
        let mut third = port.said(ASK).await;
        assert_eq!(next(&mut third, A_WHILE).await, None, "it was served beyond the limit");
        drop(open);
        let told = next(&mut third, PATIENCE).await.expect("its turn has come");
        let address = third.local_addr().expect("it is bound").to_string();
        assert!(told.ends_with(&address), "{told}");
    }

    #[tokio::test]
    async fn a_request_in_flight_at_the_end_is_answered() {
        let port = Port::open(WIDE).await;
        let mut idle = port.said(ASK).await;
        assert!(next(&mut idle, PATIENCE).await.is_some());
        let mut asking = port.said(&ASK.replace("/peer", "/later")).await;
        port.begun.notified().await;
        port.stop.send(()).expect("it is served");
        assert_eq!(rest(&mut idle).await, "", "an idle connection is closed");
        assert!(TcpStream::connect(port.address).await.is_err(), "a connection was taken");
        assert!(!port.served.is_finished(), "it did not wait");
        port.finish.notify_one();
        let told = rest(&mut asking).await;
        assert!(told.starts_with("HTTP/1.1 200") && told.ends_with("later"), "{told}");
        timeout(PATIENCE, port.served).await.expect("it ends").expect("no panic");
    }

    #[tokio::test]
    async fn who_has_asked_when_it_ends_is_answered() {
        use std::io::{Read as _, Write as _};
        let port = Port::open(WIDE).await;
        let mut kept = port.said(ASK).await;
        assert!(next(&mut kept, PATIENCE).await.is_some());
        // Nothing here waits, so nobody takes or reads any of it before the end.
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let mut client = std::net::TcpStream::connect(port.address).expect("it listens");
                client.write_all(ASK.as_bytes()).expect("it is open");
                client
            })
            .collect();
        assert_eq!(kept.try_write(ASK.as_bytes()).expect("it is open"), ASK.len());
        port.stop.send(()).expect("it is served");
        assert!(rest(&mut kept).await.starts_with("HTTP/1.1 200"), "the kept connection");
        timeout(PATIENCE, port.served).await.expect("it ends").expect("no panic");
        for mut client in clients {
            let mut told = String::new();
            let _read = client.read_to_string(&mut told);
            assert!(told.starts_with("HTTP/1.1 200"), "a new connection: {told}");
        }
    }

    #[tokio::test]
    async fn the_end_waits_for_nobody_for_ever() {
        let port = Port::open(Limits { drain_timeout: A_WHILE, ..WIDE }).await;
        let mut asking = port.said(&ASK.replace("/peer", "/later")).await;
        port.begun.notified().await;
        port.stop.send(()).expect("it is served");
        timeout(PATIENCE, port.served).await.expect("it ends").expect("no panic");
        assert_eq!(rest(&mut asking).await, "");
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_cut() {
        let limits = Limits { connections_max: 1, age_max: A_WHILE, ..WIDE };
        let port = Port::open(Limits { drain_timeout: A_WHILE, ..limits }).await;
        let deaf = port.said(&ASK.replace("/peer", "/large")).await;
        let mut other = port.said(ASK).await;
        assert!(next(&mut other, PATIENCE).await.is_some_and(|told| told.contains(" 200 ")));
        drop(deaf);
    }

    #[tokio::test]
    async fn a_head_that_is_too_long_is_refused() {
        let port = Port::open(WIDE).await;
        let long = "x".repeat(HEAD_BYTES_MAX);
        let mut client = port.said(&ASK.replace("\r\n\r\n", &format!("\r\nX-A: {long}"))).await;
        let told = next(&mut client, PATIENCE).await.unwrap_or_default();
        assert!(told.starts_with("HTTP/1.1 431"), "{told}");
    }
}
