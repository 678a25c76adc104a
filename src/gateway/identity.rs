//! Who a request is admitted as, as the upstream is told.

use super::header::Names;
use crate::access::{Evidence, OwnerFacts, TokenFacts};
use crate::cache::{Cache, Entry, Identity};
use crate::role::{RoleName, RoleTable};
use std::sync::Arc;

/// The identity that the facts of an entry come to: the one that it keeps, made anew when its owner
/// has changed.
pub(super) fn of(
    cache: &Cache,
    entry: &Entry,
    evidence: &Evidence<'_>,
    names: &Names,
    roles: &dyn Fn() -> Arc<RoleTable>,
) -> Option<Arc<Identity>> {
    let (token, owner, _org) = evidence.parties()?;
    if let Some(known) = &*entry.identity()
        && known.owner_version == owner.version
    {
        return Some(Arc::clone(known));
    }
    Some(cache.keep_identity(entry, make(token, owner, names, &roles())))
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
    let privileged = token.scope.iter().any(above_member);
    Identity::new(owner.version, fields.into_bytes().into_boxed_slice(), privileged)
}
