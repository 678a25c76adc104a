//! Connections of the data port.
//!
//! One acceptor takes sockets and hands each to the worker with the fewest connections. A worker is
//! a thread with a single-threaded runtime; everything that belongs to a connection lives and dies
//! on one worker, so nothing on the way of a request is shared between threads but the cache.
//!
//! The listener knows nothing of tokens or routes: what a request means is the [`Handler`]'s.

use crate::config::Limits;
use crate::http1::{Fault, HeadLimits};
use crate::phase::{Phase, PhaseLimits, TICK, Ticks};
use crate::socket::{Buffers, Stream};
use crate::tls::Live;
use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;

mod accept;
mod exchange;
mod handshake;
mod multiplex;

use exchange::Over;
pub(crate) use exchange::Writer;
pub use exchange::{Exchange, Next};
use handshake::UnderWay;
pub use handshake::{Handshakes, Secured};

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, or HTTP/1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What becomes of requests. One for each worker.
pub trait Handler: 'static {
    /// What is known of a connection.
    type Connection: 'static;

    /// A client has connected, and over TLS, where that is spoken, agreed upon this.
    fn connected(
        &self,
        peer: SocketAddr,
        protocol: Protocol,
        secured: Option<Secured>,
        phase: Rc<Phase>,
    ) -> Self::Connection;

    /// A client has opened a stream on a connection: it is like one of its own, with one request.
    fn opened(&self, connection: &Self::Connection, phase: Rc<Phase>) -> Self::Connection;

    /// The head of a request has come: answers it, and says what becomes of the connection.
    fn handle(
        &self,
        connection: &Self::Connection,
        exchange: &mut Exchange<'_, '_>,
    ) -> impl Future<Output = Next>;

    /// What has come is no request: says so.
    fn refuse(
        &self,
        connection: &Self::Connection,
        fault: Fault,
        exchange: &mut Exchange<'_, '_>,
    ) -> impl Future<Output = Next>;

    /// A tick has passed.
    fn tick(&self, ticks: &Ticks);
}

enum Message {
    Socket(Arrived),
    /// [`TICK`] has passed. Workers have no timer of their own: a runtime with one reads the clock
    /// several times whenever it goes to sleep.
    Tick,
    /// Every connection ends with its present request.
    Drain,
    /// There will be no more sockets.
    Closed,
}

/// A connection that was taken.
struct Arrived {
    socket: std::net::TcpStream,
    peer: SocketAddr,
    /// Where TLS is spoken: its handshake.
    under_way: Option<UnderWay>,
}

/// What is spoken on a port.
#[derive(Clone, Default)]
pub struct Spoken {
    /// How TLS is, if it is.
    pub tls: Option<Arc<Live>>,
    /// Whether HTTP/2 is without TLS, with those who know beforehand (RFC 9113 section 3.3).
    pub h2c: bool,
}

/// How TLS is spoken on the port, and what comes of it.
#[derive(Clone)]
struct Security {
    live: Arc<Live>,
    handshakes: Arc<Handshakes>,
    handshakes_max: usize,
}

/// The acceptor's view of one worker.
struct Desk {
    messages: mpsc::UnboundedSender<Message>,
    open: Arc<AtomicUsize>,
}

/// The running data port.
pub struct Listener {
    address: SocketAddr,
    desks: Arc<Vec<Desk>>,
    handshakes: Arc<Handshakes>,
    stop: Arc<Notify>,
    acceptor: Option<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
}

impl Listener {
    /// Starts `workers` workers and the acceptor on a bound socket, on which is spoken what `spoken`
    /// says. `make` is called on each worker's thread, with the worker's number.
    ///
    /// # Errors
    /// When the system gives no thread, or the socket cannot be used.
    pub fn start<H: Handler>(
        socket: TcpListener,
        workers: usize,
        limits: &Limits,
        spoken: Spoken,
        make: impl Fn(usize, &Ticks) -> H + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let address = socket.local_addr()?;
        let handshakes = Arc::<Handshakes>::default();
        let h2c = spoken.h2c;
        let security = spoken.tls.map(|live| Security {
            live,
            handshakes: Arc::clone(&handshakes),
            handshakes_max: limits.handshakes_max,
        });
        let mut desks = Vec::new();
        let mut threads = Vec::new();
        for number in 0..workers.max(1) {
            let (messages, inbox) = mpsc::unbounded_channel();
            let open = Arc::new(AtomicUsize::new(0));
            desks.push(Desk { messages, open: Arc::clone(&open) });
            let (limits, make, security) = (limits.clone(), make.clone(), security.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            threads.push(thread::Builder::new().name(format!("worker-{number}")).spawn(
                move || {
                    let ticks = Ticks::default();
                    let handler = Rc::new(make(number, &ticks));
                    let worker = Worker::new(handler, ticks, limits, (security, h2c), open);
                    LocalSet::new().block_on(&runtime, worker.run(inbox));
                },
            )?);
        }
        let desks = Arc::new(desks);
        let stop = Arc::new(Notify::new());
        let taken = accept::Limits {
            connections_max: limits.connections_max,
            backlog_for_max: limits.drain_timeout,
            security,
        };
        let acceptor = accept::start(socket, taken, &desks, &stop)?;
        start_ticker(&desks)?;
        Ok(Self { address, desks, handshakes, stop, acceptor: Some(acceptor), workers: threads })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads how many connections are open.
    pub fn connections(&self) -> impl Fn() -> usize + Send + Sync + use<> {
        let desks = Arc::clone(&self.desks);
        move || desks.iter().map(|desk| desk.open.load(Ordering::Relaxed)).sum()
    }

    /// Counts handshakes, of which there are none where no TLS is spoken.
    #[must_use]
    pub const fn handshakes(&self) -> &Arc<Handshakes> {
        &self.handshakes
    }

    /// Takes no more connections than wait already, lets every request in flight end, and returns
    /// when all connections are closed, at the latest after the drain timeout. Blocks.
    pub fn drain(mut self) {
        self.stop.notify_one();
        // Where the port is full, those that end make room for those that wait.
        self.tell(|| Message::Drain);
        if let Some(acceptor) = self.acceptor.take() {
            let _panicked = acceptor.join();
        }
        self.tell(|| Message::Closed);
        for worker in self.workers.drain(..) {
            let _panicked = worker.join();
        }
    }

    fn tell(&self, message: impl Fn() -> Message) {
        for desk in self.desks.iter() {
            // A worker that is gone has no connection to drain.
            let _gone = desk.messages.send(message());
        }
    }
}

/// Tells all workers that time passes, until the last of them has gone.
fn start_ticker(desks: &Arc<Vec<Desk>>) -> std::io::Result<()> {
    let inboxes: Vec<_> = desks.iter().map(|desk| desk.messages.clone()).collect();
    let tick = move || {
        let mut next = Instant::now();
        loop {
            next += TICK;
            thread::sleep(next.saturating_duration_since(Instant::now()));
            let told = inboxes.iter().filter(|inbox| inbox.send(Message::Tick).is_ok()).count();
            if told == 0 {
                return;
            }
        }
    };
    thread::Builder::new().name("tick".into()).spawn(tick).map(drop)
}

/// One worker: its handler and its connections.
struct Worker<H> {
    handler: Rc<H>,
    ticks: Ticks,
    limits: Limits,
    security: Option<Security>,
    h2c: bool,
    open: Arc<AtomicUsize>,
    buffers: Rc<Buffers>,
    phases: RefCell<Vec<Weak<Phase>>>,
    draining: Cell<bool>,
}

impl Security {
    /// Whether as many handshakes are under way as may be.
    fn is_crowded(&self) -> bool {
        self.handshakes.under_way() >= self.handshakes_max
    }
}

/// Counts an open connection for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<H: Handler> Worker<H> {
    fn new(
        handler: Rc<H>,
        ticks: Ticks,
        limits: Limits,
        (security, h2c): (Option<Security>, bool),
        open: Arc<AtomicUsize>,
    ) -> Rc<Self> {
        let (buffers, phases) = (Rc::default(), RefCell::default());
        let draining = Cell::new(false);
        Rc::new(Self { handler, ticks, limits, security, h2c, open, buffers, phases, draining })
    }

    async fn run(self: Rc<Self>, mut inbox: mpsc::UnboundedReceiver<Message>) {
        let mut drain_until = u64::MAX;
        let mut closed = false;
        while let Some(message) = inbox.recv().await {
            match message {
                Message::Socket(arrived) => self.adopt(arrived),
                Message::Drain => {
                    drain_until = self.ticks.after(self.limits.drain_timeout);
                    self.drain();
                }
                Message::Closed => closed = true,
                Message::Tick => {
                    self.ticks.advance();
                    self.sweep();
                    self.handler.tick(&self.ticks);
                }
            }
            let empty = closed && self.open.load(Ordering::Relaxed) == 0;
            if self.draining.get() && (empty || self.ticks.now() >= drain_until) {
                self.handler.tick(&self.ticks);
                return;
            }
        }
    }

    fn adopt(self: &Rc<Self>, arrived: Arrived) {
        let counted = Counted(Arc::clone(&self.open));
        let Arrived { socket, peer, under_way } = arrived;
        match TcpStream::from_std(socket) {
            Ok(socket) => {
                let served = Rc::clone(self).serve(socket, peer, under_way, counted);
                let _task = tokio::task::spawn_local(served);
            }
            Err(error) => tracing::warn!(%error, %peer, "a socket cannot be used"),
        }
    }

    async fn serve(
        self: Rc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        under_way: Option<UnderWay>,
        counted: Counted,
    ) {
        let counted = Rc::new(counted);
        let phase = self.phase();
        let welcomed = multiplex::within(&phase, self.welcome(socket, under_way, &phase)).await;
        let Some(Some((mut stream, secured))) = welcomed else { return };
        let handler = &*self.handler;
        let connected =
            |protocol, secured| handler.connected(peer, protocol, secured, Rc::clone(&phase));
        if secured.as_ref().is_some_and(|secured| secured.protocol == Protocol::Http2) {
            let connection = connected(Protocol::Http2, secured);
            multiplex::serve(&self, connection, stream, Vec::new(), &phase, counted).await;
            return;
        }
        let connection = connected(Protocol::Http1, secured);
        let (limits, buffers) = (self.head_limits(), &self.buffers);
        let served = exchange::serve(
            handler,
            &connection,
            &mut stream,
            &phase,
            limits,
            (buffers, self.h2c && self.security.is_none()),
        );
        if let Some(Over::Preface(begun)) = multiplex::within(&phase, served).await {
            let connection = connected(Protocol::Http2, None);
            multiplex::serve(&self, connection, stream, begun, &phase, counted).await;
        }
    }

    /// Makes the handshake, where there is one to make.
    async fn welcome(
        &self,
        socket: TcpStream,
        under_way: Option<UnderWay>,
        phase: &Phase,
    ) -> Option<(Stream, Option<Secured>)> {
        match (&self.security, under_way) {
            (Some(Security { live, .. }), Some(under_way)) => {
                let secured = handshake::secure(socket, live, phase, under_way).await;
                secured.map(|(stream, secured)| (stream, Some(secured)))
            }
            _ => Some((Stream::Plain(socket), None)),
        }
    }

    /// The deadlines of what begins now.
    fn phase(&self) -> Rc<Phase> {
        let phase = Phase::new(self.ticks.clone(), PhaseLimits::from(&self.limits));
        self.phases.borrow_mut().push(Rc::downgrade(&phase));
        if self.draining.get() {
            phase.drain();
        }
        phase
    }

    const fn head_limits(&self) -> HeadLimits {
        HeadLimits {
            bytes_max: self.limits.head_bytes_max,
            fields_max: self.limits.header_fields_max,
        }
    }

    fn sweep(&self) {
        let is_crowded = self.security.as_ref().is_some_and(Security::is_crowded);
        self.phases.borrow_mut().retain(|phase| match phase.upgrade() {
            Some(phase) => {
                if is_crowded {
                    phase.hurry_handshake();
                }
                phase.sweep();
                true
            }
            None => false,
        });
    }

    fn drain(&self) {
        self.draining.set(true);
        for phase in self.phases.borrow().iter().filter_map(Weak::upgrade) {
            phase.drain();
        }
    }
}
