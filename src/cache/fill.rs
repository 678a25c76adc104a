//! Filling the cache: the only wait before a request goes upstream.
//!
//! Misses are read by a few threads of their own, because reading may touch the disk. Requests
//! that miss the same digest wait for one and the same read.

use super::{Cache, Lookup, Refused};
use crate::secret::Digest;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Most digests that wait to be read; a further one is told that the store is unavailable.
pub const LOOKUPS_WAITING_MAX: usize = 4096;
/// How often a read is repeated because something newer was committed meanwhile.
const READS_MAX: usize = 64;
/// How often a request looks again because its entry was evicted before it came to see it.
const LOOKS_MAX: usize = 16;

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The cache knows by now, or did a moment ago: look again.
    Settled,
    Unknown,
    Unavailable,
}

type Flights = DashMap<Digest, Vec<oneshot::Sender<Outcome>>>;

/// A read on a worker that takes longer is a slow one: it waited, for a disk or for a processor.
const READ_SLOW: Duration = Duration::from_micros(500);
/// One part in so many of the time may go on slow reads, all workers together.
const SLOW_READS_SHARE: u32 = 10;
/// But so much at once. What exceeds it was a disk: a busy processor is lent to others now and then,
/// and seldom in the midst of a read.
const SLOW_READS_AT_ONCE_MAX: Duration = Duration::from_millis(20);
/// For how long reads go to the threads when slow ones took more than that.
const READ_ELSEWHERE_FOR: Duration = Duration::from_secs(1);

/// The threads that read the store for the gateway.
pub struct Readers {
    cache: Arc<Cache>,
    flights: Arc<Flights>,
    queue: SyncSender<Digest>,
    began: Instant,
    /// Where reads on workers are allowed at all.
    patience: Option<Patience>,
}

/// What a look-up that could wait came to.
pub enum Resolved {
    /// See [`Lookup`]; never [`Lookup::Miss`].
    Known(Lookup),
    /// The store did not answer, or too many look-ups are waiting.
    Unavailable,
}

impl Readers {
    /// Starts `threads` threads over `cache`. They end when this value is dropped.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(cache: Arc<Cache>, threads: usize) -> std::io::Result<Self> {
        let (queue, requests) = sync_channel(LOOKUPS_WAITING_MAX);
        let requests = Arc::new(Mutex::new(requests));
        let flights = Arc::new(Flights::new());
        for number in 0..threads.max(1) {
            let (cache, flights) = (Arc::clone(&cache), Arc::clone(&flights));
            let requests = Arc::clone(&requests);
            thread::Builder::new()
                .name(format!("read-{number}"))
                .spawn(move || run(&cache, &flights, &requests))?;
        }
        Ok(Self { cache, flights, queue, began: Instant::now(), patience: None })
    }

    /// Lets who asks read for themself as long as that is quick. A token whose pages are in memory
    /// is read in a few microseconds, which is less than it takes to wake another thread and to be
    /// woken by it; a disk that has to turn is left to the threads.
    #[must_use]
    pub fn reading_here(self) -> Self {
        Self { patience: Some(Patience::default()), ..self }
    }

    /// The cache that they fill.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Looks a digest up, waiting for the store if need be.
    ///
    /// What comes back was in the cache at an instant after the wait, so a change that was
    /// acknowledged before this call is always seen.
    pub async fn resolve(&self, digest: &Digest) -> Resolved {
        for _ in 0..LOOKS_MAX {
            match self.cache.lookup(digest) {
                Lookup::Miss => {}
                known @ (Lookup::Hit(_) | Lookup::Unknown | Lookup::Barred) => {
                    return Resolved::Known(known);
                }
            }
            let outcome = match self.read_here(digest) {
                Some(outcome) => outcome,
                None => self.read(*digest).await,
            };
            match outcome {
                Outcome::Settled => {}
                Outcome::Unknown => return Resolved::Known(Lookup::Unknown),
                Outcome::Unavailable => return Resolved::Unavailable,
            }
        }
        Resolved::Unavailable
    }

    fn read_here(&self, digest: &Digest) -> Option<Outcome> {
        let patience = self.patience.as_ref()?;
        let begun = self.began.elapsed();
        if !patience.has_some(begun) {
            return None;
        }
        let outcome = read(&self.cache, digest);
        patience.took(begun, self.began.elapsed());
        Some(outcome)
    }

    async fn read(&self, digest: Digest) -> Outcome {
        let (done, outcome) = oneshot::channel();
        let first = match self.flights.entry(digest) {
            Slot::Occupied(mut slot) => {
                slot.get_mut().push(done);
                false
            }
            Slot::Vacant(slot) => {
                slot.insert(vec![done]);
                true
            }
        };
        if first {
            match self.queue.try_send(digest) {
                Ok(()) => {}
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                    land(&self.flights, &digest, Outcome::Unavailable);
                }
            }
        }
        outcome.await.unwrap_or(Outcome::Unavailable)
    }
}

/// How much the workers still wait for the store themselves. All times are since the same instant.
#[derive(Debug, Default)]
struct Patience {
    /// By when slow reads will have been paid for, in microseconds: each costs
    /// [`SLOW_READS_SHARE`] times what it took.
    paid_at: AtomicU64,
    /// Until when nothing is read on a worker, in microseconds.
    elsewhere_until: AtomicU64,
}

impl Patience {
    fn has_some(&self, now: Duration) -> bool {
        micros(now) >= self.elsewhere_until.load(Ordering::Relaxed)
    }

    fn took(&self, begun: Duration, done: Duration) {
        let took = done.saturating_sub(begun);
        if took <= READ_SLOW {
            return;
        }
        let now = micros(done);
        let price = micros(took * SLOW_READS_SHARE);
        self.paid_at.fetch_max(now, Ordering::Relaxed);
        let paid_at = self.paid_at.fetch_add(price, Ordering::Relaxed) + price;
        if paid_at > now + micros(SLOW_READS_AT_ONCE_MAX * SLOW_READS_SHARE) {
            let until = now + micros(READ_ELSEWHERE_FOR);
            self.elsewhere_until.fetch_max(until, Ordering::Relaxed);
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn run(cache: &Cache, flights: &Flights, requests: &Mutex<Receiver<Digest>>) {
    loop {
        let next = requests.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(digest) = next else { return };
        // A look-up that panics has said nothing, but those who wait must hear it.
        let read = std::panic::AssertUnwindSafe(|| read(cache, &digest));
        let outcome = std::panic::catch_unwind(read).unwrap_or(Outcome::Unavailable);
        land(flights, &digest, outcome);
    }
}

fn land(flights: &Flights, digest: &Digest, outcome: Outcome) {
    if let Some((_digest, waiting)) = flights.remove(digest) {
        for done in waiting {
            // Whoever stopped waiting has no need of the answer.
            let _gone = done.send(outcome);
        }
    }
}

fn read(cache: &Cache, digest: &Digest) -> Outcome {
    for _ in 0..READS_MAX {
        cache.store_lookups.fetch_add(1, Ordering::Relaxed);
        let (revision, found) = match cache.facts.lookup(digest) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "a token cannot be looked up");
                return Outcome::Unavailable;
            }
        };
        let Some(found) = found else {
            // Unless it was issued since this snapshot.
            if cache.fence.admits(digest.prefix(), revision.0) {
                return Outcome::Unknown;
            }
            continue;
        };
        match cache.fill(*digest, revision, found) {
            Ok(()) | Err(Refused::Barred) => return Outcome::Settled,
            // The commit that raised the fence is durable by now or about to be.
            Err(Refused::Stale) => thread::yield_now(),
        }
    }
    Outcome::Unavailable
}

#[cfg(test)]
mod tests;
