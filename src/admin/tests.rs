//! The admin port as its clients meet it: the real router over the store in memory.

mod attacks;
mod audit;
mod backup;
mod changes;
mod documented;
mod enforcement;
mod insight;
mod leaks;
mod lists;
mod many;
mod matrix;
mod notices;
mod pages;
mod rotation;
mod scim;
mod stories;
mod unused_scope;
mod validations;
mod violations;

use super::*;
use crate::change::{Change, Write};
use crate::governance::{catalogue::Catalogue, closed};
use crate::id::{OrgId, TokenId, UserId};
use crate::org::{Governance, Organization, Revision, StatusChange, User, UserStatus};
use crate::policy::{Ignores, Policies, TtlPolicy};
use crate::role::{RoleId, RoleSet};
use crate::secret::{DEFAULT_PREFIX, Secret};
use crate::session::Stored;
use crate::store::memory::MemoryStore;
use crate::store::{Archive, Facts, Ledger};
use crate::time::{Ttl, Unit};
use crate::token::{ApiToken, NOTIFY_BEFORE_EXPIRY, TokenStatus, Usage};
use crate::usage;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use tower::ServiceExt as _;

const NOW: &str = "2027-01-01T00:00:00Z";
/// Where the admin port would be.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);
const ROLE_READER: RoleId = RoleId(3);
const ROLE_WRITER: RoleId = RoleId(4);

/// Use that is not stored yet.
#[derive(Default)]
struct Pending(
    Mutex<HashMap<TokenId, Usage>>,
    /// What it needed.
    Mutex<usage::Needed>,
);

impl Uses for Pending {
    fn touch(&self, _token: TokenId, _usage: Usage) {}

    fn still(&self) -> Box<dyn usage::Pending + '_> {
        Box::new(self)
    }

    fn pending(&self) -> HashMap<TokenId, Usage> {
        self.0.lock().expect("no panic").clone()
    }

    fn pending_needs(&self) -> usage::Needed {
        self.1.lock().expect("no panic").clone()
    }
}

impl usage::Pending for &Pending {
    fn pending(&self, token: TokenId) -> Usage {
        self.0.lock().expect("no panic").get(&token).copied().unwrap_or_default()
    }
}

/// An admin port over a store with two organizations.
struct House {
    router: Router,
    store: Arc<MemoryStore>,
    tidings: Arc<Tidings>,
    now: Arc<AtomicI64>,
    pending: Arc<Pending>,
    refusals: Arc<Refusals>,
    browsers: Arc<Browsers>,
    seal: Arc<Seal>,
    /// The organization that the tests are about, and another one.
    org: OrgId,
    other_org: OrgId,
    operator: Member,
    owner: Member,
    admin: Member,
    member: Member,
    /// A member with a token, whom others act upon.
    bystander: Member,
    outsider: Member,
}

/// A user, their token and its secret.
#[derive(Clone)]
struct Member {
    user: UserId,
    token: TokenId,
    secret: String,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
    text: String,
    bytes: bytes::Bytes,
}

impl Answer {
    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    /// The answer is a problem of this kind.
    #[track_caller]
    fn problem(self, status: u16, kind: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.body["type"], format!("urn:bearward:problem:{kind}"), "{}", answer.text);
        answer
    }

    #[track_caller]
    fn field(&self) -> &str {
        self.body["field"].as_str().unwrap_or_else(|| panic!("no field in {}", self.text))
    }

    fn etag(&self) -> String {
        self.headers["etag"].to_str().expect("a tag").to_owned()
    }
}

/// A request in the making.
struct Ask<'h> {
    house: &'h House,
    request: http::request::Builder,
    body: Body,
}

impl Ask<'_> {
    fn by(self, member: &Member) -> Self {
        self.with_secret(&member.secret)
    }

    fn with_secret(self, secret: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {secret}"))
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// As if it came over a connection from there.
    fn from(mut self, address: IpAddr) -> Self {
        self.request = self.request.extension(ConnectInfo(SocketAddr::new(address, 40_000)));
        self
    }

    fn json(self, body: &Value) -> Self {
        let mut ask = self.header(CONTENT_TYPE.as_str(), "application/json");
        ask.body = Body::from(body.to_string());
        ask
    }

    fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it as it is, `Host` included or not; checks what holds for every answer.
    async fn send_bare(self) -> Answer {
        let request = self.request.body(self.body).expect("a request");
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.house.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        // A backup is no text.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ] {
            assert_eq!(parts.headers[name], value, "{method} {path}");
        }
        assert!(!parts.headers["x-request-id"].is_empty());
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if parts.status.is_client_error() || parts.status.is_server_error() {
            if path.starts_with("/scim/v2") {
                assert_eq!(parts.headers[CONTENT_TYPE], "application/scim+json", "{text}");
                assert_eq!(body["status"], parts.status.as_str());
                let schema = "urn:ietf:params:scim:api:messages:2.0:Error";
                assert_eq!(body["schemas"], json!([schema]));
                assert!(body["detail"].as_str().is_some_and(|text| !text.is_empty()), "{text}");
                documented::check(&method, &path, parts.status);
                return Answer { status: parts.status, headers: parts.headers, body, text, bytes };
            }
            assert_eq!(parts.headers[CONTENT_TYPE], problem::MEDIA_TYPE, "{method} {path}");
            assert_eq!(body["status"], parts.status.as_u16());
            for field in ["type", "title", "detail"] {
                assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{text}");
            }
        }
        documented::check(&method, &path, parts.status);
        Answer { status: parts.status, headers: parts.headers, body, text, bytes }
    }

    async fn send(self) -> Answer {
        self.header(HOST.as_str(), "localhost:8081").send_bare().await
    }
}

impl House {
    async fn new() -> Self {
        Self::with(true, |store| Arc::clone(store) as _).await
    }

    /// One with a mail server or without.
    async fn with_mail(has_mail: bool) -> Self {
        Self::with(has_mail, |store| Arc::clone(store) as _).await
    }

    /// One whose endpoints work with another ledger over the same store.
    async fn before(ledger: impl FnOnce(&Arc<MemoryStore>) -> Arc<dyn Ledger>) -> Self {
        Self::with(true, ledger).await
    }

    async fn with(
        has_mail: bool,
        ledger: impl FnOnce(&Arc<MemoryStore>) -> Arc<dyn Ledger>,
    ) -> Self {
        let store = MemoryStore::new();
        let catalogue = catalogue();
        let roles = Write::Roles(catalogue.role_names());
        let mut seed = Seed { next: 1, writes: vec![roles] };
        let org = seed.organization("Acme");
        let other_org = seed.organization("Globex");
        let operator = seed.member(org, "Op", &[0, 3], true);
        let owner = seed.member(org, "Owen", &[0, 3], false);
        let admin = seed.member(org, "Ada", &[1, 3], false);
        let member = seed.member(org, "Mem", &[2, 3], false);
        let bystander = seed.member(org, "By", &[2, 3], false);
        let outsider = seed.member(other_org, "Out", &[0, 3], false);
        let change = Change { writes: seed.writes, ..Change::default() };
        store.commit(change).await.expect("a fresh store takes it");
        assert_eq!(store.roles().id(&"orders/reader".parse().expect("a role")), Some(ROLE_READER));

        let now = Arc::new(AtomicI64::new(at(NOW).millis()));
        let pending = Arc::new(Pending::default());
        let refusals = Arc::<Refusals>::default();
        let browsers = Arc::<Browsers>::default();
        let clock = Arc::clone(&now);
        let seal = Arc::new(Seal::new(&crate::secret::Key::default()).expect("a key"));
        let tidings = Arc::new(Tidings::new(Arc::clone(&store) as Arc<dyn Facts>));
        store.follow(Arc::clone(&tidings) as _);
        let router = router(AdminState {
            ledger: ledger(&store),
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
            backups: Backups::new(Arc::clone(&store) as Arc<dyn Archive>, std::env::temp_dir()),
            evidences: Arc::new(Stored(Arc::clone(&store) as Arc<dyn Facts>)),
            uses: Arc::clone(&pending) as Arc<dyn Uses>,
            passes: Arc::default(),
            insights: Insights::default(),
            shelves: Arc::default(),
            tidings: Arc::clone(&tidings),
            overviews: Overviews::default(),
            guesses: Guesses::default(),
            browsers: Arc::clone(&browsers),
            facts: Arc::clone(&store) as Arc<dyn Facts>,
            partners: Keys::default(),
            leaks: Leaks::default(),
            refusals: Arc::clone(&refusals),
            catalogue: Arc::new(ArcSwap::from_pointee(catalogue)),
            hosts: vec!["admin.example.com".to_owned()],
            bell: Arc::default(),
            token_prefix: DEFAULT_PREFIX.to_owned(),
            seal: Arc::clone(&seal),
            has_mail,
            callable: ["10.9.0.0/16", "127.9.0.0/16"]
                .map(|net| net.parse().expect("a network"))
                .into(),
            own_ports: OwnPorts { gateway: None, admin: Some(ADMIN) },
            random: Arc::new(system_random),
            clock: Arc::new(move || Timestamp::from_millis(clock.load(Ordering::Relaxed))),
            ready: Arc::new(|| true),
            metrics: Arc::new(|| "# EOF\n".to_owned()),
        });
        Self {
            router,
            store,
            tidings,
            now,
            pending,
            refusals,
            browsers,
            seal,
            org,
            other_org,
            operator,
            owner,
            admin,
            member,
            bystander,
            outsider,
        }
    }

    fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        let request = Request::builder().method(method).uri(path);
        Ask { house: self, request, body: Body::empty() }
    }

    fn get(&self, path: &str) -> Ask<'_> {
        self.ask("GET", path)
    }

    /// A path below the organization.
    fn at(&self, rest: &str) -> String {
        format!("/api/v1/orgs/{}{rest}", self.org)
    }

    /// Writes past the API, for states that it takes long to come to.
    async fn write(&self, write: Write) {
        let change = Change { writes: vec![write], ..Change::default() };
        self.store.commit(change).await.expect("the store takes it");
    }

    fn set_now(&self, now: Timestamp) {
        self.now.store(now.millis(), Ordering::Relaxed);
    }

    fn user(&self, id: UserId) -> User {
        self.store.user(id).expect("readable").expect("a user")
    }

    fn token(&self, id: TokenId) -> ApiToken {
        self.store.token(id).expect("readable").expect("a token").0
    }

    fn organization(&self) -> Organization {
        self.store.organization(self.org).expect("readable").expect("an organization")
    }

    async fn govern(&self, governance: Governance) {
        let org = Organization { governance, ..self.organization() };
        self.write(Write::Organization(org)).await;
    }

    /// Sets the Max Token TTL, in days; the tokens here live half a year.
    async fn limit_lives(&self, days: u32) {
        let mut org = self.organization();
        org.policies.max_ttl =
            TtlPolicy { active: true, ttl: Ttl::new(days, Unit::Days), enforcement: None };
        self.write(Write::Organization(org)).await;
    }

    /// One more token of a user, with all of the user's roles.
    async fn token_of(&self, user: UserId, name: &str) -> (TokenId, String) {
        let mut seed = Seed { next: 100 + u128::from(self.store_size()), writes: vec![] };
        let owner = self.user(user);
        let (token, secret) = seed.token(&owner, name);
        for write in seed.writes {
            self.write(write).await;
        }
        (token, secret)
    }

    fn store_size(&self) -> u32 {
        let mut count = 0;
        for org in [self.org, self.other_org] {
            let mut visit = |_, _| {
                count += 1;
                std::ops::ControlFlow::Continue(())
            };
            self.store.visit_tokens(org, None, &mut visit).expect("readable");
        }
        count
    }

    /// Creates a token over the API; its identity and secret.
    async fn create_token(&self, by: &Member, body: Value) -> (String, String) {
        let path = self.at("/tokens");
        let answer = self.ask("POST", &path).by(by).json(&body).send().await.expect(201);
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        (text(&answer.body["token"]["id"]), text(&answer.body["secret"]))
    }

    async fn create_user(&self, by: &Member, email: &str, roles: &[&str]) -> String {
        let body = json!({"email": email, "name": email, "org_roles": roles});
        let path = self.at("/users");
        let answer = self.ask("POST", &path).by(by).json(&body).send().await.expect(201);
        answer.body["id"].as_str().expect("an identity").to_owned()
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("RFC 3339")
}

fn catalogue() -> Catalogue {
    let name = |text: &str| text.parse().expect("a name");
    Catalogue::new([], [(name("orders"), vec![name("reader"), name("writer")])])
}

/// Records for a fresh store.
struct Seed {
    next: u128,
    writes: Vec<Write>,
}

impl Seed {
    fn bits(&mut self) -> u128 {
        self.next += 1;
        self.next
    }

    fn organization(&mut self, name: &str) -> OrgId {
        let id = OrgId::from_bits(self.bits());
        self.writes.push(Write::Organization(Organization {
            id,
            version: Revision(0),
            name: name.to_owned(),
            governance: Governance::Activated,
            policies: Policies::default(),
            created_at: at(NOW),
        }));
        id
    }

    fn user(&mut self, org: OrgId, name: &str, roles: &[u32], operator: bool) -> User {
        let roles: RoleSet = roles.iter().copied().map(RoleId).collect();
        let user = User {
            id: UserId::from_bits(self.bits()),
            version: Revision(0),
            org,
            email: format!("{}@example.com", name.to_lowercase()),
            name: name.to_owned(),
            roles: closed(&roles),
            operator,
            status: UserStatus::Activated(None),
            created_at: at(NOW),
            external_id: None,
            modified_at: at(NOW),
        };
        self.writes.push(Write::User(user.clone()));
        user
    }

    fn token(&mut self, owner: &User, name: &str) -> (TokenId, String) {
        let secret = Secret::generate(DEFAULT_PREFIX, system_random).expect("random bytes");
        let id = TokenId::from_bits(self.bits());
        self.writes.push(Write::Token(ApiToken {
            id,
            version: Revision(0),
            org: owner.org,
            owner: owner.id,
            created_by: Some(owner.id),
            minted_by: None,
            name: name.to_owned(),
            scope: owner.roles.clone(),
            digest: secret.digest(),
            created_at: at(NOW),
            issued_at: at(NOW),
            expires_at: at(NOW).after_months(6),
            ignores: Ignores::default(),
            status: TokenStatus::Activated(None),
            former: Vec::new(),
            notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
        }));
        (id, secret.expose().to_owned())
    }

    fn member(&mut self, org: OrgId, name: &str, roles: &[u32], operator: bool) -> Member {
        let user = self.user(org, name, roles, operator);
        let (token, secret) = self.token(&user, &format!("{name}'s"));
        Member { user: user.id, token, secret }
    }
}

fn deactivated(governed: bool) -> StatusChange {
    StatusChange { at: at(NOW), by: None, reason: None, governed }
}
