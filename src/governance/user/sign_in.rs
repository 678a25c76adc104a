//! Somebody for whom the identity provider vouches, on the way in.

use super::{closed, email_free, keeps_an_owner, made};
use crate::audit::{Action, Actor, Target};
use crate::change::{Change, RecordKey, Require, Write};
use crate::governance::{Clash, Fields, Forbidden, Occasion, Refusal, Subject, UNWRITTEN, words};
use crate::id::UserId;
use crate::oidc::Person;
use crate::org::{Organization, User, UserStatus};
use crate::role::{RoleId, RoleSet};

/// The user whom a person is: by their `external_id`, or by their verified address.
pub fn known<'u>(users: &'u [User], person: &Person) -> Result<Option<&'u User>, Refusal> {
    let is_theirs = |user: &&User| match &person.external_id {
        Some(id) => user.external_id.as_ref() == Some(id),
        None => person.email.as_ref().is_some_and(|email| is_same(email, &user.email)),
    };
    let mut found = users.iter().filter(is_theirs);
    match (found.next(), found.next()) {
        // Whoever it is, it is not for us to choose.
        (Some(_), Some(_)) => Err(Refusal::Forbidden(Forbidden::SeveralUsers)),
        (user, _) => Ok(user),
    }
}

fn is_same(email: &str, other: &str) -> bool {
    email.to_lowercase() == other.to_lowercase()
}

/// A sign-in.
#[derive(Clone, Debug)]
pub struct SignIn<'a> {
    /// The organization of those for whom the provider vouches.
    pub org: &'a Organization,
    /// All users of it.
    pub users: &'a [User],
    /// Who signs in.
    pub person: &'a Person,
    /// Who vouches.
    pub issuer: &'a str,
    /// The roles that the provider gives.
    pub given: RoleSet,
    /// The identity of the user, if somebody whom nobody knows is to become one.
    pub create: Option<UserId>,
    /// Whether users have the roles that the provider gives, and no others.
    pub sync: bool,
}

impl SignIn<'_> {
    /// Plans what the sign-in changes, which is one audit event at least. The change requires the
    /// user and the organization as they were read: who is switched off meanwhile is not let in.
    pub fn plan(self, at: &Occasion<'_>) -> Result<(Change, User), Refusal> {
        let (mut change, user) = match known(self.users, self.person)? {
            Some(user) => self.returning(user, at)?,
            None => self.first(at)?,
        };
        let (org, version) = (self.org.id, self.org.version);
        change.requires.push(Require::Version(RecordKey::Organization(org), version));
        let fields =
            Fields::default().made("issuer", self.issuer).made("subject", &self.person.subject);
        let subject = Subject::new(Target::User(user.id), &user.name, fields);
        let actor = Actor::Session { user: user.id };
        change.events.push(at.event(org, actor, Action::SignedIn, subject));
        Ok((change, user))
    }

    fn returning(&self, was: &User, at: &Occasion<'_>) -> Result<(Change, User), Refusal> {
        if !was.is_active() {
            return Err(Refusal::Clash(Clash::Deactivated));
        }
        let mut change = Change::default();
        change.requires.push(Require::Version(RecordKey::User(was.id), was.version));
        if !self.sync {
            return Ok((change, was.clone()));
        }
        let roles = self.roles()?;
        let lost = was.roles.difference(&roles);
        let (before, after) = (at.roles.scope_text(&was.roles), at.roles.scope_text(&roles));
        let fields = Fields::default().changed("roles", before, after);
        if fields.is_empty() {
            return Ok((change, was.clone()));
        }
        let user = User { roles, modified_at: at.now, ..was.clone() };
        change.restrictive = !lost.is_empty();
        if lost.contains(RoleId::ORG_OWNER) {
            keeps_an_owner(&mut change, was);
        }
        let subject = Subject::new(Target::User(user.id), &user.name, fields);
        let actor = Actor::Session { user: user.id };
        change.events.push(at.event(user.org, actor, Action::UserUpdated, subject));
        change.writes.push(Write::User(user.clone()));
        Ok((change, user))
    }

    fn first(&self, at: &Occasion<'_>) -> Result<(Change, User), Refusal> {
        let Some(id) = self.create else { return Err(Refusal::Forbidden(Forbidden::Stranger)) };
        let roles = self.roles()?;
        let person = self.person;
        // Notices go there, and an address that anybody could have claimed may be somebody else's.
        let email = person.email.as_deref().ok_or(Refusal::Forbidden(Forbidden::NoAddress))?;
        let email = words::email("email", email)?;
        // Such a user is not known by what the provider says: an owner has to say that they are one.
        if self.users.iter().any(|user| is_same(&email, &user.email)) {
            return Err(Refusal::Clash(Clash::EmailTaken));
        }
        let name = person.name.as_deref().and_then(|name| words::name("name", name).ok());
        let external_id = person.external_id.as_ref().unwrap_or(&person.subject);
        let user = User {
            id,
            version: UNWRITTEN,
            org: self.org.id,
            name: match name {
                Some(name) => name,
                None => words::name("name", email.split('@').next().unwrap_or_default())?,
            },
            email,
            roles,
            operator: false,
            status: UserStatus::Activated(None),
            created_at: at.now,
            external_id: Some(words::external_id("external_id", external_id)?),
            modified_at: at.now,
        };
        let mut change = Change::default();
        change.requires.extend([Require::Absent(RecordKey::User(id)), email_free(&user)]);
        let actor = Actor::Session { user: id };
        change.events.push(at.event(user.org, actor, Action::UserCreated, made(&user, at)));
        change.writes.push(Write::User(user.clone()));
        Ok((change, user))
    }

    /// The roles that the provider gives. Who gets none is not let in, and loses none either: a
    /// provider that leaves the claim out must not take everything from everybody.
    fn roles(&self) -> Result<RoleSet, Refusal> {
        if self.given.is_empty() {
            return Err(Refusal::Forbidden(Forbidden::NoRole));
        }
        Ok(closed(&self.given))
    }
}

#[cfg(test)]
mod tests;
