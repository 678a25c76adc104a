use super::*;
use crate::governance::tests::{World, change, forbidden, invalid};
use crate::governance::{Caller, Forbidden};
use crate::org::Governance;
use crate::time::Ttl;

fn policy(active: bool, value: u32, unit: Unit) -> TtlPolicy {
    TtlPolicy { active, ttl: Ttl::new(value, unit) }
}

fn put(world: &World, by: &Caller, max: TtlPolicy) -> Result<Plan<Organization>, Refusal> {
    PutPolicies { org: &world.org, idle_ttl: None, max_ttl: Some(max) }.plan(by, &world.occasion())
}

#[test]
fn s15_each_policy_is_edited_by_itself() {
    let world = World::new();
    let by = world.by(&world.owner);
    let plan = put(&world, &by, policy(true, 30, Unit::Days));
    let change = change(&by, &plan);
    let org = plan.expect("a change").record().clone();
    assert_eq!(org.policies.max_ttl, policy(true, 30, Unit::Days));
    assert_eq!(org.policies.idle_ttl, world.org.policies.idle_ttl);
    let fields = &change.events[0].changes;
    assert_eq!(fields.len(), 1);
    assert_eq!(fields[0].field, "max_ttl");
    assert_eq!(fields[0].before.as_deref(), Some("deactivated, 180 days"));
    assert_eq!(fields[0].after.as_deref(), Some("activated, 30 days"));
}

#[test]
fn s14_tightening_takes_no_access_away() {
    let world = World::new();
    let by = world.by(&world.owner);
    let change = change(&by, &put(&world, &by, policy(true, 1, Unit::Minutes)));
    assert!(!change.restrictive);
    let [Write::Organization(_), Write::Validation(wanted)] = &change.writes[..] else {
        panic!("{:?}", change.writes)
    };
    let (trigger, user) = (Trigger::PolicyChanged, Some(world.owner.id));
    let run = Wanted { org: world.org.id, trigger, by: user, at: world.now };
    assert_eq!(*wanted, validation::Write::Wanted(run));
}

#[test]
fn the_same_again_changes_nothing() {
    let world = World::new();
    let plan = put(&world, &world.by(&world.owner), world.org.policies.max_ttl);
    assert!(matches!(plan, Ok(Plan::Nothing(_))));
}

#[test]
fn values_have_a_least_and_a_most() {
    let world = World::new();
    let by = world.by(&world.owner);
    for (value, unit) in [(1, Unit::Minutes), (36_500, Unit::Days), (876_000, Unit::Hours)] {
        assert!(put(&world, &by, policy(true, value, unit)).is_ok(), "{value} {unit:?}");
    }
    for (value, unit) in [(0, Unit::Days), (36_501, Unit::Days), (u32::MAX, Unit::Minutes)] {
        let (field, _) = invalid(put(&world, &by, policy(true, value, unit)));
        assert_eq!(field, "max_ttl.value");
    }
    let (field, _) = invalid(put(&world, &by, policy(true, 1, Unit::Months)));
    assert_eq!(field, "max_ttl.unit");
}

#[test]
fn s11_policies_are_for_owners_of_a_governed_organization() {
    let mut world = World::new();
    let limit = policy(true, 1, Unit::Days);
    for user in [&world.admin, &world.member] {
        assert_eq!(forbidden(put(&world, &world.by(user), limit)), Forbidden::NeedsOwner);
    }
    world.org.governance = Governance::Deactivated;
    let by = world.by(&world.owner);
    assert_eq!(forbidden(put(&world, &by, limit)), Forbidden::GovernanceDeactivated);
}
