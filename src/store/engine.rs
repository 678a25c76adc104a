//! What a place that keeps bytes must be able to do, for the rest of the store to stand on it.
//!
//! The records, their indexes, the checks and the writer are written once, over these traits. An
//! engine knows tables of bytes in the order of their keys, and transactions; nothing else.

use super::{CommitError, StoreError};
use std::ops::{Bound, ControlFlow};

/// The tables. Where a record belongs to an organization its key begins with it, so that the
/// records of one organization lie together and in the order of their making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// `format` -> the format's version; `revision` -> the last revision; `audit_key` -> what tells
    /// the key of the trails from others; `reminded_through` -> how far reminders are done; `watch` ->
    /// since when uses are recorded.
    Meta,
    /// Organization -> record.
    Organizations,
    /// Organization, user -> record.
    Users,
    /// User -> organization.
    UserHomes,
    /// Organization, lower-case e-mail address -> user.
    Emails,
    /// Organization, token -> record.
    Tokens,
    /// Token -> organization.
    TokenHomes,
    /// Digest -> organization, token, and what a decision needs of both token and secret.
    Digests,
    /// Owner, token -> whether it is not revoked.
    Owned,
    /// Organization, token -> usage. Apart from the token: it changes with requests.
    Usage,
    /// Run, first token -> uses that are on their way into the usage table.
    UsageJournal,
    /// Organization, sequence number -> links and event.
    Events,
    /// Role number -> name.
    Roles,
    /// Idempotency key -> what was made under it.
    Creations,
    /// When a creation may be forgotten, idempotency key -> nothing.
    CreationEnds,
    /// Organization -> where its validation stands.
    Schedules,
    /// Organization, number -> validation run.
    Runs,
    /// Organization, validation run, number -> a part of its flags.
    Flags,
    /// Organization, exemption -> record.
    Exemptions,
    /// Organization -> the last event of its trail.
    Heads,
    /// Organization -> what stands for the beginning of its trail.
    Checkpoints,
    /// Organization, notice -> record.
    Notices,
    /// Why, when, addressee -> organization: the first notice of each queue. And when a notice may be
    /// forgotten, notice -> organization.
    NoticeDues,
    /// Why, addressee, when, notice -> organization, and what is told in order.
    NoticeQueues,
    /// Subject, user -> the notice that is settling.
    NoticeLanes,
    /// Organization, webhook -> record.
    Webhooks,
    /// Organization, minute or day -> verdicts about its tokens.
    Verdicts,
    /// When the owner of a token is told of its end next, token -> organization.
    Reminders,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Self; 28] = [
        Self::Meta,
        Self::Organizations,
        Self::Users,
        Self::UserHomes,
        Self::Emails,
        Self::Tokens,
        Self::TokenHomes,
        Self::Digests,
        Self::Owned,
        Self::Usage,
        Self::UsageJournal,
        Self::Events,
        Self::Roles,
        Self::Creations,
        Self::CreationEnds,
        Self::Schedules,
        Self::Runs,
        Self::Flags,
        Self::Exemptions,
        Self::Heads,
        Self::Checkpoints,
        Self::Notices,
        Self::NoticeDues,
        Self::NoticeQueues,
        Self::NoticeLanes,
        Self::Webhooks,
        Self::Verdicts,
        Self::Reminders,
    ];

    /// The table's name in the file. Never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Organizations => "organizations",
            Self::Users => "users",
            Self::UserHomes => "user_homes",
            Self::Emails => "emails",
            Self::Tokens => "tokens",
            Self::TokenHomes => "token_homes",
            Self::Digests => "digests",
            Self::Owned => "owned",
            Self::Usage => "usage",
            Self::UsageJournal => "usage_journal",
            Self::Events => "events",
            Self::Roles => "roles",
            Self::Creations => "creations",
            Self::CreationEnds => "creation_ends",
            Self::Schedules => "schedules",
            Self::Runs => "runs",
            Self::Flags => "flags",
            Self::Exemptions => "exemptions",
            Self::Heads => "heads",
            Self::Checkpoints => "checkpoints",
            Self::Notices => "notices",
            Self::NoticeDues => "notice_dues",
            Self::NoticeQueues => "notice_queues",
            Self::NoticeLanes => "notice_lanes",
            Self::Webhooks => "webhooks",
            Self::Verdicts => "verdicts",
            Self::Reminders => "reminders",
        }
    }
}

/// Why an engine could not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No room is left.
    Full,
    /// Anything else, in the words of whoever noticed.
    Broken(String),
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => Self("the disk is full".to_owned()),
            Failure::Broken(why) => Self(why),
        }
    }
}

impl From<Failure> for CommitError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => Self::Full,
            Failure::Broken(why) => Self::Failed(why),
        }
    }
}

/// A part of a table: what its keys lie between.
pub(super) type Span<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// In which order a scan visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the smallest key on.
    Ascending,
    /// From the largest key on.
    Descending,
}

/// Sees a key and its value, and says whether to go on.
pub(super) type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Failure>;

/// Reads one state of the tables: a snapshot, or what a transaction has made of it so far.
pub trait Read {
    /// What `read` makes of the value under a key; `None` where there is none.
    fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, Failure>;

    /// Visits the rows of a part of a table until told to stop.
    fn scan(
        &self,
        table: Table,
        span: Span<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), Failure>;
}

/// A transaction under way.
pub trait Write: Read {
    /// Sets the value under a key.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Failure>;
    /// Removes a key, if it is there.
    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), Failure>;
}

/// How a transaction shall end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it, durably.
    Commit,
    /// None of it.
    Abort,
}

/// Tables of bytes with transactions. Only the writer's thread calls [`Engine::transact`].
pub trait Engine: Send + Sync + 'static {
    /// One committed state; what is committed later does not show in it.
    type Snapshot: Read;
    /// A transaction under way.
    type Transaction<'t>: Write;

    /// The last committed state.
    fn snapshot(&self) -> Result<Self::Snapshot, Failure>;

    /// Reads a little from the last committed state. An engine may keep a snapshot for it, as long
    /// as nothing has been committed since.
    fn glance<T>(
        &self,
        read: impl FnOnce(&Self::Snapshot) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        read(&self.snapshot()?)
    }

    /// Does `work` in one transaction and ends it as `work` says; an error aborts it. When this
    /// answers `Ok` to a commit, the commit is durable; when it answers an error, nobody can say
    /// until the engine is opened anew.
    fn transact<T>(
        &self,
        work: impl for<'t> FnOnce(&mut Self::Transaction<'t>) -> Result<(End, T), Failure>,
    ) -> Result<T, Failure>;
}
