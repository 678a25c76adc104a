//! Policies that are enforced: the ladder from a warning over a reversible deactivation to
//! revocation. Pure: a validation run takes the steps.

use super::{Fields, Occasion, Subject};
use crate::audit::{Action, Actor, Target};
use crate::change::{Change, RecordKey, Require, Write};
use crate::notice::{Detail, Kind};
use crate::org::{Organization, StatusChange};
use crate::policy::{Enforcement, PolicyKind};
use crate::time::Timestamp;
use crate::token::{ApiToken, TokenStatus};
use crate::validation::Mark;

/// One step down the ladder. The later ones are the harder ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The owner is told what will follow.
    Warn,
    /// The token is deactivated; an owner of the organization can activate it.
    Deactivate,
    /// The token is revoked.
    Revoke,
}

/// The step that is due at `now` for a token that breaks a policy, with the mark as it is then.
///
/// The first is always a warning, and each later one takes its time from when the one before was
/// taken. A change of the ladder begins it anew with another warning, and so does an owner who
/// activates what it deactivated. What somebody else deactivated is left to them.
#[must_use]
pub fn due(
    ladder: &Enforcement,
    mark: Mark,
    token: &ApiToken,
    now: Timestamp,
) -> (Mark, Option<Step>) {
    match &token.status {
        TokenStatus::Activated(_) => {
            let warned = mark.warned_at.filter(|warned| *warned >= ladder.since);
            match warned.filter(|_| mark.deactivated_at.is_none()) {
                None => {
                    let warned = Mark { warned_at: Some(now), deactivated_at: None, ..mark };
                    (warned, Some(Step::Warn))
                }
                Some(warned) if now >= ladder.deactivate_after.end(warned) => {
                    (Mark { deactivated_at: Some(now), ..mark }, Some(Step::Deactivate))
                }
                Some(_) => (mark, None),
            }
        }
        TokenStatus::Deactivated(change) => {
            // A run that is repeated finds what it did itself before it was broken off.
            let is_ours =
                change.by.is_none() && (mark.deactivated_at == Some(change.at) || change.at == now);
            if !is_ours {
                return (Mark { deactivated_at: None, ..mark }, None);
            }
            let mark = Mark { deactivated_at: Some(change.at), ..mark };
            let since = change.at.max(ladder.since);
            let is_due = ladder.revoke_after.is_some_and(|after| now >= after.end(since));
            (mark, is_due.then_some(Step::Revoke))
        }
        TokenStatus::Revoked(_) => (mark, None),
    }
}

/// A step that switches a token off.
#[derive(Clone, Copy, Debug)]
pub struct SwitchOff<'a> {
    /// The organization.
    pub org: &'a Organization,
    /// The token.
    pub token: &'a ApiToken,
    /// The policy that is enforced.
    pub policy: PolicyKind,
}

impl SwitchOff<'_> {
    /// Plans the step; nothing for a warning, which changes no token. It requires the organization
    /// as it was read: whoever changed policies or exemptions meanwhile has the last word.
    #[must_use]
    pub fn plan(self, step: Step, at: &Occasion<'_>) -> Option<Change> {
        let limit = self.org.policies.of(self.policy).ttl;
        let broken = match self.policy {
            PolicyKind::IdleTtl => format!("unused for longer than the Idle Token TTL of {limit}"),
            PolicyKind::MaxTtl => format!("lives longer than the Max Token TTL of {limit}"),
        };
        let reason = Some(format!("{broken}, which is enforced"));
        let change = StatusChange { at: at.now, by: None, reason: reason.clone(), governed: true };
        let (status, action, text) = match step {
            Step::Warn => return None,
            Step::Deactivate => {
                (TokenStatus::Deactivated(change), Action::TokenDeactivated, "deactivated")
            }
            Step::Revoke => (TokenStatus::Revoked(change), Action::TokenRevoked, "revoked"),
        };
        let before = if step == Step::Revoke { "deactivated" } else { "activated" };
        let fields = Fields::default()
            .changed("status", before, text)
            .made("enforced_policy", self.policy.to_string());
        let token = ApiToken { status, ..self.token.clone() };
        let kind = if step == Step::Revoke { Kind::Revoked } else { Kind::Deactivated };
        let mut told = at.tell_owner(kind, &token, None, reason.as_ref());
        told.details.push(Detail::new("enforced_policy", self.policy.to_string()));
        let ladder = self.org.policies.of(self.policy).enforcement;
        if let Some(after) =
            ladder.and_then(|ladder| ladder.revoke_after).filter(|_| step == Step::Deactivate)
        {
            told.details.push(Detail::new("revoked_from", after.end(at.now).to_string()));
        }
        let subject =
            Subject::new(Target::Token(token.id), &token.name, fields).because(reason.as_ref());
        Some(Change {
            requires: vec![
                Require::Version(RecordKey::Organization(self.org.id), self.org.version),
                Require::Version(RecordKey::Token(token.id), self.token.version),
            ],
            events: vec![at.event(token.org, Actor::System, action, subject)],
            notices: vec![told],
            writes: vec![Write::Token(token)],
            restrictive: true,
            ..Change::default()
        })
    }
}

#[cfg(test)]
mod tests;
