//! The desk at which requests meet the store: reads, and changes that are planned, committed, and
//! planned anew when the state moved on meanwhile. All of it on threads that may block.

use super::extract::Call;
use super::problem::{Kind, Problem};
use super::{ATTEMPTS_MAX, AdminState, Shared};
use crate::change::Change;
use crate::governance::catalogue::Catalogue;
use crate::governance::{Caller, Occasion, Plan, Settlement, settle};
use crate::id::{OrgId, UserId};
use crate::org::{Organization, Revision, User};
use crate::role::RoleTable;
use crate::session;
use crate::store::{CommitError, Ledger};
use crate::time::Timestamp;
use std::sync::Arc;

/// What a handler works with on a blocking thread.
pub(crate) struct Desk<'a> {
    pub(crate) state: &'a AdminState,
    pub(crate) caller: &'a Caller,
    pub(crate) at: Occasion<'a>,
    pub(crate) catalogue: &'a Catalogue,
}

impl Desk<'_> {
    pub(crate) fn ledger(&self) -> &dyn Ledger {
        &*self.state.ledger
    }

    pub(crate) const fn now(&self) -> Timestamp {
        self.at.now
    }

    pub(crate) const fn roles(&self) -> &RoleTable {
        self.at.roles
    }

    /// The caller's organization, if the path names that one; no other is there for anybody.
    pub(crate) fn org(&self, id: OrgId) -> Result<Organization, Problem> {
        if id != self.caller.org() {
            return Err(Problem::not_found());
        }
        self.ledger().organization(id)?.ok_or_else(Problem::not_found)
    }

    /// A user of the caller's organization.
    pub(crate) fn user(&self, id: UserId) -> Result<User, Problem> {
        let user = self.ledger().user(id)?;
        user.filter(|user| user.org == self.caller.org()).ok_or_else(Problem::not_found)
    }
}

/// An answer and the version of what it shows.
#[derive(Clone, Debug)]
pub(crate) struct Versioned<T> {
    pub(crate) answer: T,
    pub(crate) version: Revision,
}

/// What a handler makes of a request that changes something.
pub(crate) enum Step<T> {
    /// Commit this; then the answer is this.
    Commit(Box<Change>, T),
    /// Nothing is to be changed; the answer shows this version.
    Answer(T, Revision),
}

impl<T> Step<T> {
    /// The step of a plan. `current` is the version of the record if nothing is to be changed.
    pub(crate) fn of<R>(plan: Plan<R>, current: Revision, show: impl FnOnce(R) -> T) -> Self {
        match plan {
            Plan::Change(change, record) => Self::Commit(change, show(record)),
            Plan::Nothing(record) => Self::Answer(show(record), current),
        }
    }

    /// The same step with another answer.
    pub(crate) fn map<U>(self, answer: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Self::Commit(change, shown) => Step::Commit(change, answer(shown)),
            Self::Answer(shown, version) => Step::Answer(answer(shown), version),
        }
    }

    /// Works on the change, if there is one.
    pub(crate) fn with(mut self, work: impl FnOnce(&mut Change)) -> Self {
        if let Self::Commit(change, _) = &mut self {
            work(change);
        }
        self
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let answer = tokio::task::spawn_blocking(work).await;
    answer.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

fn at_desk<T>(
    state: &AdminState,
    caller: &Caller,
    call: &Call,
    work: impl FnOnce(&Desk<'_>) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let roles = state.ledger.roles();
    let catalogue = state.catalogue.load();
    let at = Occasion { now: (state.clock)(), roles: &roles, origin: &call.origin };
    work(&Desk { state, caller, at, catalogue: &catalogue })
}

/// Reads.
pub(crate) async fn read<T: Send + 'static>(
    state: &Shared,
    call: Call,
    work: impl FnOnce(&Desk<'_>) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let state = Arc::clone(state);
    blocking(move || at_desk(&state, &call.caller, &call, work)).await
}

/// Plans and commits. `plan` is asked again when the state moved on before its change was written.
pub(crate) async fn change<T: Send + 'static>(
    state: &Shared,
    call: Call,
    plan: impl Fn(&Desk<'_>) -> Result<Step<T>, Problem> + Send + Sync + 'static,
) -> Result<Versioned<T>, Problem> {
    let plan = Arc::new(plan);
    let call = Arc::new(call);
    for attempt in 0..ATTEMPTS_MAX {
        let step = {
            let (state, call, plan) = (Arc::clone(state), Arc::clone(&call), Arc::clone(&plan));
            blocking(move || {
                if attempt == 0 {
                    return at_desk(&state, &call.caller, &call, |desk| plan(desk));
                }
                let again =
                    session::again(&*state.ledger, &call.caller, &call.shown, (state.clock)())?;
                at_desk(&state, &again?, &call, |desk| plan(desk))
            })
            .await?
        };
        let (change, answer) = match step {
            Step::Answer(answer, version) => return Ok(Versioned { answer, version }),
            Step::Commit(change, answer) => (change, answer),
        };
        let restrictive = change.restrictive;
        match state.ledger.commit(*change).await {
            Ok(committed) => return Ok(Versioned { answer, version: committed.revision }),
            Err(CommitError::Conflict(failed)) => match settle(&failed) {
                Settlement::Retry => {}
                Settlement::Refused(refusal) => return Err(refusal.into()),
            },
            Err(error) => {
                // What a failed store was about to take away stays barred.
                let denied = restrictive && !state.ledger.is_writable();
                return Err(Problem::uncommitted(&error, denied));
            }
        }
    }
    Err(Problem::new(Kind::Conflict, "others keep changing the same; try again"))
}
