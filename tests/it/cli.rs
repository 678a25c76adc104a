//! The commands, run as people run them. What needs a serving gateway is in `running`.

mod archive;
mod audit;
mod inventory;
mod people;
mod running;

use bearward::audit::{Action, Actor};
use bearward::store::Ledger;
use bearward::store::redb::{self, RedbStore};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

const CONFIG: &str = r#"
[gateway]
listen = "127.0.0.1:0"

[admin]
listen = "127.0.0.1:0"

[store]
path = "b.redb"

[services.orders]
roles = ["reader", "writer"]
"#;

/// A directory with a configuration, and the command to be run on it.
struct Site {
    home: TempDir,
}

impl Site {
    fn new(config: &str) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        fs::write(home.path().join("b.toml"), config).expect("the directory is writable");
        Self { home }
    }

    fn config(&self) -> PathBuf {
        self.home.path().join("b.toml")
    }

    fn store(&self) -> PathBuf {
        self.home.path().join("b.redb")
    }

    fn open(&self) -> Arc<RedbStore> {
        let options = redb::Options::new(self.store(), 1 << 20);
        redb::open(options).expect("the store opens")
    }

    /// Runs a command to its end, with `--config`, without a terminal.
    fn run(&self, arguments: &[&str]) -> Told {
        let mut command = bearward(arguments);
        command.arg("--config").arg(self.config());
        Told::of(&command.output().expect("the binary runs"))
    }

    /// `init --json`, and what it printed.
    fn init(&self, more: &[&str]) -> Value {
        let told = self.run(&[&["init", "--json"], more].concat());
        assert_eq!(told.code, 0, "{told:?}");
        serde_json::from_str(&told.out).expect("one JSON object")
    }
}

fn bearward(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearward"));
    command.args(arguments).stdin(Stdio::null());
    for name in ["BEARWARD_ADMIN", "BEARWARD_TOKEN", "BEARWARD_CONFIG", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

/// What a command said.
#[derive(Debug)]
struct Told {
    code: i32,
    out: String,
    err: String,
}

impl Told {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let code = output.status.code().expect("no signal ended it");
        Self { code, out: text(&output.stdout), err: text(&output.stderr) }
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key}: {value}"))
}

/// Whether a text has anything like a secret of ours.
fn has_secret(text: &str) -> bool {
    text.contains("bwt_")
}

#[test]
fn check_tells_every_error_at_once_with_its_place() {
    let site = Site::new(
        "[gateway]\nlisten = \"nowhere\"\nworkres = 2\n\n[admin]\nlisten = \"0.0.0.0:8081\"\n\n\
         [store]\npath = \"b.redb\"\n\n[[routes]]\nname = \"a\"\npath = \"/\"\nupstream = \"x\"\n",
    );
    let told = site.run(&["check"]);
    assert_eq!(told.code, 1);
    assert_eq!(told.out, "");
    let config = site.config();
    let lines: Vec<_> = told.err.lines().collect();
    for (line, expected) in lines.iter().zip([
        "2:10: gateway.listen: ",
        "3:1: gateway.workres: ",
        "6:10: admin.listen: 0.0.0.0:8081 can be reached from beyond this machine",
        "11:1: routes[0]: a route needs `require`: ",
        "14:12: routes[0].upstream: ",
    ]) {
        let expected = format!("{}:{expected}", config.display());
        assert!(line.starts_with(&expected), "\n{line}\n{expected}");
    }
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert!(lines[1].contains("did you mean `workers`?"), "{}", lines[1]);
}

#[test]
fn check_has_one_line_for_what_is_good() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/bearward.toml");
    let output = bearward(&["check", "--config"]).arg(&sample).output().expect("the binary runs");
    let told = Told::of(&output);
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    let expected = format!("{}: good; 3 routes, 1 upstream, 1 service\n", sample.display());
    assert_eq!(told.out, expected);
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let output = bearward(&["check", "--config", "/nowhere/b.toml"]).output();
    let told = Told::of(&output.expect("the binary runs"));
    assert_eq!(told.code, 1);
    assert!(told.err.starts_with("/nowhere/b.toml: cannot be read: "), "{told:?}");
}

#[test]
fn an_admin_port_beyond_loopback_is_refused() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let site =
            Site::new(&CONFIG.replace(
                "[admin]\nlisten = \"127.0.0.1:0",
                &format!("[admin]\nlisten = \"{listen}"),
            ));
        for command in ["check", "serve", "init"] {
            let told = site.run(&[command]);
            assert_eq!(told.code, 1, "{command}: {told:?}");
            assert!(told.err.contains("TLS") && told.err.contains("127.0.0.1"), "{told:?}");
        }
        assert!(!site.store().exists());
    }
}

#[test]
fn init_makes_an_owner_whose_token_is_printed_once_and_stored_nowhere() {
    let site = Site::new(CONFIG);
    let told = site.run(&[
        "init",
        "--json",
        "--org",
        "Acme",
        "--owner-name",
        "Ada",
        "--owner-email",
        "ada@acme.example",
    ]);
    assert_eq!(told.code, 0, "{told:?}");
    assert_eq!(told.out.lines().count(), 1);
    assert!(!has_secret(&told.err));
    let made: Value = serde_json::from_str(&told.out).expect("JSON");
    let secret = text(&made, "token");
    assert!(bearward::secret::plausible(secret.as_bytes(), "bwt_") && has_secret(secret));
    let file = fs::read(site.store()).expect("the store");
    assert!(!file.windows(secret.len()).any(|window| window == secret.as_bytes()));

    let store = site.open();
    let [org] = store.organizations().expect("read").try_into().expect("one organization");
    let [owner] = store.users(org.id).expect("read").try_into().expect("one user");
    assert_eq!((org.name.as_str(), org.id.to_string().as_str()), ("Acme", text(&made, "org")));
    assert_eq!((owner.name.as_str(), owner.email.as_str()), ("Ada", "ada@acme.example"));
    assert_eq!(owner.id.to_string(), text(&made, "user"));
    assert!(owner.operator && owner.is_active_owner());
    let table = store.roles();
    for role in ["orders/reader", "orders/writer"] {
        let id = table.id(&role.parse().expect("a role")).expect("it is interned");
        assert!(owner.roles.contains(id), "{role}");
    }
    let id = text(&made, "token_id").parse().expect("an identity");
    let (token, _) = store.token(id).expect("read").expect("the token");
    assert_eq!(token.digest, bearward::secret::Digest::of(secret.as_bytes()));
    let events = store.events(org.id, None, 10).expect("read");
    assert!(!events.is_empty());
    assert!(events.iter().all(|event| event.said.actor == Actor::Offline));
}

#[test]
fn init_tells_people_the_same() {
    let told = Site::new(CONFIG).run(&["init"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert_eq!(told.out.matches("bwt_").count(), 1, "{}", told.out);
    assert!(told.out.contains("org_") && told.out.contains("usr_") && told.out.contains("tok_"));
    assert!(told.err.contains("once"), "{}", told.err);
}

#[test]
fn init_happens_once() {
    let site = Site::new(CONFIG);
    site.init(&[]);
    for arguments in [&["init"][..], &["init", "--json"]] {
        let told = site.run(arguments);
        assert_eq!((told.code, told.out.as_str()), (1, ""));
        assert!(told.err.contains("init --recover"), "{}", told.err);
        assert!(!has_secret(&told.err));
    }
    let store = site.open();
    assert_eq!(store.organizations().expect("read").len(), 1);
}

#[test]
fn init_refuses_names_that_are_none_and_makes_nothing() {
    let site = Site::new(CONFIG);
    let told = site.run(&["init", "--owner-email", "nobody"]);
    assert_eq!((told.code, told.out.as_str()), (1, ""));
    assert!(told.err.contains("e-mail"), "{}", told.err);
    assert!(site.open().organizations().expect("read").is_empty());
    site.init(&[]);
}

#[test]
fn recover_makes_another_token_of_the_operator() {
    let site = Site::new(CONFIG);
    let first = site.init(&[]);
    let second = site.init(&["--recover"]);
    assert_eq!(text(&first, "org"), text(&second, "org"));
    assert_eq!(text(&first, "user"), text(&second, "user"));
    assert_ne!(text(&first, "token"), text(&second, "token"));
    assert_ne!(text(&first, "token_id"), text(&second, "token_id"));

    let store = site.open();
    let org = text(&first, "org").parse().expect("an identity");
    let latest = store.events(org, None, 1).expect("read").remove(0).said;
    assert_eq!((latest.action, latest.actor), (Action::TokenCreated, Actor::Offline));
}

#[test]
fn recover_wants_an_owner_who_is_there() {
    let site = Site::new(CONFIG);
    let told = site.run(&["init", "--recover"]);
    assert_eq!((told.code, told.out.as_str()), (1, ""));
    assert!(!site.store().exists(), "no store is made to be recovered");

    site.init(&["--owner-email", "ada@acme.example"]);
    for wrong in [["--owner-email", "eve@acme.example"], ["--org", "Other"]] {
        let told = site.run(&[&["init", "--recover"][..], &wrong].concat());
        assert_eq!((told.code, told.out.as_str()), (1, ""), "{wrong:?}");
        assert!(told.err.contains("no such owner"), "{}", told.err);
    }
    site.init(&["--recover", "--owner-email", "ADA@acme.example", "--org", "My organization"]);
}

#[test]
fn a_store_in_use_is_left_alone() {
    let site = Site::new(CONFIG);
    site.init(&[]);
    let _held = site.open();
    for arguments in [&["init"][..], &["init", "--recover"], &["serve"]] {
        let told = site.run(arguments);
        assert_eq!((told.code, told.out.as_str()), (1, ""), "{arguments:?}");
        assert!(told.err.contains("another process"), "{}", told.err);
    }
}

#[test]
fn serve_on_a_fresh_store_names_init_and_makes_nothing() {
    let site = Site::new(CONFIG);
    let told = site.run(&["serve"]);
    assert_eq!((told.code, told.out.as_str()), (1, ""));
    assert!(told.err.contains("bearward init --config"), "{}", told.err);
    assert!(!has_secret(&told.err));
    assert!(!site.store().exists());
    // A store that was made but never finished is as fresh.
    drop(site.open());
    assert!(site.run(&["serve"]).err.contains("bearward init"));
}

#[test]
fn the_admin_client_wants_a_token_that_is_no_argument() {
    let run = |arguments: &[&str]| {
        let output = bearward(arguments).output().expect("the binary runs");
        Told::of(&output)
    };
    let told = run(&["token", "list"]);
    assert_eq!(told.code, 1);
    assert!(told.err.contains("BEARWARD_TOKEN") && told.err.contains("--token-file"));
    let told = run(&["token", "list", "--token-file", "/nowhere"]);
    assert!(told.err.contains("/nowhere"), "{told:?}");
    let told = run(&["token", "list", "--token", "bwt_x"]);
    assert_eq!(told.code, 2);
    // Who pastes a secret where an identity belongs does not find it in the logs.
    let told = run(&["token", "show", "bwt_oops"]);
    assert_eq!(told.code, 1);
    assert!(told.err.contains("never by its secret") && !has_secret(&told.err), "{told:?}");
}

#[test]
fn the_admin_client_sends_a_token_to_this_machine_only() {
    let run = |admin: &str| {
        let mut command = bearward(&["token", "list", "--admin", admin]);
        let output = command.env("BEARWARD_TOKEN", "bwt_secret").output();
        let told = Told::of(&output.expect("the binary runs"));
        assert_eq!((told.code, told.out.as_str()), (1, ""));
        assert!(!has_secret(&told.err), "{}", told.err);
        told.err
    };
    assert!(run("http://192.0.2.1:8081").contains("not on this machine"));
    assert!(run("ftp://127.0.0.1:8081").contains("expected http://"));
    assert!(run("http://127.0.0.1:1").contains("is `bearward serve` running?"));
}

#[test]
fn many_tokens_want_a_file_for_their_secrets() {
    let output = bearward(&["demo", "--tokens", "5"]).output().expect("the binary runs");
    let told = Told::of(&output);
    assert_eq!(told.code, 2);
    assert!(told.err.contains("--tokens-file"), "{told:?}");
}
