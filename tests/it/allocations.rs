//! What an admitted request may allocate.
//!
//! The gateway runs in this process, on one worker, between a client and an upstream that allocate
//! nothing themselves, so whatever is allocated while requests go through is the worker's.

use bearward::cache::{Cache, Readers};
use bearward::change::{Change, Write as Record};
use bearward::config::Config;
use bearward::gateway::route::Routes;
use bearward::gateway::{Gateway, Plan, Shared};
use bearward::id::{OrgId, TokenId, UserId};
use bearward::listener::{Listener, Spoken};
use bearward::org::{Governance, Organization, Revision, User, UserStatus};
use bearward::policy::{Ignores, Policies};
use bearward::role::{RoleName, RoleSet};
use bearward::secret::{DEFAULT_PREFIX, Secret};
use bearward::store::Ledger;
use bearward::store::memory::MemoryStore;
use bearward::telemetry::Counters;
use bearward::time::Timestamp;
use bearward::token::{ApiToken, NOTIFY_BEFORE_EXPIRY, TokenStatus};
use bearward::upstream::Roster;
use bearward::usage::Board;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::convert::Infallible;
use std::env;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations and reallocations of one admitted request over kept connections. Measured: none; the
/// rest is for the ticks that fall into every round on a slow machine.
const PER_REQUEST_MAX: f64 = 0.1;
const REQUESTS: u32 = 1_000;
/// Set where the measuring is done: in a process of its own, because the count is the process's.
const ALONE: &str = "BEARWARD_TEST_ALONE";

#[test]
fn an_admitted_request_stays_within_its_budget() {
    if env::var_os(ALONE).is_some() {
        let per_request = measure();
        println!("{per_request:.2} allocations per admitted request, {PER_REQUEST_MAX} allowed");
        return assert!(per_request <= PER_REQUEST_MAX, "{per_request:.2} are too many");
    }
    let name = "allocations::an_admitted_request_stays_within_its_budget";
    let told = Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&told.stdout);
    print!("{text}");
    assert!(told.status.success(), "{text}{}", String::from_utf8_lossy(&told.stderr));
    assert!(text.contains("1 passed"), "{name} is not the name of this test: {text}");
}

fn measure() -> f64 {
    let made = || ALLOCATOR.stats().allocations;
    let before = made();
    drop(std::hint::black_box(vec![0_u8; 64]));
    assert!(made() > before, "nothing is counted");
    let upstream = start_upstream();
    let (listener, token) = start_gateway(upstream);
    let mut client = Client::new(listener.address(), &token);
    // Fills the cache, opens the connection to the upstream, and lets every buffer grow.
    client.requests(REQUESTS);
    // Something may happen once in a while, a tick for example; never in every round.
    let per_request = (0..5)
        .map(|_round| {
            let before = ALLOCATOR.stats();
            client.requests(REQUESTS);
            let now = ALLOCATOR.stats();
            let made =
                (now.allocations - before.allocations) + (now.reallocations - before.reallocations);
            f64::from(u32::try_from(made).unwrap()) / f64::from(REQUESTS)
        })
        .fold(f64::INFINITY, f64::min);
    drop(client);
    listener.drain();
    per_request
}

/// Sends the same request again and again over one connection, without allocating.
struct Client {
    stream: TcpStream,
    request: String,
}

impl Client {
    fn new(gateway: SocketAddr, token: &str) -> Self {
        let stream = TcpStream::connect(gateway).unwrap();
        stream.set_nodelay(true).unwrap();
        let request = format!(
            "GET /orders/1 HTTP/1.1\r\nHost: api.test\r\nUser-Agent: test\r\nAccept: */*\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        Self { stream, request }
    }

    fn requests(&mut self, count: u32) {
        let mut answer = [0; 4096];
        for _ in 0..count {
            self.stream.write_all(self.request.as_bytes()).unwrap();
            let mut length = 0;
            while !answer[..length].ends_with(b"\r\n\r\nok") {
                let read = self.stream.read(&mut answer[length..]).unwrap();
                assert!(read > 0, "{}", String::from_utf8_lossy(&answer[..length]));
                length += read;
            }
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        }
    }
}

fn start_upstream() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        for stream in socket.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || serve(&mut stream));
        }
    });
    address
}

fn serve(stream: &mut TcpStream) {
    let mut request = [0; 4096];
    let mut length = 0;
    while let Ok(read @ 1..) = stream.read(&mut request[length..]) {
        length += read;
        if request[..length].ends_with(b"\r\n\r\n") {
            let answer = b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
                Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer).unwrap();
            length = 0;
        }
    }
}

/// A gateway of one worker over a store in memory, and a token that it admits.
fn start_gateway(upstream: SocketAddr) -> (Listener, String) {
    let text = format!(
        "gateway.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n\
         store.path = \"unused\"\n\
         [services.orders]\nroles = [\"reader\"]\n\
         [upstreams.orders]\naddresses = [\"{upstream}\"]\n\
         [[routes]]\nname = \"orders\"\npath = \"/orders\"\nupstream = \"orders\"\n\
         require = {{ service = \"orders\", organizations = \"any\", any_of = [\"orders/reader\"] }}"
    );
    let config = Config::parse(&text, Path::new("/"), &|_| None).unwrap();
    let store = MemoryStore::new();
    let cache = Cache::new(Arc::clone(&store) as _, 1_000, 1).unwrap();
    store.follow(Arc::clone(&cache) as _);
    let token = seed(&store);
    let board = Arc::new(Board::new(1));
    let routes = Routes::compile(&config, &store.roles(), board.asked()).unwrap();
    let plan = Plan { generation: 0, routes, upstreams: Roster::all(&config.upstreams) };
    let shared = Arc::new(Shared {
        cache: Arc::clone(&cache),
        readers: Arc::new(Readers::start(cache, 1).unwrap()),
        plan: Arc::new(arc_swap::ArcSwap::from_pointee(plan)),
        tls: None,
        own_ports: bearward::config::OwnPorts::default(),
        roles: Box::new(move || store.roles()),
    });
    let counters = Arc::<Counters>::default();
    let socket = TcpListener::bind(config.gateway.listen).unwrap();
    let limits = config.limits.clone();
    let listener = Listener::start(socket, 1, &limits, Spoken::default(), move |number, ticks| {
        let (shared, counters) = (Arc::clone(&shared), Arc::clone(&counters));
        Gateway::new(shared, &config, ticks.clone(), board.shard(number), counters, None)
    });
    (listener.unwrap(), token)
}

fn seed(store: &MemoryStore) -> String {
    let reader: RoleName = "orders/reader".parse().unwrap();
    let roles = Change { writes: vec![Record::Roles(vec![reader.clone()])], ..Change::default() };
    store.commit(roles).wait().unwrap();
    let scope: RoleSet = store.roles().id(&reader).into_iter().collect();
    let (epoch, org, owner) =
        (Timestamp::from_millis(0), OrgId::from_bits(1), UserId::from_bits(1));
    let mut next = 0_u8;
    let Ok(secret) = Secret::generate(DEFAULT_PREFIX, |bytes| {
        bytes.fill_with(|| {
            next = next.wrapping_mul(5).wrapping_add(3);
            next
        });
        Ok::<(), Infallible>(())
    });
    let organization = Organization {
        id: org,
        version: Revision(0),
        name: "O".into(),
        governance: Governance::Activated,
        policies: Policies::default(),
        created_at: epoch,
    };
    let user = User {
        id: owner,
        version: Revision(0),
        org,
        email: "u@example.test".into(),
        name: "U".into(),
        roles: scope.clone(),
        operator: false,
        status: UserStatus::Activated(None),
        created_at: epoch,
        external_id: None,
        modified_at: epoch,
    };
    let token = ApiToken {
        id: TokenId::from_bits(1),
        version: Revision(0),
        org,
        owner,
        created_by: None,
        minted_by: None,
        name: "T".into(),
        scope,
        digest: secret.digest(),
        created_at: epoch,
        issued_at: epoch,
        expires_at: Timestamp::from_millis(i64::MAX),
        ignores: Ignores::default(),
        status: TokenStatus::Activated(None),
        former: Vec::new(),
        notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
    };
    let writes = vec![Record::Organization(organization), Record::User(user), Record::Token(token)];
    store.commit(Change { writes, ..Change::default() }).wait().unwrap();
    secret.expose().to_owned()
}
