//! Which of the notices that are due are sent now.
//!
//! An addressee who does not answer keeps a delivery for as long as its timeout, and a thousand
//! notices may wait for the same one. So there is a limit to what goes to one addressee at once,
//! and calls of one organization may be as many as there are places left for others: half of all, if
//! nobody else calls. Mails all go to one server, so there it makes no difference whose they are.
//!
//! Those at their limit are passed over with all that waits for them, in one step each. There are
//! no more of them than places and webhooks of the organizations that hold those, so a look ends
//! soon, however many notices wait.

use crate::id::{NoticeId, OrgId};
use crate::notice::{Addressee, Due, Notice};
use crate::store::{Ledger, Onward, Queued, StoreError};
use crate::time::Timestamp;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Most deliveries under way to one addressee.
const TO_ONE_MAX: usize = 2;
/// Most notices that are looked at in one go for those that can be sent now, of each kind of queue.
const LOOKED_AT_MAX: usize = 10_000;
/// Most notices to one addressee that are looked at in one go for one that need not wait for
/// another about the same.
const LOOKED_AT_OF_ONE_MAX: usize = 100;
/// Most damaged notices that the log names.
const DAMAGED_NAMED_MAX: usize = 64;

/// What counts of a delivery while it is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Course {
    org: OrgId,
    id: NoticeId,
    to: Addressee,
    lane: Option<u128>,
}

impl Course {
    pub(super) fn of(notice: &Notice) -> Self {
        let lane = notice.says.about.lane();
        Self { org: notice.says.org, id: notice.id, to: notice.to, lane }
    }

    /// Whether another notice to the same addressee has to wait for this one. It is itself still due,
    /// as long as nothing is recorded of it.
    fn is_before(&self, other: &Self) -> bool {
        self.id == other.id || self.lane.is_some() && self.lane == other.lane
    }

    const fn is_call(&self) -> bool {
        match self.to {
            Addressee::User(_) => false,
            Addressee::Webhook(_) => true,
        }
    }
}

impl From<&Queued> for Course {
    fn from(queued: &Queued) -> Self {
        let Queued { org, id, to, lane } = *queued;
        Self { org, id, to, lane }
    }
}

/// Whether a notice can be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// It can.
    Free,
    /// Not before one about the same, which is under way to the same addressee: it may be that one.
    AfterAnother,
    /// Nor can anything else to this addressee.
    AddresseeFull,
    /// Nor can anything else that goes the same way.
    WayFull,
}

/// Notices that were found damaged, so that each is named once.
#[derive(Debug, Default)]
pub(super) struct Damaged(Mutex<HashSet<NoticeId>>);

impl Damaged {
    fn tell(&self, queued: &Queued, error: &StoreError) {
        // A set is whole after each step.
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() < DAMAGED_NAMED_MAX && named.insert(queued.id) {
            let (notice, org) = (queued.id, queued.org);
            tracing::error!(%error, %notice, %org, "a notice cannot be read, and is not delivered");
        }
    }
}

/// Notices that are being chosen.
#[derive(Debug)]
pub(super) struct Choice {
    /// Those of the chosen ones included.
    under_way: Vec<Course>,
    /// Most mails under way, and most calls.
    max: usize,
    chosen: Vec<Notice>,
}

impl Choice {
    /// Nothing chosen yet, beside what is under way.
    pub(super) const fn beside(under_way: Vec<Course>, max: usize) -> Self {
        Self { under_way, max, chosen: Vec::new() }
    }

    /// What was chosen.
    pub(super) fn chosen(self) -> Vec<Notice> {
        self.chosen
    }

    /// Chooses of what waits for something until `until` at the latest, as far as there is room.
    pub(super) fn add(
        &mut self,
        ledger: &dyn Ledger,
        damaged: &Damaged,
        due: Due,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let (mut looked_at, mut of_one) = (0, (None, 0));
        ledger.visit_due_notices(due, until, &mut |queued| {
            if looked_at == LOOKED_AT_MAX {
                return Onward::Nowhere;
            }
            looked_at += 1;
            if of_one.0 != Some(queued.to) {
                of_one = (Some(queued.to), 0);
            }
            of_one.1 += 1;
            let course = Course::from(queued);
            match self.room(&course) {
                Room::WayFull => return Onward::Nowhere,
                Room::AddresseeFull => return Onward::Addressee,
                Room::AfterAnother => {}
                Room::Free => match ledger.notice(queued.org, queued.id) {
                    Ok(Some(notice)) if notice.state.ended_at().is_none() => {
                        self.under_way.push(course);
                        self.chosen.push(notice);
                    }
                    // It ended since the visit began.
                    Ok(Some(_) | None) => {}
                    Err(error) => damaged.tell(queued, &error),
                },
            }
            if of_one.1 == LOOKED_AT_OF_ONE_MAX { Onward::Addressee } else { Onward::Notice }
        })
    }

    /// Whether there is room for one more.
    fn room(&self, course: &Course) -> Room {
        let beside = || self.under_way.iter().filter(|other| other.is_call() == course.is_call());
        let free = self.max.saturating_sub(beside().count());
        if free == 0 {
            return Room::WayFull;
        }
        let to_one = || beside().filter(|other| other.to == course.to);
        let of_org = beside().filter(|other| other.org == course.org).count();
        if to_one().count() >= TO_ONE_MAX || course.is_call() && of_org >= free {
            Room::AddresseeFull
        } else if to_one().any(|other| other.is_before(course)) {
            Room::AfterAnother
        } else {
            Room::Free
        }
    }
}

#[cfg(test)]
mod tests;
