use super::*;
use crate::governance::tests::{World, change, forbidden, invalid};
use crate::governance::{Caller, Forbidden};
use crate::org::Governance;
use crate::time::Ttl;

fn policy(active: bool, value: u32, unit: Unit) -> TtlPolicy {
    TtlPolicy { active, ttl: Ttl::new(value, unit), enforcement: None }
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

fn enforced(active: bool, days: u32) -> TtlPolicy {
    let ladder = Enforcement {
        deactivate_after: Ttl::new(days, Unit::Days),
        revoke_after: None,
        since: crate::time::Timestamp::EPOCH,
    };
    TtlPolicy { enforcement: Some(ladder), ..policy(active, 30, Unit::Days) }
}

#[test]
fn a_ladder_begins_when_it_is_set_and_anew_when_it_is_changed() {
    let mut world = World::new();
    let mut since = |wanted: TtlPolicy, now: &str| {
        world.now = crate::governance::tests::at(now);
        let plan = put(&world, &world.by(&world.owner), wanted).expect("accepted");
        world.org = plan.record().clone();
        world.org.policies.max_ttl.enforcement.map(|ladder| ladder.since.to_string())
    };
    let [day1, day2, day3, day4, day5, day6] =
        [1, 2, 3, 4, 5, 6].map(|day| format!("2027-01-0{day}T00:00:00.000Z"));
    assert_eq!(since(enforced(true, 7), &day1), Some(day1.clone()));
    // Another limit is no other ladder: what is flagged already was warned of it.
    let longer = TtlPolicy { ttl: Ttl::new(40, Unit::Days), ..enforced(true, 7) };
    assert_eq!(since(longer, &day2), Some(day1));
    assert_eq!(since(enforced(true, 8), &day3), Some(day3.clone()));
    assert_eq!(since(enforced(false, 8), &day4), Some(day4));
    assert_eq!(since(enforced(true, 8), &day5), Some(day5));
    assert_eq!(since(policy(true, 30, Unit::Days), &day6), None);
}

#[test]
fn a_ladder_has_bounds_and_is_told() {
    let world = World::new();
    let by = world.by(&world.owner);
    let (field, _) = invalid(put(&world, &by, enforced(true, 0)));
    assert_eq!(field, "max_ttl.enforcement.deactivate_after.value");
    let mut months = enforced(true, 7);
    if let Some(ladder) = &mut months.enforcement {
        ladder.revoke_after = Some(Ttl::new(1, Unit::Months));
    }
    let (field, _) = invalid(put(&world, &by, months));
    assert_eq!(field, "max_ttl.enforcement.revoke_after.unit");
    let change = change(&by, &put(&world, &by, enforced(true, 7)));
    let told = change.events[0].changes[0].after.as_deref();
    assert_eq!(told, Some("activated, 30 days, enforced: deactivated 7 days after a warning"));
}
