//! Uses that are pending, beside a snapshot of the store.

use super::{Pending, Uses};
use crate::id::TokenId;
use crate::token::Usage;
use std::collections::HashMap;

/// What is pending beside a snapshot of the store. Uses are held still until the snapshot is there, and
/// no longer: a pass may take its time, and whoever waits for its rows, too.
pub struct Beside<'a> {
    uses: &'a dyn Uses,
    still: Option<Box<dyn Pending + 'a>>,
    pending: HashMap<TokenId, Usage>,
}

impl<'a> Beside<'a> {
    /// To be made before the snapshot is taken.
    #[must_use]
    pub fn new(uses: &'a dyn Uses) -> Self {
        Self { uses, still: Some(uses.still()), pending: HashMap::new() }
    }

    /// All uses of a token of which the snapshot has `stored`. Where there is a first token, there is
    /// the snapshot.
    pub fn merged(&mut self, token: TokenId, stored: Usage) -> Usage {
        if let Some(still) = self.still.take() {
            self.pending = self.uses.pending();
            drop(still);
        }
        stored.merged(self.pending.get(&token).copied().unwrap_or_default())
    }
}
