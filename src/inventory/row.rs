//! A token as a line.

use super::{Column, Line};
use crate::org::User;
use crate::policy::Ignores;
use crate::role::RoleTable;
use crate::token::{ApiToken, Standing, Usage};

/// A token, its use and its owner.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The token.
    pub token: &'a ApiToken,
    /// Its use.
    pub usage: &'a Usage,
    /// Its owner; nobody once the owner was removed.
    pub owner: Option<&'a User>,
}

impl Row<'_> {
    /// The line of it, without the secret that nobody knows.
    #[must_use]
    pub fn line(&self, roles: &RoleTable) -> Line<'static> {
        let Row { token, usage, owner } = *self;
        let mut line = Line::default()
            .with(Column::Id, token.id.to_string())
            .with(Column::Name, token.name.clone())
            .with(Column::Scope, roles.scope_text(&token.scope))
            .with(Column::CreatedAt, token.created_at.to_string())
            .with(Column::IssuedAt, token.issued_at.to_string())
            .with(Column::ExpiresAt, token.expires_at.to_string())
            .with(Column::Status, status(token.standing()))
            .with(Column::UseCount, usage.use_count.to_string())
            .with(Column::Digest, hex(token.digest.as_bytes()));
        if let Some(owner) = owner {
            line = line
                .with(Column::Owner, owner.email.clone())
                .with(Column::OwnerName, owner.name.clone())
                .with(Column::OwnerRoles, roles.scope_text(&owner.roles));
        }
        if let Some(change) = token.status_change() {
            line = line
                .with(Column::StatusAt, change.at.to_string())
                .with(Column::StatusBy, change.by.map_or_else(String::new, |by| by.to_string()))
                .with(Column::StatusReason, change.reason.clone().unwrap_or_default())
                .with(Column::StatusGoverned, change.governed.to_string());
        }
        if let Some(at) = usage.last_used_at {
            line = line.with(Column::LastUsedAt, at.to_string());
        }
        if let Some(by) = token.created_by {
            line = line.with(Column::CreatedBy, by.to_string());
        }
        if let Some(by) = token.minted_by {
            line = line.with(Column::MintedBy, by.to_string());
        }
        if token.ignores != Ignores::default() {
            let ignores = serde_json::to_string(&token.ignores);
            line = line.with(Column::Ignores, ignores.unwrap_or_default());
        }
        line
    }
}

const fn status(standing: Standing) -> &'static str {
    match standing {
        Standing::Activated => "activated",
        Standing::Deactivated => "deactivated",
        Standing::Revoked => "revoked",
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let pairs = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    pairs.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
