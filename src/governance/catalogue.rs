//! The roles that the configuration names, and so the only ones that can be given.

use super::Refusal;
use crate::role::{Name, RoleName, RoleSet, RoleTable};
use std::collections::{BTreeMap, BTreeSet};

/// Most roles in one scope that somebody asks for.
pub const SCOPE_ROLES_MAX: usize = 256;

/// The organization roles and the services with their roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    organization: BTreeSet<Name>,
    services: BTreeMap<Name, BTreeSet<Name>>,
}

/// One service role as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceRoleText<'a> {
    /// The service's name.
    pub service: &'a str,
    /// The role's name.
    pub role: &'a str,
}

impl Catalogue {
    /// The catalogue of a configuration's organization roles, beyond the built-in ones, and
    /// services.
    #[must_use]
    pub fn new(
        organization_roles: impl IntoIterator<Item = Name>,
        services: impl IntoIterator<Item = (Name, Vec<Name>)>,
    ) -> Self {
        let built_in = RoleTable::new();
        let built_in = built_in.names().iter().filter_map(|name| match name {
            RoleName::Organization(name) => Some(name.clone()),
            RoleName::Service { .. } => None,
        });
        Self {
            organization: built_in.chain(organization_roles).collect(),
            services: services
                .into_iter()
                .map(|(service, roles)| (service, roles.into_iter().collect()))
                .collect(),
        }
    }

    /// The organization roles, the built-in ones included, in the order of their names.
    pub fn organization_roles(&self) -> impl Iterator<Item = &Name> {
        self.organization.iter()
    }

    /// The services and their roles, in the order of their names.
    pub fn services(&self) -> impl Iterator<Item = (&Name, impl Iterator<Item = &Name>)> {
        self.services.iter().map(|(service, roles)| (service, roles.iter()))
    }

    /// Every role, to be interned by the store.
    #[must_use]
    pub fn role_names(&self) -> Vec<RoleName> {
        let organization = self.organization.iter().cloned().map(RoleName::Organization);
        organization.chain(self.service_role_names()).collect()
    }

    /// The service roles that the store has interned.
    #[must_use]
    pub fn service_roles(&self, table: &RoleTable) -> RoleSet {
        self.service_role_names().filter_map(|name| table.id(&name)).collect()
    }

    fn service_role_names(&self) -> impl Iterator<Item = RoleName> {
        self.services.iter().flat_map(|(service, roles)| {
            roles
                .iter()
                .map(|role| RoleName::Service { service: service.clone(), role: role.clone() })
        })
    }

    /// The organization roles of these names; `field` is where the list stands.
    pub fn organization_set(
        &self,
        field: &str,
        names: &[String],
        table: &RoleTable,
    ) -> Result<RoleSet, Refusal> {
        limit(field, names.len())?;
        let known = |text: &String| {
            let name = text.parse::<Name>().ok().filter(|name| self.organization.contains(name))?;
            table.id(&RoleName::Organization(name))
        };
        let set = names.iter().enumerate().map(|(at, text)| {
            known(text).ok_or_else(|| {
                let known: Vec<&str> = self.organization.iter().map(Name::as_str).collect();
                let message = format!("no such organization role; there are {}", known.join(", "));
                Refusal::invalid(&format!("{field}[{at}]"), message)
            })
        });
        set.collect()
    }

    /// The service roles of these names; `field` is where the list stands.
    pub fn service_set(
        &self,
        field: &str,
        names: &[ServiceRoleText<'_>],
        table: &RoleTable,
    ) -> Result<RoleSet, Refusal> {
        limit(field, names.len())?;
        let set = names.iter().enumerate().map(|(at, text)| {
            let invalid = |part: &str, message: &str| {
                Refusal::invalid(&format!("{field}[{at}].{part}"), message)
            };
            let service = text.service.parse::<Name>().ok();
            let found = service.and_then(|service| self.services.get_key_value(&service));
            let (service, roles) =
                found.ok_or_else(|| invalid("service", "no such service; see /services"))?;
            let role = text.role.parse::<Name>().ok().filter(|role| roles.contains(role));
            let name = role.map(|role| RoleName::Service { service: service.clone(), role });
            name.and_then(|name| table.id(&name))
                .ok_or_else(|| invalid("role", "the service has no such role; see /services"))
        });
        set.collect()
    }
}

fn limit(field: &str, len: usize) -> Result<(), Refusal> {
    if len <= SCOPE_ROLES_MAX {
        return Ok(());
    }
    Err(Refusal::invalid(field, format!("expected at most {SCOPE_ROLES_MAX} roles")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::RoleId;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn catalogue() -> (Catalogue, RoleTable) {
        let catalogue = Catalogue::new(
            [name("auditor")],
            [(name("orders"), vec![name("reader"), name("writer")])],
        );
        let mut table = RoleTable::new();
        for role in catalogue.role_names() {
            table.intern(role);
        }
        (catalogue, table)
    }

    #[test]
    fn only_what_the_configuration_names_can_be_asked_for() {
        let (catalogue, mut table) = catalogue();
        table.intern("retired".parse().expect("a role"));
        let organization = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            catalogue.organization_set("scope.org_roles", &names, &table)
        };
        assert!(organization(&["org_owner", "auditor"]).expect("known").contains(RoleId(0)));
        for (names, field) in [
            (vec!["org_owner", "retired"], "scope.org_roles[1]"),
            (vec!["Auditor"], "scope.org_roles[0]"),
            (vec!["orders/reader"], "scope.org_roles[0]"),
        ] {
            let Err(Refusal::Invalid { field: found, .. }) = organization(&names) else {
                panic!("{names:?} was taken")
            };
            assert_eq!(found, field);
        }
        let service = |service, role| {
            let set = catalogue.service_set("s", &[ServiceRoleText { service, role }], &table);
            set.map_err(|refusal| {
                let Refusal::Invalid { field, .. } = refusal else { panic!("{refusal}") };
                field
            })
        };
        assert!(service("orders", "reader").is_ok());
        assert_eq!(service("billing", "reader"), Err("s[0].service".into()));
        assert_eq!(service("orders", "owner"), Err("s[0].role".into()));
    }

    #[test]
    fn a_scope_has_a_limit() {
        let (catalogue, table) = catalogue();
        let names = vec!["org_member".to_owned(); SCOPE_ROLES_MAX + 1];
        assert!(catalogue.organization_set("r", &names[1..], &table).is_ok());
        assert!(catalogue.organization_set("r", &names, &table).is_err());
    }
}
