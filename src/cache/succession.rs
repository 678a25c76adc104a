//! What the first use of a new secret ends.
//!
//! A rotation may leave the secret before it good until the new one, its heir, is used. The entries
//! of both then share a [`Takeover`]. The heir's first admitted request takes it before the request
//! goes anywhere, and whatever is decided about the former secret from then on, on any worker, sees
//! that it is taken. The store hears of it later ([`crate::rotation`]); until it has, the takeover
//! stays, whatever is evicted.

use super::{Cache, Entry};
use crate::access::{Evidence, FormerFacts, OrgFacts, OwnerFacts, SecretFacts, TokenFacts};
use crate::id::TokenId;
use crate::secret::Digest;
use crate::store::Found;
use crate::time::Timestamp;
use crate::usage::Refusals;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const NOT_TAKEN: i64 = i64::MIN;

/// Whether the heir of a secret was used, shared by the entries of both.
#[derive(Debug)]
pub(super) struct Takeover {
    token: TokenId,
    /// When, in milliseconds, or [`NOT_TAKEN`].
    at: AtomicI64,
}

/// A takeover that the store may not know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The token.
    pub token: TokenId,
    /// The secret that was used.
    pub heir: Digest,
    /// Its first use.
    pub at: Timestamp,
}

impl Takeover {
    fn new(token: TokenId) -> Self {
        Self { token, at: AtomicI64::new(NOT_TAKEN) }
    }

    fn take(&self, at: Timestamp) {
        if self.at.load(Ordering::Acquire) == NOT_TAKEN {
            // Somebody else may have been first.
            let (new, order) = (at.millis(), Ordering::SeqCst);
            let _taken = self.at.compare_exchange(NOT_TAKEN, new, order, order);
        }
    }

    pub(super) fn taken(&self) -> Option<Timestamp> {
        let at = self.at.load(Ordering::SeqCst);
        (at != NOT_TAKEN).then(|| Timestamp::from_millis(at))
    }
}

/// What an entry of a token that was rotated knows beyond the token's facts.
#[derive(Debug)]
pub(super) enum Succession {
    /// Its first use ends the secret before it.
    Heir(Arc<Takeover>),
    /// The secret was rotated away.
    Former {
        facts: FormerFacts,
        /// There if the first use of its heir ends it.
        takeover: Option<Arc<Takeover>>,
        refusals: Refusals,
    },
}

impl Succession {
    pub(super) fn evidence<'a>(
        &'a self,
        token: &'a TokenFacts,
        owner: &'a OwnerFacts,
        org: &'a OrgFacts,
    ) -> Evidence<'a> {
        match self {
            Self::Heir(_) => Evidence::Known { token, owner, org },
            Self::Former { facts, takeover, .. } => {
                let succeeded = takeover.as_ref().is_some_and(|cell| cell.taken().is_some());
                Evidence::Former { token, owner, org, former: facts, succeeded }
            }
        }
    }

    pub(super) fn used(&self, at: Timestamp) {
        match self {
            Self::Heir(takeover) => takeover.take(at),
            Self::Former { .. } => {}
        }
    }

    pub(super) const fn refusals(&self) -> Option<&Refusals> {
        match self {
            Self::Heir(_) => None,
            Self::Former { refusals, .. } => Some(refusals),
        }
    }
}

impl Entry {
    /// Which of its token's secrets the entry is for.
    #[must_use]
    pub fn secret(&self) -> SecretFacts {
        match self.succession.as_deref() {
            None => SecretFacts::Present,
            Some(Succession::Heir(_)) => SecretFacts::Heir,
            Some(Succession::Former { facts, .. }) => SecretFacts::Former(*facts),
        }
    }
}

impl Cache {
    pub(super) fn succession(&self, digest: Digest, found: &Found) -> Option<Box<Succession>> {
        let takeover = |heir| self.takeover(heir, found.token.id);
        match found.secret {
            SecretFacts::Present => None,
            SecretFacts::Heir => Some(Box::new(Succession::Heir(takeover(digest)))),
            SecretFacts::Former(facts) => Some(Box::new(Succession::Former {
                facts,
                takeover: facts.heir.map(takeover),
                refusals: Refusals::default(),
            })),
        }
    }

    fn takeover(&self, heir: Digest, token: TokenId) -> Arc<Takeover> {
        Arc::clone(&self.takeovers.entry(heir).or_insert_with(|| Arc::new(Takeover::new(token))))
    }

    /// An heir was used, elsewhere than by its entry.
    pub fn notice(&self, heir: Digest, token: TokenId, at: Timestamp) {
        self.takeover(heir, token).take(at);
    }

    /// The takeovers that the store may not know of yet.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        let taken = self.takeovers.iter().filter_map(|cell| {
            let at = cell.taken()?;
            Some(Taken { token: cell.token, heir: *cell.key(), at })
        });
        taken.collect()
    }

    /// The store says by itself that this takeover has happened, and whatever was read before it did
    /// is fenced off.
    pub fn forget_takeover(&self, heir: &Digest) {
        self.takeovers.remove(heir);
    }
}
