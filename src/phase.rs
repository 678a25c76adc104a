//! Deadlines of a connection's phases, swept by one tick of its worker.
//!
//! A timer for each phase of each request would cost more than the request's decision. Instead a
//! connection keeps its deadlines in plain cells, and once a tick the worker looks at all of its
//! connections and wakes those that are late. The cost on the way of a request is a few stores.

use crate::config::Limits;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// How often deadlines are looked at; they are kept to within twice this.
pub const TICK: Duration = Duration::from_millis(100);

/// How long a client that has just connected may take to begin its first request once the gateway
/// drains.
pub const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// How long a handshake may take while as many are under way as may be.
pub const HURRIED_HANDSHAKE: Duration = Duration::from_secs(1);

/// A worker's clock for deadlines: ticks since its start.
#[derive(Clone, Debug, Default)]
pub struct Ticks(Rc<Cell<u64>>);

impl Ticks {
    /// The present tick.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.get()
    }

    /// One tick has passed.
    pub fn advance(&self) {
        self.0.set(self.0.get() + 1);
    }

    /// The first tick at which `span` has certainly passed.
    #[must_use]
    pub fn after(&self, span: Duration) -> u64 {
        self.now() + ticks_of(span)
    }
}

fn ticks_of(span: Duration) -> u64 {
    let ticks = span.as_millis().div_ceil(TICK.as_millis()) + 1;
    u64::try_from(ticks).unwrap_or(u64::MAX / 2).min(u64::MAX / 2)
}

const NEVER: u64 = u64::MAX;

/// What is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The client: slow with a head or a body, slow to read, or silent.
    Client,
    /// The upstream: slow to connect, to answer, or to go on.
    Upstream,
}

/// The limits of a connection, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct PhaseLimits {
    handshake: Duration,
    head: Duration,
    idle: Duration,
    body: Duration,
    write: Duration,
    rate_bytes_min: u64,
}

impl From<&Limits> for PhaseLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            handshake: limits.handshake_timeout,
            head: limits.head_timeout,
            idle: limits.keep_alive_timeout,
            body: limits.body_idle_timeout,
            write: limits.write_idle_timeout,
            rate_bytes_min: limits.rate_bytes_min,
        }
    }
}

/// A flow of bytes that must keep up a pace while somebody waits for it.
#[derive(Debug)]
struct Flow {
    waiting: Cell<bool>,
    /// Ticks in which somebody waited, since the window began.
    waited: Cell<u64>,
    /// Bytes that came since then.
    moved: Cell<u64>,
}

impl Flow {
    const fn new() -> Self {
        Self { waiting: Cell::new(false), waited: Cell::new(0), moved: Cell::new(0) }
    }

    fn wait(&self) {
        if !self.waiting.replace(true) && self.waited.get() == 0 {
            self.moved.set(0);
        }
    }

    fn advance(&self, bytes: u64) {
        self.waiting.set(false);
        self.moved.set(self.moved.get().saturating_add(bytes));
    }

    fn end(&self) {
        self.waiting.set(false);
        self.waited.set(0);
    }

    /// Whether somebody has waited for a whole window in which too little came. Looked at once a
    /// tick.
    fn is_late(&self, window: Duration, rate: u64) -> bool {
        if self.waiting.get() {
            self.waited.set(self.waited.get() + 1);
        }
        if self.waited.get() < ticks_of(window) {
            return false;
        }
        let enough = rate.saturating_mul(window.as_secs()).max(1);
        let late = self.waiting.get() && self.moved.get() < enough;
        self.waited.set(0);
        self.moved.set(0);
        late
    }
}

/// The phases of one connection.
#[derive(Debug)]
pub struct Phase {
    ticks: Ticks,
    limits: PhaseLimits,
    /// End of the head, or of the silence between requests.
    head: Cell<u64>,
    in_head: Cell<bool>,
    /// When the handshake that is under way has had the time that it has in a crowd.
    hurried: Cell<u64>,
    busy: Cell<bool>,
    body: Flow,
    writing: Flow,
    upstream: Cell<u64>,
    /// End of the whole exchange.
    total: Cell<u64>,
    overdue: Cell<bool>,
    late: Cell<Option<Late>>,
    draining: Cell<bool>,
    /// End of the grace of who drains.
    grace: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl Phase {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(ticks: Ticks, limits: PhaseLimits) -> Rc<Self> {
        let head = ticks.after(limits.head);
        Rc::new(Self {
            ticks,
            limits,
            head: Cell::new(head),
            in_head: Cell::new(true),
            hurried: Cell::new(NEVER),
            busy: Cell::new(false),
            body: Flow::new(),
            writing: Flow::new(),
            upstream: Cell::new(NEVER),
            total: Cell::new(NEVER),
            overdue: Cell::new(false),
            late: Cell::new(None),
            draining: Cell::new(false),
            grace: Cell::new(NEVER),
            waker: RefCell::new(None),
        })
    }

    /// A handshake begins; the first head can come when it has ended.
    pub fn begin_handshake(&self) {
        self.head.set(self.ticks.after(self.limits.handshake));
        self.hurried.set(self.ticks.after(HURRIED_HANDSHAKE));
    }

    /// The handshake has ended well: the connection is as one that was just accepted.
    pub fn end_handshake(&self) {
        self.hurried.set(NEVER);
        self.head.set(self.ticks.after(self.limits.head));
    }

    /// Others wait for this connection's handshake to end.
    pub fn hurry_handshake(&self) {
        if self.ticks.now() >= self.hurried.get() {
            self.head.set(self.ticks.now());
        }
    }

    /// Bytes came from the client.
    pub fn received(&self) {
        if !self.busy.get() && !self.in_head.get() {
            self.in_head.set(true);
            self.head.set(self.ticks.after(self.limits.head));
        }
    }

    /// The head of a request is complete.
    pub fn begin_request(&self) {
        self.busy.set(true);
        self.head.set(NEVER);
        self.in_head.set(false);
    }

    /// Nothing is late any more.
    pub fn forgive(&self) {
        self.late.set(None);
    }

    /// The connection is about to be closed: the client has so long to take notice.
    pub fn close_within(&self, span: Duration) {
        self.in_head.set(true);
        self.head.set(self.ticks.after(span));
    }

    /// The answer has been handed over to the connection, to its last byte: the silence between
    /// requests begins.
    pub fn end_request(&self) {
        self.busy.set(false);
        self.body.end();
        self.writing.end();
        self.upstream_done();
        self.total.set(NEVER);
        self.overdue.set(false);
        self.head.set(self.ticks.after(self.limits.idle));
    }

    /// Somebody waits for the client's body.
    pub fn body_waits(&self) {
        self.body.wait();
    }

    /// A piece of the client's body came.
    pub fn body_came(&self, bytes: usize) {
        self.body.advance(bytes as u64);
    }

    /// The client's body has ended.
    pub fn body_ended(&self) {
        self.body.end();
    }

    /// The client does not take what is written to it.
    pub fn write_waits(&self) {
        self.writing.wait();
    }

    /// The client took something.
    pub fn wrote(&self, bytes: usize) {
        self.writing.advance(bytes as u64);
    }

    /// The upstream must do something within `span`.
    pub fn upstream_within(&self, span: Duration) {
        self.upstream.set(self.ticks.after(span));
    }

    /// The same, unless something is expected of it already.
    pub fn upstream_within_if_unset(&self, span: Duration) {
        if self.upstream.get() == NEVER {
            self.upstream_within(span);
        }
    }

    /// Nothing is expected of the upstream.
    pub fn upstream_done(&self) {
        self.upstream.set(NEVER);
        if self.late.get() == Some(Late::Upstream) {
            self.late.set(None);
        }
    }

    /// The exchange must have ended within `span`, whoever is slow.
    pub fn total_within(&self, span: Duration) {
        self.total.set(self.ticks.after(span));
    }

    /// Whether the exchange has taken too long as a whole.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.overdue.get()
    }

    /// Waits for something of ours or of an upstream's, at most for `span`, nor beyond the end of
    /// the exchange.
    pub async fn within<T>(
        &self,
        span: Duration,
        waited_for: impl Future<Output = T>,
    ) -> Option<T> {
        let mut waited_for = pin!(waited_for);
        self.upstream_within(span);
        let outcome = poll_fn(|cx| match waited_for.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if self.late() == Some(Late::Upstream) => Poll::Ready(None),
            Poll::Pending if self.is_overdue() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await;
        self.upstream_done();
        outcome
    }

    /// What is late, if anything.
    #[must_use]
    pub fn late(&self) -> Option<Late> {
        self.late.get()
    }

    /// Whether the connection should end with its present request.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whom to wake when something is late.
    pub fn keep_waker(&self, waker: &Waker) {
        let mut kept = self.waker.borrow_mut();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    /// Asks the connection to end with its present request.
    pub fn drain(&self) {
        self.draining.set(true);
        self.grace.set(self.ticks.after(DRAIN_GRACE));
        self.wake();
    }

    /// Whether a connection that drains may still begin its first request.
    #[must_use]
    pub fn is_grace(&self) -> bool {
        self.draining.get() && self.ticks.now() < self.grace.get()
    }

    /// Looks at the deadlines and wakes the connection if one has passed.
    pub fn sweep(&self) {
        let now = self.ticks.now();
        let limits = &self.limits;
        let client = now >= self.head.get()
            || self.body.is_late(limits.body, limits.rate_bytes_min)
            || self.writing.is_late(limits.write, limits.rate_bytes_min);
        if client {
            self.late.set(Some(Late::Client));
        } else if now >= self.upstream.get() {
            self.upstream.set(NEVER);
            self.late.set(Some(Late::Upstream));
        } else if now >= self.total.get() {
            self.total.set(NEVER);
            self.overdue.set(true);
        } else if now != self.grace.get() {
            return;
        }
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    fn phase() -> (Ticks, Rc<Phase>) {
        let ticks = Ticks::default();
        let second = Duration::from_secs(1);
        let limits = PhaseLimits {
            handshake: 3 * second,
            head: second,
            idle: 2 * second,
            body: second,
            write: second,
            rate_bytes_min: 100,
        };
        (ticks.clone(), Phase::new(ticks, limits))
    }

    fn pass(ticks: &Ticks, phase: &Phase, count: u64) {
        for _ in 0..count {
            ticks.advance();
            phase.sweep();
        }
    }

    #[test]
    fn a_silent_connection_is_late_after_the_head_timeout() {
        let (ticks, phase) = phase();
        pass(&ticks, &phase, 10);
        assert_eq!(phase.late(), None);
        pass(&ticks, &phase, 1);
        assert_eq!(phase.late(), Some(Late::Client));
    }

    #[test]
    fn a_handshake_has_a_time_of_its_own_and_less_in_a_crowd() {
        let (ticks, phase) = phase();
        phase.begin_handshake();
        pass(&ticks, &phase, 30);
        assert_eq!(phase.late(), None);
        phase.end_handshake();
        pass(&ticks, &phase, 10);
        assert_eq!(phase.late(), None, "the time for the first head begins anew");
        pass(&ticks, &phase, 1);
        assert_eq!(phase.late(), Some(Late::Client));
        let crowd = |count| {
            let (ticks, phase) = self::phase();
            phase.begin_handshake();
            for _ in 0..count {
                ticks.advance();
                phase.hurry_handshake();
                phase.sweep();
            }
            phase
        };
        assert_eq!(crowd(10).late(), None);
        assert_eq!(crowd(11).late(), Some(Late::Client));
        let (ticks, phase) = self::phase();
        phase.begin_handshake();
        pass(&ticks, &phase, 31);
        assert_eq!(phase.late(), Some(Late::Client));
        let (ticks, phase) = self::phase();
        phase.begin_handshake();
        phase.end_handshake();
        for _ in 0..10 {
            ticks.advance();
            phase.hurry_handshake();
            phase.sweep();
        }
        assert_eq!(phase.late(), None, "its handshake is over");
    }

    #[test]
    fn more_bytes_do_not_lengthen_a_head() {
        let (ticks, phase) = phase();
        for _ in 0..11 {
            phase.received();
            pass(&ticks, &phase, 1);
        }
        assert_eq!(phase.late(), Some(Late::Client));
    }

    #[test]
    fn between_requests_the_keep_alive_timeout_counts() {
        let (ticks, phase) = phase();
        phase.begin_request();
        pass(&ticks, &phase, 1000);
        assert_eq!(phase.late(), None, "a request in hand has no head to wait for");
        phase.end_request();
        pass(&ticks, &phase, 20);
        assert_eq!(phase.late(), None);
        pass(&ticks, &phase, 1);
        assert_eq!(phase.late(), Some(Late::Client));
    }

    #[test]
    fn a_body_must_keep_its_pace_only_while_waited_for() {
        let (ticks, phase) = phase();
        phase.begin_request();
        phase.body_waits();
        for _ in 0..50 {
            phase.body_came(20);
            phase.body_waits();
            pass(&ticks, &phase, 1);
        }
        assert_eq!(phase.late(), None, "200 bytes a second are enough");
        phase.body_came(1);
        pass(&ticks, &phase, 100);
        assert_eq!(phase.late(), None, "nobody waits: the upstream is slow");
        phase.body_waits();
        for _ in 0..24 {
            phase.body_came(5);
            phase.body_waits();
            pass(&ticks, &phase, 1);
        }
        assert_eq!(phase.late(), Some(Late::Client), "50 bytes a second are too few");
    }

    #[test]
    fn who_drains_has_a_grace_and_is_woken_at_its_end() {
        struct Woken(AtomicUsize);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (ticks, phase) = phase();
        assert!(!phase.is_grace(), "nobody drains");
        phase.drain();
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        phase.keep_waker(&Waker::from(Arc::clone(&woken)));
        // The test's own head timeout would end with it.
        phase.begin_request();
        pass(&ticks, &phase, 10);
        assert!(phase.is_grace());
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        pass(&ticks, &phase, 1);
        assert!(!phase.is_grace());
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(phase.late(), None, "nothing is late");
    }

    #[test]
    fn an_exchange_is_overdue_until_it_ends_whoever_is_late() {
        let (ticks, phase) = phase();
        phase.begin_request();
        phase.total_within(Duration::from_millis(500));
        pass(&ticks, &phase, 5);
        assert!(!phase.is_overdue());
        pass(&ticks, &phase, 1);
        assert!(phase.is_overdue());
        phase.upstream_done();
        assert!(phase.is_overdue(), "nothing that is done within it excuses it");
        assert_eq!(phase.late(), None, "the connection itself is not late");
        phase.end_request();
        assert!(!phase.is_overdue());
        phase.begin_request();
        pass(&ticks, &phase, 100);
        assert!(!phase.is_overdue(), "the next one has no end of its own");
    }

    #[test]
    fn a_late_upstream_is_told_apart_and_can_be_excused() {
        let (ticks, phase) = phase();
        phase.begin_request();
        phase.upstream_within(Duration::from_millis(500));
        pass(&ticks, &phase, 6);
        assert_eq!(phase.late(), Some(Late::Upstream));
        phase.upstream_done();
        pass(&ticks, &phase, 100);
        assert_eq!(phase.late(), None);
    }
}
