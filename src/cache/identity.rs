//! What upstreams are told about who calls, ready to be sent.

use super::Entry;
use crate::org::Revision;
use arc_swap::Guard;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// So often an identity is not kept. Making one takes less than a microsecond.
pub(super) const IDENTITIES_DECLINED: u8 = 3;

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

    /// Keeps an identity, unless it is among the first that are made: it takes more memory than the
    /// entry, and most entries of a cache that is too small for all tokens are used once or twice
    /// before they go.
    pub fn keep_identity(&self, identity: Arc<Identity>) {
        let declined = self.declined.load(Ordering::Relaxed);
        if declined < IDENTITIES_DECLINED {
            self.declined.store(declined + 1, Ordering::Relaxed);
        } else {
            self.identity.store(Some(identity));
        }
    }
}
