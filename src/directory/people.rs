//! The users of an organization, as a list and as the names beside what they own.

use super::window::{Asked, Column, Key, Page, Sort, Window};
use crate::id::{OrgId, UserId};
use crate::org::User;
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

    pub(super) fn known(&self, id: UserId) -> Option<&Person> {
        self.0.get(&id)
    }
}

/// A column of the list of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserColumn {
    /// The name.
    Name,
    /// The e-mail address.
    Email,
    /// Activated before deactivated.
    Status,
    /// When the user was made.
    CreatedAt,
}

impl Column for UserColumn {
    const DEFAULT: Sort<Self> = Sort { column: Self::Name, descending: false };
    const ALL: &'static [(&'static str, Self)] = &[
        ("name", Self::Name),
        ("email", Self::Email),
        ("status", Self::Status),
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

/// A page of users.
#[must_use]
pub fn users(all: Vec<User>, query: UserQuery) -> Page<User> {
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
            UserColumn::Name => Key::text(&user.name),
            UserColumn::Email => Key::text(&user.email),
            UserColumn::Status => Key::Number(i64::from(!user.is_active())),
            UserColumn::CreatedAt => Key::Number(user.created_at.millis()),
        };
        window.offer(key, user.id.bits(), || user);
    }
    window.page()
}
