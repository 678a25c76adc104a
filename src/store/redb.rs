//! The store in one file, on [redb].
//!
//! **Invariants.**
//! - Every commit is durable when it returns, and leaves a file that needs no repair after a crash.
//! - The bytes in the tables are ours (see `codec`), never a form derived by redb.
//! - Only one process has the file open.
//!
//! [redb]: https://docs.rs/redb

use super::engine::{End, Engine, Failure, Order, Read, Span, Table, Visit, Write};
use super::room::Store;
use ::redb::{
    Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable,
    TableDefinition, WriteTransaction,
};
use arc_swap::ArcSwapOption;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

mod copy;
mod key;
mod open;

pub(super) use copy::copy;
pub use key::{KeySource, key_path, stored_key};
pub use open::{OpenError, Options, open, rekey};

/// A store in one file.
pub type RedbStore = Store<File>;

/// One redb file.
#[derive(Debug)]
pub struct File {
    database: Database,
    /// Counts the commits.
    commits: AtomicU64,
    /// Whether commits are part of a large load.
    bulk: AtomicBool,
    /// A snapshot of the latest commit, and which one that is. Beginning a transaction and opening
    /// its tables takes longer than looking a token up.
    latest: ArcSwapOption<(u64, Snapshot)>,
}

impl File {
    fn new(database: Database) -> Self {
        Self {
            database,
            commits: AtomicU64::new(0),
            bulk: AtomicBool::new(false),
            latest: ArcSwapOption::empty(),
        }
    }
}

impl Store<File> {
    /// Begins or ends a large load. Within it each commit is durable as ever and takes less time, and
    /// after a crash opening walks over the whole file once; so the last commit comes after its end.
    pub fn in_bulk(&self, bulk: bool) {
        self.engine().bulk.store(bulk, Ordering::Release);
    }
}

type Bytes = &'static [u8];

const fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(table.name())
}

impl Engine for File {
    type Snapshot = Snapshot;
    type Transaction<'t> = Tables<'t>;

    fn snapshot(&self) -> Result<Snapshot, Failure> {
        Ok(Snapshot::new(self.database.begin_read().map_err(broken)?))
    }

    fn glance<T>(&self, read: impl FnOnce(&Snapshot) -> Result<T, Failure>) -> Result<T, Failure> {
        let commit = self.commits.load(Ordering::Acquire);
        if let Some(latest) = &*self.latest.load()
            && latest.0 == commit
        {
            return read(&latest.1);
        }
        // Whatever is committed from here on has another number.
        let latest = Arc::new((commit, self.snapshot()?));
        self.latest.store(Some(Arc::clone(&latest)));
        read(&latest.1)
    }

    fn transact<T>(
        &self,
        work: impl for<'t> FnOnce(&mut Tables<'t>) -> Result<(End, T), Failure>,
    ) -> Result<T, Failure> {
        let mut transaction = self.database.begin_write().map_err(broken)?;
        transaction.set_durability(Durability::Immediate).map_err(broken)?;
        // The file tells its free pages with each commit, so that nobody has to find them by a walk
        // over all of it after a crash. (Who opens it by `open` walks all the same, at a crash or not:
        // to compare its checksums.) This implies commits in two phases: a crash between them leaves
        // the state before, checksums or not.
        transaction.set_quick_repair(!self.bulk.load(Ordering::Acquire));
        let mut tables = Tables::open(&transaction)?;
        let worked = work(&mut tables);
        drop(tables);
        match worked {
            Ok((End::Commit, answer)) => {
                transaction.commit().map_err(broken)?;
                self.commits.fetch_add(1, Ordering::AcqRel);
                // An old snapshot would keep old pages from being used again.
                self.latest.store(None);
                Ok(answer)
            }
            Ok((End::Abort, answer)) => {
                transaction.abort().map_err(broken)?;
                Ok(answer)
            }
            // What went wrong first says more than an abort that fails after it.
            Err(failure) => Err(failure),
        }
    }
}

/// A committed state. Its tables are opened when they are first read.
pub struct Snapshot {
    transaction: ReadTransaction,
    tables: [OnceLock<ReadOnlyTable<Bytes, Bytes>>; Table::ALL.len()],
}

impl Snapshot {
    fn new(transaction: ReadTransaction) -> Self {
        Self { transaction, tables: [const { OnceLock::new() }; Table::ALL.len()] }
    }

    fn table(&self, table: Table) -> Result<&ReadOnlyTable<Bytes, Bytes>, Failure> {
        let slot = &self.tables[table as usize];
        if let Some(opened) = slot.get() {
            return Ok(opened);
        }
        let opened = self.transaction.open_table(definition(table)).map_err(broken)?;
        Ok(slot.get_or_init(|| opened))
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl Read for Snapshot {
    fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, Failure> {
        get(self.table(table)?, key, read)
    }

    fn scan(
        &self,
        table: Table,
        span: Span<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), Failure> {
        scan(self.table(table)?, span, order, visit)
    }
}

/// A transaction, with all tables opened once.
pub struct Tables<'t>(Vec<::redb::Table<'t, Bytes, Bytes>>);

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, Failure> {
        let open = |table| transaction.open_table(definition(table)).map_err(broken);
        Table::ALL.into_iter().map(open).collect::<Result<_, _>>().map(Self)
    }
}

impl Read for Tables<'_> {
    fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, Failure> {
        get(&self.0[table as usize], key, read)
    }

    fn scan(
        &self,
        table: Table,
        span: Span<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), Failure> {
        scan(&self.0[table as usize], span, order, visit)
    }
}

impl Write for Tables<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.0[table as usize].insert(key, value).map_err(broken)?;
        Ok(())
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), Failure> {
        self.0[table as usize].remove(key).map_err(broken)?;
        Ok(())
    }
}

fn get<T>(
    table: &impl ReadableTable<Bytes, Bytes>,
    key: &[u8],
    read: impl FnOnce(&[u8]) -> T,
) -> Result<Option<T>, Failure> {
    Ok(table.get(key).map_err(broken)?.map(|value| read(value.value())))
}

fn scan(
    table: &impl ReadableTable<Bytes, Bytes>,
    span: Span<'_>,
    order: Order,
    visit: Visit<'_>,
) -> Result<(), Failure> {
    let mut rows = table.range::<&[u8]>(span).map_err(broken)?;
    loop {
        let row = match order {
            Order::Ascending => rows.next(),
            Order::Descending => rows.next_back(),
        };
        let Some(row) = row else { return Ok(()) };
        let (key, value) = row.map_err(broken)?;
        if visit(key.value(), value.value())?.is_break() {
            return Ok(());
        }
    }
}

/// All that redb can fail with, as what the store tells of it.
fn broken(error: impl Into<::redb::Error>) -> Failure {
    let error = error.into();
    if let ::redb::Error::Io(error) = &error
        && is_full(error)
    {
        return Failure::Full;
    }
    Failure::Broken(error.to_string())
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

#[cfg(test)]
pub(super) mod tests;
