//! Who is told of what, once.

use super::*;
use crate::exemption::{Exempt, Exemption};
use crate::id::ExemptionId;
use crate::notice::{Addressee, Kind, Notice};
use crate::org::{User, UserStatus};
use std::ops::ControlFlow;

fn user(number: u128) -> User {
    User {
        id: UserId::from_bits(number),
        version: Revision(0),
        org: ORG,
        email: format!("{number}@example.com"),
        name: format!("user {number}"),
        roles: RoleSet::empty(),
        operator: false,
        status: UserStatus::Activated(None),
        created_at: at(NOW),
        external_id: None,
        modified_at: at(NOW),
    }
}

fn token_of(number: u64, owner: u128) -> ApiToken {
    ApiToken { owner: UserId::from_bits(owner), ..token(number) }
}

/// A bench with so many users.
pub(super) fn bench(users: u128) -> Bench {
    let bench = Bench::new();
    bench.put((1..=users).map(|number| Write::User(user(number))));
    bench
}

/// The notices that there are, the first first.
pub(super) fn notices(bench: &Bench) -> Vec<Notice> {
    let mut all = Vec::new();
    let mut visit = |notice| {
        all.push(notice);
        ControlFlow::Continue(())
    };
    bench.store.visit_notices(ORG, None, &mut visit).expect("readable");
    all.reverse();
    all
}

/// Kind, number of the user and lines of each notice.
pub(super) fn told(bench: &Bench) -> Vec<(Kind, u128, usize)> {
    let user = |notice: &Notice| match notice.to {
        Addressee::User(user) => user.bits(),
        Addressee::Webhook(_) => panic!("nobody made one"),
    };
    notices(bench).iter().map(|it| (it.says.kind, user(it), it.says.details.len())).collect()
}

#[test]
fn an_owner_gets_one_notice_of_all_that_is_new() {
    let bench = bench(2);
    bench.put([1, 2, 3].map(|number| Write::Token(token_of(number, 1))));
    bench.put([Write::Token(token_of(4, 2)), Write::Token(good(5))]);
    bench.validate();
    let new = Kind::NewViolations;
    assert_eq!(told(&bench), [(new, 1, 3), (new, 2, 1)]);
    bench.validate();
    bench.put([Write::Token(token_of(6, 2))]);
    bench.validate();
    assert_eq!(told(&bench)[2..], [(new, 2, 1)], "only what they were not told yet");
    // It heals, and comes back.
    let healed = ApiToken { expires_at: at(NOW + 10 * DAY), ..token_of(6, 2) };
    bench.put([Write::Token(healed)]);
    bench.validate();
    assert_eq!(told(&bench).len(), 3);
    bench.put([Write::Token(token_of(6, 2))]);
    bench.validate();
    assert_eq!(told(&bench)[3..], [(new, 2, 1)]);
}

#[test]
fn who_gets_a_token_is_told_of_its_violation_too() {
    let bench = bench(2);
    bench.put([Write::Token(token_of(1, 1)), Write::Token(token_of(2, 1))]);
    bench.validate();
    bench.put([Write::Token(token_of(1, 2))]);
    bench.validate();
    bench.validate();
    let new = Kind::NewViolations;
    assert_eq!(told(&bench), [(new, 1, 2), (new, 2, 1)]);
    assert_eq!(bench.counts().new, 0, "it is the same violation");
}

#[test]
fn of_what_is_ignored_or_exempt_nobody_is_told_until_that_is_over() {
    let bench = bench(1);
    let (until, by) = (at(NOW + 5 * DAY), UserId::from_bits(1));
    let ignore = Ignore { until, at: at(NOW), by, reason: None };
    let ignores = Ignores::default().with(PolicyKind::MaxTtl, Some(ignore));
    bench.put([Write::Token(ApiToken { ignores, ..token(1) }), Write::Token(token(2))]);
    let exemption = Exemption {
        id: ExemptionId::from_bits(1),
        version: Revision(0),
        org: ORG,
        exempt: Exempt::Token(TokenId::from_bits(2)),
        policy: PolicyKind::MaxTtl,
        until,
        created_at: at(NOW),
        created_by: by,
        reason: None,
    };
    bench.put([Write::Validation(validation::Write::Exempt(Box::new(exemption)))]);
    bench.validate();
    bench.set_now(until.millis() - 1);
    bench.validate();
    assert_eq!(told(&bench), []);
    bench.set_now(until.millis());
    bench.validate();
    bench.validate();
    assert_eq!(told(&bench), [(Kind::NewViolations, 1, 2)]);
}

#[test]
fn a_run_that_was_broken_off_while_telling_tells_each_owner_once() {
    const OWNERS: u128 = 100;
    let bench = bench(OWNERS);
    bench.put((1..=100).map(|number| Write::Token(token_of(number, number.into()))));
    bench.want();
    let ledger = Arc::clone(&bench.store) as Arc<dyn Ledger>;
    let mut pass = begun(ledger, &bench, NOW);
    let more = pass.step().expect("readable");
    assert!(!more);
    let mut teller = pass.judged().expect("writable");
    assert_eq!(told(&bench), [], "nobody is told before what they are told of is stored");
    // Some are told; then the process ends, before anything says that the run is through.
    let origin = crate::audit::Origin::default();
    let roles = bench.store.roles();
    let occasion = crate::governance::Occasion { now: at(NOW), roles: &roles, origin: &origin };
    teller.tell_some(&occasion).expect("writable");
    let some = told(&bench).len();
    assert!(0 < some && some < 100, "{some}");
    drop(teller);
    // What changes meanwhile is for the next run: the flags of this one stand.
    bench.put([Write::Token(token_of(500, 1))]);
    bench.look();
    bench.look();
    let new = Kind::NewViolations;
    let all: Vec<_> = (1..=OWNERS).map(|owner| (new, owner, 1)).collect();
    assert_eq!(told(&bench), all);
    assert_eq!(bench.counts().new, 100);
    bench.validate();
    assert_eq!(told(&bench)[100..], [(new, 1, 1)]);
}

#[test]
fn an_owner_is_warned_with_the_date_and_then_told_once() {
    let bench = bench(1);
    bench.put([Write::Organization(enforced()), Write::Token(token(1)), Write::Token(token(2))]);
    assert_eq!(validated(&bench, 0), [2, 0, 0]);
    assert_eq!(told(&bench), [(Kind::EnforcementStep, 1, 2)], "a warning says what is new, too");
    let text = &notices(&bench)[0].says.details[0].text;
    let end = format!("deactivated from {}", at(NOW + 2 * DAY));
    assert!(text.ends_with(&end), "{text}");
    assert_eq!(validated(&bench, 1), [0, 0, 0]);
    assert_eq!(validated(&bench, 2), [0, 2, 0]);
    assert_eq!(validated(&bench, 5), [0, 0, 2]);
    let kinds: Vec<_> = notices(&bench).iter().map(|notice| notice.says.kind).collect();
    let (off, gone) = (Kind::Deactivated, Kind::Revoked);
    assert_eq!(kinds[1..], [off, off, gone, gone]);
}

#[test]
fn the_grace_period_begins_when_the_warning_is_in_the_outbox() {
    let bench = bench(1);
    bench.put([Write::Organization(enforced()), Write::Token(token(1))]);
    bench.want();
    // The process ends after judging, and is started again three days later.
    let ledger = Arc::clone(&bench.store) as Arc<dyn Ledger>;
    let mut pass = begun(ledger, &bench, NOW);
    pass.step().expect("readable");
    drop(pass.judged().expect("writable"));
    assert_eq!(told(&bench), []);
    bench.set_now(NOW + 3 * DAY);
    bench.look();
    let text = notices(&bench)[0].says.details[0].text.clone();
    assert!(text.ends_with(&format!("deactivated from {}", at(NOW + 5 * DAY))), "{text}");
    assert_eq!(validated(&bench, 4), [0, 0, 0]);
    assert_eq!(standing(&bench, 1).0, Standing::Activated);
    bench.set_now(NOW + 5 * DAY - 1);
    assert_eq!(bench.validate().deactivated, 0);
    assert_eq!(validated(&bench, 5), [0, 1, 0]);
}
