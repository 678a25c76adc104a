//! Webhooks: where machines are told.

use super::Kind;
use crate::id::{OrgId, UserId, WebhookId};
use crate::org::Revision;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Most webhooks of one organization.
pub const WEBHOOKS_MAX: u32 = 20;

/// Somewhere to call when something happens in an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Identity.
    pub id: WebhookId,
    /// The commit that last wrote this record; set by the store.
    pub version: Revision,
    /// The organization.
    pub org: OrgId,
    /// Where to: `https://` or `http://`.
    pub url: String,
    /// Which kinds of notices it gets.
    pub kinds: Vec<Kind>,
    /// Whether it gets any.
    pub activated: bool,
    /// The secret that signs what is sent, sealed.
    pub sealed_secret: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: UserId,
}

impl Webhook {
    /// What its secret is sealed for.
    #[must_use]
    pub fn seal_owner(&self) -> Vec<u8> {
        seal_owner(self.org, self.id)
    }

    /// Whether it is told of something of this kind.
    #[must_use]
    pub fn wants(&self, kind: Kind) -> bool {
        self.activated && self.kinds.contains(&kind)
    }
}

/// What the secret of a webhook is sealed for: it opens for no other.
#[must_use]
pub fn seal_owner(org: OrgId, webhook: WebhookId) -> Vec<u8> {
    format!("webhook secret {org} {webhook}").into_bytes()
}
