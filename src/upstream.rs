//! Connections to upstreams: one pool for each upstream on each worker.
//!
//! A connection is not a task of its own: whoever uses it reads and writes, so a request crosses no
//! task boundary on its way. An idle one is looked at when it is taken out, which is when it
//! matters whether the upstream has closed it.
//!
//! Which address a request goes to, and whether one is left out, each worker decides by what it has
//! seen itself: to share that would be a line of memory that all of them write at each request. Two
//! choices among what a worker has under way spread what comes as well as counts of all would, since
//! the acceptor gives each worker as many connections as the others.

use crate::config::{OwnPorts, Upstream};
use crate::http1::{HeadLimits, Parser, Side};
use crate::phase::{Phase, TICK, Ticks};
use crate::socket::{Buffers, Outward, Reader, Session, Stream};
use circuit::{Circuit, Given, Slot};
use spot::{Idle, Spot, UnderWay};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};

mod circuit;
mod roster;
mod spot;
mod standing;

pub use circuit::Load;
pub use roster::{Endpoint, Roster, families};
pub use standing::Failure;

/// Most bytes that an upstream may send before the head of its answer has ended, interim answers
/// (RFC 9110 section 15.2) and what of the body came along included.
pub const HEAD_BYTES_MAX: usize = 256 * 1024;
/// Most header fields of an answer.
pub const HEADER_FIELDS_MAX: usize = 256;
/// Most addresses that are tried for one connection.
const CONNECT_TRIES_MAX: usize = 8;
/// Once in so many ticks those who wait for a connection look whether somebody waits for them.
const BEAT_TICKS: u64 = 5;

/// A connection to an upstream in an exchange.
pub struct Link {
    stream: Stream,
    parser: Parser,
    slot: Slot,
    under_way: UnderWay,
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
    /// There are as many connections as may be, and none came free in time; or as many requests
    /// wait for one as may.
    #[error(
        "it has as many connections as it may have ({connections}), and {pending} requests wait"
    )]
    Crowded {
        /// How many connections there are.
        connections: usize,
        /// How many requests wait.
        pending: usize,
    },
}

/// An address that an exchange went to.
#[derive(Clone)]
pub struct Reached(Rc<Spot>);

impl Link {
    /// Both directions, for one exchange.
    pub(crate) fn open(&mut self, buffers: &Rc<Buffers>) -> (Reader<'_>, Outward<'_>) {
        const LIMITS: HeadLimits =
            HeadLimits { bytes_max: HEAD_BYTES_MAX, fields_max: HEADER_FIELDS_MAX };
        let (read, write) = self.stream.split();
        (Reader::new(read, &mut self.parser, LIMITS, Rc::clone(buffers)), write)
    }

    /// The address that it leads to.
    pub(crate) fn reached(&self) -> Reached {
        Reached(Rc::clone(self.under_way.spot()))
    }

    /// Whether the connection is open and idle: an idle one has nothing to say, so one that can be
    /// read from has ended or is out of step.
    fn is_usable(&self) -> bool {
        self.stream.is_idle() && self.under_way.spot().is_in_force()
    }

    /// Its exchange is complete: who waits for a connection has it next, or it is kept.
    fn put_back(self) {
        if !self.under_way.spot().is_in_force() {
            return;
        }
        let home = Rc::clone(self.under_way.spot().home());
        let Some(link) = home.circuit.hand_over(self) else { return };
        if home.idle.get() < home.spec().idle_connections_max {
            let Self { stream, parser, slot, under_way } = link;
            let idle = Idle { stream, parser, slot, since: home.ticks.now() };
            under_way.spot().keep(idle);
        }
    }
}

/// What the spots of a pool have in common.
struct Home {
    roster: Arc<Roster>,
    circuit: Rc<Circuit>,
    /// How many connections are idle.
    idle: Cell<usize>,
    ticks: Ticks,
}

impl Home {
    fn spec(&self) -> &Upstream {
        &self.roster.spec
    }
}

/// One worker's connections to one upstream.
pub struct Pool {
    home: Rc<Home>,
    /// What it never connects to.
    own: OwnPorts,
    spots: RefCell<Vec<Rc<Spot>>>,
    /// Those that requests go to: the good ones, unless they are too few.
    good: RefCell<Vec<Rc<Spot>>>,
    /// Where chance begins.
    dice: Cell<u64>,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(roster: Arc<Roster>, own: OwnPorts, ticks: Ticks) -> Self {
        let spec = &roster.spec;
        let (connections, pending) = (spec.connections_max, spec.pending_max);
        let circuit = Circuit::new(Arc::clone(&roster.load), connections, pending);
        let home = Rc::new(Home { roster, circuit, idle: Cell::new(0), ticks });
        // Chance that nobody has to be unable to foresee; only workers must not go in step.
        let dice = Cell::new(Rc::as_ptr(&home).addr() as u64 | 1);
        let endpoints = home.roster.endpoints().iter();
        let spots: Vec<_> =
            endpoints.map(|endpoint| Spot::new(Arc::clone(endpoint), Rc::clone(&home))).collect();
        let good = RefCell::new(spots.clone());
        Self { home, own, spots: RefCell::new(spots), good, dice }
    }

    /// What the configuration says about the upstream.
    #[must_use]
    pub fn spec(&self) -> &Upstream {
        self.home.spec()
    }

    /// An idle connection that is still good: to the address that [`Pool::choose`] names, the one
    /// that was used last.
    pub fn take(&self) -> Option<Link> {
        let good = self.good.borrow();
        Self::taken_from(&good[self.choose(&good)?])
    }

    fn taken_from(spot: &Rc<Spot>) -> Option<Link> {
        loop {
            let Idle { stream, parser, slot, since: _ } = spot.pop()?;
            let link = Link { stream, parser, slot, under_way: UnderWay::new(spot) };
            if link.is_usable() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection whose exchange is complete.
    pub fn put_back(&self, link: Link) {
        link.put_back();
    }

    /// A new connection, within `patience`. The address that is chosen is tried first, then the
    /// others, those that are left out last, and each gets its share of what is left of the time.
    ///
    /// Where there are as many as may be it is one of those, as soon as it is free.
    pub async fn connect(&self, phase: &Phase, patience: Duration) -> Result<Link, ConnectError> {
        let mut left = patience;
        let began = self.home.ticks.now();
        let slot = match self.enter(phase, left).await? {
            Given::Link(link) if link.is_usable() => return Ok(link),
            Given::Link(Link { slot, .. }) | Given::Slot(slot) => slot,
        };
        left = left.saturating_sub(self.since(began)).max(TICK);
        self.make(slot, phase, left).await
    }

    /// The right to make a connection, or one that somebody else needs no longer.
    async fn enter(&self, phase: &Phase, patience: Duration) -> Result<Given, ConnectError> {
        let circuit = &self.home.circuit;
        if let Some(slot) = circuit.enter() {
            return Ok(Given::Slot(slot));
        }
        // One that leads to another address than was chosen is better than none.
        let idle = self.good.borrow().iter().find_map(Self::taken_from);
        if let Some(link) = idle {
            return Ok(Given::Link(link));
        }
        // Told apart from a slow upstream: here it is too much that is asked of it.
        let crowded = || ConnectError::Crowded {
            connections: self.home.roster.load.connections(),
            pending: self.home.roster.load.pending(),
        };
        let place = circuit.wait().ok_or_else(crowded)?;
        phase.within(patience, poll_fn(|cx| place.poll(cx))).await.ok_or_else(crowded)
    }

    async fn make(
        &self,
        slot: Slot,
        phase: &Phase,
        mut left: Duration,
    ) -> Result<Link, ConnectError> {
        let mut failure = ConnectError::Late;
        let order = self.order();
        for (tried, spot) in order.iter().enumerate() {
            let share = left / u32::try_from(order.len() - tried).unwrap_or(1);
            let began = self.home.ticks.now();
            let under_way = UnderWay::new(spot);
            match phase.within(share, self.dial(spot)).await {
                Some(Ok(stream)) => {
                    let parser = Parser::new(Side::Responses);
                    return Ok(Link { stream, parser, slot, under_way });
                }
                Some(Err(error)) => {
                    let address = spot.endpoint().address.to_string();
                    failure = ConnectError::Refused { address, error };
                }
                None => failure = ConnectError::Late,
            }
            if phase.is_overdue() {
                break;
            }
            self.fails(spot, Failure::Connect);
            left = left.saturating_sub(self.since(began)).max(TICK);
        }
        Err(failure)
    }

    fn since(&self, tick: u64) -> Duration {
        TICK * u32::try_from(self.home.ticks.now() - tick).unwrap_or(u32::MAX)
    }

    /// The address to go to: of two that chance names, the one with fewer exchanges under way, and
    /// of equals the one with an idle connection.
    fn choose(&self, good: &[Rc<Spot>]) -> Option<usize> {
        match good.len() {
            0 => None,
            1 => Some(0),
            count => {
                let first = self.roll(count);
                let second = (first + 1 + self.roll(count - 1)) % count;
                let weight = |at: usize| (good[at].under_way(), !good[at].has_idle());
                Some(if weight(second) < weight(first) { second } else { first })
            }
        }
    }

    /// A number below `count`, by chance.
    fn roll(&self, count: usize) -> usize {
        let mut dice = self.dice.get();
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        self.dice.set(dice);
        usize::try_from(dice >> 32).unwrap_or_default() % count
    }

    /// The addresses in the order in which they are tried.
    fn order(&self) -> Vec<Rc<Spot>> {
        let mut order = self.good.borrow().clone();
        if let Some(first) = self.choose(&order) {
            order.swap(0, first);
        }
        let now = self.home.ticks.now();
        // In a panic all are used, but what is known to fail is not what comes next.
        if let Some((_first, others)) = order.split_first_mut() {
            others.sort_by_key(|spot| spot.is_out(now));
        }
        for spot in self.spots.borrow().iter() {
            if order.len() == CONNECT_TRIES_MAX {
                break;
            }
            if !order.iter().any(|known| Rc::ptr_eq(known, spot)) {
                order.push(Rc::clone(spot));
            }
        }
        order.truncate(CONNECT_TRIES_MAX);
        order
    }

    /// Whatever a name leads to by now, it is never a port of our own.
    async fn dial(&self, spot: &Spot) -> io::Result<Stream> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let address = &spot.endpoint().address;
        for peer in lookup_host((address.host.as_str(), address.port)).await? {
            if let Some(own) = self.own.reached(peer) {
                failure = io::Error::other(own);
                continue;
            }
            match TcpStream::connect(peer).await {
                Ok(socket) => {
                    socket.set_nodelay(true)?;
                    return self.secured(socket, &address.host).await;
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Where TLS is to be spoken it is, with nobody but the host that was meant, or the connection
    /// is closed.
    async fn secured(&self, socket: TcpStream, host: &str) -> io::Result<Stream> {
        let Some(tls) = &self.spec().tls else { return Ok(Stream::Plain(socket)) };
        let session = Box::new(Session::new(socket, tls.begin(host).map_err(io::Error::other)?));
        poll_fn(|cx| session.poll_handshake(cx)).await?;
        Ok(Stream::Tls(session))
    }

    /// An exchange got its answer.
    pub(crate) fn answered(&self, Reached(spot): &Reached, status: u16) {
        if status >= 500 && self.spec().ejection.on_5xx {
            self.fails(spot, Failure::Status);
        } else if spot.answers() {
            self.sort_out();
        }
    }

    /// An exchange broke off before its answer.
    pub(crate) fn broke(&self, Reached(spot): &Reached) {
        self.fails(spot, Failure::Broken);
    }

    fn fails(&self, spot: &Spot, failure: Failure) {
        if spot.fails(failure) {
            self.sort_out();
        }
    }

    /// Finds out which addresses are good.
    fn sort_out(&self) {
        let now = self.home.ticks.now();
        let spots = self.spots.borrow();
        let mut good = self.good.borrow_mut();
        good.clear();
        good.extend(spots.iter().filter(|spot| !spot.is_out(now)).cloned());
        if standing::is_panic(good.len(), spots.len(), &self.spec().ejection) {
            good.clone_from(&spots);
        }
    }

    /// A tick has passed.
    pub fn tick(&self) {
        let now = self.home.ticks.now();
        self.spots.borrow().iter().for_each(|spot| spot.return_by(now));
        self.sort_out();
        // Once a second.
        if now.is_multiple_of(10) {
            self.sweep();
        }
        let circuit = &self.home.circuit;
        if circuit.is_wanted_elsewhere() {
            self.spots.borrow().iter().for_each(|spot| spot.close_idle());
        }
        circuit.tick(now.is_multiple_of(BEAT_TICKS));
    }

    /// Closes what has been idle for too long, or what the upstream has closed.
    fn sweep(&self) {
        let ticks = &self.home.ticks;
        let span = ticks.after(self.spec().idle_connection_timeout) - ticks.now();
        self.spots.borrow().iter().for_each(|spot| spot.sweep(ticks.now(), span));
    }
}

#[cfg(test)]
mod tests;
