use super::*;
use crate::id::{OrgId, TokenId, UserId};
use crate::org::{Revision, StatusChange};
use crate::role::RoleSet;
use crate::secret::Digest;
use crate::token::TokenStatus;

fn at(text: &str) -> Timestamp {
    text.parse().expect("RFC 3339")
}

fn token(issued: &str, expires: &str) -> ApiToken {
    ApiToken {
        id: TokenId::from_bits(1),
        version: Revision(1),
        org: OrgId::from_bits(1),
        owner: UserId::from_bits(1),
        created_by: None,
        minted_by: None,
        name: "ci".into(),
        scope: RoleSet::empty(),
        digest: Digest::of(b"x"),
        created_at: at(issued),
        issued_at: at(issued),
        expires_at: at(expires),
        ignores: Ignores::default(),
        status: TokenStatus::Activated(None),
        former: Vec::new(),
    }
}

fn policies(idle: Option<u32>, max: Option<u32>) -> Policies {
    let policy = |days: Option<u32>| TtlPolicy {
        active: days.is_some(),
        ttl: Ttl::new(days.unwrap_or(1), Unit::Days),
    };
    Policies { idle_ttl: policy(idle), max_ttl: policy(max) }
}

#[test]
fn idle_is_violated_only_after_the_limit() {
    let token = token("2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z");
    let policies = policies(Some(10), None);
    let used = Usage::once(at("2027-02-01T00:00:00Z"));
    let found = |usage: &Usage, now: &str| policies.violations(&token, usage, at(now));
    assert!(found(&Usage::default(), "2027-01-11T00:00:00Z").is_empty());
    let never = found(&Usage::default(), "2027-01-11T00:00:00.001Z");
    assert_eq!(never[0].policy, PolicyKind::IdleTtl);
    assert_eq!(never[0].since, at("2027-01-11T00:00:00Z"));
    assert_eq!(never[0].over_by, Duration::from_millis(1));
    assert!(found(&used, "2027-02-11T00:00:00Z").is_empty());
    assert_eq!(found(&used, "2027-02-12T00:00:00Z").len(), 1);
}

#[test]
fn max_is_violated_by_a_longer_life_from_its_beginning() {
    let policies = policies(None, Some(30));
    let now = at("2027-01-02T00:00:00Z");
    let exact = token("2027-01-01T00:00:00Z", "2027-01-31T00:00:00Z");
    assert!(policies.violations(&exact, &Usage::default(), now).is_empty());
    let longer = token("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z");
    let found = policies.violations(&longer, &Usage::default(), now);
    assert_eq!(found[0].policy, PolicyKind::MaxTtl);
    assert_eq!(found[0].over_by, Duration::from_hours(24));
}

#[test]
fn dead_tokens_violate_nothing() {
    let policies = policies(Some(1), Some(1));
    let mut token = token("2027-01-01T00:00:00Z", "2027-03-01T00:00:00Z");
    let before = at("2027-02-28T23:59:59.999Z");
    assert_eq!(policies.violations(&token, &Usage::default(), before).len(), 2);
    assert!(policies.violations(&token, &Usage::default(), token.expires_at).is_empty());
    token.status =
        TokenStatus::Revoked(StatusChange { at: before, by: None, reason: None, governed: false });
    assert!(policies.violations(&token, &Usage::default(), before).is_empty());
}

#[test]
fn the_latest_end_is_the_policy_or_the_cap() {
    let issued = at("2027-01-01T00:00:00Z");
    assert_eq!(policies(None, None).latest_end(issued), (at("2032-01-01T00:00:00Z"), false));
    assert_eq!(policies(None, Some(30)).latest_end(issued), (at("2027-01-31T00:00:00Z"), true));
    assert_eq!(policies(None, Some(9000)).latest_end(issued), (at("2032-01-01T00:00:00Z"), false));
    assert_eq!(policies(None, None).default_end(issued), at("2027-07-01T00:00:00Z"));
    assert_eq!(policies(None, Some(30)).default_end(issued), at("2027-01-31T00:00:00Z"));
}

#[test]
fn an_ignored_violation_counts_again_at_its_end() {
    let policies = policies(Some(10), Some(30));
    let until = at("2027-03-01T00:00:00Z");
    let ignore =
        Ignore { until, at: at("2027-02-01T00:00:00Z"), by: UserId::from_bits(1), reason: None };
    let ignores = Ignores::default().with(PolicyKind::MaxTtl, Some(ignore));
    let token = ApiToken { ignores, ..token("2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z") };
    let found = |now: &str| policies.violations(&token, &Usage::default(), at(now));
    let [idle, max] = found("2027-02-28T23:59:59.999Z")[..] else { panic!("both are shown") };
    assert_eq!((idle.ignored_until, idle.counts()), (None, true), "each by itself");
    assert_eq!((max.ignored_until, max.counts()), (Some(until), false));
    assert!(found("2027-03-01T00:00:00Z").iter().all(Violation::counts));
}

#[test]
fn severity_is_of_the_last_use_and_of_how_many() {
    let token = token("2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z");
    let now = at("2027-03-02T00:00:00Z");
    let of = |last: Option<&str>, use_count| {
        Severity::of(
            &token,
            &Usage { last_used_at: last.map(at), use_count, ..Usage::default() },
            now,
        )
    };
    // 60 days old: 6,000 uses are 100 a day.
    assert_eq!(of(None, 0), Severity::Low);
    assert_eq!(of(Some("2027-02-23T00:00:00Z"), 6_000), Severity::High);
    assert_eq!(of(Some("2027-02-23T00:00:00Z"), 5_999), Severity::Medium);
    assert_eq!(of(Some("2027-02-22T23:59:59.999Z"), 6_000), Severity::Medium);
    assert_eq!(of(Some("2027-01-31T00:00:00Z"), 6_000), Severity::Medium);
    assert_eq!(of(Some("2027-01-30T23:59:59.999Z"), 6_000), Severity::Low);
    assert!(Severity::Low < Severity::Medium && Severity::Medium < Severity::High);
}

#[test]
fn the_first_day_counts_as_a_whole_one() {
    let used = Usage { use_count: 90, ..Usage::default() };
    let made = at("2027-01-01T00:00:00Z");
    assert_eq!(used.per_day(made, made), 90);
    assert_eq!(used.per_day(made, at("2027-01-02T00:00:00Z")), 90);
    assert_eq!(used.per_day(made, at("2027-01-02T12:00:00Z")), 60);
    assert_eq!(used.per_day(made, at("2026-01-01T00:00:00Z")), 90, "a clock that was set back");
}

#[test]
fn policies_have_names() {
    for policy in PolicyKind::ALL {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
    assert_eq!("none".parse::<PolicyKind>(), Err(NotAPolicy));
}
