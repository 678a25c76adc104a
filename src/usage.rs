//! Last use and use counts, without slowing a request.
//!
//! A use is counted in the [`Tally`] of the token's cache entry, which the request has just looked
//! at anyway. The first use since the last flush also puts the entry on its worker's list; every few
//! seconds the flusher takes all lists and has the store add the tallies up. Nothing is awaited on a
//! worker. A list holds its entries, so an eviction loses nothing.

mod asked;
mod beside;
mod denials;
mod refused;

pub use asked::{Asked, Bit, NEEDS_MAX};
pub use beside::Beside;
pub use denials::Denials;
pub use refused::REFUSED_TOKENS_MAX;

use crate::access::{Reason, Verdicts};
use crate::change::{Change, Write};
use crate::id::{OrgId, TokenId};
use crate::role::{RoleId, RoleSet};
use crate::store::{CommitError, Ledger};
use crate::time::{Day, Timestamp};
use crate::token::watch::Step;
use crate::token::{Need, Reuse, Usage, Use};
use asked::Known;
use refused::Refused;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::thread;
use std::time::Duration;

/// Tokens whose uses go into the store in one transaction: a deactivation never waits for more.
pub const ROWS_PER_COMMIT_MAX: usize = 65_536;
/// Organizations whose verdicts go into the store in one transaction.
const ORGS_PER_COMMIT_MAX: usize = 1_024;
/// How long a flush lets others to the store between two transactions.
const PAUSE_BETWEEN_PARTS: Duration = Duration::from_millis(1);

/// Uses of one token that are not in the store yet.
#[derive(Debug)]
pub struct Tally {
    uses: AtomicU64,
    last: AtomicI64,
    /// What these uses needed, a [`Bit`] for each.
    needs: AtomicU32,
    listed: AtomicBool,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            uses: AtomicU64::new(0),
            last: AtomicI64::new(i64::MIN),
            needs: AtomicU32::new(0),
            listed: AtomicBool::new(false),
        }
    }
}

impl Tally {
    /// Counts one use. Answers whether it is the first since the tally was last taken: then its
    /// holder must be listed.
    fn count(&self, at: Timestamp, needed: Bit) -> bool {
        // In this order: a `take` that misses this use has unlisted the tally before it looked, and
        // one that has it has what it needed, too.
        self.last.fetch_max(at.millis(), Ordering::AcqRel);
        // Most requests of a token need what others did a moment ago.
        if self.needs.load(Ordering::Relaxed) & needed.mask() != needed.mask() {
            self.needs.fetch_or(needed.mask(), Ordering::Relaxed);
        }
        self.uses.fetch_add(1, Ordering::AcqRel);
        self.enlist()
    }

    fn enlist(&self) -> bool {
        !self.listed.load(Ordering::Acquire) && !self.listed.swap(true, Ordering::AcqRel)
    }

    /// The uses, and what they needed.
    fn peek(&self) -> (Usage, u32) {
        let uses = self.uses.load(Ordering::Acquire);
        let needs = if uses > 0 { self.needs.load(Ordering::Acquire) } else { 0 };
        (usage(uses, self.last.load(Ordering::Acquire)), needs)
    }

    fn take(&self) -> (Usage, u32) {
        self.listed.store(false, Ordering::Release);
        let uses = self.uses.swap(0, Ordering::AcqRel);
        // What a use needed that is not counted yet is left to whoever takes the use.
        let needs = if uses > 0 { self.needs.swap(0, Ordering::AcqRel) } else { 0 };
        (usage(uses, self.last.load(Ordering::Acquire)), needs)
    }
}

fn usage(use_count: u64, last: i64) -> Usage {
    let last_used_at = (use_count > 0).then(|| Timestamp::from_millis(last));
    Usage { last_used_at, use_count, reuse: Reuse::default() }
}

/// Requests that were refused because they showed a secret that was rotated away. They are counted
/// in memory and stored with the uses, so showing a dead secret costs the disk nothing.
#[derive(Debug)]
pub struct Refusals {
    count: AtomicU64,
    last: AtomicI64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { count: AtomicU64::new(0), last: AtomicI64::new(i64::MIN) }
    }
}

impl Refusals {
    /// Adds these refusals to the uses of the same secret: all of them are reuse.
    fn with(&self, used: Usage, count: u64) -> Usage {
        let last = self.last.load(Ordering::Acquire);
        let refused = (count > 0).then(|| Timestamp::from_millis(last));
        let last_at = refused.max(used.last_used_at);
        Usage { reuse: Reuse { count: used.use_count + count, last_at }, ..used }
    }
}

fn peek(held: &impl Tallied, known: &Known) -> Use {
    let (used, needs) = held.tally().peek();
    let usage = held
        .refusals()
        .map_or(used, |refusals| refusals.with(used, refusals.count.load(Ordering::Acquire)));
    Use { token: held.token(), usage, needs: known.met(needs, held.scope()) }
}

fn take(held: &impl Tallied, known: &Known) -> Use {
    let (used, needs) = held.tally().take();
    let usage = held
        .refusals()
        .map_or(used, |refusals| refusals.with(used, refusals.count.swap(0, Ordering::AcqRel)));
    Use { token: held.token(), usage, needs: known.met(needs, held.scope()) }
}

/// What uses of tokens needed, and on which day at the latest.
pub type Needed = HashMap<TokenId, Vec<(Arc<Need>, Day)>>;

/// Uses as the admin port counts and reads them. Not for a worker.
pub trait Uses: Send + Sync {
    /// Counts uses of a token here. Which of its organization roles a call needs is found deep in a
    /// plan, so each counts as needing all that the token carries.
    fn touch(&self, token: TokenId, usage: Usage);
    /// Holds what is pending and what is stored still against each other. Blocks while a flush is
    /// under way.
    fn still(&self) -> Box<dyn Pending + '_>;
    /// All that is pending. What is read from the store after this holds every use that is not in
    /// it, and some that are: the later of both is exact, the sum is not.
    fn pending(&self) -> HashMap<TokenId, Usage>;
    /// What all that is pending needed, and on which day at the latest.
    fn pending_needs(&self) -> Needed;
}

/// Uses that are not in the store. While this is held, none moves there, so that pending and stored
/// use together are exact.
pub trait Pending {
    /// Uses of one token.
    fn pending(&self, token: TokenId) -> Usage;
}

/// Something that holds the tally of a token.
pub trait Tallied: Send + Sync {
    /// The token.
    fn token(&self) -> TokenId;
    /// Its tally.
    fn tally(&self) -> &Tally;
    /// Its organization.
    fn org(&self) -> OrgId;
    /// The roles that the token carries.
    fn scope(&self) -> &RoleSet;
    /// Where requests with tokens of its organization are counted that were refused.
    fn denials(&self) -> &Denials;
    /// What else a use means, before the request goes anywhere.
    fn used(&self, _at: Timestamp) {}
    /// Where requests are counted that showed a former secret of the token and were refused; nothing
    /// for its present one.
    fn refusals(&self) -> Option<&Refusals> {
        None
    }
}

/// One worker's list of tallies that are not empty. Whoever else looks at it takes it as a whole.
pub struct Shard<T> {
    list: Mutex<Vec<Arc<T>>>,
    refused: Mutex<Refused>,
}

impl<T> Default for Shard<T> {
    fn default() -> Self {
        Self { list: Mutex::new(Vec::new()), refused: Mutex::default() }
    }
}

impl<T: Tallied> Shard<T> {
    /// Counts one use, and what it needed.
    pub fn touch(&self, tallied: &Arc<T>, at: Timestamp, needed: Bit) {
        tallied.used(at);
        if tallied.tally().count(at, needed) {
            self.list().push(Arc::clone(tallied));
        }
    }

    /// Counts one request that was refused, if it showed a secret of a token: for the token, for the
    /// organization, and as reuse if it was a former one.
    pub fn refuse(
        &self,
        tallied: Option<&Arc<T>>,
        reason: Reason,
        now: impl FnOnce() -> Timestamp,
    ) {
        let Some(tallied) = tallied else { return };
        tallied.denials().count(reason);
        self.count_refused(tallied.token(), reason);
        if let Some(refusals) = tallied.refusals() {
            refusals.last.fetch_max(now().millis(), Ordering::AcqRel);
            refusals.count.fetch_add(1, Ordering::AcqRel);
        }
        if tallied.tally().enlist() {
            self.list().push(Arc::clone(tallied));
        }
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<T>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All uses that are not in the store.
pub struct Board<T> {
    shards: Vec<Arc<Shard<T>>>,
    gathered: Mutex<Gathered<T>>,
    refused: Mutex<Refused>,
    /// Held for writing while a part of the uses is on its way into the store, so that a reader who
    /// holds it sees each use exactly once: pending, or stored.
    moving: RwLock<()>,
    asked: Asked,
    /// Who hears of what has moved.
    listener: OnceLock<Box<Listener>>,
}

/// Hears which uses have just moved into the store, while nobody can hold them still.
pub type Listener = dyn Fn(&[(TokenId, Usage)]) + Send + Sync;

/// What was taken off the workers' lists.
struct Gathered<T> {
    /// Entries that were listed, their tallies not taken yet.
    listed: Vec<Arc<T>>,
    /// Tallies that were taken, uses that were noted without an entry, and what could not be
    /// written.
    rows: HashMap<TokenId, Use>,
    /// Verdicts that are not in the store, by the organization of the token.
    verdicts: HashMap<OrgId, Verdicts>,
}

impl<T> Default for Gathered<T> {
    fn default() -> Self {
        Self { listed: Vec::new(), rows: HashMap::new(), verdicts: HashMap::new() }
    }
}

impl<T> Gathered<T> {
    fn add(&mut self, used: Use) {
        match self.rows.entry(used.token) {
            Entry::Occupied(mut sum) => sum.get_mut().add(used),
            Entry::Vacant(row) => _ = row.insert(used),
        }
    }
}

/// While this is held, no use moves into the store.
pub struct Still<'a, T> {
    board: &'a Board<T>,
    pending: OnceLock<HashMap<TokenId, Usage>>,
    _moving: RwLockReadGuard<'a, ()>,
}

impl<T: Tallied> Pending for Still<'_, T> {
    /// The first call looks at every tally.
    fn pending(&self, token: TokenId) -> Usage {
        let pending = self.pending.get_or_init(|| self.board.pending());
        pending.get(&token).copied().unwrap_or_default()
    }
}

impl<T: Tallied> Board<T> {
    /// A board with a list for each of so many writers.
    #[must_use]
    pub fn new(writers: usize) -> Self {
        Self {
            shards: (0..writers.max(1)).map(|_writer| Arc::default()).collect(),
            gathered: Mutex::new(Gathered::default()),
            refused: Mutex::default(),
            moving: RwLock::new(()),
            asked: Asked::default(),
            listener: OnceLock::new(),
        }
    }

    /// What routes ask for.
    #[must_use]
    pub const fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Has `listener` hear of every use that moves into the store. The first one stays.
    pub fn listen(&self, listener: Box<Listener>) {
        let _another_one_listens = self.listener.set(listener);
    }

    /// The list of one writer.
    #[must_use]
    pub fn shard(&self, writer: usize) -> Arc<Shard<T>> {
        Arc::clone(&self.shards[writer % self.shards.len()])
    }

    /// Holds tallies and store still against each other, for an exact reading. Blocks while a part
    /// of a flush is under way; not for a worker.
    #[must_use]
    pub fn still(&self) -> Still<'_, T> {
        let guard = self.moving.read().unwrap_or_else(PoisonError::into_inner);
        Still { board: self, pending: OnceLock::new(), _moving: guard }
    }

    /// Counts uses of a token that is held by no entry here.
    pub fn note(&self, used: Use) {
        self.gathered().add(used);
    }

    /// Takes the workers' lists, each in no time, and answers with all that is pending.
    fn gathered(&self) -> MutexGuard<'_, Gathered<T>> {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        for shard in &self.shards {
            let mut taken = std::mem::take(&mut *shard.list());
            gathered.listed.append(&mut taken);
        }
        gathered
    }

    fn pending(&self) -> HashMap<TokenId, Usage> {
        let gathered = self.gathered();
        let rows = gathered.rows.values();
        let mut sums: HashMap<_, _> = rows.map(|row| (row.token, row.usage)).collect();
        for held in &gathered.listed {
            let sum = sums.entry(held.token()).or_default();
            *sum = sum.merged(peek(held.as_ref(), &Known::default()).usage);
        }
        sums
    }

    fn pending_needs(&self) -> Needed {
        let gathered = self.gathered();
        let known = self.asked.known();
        let mut needs = Needed::new();
        let mut see = |used: &Use| {
            let Some(last) = used.usage.last_used_at else { return };
            let all = used.needs.iter().map(|need| (Arc::clone(need), Day::of(last)));
            needs.entry(used.token).or_default().extend(all);
        };
        gathered.rows.values().for_each(&mut see);
        gathered.listed.iter().for_each(|held| see(&peek(held.as_ref(), &known)));
        needs
    }

    /// Moves every use into the store. Blocks until it is durable. What could not be written is
    /// kept for the next time. Readers and changes get their turn after each part.
    pub fn flush(&self, ledger: &dyn Ledger) -> Result<usize, CommitError> {
        let rows: Vec<Use> = {
            // Not before the lists are taken: what a use among them needed is known by now.
            let mut gathered = self.gathered();
            let known = self.asked.known();
            for held in std::mem::take(&mut gathered.listed) {
                let used = take(held.as_ref(), &known);
                gathered.judge(held.org(), used.usage.use_count, held.denials());
                if !used.usage.is_nothing() {
                    gathered.add(used);
                }
            }
            gathered.rows.values().cloned().collect()
        };
        let count = rows.len();
        let mut rows = rows.into_iter();
        for number in 0..count.div_ceil(ROWS_PER_COMMIT_MAX) {
            if number > 0 {
                // A waiting reader would otherwise hardly ever win the lock.
                thread::sleep(PAUSE_BETWEEN_PARTS);
            }
            let part: Vec<Use> = rows.by_ref().take(ROWS_PER_COMMIT_MAX).collect();
            let written: Vec<_> = part.iter().map(|used| (used.token, used.usage)).collect();
            let _moving = self.moving.write().unwrap_or_else(PoisonError::into_inner);
            ledger.record_usage(part).wait()?;
            let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
            for &(token, written) in &written {
                gathered.settle(token, written);
            }
            drop(gathered);
            if let Some(listener) = self.listener.get() {
                listener(&written);
            }
        }
        Ok(count)
    }
}

impl<T> Gathered<T> {
    /// Counts verdicts for an organization. After the tally was taken: a denial that is missed here
    /// has listed its entry anew.
    fn judge(&mut self, org: OrgId, permitted: u64, denials: &Denials) {
        let denied = denials.take();
        if permitted == 0 && denied.is_none() {
            return;
        }
        let verdicts = self.verdicts.entry(org).or_default();
        verdicts.permitted += permitted;
        if let Some(denied) = denied {
            verdicts.add(&denied);
        }
    }

    /// Takes off what is stored; what was noted meanwhile stays.
    fn settle(&mut self, token: TokenId, written: Usage) {
        if let Entry::Occupied(mut row) = self.rows.entry(token) {
            let rest = &mut row.get_mut().usage;
            rest.use_count = rest.use_count.saturating_sub(written.use_count);
            rest.reuse.count = rest.reuse.count.saturating_sub(written.reuse.count);
            if rest.is_nothing() {
                row.remove();
            }
        }
    }
}

impl<T: Tallied> Board<T> {
    /// Moves the verdicts that the flushes have gathered into the store, as of now, and with them
    /// says until when every use is stored, if a flush has seen to that. Blocks until all of it is
    /// durable. What could not be written is kept for the next time.
    pub fn record_verdicts(
        &self,
        ledger: &dyn Ledger,
        now: Timestamp,
        through: Option<Timestamp>,
    ) -> Result<(), CommitError> {
        let mut through = through.map(|through| Write::Watch(Step::Through(through)));
        let lock = || self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> = lock().verdicts.iter().map(|(org, sum)| (*org, sum.clone())).collect();
        for part in all.chunks(ORGS_PER_COMMIT_MAX) {
            let write =
                |(org, sum): &(OrgId, Verdicts)| Write::Verdicts(*org, now, Box::new(sum.clone()));
            let writes = part.iter().map(write).chain(through.take()).collect();
            ledger.commit(Change { writes, ..Change::default() }).wait()?;
            let mut gathered = lock();
            for (org, written) in part {
                if let Entry::Occupied(mut rest) = gathered.verdicts.entry(*org) {
                    rest.get_mut().subtract(written);
                    if rest.get().is_nothing() {
                        rest.remove();
                    }
                }
            }
        }
        if let Some(through) = through {
            ledger.commit(Change { writes: vec![through], ..Change::default() }).wait()?;
        }
        Ok(())
    }
}

impl<T: Tallied> Uses for Board<T> {
    fn touch(&self, token: TokenId, usage: Usage) {
        let needs = if usage.use_count > 0 { vec![of_a_call()] } else { Vec::new() };
        self.note(Use { token, usage, needs });
    }

    fn still(&self) -> Box<dyn Pending + '_> {
        Box::new(self.still())
    }

    fn pending(&self) -> HashMap<TokenId, Usage> {
        self.pending()
    }

    fn pending_needs(&self) -> Needed {
        self.pending_needs()
    }
}

/// What a call of the admin port may have needed.
fn of_a_call() -> Arc<Need> {
    let roles = [RoleId::ORG_OWNER, RoleId::ORG_ADMIN, RoleId::ORG_MEMBER];
    Arc::new(Need::all_of(roles.into_iter().collect()))
}

#[cfg(test)]
mod tests;
