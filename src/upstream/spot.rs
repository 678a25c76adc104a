//! One address of an upstream as one worker has it: its idle connections, its exchanges under way,
//! and its standing.

use super::Home;
use super::circuit::Slot;
use super::roster::Endpoint;
use super::standing::{Failure, Standing};
use crate::http1::Parser;
use crate::socket::Stream;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A connection between two exchanges.
pub(super) struct Idle {
    pub(super) stream: Stream,
    pub(super) parser: Parser,
    pub(super) slot: Slot,
    /// Since which tick.
    pub(super) since: u64,
}

pub(super) struct Spot {
    endpoint: Arc<Endpoint>,
    home: Rc<Home>,
    /// The one that was used last comes last, and goes first.
    idle: RefCell<Vec<Idle>>,
    under_way: Cell<usize>,
    standing: Cell<Standing>,
    /// Whether the others have been told that it is left out.
    ejected: Cell<bool>,
    retired: Cell<bool>,
}

/// Counts an exchange, or the attempt to connect for one, for as long as it lasts.
pub(super) struct UnderWay(Rc<Spot>);

impl UnderWay {
    pub(super) fn new(spot: &Rc<Spot>) -> Self {
        spot.under_way.set(spot.under_way.get() + 1);
        Self(Rc::clone(spot))
    }

    pub(super) const fn spot(&self) -> &Rc<Spot> {
        &self.0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
    }
}

impl Spot {
    pub(super) fn new(endpoint: Arc<Endpoint>, home: Rc<Home>) -> Rc<Self> {
        Rc::new(Self {
            endpoint,
            home,
            idle: RefCell::default(),
            under_way: Cell::new(0),
            standing: Cell::default(),
            ejected: Cell::new(false),
            retired: Cell::new(false),
        })
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) const fn home(&self) -> &Rc<Home> {
        &self.home
    }

    /// Whether the address is still one of the upstream's.
    pub(super) fn is_in_force(&self) -> bool {
        !self.retired.get()
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.get()
    }

    pub(super) fn has_idle(&self) -> bool {
        !self.idle.borrow().is_empty()
    }

    /// The connection that was used last.
    pub(super) fn pop(&self) -> Option<Idle> {
        let idle = self.idle.borrow_mut().pop()?;
        self.home.idle.set(self.home.idle.get() - 1);
        Some(idle)
    }

    pub(super) fn keep(&self, idle: Idle) {
        self.home.idle.set(self.home.idle.get() + 1);
        self.idle.borrow_mut().push(idle);
    }

    /// Closes the idle connections of which `is_kept` is not true. Whoever waits for the place of
    /// one hears of it while nothing is borrowed.
    fn retain(&self, is_kept: impl FnMut(&mut Idle) -> bool) {
        let (mut all, mut is_kept) = (self.idle.take(), is_kept);
        let before = all.len();
        all.retain_mut(|idle| is_kept(idle));
        self.home.idle.set(self.home.idle.get() + all.len() - before);
        *self.idle.borrow_mut() = all;
    }

    pub(super) fn close_idle(&self) {
        self.retain(|_idle| false);
    }

    /// Closes what has been idle for so many ticks, or what the upstream has closed.
    pub(super) fn sweep(&self, now: u64, span: u64) {
        self.retain(|idle| now < idle.since + span && idle.stream.is_idle());
    }

    pub(super) fn is_out(&self, now: u64) -> bool {
        self.standing.get().is_out(now)
    }

    /// It answered. Answers whether that changes anything.
    pub(super) fn answers(&self) -> bool {
        let mut standing = self.standing.get();
        let changes = standing.answers();
        if changes {
            self.standing.set(standing);
            self.return_by(self.home.ticks.now());
        }
        changes
    }

    /// It failed. Answers whether it is left out from now on.
    pub(super) fn fails(&self, failure: Failure) -> bool {
        let (ticks, spec) = (&self.home.ticks, self.home.spec());
        let mut standing = self.standing.get();
        let pause = standing.fails(ticks.now(), failure, &spec.ejection);
        if let Some(pause) = pause {
            standing.eject(ticks.after(pause));
            self.tell_ejected(true);
            self.endpoint.ejections.fetch_add(1, Ordering::Relaxed);
            // What is idle leads to the same trouble.
            self.close_idle();
            let (upstream, address) = (&spec.name, self.endpoint.address.to_string());
            let why = failure.as_str();
            tracing::warn!(upstream, address, ?pause, "a worker leaves an address out: {why}");
        }
        self.standing.set(standing);
        pause.is_some()
    }

    /// Says so once it is used again.
    pub(super) fn return_by(&self, now: u64) {
        if self.ejected.get() && !self.is_out(now) {
            self.tell_ejected(false);
            let (upstream, address) = (&self.home.spec().name, self.endpoint.address.to_string());
            tracing::info!(upstream, address, "a worker uses an address again");
        }
    }

    fn tell_ejected(&self, ejected: bool) {
        if self.ejected.replace(ejected) == ejected {
            return;
        }
        if ejected {
            self.endpoint.ejected_by.fetch_add(1, Ordering::Relaxed);
        } else {
            self.endpoint.ejected_by.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        self.tell_ejected(false);
    }
}
