//! The one thread that writes, and the two queues that lead to it.
//!
//! A durable commit costs the same for one change as for many, so the writer takes all that is
//! waiting, up to a limit, into one transaction: a group. Within a group each change is checked
//! upon what the changes before it have written, and either written whole or refused whole.
//!
//! For one group, in this order:
//! 1. each change is checked; where one that takes access away passes, the followers bar what it
//!    writes; then it is written;
//! 2. the transaction is committed durably;
//! 3. the followers apply each change, in the order of the revisions;
//! 4. each change is answered.
//!
//! **Invariants.**
//! - Administration goes before usage, and usage before the sweeps of its journal: a change waits
//!   for at most the one transaction of either that is under way when it comes, which writes at most
//!   [`USES_PER_RUN_MAX`] uses, or [`Folding::tokens_per_part`] rows.
//! - After a transaction failed, nobody knows what the file says: all changes of its group are
//!   answered with the failure, the bars stay, and nothing is taken any more.

use super::change;
use super::engine::{End, Engine, Failure};
use super::journal::{self, Backlog, Folding, WriteJournal};
use super::record::{Records, WriteRecords};
use super::{Commit, CommitError, Committed, Fact, Follower};
use crate::audit::chain::Key;
use crate::change::Change;
use crate::id::TokenId;
use crate::org::Revision;
use crate::role::RoleTable;
use crate::token::Use;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

mod queue;

use queue::{Job, Queues, Work};

/// The changes in one transaction, at most.
pub(super) const GROUP_CHANGES_MAX: usize = 64;
/// The rows in one group, at most; a change with more has a transaction of its own.
///
/// Daily life never comes near it. It is for imports, which queue thousands of rows a change: a
/// page of the digest index is then rewritten once for many tokens instead of once for each, which
/// halves the time they take. At some 20 µs a row it also bounds how long a group can take.
pub(super) const GROUP_ROWS_MAX: usize = 65_536;
/// The uses in one transaction, at most; they are a run of the usage journal.
pub(super) const USES_PER_RUN_MAX: usize = 65_536;

type Answer = oneshot::Sender<Result<Committed, CommitError>>;

/// The writer's handle.
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the callers and the thread both see.
struct Shared {
    queues: Queues,
    followers: Mutex<Vec<Arc<dyn Follower>>>,
    roles: ArcSwap<RoleTable>,
}

impl Writer {
    /// Starts the thread upon an engine that is already set up.
    pub(super) fn start<E: Engine>(
        engine: Arc<E>,
        key: Arc<Key>,
        folding: Folding,
    ) -> Result<Self, Failure> {
        let snapshot = engine.snapshot()?;
        let (revision, roles) = (snapshot.revision()?, snapshot.roles()?);
        let backlog = Backlog::of(&snapshot, folding)?;
        drop(snapshot);
        let shared = Arc::new(Shared {
            queues: Queues::new(),
            followers: Mutex::default(),
            roles: ArcSwap::from_pointee(roles),
        });
        let desk = Desk { engine, shared: Arc::clone(&shared), key, revision, backlog };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || desk.work())
            .map_err(|error| Failure::Broken(format!("no thread to write with: {error}")))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Queues a change.
    pub(super) fn commit(&self, change: Change) -> Commit {
        let (answer, commit) = Commit::pending();
        self.shared.queues.push_change(Job { change, answer });
        commit
    }

    /// Queues usage.
    pub(super) fn record_usage(&self, rows: Vec<Use>) -> Commit {
        let (answer, commit) = Commit::pending();
        self.shared.queues.push_usage(rows, answer);
        commit
    }

    /// Adds a follower.
    pub(super) fn follow(&self, follower: Arc<dyn Follower>) {
        lock(&self.shared.followers).push(follower);
    }

    /// The interned roles.
    pub(super) fn roles(&self) -> Arc<RoleTable> {
        self.shared.roles.load_full()
    }

    /// Whether changes are still taken.
    pub(super) fn is_open(&self) -> bool {
        self.shared.queues.is_open()
    }

    /// Takes nothing more, writes what is queued, and waits for the thread to end.
    pub(super) fn close(&self) {
        self.shared.queues.close();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // A follower that holds the last handle to the store drops it on the thread itself,
            // which cannot wait for its own end.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("the store's writer ended in a panic");
            }
        }
        // Followers commonly hold the store; without this neither would ever be freed.
        lock(&self.shared.followers).clear();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Where the thread sits.
struct Desk<E> {
    engine: Arc<E>,
    shared: Arc<Shared>,
    key: Arc<Key>,
    revision: Revision,
    backlog: Backlog,
}

/// A change that is written and not committed yet.
struct Written {
    revision: Revision,
    facts: Vec<Fact>,
    answer: Answer,
}

impl<E: Engine> Desk<E> {
    fn work(mut self) {
        // Also when this thread panics, in a follower say, nobody may wait for an answer for ever.
        let shared = Arc::clone(&self.shared);
        let _ended = Ended(&shared);
        while let Some(work) = shared.queues.next(self.backlog.sweep()) {
            let done = match work {
                Work::Changes(group) => self.commit_group(group),
                Work::Usage { rows, answers } => self.journal_usage(rows, answers),
                Work::Sweep { from, tokens_max } => self.fold_usage(from, tokens_max),
            };
            if let Err(failure) = done {
                tracing::error!(
                    ?failure,
                    "the store failed and takes no changes until it is opened anew"
                );
                return;
            }
        }
    }

    fn commit_group(&mut self, group: Vec<Job>) -> Result<(), Failure> {
        let followers = lock(&self.shared.followers).clone();
        let mut roles = self.shared.roles.load_full();
        let known_roles = roles.names().len();
        let mut revision = self.revision;
        let mut written: Vec<Written> = Vec::with_capacity(group.len());
        let mut refused: Vec<(Answer, CommitError)> = Vec::new();
        let mut waiting = group.into_iter();

        let outcome = self.engine.transact(|transaction| {
            for Job { change, answer } in &mut waiting {
                // An answer must survive an error below, so it is kept before anything can fail.
                match change::check(transaction, &roles, &change) {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        refused.push((answer, error));
                        continue;
                    }
                    Err(failure) => {
                        refused.push((answer, failure.into()));
                        continue;
                    }
                }
                let next = Revision(revision.0 + 1);
                written.push(Written { revision: next, facts: Vec::new(), answer });
                if change.restrictive {
                    let keys = change::barred(transaction, &change)?;
                    for follower in &followers {
                        follower.bar(&keys);
                    }
                }
                let facts = change::write(transaction, &self.key, &mut roles, next, change)?;
                if let Some(last) = written.last_mut() {
                    last.facts = facts;
                }
                revision = next;
            }
            if written.is_empty() {
                return Ok((End::Abort, ()));
            }
            transaction.put_revision(revision)?;
            Ok((End::Commit, ()))
        });

        if let Err(failure) = outcome {
            let unwritten = waiting.map(|job| job.answer);
            let answers = written.into_iter().map(|written| written.answer).chain(unwritten);
            // A refusal may have rested on a change of the group that is now lost.
            let answers = answers.chain(refused.into_iter().map(|(answer, _)| answer));
            // Before the answers: who has one may ask whether the store still takes changes.
            self.shared.queues.fail();
            for answer in answers {
                tell(answer, Err(failure.clone().into()));
            }
            return Err(failure);
        }

        self.revision = revision;
        if roles.names().len() > known_roles {
            self.shared.roles.store(roles);
        }
        for change in &written {
            for follower in &followers {
                follower.apply(change.revision, &change.facts);
            }
        }
        for Written { revision, answer, .. } in written {
            tell(answer, Ok(Committed { revision }));
        }
        for (answer, error) in refused {
            tell(answer, Err(error));
        }
        Ok(())
    }

    fn journal_usage(&mut self, rows: Vec<Use>, answers: Vec<Answer>) -> Result<(), Failure> {
        let uses = journal::in_order(rows);
        let run = self.backlog.next_run();
        let outcome = self.engine.transact(|transaction| {
            transaction.append_uses(run, &uses)?;
            Ok((End::Commit, ()))
        });
        match outcome {
            Ok(()) if uses.is_empty() => {}
            Ok(()) => self.backlog.appended(uses.len()),
            Err(_) => self.shared.queues.fail(),
        }
        let told = outcome.clone().map(|()| Committed { revision: self.revision });
        for answer in answers {
            tell(answer, told.clone().map_err(CommitError::from));
        }
        outcome
    }

    fn fold_usage(&mut self, from: TokenId, tokens_max: usize) -> Result<(), Failure> {
        let folded = self.engine.transact(|transaction| {
            let folded = transaction.fold(from, tokens_max)?;
            Ok((End::Commit, folded))
        });
        match folded {
            Ok(folded) => {
                self.backlog.folded(&folded);
                Ok(())
            }
            Err(failure) => {
                self.shared.queues.fail();
                Err(failure)
            }
        }
    }
}

/// Closes the queues when the thread ends, however it ends.
struct Ended<'s>(&'s Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.queues.fail();
    }
}

/// Whoever asked may be gone; the change stands all the same.
fn tell(answer: Answer, what: Result<Committed, CommitError>) {
    drop(answer.send(what));
}

/// What a panic left in a lock of this room is whole: every critical section is one step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
