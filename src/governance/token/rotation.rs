//! Giving a token another secret. Its identity, its history and its use go on.

use super::{Existing, Life, Right, end, policies_of};
use crate::audit::{Action, Actor, Target};
use crate::change::{Change, RecordKey, Require, Write};
use crate::governance::{
    Caller, Clash, Fields, Forbidden, Occasion, Plan, Refusal, Subject, closed,
};
use crate::notice::Kind;
use crate::org::Organization;
use crate::policy::LIFETIME_MIN;
use crate::secret::Digest;
use crate::time::{Timestamp, Ttl};
use crate::token::{ApiToken, FORMER_SECRETS_MAX, FormerSecret, TokenStatus};

/// How long the secret that a token has stays good beside the new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// So long at most; with neither this nor the other not at all.
    pub ttl: Option<Ttl>,
    /// Until the new one is used.
    pub until_first_use: bool,
}

/// Another secret for a token.
#[derive(Clone, Copy, Debug)]
pub struct RotateToken<'a> {
    /// The token.
    pub existing: Existing<'a>,
    /// The digest of the new secret.
    pub digest: Digest,
    /// How long the token is to live from now on; [`Life::Unsaid`] for as long as before, or as
    /// policy allows if that is shorter.
    pub life: Life,
    /// What becomes of the old secret.
    pub overlap: Overlap,
}

impl RotateToken<'_> {
    /// Plans the rotation.
    ///
    /// Nobody but the token's own user learns its secret, so nobody else may ask. A token has at
    /// most two good secrets: what an earlier rotation left good ends with this one.
    pub fn plan(self, by: &Caller, at: &Occasion<'_>) -> Result<Plan<ApiToken>, Refusal> {
        let Existing { org, owner, token: was } = self.existing;
        if self.existing.right(by)? == Right::Governing {
            return Err(Refusal::Forbidden(Forbidden::AnothersSecret));
        }
        let owner = owner.ok_or(Refusal::NotFound)?;
        match &was.status {
            TokenStatus::Revoked(_) => return Err(Refusal::Clash(Clash::Revoked)),
            TokenStatus::Deactivated(was) if was.governed => {
                return Err(Refusal::Clash(Clash::OwnersDecision));
            }
            TokenStatus::Deactivated(_) | TokenStatus::Activated(_) => {}
        }
        // A new secret is a credential for all that the token carries.
        let given = was.scope.intersection(&closed(&owner.roles));
        at.all_held(&given, &closed(by.roles()), Forbidden::NotCarried)?;
        let expires_at = match self.life {
            Life::Unsaid => as_before(was, org, at.now),
            life @ (Life::Longest | Life::Ttl(_) | Life::Until(_)) => end(life, org, at.now)?,
        };
        let old = self.overlap.leaves(was, at.now)?;
        let mut token = ApiToken {
            digest: self.digest,
            issued_at: at.now,
            expires_at,
            former: was.former.iter().map(|former| ended(former, at.now)).collect(),
            ..was.clone()
        };
        let fields = Fields::default()
            .made("old_secret", old.fate(at.now))
            .changed("issued_at", was.issued_at.to_string(), token.issued_at.to_string())
            .changed("expires_at", was.expires_at.to_string(), token.expires_at.to_string());
        let mut change = self.existing.change(by);
        change.requires.extend([
            Require::Version(RecordKey::User(owner.id), owner.version),
            Require::DigestFree(token.digest),
        ]);
        change.restrictive = old.ends_at <= at.now || was.overlapping(at.now).is_some();
        token.former.push(old);
        let surplus = token.former.len().saturating_sub(FORMER_SECRETS_MAX);
        token.former.drain(..surplus);
        let subject = Subject::new(Target::Token(token.id), &token.name, fields);
        change.events.push(at.event(token.org, by.actor(), Action::TokenRotated, subject));
        let told = at.tell_owner(Kind::Regenerated, &token, Some(by.user()), None);
        change.notices.push(told);
        change.writes.push(Write::Token(token.clone()));
        Ok(Plan::Change(Box::new(change), token))
    }
}

/// The end of another life as long as the last one, as far as that is allowed now.
fn as_before(token: &ApiToken, org: &Organization, now: Timestamp) -> Timestamp {
    let length = token.expires_at.since(token.issued_at).max(LIFETIME_MIN);
    now.after(length).min(policies_of(org).latest_end(now).0)
}

/// A former secret whose time ends now, if it has not ended before.
pub(in crate::governance) fn ended(former: &FormerSecret, now: Timestamp) -> FormerSecret {
    let ends_at = former.ends_at.min(now);
    FormerSecret { ends_at, until_first_use: false, ..former.clone() }
}

impl Overlap {
    /// What becomes of the present secret of a token that is rotated now. It never outlives the end
    /// that it was issued with.
    fn leaves(self, token: &ApiToken, now: Timestamp) -> Result<FormerSecret, Refusal> {
        let end = match self.ttl {
            Some(Ttl { value: 0, .. }) => {
                return Err(Refusal::invalid("overlap.value", "expected at least 1"));
            }
            Some(ttl) => ttl.end(now),
            None if self.until_first_use => token.expires_at,
            None => now,
        };
        Ok(FormerSecret {
            digest: token.digest,
            rotated_at: now,
            ends_at: end.min(token.expires_at),
            until_first_use: self.until_first_use && now < token.expires_at,
        })
    }
}

impl FormerSecret {
    /// For the audit trail.
    fn fate(&self, now: Timestamp) -> String {
        let end = self.ends_at;
        if end <= now {
            "over at once".to_owned()
        } else if self.until_first_use {
            format!("good until the first use of the new one, at most until {end}")
        } else {
            format!("good until {end}")
        }
    }
}

/// Plans to record that the first use of a new secret, at `used_at`, has ended the one before it;
/// nothing if the token does not wait for that use any more.
///
/// It takes nothing away that is not taken away already: whoever knows of the use refuses the old
/// secret since.
#[must_use]
pub fn first_use(
    token: &ApiToken,
    heir: &Digest,
    used_at: Timestamp,
    at: &Occasion<'_>,
) -> Option<Change> {
    let waiting = token.former.last().filter(|former| former.until_first_use)?;
    if token.digest != *heir {
        return None;
    }
    let ended = ended(waiting, used_at);
    let fields = Fields::default().changed(
        "old_secret",
        waiting.fate(waiting.rotated_at),
        format!("over since {}", ended.ends_at),
    );
    let mut token = token.clone();
    let mut change = Change {
        requires: vec![Require::Version(RecordKey::Token(token.id), token.version)],
        ..Change::default()
    };
    token.former.pop();
    token.former.push(ended);
    let subject = Subject::new(Target::Token(token.id), &token.name, fields);
    change.events.push(at.event(token.org, Actor::System, Action::FormerSecretEnded, subject));
    change.writes.push(Write::Token(token));
    Some(change)
}

#[cfg(test)]
mod tests;
