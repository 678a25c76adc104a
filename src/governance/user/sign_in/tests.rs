use super::*;
use crate::governance::tests::{World, roles};
use crate::org::{Revision, StatusChange};

fn person(id: Option<&str>) -> Person {
    Person {
        subject: "subject".to_owned(),
        email: Some("new@example.com".to_owned()),
        name: Some("New".to_owned()),
        external_id: id.map(str::to_owned),
        roles: None,
    }
}

struct Case<'a> {
    world: &'a World,
    users: Vec<User>,
    person: Person,
    given: RoleSet,
    create: bool,
    sync: bool,
}

impl<'a> Case<'a> {
    /// A member whom the provider calls `known` signs in.
    fn of(world: &'a World) -> Self {
        let mut member = world.member.clone();
        member.external_id = Some("known".to_owned());
        let users = vec![world.owner.clone(), member];
        let person = person(Some("known"));
        Self { world, users, person, given: RoleSet::empty(), create: false, sync: false }
    }

    fn plan(&self) -> Result<(Change, User), Refusal> {
        let sign_in = SignIn {
            org: &self.world.org,
            users: &self.users,
            person: &self.person,
            issuer: "https://login.example.com",
            given: self.given.clone(),
            create: self.create.then_some(UserId::from_bits(77)),
            sync: self.sync,
        };
        sign_in.plan(&self.world.occasion())
    }

    fn forbidden(&self) -> Forbidden {
        match self.plan() {
            Err(Refusal::Forbidden(forbidden)) => forbidden,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_user_who_returns_is_let_in_as_they_are() {
    let world = World::new();
    let case = Case::of(&world);
    let (change, user) = case.plan().expect("let in");
    assert_eq!(user, case.users[1]);
    assert!(change.writes.is_empty() && !change.restrictive);
    let requires = [
        Require::Version(RecordKey::User(user.id), user.version),
        Require::Version(RecordKey::Organization(world.org.id), world.org.version),
    ];
    assert_eq!(change.requires, requires, "who is switched off meanwhile is not let in");
    let [event] = change.events.as_slice() else { panic!("{:?}", change.events) };
    assert_eq!(event.action, Action::SignedIn);
    assert_eq!(event.actor, Actor::Session { user: user.id });
    let told: Vec<_> = event.changes.iter().map(|field| field.field.as_str()).collect();
    assert_eq!(told, ["issuer", "subject"]);
}

#[test]
fn who_is_switched_off_or_unknown_or_not_one_is_not_let_in() {
    let world = World::new();
    let mut off = Case::of(&world);
    let status = StatusChange { at: world.now, by: None, reason: None, governed: true };
    off.users[1].status = UserStatus::Deactivated(status);
    assert_eq!(off.plan(), Err(Refusal::Clash(Clash::Deactivated)));
    // Not even with the roles of an owner, or as somebody new.
    off.given = roles(&[0]);
    (off.sync, off.create) = (true, true);
    assert_eq!(off.plan(), Err(Refusal::Clash(Clash::Deactivated)));

    let stranger = Case { person: person(Some("unknown")), ..Case::of(&world) };
    assert_eq!(stranger.forbidden(), Forbidden::Stranger);
    let mut two = Case::of(&world);
    two.users[0].external_id = Some("known".to_owned());
    assert_eq!(two.forbidden(), Forbidden::SeveralUsers);
    // Found by their address, whatever its case; never by that beside another claim.
    let mut by_address = Case { person: person(None), ..Case::of(&world) };
    by_address.person.email = Some(world.member.email.to_uppercase());
    assert_eq!(by_address.plan().expect("let in").1.id, world.member.id);
    by_address.person.external_id = Some("unknown".to_owned());
    assert_eq!(by_address.forbidden(), Forbidden::Stranger);
}

#[test]
fn somebody_new_becomes_a_user_with_the_roles_that_are_given() {
    let world = World::new();
    let new = || Case { person: person(Some("unknown")), create: true, ..Case::of(&world) };
    assert_eq!(new().forbidden(), Forbidden::NoRole);
    let case = Case { given: roles(&[1]), ..new() };
    let (change, user) = case.plan().expect("let in");
    assert_eq!(user.roles, roles(&[1, 2]), "an admin is a member");
    assert_eq!((user.email.as_str(), user.name.as_str()), ("new@example.com", "New"));
    assert_eq!(user.external_id.as_deref(), Some("unknown"));
    assert!(!user.operator && user.is_active());
    assert_eq!(change.writes, [Write::User(user.clone())]);
    assert!(change.requires.contains(&Require::Absent(RecordKey::User(user.id))));
    assert!(change.requires.contains(&email_free(&user)));
    let actions: Vec<_> = change.events.iter().map(|event| event.action).collect();
    assert_eq!(actions, [Action::UserCreated, Action::SignedIn]);

    // An address that is there already is somebody else's until an owner says otherwise.
    let mut taken = Case { given: roles(&[1]), ..new() };
    taken.person.email = Some(world.owner.email.to_uppercase());
    assert_eq!(taken.plan(), Err(Refusal::Clash(Clash::EmailTaken)));
    let mut unverified = Case { given: roles(&[1]), ..new() };
    unverified.person.email = None;
    assert_eq!(unverified.forbidden(), Forbidden::NoAddress);
    let mut nameless = Case { given: roles(&[1]), ..new() };
    nameless.person.name = None;
    assert_eq!(nameless.plan().expect("let in").1.name, "new");
}

#[test]
fn roles_follow_the_provider_where_the_configuration_says_so() {
    let world = World::new();
    let held = world.member.roles.clone();
    let given = Case { given: roles(&[0]), ..Case::of(&world) };
    assert_eq!(given.plan().expect("let in").1.roles, held, "nobody said so");
    let synced = Case { sync: true, ..given };
    let (change, user) = synced.plan().expect("let in");
    assert_eq!(user.roles, closed(&roles(&[0])));
    let actions: Vec<_> = change.events.iter().map(|event| event.action).collect();
    assert_eq!(actions, [Action::UserUpdated, Action::SignedIn]);
    let lost = held.difference(&user.roles);
    assert_eq!(change.restrictive, !lost.is_empty());
    // Who is given none is not let in, and loses none.
    let none = Case { sync: true, ..Case::of(&world) };
    assert_eq!(none.forbidden(), Forbidden::NoRole);
    let same = Case { sync: true, given: held, ..Case::of(&world) };
    assert!(same.plan().expect("let in").0.writes.is_empty());
}

#[test]
fn an_owner_who_loses_that_role_leaves_another_one() {
    let world = World::new();
    let mut case = Case { sync: true, given: roles(&[2]), ..Case::of(&world) };
    case.users[0].external_id = Some("owner".to_owned());
    case.person.external_id = Some("owner".to_owned());
    let (change, user) = case.plan().expect("planned");
    assert!(change.restrictive);
    let another = Require::AnotherActiveOwner { org: world.org.id, except: user.id };
    assert!(change.requires.contains(&another));
    assert_eq!(user.version, Revision(world.owner.version.0));
}
