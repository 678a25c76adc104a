//! What comes into audit trails beside the changes, and what leaves them: calls that were refused
//! are told of ([`Refusals`]), reports of dead secrets are once a day ([`Leaks`]), and events that have outlived their time are forgotten
//! ([`retention`]). The thread of both is the [`Keeper`].

mod guesses;
mod leaks;
mod notices;
mod refusals;
pub mod retention;

pub use guesses::Guesses;
pub use leaks::Leaks;
pub use refusals::{Refusal, Refusals, Single, Who, WriteError};

use crate::store::Ledger;
use crate::time::Timestamp;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the refused calls that were summed up are written.
const REFUSALS_INTERVAL: Duration = Duration::from_mins(1);
/// Between two looks for what has outlived its time, in intervals of the refusals.
const RETENTION_EVERY: u32 = 60;

/// How often what was summed up is tried to be written at the end, when the writer is busy.
const LAST_WRITES_MAX: u32 = 20;
/// The pause between two of these.
const LAST_WRITE_PAUSE: Duration = Duration::from_millis(250);

/// The thread that writes what was summed up, and forgets what has outlived its time.
#[derive(Debug)]
pub struct Keeper {
    stop: Sender<()>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts the thread. Events are kept for `keep`, or for ever.
    pub fn start(
        ledger: Arc<dyn Ledger>,
        refusals: Arc<Refusals>,
        keep: Option<Duration>,
        clock: fn() -> Timestamp,
    ) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let is_over = Arc::<AtomicBool>::default();
        let seen = Arc::clone(&is_over);
        let work = move || {
            // In how many rounds there is a look for what has outlived its time.
            let mut rounds = 0;
            loop {
                if rounds == 0 {
                    let more = forget(&*ledger, keep, clock(), &seen);
                    rounds = if more { 1 } else { RETENTION_EVERY };
                }
                rounds -= 1;
                let waited = stopped.recv_timeout(REFUSALS_INTERVAL);
                if !matches!(waited, Err(RecvTimeoutError::Timeout)) {
                    return last(&refusals, &*ledger, clock);
                }
                if let Err(error) = refusals.write(&*ledger, clock()) {
                    told(&error);
                }
            }
        };
        let thread = thread::Builder::new().name("trails".into()).spawn(work)?;
        Ok(Self { stop, is_over, thread })
    }

    /// Writes what was summed up so far, and ends. Events that have outlived their time are left to
    /// the next start.
    pub fn stop(self) {
        self.is_over.store(true, Ordering::Release);
        drop(self.stop);
        let _panicked = self.thread.join();
    }
}

/// A round of forgetting. Answers whether there may be more to forget.
fn forget(
    ledger: &dyn Ledger,
    keep: Option<Duration>,
    now: Timestamp,
    is_over: &AtomicBool,
) -> bool {
    let is_over = || is_over.load(Ordering::Acquire);
    let notices = notices::forget(ledger, now, &is_over).unwrap_or_else(|error| {
        tracing::error!(%error, "outlived notices stay for now");
        false
    });
    let Some(keep) = keep else { return notices };
    let events = retention::forget(ledger, keep, now, &is_over);
    if events.forgotten > 0 {
        tracing::info!(events = events.forgotten, "audit events outlived their time");
    }
    if let Some(error) = events.failed {
        tracing::error!(%error, "audit events stay for now");
    }
    notices || events.more
}

/// Writes what was summed up, as the last thing.
fn last(refusals: &Refusals, ledger: &dyn Ledger, clock: fn() -> Timestamp) {
    for left in (0..LAST_WRITES_MAX).rev() {
        match refusals.write(ledger, clock()) {
            Ok(()) => return,
            Err(error) if error.is_passing() && left > 0 => thread::sleep(LAST_WRITE_PAUSE),
            Err(error) => {
                tracing::error!(%error, "refused calls are missing in the audit trail");
                return;
            }
        }
    }
}

fn told(error: &WriteError) {
    if error.is_passing() {
        tracing::warn!(%error, "refused calls are told in the audit trail a minute later");
    } else {
        tracing::error!(%error, "refused calls are missing in the audit trail");
    }
}

#[cfg(test)]
mod tests;
