//! Users: making, changing, switching off and on, removing.

use super::{
    Authority, Caller, Clash, Fields, Forbidden, Occasion, Plan, Refusal, Subject,
    TOKENS_PER_USER_MAX, UNWRITTEN, closed, words,
};
use crate::audit::{Action, Target};
use crate::change::{Change, RecordKey, Require, Write};
use crate::id::{OrgId, UserId};
use crate::notice::{Detail, Kind};
use crate::org::{StatusChange, User, UserStatus};
use crate::role::{RoleId, RoleName, RoleSet, RoleTable};
use crate::token::{ApiToken, Standing, TokenStatus};

mod provision;

pub use provision::Provision;

/// A new user.
#[derive(Clone, Debug)]
pub struct CreateUser {
    /// The organization.
    pub org: OrgId,
    /// The user's identity.
    pub id: UserId,
    /// E-mail address.
    pub email: String,
    /// Name.
    pub name: String,
    /// Organization roles and service roles.
    pub roles: RoleSet,
    /// What an identity provider calls the user.
    pub external_id: Option<String>,
    /// Whether the user is activated from the beginning.
    pub active: bool,
}

impl CreateUser {
    /// Plans the user.
    pub fn plan(self, by: &Caller, at: &Occasion<'_>) -> Result<Plan<User>, Refusal> {
        by.within(self.org)?;
        by.needs(Authority::Admin)?;
        may_grant(&self.roles, by, at)?;
        let user = User {
            id: self.id,
            version: UNWRITTEN,
            org: self.org,
            email: words::email("email", &self.email)?,
            name: words::name("name", &self.name)?,
            roles: closed(&self.roles),
            operator: false,
            status: if self.active {
                UserStatus::Activated(None)
            } else {
                let governed = by.authority() == Authority::Owner;
                let (now, by) = (at.now, Some(by.user()));
                UserStatus::Deactivated(StatusChange { at: now, by, reason: None, governed })
            },
            created_at: at.now,
            external_id: external_id(self.external_id.as_deref())?,
            modified_at: at.now,
        };
        let mut change = by.change();
        change.requires.extend([Require::Absent(RecordKey::User(user.id)), email_free(&user)]);
        change.events.push(at.event(user.org, by.actor(), Action::UserCreated, made(&user, at)));
        change.writes.push(Write::User(user.clone()));
        Ok(Plan::Change(Box::new(change), user))
    }
}

/// What the audit trail says of a new user.
pub(super) fn made(user: &User, at: &Occasion<'_>) -> Subject {
    let fields = Fields::default()
        .made("name", &user.name)
        .made("email", &user.email)
        .made("roles", at.roles.scope_text(&user.roles));
    let fields = match &user.external_id {
        Some(id) => fields.made("external_id", id),
        None => fields,
    };
    let fields = if user.is_active() { fields } else { fields.made("status", "deactivated") };
    Subject::new(Target::User(user.id), &user.name, fields)
}

fn external_id(text: Option<&str>) -> Result<Option<String>, Refusal> {
    text.map(|text| words::external_id("external_id", text)).transpose()
}

/// Owners give any role to users of theirs; admins those that their own credential carries.
fn may_grant(granted: &RoleSet, by: &Caller, at: &Occasion<'_>) -> Result<(), Refusal> {
    if by.authority() == Authority::Owner {
        return Ok(());
    }
    at.all_held(granted, &closed(by.roles()), Forbidden::NotCarried)
}

fn email_free(user: &User) -> Require {
    Require::EmailFree { org: user.org, email: user.email.clone(), except: user.id }
}

/// Permits a caller to manage a user who may be an owner.
fn manages(by: &Caller, user: &User) -> Result<(), Refusal> {
    by.within(user.org)?;
    by.needs(Authority::Admin)?;
    if user.roles.contains(RoleId::ORG_OWNER) && by.authority() < Authority::Owner {
        return Err(Refusal::Forbidden(Forbidden::OwnersOnly));
    }
    Ok(())
}

/// A change that begins with what every change of this user requires.
fn change_of(user: &User, by: &Caller) -> Change {
    let mut change = by.change();
    change.requires.push(Require::Version(RecordKey::User(user.id), user.version));
    change
}

fn keeps_an_owner(change: &mut Change, user: &User) {
    if user.is_active_owner() {
        change.requires.push(Require::AnotherActiveOwner { org: user.org, except: user.id });
    }
}

/// A change of a user. What is `None` stays as it is.
#[derive(Clone, Debug)]
pub struct UpdateUser<'a> {
    /// The user.
    pub user: &'a User,
    /// New name.
    pub name: Option<String>,
    /// New e-mail address.
    pub email: Option<String>,
    /// All organization roles.
    pub org_roles: Option<RoleSet>,
    /// All service roles.
    pub service_roles: Option<RoleSet>,
    /// What an identity provider calls the user, or that it calls them nothing any more.
    pub external_id: Option<Option<String>>,
}

impl UpdateUser<'_> {
    /// Plans the change. A member changes their own name and no more.
    pub fn plan(self, by: &Caller, at: &Occasion<'_>) -> Result<Plan<User>, Refusal> {
        let was = self.user;
        by.within(was.org)?;
        let name_only = self.email.is_none()
            && self.org_roles.is_none()
            && self.service_roles.is_none()
            && self.external_id.is_none();
        if was.id == by.user() && name_only {
            by.needs(Authority::Member)?;
        } else {
            manages(by, was)?;
        }
        let mut user = was.clone();
        if let Some(name) = &self.name {
            user.name = words::name("name", name)?;
        }
        if let Some(email) = &self.email {
            user.email = words::email("email", email)?;
        }
        if let Some(id) = &self.external_id {
            user.external_id = external_id(id.as_deref())?;
        }
        let (org_roles, service_roles) = parts(&was.roles, at.roles);
        let asked: RoleSet = self
            .org_roles
            .as_ref()
            .unwrap_or(&org_roles)
            .iter()
            .chain(self.service_roles.as_ref().unwrap_or(&service_roles).iter())
            .collect();
        user.roles = closed(&asked);
        may_grant(&user.roles.difference(&was.roles), by, at)?;
        let fields = Fields::default()
            .changed("name", &was.name, &user.name)
            .changed("email", &was.email, &user.email)
            .changed("roles", at.roles.scope_text(&was.roles), at.roles.scope_text(&user.roles))
            .changed(
                "external_id",
                was.external_id.as_deref().unwrap_or_default(),
                user.external_id.as_deref().unwrap_or_default(),
            );
        if fields.is_empty() {
            return Ok(Plan::Nothing(user));
        }
        let mut change = change_of(was, by);
        let lost = was.roles.difference(&user.roles);
        change.restrictive = !lost.is_empty();
        if lost.contains(RoleId::ORG_OWNER) {
            keeps_an_owner(&mut change, was);
        }
        if user.email != was.email {
            change.requires.push(email_free(&user));
        }
        user.modified_at = at.now;
        let subject = Subject::new(Target::User(user.id), &user.name, fields);
        change.events.push(at.event(user.org, by.actor(), Action::UserUpdated, subject));
        change.writes.push(Write::User(user.clone()));
        Ok(Plan::Change(Box::new(change), user))
    }
}

/// A set's organization roles and its service roles.
#[must_use]
pub fn parts(roles: &RoleSet, table: &RoleTable) -> (RoleSet, RoleSet) {
    let is_service = |&role: &_| matches!(table.name(role), Some(RoleName::Service { .. }));
    let service: RoleSet = roles.iter().filter(is_service).collect();
    (roles.difference(&service), service)
}

/// Plans to switch a user off: none of their tokens is admitted then, and none is rewritten.
pub fn deactivate(
    user: &User,
    reason: Option<String>,
    by: &Caller,
    at: &Occasion<'_>,
) -> Result<Plan<User>, Refusal> {
    manages(by, user)?;
    let governs = by.authority() == Authority::Owner && user.id != by.user();
    match &user.status {
        UserStatus::Deactivated(was) if was.governed || !governs => {
            return Ok(Plan::Nothing(user.clone()));
        }
        UserStatus::Deactivated(_) | UserStatus::Activated(_) => {}
    }
    let status = StatusChange { at: at.now, by: Some(by.user()), reason, governed: governs };
    Ok(switched(user, UserStatus::Deactivated(status), by, at))
}

/// Plans to switch a user on again: their tokens are admitted as they were before, those that were
/// switched off themselves still not.
pub fn activate(
    user: &User,
    reason: Option<String>,
    by: &Caller,
    at: &Occasion<'_>,
) -> Result<Plan<User>, Refusal> {
    manages(by, user)?;
    let UserStatus::Deactivated(was) = &user.status else {
        return Ok(Plan::Nothing(user.clone()));
    };
    let owner = by.authority() == Authority::Owner;
    if was.governed && !owner {
        return Err(Refusal::Forbidden(Forbidden::OwnersDecision));
    }
    let status = StatusChange { at: at.now, by: Some(by.user()), reason, governed: owner };
    Ok(switched(user, UserStatus::Activated(Some(status)), by, at))
}

fn switched(was: &User, status: UserStatus, by: &Caller, at: &Occasion<'_>) -> Plan<User> {
    let user = User { status, modified_at: at.now, ..was.clone() };
    let mut change = change_of(was, by);
    let (action, kind, reason) = match &user.status {
        UserStatus::Deactivated(status) => {
            change.restrictive = true;
            keeps_an_owner(&mut change, was);
            (Action::UserDeactivated, Kind::UserDeactivated, status.reason.as_ref())
        }
        UserStatus::Activated(status) => {
            let reason = status.as_ref().and_then(|status| status.reason.as_ref());
            (Action::UserActivated, Kind::UserActivated, reason)
        }
    };
    let text = |user: &User| if user.is_active() { "activated" } else { "deactivated" };
    let fields = Fields::default().changed("status", text(was), text(&user));
    let subject = Subject::new(Target::User(user.id), &user.name, fields).because(reason);
    change.events.push(at.event(user.org, by.actor(), action, subject));
    change.notices.push(at.tell_user(kind, &user, Some(by.user()), reason));
    change.writes.push(Write::User(user.clone()));
    Plan::Change(Box::new(change), user)
}

/// What becomes of the tokens of a user who is removed.
#[derive(Clone, Debug)]
pub enum Estate<'a> {
    /// They are all revoked already.
    Revoked,
    /// They are revoked with the user.
    Revoke {
        /// All of the user's tokens that are not revoked.
        tokens: Vec<ApiToken>,
    },
    /// They go to another user.
    HandOver {
        /// The heir.
        to: &'a User,
        /// All of the user's tokens that are not revoked.
        tokens: Vec<ApiToken>,
    },
}

/// Plans to remove a user.
///
/// A token that is handed over loses the roles that it carried without effect: the heir may hold
/// them, and nobody meant to give them back.
pub fn remove(
    user: &User,
    estate: Estate<'_>,
    by: &Caller,
    at: &Occasion<'_>,
) -> Result<Plan<()>, Refusal> {
    manages(by, user)?;
    if user.id == by.user() {
        return Err(Refusal::Clash(Clash::Oneself));
    }
    if user.operator {
        return Err(Refusal::Clash(Clash::Operator));
    }
    let mut change = change_of(user, by);
    change.restrictive = true;
    keeps_an_owner(&mut change, user);
    match estate {
        Estate::Revoked => change.requires.push(Require::NoLiveTokens(user.id)),
        Estate::Revoke { tokens } => revoke_all(&mut change, user, tokens, by, at)?,
        Estate::HandOver { to, tokens } => hand_over(&mut change, user, to, tokens, by, at)?,
    }
    let subject = Subject::new(Target::User(user.id), &user.name, Fields::default());
    change.events.push(at.event(user.org, by.actor(), Action::UserRemoved, subject));
    change.writes.push(Write::RemoveUser(user.id));
    Ok(Plan::Change(Box::new(change), ()))
}

/// Whoever may remove a user may end the tokens that nobody is left to answer for. Webhooks are
/// told; a mail would have nobody to read it.
fn revoke_all(
    change: &mut Change,
    user: &User,
    tokens: Vec<ApiToken>,
    by: &Caller,
    at: &Occasion<'_>,
) -> Result<(), Refusal> {
    let count = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
    if count > TOKENS_PER_USER_MAX {
        return Err(Refusal::Clash(Clash::TooManyToRevoke));
    }
    // None was made since these were read: each of them is there in the version that was read.
    change.requires.push(Require::CountBelow(user.id, count.saturating_add(1)));
    let governed = by.authority() == Authority::Owner;
    let mut told = Vec::new();
    for token in tokens {
        change.requires.push(Require::Version(RecordKey::Token(token.id), token.version));
        let before = match token.standing() {
            Standing::Activated => "activated",
            Standing::Deactivated => "deactivated",
            Standing::Revoked => continue,
        };
        let fields = Fields::default().changed("status", before, "revoked");
        let subject = Subject::new(Target::Token(token.id), &token.name, fields);
        change.events.push(at.event(token.org, by.actor(), Action::TokenRevoked, subject));
        told.push(line(&token));
        let status = StatusChange { at: at.now, by: Some(by.user()), reason: None, governed };
        change
            .writes
            .push(Write::Token(ApiToken { status: TokenStatus::Revoked(status), ..token }));
    }
    change.notices.extend(at.tell_estate(Kind::Revoked, user, None, &told, by.user()));
    Ok(())
}

/// What a notice about several tokens says of one.
fn line(token: &ApiToken) -> Detail {
    Detail::new("token", format!("{} ({})", token.name, token.id))
}

fn hand_over(
    change: &mut Change,
    user: &User,
    to: &User,
    tokens: Vec<ApiToken>,
    by: &Caller,
    at: &Occasion<'_>,
) -> Result<(), Refusal> {
    by.within(to.org)?;
    if to.id == user.id {
        return Err(Refusal::invalid("hand_over_to", "expected another user"));
    }
    manages(by, to)?;
    if !to.is_active() {
        return Err(Refusal::Clash(Clash::Deactivated));
    }
    let count = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
    if count > TOKENS_PER_USER_MAX {
        return Err(Refusal::Clash(Clash::TooManyTokens));
    }
    let room = TOKENS_PER_USER_MAX + 1 - count;
    change.requires.extend([
        Require::Version(RecordKey::User(to.id), to.version),
        Require::CountBelow(to.id, room),
        // None was made since these were read: each of them is there in the version that was read.
        Require::CountBelow(user.id, count.saturating_add(1)),
    ]);
    let mut told = Vec::new();
    for token in tokens.into_iter().filter(|token| token.standing() != Standing::Revoked) {
        change.requires.push(Require::Version(RecordKey::Token(token.id), token.version));
        let scope = token.scope.intersection(&user.roles);
        let fields = Fields::default()
            .changed("owner", user.id.to_string(), to.id.to_string())
            .changed("scope", at.roles.scope_text(&token.scope), at.roles.scope_text(&scope));
        let subject = Subject::new(Target::Token(token.id), &token.name, fields);
        change.events.push(at.event(token.org, by.actor(), Action::TokenUpdated, subject));
        told.push(line(&token));
        change.writes.push(Write::Token(ApiToken { owner: to.id, scope, ..token }));
    }
    change.notices.extend(at.tell_estate(Kind::Transferred, user, Some(to.id), &told, by.user()));
    Ok(())
}

#[cfg(test)]
mod tests;
