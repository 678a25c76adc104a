//! Identity headers that an entry keeps for the gateway.

use crate::org::Revision;
use arc_swap::ArcSwapOption;
use http::HeaderValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The identity headers of a token that is used again and again. They take more memory than its entry,
/// and most entries of a cache that is too small for all tokens are used once or twice before they go.
#[derive(Debug, Default)]
pub struct Identity {
    values: ArcSwapOption<IdentityValues>,
    /// How often values were offered and not kept.
    declined: AtomicU8,
}

/// So often the values are not kept. Making them takes less than a microsecond.
pub(super) const IDENTITIES_DECLINED: u8 = 3;

impl Identity {
    /// The values, if they were kept.
    pub fn load(&self) -> arc_swap::Guard<Option<Arc<IdentityValues>>> {
        self.values.load()
    }

    /// Keeps values, unless they are among the first that are offered.
    pub fn store(&self, values: Option<Arc<IdentityValues>>) {
        let declined = self.declined.load(Ordering::Relaxed);
        if declined < IDENTITIES_DECLINED {
            self.declined.store(declined + 1, Ordering::Relaxed);
        } else {
            self.values.store(values);
        }
    }
}

/// Identity headers as they go upstream, and the version of the owner that they were made from.
#[derive(Debug)]
pub struct IdentityValues {
    /// Version of the owner.
    pub owner_version: Revision,
    /// The owner's identity.
    pub subject: HeaderValue,
    /// The organization's identity.
    pub organization: HeaderValue,
    /// The token's identity.
    pub token_id: HeaderValue,
    /// The effective roles.
    pub scope: HeaderValue,
    /// Whether the token carries an organization role above member.
    pub privileged: bool,
}
