//! The records and their indexes, read from and written to the tables of any engine.
//!
//! **Invariant.** A record and its index rows are written by one function, so that no other place
//! can forget one of them.

use super::Found;
use super::codec;
use super::engine::{Failure, Order, Read, Table, Write};
use super::journal::Journal;
use super::reminder::WriteReminders;
use crate::access::{OrgFacts, OwnerFacts, SecretFacts, TokenFacts};
use crate::change::{CREATIONS_KEPT, Creation};
use crate::id::{OrgId, TokenId, UserId};
use crate::org::{Organization, Revision, User};
use crate::role::{RoleName, RoleSet, RoleTable};
use crate::secret::Digest;
use crate::time::Timestamp;
use crate::token::{ApiToken, Standing, Usage, Used};
use serde::{Deserialize, Serialize};
use std::ops::{Bound, ControlFlow};

/// How many tokens a visit holds in memory at a time.
pub(super) const VISITED_AT_A_TIME: usize = 1_000;
/// How many outlived creations one new creation clears away at most. More than one, so that the
/// table shrinks; few, so that no commit pays for a quiet night.
const CREATIONS_FORGOTTEN_MAX: usize = 8;

const REVISION: &[u8] = b"revision";
const FORMAT: &[u8] = b"format";

/// What the index of digests says of a token beside whose it is: all that a decision needs. The
/// record itself lies elsewhere in the file, and would have to be read for every look-up.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Card {
    pub(super) owner: UserId,
    pub(super) scope: RoleSet,
    pub(super) expires_at: Timestamp,
    pub(super) standing: Standing,
    pub(super) version: Revision,
    pub(super) secret: SecretFacts,
}

impl Card {
    /// Nothing if the digest is none of the token's.
    pub(super) fn of(token: &ApiToken, digest: &Digest) -> Option<Self> {
        let secret = SecretFacts::of(token, digest)?;
        let TokenFacts { id: _, org: _, owner, scope, expires_at, standing, version } =
            TokenFacts::from(token);
        Some(Self { owner, scope, expires_at, standing, version, secret })
    }
}

/// Typed reads.
pub(super) trait Records: Read + Sized {
    fn format(&self) -> Result<Option<u64>, Failure> {
        self.get(Table::Meta, FORMAT, codec::read_number)?.transpose()
    }

    fn revision(&self) -> Result<Revision, Failure> {
        let revision = self.get(Table::Meta, REVISION, codec::read_number)?.transpose()?;
        Ok(Revision(revision.unwrap_or(0)))
    }

    fn roles(&self) -> Result<RoleTable, Failure> {
        let mut names: Vec<RoleName> = Vec::new();
        self.scan(Table::Roles, EVERYTHING, Order::Ascending, &mut |key, value| {
            if codec::read_number(key)? != names.len() as u64 {
                return Err(Failure::Broken("the numbers of the roles have a gap".to_owned()));
            }
            names.push(codec::decode(value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(RoleTable::from_names(names))
    }

    fn organization(&self, id: OrgId) -> Result<Option<Organization>, Failure> {
        self.get(Table::Organizations, &codec::id(id.bits()), codec::decode)?.transpose()
    }

    fn organizations(&self) -> Result<Vec<Organization>, Failure> {
        let mut all = Vec::new();
        self.scan(Table::Organizations, EVERYTHING, Order::Ascending, &mut |_, value| {
            all.push(codec::decode(value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }

    fn is_empty(&self) -> Result<bool, Failure> {
        let mut empty = true;
        self.scan(Table::Organizations, EVERYTHING, Order::Ascending, &mut |_, _| {
            empty = false;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(empty)
    }

    fn user_home(&self, id: UserId) -> Result<Option<OrgId>, Failure> {
        let home = self.get(Table::UserHomes, &codec::id(id.bits()), codec::read_id)?;
        Ok(home.transpose()?.map(OrgId::from_bits))
    }

    fn user_in(&self, org: OrgId, id: UserId) -> Result<Option<User>, Failure> {
        self.get(Table::Users, &codec::user(org, id), codec::decode)?.transpose()
    }

    fn user(&self, id: UserId) -> Result<Option<User>, Failure> {
        self.user_home(id)?.map_or(Ok(None), |org| self.user_in(org, id))
    }

    fn users(
        &self,
        org: OrgId,
        visit: &mut dyn FnMut(User) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let (first, last) = codec::all_of(org.bits());
        self.scan(Table::Users, within(&first, &last), Order::Ascending, &mut |_, value| {
            Ok(visit(codec::decode(value)?))
        })
    }

    fn user_of_email(&self, org: OrgId, email: &str) -> Result<Option<UserId>, Failure> {
        let id = self.get(Table::Emails, &codec::email(org, email), codec::read_id)?;
        Ok(id.transpose()?.map(UserId::from_bits))
    }

    fn token_home(&self, id: TokenId) -> Result<Option<OrgId>, Failure> {
        let home = self.get(Table::TokenHomes, &codec::id(id.bits()), codec::read_id)?;
        Ok(home.transpose()?.map(OrgId::from_bits))
    }

    fn token_in(&self, org: OrgId, id: TokenId) -> Result<Option<ApiToken>, Failure> {
        self.get(Table::Tokens, &codec::token(org, id), codec::decode)?.transpose()
    }

    fn token(&self, id: TokenId) -> Result<Option<ApiToken>, Failure> {
        self.token_home(id)?.map_or(Ok(None), |org| self.token_in(org, id))
    }

    fn token_of_digest(&self, digest: &Digest) -> Result<Option<(OrgId, TokenId)>, Failure> {
        let read = |row: &[u8]| Ok(codec::read_indexed(row)?.0);
        self.get(Table::Digests, digest.as_bytes(), read)?.transpose()
    }

    fn facts_of_digest(
        &self,
        digest: &Digest,
    ) -> Result<Option<(TokenFacts, SecretFacts)>, Failure> {
        let read = |row: &[u8]| {
            let ((org, id), card) = codec::read_indexed(row)?;
            let Card { owner, scope, expires_at, standing, version, secret } = codec::decode(card)?;
            Ok((TokenFacts { id, org, owner, scope, expires_at, standing, version }, secret))
        };
        self.get(Table::Digests, digest.as_bytes(), read)?.transpose()
    }

    /// What a token was used, as far as the store was told.
    fn usage(&self, org: OrgId, id: TokenId) -> Result<Usage, Failure> {
        let journaled = self.journaled(&[id])?;
        Ok(journaled.into_iter().fold(self.folded_usage(org, id)?, Usage::merged))
    }

    fn folded_usage(&self, org: OrgId, id: TokenId) -> Result<Usage, Failure> {
        let read = |row: &[u8]| codec::decode_first(row).map(|(usage, _)| usage);
        let usage = self.get(Table::Usage, &codec::token(org, id), read)?.transpose()?;
        Ok(usage.unwrap_or_default())
    }

    /// A token's row in the usage table: what the journal has of it is not in it.
    fn folded(&self, org: OrgId, id: TokenId) -> Result<Used, Failure> {
        let used = self.get(Table::Usage, &codec::token(org, id), codec::decode)?.transpose()?;
        Ok(used.unwrap_or_default())
    }

    /// Counts the tokens of an owner that are not revoked, up to `enough`.
    fn live_tokens(&self, owner: UserId, enough: u32) -> Result<u32, Failure> {
        let (first, last) = codec::all_of(owner.bits());
        let mut count = 0;
        self.scan(Table::Owned, within(&first, &last), Order::Ascending, &mut |_, live| {
            if live == LIVE {
                count += 1;
            }
            Ok(if count < enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(count)
    }

    fn creation(&self, key: &[u8; 32]) -> Result<Option<Creation>, Failure> {
        self.get(Table::Creations, key, codec::decode)?.transpose()
    }

    fn found(&self, digest: &Digest) -> Result<Option<Found>, Failure> {
        let Some((token, secret)) = self.facts_of_digest(digest)? else { return Ok(None) };
        // An owner outside the token's organization is no owner: the token is as good as unknown.
        let Some(owner) = self.user_in(token.org, token.owner)? else { return Ok(None) };
        let Some(org) = self.organization(token.org)? else { return Ok(None) };
        let (owner, org) = (OwnerFacts::from(&owner), OrgFacts::from(&org));
        Ok(Some(Found { token, secret, owner, org }))
    }

    fn digests(&self, visit: &mut dyn FnMut(&Digest)) -> Result<u64, Failure> {
        let mut count = 0;
        self.scan(Table::Digests, EVERYTHING, Order::Ascending, &mut |key, _| {
            let bytes = <[u8; 32]>::try_from(key).map_err(|_length| {
                Failure::Broken("a digest in an index has the wrong length".to_owned())
            })?;
            visit(&Digest::from_bytes(bytes));
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    /// The tokens of an organization with their usage, in the order of their making.
    ///
    /// Tokens and usage have the same keys, so both tables are walked side by side, a stretch at a
    /// time, and the journal beside them: no look-up per token, and no row is read twice.
    fn tokens(
        &self,
        org: OrgId,
        visit: &mut dyn FnMut(ApiToken, Usage) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let stretch = self.tokens_after(org, after, VISITED_AT_A_TIME)?;
            let full = stretch.len() == VISITED_AT_A_TIME;
            after = stretch.last().map(|(token, _)| token.id);
            for (token, usage) in stretch {
                if visit(token, usage).is_break() {
                    return Ok(());
                }
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// One stretch of them: those made after another one, at most so many.
    fn tokens_after(
        &self,
        org: OrgId,
        after: Option<TokenId>,
        limit: usize,
    ) -> Result<Vec<(ApiToken, Usage)>, Failure> {
        let (first, last) = codec::all_of(org.bits());
        let after = after.map(|token| codec::token(org, token));
        let from = after.as_ref().map_or(Bound::Included(&first[..]), |key| Bound::Excluded(key));
        let mut stretch: Vec<([u8; 32], ApiToken)> = Vec::new();
        let span = (from, Bound::Included(&last[..]));
        self.scan(Table::Tokens, span, Order::Ascending, &mut |_, value| {
            let token: ApiToken = codec::decode(value)?;
            stretch.push((codec::token(org, token.id), token));
            let enough = stretch.len() >= limit;
            Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        let (Some((start, _)), Some((end, _))) = (stretch.first(), stretch.last()) else {
            return Ok(Vec::new());
        };
        let mut usage = self.usage_within(start, end)?.into_iter().peekable();
        let ids: Vec<TokenId> = stretch.iter().map(|(_, token)| token.id).collect();
        let journaled = self.journaled(&ids)?;
        let with_usage = stretch.into_iter().zip(journaled).map(|((key, token), journaled)| {
            while usage.next_if(|(used, _)| *used < key).is_some() {}
            let folded = usage.next_if(|(used, _)| *used == key).map(|(_, usage)| usage);
            (token, folded.unwrap_or_default().merged(journaled))
        });
        Ok(with_usage.collect())
    }

    /// The tokens of one owner with their usage, in the order of their making.
    fn tokens_of(
        &self,
        org: OrgId,
        owner: UserId,
        visit: &mut dyn FnMut(ApiToken, Usage) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let (first, last) = codec::all_of(owner.bits());
        self.scan(Table::Owned, within(&first, &last), Order::Ascending, &mut |key, _| {
            let (_, id) = codec::read_pair(key)?;
            let id = TokenId::from_bits(id);
            let Some(token) = self.token_in(org, id)? else {
                return Ok(ControlFlow::Continue(()));
            };
            Ok(visit(token, self.usage(org, id)?))
        })
    }

    fn usage_within(
        &self,
        first: &[u8; 32],
        last: &[u8; 32],
    ) -> Result<Vec<([u8; 32], Usage)>, Failure> {
        let mut rows = Vec::new();
        self.scan(Table::Usage, within(first, last), Order::Ascending, &mut |key, value| {
            let key = <[u8; 32]>::try_from(key).map_err(|_length| {
                Failure::Broken("a key of the usage table has the wrong length".to_owned())
            })?;
            rows.push((key, codec::decode_first(value)?.0));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }
}

impl<R: Read> Records for R {}

/// Typed writes.
pub(super) trait WriteRecords: Write + Records {
    fn put_format(&mut self, version: u64) -> Result<(), Failure> {
        self.put(Table::Meta, FORMAT, &codec::number(version))
    }

    fn put_revision(&mut self, revision: Revision) -> Result<(), Failure> {
        self.put(Table::Meta, REVISION, &codec::number(revision.0))
    }

    fn put_role(&mut self, number: usize, name: &RoleName) -> Result<(), Failure> {
        self.put(Table::Roles, &codec::number(number as u64), &codec::encode(name)?)
    }

    fn put_organization(&mut self, org: &Organization) -> Result<(), Failure> {
        self.put(Table::Organizations, &codec::id(org.id.bits()), &codec::encode(org)?)
    }

    fn put_user(&mut self, user: &User) -> Result<(), Failure> {
        self.remove_user(user.id)?;
        let id = codec::id(user.id.bits());
        self.put(Table::UserHomes, &id, &codec::id(user.org.bits()))?;
        self.put(Table::Emails, &codec::email(user.org, &user.email), &id)?;
        self.put(Table::Users, &codec::user(user.org, user.id), &codec::encode(user)?)
    }

    fn remove_user(&mut self, id: UserId) -> Result<(), Failure> {
        let Some(old) = self.user(id)? else { return Ok(()) };
        // Within one change another user may have taken the address over already.
        if self.user_of_email(old.org, &old.email)? == Some(id) {
            self.remove(Table::Emails, &codec::email(old.org, &old.email))?;
        }
        self.remove(Table::UserHomes, &codec::id(id.bits()))?;
        self.remove(Table::Users, &codec::user(old.org, id))
    }

    /// Answers the digests that the token gives up: those of secrets that it remembers no more.
    fn put_token(&mut self, token: &ApiToken) -> Result<Vec<Digest>, Failure> {
        let old = self.token(token.id)?;
        let mut given_up = Vec::new();
        if let Some(old) = &old {
            given_up.extend(old.digests().filter(|digest| !token.digests().any(|d| d == *digest)));
            for digest in &given_up {
                // Within one change another token may have taken the digest over already.
                if self.token_of_digest(digest)? == Some((old.org, old.id)) {
                    self.remove(Table::Digests, digest.as_bytes())?;
                }
            }
            if old.owner != token.owner {
                self.remove(Table::Owned, &codec::owned(old.owner, old.id))?;
            }
        }
        let key = codec::token(token.org, token.id);
        if old.is_none() {
            self.put(Table::TokenHomes, &codec::id(token.id.bits()), &codec::id(token.org.bits()))?;
        }
        for digest in token.digests() {
            let Some(card) = Card::of(token, &digest) else { continue };
            let indexed = [&key[..], &codec::encode(&card)?].concat();
            self.put(Table::Digests, digest.as_bytes(), &indexed)?;
        }
        let live = if token.standing() == Standing::Revoked { NOT_LIVE } else { LIVE };
        self.put(Table::Owned, &codec::owned(token.owner, token.id), live)?;
        self.put_reminder(old.as_ref(), token)?;
        self.put(Table::Tokens, &key, &codec::encode(token)?)?;
        Ok(given_up)
    }

    /// Passes over a token that is gone.
    fn add_usage(&mut self, id: TokenId, more: &Used) -> Result<(), Failure> {
        let Some(org) = self.token_home(id)? else { return Ok(()) };
        let mut used = self.folded(org, id)?;
        used.merge(more);
        self.put(Table::Usage, &codec::token(org, id), &codec::encode(&used)?)
    }

    /// Remembers a creation, and forgets some that have outlived [`CREATIONS_KEPT`].
    fn put_creation(&mut self, creation: &Creation) -> Result<(), Failure> {
        let mut outlived: Vec<[u8; 40]> = Vec::new();
        let now = codec::creation_end(creation.at, &[0; 32]);
        let span = (Bound::Unbounded, Bound::Included(&now[..]));
        self.scan(Table::CreationEnds, span, Order::Ascending, &mut |key, _| {
            outlived.extend(<[u8; 40]>::try_from(key));
            Ok(if outlived.len() < CREATIONS_FORGOTTEN_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
        for end in outlived {
            self.remove(Table::CreationEnds, &end)?;
            self.remove(Table::Creations, &end[8..])?;
        }
        let end = |creation: &Creation| {
            codec::creation_end(creation.at.after(CREATIONS_KEPT), &creation.key)
        };
        if let Some(old) = self.creation(&creation.key)? {
            self.remove(Table::CreationEnds, &end(&old))?;
        }
        self.put(Table::CreationEnds, &end(creation), &[])?;
        self.put(Table::Creations, &creation.key, &codec::encode(creation)?)
    }
}

impl<W: Write> WriteRecords for W {}

const LIVE: &[u8] = &[1];
const NOT_LIVE: &[u8] = &[0];
pub(super) const EVERYTHING: super::engine::Span<'static> = (Bound::Unbounded, Bound::Unbounded);

pub(super) fn within<'a>(first: &'a [u8], last: &'a [u8]) -> super::engine::Span<'a> {
    (Bound::Included(first), Bound::Included(last))
}
