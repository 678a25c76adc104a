//! Copies of a store that works.

use super::*;
use crate::change::{RecordKey, Require};
use crate::org::Revision;
use crate::store::{Archive, Facts};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const COPIES: usize = 12;

/// One token and one event, which belong together.
fn numbered(number: u64) -> Change {
    Change {
        requires: vec![Require::Absent(RecordKey::Token(token_id(number)))],
        events: vec![said(ACME, "made")],
        ..writes([Write::Token(token(number))])
    }
}

#[test]
fn a_copy_is_one_commit_while_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let file = open(at(&directory.path().join("store.redb"))).unwrap();
    let store: Arc<dyn Both> = Arc::clone(&file) as _;
    crate::store::conformance::fixture::furnish(&store);
    let (acknowledged, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for number in 1.. {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                commit(&store, numbered(number)).unwrap();
                acknowledged.store(number, Ordering::SeqCst);
            }
        });
        let mut last = Revision(0);
        for nth in 0..COPIES {
            let path = directory.path().join(format!("copy-{nth}.redb"));
            let mut new = std::fs::OpenOptions::new();
            let target = new.read(true).write(true).create_new(true).open(&path).unwrap();
            let promised = acknowledged.load(Ordering::SeqCst);
            let mut told = 0;
            let copied = file.copy(&target, &mut |rows| told = rows).unwrap();
            assert_eq!(told, copied.rows);
            assert!(copied.revision >= last, "{copied:?}");
            last = copied.revision;
            let copy = open(at(&path)).unwrap();
            assert_eq!(copy.revision(), Ok(copied.revision));
            let held = tokens(&(Arc::clone(&copy) as Arc<dyn Both>), ACME).len() as u64;
            assert!(held >= promised, "{promised} were acknowledged before, {held} are in it");
            assert_eq!(copy.events(ACME, None, usize::MAX).unwrap().len() as u64, held);
            assert!(held == 0 || copy.lookup(&digest(held)).unwrap().1.is_some());
            assert_eq!(copy.lookup(&digest(held + 1)).unwrap().1, None);
            // It is a store as any other.
            copy.commit(numbered(held + 1)).wait().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(acknowledged.into_inner() > COPIES as u64, "nothing went on meanwhile");
}

#[test]
fn a_copy_that_cannot_be_written_says_so() {
    let disk = Disk::default();
    let store = disk.store();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy.redb");
    std::fs::write(&path, []).unwrap();
    // Not opened for writing.
    let target = std::fs::File::open(&path).unwrap();
    let error = store.copy(&target, &mut |_rows| {}).unwrap_err();
    assert!(matches!(error, crate::store::CopyError::Write(_)), "{error:?}");
}
