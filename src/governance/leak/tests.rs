use super::*;
use crate::governance::tests::{World, at as time, roles};
use crate::org::{Governance, Revision};
use crate::time::Timestamp;
use crate::token::FormerSecret;

fn place() -> Place {
    Place { url: Some("https://paste.example/1".into()), source: Some("paste".into()) }
}

fn leak(world: &World, token: &ApiToken, digest: &Digest) -> Option<(Outcome, Change)> {
    let owners = vec![world.owner.id];
    let place = place();
    let signed_by = Some("key-1");
    Leak { token, digest, owners, place: &place, signed_by }.plan(&world.occasion())
}

fn status(token: &ApiToken, governed: bool) -> ApiToken {
    let change = StatusChange {
        at: time("2026-12-01T00:00:00Z"),
        by: Some(token.owner),
        reason: None,
        governed,
    };
    ApiToken { status: TokenStatus::Deactivated(change), ..token.clone() }
}

fn former(digest: u8, ends_at: Timestamp, until_first_use: bool) -> FormerSecret {
    let rotated_at = time("2026-12-01T00:00:00Z");
    FormerSecret { digest: Digest::of(&[digest]), rotated_at, ends_at, until_first_use }
}

#[test]
fn a_live_token_is_deactivated_as_by_an_owner_and_everybody_concerned_is_told() {
    let mut world = World::new();
    world.org.governance = Governance::Deactivated;
    let token = world.token(5, &world.member);
    let (outcome, change) = leak(&world, &token, &token.digest).expect("ours");
    assert_eq!(outcome, Outcome::Deactivated);
    assert!(change.restrictive, "barred before it is recorded");
    let version = Require::Version(RecordKey::Token(token.id), token.version);
    assert_eq!(change.requires, [version]);
    let [Write::Token(written)] = &change.writes[..] else { panic!("{:?}", change.writes) };
    let TokenStatus::Deactivated(status) = &written.status else { panic!("{written:?}") };
    assert!(status.governed, "only an owner may take it back");
    assert_eq!(status.reason.as_deref(), Some("leaked: reported at https://paste.example/1"));
    let actions: Vec<Action> = change.events.iter().map(|event| event.action).collect();
    assert_eq!(actions, [Action::LeakReported, Action::TokenDeactivated]);
    let told = format!("{:?}", change.events[0].changes);
    for said in ["https://paste.example/1", "paste", "key-1", "present"] {
        assert!(told.contains(said), "{told}");
    }
    let [notice] = &change.notices[..] else { panic!("{:?}", change.notices) };
    assert_eq!(notice.kind, Kind::Leaked);
    assert_eq!(notice.to, [world.member.id, world.owner.id]);
    assert!(!format!("{change:?}").contains("bwt_"));

    // The owner of the token who is an owner of the organization, too, is told once.
    let own = world.token(6, &world.owner);
    let (_, change) = leak(&world, &own, &own.digest).expect("ours");
    assert_eq!(change.notices[0].to, [world.owner.id]);
}

#[test]
fn what_its_user_deactivated_becomes_an_owners_decision_and_nothing_is_decided_twice() {
    let world = World::new();
    let token = world.token(5, &world.member);
    let by_user = status(&token, false);
    let (outcome, change) = leak(&world, &by_user, &token.digest).expect("ours");
    assert_eq!((outcome, change.restrictive), (Outcome::Deactivated, true));
    let by_owner = status(&token, true);
    let revoked = ApiToken {
        status: TokenStatus::Revoked(StatusChange {
            at: world.now,
            by: None,
            reason: None,
            governed: true,
        }),
        ..token.clone()
    };
    let expired = ApiToken { expires_at: world.now, ..token.clone() };
    for dead in [by_owner, revoked, expired] {
        let (outcome, change) = leak(&world, &dead, &token.digest).expect("ours");
        assert_eq!(outcome, Outcome::Nothing, "{:?}", dead.status);
        assert!(change.writes.is_empty() && !change.restrictive);
        assert_eq!((change.events.len(), change.notices.len()), (1, 1), "recorded and told");
    }
    let alive = ApiToken { expires_at: Timestamp::from_millis(world.now.millis() + 1), ..token };
    let (outcome, _) = leak(&world, &alive, &alive.digest).expect("ours");
    assert_eq!(outcome, Outcome::Deactivated, "an instant before its end");
}

#[test]
fn a_former_secret_ends_and_takes_nothing_else_with_it() {
    let world = World::new();
    let later = world.now.after_months(1);
    let mut token = world.token(5, &world.member);
    token.former = vec![former(1, world.now, false), former(2, later, true)];
    let (outcome, change) = leak(&world, &token, &Digest::of(&[2])).expect("ours");
    assert_eq!((outcome, change.restrictive), (Outcome::Ended, true));
    let [Write::Token(written)] = &change.writes[..] else { panic!("{:?}", change.writes) };
    assert_eq!((written.standing(), written.digest), (Standing::Activated, token.digest));
    assert_eq!(written.former[0], token.former[0]);
    assert_eq!((written.former[1].ends_at, written.former[1].until_first_use), (world.now, false));
    assert_eq!(change.events.len(), 1);

    let (outcome, change) = leak(&world, &token, &Digest::of(&[1])).expect("ours");
    assert_eq!((outcome, change.restrictive), (Outcome::Nothing, false));
    assert!(change.writes.is_empty());
    // The present secret of the same token takes all of it out.
    let (outcome, _) = leak(&world, &token, &token.digest).expect("ours");
    assert_eq!(outcome, Outcome::Deactivated);
}

#[test]
fn what_is_no_secret_of_the_token_plans_nothing() {
    let world = World::new();
    let token = world.token(5, &world.member);
    assert_eq!(leak(&world, &token, &Digest::of(b"another")), None);
    assert_eq!(token.version, Revision(3));
    assert_eq!(token.scope, roles(&[2, 3]));
}
