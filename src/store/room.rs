//! Both sides of the store over any engine.

use super::engine::{Engine, Failure, Order};
use super::figures::{Figures, Grain};
use super::journal::Folding;
use super::outbox::Outbox;
use super::record::Records;
use super::reminder::Reminders;
use super::trail::{Ends, Trails};
use super::validation::ValidationRecords;
use super::writer::Writer;
use super::{
    Archive, Commit, Copied, CopyError, Facts, Follower, Found, Ledger, Onward, Queued,
    STRETCH_TOKENS_MAX, StoreError, Validations, redb,
};
use crate::access::Verdicts;
use crate::audit::Event;
use crate::audit::chain::{Key, Published, Verdict};
use crate::change::{Change, Creation};
use crate::exemption::Exemption;
use crate::id::{NoticeId, OrgId, TokenId, UserId, WebhookId};
use crate::notice::{Due, Notice, Webhook};
use crate::org::{Organization, Revision, User};
use crate::role::RoleTable;
use crate::secret::Digest;
use crate::time::Timestamp;
use crate::token::watch::Watch;
use crate::token::{ApiToken, Usage, Use, Used};
use crate::validation::{Flag, Run, Schedule};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A store: an engine that keeps the bytes, and the thread that writes them.
///
/// Dropping it, or [`Store::close`], writes what is queued and ends the thread.
pub struct Store<E: Engine> {
    // Before the engine: the thread ends first, and with it its hold on the engine.
    writer: Writer,
    engine: Arc<E>,
    key: Arc<Key>,
}

impl<E: Engine> Store<E> {
    /// A store upon an engine that is already set up, its trails chained under `key`.
    pub(super) fn start(engine: E, key: Key) -> Result<Arc<Self>, Failure> {
        Self::start_folding(engine, key, Folding::default())
    }

    /// The same, which folds its usage journal at other sizes.
    pub(super) fn start_folding(
        engine: E,
        key: Key,
        folding: Folding,
    ) -> Result<Arc<Self>, Failure> {
        let (engine, key) = (Arc::new(engine), Arc::new(key));
        let writer = Writer::start(Arc::clone(&engine), Arc::clone(&key), folding)?;
        Ok(Arc::new(Self { writer, engine, key }))
    }

    /// The engine below.
    pub(super) fn engine(&self) -> &E {
        &self.engine
    }

    /// Takes no more changes, writes what is queued, and lets the followers go. Reads go on.
    ///
    /// To be called before the last handle is dropped: a follower that looks facts up holds the
    /// store, and the store holds the follower.
    pub fn close(&self) {
        self.writer.close();
    }

    fn snapshot(&self) -> Result<E::Snapshot, Failure> {
        self.engine.snapshot()
    }

    /// Leaves bytes in the place of a notice that are none.
    #[cfg(test)]
    pub(crate) fn damage_notice(&self, org: OrgId, id: NoticeId) {
        use super::engine::{End, Table, Write as _};
        let damage = |transaction: &mut E::Transaction<'_>| {
            transaction.put(Table::Notices, &super::codec::notice(org, id), b"?")?;
            Ok((End::Commit, ()))
        };
        self.engine.transact(damage).expect("it can be written");
    }
}

impl<E: Engine> std::fmt::Debug for Store<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("is_writable", &self.is_writable()).finish_non_exhaustive()
    }
}

impl<E: Engine> Ledger for Store<E> {
    fn organization(&self, id: OrgId) -> Result<Option<Organization>, StoreError> {
        Ok(self.snapshot()?.organization(id)?)
    }

    fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        Ok(self.snapshot()?.organizations()?)
    }

    fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        Ok(self.snapshot()?.user(id)?)
    }

    fn users(&self, org: OrgId) -> Result<Vec<User>, StoreError> {
        let mut users = Vec::new();
        self.snapshot()?.users(org, &mut |user| {
            users.push(user);
            ControlFlow::Continue(())
        })?;
        Ok(users)
    }

    fn token(&self, id: TokenId) -> Result<Option<(ApiToken, Usage)>, StoreError> {
        let snapshot = self.snapshot()?;
        let Some(token) = snapshot.token(id)? else { return Ok(None) };
        let usage = snapshot.usage(token.org, id)?;
        Ok(Some((token, usage)))
    }

    fn visit_tokens(
        &self,
        org: OrgId,
        owner: Option<UserId>,
        visit: &mut dyn FnMut(ApiToken, Usage) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let snapshot = self.snapshot()?;
        match owner {
            None => snapshot.tokens(org, visit)?,
            Some(owner) => snapshot.tokens_of(org, owner, visit)?,
        }
        Ok(())
    }

    fn events(
        &self,
        org: OrgId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let mut events = Vec::new();
        if limit == 0 {
            return Ok(events);
        }
        self.visit_events_back(org, before, &mut |event| {
            events.push(event);
            if events.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(events)
    }

    fn visit_events(
        &self,
        org: OrgId,
        after: u64,
        visit: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Ok(self.snapshot()?.visit_events(org, (after, None), Order::Ascending, visit)?)
    }

    fn visit_events_back(
        &self,
        org: OrgId,
        before: Option<u64>,
        visit: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Ok(self.snapshot()?.visit_events(org, (0, before), Order::Descending, visit)?)
    }

    fn trail(&self, org: OrgId) -> Result<Ends, StoreError> {
        Ok(self.snapshot()?.ends(org)?)
    }

    fn prove(&self, org: OrgId, published: Option<Published>) -> Result<Verdict, StoreError> {
        Ok(self.snapshot()?.prove(&self.key, org, published)?)
    }

    fn creation(&self, key: &[u8; 32]) -> Result<Option<Creation>, StoreError> {
        Ok(self.snapshot()?.creation(key)?)
    }

    fn notice(&self, org: OrgId, id: NoticeId) -> Result<Option<Notice>, StoreError> {
        Ok(self.snapshot()?.notice(org, id)?)
    }

    fn visit_notices(
        &self,
        org: OrgId,
        before: Option<NoticeId>,
        visit: &mut dyn FnMut(Notice) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Ok(self.snapshot()?.notices(org, before, visit)?)
    }

    fn visit_due_notices(
        &self,
        due: Due,
        until: Timestamp,
        visit: &mut dyn FnMut(&Queued) -> Onward,
    ) -> Result<(), StoreError> {
        Ok(self.snapshot()?.due_notices(due, until, visit)?)
    }

    fn has_outlived_notices(&self, now: Timestamp) -> Result<bool, StoreError> {
        Ok(!self.snapshot()?.outlived_notices(now, 1)?.is_empty())
    }

    fn webhook(&self, org: OrgId, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        Ok(self.snapshot()?.webhook(org, id)?)
    }

    fn webhooks(&self, org: OrgId) -> Result<Vec<Webhook>, StoreError> {
        Ok(self.snapshot()?.webhooks(org)?)
    }

    fn used(&self, org: OrgId, tokens: &[TokenId]) -> Result<Vec<Used>, StoreError> {
        Ok(self.snapshot()?.used(org, tokens)?)
    }

    fn watch(&self) -> Result<Option<Watch>, StoreError> {
        Ok(self.snapshot()?.watch()?)
    }

    fn verdicts(&self, org: OrgId, grain: Grain) -> Result<Vec<(Timestamp, Verdicts)>, StoreError> {
        Ok(self.snapshot()?.verdicts(org, grain)?)
    }

    fn roles(&self) -> Arc<RoleTable> {
        self.writer.roles()
    }

    fn commit(&self, change: Change) -> Commit {
        self.writer.commit(change)
    }

    fn record_usage(&self, usage: Vec<Use>) -> Commit {
        self.writer.record_usage(usage)
    }

    fn follow(&self, follower: Arc<dyn Follower>) {
        self.writer.follow(follower);
    }

    fn is_writable(&self) -> bool {
        self.writer.is_open()
    }
}

impl<E: Engine> Validations for Store<E> {
    fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        Ok(self.snapshot()?.schedules()?)
    }

    fn run(&self, org: OrgId, number: u64) -> Result<Option<Run>, StoreError> {
        Ok(self.snapshot()?.run(org, number)?)
    }

    fn runs(&self, org: OrgId, before: Option<u64>, limit: usize) -> Result<Vec<Run>, StoreError> {
        Ok(self.snapshot()?.runs(org, before, limit)?)
    }

    fn flags(&self, org: OrgId, run: u64, number: u32) -> Result<Option<Vec<Flag>>, StoreError> {
        Ok(self.snapshot()?.flags(org, run, number)?)
    }

    fn segments(&self, org: OrgId, limit: usize) -> Result<Vec<(u64, u32)>, StoreError> {
        Ok(self.snapshot()?.segments(org, limit)?)
    }

    fn exemptions(&self, org: OrgId) -> Result<Vec<Exemption>, StoreError> {
        Ok(self.snapshot()?.exemptions(org)?)
    }

    fn tokens_after(
        &self,
        org: OrgId,
        after: Option<TokenId>,
    ) -> Result<Vec<(ApiToken, Usage)>, StoreError> {
        Ok(self.snapshot()?.tokens_after(org, after, STRETCH_TOKENS_MAX)?)
    }

    fn due_reminders(
        &self,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ApiToken)>, StoreError> {
        Ok(self.snapshot()?.reminders(until, limit)?)
    }

    fn reminded_through(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.snapshot()?.reminded_through()?)
    }
}

impl<E: Engine> Facts for Store<E> {
    fn lookup(&self, digest: &Digest) -> Result<(Revision, Option<Found>), StoreError> {
        let read = |snapshot: &E::Snapshot| Ok((snapshot.revision()?, snapshot.found(digest)?));
        Ok(self.engine.glance(read)?)
    }

    fn visit_digests(&self, visit: &mut dyn FnMut(&Digest)) -> Result<u64, StoreError> {
        Ok(self.snapshot()?.digests(visit)?)
    }
}

impl<E: Engine> Archive for Store<E> {
    fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.snapshot()?.revision()?)
    }

    fn copy(&self, file: &std::fs::File, told: &mut dyn FnMut(u64)) -> Result<Copied, CopyError> {
        let snapshot = self.snapshot().map_err(StoreError::from)?;
        redb::copy(&snapshot, file, told)
    }
}
