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
pub use refusals::{Refusal, Refusals, Who};

use crate::store::Ledger;
use crate::time::Timestamp;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the refused calls that were summed up are written.
const REFUSALS_INTERVAL: Duration = Duration::from_mins(1);
/// Between two looks for events that have outlived their time, in intervals of the refusals.
const RETENTION_EVERY: u32 = 60;

/// The thread that writes what was summed up, and forgets what has outlived its time.
#[derive(Debug)]
pub struct Keeper {
    stop: Sender<()>,
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
        let work = move || {
            for round in 0_u32.. {
                if let (Some(keep), 0) = (keep, round % RETENTION_EVERY) {
                    match retention::forget(&*ledger, keep, clock()) {
                        Ok(0) => {}
                        Ok(events) => tracing::info!(events, "audit events outlived their time"),
                        Err(error) => tracing::error!(%error, "audit events stay for now"),
                    }
                }
                if round % RETENTION_EVERY == 0 {
                    notices::forget(&*ledger, clock());
                }
                let waited = stopped.recv_timeout(REFUSALS_INTERVAL);
                if let Err(error) = refusals.write(&*ledger, clock()) {
                    tracing::error!(%error, "refused calls are missing in the audit trail");
                }
                if !matches!(waited, Err(RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("trails".into()).spawn(work)?;
        Ok(Self { stop, thread })
    }

    /// Writes what was summed up so far, and ends.
    pub fn stop(self) {
        drop(self.stop);
        let _panicked = self.thread.join();
    }
}
