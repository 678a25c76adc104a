use super::*;
use crate::governance::tests::{World, at, change, clash, forbidden, invalid, roles};
use crate::id::{OrgId, UserId};
use crate::org::UserStatus;
use crate::policy::TtlPolicy;
use crate::time::Unit;

fn create<'a>(world: &'a World, owner: &'a User) -> CreateToken<'a> {
    CreateToken {
        org: &world.org,
        owner,
        id: TokenId::from_bits(70),
        digest: Digest::of(b"new"),
        name: "ci".into(),
        life: Life::Unsaid,
        scope: roles(&[2]),
        notify_before_expiry: None,
    }
}

fn existing<'a>(world: &'a World, owner: &'a User, token: &'a ApiToken) -> Existing<'a> {
    Existing { org: &world.org, owner: Some(owner), token }
}

fn lived(world: &World, life: Life) -> Result<Plan<ApiToken>, Refusal> {
    CreateToken { life, ..create(world, &world.member) }
        .plan(&world.by(&world.member), &world.occasion())
}

fn limit(world: &mut World, active: bool, days: u32) {
    world.org.policies.max_ttl =
        TtlPolicy { active, ttl: Ttl::new(days, Unit::Days), enforcement: None };
}

#[test]
fn s5_a_member_makes_a_token_for_themself() {
    let world = World::new();
    let by = world.by(&world.member);
    let plan = create(&world, &world.member).plan(&by, &world.occasion());
    let change = change(&by, &plan);
    assert!(!change.restrictive);
    let token = plan.expect("a change").record().clone();
    assert_eq!(token.owner, world.member.id);
    assert_eq!(token.created_by, Some(world.member.id));
    assert_eq!(token.minted_by, by.token());
    assert!(change.requires.contains(&Require::DigestFree(token.digest)));
    assert!(change.requires.contains(&Require::CountBelow(token.owner, TOKENS_PER_USER_MAX)));
    let told: Vec<&str> =
        change.events[0].changes.iter().map(|change| change.field.as_str()).collect();
    assert_eq!(told, ["name", "owner", "scope", "expires_at"]);
}

#[test]
fn s9_a_life_is_1_minute_to_60_months() {
    let world = World::new();
    let until = |text: &str| lived(&world, Life::Until(at(text)));
    let ttl = |value, unit| lived(&world, Life::Ttl(Ttl::new(value, unit)));
    assert!(until("2027-01-01T00:01:00Z").is_ok());
    assert!(until("2027-01-01T00:01:00.001Z").is_ok());
    assert_eq!(invalid(until("2027-01-01T00:00:59.999Z")).0, "expires_at");
    assert!(until("2031-12-31T23:59:59.999Z").is_ok());
    assert!(until("2032-01-01T00:00:00Z").is_ok());
    let (field, message) = invalid(until("2032-01-01T00:00:00.001Z"));
    assert_eq!(field, "expires_at");
    assert!(message.contains("60 months"), "{message}");
    assert!(ttl(1, Unit::Minutes).is_ok());
    assert!(ttl(60, Unit::Months).is_ok());
    assert_eq!(invalid(ttl(0, Unit::Days)).0, "ttl");
    assert_eq!(invalid(ttl(61, Unit::Months)).0, "ttl");
    for unit in [Unit::Minutes, Unit::Hours, Unit::Days, Unit::Months] {
        assert_eq!(invalid(ttl(u32::MAX, unit)).0, "ttl");
    }
}

#[test]
fn s10_the_longest_life_is_what_policy_and_cap_allow() {
    let mut world = World::new();
    let end = |world: &World| lived(world, Life::Longest).expect("made").record().expires_at;
    assert_eq!(end(&world), at("2032-01-01T00:00:00Z"));
    limit(&mut world, true, 30);
    assert_eq!(end(&world), at("2027-01-31T00:00:00Z"));
    limit(&mut world, true, 9_000);
    assert_eq!(end(&world), at("2032-01-01T00:00:00Z"));
    limit(&mut world, false, 30);
    assert_eq!(end(&world), at("2032-01-01T00:00:00Z"));
}

#[test]
fn c3_an_expiry_at_the_ends_of_time_is_refused() {
    let world = World::new();
    for end in [world.now.millis(), 0, -1, i64::MIN, i64::MAX] {
        let plan = lived(&world, Life::Until(Timestamp::from_millis(end)));
        assert_eq!(invalid(plan).0, "expires_at", "{end}");
    }
}

#[test]
fn an_unsaid_life_is_six_months_or_what_policy_allows() {
    let mut world = World::new();
    let end = |world: &World| lived(world, Life::Unsaid).expect("a token").record().expires_at;
    assert_eq!(end(&world), at("2027-07-01T00:00:00Z"));
    limit(&mut world, true, 30);
    assert_eq!(end(&world), at("2027-01-31T00:00:00Z"));
    limit(&mut world, true, 400);
    assert_eq!(end(&world), at("2027-07-01T00:00:00Z"));
    limit(&mut world, true, 30);
    world.org.governance = Governance::Deactivated;
    assert_eq!(end(&world), at("2027-07-01T00:00:00Z"));
}

#[test]
fn s13_a_longer_life_than_the_policy_allows_is_refused_with_the_limit() {
    let mut world = World::new();
    limit(&mut world, true, 30);
    assert!(lived(&world, Life::Until(at("2027-01-30T23:59:59.999Z"))).is_ok());
    assert!(lived(&world, Life::Until(at("2027-01-31T00:00:00Z"))).is_ok());
    let (field, message) = invalid(lived(&world, Life::Until(at("2027-01-31T00:00:00.001Z"))));
    assert_eq!(field, "expires_at");
    assert!(message.contains("30 days") && message.contains("2027-01-31"), "{message}");
    assert!(lived(&world, Life::Ttl(Ttl::new(30, Unit::Days))).is_ok());
    assert!(invalid(lived(&world, Life::Ttl(Ttl::new(31, Unit::Days)))).1.contains("30 days"));
    limit(&mut world, false, 30);
    assert!(lived(&world, Life::Ttl(Ttl::new(31, Unit::Days))).is_ok());
    limit(&mut world, true, 30);
    world.org.governance = Governance::Deactivated;
    assert!(lived(&world, Life::Ttl(Ttl::new(31, Unit::Days))).is_ok());
}

#[test]
fn s8_a_token_carries_no_role_that_its_maker_or_owner_lacks() {
    let world = World::new();
    let scoped = |by: &Caller, owner: &User, scope: &[u32]| {
        CreateToken { scope: roles(scope), ..create(&world, owner) }.plan(by, &world.occasion())
    };
    let member = world.by(&world.member);
    change(&member, &scoped(&member, &world.member, &[2, 3]));
    for role in [0, 1, 4] {
        let refused = forbidden(scoped(&member, &world.member, &[role]));
        assert!(matches!(refused, Forbidden::NotCarried(_)), "{role}");
    }
    // The calling credential counts, not what its owner holds beyond it.
    let narrow = world.caller(&world.member, &roles(&[2]));
    let refused = forbidden(scoped(&narrow, &world.member, &[3]));
    assert_eq!(refused, Forbidden::NotCarried("orders/reader".into()));
    // An owner makes tokens for others, within what those hold.
    let owner = world.by(&world.owner);
    change(&owner, &scoped(&owner, &world.member, &[2, 3]));
    let refused = forbidden(scoped(&owner, &world.member, &[4]));
    assert_eq!(refused, Forbidden::NotHeld("orders/writer".into()));
    // An owner's bare `org_owner` credential can mint what follows from it.
    let bare = world.caller(&world.owner, &roles(&[0]));
    change(&bare, &scoped(&bare, &world.owner, &[1, 2]));
}

#[test]
fn only_owners_make_tokens_for_others() {
    let mut world = World::new();
    let by = world.by(&world.admin);
    let plan = create(&world, &world.member).plan(&by, &world.occasion());
    assert_eq!(forbidden(plan), Forbidden::NeedsOwner);
    let service_only = world.caller(&world.member, &roles(&[3]));
    let plan = create(&world, &world.member).plan(&service_only, &world.occasion());
    assert_eq!(forbidden(plan), Forbidden::NeedsMember);
    let foreign = User { org: OrgId::from_bits(2), ..world.member.clone() };
    let owner = world.by(&world.owner);
    let plan = create(&world, &foreign).plan(&owner, &world.occasion());
    assert_eq!(plan, Err(Refusal::NotFound));
    let off = StatusChange { at: world.now, by: None, reason: None, governed: true };
    world.member.status = UserStatus::Deactivated(off);
    let plan = create(&world, &world.member).plan(&owner, &world.occasion());
    assert_eq!(clash(plan), Clash::Deactivated);
}

#[test]
fn a_scope_only_shrinks() {
    let world = World::new();
    let token = world.token(5, &world.member);
    let by = world.by(&world.member);
    let update = |name, scope: Option<&[u32]>| {
        let scope = scope.map(roles);
        existing(&world, &world.member, &token).update(name, scope, None, &by, &world.occasion())
    };
    assert!(!change(&by, &update(Some("new"), None)).restrictive);
    assert!(change(&by, &update(None, Some(&[2]))).restrictive);
    assert!(change(&by, &update(None, Some(&[]))).restrictive);
    assert!(matches!(update(Some("token 5"), Some(&[2, 3])), Ok(Plan::Nothing(_))));
    let (field, message) = invalid(update(None, Some(&[2, 4])));
    assert_eq!(field, "scope");
    assert!(message.contains("orders/writer"), "{message}");
    assert_eq!(invalid(update(Some(" "), None)).0, "name");
}

#[test]
fn s16_what_an_owner_deactivated_only_an_owner_activates() {
    let world = World::new();
    let token = world.token(5, &world.member);
    let (owner, member) = (world.by(&world.owner), world.by(&world.member));
    let at = world.occasion();
    let of = |token| existing(&world, &world.member, token);
    let off = of(&token).deactivate(Some("leaked".into()), &owner, &at);
    let written = change(&owner, &off);
    assert!(written.restrictive);
    assert_eq!(written.events[0].reason.as_deref(), Some("leaked"));
    let off = off.expect("a change").record().clone();
    assert_eq!(off.standing(), Standing::Deactivated);
    assert_eq!(forbidden(of(&off).activate(None, &member, &at)), Forbidden::OwnersDecision);
    let on = of(&off).activate(None, &owner, &at);
    assert!(!change(&owner, &on).restrictive);
    // Their own decision they take back themselves.
    let own = of(&token).deactivate(None, &member, &at).expect("off").record().clone();
    change(&member, &of(&own).activate(None, &member, &at));
    // An owner's decision on top of it counts.
    let both = of(&own).deactivate(None, &owner, &at);
    change(&owner, &both);
    let both = both.expect("off").record().clone();
    assert_eq!(forbidden(of(&both).activate(None, &member, &at)), Forbidden::OwnersDecision);
    assert_eq!(of(&both).deactivate(None, &member, &at), Ok(Plan::Nothing(both.clone())));
}

#[test]
fn a_repeated_switch_does_nothing_and_revocation_is_final() {
    let world = World::new();
    let token = world.token(5, &world.member);
    let (by, at) = (world.by(&world.owner), world.occasion());
    let of = |token| existing(&world, &world.member, token);
    assert_eq!(of(&token).activate(None, &by, &at), Ok(Plan::Nothing(token.clone())));
    let off = of(&token).deactivate(None, &by, &at).expect("off").record().clone();
    assert_eq!(of(&off).deactivate(None, &by, &at), Ok(Plan::Nothing(off.clone())));
    let gone = of(&off).revoke(None, &by, &at);
    assert!(change(&by, &gone).restrictive);
    let gone = gone.expect("revoked").record().clone();
    assert_eq!(of(&gone).revoke(None, &by, &at), Ok(Plan::Nothing(gone.clone())));
    assert_eq!(clash(of(&gone).activate(None, &by, &at)), Clash::Revoked);
    assert_eq!(clash(of(&gone).deactivate(None, &by, &at)), Clash::Revoked);
    assert_eq!(clash(of(&gone).update(Some("x"), None, None, &by, &at)), Clash::Revoked);
}

#[test]
fn s11_others_tokens_are_for_owners_of_a_governed_organization() {
    let mut world = World::new();
    let token = world.token(5, &world.member);
    for user in [&world.admin, &world.member] {
        let other = User { id: UserId::from_bits(99), ..user.clone() };
        let (by, at) = (world.by(&other), world.occasion());
        let of = existing(&world, &world.member, &token);
        assert_eq!(forbidden(of.deactivate(None, &by, &at)), Forbidden::AnotherUsers);
        assert_eq!(forbidden(of.activate(None, &by, &at)), Forbidden::AnotherUsers);
        assert_eq!(forbidden(of.revoke(None, &by, &at)), Forbidden::AnotherUsers);
        assert_eq!(forbidden(of.update(Some("x"), None, None, &by, &at)), Forbidden::AnotherUsers);
    }
    world.org.governance = Governance::Deactivated;
    let (owner, member) = (world.by(&world.owner), world.by(&world.member));
    let at = world.occasion();
    let of = existing(&world, &world.member, &token);
    let refused = Forbidden::GovernanceDeactivated;
    assert_eq!(forbidden(of.deactivate(None, &owner, &at)), refused);
    assert_eq!(forbidden(of.activate(None, &owner, &at)), refused);
    assert_eq!(forbidden(of.update(Some("x"), None, None, &owner, &at)), refused);
    change(&owner, &of.revoke(None, &owner, &at));
    change(&member, &of.deactivate(None, &member, &at));
}

#[test]
fn activating_gives_nothing_that_the_calling_token_could_not_mint() {
    let world = World::new();
    let token = world.token(5, &world.member);
    let member = world.by(&world.member);
    let at = world.occasion();
    let off = existing(&world, &world.member, &token)
        .deactivate(None, &member, &at)
        .expect("off")
        .record()
        .clone();
    let of = existing(&world, &world.member, &off);
    let narrow = world.caller(&world.member, &roles(&[2]));
    let refused = forbidden(of.activate(None, &narrow, &at));
    assert_eq!(refused, Forbidden::NotCarried("orders/reader".into()));
    change(&member, &of.activate(None, &member, &at));
    // Switching off needs no more than to be its user.
    let of = existing(&world, &world.member, &token);
    change(&narrow, &of.deactivate(None, &narrow, &at));
    change(&narrow, &of.revoke(None, &narrow, &at));
}

#[test]
fn a_token_of_another_organization_is_not_there() {
    let world = World::new();
    let token = ApiToken { org: OrgId::from_bits(2), ..world.token(5, &world.member) };
    let (by, at) = (world.by(&world.owner), world.occasion());
    let of = existing(&world, &world.member, &token);
    assert_eq!(of.revoke(None, &by, &at), Err(Refusal::NotFound));
    assert_eq!(of.update(Some("x"), None, None, &by, &at), Err(Refusal::NotFound));
}
