//! A ledger for the tests of those who work with one: the store in memory, and before each step
//! whatever a test wants to go wrong there.

use super::memory::MemoryStore;
use super::{
    Commit, CommitError, Ends, Follower, Grain, Ledger, Onward, Queued, StoreError, Validations,
};
use crate::access::Verdicts;
use crate::audit::Event;
use crate::audit::chain::{Published, Verdict};
use crate::change::{Change, Creation};
use crate::exemption::Exemption;
use crate::id::{NoticeId, OrgId, TokenId, UserId, WebhookId};
use crate::notice::{Due, Notice, Webhook};
use crate::org::{Organization, User};
use crate::role::RoleTable;
use crate::time::Timestamp;
use crate::token::watch::Watch;
use crate::token::{ApiToken, Usage, Use, Used};
use crate::validation::{Flag, Run, Schedule};
use std::ops::ControlFlow;
use std::sync::Arc;

type BeforeRead = dyn Fn(OrgId) -> Result<(), StoreError> + Send + Sync;
type BeforeCommit = dyn Fn(&Change) -> Result<(), CommitError> + Send + Sync;

/// The store in memory, with something before it.
pub(crate) struct Wayward {
    store: Arc<MemoryStore>,
    before_read: Box<BeforeRead>,
    before_visit: Box<BeforeRead>,
    before_commit: Box<BeforeCommit>,
}

impl Wayward {
    /// The store as it is.
    pub(crate) fn of(store: &Arc<MemoryStore>) -> Self {
        Self {
            store: Arc::clone(store),
            before_read: Box::new(|_org| Ok(())),
            before_visit: Box::new(|_org| Ok(())),
            before_commit: Box::new(|_change| Ok(())),
        }
    }

    /// The same, where reading what an organization has may fail, panic or wait.
    pub(crate) fn reading(
        self,
        before: impl Fn(OrgId) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Self {
        Self { before_read: Box::new(before), ..self }
    }

    /// The same, where a pass over an organization's tokens may.
    pub(crate) fn visiting(
        self,
        before: impl Fn(OrgId) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Self {
        Self { before_visit: Box::new(before), ..self }
    }

    /// The same, where a change may be turned away.
    pub(crate) fn committing(
        self,
        before: impl Fn(&Change) -> Result<(), CommitError> + Send + Sync + 'static,
    ) -> Self {
        Self { before_commit: Box::new(before), ..self }
    }
}

impl Ledger for Wayward {
    fn organization(&self, id: OrgId) -> Result<Option<Organization>, StoreError> {
        (self.before_read)(id)?;
        self.store.organization(id)
    }

    fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        self.store.organizations()
    }

    fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let user = self.store.user(id)?;
        user.as_ref().map_or(Ok(()), |user| (self.before_read)(user.org))?;
        Ok(user)
    }

    fn users(&self, org: OrgId) -> Result<Vec<User>, StoreError> {
        (self.before_read)(org)?;
        self.store.users(org)
    }

    fn token(&self, id: TokenId) -> Result<Option<(ApiToken, Usage)>, StoreError> {
        let token = self.store.token(id)?;
        token.as_ref().map_or(Ok(()), |(token, _)| (self.before_read)(token.org))?;
        Ok(token)
    }

    fn visit_tokens(
        &self,
        org: OrgId,
        owner: Option<UserId>,
        visit: &mut dyn FnMut(ApiToken, Usage) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        (self.before_read)(org)?;
        (self.before_visit)(org)?;
        self.store.visit_tokens(org, owner, visit)
    }

    fn events(
        &self,
        org: OrgId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        (self.before_read)(org)?;
        self.store.events(org, before, limit)
    }

    fn visit_events(
        &self,
        org: OrgId,
        after: u64,
        visit: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        (self.before_read)(org)?;
        self.store.visit_events(org, after, visit)
    }

    fn visit_events_back(
        &self,
        org: OrgId,
        before: Option<u64>,
        visit: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        (self.before_read)(org)?;
        self.store.visit_events_back(org, before, visit)
    }

    fn trail(&self, org: OrgId) -> Result<Ends, StoreError> {
        self.store.trail(org)
    }

    fn prove(&self, org: OrgId, published: Option<Published>) -> Result<Verdict, StoreError> {
        self.store.prove(org, published)
    }

    fn creation(&self, key: &[u8; 32]) -> Result<Option<Creation>, StoreError> {
        self.store.creation(key)
    }

    fn notice(&self, org: OrgId, id: NoticeId) -> Result<Option<Notice>, StoreError> {
        self.store.notice(org, id)
    }

    fn visit_notices(
        &self,
        org: OrgId,
        before: Option<NoticeId>,
        visit: &mut dyn FnMut(Notice) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.store.visit_notices(org, before, visit)
    }

    fn visit_due_notices(
        &self,
        due: Due,
        until: Timestamp,
        visit: &mut dyn FnMut(&Queued) -> Onward,
    ) -> Result<(), StoreError> {
        self.store.visit_due_notices(due, until, visit)
    }

    fn has_outlived_notices(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.store.has_outlived_notices(now)
    }

    fn webhook(&self, org: OrgId, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        self.store.webhook(org, id)
    }

    fn webhooks(&self, org: OrgId) -> Result<Vec<Webhook>, StoreError> {
        self.store.webhooks(org)
    }

    fn used(&self, org: OrgId, tokens: &[TokenId]) -> Result<Vec<Used>, StoreError> {
        self.store.used(org, tokens)
    }

    fn watch(&self) -> Result<Option<Watch>, StoreError> {
        self.store.watch()
    }

    fn verdicts(&self, org: OrgId, grain: Grain) -> Result<Vec<(Timestamp, Verdicts)>, StoreError> {
        self.store.verdicts(org, grain)
    }

    fn roles(&self) -> Arc<RoleTable> {
        self.store.roles()
    }

    fn commit(&self, change: Change) -> Commit {
        let Err(error) = (self.before_commit)(&change) else { return self.store.commit(change) };
        let (answer, commit) = Commit::pending();
        drop(answer.send(Err(error)));
        commit
    }

    fn record_usage(&self, usage: Vec<Use>) -> Commit {
        self.store.record_usage(usage)
    }

    fn follow(&self, follower: Arc<dyn Follower>) {
        self.store.follow(follower);
    }

    fn is_writable(&self) -> bool {
        self.store.is_writable()
    }
}

impl Validations for Wayward {
    fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        self.store.schedules()
    }

    fn run(&self, org: OrgId, number: u64) -> Result<Option<Run>, StoreError> {
        (self.before_read)(org)?;
        self.store.run(org, number)
    }

    fn runs(&self, org: OrgId, before: Option<u64>, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.store.runs(org, before, limit)
    }

    fn flags(&self, org: OrgId, run: u64, number: u32) -> Result<Option<Vec<Flag>>, StoreError> {
        self.store.flags(org, run, number)
    }

    fn segments(&self, org: OrgId, limit: usize) -> Result<Vec<(u64, u32)>, StoreError> {
        self.store.segments(org, limit)
    }

    fn exemptions(&self, org: OrgId) -> Result<Vec<Exemption>, StoreError> {
        self.store.exemptions(org)
    }

    fn tokens_after(
        &self,
        org: OrgId,
        after: Option<TokenId>,
    ) -> Result<Vec<(ApiToken, Usage)>, StoreError> {
        (self.before_read)(org)?;
        (self.before_visit)(org)?;
        self.store.tokens_after(org, after)
    }

    fn due_reminders(
        &self,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ApiToken)>, StoreError> {
        self.store.due_reminders(until, limit)
    }

    fn reminded_through(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.reminded_through()
    }
}
