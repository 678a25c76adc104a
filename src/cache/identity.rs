//! What upstreams are told about who calls, ready to be sent.
//!
//! An identity takes more memory than the entry that it is kept in, so the cache has a limited number
//! of places for them: the tokens that are used most come to theirs first. For the others one is made
//! for each request, which takes less than a microsecond.

use super::{Cache, Entry};
use crate::org::Revision;
use arc_swap::Guard;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So often an identity is not kept: most entries of a cache that is too small for all tokens are
/// used once or twice before they go.
pub(super) const IDENTITIES_DECLINED: u8 = 3;
/// One place for so many entries.
const ENTRIES_PER_PLACE: usize = 8;
/// A cache of few entries keeps an identity for each.
const PLACES_MIN: usize = 16_384;

/// What an upstream is told about who calls, and the version of the owner that it was made from.
#[derive(Debug)]
pub struct Identity {
    /// Version of the owner.
    pub owner_version: Revision,
    /// The identity header fields, as they go upstream.
    pub fields: Box<[u8]>,
    /// Whether the token carries an organization role above member.
    pub privileged: bool,
    /// There while it is kept.
    place: Option<Place>,
}

impl Identity {
    /// An identity that is not kept yet.
    #[must_use]
    pub const fn new(owner_version: Revision, fields: Box<[u8]>, privileged: bool) -> Self {
        Self { owner_version, fields, privileged, place: None }
    }
}

#[derive(Debug)]
struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many identities may be kept.
#[derive(Debug)]
pub(super) struct Places {
    free: AtomicUsize,
}

impl Places {
    pub(super) fn beside(entries_max: usize) -> Arc<Self> {
        let places = (entries_max / ENTRIES_PER_PLACE).max(PLACES_MIN);
        Arc::new(Self { free: AtomicUsize::new(places) })
    }

    fn take(self: &Arc<Self>) -> Option<Place> {
        let less = |free: usize| free.checked_sub(1);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()?;
        Some(Place(Arc::clone(self)))
    }
}

impl Entry {
    /// The identity that was kept, if one was.
    pub fn identity(&self) -> Guard<Option<Arc<Identity>>> {
        self.identity.load()
    }
}

impl Cache {
    /// Keeps an identity with its entry, unless it is among the first that are made or there is no
    /// place for it.
    pub fn keep_identity(&self, entry: &Entry, identity: Identity) -> Arc<Identity> {
        let declined = entry.declined.load(Ordering::Relaxed);
        if declined < IDENTITIES_DECLINED {
            entry.declined.store(declined + 1, Ordering::Relaxed);
            return Arc::new(identity);
        }
        // The one from before the owner changed gives its place up first.
        entry.identity.store(None);
        let identity = Arc::new(Identity { place: self.places.take(), ..identity });
        if identity.place.is_some() {
            entry.identity.store(Some(Arc::clone(&identity)));
        }
        identity
    }

    /// How many more identities could be kept.
    #[cfg(test)]
    pub(super) fn places_free(&self) -> usize {
        self.places.free.load(Ordering::Relaxed)
    }

    /// As if all but so many were taken.
    #[cfg(test)]
    pub(super) fn leave_places(&self, free: usize) {
        self.places.free.store(free, Ordering::Relaxed);
    }
}
