//! What the gateway itself does for each admitted request, piece by piece.

use bearward::access::{Circumstances, Demand, Organizations, Requirement, decide};
use bearward::cache::{Cache, IdentityValues, Lookup, Readers};
use bearward::change::{Change, Write};
use bearward::config::IdentityHeaders;
use bearward::credential::{self, Credential};
use bearward::gateway::HeaderWork;
use bearward::id::{OrgId, TokenId, UserId};
use bearward::org::{Governance, Organization, Revision, User, UserStatus};
use bearward::policy::{Ignores, Policies};
use bearward::role::{RoleId, RoleSet};
use bearward::secret::{self, DEFAULT_PREFIX, Digest, Secret};
use bearward::store::Ledger;
use bearward::store::memory::MemoryStore;
use bearward::time::Timestamp;
use bearward::token::{ApiToken, TokenStatus};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;

/// As many as in the load test.
const TOKENS: usize = 10_000;
const EPOCH: Timestamp = Timestamp::from_millis(0);
/// Built into every store.
const ROLE: RoleId = RoleId::ORG_MEMBER;

fn secrets() -> Vec<String> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |bytes: &mut [u8]| {
        bytes.fill_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        });
        Ok::<(), Infallible>(())
    };
    let mut secret = || {
        let Ok(secret) = Secret::generate(DEFAULT_PREFIX, &mut random);
        secret.expose().to_owned()
    };
    (0..TOKENS).map(|_| secret()).collect()
}

fn request(secret: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("api.example.test"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("bench/1.0"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    let bearer = HeaderValue::from_str(&format!("Bearer {secret}"));
    headers.insert(header::AUTHORIZATION, bearer.expect("a visible secret"));
    headers
}

fn organization(id: OrgId) -> Organization {
    Organization {
        id,
        version: Revision(0),
        name: "O".into(),
        governance: Governance::Activated,
        policies: Policies::default(),
        created_at: EPOCH,
    }
}

fn owner(id: UserId, org: OrgId) -> User {
    User {
        id,
        version: Revision(0),
        org,
        email: "u@example.test".into(),
        name: "U".into(),
        roles: [ROLE].into_iter().collect(),
        operator: false,
        status: UserStatus::Activated(None),
        created_at: EPOCH,
        external_id: None,
    }
}

fn token(number: usize, secret: &str, owner: &User) -> ApiToken {
    ApiToken {
        id: TokenId::from_bits(number as u128 + 1),
        version: Revision(0),
        org: owner.org,
        owner: owner.id,
        created_by: None,
        minted_by: None,
        name: "T".into(),
        scope: [ROLE].into_iter().collect(),
        digest: Digest::of(secret.as_bytes()),
        created_at: EPOCH,
        issued_at: EPOCH,
        expires_at: Timestamp::from_millis(i64::MAX),
        ignores: Ignores::default(),
        status: TokenStatus::Activated(None),
        former: Vec::new(),
    }
}

/// A cache that holds every token.
fn warm_cache(secrets: &[String]) -> Arc<Cache> {
    let store = MemoryStore::new();
    let org = organization(OrgId::from_bits(1));
    let user = owner(UserId::from_bits(1), org.id);
    let mut writes: Vec<Write> = secrets
        .iter()
        .enumerate()
        .map(|(number, secret)| Write::Token(token(number, secret, &user)))
        .collect();
    writes.extend([Write::Organization(org), Write::User(user)]);
    store.commit(Change { writes, ..Change::default() }).wait().expect("memory does not fail");
    let cache = Cache::new(store, 2 * TOKENS, 1).expect("memory does not fail");
    let readers = Readers::start(Arc::clone(&cache), 1).expect("a thread can be had");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for secret in secrets {
        runtime.block_on(readers.resolve(&Digest::of(secret.as_bytes())));
    }
    assert_eq!(cache.len(), TOKENS);
    cache
}

fn credentials(criterion: &mut Criterion) {
    let secrets = secrets();
    let headers = request(&secrets[0]);
    criterion.bench_function("credential/extract", |bencher| {
        bencher.iter(|| credential::extract(black_box(&headers)));
    });
    let Credential::Bearer(bearer) = credential::extract(&headers) else {
        unreachable!("the request has a bearer token")
    };
    criterion.bench_function("secret/plausible", |bencher| {
        bencher.iter(|| secret::plausible(black_box(bearer), DEFAULT_PREFIX));
    });
    criterion.bench_function("secret/digest", |bencher| {
        bencher.iter(|| Digest::of(black_box(bearer)));
    });
}

fn decisions(criterion: &mut Criterion) {
    let secrets = secrets();
    let cache = warm_cache(&secrets);
    let digests: Vec<Digest> = secrets.iter().map(|text| Digest::of(text.as_bytes())).collect();
    let requirement = Requirement {
        methods: vec![Method::GET, Method::HEAD],
        demand: Some(Demand {
            organizations: Organizations::Any,
            any_of: [ROLE].into_iter().collect(),
            all_of: RoleSet::empty(),
        }),
    };
    let circumstances = Circumstances { method: &Method::GET };
    // A stride that visits every token and is no neighbour's.
    let mut at = 0;
    let mut next = || {
        at = (at + 7_919) % TOKENS;
        &digests[at]
    };
    criterion.bench_function("cache/hit", |bencher| {
        bencher.iter(|| cache.lookup(black_box(next())));
    });
    criterion.bench_function("cache/hit and decide", |bencher| {
        bencher.iter(|| match cache.lookup(black_box(next())) {
            Lookup::Hit(entry) => entry
                .with_evidence(|evidence| decide(evidence, &circumstances, &requirement, EPOCH)),
            Lookup::Unknown | Lookup::Barred | Lookup::Miss => unreachable!("the cache is warm"),
        });
    });
    let invented: Vec<Digest> =
        (0..TOKENS).map(|number| Digest::of(&number.to_le_bytes())).collect();
    let mut at = 0;
    criterion.bench_function("cache/unknown", |bencher| {
        bencher.iter(|| {
            at = (at + 7_919) % TOKENS;
            cache.lookup(black_box(&invented[at]))
        });
    });
}

fn headers(criterion: &mut Criterion) {
    let work = HeaderWork::new(&IdentityHeaders {
        subject: HeaderName::from_static("x-auth-subject"),
        organization: HeaderName::from_static("x-auth-organization"),
        token_id: HeaderName::from_static("x-auth-token-id"),
        scope: HeaderName::from_static("x-auth-scope"),
    });
    let identity = IdentityValues {
        owner_version: Revision(1),
        subject: HeaderValue::from_static("usr_00000000000000000000000001"),
        organization: HeaderValue::from_static("org_00000000000000000000000001"),
        token_id: HeaderValue::from_static("tok_00000000000000000000000001"),
        scope: HeaderValue::from_static("orders/reader"),
        privileged: false,
    };
    let plain = request(&secrets()[0]);
    let mut forged = plain.clone();
    for (name, value) in [
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("x_auth_subject", "somebody"),
        ("x-forwarded-for", "203.0.113.9"),
    ] {
        forged.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    for (name, fields) in [("headers/plain request", plain), ("headers/forged request", forged)] {
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || fields.clone(),
                |fields| work.pass(black_box(fields), &identity),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(hot_path, credentials, decisions, headers);
criterion_main!(hot_path);
