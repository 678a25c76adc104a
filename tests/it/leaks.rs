//! Secrets that were found, reported from outside: the gateway's next answer, the mails, partners
//! who sign.

use crate::notices::mailbox::{Mail, MailServer};
use crate::upstream::{Upstream, ok};
use crate::wire::Wire;
use crate::world::{Minted, Setup, TokenWish, World, get};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const NOTICES: &str =
    "[notices]\nsettle = \"100ms\"\nretry_first = \"50ms\"\nretry_longest = \"200ms\"\n";

/// Reports a body from an address, with further fields; the status and the body of the answer.
fn report(world: &World, body: &str, fields: &str) -> (u16, String) {
    let request = format!(
        "POST /api/v1/leaks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = Wire::to(world.admin).send(request).answer_to("POST", PATIENCE);
    let answer = answer.unwrap_or_else(|error| panic!("no answer: {error:?}"));
    (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
}

fn found(token: &Minted) -> String {
    json!({"token": token.secret, "url": "https://paste.example/1"}).to_string()
}

#[test]
fn a_reported_token_is_refused_on_the_very_next_request_and_all_concerned_get_a_mail() {
    let server = MailServer::start();
    let upstream = Upstream::start(ok());
    let setup = Setup::before(&upstream).gateway("workers = 4");
    let world = setup.extra(&server.section()).extra(NOTICES).start();
    let admin = world.admin();
    let user = admin.add_user("mia", &[("orders", "reader")]);
    let token = admin.mint(&TokenWish { owner: Some(&user), ..TokenWish::default() });
    server.wait_for(1);
    let mut wires: Vec<Wire> = (0..8).map(|_| world.wire()).collect();
    for wire in &mut wires {
        assert_eq!(wire.send(get("/orders/x", &token.bearer())).answer().status, 200);
    }
    let known = report(&world, &found(&token), "");
    assert_eq!(known.0, 202, "{}", known.1);
    for wire in &mut wires {
        assert_eq!(wire.send(get("/orders/x", &token.bearer())).answer().status, 401);
    }
    assert_eq!(upstream.requests().len(), 8);
    // What is unknown is answered by the same bytes.
    let unknown = json!({"token": "bwt_unknown", "url": "https://paste.example/1"}).to_string();
    assert_eq!(report(&world, &unknown, ""), known);

    let mails = server.wait_for(3).split_off(1);
    let mut to: Vec<&str> = mails.iter().map(Mail::to).collect();
    to.sort_unstable();
    let me = admin.call("GET", "/me", None).expect(200);
    let owner = me["user"]["email"].as_str().expect("an address");
    let mut expected = [owner, "mia@example.com"];
    expected.sort_unstable();
    assert_eq!(to, expected);
    for mail in &mails {
        assert_eq!(mail.field("Subject"), "The API token \"test\" has leaked");
        assert!(mail.text().contains("https://paste.example/1"), "{}", mail.text());
        assert!(!mail.text().contains(&token.secret));
    }
    let shown = admin.token(&token.id);
    assert_eq!(shown["status"], "deactivated");
    assert!(!world.told().contains(&token.secret[4..]), "a secret in the log");
}

#[test]
fn the_command_reports_from_standard_input_without_a_credential() {
    let upstream = Upstream::start(ok());
    let world = Setup::before(&upstream).start();
    let token = world.mint();
    assert_eq!(world.fetch("/orders/x", &token).status, 200);
    let ask = |input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bearward"))
            .args(["leak", "report", "--url", "https://paste.example/1", "--source", "chat"])
            .args(["--admin", &format!("http://{}", world.admin)])
            .env_remove("BEARWARD_TOKEN")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
        child.wait_with_output().expect("it ends")
    };
    let told = ask(&format!("{}\n", token.secret));
    assert!(told.status.success(), "{told:?}");
    assert_eq!(world.fetch("/orders/x", &token).status, 401);
    assert_eq!(ask("something else").stdout, told.stdout, "it tells nothing either");
    assert!(!ask(" \n").status.success());
}

/// A pair of keys of a partner, made and used by OpenSSL.
struct Partner {
    home: TempDir,
}

impl Partner {
    fn new() -> Self {
        let partner = Self { home: TempDir::new().expect("a temporary directory") };
        let curve = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
        partner.openssl(&[&curve[..], &["-out", "key.pem"]].concat());
        partner.openssl(&["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
        partner
    }

    fn openssl(&self, arguments: &[&str]) -> Vec<u8> {
        let told = Command::new("openssl").args(arguments).current_dir(self.home.path()).output();
        let told = told.expect("OpenSSL is there");
        assert!(told.status.success(), "{told:?}");
        told.stdout
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.home.path()).join(name)
    }

    fn public(&self) -> String {
        fs::read_to_string(self.file("public.pem")).expect("a file")
    }

    /// The fields that sign a body.
    fn fields(&self, id: &str, body: &str) -> String {
        fs::write(self.file("body"), body).expect("a file");
        self.openssl(&["dgst", "-sha256", "-sign", "key.pem", "-out", "signature", "body"]);
        let text = self.openssl(&["base64", "-A", "-in", "signature"]);
        let text = String::from_utf8(text).expect("base64");
        format!("GITHUB-PUBLIC-KEY-IDENTIFIER: {id}\r\nGITHUB-PUBLIC-KEY-SIGNATURE: {text}\r\n")
    }
}

#[test]
fn a_partner_who_signs_reports_many_at_once_and_whoever_forges_nothing() {
    let partner = Partner::new();
    let upstream = Upstream::start(ok());
    let leaks =
        format!("[leaks]\nkeys = [{{ id = \"one\", key = \"\"\"\n{}\"\"\" }}]\n", partner.public());
    let world = Setup::before(&upstream).extra(&leaks).start();
    let tokens: Vec<Minted> = (0..3).map(|_| world.mint()).collect();
    let item = |secret: &str| {
        json!({"token": secret, "type": "bearward", "url": "https://github.com/o/r/blob/1/f",
               "source": "content", "more": 1})
    };
    let list: Vec<Value> =
        [tokens[0].secret.as_str(), "unknown", &tokens[1].secret].into_iter().map(item).collect();
    let body = Value::from(list).to_string();
    let good = partner.fields("one", &body);
    let forged = [
        String::new(),
        partner.fields("two", &body),
        Partner::new().fields("one", &body),
        partner.fields("one", &body.replace("content", "commit")),
        good.replace("SIGNATURE: ", "SIGNATURE: A"),
    ];
    for fields in forged {
        let (status, text) = report(&world, &body, &fields);
        assert_eq!(status, 403, "{fields}: {text}");
        assert!(!text.contains(&tokens[0].secret));
    }
    for token in &tokens {
        assert_eq!(world.fetch("/orders/x", token).status, 200, "a forgery does nothing");
    }
    assert_eq!(report(&world, &body, &good).0, 202);
    let statuses: Vec<u16> =
        tokens.iter().map(|token| world.fetch("/orders/x", token).status).collect();
    assert_eq!(statuses, [401, 401, 200]);
    let events = world.admin().org("GET", "/audit?limit=200", None).expect(200).to_string();
    assert!(events.contains("signed_by") && events.contains("https://github.com/o/r/blob/1/f"));
    assert!(!events.contains(&tokens[0].secret));
    // Whoever signs need not wait, also after so many that an unsigned one would.
    for _ in 0..25 {
        assert_eq!(report(&world, &body, &good).0, 202);
    }
}

#[test]
fn one_address_has_to_wait_and_another_need_not_and_good_tokens_never() {
    let upstream = Upstream::start(ok());
    let world = Setup::before(&upstream).start();
    let unknown = json!({"token": "unknown"}).to_string();
    let mut statuses: Vec<u16> = (0..25).map(|_| report(&world, &unknown, "").0).collect();
    assert_eq!(statuses[..20], [202; 20]);
    assert!(statuses.split_off(20).contains(&429), "{statuses:?}");
    world.admin().call("GET", "/me", None).expect(200);
}
