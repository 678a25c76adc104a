use super::*;
use crate::governance::tests::{World, at, change, forbidden, invalid, roles};
use crate::org::Revision;

fn founding(name: &str, email: &str) -> Founding {
    Founding {
        org: OrgId::from_bits(50),
        owner: UserId::from_bits(51),
        token: TokenId::from_bits(52),
        digest: Digest::of(b"first"),
        name: name.into(),
        owner_email: email.into(),
        owner_name: "Grace".into(),
        service_roles: roles(&[3, 4]),
    }
}

#[test]
fn only_the_operator_creates_organizations() {
    let mut world = World::new();
    let plan = |world: &World, by: &Caller| {
        founding("Globex", "grace@example.com").plan(by, &world.occasion())
    };
    for user in [&world.owner, &world.admin, &world.member] {
        assert_eq!(forbidden(plan(&world, &world.by(user))), Forbidden::NeedsOperator);
    }
    world.owner.operator = true;
    let by = world.by(&world.owner);
    let planned = plan(&world, &by);
    let change = change(&by, &planned);
    assert!(!change.restrictive);
    let founded = planned.expect("a change").record().clone();
    assert_eq!(founded.owner.roles, roles(&[0, 1, 2, 3, 4]));
    assert!(!founded.owner.operator, "there is one operator");
    assert_eq!(founded.token.scope, founded.owner.roles);
    assert_eq!(founded.token.owner, founded.owner.id);
    assert_eq!(founded.token.org, founded.organization.id);
    assert_eq!(founded.token.created_by, Some(world.owner.id));
    assert_eq!(founded.token.expires_at, at("2027-07-01T00:00:00Z"));
    assert_eq!(change.events.len(), 4);
    assert_eq!(change.events[3].org, world.org.id);
}

#[test]
fn each_field_of_a_founding_is_named() {
    let mut world = World::new();
    world.owner.operator = true;
    let by = world.by(&world.owner);
    let plan = |name, email| founding(name, email).plan(&by, &world.occasion());
    assert_eq!(invalid(plan("", "grace@example.com")).0, "name");
    assert_eq!(invalid(plan("Globex", "grace")).0, "owner.email");
}

#[test]
fn the_first_owner_of_a_fresh_store_is_the_operator() {
    let world = World::new();
    let plan = founding("Acme", "ada@example.com").initialize(&world.occasion());
    let Ok(Plan::Change(change, founded)) = plan else { panic!("refused") };
    assert!(founded.owner.operator);
    assert_eq!(founded.token.created_by, None);
    assert!(change.requires.contains(&Require::Empty));
    assert!(change.events.iter().all(|event| event.actor == Actor::Offline));
}

#[test]
fn recovery_gives_an_owner_a_token_and_activates_them() {
    let mut world = World::new();
    let plan = |world: &World, owner: &User| {
        let (token, digest) = (TokenId::from_bits(60), Digest::of(b"again"));
        Recovery { org: &world.org, owner, token, digest }.plan(&world.occasion())
    };
    let Ok(Plan::Change(change, token)) = plan(&world, &world.owner) else { panic!("refused") };
    assert_eq!(token.scope, world.owner.roles);
    assert_eq!(change.writes.len(), 1);
    let reason = StatusChange { at: world.now, by: None, reason: None, governed: true };
    world.owner.status = UserStatus::Deactivated(reason);
    let Ok(Plan::Change(change, _)) = plan(&world, &world.owner) else { panic!("refused") };
    assert!(matches!(&change.writes[0], Write::User(owner) if owner.is_active()));
    assert_eq!(plan(&world, &world.admin), Err(Refusal::NotFound));
}

#[test]
fn only_owners_rename_and_switch_governance() {
    let world = World::new();
    let plan = |by: &Caller, name: Option<&str>, governance| {
        let name = name.map(ToOwned::to_owned);
        UpdateOrganization { org: &world.org, name, governance }.plan(by, &world.occasion())
    };
    for user in [&world.admin, &world.member] {
        let by = world.by(user);
        assert_eq!(forbidden(plan(&by, Some("New"), None)), Forbidden::NeedsOwner);
    }
    let by = world.by(&world.owner);
    let off = plan(&by, Some("New"), Some(Governance::Deactivated));
    assert_eq!(change(&by, &off).events[0].changes.len(), 2);
    assert_eq!(off.expect("a change").record().version, Revision(1));
    let same = plan(&by, Some("Acme"), Some(Governance::Activated));
    assert!(matches!(same, Ok(Plan::Nothing(_))));
    assert_eq!(invalid(plan(&by, Some("\t"), None)).0, "name");
}

#[test]
fn ladders_begin_anew_when_governance_is_activated_again() {
    let mut world = World::new();
    let ladder = crate::policy::Enforcement {
        deactivate_after: crate::time::Ttl::new(7, crate::time::Unit::Days),
        revoke_after: None,
        since: crate::time::Timestamp::EPOCH,
    };
    world.org.policies.max_ttl.enforcement = Some(ladder);
    let since = |world: &World, governance| {
        let by = world.by(&world.owner);
        let update =
            UpdateOrganization { org: &world.org, name: None, governance: Some(governance) };
        let plan = update.plan(&by, &world.occasion()).expect("planned");
        plan.record().policies.max_ttl.enforcement.map(|ladder| ladder.since)
    };
    assert_eq!(since(&world, Governance::Deactivated), Some(ladder.since));
    assert_eq!(since(&world, Governance::Activated), Some(ladder.since));
    world.org.governance = Governance::Deactivated;
    assert_eq!(since(&world, Governance::Activated), Some(world.now));
}
