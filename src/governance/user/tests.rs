use super::*;
use crate::governance::tests::{World, change, clash, forbidden, invalid, roles, user};
use crate::id::TokenId;
use crate::notice::{About, DETAILS_MAX};
use crate::org::{EXTERNAL_ID_CHARS_MAX, Revision};
use std::collections::HashSet;

fn create(world: &World, by: &Caller, held: &[u32]) -> Result<Plan<User>, Refusal> {
    CreateUser {
        org: world.org.id,
        id: UserId::from_bits(40),
        email: "new@example.com".into(),
        name: "New".into(),
        roles: roles(held),
        external_id: None,
        active: true,
    }
    .plan(by, &world.occasion())
}

fn unchanged(user: &User) -> UpdateUser<'_> {
    UpdateUser {
        user,
        name: None,
        email: None,
        org_roles: None,
        service_roles: None,
        external_id: None,
    }
}

fn set_roles(
    world: &World,
    by: &Caller,
    user: &User,
    org: &[u32],
    service: &[u32],
) -> Result<Plan<User>, Refusal> {
    let (org_roles, service_roles) = (Some(roles(org)), Some(roles(service)));
    UpdateUser { org_roles, service_roles, ..unchanged(user) }.plan(by, &world.occasion())
}

fn another_owner(world: &World, except: &User) -> Require {
    Require::AnotherActiveOwner { org: world.org.id, except: except.id }
}

#[test]
fn admins_grant_only_roles_that_their_credential_carries() {
    let world = World::new();
    let admin = world.by(&world.admin);
    change(&admin, &create(&world, &admin, &[1, 2, 3]));
    for role in [0, 4] {
        let refused = forbidden(create(&world, &admin, &[2, role]));
        assert!(matches!(refused, Forbidden::NotCarried(_)), "{role}");
    }
    let narrow = world.caller(&world.admin, &roles(&[1]));
    assert!(matches!(forbidden(create(&world, &narrow, &[3])), Forbidden::NotCarried(_)));
    // An admin's credential makes members: an admin is one.
    change(&narrow, &create(&world, &narrow, &[2]));
    assert_eq!(forbidden(create(&world, &world.by(&world.member), &[2])), Forbidden::NeedsAdmin);
    let owner = world.caller(&world.owner, &roles(&[0]));
    let made = create(&world, &owner, &[0, 4]);
    let change = change(&owner, &made);
    assert_eq!(made.expect("a change").record().roles, roles(&[0, 1, 2, 4]));
    assert!(change.requires.iter().any(|require| matches!(require, Require::EmailFree { .. })));
}

#[test]
fn a_role_that_is_lost_is_restrictive_and_one_that_is_won_is_not() {
    let world = World::new();
    let by = world.by(&world.owner);
    let won = set_roles(&world, &by, &world.member, &[2], &[3, 4]);
    assert!(!change(&by, &won).restrictive);
    let lost = set_roles(&world, &by, &world.member, &[2], &[]);
    assert!(change(&by, &lost).restrictive);
    let swapped = set_roles(&world, &by, &world.member, &[2], &[4]);
    assert!(change(&by, &swapped).restrictive);
    let same = set_roles(&world, &by, &world.member, &[2], &[3]);
    assert!(matches!(same, Ok(Plan::Nothing(_))));
}

#[test]
fn the_kinds_of_roles_are_set_apart() {
    let world = World::new();
    let by = world.by(&world.owner);
    let plan = UpdateUser { org_roles: Some(roles(&[1])), ..unchanged(&world.member) }
        .plan(&by, &world.occasion());
    assert_eq!(plan.expect("a change").record().roles, roles(&[1, 2, 3]));
    let plan = UpdateUser { service_roles: Some(roles(&[4])), ..unchanged(&world.member) }
        .plan(&by, &world.occasion());
    assert_eq!(plan.expect("a change").record().roles, roles(&[2, 4]));
}

#[test]
fn admins_never_touch_owners() {
    let world = World::new();
    let (by, at) = (world.by(&world.admin), world.occasion());
    let target = &world.owner;
    assert_eq!(forbidden(set_roles(&world, &by, target, &[2], &[])), Forbidden::OwnersOnly);
    assert_eq!(forbidden(deactivate(target, None, &by, &at)), Forbidden::OwnersOnly);
    assert_eq!(forbidden(activate(target, None, &by, &at)), Forbidden::OwnersOnly);
    assert_eq!(forbidden(remove(target, Estate::Revoked, &by, &at)), Forbidden::OwnersOnly);
    let heir = Estate::HandOver { to: target, tokens: vec![] };
    assert_eq!(forbidden(remove(&world.member, heir, &by, &at)), Forbidden::OwnersOnly);
}

#[test]
fn members_change_their_own_name_and_no_more() {
    let world = World::new();
    let (by, at) = (world.by(&world.member), world.occasion());
    let named = |user| UpdateUser { name: Some("Mem".into()), ..unchanged(user) };
    change(&by, &named(&world.member).plan(&by, &at));
    assert_eq!(forbidden(named(&world.admin).plan(&by, &at)), Forbidden::NeedsAdmin);
    let mailed = UpdateUser { email: Some("m@example.com".into()), ..named(&world.member) };
    assert_eq!(forbidden(mailed.plan(&by, &at)), Forbidden::NeedsAdmin);
    assert_eq!(forbidden(set_roles(&world, &by, &world.member, &[2], &[])), Forbidden::NeedsAdmin);
    let service_only = world.caller(&world.member, &roles(&[3]));
    assert_eq!(forbidden(named(&world.member).plan(&service_only, &at)), Forbidden::NeedsMember);
}

#[test]
fn the_last_active_owner_cannot_go() {
    let world = World::new();
    let second = user(9, &[0, 1, 2]);
    let (by, at) = (world.by(&world.owner), world.occasion());
    let gone = [
        change(&by, &set_roles(&world, &by, &second, &[1, 2], &[])),
        change(&by, &deactivate(&second, None, &by, &at)),
        change(&by, &remove(&second, Estate::Revoked, &by, &at)),
    ];
    for change in gone {
        assert!(change.requires.contains(&another_owner(&world, &second)));
        assert!(change.restrictive);
    }
    // Somebody who is no owner, or no active one, may go without another.
    let change = change(&by, &deactivate(&world.member, None, &by, &at));
    assert!(!change.requires.contains(&another_owner(&world, &world.member)));
}

#[test]
fn deactivating_and_activating_a_user_writes_no_token() {
    let world = World::new();
    let (by, at) = (world.by(&world.owner), world.occasion());
    let off = deactivate(&world.member, Some("left".into()), &by, &at);
    let written = change(&by, &off);
    assert!(written.restrictive);
    assert!(matches!(&written.writes[..], [Write::User(_)]));
    assert_eq!(written.events[0].reason.as_deref(), Some("left"));
    let off = off.expect("a change").record().clone();
    let on = activate(&off, None, &by, &at);
    let written = change(&by, &on);
    assert!(!written.restrictive);
    assert!(matches!(&written.writes[..], [Write::User(user)] if user.is_active()));
}

#[test]
fn a_repeated_switch_does_nothing() {
    let world = World::new();
    let (by, at) = (world.by(&world.owner), world.occasion());
    let off = deactivate(&world.member, None, &by, &at).expect("a change").record().clone();
    assert_eq!(deactivate(&off, None, &by, &at), Ok(Plan::Nothing(off.clone())));
    let on = &world.member;
    assert_eq!(activate(on, None, &by, &at), Ok(Plan::Nothing(on.clone())));
}

#[test]
fn what_an_owner_deactivated_only_an_owner_activates() {
    let world = World::new();
    let (owner, admin, at) = (world.by(&world.owner), world.by(&world.admin), world.occasion());
    let by_owner = deactivate(&world.member, None, &owner, &at).expect("off").record().clone();
    assert_eq!(forbidden(activate(&by_owner, None, &admin, &at)), Forbidden::OwnersDecision);
    assert!(activate(&by_owner, None, &owner, &at).is_ok());
    let by_admin = deactivate(&world.member, None, &admin, &at).expect("off").record().clone();
    assert!(activate(&by_admin, None, &admin, &at).is_ok());
    // An owner's decision on top of an admin's counts.
    let both = deactivate(&by_admin, None, &owner, &at);
    change(&owner, &both);
    let both = both.expect("a change").record().clone();
    assert_eq!(forbidden(activate(&both, None, &admin, &at)), Forbidden::OwnersDecision);
}

#[test]
fn removal_wants_the_tokens_revoked_or_handed_over() {
    let world = World::new();
    let (by, at) = (world.by(&world.owner), world.occasion());
    let revoked = change(&by, &remove(&world.member, Estate::Revoked, &by, &at));
    assert!(revoked.requires.contains(&Require::NoLiveTokens(world.member.id)));

    // This token carries a role that its owner lost and the heir holds.
    let mut token = world.token(5, &world.member);
    token.scope = roles(&[2, 3, 4]);
    let heir = user(8, &[2, 4]);
    let estate = Estate::HandOver { to: &heir, tokens: vec![token.clone()] };
    let handed = change(&by, &remove(&world.member, estate, &by, &at));
    assert!(handed.restrictive);
    let version = Require::Version(RecordKey::Token(token.id), token.version);
    assert!(handed.requires.contains(&version));
    assert!(handed.requires.contains(&Require::CountBelow(world.member.id, 2)));
    let Write::Token(moved) = &handed.writes[0] else { panic!("{:?}", handed.writes) };
    assert_eq!(moved.owner, heir.id);
    assert_eq!(moved.scope, roles(&[2, 3]), "what had no effect does not come back");
    assert!(matches!(handed.writes[1], Write::RemoveUser(id) if id == world.member.id));
    assert_eq!(handed.events.len(), 2);
    let [told] = &handed.notices[..] else { panic!("{:?}", handed.notices) };
    assert_eq!((told.kind, &told.to[..]), (Kind::Transferred, &[heir.id][..]));
    assert_eq!(told.about, About::User(world.member.id, world.member.name.clone()));
    assert_eq!(told.details, [Detail::new("token", format!("{} ({})", token.name, token.id))]);
}

#[test]
fn some_are_never_removed_and_some_never_inherit() {
    let mut world = World::new();
    let at_org = world.org.id;
    let by = world.by(&world.owner);
    let second = User { operator: true, ..user(9, &[0, 1, 2]) };
    let at = world.occasion();
    assert_eq!(clash(remove(&world.owner, Estate::Revoked, &by, &at)), Clash::Oneself);
    assert_eq!(clash(remove(&second, Estate::Revoked, &by, &at)), Clash::Operator);
    let to = |to: &User| {
        let tokens = vec![world.token(5, &world.member)];
        remove(&world.member, Estate::HandOver { to, tokens }, &by, &at)
    };
    assert_eq!(invalid(to(&world.member)).0, "hand_over_to");
    assert_eq!(
        to(&User { org: OrgId::from_bits(2), ..world.admin.clone() }),
        Err(Refusal::NotFound)
    );
    let off = deactivate(&world.admin, None, &by, &at).expect("off").record().clone();
    assert_eq!(clash(to(&off)), Clash::Deactivated);
    let foreign = User { org: OrgId::from_bits(2), ..world.member.clone() };
    assert_eq!(remove(&foreign, Estate::Revoked, &by, &at), Err(Refusal::NotFound));
    world.member.version = Revision(7);
    assert_eq!(at_org, world.org.id);
}

#[test]
fn more_tokens_than_a_user_may_own_are_not_handed_over() {
    let world = World::new();
    let (by, at) = (world.by(&world.owner), world.occasion());
    let template = world.token(5, &world.member);
    let tokens = |count: u32| {
        let id = |bits: u32| TokenId::from_bits(1000 + u128::from(bits));
        (0..count).map(|bits| ApiToken { id: id(bits), ..template.clone() }).collect()
    };
    let hand = |count| {
        remove(
            &world.member,
            Estate::HandOver { to: &world.admin, tokens: tokens(count) },
            &by,
            &at,
        )
    };
    let handed = change(&by, &hand(TOKENS_PER_USER_MAX));
    assert!(handed.requires.contains(&Require::CountBelow(world.admin.id, 1)));
    for more in [1, 2] {
        assert_eq!(clash(hand(TOKENS_PER_USER_MAX + more)), Clash::TooManyTokens);
        // They were not all read, so no change that holds them would ever be written.
        let estate = Estate::Revoke { tokens: tokens(TOKENS_PER_USER_MAX + more) };
        assert_eq!(clash(remove(&world.member, estate, &by, &at)), Clash::TooManyToRevoke);
    }
    // The heir is told of each, and in no more notices than that takes.
    let revoked =
        remove(&world.member, Estate::Revoke { tokens: tokens(TOKENS_PER_USER_MAX) }, &by, &at);
    for told in [handed.notices, change(&by, &revoked).notices] {
        assert_eq!(told.len(), TOKENS_PER_USER_MAX as usize / DETAILS_MAX);
        let lines = told.iter().flat_map(|told| &told.details);
        let texts: HashSet<_> = lines.map(|line| &line.text).collect();
        assert_eq!(texts.len(), TOKENS_PER_USER_MAX as usize, "each once, none left out");
    }
}

/// What an identity provider asks for in one go.
fn provisioned(
    world: &World,
    user: &User,
    by: &Caller,
    name: Option<&str>,
    active: Option<bool>,
) -> Result<Plan<User>, Refusal> {
    let update = name.map(|name| UpdateUser { name: Some(name.to_owned()), ..unchanged(user) });
    Provision { update, active }.plan(user, by, &world.occasion())
}

#[test]
fn fields_and_status_are_one_change() {
    let world = World::new();
    let by = world.by(&world.owner);
    let user = &world.member;
    let plan = provisioned(&world, user, &by, Some("Mem"), Some(false));
    let both = change(&by, &plan);
    assert!(both.restrictive, "it takes access away, whatever else it does");
    let [Write::User(written)] = &both.writes[..] else { panic!("{:?}", both.writes) };
    assert_eq!((&*written.name, written.is_active()), ("Mem", false));
    let actions: Vec<Action> = both.events.iter().map(|event| event.action).collect();
    assert_eq!(actions, [Action::UserUpdated, Action::UserDeactivated]);
    let told: Vec<_> = both.notices.iter().map(|notice| notice.kind).collect();
    assert_eq!(told, [Kind::UserDeactivated], "who is deactivated is told");
    assert!(both.requires.contains(&Require::Version(RecordKey::User(user.id), user.version)));

    let named = change(&by, &provisioned(&world, user, &by, Some("Mem"), Some(true)));
    assert!(!named.restrictive);
    assert_eq!(named.events.len(), 1, "an active user is not activated");
    let off = change(&by, &provisioned(&world, user, &by, None, Some(false)));
    assert_eq!(off.events[0].action, Action::UserDeactivated);
    let nothing = provisioned(&world, user, &by, Some(&user.name), Some(true));
    assert_eq!(nothing, Ok(Plan::Nothing(user.clone())));
}

#[test]
fn each_part_of_what_a_provider_asks_for_keeps_its_rules() {
    let world = World::new();
    let [owner, admin, member] =
        [&world.owner, &world.admin, &world.member].map(|user| world.by(user));
    for (name, active) in [(Some("O"), None), (None, Some(false)), (Some("O"), Some(true))] {
        let refused = forbidden(provisioned(&world, &world.owner, &admin, name, active));
        assert_eq!(refused, Forbidden::OwnersOnly, "{name:?} {active:?}");
    }
    // A member may rename themself, and no more comes along with that.
    change(&member, &provisioned(&world, &world.member, &member, Some("Me"), None));
    for active in [true, false] {
        let switched = provisioned(&world, &world.member, &member, Some("Me"), Some(active));
        assert_eq!(forbidden(switched), Forbidden::NeedsAdmin);
    }
    // What an owner deactivated an admin does not activate on the side of a new name.
    let off = deactivate(&world.member, None, &owner, &world.occasion()).expect("off");
    let on = provisioned(&world, off.record(), &admin, Some("Me"), Some(true));
    assert_eq!(forbidden(on), Forbidden::OwnersDecision);

    // An owner who is demoted and deactivated at once has to leave another behind.
    let second = user(9, &[0, 1, 2]);
    let update = UpdateUser { org_roles: Some(roles(&[2])), ..unchanged(&second) };
    let both = Provision { update: Some(update), active: Some(false) };
    let both = change(&owner, &both.plan(&second, &owner, &world.occasion()));
    assert!(both.requires.contains(&another_owner(&world, &second)));
}

#[test]
fn a_removed_users_tokens_are_revoked_in_the_same_change() {
    let world = World::new();
    let (by, at) = (world.by(&world.owner), world.occasion());
    let live = world.token(5, &world.member);
    let status = StatusChange { at: at.now, by: None, reason: None, governed: true };
    let off =
        ApiToken { status: TokenStatus::Deactivated(status), ..world.token(6, &world.member) };
    let estate = || Estate::Revoke { tokens: vec![live.clone(), off.clone()] };
    let removed = change(&by, &remove(&world.member, estate(), &by, &at));
    assert!(removed.restrictive, "barred before it is recorded");
    let [Write::Token(first), Write::Token(second), Write::RemoveUser(gone)] = &removed.writes[..]
    else {
        panic!("{:?}", removed.writes)
    };
    assert_eq!((first.id, second.id, *gone), (live.id, off.id, world.member.id));
    for token in [first, second] {
        assert_eq!(token.standing(), Standing::Revoked);
        let version = Require::Version(RecordKey::Token(token.id), token.version);
        assert!(removed.requires.contains(&version));
    }
    // A token that is made meanwhile would be forgotten: then it is planned anew.
    assert!(removed.requires.contains(&Require::CountBelow(world.member.id, 3)));
    let actions: Vec<Action> = removed.events.iter().map(|event| event.action).collect();
    assert_eq!(actions, [Action::TokenRevoked, Action::TokenRevoked, Action::UserRemoved]);
    let [told] = &removed.notices[..] else { panic!("{:?}", removed.notices) };
    assert_eq!(told.kind, Kind::Revoked);
    assert!(told.to.is_empty(), "nobody is left to read mail");
    assert_eq!(told.details.len(), 2);

    let second = user(9, &[0, 1, 2]);
    let owner = change(&by, &remove(&second, Estate::Revoke { tokens: vec![] }, &by, &at));
    assert!(owner.requires.contains(&another_owner(&world, &second)));
    let admin = world.by(&world.admin);
    let refused = forbidden(remove(&second, Estate::Revoke { tokens: vec![] }, &admin, &at));
    assert_eq!(refused, Forbidden::OwnersOnly);
    let mine = remove(&world.owner, Estate::Revoke { tokens: vec![] }, &by, &at);
    assert_eq!(clash(mine), Clash::Oneself);
}

#[test]
fn what_a_provider_calls_a_user_is_kept_as_it_is() {
    let world = World::new();
    let by = world.by(&world.owner);
    let called = |id: Option<&str>| {
        let external_id = Some(id.map(str::to_owned));
        UpdateUser { external_id, ..unchanged(&world.member) }.plan(&by, &world.occasion())
    };
    let longest = "x".repeat(EXTERNAL_ID_CHARS_MAX);
    for id in ["00u1 Ab", &longest] {
        let plan = called(Some(id));
        assert!(!change(&by, &plan).restrictive);
        assert_eq!(plan.expect("a change").record().external_id.as_deref(), Some(id));
    }
    assert!(matches!(called(None), Ok(Plan::Nothing(_))));
    for bad in ["", "a\nb", "00u1\u{200b}", "\u{202e}1u00", &format!("{longest}x")] {
        assert_eq!(invalid(called(Some(bad))).0, "external_id", "{bad:?}");
    }
    // It is the provider's word: nobody calls themself something else.
    let member = world.by(&world.member);
    let own = UpdateUser { external_id: Some(None), ..unchanged(&world.member) };
    assert_eq!(forbidden(own.plan(&member, &world.occasion())), Forbidden::NeedsAdmin);
}

#[test]
fn what_is_written_anew_says_when() {
    let mut world = World::new();
    let by = world.by(&world.owner);
    world.now = world.now.after_months(1);
    let at = world.occasion();
    let named = UpdateUser { name: Some("Mem".into()), ..unchanged(&world.member) };
    for plan in [named.plan(&by, &at), deactivate(&world.member, None, &by, &at)] {
        let user = plan.expect("a change").record().clone();
        assert_eq!((user.created_at, user.modified_at), (world.member.created_at, world.now));
    }
}
