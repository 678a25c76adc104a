//! How many connections an upstream has at most, and who waits for one.
//!
//! The count is the whole process's, so that a worker with much to do may use what another leaves.
//! Who waits, waits on their own worker: what comes free there is handed to them in their order,
//! without a lock and without waking another thread. What comes free elsewhere they take at the next
//! tick, and at every tick workers give up idle connections that somebody elsewhere waits for. So that
//! none waits for ever, each worker may have one connection, whatever the others have.

use super::Link;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

/// What all workers have of one upstream.
#[derive(Debug, Default)]
pub struct Load {
    connections: AtomicUsize,
    pending: AtomicUsize,
}

impl Load {
    /// Connections that are open, idle ones among them.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Requests that wait for one.
    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }
}

/// One worker's part of it.
pub(super) struct Circuit {
    load: Arc<Load>,
    connections_max: usize,
    pending_max: usize,
    /// This worker's connections.
    own: Cell<usize>,
    queue: RefCell<VecDeque<Rc<Waiter>>>,
}

/// The right to have one connection.
pub(super) struct Slot(Rc<Circuit>);

/// What somebody waited for.
#[expect(clippy::large_enum_variant, reason = "it is there for a moment, and a box would allocate")]
pub(super) enum Given {
    /// A connection whose exchange was just completed.
    Link(Link),
    /// The right to make one.
    Slot(Slot),
}

#[derive(Default)]
struct Waiter {
    given: RefCell<Option<Given>>,
    waker: RefCell<Option<Waker>>,
}

/// A place in the queue, until it is given up or something was given.
pub(super) struct Place {
    circuit: Rc<Circuit>,
    waiter: Rc<Waiter>,
}

impl Circuit {
    pub(super) fn new(load: Arc<Load>, connections_max: usize, pending_max: usize) -> Rc<Self> {
        let (own, queue) = (Cell::new(0), RefCell::default());
        Rc::new(Self { load, connections_max, pending_max, own, queue })
    }

    /// The right to one more connection, if there may be one and nobody has waited for longer.
    pub(super) fn enter(self: &Rc<Self>) -> Option<Slot> {
        if self.queue.borrow().is_empty() { self.slot() } else { None }
    }

    fn slot(self: &Rc<Self>) -> Option<Slot> {
        let before = self.load.connections.fetch_add(1, Ordering::Relaxed);
        if before < self.connections_max || self.own.get() == 0 {
            self.own.set(self.own.get() + 1);
            return Some(Slot(Rc::clone(self)));
        }
        self.load.connections.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// The last place in the queue; nothing if too many wait.
    pub(super) fn wait(self: &Rc<Self>) -> Option<Place> {
        let before = self.load.pending.fetch_add(1, Ordering::Relaxed);
        if before >= self.pending_max {
            self.load.pending.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let waiter = Rc::<Waiter>::default();
        self.queue.borrow_mut().push_back(Rc::clone(&waiter));
        Some(Place { circuit: Rc::clone(self), waiter })
    }

    /// Gives a connection to who has waited for longest; back where nobody waits.
    pub(super) fn hand_over(&self, link: Link) -> Option<Link> {
        let Some(first) = self.queue.borrow_mut().pop_front() else { return Some(link) };
        first.give(Given::Link(link));
        None
    }

    /// A tick has passed: takes what came free elsewhere, for those who wait here. Who waits is
    /// woken at a beat, even if nothing is given, to look whether it is still waited for.
    pub(super) fn tick(self: &Rc<Self>, is_beat: bool) {
        while !self.queue.borrow().is_empty() {
            let Some(slot) = self.slot() else { break };
            let Some(first) = self.queue.borrow_mut().pop_front() else { break };
            first.give(Given::Slot(slot));
        }
        if is_beat {
            self.queue.borrow().iter().for_each(|waiter| waiter.wake());
        }
    }

    /// Whether another worker waits for what is idle here.
    pub(super) fn is_wanted_elsewhere(&self) -> bool {
        let elsewhere = self.load.pending() > self.queue.borrow().len();
        elsewhere && self.load.connections() >= self.connections_max
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let circuit = &self.0;
        // Below the limit it is this worker's next who has it.
        let is_over = circuit.load.connections() > circuit.connections_max && circuit.own.get() > 1;
        let first = if is_over { None } else { circuit.queue.borrow_mut().pop_front() };
        if let Some(first) = first {
            first.give(Given::Slot(Self(Rc::clone(circuit))));
            return;
        }
        circuit.own.set(circuit.own.get() - 1);
        circuit.load.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waiter {
    fn give(&self, given: Given) {
        *self.given.borrow_mut() = Some(given);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl Place {
    /// What was given, once something was.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Given> {
        if let Some(given) = self.waiter.given.borrow_mut().take() {
            return Poll::Ready(given);
        }
        *self.waiter.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let circuit = &self.circuit;
        circuit.load.pending.fetch_sub(1, Ordering::Relaxed);
        circuit.queue.borrow_mut().retain(|waiter| !Rc::ptr_eq(waiter, &self.waiter));
        // Who left just when it was their turn passes it on.
        let given = self.waiter.given.borrow_mut().take();
        match given {
            Some(Given::Link(link)) => link.put_back(),
            Some(Given::Slot(slot)) => drop(slot),
            None => {}
        }
    }
}
