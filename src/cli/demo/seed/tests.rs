use super::*;
use bearward::access::{Evidence, Verdict};
use bearward::policy::PolicyKind;
use bearward::store::Facts;
use bearward::store::memory::MemoryStore;
use std::ops::ControlFlow;
use std::sync::Arc;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn seeded() -> (Arc<MemoryStore>, Seeded) {
    let store = MemoryStore::new();
    let writes = vec![Write::Roles(vec![CALLER.parse().expect("a role")])];
    store.commit(Change { writes, ..Change::default() }).wait().expect("the role");
    let seeded = seed(&*store, "bwt_", NOW).expect("the demo's records");
    (store, seeded)
}

fn tokens(store: &MemoryStore, org: OrgId) -> Vec<(ApiToken, Usage)> {
    let mut tokens = Vec::new();
    store
        .visit_tokens(org, None, &mut |token, usage| {
            tokens.push((token, usage));
            ControlFlow::Continue(())
        })
        .expect("the tokens");
    tokens
}

/// What the demo's route says to a secret.
fn verdict(store: &MemoryStore, secret: &Secret) -> Result<(), bearward::access::Reason> {
    use bearward::access::{Circumstances, Demand, Organizations, Requirement, decide};
    let caller = caller(&store.roles()).expect("the role");
    let requirement = Requirement {
        methods: Vec::new(),
        certificate: false,
        demand: Some(Demand {
            organizations: Organizations::Any,
            any_of: std::iter::once(caller).collect(),
            all_of: RoleSet::empty(),
        }),
    };
    let (_, found) = store.lookup(&secret.digest()).expect("a look-up");
    let found = found.expect("a token");
    let evidence = Evidence::Known { token: &found.token, owner: &found.owner, org: &found.org };
    let circumstances = Circumstances { method: &hyper::Method::GET, certificate: None };
    match decide(&evidence, &circumstances, &requirement, NOW) {
        Verdict::Permit(_) => Ok(()),
        Verdict::Deny(reason) => Err(reason),
    }
}

#[test]
fn each_named_token_is_what_its_name_says() {
    use bearward::access::Reason;
    let (store, seeded) = seeded();
    let of = |key: &str| verdict(&store, &seeded.token(key).secret);
    assert_eq!(of("live"), Ok(()));
    assert_eq!(of("never_used"), Ok(()));
    assert_eq!(of("deactivated"), Err(Reason::Deactivated));
    assert_eq!(of("expired"), Err(Reason::Expired));
    assert_eq!(of("wrong_scope"), Err(Reason::InsufficientScope));
    assert_eq!(verdict(&store, &seeded.owner.secret), Ok(()));
    assert_eq!(verdict(&store, &seeded.second_owner.secret), Ok(()));

    let stored = |key: &str| store.token(seeded.token(key).id).expect("read").expect("stored");
    assert_eq!(stored("never_used").1, Usage::default());
    assert!(stored("live").1.use_count > 0);
    let wrong_scope = stored("wrong_scope").0;
    let member: RoleSet = std::iter::once(RoleId::ORG_MEMBER).collect();
    assert_eq!(wrong_scope.scope, member, "a plain member's");
}

#[test]
fn the_second_organization_has_every_violation_and_the_first_has_none() {
    let (store, seeded) = seeded();
    let violations = |org: OrgId| {
        let policies = store.organization(org).expect("read").expect("stored").policies;
        let mut all: Vec<_> = tokens(&store, org)
            .iter()
            .map(|(token, usage)| {
                let kinds = policies.violations(token, usage, NOW);
                kinds.iter().map(|violation| violation.policy).collect::<Vec<_>>()
            })
            .filter(|kinds| !kinds.is_empty())
            .collect();
        all.sort_by_key(Vec::len);
        all
    };
    assert!(violations(seeded.org).is_empty());
    let found = violations(seeded.second);
    for kinds in [
        vec![PolicyKind::IdleTtl],
        vec![PolicyKind::MaxTtl],
        vec![PolicyKind::IdleTtl, PolicyKind::MaxTtl],
    ] {
        assert!(found.contains(&kinds), "{kinds:?}: {found:?}");
    }
}

#[test]
fn there_are_tokens_in_every_state() {
    use bearward::token::TokenState;
    let (store, seeded) = seeded();
    let states: Vec<_> =
        tokens(&store, seeded.org).iter().map(|(token, _)| token.state(NOW)).collect();
    for state in
        [TokenState::Activated, TokenState::Deactivated, TokenState::Expired, TokenState::Revoked]
    {
        assert!(states.contains(&state), "{state:?}");
    }
    let users = store.users(seeded.org).expect("the users");
    let blocked = users.iter().find(|user| !user.is_active()).expect("a deactivated user");
    assert!(tokens(&store, seeded.org).iter().any(|(token, _)| token.owner == blocked.id));
    assert_eq!(users.iter().filter(|user| user.operator).count(), 1);
    assert!(users.iter().any(|user| user.operator && user.is_active_owner()));
}

#[test]
fn nothing_is_later_than_now_and_the_trail_is_in_order() {
    let (store, seeded) = seeded();
    for (token, usage) in
        tokens(&store, seeded.org).into_iter().chain(tokens(&store, seeded.second))
    {
        assert!(token.issued_at < NOW, "{}", token.name);
        assert!(
            usage.last_used_at.is_none_or(|at| at < NOW && at > token.issued_at),
            "{}",
            token.name
        );
        let changed = token.status_change().map(|change| change.at);
        assert!(changed.is_none_or(|at| at < NOW && at > token.issued_at), "{}", token.name);
    }
    let events = store.events(seeded.org, None, 100).expect("the trail");
    assert!(events.len() > 15);
    assert!(events.is_sorted_by(|later, earlier| later.said.at >= earlier.said.at));
}
