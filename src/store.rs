//! The store: everything that must survive, behind two small traits.
//!
//! [`Ledger`] is the side of the governors: load, list, commit. [`Facts`] is the side of the
//! gateway: look up what a decision needs. Both are implemented by `redb` (one file) and by
//! `memory`; one conformance suite runs over both.
//!
//! **Invariants.**
//! - A commit is all or nothing: records, audit events, notices and the idempotency row
//!   together.
//! - A commit is answered after it is durable *and* after every follower has applied it.
//! - A restrictive change is announced to the followers ([`Follower::bar`]) before it is
//!   committed. If the commit then fails, the bar stays until the store is opened anew.
//! - Revisions grow by one with each change; a record's `version` is the revision that wrote it.

use crate::access::{OrgFacts, OwnerFacts, SecretFacts, TokenFacts, Verdicts};
use crate::audit::chain::{Proof, Published, Row, Verdict};
use crate::audit::{Draft, Event};
use crate::change::{Change, Creation, Require};
use crate::exemption::Exemption;
use crate::id::{NoticeId, OrgId, TokenId, UserId, WebhookId};
use crate::notice::{Addressee, Due, Notice, Webhook};
use crate::org::{Organization, Revision, User};
use crate::role::RoleTable;
use crate::secret::Digest;
use crate::time::Timestamp;
use crate::token::watch::Watch;
use crate::token::{ApiToken, Usage, Use, Used};
use crate::validation::{Flag, Run, Schedule};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

mod change;
mod codec;
#[cfg(test)]
mod conformance;
mod engine;
mod figures;
mod journal;
pub mod memory;
mod outbox;
mod record;
pub mod redb;
mod reminder;
mod room;
mod trail;
mod validation;
#[cfg(test)]
pub(crate) mod wayward;
mod writer;

pub use figures::{Grain, MINUTES_KEPT};
pub use room::Store;
pub use trail::{Ends, FORGOTTEN_AT_A_TIME_MAX};

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its revision: the `version` of every record that it wrote.
    pub revision: Revision,
}

/// Why a change was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Something that the change requires does not hold; nothing was written.
    #[error("the state has changed meanwhile: {0:?} does not hold")]
    Conflict(Require),
    /// The queue of the writer is full; nothing was written.
    #[error("too many changes are waiting to be written")]
    Busy,
    /// The disk is full. What the change takes away stays refused until the restart.
    #[error("the store's disk is full")]
    Full,
    /// The store failed, or the change is one that no store could hold. If
    /// [`Ledger::is_writable`] says that the store failed, what the change takes away stays refused
    /// until the restart.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The store is closing or has failed before and takes no changes until it is opened anew.
    #[error("the store takes no changes any more")]
    Closed,
}

/// Why the store could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be read: {0}")]
pub struct StoreError(pub String);

/// The answer to a commit, to be awaited. Dropping it does not take the change back.
#[derive(Debug)]
pub struct Commit(oneshot::Receiver<Result<Committed, CommitError>>);

impl Commit {
    /// An answer that is still to come, and where to put it.
    #[must_use]
    pub fn pending() -> (oneshot::Sender<Result<Committed, CommitError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// Waits on a thread that may block (never on a worker).
    pub fn wait(self) -> Result<Committed, CommitError> {
        self.0.blocking_recv().unwrap_or(Err(CommitError::Closed))
    }
}

impl Future for Commit {
    type Output = Result<Committed, CommitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or(Err(CommitError::Closed)))
    }
}

/// The governors' side. Reads see every acknowledged commit. All of it may block; none of it is
/// for a worker.
pub trait Ledger: Validations + Send + Sync {
    /// An organization.
    fn organization(&self, id: OrgId) -> Result<Option<Organization>, StoreError>;
    /// All organizations, in the order of their making.
    fn organizations(&self) -> Result<Vec<Organization>, StoreError>;
    /// A user.
    fn user(&self, id: UserId) -> Result<Option<User>, StoreError>;
    /// All users of an organization, in the order of their making.
    fn users(&self, org: OrgId) -> Result<Vec<User>, StoreError>;
    /// A token and its stored usage.
    fn token(&self, id: TokenId) -> Result<Option<(ApiToken, Usage)>, StoreError>;
    /// Visits the tokens of an organization, or only one owner's, revoked ones included, in the
    /// order of their making, within one snapshot, until told to stop.
    fn visit_tokens(
        &self,
        org: OrgId,
        owner: Option<UserId>,
        visit: &mut dyn FnMut(ApiToken, Usage) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;
    /// Events of an organization, newest first, beginning below `before`, at most `limit`.
    fn events(
        &self,
        org: OrgId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError>;
    /// Visits the events of an organization behind one, oldest first, within one snapshot, until
    /// told to stop.
    fn visit_events(
        &self,
        org: OrgId,
        after: u64,
        visit: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;
    /// Visits the events of an organization before one, or all of them, newest first, within one
    /// snapshot, until told to stop.
    fn visit_events_back(
        &self,
        org: OrgId,
        before: Option<u64>,
        visit: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;
    /// Where the trail of an organization begins and ends.
    fn trail(&self, org: OrgId) -> Result<Ends, StoreError>;
    /// Proves the trail of an organization under the store's key, and that a published head is in
    /// it. Reads all of it.
    fn prove(&self, org: OrgId, published: Option<Published>) -> Result<Verdict, StoreError>;
    /// What was made under an idempotency key.
    fn creation(&self, key: &[u8; 32]) -> Result<Option<Creation>, StoreError>;
    /// A notice.
    fn notice(&self, org: OrgId, id: NoticeId) -> Result<Option<Notice>, StoreError>;
    /// Visits the notices of an organization that were made before another one, the latest first,
    /// within one snapshot, until told to stop.
    fn visit_notices(
        &self,
        org: OrgId,
        before: Option<NoticeId>,
        visit: &mut dyn FnMut(Notice) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;
    /// Visits the notices of all organizations that wait for something until `until` at the latest,
    /// within one snapshot: addressee by addressee, whoever waits for longest first, and what each is
    /// told in turn, the longest overdue first. `visit` says how to go on. None of them is read for
    /// it, so one that is damaged stops nothing; it may even be gone.
    fn visit_due_notices(
        &self,
        due: Due,
        until: Timestamp,
        visit: &mut dyn FnMut(&Queued) -> Onward,
    ) -> Result<(), StoreError>;
    /// Whether there is a notice that has outlived its time at `now`, so that
    /// [`Write::ForgetNotices`](crate::change::Write::ForgetNotices) would forget it.
    fn has_outlived_notices(&self, now: Timestamp) -> Result<bool, StoreError>;
    /// A webhook.
    fn webhook(&self, org: OrgId, id: WebhookId) -> Result<Option<Webhook>, StoreError>;
    /// The webhooks of an organization, in the order of their making.
    fn webhooks(&self, org: OrgId) -> Result<Vec<Webhook>, StoreError>;
    /// All that is recorded of the uses of some tokens of an organization, as far as the store was told.
    /// The tokens are in the order of their identities, and each is named once.
    fn used(&self, org: OrgId, tokens: &[TokenId]) -> Result<Vec<Used>, StoreError>;
    /// How uses were recorded so far; nothing before the first gateway began.
    fn watch(&self) -> Result<Option<Watch>, StoreError>;
    /// The verdicts about an organization's tokens in the last minutes, or on the last days: when
    /// each began and what they came to, the earliest first.
    fn verdicts(&self, org: OrgId, grain: Grain) -> Result<Vec<(Timestamp, Verdicts)>, StoreError>;
    /// The interned roles, as of the last commit.
    fn roles(&self) -> Arc<RoleTable>;
    /// Commits a change; administration goes before usage.
    ///
    /// To load very many tokens, make them in the order of their digests (so that all indexes grow
    /// at their ends) and queue up to 128 changes of a thousand before awaiting the first.
    fn commit(&self, change: Change) -> Commit;
    /// Appends events that tell of no change of a record: a refused call, a run, a delivery.
    fn tell(&self, events: Vec<Draft>) -> Commit {
        self.commit(Change { events, ..Change::default() })
    }
    /// Adds usage to what is stored: the later use, the sum of the counts, what was needed. Tokens that are not
    /// there are passed over, at once or later. Usage makes no revision and no follower hears of it:
    /// the answer has the revision of the last change before it.
    fn record_usage(&self, usage: Vec<Use>) -> Commit;
    /// Makes `follower` hear of every change from now on. Called before anything is committed.
    fn follow(&self, follower: Arc<dyn Follower>);
    /// Whether changes are still taken.
    fn is_writable(&self) -> bool;
}

/// A notice in the queue of its addressee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The organization.
    pub org: OrgId,
    /// The notice.
    pub id: NoticeId,
    /// Who is told.
    pub to: Addressee,
    /// What is told in order ([`About::lane`](crate::notice::About::lane)).
    pub lane: Option<u128>,
}

/// Where a visit of queues goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// With the next notice to the same addressee; behind the last one, with the next addressee.
    Notice,
    /// With the next addressee.
    Addressee,
    /// Nowhere: that is enough.
    Nowhere,
}

/// Shows a proof an event that was exported, in the place that it says it has.
pub fn see_exported(proof: &mut Proof<'_>, event: &Event) -> Result<(), StoreError> {
    let body = trail::body_of(event)?;
    let Event { seq, previous, link, .. } = *event;
    proof.see(Row { place: seq, seq, previous, link, event: &body });
    Ok(())
}

/// What a copy of a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The last commit in it.
    pub revision: Revision,
    /// How many rows, of all tables together.
    pub rows: u64,
}

/// Why a copy of a store could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The store.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// No room is left where the copy is to lie.
    #[error("there is no room for the copy: its disk is full")]
    Full,
    /// The copy.
    #[error("the copy cannot be written: {0}")]
    Write(String),
}

/// The side of who keeps copies.
pub trait Archive: Send + Sync {
    /// The last commit.
    fn revision(&self) -> Result<Revision, StoreError>;
    /// Writes the last committed state into an empty file, as a store in one file, and makes its
    /// bytes durable. It is one snapshot: what is committed meanwhile is not in it and does not
    /// wait for it. `told` hears how many rows there are so far. Blocks for long.
    fn copy(&self, file: &std::fs::File, told: &mut dyn FnMut(u64)) -> Result<Copied, CopyError>;
}

/// The most tokens that are read in one snapshot by [`Validations::tokens_after`].
pub const STRETCH_TOKENS_MAX: usize = record::VISITED_AT_A_TIME;

/// What the scheduler reads; the part of [`Ledger`] that is its own. All of it may block.
pub trait Validations: Send + Sync {
    /// Where the validation of each organization stands that has a schedule.
    fn schedules(&self) -> Result<Vec<Schedule>, StoreError>;
    /// A run of an organization.
    fn run(&self, org: OrgId, number: u64) -> Result<Option<Run>, StoreError>;
    /// Runs of an organization below a number, the latest first, at most `limit`.
    fn runs(&self, org: OrgId, before: Option<u64>, limit: usize) -> Result<Vec<Run>, StoreError>;
    /// A part of the flags of a run; none beyond the last one.
    fn flags(&self, org: OrgId, run: u64, number: u32) -> Result<Option<Vec<Flag>>, StoreError>;
    /// Runs, and which parts of their flags are stored, at most `limit` of them.
    fn segments(&self, org: OrgId, limit: usize) -> Result<Vec<(u64, u32)>, StoreError>;
    /// The exemptions of an organization, those that are over included, in the order of their
    /// making.
    fn exemptions(&self, org: OrgId) -> Result<Vec<Exemption>, StoreError>;
    /// The tokens of an organization that were made after another one, with their stored usage,
    /// revoked ones included, in the order of their making, at most [`STRETCH_TOKENS_MAX`], in a
    /// snapshot of its own: who reads on sees what was committed meanwhile.
    fn tokens_after(
        &self,
        org: OrgId,
        after: Option<TokenId>,
    ) -> Result<Vec<(ApiToken, Usage)>, StoreError>;
    /// The tokens of whose ends somebody is to be told until an instant, each with its reminder, the
    /// longest overdue first, at most `limit`.
    fn due_reminders(
        &self,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ApiToken)>, StoreError>;
    /// Up to when reminders are done; nothing if none ever were.
    fn reminded_through(&self) -> Result<Option<Timestamp>, StoreError>;
}

/// What a decision about one token needs, read in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The token.
    pub token: TokenFacts,
    /// Which of its secrets was looked up.
    pub secret: SecretFacts,
    /// Its owner.
    pub owner: OwnerFacts,
    /// Its organization.
    pub org: OrgFacts,
}

/// The gateway's side.
pub trait Facts: Send + Sync {
    /// What is known about a digest, and the revision of the snapshot that says so. May read from
    /// disk: whoever calls it on a worker must know when to stop doing so.
    fn lookup(&self, digest: &Digest) -> Result<(Revision, Option<Found>), StoreError>;
    /// Visits every digest that the store knows, and answers how many there were.
    fn visit_digests(&self, visit: &mut dyn FnMut(&Digest)) -> Result<u64, StoreError>;
}

/// Names a fact that a follower holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FactKey {
    /// A token, by its digest.
    Token(Digest),
    /// An owner.
    Owner(UserId),
    /// An organization.
    Organization(OrgId),
}

/// A fact as a commit left it; `None` where the record is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A token that has had one secret only.
    Token(Digest, Option<TokenFacts>),
    /// A secret of a token that has had several: what it is good for is to be read anew.
    Secret(Digest),
    /// An owner.
    Owner(UserId, Option<OwnerFacts>),
    /// An organization.
    Organization(OrgId, Option<OrgFacts>),
}

/// Somebody who must know of changes before they are acknowledged: the cache. Called on the
/// writer's thread, in the order of the commits, so it must neither block nor wait for a commit.
/// It may read the store.
pub trait Follower: Send + Sync {
    /// A restrictive change is about to be committed: refuse these from now on, until
    /// [`Follower::apply`] names them.
    fn bar(&self, keys: &[FactKey]);
    /// A change was committed.
    fn apply(&self, revision: Revision, facts: &[Fact]);
}
