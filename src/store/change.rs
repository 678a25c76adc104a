//! One change inside the transaction of its group: whether it may be written, what the followers
//! must refuse meanwhile, and the writing.

use super::engine::{Failure, Write as Transaction};
use super::figures::WriteFigures;
use super::outbox::{Outbox, WriteOutbox};
use super::record::{Records, WriteRecords};
use super::reminder::WriteReminders;
use super::trail::{FORGOTTEN_AT_A_TIME_MAX, WriteTrails};
use super::validation::WriteValidationRecords;
use super::{CommitError, Fact, FactKey};
use crate::access::{OrgFacts, OwnerFacts, TokenFacts};
use crate::audit::chain::Key;
use crate::change::{Change, RecordKey, Require, Write};
use crate::id::{OrgId, TokenId, UserId};
use crate::notice::{Draft, WEBHOOKS_MAX};
use crate::org::Revision;
use crate::role::{ROLES_MAX, RoleTable};
use crate::secret::Digest;
use crate::token::ApiToken;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// How many rows a change writes at most, for the limits of queues and groups. Which webhooks a draft
/// goes to is found out when it is written, so it counts as one for every webhook that there can be.
pub(super) fn rows(change: &Change) -> usize {
    let addressees = |draft: &Draft| WEBHOOKS_MAX as usize + draft.to.len();
    let notices: usize = change.notices.iter().map(addressees).sum();
    change.writes.len() + change.events.len() + notices + usize::from(change.creation.is_some())
}

/// Whether a change may be written upon what the transaction holds; if not, why.
///
/// Besides what the change asks for itself, no two tokens may have one digest, no two users of an
/// organization one e-mail address, and no record may change its organization.
pub(super) fn check(
    state: &impl Records,
    roles: &RoleTable,
    change: &Change,
) -> Result<Result<(), CommitError>, Failure> {
    for require in &change.requires {
        if !holds(state, require)? {
            return Ok(Err(CommitError::Conflict(require.clone())));
        }
    }
    if let Some(clash) = clash(state, change)? {
        return Ok(Err(CommitError::Conflict(clash)));
    }
    if let Some(error) = too_many_roles(roles, change) {
        return Ok(Err(error));
    }
    Ok(Ok(()))
}

fn holds(state: &impl Records, require: &Require) -> Result<bool, Failure> {
    Ok(match require {
        Require::Version(key, version) => stored_version(state, *key)? == Some(*version),
        Require::Absent(key) => !is_stored(state, *key)?,
        Require::EmailFree { org, email, except } => {
            state.user_of_email(*org, email)?.is_none_or(|user| user == *except)
        }
        Require::DigestFree(digest) => state.token_of_digest(digest)?.is_none(),
        Require::CreationAbsent(key) => state.creation(key)?.is_none(),
        Require::AnotherActiveOwner { org, except } => {
            let mut found = false;
            state.users(*org, &mut |user| {
                found = user.id != *except && user.is_active_owner();
                if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            found
        }
        Require::NoLiveTokens(owner) => state.live_tokens(*owner, 1)? == 0,
        Require::CountBelow(owner, limit) => state.live_tokens(*owner, *limit)? < *limit,
        Require::WebhooksBelow(org, limit) => {
            u32::try_from(state.webhooks(*org)?.len()).unwrap_or(u32::MAX) < *limit
        }
        Require::Empty => state.is_empty()?,
    })
}

fn stored_version(state: &impl Records, key: RecordKey) -> Result<Option<Revision>, Failure> {
    Ok(match key {
        RecordKey::Organization(id) => state.organization(id)?.map(|org| org.version),
        RecordKey::User(id) => state.user(id)?.map(|user| user.version),
        RecordKey::Token(id) => state.token(id)?.map(|token| token.version),
        RecordKey::Notice(org, id) => state.notice(org, id)?.map(|notice| notice.version),
        RecordKey::Webhook(org, id) => state.webhook(org, id)?.map(|webhook| webhook.version),
    })
}

fn is_stored(state: &impl Records, key: RecordKey) -> Result<bool, Failure> {
    Ok(match key {
        RecordKey::Organization(id) => state.organization(id)?.is_some(),
        RecordKey::User(id) => state.user_home(id)?.is_some(),
        RecordKey::Token(id) => state.token_home(id)?.is_some(),
        RecordKey::Notice(org, id) => state.notice(org, id)?.is_some(),
        RecordKey::Webhook(org, id) => state.webhook(org, id)?.is_some(),
    })
}

/// What the writes of a change break that nobody may break, as the requirement they fail.
///
/// Whoever holds a digest or an address and is written by the same change gives it up in it, or
/// else writes it too: then two of its writes name it, which is refused by itself.
fn clash(state: &impl Records, change: &Change) -> Result<Option<Require>, Failure> {
    let mut users: HashSet<UserId> = HashSet::new();
    let mut tokens: HashMap<TokenId, OrgId> = HashMap::new();
    let mut removed: HashSet<UserId> = HashSet::new();
    for write in &change.writes {
        match write {
            Write::User(user) => _ = users.insert(user.id),
            Write::RemoveUser(id) => _ = (users.insert(*id), removed.insert(*id)),
            Write::Token(token) => _ = tokens.entry(token.id).or_insert(token.org),
            Write::Organization(_)
            | Write::Usage(..)
            | Write::Roles(_)
            | Write::ForgetEvents { .. }
            | Write::Verdicts(..)
            | Write::Validation(_)
            | Write::Notice(_)
            | Write::ForgetNotices(_)
            | Write::Webhook(_)
            | Write::RemoveWebhook(..)
            | Write::Reminded { .. }
            | Write::RemindedThrough(_)
            | Write::Watch(_) => {}
        }
    }
    let mut emails: HashMap<(OrgId, String), UserId> = HashMap::new();
    let mut digests: HashMap<Digest, TokenId> = HashMap::new();
    for write in &change.writes {
        match write {
            Write::User(user) => {
                let home = state.user_home(user.id)?;
                if home.is_some_and(|home| home != user.org) && !removed.contains(&user.id) {
                    return Ok(Some(Require::Absent(RecordKey::User(user.id))));
                }
                let holder = state.user_of_email(user.org, &user.email)?;
                let other = emails.insert((user.org, user.email.to_lowercase()), user.id);
                if holder.is_some_and(|holder| !users.contains(&holder))
                    || other.is_some_and(|other| other != user.id)
                {
                    let (org, email, except) = (user.org, user.email.clone(), user.id);
                    return Ok(Some(Require::EmailFree { org, email, except }));
                }
            }
            Write::Token(token) => {
                let home = state.token_home(token.id)?.or(tokens.get(&token.id).copied());
                if home.is_some_and(|home| home != token.org) {
                    return Ok(Some(Require::Absent(RecordKey::Token(token.id))));
                }
                for digest in token.digests() {
                    let holder = state.token_of_digest(&digest)?;
                    let other = digests.insert(digest, token.id);
                    if holder.is_some_and(|(_, holder)| !tokens.contains_key(&holder))
                        || other.is_some_and(|other| other != token.id)
                    {
                        return Ok(Some(Require::DigestFree(digest)));
                    }
                }
            }
            Write::RemoveUser(_)
            | Write::Organization(_)
            | Write::Usage(..)
            | Write::Roles(_)
            | Write::ForgetEvents { .. }
            | Write::Verdicts(..)
            | Write::Validation(_)
            | Write::Notice(_)
            | Write::ForgetNotices(_)
            | Write::Webhook(_)
            | Write::RemoveWebhook(..)
            | Write::Reminded { .. }
            | Write::RemindedThrough(_)
            | Write::Watch(_) => {}
        }
    }
    Ok(None)
}

fn too_many_roles(roles: &RoleTable, change: &Change) -> Option<CommitError> {
    let new: HashSet<_> = change
        .writes
        .iter()
        .filter_map(|write| if let Write::Roles(names) = write { Some(names) } else { None })
        .flatten()
        .filter(|name| roles.id(name).is_none())
        .collect();
    (roles.names().len() + new.len() > ROLES_MAX)
        .then(|| CommitError::Failed(format!("a store has room for {ROLES_MAX} roles")))
}

/// What the followers must refuse from now on: everything that a change writes, and the digests
/// that its tokens give up.
pub(super) fn barred(state: &impl Records, change: &Change) -> Result<Vec<FactKey>, Failure> {
    let mut keys = Vec::new();
    for write in &change.writes {
        match write {
            Write::Organization(org) => keys.push(FactKey::Organization(org.id)),
            Write::User(user) => keys.push(FactKey::Owner(user.id)),
            Write::RemoveUser(id) => keys.push(FactKey::Owner(*id)),
            Write::Token(token) => {
                let old = state.token(token.id)?;
                let old = old.iter().flat_map(ApiToken::digests);
                let given_up = old.filter(|digest| !token.digests().any(|kept| kept == *digest));
                keys.extend(given_up.chain(token.digests()).map(FactKey::Token));
            }
            Write::Usage(..)
            | Write::Roles(_)
            | Write::ForgetEvents { .. }
            | Write::Verdicts(..)
            | Write::Validation(_)
            | Write::Notice(_)
            | Write::ForgetNotices(_)
            | Write::Webhook(_)
            | Write::RemoveWebhook(..)
            | Write::Reminded { .. }
            | Write::RemindedThrough(_)
            | Write::Watch(_) => {}
        }
    }
    Ok(keys)
}

/// Writes a change that [`check`] let pass, as `revision`, and answers what the followers must
/// know of it once it is committed.
pub(super) fn write(
    transaction: &mut impl Transaction,
    key: &Key,
    roles: &mut Arc<RoleTable>,
    revision: Revision,
    change: Change,
) -> Result<Vec<Fact>, Failure> {
    let mut facts = Vec::with_capacity(change.writes.len());
    for write in change.writes {
        match write {
            Write::Organization(mut org) => {
                org.version = revision;
                transaction.put_organization(&org)?;
                facts.push(Fact::Organization(org.id, Some(OrgFacts::from(&org))));
            }
            Write::User(mut user) => {
                user.version = revision;
                transaction.put_user(&user)?;
                facts.push(Fact::Owner(user.id, Some(OwnerFacts::from(&user))));
            }
            Write::RemoveUser(id) => {
                transaction.remove_user(id)?;
                facts.push(Fact::Owner(id, None));
            }
            Write::Token(mut token) => {
                token.version = revision;
                let given_up = transaction.put_token(&token)?;
                facts.extend(given_up.into_iter().map(|digest| Fact::Token(digest, None)));
                if token.former.is_empty() {
                    facts.push(Fact::Token(token.digest, Some(TokenFacts::from(&token))));
                } else {
                    facts.extend(token.digests().map(Fact::Secret));
                }
            }
            Write::Usage(id, usage) => transaction.add_usage(id, &usage.into())?,
            Write::Watch(step) => transaction.step_watch(step)?,
            Write::Verdicts(org, at, verdicts) => transaction.add_verdicts(org, at, &verdicts)?,
            Write::ForgetEvents { org, through, at } => {
                transaction.forget_events(key, org, through, at)?;
            }
            Write::Validation(write) => transaction.put_validation(write, revision)?,
            Write::Notice(mut notice) => {
                notice.version = revision;
                transaction.put_notice(&notice)?;
            }
            Write::ForgetNotices(at) => {
                transaction.forget_notices(at, FORGOTTEN_AT_A_TIME_MAX)?;
            }
            Write::Webhook(mut webhook) => {
                webhook.version = revision;
                transaction.put_webhook(&webhook)?;
            }
            Write::RemoveWebhook(org, id) => transaction.remove_webhook(org, id)?,
            Write::Reminded { org, token, at, next } => {
                transaction.move_reminder(org, token, at, next)?;
            }
            Write::RemindedThrough(at) => transaction.put_reminded_through(at)?,
            Write::Roles(names) => {
                for name in names {
                    if roles.id(&name).is_none() {
                        transaction.put_role(roles.names().len(), &name)?;
                        // Readers keep the table that they have.
                        Arc::make_mut(roles).intern(name);
                    }
                }
            }
        }
    }
    for event in change.events {
        transaction.append_event(key, revision, event)?;
    }
    transaction.append_notices(revision, change.notices)?;
    if let Some(creation) = &change.creation {
        transaction.put_creation(creation)?;
    }
    Ok(facts)
}
