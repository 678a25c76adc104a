use super::*;
use crate::governance::Forbidden;
use crate::governance::tests::{World, at};
use crate::id::UserId;
use crate::org::Governance;
use crate::policy::{Enforcement, Ignore, TtlPolicy};
use crate::time::{Ttl, Unit};

/// A world with both policies: 30 days idle, 60 days at most. Its tokens live half a year.
fn world() -> World {
    let mut world = World::new();
    let policy =
        |days| TtlPolicy { active: true, ttl: Ttl::new(days, Unit::Days), enforcement: None };
    world.org.policies = Policies { idle_ttl: policy(30), max_ttl: policy(60) };
    world
}

fn judged(world: &World, token: &ApiToken, before: Option<&Flag>, now: &str) -> Judged {
    Judge::new(&world.org, Vec::new(), at(now)).judge(token, &Usage::default(), before)
}

#[test]
fn a_violation_is_new_once_and_gone_once() {
    let world = world();
    let mut token = world.token(5, &world.member);
    let found = |now: &str, told| {
        Some(Mark { found_at: at(now), warned_at: None, deactivated_at: None, told })
    };
    let first = judged(&world, &token, None, "2027-01-31T00:00:00Z");
    assert_eq!((first.new, first.cleared), (1, 0));
    let flag = first.flag.expect("the life is too long");
    assert_eq!((flag.max_ttl, flag.idle_ttl), (found("2027-01-31T00:00:00Z", Told::Found), None));
    assert_eq!(marks(&flag), 1);
    let second = judged(&world, &token, Some(&flag), "2027-01-31T00:00:00.001Z");
    assert_eq!((second.new, second.cleared), (1, 0));
    let flag = second.flag.expect("it is idle, too");
    assert_eq!(flag.max_ttl, found("2027-01-31T00:00:00Z", Told::Before));
    assert_eq!(flag.idle_ttl, found("2027-01-31T00:00:00.001Z", Told::Found));
    assert_eq!(marks(&flag), 2);
    let again = judged(&world, &token, Some(&flag), "2027-02-01T00:00:00Z");
    let told = |mark: Mark| Mark { told: Told::Before, ..mark };
    let (idle_ttl, max_ttl) = (flag.idle_ttl.map(told), flag.max_ttl.map(told));
    let known = Flag { idle_ttl, max_ttl, ..flag };
    assert_eq!(again, Judged { flag: Some(known), ..Judged::default() });
    token.expires_at = at("2027-03-02T00:00:00Z");
    let shorter = judged(&world, &token, Some(&flag), "2027-02-01T00:00:00Z");
    assert_eq!((shorter.new, shorter.cleared), (0, 1));
    let gone = judged(&world, &token, shorter.flag.as_ref(), "2027-03-02T00:00:00Z");
    assert_eq!(gone, Judged { cleared: 1, ..Judged::default() });
}

#[test]
fn who_gets_a_token_is_told_of_what_its_owner_before_was_told() {
    let world = world();
    let token = world.token(5, &world.member);
    let found = judged(&world, &token, None, "2027-01-31T00:00:00Z").flag.expect("too long");
    let theirs = ApiToken { owner: world.admin.id, ..token.clone() };
    let heard = |token, flag, now| judged(&world, token, Some(flag), now);
    let first = heard(&theirs, &found, "2027-01-31T00:00:00.001Z");
    assert_eq!((first.new, first.cleared), (1, 0), "idle since then; the other one is known");
    let flag = first.flag.expect("too long");
    assert_eq!(flag.owner, world.admin.id);
    assert_eq!(flag.max_ttl.expect("too long").told, Told::Found);
    assert_eq!(flag.max_ttl.expect("too long").found_at, at("2027-01-31T00:00:00Z"));
    let again = heard(&theirs, &flag, "2027-02-01T00:00:00Z").flag.expect("too long");
    assert_eq!(again.max_ttl.expect("too long").told, Told::Before);
    let back = heard(&token, &again, "2027-02-02T00:00:00Z").flag.expect("too long");
    assert_eq!(back.max_ttl.expect("too long").told, Told::Found);
}

#[test]
fn who_gets_a_token_is_warned_before_it_is_deactivated() {
    let (world, token, warned) = enforced();
    let theirs = ApiToken { owner: world.admin.id, ..token };
    let then = judged(&world, &theirs, Some(&warned), "2027-03-01T00:00:00Z");
    assert_eq!(then.step, Some((Step::Warn, PolicyKind::MaxTtl)));
    assert_eq!(then.flag.and_then(|flag| flag.max_ttl).map(|mark| mark.told), Some(Told::Warned));
}

#[test]
fn what_is_ignored_is_not_flagged_until_its_end() {
    let world = world();
    let until = at("2027-01-20T00:00:00Z");
    let by = UserId::from_bits(1);
    let ignore = Ignore { until, at: world.now, by, reason: None };
    let mut token = world.token(5, &world.member);
    token.ignores = token.ignores.with(PolicyKind::MaxTtl, Some(ignore));
    assert_eq!(judged(&world, &token, None, "2027-01-19T23:59:59.999Z"), Judged::default());
    assert_eq!(judged(&world, &token, None, "2027-01-20T00:00:00Z").new, 1);
}

#[test]
fn without_governance_nothing_is_broken() {
    let mut world = world();
    let token = world.token(5, &world.member);
    let flag = judged(&world, &token, None, "2027-01-02T00:00:00Z").flag.expect("flagged");
    world.org.governance = Governance::Deactivated;
    let judged = judged(&world, &token, Some(&flag), "2027-01-02T00:00:00Z");
    assert_eq!(judged, Judged { cleared: 1, ..Judged::default() });
}

#[test]
fn s11_a_run_is_for_owners_and_its_history_for_admins() {
    let mut world = world();
    let asked = |world: &World, by: &Caller| by.validates(&world.org, &world.occasion());
    let owner = world.by(&world.owner);
    let change = asked(&world, &owner).expect("a change");
    assert_eq!(change.requires.len(), 3, "the caller's own versions");
    let [event] = &change.events[..] else { panic!("one event") };
    assert_eq!((&event.actor, event.action), (&owner.actor(), Action::ValidationRequested));
    let admin = world.by(&world.admin);
    assert_eq!(asked(&world, &admin), Err(Refusal::Forbidden(Forbidden::NeedsOwner)));
    assert!(admin.reads_validations(&world.org).is_ok());
    let member = world.by(&world.member);
    let refused = member.reads_validations(&world.org);
    assert_eq!(refused, Err(Refusal::Forbidden(Forbidden::NeedsAdmin)));
    world.org.governance = Governance::Deactivated;
    let off = Refusal::Forbidden(Forbidden::GovernanceDeactivated);
    assert_eq!(asked(&world, &owner), Err(off.clone()));
    assert_eq!(admin.reads_validations(&world.org), Err(off));
}

/// A world whose Max Token TTL is enforced, and a token that was warned of it three days ago.
fn enforced() -> (World, ApiToken, Flag) {
    let mut world = world();
    world.org.policies.max_ttl.enforcement = Some(Enforcement {
        deactivate_after: Ttl::new(7, Unit::Days),
        revoke_after: None,
        since: world.now,
    });
    let token = world.token(5, &world.member);
    let first = judged(&world, &token, None, "2027-01-02T00:00:00Z");
    assert_eq!(first.step, Some((Step::Warn, PolicyKind::MaxTtl)));
    let flag = first.flag.expect("flagged");
    assert_eq!(flag.max_ttl.and_then(|mark| mark.warned_at), Some(at("2027-01-02T00:00:00Z")));
    (world, token, flag)
}

#[test]
fn a_policy_that_only_flags_asks_for_no_step() {
    let world = world();
    let token = world.token(5, &world.member);
    assert_eq!(judged(&world, &token, None, "2030-01-01T00:00:00Z").step, None);
    let flag = judged(&world, &token, None, "2027-01-02T00:00:00Z").flag;
    assert_eq!(judged(&world, &token, flag.as_ref(), "2027-06-01T00:00:00Z").step, None);
}

#[test]
fn an_enforced_policy_goes_down_its_ladder() {
    let (world, token, flag) = enforced();
    let at = |now: &str| judged(&world, &token, Some(&flag), now).step;
    assert_eq!(at("2027-01-08T23:59:59.999Z"), None);
    assert_eq!(at("2027-01-09T00:00:00Z"), Some((Step::Deactivate, PolicyKind::MaxTtl)));
}

#[test]
fn who_is_exempt_or_ignored_is_spared_and_warned_anew_after() {
    let (world, token, flag) = enforced();
    let until = at("2027-02-01T00:00:00Z");
    let exemption = |exempt| Exemption {
        id: crate::id::ExemptionId::from_bits(1),
        version: world.org.version,
        org: world.org.id,
        exempt,
        policy: PolicyKind::MaxTtl,
        until,
        created_at: world.now,
        created_by: world.owner.id,
        reason: None,
    };
    for exempt in [Exempt::Token(token.id), Exempt::User(token.owner)] {
        let judge = |now: &str, flag: &Flag| {
            Judge::new(&world.org, vec![exemption(exempt)], at(now)).judge(
                &token,
                &Usage::default(),
                Some(flag),
            )
        };
        let spared = judge("2027-01-31T23:59:59.999Z", &flag);
        assert_eq!((spared.step, spared.cleared), (None, 0));
        let spared = spared.flag.expect("it is flagged all the same");
        let over = judge("2027-02-01T00:00:00Z", &spared);
        assert_eq!(over.step, Some((Step::Warn, PolicyKind::MaxTtl)));
    }
    let mut other = exemption(Exempt::Token(token.id));
    other.policy = PolicyKind::IdleTtl;
    let judge = Judge::new(&world.org, vec![other], at("2027-01-09T00:00:00Z"));
    let judged = judge.judge(&token, &Usage::default(), Some(&flag));
    assert_eq!(judged.step, Some((Step::Deactivate, PolicyKind::MaxTtl)));
    let ignore = Ignore { until, at: world.now, by: world.owner.id, reason: None };
    let ignores = token.ignores.clone().with(PolicyKind::MaxTtl, Some(ignore));
    let token = ApiToken { ignores, ..token };
    let spared = super::tests::judged(&world, &token, Some(&flag), "2027-01-09T00:00:00Z");
    assert_eq!((spared.step, spared.cleared), (None, 1));
}
