//! What a crash leaves to be done for whoever opens the file next.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a file that was cut off from its process at this moment has to be walked over before it can
/// be written to. `open` walks over it in any case, to compare its checksums.
fn needs_repair(path: &Path) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let left = directory.path().join("left.redb");
    std::fs::copy(path, &left).unwrap();
    let repaired = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&repaired);
    let mut builder = Builder::new();
    builder.set_repair_callback(move |_session| seen.store(true, Ordering::SeqCst));
    builder.open(&left).unwrap();
    repaired.load(Ordering::SeqCst)
}

#[test]
fn a_commit_leaves_a_file_that_needs_no_repair_unless_it_is_part_of_a_large_load() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let file = open(at(&path)).unwrap();
    let store: Arc<dyn Both> = Arc::clone(&file) as _;
    furnish_all(&store);
    assert!(!needs_repair(&path));
    commit(&store, Change::default()).unwrap();
    assert!(!needs_repair(&path));
    file.in_bulk(true);
    commit(&store, Change::default()).unwrap();
    assert!(needs_repair(&path), "this test would not notice one that is needed");
    file.in_bulk(false);
    commit(&store, Change::default()).unwrap();
    assert!(!needs_repair(&path), "the last commit of a load tells for all of it");
}
