use super::*;
use crate::governance::Forbidden;
use crate::governance::tests::{World, at};
use crate::id::UserId;
use crate::org::Governance;
use crate::policy::{Ignore, TtlPolicy};
use crate::time::{Ttl, Unit};

/// A world with both policies: 30 days idle, 60 days at most. Its tokens live half a year.
fn world() -> World {
    let mut world = World::new();
    let policy = |days| TtlPolicy { active: true, ttl: Ttl::new(days, Unit::Days) };
    world.org.policies = Policies { idle_ttl: policy(30), max_ttl: policy(60) };
    world
}

fn judged(world: &World, token: &ApiToken, before: Option<&Flag>, now: &str) -> Judged {
    Judge::new(&world.org, at(now)).judge(token, &Usage::default(), before)
}

#[test]
fn a_violation_is_new_once_and_gone_once() {
    let world = world();
    let mut token = world.token(5, &world.member);
    let found = |now: &str| Some(Mark { found_at: at(now) });
    let first = judged(&world, &token, None, "2027-01-31T00:00:00Z");
    assert_eq!((first.new, first.cleared), (1, 0));
    let flag = first.flag.expect("the life is too long");
    assert_eq!((flag.max_ttl, flag.idle_ttl), (found("2027-01-31T00:00:00Z"), None));
    assert_eq!(marks(&flag), 1);
    let second = judged(&world, &token, Some(&flag), "2027-01-31T00:00:00.001Z");
    assert_eq!((second.new, second.cleared), (1, 0));
    let flag = second.flag.expect("it is idle, too");
    assert_eq!(flag.max_ttl, found("2027-01-31T00:00:00Z"));
    assert_eq!(flag.idle_ttl, found("2027-01-31T00:00:00.001Z"));
    assert_eq!(marks(&flag), 2);
    let again = judged(&world, &token, Some(&flag), "2027-02-01T00:00:00Z");
    assert_eq!(again, Judged { flag: Some(flag), new: 0, cleared: 0 });
    token.expires_at = at("2027-03-02T00:00:00Z");
    let shorter = judged(&world, &token, Some(&flag), "2027-02-01T00:00:00Z");
    assert_eq!((shorter.new, shorter.cleared), (0, 1));
    let gone = judged(&world, &token, shorter.flag.as_ref(), "2027-03-02T00:00:00Z");
    assert_eq!(gone, Judged { flag: None, new: 0, cleared: 1 });
}

#[test]
fn what_is_ignored_is_not_flagged_until_its_end() {
    let world = world();
    let until = at("2027-01-20T00:00:00Z");
    let by = UserId::from_bits(1);
    let ignore = Ignore { until, at: world.now, by, reason: None };
    let mut token = world.token(5, &world.member);
    token.ignores = token.ignores.with(PolicyKind::MaxTtl, Some(ignore));
    assert_eq!(judged(&world, &token, None, "2027-01-19T23:59:59.999Z"), Judged::default());
    assert_eq!(judged(&world, &token, None, "2027-01-20T00:00:00Z").new, 1);
}

#[test]
fn without_governance_nothing_is_broken() {
    let mut world = world();
    let token = world.token(5, &world.member);
    let flag = judged(&world, &token, None, "2027-01-02T00:00:00Z").flag.expect("flagged");
    world.org.governance = Governance::Deactivated;
    let judged = judged(&world, &token, Some(&flag), "2027-01-02T00:00:00Z");
    assert_eq!(judged, Judged { flag: None, new: 0, cleared: 1 });
}

#[test]
fn s11_a_run_is_for_owners_and_its_history_for_admins() {
    let mut world = world();
    let asked = |world: &World, by: &Caller| by.validates(&world.org, &world.occasion());
    let owner = world.by(&world.owner);
    let change = asked(&world, &owner).expect("a change");
    assert_eq!(change.requires.len(), 3, "the caller's own versions");
    let admin = world.by(&world.admin);
    assert_eq!(asked(&world, &admin), Err(Refusal::Forbidden(Forbidden::NeedsOwner)));
    assert!(admin.reads_validations(&world.org).is_ok());
    let member = world.by(&world.member);
    let refused = member.reads_validations(&world.org);
    assert_eq!(refused, Err(Refusal::Forbidden(Forbidden::NeedsAdmin)));
    world.org.governance = Governance::Deactivated;
    let off = Refusal::Forbidden(Forbidden::GovernanceDeactivated);
    assert_eq!(asked(&world, &owner), Err(off.clone()));
    assert_eq!(admin.reads_validations(&world.org), Err(off));
}
