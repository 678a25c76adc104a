//! The outbox: notices that are owed, the index of what is due, and the webhooks that are told.
//!
//! **Invariants.**
//! - A notice is made in the transaction of what it tells of, one for each addressee.
//! - A notice that is to be sent stands in the index of dues, and no other does, except under the
//!   time from which it may be forgotten.
//! - At most one notice about the same to the same user is settling: the next one takes its place.

use super::codec;
use super::engine::{Failure, Order, Read, Table, Write};
use crate::id::{NoticeId, OrgId, UserId, WebhookId};
use crate::notice::{About, Addressee, Draft, Due, NOTICES_KEPT, Notice, State, Webhook};
use crate::org::Revision;
use crate::time::Timestamp;
use std::collections::HashMap;
use std::ops::{Bound, ControlFlow};

/// How many outlived notices one change that makes some clears away at most.
const NOTICES_FORGOTTEN_MAX: usize = 16;

/// Why a notice stands in the index of dues; the first byte of its key. Never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// To be sent by mail from this time on.
    Mail = 0,
    /// To be sent to a webhook from this time on.
    Call = 1,
    /// Settling since this time.
    Settle = 2,
    /// Of no more use since this time.
    Forget = 3,
}

impl From<Due> for Row {
    fn from(due: Due) -> Self {
        match due {
            Due::Mail => Self::Mail,
            Due::Call => Self::Call,
            Due::Settle => Self::Settle,
        }
    }
}

/// Typed reads.
pub(super) trait Outbox: Read + Sized {
    fn notice(&self, org: OrgId, id: NoticeId) -> Result<Option<Notice>, Failure> {
        self.get(Table::Notices, &codec::notice(org, id), codec::decode)?.transpose()
    }

    /// The notices of an organization that were made before another one, the latest first.
    fn notices(
        &self,
        org: OrgId,
        before: Option<NoticeId>,
        visit: &mut dyn FnMut(Notice) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let (first, last) = codec::all_of(org.bits());
        let end = before.map(|before| codec::notice(org, before));
        let end = end.as_ref().map_or(Bound::Included(&last[..]), |end| Bound::Excluded(&end[..]));
        let span = (Bound::Included(&first[..]), end);
        self.scan(Table::Notices, span, Order::Descending, &mut |_, value| {
            Ok(visit(codec::decode(value)?))
        })
    }

    /// What stands in the index of dues up to `until`, the longest overdue first.
    fn dues(
        &self,
        row: Row,
        until: Timestamp,
        visit: &mut dyn FnMut(OrgId, NoticeId) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let first = codec::due(row, Timestamp::EPOCH, NoticeId::from_bits(0));
        let last = codec::due(row, until, NoticeId::from_bits(u128::MAX));
        let span = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        self.scan(Table::NoticeDues, span, Order::Ascending, &mut |key, value| {
            visit(OrgId::from_bits(codec::read_id(value)?), codec::read_due(key)?)
        })
    }

    /// The notices that wait for something until `until` at the latest, the longest overdue first.
    fn due_notices(
        &self,
        due: Due,
        until: Timestamp,
        visit: &mut dyn FnMut(Notice) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        self.dues(due.into(), until, &mut |org, id| {
            Ok(self.notice(org, id)?.map_or(ControlFlow::Continue(()), &mut *visit))
        })
    }

    fn settling(&self, about: &About, user: UserId) -> Result<Option<NoticeId>, Failure> {
        let id = self.get(Table::NoticeLanes, &codec::lane(about, user), codec::read_id)?;
        Ok(id.transpose()?.map(NoticeId::from_bits))
    }

    fn webhook(&self, org: OrgId, id: WebhookId) -> Result<Option<Webhook>, Failure> {
        self.get(Table::Webhooks, &codec::webhook(org, id), codec::decode)?.transpose()
    }

    /// The webhooks of an organization, in the order of their making.
    fn webhooks(&self, org: OrgId) -> Result<Vec<Webhook>, Failure> {
        let mut all = Vec::new();
        let (first, last) = codec::all_of(org.bits());
        let span = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        self.scan(Table::Webhooks, span, Order::Ascending, &mut |_, value| {
            all.push(codec::decode(value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }
}

impl<R: Read> Outbox for R {}

/// Typed writes.
pub(super) trait WriteOutbox: Write + Outbox {
    fn put_webhook(&mut self, webhook: &Webhook) -> Result<(), Failure> {
        let key = codec::webhook(webhook.org, webhook.id);
        self.put(Table::Webhooks, &key, &codec::encode(webhook)?)
    }

    fn remove_webhook(&mut self, org: OrgId, id: WebhookId) -> Result<(), Failure> {
        self.remove(Table::Webhooks, &codec::webhook(org, id))
    }

    /// Makes or replaces a notice.
    fn put_notice(&mut self, notice: &Notice) -> Result<(), Failure> {
        let org = notice.says.org;
        if let Some(old) = self.notice(org, notice.id)? {
            self.unlist(&old)?;
        }
        let (row, at) = listed(notice);
        let due = codec::due(row, at, notice.id);
        self.put(Table::NoticeDues, &due, &codec::id(org.bits()))?;
        if let (State::Settling { .. }, Addressee::User(user)) = (&notice.state, notice.to) {
            let lane = codec::lane(&notice.says.about, user);
            self.put(Table::NoticeLanes, &lane, &codec::id(notice.id.bits()))?;
        }
        self.put(Table::Notices, &codec::notice(org, notice.id), &codec::encode(notice)?)
    }

    /// Takes a notice out of the indexes.
    fn unlist(&mut self, notice: &Notice) -> Result<(), Failure> {
        let (row, at) = listed(notice);
        self.remove(Table::NoticeDues, &codec::due(row, at, notice.id))?;
        if let (State::Settling { .. }, Addressee::User(user)) = (&notice.state, notice.to)
            && self.settling(&notice.says.about, user)? == Some(notice.id)
        {
            self.remove(Table::NoticeLanes, &codec::lane(&notice.says.about, user))?;
        }
        Ok(())
    }

    /// Makes a notice of each draft for each of its addressees, and forgets some that have outlived
    /// [`NOTICES_KEPT`].
    fn append_notices(&mut self, revision: Revision, drafts: Vec<Draft>) -> Result<(), Failure> {
        let Some(now) = drafts.iter().map(|draft| draft.at).max() else { return Ok(()) };
        self.forget_notices(now)?;
        let mut webhooks: HashMap<OrgId, Vec<Webhook>> = HashMap::new();
        let mut nth = 0;
        for mut draft in drafts {
            if let std::collections::hash_map::Entry::Vacant(vacant) = webhooks.entry(draft.org) {
                vacant.insert(self.webhooks(draft.org)?);
            }
            let users = std::mem::take(&mut draft.to).into_iter().map(Addressee::User);
            let wanted = webhooks[&draft.org].iter().filter(|webhook| webhook.wants(draft.kind));
            let to: Vec<_> =
                users.chain(wanted.map(|webhook| Addressee::Webhook(webhook.id))).collect();
            for to in to {
                let notice = Notice::made(draft.clone(), to, revision, nth);
                let notice = self.superseding(notice)?;
                self.put_notice(&notice)?;
                nth += 1;
            }
        }
        Ok(())
    }

    /// Takes the place of a notice that is still settling, if there is one. What settles goes on
    /// settling since the first one, so that flapping puts a mail off once and not for ever.
    fn superseding(&mut self, mut notice: Notice) -> Result<Notice, Failure> {
        let Addressee::User(user) = notice.to else { return Ok(notice) };
        if !notice.says.kind.supersedes() {
            return Ok(notice);
        }
        let Some(id) = self.settling(&notice.says.about, user)? else { return Ok(notice) };
        let Some(mut old) = self.notice(notice.says.org, id)? else { return Ok(notice) };
        if let (State::Settling { since }, State::Settling { since: first }) =
            (&mut notice.state, &old.state)
        {
            *since = *first;
        }
        old.state = State::Superseded { at: notice.says.at, by: notice.id };
        old.version = notice.version;
        self.put_notice(&old)?;
        Ok(notice)
    }

    fn forget_notices(&mut self, now: Timestamp) -> Result<(), Failure> {
        let mut outlived = Vec::new();
        self.dues(Row::Forget, now.before(NOTICES_KEPT), &mut |org, id| {
            outlived.push((org, id));
            Ok(if outlived.len() < NOTICES_FORGOTTEN_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
        for (org, id) in outlived {
            if let Some(notice) = self.notice(org, id)? {
                self.unlist(&notice)?;
            }
            self.remove(Table::Notices, &codec::notice(org, id))?;
        }
        Ok(())
    }
}

impl<W: Write> WriteOutbox for W {}

/// Where a notice stands in the index of dues.
const fn listed(notice: &Notice) -> (Row, Timestamp) {
    match (&notice.state, notice.to) {
        (State::Settling { since }, _) => (Row::Settle, *since),
        (State::Waiting { due_at, .. }, Addressee::User(_)) => (Row::Mail, *due_at),
        (State::Waiting { due_at, .. }, Addressee::Webhook(_)) => (Row::Call, *due_at),
        (
            State::Delivered { at, .. }
            | State::Dead { at, .. }
            | State::Superseded { at, .. }
            | State::NoChannel { at },
            _,
        ) => (Row::Forget, *at),
    }
}
