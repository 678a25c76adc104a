//! The end of a run: the owners are told, a few in each transaction, and then it is through.
//!
//! What has to be told stands in the flags of the run, which are stored before anybody is told, and
//! how far the telling is stands in the run, written together with the notices. So a process that
//! ends in between goes on where it was: it judges nothing anew, tells nobody twice and forgets nobody.

use super::{Interrupted, Stop, commit};
use crate::audit::Origin;
use crate::change::{Change, Write};
use crate::governance::Occasion;
use crate::governance::telling::{News, told};
use crate::governance::validation::finished;
use crate::id::{OrgId, TokenId, UserId};
use crate::notice::{self, DETAILS_MAX};
use crate::org::Organization;
use crate::store::{Ledger, StoreError};
use crate::time::Timestamp;
use crate::token::ApiToken;
use crate::validation::{self, Findings, Run, Telling};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Notices that one transaction makes, unless a single owner needs more; each may go to every webhook.
const NOTICES_AT_A_TIME: usize = 40;
/// Parts of flags that are forgotten in one transaction.
const FORGOTTEN_AT_A_TIME: usize = 16;

/// What is owed to whom.
#[derive(Debug, Default)]
pub(super) struct Owed(BTreeMap<UserId, Vec<News>>);

impl Owed {
    /// Adds what a token's owner has to be told of it.
    pub(super) fn add(&mut self, owner: UserId, news: News) {
        self.0.entry(owner).or_default().push(news);
    }

    /// The same, from the flags that a run has stored.
    fn read(ledger: &dyn Ledger, org: OrgId, run: u64, segments: u32) -> Result<Self, StoreError> {
        let mut owed = Self::default();
        for number in 0..segments {
            let flags = ledger.flags(org, run, number)?.unwrap_or_default();
            for news in flags.iter().filter_map(News::of) {
                if let Some(token) = token(ledger, news.token)? {
                    owed.add(token.owner, news);
                }
            }
        }
        Ok(owed)
    }
}

fn token(ledger: &dyn Ledger, id: TokenId) -> Result<Option<ApiToken>, StoreError> {
    Ok(ledger.token(id)?.map(|(token, _usage)| token))
}

/// A run that has judged all tokens.
pub(super) struct Teller {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) org: Organization,
    pub(super) run: Run,
    pub(super) telling: Telling,
    /// What it owes; nothing is known of it where the run was broken off.
    pub(super) owed: Option<Owed>,
}

impl Teller {
    /// Tells everybody who was not told yet, and ends the run as of `now`. Where the process ends
    /// first, the next start goes on with whom it had come to.
    pub(super) fn finish(mut self, now: Timestamp, stop: &Stop) -> Result<(), Interrupted> {
        let now = now.max(self.telling.started_at);
        let roles = self.ledger.roles();
        let at = Occasion { now, roles: &roles, origin: &Origin::default() };
        while self.tell_some(&at)? {
            if stop.is_asked() {
                return Err(Interrupted::Stopped);
            }
        }
        let Telling { started_at, took, counts, .. } = self.telling;
        let findings = Findings { started_at, finished_at: now, took, counts };
        self.ledger.commit(finished(&self.run, &self.org, findings, &at)).wait()?;
        self.forget()
    }

    /// Tells the next few, in one transaction. Answers whether there may be more.
    pub(super) fn tell_some(&mut self, at: &Occasion<'_>) -> Result<bool, Interrupted> {
        let mut owed = if let Some(owed) = self.owed.take() {
            owed
        } else {
            let (run, segments) = (self.run.number, self.telling.segments);
            Owed::read(&*self.ledger, self.org.id, run, segments)?
        };
        let mut drafts = Vec::new();
        while drafts.len() < NOTICES_AT_A_TIME {
            let Some((owner, news)) = owed.0.pop_first() else { break };
            if self.telling.through.is_some_and(|through| owner <= through) {
                continue;
            }
            drafts.extend(self.drafts(owner, news, at)?);
            self.telling.through = Some(owner);
        }
        if !drafts.is_empty() {
            self.record(drafts)?;
        }
        let more = !owed.0.is_empty();
        self.owed = Some(owed);
        Ok(more)
    }

    fn drafts(
        &self,
        owner: UserId,
        news: Vec<News>,
        at: &Occasion<'_>,
    ) -> Result<Vec<notice::Draft>, Interrupted> {
        // A user who is gone has no tokens any more.
        if self.ledger.user(owner)?.is_none() {
            return Ok(Vec::new());
        }
        let (mut shown, mut left_out) = (Vec::new(), 0);
        for news in news {
            if shown.len() >= DETAILS_MAX && !news.warns() {
                left_out += 1;
            } else if let Some(token) = token(&*self.ledger, news.token)? {
                shown.push((token, news));
            }
        }
        Ok(told(&self.org, owner, &shown, left_out, at))
    }

    /// Writes notices, and how far it is with them: neither without the other.
    fn record(&self, notices: Vec<notice::Draft>) -> Result<(), Interrupted> {
        let (org, run, telling) = (self.org.id, self.run.number, self.telling);
        let write = Write::Validation(validation::Write::Telling { org, run, telling });
        let change = Change { writes: vec![write], notices, ..Change::default() };
        self.ledger.commit(change).wait()?;
        Ok(())
    }

    /// Forgets the flags of all other runs: of the one before, and of any that was broken off.
    /// Parts beyond the last one of this run are of its own first attempt.
    fn forget(&self) -> Result<(), Interrupted> {
        let (org, kept, segments) = (self.org.id, self.run.number, self.telling.segments);
        loop {
            let limit = usize::try_from(segments).unwrap_or(usize::MAX);
            let stored = self.ledger.segments(org, limit.saturating_add(FORGOTTEN_AT_A_TIME))?;
            let outlived = |(run, number): &(u64, u32)| *run != kept || *number >= segments;
            let forget = |(run, number)| validation::Write::Forget { org, run, number };
            let outlived: Vec<_> = stored.into_iter().filter(outlived).map(forget).collect();
            if outlived.is_empty() {
                return Ok(());
            }
            for part in outlived.chunks(FORGOTTEN_AT_A_TIME) {
                commit(&*self.ledger, part.to_vec())?;
            }
        }
    }
}
