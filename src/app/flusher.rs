//! Uses on their way from memory into the store.

use super::StartError;
use crate::cache::{Cache, Entry};
use crate::change::{Change, Write};
use crate::clock;
use crate::rotation;
use crate::store::redb::RedbStore;
use crate::store::{CommitError, Ledger};
use crate::time::Timestamp;
use crate::token::watch::Step;
use crate::usage::Board;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Without uses the store is told so often that it has all of them.
const TOLD_AT_LEAST_EVERY: Duration = Duration::from_hours(1);

/// A use is counted a moment after the instant that it was admitted at.
const COUNTED_WITHIN: Duration = Duration::from_secs(1);

/// The thread that moves uses into the store.
pub(super) struct Flusher {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Flusher {
    pub(super) fn start(
        board: Arc<Board<Entry>>,
        store: Arc<RedbStore>,
        cache: Arc<Cache>,
        interval: Duration,
    ) -> Result<Self, StartError> {
        let (stop, stopped) = channel();
        let work = move || {
            let mut told = clock::now();
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
                flush(&board, store.as_ref(), &mut told);
                rotation::record(&cache, store.as_ref(), clock::now());
                cache.tidy();
                if let Err(error) = cache.grow_filter() {
                    tracing::error!(%error, "the filter of known tokens could not be enlarged");
                }
            }
        };
        let thread =
            thread::Builder::new().name("usage".into()).spawn(work).map_err(StartError::Thread)?;
        Ok(Self { stop, thread })
    }

    pub(super) fn stop(self) {
        drop(self.stop);
        let _panicked = self.thread.join();
    }
}

/// Tells the store what happens to the recording of uses.
pub(super) fn watch(ledger: &dyn Ledger, step: Step) -> Result<(), CommitError> {
    let change = Change { writes: vec![Write::Watch(step)], ..Change::default() };
    ledger.commit(change).wait().map(|_committed| ())
}

/// Moves what there is into the store. `told` is when the store was last told that it has all.
fn flush(board: &Board<Entry>, ledger: &dyn Ledger, told: &mut Timestamp) {
    let begun = clock::now();
    let through = match board.flush(ledger) {
        Ok(0) if begun.since(*told) < TOLD_AT_LEAST_EVERY => None,
        Ok(_uses) => Some(begun.before(COUNTED_WITHIN)),
        Err(error) => {
            tracing::error!(%error, "uses could not be written; they are kept in memory");
            None
        }
    };
    match board.record_verdicts(ledger, begun, through) {
        Ok(()) => *told = through.map_or(*told, |_told| begun),
        Err(error) => {
            tracing::error!(%error, "verdicts could not be written; they are kept in memory");
        }
    }
    if let Err(error) = board.record_refused(ledger, begun) {
        tracing::error!(%error, "what tokens were refused could not be written; it is kept in memory");
    }
}

/// The same for the last time, when no request is taken any more.
pub(super) fn last(board: &Board<Entry>, cache: &Cache, ledger: &dyn Ledger) {
    rotation::record(cache, ledger, clock::now());
    let flushed = board.flush(ledger);
    if let Err(error) = &flushed {
        tracing::error!(%error, "the last uses could not be written");
    }
    if let Err(error) = board.record_verdicts(ledger, clock::now(), None) {
        tracing::error!(%error, "the last verdicts could not be written");
    }
    if let Err(error) = board.record_refused(ledger, clock::now()) {
        tracing::error!(%error, "what tokens were refused at last could not be written");
    }
    // What could not be written is lost, so that end is none.
    if flushed.is_ok()
        && let Err(error) = watch(ledger, Step::End(clock::now()))
    {
        tracing::error!(%error, "that all uses are stored could not be written");
    }
}
