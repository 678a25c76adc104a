use super::*;
use crate::access::FormerFacts;
use crate::governance::tests::{World, at, forbidden, roles};
use crate::id::UserId;
use crate::token::{ApiToken, Standing};

#[test]
fn only_the_operator_takes_a_backup_and_the_trail_tells() {
    let mut world = World::new();
    for user in [&world.owner, &world.admin, &world.member] {
        let plan = TakeBackup { org: &world.org }.plan(&world.by(user), &world.occasion());
        assert_eq!(forbidden(plan), Forbidden::OperatorsBackup);
    }
    world.owner.operator = true;
    // The operator, but not with an owner's token.
    let narrow = world.caller(&world.owner, &roles(&[2]));
    let plan = TakeBackup { org: &world.org }.plan(&narrow, &world.occasion());
    assert_eq!(forbidden(plan), Forbidden::OperatorsBackup);
    let by = world.by(&world.owner);
    let plan = TakeBackup { org: &world.org }.plan(&by, &world.occasion());
    let Ok(Plan::Change(change, ())) = plan else { panic!("refused") };
    assert!(change.writes.is_empty() && !change.restrictive);
    assert_eq!(change.events[0].action, Action::StoreBackedUp);
    assert!(!change.requires.is_empty(), "a credential that is switched off takes no backup");
}

/// A credential as one of the two stores knows it.
fn facts(world: &World, token: &ApiToken) -> (TokenFacts, OwnerFacts, OrgFacts) {
    (TokenFacts::from(token), OwnerFacts::from(&world.member), OrgFacts::from(&world.org))
}

fn known((token, owner, org): &(TokenFacts, OwnerFacts, OrgFacts)) -> Known<'_> {
    (token, &SecretFacts::Present, owner, org)
}

#[test]
fn a_secret_that_was_rotated_away_since_comes_back_to_life() {
    let world = World::new();
    let (token, owner, org) = facts(&world, &world.token(1, &world.member));
    let as_ = |secret| (&token, secret, &owner, &org);
    let ended = SecretFacts::Former(FormerFacts { ends_at: world.now, heir: None });
    let told = regained(as_(&SecretFacts::Present), Some(as_(&ended)), world.now);
    assert_eq!(told, Some(Regained::Dead(Reason::Superseded)));
    assert_eq!(regained(as_(&ended), None, world.now), None);
    let just_before = Timestamp::from_millis(world.now.millis() - 1);
    assert_eq!(regained(as_(&SecretFacts::Present), Some(as_(&ended)), just_before), None);
}

#[test]
fn what_is_as_it_was_regains_nothing() {
    let world = World::new();
    let was = facts(&world, &world.token(1, &world.member));
    assert_eq!(regained(known(&was), Some(known(&was)), world.now), None);
}

#[test]
fn what_died_since_comes_back_to_life() {
    let world = World::new();
    let was = facts(&world, &world.token(1, &world.member));
    assert_eq!(regained(known(&was), None, world.now), Some(Regained::Unknown));
    for (standing, reason) in
        [(Standing::Deactivated, Reason::Deactivated), (Standing::Revoked, Reason::Revoked)]
    {
        let mut is = was.clone();
        is.0.standing = standing;
        let told = regained(known(&was), Some(known(&is)), world.now);
        assert_eq!(told, Some(Regained::Dead(reason)));
        // The other way round nothing comes back.
        assert_eq!(regained(known(&is), Some(known(&was)), world.now), None);
        assert_eq!(regained(known(&is), None, world.now), None);
    }
    let mut is = was.clone();
    is.1.active = false;
    let told = regained(known(&was), Some(known(&is)), world.now);
    assert_eq!(told, Some(Regained::Dead(Reason::OwnerDeactivated)));
    let mut is = was.clone();
    is.1.id = UserId::from_bits(77);
    let told = regained(known(&was), Some(known(&is)), world.now);
    assert_eq!(told, Some(Regained::Dead(Reason::Unknown)));
}

#[test]
fn what_has_expired_in_the_copy_stays_dead_to_the_millisecond() {
    let world = World::new();
    let was = facts(&world, &world.token(1, &world.member));
    let mut is = was.clone();
    is.0.standing = Standing::Revoked;
    let end = at("2027-07-01T00:00:00Z");
    let before = Timestamp::from_millis(end.millis() - 1);
    assert_eq!(
        regained(known(&was), Some(known(&is)), before),
        Some(Regained::Dead(Reason::Revoked))
    );
    assert_eq!(regained(known(&was), Some(known(&is)), end), None);
    // A life that was cut short since is given back.
    let mut shorter = was.clone();
    shorter.0.expires_at = world.now;
    let told = regained(known(&was), Some(known(&shorter)), world.now);
    assert_eq!(told, Some(Regained::Dead(Reason::Expired)));
}

#[test]
fn roles_that_were_lost_come_back() {
    let world = World::new();
    let was = facts(&world, &world.token(1, &world.member));
    let mut narrower = was.clone();
    narrower.0.scope = roles(&[2]);
    let mut demoted = was.clone();
    demoted.1.roles = roles(&[2]);
    for is in [&narrower, &demoted] {
        let told = regained(known(&was), Some(known(is)), world.now);
        assert_eq!(told, Some(Regained::Roles(roles(&[3]))));
        assert_eq!(regained(known(is), Some(known(&was)), world.now), None);
    }
}

#[test]
fn every_organization_is_told_of_a_restored_copy() {
    let world = World::new();
    let restored = Restored { replaced: Some(Revision(9)), copy: Revision(5) };
    let change = restored.plan(&[(world.org.clone(), 3)], &world.occasion());
    let [event] = &change.events[..] else { panic!("one event: {change:?}") };
    assert_eq!((event.action, &event.actor), (Action::StoreRestored, &Actor::Offline));
    let told: Vec<_> =
        event.changes.iter().map(|field| (field.field.as_str(), field.after.as_deref())).collect();
    assert_eq!(told, [("revision", Some("5")), ("tokens_regained", Some("3"))]);
}
