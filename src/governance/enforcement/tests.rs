use super::*;
use crate::audit::Origin;
use crate::governance::tests::{World, at};
use crate::id::UserId;
use crate::time::{Ttl, Unit};

const SINCE: &str = "2027-01-01T00:00:00Z";

/// Deactivates a week after the warning, and revokes 30 days after that.
fn ladder() -> Enforcement {
    Enforcement {
        deactivate_after: Ttl::new(7, Unit::Days),
        revoke_after: Some(Ttl::new(30, Unit::Days)),
        since: at(SINCE),
    }
}

fn mark(warned: Option<&str>, deactivated: Option<&str>) -> Mark {
    Mark {
        found_at: at("2026-01-01T00:00:00Z"),
        warned_at: warned.map(at),
        deactivated_at: deactivated.map(at),
        told: crate::validation::Told::Before,
    }
}

fn activated() -> ApiToken {
    let world = World::new();
    world.token(5, &world.member)
}

fn off(when: &str, by: Option<UserId>) -> ApiToken {
    let change = StatusChange { at: at(when), by, reason: None, governed: true };
    ApiToken { status: TokenStatus::Deactivated(change), ..activated() }
}

fn step(mark: Mark, token: &ApiToken, now: &str) -> (Mark, Option<Step>) {
    due(&ladder(), mark, token, at(now))
}

#[test]
fn the_first_step_is_a_warning_however_long_it_is_broken() {
    let (after, step) = step(mark(None, None), &activated(), "2027-01-02T00:00:00Z");
    assert_eq!(step, Some(Step::Warn));
    assert_eq!(after, mark(Some("2027-01-02T00:00:00Z"), None));
}

#[test]
fn deactivation_comes_its_time_after_the_warning() {
    let warned = mark(Some("2027-01-02T00:00:00Z"), None);
    let at = |now: &str| step(warned, &activated(), now);
    assert_eq!(at("2027-01-02T00:00:00Z"), (warned, None));
    assert_eq!(at("2027-01-08T23:59:59.999Z"), (warned, None));
    let after = mark(Some("2027-01-02T00:00:00Z"), Some("2027-01-09T00:00:00Z"));
    assert_eq!(at("2027-01-09T00:00:00Z"), (after, Some(Step::Deactivate)));
}

#[test]
fn revocation_comes_its_time_after_the_deactivation() {
    let known = mark(Some("2027-01-02T00:00:00Z"), Some("2027-01-10T00:00:00Z"));
    let token = off("2027-01-10T00:00:00Z", None);
    assert_eq!(step(known, &token, "2027-02-08T23:59:59.999Z"), (known, None));
    assert_eq!(step(known, &token, "2027-02-09T00:00:00Z"), (known, Some(Step::Revoke)));
    let never = Enforcement { revoke_after: None, ..ladder() };
    assert_eq!(due(&never, known, &token, at("2031-01-01T00:00:00Z")), (known, None));
    // A ladder that was changed meanwhile counts from then.
    let changed = Enforcement { since: at("2027-02-01T00:00:00Z"), ..ladder() };
    assert_eq!(due(&changed, known, &token, at("2027-02-09T00:00:00Z")), (known, None));
    let later = due(&changed, known, &token, at("2027-03-03T00:00:00Z"));
    assert_eq!(later, (known, Some(Step::Revoke)));
}

#[test]
fn a_changed_ladder_warns_anew() {
    let before = mark(Some("2026-12-31T23:59:59.999Z"), None);
    let (after, warned) = step(before, &activated(), "2027-06-01T00:00:00Z");
    assert_eq!(warned, Some(Step::Warn));
    assert_eq!(after, mark(Some("2027-06-01T00:00:00Z"), None));
    let at_its_change = mark(Some(SINCE), None);
    let (_, taken) = step(at_its_change, &activated(), "2027-06-01T00:00:00Z");
    assert_eq!(taken, Some(Step::Deactivate));
}

#[test]
fn an_owner_who_activates_it_again_begins_it_anew() {
    let known = mark(Some("2027-01-02T00:00:00Z"), Some("2027-01-10T00:00:00Z"));
    let (after, warned) = step(known, &activated(), "2027-06-01T00:00:00Z");
    assert_eq!(warned, Some(Step::Warn));
    assert_eq!(after, mark(Some("2027-06-01T00:00:00Z"), None));
}

#[test]
fn what_somebody_else_deactivated_is_left_to_them() {
    let late = "2030-01-01T00:00:00Z";
    let warned = mark(Some("2027-01-02T00:00:00Z"), None);
    let somebody = Some(UserId::from_bits(1));
    for (known, token) in [
        (warned, off("2027-01-10T00:00:00Z", somebody)),
        (warned, off("2027-01-10T00:00:00Z", None)),
        // An owner decided after the ladder did.
        (Mark { deactivated_at: Some(at(SINCE)), ..warned }, off("2027-01-10T00:00:00Z", somebody)),
        (Mark { deactivated_at: Some(at(SINCE)), ..warned }, off(SINCE, somebody)),
    ] {
        assert_eq!(step(known, &token, late), (warned, None));
    }
}

#[test]
fn a_repeated_run_knows_what_it_did() {
    let now = "2027-01-09T00:00:00Z";
    let warned = mark(Some("2027-01-02T00:00:00Z"), None);
    let known = Mark { deactivated_at: Some(at(now)), ..warned };
    assert_eq!(step(warned, &off(now, None), now), (known, None));
}

#[test]
fn a_step_is_restrictive_and_requires_what_it_was_planned_upon() {
    let mut world = World::new();
    world.org.policies.max_ttl.ttl = Ttl::new(30, Unit::Days);
    let token = world.token(5, &world.member);
    let policy = PolicyKind::MaxTtl;
    let plan = SwitchOff { org: &world.org, token: &token, policy };
    let origin = Origin::default();
    let at = Occasion { origin: &origin, ..world.occasion() };
    assert_eq!(plan.plan(Step::Warn, &at), None);
    for (step, action) in
        [(Step::Deactivate, Action::TokenDeactivated), (Step::Revoke, Action::TokenRevoked)]
    {
        let change = plan.plan(step, &at).expect("a change");
        assert!(change.restrictive);
        let keys = [RecordKey::Organization(world.org.id), RecordKey::Token(token.id)];
        let versions = [world.org.version, token.version];
        let requires: Vec<_> =
            keys.into_iter().zip(versions).map(|(key, at)| Require::Version(key, at)).collect();
        assert_eq!(change.requires, requires);
        let [event] = &change.events[..] else { panic!("one event") };
        assert_eq!((&event.actor, event.action), (&Actor::System, action));
        let reason = event.reason.as_deref().expect("a reason");
        assert!(reason.contains("Max Token TTL of 30 days"), "{reason}");
        let [told] = &change.notices[..] else { panic!("one notice, not one for each cause") };
        let kind = if step == Step::Revoke { Kind::Revoked } else { Kind::Deactivated };
        assert_eq!((told.kind, &told.to[..], told.by), (kind, &[token.owner][..], None));
        assert_eq!(told.reason, event.reason);
        let [Write::Token(after)] = &change.writes[..] else { panic!("one token") };
        let status = after.status_change().expect("it was changed");
        assert_eq!((status.by, status.governed, status.at), (None, true, world.now));
    }
}
