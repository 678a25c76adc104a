//! Commands around a gateway that serves.

use super::{CONFIG, Site, Told, bearward, text};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The longest anything here waits for a process.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that dies with the test.
struct Process {
    child: Child,
    err: std::path::PathBuf,
}

impl Process {
    fn start(mut command: Command, err: &Path) -> Self {
        let file = fs::File::create(err).expect("the directory is writable");
        command.stdout(Stdio::piped()).stderr(file);
        Self { child: command.spawn().expect("the binary starts"), err: err.to_owned() }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status();
        assert!(sent.expect("a shell").success(), "{}", self.told());
    }

    fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it did not end:\n{}", self.told());
    }

    fn told(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    fn eventually_tells(&self, part: &str) {
        let begun = Instant::now();
        while !self.told().contains(part) {
            assert!(begun.elapsed() < PATIENCE, "it never said {part}:\n{}", self.told());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A demo on free ports.
struct Demo {
    process: Process,
    /// What it printed.
    json: Value,
    home: tempfile::TempDir,
}

impl Demo {
    fn start(more: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut command = bearward(&["demo", "--json", "--gateway-port", "0", "--admin-port", "0"]);
        command.args(more).env("TMPDIR", home.path());
        let mut process = Process::start(command, &home.path().join("stderr"));
        let out = process.child.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("its output can be read");
        let json = serde_json::from_str(&line);
        let json = json.unwrap_or_else(|error| panic!("{error}: {line}\n{}", process.told()));
        Self { process, json, home }
    }

    fn gateway(&self) -> SocketAddr {
        let url = text(&self.json, "gateway");
        url.strip_prefix("http://").and_then(|at| at.parse().ok()).expect(url)
    }

    /// The status of a request with a token.
    fn status(&self, secret: &str) -> u16 {
        ask(self.gateway(), secret).0
    }

    fn token(&self, key: &str) -> &str {
        text(&self.json["tokens"], key)
    }

    fn token_id(&self, key: &str) -> &str {
        text(&self.json["token_ids"], key)
    }

    /// `bearward token`, as the owner.
    fn govern(&self, arguments: &[&str]) -> Told {
        self.asked("token", arguments)
    }

    /// `bearward` and a command that asks the admin port, as the owner.
    fn asked(&self, name: &str, arguments: &[&str]) -> Told {
        let mut command = bearward(&[name]);
        command.args(arguments).env("BEARWARD_ADMIN", text(&self.json, "admin"));
        command.env("BEARWARD_TOKEN", text(&self.json, "owner_token"));
        Told::of(&command.output().expect("the binary runs"))
    }

    /// The same with `--json`, which must go well.
    fn governed(&self, arguments: &[&str]) -> Value {
        let told = self.govern(&[arguments, &["--json"]].concat());
        assert_eq!((told.code, told.err.as_str()), (0, ""), "{arguments:?}");
        serde_json::from_str(&told.out).expect("JSON")
    }
}

fn ask(address: SocketAddr, secret: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the gateway listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!(
        "GET /hello?a=b HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\
         Authorization: Bearer {secret}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    (status.unwrap_or_else(|| panic!("no status: {answer}")), body)
}

#[test]
fn openapi_prints_a_document() {
    let output = bearward(&["openapi"]).output().expect("the binary runs");
    let told = Told::of(&output);
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    let document: Value = serde_json::from_str(&told.out).expect("JSON");
    assert!(text(&document, "openapi").starts_with("3.1"));
}

#[test]
fn the_demo_has_a_token_in_every_state_and_leaves_nothing_behind() {
    let mut demo = Demo::start(&[]);
    let keys = ["live", "deactivated", "expired", "never_used", "wrong_scope"];
    for key in keys {
        assert!(text(&demo.json["token_ids"], key).starts_with("tok_"), "{key}");
        assert!(demo.token(key).starts_with("bwt_"), "{key}");
    }
    assert!(text(&demo.json, "org").starts_with("org_"));
    let fields = demo.json.as_object().expect("an object").len();
    assert_eq!(fields, 6, "{}", demo.json);

    assert_eq!(demo.status(demo.token("live")), 200);
    assert_eq!(demo.status(demo.token("never_used")), 200);
    assert_eq!(demo.status(demo.token("deactivated")), 401);
    assert_eq!(demo.status(demo.token("expired")), 401);
    assert_eq!(demo.status(demo.token("wrong_scope")), 403);
    let (_, body) = ask(demo.gateway(), demo.token("live"));
    let echo: Value = serde_json::from_str(&body).expect("the echo's JSON");
    assert_eq!((text(&echo, "method"), text(&echo, "path")), ("GET", "/hello?a=b"));
    assert!(!body.contains(demo.token("live")), "the bearer is not forwarded");

    let left = || {
        let entries = fs::read_dir(demo.home.path()).expect("the directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names.filter(|name| name.to_string_lossy().starts_with("bearward-demo-")).count()
    };
    assert_eq!(left(), 1);
    demo.process.signal("TERM");
    assert_eq!(demo.process.ended().code(), Some(0));
    let entries = fs::read_dir(demo.home.path()).expect("the directory").count();
    assert_eq!(entries, 1, "its standard error alone");
}

#[test]
fn the_demo_makes_many_tokens_before_another_upstream() {
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("http://{}", upstream.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in upstream.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            let _sent = stream.get_mut().write_all(answer);
        }
    });
    let home = tempfile::tempdir().expect("a temporary directory");
    let file = home.path().join("tokens");
    let path = file.to_str().expect("text");
    let demo = Demo::start(&[
        "--upstream",
        &url,
        "--workers",
        "1",
        "--tokens",
        "1500",
        "--tokens-file",
        path,
    ]);
    let secrets = fs::read_to_string(&file).expect("the file");
    assert_eq!(secrets.lines().count(), 1500);
    for secret in secrets.lines().step_by(500) {
        assert_eq!(demo.status(secret), 204);
    }
}

#[test]
fn a_token_is_governed_over_the_command_line() {
    let demo = Demo::start(&[]);
    let made = demo.governed(&[
        "create",
        "--name",
        "ci",
        "--ttl",
        "30d",
        "--scope",
        "org_member",
        "--scope",
        "echo/caller",
    ]);
    let (id, secret) = (text(&made["token"], "id"), text(&made, "secret"));
    assert_eq!(demo.status(secret), 200);

    let told = demo.govern(&["list", "--q", "ci", "--status", "activated"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.out.starts_with("TOKEN"), "{}", told.out);
    assert!(told.out.contains(id) && !told.out.contains(secret), "{}", told.out);
    let all = demo.governed(&["list"]);
    let all = all["items"].as_array().expect("a list").len();
    assert!(all >= 10, "{all}");
    let few = demo.governed(&["list", "--limit", "3"]);
    assert_eq!(few["items"].as_array().map(Vec::len), Some(3));

    let told = demo.govern(&["deactivate", id, "--reason", "a test"]);
    assert_eq!((told.code, told.out), (0, format!("{id}  deactivated\n")));
    assert_eq!(demo.status(secret), 401);
    let token = demo.governed(&["show", id]);
    assert_eq!(token["status"], "deactivated");
    assert_eq!(token["status_changed"]["reason"], "a test");
    assert_eq!(demo.govern(&["activate", id]).code, 0);
    assert_eq!(demo.status(secret), 200);
    let told = demo.govern(&["revoke", id]);
    assert_eq!((told.code, told.out), (0, format!("{id}  revoked\n")));
    assert_eq!(demo.status(secret), 401);
    let token = demo.governed(&["show", id]);
    assert_eq!(token["status"], json!("revoked"));
}

#[test]
fn insight_tells_of_tokens_that_requests_used_and_of_their_ends() {
    let demo = Demo::start(&[]);
    let insight = |arguments: &[&str]| -> Value {
        let told = demo.asked("insight", &[arguments, &["--json"]].concat());
        assert_eq!((told.code, told.err.as_str()), (0, ""), "{arguments:?}");
        serde_json::from_str(&told.out).expect("JSON")
    };
    // The demo begins with requests of the weeks before.
    let verdicts = || -> (u64, u64) {
        let told = insight(&["verdicts"]);
        let sum = |of: &dyn Fn(&Value) -> Option<u64>| -> u64 {
            told["days"].as_array().expect("a list").iter().filter_map(of).sum()
        };
        let denied = sum(&|day| day["denied"]["deactivated"].as_u64());
        (sum(&|day| day["permitted"].as_u64()), denied)
    };
    let verdicts_before = verdicts();
    let before = insight(&["stale", "--days", "1"]);
    let scope = ["--scope", "echo/caller"];
    let created =
        demo.governed(&[&["create", "--name", "fresh", "--ttl", "3d"], &scope[..]].concat());
    let secret = text(&created, "secret");
    assert_eq!(demo.status(secret), 200);
    // Another question than before, so that no answer is kept.
    let after = insight(&["stale", "--days", "2"]);
    let grown = |field: &str| after[field].as_i64().zip(before[field].as_i64()).map(|(a, b)| a - b);
    assert_eq!(grown("live"), Some(1), "{before} {after}");
    assert_eq!(grown("never_used"), Some(0), "{before} {after}");
    let ends = insight(&["expiry", "--days", "4"]);
    let id = &created["token"]["id"];
    let days = ends["calendar"].as_array().expect("a list");
    let named = |day: &&Value| day["tokens"].as_array().expect("a list").contains(id);
    let day = days.iter().find(named).expect("the day on which it ends");
    let expires_at = text(&created["token"], "expires_at");
    assert_eq!(day["day"].as_str(), Some(&expires_at[..10]));
    let requests = insight(&["requests", "--token", text(&created["token"], "id")]);
    let days = requests["days"].as_array().expect("a list");
    let sum: u64 = days.iter().filter_map(|day| day["requests"].as_u64()).sum();
    assert_eq!((days.len(), sum), (35, 1), "{requests}");
    // A dead token counts for its organization, once the next flush has gathered it.
    assert_eq!(demo.status(demo.token("deactivated")), 401);
    let begun = Instant::now();
    loop {
        let (permitted, denied) = verdicts();
        if permitted > verdicts_before.0 && denied == verdicts_before.1 + 1 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{permitted} {denied} after {verdicts_before:?}");
        thread::sleep(Duration::from_millis(100));
    }
    // And for itself, by the day and the reason.
    let refused = || {
        let told = insight(&["requests", "--token", demo.token_id("deactivated")]);
        let day = told["days"].as_array().and_then(|days| days.last().cloned());
        day.expect("today")["refused"].clone()
    };
    let begun = Instant::now();
    while refused() != json!({"deactivated": 1}) {
        assert!(begun.elapsed() < PATIENCE, "{}", refused());
        thread::sleep(Duration::from_millis(100));
    }
    let table = demo.asked("insight", &["stale"]);
    assert!(table.out.starts_with("IDLE DAYS"), "{}", table.out);
}

/// What has no command of its own, end to end over the command line.
#[test]
fn an_organization_is_governed_over_the_command_line() {
    let demo = Demo::start(&[]);
    let call = |arguments: &[&str]| -> Value {
        let told = demo.asked("api", arguments);
        assert_eq!((told.code, told.err.as_str()), (0, ""), "{arguments:?}");
        if told.out.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&told.out).expect("JSON")
        }
    };
    let policies = r#"{"idle_ttl": {"active": true, "value": 1, "unit": "days"},
                       "max_ttl": {"active": false, "value": 180, "unit": "days"}}"#;
    let foreseen = call(&["POST", "/orgs/{org}/policies/preview", "--body", policies]);
    assert!(foreseen["flagged"].as_u64() > Some(0), "{foreseen}");
    let file = demo.home.path().join("policies.json");
    fs::write(&file, policies).expect("the directory is writable");
    let file = file.to_str().expect("text");
    call(&["PUT", "/orgs/{org}/policies", "--body-file", file]);
    let saved = call(&["get", "/api/v1/orgs/{org}/policies"]);
    assert_eq!(
        (&saved["idle_ttl"]["value"], &saved["idle_ttl"]["unit"]),
        (&json!(1), &json!("days"))
    );

    let run = call(&["POST", "/orgs/{org}/validations"]);
    let number = run["number"].as_u64().expect("a number");
    let begun = Instant::now();
    while call(&["GET", "/orgs/{org}/validations"])["items"].as_array().is_none_or(|runs| {
        !runs.iter().any(|run| run["number"] == number && run["state"] == "finished")
    }) {
        assert!(begun.elapsed() < PATIENCE, "run {number} is not through");
        thread::sleep(Duration::from_millis(20));
    }
    let broken = call(&["GET", "/orgs/{org}/tokens?violation=any&limit=1"]);
    let token = text(&broken["items"][0], "id");
    let until = bearward::clock::now().after(Duration::from_hours(240)).to_string();
    let ignored = json!({"until": until, "reason": "known"}).to_string();
    let path = format!("/orgs/{{org}}/tokens/{token}/violations/idle_ttl/ignore");
    let told = call(&["POST", &path, "--body", &ignored]);
    assert!(told["violations"].to_string().contains(&until), "{told}");

    let exemption = json!({"token": token, "policy": "idle_ttl", "until": until}).to_string();
    call(&["POST", "/orgs/{org}/exemptions", "--body", &exemption]);
    assert_eq!(call(&["GET", "/orgs/{org}/exemptions"])["items"].as_array().map(Vec::len), Some(1));
    let webhook = r#"{"url": "https://example.com/hook"}"#;
    let made = call(&["POST", "/orgs/{org}/webhooks", "--body", webhook]);
    let path = format!("/orgs/{{org}}/webhooks/{}", text(&made["webhook"], "id"));
    assert_eq!(call(&["DELETE", &path]), Value::Null);
    assert!(call(&["GET", "/orgs/{org}/notices"])["items"].is_array());
    assert!(call(&["GET", "/scim/v2/Users"])["totalResults"].as_u64() > Some(0));
    call(&["PATCH", "/orgs/{org}", "--body", r#"{"governance": "deactivated"}"#]);

    for (arguments, expected) in [
        (&["GET", "/orgs/{org}/policies"][..], "governance"),
        (&["PUT", "/orgs/{org}/policies", "--body", "{"], "--body is not JSON"),
        (&["GET", "orgs"], "is no path"),
        (&["TRACE", "/me"], "expected GET, POST, PUT, PATCH or DELETE"),
        (&["POST", "/orgs/{org}/users", "--body", r#"{"nmae": "x"}"#], "nmae"),
        (&["GET", "/nowhere"], "bearward: "),
    ] {
        let told = demo.asked("api", arguments);
        assert!(told.code != 0 && told.out.is_empty(), "{told:?}");
        assert!(told.err.contains(expected), "{arguments:?}: {}", told.err);
    }
}

#[test]
fn what_the_admin_port_refuses_is_told_in_its_words() {
    let demo = Demo::start(&[]);
    let refused = |arguments: &[&str]| {
        let told = demo.govern(arguments);
        assert_eq!((told.code, told.out.as_str()), (1, ""), "{told:?}");
        told.err
    };
    let long = refused(&["create", "--name", "long", "--ttl", "61mo", "--scope", "org_member"]);
    assert!(long.contains("60 months"), "{long}");
    let unknown = bearward::id::TokenId::from_bits(1).to_string();
    assert!(!refused(&["show", &unknown]).contains("404"), "words, not numbers");
    let mut command = bearward(&["token", "list"]);
    command.env("BEARWARD_ADMIN", text(&demo.json, "admin"));
    command.env("BEARWARD_TOKEN", demo.token("deactivated"));
    let told = Told::of(&command.output().expect("the binary runs"));
    assert_eq!(told.code, 1);
    assert!(told.err.contains("BEARWARD_TOKEN"), "{told:?}");
    assert!(!told.err.contains(demo.token("deactivated")), "{told:?}");
}

#[test]
fn serve_ends_well_at_a_signal_and_keeps_its_routes_through_a_bad_file() {
    for signal in ["TERM", "INT"] {
        let site = Site::new(CONFIG);
        site.init(&[]);
        let mut command = bearward(&["serve", "--config"]);
        command.arg(site.config());
        let mut process = Process::start(command, &site.home.path().join("stderr"));
        process.eventually_tells("serving");
        fs::write(site.config(), "[gateway]\nlisten = 1\n").expect("the directory is writable");
        process.signal("HUP");
        process.eventually_tells("NOT RELOADED");
        process.eventually_tells(":2:10: gateway.listen");
        fs::write(site.config(), CONFIG).expect("the directory is writable");
        process.signal("HUP");
        process.eventually_tells(" reloaded");
        process.signal(signal);
        assert_eq!(process.ended().code(), Some(0), "{}", process.told());
    }
}
