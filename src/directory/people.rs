//! The users of an organization, as a list and as the names beside what they own.

use super::window::{Asked, Column, Key, Page, Sort, Window};
use crate::governance::reduced;
use crate::id::{OrgId, UserId};
use crate::org::User;
use crate::role::{RoleName, RoleSet, RoleTable};
use crate::store::{Ledger, StoreError};
use std::collections::HashMap;

/// A user as the owner or the maker of something. Users who are removed have no name any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Identity.
    pub id: UserId,
    /// Name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Whether the user is there and deactivated.
    pub deactivated: bool,
}

impl From<&User> for Person {
    fn from(user: &User) -> Self {
        Self {
            id: user.id,
            name: Some(user.name.clone()),
            email: Some(user.email.clone()),
            deactivated: !user.is_active(),
        }
    }
}

/// Users to be named.
#[derive(Clone, Debug, Default)]
pub struct People(HashMap<UserId, Person>);

impl People {
    /// All users of an organization.
    pub fn of(ledger: &dyn Ledger, org: OrgId) -> Result<Self, StoreError> {
        let users = ledger.users(org)?;
        Ok(Self(users.iter().map(|user| (user.id, Person::from(user))).collect()))
    }

    /// These users, as far as they are of this organization.
    pub fn these(
        ledger: &dyn Ledger,
        org: OrgId,
        ids: impl IntoIterator<Item = UserId>,
    ) -> Result<Self, StoreError> {
        let mut people = Self::default();
        for id in ids {
            if let Some(user) = ledger.user(id)?.filter(|user| user.org == org) {
                people.0.insert(id, Person::from(&user));
            }
        }
        Ok(people)
    }

    /// These people and this user.
    #[must_use]
    pub fn with(mut self, user: &User) -> Self {
        self.0.insert(user.id, Person::from(user));
        self
    }

    /// A user; only the identity of one who is unknown here.
    #[must_use]
    pub fn find(&self, id: UserId) -> Person {
        let unknown = || Person { id, name: None, email: None, deactivated: false };
        self.0.get(&id).cloned().unwrap_or_else(unknown)
    }

    /// Whether a text, in lower case, is in their name or address.
    pub(super) fn mentions(&self, id: UserId, search: &str) -> bool {
        let says = |text: &Option<String>| {
            text.as_ref().is_some_and(|text| text.to_lowercase().contains(search))
        };
        self.known(id).is_some_and(|person| says(&person.name) || says(&person.email))
    }

    /// What they are sorted by.
    pub(super) fn key(&self, id: UserId) -> Key {
        let name = self.known(id).and_then(|person| person.name.as_ref());
        name.map_or(Key::Nothing, |name| Key::text(name))
    }

    pub(super) fn known(&self, id: UserId) -> Option<&Person> {
        self.0.get(&id)
    }
}

/// A column of the list of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserColumn {
    /// The identity: in the order of their making.
    Id,
    /// The name.
    Name,
    /// The e-mail address.
    Email,
    /// The organization roles, as text.
    OrgRoles,
    /// The service roles, as text.
    ServiceRoles,
    /// Activated before deactivated.
    Status,
    /// The operator after all others.
    Operator,
    /// When the user was made.
    CreatedAt,
}

impl Column for UserColumn {
    const DEFAULT: Sort<Self> = Sort { column: Self::Name, descending: false };
    const ALL: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("name", Self::Name),
        ("email", Self::Email),
        ("org_roles", Self::OrgRoles),
        ("service_roles", Self::ServiceRoles),
        ("status", Self::Status),
        ("operator", Self::Operator),
        ("created_at", Self::CreatedAt),
    ];
}

/// Which users to list.
#[derive(Clone, Debug)]
pub struct UserQuery {
    /// Activated ones or deactivated ones only.
    pub active: Option<bool>,
    /// A text in name or address, in lower case.
    pub search: Option<String>,
    /// Which page.
    pub asked: Asked<UserColumn>,
}

/// A page of users; `table` knows the names of their roles.
#[must_use]
pub fn users(all: Vec<User>, query: UserQuery, table: &RoleTable) -> Page<User> {
    let column = query.asked.sort.column;
    let mut window = Window::new(query.asked);
    for user in all {
        let found = |search: &String| {
            user.name.to_lowercase().contains(search) || user.email.to_lowercase().contains(search)
        };
        if query.active.is_some_and(|active| active != user.is_active())
            || query.search.as_ref().is_some_and(|search| !found(search))
        {
            continue;
        }
        let key = match column {
            // Identities decide among equals.
            UserColumn::Id => Key::Nothing,
            UserColumn::Name => Key::text(&user.name),
            UserColumn::Email => Key::text(&user.email),
            UserColumn::OrgRoles => Key::text(&named(&user.roles, table, true)),
            UserColumn::ServiceRoles => Key::text(&named(&user.roles, table, false)),
            UserColumn::Status => Key::Number(i64::from(!user.is_active())),
            UserColumn::Operator => Key::Number(i64::from(user.operator)),
            UserColumn::CreatedAt => Key::Number(user.created_at.millis()),
        };
        window.offer(key, user.id.bits(), || user);
    }
    window.page()
}

/// The organization roles or the service roles of a set, as they are shown.
fn named(roles: &RoleSet, table: &RoleTable, of_organization: bool) -> String {
    let roles = reduced(roles);
    let names = roles.iter().filter_map(|role| table.name(role));
    let names = names.filter(|name| matches!(name, RoleName::Organization(_)) == of_organization);
    names.map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
