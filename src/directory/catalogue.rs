//! What the configuration names, as lists.

use super::window::{Asked, Column, Key, Page, Sort, Window};
use crate::governance::catalogue::Catalogue;
use crate::role::{Name, RoleName, RoleTable};

/// A column of the list of organization roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleColumn {
    /// The name.
    Name,
    /// Whether Bearward itself gives it a meaning.
    BuiltIn,
}

impl Column for RoleColumn {
    const DEFAULT: Sort<Self> = Sort { column: Self::Name, descending: false };
    const ALL: &'static [(&'static str, Self)] =
        &[("name", Self::Name), ("built_in", Self::BuiltIn)];
}

/// An organization role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRow {
    /// The name.
    pub name: Name,
    /// Whether Bearward itself gives it a meaning.
    pub built_in: bool,
}

/// A page of the organization roles.
#[must_use]
pub fn roles(catalogue: &Catalogue, asked: Asked<RoleColumn>) -> Page<RoleRow> {
    let built_in = RoleTable::new();
    let column = asked.sort.column;
    let mut window = Window::new(asked);
    // They come in the order of their names, and that decides among equals.
    for (place, name) in (0..).zip(catalogue.organization_roles()) {
        let built_in = built_in.id(&RoleName::Organization(name.clone())).is_some();
        let key = match column {
            RoleColumn::Name => Key::text(name.as_str()),
            RoleColumn::BuiltIn => Key::Number(i64::from(built_in)),
        };
        window.offer(key, place, || RoleRow { name: name.clone(), built_in });
    }
    window.page()
}

/// A column of the list of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceColumn {
    /// The name.
    Name,
    /// The names of the roles in it.
    Roles,
}

impl Column for ServiceColumn {
    const DEFAULT: Sort<Self> = Sort { column: Self::Name, descending: false };
    const ALL: &'static [(&'static str, Self)] = &[("name", Self::Name), ("roles", Self::Roles)];
}

/// A service and the roles in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRow {
    /// The name.
    pub name: Name,
    /// The names of the roles.
    pub roles: Vec<Name>,
}

/// A page of the services.
#[must_use]
pub fn services(catalogue: &Catalogue, asked: Asked<ServiceColumn>) -> Page<ServiceRow> {
    let column = asked.sort.column;
    let mut window = Window::new(asked);
    for (place, (name, roles)) in (0..).zip(catalogue.services()) {
        let roles: Vec<Name> = roles.cloned().collect();
        let key = match column {
            ServiceColumn::Name => Key::text(name.as_str()),
            ServiceColumn::Roles => {
                Key::text(&roles.iter().map(Name::as_str).collect::<Vec<_>>().join(" "))
            }
        };
        window.offer(key, place, || ServiceRow { name: name.clone(), roles });
    }
    window.page()
}
