//! The outbox: notices that are owed, the index of what is due, and the webhooks that are told.
//!
//! **Invariants.**
//! - A notice is made in the transaction of what it tells of, one for each addressee.
//! - A notice that is to be sent stands in one queue of its addressee, and no other does. The first
//!   of each queue stands in the index of dues: so whoever has many notices that cannot be sent
//!   is passed over in one step.
//! - A notice that is at its end stands in the index of dues under the time from which it may be
//!   forgotten.
//! - At most one notice about the same to the same user is settling: the next one takes its place.
//! - A notice whose record is damaged fails no change that is about something else.

use super::codec;
use super::engine::{Failure, Order, Read, Table, Write};
use super::{Onward, Queued};
use crate::id::{NoticeId, OrgId, UserId, WebhookId};
use crate::notice::{About, Addressee, Draft, Due, NOTICES_KEPT, Notice, State, Webhook};
use crate::org::Revision;
use crate::time::Timestamp;
use std::collections::HashMap;
use std::ops::{Bound, ControlFlow};

/// How many outlived notices a change clears away at most, beyond as many as it makes.
const NOTICES_FORGOTTEN_MAX: usize = 16;

/// Why a notice stands in the index of dues; the first byte of its key. Never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// A queue: to be sent by mail from this time on.
    Mail = 0,
    /// A queue: to be sent to a webhook from this time on.
    Call = 1,
    /// A queue: settling since this time.
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

    /// The notices of an organization that were made before another one, the latest first. Damaged ones
    /// hide none of the others.
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
            Ok(sound(codec::decode(value)).map_or(ControlFlow::Continue(()), &mut *visit))
        })
    }

    /// A notice, unless it is gone or damaged.
    fn sound_notice(&self, org: OrgId, id: NoticeId) -> Result<Option<Notice>, Failure> {
        let found = self.get(Table::Notices, &codec::notice(org, id), codec::decode)?;
        Ok(found.and_then(sound))
    }

    /// The notices that wait for something until `until` at the latest: addressee by addressee,
    /// whoever waits for longest first, and the longest overdue of each first.
    fn due_notices(
        &self,
        due: Due,
        until: Timestamp,
        visit: &mut dyn FnMut(&Queued) -> Onward,
    ) -> Result<(), Failure> {
        let row = Row::from(due);
        let first = codec::due(row, Timestamp::EPOCH, 0);
        let last = codec::due(row, until, u128::MAX);
        let span = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        self.scan(Table::NoticeDues, span, Order::Ascending, &mut |key, _org| {
            let to = codec::read_due(key)?;
            let addressee = match due {
                Due::Mail | Due::Settle => Addressee::User(UserId::from_bits(to)),
                Due::Call => Addressee::Webhook(WebhookId::from_bits(to)),
            };
            let mut onward = Onward::Notice;
            self.queue(row, to, until, &mut |_, id, (org, lane)| {
                onward = visit(&Queued { org, id, to: addressee, lane });
                match onward {
                    Onward::Notice => ControlFlow::Continue(()),
                    Onward::Addressee | Onward::Nowhere => ControlFlow::Break(()),
                }
            })?;
            Ok(match onward {
                Onward::Notice | Onward::Addressee => ControlFlow::Continue(()),
                Onward::Nowhere => ControlFlow::Break(()),
            })
        })
    }

    /// What stands in a queue until `until` at the latest, the longest overdue first.
    fn queue(
        &self,
        row: Row,
        to: u128,
        until: Timestamp,
        visit: &mut dyn FnMut(Timestamp, NoticeId, (OrgId, Option<u128>)) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let first = codec::queued(row, to, Timestamp::EPOCH, NoticeId::from_bits(0));
        let last = codec::queued(row, to, until, NoticeId::from_bits(u128::MAX));
        let span = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        self.scan(Table::NoticeQueues, span, Order::Ascending, &mut |key, value| {
            let (at, id) = codec::read_queued(key)?;
            Ok(visit(at, id, codec::read_beside(value)?))
        })
    }

    /// When the first of a queue is due.
    fn queue_due(&self, row: Row, to: u128) -> Result<Option<Timestamp>, Failure> {
        let mut first = None;
        self.queue(row, to, Timestamp::MAX, &mut |at, _, _| {
            first = Some(at);
            ControlFlow::Break(())
        })?;
        Ok(first)
    }

    /// Where notices stand that have outlived [`NOTICES_KEPT`] at `now`, the oldest first, and which
    /// they are.
    fn outlived_notices(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<([u8; 25], OrgId, NoticeId)>, Failure> {
        let first = codec::due(Row::Forget, Timestamp::EPOCH, 0);
        let last = codec::due(Row::Forget, now.before(NOTICES_KEPT), u128::MAX);
        let span = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        let mut outlived = Vec::new();
        self.scan(Table::NoticeDues, span, Order::Ascending, &mut |key, value| {
            if outlived.len() >= limit {
                return Ok(ControlFlow::Break(()));
            }
            let id = NoticeId::from_bits(codec::read_due(key)?);
            let org = OrgId::from_bits(codec::read_id(value)?);
            outlived.extend(<[u8; 25]>::try_from(key).map(|key| (key, org, id)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(outlived)
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
        if row == Row::Forget {
            let due = codec::due(row, at, notice.id.bits());
            self.put(Table::NoticeDues, &due, &codec::id(org.bits()))?;
        } else {
            self.enqueue(row, at, notice)?;
        }
        if let (State::Settling { .. }, Addressee::User(user)) = (&notice.state, notice.to) {
            let lane = codec::lane(&notice.says.about, user);
            self.put(Table::NoticeLanes, &lane, &codec::id(notice.id.bits()))?;
        }
        self.put(Table::Notices, &codec::notice(org, notice.id), &codec::encode(notice)?)
    }

    /// Takes a notice out of the indexes.
    fn unlist(&mut self, notice: &Notice) -> Result<(), Failure> {
        let (row, at) = listed(notice);
        if row == Row::Forget {
            self.remove(Table::NoticeDues, &codec::due(row, at, notice.id.bits()))?;
        } else {
            self.dequeue(row, at, notice)?;
        }
        if let (State::Settling { .. }, Addressee::User(user)) = (&notice.state, notice.to)
            && self.settling(&notice.says.about, user)? == Some(notice.id)
        {
            self.remove(Table::NoticeLanes, &codec::lane(&notice.says.about, user))?;
        }
        Ok(())
    }

    /// Puts a notice into a queue, and that into the index if it is due earlier now.
    fn enqueue(&mut self, row: Row, at: Timestamp, notice: &Notice) -> Result<(), Failure> {
        let (org, to) = (notice.says.org, notice.to.bits());
        let before = self.queue_due(row, to)?;
        let beside = codec::beside(org, notice.says.about.lane());
        self.put(Table::NoticeQueues, &codec::queued(row, to, at, notice.id), &beside)?;
        if before.is_some_and(|before| before <= at) {
            return Ok(());
        }
        if let Some(before) = before {
            self.remove(Table::NoticeDues, &codec::due(row, before, to))?;
        }
        self.put(Table::NoticeDues, &codec::due(row, at, to), &codec::id(org.bits()))
    }

    /// Takes a notice out of a queue, which then stands in the index under the next one, if any.
    fn dequeue(&mut self, row: Row, at: Timestamp, notice: &Notice) -> Result<(), Failure> {
        let (org, to) = (notice.says.org, notice.to.bits());
        self.remove(Table::NoticeQueues, &codec::queued(row, to, at, notice.id))?;
        let next = self.queue_due(row, to)?;
        if next.is_some_and(|next| next <= at) {
            return Ok(());
        }
        self.remove(Table::NoticeDues, &codec::due(row, at, to))?;
        let Some(next) = next else { return Ok(()) };
        self.put(Table::NoticeDues, &codec::due(row, next, to), &codec::id(org.bits()))
    }

    /// Makes a notice of each draft for each of its addressees, and forgets more than it makes of those
    /// that have outlived [`NOTICES_KEPT`], as far as there are any: so the outbox does not grow.
    fn append_notices(&mut self, revision: Revision, drafts: Vec<Draft>) -> Result<(), Failure> {
        let Some(now) = drafts.iter().map(|draft| draft.at).max() else { return Ok(()) };
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
        let made = usize::try_from(nth).unwrap_or(usize::MAX);
        self.forget_notices(now, made.saturating_add(NOTICES_FORGOTTEN_MAX))
    }

    /// Takes the place of a notice that is still settling, if there is one. What settles goes on
    /// settling since the first one, so that flapping puts a mail off once and not for ever.
    fn superseding(&mut self, mut notice: Notice) -> Result<Notice, Failure> {
        let Addressee::User(user) = notice.to else { return Ok(notice) };
        if !notice.says.kind.supersedes() {
            return Ok(notice);
        }
        let Some(id) = self.settling(&notice.says.about, user)? else { return Ok(notice) };
        let Some(mut old) = self.sound_notice(notice.says.org, id)? else { return Ok(notice) };
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

    /// Forgets notices that have outlived [`NOTICES_KEPT`] at `now`, from the oldest on. What is at its
    /// end stands nowhere else, so none of them has to be read.
    fn forget_notices(&mut self, now: Timestamp, limit: usize) -> Result<(), Failure> {
        for (due, org, id) in self.outlived_notices(now, limit)? {
            self.remove(Table::NoticeDues, &due)?;
            self.remove(Table::Notices, &codec::notice(org, id))?;
        }
        Ok(())
    }
}

impl<W: Write> WriteOutbox for W {}

/// A notice that could be read.
fn sound(read: Result<Notice, Failure>) -> Option<Notice> {
    read.inspect_err(|failure| tracing::error!(?failure, "a damaged notice is passed over")).ok()
}

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
