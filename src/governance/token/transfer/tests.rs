use super::*;
use crate::governance::Forbidden;
use crate::governance::tests::{World, change, clash, forbidden, invalid, roles, user};
use crate::org::{Governance, StatusChange, UserStatus};
use crate::token::TokenStatus;

fn transfer<'a>(
    world: &'a World,
    token: &'a ApiToken,
    from: &'a User,
    to: &'a User,
) -> TransferToken<'a> {
    let existing = Existing { org: &world.org, owner: Some(from), token };
    TransferToken { existing, to, narrow: false, reason: Some("left".into()) }
}

#[test]
fn a_token_goes_to_a_user_who_holds_what_it_carries() {
    let world = World::new();
    let heir = user(7, &[2, 3, 4]);
    let was = world.token(5, &world.member);
    let by = world.by(&world.owner);
    let plan = transfer(&world, &was, &world.member, &heir).plan(&by, &world.occasion());
    let change = change(&by, &plan);
    assert!(change.restrictive, "who had it has lost it");
    assert!(change.requires.contains(&Require::CountBelow(heir.id, TOKENS_PER_USER_MAX)));
    assert!(change.requires.contains(&Require::Version(RecordKey::User(heir.id), heir.version)));
    assert_eq!(change.events[0].reason.as_deref(), Some("left"));
    let [told] = &change.notices[..] else { panic!("{:?}", change.notices) };
    assert_eq!((told.kind, &told.to[..]), (Kind::Transferred, &[heir.id, world.member.id][..]));
    assert_eq!(told.reason.as_deref(), Some("left"));
    let token = plan.expect("a change").record().clone();
    assert_eq!(token, ApiToken { owner: heir.id, ..was.clone() });
    let again = transfer(&world, &token, &heir, &heir).plan(&by, &world.occasion());
    assert_eq!(again, Ok(Plan::Nothing(token)));
}

#[test]
fn s8_what_the_new_owner_lacks_is_refused_by_name_or_left_out() {
    let world = World::new();
    let heir = user(7, &[2]);
    let was = world.token(5, &world.member);
    let by = world.by(&world.owner);
    let asked = transfer(&world, &was, &world.member, &heir);
    let (field, message) = invalid(asked.clone().plan(&by, &world.occasion()));
    assert!(field == "owner" && message.contains("orders/reader"), "{message}");
    let plan = TransferToken { narrow: true, ..asked }.plan(&by, &world.occasion());
    assert_eq!(plan.expect("a change").record().scope, roles(&[2]));
    // A role that had no effect does not come back by the new owner's holding it.
    let was = ApiToken { scope: roles(&[2, 4]), ..was };
    let rich = user(8, &[2, 4]);
    let plan = transfer(&world, &was, &world.member, &rich).plan(&by, &world.occasion());
    assert_eq!(plan.expect("a change").record().scope, roles(&[2]));
}

#[test]
fn only_owners_transfer_and_only_what_lives_to_whoever_works() {
    let mut world = World::new();
    let token = world.token(5, &world.member);
    let heir = user(7, &[2, 3]);
    let asked = |by: &User| {
        transfer(&world, &token, &world.member, &heir).plan(&world.by(by), &world.occasion())
    };
    assert_eq!(forbidden(asked(&world.member)), Forbidden::NeedsOwner, "not even their own");
    assert_eq!(forbidden(asked(&world.admin)), Forbidden::AnotherUsers);
    let by = world.by(&world.owner);
    let change = StatusChange { at: world.now, by: None, reason: None, governed: false };
    let gone = User { status: UserStatus::Deactivated(change.clone()), ..heir.clone() };
    let plan = transfer(&world, &token, &world.member, &gone).plan(&by, &world.occasion());
    assert_eq!(clash(plan), Clash::Deactivated);
    let revoked = ApiToken { status: TokenStatus::Revoked(change), ..token.clone() };
    let plan = transfer(&world, &revoked, &world.member, &heir).plan(&by, &world.occasion());
    assert_eq!(clash(plan), Clash::Revoked);
    let elsewhere = User { org: crate::id::OrgId::from_bits(2), ..heir.clone() };
    let plan = transfer(&world, &token, &world.member, &elsewhere).plan(&by, &world.occasion());
    assert_eq!(plan, Err(Refusal::NotFound));
    world.org.governance = Governance::Deactivated;
    let plan = transfer(&world, &token, &world.member, &heir).plan(&by, &world.occasion());
    assert_eq!(forbidden(plan), Forbidden::GovernanceDeactivated);
}
