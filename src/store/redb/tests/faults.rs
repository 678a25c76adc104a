//! K4: the disk fails at every single operation, once, and works again right after. The store does
//! not try again: it takes nothing more until it is opened anew, and what was being taken away stays
//! barred.

use super::*;
use crate::access::SecretFacts;
use crate::notice::Kind;
use crate::token::Standing;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A disk that fails once, at the operation that it is told. A sync that fails loses what was
/// written since the last one, as kernels do.
#[derive(Clone, Debug, Default)]
struct Faulty(Arc<FaultyInner>);

#[derive(Debug, Default)]
struct FaultyInner {
    bytes: Mutex<Vec<u8>>,
    synced: Mutex<Vec<u8>>,
    count: AtomicU64,
    fails_at: AtomicU64,
    has_failed: AtomicBool,
}

impl Faulty {
    /// Holds these bytes and fails at the operation of this number, from 1 on.
    fn of(bytes: &[u8], fails_at: u64) -> Self {
        let inner = FaultyInner {
            bytes: Mutex::new(bytes.to_vec()),
            synced: Mutex::new(bytes.to_vec()),
            ..FaultyInner::default()
        };
        inner.fails_at.store(fails_at, Ordering::SeqCst);
        Self(Arc::new(inner))
    }

    fn has_failed(&self) -> bool {
        self.0.has_failed.load(Ordering::SeqCst)
    }

    fn step(&self) -> io::Result<()> {
        let number = self.0.count.fetch_add(1, Ordering::SeqCst) + 1;
        if number == self.0.fails_at.load(Ordering::SeqCst) {
            self.0.has_failed.store(true, Ordering::SeqCst);
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }

    fn open(&self) -> Result<Arc<RedbStore>, String> {
        let mut builder = Builder::new();
        // Hardly any cache, so that a commit reads too.
        builder.set_cache_size(16 << 10).set_check_integrity_on_open(true);
        let database = builder.create_with_backend(self.clone());
        let database = database.map_err(|error| error.to_string())?;
        Store::start(File::new(database), test_key()).map_err(|failure| format!("{failure:?}"))
    }

    /// What a machine finds that starts after the failure.
    fn left(&self) -> Vec<u8> {
        self.0.synced.lock().unwrap().clone()
    }
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.step()?;
        Ok(self.0.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.step()?;
        let start = usize::try_from(offset).unwrap();
        let bytes = self.0.bytes.lock().unwrap();
        let bytes = bytes.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step()?;
        self.0.bytes.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut bytes = self.0.bytes.lock().unwrap();
        let mut synced = self.0.synced.lock().unwrap();
        let outcome = self.step();
        if outcome.is_ok() {
            synced.clone_from(&bytes);
        } else {
            // The next sync would be answered with success, and would sync nothing.
            bytes.clone_from(&synced);
        }
        outcome
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step()?;
        let start = usize::try_from(offset).unwrap();
        self.0.bytes.lock().unwrap()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// A store with some tokens, as bytes.
fn made() -> Vec<u8> {
    let disk = Disk::default();
    let store: Arc<dyn Both> = disk.store();
    crate::store::conformance::fixture::furnish(&store);
    put(&store, (1..=600).map(|number| Write::Token(token(number))));
    drop(store);
    let mut bytes = vec![0; usize::try_from(disk.0.bytes.len().unwrap()).unwrap()];
    disk.0.bytes.read(0, &mut bytes).unwrap();
    bytes
}

/// Revokes a token, gives another one another secret, and owes a mail.
fn off(number: u64) -> Change {
    let both = [revoked(token(number)), rotated(number + 200)].map(Write::Token);
    Change {
        events: vec![said(ACME, "off")],
        notices: vec![owed(Kind::Revoked, number, 2, [ANN])],
        ..restrictive(writes(both))
    }
}

#[test]
fn k4_a_disk_that_fails_once_is_not_trusted_again() {
    let whole = made();
    let (mut at_opening, mut at_commits, mut fails_at) = (0, 0, 0);
    loop {
        fails_at += 1;
        let disk = Faulty::of(&whole, fails_at);
        let store: Arc<dyn Both> = match disk.open() {
            Ok(store) => store,
            Err(_told) => {
                assert!(disk.has_failed());
                at_opening += 1;
                continue;
            }
        };
        let recorder = Recorder::following(&store);
        let mut acknowledged = 0;
        let mut failed = None;
        for number in 1..=4 {
            match commit(&store, off(number)) {
                Ok(_) => {
                    assert!(failed.is_none(), "{fails_at}: a change was taken after a failure");
                    acknowledged = number;
                }
                Err(CommitError::Failed(_)) if failed.is_none() => {
                    failed = Some(number);
                    assert!(!store.is_writable(), "{fails_at}");
                }
                Err(CommitError::Closed) if failed.is_some() => {}
                Err(error) => panic!("{fails_at}, change {number}: {error:?}"),
            }
        }
        if let Some(failed) = failed {
            at_commits += 1;
            assert!(disk.has_failed(), "{fails_at}");
            assert_eq!(acknowledged + 1, failed);
            let usage = store.record_usage(vec![(token_id(9), used(1, 1)).into()]).wait();
            assert_eq!(usage, Err(CommitError::Closed), "{fails_at}");
            // Whatever was barred and not applied stays barred; nothing is applied after it.
            let heard = recorder.heard();
            let applied = heard.iter().filter(|heard| matches!(heard, Heard::Apply(..))).count();
            assert_eq!(applied as u64, acknowledged, "{fails_at}");
            let last = heard.last();
            let barred = matches!(last, Some(Heard::Bar(_)));
            let untouched = heard.len() as u64 == 2 * acknowledged;
            assert!(barred || untouched, "{fails_at}: {last:?}");
        }
        drop(store);
        reopened(&disk.left(), acknowledged, failed, fails_at);
        if !disk.has_failed() {
            break;
        }
    }
    assert!(at_opening > 3 && at_commits > 30, "{at_opening}, {at_commits}, {fails_at}");
}

/// After the failure the store opens anew, holds all that was acknowledged, and the change that
/// failed as a whole or not at all.
fn reopened(bytes: &[u8], acknowledged: u64, failed: Option<u64>, fails_at: u64) {
    let disk = Faulty::of(bytes, 0);
    let opened = disk.open();
    let store: Arc<dyn Both> = opened.unwrap_or_else(|error| panic!("{fails_at}: {error}"));
    let events = store.events(ACME, None, usize::MAX).unwrap().len() as u64;
    assert!(events == acknowledged || failed == Some(events), "{fails_at}: {events} changes");
    for number in 1..=4 {
        let (_, found) = store.lookup(&digest(number)).unwrap();
        let standing = found.map(|found| found.token.standing);
        let expected = if number <= events { Standing::Revoked } else { Standing::Activated };
        assert_eq!(standing, Some(expected), "{fails_at}, token {number}");
        let secret = |digest| store.lookup(&digest).unwrap().1.map(|found| found.secret);
        let (old, new) = (secret(digest(number + 200)), secret(next_digest(number + 200)));
        let is_rotated = matches!(old, Some(SecretFacts::Former(_))) && new.is_some();
        let is_as_it_was = old == Some(SecretFacts::Present) && new.is_none();
        assert!(if number <= events { is_rotated } else { is_as_it_was }, "{fails_at}: {old:?}");
    }
    let mails: Vec<_> = (1..=events).map(token_id).collect();
    assert_eq!(owed_mails(&store), mails, "{fails_at}");
    commit(&store, off(100)).unwrap();
}
