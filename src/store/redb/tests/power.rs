//! The power goes at random moments: of what was written since the last sync, any part may be on
//! the disk and any part may not. What was acknowledged is there all the same.

use super::*;
use crate::change::{RecordKey, Require};
use crate::store::Facts;
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
        let cached = durable.clone();
        Self(Arc::new(Mutex::new(Sectors { cached, durable, unsynced: Vec::new() })))
    }

    fn store(&self) -> Arc<RedbStore> {
        let is_new = self.0.lock().unwrap().cached.is_empty();
        let mut builder = Builder::new();
        builder.set_cache_size(1 << 20).set_check_integrity_on_open(true);
        let file = File::new(builder.create_with_backend(self.clone()).unwrap());
        if is_new {
            furnish(&file).unwrap();
        }
        Store::start(file, test_key()).unwrap()
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
        let Sectors { durable, unsynced, .. } = &mut *sectors;
        for (offset, bytes) in unsynced.drain(..) {
            durable[offset..offset + bytes.len()].copy_from_slice(&bytes);
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

fn numbered(number: u64) -> Change {
    Change {
        requires: vec![Require::Absent(RecordKey::Token(token_id(number)))],
        events: vec![said(ACME, "made")],
        ..writes([Write::Token(token(number))])
    }
}
