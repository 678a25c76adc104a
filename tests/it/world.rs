//! The real binary, started as people start it: a configuration file, `init`, `serve`.
//!
//! Each world has a directory and, on Linux, a loopback address of its own, so any number of them
//! run side by side and none can be mistaken for another.

use crate::names;
use crate::upstream::Upstream;
use crate::wire::{Answer, Wire, exchange, lossy};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest anything here waits for the process.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the process is started before a port that somebody else took is an error.
const STARTS_MAX: u32 = 5;
/// Stands for the organization's identity in a configuration that is written before there is one.
const ORG_PLACEHOLDER: &str = "org_00000000000000000000000001";

/// What a gateway is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    gateway: Vec<String>,
    limits: Vec<String>,
    upstream: Vec<String>,
    addresses: Vec<String>,
    extra: String,
    routes: String,
    launcher: Vec<String>,
    clock: bool,
    name: Option<&'static str>,
    store: Option<PathBuf>,
}

impl Setup {
    /// Two workers and [`ROUTES`] before this upstream; everything else is as by default.
    pub(crate) fn before(upstream: &Upstream) -> Self {
        Self::before_addresses(vec![upstream.address.to_string()])
    }

    pub(crate) fn before_addresses(addresses: Vec<String>) -> Self {
        Self {
            gateway: vec!["workers = 2".to_owned()],
            limits: Vec::new(),
            upstream: Vec::new(),
            addresses,
            extra: String::new(),
            routes: ROUTES.to_owned(),
            launcher: Vec::new(),
            clock: false,
            name: None,
            store: None,
        }
    }

    /// A line of `[gateway]`.
    pub(crate) fn gateway(mut self, line: &str) -> Self {
        let key = line.split(' ').next().unwrap_or_default();
        self.gateway.retain(|known| known.split(' ').next() != Some(key));
        self.gateway.push(line.to_owned());
        self
    }

    /// A line of `[limits]`.
    pub(crate) fn limit(mut self, line: &str) -> Self {
        self.limits.push(line.to_owned());
        self
    }

    /// A line of `[upstreams.main]`.
    pub(crate) fn upstream(mut self, line: &str) -> Self {
        self.upstream.push(line.to_owned());
        self
    }

    /// Further tables.
    pub(crate) fn extra(mut self, text: &str) -> Self {
        self.extra.push_str(text);
        self
    }

    /// The routes, in place of [`ROUTES`]; `{org}` stands for the organization, `{gateway}` and
    /// `{admin}` for the ports of the world.
    pub(crate) fn routes(mut self, routes: &str) -> Self {
        routes.clone_into(&mut self.routes);
        self
    }

    /// Starts the binary by these words, which come before its own.
    pub(crate) fn launcher(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.launcher = words.into_iter().map(Into::into).collect();
        self
    }

    /// Starts the binary out of a shell that does this first.
    pub(crate) fn after(self, commands: &str) -> Self {
        self.launcher(["sh", "-c", &format!("{commands}; exec \"$@\""), "sh"])
    }

    /// Starts the process with so many file descriptors at most.
    pub(crate) fn descriptors_max(self, count: u32) -> Self {
        self.after(&format!("ulimit -n {count}"))
    }

    fn binary(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_bearward");
        let Some((launcher, words)) = self.launcher.split_first() else {
            return Command::new(binary);
        };
        let mut command = Command::new(launcher);
        command.args(words).arg(binary);
        command
    }

    /// Keeps the store in this file, in place of one in the world's directory.
    pub(crate) fn store(mut self, path: PathBuf) -> Self {
        self.store = Some(path);
        self
    }

    /// Starts the process under a wall clock that [`World::set_clock`] moves.
    pub(crate) const fn clock(mut self) -> Self {
        self.clock = true;
        self
    }

    /// Starts the process where this name leads to the world's own address, as if a name server
    /// said so; nobody else knows it.
    pub(crate) const fn named(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// `init`, then `serve` until it is ready.
    pub(crate) fn start(self) -> World {
        let home = TempDir::new().expect("a temporary directory");
        let mut world = World::unstarted(self, home);
        world.init();
        world.serve();
        world
    }

    /// A configuration that is not started.
    pub(crate) fn unstarted(self) -> World {
        let world = World::unstarted(self, TempDir::new().expect("a temporary directory"));
        world.write_config(ORG_PLACEHOLDER);
        world
    }

    /// Free ports that no upstream has on another address: the admin port's number is nobody
    /// else's on the whole loopback.
    fn free_ports(&self, address: IpAddr) -> [SocketAddr; 2] {
        let is_taken = |port: &SocketAddr| {
            let end = format!(":{}", port.port());
            self.addresses.iter().any(|address| address.ends_with(&end))
        };
        loop {
            let ports = free_ports(address);
            if !ports.iter().any(is_taken) {
                return ports;
            }
        }
    }

    fn config(&self, world: &World, org: &str) -> String {
        let addresses: Vec<_> =
            self.addresses.iter().map(|address| format!("\"{address}\"")).collect();
        format!(
            "[gateway]\nlisten = \"{gateway}\"\n{gateway_lines}\n\n\
             [admin]\nlisten = \"{admin}\"\n\n\
             [store]\npath = \"{store}\"\n\n\
             [limits]\n{limits}\n\n\
             [services.orders]\nroles = [\"reader\", \"writer\"]\n\n\
             [services.billing]\nroles = [\"reader\"]\n\n\
             [upstreams.main]\naddresses = [{addresses}]\n{upstream_lines}\n\n\
             {extra}\n{routes}",
            gateway = world.gateway,
            gateway_lines = self.gateway.join("\n"),
            admin = world.admin,
            store = world.store().display(),
            limits = self.limits.join("\n"),
            addresses = addresses.join(", "),
            upstream_lines = self.upstream.join("\n"),
            extra = self.extra,
            routes = self
                .routes
                .replace("{org}", org)
                .replace("{gateway}", &world.gateway.port().to_string())
                .replace("{admin}", &world.admin.port().to_string()),
        )
    }
}

/// The routes unless a test has its own.
pub(crate) const ROUTES: &str = r#"
[[routes]]
name = "orders"
path = "/orders"
upstream = "main"
require = { service = "orders", organizations = "any", any_of = ["orders/reader", "orders/writer"] }

[[routes]]
name = "billing"
path = "/billing"
upstream = "main"
require = { service = "billing", organizations = "any", all_of = ["billing/reader"] }

[[routes]]
name = "public"
path = "/public"
upstream = "main"
require = "public"
"#;

/// A token that was made, and its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Minted {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Minted {
    /// The field that presents it.
    pub(crate) fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.secret)
    }
}

/// A running gateway. It dies with the test.
#[derive(Debug)]
pub(crate) struct World {
    /// The data port.
    pub(crate) gateway: SocketAddr,
    /// The admin port.
    pub(crate) admin: SocketAddr,
    /// The first organization.
    pub(crate) org: String,
    /// The operator.
    pub(crate) owner: String,
    /// The operator's token.
    pub(crate) owner_token: String,
    pub(crate) owner_secret: String,
    setup: Setup,
    home: TempDir,
    child: Option<Child>,
    /// So many seconds its clock is ahead when the process starts, if it has one that moves.
    starts_at: i64,
}

impl World {
    fn unstarted(setup: Setup, home: TempDir) -> Self {
        let [gateway, admin] = setup.free_ports(own_address());
        let [org, owner, owner_token, owner_secret] = [const { String::new() }; 4];
        Self {
            gateway,
            admin,
            org,
            owner,
            owner_token,
            owner_secret,
            setup,
            home,
            child: None,
            starts_at: 0,
        }
    }

    /// Makes the store and its first organization.
    pub(crate) fn init(&mut self) {
        self.write_config(ORG_PLACEHOLDER);
        let made = self.command(&["init", "--json"]);
        assert!(made.status.success(), "`init` failed: {made:?}");
        let made: Value = serde_json::from_slice(&made.stdout)
            .unwrap_or_else(|error| panic!("`init --json` printed no JSON ({error}): {made:?}"));
        let text = |key: &str| made[key].as_str().unwrap_or_else(|| panic!("no {key}: {made}"));
        text("org").clone_into(&mut self.org);
        text("user").clone_into(&mut self.owner);
        text("token_id").clone_into(&mut self.owner_token);
        text("token").clone_into(&mut self.owner_secret);
    }

    /// Lets the admin port listen on 127.0.0.1, where `localhost` leads.
    pub(crate) fn move_admin_to_loopback(&mut self) {
        [self.admin, _] = free_ports(Ipv4Addr::LOCALHOST.into());
        self.write_config(ORG_PLACEHOLDER);
    }

    /// Gives the upstream other addresses in the configuration file.
    pub(crate) fn replace_addresses(&mut self, addresses: Vec<String>) {
        self.setup.addresses = addresses;
        self.write_config(ORG_PLACEHOLDER);
    }

    fn write_config(&self, org: &str) {
        fs::write(self.config(), self.setup.config(self, org)).expect("the directory is writable");
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join("bearward.toml")
    }

    /// The store file.
    pub(crate) fn store(&self) -> PathBuf {
        self.setup.store.clone().unwrap_or_else(|| self.home.path().join("bearward.redb"))
    }

    /// A file of this world.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Starts the process and waits until it is ready.
    pub(crate) fn serve(&mut self) {
        for start in 1.. {
            self.write_config(&self.org);
            self.spawn();
            match self.wait_until_ready() {
                Ok(()) => return,
                Err(told) if start == STARTS_MAX || !told.contains("ddress") => {
                    panic!("`serve` ended before it was ready:\n{told}")
                }
                // Somebody took a port between the moment it was found free and now.
                Err(_) => {
                    [self.gateway, self.admin] = self.setup.free_ports(self.gateway.ip());
                }
            }
        }
    }

    /// The same, under a wall clock that is so many seconds ahead from the start.
    pub(crate) fn serve_ahead(&mut self, seconds: i64) {
        self.starts_at = seconds;
        self.serve();
    }

    fn spawn(&mut self) {
        let log = |name| {
            let log = File::options().create(true).append(true).open(self.file(name));
            Stdio::from(log.expect("the directory is writable"))
        };
        let mut command = self.setup.binary();
        command.arg("serve").arg("--config").arg(self.config());
        command.stdin(Stdio::null()).stdout(log("stdout")).stderr(log("stderr"));
        if self.setup.clock {
            self.set_clock(self.starts_at);
            command
                .env("LD_PRELOAD", faketime())
                .env("FAKETIME_TIMESTAMP_FILE", self.file("clock"))
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("DONT_FAKE_MONOTONIC", "1")
                .env("NO_FAKE_STAT", "1");
        }
        if let Some(name) = self.setup.name {
            command
                .env("LD_PRELOAD", names::build_in(self.home.path()))
                .env("BEARWARD_TEST_NAME", name)
                .env("BEARWARD_TEST_ADDRESS", self.gateway.ip().to_string());
        }
        self.child = Some(command.spawn().expect("the binary starts"));
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let admin = self.admin;
        let child = self.child.as_mut().expect("it was started");
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = child.try_wait().expect("a child can be asked") {
                return Err(format!("{status}\n{}", self.told()));
            }
            if std::net::TcpStream::connect(admin).is_ok()
                && ask(admin, "GET", "/readyz", None, None).is_some_and(|reply| reply.status == 200)
            {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(format!("not ready within {PATIENCE:?}\n{}", self.told()))
    }

    /// Moves the process's wall clock so many seconds away from the real one.
    pub(crate) fn set_clock(&self, seconds: i64) {
        // Renamed into place: the process reads the file at any moment.
        let next = self.file("clock.next");
        fs::write(&next, format!("{seconds:+}\n")).expect("the directory is writable");
        fs::rename(next, self.file("clock")).expect("the directory is writable");
    }

    /// Runs another command of the binary on this world's configuration, to its end.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let mut child = self
            .setup
            .binary()
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        wait(&mut child, PATIENCE)
            .unwrap_or_else(|| panic!("`bearward {arguments:?}` did not end within {PATIENCE:?}"));
        child.wait_with_output().expect("its output can be read")
    }

    /// What the process wrote to standard error so far.
    pub(crate) fn told(&self) -> String {
        fs::read(self.file("stderr")).map_or_else(|_| String::new(), |bytes| lossy(&bytes))
    }

    fn child(&self) -> &Child {
        self.child.as_ref().expect("the process was started")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child().id()
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = ["-c", "kill -s \"$0\" \"$1\"", name, &self.pid().to_string()];
        let sent = Command::new("sh").args(kill).status().expect("a shell");
        assert!(sent.success(), "the process is gone:\n{}", self.told());
    }

    /// Sends SIGTERM at once, without the time that a shell takes.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(self.child());
        let sent = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        sent.unwrap_or_else(|error| panic!("the process is gone: {error}\n{}", self.told()));
    }

    /// Waits until the process has ended.
    pub(crate) fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        wait(self.child.as_mut().expect("the process was started"), patience)
    }

    /// Whether the process lives.
    pub(crate) fn lives(&mut self) -> bool {
        self.ended(Duration::ZERO).is_none()
    }

    /// Drains the process with SIGTERM and starts it again.
    pub(crate) fn restart(&mut self) {
        self.signal("TERM");
        let status = self.ended(PATIENCE).expect("SIGTERM ends the process");
        assert!(status.success(), "SIGTERM: {status}\n{}", self.told());
        self.serve();
    }

    /// Kills the process without a warning.
    pub(crate) fn kill(&mut self) {
        let child = self.child.as_mut().expect("the process was started");
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
    }

    /// Replaces the routes in the configuration file, without telling the process.
    pub(crate) fn rewrite_routes(&mut self, routes: &str) {
        routes.clone_into(&mut self.setup.routes);
        self.write_config(&self.org);
    }

    /// Resident memory, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("/proc tells about the process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("VmRSS in kB");
        kib.parse::<u64>().expect("a number") * 1024
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("/proc lists them").count()
    }

    /// One request to the data port, on a connection of its own.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        exchange(self.gateway, request)
    }

    /// `GET` of a path, with a token.
    pub(crate) fn fetch(&self, path: &str, token: &Minted) -> Answer {
        self.ask(get(path, &token.bearer()))
    }

    pub(crate) fn wire(&self) -> Wire {
        Wire::to(self.gateway)
    }

    /// The operator at the admin port.
    pub(crate) fn admin(&self) -> Admin {
        Admin { address: self.admin, org: self.org.clone(), secret: self.owner_secret.clone() }
    }

    /// The operator's own token.
    pub(crate) fn owner_credential(&self) -> Minted {
        Minted { id: self.owner_token.clone(), secret: self.owner_secret.clone() }
    }

    /// A token of the operator that lives for an hour, may read orders and is a member's.
    pub(crate) fn mint(&self) -> Minted {
        self.admin().mint(&TokenWish::default())
    }

    /// What a metrics family says, summed over its labels; `None` when there is no such family.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let told = exchange(self.admin, get_from("localhost", "/metrics", ""));
        assert_eq!(told.status, 200, "{told:?}");
        let text = told.text();
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next())??.parse::<f64>().ok()
        };
        text.lines().filter_map(value).reduce(|sum, value| sum + value)
    }
}

#[expect(clippy::print_stderr, reason = "what the gateway said belongs to the failure")]
impl Drop for World {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
        let told = self.told();
        if thread::panicking() {
            eprintln!("--- standard error of the gateway ---\n{told}---");
        } else {
            // Whatever a test is about, no input may make the process panic.
            assert!(!told.contains("panicked at"), "the gateway panicked:\n{told}");
        }
    }
}

/// What a token is made with.
#[derive(Clone, Debug)]
pub(crate) struct TokenWish<'a> {
    pub(crate) name: &'a str,
    pub(crate) ttl: (u32, &'a str),
    pub(crate) org_roles: &'a [&'a str],
    pub(crate) service_roles: &'a [(&'a str, &'a str)],
    /// Somebody else than the caller.
    pub(crate) owner: Option<&'a str>,
}

impl Default for TokenWish<'_> {
    fn default() -> Self {
        Self {
            name: "test",
            ttl: (1, "hours"),
            org_roles: &["org_member"],
            service_roles: &[("orders", "reader")],
            owner: None,
        }
    }
}

/// A caller of the admin API.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    pub(crate) address: SocketAddr,
    pub(crate) org: String,
    pub(crate) secret: String,
}

/// What the admin API answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// `Null` when there is no body or it is no JSON.
    pub(crate) json: Value,
}

impl Reply {
    /// The body, if the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.json);
        self.json
    }
}

impl Admin {
    /// A call under `/api/v1`.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.at(method, &format!("/api/v1{path}"), body)
    }

    /// A call of a whole path.
    #[track_caller]
    pub(crate) fn at(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        ask(self.address, method, path, Some(&self.secret), body)
            .unwrap_or_else(|| panic!("{method} {path} was not answered"))
    }

    /// A call under `/api/v1/orgs/{org}`.
    #[track_caller]
    pub(crate) fn org(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.call(method, &format!("/orgs/{}{path}", self.org), body)
    }

    /// What the audit trail tells of one action, the latest first.
    #[track_caller]
    pub(crate) fn told_of(&self, action: &str) -> Vec<Value> {
        let found = self.org("GET", &format!("/audit?limit=200&action={action}"), None).expect(200);
        found["items"].as_array().expect("a list").clone()
    }

    #[track_caller]
    pub(crate) fn try_mint(&self, wish: &TokenWish<'_>) -> Reply {
        let roles: Vec<_> = wish
            .service_roles
            .iter()
            .map(|(service, role)| json!({"service": service, "role": role}))
            .collect();
        let mut body = json!({
            "name": wish.name,
            "ttl": {"value": wish.ttl.0, "unit": wish.ttl.1},
            "scope": {"org_roles": wish.org_roles, "service_roles": roles},
        });
        if let Some(owner) = wish.owner {
            body["owner"] = json!(owner);
        }
        self.org("POST", "/tokens", Some(&body))
    }

    #[track_caller]
    pub(crate) fn mint(&self, wish: &TokenWish<'_>) -> Minted {
        let made = self.try_mint(wish).expect(201);
        let text = |value: &Value| {
            value.as_str().unwrap_or_else(|| panic!("not what was expected: {made}")).to_owned()
        };
        Minted { id: text(&made["token"]["id"]), secret: text(&made["secret"]) }
    }

    /// Makes a user with these roles and answers their identity.
    #[track_caller]
    pub(crate) fn add_user(&self, name: &str, service_roles: &[(&str, &str)]) -> String {
        let roles: Vec<_> = service_roles
            .iter()
            .map(|(service, role)| json!({"service": service, "role": role}))
            .collect();
        let body = json!({
            "name": name,
            "email": format!("{name}@example.com"),
            "org_roles": ["org_member"],
            "service_roles": roles,
        });
        let made = self.org("POST", "/users", Some(&body)).expect(201);
        made["id"].as_str().unwrap_or_else(|| panic!("no id: {made}")).to_owned()
    }

    #[track_caller]
    pub(crate) fn deactivate(&self, token: &Minted) {
        let reason = json!({"reason": "a test"});
        self.org("POST", &format!("/tokens/{}/deactivate", token.id), Some(&reason)).expect(200);
    }

    #[track_caller]
    pub(crate) fn activate(&self, token: &Minted) {
        let reason = json!({"reason": "a test"});
        self.org("POST", &format!("/tokens/{}/activate", token.id), Some(&reason)).expect(200);
    }

    #[track_caller]
    pub(crate) fn revoke(&self, token: &Minted) {
        self.org("DELETE", &format!("/tokens/{}", token.id), None).expect(204);
    }

    #[track_caller]
    pub(crate) fn deactivate_user(&self, user: &str) {
        let reason = json!({"reason": "a test"});
        self.org("POST", &format!("/users/{user}/deactivate"), Some(&reason)).expect(200);
    }

    #[track_caller]
    pub(crate) fn activate_user(&self, user: &str) {
        let reason = json!({"reason": "a test"});
        self.org("POST", &format!("/users/{user}/activate"), Some(&reason)).expect(200);
    }

    /// The token as the API shows it.
    #[track_caller]
    pub(crate) fn token(&self, id: &str) -> Value {
        self.org("GET", &format!("/tokens/{id}"), None).expect(200)
    }

    /// How often the API says that the token was used.
    #[track_caller]
    pub(crate) fn use_count(&self, id: &str) -> u64 {
        let token = self.token(id);
        token["use_count"].as_u64().unwrap_or_else(|| panic!("no use_count: {token}"))
    }
}

/// One call of the admin port; `None` when it did not answer.
fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    secret: Option<&str>,
    body: Option<&Value>,
) -> Option<Reply> {
    let authorization =
        secret.map(|secret| format!("Authorization: Bearer {secret}\r\n")).unwrap_or_default();
    let body = body.map(Value::to_string);
    let content = body.as_ref().map(|body| {
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
    });
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\
         {authorization}{content}\r\n{body}",
        port = address.port(),
        content = content.unwrap_or_default(),
        body = body.unwrap_or_default(),
    );
    let answer = Wire::to(address).send(request).answer_to(method, PATIENCE).ok()?;
    let json = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    Some(Reply { status: answer.status, json })
}

/// The bytes of a `GET` with further fields, each ended by a line break.
pub(crate) fn get(path: &str, fields: &str) -> String {
    get_from("gateway.test", path, fields)
}

pub(crate) fn get_from(host: &str, path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
}

/// The bytes of a `POST` with a body of known length and further fields.
pub(crate) fn post(path: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: gateway.test\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// Waits, at most `patience`, until something holds.
pub(crate) fn eventually(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if begun.elapsed() > patience {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let mut status = None;
    eventually(patience, || {
        status = child.try_wait().expect("a child can be asked");
        status.is_some()
    });
    status
}

/// A loopback address that no other test has: 127.0.0.0/8 is all ours on Linux.
fn own_address() -> IpAddr {
    static WORLDS: AtomicU32 = AtomicU32::new(0);
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST.into();
    }
    let nth = WORLDS.fetch_add(1, Ordering::Relaxed);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let [.., nth] = nth.to_be_bytes();
    Ipv4Addr::new(127, 1 + nth % 254, high, low).into()
}

fn free_ports(address: IpAddr) -> [SocketAddr; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind((address, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("a bound listener has an address"))
}

/// The library that moves the clock of a process (Debian: `faketime`).
fn faketime() -> &'static Path {
    const PLACES: [&str; 5] = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib64/faketime/libfaketime.so.1",
        "/usr/lib/faketime/libfaketime.so.1",
        "/usr/local/lib/faketime/libfaketime.so.1",
    ];
    let found = PLACES.iter().map(Path::new).find(|place| place.exists());
    found.expect("libfaketime is needed to move the clock (Debian, Fedora: package `faketime`)")
}
