//! Who a request is admitted as, as the upstream is told.

use super::header::Names;
use crate::access::{Evidence, OwnerFacts, TokenFacts};
use crate::cache::{Entry, Identity};
use crate::role::{RoleName, RoleTable};
use std::sync::Arc;

/// The identity of an entry, made anew when its owner has changed; nothing when the entry is
/// barred.
pub(super) fn of(
    entry: &Entry,
    names: &Names,
    roles: &dyn Fn() -> Arc<RoleTable>,
) -> Option<Arc<Identity>> {
    let known = entry.identity.load();
    let current = entry.with_evidence(|evidence| {
        let Evidence::Known { token, owner, .. } = *evidence else { return None };
        if let Some(known) = &*known
            && known.owner_version == owner.version
        {
            return Some(Arc::clone(known));
        }
        Some(Arc::new(make(token, owner, names, &roles())))
    })?;
    if known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &current)) {
        entry.identity.store(Some(Arc::clone(&current)));
    }
    Some(current)
}

fn make(token: &TokenFacts, owner: &OwnerFacts, names: &Names, roles: &RoleTable) -> Identity {
    let above_member = |role| match roles.name(role) {
        Some(RoleName::Organization(name)) => name.as_str() != "org_member",
        Some(RoleName::Service { .. }) => false,
        None => true,
    };
    let fields = names.identity_fields([
        &owner.id.to_string(),
        &token.org.to_string(),
        &token.id.to_string(),
        &roles.scope_text(&token.scope.intersection(&owner.roles)),
    ]);
    Identity {
        owner_version: owner.version,
        fields: fields.into_bytes().into_boxed_slice(),
        privileged: token.scope.iter().any(above_member),
    }
}
