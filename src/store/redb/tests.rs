//! What is special about a file.

use super::open::furnish;
use super::{File, KeySource, OpenError, Options, RedbStore, open};
use crate::audit::chain::Key;
use crate::change::{Change, Write};
use crate::store::conformance::fixture::*;
use crate::store::conformance::{Both, FOLDING};
use crate::store::engine::{End, Engine};
use crate::store::record::WriteRecords;
use crate::store::room::Store;
use crate::store::{CommitError, Ledger};
use ::redb::backends::InMemoryBackend;
use ::redb::{Builder, StorageBackend};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

mod copies;
mod cuts;
mod faults;
mod journal;
mod power;
mod repair;

/// A disk in memory that can be made to fail, and outlives the stores upon it.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Disk(Arc<DiskInner>);

#[derive(Debug, Default)]
struct DiskInner {
    bytes: InMemoryBackend,
    fails: Mutex<Option<io::ErrorKind>>,
}

impl Disk {
    pub(in crate::store) fn store(&self) -> Arc<RedbStore> {
        *self.0.fails.lock().unwrap() = None;
        let is_new = self.0.bytes.len().unwrap() == 0;
        let database =
            Builder::new().set_cache_size(1 << 20).create_with_backend(self.clone()).unwrap();
        let file = File::new(database);
        if is_new {
            furnish(&file).unwrap();
        }
        Store::start_folding(file, test_key(), FOLDING).unwrap()
    }

    pub(in crate::store) fn fail(&self, error: &CommitError) {
        let is_full = *error == CommitError::Full;
        let kind = if is_full { io::ErrorKind::StorageFull } else { io::ErrorKind::BrokenPipe };
        *self.0.fails.lock().unwrap() = Some(kind);
    }

    fn check(&self) -> io::Result<()> {
        self.0.fails.lock().unwrap().map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.0.bytes.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.bytes.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.0.bytes.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.0.bytes.write(offset, data)
    }
}

fn at(path: &Path) -> Options {
    Options::new(path.to_owned(), 4 << 20)
}

/// The key of a store whose bytes are no file.
pub(super) fn test_key() -> Key {
    Key::of(&"k".repeat(32)).unwrap()
}

/// Everything a store tells, as text.
fn told(store: &Arc<dyn Both>) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        store.organizations(),
        store.users(ACME),
        tokens(store, ACME),
        store.events(ACME, None, 99),
        store.creation(&[1; 32]),
        store.roles().names(),
        store.lookup(&digest(1)),
    )
}

#[test]
fn reopening_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let store: Arc<dyn Both> = open(at(&path)).unwrap();
    furnish_all(&store);
    let before = told(&store);
    drop(store);
    let store: Arc<dyn Both> = open(at(&path)).unwrap();
    assert_eq!(told(&store), before);
    let next = commit(&store, Change::default()).unwrap();
    assert_eq!(next.revision.0, 4, "revisions go on");
    put(&store, [Write::Roles(vec!["later".parse().unwrap()])]);
    assert_eq!(store.roles().names().len(), 5);
    let others: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(others.len(), 2, "store and key, and nothing is left behind: {others:?}");
}

fn furnish_all(store: &Arc<dyn Both>) {
    crate::store::conformance::fixture::furnish(store);
    put(store, [Write::Roles(vec!["auditor".parse().unwrap()]), Write::Token(token(1))]);
    let change = Change {
        events: vec![said(ACME, "x")],
        creation: Some(creation(1, 0)),
        ..writes([Write::Usage(token_id(1), used(3, 4))])
    };
    commit(store, change).unwrap();
}

#[test]
fn dropping_writes_what_is_queued() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let store = open(at(&path)).unwrap();
    for number in 0..500 {
        drop(store.commit(writes([Write::Token(token(number))])));
    }
    drop(store);
    let store: Arc<dyn Both> = open(at(&path)).unwrap();
    assert_eq!(tokens(&store, ACME).len(), 500);
}

#[test]
fn a_failed_commit_is_not_there_after_reopening() {
    for error in [CommitError::Full, CommitError::Failed(String::new())] {
        let disk = Disk::default();
        let store: Arc<dyn Both> = disk.store();
        furnish_all(&store);
        let before = told(&store);
        disk.fail(&error);
        commit(&store, writes([Write::Token(revoked(token(1)))])).unwrap_err();
        drop(store);
        let store: Arc<dyn Both> = disk.store();
        assert_eq!(told(&store), before);
        put(&store, [Write::Token(token(2))]);
    }
}

#[test]
fn a_second_opening_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let _store = open(at(&path)).unwrap();
    let error = open(at(&path)).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("store.redb") && text.contains("stop that one"), "{text}");
}

#[test]
fn another_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    drop(open(at(&path)).unwrap());
    let file = File::new(::redb::Database::open(&path).unwrap());
    file.transact(|transaction| Ok((End::Commit, transaction.put_format(2)?))).unwrap();
    drop(file);
    let error = open(at(&path)).unwrap_err();
    assert!(matches!(error, OpenError::Format { found: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("store format 2"), "{error}");
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let foreign = vec![b'x'; 100_000];
    for content in [&b""[..], b"short", &foreign] {
        std::fs::write(&path, content).unwrap();
        let error = open(at(&path)).unwrap_err();
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    std::fs::remove_file(&path).unwrap();
    drop(::redb::Database::create(&path).unwrap());
    let error = open(at(&path)).unwrap_err();
    assert!(matches!(error, OpenError::NotAStore { .. }), "somebody else's redb: {error:?}");
}

#[test]
fn a_damaged_file_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let store: Arc<dyn Both> = open(at(&path)).unwrap();
    crate::store::conformance::fixture::furnish(&store);
    put(&store, (0..2_000).map(|number| Write::Token(token(number))));
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    let truncated = [20, 4_096, 5_000, whole.len() / 2, whole.len() - 1];
    for length in truncated {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = open(at(&path)).unwrap_err();
        assert!(
            matches!(error, OpenError::Damaged { .. } | OpenError::NotAStore { .. }),
            "{length}: {error:?}"
        );
        refused += usize::from(error.to_string().contains("restore a backup"));
    }
    assert!(refused >= 3, "{refused}");
    // A page of zeros anywhere is noticed, or was not in use.
    let mut noticed = 0;
    for page in 1..whole.len() / 4_096 {
        let mut holed = whole.clone();
        holed[page * 4_096..(page + 1) * 4_096].fill(0);
        std::fs::write(&path, &holed).unwrap();
        match open(at(&path)) {
            Ok(store) => {
                let store: Arc<dyn Both> = store;
                assert_eq!(tokens(&store, ACME).len(), 2_000);
            }
            Err(error) => {
                assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
                noticed += 1;
            }
        }
    }
    assert!(noticed > 50, "{noticed}");
    // So is a changed bit of the header, where the page sizes and the roots are.
    for byte in (0..512).step_by(7) {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1 << (byte % 8);
        std::fs::write(&path, &flipped).unwrap();
        if let Ok(store) = open(at(&path)) {
            let store: Arc<dyn Both> = store;
            assert_eq!(tokens(&store, ACME).len(), 2_000, "{byte}");
        }
    }
}

/// The file of a store with a few events, and the key beside it.
fn audited(directory: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let path = directory.join("store.redb");
    let store: Arc<dyn Both> = open(at(&path)).unwrap();
    furnish_all(&store);
    for name in ["b", "c", "d"] {
        store.tell(vec![said(ACME, name)]).wait().unwrap();
    }
    let key = super::key_path(&path);
    (path, key)
}

fn proved(store: &RedbStore) -> (u64, u64) {
    let verdict = store.prove(ACME, None).unwrap();
    assert_eq!(verdict.faults, []);
    (verdict.proved, verdict.unprovable)
}

#[test]
fn a_key_is_made_once_and_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let (path, key) = audited(directory.path());
    let text = std::fs::read_to_string(&key).unwrap();
    assert_eq!(text.trim_end().len(), 64, "{text}");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(proved(&open(at(&path)).unwrap()), (4, 0));
    assert_eq!(std::fs::read_to_string(&key).unwrap(), text);
    // The same key from elsewhere is the same key.
    let key_of = |text: &str| KeySource::Configured(Key::of(text).unwrap());
    let moved = Options { audit_key: key_of(text.trim()), ..at(&path) };
    std::fs::remove_file(&key).unwrap();
    assert_eq!(proved(&open(moved).unwrap()), (4, 0));
    assert!(!key.exists(), "a key that is configured is kept nowhere");
    let file = std::fs::read(&path).unwrap();
    let random = &text.as_bytes()[..64];
    assert!(!file.windows(64).any(|bytes| bytes == random), "the key is not in the store");
}

#[test]
fn another_key_is_refused_until_the_trails_begin_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _) = audited(directory.path());
    let other = || Options { audit_key: KeySource::Configured(test_key()), ..at(&path) };
    let error = open(other()).unwrap_err();
    assert!(matches!(error, OpenError::AnotherKey { .. }), "{error:?}");
    assert!(error.to_string().contains("audit rekey"), "{error}");
    assert_eq!(proved(&open(at(&path)).unwrap()), (4, 0));

    super::rekey(other()).unwrap();
    let store = open(other()).unwrap();
    assert_eq!(proved(&store), (0, 4));
    store.tell(vec![said(ACME, "e")]).wait().unwrap();
    assert_eq!(proved(&store), (1, 4));
    drop(store);
    assert!(matches!(open(at(&path)).unwrap_err(), OpenError::AnotherKey { .. }));
}

#[test]
fn a_key_that_is_gone_is_made_anew_and_what_was_before_is_not_proved() {
    let directory = tempfile::tempdir().unwrap();
    let (path, key) = audited(directory.path());
    let head = open(at(&path)).unwrap().trail(ACME).unwrap().head;
    std::fs::remove_file(&key).unwrap();
    let store = open(at(&path)).unwrap();
    assert_eq!(proved(&store), (0, 4));
    let ends = store.trail(ACME).unwrap();
    assert_eq!((ends.head, ends.checkpoint.map(|point| point.through)), (head, head));
    store.tell(vec![said(ACME, "e")]).wait().unwrap();
    drop(store);
    assert_eq!(proved(&open(at(&path)).unwrap()), (1, 4));
}

#[test]
fn what_is_no_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (path, key) = audited(directory.path());
    for text in ["", "short"] {
        std::fs::write(&key, text).unwrap();
        let error = open(at(&path)).unwrap_err();
        assert!(matches!(error, OpenError::Key { .. }), "{error:?}");
        assert!(error.to_string().contains("store.redb.audit-key"), "{error}");
    }
    // Half a key that a crash left behind is no obstacle.
    std::fs::remove_file(&key).unwrap();
    std::fs::write(directory.path().join("store.redb.audit-key.new"), "half").unwrap();
    assert_eq!(proved(&open(at(&path)).unwrap()), (0, 4));
}

#[test]
fn a_missing_directory_is_named() {
    let error = open(at(Path::new("/nonexistent/store.redb"))).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/store.redb"), "{error}");
}

#[test]
fn a_crash_while_it_was_made_leaves_no_obstacle() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    // As redb leaves a file behind whose making was cut short: long enough, but without a header.
    std::fs::write(directory.path().join("store.redb.new"), vec![0; 73_728]).unwrap();
    drop(open(at(&path)).unwrap());
    assert!(path.exists());
}

#[cfg(unix)]
#[test]
fn only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    drop(open(at(&path)).unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
