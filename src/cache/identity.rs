//! What upstreams are told about who calls, ready to be sent.

use crate::org::Revision;
use arc_swap::{ArcSwapOption, Guard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The identity of a token that is used again. It takes more memory than its entry, and most
/// entries of a cache that is too small for all tokens are used once before they go.
#[derive(Debug, Default)]
pub struct KeptIdentity {
    kept: ArcSwapOption<Identity>,
    offered: AtomicBool,
}

impl KeptIdentity {
    /// The identity, if it was kept.
    pub fn load(&self) -> Guard<Option<Arc<Identity>>> {
        self.kept.load()
    }

    /// Keeps an identity, unless it is the first one that was ever offered.
    pub fn store(&self, identity: Option<Arc<Identity>>) {
        if self.offered.load(Ordering::Relaxed) {
            self.kept.store(identity);
        } else {
            self.offered.store(true, Ordering::Relaxed);
        }
    }
}

/// What an upstream is told about who calls, and the version of the owner that it was made from.
#[derive(Debug)]
pub struct Identity {
    /// Version of the owner.
    pub owner_version: Revision,
    /// The identity header fields, as they go upstream.
    pub fields: Box<[u8]>,
    /// Whether the token carries an organization role above member.
    pub privileged: bool,
}
