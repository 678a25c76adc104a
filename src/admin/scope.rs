//! Roles in JSON: organization roles by name, service roles by service and name.

use super::desk::Desk;
use super::problem::Problem;
use crate::governance::catalogue::ServiceRoleText;
use crate::role::{RoleId, RoleName, RoleSet, RoleTable};
use serde::{Deserialize, Serialize};

/// A role in a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceRole {
    /// The service's name.
    #[schema(example = "orders")]
    pub(crate) service: String,
    /// The role's name.
    #[schema(example = "reader")]
    pub(crate) role: String,
}

/// Roles that a token carries, or that somebody holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scope {
    /// Organization roles.
    #[serde(default)]
    #[schema(example = json!(["org_member"]))]
    pub(crate) org_roles: Vec<String>,
    /// Service roles.
    #[serde(default)]
    pub(crate) service_roles: Vec<ServiceRole>,
}

impl Scope {
    /// A set of roles, named.
    pub(crate) fn named(roles: &RoleSet, table: &RoleTable) -> Self {
        let mut scope = Self::default();
        for name in roles.iter().filter_map(|role| table.name(role)) {
            match name {
                RoleName::Organization(name) => scope.org_roles.push(name.to_string()),
                RoleName::Service { service, role } => scope
                    .service_roles
                    .push(ServiceRole { service: service.to_string(), role: role.to_string() }),
            }
        }
        scope
    }

    /// The set that is named; `field` is where this stands in the request.
    pub(crate) fn set(&self, field: &str, desk: &Desk<'_>) -> Result<RoleSet, Problem> {
        let org = organization_set(&format!("{field}.org_roles"), &self.org_roles, desk)?;
        let service = service_set(&format!("{field}.service_roles"), &self.service_roles, desk)?;
        Ok(org.iter().chain(service.iter()).collect())
    }

    /// As [`Scope::set`], for a token that carries `held`: roles that the configuration names no
    /// more can stay with it.
    pub(crate) fn held(
        &self,
        held: &RoleSet,
        field: &str,
        desk: &Desk<'_>,
    ) -> Result<RoleSet, Problem> {
        let known = Self::named(held, desk.roles());
        let only_held = self.org_roles.iter().all(|role| known.org_roles.contains(role))
            && self.service_roles.iter().all(|role| known.service_roles.contains(role));
        if !only_held {
            return self.set(field, desk);
        }
        let is_asked = |role: &RoleId| match desk.roles().name(*role) {
            Some(RoleName::Organization(name)) => {
                self.org_roles.iter().any(|asked| asked == name.as_str())
            }
            Some(RoleName::Service { service, role }) => self
                .service_roles
                .iter()
                .any(|asked| asked.service == service.as_str() && asked.role == role.as_str()),
            None => false,
        };
        Ok(held.iter().filter(is_asked).collect())
    }
}

/// The organization roles of a list.
pub(crate) fn organization_set(
    field: &str,
    names: &[String],
    desk: &Desk<'_>,
) -> Result<RoleSet, Problem> {
    Ok(desk.catalogue.organization_set(field, names, desk.roles())?)
}

/// The service roles of a list.
pub(crate) fn service_set(
    field: &str,
    names: &[ServiceRole],
    desk: &Desk<'_>,
) -> Result<RoleSet, Problem> {
    let texts: Vec<ServiceRoleText<'_>> = names
        .iter()
        .map(|name| ServiceRoleText { service: &name.service, role: &name.role })
        .collect();
    Ok(desk.catalogue.service_set(field, &texts, desk.roles())?)
}
