//! The store in memory, for tests and for trying things out: the same records, checks and writer
//! as the file's, upon sorted maps.

use super::CommitError;
use super::engine::{End, Engine, Failure, Order, Read, Span, Table, Visit, Write};
use super::journal::Folding;
use super::record::WriteRecords;
use super::room::Store;
use crate::audit::chain::Key;
use crate::role::RoleTable;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// A store that forgets everything when it goes.
pub type MemoryStore = Store<Memory>;

impl Store<Memory> {
    /// A fresh store with the three built-in organization roles.
    ///
    /// # Panics
    /// When the system has no thread left.
    #[must_use]
    #[expect(clippy::expect_used, reason = "for tests, where nobody could do better")]
    pub fn new() -> Arc<Self> {
        Self::folding(Folding::default()).expect("memory does not fail and a thread can be had")
    }

    /// The same, which folds its usage journal at other sizes.
    pub(super) fn folding(folding: Folding) -> Result<Arc<Self>, Failure> {
        let memory = Memory::default();
        // A trail that goes with the process is proved by nobody else.
        let key = Key::of("the key of every store in memory")
            .map_err(|error| Failure::Broken(error.to_string()))?;
        memory.transact(|transaction| {
            for (number, name) in RoleTable::new().names().iter().enumerate() {
                transaction.put_role(number, name)?;
            }
            Ok((End::Commit, ()))
        })?;
        Self::start_folding(memory, key, folding)
    }

    /// For tests: the next commit of a transaction writes nothing and fails, as a full disk
    /// ([`CommitError::Full`]) or as any other failure would.
    #[doc(hidden)]
    pub fn fail_next_commit(&self, error: &CommitError) {
        let failure = match error {
            CommitError::Full => Failure::Full,
            CommitError::Conflict(_)
            | CommitError::Busy
            | CommitError::Failed(_)
            | CommitError::Closed => Failure::Broken(error.to_string()),
        };
        *self.engine().fails.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }
}

/// Sorted maps of bytes.
#[derive(Debug, Default)]
pub struct Memory {
    committed: RwLock<State>,
    fails: Mutex<Option<Failure>>,
}

/// All tables. Copies are cheap and share what they hold until one of them is written to.
type State = Arc<[Arc<Rows>; Table::ALL.len()]>;
type Rows = BTreeMap<Arc<[u8]>, Arc<[u8]>>;

impl Engine for Memory {
    type Snapshot = Snapshot;
    type Transaction<'t> = Overlay;

    fn snapshot(&self) -> Result<Snapshot, Failure> {
        let state = self.committed.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Snapshot(Arc::clone(&state)))
    }

    fn transact<T>(
        &self,
        work: impl for<'t> FnOnce(&mut Self::Transaction<'t>) -> Result<(End, T), Failure>,
    ) -> Result<T, Failure> {
        let mut overlay = Overlay { base: self.snapshot()?, written: Default::default() };
        let (end, answer) = work(&mut overlay)?;
        if end == End::Commit {
            let Overlay { base, written } = overlay;
            // Let go of first, or every commit would copy every table it writes to.
            drop(base);
            if let Some(failure) = self.fails.lock().unwrap_or_else(PoisonError::into_inner).take()
            {
                return Err(failure);
            }
            let mut state = self.committed.write().unwrap_or_else(PoisonError::into_inner);
            for (rows, written) in Arc::make_mut(&mut state).iter_mut().zip(written) {
                if written.is_empty() {
                    continue;
                }
                let rows = Arc::make_mut(rows);
                for (key, value) in written {
                    match value {
                        Some(value) => drop(rows.insert(key, value)),
                        None => drop(rows.remove(&key)),
                    }
                }
            }
        }
        Ok(answer)
    }
}

/// A committed state.
#[derive(Debug)]
pub struct Snapshot(State);

impl Snapshot {
    fn rows(&self, table: Table) -> &Rows {
        &self.0[table as usize]
    }
}

impl Read for Snapshot {
    fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, Failure> {
        Ok(self.rows(table).get(key).map(|value| read(value)))
    }

    fn scan(
        &self,
        table: Table,
        span: Span<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), Failure> {
        let rows = range(self.rows(table), span).map(|(key, value)| (&**key, &**value));
        match order {
            Order::Ascending => each(rows, visit),
            Order::Descending => each(rows.rev(), visit),
        }
    }
}

/// A transaction: what it has written so far, over the state that it began with.
#[derive(Debug)]
pub struct Overlay {
    base: Snapshot,
    written: [Rewritten; Table::ALL.len()],
}

/// What was written to one table; `None` where a row was removed.
type Rewritten = BTreeMap<Arc<[u8]>, Option<Arc<[u8]>>>;

impl Read for Overlay {
    fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, Failure> {
        match self.written[table as usize].get(key) {
            Some(written) => Ok(written.as_ref().map(|value| read(value))),
            None => self.base.get(table, key, read),
        }
    }

    fn scan(
        &self,
        table: Table,
        span: Span<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), Failure> {
        let base = range(self.base.rows(table), span).map(|(key, value)| (&**key, &**value));
        let written = range(&self.written[table as usize], span)
            .map(|(key, value)| (&**key, value.as_deref()));
        match order {
            Order::Ascending => {
                let rows = Merged { base: base.peekable(), written: written.peekable(), order };
                each(rows, visit)
            }
            Order::Descending => {
                let (base, written) = (base.rev().peekable(), written.rev().peekable());
                each(Merged { base, written, order }, visit)
            }
        }
    }
}

impl Write for Overlay {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.written[table as usize].insert(key.into(), Some(value.into()));
        Ok(())
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), Failure> {
        self.written[table as usize].insert(key.into(), None);
        Ok(())
    }
}

/// Rows of the base and of what was written over it, in one order; what was written wins, and rows
/// that it removed are left out.
struct Merged<B: Iterator, W: Iterator> {
    base: Peekable<B>,
    written: Peekable<W>,
    order: Order,
}

impl<'r, B, W> Iterator for Merged<B, W>
where
    B: Iterator<Item = (&'r [u8], &'r [u8])>,
    W: Iterator<Item = (&'r [u8], Option<&'r [u8]>)>,
{
    type Item = (&'r [u8], &'r [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(&(written, _)) = self.written.peek() else { return self.base.next() };
            let order = self.order;
            let before = self.base.next_if(|(key, _)| match order {
                Order::Ascending => *key < written,
                Order::Descending => *key > written,
            });
            if before.is_some() {
                return before;
            }
            self.base.next_if(|(key, _)| *key == written);
            if let Some((key, Some(value))) = self.written.next() {
                return Some((key, value));
            }
        }
    }
}

fn each<'r>(
    rows: impl Iterator<Item = (&'r [u8], &'r [u8])>,
    visit: Visit<'_>,
) -> Result<(), Failure> {
    for (key, value) in rows {
        if visit(key, value)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// A part of a map; nothing where the span's ends are in the wrong order, as in an engine of disk.
fn range<'m, V>(
    map: &'m BTreeMap<Arc<[u8]>, V>,
    span: Span<'_>,
) -> impl DoubleEndedIterator<Item = (&'m Arc<[u8]>, &'m V)> {
    let is_empty = match span {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to))
        | (Bound::Excluded(from), Bound::Included(to)) => from >= to,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    };
    (!is_empty).then(|| map.range::<[u8], _>(span)).into_iter().flatten()
}
