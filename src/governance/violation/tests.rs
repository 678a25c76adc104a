use super::*;
use crate::governance::Forbidden;
use crate::governance::tests::{World, at, change, clash, forbidden, invalid};
use crate::org::Governance;
use crate::policy::TtlPolicy;
use crate::time::{Ttl, Unit};
use crate::token::Reuse;

/// A world whose tokens, which live half a year, break the Max Token TTL.
fn world() -> World {
    let mut world = World::new();
    world.org.policies.max_ttl = TtlPolicy { active: true, ttl: Ttl::new(30, Unit::Days) };
    world
}

fn ignored(
    world: &World,
    token: &ApiToken,
    by: &Caller,
    until: &str,
) -> Result<Plan<ApiToken>, Refusal> {
    violator(world, token).ignore(at(until), None, by, &world.occasion())
}

fn violator<'a>(world: &'a World, token: &'a ApiToken) -> Violator<'a> {
    const UNUSED: Usage =
        Usage { last_used_at: None, use_count: 0, reuse: Reuse { count: 0, last_at: None } };
    Violator { org: &world.org, token, usage: &UNUSED, policy: PolicyKind::MaxTtl }
}

#[test]
fn an_end_is_ahead_by_a_year_at_most() {
    let world = world();
    let (by, token) = (world.by(&world.owner), world.token(5, &world.member));
    let plan = |until: &str| ignored(&world, &token, &by, until);
    assert_eq!(invalid(plan("2027-01-01T00:00:00Z")).0, "until");
    assert!(plan("2027-01-01T00:00:00.001Z").is_ok());
    assert!(plan("2028-01-02T00:00:00Z").is_ok());
    assert_eq!(invalid(plan("2028-01-02T00:00:00.001Z")).0, "until");
}

#[test]
fn it_takes_no_access_away_and_gives_none() {
    let world = world();
    let (by, token) = (world.by(&world.owner), world.token(5, &world.member));
    let plan = ignored(&world, &token, &by, "2027-02-01T00:00:00Z");
    let planned = change(&by, &plan);
    assert!(!planned.restrictive);
    let version = Require::Version(RecordKey::Token(token.id), token.version);
    assert!(planned.requires.contains(&version));
    let after = plan.expect("a change").record().clone();
    let ignore = after.ignores.of(PolicyKind::MaxTtl).expect("ignored").clone();
    assert_eq!((ignore.until, ignore.at), (at("2027-02-01T00:00:00Z"), world.now));
    assert_eq!(ApiToken { ignores: Ignores::default(), ..after.clone() }, token);
    let withdrawn = violator(&world, &after).count(&by, &world.occasion());
    assert_eq!(change(&by, &withdrawn).events[0].action, Action::ViolationCounted);
    assert_eq!(withdrawn.expect("a change").record(), &token);
    let nothing = violator(&world, &token).count(&by, &world.occasion());
    assert!(matches!(nothing, Ok(Plan::Nothing(_))));
}

#[test]
fn what_is_not_broken_is_not_ignored() {
    let mut world = world();
    let by = world.by(&world.owner);
    let mut token = world.token(5, &world.member);
    token.expires_at = at("2027-01-31T00:00:00Z");
    let plan = ignored(&world, &token, &by, "2027-01-02T00:00:00Z");
    assert_eq!(clash(plan), Clash::NotViolated);
    token.expires_at = at("2027-01-31T00:00:00.001Z");
    assert!(ignored(&world, &token, &by, "2027-01-02T00:00:00Z").is_ok());
    world.org.policies.max_ttl.active = false;
    let plan = ignored(&world, &token, &by, "2027-01-02T00:00:00Z");
    assert_eq!(clash(plan), Clash::NotViolated);
}

#[test]
fn s11_it_is_for_owners_of_a_governed_organization() {
    let mut world = world();
    let until = "2027-02-01T00:00:00Z";
    for user in [&world.admin, &world.member] {
        let token = world.token(5, user);
        let plan = ignored(&world, &token, &world.by(user), until);
        assert_eq!(forbidden(plan), Forbidden::NeedsOwner);
        let plan = violator(&world, &token).count(&world.by(user), &world.occasion());
        assert_eq!(forbidden(plan), Forbidden::NeedsOwner);
    }
    world.org.governance = Governance::Deactivated;
    let by = world.by(&world.owner);
    let token = world.token(5, &world.owner);
    let plan = ignored(&world, &token, &by, until);
    assert_eq!(forbidden(plan), Forbidden::GovernanceDeactivated);
}
