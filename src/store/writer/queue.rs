//! The two queues of the writer, changes and usage, and what it does when both are empty.

use super::{Answer, GROUP_CHANGES_MAX, GROUP_ROWS_MAX, USES_PER_RUN_MAX, lock, tell};
use crate::change::Change;
use crate::id::TokenId;
use crate::store::{CommitError, change};
use crate::token::Use;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

/// The changes that may wait.
const CHANGES_QUEUED_MAX: usize = 1_024;
/// The rows of changes that may wait (a change with more is taken when nothing else waits).
const ROWS_QUEUED_MAX: usize = 131_072;
/// The usage rows that may wait.
const USAGE_QUEUED_MAX: usize = 524_288;
/// So many groups may go before usage that waits, or before a sweep; then one transaction of those
/// goes. As many groups as the queue can hold, so a change that waits is passed by one at most.
const GROUPS_IN_A_ROW_MAX: usize = CHANGES_QUEUED_MAX / GROUP_CHANGES_MAX;

/// A change that waits.
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) answer: Answer,
}

/// What the writer shall do next.
pub(super) enum Work {
    /// One group.
    Changes(Vec<Job>),
    /// Usage, and who is answered once it is written.
    Usage {
        /// At most [`USES_PER_RUN_MAX`].
        rows: Vec<Use>,
        /// Those whose last rows these are.
        answers: Vec<Answer>,
    },
    /// The next part of a sweep of the usage journal.
    Sweep {
        /// Its first token.
        from: TokenId,
        /// How many tokens it may have.
        tokens_max: usize,
    },
}

/// Both queues.
pub(super) struct Queues {
    inner: Mutex<Inner>,
    filled: Condvar,
}

struct Inner {
    changes: VecDeque<Job>,
    change_rows: usize,
    usage: VecDeque<(Vec<Use>, Answer)>,
    usage_rows: usize,
    groups_in_a_row: usize,
    /// Usage and sweeps take turns, so that neither keeps the other waiting.
    usage_went_last: bool,
    is_open: bool,
}

impl Queues {
    pub(super) fn new() -> Self {
        let inner = Inner {
            changes: VecDeque::new(),
            change_rows: 0,
            usage: VecDeque::new(),
            usage_rows: 0,
            groups_in_a_row: 0,
            usage_went_last: false,
            is_open: true,
        };
        Self { inner: Mutex::new(inner), filled: Condvar::new() }
    }

    pub(super) fn is_open(&self) -> bool {
        lock(&self.inner).is_open
    }

    pub(super) fn push_change(&self, job: Job) {
        let rows = change::rows(&job.change);
        let mut inner = lock(&self.inner);
        let is_full = inner.changes.len() >= CHANGES_QUEUED_MAX
            || !inner.changes.is_empty() && inner.change_rows + rows > ROWS_QUEUED_MAX;
        if !inner.is_open || is_full {
            let error = if inner.is_open { CommitError::Busy } else { CommitError::Closed };
            drop(inner);
            return tell(job.answer, Err(error));
        }
        inner.change_rows += rows;
        inner.changes.push_back(job);
        drop(inner);
        self.filled.notify_one();
    }

    pub(super) fn push_usage(&self, rows: Vec<Use>, answer: Answer) {
        let mut inner = lock(&self.inner);
        let is_full = !inner.usage.is_empty() && inner.usage_rows + rows.len() > USAGE_QUEUED_MAX;
        if !inner.is_open || is_full {
            let error = if inner.is_open { CommitError::Busy } else { CommitError::Closed };
            drop(inner);
            return tell(answer, Err(error));
        }
        inner.usage_rows += rows.len();
        inner.usage.push_back((rows, answer));
        drop(inner);
        self.filled.notify_one();
    }

    /// Waits for work; `None` once the queues are closed and empty. A sweep that is under way goes
    /// on meanwhile; closing does not wait for it.
    pub(super) fn next(&self, sweep: Option<(TokenId, usize)>) -> Option<Work> {
        let mut inner = lock(&self.inner);
        loop {
            if let Some(work) = inner.take(sweep) {
                return Some(work);
            }
            if !inner.is_open {
                return None;
            }
            inner = self.filled.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes nothing more; what waits is still given out.
    pub(super) fn close(&self) {
        lock(&self.inner).is_open = false;
        self.filled.notify_all();
    }

    /// Takes nothing more, and turns away what waits.
    pub(super) fn fail(&self) {
        let mut inner = lock(&self.inner);
        inner.is_open = false;
        let changes = std::mem::take(&mut inner.changes).into_iter().map(|job| job.answer);
        let usage = std::mem::take(&mut inner.usage).into_iter().map(|(_, answer)| answer);
        (inner.change_rows, inner.usage_rows) = (0, 0);
        drop(inner);
        for answer in changes.chain(usage) {
            tell(answer, Err(CommitError::Closed));
        }
    }
}

impl Inner {
    fn take(&mut self, sweep: Option<(TokenId, usize)>) -> Option<Work> {
        let sweep = sweep.filter(|_| self.is_open);
        let others_wait = !self.usage.is_empty() || sweep.is_some();
        let others_are_due = others_wait && self.groups_in_a_row >= GROUPS_IN_A_ROW_MAX;
        if self.changes.is_empty() || others_are_due {
            self.groups_in_a_row = 0;
            if let Some((from, tokens_max)) = sweep
                && (self.usage.is_empty() || self.usage_went_last)
            {
                self.usage_went_last = false;
                return Some(Work::Sweep { from, tokens_max });
            }
            self.usage_went_last = true;
            return self.take_usage();
        }
        self.groups_in_a_row += 1;
        Some(Work::Changes(self.take_group()))
    }

    fn take_group(&mut self) -> Vec<Job> {
        let mut group = Vec::new();
        let mut room = GROUP_ROWS_MAX;
        while group.len() < GROUP_CHANGES_MAX {
            let Some(next) = self.changes.front() else { break };
            let rows = change::rows(&next.change);
            if !group.is_empty() && rows > room {
                break;
            }
            room = room.saturating_sub(rows);
            self.change_rows -= rows;
            group.extend(self.changes.pop_front());
        }
        group
    }

    fn take_usage(&mut self) -> Option<Work> {
        let (mut rows, mut answers) = (Vec::new(), Vec::new());
        while let Some((mut next, answer)) = self.usage.pop_front() {
            let room = USES_PER_RUN_MAX - rows.len();
            if next.len() <= room {
                rows.append(&mut next);
                answers.push(answer);
            } else {
                rows.extend(next.drain(next.len() - room..));
                self.usage.push_front((next, answer));
                break;
            }
        }
        self.usage_rows -= rows.len();
        (!rows.is_empty() || !answers.is_empty()).then_some(Work::Usage { rows, answers })
    }
}

#[cfg(test)]
mod tests;
