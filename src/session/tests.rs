use super::*;
use crate::access::{FormerFacts, OrgFacts, OwnerFacts, SecretFacts, TokenFacts};
use crate::id::{OrgId, TokenId, UserId};
use crate::org::Revision;
use crate::role::{RoleId, RoleSet};
use crate::token::{Standing, Usage};
use crate::usage::Pending;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use std::collections::HashMap;
use std::sync::Mutex;

const END: Timestamp = Timestamp::from_millis(1000);

/// Knows one token, or nothing, or does not answer.
struct One(Result<Option<Found>, Unavailable>);

impl Evidences for One {
    fn known<'a>(&'a self, digest: &'a Digest) -> Evidence<'a> {
        let known = *digest == Digest::of(b"foreign-token");
        let answer = self.0.clone().map(|found| found.filter(|_| known));
        Box::pin(async move { answer })
    }

    fn used(&self, _digest: &Digest, _found: &Found, _at: Timestamp) {}
}

#[derive(Default)]
struct Counted(Mutex<Vec<(TokenId, Usage)>>);

impl Uses for Counted {
    fn touch(&self, token: TokenId, usage: Usage) {
        self.0.lock().expect("no panic").push((token, usage));
    }

    fn still(&self) -> Box<dyn Pending + '_> {
        Box::new(self)
    }

    fn pending(&self) -> HashMap<TokenId, Usage> {
        HashMap::new()
    }

    fn pending_needs(&self) -> crate::usage::Needed {
        HashMap::new()
    }
}

impl Pending for &Counted {
    fn pending(&self, _token: TokenId) -> Usage {
        Usage::default()
    }
}

fn found() -> Found {
    let (org, owner) = (OrgId::from_bits(1), UserId::from_bits(2));
    let roles: RoleSet = [RoleId::ORG_MEMBER].into_iter().collect();
    Found {
        token: TokenFacts {
            id: TokenId::from_bits(3),
            org,
            owner,
            scope: roles.clone(),
            expires_at: END,
            standing: Standing::Activated,
            version: Revision(1),
        },
        owner: OwnerFacts {
            id: owner,
            org,
            active: true,
            roles,
            operator: false,
            version: Revision(1),
        },
        secret: SecretFacts::Present,
        org: OrgFacts { id: org, version: Revision(1) },
    }
}

async fn at(
    bearer: Option<&'static str>,
    known: Result<Option<Found>, Unavailable>,
    now: i64,
) -> (Result<Caller, TurnedAway>, usize) {
    let mut headers = HeaderMap::new();
    if let Some(bearer) = bearer {
        headers.insert(AUTHORIZATION, HeaderValue::from_static(bearer));
    }
    let (evidences, uses) = (One(known), Counted::default());
    let clock = move || Timestamp::from_millis(now);
    let room = Room { prefix: "bwt_", evidences: &evidences, uses: &uses, clock: &clock };
    let caller = authenticate(&headers, room).await;
    let touched = uses.0.lock().expect("no panic").len();
    (caller.map(|(caller, _shown)| caller), touched)
}

#[tokio::test]
async fn a_live_token_is_admitted_and_its_use_is_counted() {
    let (caller, touched) = at(Some("Bearer foreign-token"), Ok(Some(found())), 999).await;
    assert_eq!(caller.expect("admitted").token(), Some(TokenId::from_bits(3)));
    assert_eq!(touched, 1);
}

#[tokio::test]
async fn every_dead_token_gets_one_answer_and_counts_no_use() {
    let dead = |change: &dyn Fn(&mut Found)| {
        let mut found = found();
        change(&mut found);
        Ok(Some(found))
    };
    for (known, now) in [
        (Ok(Some(found())), 1000),
        (dead(&|found| found.token.standing = Standing::Deactivated), 0),
        (dead(&|found| found.token.standing = Standing::Revoked), 0),
        (dead(&|found| found.owner.active = false), 0),
        (dead(&|found| found.owner.org = OrgId::from_bits(9)), 0),
        (Ok(None), 0),
    ] {
        let is_known = known != Ok(None);
        let (answer, touched) = at(Some("Bearer foreign-token"), known, now).await;
        let turned = answer.expect_err("dead");
        assert_eq!((turned.why, touched), (Refused::Dead, 0));
        let whose = Whose {
            org: OrgId::from_bits(1),
            user: UserId::from_bits(2),
            token: Some(TokenId::from_bits(3)),
        };
        assert_eq!(turned.whose, is_known.then_some(whose), "for the audit trail alone");
    }
}

#[tokio::test]
async fn a_former_secret_is_good_until_its_end_and_counted_as_reuse_beyond() {
    let mut known = found();
    known.secret = SecretFacts::Former(FormerFacts { ends_at: at_millis(500), heir: None });
    let (caller, touched) = at(Some("Bearer foreign-token"), Ok(Some(known.clone())), 499).await;
    assert!(caller.is_ok());
    assert_eq!(touched, 1);
    for now in [500, 501] {
        let (caller, touched) =
            at(Some("Bearer foreign-token"), Ok(Some(known.clone())), now).await;
        let turned = caller.expect_err("over");
        assert_eq!((turned.why, touched), (Refused::Dead, 1), "counted, as reuse");
        assert!(turned.whose.is_some());
    }
}

const fn at_millis(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[tokio::test]
async fn what_is_no_credential_is_not_looked_up() {
    for (bearer, refused) in [
        (None, Refused::NoCredential),
        (Some("Basic YTpi"), Refused::NoCredential),
        (Some("Bearer a b"), Refused::Malformed),
        // Of our shape with a wrong checksum: as unknown, though nobody could be asked.
        (Some("Bearer bwt_wrong"), Refused::Dead),
        (Some("Bearer foreign-token"), Refused::Unavailable),
    ] {
        let answer = at(bearer, Err(Unavailable), 0).await;
        assert_eq!(answer, (Err(refused.into()), 0), "{bearer:?}");
    }
}
