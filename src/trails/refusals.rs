//! Calls of the admin port that were refused, in the audit trail.
//!
//! A refusal of somebody who shows a live token is an event at once, in the trail of their
//! organization. But anybody may be refused as often as they like, and the disk must not fill up
//! with it: so of one user's refusals in a minute the first few are events, the others are summed
//! up in one; and those of callers whom nobody knows are summed up for each address, in the
//! operator's trail.

use crate::audit::{Action, Actor, Draft, Origin, Target};
use crate::id::{OrgId, UserId};
use crate::session::Whose;
use crate::store::{CommitError, Ledger, StoreError};
use crate::time::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Refusals of one user in a minute that are events of their own.
const SINGLE_MAX: u32 = 10;
/// Users whose refusals are told apart within a minute; those of others are nobody's.
const USERS_MAX: usize = 1_024;
/// Addresses that are told apart within a minute; the others are one.
const ADDRESSES_MAX: usize = 15;

/// Who called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Who {
    /// Nobody knows.
    #[default]
    Unknown,
    /// The token is known, and authorizes nothing any more.
    Dead(Whose),
    /// The token is alive.
    Live(Whose),
}

/// A call that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who called.
    pub who: Who,
    /// From where.
    pub origin: Origin,
    /// What was asked for, as the API names it: `GET /api/v1/orgs/{org}/users`. Not the address
    /// itself, into which anybody may have put a secret.
    pub request: String,
    /// The status of the answer, and why.
    pub answer: String,
}

/// What was refused, as far as it is not written yet.
#[derive(Debug, Default)]
pub struct Refusals {
    minute: Mutex<Minute>,
    operators: OnceLock<OrgId>,
}

#[derive(Debug, Default)]
struct Minute {
    users: HashMap<(OrgId, UserId), Known>,
    addresses: HashMap<Option<IpAddr>, Sum>,
    others: Sum,
}

#[derive(Debug, Default)]
struct Known {
    told: u32,
    sum: Sum,
}

/// Refusals that were alike.
#[derive(Clone, Debug, Default)]
enum Sum {
    #[default]
    Nothing,
    Of {
        count: u64,
        since: Timestamp,
        latest: Refusal,
    },
}

/// A refusal that is an event of its own, on its way there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Single {
    refusal: Refusal,
    at: Timestamp,
}

/// Why refusals could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// The store could not be written.
    #[error(transparent)]
    Write(#[from] CommitError),
}

impl WriteError {
    /// Whether it is certain that nothing was written, and it may be tried again. Of a store that
    /// failed nobody knows what it says.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Read(_) | Self::Write(CommitError::Busy) => true,
            Self::Write(
                CommitError::Conflict(_)
                | CommitError::Full
                | CommitError::Failed(_)
                | CommitError::Closed,
            ) => false,
        }
    }
}

impl Refusals {
    /// Takes note of a refusal. Answers it again, if it is an event of its own.
    #[must_use]
    pub fn note(&self, refusal: Refusal, now: Timestamp) -> Option<Single> {
        let mut minute = self.minute();
        // Writing takes time, and the answer to a dead token must take as long as that to one that
        // never was.
        if matches!(refusal.who, Who::Live(_))
            && let Some(user) = minute.told_apart(&refusal)
        {
            let known = minute.users.entry(user).or_default();
            if known.told < SINGLE_MAX {
                known.told += 1;
                return Some(Single { refusal, at: now });
            }
        }
        minute.sum(&refusal).add(refusal, now);
        None
    }

    /// Writes an event of [`Refusals::note`]. One that cannot be written now is told with the sum of
    /// its minute. Blocks.
    pub fn write_one(&self, ledger: &dyn Ledger, single: Single) -> Result<(), WriteError> {
        let Single { refusal, at } = single;
        let Some(Whose { org, .. }) = refusal.who.whose() else { return Ok(()) };
        let written = write(ledger, vec![event(&refusal, org, at)]);
        if written.as_ref().is_err_and(WriteError::is_passing) {
            self.minute().sum(&refusal).add(refusal, at);
        }
        written
    }

    /// Writes what was summed up, and begins anew. What cannot be written now is told with the sums
    /// of the next minute. Blocks.
    pub fn write(&self, ledger: &dyn Ledger, now: Timestamp) -> Result<(), WriteError> {
        let minute = std::mem::take(&mut *self.minute());
        let written = self.write_minute(ledger, &minute, now);
        if written.as_ref().is_err_and(WriteError::is_passing) {
            self.minute().take_back(minute);
        }
        written
    }

    fn write_minute(
        &self,
        ledger: &dyn Ledger,
        minute: &Minute,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        let known = minute.users.iter();
        let mut events: Vec<Draft> =
            known.filter_map(|((org, _), known)| known.sum.event(*org, now)).collect();
        let nobodys = minute.addresses.values().map(Sum::of_nobody);
        // Where the others came from is more than one place.
        let nobodys: Vec<Sum> =
            nobodys.chain([minute.others.of_nobody().without_origin()]).collect();
        if nobodys.iter().any(|sum| matches!(sum, Sum::Of { .. }))
            && let Some(org) = self.operators(ledger)?
        {
            events.extend(nobodys.into_iter().filter_map(|sum| sum.event(org, now)));
        }
        if events.is_empty() { Ok(()) } else { write(ledger, events) }
    }

    fn minute(&self) -> MutexGuard<'_, Minute> {
        self.minute.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The organization of the operator, who answers for the machine. It never becomes another.
    fn operators(&self, ledger: &dyn Ledger) -> Result<Option<OrgId>, StoreError> {
        if let Some(org) = self.operators.get() {
            return Ok(Some(*org));
        }
        for org in ledger.organizations()? {
            if ledger.users(org.id)?.iter().any(|user| user.operator) {
                return Ok(Some(*self.operators.get_or_init(|| org.id)));
            }
        }
        Ok(None)
    }
}

impl Minute {
    /// The user who was refused, if users are told apart still.
    fn told_apart(&self, refusal: &Refusal) -> Option<(OrgId, UserId)> {
        let Whose { org, user, .. } = refusal.who.whose()?;
        let has_room = self.users.len() < USERS_MAX || self.users.contains_key(&(org, user));
        has_room.then_some((org, user))
    }

    /// Where a refusal is summed up.
    fn sum(&mut self, refusal: &Refusal) -> &mut Sum {
        if let Some(user) = self.told_apart(refusal) {
            return &mut self.users.entry(user).or_default().sum;
        }
        let (addresses, address) = (&mut self.addresses, refusal.origin.address);
        let is_told_apart = addresses.len() < ADDRESSES_MAX || addresses.contains_key(&address);
        if is_told_apart { addresses.entry(address).or_default() } else { &mut self.others }
    }

    /// Adds the sums of a minute before that could not be written. For whom there is no room any
    /// more, theirs go to the others: their number is kept, and memory does not grow.
    fn take_back(&mut self, before: Self) {
        let known = before.users.into_values().map(|known| known.sum);
        for sum in known.chain(before.addresses.into_values()) {
            if let Sum::Of { latest, .. } = &sum {
                let latest = latest.clone();
                self.sum(&latest).precede(sum);
            }
        }
        self.others.precede(before.others);
    }
}

fn write(ledger: &dyn Ledger, mut events: Vec<Draft>) -> Result<(), WriteError> {
    for event in &mut events {
        if let Some(org) = ledger.organization(event.org)? {
            event.target_name = org.name;
        }
    }
    ledger.tell(events).wait()?;
    Ok(())
}

fn event(refusal: &Refusal, org: OrgId, at: Timestamp) -> Draft {
    let whose = refusal.who.whose();
    let actor =
        whose.map_or(Actor::Unknown, |Whose { user, token, .. }| Actor::User { user, token });
    Draft::new(org, at, actor, Action::CallRefused, Target::Organization(org))
        .from(refusal.origin.clone())
        .telling("request", &refusal.request)
        .telling("answer", &refusal.answer)
}

impl Who {
    const fn whose(self) -> Option<Whose> {
        match self {
            Self::Unknown => None,
            Self::Dead(whose) | Self::Live(whose) => Some(whose),
        }
    }
}

impl Sum {
    fn add(&mut self, refusal: Refusal, now: Timestamp) {
        match self {
            Self::Nothing => *self = Self::Of { count: 1, since: now, latest: refusal },
            Self::Of { count, latest, .. } => {
                *count += 1;
                *latest = refusal;
            }
        }
    }

    /// Adds what was summed up before.
    fn precede(&mut self, before: Self) {
        match (&mut *self, before) {
            (_, Self::Nothing) => {}
            (Self::Nothing, before) => *self = before,
            (Self::Of { count, since, .. }, Self::Of { count: more, since: earlier, .. }) => {
                *count += more;
                *since = earlier.min(*since);
            }
        }
    }

    /// What is in the trail of the operator names no user of another organization.
    fn of_nobody(&self) -> Self {
        let mut sum = self.clone();
        if let Self::Of { latest, .. } = &mut sum {
            latest.who = Who::Unknown;
        }
        sum
    }

    fn without_origin(mut self) -> Self {
        if let Self::Of { latest, .. } = &mut self {
            latest.origin = Origin::default();
        }
        self
    }

    fn event(&self, org: OrgId, now: Timestamp) -> Option<Draft> {
        let Self::Of { count, since, latest } = self else { return None };
        Some(event(latest, org, now).telling("count", count).telling("since", since))
    }
}

#[cfg(test)]
mod tests;
