//! The identity provider in the configuration.

use super::Authorities;
use crate::id::OrgId;
use crate::oidc::UserClaim;
use crate::role::RoleName;
use std::time::Duration;
use zeroize::Zeroizing;

/// The identity provider, and what it decides.
#[derive(Clone, PartialEq, Eq)]
pub struct Oidc {
    /// What people know it by.
    pub name: String,
    /// What its own document calls it.
    pub issuer: String,
    /// What it knows us by.
    pub client_id: String,
    /// What proves to it who we are; a public client has none.
    pub client_secret: Option<Zeroizing<String>>,
    /// What it is asked for, separated by spaces.
    pub scopes: String,
    /// Where browsers reach the admin port: scheme, host and port.
    pub public_url: String,
    /// The organization of those for whom it vouches.
    pub organization: OrgId,
    /// What a user is found by.
    pub user_claim: UserClaim,
    /// The roles that it gives, if it gives any.
    pub roles: Option<RoleMap>,
    /// Whether somebody whom nobody here knows becomes a user, if it gives them a role.
    pub create_users: bool,
    /// Whether users have, from each sign-in on, the roles that it gives and no others.
    pub sync_roles: bool,
    /// Who may vouch for it, over TLS.
    pub authorities: Authorities,
    /// Longest time for a call of it.
    pub timeout: Duration,
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { issuer, client_id, .. } = self;
        f.debug_struct("Oidc")
            .field("issuer", issuer)
            .field("client_id", client_id)
            .finish_non_exhaustive()
    }
}

/// The roles that an identity provider gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleMap {
    /// The claim whose values stand for roles.
    pub claim: String,
    /// What each value stands for.
    pub of: Vec<(String, Vec<RoleName>)>,
}
