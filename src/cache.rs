//! Facts in memory, for the gateway.
//!
//! The cache maps the digest of a presented token to an [`Entry`]: the token's facts, and the
//! shared cells of its owner and its organization. It never holds a verdict; every request is
//! decided anew from the facts.
//!
//! **Invariants.**
//! - *Fence.* Applying a commit raises the [`Fence`] of the keys that it wrote before it touches
//!   the map. A fill carries the revision of the snapshot that it was read from, and under the
//!   shard's lock it is thrown away if the fence is higher. So no slow fill can ever bring an
//!   older fact back over a newer one, evicted keys included.
//! - *Bar.* A restrictive change bars its keys before it is committed, and barred entries and
//!   cells are not evicted. If the commit fails, nobody applies it and the bar stays.
//! - *Cells.* Owner and organization facts have one cell per identity, shared by all entries and
//!   kept while any entry refers to it.
//! - An entry's token facts never change; a commit puts another entry in its place. Who holds an
//!   entry across an `await` must therefore look the digest up again.
//! - *Succession.* Each secret of a token that was rotated has an entry of its own. A commit of such a
//!   token removes them all, and the next look-up reads what each is good for. What the first use of
//!   a new secret ends is ended in memory at once, and stays so whatever is evicted ([`succession`]).
//! - Unknown digests are never inserted: a flood of invented tokens does not push out a real one.
//!   The [`Filter`] knows every digest of the store, so the flood does not reach the disk either.
//! - No shard guard lives across an `await`, nor while another shard is locked.

use crate::access::{Evidence, OrgFacts, OwnerFacts, TokenFacts};
use crate::id::{OrgId, TokenId, UserId};
use crate::org::Revision;
use crate::role::RoleSet;
use crate::secret::Digest;
use crate::store::{Fact, FactKey, Facts, Follower, Found, StoreError};
use crate::time::Timestamp;
use crate::token::Standing;
use crate::usage::{Denials, Refusals, Tallied, Tally};
use arc_swap::{ArcSwap, ArcSwapOption};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use fence::Fence;
use filter::Filter;
use hasher::DigestState;
use identity::Places;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use succession::{Succession, Takeover};

mod eviction;
mod fence;
mod fill;
mod filter;
mod hasher;
mod identity;
mod succession;
#[cfg(test)]
mod tests;

/// What the fence is made of. The model test builds the same fence from other atomics.
mod atomics {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}

pub use fill::{LOOKUPS_WAITING_MAX, Readers, Resolved};
pub use identity::Identity;
pub use succession::Taken;

/// A token's facts, with the cells of its owner and organization.
///
/// With its counts it is 192 bytes, three lines of a processor's cache, and no more should it be:
/// with many tokens in play nearly every request meets an entry that no cache holds, and how many
/// entries there is memory for decides how many requests have to read the store.
#[derive(Debug)]
pub struct Entry {
    barred: AtomicBool,
    referenced: AtomicBool,
    /// How often an identity was made for it and not kept.
    declined: AtomicU8,
    tally: Tally,
    token: TokenFacts,
    owner: Arc<OwnerCell>,
    org: Arc<OrgCell>,
    /// There only if the token was rotated.
    succession: Option<Box<Succession>>,
    /// What the upstream is told; the gateway's, kept here because it lives as long as the entry.
    identity: ArcSwapOption<Identity>,
}

impl Tallied for Entry {
    fn token(&self) -> TokenId {
        self.token.id
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn org(&self) -> OrgId {
        self.token.org
    }

    fn scope(&self) -> &RoleSet {
        &self.token.scope
    }

    fn denials(&self) -> &Denials {
        &self.org.denials
    }

    fn used(&self, at: Timestamp) {
        if let Some(succession) = &self.succession {
            succession.used(at);
        }
    }

    fn refusals(&self) -> Option<&Refusals> {
        self.succession.as_ref()?.refusals()
    }
}

/// The facts of one owner, shared by all entries of that owner's tokens.
#[derive(Debug)]
struct OwnerCell {
    facts: ArcSwap<OwnerFacts>,
    barred: AtomicBool,
}

/// The facts of one organization, shared by all entries of its tokens.
#[derive(Debug)]
struct OrgCell {
    facts: ArcSwap<OrgFacts>,
    denials: Denials,
}

impl Entry {
    /// The identities of the token and its organization.
    #[must_use]
    pub fn ids(&self) -> (TokenId, OrgId) {
        (self.token.id, self.token.org)
    }

    /// Whether the cells are those of this token's owner and organization.
    fn has_cells_of(&self, token: &TokenFacts) -> bool {
        self.token.owner == token.owner && self.token.org == token.org
    }

    /// Hands the entry's facts, as of now, to `judge`.
    pub fn with_evidence<T>(&self, judge: impl FnOnce(&Evidence<'_>) -> T) -> T {
        // An owner who was removed stays barred, and the tokens with them: those are revoked, and
        // what is over for good is told of at once.
        let is_over = || self.token.standing == Standing::Revoked;
        if self.barred.load(Ordering::Acquire)
            || (self.owner.barred.load(Ordering::Acquire) && !is_over())
        {
            return judge(&Evidence::Barred);
        }
        let (owner, org) = (self.owner.facts.load(), self.org.facts.load());
        judge(&match &self.succession {
            None => Evidence::Known { token: &self.token, owner: &owner, org: &org },
            Some(succession) => succession.evidence(&self.token, &owner, &org),
        })
    }

    /// The same token with other facts, for the map; whoever holds this entry keeps it as it is.
    fn succeeded_by(&self, token: TokenFacts) -> Self {
        Self {
            barred: AtomicBool::new(false),
            referenced: AtomicBool::new(true),
            declined: AtomicU8::new(0),
            tally: Tally::default(),
            token,
            owner: Arc::clone(&self.owner),
            org: Arc::clone(&self.org),
            succession: None,
            identity: ArcSwapOption::empty(),
        }
    }
}

/// What the cache can say without waiting.
#[derive(Debug)]
pub enum Lookup {
    /// The token's entry.
    Hit(Arc<Entry>),
    /// No such token was ever issued.
    Unknown,
    /// The token is being switched off.
    Barred,
    /// The store has to be asked.
    Miss,
}

enum Held {
    Ready(Arc<Entry>),
    /// Barred before anything was known: no fill may pass.
    Barred,
}

/// The cache.
pub struct Cache {
    entries: DashMap<Digest, Held, DigestState>,
    owners: DashMap<UserId, Arc<OwnerCell>>,
    orgs: DashMap<OrgId, Arc<OrgCell>>,
    /// By the heir.
    takeovers: DashMap<Digest, Arc<Takeover>>,
    fence: Fence,
    filter: ArcSwap<Filter>,
    /// The filter that will replace `filter` once it has seen every digest.
    next_filter: ArcSwapOption<Filter>,
    /// Digests in the order of their insertion, for the clock hand of the eviction.
    hand: Mutex<VecDeque<Digest>>,
    entries_max: usize,
    places: Arc<Places>,
    facts: Arc<dyn Facts>,
    evictions: AtomicU64,
    store_lookups: AtomicU64,
}

/// Why a fill was not taken.
enum Refused {
    /// Something newer was committed since its snapshot: read again.
    Stale,
    /// The key is barred.
    Barred,
}

impl Cache {
    /// An empty cache over `facts`, of at most `entries_max` entries, that already knows every
    /// digest of the store. `key` is a random number.
    pub fn new(
        facts: Arc<dyn Facts>,
        entries_max: usize,
        key: u64,
    ) -> Result<Arc<Self>, StoreError> {
        let filter = Filter::of_all(facts.as_ref())?;
        Ok(Arc::new(Self {
            entries: DashMap::with_hasher(DigestState::new(key)),
            owners: DashMap::new(),
            orgs: DashMap::new(),
            takeovers: DashMap::new(),
            fence: Fence::new(),
            filter: ArcSwap::from_pointee(filter),
            next_filter: ArcSwapOption::empty(),
            hand: Mutex::new(VecDeque::new()),
            entries_max: entries_max.max(1),
            places: Places::beside(entries_max),
            facts,
            evictions: AtomicU64::new(0),
            store_lookups: AtomicU64::new(0),
        }))
    }

    /// What is known about a digest without waiting. A hit costs one shard read lock.
    #[must_use]
    pub fn lookup(&self, digest: &Digest) -> Lookup {
        if let Some(held) = self.entries.get(digest) {
            return match held.value() {
                Held::Barred => Lookup::Barred,
                Held::Ready(entry) => {
                    if !entry.referenced.load(Ordering::Relaxed) {
                        entry.referenced.store(true, Ordering::Relaxed);
                    }
                    Lookup::Hit(Arc::clone(entry))
                }
            };
        }
        if self.filter.load().may_hold(digest) { Lookup::Miss } else { Lookup::Unknown }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries were evicted so far.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// How many digests were looked up in the store so far.
    #[must_use]
    pub fn store_lookups(&self) -> u64 {
        self.store_lookups.load(Ordering::Relaxed)
    }

    /// Takes what a snapshot of `revision` says about a digest, unless something newer is known.
    fn fill(&self, digest: Digest, revision: Revision, found: Found) -> Result<(), Refused> {
        let succession = self.succession(digest, &found);
        let owner = self.owner_cell(revision, found.owner)?;
        let org = self.org_cell(revision, found.org)?;
        let inserted = match self.entries.entry(digest) {
            Slot::Occupied(slot) => match slot.get() {
                Held::Barred => return Err(Refused::Barred),
                Held::Ready(_) => false,
            },
            Slot::Vacant(slot) => {
                if !self.fence.admits(digest.prefix(), revision.0) {
                    return Err(Refused::Stale);
                }
                slot.insert(Held::Ready(Arc::new(Entry {
                    barred: AtomicBool::new(false),
                    referenced: AtomicBool::new(false),
                    declined: AtomicU8::new(0),
                    tally: Tally::default(),
                    token: found.token,
                    owner,
                    org,
                    succession,
                    identity: ArcSwapOption::empty(),
                })));
                true
            }
        };
        if inserted {
            self.make_room(digest);
        }
        Ok(())
    }

    fn owner_cell(&self, revision: Revision, facts: OwnerFacts) -> Result<Arc<OwnerCell>, Refused> {
        match self.owners.entry(facts.id) {
            Slot::Occupied(slot) => Ok(Arc::clone(slot.get())),
            Slot::Vacant(slot) => {
                if !self.fence.admits(fold(facts.id.bits()), revision.0) {
                    return Err(Refused::Stale);
                }
                let facts = ArcSwap::from_pointee(facts);
                let cell = Arc::new(OwnerCell { facts, barred: AtomicBool::new(false) });
                slot.insert(Arc::clone(&cell));
                Ok(cell)
            }
        }
    }

    fn org_cell(&self, revision: Revision, facts: OrgFacts) -> Result<Arc<OrgCell>, Refused> {
        match self.orgs.entry(facts.id) {
            Slot::Occupied(slot) => Ok(Arc::clone(slot.get())),
            Slot::Vacant(slot) => {
                if !self.fence.admits(fold(facts.id.bits()), revision.0) {
                    return Err(Refused::Stale);
                }
                let cell = Arc::new(OrgCell {
                    facts: ArcSwap::from_pointee(facts),
                    denials: Denials::default(),
                });
                slot.insert(Arc::clone(&cell));
                Ok(cell)
            }
        }
    }

    fn bar_token(&self, digest: Digest) {
        match self.entries.entry(digest) {
            Slot::Occupied(slot) => {
                if let Held::Ready(entry) = slot.get() {
                    entry.barred.store(true, Ordering::Release);
                }
            }
            Slot::Vacant(slot) => {
                slot.insert(Held::Barred);
            }
        }
    }

    fn bar_owner(&self, id: UserId) {
        let nobody = || OwnerFacts {
            id,
            org: OrgId::from_bits(0),
            active: false,
            roles: RoleSet::empty(),
            operator: false,
            version: Revision(0),
        };
        let cell = self.owners.entry(id).or_insert_with(|| {
            let facts = ArcSwap::from_pointee(nobody());
            Arc::new(OwnerCell { facts, barred: AtomicBool::new(true) })
        });
        cell.barred.store(true, Ordering::Release);
    }

    fn apply_token(&self, revision: Revision, digest: Digest, facts: Option<&TokenFacts>) {
        if facts.is_some() {
            // Before the commit is acknowledged: the next request may carry the new token.
            self.learn(&digest);
        }
        self.fence.raise(digest.prefix(), revision.0);
        let Slot::Occupied(mut slot) = self.entries.entry(digest) else { return };
        let removed = match (slot.get(), facts) {
            (Held::Ready(entry), Some(facts))
                if entry.has_cells_of(facts) && entry.succession.is_none() =>
            {
                let successor = entry.succeeded_by(facts.clone());
                slot.insert(Held::Ready(Arc::new(successor)));
                return;
            }
            // Gone, or rotated, or in other hands, whose cells this entry does not have: the next
            // look-up asks the store.
            (Held::Ready(_) | Held::Barred, _) => slot.remove(),
        };
        // The shard's lock went with the slot.
        if let Held::Ready(entry) = removed {
            self.release(entry);
        }
    }

    fn apply_owner(&self, revision: Revision, id: UserId, facts: Option<&OwnerFacts>) {
        self.fence.raise(fold(id.bits()), revision.0);
        if let Slot::Occupied(slot) = self.owners.entry(id) {
            let cell = slot.get();
            match facts {
                // Made by the bar alone: no entry refers to it.
                Some(_) if Arc::strong_count(cell) == 1 => {
                    slot.remove();
                }
                Some(facts) => {
                    cell.facts.store(Arc::new(facts.clone()));
                    cell.barred.store(false, Ordering::Release);
                }
                // A removed owner stays barred for whoever still refers to the cell.
                None => {
                    cell.barred.store(true, Ordering::Release);
                    slot.remove();
                }
            }
        }
    }

    fn apply_org(&self, revision: Revision, id: OrgId, facts: Option<&OrgFacts>) {
        self.fence.raise(fold(id.bits()), revision.0);
        if let (Some(cell), Some(facts)) = (self.orgs.get(&id), facts) {
            cell.facts.store(Arc::new(facts.clone()));
        }
    }

    fn learn(&self, digest: &Digest) {
        // The next one first: whoever finds none either came before the snapshot that it will be
        // made from, or finds it in place as the present one below.
        if let Some(next) = self.next_filter.load().as_deref() {
            next.learn(digest);
        }
        self.filter.load().learn(digest);
    }

    /// Replaces the filter by a larger one when it is full. Takes as long as reading all digests;
    /// called now and then, on a thread that may block.
    pub fn grow_filter(&self) -> Result<(), StoreError> {
        if !self.filter.load().is_full() {
            return Ok(());
        }
        let next = Arc::new(Filter::with_room_for(self.filter.load().known() * 4));
        // From here on new digests go into both, so none is missed between snapshot and swap.
        self.next_filter.store(Some(Arc::clone(&next)));
        let read = self.facts.visit_digests(&mut |digest| next.learn(digest));
        if read.is_ok() {
            self.filter.store(next);
        }
        self.next_filter.store(None);
        read.map(|_count| ())
    }
}

impl Follower for Cache {
    fn bar(&self, keys: &[FactKey]) {
        for key in keys {
            match *key {
                FactKey::Token(digest) => self.bar_token(digest),
                FactKey::Owner(id) => self.bar_owner(id),
                // Nothing about an organization gives or takes access yet.
                FactKey::Organization(_) => {}
            }
        }
    }

    fn apply(&self, revision: Revision, facts: &[Fact]) {
        for fact in facts {
            match fact {
                Fact::Token(digest, facts) => self.apply_token(revision, *digest, facts.as_ref()),
                Fact::Secret(digest) => {
                    self.learn(digest);
                    self.apply_token(revision, *digest, None);
                }
                Fact::Owner(id, facts) => self.apply_owner(revision, *id, facts.as_ref()),
                Fact::Organization(id, facts) => self.apply_org(revision, *id, facts.as_ref()),
            }
        }
    }
}

/// An identity's random half is in its low bits.
fn fold(bits: u128) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "folding the halves is the point")]
    let folded = (bits ^ (bits >> 64)) as u64;
    folded
}
