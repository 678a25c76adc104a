use super::*;
use crate::governance::tests::{World, at, change, clash, forbidden, invalid, roles};
use crate::governance::{Authority, Refusal};
use crate::org::{Governance, StatusChange, User};
use crate::policy::TtlPolicy;
use crate::time::Unit;

const DAY: Ttl = Ttl::new(1, Unit::Days);

/// The old secret is over at once.
const NONE: Overlap = Overlap { ttl: None, until_first_use: false };

fn rotate<'a>(world: &'a World, owner: &'a User, token: &'a ApiToken) -> RotateToken<'a> {
    RotateToken {
        existing: Existing { org: &world.org, owner: Some(owner), token },
        digest: Digest::of(b"new"),
        life: Life::Unsaid,
        overlap: NONE,
    }
}

/// The token after a rotation by its owner.
#[track_caller]
fn rotated(world: &World, command: RotateToken<'_>) -> (ApiToken, Change) {
    let owner = command.existing.owner.expect("an owner");
    let by = world.by(owner);
    let plan = command.plan(&by, &world.occasion());
    let change = change(&by, &plan);
    (plan.expect("a change").record().clone(), change)
}

#[test]
fn s9_the_old_secret_is_over_at_once_and_the_token_goes_on() {
    let mut world = World::new();
    let was = world.token(5, &world.member);
    world.now = at("2027-02-01T00:00:00Z");
    let (token, change) = rotated(&world, rotate(&world, &world.member, &was));
    assert!(change.restrictive, "the old one is barred before the change is written");
    assert!(change.requires.contains(&Require::DigestFree(token.digest)));
    assert_eq!(token.digest, Digest::of(b"new"));
    assert_eq!((token.id, &token.name, token.owner), (was.id, &was.name, was.owner));
    assert_eq!(token.created_at, was.created_at);
    assert_eq!(token.issued_at, world.now);
    let [old] = &token.former[..] else { panic!("{:?}", token.former) };
    assert_eq!((old.digest, old.ends_at, old.until_first_use), (was.digest, world.now, false));
    assert_eq!(token.overlapping(world.now), None);
    // As long again as before.
    assert_eq!(token.expires_at.since(token.issued_at), was.expires_at.since(was.issued_at));
}

#[test]
fn an_overlap_ends_with_its_time_and_never_after_the_old_secrets_own_end() {
    let mut world = World::new();
    let was = world.token(5, &world.member);
    let overlap = |ttl, until_first_use| Overlap { ttl, until_first_use };
    let left = |world: &World, overlap| {
        let (token, change) =
            rotated(world, RotateToken { overlap, ..rotate(world, &world.member, &was) });
        assert_eq!(change.restrictive, token.former[0].ends_at <= world.now);
        (token.former[0].ends_at, token.former[0].until_first_use)
    };
    let tomorrow = at("2027-01-02T00:00:00Z");
    assert_eq!(left(&world, overlap(Some(DAY), false)), (tomorrow, false));
    assert_eq!(left(&world, overlap(Some(DAY), true)), (tomorrow, true));
    assert_eq!(left(&world, overlap(None, true)), (was.expires_at, true));
    let years = Some(Ttl::new(20, Unit::Months));
    assert_eq!(left(&world, overlap(years, false)), (was.expires_at, false));
    // What has expired does not come back to life.
    for late in [0, 1] {
        world.now = Timestamp::from_millis(was.expires_at.millis() + late);
        for overlap in [overlap(Some(DAY), false), overlap(None, true), overlap(Some(DAY), true)] {
            assert_eq!(left(&world, overlap), (was.expires_at, false));
        }
    }
    let none = Overlap { ttl: Some(Ttl::new(0, Unit::Days)), until_first_use: false };
    let by = world.by(&world.member);
    let plan = RotateToken { overlap: none, ..rotate(&world, &world.member, &was) };
    assert_eq!(invalid(plan.plan(&by, &world.occasion())).0, "overlap.value");
}

#[test]
fn a_further_rotation_ends_the_overlap_before_it() {
    let mut world = World::new();
    let first = world.token(5, &world.member);
    let long = Overlap { ttl: None, until_first_use: true };
    let (second, _) =
        rotated(&world, RotateToken { overlap: long, ..rotate(&world, &world.member, &first) });
    world.now = at("2027-01-03T00:00:00Z");
    let command = RotateToken {
        digest: Digest::of(b"third"),
        overlap: long,
        ..rotate(&world, &world.member, &second)
    };
    let (third, change) = rotated(&world, command);
    assert!(change.restrictive, "it takes the first secret's overlap away");
    let ends: Vec<_> =
        third.former.iter().map(|former| (former.ends_at, former.until_first_use)).collect();
    assert_eq!(ends, [(world.now, false), (second.expires_at, true)]);
}

#[test]
fn so_many_former_secrets_are_remembered_and_the_oldest_is_forgotten_first() {
    let world = World::new();
    let mut token = world.token(5, &world.member);
    for number in 0..FORMER_SECRETS_MAX + 2 {
        let digest = Digest::of(&number.to_le_bytes());
        let command = RotateToken { digest, ..rotate(&world, &world.member, &token) };
        token = rotated(&world, command).0;
        assert_eq!(token.former.len(), (number + 1).min(FORMER_SECRETS_MAX));
    }
    assert_eq!(token.former[0].digest, Digest::of(&1_usize.to_le_bytes()));
}

#[test]
fn s9_a_new_life_keeps_within_policy_and_60_months() {
    let mut world = World::new();
    let was = world.token(5, &world.member);
    let lived = |world: &World, life| {
        let by = world.by(&world.member);
        let command = RotateToken { life, ..rotate(world, &world.member, &was) };
        command.plan(&by, &world.occasion()).map(|plan| plan.record().expires_at)
    };
    let ttl = |value, unit| Life::Ttl(Ttl::new(value, unit));
    let refused = |world: &World, life| match lived(world, life) {
        Err(Refusal::Invalid { field, message }) => (field, message),
        other => panic!("{other:?}"),
    };
    assert_eq!(lived(&world, ttl(60, Unit::Months)), Ok(at("2032-01-01T00:00:00Z")));
    let (field, message) = refused(&world, ttl(61, Unit::Months));
    assert!(field == "ttl" && message.contains("60 months"), "{message}");
    world.org.policies.max_ttl = TtlPolicy { active: true, ttl: Ttl::new(30, Unit::Days) };
    assert_eq!(lived(&world, ttl(30, Unit::Days)), Ok(at("2027-01-31T00:00:00Z")));
    let (field, message) = refused(&world, ttl(31, Unit::Days));
    assert!(field == "ttl" && message.contains("30 days"), "{message}");
    // Nothing said: as long as before, or as policy allows.
    assert_eq!(lived(&world, Life::Unsaid), Ok(at("2027-01-31T00:00:00Z")));
    world.org.governance = Governance::Deactivated;
    assert_eq!(lived(&world, Life::Unsaid), Ok(was.expires_at));
}

#[test]
fn only_the_tokens_own_user_rotates_it() {
    let world = World::new();
    let token = world.token(5, &world.member);
    let by = |user: &User| {
        rotate(&world, &world.member, &token).plan(&world.by(user), &world.occasion())
    };
    assert!(by(&world.member).is_ok());
    assert_eq!(forbidden(by(&world.owner)), Forbidden::AnothersSecret);
    assert_eq!(forbidden(by(&world.admin)), Forbidden::AnotherUsers);
    let service_only = world.caller(&world.member, &roles(&[3]));
    assert_eq!(service_only.authority(), Authority::Nothing);
    let plan = rotate(&world, &world.member, &token).plan(&service_only, &world.occasion());
    assert_eq!(forbidden(plan), Forbidden::NeedsMember);
}

#[test]
fn s8_a_new_secret_is_worth_no_more_than_the_credential_that_asks_for_it() {
    let world = World::new();
    let token = world.token(5, &world.owner);
    let narrow = world.caller(&world.owner, &roles(&[0, 3]));
    let plan = rotate(&world, &world.owner, &token).plan(&narrow, &world.occasion());
    assert_eq!(forbidden(plan), Forbidden::NotCarried("orders/writer".into()));
    // What its owner does not hold any more counts for nothing.
    let token = ApiToken { scope: roles(&[2, 4]), ..world.token(6, &world.member) };
    let by = world.caller(&world.member, &roles(&[2]));
    assert!(rotate(&world, &world.member, &token).plan(&by, &world.occasion()).is_ok());
}

#[test]
fn what_is_switched_off_by_an_owner_or_revoked_is_not_rotated() {
    let world = World::new();
    let switched =
        |governed| StatusChange { at: world.now, by: Some(world.owner.id), reason: None, governed };
    let plan = |status| {
        let token = ApiToken { status, ..world.token(5, &world.member) };
        rotate(&world, &world.member, &token).plan(&world.by(&world.member), &world.occasion())
    };
    assert_eq!(clash(plan(TokenStatus::Revoked(switched(false)))), Clash::Revoked);
    assert_eq!(clash(plan(TokenStatus::Deactivated(switched(true)))), Clash::OwnersDecision);
    let paused = plan(TokenStatus::Deactivated(switched(false))).expect("their own decision");
    assert_eq!(paused.record().status, TokenStatus::Deactivated(switched(false)), "and it stays");
}

#[test]
fn the_first_use_is_recorded_once_and_takes_nothing_more() {
    let mut world = World::new();
    let was = world.token(5, &world.member);
    let overlap = Overlap { ttl: None, until_first_use: true };
    let (token, _) =
        rotated(&world, RotateToken { overlap, ..rotate(&world, &world.member, &was) });
    let used_at = at("2027-01-02T00:00:00Z");
    world.now = at("2027-01-02T00:00:05Z");
    assert_eq!(first_use(&token, &was.digest, used_at, &world.occasion()), None, "not its heir");
    let change = first_use(&token, &token.digest, used_at, &world.occasion()).expect("a change");
    assert!(!change.restrictive, "the heir's clients must not be held up");
    assert_eq!(change.events[0].actor, Actor::System);
    let [Write::Token(ended)] = &change.writes[..] else { panic!("{:?}", change.writes) };
    assert_eq!((ended.former[0].ends_at, ended.former[0].until_first_use), (used_at, false));
    assert_eq!(first_use(ended, &token.digest, used_at, &world.occasion()), None);
    assert_eq!(first_use(&was, &was.digest, used_at, &world.occasion()), None, "never rotated");
}
