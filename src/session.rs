//! Who is calling the admin port: the bearer of a live API token, or nobody.
//!
//! The admin port admits by the same facts and the same rule as the gateway
//! ([`crate::access::dead`]). Where the facts come from is behind [`Evidences`], so that a cache
//! that is fenced against stale ones can stand there.
//!
//! Who signed in to the pages shows a cookie in place of the token ([`browser`]); the token that it
//! stands for is judged at each request all the same, by [`admit`]. Who signed in at an identity
//! provider has no token: then it is the user who is judged at each request, by [`recognize`].
//!
//! **Invariant.** Unknown, expired, deactivated, blocked and revoked tokens get one answer: nobody
//! learns from it that a secret was good once.

pub mod attempts;
pub mod browser;

use crate::access::{self, OrgFacts, OwnerFacts, SecretFacts, TokenFacts};
use crate::cache::{Lookup, Readers, Resolved};
use crate::credential::{self, Credential};
use crate::governance::Caller;
use crate::id::{OrgId, TokenId, UserId};
use crate::secret::{self, Digest};
use crate::store::{Facts, Found, Ledger, StoreError};
use crate::time::Timestamp;
use crate::token::Usage;
use crate::usage::Uses;
use http::HeaderMap;
use std::pin::Pin;
use std::sync::Arc;

/// Why nobody is calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No `Authorization` field, or one of another scheme.
    #[error("this needs an API token: Authorization: Bearer ...")]
    NoCredential,
    /// A broken bearer credential, or several.
    #[error("expected one Authorization field with one bearer token")]
    Malformed,
    /// A token that authorizes nothing, whatever the cause.
    #[error("the token is not valid")]
    Dead,
    /// Nobody can say now.
    #[error("the token cannot be checked at the moment")]
    Unavailable,
}

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    /// The organization.
    pub org: OrgId,
    /// The user.
    pub user: UserId,
    /// The token; none of somebody for whom an identity provider vouched.
    pub token: Option<TokenId>,
}

impl From<&Caller> for Whose {
    fn from(caller: &Caller) -> Self {
        Self { org: caller.org(), user: caller.user(), token: caller.token() }
    }
}

/// Nobody is calling, and why. Whose token it was that is dead, if it ever was one, is for the
/// audit trail alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnedAway {
    /// Why.
    pub why: Refused,
    /// Whose dead token it was.
    pub whose: Option<Whose>,
}

impl From<Refused> for TurnedAway {
    fn from(why: Refused) -> Self {
        Self { why, whose: None }
    }
}

/// What a caller has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A secret, of which this is the digest.
    Secret(Digest),
    /// Themself, to the identity provider, which vouched for this user.
    Vouched(UserId),
}

/// The facts about a token could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// The answer of a look-up, to be awaited. `None` for a token that is unknown or barred.
pub type Evidence<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Found>, Unavailable>> + Send + 'a>>;

/// Where the facts about a token come from.
pub trait Evidences: Send + Sync {
    /// What is known about a digest now.
    fn known<'a>(&'a self, digest: &'a Digest) -> Evidence<'a>;
    /// The secret of this digest was used.
    fn used(&self, digest: &Digest, found: &Found, at: Timestamp);
}

/// The facts as the store has them, read anew for each call.
pub struct Stored(pub Arc<dyn Facts>);

impl Evidences for Stored {
    fn known<'a>(&'a self, digest: &'a Digest) -> Evidence<'a> {
        let (facts, digest) = (Arc::clone(&self.0), *digest);
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || facts.lookup(&digest)).await;
            match found {
                Ok(Ok((_, found))) => Ok(found),
                Ok(Err(error)) => {
                    tracing::error!(%error, "the facts about a token cannot be read");
                    Err(Unavailable)
                }
                Err(error) => {
                    tracing::error!(%error, "a look-up ended before its answer");
                    Err(Unavailable)
                }
            }
        })
    }

    /// The store is told by whoever watches over first uses.
    fn used(&self, _digest: &Digest, _found: &Found, _at: Timestamp) {}
}

/// The facts as the gateway's cache has them: what it bars is barred here at the same instant.
pub struct Cached(pub Arc<Readers>);

impl Evidences for Cached {
    fn known<'a>(&'a self, digest: &'a Digest) -> Evidence<'a> {
        Box::pin(async move {
            match self.0.resolve(digest).await {
                Resolved::Unavailable | Resolved::Known(Lookup::Miss) => Err(Unavailable),
                Resolved::Known(Lookup::Unknown | Lookup::Barred) => Ok(None),
                Resolved::Known(Lookup::Hit(entry)) => {
                    let secret = entry.secret();
                    Ok(entry.with_evidence(|evidence| found(evidence, secret)))
                }
            }
        })
    }

    fn used(&self, digest: &Digest, found: &Found, at: Timestamp) {
        match found.secret {
            SecretFacts::Heir => self.0.cache().notice(*digest, found.token.id, at),
            SecretFacts::Present | SecretFacts::Former(_) => {}
        }
    }
}

fn found(evidence: &access::Evidence<'_>, secret: SecretFacts) -> Option<Found> {
    if let access::Evidence::Former { succeeded: true, .. } = evidence {
        return None;
    }
    let (token, owner, org) = evidence.parties()?;
    Some(Found { token: token.clone(), secret, owner: owner.clone(), org: org.clone() })
}

/// What authentication needs beside the request.
pub struct Room<'a> {
    /// What our secrets begin with.
    pub prefix: &'a str,
    /// Where the facts come from.
    pub evidences: &'a dyn Evidences,
    /// Where the use is counted.
    pub uses: &'a dyn Uses,
    /// The clock, read after the facts are there.
    pub clock: &'a (dyn Fn() -> Timestamp + Send + Sync),
}

/// Authenticates a request by its headers, and counts the use of its token. Answers with the secret
/// that was shown, too: it may be rotated away before the caller's change is written.
pub async fn authenticate(
    headers: &HeaderMap,
    room: Room<'_>,
) -> Result<(Caller, Digest), TurnedAway> {
    let digest = match credential::extract(headers) {
        Credential::Absent => return Err(Refused::NoCredential.into()),
        Credential::Malformed => return Err(Refused::Malformed.into()),
        Credential::Bearer(token) => digest_of(token, room.prefix)?,
    };
    Ok((admit(&digest, room).await?, digest))
}

/// The digest of a secret that looks like one of ours; any other is dead without a look-up.
pub fn digest_of(secret: &[u8], prefix: &str) -> Result<Digest, Refused> {
    if secret::plausible(secret, prefix) { Ok(Digest::of(secret)) } else { Err(Refused::Dead) }
}

/// Admits whoever has shown the secret of this digest, and counts the use of its token.
pub async fn admit(digest: &Digest, room: Room<'_>) -> Result<Caller, TurnedAway> {
    let found = match room.evidences.known(digest).await {
        Err(Unavailable) => return Err(Refused::Unavailable.into()),
        Ok(found) => found.ok_or(Refused::Dead)?,
    };
    let now = (room.clock)();
    let used = Usage::once(now);
    let turned_away = || {
        let token = Some(found.token.id);
        let whose = Whose { org: found.org.id, user: found.owner.id, token };
        TurnedAway { why: Refused::Dead, whose: Some(whose) }
    };
    if let SecretFacts::Former(former) = &found.secret {
        // Whether its heir was used is known already: then nothing was found.
        if access::over(former, false, now) {
            let refused = Usage { last_used_at: None, use_count: 0, ..used.by_former_secret() };
            room.uses.touch(found.token.id, refused);
            return Err(turned_away());
        }
    }
    let caller = Caller::admitted(&found.token, &found.owner, &found.org, now)
        .map_err(|_one_answer_for_all| turned_away())?;
    room.evidences.used(digest, &found, now);
    room.uses.touch(
        found.token.id,
        match found.secret {
            SecretFacts::Present | SecretFacts::Heir => used,
            SecretFacts::Former(_) => used.by_former_secret(),
        },
    );
    Ok(caller)
}

/// Admits a user for whom the identity provider vouched, by the store's present records.
pub async fn recognize(user: UserId, ledger: &Arc<dyn Ledger>) -> Result<Caller, Refused> {
    let ledger = Arc::clone(ledger);
    match tokio::task::spawn_blocking(move || vouched(&*ledger, user)).await {
        Ok(Ok(recognized)) => recognized,
        Ok(Err(error)) => {
            tracing::error!(%error, "a user cannot be read");
            Err(Refused::Unavailable)
        }
        Err(error) => {
            tracing::error!(%error, "a look-up ended before its answer");
            Err(Refused::Unavailable)
        }
    }
}

fn vouched(ledger: &dyn Ledger, user: UserId) -> Result<Result<Caller, Refused>, StoreError> {
    let Some(user) = ledger.user(user)? else { return Ok(Err(Refused::Dead)) };
    let Some(org) = ledger.organization(user.org)? else { return Ok(Err(Refused::Dead)) };
    let admitted = Caller::vouched(&OwnerFacts::from(&user), &OrgFacts::from(&org));
    Ok(admitted.map_err(|_one_answer_for_all| Refused::Dead))
}

/// Admits a caller again by the store's present records and what was shown, when a change met a newer
/// state. May block.
pub fn again(
    ledger: &dyn Ledger,
    caller: &Caller,
    shown: &Shown,
    now: Timestamp,
) -> Result<Result<Caller, Refused>, StoreError> {
    let secret = match shown {
        Shown::Secret(secret) => secret,
        Shown::Vouched(user) => return vouched(ledger, *user),
    };
    let token = caller.token().map(|token| ledger.token(token)).transpose()?.flatten();
    let user = ledger.user(caller.user())?;
    let org = ledger.organization(caller.org())?;
    let (Some((token, _)), Some(user), Some(org)) = (token, user, org) else {
        return Ok(Err(Refused::Dead));
    };
    match SecretFacts::of(&token, secret) {
        Some(SecretFacts::Present | SecretFacts::Heir) => {}
        Some(SecretFacts::Former(former)) if !access::over(&former, false, now) => {}
        Some(SecretFacts::Former(_)) | None => return Ok(Err(Refused::Dead)),
    }
    let facts = (TokenFacts::from(&token), OwnerFacts::from(&user), OrgFacts::from(&org));
    let admitted = Caller::admitted(&facts.0, &facts.1, &facts.2, now);
    Ok(admitted.map_err(|_one_answer_for_all| Refused::Dead))
}

#[cfg(test)]
mod tests;
