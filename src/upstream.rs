//! Connections to upstreams: one pool for each upstream on each worker.
//!
//! A pooled connection is not a task of its own. Whoever uses it polls it together with what they
//! wait for, so a request crosses no task boundary on its way; an idle one is polled when it is
//! taken out, which is when it matters whether the upstream has closed it.

use crate::config::{Address, Upstream};
use crate::phase::{Late, Phase, TICK, Ticks};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use tokio::net::TcpStream;

mod stream;

use stream::{Allowance, UpstreamStream};

/// Most bytes that an upstream may send before the head of its answer is read, interim answers
/// (RFC 9110 section 15.2) and what of the body came along included.
pub const HEAD_BYTES_MAX: u64 = 256 * 1024;
/// Most bytes that are read ahead or wait to be written, for each connection.
const BUFFER_BYTES_MAX: usize = 128 * 1024;

/// How long an address comes last after it failed.
const SHUNNED_FOR: Duration = Duration::from_secs(5);

/// A connection to an upstream.
pub struct Link<B: Body + 'static> {
    sender: SendRequest<B>,
    connection: Connection<TokioIo<UpstreamStream>, B>,
    closed: bool,
    hush: Arc<Hush>,
    waker: Waker,
    allowance: Allowance,
    idle_since: u64,
}

/// Why a request got no answer.
#[derive(Debug)]
pub enum Failure<B> {
    /// The connection had ended before anything of the request was sent: it may be sent again.
    Unsent(Box<Request<B>>),
    /// The connection broke, or what came was not HTTP. The request may have been processed.
    Broken(hyper::Error),
    /// No answer in time.
    Late,
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

impl<B> Link<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    async fn over(stream: TcpStream) -> hyper::Result<Self> {
        let allowance = Allowance::default();
        let stream = UpstreamStream::new(stream, Rc::clone(&allowance));
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        let hush = Arc::new(Hush::default());
        let waker = Waker::from(Arc::clone(&hush));
        Ok(Self { sender, connection, closed: false, hush, waker, allowance, idle_since: 0 })
    }

    /// Lets the connection do what it can.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        self.hush.wakes(cx.waker());
        self.advance();
    }

    fn advance(&mut self) {
        let mut cx = Context::from_waker(&self.waker);
        if !self.closed && Pin::new(&mut self.connection).poll(&mut cx).is_ready() {
            self.closed = true;
        }
    }

    /// Takes the next frame of an answer's body, if there is one. Taking it tells the connection
    /// that there is room for another; whoever takes must [`Link::drive`] when there was none.
    pub fn next_frame(
        &mut self,
        incoming: &mut Incoming,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        self.hush.quiet(|| Pin::new(incoming).poll_frame(&mut Context::from_waker(Waker::noop())))
    }

    /// Whether the connection is open and idle. Nobody is to be woken by it: whoever takes it drives
    /// it at once.
    fn is_usable(&mut self) -> bool {
        self.hush.wakes(Waker::noop());
        self.advance();
        let mut cx = Context::from_waker(Waker::noop());
        !self.closed && matches!(self.sender.poll_ready(&mut cx), Poll::Ready(Ok(())))
    }

    /// Sends a request and waits for the head of its answer, as long as `phase` allows.
    pub async fn send(
        &mut self,
        request: Request<B>,
        phase: &Phase,
    ) -> Result<Response<Incoming>, Failure<B>> {
        self.allowance.set(Some(HEAD_BYTES_MAX));
        let allowance = &self.allowance;
        let mut answer = pin!(self.sender.try_send_request(request));
        let (connection, closed) = (&mut self.connection, &mut self.closed);
        let (hush, waker) = (&self.hush, &self.waker);
        poll_fn(|cx| {
            hush.wakes(cx.waker());
            if !*closed
                && Pin::new(&mut *connection).poll(&mut Context::from_waker(waker)).is_ready()
            {
                *closed = true;
            }
            // Only the connection can complete the answer, and it was just driven: being woken for
            // the answer too would poll everything twice.
            match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(response)) => {
                    allowance.set(None);
                    Poll::Ready(Ok(response))
                }
                Poll::Ready(Err(mut error)) => Poll::Ready(Err(match error.take_message() {
                    Some(request) => Failure::Unsent(Box::new(request)),
                    None => Failure::Broken(error.into_error()),
                })),
                Poll::Pending if phase.late() == Some(Late::Upstream) => {
                    Poll::Ready(Err(Failure::Late))
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// A connection's waker: wakes whoever uses the connection at present.
///
/// Parser and body talk through channels that wake each other, although one task polls both: each
/// request would be polled once more for nothing. While its user takes something and is going to
/// drive the connection anyway, wakes are dropped.
#[derive(Default)]
struct Hush {
    user: Mutex<Option<Waker>>,
    quiet: AtomicBool,
}

impl Hush {
    /// From now on wakes `waker`.
    fn wakes(&self, waker: &Waker) {
        let mut user = self.user.lock().unwrap_or_else(PoisonError::into_inner);
        if !user.as_ref().is_some_and(|user| user.will_wake(waker)) {
            *user = Some(waker.clone());
        }
    }

    /// Wakes nobody while `take` runs.
    fn quiet<T>(&self, take: impl FnOnce() -> T) -> T {
        self.quiet.store(true, Ordering::Relaxed);
        let taken = take();
        self.quiet.store(false, Ordering::Relaxed);
        taken
    }
}

impl Wake for Hush {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Everything that wakes a link runs on its worker, so this order is the program's.
        if self.quiet.load(Ordering::Relaxed) {
            return;
        }
        let user = self.user.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(user) = user {
            user.wake();
        }
    }
}

/// The idle connections of one worker to one upstream, and how to make more.
pub struct Pool<B: Body + 'static> {
    spec: Upstream,
    #[expect(clippy::vec_box, reason = "links are large and change hands at every request")]
    idle: RefCell<Vec<Box<Link<B>>>>,
    /// Which address is next.
    turn: Cell<usize>,
    /// For each address, until which tick it comes last, because it failed.
    shunned: RefCell<Vec<u64>>,
    ticks: Ticks,
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    /// An empty pool.
    #[must_use]
    pub fn new(spec: Upstream, ticks: Ticks) -> Self {
        let shunned = RefCell::new(vec![0; spec.addresses.len()]);
        Self { spec, idle: RefCell::default(), turn: Cell::new(0), shunned, ticks }
    }

    /// What the configuration says about the upstream.
    #[must_use]
    pub const fn spec(&self) -> &Upstream {
        &self.spec
    }

    /// An idle connection that is still good: the one that was used last.
    pub fn take(&self) -> Option<Box<Link<B>>> {
        loop {
            let mut link = self.idle.borrow_mut().pop()?;
            if link.is_usable() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection whose exchange is complete.
    pub fn put_back(&self, mut link: Box<Link<B>>) {
        link.idle_since = self.ticks.now();
        let mut idle = self.idle.borrow_mut();
        if !link.closed && idle.len() < self.spec.idle_connections_max {
            idle.push(link);
        }
    }

    /// A new connection. The addresses are tried in turn, those that failed a moment ago last, and
    /// each gets its share of what is left of the time.
    pub async fn connect(&self, phase: &Phase) -> Result<Box<Link<B>>, ConnectError> {
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

    async fn connect_one(&self, address: &Address) -> io::Result<Box<Link<B>>> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.set_nodelay(true)?;
        let mut link = Box::new(Link::over(stream).await.map_err(io::Error::other)?);
        poll_fn(|cx| {
            link.drive(cx);
            link.sender.poll_ready(cx)
        })
        .await
        .map_err(io::Error::other)?;
        Ok(link)
    }

    /// Closes what has been idle for too long, or what the upstream has closed.
    pub fn sweep(&self) {
        let now = self.ticks.now();
        let kept = |link: &mut Box<Link<B>>| {
            let end = link.idle_since + self.ticks.after(self.spec.idle_connection_timeout) - now;
            now < end && link.is_usable()
        };
        self.idle.borrow_mut().retain_mut(kept);
    }
}
