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
use crate::store::{CommitError, Committed, Ledger};
use crate::time::Timestamp;
use std::sync::Arc;

/// How many changes of one request wait to be written at a time.
const CHANGES_AT_ONCE: usize = 128;

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

/// Reads, in a pass over all tokens of the caller's organization, once it is its turn. Waiting takes
/// time, so it is by the present records that the caller is judged then.
pub(crate) async fn pass<T: Send + 'static>(
    state: &Shared,
    call: Call,
    work: impl FnOnce(&Desk<'_>) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let turn = state.passes.turn(call.caller.org()).await?;
    let state = Arc::clone(state);
    blocking(move || {
        // Also if nobody waits for the answer any more, the next one's turn is after this pass.
        let _turn = turn;
        judged_anew(&state, &call, work)
    })
    .await
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
            blocking(move || attempt_at_desk(&state, &call, attempt, |desk| plan(desk))).await?
        };
        let (change, answer) = match step {
            Step::Answer(answer, version) => return Ok(Versioned { answer, version }),
            Step::Commit(change, answer) => (change, answer),
        };
        let restrictive = change.restrictive;
        let committed = state.ledger.commit(*change).await;
        if let Some(version) = settled(committed, restrictive, state)? {
            return Ok(Versioned { answer, version });
        }
    }
    Err(moving())
}

/// The revision of a commit; nothing if its change is to be planned anew.
fn settled(
    committed: Result<Committed, CommitError>,
    restrictive: bool,
    state: &AdminState,
) -> Result<Option<Revision>, Problem> {
    match committed {
        Ok(committed) => Ok(Some(committed.revision)),
        Err(CommitError::Conflict(failed)) => match settle(&failed) {
            Settlement::Retry => Ok(None),
            Settlement::Refused(refusal) => Err(refusal.into()),
        },
        Err(error) => {
            // What a failed store was about to take away stays barred.
            let denied = restrictive && !state.ledger.is_writable();
            Err(Problem::uncommitted(&error, denied))
        }
    }
}

fn moving() -> Problem {
    Problem::new(Kind::Conflict, "others keep changing the same; try again")
}

/// As [`change`], for each of many by itself; the answers are in the order of the keys. So many changes
/// are queued before the first is awaited that they share transactions, and so few that others find
/// room. Where the caller's token ends midway, that is the answer of each that is still open: what
/// was done before is told all the same.
pub(crate) async fn each<K: Send + Sync + 'static, T: Send + 'static>(
    state: &Shared,
    call: Call,
    keys: Vec<K>,
    plan: impl Fn(&Desk<'_>, &K) -> Result<Step<T>, Problem> + Send + Sync + 'static,
) -> Vec<Result<T, Problem>> {
    let (plan, call, keys) = (Arc::new(plan), Arc::new(call), Arc::new(keys));
    let mut done: Vec<Result<T, Problem>> = keys.iter().map(|_key| Err(moving())).collect();
    let mut open: Vec<usize> = (0..keys.len()).collect();
    for attempt in 0..ATTEMPTS_MAX {
        let mut again = Vec::new();
        for part in open.chunks(CHANGES_AT_ONCE) {
            let steps = {
                let (state, call, plan) = (Arc::clone(state), Arc::clone(&call), Arc::clone(&plan));
                let (keys, part) = (Arc::clone(&keys), part.to_vec());
                let plan_all = move |desk: &Desk<'_>| {
                    Ok(part.into_iter().map(|at| (at, plan(desk, &keys[at]))).collect::<Vec<_>>())
                };
                blocking(move || attempt_at_desk(&state, &call, attempt, plan_all)).await
            };
            let steps = match steps {
                Ok(steps) => steps,
                Err(problem) => {
                    for &at in part {
                        done[at] = Err(problem.clone());
                    }
                    continue;
                }
            };
            let mut queued = Vec::new();
            for (at, step) in steps {
                match step {
                    Err(problem) => done[at] = Err(problem),
                    Ok(Step::Answer(answer, _version)) => done[at] = Ok(answer),
                    Ok(Step::Commit(change, answer)) => {
                        let restrictive = change.restrictive;
                        queued.push((at, restrictive, answer, state.ledger.commit(*change)));
                    }
                }
            }
            for (at, restrictive, answer, commit) in queued {
                match settled(commit.await, restrictive, state) {
                    Ok(Some(_revision)) => done[at] = Ok(answer),
                    Ok(None) => again.push(at),
                    Err(problem) => done[at] = Err(problem),
                }
            }
        }
        open = again;
        if open.is_empty() {
            break;
        }
    }
    done
}

/// At the first attempt by what authentication has found, later by the present records.
fn attempt_at_desk<T>(
    state: &AdminState,
    call: &Call,
    attempt: usize,
    work: impl FnOnce(&Desk<'_>) -> Result<T, Problem>,
) -> Result<T, Problem> {
    if attempt == 0 {
        at_desk(state, &call.caller, call, work)
    } else {
        judged_anew(state, call, work)
    }
}

fn judged_anew<T>(
    state: &AdminState,
    call: &Call,
    work: impl FnOnce(&Desk<'_>) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let again = session::again(&*state.ledger, &call.caller, &call.shown, (state.clock)())?;
    at_desk(state, &again?, call, work)
}
