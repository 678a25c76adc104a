//! The power goes at random moments: of what was written since the last sync, any part may be on
//! the disk and any part may not. What was acknowledged is there all the same.

use super::*;
use crate::change::{RecordKey, Require};
use crate::store::Facts;
use crate::store::journal::Journal;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const CUTS: usize = 40;
/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A disk with a cache that forgets.
#[derive(Clone, Debug, Default)]
struct Forgetful(Arc<Mutex<Sectors>>);

#[derive(Clone, Debug, Default)]
struct Sectors {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Where and what was written since the last sync.
    unsynced: Vec<(usize, Vec<u8>)>,
    /// What was durable after each sync, where somebody wants to know.
    history: Option<Vec<Vec<u8>>>,
}

impl Forgetful {
    /// What another disk holds if the power goes now.
    fn cut(&self, random: &mut impl FnMut() -> u64) -> Self {
        let Sectors { mut durable, unsynced, .. } = self.0.lock().unwrap().clone();
        let survival = random() % 5;
        for (offset, bytes) in unsynced {
            for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                if random() % 4 < survival {
                    let start = offset + number * SECTOR_BYTES;
                    durable[start..start + sector.len()].copy_from_slice(sector);
                }
            }
        }
        Self::holding(durable)
    }

    /// A disk that holds these bytes, all of them durably.
    fn holding(durable: Vec<u8>) -> Self {
        let sectors = Sectors { cached: durable.clone(), durable, ..Sectors::default() };
        Self(Arc::new(Mutex::new(sectors)))
    }

    fn store(&self) -> Arc<RedbStore> {
        let is_new = self.0.lock().unwrap().cached.is_empty();
        let mut builder = Builder::new();
        builder.set_cache_size(1 << 20).set_check_integrity_on_open(true);
        let file = File::new(builder.create_with_backend(self.clone()).unwrap());
        if is_new {
            furnish(&file).unwrap();
        }
        Store::start_folding(file, test_key(), FOLDING).unwrap()
    }
}

impl StorageBackend for Forgetful {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let sectors = self.0.lock().unwrap();
        let bytes = sectors.cached.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).unwrap();
        let mut sectors = self.0.lock().unwrap();
        sectors.unsynced.retain(|(offset, bytes)| offset + bytes.len() <= len);
        sectors.cached.resize(len, 0);
        sectors.durable.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut sectors = self.0.lock().unwrap();
        let Sectors { durable, unsynced, history, .. } = &mut *sectors;
        for (offset, bytes) in unsynced.drain(..) {
            durable[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        if let Some(history) = history {
            history.push(durable.clone());
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let mut sectors = self.0.lock().unwrap();
        sectors.cached[start..start + data.len()].copy_from_slice(data);
        sectors.unsynced.push((start, data.to_vec()));
        Ok(())
    }
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let disk = Forgetful::default();
    let store: Arc<dyn Both> = disk.store();
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
        let mut seed = 7_u64;
        let mut random = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for _ in 0..CUTS {
            let wait = std::time::Duration::from_micros(random() % 20_000);
            std::thread::sleep(wait);
            // Read before the cut: what is acknowledged later may or may not be there.
            let promised = acknowledged.load(Ordering::SeqCst);
            let survivor = disk.cut(&mut random).store();
            let kept = tokens(&(Arc::clone(&survivor) as Arc<dyn Both>), ACME).len() as u64;
            assert!(kept >= promised, "{promised} acknowledged, {kept} kept");
            assert_eq!(survivor.events(ACME, None, usize::MAX).unwrap().len() as u64, kept);
            assert_eq!(survivor.lookup(&digest(kept)).unwrap().1.is_some(), kept > 0);
            survivor.commit(numbered(kept + 1)).wait().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(acknowledged.into_inner() > CUTS as u64);
}

/// Uses are recorded and folded, and after each sync of the disk the power might have gone: every use
/// that was acknowledged by then is there, and none is there twice.
#[test]
fn a_crash_at_any_point_of_a_sweep_neither_loses_a_use_nor_counts_it_twice() {
    const TOKENS: u64 = 60;
    const ROUNDS: u64 = 9;
    let disk = Forgetful::default();
    let store = disk.store();
    let both: Arc<dyn Both> = store.clone();
    crate::store::conformance::fixture::furnish(&both);
    put(&both, (0..TOKENS).map(|number| Write::Token(token(number))));
    disk.0.lock().unwrap().history = Some(Vec::new());
    // What was acknowledged after so many syncs.
    let mut acknowledged = vec![(0, 0)];
    for round in 1..=ROUNDS {
        // Every token, and each round another one twice.
        let mut uses: Vec<_> = (0..TOKENS).map(|number| (token_id(number), used(1, 1))).collect();
        uses.push((token_id(round), used(1, 1)));
        both.record_usage(uses.into_iter().map(Into::into).collect()).wait().unwrap();
        let syncs = disk.0.lock().unwrap().history.as_ref().unwrap().len();
        acknowledged.push((syncs, round));
    }
    // The sweep of the last round has its end before the store has.
    let begun = std::time::Instant::now();
    while store.engine().snapshot().unwrap().uses().unwrap() >= FOLDING.uses {
        assert!(begun.elapsed().as_secs() < 60, "the sweep does not end");
        std::thread::yield_now();
    }
    store.close();
    let history = disk.0.lock().unwrap().history.take().unwrap();
    assert!(history.len() > 4 * acknowledged.len(), "no sweeps: {} syncs", history.len());
    let mut journals = std::collections::BTreeSet::new();
    for (syncs, durable) in (1..).zip(history) {
        let survivor = Forgetful::holding(durable).store();
        let promised = acknowledged.iter().filter(|(at, _)| *at <= syncs).map(|(_, round)| *round);
        let promised = promised.max().unwrap();
        journals.insert(survivor.engine().snapshot().unwrap().uses().unwrap());
        let survivor: Arc<dyn Both> = survivor;
        let found = tokens(&survivor, ACME);
        // The round that was under way is there as a whole or not at all.
        let rounds = found[0].1.use_count;
        assert!((promised..=promised + 1).contains(&rounds), "{rounds} of {promised}");
        for (number, (_, usage)) in (0..).zip(found) {
            let twice = u64::from((1..=rounds).contains(&number));
            assert_eq!(usage.use_count, rounds + twice, "token {number} after {syncs} syncs");
        }
    }
    assert!(journals.len() > 3, "the syncs lie within sweeps: {journals:?}");
}

fn numbered(number: u64) -> Change {
    Change {
        requires: vec![Require::Absent(RecordKey::Token(token_id(number)))],
        events: vec![said(ACME, "made")],
        ..writes([Write::Token(token(number))])
    }
}
