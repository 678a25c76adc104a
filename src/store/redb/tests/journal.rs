//! A disk in memory that writes down what is done to it, so that a test can go back to any moment
//! and let the power fail there.

use ::redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex};

/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// Something that was done to the disk.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(usize, Vec<u8>),
    SetLen(usize),
    Sync,
}

/// The disk: what it began with, what it holds, and how it came to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal(Arc<Mutex<Pages>>);

#[derive(Clone, Debug, Default)]
struct Pages {
    before: Vec<u8>,
    bytes: Vec<u8>,
    steps: Vec<Step>,
}

/// Which of the writes since the last sync are on the disk when the power has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Survivors {
    /// None of them.
    None,
    /// All of them, though nobody waited for it.
    All,
    /// The last one only: a disk need not keep to an order.
    Last,
    /// All but the last one.
    AllButLast,
    /// Any sectors of any of them, by a seed: lost and torn writes.
    Torn(u64),
}

impl Journal {
    /// A disk that holds these bytes, safe and sound.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Pages { before: bytes.clone(), bytes, steps: Vec::new() })))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().bytes.is_empty()
    }

    /// How much was done so far.
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap().steps.len()
    }

    pub(super) fn steps(&self) -> Vec<Step> {
        self.0.lock().unwrap().steps.clone()
    }

    /// What the disk holds when the power failed before the step `at`. `honest` says of each sync
    /// whether it was one; others were answered and not done.
    pub(super) fn cut(
        &self,
        at: usize,
        survivors: Survivors,
        honest: impl Fn(usize) -> bool,
    ) -> Vec<u8> {
        let pages = self.0.lock().unwrap();
        let mut bytes = pages.before.clone();
        let is_sync = |at: &usize| matches!(pages.steps[*at], Step::Sync) && honest(*at);
        let safe = (0..at).rfind(is_sync).map_or(0, |sync| sync + 1);
        for step in &pages.steps[..safe] {
            apply(&mut bytes, step, |_sector| true);
        }
        let unsafe_steps: Vec<&Step> =
            pages.steps[safe..at].iter().filter(|step| !matches!(step, Step::Sync)).collect();
        let last = unsafe_steps.len().saturating_sub(1);
        let mut random = Random::of(survivors);
        for (number, step) in unsafe_steps.into_iter().enumerate() {
            match survivors {
                Survivors::None => {}
                Survivors::All => apply(&mut bytes, step, |_sector| true),
                Survivors::Last => apply(&mut bytes, step, |_sector| number == last),
                Survivors::AllButLast => apply(&mut bytes, step, |_sector| number != last),
                Survivors::Torn(_) => apply(&mut bytes, step, |_sector| random.coin()),
            }
        }
        bytes
    }
}

fn apply(bytes: &mut Vec<u8>, step: &Step, mut survives: impl FnMut(usize) -> bool) {
    match step {
        Step::Write(offset, data) => {
            for (number, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                let start = offset + number * SECTOR_BYTES;
                if survives(number) {
                    let end = start + sector.len();
                    if bytes.len() < end {
                        bytes.resize(end, 0);
                    }
                    bytes[start..end].copy_from_slice(sector);
                }
            }
        }
        Step::SetLen(length) => {
            if survives(0) {
                bytes.resize(*length, 0);
            }
        }
        Step::Sync => {}
    }
}

/// Always the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn of(survivors: Survivors) -> Self {
        match survivors {
            Survivors::Torn(seed) => Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            Survivors::None | Survivors::All | Survivors::Last | Survivors::AllButLast => Self(1),
        }
    }

    fn coin(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 32 & 1 == 0
    }
}

impl StorageBackend for Journal {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let pages = self.0.lock().unwrap();
        let bytes = pages.bytes.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).unwrap();
        let mut pages = self.0.lock().unwrap();
        pages.bytes.resize(len, 0);
        pages.steps.push(Step::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.lock().unwrap().steps.push(Step::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let mut pages = self.0.lock().unwrap();
        pages.bytes[start..start + data.len()].copy_from_slice(data);
        pages.steps.push(Step::Write(start, data.to_vec()));
        Ok(())
    }
}
