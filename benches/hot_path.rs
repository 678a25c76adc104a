//! What the gateway itself does for each admitted request, piece by piece.

use bearward::access::{Circumstances, Demand, Organizations, Requirement, decide};
use bearward::cache::{Cache, Lookup, Readers};
use bearward::change::{Change, Write};
use bearward::config::IdentityHeaders;
use bearward::credential::{self, Credential};
use bearward::gateway::HeaderWork;
use bearward::http1::{HeadLimits, Parser, Side};
use bearward::id::{OrgId, TokenId, UserId};
use bearward::org::{Governance, Organization, Revision, User, UserStatus};
use bearward::policy::{Ignores, Policies};
use bearward::role::{RoleId, RoleSet};
use bearward::secret::{self, DEFAULT_PREFIX, Digest, Secret};
use bearward::store::Ledger;
use bearward::store::memory::MemoryStore;
use bearward::time::Timestamp;
use bearward::token::{ApiToken, NOTIFY_BEFORE_EXPIRY, TokenStatus};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderName, Method};
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

fn request(secret: &str, more: &str) -> String {
    format!(
        "GET /get HTTP/1.1\r\nHost: api.example.test\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\
         Authorization: Bearer {secret}\r\n{more}\r\n"
    )
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
        modified_at: EPOCH,
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
        notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
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
    let field = format!("Bearer {}", secrets[0]);
    criterion.bench_function("credential/read", |bencher| {
        bencher.iter(|| credential::read(Some(black_box(field.as_bytes())), false));
    });
    let Credential::Bearer(bearer) = credential::read(Some(field.as_bytes()), false) else {
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
        certificate: false,
        demand: Some(Demand {
            organizations: Organizations::Any,
            any_of: [ROLE].into_iter().collect(),
            all_of: RoleSet::empty(),
        }),
    };
    let circumstances = Circumstances { method: &Method::GET, certificate: None };
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
    let identity = b"x-auth-subject: usr_00000000000000000000000001\r\n\
        x-auth-organization: org_00000000000000000000000001\r\n\
        x-auth-token-id: tok_00000000000000000000000001\r\nx-auth-scope: orders/reader\r\n";
    let plain = request(&secrets()[0], "");
    let forged = request(
        &secrets()[0],
        "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX_Auth_Subject: somebody\r\n\
         X-Forwarded-For: 203.0.113.9\r\n",
    );
    let limits = HeadLimits { bytes_max: 64 * 1024, fields_max: 100 };
    for (name, head) in [("plain request", plain), ("forged request", forged)] {
        let (head, mut parser) = (head.as_bytes(), Parser::new(Side::Requests));
        criterion.bench_function(&format!("head/{name}"), |bencher| {
            bencher.iter(|| {
                parser.reset();
                parser.advance(black_box(head), limits)
            });
        });
        let request = parser.request(head).expect("it was read to its end");
        let mut text = Vec::new();
        criterion.bench_function(&format!("headers/{name}"), |bencher| {
            bencher.iter(|| {
                text.clear();
                work.pass(&mut text, black_box(&request), identity);
            });
        });
    }
}

criterion_group!(hot_path, credentials, decisions, headers);
criterion_main!(hot_path);
