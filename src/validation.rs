//! Validation runs: the pass over all tokens of an organization against its policies.
//!
//! Violations are derived whenever somebody looks; a run is there for what looking cannot do. It
//! finds what is *new* since the last one and what is gone, and it takes the steps of policies that are
//! enforced. For that it keeps a [`Flag`] for each token that it found in violation.
//!
//! **Invariant.** All that a run decides, it decides as of the instant at which it was started, and
//! that instant is stored before anything else is done: a run that a crash broke off is repeated
//! under its number and decides the same again.

use crate::exemption::Exemption;
use crate::id::{ExemptionId, OrgId, TokenId, UserId};
use crate::policy::PolicyKind;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often every organization is validated.
pub const INTERVAL: Duration = Duration::from_hours(24);
/// The finished runs that are kept of each organization.
pub const RUNS_KEPT_MAX: u64 = 400;
/// The flags in one segment.
pub const SEGMENT_FLAGS_MAX: usize = 4_096;

/// What a run is made for. The text forms are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A day has passed.
    Scheduled,
    /// A policy was changed.
    PolicyChanged,
    /// Somebody asked for it.
    OnDemand,
}

/// A run that somebody or something wants. It joins one that is queued already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The organization.
    pub org: OrgId,
    /// What for.
    pub trigger: Trigger,
    /// Who wants it; nobody where a day has passed.
    pub by: Option<UserId>,
    /// Since when.
    pub at: Timestamp,
}

/// A run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The organization.
    pub org: OrgId,
    /// Its number in the organization, from 1 without a gap.
    pub number: u64,
    /// What it is made for.
    pub trigger: Trigger,
    /// Who wanted it first.
    pub by: Option<UserId>,
    /// Since when it is wanted.
    pub asked_at: Timestamp,
    /// How far it is.
    pub state: RunState,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// It waits for its turn.
    Queued,
    /// It is at work, or was when the process ended: then it is repeated.
    Running {
        /// Since when, and as of when it decides.
        started_at: Timestamp,
    },
    /// It is through.
    Finished(Findings),
    /// All tokens are read and judged; the owners are being told. When the process ends, the telling
    /// goes on where it was.
    Telling(Telling),
}

/// What a run found that is telling it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// When it was started, and as of when it decided.
    pub started_at: Timestamp,
    /// How long judging took, by a clock that nobody sets.
    pub took: Duration,
    /// What was counted.
    pub counts: Counts,
    /// The parts of its flags: which owners have to be told of what stands in them.
    pub segments: u32,
    /// The last owner who was told, in the order of their identities.
    pub through: Option<UserId>,
}

/// What a run found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// When it was started, and as of when it decided.
    pub started_at: Timestamp,
    /// When it was through.
    pub finished_at: Timestamp,
    /// How long it took, by a clock that nobody sets.
    pub took: Duration,
    /// What was counted.
    pub counts: Counts,
}

/// What a run counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Tokens that it read.
    pub tokens: u64,
    /// Tokens with a violation that counts.
    pub flagged: u64,
    /// Violations that the run before had not found.
    pub new: u64,
    /// Violations of the run before that are gone: healed, ignored, or their token is dead.
    pub cleared: u64,
    /// Tokens of whose violation the owner was warned, as a policy is enforced.
    pub warned: u64,
    /// Tokens that it deactivated for that.
    pub deactivated: u64,
    /// Tokens that it revoked for that.
    pub revoked: u64,
}

/// Where the validation of an organization stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The organization.
    pub org: OrgId,
    /// When the next daily run is due.
    pub next_at: Timestamp,
    /// The number of the latest run.
    pub latest: u64,
    /// The run that waits.
    pub queued: Option<u64>,
    /// The run that is at work.
    pub running: Option<u64>,
    /// The run whose flags are those to compare with: the latest that is through.
    pub compared: Option<u64>,
}

impl Schedule {
    /// The schedule of an organization that has none: a day from now the first run is due.
    #[must_use]
    pub fn new(org: OrgId, now: Timestamp) -> Self {
        let next_at = now.after(INTERVAL);
        Self { org, next_at, latest: 0, queued: None, running: None, compared: None }
    }

    /// What the daily run asks for at `now`.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Due {
        if now < self.next_at {
            // A clock that was set back must not put the next run off for longer than a day.
            let latest = now.after(INTERVAL);
            return if self.next_at > latest { Due::Moved(latest) } else { Due::Later };
        }
        // Runs that were missed are made up by one.
        let interval = INTERVAL.as_millis();
        let late = now.since(self.next_at).as_millis() % interval;
        let left = u64::try_from(interval - late).unwrap_or(u64::MAX);
        Due::Now { next_at: now.after(Duration::from_millis(left)) }
    }
}

/// What a schedule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Later,
    /// Nothing yet, but the next run is to be earlier than it was planned.
    Moved(Timestamp),
    /// A run, and the next one at this time.
    Now {
        /// The time of day stays the same, however late this run is.
        next_at: Timestamp,
    },
}

/// What a run keeps of a token that it found in violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// The token.
    pub token: TokenId,
    /// Who owned it: what its owner knows of it, they know.
    pub owner: UserId,
    /// Its violation of the Idle Token TTL.
    pub idle_ttl: Option<Mark>,
    /// Its violation of the Max Token TTL.
    pub max_ttl: Option<Mark>,
}

impl Flag {
    /// Takes back that the run which was started at `at` deactivated the token.
    pub fn retract(&mut self, at: Timestamp) {
        for mark in [&mut self.idle_ttl, &mut self.max_ttl].into_iter().flatten() {
            mark.deactivated_at = mark.deactivated_at.filter(|deactivated| *deactivated != at);
        }
    }

    /// What is kept of a token's violation of one policy.
    #[must_use]
    pub const fn of(&self, policy: PolicyKind) -> Option<&Mark> {
        match policy {
            PolicyKind::IdleTtl => self.idle_ttl.as_ref(),
            PolicyKind::MaxTtl => self.max_ttl.as_ref(),
        }
    }
}

/// What a run keeps of one violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When the run was started that found it first.
    pub found_at: Timestamp,
    /// When the run was started that warned the owner of what follows.
    pub warned_at: Option<Timestamp>,
    /// When the run was started that deactivated the token.
    pub deactivated_at: Option<Timestamp>,
    /// What the owner knows of it.
    pub told: Told,
}

/// What the owner of a token knows of its violation. It goes with the violation: one that comes back
/// is told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Told {
    /// Nothing: the token was exempt as long as it was known.
    Nothing,
    /// The run that kept this tells of the violation.
    Found,
    /// The run that kept this warns of what follows of it.
    Warned,
    /// A run before that told of it.
    Before,
}

/// A part of the flags of a run, in the order of their tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The organization.
    pub org: OrgId,
    /// The run.
    pub run: u64,
    /// Which part, from 0.
    pub number: u32,
    /// The flags, at most [`SEGMENT_FLAGS_MAX`].
    pub flags: Vec<Flag>,
}

/// What is written of validation, exemptions from what follows of it included. Who runs it and who asks for it write at the same time, so these
/// say what happened, and the writer finds out what that comes to. What names a run that does not
/// exist is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The next daily run is at this time; an organization that has no schedule gets one.
    Next(OrgId, Timestamp),
    /// A run is wanted. It gets the next number, unless one is queued already.
    Wanted(Wanted),
    /// A queued run is started.
    Running {
        /// The organization.
        org: OrgId,
        /// The run.
        run: u64,
        /// As of when it decides.
        started_at: Timestamp,
    },
    /// Some of its flags.
    Flags(Segment),
    /// All is judged, and owners up to one are told.
    Telling {
        /// The organization.
        org: OrgId,
        /// The run.
        run: u64,
        /// How far it is.
        telling: Telling,
    },
    /// It is through. Of the finished runs the oldest beyond [`RUNS_KEPT_MAX`] goes.
    Finished {
        /// The organization.
        org: OrgId,
        /// The run.
        run: u64,
        /// What it found.
        findings: Findings,
    },
    /// An exemption is granted.
    Exempt(Box<Exemption>),
    /// An exemption is over.
    Unexempt(OrgId, ExemptionId),
    /// Flags that nobody will compare with are forgotten.
    Forget {
        /// The organization.
        org: OrgId,
        /// The run.
        run: u64,
        /// Which part of its flags.
        number: u32,
    },
}

#[cfg(test)]
mod tests;
