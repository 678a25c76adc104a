//! Opening the file: making it when it is missing, refusing it when it is not whole, not ours, or
//! somebody else's.

use super::{File, RedbStore, Snapshot, broken, definition};
use crate::role::RoleTable;
use crate::store::engine::{End, Engine, Failure, Table};
use crate::store::record::{Records, WriteRecords};
use crate::store::room::Store;
use ::redb::backends::FileBackend;
use ::redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableError};
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The format of the tables as a whole. A store of another format is refused.
pub(super) const FORMAT: u64 = 1;
/// Nobody but the owner of the process reads the store: it holds addresses and digests.
const FILE_MODE: u32 = 0o600;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file; made when it is missing. Its directory must be there.
    pub path: PathBuf,
    /// Memory for pages of the file, in bytes; 64 MiB suit a million tokens.
    pub cache_bytes: usize,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody has it open.
    #[error("{path} is open in another process: stop that one first, or name another store")]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{path} is not a Bearward store: name another file, or move this one away")]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The file is a store of another version of Bearward.
    #[error(
        "{path} has store format {found}, and this Bearward reads format {FORMAT}: \
         run the version that wrote it"
    )]
    Format {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The file is damaged.
    #[error(
        "{path} is damaged ({why}) and was left as it is: keep a copy of it and restore a backup \
         (`bearward restore`)"
    )]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system refused.
    #[error("{path} cannot be opened: {error}")]
    Io {
        /// The store, or the file that was to become it.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Opens a store, or makes it where there is none.
pub fn open(options: Options) -> Result<Arc<RedbStore>, OpenError> {
    let Options { path, cache_bytes } = options;
    let file = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(&path, cache_bytes)?,
        Err(error) => return Err(OpenError::Io { path, error }),
        Ok(_) => open_existing(&path, cache_bytes)?,
    };
    Store::start(file).map_err(|failure| damaged(&path, failure))
}

fn open_existing(path: &Path, cache_bytes: usize) -> Result<File, OpenError> {
    let database = builder(cache_bytes).open(path).map_err(|error| refused(path, error))?;
    let format = match format(&database) {
        Ok(Some(found)) => found,
        Ok(None) => return Err(OpenError::NotAStore { path: path.to_owned() }),
        Err(failure) => return Err(damaged(path, failure)),
    };
    if format == FORMAT {
        Ok(File::new(database))
    } else {
        Err(OpenError::Format { path: path.to_owned(), found: format })
    }
}

/// Makes a store under another name and gives it its own once it is whole, so that a crash
/// meanwhile leaves no half-made store behind that nobody can open.
fn create(path: &Path, cache_bytes: usize) -> Result<File, OpenError> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    let io_error = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::Io { path, error }
    };

    let database = match begin(&unfinished, cache_bytes) {
        // Left behind by a crash before it was anything.
        Err(OpenError::NotAStore { .. } | OpenError::Damaged { .. }) => {
            fs::remove_file(&unfinished).map_err(io_error(&unfinished))?;
            begin(&unfinished, cache_bytes)?
        }
        begun => begun?,
    };
    // From here on the lock on the unfinished file is ours. Whoever held it before us may have
    // finished in the meantime: then the store is there, and ours is not wanted.
    if path.exists() {
        drop(database);
        fs::remove_file(&unfinished).map_err(io_error(&unfinished))?;
        return open_existing(path, cache_bytes);
    }
    let file = File::new(database);
    furnish(&file).map_err(|failure| damaged(&unfinished, failure))?;
    fs::rename(&unfinished, path).map_err(io_error(path))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    // The new name is in the directory, which must be durable too.
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io_error(directory))?;
    Ok(file)
}

/// An empty database, or what there is of an unfinished one.
fn begin(path: &Path, cache_bytes: usize) -> Result<Database, OpenError> {
    let handle = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
        .map_err(|error| OpenError::Io { path: path.to_owned(), error })?;
    FileBackend::new(handle)
        .and_then(|backend| builder(cache_bytes).create_with_backend(backend))
        .map_err(|error| refused(path, error))
}

/// Makes an empty database a store.
pub(super) fn furnish(file: &File) -> Result<(), Failure> {
    file.transact(|transaction| {
        transaction.put_format(FORMAT)?;
        for (number, name) in RoleTable::new().names().iter().enumerate() {
            transaction.put_role(number, name)?;
        }
        Ok((End::Commit, ()))
    })
}

fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    // Reads the whole file and compares all checksums: half a second for a million tokens (550 MB,
    // from the page cache), for which a damaged file is refused here instead of panicking or
    // telling nonsense later. Without it opening takes a quarter of a millisecond.
    builder.set_check_integrity_on_open(true);
    builder
}

/// The format of a database; `None` where it has none, so is not ours.
fn format(database: &Database) -> Result<Option<u64>, Failure> {
    let transaction = database.begin_read().map_err(broken)?;
    match transaction.open_table(definition(Table::Meta)) {
        Ok(_) => Snapshot::new(transaction).format(),
        Err(TableError::Storage(error)) => Err(broken(error)),
        Err(_not_ours) => Ok(None),
    }
}

fn refused(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    if matches!(error, DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) {
        return OpenError::InUse { path };
    }
    let DatabaseError::Storage(StorageError::Io(error)) = error else {
        return OpenError::Damaged { path, why: error.to_string() };
    };
    if error.kind() == io::ErrorKind::InvalidData {
        // redb's answer to a file that does not begin as one of its own, or is empty.
        OpenError::NotAStore { path }
    } else if error.kind() == io::ErrorKind::UnexpectedEof {
        OpenError::Damaged { path, why: "it ends before its time".to_owned() }
    } else {
        OpenError::Io { path, error }
    }
}

fn damaged(path: &Path, failure: Failure) -> OpenError {
    let path = path.to_owned();
    match failure {
        Failure::Full => OpenError::Io { path, error: io::ErrorKind::StorageFull.into() },
        Failure::Broken(why) => OpenError::Damaged { path, why },
    }
}
