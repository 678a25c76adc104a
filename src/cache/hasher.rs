//! How the cache's table hashes digests.

use std::hash::{BuildHasher, Hasher};

/// Digests are uniformly distributed already; a random key keeps their order in the table from
/// being chosen by whoever may choose imported digests.
#[derive(Clone, Debug)]
pub(super) struct DigestState {
    key: u64,
}

impl DigestState {
    pub(super) const fn new(key: u64) -> Self {
        Self { key }
    }
}

#[derive(Debug)]
pub(super) struct DigestHasher {
    state: u64,
}

impl BuildHasher for DigestState {
    type Hasher = DigestHasher;

    fn build_hasher(&self) -> DigestHasher {
        DigestHasher { state: self.key }
    }
}

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some((prefix, _rest)) = bytes.split_first_chunk::<8>() {
            let mixed =
                u128::from(self.state ^ u64::from_le_bytes(*prefix)) * 0x9e37_79b9_7f4a_7c15_u128;
            #[expect(clippy::cast_possible_truncation, reason = "folding the halves is the point")]
            {
                self.state = (mixed ^ (mixed >> 64)) as u64;
            }
        }
    }

    fn write_usize(&mut self, _length_of_the_array: usize) {}
}
