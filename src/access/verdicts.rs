//! How many verdicts there were.

use super::Reason;

/// Verdicts about requests with tokens of an organization, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Requests that were permitted.
    pub permitted: u64,
    /// Requests that were refused, in the order of [`Reason::ALL`].
    pub denied: [u64; Reason::ALL.len()],
}

impl Verdicts {
    /// Adds others.
    pub fn add(&mut self, others: &Self) {
        self.permitted = self.permitted.saturating_add(others.permitted);
        for (sum, other) in self.denied.iter_mut().zip(others.denied) {
            *sum = sum.saturating_add(other);
        }
    }

    /// Takes off what these had of others.
    pub fn subtract(&mut self, others: &Self) {
        self.permitted = self.permitted.saturating_sub(others.permitted);
        for (sum, other) in self.denied.iter_mut().zip(others.denied) {
            *sum = sum.saturating_sub(other);
        }
    }

    /// Whether there was none.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The reasons for which there were refusals, and how many.
    pub fn reasons(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.into_iter().zip(self.denied).filter(|(_, count)| *count > 0)
    }
}
