//! K1 from outside: `bearward serve` is killed under the load of its admin port.
//!
//! Several hands create, deactivate, activate and revoke tokens of a user each, switch that user off
//! and on, and set policies, each with one call under way at a time. A call that was not answered may
//! have been done or not; all others must have been done. What is there after a restart is compared
//! with that, and with what the audit trail tells when it is played back from its beginning: a change
//! without its event, or an event without its change, is one that was done by half.

use super::{KILLS_PER_STORE, kills, random};
use crate::upstream::{Upstream, ok};
use crate::world::{Minted, Setup, World, eventually};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Callers at a time.
const HANDS: usize = 6;
/// The longest that the process lives after its first answer.
const LIFE_MILLIS_MAX: u64 = 250;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Absent,
    On,
    Off,
    Gone,
}

impl Standing {
    fn of(token: &Value) -> Self {
        match token["status"].as_str() {
            Some("activated") => Self::On,
            Some("deactivated") => Self::Off,
            Some("revoked") => Self::Gone,
            _ => panic!("{token}"),
        }
    }
}

/// A token and what it may be: one thing, or two while a call was not answered.
#[derive(Debug)]
struct Token {
    minted: Minted,
    may_be: Vec<Standing>,
}

/// A creation that was not answered.
#[derive(Debug)]
struct Unanswered {
    key: String,
    body: Value,
}

/// One caller, and all that only it changes.
#[derive(Debug)]
struct Hand {
    number: usize,
    user: String,
    user_may_be_on: Vec<bool>,
    tokens: Vec<Token>,
    /// The days of the policy, which is the first hand's.
    days_may_be: Vec<u64>,
    unanswered: Option<Unanswered>,
    made: usize,
}

/// How to call the admin port without minding that it is gone.
#[derive(Clone)]
struct Line {
    admin: SocketAddr,
    org: String,
    secret: String,
}

impl Line {
    fn of(world: &World) -> Self {
        Self { admin: world.admin, org: world.org.clone(), secret: world.owner_secret.clone() }
    }

    /// Status and body; `None` when the answer did not come whole.
    fn call(
        &self,
        method: &str,
        path: &str,
        fields: &str,
        body: Option<&Value>,
    ) -> Option<(u16, Value)> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let content = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let request = format!(
            "{method} /api/v1/orgs/{org}{path} HTTP/1.1\r\nHost: localhost:{port}\r\n\
             Connection: close\r\nAuthorization: Bearer {secret}\r\n{fields}{content}\
             Content-Length: {length}\r\n\r\n{body}",
            org = self.org,
            port = self.admin.port(),
            secret = self.secret,
            length = body.len(),
        );
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.get(9..12)?.parse().ok()?;
        if status == 204 {
            return Some((status, Value::Null));
        }
        // A body that broke off is no JSON.
        Some((status, serde_json::from_str(body).ok()?))
    }

    /// The same with a body that says why; whether it was answered. What is answered was done.
    fn done(&self, method: &str, path: &str, body: Option<&Value>) -> bool {
        let Some((status, told)) = self.call(method, path, "", body) else { return false };
        assert!(matches!(status, 200 | 204), "{method} {path}: {status} {told}");
        true
    }

    /// All rows of a list.
    fn all(&self, path: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("{path}limit=200{cursor}");
            let (status, mut page) = self.call("GET", &path, "", None).expect("an answer");
            assert_eq!(status, 200, "{page}");
            let Value::Array(items) = page["items"].take() else { panic!("{path}: {page}") };
            rows.extend(items);
            let Some(next) = page["next_cursor"].as_str() else { return rows };
            cursor = format!("&cursor={next}");
        }
    }
}

impl Hand {
    fn new(world: &World, number: usize) -> Self {
        let name = format!("hand-{number}");
        Self {
            number,
            user: world.admin().add_user(&name, &[("orders", "reader")]),
            user_may_be_on: vec![true],
            tokens: Vec::new(),
            days_may_be: vec![400],
            unanswered: None,
            made: 0,
        }
    }

    /// Calls until there is no answer.
    fn work(&mut self, line: &Line, answers: &AtomicUsize) {
        while self.step(line) {
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn step(&mut self, line: &Line) -> bool {
        if self.user_may_be_on == [false] {
            return self.switch_user(line, true);
        }
        let chosen = usize::try_from(random() % 4_096).expect("it is small");
        match random() % 20 {
            0 | 1 => self.switch_user(line, false),
            2 if self.number == 0 => self.set_policy(line),
            3..12 if chosen < self.tokens.len() * 64 => {
                let token = &mut self.tokens[chosen / 64];
                switch_token(line, token, random().is_multiple_of(5))
            }
            _ => self.create(line),
        }
    }

    fn switch_user(&mut self, line: &Line, on: bool) -> bool {
        let verb = if on { "activate" } else { "deactivate" };
        self.user_may_be_on.push(on);
        let path = format!("/users/{}/{verb}", self.user);
        let done = line.done("POST", &path, Some(&json!({"reason": "a test"})));
        if done {
            self.user_may_be_on = vec![on];
        }
        done
    }

    fn set_policy(&mut self, line: &Line) -> bool {
        let days = self.days_may_be[0] + 1;
        self.days_may_be.push(days);
        let policy = json!({"max_ttl": {"active": true, "value": days, "unit": "days"}});
        let done = line.done("PUT", "/policies", Some(&policy));
        if done {
            self.days_may_be = vec![days];
        }
        done
    }

    fn create(&mut self, line: &Line) -> bool {
        self.made += 1;
        let name = format!("{}-{}", self.number, self.made);
        let body = json!({
            "name": name,
            "ttl": {"value": 1, "unit": "hours"},
            "owner": self.user,
            "scope": {"service_roles": [{"service": "orders", "role": "reader"}]},
        });
        self.unanswered = Some(Unanswered { key: name, body });
        self.create_once(line)
    }

    /// Sends the creation that is not answered yet, under its key.
    fn create_once(&mut self, line: &Line) -> bool {
        let Some(Unanswered { key, body }) = &self.unanswered else { return true };
        let field = format!("Idempotency-Key: {key}\r\n");
        let Some((status, made)) = line.call("POST", "/tokens", &field, Some(body)) else {
            return false;
        };
        assert_eq!(status, 201, "{made}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let minted = Minted { id: text(&made["token"]["id"]), secret: text(&made["secret"]) };
        self.tokens.push(Token { minted, may_be: vec![Standing::of(&made["token"])] });
        self.unanswered = None;
        true
    }

    /// Compares what is there with what was acknowledged, and takes it for the truth.
    fn look(&mut self, line: &Line, world: &World, found: &Found) {
        for token in &mut self.tokens {
            let id = &token.minted.id;
            let standing = found.tokens.get(id).map_or(Standing::Absent, Standing::of);
            assert!(token.may_be.contains(&standing), "{id} is {standing:?}: {token:?}");
            token.may_be = vec![standing];
        }
        let user = &found.users[&self.user];
        let on = user["status"] == "activated";
        assert!(self.user_may_be_on.contains(&on), "{user}: {:?}", self.user_may_be_on);
        self.user_may_be_on = vec![on];
        if self.number == 0 {
            let days = found.policies["max_ttl"]["value"].as_u64().expect("days");
            // Before the first change there is what an organization begins with.
            let untouched =
                self.days_may_be[0] == 400 && found.policies["max_ttl"]["active"] == false;
            assert!(
                untouched || self.days_may_be.contains(&days),
                "{days}: {:?}",
                self.days_may_be
            );
            self.days_may_be = vec![if untouched { 400 } else { days }];
        }
        // A creation that was not answered is there once, or not at all; either way its key makes one.
        if let Some(unanswered) = &self.unanswered {
            let name = unanswered.body["name"].clone();
            let named = || line.all("/tokens?").into_iter().filter(|token| token["name"] == name);
            let before: Vec<Value> = named().collect();
            assert!(before.len() <= 1, "{before:?}");
            if self.user_may_be_on == [false] {
                assert!(self.switch_user(line, true));
            }
            assert!(self.create_once(line), "{name} is not answered");
            let token = self.tokens.last().expect("it was just made");
            let after: Vec<Value> = named().collect();
            assert_eq!(after.len(), 1, "{after:?}");
            assert_eq!(after[0]["id"], json!(token.minted.id));
            if let Some(before) = before.first() {
                assert_eq!(before["id"], after[0]["id"], "the key made another one");
            }
            // Nobody ever saw the secret of one that was there.
            assert_eq!(token.minted.secret.is_empty(), !before.is_empty());
        }
        // The gateway reads other tables than the lists do.
        let on = self.user_may_be_on == [true];
        for token in
            self.tokens.iter().rev().filter(|token| !token.minted.secret.is_empty()).take(8)
        {
            let admitted = on && token.may_be == [Standing::On];
            let answer = world.fetch("/orders/x", &token.minted);
            let expected = if admitted { 200 } else { 401 };
            assert_eq!(answer.status, expected, "{token:?}, its user is on: {on}");
        }
    }
}

/// Revokes, deactivates or activates.
fn switch_token(line: &Line, token: &mut Token, end: bool) -> bool {
    let id = &token.minted.id;
    let reason = json!({"reason": "a test"});
    let post = |verb: &str| line.done("POST", &format!("/tokens/{id}/{verb}"), Some(&reason));
    let (next, call): (_, &dyn Fn() -> bool) = match token.may_be[0] {
        Standing::Absent | Standing::Gone => return true,
        Standing::On | Standing::Off if end => {
            (Standing::Gone, &|| line.done("DELETE", &format!("/tokens/{id}"), None))
        }
        Standing::On => (Standing::Off, &|| post("deactivate")),
        Standing::Off => (Standing::On, &|| post("activate")),
    };
    token.may_be.push(next);
    let done = call();
    if done {
        token.may_be = vec![next];
    }
    done
}

/// What the lists show.
struct Found {
    tokens: HashMap<String, Value>,
    users: HashMap<String, Value>,
    policies: Value,
}

impl Found {
    /// Reads everything, and holds that it is of one piece.
    fn read(line: &Line) -> Self {
        let by_id = |rows: Vec<Value>| -> HashMap<String, Value> {
            let count = rows.len();
            let id = |row: &Value| row["id"].as_str().expect("an identity").to_owned();
            let all: HashMap<_, _> = rows.into_iter().map(|row| (id(&row), row)).collect();
            assert_eq!(all.len(), count, "an identity twice");
            all
        };
        let tokens = by_id(line.all("/tokens?"));
        let users = by_id(line.all("/users?"));
        let (_, policies) = line.call("GET", "/policies", "", None).expect("an answer");
        let found = Self { tokens, users, policies };
        found.is_what_the_indexes_say(line);
        found.is_what_the_trail_says(line);
        found
    }

    fn is_what_the_indexes_say(&self, line: &Line) {
        let mut owned = 0;
        for (id, user) in &self.users {
            for token in line.all(&format!("/tokens?owner={id}&")) {
                assert_eq!(token["owner"]["id"], json!(id));
                let listed = &self.tokens[token["id"].as_str().expect("an identity")];
                assert_eq!(unused(&token), unused(listed), "two lists tell different things");
                let is_blocked = token["blocked"] == "owner_deactivated";
                assert_eq!(is_blocked, user["status"] == "deactivated", "{token} of {user}");
                owned += 1;
            }
        }
        assert_eq!(owned, self.tokens.len(), "a token is in one list and not in the other");
    }

    fn is_what_the_trail_says(&self, line: &Line) {
        let mut said: HashMap<String, String> = HashMap::new();
        let mut policies = json!(null);
        for (seq, event) in (1_u64..).zip(line.all("/audit?sort=seq&")) {
            assert_eq!(event["seq"], json!(seq), "a gap in the trail");
            let action = event["action"].as_str().expect("an action");
            let target = event["target"]["id"].as_str().expect("an identity").to_owned();
            match action {
                "token.created" | "user.created" => {
                    assert!(said.insert(target, "activated".to_owned()).is_none(), "{event}");
                }
                "token.deactivated" | "token.activated" | "token.revoked" | "user.deactivated"
                | "user.activated" => {
                    let status = action.rsplit('.').next().unwrap_or_default().to_owned();
                    let before = said.insert(target, status.clone());
                    let before = before.unwrap_or_else(|| panic!("nobody made it: {event}"));
                    assert!(before != status && before != "revoked", "{before}, then {event}");
                }
                "policies.updated" => policies = event["changes"].clone(),
                _ => {}
            }
        }
        for row in self.tokens.values().chain(self.users.values()) {
            let told = said.remove(row["id"].as_str().expect("an identity"));
            assert_eq!(told.as_deref(), row["status"].as_str(), "{row}");
        }
        assert!(said.is_empty(), "the trail tells of what is not there: {said:?}");
        let is_told = policies.to_string().contains(&self.policies["max_ttl"]["value"].to_string());
        let is_untouched = self.policies["max_ttl"]["active"] == false;
        assert!(is_told || is_untouched, "{policies} does not tell of {}", self.policies);
    }
}

/// A token without its use, which goes on while this looks.
fn unused(token: &Value) -> Value {
    let mut token = token.clone();
    for field in ["last_used_at", "use_count"] {
        token[field].take();
    }
    token
}

#[test]
fn k1_what_serve_acknowledged_survives_a_kill_and_nothing_is_half_done() {
    let kills = kills();
    for first in (0..kills).step_by(usize::try_from(KILLS_PER_STORE).unwrap()) {
        println!("{}", kill_and_look(KILLS_PER_STORE.min(kills - first)));
    }
}

/// Answers what there was, in words.
fn kill_and_look(kills: u64) -> String {
    let upstream = Upstream::start(ok());
    let mut world = Setup::before(&upstream).start();
    let mut hands: Vec<Hand> = (0..HANDS).map(|number| Hand::new(&world, number)).collect();
    let answers = AtomicUsize::new(0);
    let mut unanswered = 0;
    for kill in 0..kills {
        let line = Line::of(&world);
        let before = answers.load(Ordering::Relaxed);
        thread::scope(|scope| {
            for hand in &mut hands {
                scope.spawn(|| hand.work(&line, &answers));
            }
            let begun = eventually(PATIENCE, || answers.load(Ordering::Relaxed) > before);
            thread::sleep(Duration::from_micros(random() % (1_000 * LIFE_MILLIS_MAX)));
            world.kill();
            assert!(begun, "nothing was answered");
        });
        unanswered += hands.iter().filter(|hand| hand.is_in_doubt()).count();
        if kill % 2 == 0 {
            // Who opens it first after the kill is the one who repairs it: in turns.
            is_proved(&world);
        }
        world.serve();
        let line = Line::of(&world);
        let found = Found::read(&line);
        for hand in &mut hands {
            hand.look(&line, &world, &found);
        }
        upstream.forget();
    }
    world.kill();
    is_proved(&world);
    let answers = answers.load(Ordering::Relaxed) as u64;
    assert!(answers > 10 * kills, "hardly anything was done: {answers}");
    assert!(unanswered as u64 > kills, "hardly ever was anything under way: {unanswered}");
    format!(
        "{kills} kills, {answers} changes acknowledged, {unanswered} under way when it was killed"
    )
}

impl Hand {
    fn is_in_doubt(&self) -> bool {
        self.unanswered.is_some()
            || self.user_may_be_on.len() > 1
            || self.days_may_be.len() > 1
            || self.tokens.iter().any(|token| token.may_be.len() > 1)
    }
}

fn is_proved(world: &World) {
    let told = world.command(&["audit", "verify"]);
    assert!(told.status.success(), "{told:?}");
}
