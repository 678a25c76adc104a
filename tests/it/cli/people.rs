//! What people see who sit at a terminal and do what is printed there.

use super::{CONFIG, Site, bearward, has_secret};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A command on a terminal of its own; it dies with the test.
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<String>,
    shown: String,
}

impl Terminal {
    /// Python makes the terminal, and passes on what is typed and shown.
    fn run(arguments: &[&str]) -> Self {
        const PTY: &str = "import os, pty, sys; \
            sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
        let mut command = Command::new("python3");
        command.args(["-c", PTY, env!("CARGO_BIN_EXE_bearward")]).args(arguments);
        for name in ["BEARWARD_ADMIN", "BEARWARD_TOKEN", "BEARWARD_CONFIG", "RUST_LOG"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("there is a Python");
        let keyboard = child.stdin.take().expect("it is piped");
        let mut out = child.stdout.take().expect("it is piped");
        let (seen, screen) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = out.read(&mut bytes) {
                if seen.send(String::from_utf8_lossy(&bytes[..count]).into_owned()).is_err() {
                    return;
                }
            }
        });
        Self { child, keyboard, screen, shown: String::new() }
    }

    /// Waits until this is shown, and answers what follows it in its line.
    fn shows(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let plain = without_colours(&self.shown);
            let line = plain.split_once(text).and_then(|(_, rest)| rest.split_once('\n'));
            if let Some((line, _)) = line {
                return line.trim().to_owned();
            }
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let Ok(more) = self.screen.recv_timeout(left) else {
                panic!("`{text}` is not shown:\n{plain}");
            };
            self.shown += &more;
        }
    }

    /// Ctrl-C, and whatever is shown until the end.
    fn interrupt(&mut self) -> (Option<i32>, String) {
        self.keyboard.write_all(b"\x03").expect("typed");
        while let Ok(more) = self.screen.recv_timeout(PATIENCE) {
            self.shown += &more;
        }
        let status = self.child.wait().expect("it can be waited for");
        (status.code(), std::mem::take(&mut self.shown))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The terminal goes with it, and so what runs there hangs up.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn serve_on_a_fresh_store_on_a_terminal_makes_the_first_owner_and_shows_the_token_once() {
    let site = Site::new(CONFIG);
    let config = site.config();
    let serve = ["serve", "--config", config.to_str().expect("text")];
    let mut terminal = Terminal::run(&serve);
    let admin = terminal.shows(" admin=");
    let secrets: Vec<String> = terminal
        .shown
        .split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
        .filter(|word| has_secret(word))
        .map(str::to_owned)
        .collect();
    assert_eq!(secrets.len(), 1, "{}", terminal.shown);
    assert!(terminal.shown.contains("The store is fresh"), "{}", terminal.shown);
    let mut me = bearward(&["token", "list", "--json"]);
    me.env("BEARWARD_ADMIN", format!("http://{admin}")).env("BEARWARD_TOKEN", &secrets[0]);
    let told = me.output().expect("the binary runs");
    assert!(told.status.success(), "{told:?}");
    let list: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(terminal.interrupt().0, Some(0));

    let mut terminal = Terminal::run(&serve);
    terminal.shows("serving");
    let (code, shown) = terminal.interrupt();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!has_secret(&shown) && !shown.contains("fresh"), "{shown}");
}

/// Without the sequences that colour a terminal.
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut parts = text.split('\u{1b}');
    plain += parts.next().unwrap_or_default();
    for part in parts {
        plain += part.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain
}

/// A demo as people start it.
struct Demo {
    child: Child,
    banner: String,
}

impl Demo {
    fn start() -> Self {
        let mut command = bearward(&["demo", "--gateway-port", "0", "--admin-port", "0"]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let out = child.stdout.take().expect("it is piped");
        let mut banner = String::new();
        for line in BufReader::new(out).lines() {
            let line = line.expect("text");
            banner += &line;
            banner.push('\n');
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        Self { child, banner }
    }

    /// The commands that are printed, each in one piece.
    fn commands(&self) -> Vec<String> {
        let whole = self.banner.replace("\\\n", "");
        whole.lines().filter(|line| line.starts_with("  curl ")).map(str::to_owned).collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What a printed command shows, run as it is.
fn run(command: &str) -> String {
    let told = Command::new("sh")
        .args(["-c", command])
        // Nothing of it is for whoever serves this machine's other requests.
        .env("no_proxy", "*")
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    assert!(told.status.success(), "{command}: {told:?}");
    String::from_utf8(told.stdout).expect("text")
}

fn status(shown: &str) -> u16 {
    let line = shown.lines().next().unwrap_or_default();
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect(line)
}

#[test]
fn what_the_demo_prints_works_as_it_is_printed() {
    let demo = Demo::start();
    let commands = demo.commands();
    let [live, deactivate, activate, expired, wrong_scope, first, second] = &commands[..] else {
        panic!("{}", demo.banner);
    };
    let admitted = run(live);
    assert_eq!(status(&admitted), 200, "{admitted}");
    assert!(admitted.contains("\"/hello\""), "what the echo says: {admitted}");
    assert_eq!(status(&run(deactivate)), 200);
    assert_eq!(status(&run(live)), 401);
    assert_eq!(status(&run(activate)), 200);
    assert_eq!(status(&run(live)), 200);
    assert_eq!(status(&run(expired)), 401);
    assert_eq!(status(&run(wrong_scope)), 403);

    // The first organization's policies are off; those of the second one are violated.
    for (list, violated) in [(first, false), (second, true)] {
        let tokens: Value = serde_json::from_str(&run(list)).expect("JSON");
        let tokens = tokens["items"].as_array().expect("a list");
        assert!(tokens.len() > 5, "{tokens:?}");
        let violations = |token: &Value| token["violations"] != json!([]);
        assert_eq!(tokens.iter().any(violations), violated, "{tokens:?}");
        let policies = run(&list.replace("/tokens", "/policies"));
        let policies: Value = serde_json::from_str(&policies).expect("JSON");
        for policy in ["idle_ttl", "max_ttl"] {
            assert_eq!(policies[policy]["active"], json!(violated), "{policies}");
        }
        let org: Value = serde_json::from_str(&run(&list.replace("/tokens", ""))).expect("JSON");
        assert_eq!(org["governance"], "activated", "{org}");
    }
}
