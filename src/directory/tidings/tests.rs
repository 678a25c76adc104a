use super::*;
use crate::access::{OwnerFacts, TokenFacts};
use crate::role::RoleSet;
use crate::secret::Digest;
use crate::store::memory::MemoryStore;
use crate::time::Timestamp;
use crate::token::Standing;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

const ORG: OrgId = OrgId::from_bits(1);
const OTHER: OrgId = OrgId::from_bits(2);

fn tidings() -> Arc<Tidings> {
    Arc::new(Tidings::new(MemoryStore::new()))
}

fn whose(user: u128, reads_all: bool) -> Audience {
    Audience { org: ORG, user: UserId::from_bits(user), reads_all }
}

fn token(org: OrgId, owner: u128, id: u128) -> Fact {
    let facts = TokenFacts {
        id: TokenId::from_bits(id),
        org,
        owner: UserId::from_bits(owner),
        scope: RoleSet::default(),
        expires_at: Timestamp::from_millis(0),
        standing: Standing::Activated,
        version: Revision::default(),
    };
    Fact::Token(Digest::of(&id.to_be_bytes()), Some(facts))
}

fn owner(org: OrgId, id: u128) -> Fact {
    let id = UserId::from_bits(id);
    let (roles, version) = (RoleSet::default(), Revision::default());
    let facts = OwnerFacts { id, org, active: true, roles, operator: false, version };
    Fact::Owner(id, Some(facts))
}

fn named(ids: &[u128]) -> Changed {
    Changed::Tokens(ids.iter().map(|id| TokenId::from_bits(*id)).collect())
}

/// What there is to hear now; nothing if one would have to wait.
async fn heard(ear: &Listening) -> Option<(u64, Changed)> {
    let mut next = pin!(ear.next());
    poll_fn(|cx| match next.as_mut().poll(cx) {
        Poll::Ready(heard) => Poll::Ready(heard.map(|(at, changed)| (at.0, changed))),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn one_hears_of_what_one_may_see() {
    let tidings = tidings();
    let seen = Some(tidings.last());
    let all = tidings.listen(whose(1, true), seen).expect("room");
    let own = tidings.listen(whose(2, false), seen).expect("room");
    assert_eq!((heard(&all).await, heard(&own).await), (None, None));
    tidings.apply(Revision(5), &[token(ORG, 3, 30), token(OTHER, 2, 31), token(ORG, 2, 20)]);
    tidings.apply(Revision(6), &[token(ORG, 3, 30)]);
    assert_eq!(heard(&all).await, Some((6, named(&[20, 30]))));
    assert_eq!(heard(&own).await, Some((5, named(&[20]))));
    assert_eq!((heard(&all).await, heard(&own).await), (None, None));
    tidings.apply(Revision(7), &[owner(ORG, 3), owner(OTHER, 4)]);
    assert_eq!(heard(&all).await, Some((7, Changed::List)));
    assert_eq!(heard(&own).await, None);
    tidings.apply(Revision(8), &[owner(ORG, 2)]);
    assert_eq!(heard(&own).await, Some((8, Changed::List)));
    tidings.apply(Revision(9), &[Fact::Organization(ORG, None)]);
    assert_eq!(heard(&own).await, Some((9, Changed::List)));
    tidings.apply(Revision(10), &[Fact::Organization(OTHER, None)]);
    assert_eq!(heard(&own).await, None);
}

#[tokio::test]
async fn of_many_it_is_said_that_the_list_changed() {
    let tidings = tidings();
    let all = tidings.listen(whose(1, true), Some(tidings.last())).expect("room");
    let tokens = |count: usize| (0..count as u128).map(|id| token(ORG, 3, id)).collect::<Vec<_>>();
    tidings.apply(Revision(1), &tokens(TOKENS_TOLD_MAX));
    let Some((1, Changed::Tokens(told))) = heard(&all).await else { panic!("no names") };
    assert_eq!(told.len(), TOKENS_TOLD_MAX);
    tidings.apply(Revision(2), &tokens(TOKENS_TOLD_MAX + 1));
    assert_eq!(heard(&all).await, Some((2, Changed::List)));
}

#[tokio::test]
async fn what_was_missed_is_told_at_once() {
    let tidings = tidings();
    tidings.apply(Revision(3), &[token(ORG, 3, 30)]);
    tidings.apply(Revision(4), &[]);
    assert_eq!(tidings.last(), Revision(3));
    for (seen, told) in [(None, true), (Some(2), true), (Some(3), false), (Some(9), true)] {
        let ear = tidings.listen(whose(1, true), seen.map(Revision)).expect("room");
        assert_eq!(heard(&ear).await, told.then_some((3, Changed::List)), "{seen:?}");
    }
}

#[tokio::test]
async fn no_more_listen_than_there_is_room_for() {
    let tidings = tidings();
    let mut open = Vec::new();
    for ear in 0..EARS_MAX {
        let user = (ear / EARS_PER_USER_MAX) as u128;
        open.push(tidings.listen(whose(user, true), None).expect("room"));
    }
    assert_eq!(tidings.listen(whose(999, true), None).map(drop), Err(TooMany));
    open.pop();
    assert_eq!(tidings.listen(whose(0, true), None).map(drop), Err(TooMany), "of one user");
    drop(tidings.listen(whose(999, true), None).expect("room"));
    tidings.close();
    assert!(open[0].next().await.is_none());
    assert_eq!(tidings.listen(whose(999, true), None).map(drop), Err(TooMany));
}
