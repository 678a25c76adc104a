//! The lists: filtered, sorted by any column, in pages.
//!
//! A page begins after the sort key of the last row of the page before (a keyset, carried in an
//! opaque cursor), so rows that come and go meanwhile shift nothing. Reading one visits every row
//! once and keeps no more of them than a page holds. The tokens of large organizations are visited in
//! memory ([`Shelves`]).

mod catalogue;
mod census;
mod events;
mod excess;
mod insight;
mod people;
mod preview;
mod shelf;
mod tidings;
mod tokens;
mod window;

pub use catalogue::{RoleColumn, RoleRow, ServiceColumn, ServiceRow, roles, services};
pub use census::{BUSIEST_NAMED_MAX, CALENDAR_DAYS, Census, Overview};
pub use events::{EventColumn, events};
pub use excess::{ExcessColumn, ExcessQuery, ExcessRow, excesses};
pub use insight::{
    EXPIRING_NAMED_MAX, Expiring, Expiry, IDLE_DAYS, IDLEST_NAMED_MAX, Idleness, Idlest,
};
pub use people::{People, Person, UserColumn, UserQuery, users};
pub use preview::{OWNERS_NAMED_MAX, Preview};
pub use shelf::{SHELVED_AT_START_MAX, SHELVED_TOKENS_DEFAULT, SHELVED_TOKENS_MIN, Shelves};
pub use tidings::{
    Audience, Changed, EARS_MAX, EARS_PER_USER_MAX, Listening, TOKENS_TOLD_MAX, Tidings, TooMany,
};
pub use tokens::{
    Room, TokenColumn, TokenFilter, TokenQuery, TokenRow, ViolationFilter, fitting, tokens,
};
pub use window::{Asked, Column, Key, Page, Sort, Window};

/// Rows in a page when nothing is said.
pub const LIMIT_DEFAULT: usize = 50;
/// Most rows in a page.
pub const LIMIT_MAX: usize = 200;
/// Longest text to search for, in characters.
pub const SEARCH_CHARS_MAX: usize = 100;
/// Longest cursor, in characters.
pub const CURSOR_CHARS_MAX: usize = 2048;

use crate::org::{Governance, Organization};

/// A column of the list of organizations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrganizationColumn {
    /// The identity: in the order of their making.
    Id,
    /// The name.
    Name,
    /// Whether it is governed.
    Governance,
    /// When it was made.
    CreatedAt,
}

impl Column for OrganizationColumn {
    const DEFAULT: Sort<Self> = Sort { column: Self::Name, descending: false };
    const ALL: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("name", Self::Name),
        ("governance", Self::Governance),
        ("created_at", Self::CreatedAt),
    ];
}

/// A page of organizations; `search` looks into their names.
#[must_use]
pub fn organizations(
    all: Vec<Organization>,
    search: Option<&str>,
    asked: Asked<OrganizationColumn>,
) -> Page<Organization> {
    let column = asked.sort.column;
    let mut window = Window::new(asked);
    for org in all {
        if search.is_some_and(|search| !org.name.to_lowercase().contains(search)) {
            continue;
        }
        let key = match column {
            // Identities decide among equals.
            OrganizationColumn::Id => Key::Nothing,
            OrganizationColumn::Name => Key::text(&org.name),
            OrganizationColumn::Governance => {
                Key::Number(i64::from(org.governance == Governance::Deactivated))
            }
            OrganizationColumn::CreatedAt => Key::Number(org.created_at.millis()),
        };
        window.offer(key, org.id.bits(), || org);
    }
    window.page()
}

#[cfg(test)]
mod tests;
