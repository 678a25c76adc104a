//! When the owners of tokens are to be told of their ends: an index of the next such instants.
//!
//! **Invariant.** A token has a row under one of its reminders at most, and none once it is revoked.
//! What lies before its row is done, and the row moves in the transaction of what is told.

use super::codec;
use super::engine::{Failure, Order, Read, Table, Write};
use super::record::Records;
use crate::id::{OrgId, TokenId};
use crate::time::Timestamp;
use crate::token::{ApiToken, Standing};
use std::ops::{Bound, ControlFlow};

const REMINDED_THROUGH: &[u8] = b"reminded_through";

/// Typed reads.
pub(super) trait Reminders: Read + Sized {
    /// The reminders that are due until an instant, the longest overdue first, at most `limit`.
    fn reminders(
        &self,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ApiToken)>, Failure> {
        let mut due = Vec::new();
        let last = codec::reminder(until, TokenId::from_bits(u128::MAX));
        let span = (Bound::Unbounded, Bound::Included(&last[..]));
        self.scan(Table::Reminders, span, Order::Ascending, &mut |key, org| {
            if due.len() >= limit {
                return Ok(ControlFlow::Break(()));
            }
            let (at, id) = codec::read_reminder(key)?;
            if let Some(token) = self.token_in(OrgId::from_bits(codec::read_id(org)?), id)? {
                due.push((at, token));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(due)
    }

    /// Where a token stands in the index.
    fn reminder_of(&self, token: &ApiToken) -> Result<Option<Timestamp>, Failure> {
        for at in token.reminders() {
            let key = codec::reminder(at, token.id);
            if self.get(Table::Reminders, &key, |_org| ())?.is_some() {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn reminded_through(&self) -> Result<Option<Timestamp>, Failure> {
        self.get(Table::Meta, REMINDED_THROUGH, codec::decode)?.transpose()
    }
}

impl<R: Read> Reminders for R {}

/// Typed writes.
pub(super) trait WriteReminders: Write + Reminders {
    /// Sets where a token stands, that is written in the place of `old`.
    ///
    /// With another life it begins anew. In the same life what was done stays done, whatever days
    /// the token says from now on.
    fn put_reminder(&mut self, old: Option<&ApiToken>, token: &ApiToken) -> Result<(), Failure> {
        let is_over = |token: &ApiToken| token.standing() == Standing::Revoked;
        let mut done = token.issued_at;
        if let Some(old) = old.filter(|old| !is_over(old)) {
            let life = |token: &ApiToken| (token.issued_at, token.expires_at);
            let same_days = old.notify_before_expiry == token.notify_before_expiry;
            if life(old) == life(token) && same_days && !is_over(token) {
                return Ok(());
            }
            let listed = self.reminder_of(old)?;
            if let Some(at) = listed {
                self.remove(Table::Reminders, &codec::reminder(at, old.id))?;
            }
            if life(old) == life(token) {
                let next = listed.unwrap_or(Timestamp::MAX);
                done = old.reminders().filter(|at| *at < next).max().unwrap_or(done);
            }
        }
        if is_over(token) {
            return Ok(());
        }
        self.list_reminder(token.org, token.id, token.next_reminder(done))
    }

    /// Passes over one that stands elsewhere by now.
    fn move_reminder(
        &mut self,
        org: OrgId,
        token: TokenId,
        at: Timestamp,
        next: Option<Timestamp>,
    ) -> Result<(), Failure> {
        let key = codec::reminder(at, token);
        if self.get(Table::Reminders, &key, |_org| ())?.is_none() {
            return Ok(());
        }
        self.remove(Table::Reminders, &key)?;
        self.list_reminder(org, token, next)
    }

    fn list_reminder(
        &mut self,
        org: OrgId,
        token: TokenId,
        at: Option<Timestamp>,
    ) -> Result<(), Failure> {
        let Some(at) = at else { return Ok(()) };
        self.put(Table::Reminders, &codec::reminder(at, token), &codec::id(org.bits()))
    }

    fn put_reminded_through(&mut self, at: Timestamp) -> Result<(), Failure> {
        self.put(Table::Meta, REMINDED_THROUGH, &codec::encode(&at)?)
    }
}

impl<W: Write> WriteReminders for W {}
