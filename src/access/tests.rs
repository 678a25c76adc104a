use super::*;
use crate::role::RoleId;
use proptest::prelude::*;

fn roles(numbers: &[u32]) -> RoleSet {
    numbers.iter().copied().map(RoleId).collect()
}

struct World {
    token: TokenFacts,
    owner: OwnerFacts,
    org: OrgFacts,
    requirement: Requirement,
    certificate: Option<CertificateFacts>,
}

impl World {
    fn new() -> Self {
        let (org, owner) = (OrgId::from_bits(7), UserId::from_bits(8));
        Self {
            token: TokenFacts {
                id: TokenId::from_bits(9),
                org,
                owner,
                scope: roles(&[2, 3]),
                expires_at: Timestamp::from_millis(1_000_000),
                standing: Standing::Activated,
                version: Revision(1),
            },
            owner: OwnerFacts {
                id: owner,
                org,
                active: true,
                roles: roles(&[2, 3, 4]),
                operator: false,
                version: Revision(1),
            },
            org: OrgFacts { id: org, version: Revision(1) },
            requirement: Requirement {
                methods: vec![],
                certificate: false,
                demand: Some(Demand {
                    organizations: Organizations::Any,
                    any_of: roles(&[3]),
                    all_of: RoleSet::empty(),
                }),
            },
            certificate: None,
        }
    }

    fn demand(&mut self) -> &mut Demand {
        self.requirement.demand.as_mut().expect("not public")
    }

    fn at(&self, millis: i64) -> Verdict {
        let evidence = Evidence::Known { token: &self.token, owner: &self.owner, org: &self.org };
        self.judge(&evidence, millis)
    }

    fn judge(&self, evidence: &Evidence<'_>, millis: i64) -> Verdict {
        let circumstances = Circumstances { method: &Method::GET, certificate: self.certificate };
        decide(evidence, &circumstances, &self.requirement, Timestamp::from_millis(millis))
    }
}

fn permitted(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Permit(_))
}

#[test]
fn a_route_may_demand_a_certificate_that_has_not_ended() {
    let mut world = World::new();
    let certificate = CertificateFacts { ends_at: Timestamp::from_millis(500) };
    world.certificate = Some(certificate);
    assert!(permitted(&world.at(999)), "a route that demands none does not care");
    world.requirement.certificate = true;
    assert!(permitted(&world.at(499)));
    for millis in [500, 501] {
        assert_eq!(world.at(millis), Verdict::Deny(Reason::NoCertificate), "{millis}");
    }
    world.certificate = None;
    assert_eq!(world.at(0), Verdict::Deny(Reason::NoCertificate));
    // Whatever the token is worth, nothing is said about it, nor does a public route admit.
    for evidence in [Evidence::NoCredential, Evidence::Unknown, Evidence::Barred] {
        assert_eq!(world.judge(&evidence, 0), Verdict::Deny(Reason::NoCertificate));
    }
    world.requirement.demand = None;
    assert_eq!(world.at(0), Verdict::Deny(Reason::NoCertificate));
    world.certificate = Some(certificate);
    assert!(permitted(&world.judge(&Evidence::NoCredential, 499)));
}

#[test]
fn a_certificate_stands_in_for_no_token() {
    let mut world = World::new();
    world.requirement.certificate = true;
    world.certificate = Some(CertificateFacts { ends_at: Timestamp::from_millis(500) });
    assert_eq!(world.judge(&Evidence::NoCredential, 0), Verdict::Deny(Reason::NoCredential));
    world.token.standing = Standing::Revoked;
    assert_eq!(world.at(0), Verdict::Deny(Reason::Revoked));
}

#[test]
fn a_live_token_with_the_role_is_permitted() {
    let world = World::new();
    let Verdict::Permit(permit) = world.at(0) else { panic!("refused") };
    assert_eq!(permit.decided_at(), Timestamp::from_millis(0));
}

#[test]
fn expiry_is_exact() {
    let world = World::new();
    assert!(permitted(&world.at(999_999)));
    assert_eq!(world.at(1_000_000), Verdict::Deny(Reason::Expired));
    assert_eq!(world.at(1_000_001), Verdict::Deny(Reason::Expired));
    assert_eq!(world.at(i64::MAX), Verdict::Deny(Reason::Expired));
}

#[test]
fn expiry_at_the_ends_of_time_is_defined() {
    let mut world = World::new();
    for end in [0, -1, i64::MIN] {
        world.token.expires_at = Timestamp::from_millis(end);
        assert_eq!(world.at(0), Verdict::Deny(Reason::Expired), "{end}");
    }
    world.token.expires_at = Timestamp::from_millis(i64::MAX);
    assert!(permitted(&world.at(0)));
    assert_eq!(world.at(i64::MAX), Verdict::Deny(Reason::Expired));
}

#[test]
fn each_status_is_refused_with_its_reason() {
    let mut world = World::new();
    world.token.standing = Standing::Deactivated;
    assert_eq!(world.at(0), Verdict::Deny(Reason::Deactivated));
    world.token.standing = Standing::Revoked;
    assert_eq!(world.at(0), Verdict::Deny(Reason::Revoked));
    world = World::new();
    world.owner.active = false;
    assert_eq!(world.at(0), Verdict::Deny(Reason::OwnerDeactivated));
}

#[test]
fn a_former_secret_is_good_until_its_end_or_its_heirs_first_use() {
    let world = World::new();
    let at = |former: &FormerFacts, succeeded, millis| {
        let World { token, owner, org, .. } = &world;
        world.judge(&Evidence::Former { token, owner, org, former, succeeded }, millis)
    };
    let superseded = Verdict::Deny(Reason::Superseded);
    let ends_at = Timestamp::from_millis(500);
    let timed = FormerFacts { ends_at, heir: None };
    assert!(permitted(&at(&timed, false, 499)));
    assert_eq!(at(&timed, false, 500), superseded);
    assert_eq!(at(&timed, false, 501), superseded);
    let waiting = FormerFacts { ends_at, heir: Some(Digest::of(b"heir")) };
    assert!(permitted(&at(&waiting, false, 499)));
    assert_eq!(at(&waiting, true, 0), superseded, "whatever is left of its time");
    assert_eq!(at(&waiting, false, 500), superseded);
    // What kills the token kills all of its secrets.
    let late = FormerFacts { ends_at: Timestamp::MAX, heir: None };
    assert!(permitted(&at(&late, false, 999_999)));
    assert_eq!(at(&late, false, 1_000_000), Verdict::Deny(Reason::Expired));
}

#[test]
fn what_is_not_known_to_be_live_is_refused() {
    let world = World::new();
    for (evidence, reason) in [
        (Evidence::NoCredential, Reason::NoCredential),
        (Evidence::Malformed, Reason::Malformed),
        (Evidence::Unknown, Reason::Unknown),
        (Evidence::Barred, Reason::Barred),
        (Evidence::Unavailable, Reason::Unavailable),
    ] {
        assert_eq!(world.judge(&evidence, 0), Verdict::Deny(reason));
    }
}

#[test]
fn a_role_counts_only_if_token_and_owner_both_have_it() {
    let mut world = World::new();
    world.demand().any_of = roles(&[4]);
    assert_eq!(world.at(0), Verdict::Deny(Reason::InsufficientScope), "not in the scope");
    world.token.scope = roles(&[4, 5]);
    assert!(permitted(&world.at(0)));
    world.owner.roles = roles(&[5]);
    assert_eq!(world.at(0), Verdict::Deny(Reason::InsufficientScope), "lost by the owner");
    world.demand().any_of = RoleSet::empty();
    world.demand().all_of = roles(&[4, 5]);
    assert_eq!(world.at(0), Verdict::Deny(Reason::InsufficientScope), "all are needed");
    world.owner.roles = roles(&[4, 5]);
    assert!(permitted(&world.at(0)));
}

#[test]
fn organizations_are_told_apart() {
    let mut world = World::new();
    world.demand().organizations = Organizations::These(vec![OrgId::from_bits(6)]);
    assert_eq!(world.at(0), Verdict::Deny(Reason::WrongOrganization));
    world.demand().organizations =
        Organizations::These(vec![OrgId::from_bits(6), OrgId::from_bits(7)]);
    assert!(permitted(&world.at(0)));
    world.owner.org = OrgId::from_bits(6);
    assert_eq!(world.at(0), Verdict::Deny(Reason::Unknown), "an owner from elsewhere");
}

#[test]
fn a_public_route_looks_at_no_credential() {
    let mut world = World::new();
    world.requirement.demand = None;
    for evidence in [Evidence::NoCredential, Evidence::Malformed, Evidence::Unavailable] {
        let Verdict::Permit(permit) = world.judge(&evidence, 0) else { panic!("refused") };
        assert_eq!(permit.decided_at(), Timestamp::from_millis(0));
    }
}

#[test]
fn methods_are_held() {
    let mut world = World::new();
    world.requirement.methods = vec![Method::POST];
    assert_eq!(world.at(0), Verdict::Deny(Reason::MethodNotAllowed));
    world.requirement.methods.push(Method::GET);
    assert!(permitted(&world.at(0)));
}

proptest! {
    /// Taking something away (a role, life, activity) never turns a refusal into a permission.
    #[test]
    fn taking_away_never_permits(
        scope in proptest::collection::vec(0_u32..8, 0..6),
        held in proptest::collection::vec(0_u32..8, 0..6),
        any_of in proptest::collection::vec(0_u32..8, 0..3),
        all_of in proptest::collection::vec(0_u32..8, 0..3),
        gone in 0_u32..8,
        now in 0_i64..2_000_000,
    ) {
        let mut world = World::new();
        world.token.scope = roles(&scope);
        world.owner.roles = roles(&held);
        world.demand().any_of = roles(&any_of);
        world.demand().all_of = roles(&all_of);
        let before = permitted(&world.at(now));
        let gone = roles(&[gone]);
        world.owner.roles = world.owner.roles.difference(&gone);
        prop_assert!(before || !permitted(&world.at(now)));
        world.owner.roles = roles(&held);
        world.token.scope = world.token.scope.difference(&gone);
        prop_assert!(before || !permitted(&world.at(now)));
        prop_assert!(before || !permitted(&world.at(now + 1)));
    }
}
