//! What upstreams are told about who calls, ready to be sent.

use super::Entry;
use crate::org::Revision;
use arc_swap::Guard;
use std::sync::Arc;
use std::sync::atomic::Ordering;

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

impl Entry {
    /// The identity that was kept, if one was.
    pub fn identity(&self) -> Guard<Option<Arc<Identity>>> {
        self.identity.load()
    }

    /// Keeps an identity, unless it is the first that was made: it takes more memory than the entry,
    /// and most entries of a cache that is too small for all tokens are used once before they go.
    pub fn keep_identity(&self, identity: Arc<Identity>) {
        if self.identified.load(Ordering::Relaxed) {
            self.identity.store(Some(identity));
        } else {
            self.identified.store(true, Ordering::Relaxed);
        }
    }
}
