//! Uses on their way from memory into the store.

use super::StartError;
use crate::cache::{Cache, Entry};
use crate::clock;
use crate::rotation;
use crate::store::redb::RedbStore;
use crate::usage::Board;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

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
        let flush = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
                if let Err(error) = board.flush(store.as_ref()) {
                    tracing::error!(%error, "uses could not be written; they are kept in memory");
                }
                if let Err(error) = board.record_verdicts(store.as_ref(), clock::now()) {
                    tracing::error!(%error, "verdicts could not be written; they are kept in memory");
                }
                rotation::record(&cache, store.as_ref(), clock::now());
                cache.tidy();
                if let Err(error) = cache.grow_filter() {
                    tracing::error!(%error, "the filter of known tokens could not be enlarged");
                }
            }
        };
        let thread =
            thread::Builder::new().name("usage".into()).spawn(flush).map_err(StartError::Thread)?;
        Ok(Self { stop, thread })
    }

    pub(super) fn stop(self) {
        drop(self.stop);
        let _panicked = self.thread.join();
    }
}
