use super::*;
use crate::governance::tests::{World, at};
use crate::policy::Enforcement;
use crate::time::{Timestamp, Ttl, Unit};
use crate::validation::Mark;

fn news(
    token: TokenId,
    idle_ttl: impl Into<Option<Told>>,
    max_ttl: impl Into<Option<Told>>,
) -> Option<News> {
    let found_at = Timestamp::EPOCH;
    let mark = |told| Mark { found_at, warned_at: None, deactivated_at: None, told };
    let (idle_ttl, max_ttl) = (idle_ttl.into().map(mark), max_ttl.into().map(mark));
    let owner = crate::id::UserId::from_bits(1);
    News::of(&Flag { token, owner, idle_ttl, max_ttl })
}

#[test]
fn only_what_this_run_tells_is_owed() {
    let id = TokenId::from_bits(1);
    for told in [Told::Nothing, Told::Before] {
        assert_eq!(news(id, told, None), None);
        assert_eq!(news(id, None, told), None);
    }
    assert!(!news(id, Told::Found, Told::Before).expect("owed").warns());
    assert!(news(id, Told::Before, Told::Warned).expect("owed").warns());
}

#[test]
fn a_warning_says_from_when_and_none_is_left_out() {
    let mut world = World::new();
    world.org.policies.max_ttl.enforcement = Some(Enforcement {
        deactivate_after: Ttl::new(7, Unit::Days),
        revoke_after: None,
        since: world.now,
    });
    let token = world.token(5, &world.member);
    let warned = news(token.id, Told::Found, Told::Warned).expect("owed");
    let many = vec![(token.clone(), warned); DETAILS_MAX + 1];
    let now = Occasion { now: at("2027-03-01T00:00:00Z"), ..world.occasion() };
    let drafts = told(&world.org, world.member.id, &many, 0, &now);
    let kinds: Vec<_> = drafts.iter().map(|draft| (draft.kind, draft.details.len())).collect();
    let step = Kind::EnforcementStep;
    let lines = DETAILS_MAX;
    assert_eq!(kinds, [(step, lines), (step, 1), (Kind::NewViolations, lines)]);
    let text = &drafts[1].details[0].text;
    assert!(text.contains(&token.name) && text.contains(&token.id.to_string()), "{text}");
    assert!(text.ends_with("deactivated from 2027-03-08T00:00:00.000Z"), "{text}");
    assert_eq!(drafts[2].details[lines - 1], Detail::new("more", "2"));
    assert!(drafts.iter().all(|draft| draft.to == [world.member.id] && draft.by.is_none()));
}

#[test]
fn what_was_not_read_is_counted() {
    let world = World::new();
    let token = world.token(5, &world.member);
    let found = news(token.id, None, Told::Found).expect("owed");
    let all = vec![(token, found); DETAILS_MAX];
    let drafts = told(&world.org, world.member.id, &all, 0, &world.occasion());
    assert_eq!(drafts[0].details.len(), DETAILS_MAX);
    assert_eq!(drafts[0].details[DETAILS_MAX - 1].field, "token");
    let drafts = told(&world.org, world.member.id, &all, 900, &world.occasion());
    assert_eq!(drafts[0].details[DETAILS_MAX - 1], Detail::new("more", "901"));
}
