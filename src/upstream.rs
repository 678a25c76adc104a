//! Connections to upstreams: one pool for each upstream on each worker.
//!
//! A connection is not a task of its own: whoever uses it reads and writes, so a request crosses no
//! task boundary on its way. An idle one is looked at when it is taken out, which is when it
//! matters whether the upstream has closed it.

use crate::config::{Address, OwnPorts, Upstream};
use crate::http1::{HeadLimits, Parser, Side};
use crate::phase::{Phase, TICK, Ticks};
use crate::socket::{Buffers, Outward, Reader, Session, Stream};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};

/// Most bytes that an upstream may send before the head of its answer has ended, interim answers
/// (RFC 9110 section 15.2) and what of the body came along included.
pub const HEAD_BYTES_MAX: usize = 256 * 1024;
/// Most header fields of an answer.
pub const HEADER_FIELDS_MAX: usize = 256;
/// How long an address comes last after it failed.
const SHUNNED_FOR: Duration = Duration::from_secs(5);

/// A connection to an upstream, between two exchanges or in one.
pub struct Link {
    stream: Stream,
    parser: Parser,
    idle_since: u64,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No address took it.
    #[error("{address}: {error}")]
    Refused {
        /// The address that was tried last.
        address: String,
        /// What the system said.
        error: io::Error,
    },
    /// Not in time.
    #[error("not connected in time")]
    Late,
}

impl Link {
    /// Both directions, for one exchange.
    pub(crate) fn open(&mut self, buffers: &Rc<Buffers>) -> (Reader<'_>, Outward<'_>) {
        const LIMITS: HeadLimits =
            HeadLimits { bytes_max: HEAD_BYTES_MAX, fields_max: HEADER_FIELDS_MAX };
        let (read, write) = self.stream.split();
        (Reader::new(read, &mut self.parser, LIMITS, Rc::clone(buffers)), write)
    }

    /// Whether the connection is open and idle: an idle one has nothing to say, so one that can be
    /// read from has ended or is out of step.
    fn is_usable(&self) -> bool {
        self.stream.is_idle()
    }
}

/// The idle connections of one worker to one upstream, and how to make more.
pub struct Pool {
    spec: Upstream,
    /// What it never connects to.
    own: OwnPorts,
    idle: RefCell<Vec<Link>>,
    /// Which address is next.
    turn: Cell<usize>,
    /// For each address, until which tick it comes last, because it failed.
    shunned: RefCell<Vec<u64>>,
    ticks: Ticks,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(spec: Upstream, own: OwnPorts, ticks: Ticks) -> Self {
        let shunned = RefCell::new(vec![0; spec.addresses.len()]);
        Self { spec, own, idle: RefCell::default(), turn: Cell::new(0), shunned, ticks }
    }

    /// What the configuration says about the upstream.
    #[must_use]
    pub const fn spec(&self) -> &Upstream {
        &self.spec
    }

    /// An idle connection that is still good: the one that was used last.
    pub fn take(&self) -> Option<Link> {
        loop {
            let link = self.idle.borrow_mut().pop()?;
            if link.is_usable() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection whose exchange is complete.
    pub fn put_back(&self, mut link: Link) {
        link.idle_since = self.ticks.now();
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.spec.idle_connections_max {
            idle.push(link);
        }
    }

    /// A new connection. The addresses are tried in turn, those that failed a moment ago last, and
    /// each gets its share of what is left of the time.
    pub async fn connect(&self, phase: &Phase) -> Result<Link, ConnectError> {
        let mut failure = ConnectError::Late;
        let mut left = self.spec.connect_timeout;
        let order = self.order();
        for (tried, &at) in order.iter().enumerate() {
            let share = left / u32::try_from(order.len() - tried).unwrap_or(1);
            let began = self.ticks.now();
            match phase.within(share, self.connect_one(&self.spec.addresses[at])).await {
                Some(Ok(link)) => {
                    self.shunned.borrow_mut()[at] = 0;
                    return Ok(link);
                }
                Some(Err(error)) => {
                    let Address { host, port } = &self.spec.addresses[at];
                    failure = ConnectError::Refused { address: format!("{host}:{port}"), error };
                }
                None => failure = ConnectError::Late,
            }
            self.shunned.borrow_mut()[at] = self.ticks.after(SHUNNED_FOR);
            let took = TICK * u32::try_from(self.ticks.now() - began).unwrap_or(u32::MAX);
            left = left.saturating_sub(took).max(TICK);
        }
        Err(failure)
    }

    /// The addresses in the order of their turn.
    fn order(&self) -> Vec<usize> {
        let count = self.spec.addresses.len();
        let first = self.turn.get();
        self.turn.set((first + 1) % count.max(1));
        let mut order: Vec<usize> = (0..count).map(|step| (first + step) % count).collect();
        let (now, shunned) = (self.ticks.now(), self.shunned.borrow());
        order.sort_by_key(|&at| now < shunned[at]);
        order
    }

    /// Whatever a name leads to by now, it is never a port of our own.
    async fn connect_one(&self, address: &Address) -> io::Result<Link> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for peer in lookup_host((address.host.as_str(), address.port)).await? {
            if let Some(own) = self.own.reached(peer) {
                failure = io::Error::other(own);
                continue;
            }
            match TcpStream::connect(peer).await {
                Ok(socket) => {
                    socket.set_nodelay(true)?;
                    let stream = self.secured(socket, &address.host).await?;
                    let parser = Parser::new(Side::Responses);
                    return Ok(Link { stream, parser, idle_since: 0 });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Where TLS is to be spoken it is, with nobody but the host that was meant, or the connection
    /// is closed.
    async fn secured(&self, socket: TcpStream, host: &str) -> io::Result<Stream> {
        let Some(tls) = &self.spec.tls else { return Ok(Stream::Plain(socket)) };
        let session = Box::new(Session::new(socket, tls.begin(host).map_err(io::Error::other)?));
        poll_fn(|cx| session.poll_handshake(cx)).await?;
        Ok(Stream::Tls(session))
    }

    /// Closes what has been idle for too long, or what the upstream has closed.
    pub fn sweep(&self) {
        let now = self.ticks.now();
        let kept = |link: &Link| {
            let end = link.idle_since + self.ticks.after(self.spec.idle_connection_timeout) - now;
            now < end && link.is_usable()
        };
        self.idle.borrow_mut().retain(kept);
    }
}
