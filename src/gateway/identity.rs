//! Who a request is admitted as, as the upstream is told.

use crate::access::{OwnerFacts, TokenFacts};
use crate::cache::{Entry, IdentityValues};
use crate::role::{RoleName, RoleTable};
use bytes::Bytes;
use http::HeaderValue;
use std::sync::Arc;

/// The identity headers of an entry, made anew when its owner has changed; nothing when the entry
/// is barred.
pub(super) fn values(
    entry: &Entry,
    roles: &dyn Fn() -> Arc<RoleTable>,
) -> Option<Arc<IdentityValues>> {
    let known = entry.identity.load();
    let current = entry.with_evidence(|evidence| {
        let (token, owner, _org) = evidence.parties()?;
        if let Some(known) = &*known
            && known.owner_version == owner.version
        {
            return Some(Arc::clone(known));
        }
        Some(Arc::new(make(token, owner, &roles())))
    })?;
    if known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &current)) {
        entry.identity.store(Some(Arc::clone(&current)));
    }
    Some(current)
}

/// The values share one buffer: forwarding them is counted in one place, and they lie together.
fn make(token: &TokenFacts, owner: &OwnerFacts, roles: &RoleTable) -> IdentityValues {
    let above_member = |role| match roles.name(role) {
        Some(RoleName::Organization(name)) => name.as_str() != "org_member",
        Some(RoleName::Service { .. }) => false,
        None => true,
    };
    let texts = [
        owner.id.to_string(),
        token.org.to_string(),
        token.id.to_string(),
        roles.scope_text(&token.scope.intersection(&owner.roles)),
    ];
    let whole = Bytes::from(texts.concat());
    let mut end = 0;
    let [subject, organization, token_id, scope] = texts.map(|text| {
        let start = end;
        end += text.len();
        HeaderValue::from_maybe_shared(whole.slice(start..end))
            .unwrap_or(HeaderValue::from_static(""))
    });
    let privileged = token.scope.iter().any(above_member);
    let owner_version = owner.version;
    IdentityValues { owner_version, subject, organization, token_id, scope, privileged }
}
