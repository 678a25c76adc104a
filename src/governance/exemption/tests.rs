use super::*;
use crate::governance::Forbidden;
use crate::governance::tests::{World, at, change, clash, forbidden, invalid};
use crate::id::UserId;
use crate::org::Governance;

fn grant<'a>(world: &'a World, present: &'a [Exemption], until: &str) -> GrantExemption<'a> {
    GrantExemption {
        org: &world.org,
        present,
        id: ExemptionId::from_bits(70),
        exempt: (Exempt::User(world.member.id), world.member.name.clone()),
        policy: PolicyKind::IdleTtl,
        until: at(until),
        reason: None,
    }
}

fn exemption(world: &World, bits: u128, until: &str) -> Exemption {
    Exemption {
        id: ExemptionId::from_bits(bits),
        version: UNWRITTEN,
        org: world.org.id,
        exempt: Exempt::User(world.member.id),
        policy: PolicyKind::IdleTtl,
        until: at(until),
        created_at: world.now,
        created_by: world.owner.id,
        reason: None,
    }
}

#[test]
fn it_ends_and_those_that_are_over_go_with_it() {
    let world = World::new();
    let by = world.by(&world.owner);
    let over = [exemption(&world, 5, "2027-01-01T00:00:00Z")];
    let plan = |until: &str| grant(&world, &over, until).plan(&by, &world.occasion());
    assert_eq!(invalid(plan("2027-01-01T00:00:00Z")).0, "until");
    assert_eq!(invalid(plan("2028-01-02T00:00:00.001Z")).0, "until");
    assert!(plan("2028-01-02T00:00:00Z").is_ok());
    let plan = plan("2027-01-01T00:00:00.001Z");
    let planned = change(&by, &plan);
    assert!(!planned.restrictive);
    let granted = plan.expect("a change").record().clone();
    let expected = [
        Write::Organization(world.org.clone()),
        Write::Validation(validation::Write::Unexempt(world.org.id, over[0].id)),
        Write::Validation(validation::Write::Exempt(Box::new(granted.clone()))),
    ];
    assert_eq!(planned.writes, expected);
    assert_eq!(granted, Exemption { until: granted.until, ..exemption(&world, 70, SOON) });
    let ended = withdraw(&world.org, &granted, &by, &world.occasion()).expect("a change");
    assert_eq!(ended.events[0].action, Action::ExemptionWithdrawn);
    assert!(matches!(ended.writes[0], Write::Organization(_)), "what is planned is planned anew");
}

const SOON: &str = "2027-02-01T00:00:00Z";

#[test]
fn there_is_a_most_of_them() {
    let world = World::new();
    let by = world.by(&world.owner);
    let mut present: Vec<_> =
        (0..EXEMPTIONS_MAX as u128).map(|bits| exemption(&world, bits, SOON)).collect();
    let plan = grant(&world, &present, SOON).plan(&by, &world.occasion());
    assert_eq!(clash(plan), Clash::TooManyExemptions);
    present[0].until = world.now;
    assert!(grant(&world, &present, SOON).plan(&by, &world.occasion()).is_ok());
}

#[test]
fn it_covers_a_token_or_all_of_a_user_until_its_end() {
    let world = World::new();
    let token = world.token(5, &world.member);
    let of = |exempt| Exemption { exempt, ..exemption(&world, 70, SOON) };
    let covers = |exempt, now: &str| of(exempt).covers(&token, PolicyKind::IdleTtl, at(now));
    let before = "2027-01-31T23:59:59.999Z";
    for exempt in [Exempt::Token(token.id), Exempt::User(token.owner)] {
        assert!(covers(exempt, before));
        assert!(!covers(exempt, SOON));
        assert!(!of(exempt).covers(&token, PolicyKind::MaxTtl, at(before)));
    }
    assert!(!covers(Exempt::User(UserId::from_bits(99)), before));
    assert!(!covers(Exempt::Token(world.token(6, &world.member).id), before));
}

#[test]
fn s11_it_is_for_owners_of_a_governed_organization() {
    let mut world = World::new();
    let exemption = exemption(&world, 5, SOON);
    for user in [&world.admin, &world.member] {
        let by = world.by(user);
        let plan = grant(&world, &[], SOON).plan(&by, &world.occasion());
        assert_eq!(forbidden(plan), Forbidden::NeedsOwner);
        let refused = withdraw(&world.org, &exemption, &by, &world.occasion());
        assert_eq!(refused, Err(Refusal::Forbidden(Forbidden::NeedsOwner)));
    }
    world.org.governance = Governance::Deactivated;
    let plan = grant(&world, &[], SOON).plan(&world.by(&world.owner), &world.occasion());
    assert_eq!(forbidden(plan), Forbidden::GovernanceDeactivated);
}
