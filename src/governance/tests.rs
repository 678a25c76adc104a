//! A small organization for the tests of all commands, and what holds for all of them.

use super::*;
use crate::governance::catalogue::Catalogue;
use crate::org::{User, UserStatus};
use crate::policy::{Ignores, Policies};
use crate::secret::Digest;
use crate::token::{ApiToken, NOTIFY_BEFORE_EXPIRY, TokenStatus};

/// The present of the tests.
pub(crate) const NOW: &str = "2027-01-01T00:00:00Z";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("RFC 3339")
}

pub(crate) fn roles(ids: &[u32]) -> RoleSet {
    ids.iter().copied().map(RoleId).collect()
}

/// Roles: 0 owner, 1 admin, 2 member, 3 orders/reader, 4 orders/writer.
pub(crate) struct World {
    pub(crate) org: Organization,
    pub(crate) owner: User,
    pub(crate) admin: User,
    pub(crate) member: User,
    pub(crate) table: RoleTable,
    pub(crate) origin: Origin,
    pub(crate) now: Timestamp,
}

impl World {
    pub(crate) fn new() -> Self {
        let name = |text: &str| text.parse().expect("a name");
        let catalogue =
            Catalogue::new([], [(name("orders"), vec![name("reader"), name("writer")])]);
        let mut table = RoleTable::new();
        for role in catalogue.role_names() {
            table.intern(role);
        }
        let org = Organization {
            id: OrgId::from_bits(1),
            version: Revision(1),
            name: "Acme".into(),
            governance: Governance::Activated,
            policies: Policies::default(),
            created_at: at(NOW),
        };
        Self {
            owner: user(1, &[0, 1, 2, 3, 4]),
            admin: user(2, &[1, 2, 3]),
            member: user(3, &[2, 3]),
            org,
            table,
            origin: Origin::default(),
            now: at(NOW),
        }
    }

    pub(crate) fn occasion(&self) -> Occasion<'_> {
        Occasion { now: self.now, roles: &self.table, origin: &self.origin }
    }

    /// The user through a token that carries all of these roles.
    pub(crate) fn caller(&self, user: &User, scope: &RoleSet) -> Caller {
        let token = ApiToken { scope: scope.clone(), ..self.token(900, user) };
        let (token, owner) = (TokenFacts::from(&token), OwnerFacts::from(user));
        Caller::admitted(&token, &owner, &OrgFacts::from(&self.org), self.now).expect("alive")
    }

    pub(crate) fn by(&self, user: &User) -> Caller {
        self.caller(user, &user.roles)
    }

    /// A live token with all roles of its owner.
    pub(crate) fn token(&self, bits: u128, owner: &User) -> ApiToken {
        ApiToken {
            id: TokenId::from_bits(bits),
            version: Revision(3),
            org: self.org.id,
            owner: owner.id,
            created_by: Some(owner.id),
            minted_by: None,
            name: format!("token {bits}"),
            scope: owner.roles.clone(),
            digest: Digest::of(&bits.to_le_bytes()),
            created_at: self.now,
            issued_at: self.now,
            expires_at: self.now.after_months(6),
            ignores: Ignores::default(),
            status: TokenStatus::Activated(None),
            former: Vec::new(),
            notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
        }
    }
}

pub(crate) fn user(bits: u128, held: &[u32]) -> User {
    User {
        id: UserId::from_bits(bits),
        version: Revision(2),
        org: OrgId::from_bits(1),
        email: format!("user{bits}@example.com"),
        name: format!("User {bits}"),
        roles: roles(held),
        operator: false,
        status: UserStatus::Activated(None),
        created_at: at(NOW),
        external_id: None,
        modified_at: at(NOW),
    }
}

pub(crate) fn forbidden<R: std::fmt::Debug>(plan: Result<Plan<R>, Refusal>) -> Forbidden {
    match plan {
        Err(Refusal::Forbidden(why)) => why,
        other => panic!("not forbidden: {other:?}"),
    }
}

pub(crate) fn clash<R: std::fmt::Debug>(plan: Result<Plan<R>, Refusal>) -> Clash {
    match plan {
        Err(Refusal::Clash(why)) => why,
        other => panic!("no clash: {other:?}"),
    }
}

pub(crate) fn invalid<R: std::fmt::Debug>(plan: Result<Plan<R>, Refusal>) -> (String, String) {
    match plan {
        Err(Refusal::Invalid { field, message }) => (field, message),
        other => panic!("not invalid: {other:?}"),
    }
}

/// The change of a plan; also checks what holds for every change by a caller.
pub(crate) fn change<R: std::fmt::Debug>(by: &Caller, plan: &Result<Plan<R>, Refusal>) -> Change {
    let Ok(Plan::Change(change, _)) = plan else { panic!("no change: {plan:?}") };
    for version in &by.versions {
        assert!(change.requires.contains(version), "{version:?} is not required");
    }
    assert!(!change.events.is_empty(), "no audit event");
    assert!(!change.writes.is_empty());
    assert!(change.events.iter().all(|event| event.actor == by.actor()));
    let told = format!("{:?} {:?}", change.events, change.notices);
    assert!(!told.contains("sha256"), "a digest in {told}");
    Change::clone(change)
}

#[test]
fn an_owner_is_an_admin_is_a_member() {
    assert_eq!(closed(&roles(&[0, 4])), roles(&[0, 1, 2, 4]));
    assert_eq!(closed(&roles(&[1])), roles(&[1, 2]));
    assert_eq!(closed(&roles(&[2, 3])), roles(&[2, 3]));
    assert_eq!(closed(&roles(&[3])), roles(&[3]));
    for held in [&[0, 4][..], &[1], &[2], &[3], &[]] {
        assert_eq!(reduced(&closed(&roles(held))), roles(held));
    }
}

#[test]
fn s8_effective_roles_are_the_scope_as_far_as_the_owner_holds_it_now() {
    let world = World::new();
    let caller = world.caller(&world.member, &roles(&[0, 1, 2, 4]));
    assert_eq!(caller.roles(), &roles(&[2]));
    assert_eq!(caller.authority(), Authority::Member);
    let narrowed = world.caller(&world.owner, &roles(&[3]));
    assert_eq!(narrowed.authority(), Authority::Nothing);
}

#[test]
fn s2_nobody_is_admitted_by_a_dead_token() {
    let world = World::new();
    let admitted = |token: &ApiToken, owner: &User, now: Timestamp| {
        let org = OrgFacts::from(&world.org);
        Caller::admitted(&TokenFacts::from(token), &OwnerFacts::from(owner), &org, now)
    };
    let token = world.token(5, &world.owner);
    let just_before = Timestamp::from_millis(token.expires_at.millis() - 1);
    assert!(admitted(&token, &world.owner, just_before).is_ok());
    assert_eq!(admitted(&token, &world.owner, token.expires_at), Err(Reason::Expired));
    assert_eq!(admitted(&token, &world.member, world.now), Err(Reason::Unknown));
}

#[test]
fn who_is_vouched_for_has_all_of_their_roles_and_no_token() {
    let world = World::new();
    let facts = OrgFacts::from(&world.org);
    let caller = Caller::vouched(&OwnerFacts::from(&world.member), &facts).expect("a member");
    assert_eq!((caller.token(), caller.roles()), (None, &world.member.roles));
    assert_eq!(caller.actor(), Actor::Session { user: world.member.id });
    let requires = [
        Require::Version(RecordKey::User(world.member.id), world.member.version),
        Require::Version(RecordKey::Organization(world.org.id), world.org.version),
    ];
    assert_eq!(caller.change().requires, requires);
    let off = OwnerFacts { active: false, ..OwnerFacts::from(&world.member) };
    assert_eq!(Caller::vouched(&off, &facts), Err(Reason::OwnerDeactivated));
    let elsewhere = OwnerFacts { org: OrgId::from_bits(9), ..OwnerFacts::from(&world.member) };
    assert_eq!(Caller::vouched(&elsewhere, &facts), Err(Reason::Unknown));
}

#[test]
fn the_operator_needs_an_owners_token() {
    let mut world = World::new();
    world.owner.operator = true;
    assert!(world.by(&world.owner).is_operator());
    assert!(!world.caller(&world.owner, &roles(&[1, 2])).is_operator());
    world.owner.roles = roles(&[1, 2]);
    assert!(!world.by(&world.owner).is_operator());
}

#[test]
fn reading_goes_by_authority() {
    let mut world = World::new();
    let other = UserId::from_bits(77);
    let elsewhere = OrgId::from_bits(2);
    let [owner, admin, member] =
        [&world.owner, &world.admin, &world.member].map(|user| world.by(user));
    let nobody = world.caller(&world.owner, &roles(&[3]));
    let callers = [&owner, &admin, &member, &nobody];
    let may = |read: &dyn Fn(&Caller) -> Result<(), Refusal>| callers.map(|by| read(by).is_ok());
    let org = &world.org;
    assert_eq!(may(&|by| by.reads_organization(org.id)), [true, true, true, false]);
    assert_eq!(may(&|by| by.lists_organizations()), [true, true, true, false]);
    assert_eq!(may(&|by| by.lists_users(org.id)), [true, true, false, false]);
    assert_eq!(may(&|by| by.reads_user(org.id, other)), [true, true, false, false]);
    assert_eq!(may(&|by| by.reads_user(org.id, by.user())), [true, true, true, false]);
    assert_eq!(may(&|by| by.lists_tokens(org, None)), [true, true, false, false]);
    assert_eq!(may(&|by| by.lists_tokens(org, Some(by.user()))), [true, true, true, false]);
    assert_eq!(may(&|by| by.reads_token(org, other)), [true, true, false, false]);
    assert_eq!(may(&|by| by.reads_policies(org)), [true, true, false, false]);
    assert_eq!(may(&|by| by.reads_audit(org.id)), [true, false, false, false]);
    assert_eq!(owner.reads_organization(elsewhere), Err(Refusal::NotFound));
    assert_eq!(nobody.reads_audit(elsewhere), Err(Refusal::NotFound));
    world.org.governance = Governance::Deactivated;
    let org = &world.org;
    assert_eq!(may(&|by| by.lists_tokens(org, None)), [false; 4]);
    assert_eq!(may(&|by| by.lists_tokens(org, Some(by.user()))), [true, true, true, false]);
    assert_eq!(may(&|by| by.reads_policies(org)), [false; 4]);
}

#[test]
fn what_the_writer_refuses_is_retried_or_told() {
    let user = UserId::from_bits(1);
    let version = Require::Version(RecordKey::User(user), Revision(1));
    assert_eq!(settle(&version), Settlement::Retry);
    assert_eq!(settle(&Require::CreationAbsent([0; 32])), Settlement::Retry);
    let last = Require::AnotherActiveOwner { org: OrgId::from_bits(1), except: user };
    assert_eq!(settle(&last), Settlement::Refused(Refusal::Clash(Clash::LastOwner)));
    let full = Require::CountBelow(user, TOKENS_PER_USER_MAX);
    assert_eq!(settle(&full), Settlement::Refused(Refusal::Clash(Clash::TooManyTokens)));
}
