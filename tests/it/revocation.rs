//! The checker: once a deactivation has been acknowledged, not one request is admitted.
//!
//! Governors switch tokens and users off and on again, and revoke, while clients send requests with
//! all of them on connections to every worker. Each token hangs on a [`Switch`] that says what has
//! been *acknowledged*. A client reads it before the first byte of a request leaves and after the
//! answer has come: if it said "off" both times, and nothing began to change in between, then the
//! request was sent after the acknowledgement, and it must not have reached the upstream. If it said
//! "on" both times, the request must have been admitted; so a gateway that refuses everything fails
//! just as one that admits too much.
//!
//! The cache is smaller than the set of tokens, so entries come and go all the time, and every other
//! deactivation is of a token that clients begin to use at that very moment: the cache fills with
//! what it has just read while that changes. In [`overtaken`] the readers are held up as long as that
//! takes, so that each of those fills comes too late.

mod overtaken;

use crate::upstream::{Peer, Script, Upstream, response};
use crate::wire::{Cut, PATIENCE, Wire};
use crate::world::{Admin, Minted, Setup, TokenWish, World, eventually};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const CLIENTS: usize = 8;
const GOVERNORS: usize = 2;
/// Tokens that are deactivated and activated again, over and over, for each governor.
const TOGGLED: usize = 160;
/// Tokens that are revoked, for each governor.
const REVOKED: usize = 60;
/// Users that are deactivated and activated again, for each governor, and the tokens of each.
const USERS: usize = 4;
const TOKENS_OF_A_USER: usize = 8;
/// Far fewer than there are tokens.
const CACHE_ENTRIES: usize = 64;
/// How long the whole may take before it is an error.
const PATIENCE_IN_ALL: Duration = Duration::from_mins(10);

/// What has been acknowledged: a count of changes, and in the two lowest bits a phase.
#[derive(Debug, Default)]
struct Switch(AtomicU64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    On,
    Changing,
    Off,
}

impl Switch {
    fn set(&self, phase: Phase) {
        let bits = phase as u64;
        self.0.store(((self.0.load(Ordering::SeqCst) >> 2) + 1) << 2 | bits, Ordering::SeqCst);
    }

    fn read(&self) -> (u64, Phase) {
        let state = self.0.load(Ordering::SeqCst);
        let phase = match state & 3 {
            0 => Phase::On,
            1 => Phase::Changing,
            _ => Phase::Off,
        };
        (state, phase)
    }
}

#[derive(Debug)]
struct Token {
    minted: Minted,
    switch: Arc<Switch>,
    /// Requests sent while it was acknowledged to be on, and answered so.
    admitted: AtomicU64,
    /// Requests sent after it was acknowledged to be off, and answered so.
    refused: AtomicU64,
}

/// What governors and clients share.
struct Check {
    tokens: Vec<Token>,
    /// What each governor wants clients to use just now: first token and count, packed.
    hot: [AtomicU64; GOVERNORS],
    /// The next request's number.
    next: AtomicUsize,
    /// Which requests reached the upstream, by number: a bit each.
    reached: Arc<Vec<AtomicU32>>,
    requests_wanted: usize,
    switched_off: AtomicUsize,
    stop: AtomicBool,
    wrong: Mutex<Vec<String>>,
}

impl Check {
    fn has_reached(&self, number: usize) -> bool {
        self.reached[number / 32].load(Ordering::SeqCst) >> (number % 32) & 1 == 1
    }

    fn heat(&self, governor: usize, tokens: &Range<usize>) {
        let packed = (tokens.start as u64) << 32 | tokens.len() as u64;
        self.hot[governor].store(packed, Ordering::SeqCst);
    }

    fn complain(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
        self.stop.store(true, Ordering::SeqCst);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn sum(&self, range: &Range<usize>, count: impl Fn(&Token) -> &AtomicU64) -> u64 {
        self.tokens[range.clone()].iter().map(|token| count(token).load(Ordering::SeqCst)).sum()
    }
}

/// A small generator of numbers that look random: each thread has its own.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("it is below a usize")
    }
}

/// Writes down which numbered requests came.
fn tally(reached: Arc<Vec<AtomicU32>>) -> Script {
    Arc::new(move |peer: &mut Peer| {
        while let Some(head) = peer.head() {
            let number = head.one("X-Check").and_then(|number| number.parse::<usize>().ok());
            let number = number.expect("every request here is numbered");
            reached[number / 32].fetch_or(1 << (number % 32), Ordering::SeqCst);
            if !peer.send(response("200 OK", "")) {
                return;
            }
        }
    })
}

#[derive(Default)]
struct Judged {
    admitted: usize,
    refused: usize,
    /// Sent while a change was on its way: both answers are right.
    undecided: usize,
    /// The numbers of the requests that must never reach the upstream.
    never: Vec<usize>,
}

fn client(check: &Check, gateway: SocketAddr, nth: usize) -> Judged {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (nth as u64 + 1));
    let mut wire = Wire::to(gateway);
    let mut judged = Judged::default();
    while !check.stopped() {
        let chosen = if dice.below(2) == 0 {
            let packed = check.hot[dice.below(GOVERNORS)].load(Ordering::SeqCst);
            let count = usize::try_from(packed & 0xffff_ffff).expect("a small number");
            usize::try_from(packed >> 32).expect("a small number") + dice.below(count.max(1))
        } else {
            dice.below(check.tokens.len())
        };
        let number = check.next.fetch_add(1, Ordering::SeqCst);
        if number >= check.reached.len() * 32 {
            check.complain("more requests than the test has numbers for".to_owned());
            break;
        }
        let token = &check.tokens[chosen];
        let (before, phase) = token.switch.read();
        wire.send(format!(
            "GET /orders/x HTTP/1.1\r\nHost: gateway.test\r\nX-Check: {number}\r\n{}\r\n",
            token.minted.bearer()
        ));
        let status = match wire.answer_to("GET", PATIENCE) {
            Ok(answer) => answer.status,
            Err(Cut::TimedOut) => {
                check.complain(format!("request {number} was not answered"));
                break;
            }
            // Lost with its connection: no answer, so nothing to hold against it but the upstream.
            Err(_) => {
                wire = Wire::to(gateway);
                0
            }
        };
        let (after, _) = token.switch.read();
        let id = &token.minted.id;
        match (before == after, phase, status) {
            (true, Phase::Off, status) => {
                if status == 200 || check.has_reached(number) {
                    check.complain(format!(
                        "request {number} with {id} was sent after its switching off was \
                         acknowledged, and was admitted (answer {status})"
                    ));
                }
                judged.refused += 1;
                judged.never.push(number);
                token.refused.fetch_add(1, Ordering::SeqCst);
            }
            (true, Phase::On, 200) => {
                judged.admitted += 1;
                token.admitted.fetch_add(1, Ordering::SeqCst);
            }
            (true, Phase::On, 401 | 403) => check.complain(format!(
                "request {number} with {id} was refused ({status}), but the token is on"
            )),
            (_, _, 0 | 200 | 401 | 503) => judged.undecided += 1,
            (_, _, status) => {
                check.complain(format!("request {number} with {id} was answered with {status}"));
            }
        }
    }
    judged
}

/// What a governor switches.
enum Subject<'a> {
    Token(&'a Minted),
    User(&'a str),
}

impl Subject<'_> {
    fn switch(&self, admin: &Admin, on: bool) {
        match (self, on) {
            (Self::Token(token), false) => admin.deactivate(token),
            (Self::Token(token), true) => admin.activate(token),
            (Self::User(user), false) => admin.deactivate_user(user),
            (Self::User(user), true) => admin.activate_user(user),
        }
    }
}

/// The tokens and users of one governor, by their places in [`Check::tokens`].
struct Province {
    toggled: Range<usize>,
    revoked: Range<usize>,
    users: Vec<(String, Range<usize>)>,
}

fn govern(check: &Check, admin: &Admin, nth: usize, province: &Province, wanted: usize) {
    let mut dice = Dice(0xd1b5_4a32_d192_ed03 ^ (nth as u64 + 1));
    let mut to_revoke = province.revoked.clone();
    for cycle in 0_usize.. {
        let enough = check.switched_off.load(Ordering::SeqCst) >= wanted
            && check.next.load(Ordering::SeqCst) >= check.requests_wanted
            && to_revoke.is_empty();
        if enough || check.stopped() {
            return;
        }
        // In every ten: one user, one revocation as long as there are any, eight tokens.
        let toggled = province.toggled.start + dice.below(province.toggled.len());
        let (subject, range, end) = match cycle % 10 {
            0 => {
                let (user, range) = &province.users[dice.below(province.users.len())];
                (Subject::User(user), range.clone(), false)
            }
            5 if !to_revoke.is_empty() => {
                let chosen = to_revoke.next().expect("it is not empty");
                (Subject::Token(&check.tokens[chosen].minted), chosen..chosen + 1, true)
            }
            _ => {
                let subject = Subject::Token(&check.tokens[toggled].minted);
                (subject, toggled..toggled + 1, false)
            }
        };
        let switch = &check.tokens[range.start].switch;
        check.heat(nth, &range);
        if cycle % 2 == 0 {
            // Every worker shall know it well. Otherwise: they meet it while it is switched off.
            let before = check.sum(&range, |token| &token.admitted);
            eventually(Duration::from_millis(100), || {
                check.stopped() || check.sum(&range, |token| &token.admitted) >= before + 6
            });
        }
        switch.set(Phase::Changing);
        if end {
            admin.revoke(&check.tokens[range.start].minted);
        } else {
            subject.switch(admin, false);
        }
        switch.set(Phase::Off);
        check.switched_off.fetch_add(1, Ordering::SeqCst);
        let before = check.sum(&range, |token| &token.refused);
        eventually(Duration::from_millis(200), || {
            check.stopped() || check.sum(&range, |token| &token.refused) >= before + 8
        });
        if !end {
            switch.set(Phase::Changing);
            subject.switch(admin, true);
            switch.set(Phase::On);
        }
    }
}

/// Makes the tokens of all governors, several at once.
fn settle(admin: &Admin) -> (Vec<Token>, Vec<Province>) {
    let mut tokens = Vec::new();
    let mut provinces = Vec::new();
    let mut mint = |count: usize, owner: Option<&str>, shared: Option<&Arc<Switch>>| {
        let wish = TokenWish { owner, ..TokenWish::default() };
        let begin = tokens.len();
        for part in (0..count).collect::<Vec<_>>().chunks(8) {
            let minted: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> =
                    part.iter().map(|_| scope.spawn(|| admin.mint(&wish))).collect();
                threads.into_iter().map(|thread| thread.join().expect("a token")).collect()
            });
            tokens.extend(minted.into_iter().map(|minted| Token {
                minted,
                switch: shared.map(Arc::clone).unwrap_or_default(),
                admitted: AtomicU64::new(0),
                refused: AtomicU64::new(0),
            }));
        }
        begin..tokens.len()
    };
    for nth in 0..GOVERNORS {
        let toggled = mint(TOGGLED, None, None);
        let revoked = mint(REVOKED, None, None);
        let users = (0..USERS).map(|user| {
            let user = admin.add_user(&format!("user-{nth}-{user}"), &[("orders", "reader")]);
            let range = mint(TOKENS_OF_A_USER, Some(&user), Some(&Arc::default()));
            (user, range)
        });
        let users = users.collect();
        provinces.push(Province { toggled, revoked, users });
    }
    (tokens, provinces)
}

#[test]
fn no_request_is_admitted_after_an_acknowledged_deactivation() {
    let (setup, _upstream, reached) = stage(requests_wanted());
    let world = setup.start();
    let tokens = settle(&world.admin());
    println!("{}", hold(&world, tokens, reached, requests_wanted()));
}

/// How many requests there are to be at least.
fn requests_wanted() -> usize {
    std::env::var("BEARWARD_CHECK_REQUESTS")
        .map_or(100_000, |text| text.parse().expect("BEARWARD_CHECK_REQUESTS is a number"))
}

/// What becomes a gateway before an upstream that writes down which requests came.
fn stage(requests_wanted: usize) -> (Setup, Upstream, Arc<Vec<AtomicU32>>) {
    let numbers: usize = requests_wanted.max(10_000) * 20;
    let reached: Arc<Vec<AtomicU32>> =
        Arc::new((0..numbers.div_ceil(32)).map(|_| AtomicU32::new(0)).collect());
    let upstream = Upstream::start_unrecorded(tally(Arc::clone(&reached)));
    let setup = Setup::before(&upstream)
        .gateway("workers = 4")
        .gateway(&format!("cache_entries_max = {CACHE_ENTRIES}"))
        .gateway("usage_flush_interval = \"1s\"");
    (setup, upstream, reached)
}

/// Holds a gateway to it, and answers what there was, in words.
fn hold(
    world: &World,
    (tokens, provinces): (Vec<Token>, Vec<Province>),
    reached: Arc<Vec<AtomicU32>>,
    requests_wanted: usize,
) -> String {
    let wanted = (requests_wanted / 90).clamp(20, 1_100);
    let admin = world.admin();
    assert!(tokens.len() > 4 * CACHE_ENTRIES, "the cache must be smaller than the set of tokens");
    let check = Check {
        tokens,
        hot: Default::default(),
        next: AtomicUsize::new(0),
        reached,
        requests_wanted,
        switched_off: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        wrong: Mutex::default(),
    };
    let begun = Instant::now();
    let judged: Vec<Judged> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|nth| {
                scope.spawn({
                    let (check, gateway) = (&check, world.gateway);
                    move || client(check, gateway, nth)
                })
            })
            .collect();
        let governors: Vec<_> = provinces
            .iter()
            .enumerate()
            .map(|(nth, province)| {
                scope.spawn({
                    let (check, admin) = (&check, &admin);
                    move || govern(check, admin, nth, province, wanted)
                })
            })
            .collect();
        let done = eventually(PATIENCE_IN_ALL, || {
            governors.iter().all(thread::ScopedJoinHandle::is_finished)
        });
        check.stop.store(true, Ordering::SeqCst);
        assert!(done, "not done within {PATIENCE_IN_ALL:?}");
        for governor in governors {
            governor.join().expect("the admin port answers as it should");
        }
        clients.into_iter().map(|client| client.join().expect("a client lives")).collect()
    });
    let sum = |count: fn(&Judged) -> usize| judged.iter().map(count).sum::<usize>();
    let [admitted, refused, undecided] =
        [sum(|j| j.admitted), sum(|j| j.refused), sum(|j| j.undecided)];
    let switched_off = check.switched_off.load(Ordering::SeqCst);
    let requests = check.next.load(Ordering::SeqCst);
    let mut told = format!(
        "{requests} requests ({admitted} rightly admitted, {refused} rightly refused, {undecided} \
         during a change), {switched_off} deactivations, {:?}",
        begun.elapsed()
    );
    // What was late and arrived after its answer counts too.
    let mut late = judged.iter().flat_map(|judged| &judged.never);
    if let Some(number) = late.find(|&&number| check.has_reached(number)) {
        check.complain(format!("request {number} reached the upstream after all"));
    }
    let wrong = check.wrong.lock().unwrap();
    for complaint in wrong.iter().take(10) {
        write!(told, "\n  {complaint}").expect("text can be written");
    }
    assert!(wrong.is_empty(), "{told}");
    assert!(requests >= requests_wanted && switched_off >= wanted, "too few: {told}");
    // A check in which hardly anything was at stake proves nothing.
    assert!(refused > switched_off * 4, "too few requests with tokens that were off: {told}");
    assert!(admitted > requests / 5, "too few requests with tokens that were on: {told}");
    assert!(undecided < requests / 2, "too few requests could be judged: {told}");
    // In the end, everything is as it was acknowledged.
    for token in &check.tokens {
        let expected = if token.switch.read().1 == Phase::On { 200 } else { 401 };
        let mut wire: Wire = world.wire();
        let answer = wire
            .send(format!(
                "GET /orders/x HTTP/1.1\r\nHost: gateway.test\r\nX-Check: 0\r\n{}\r\n",
                token.minted.bearer()
            ))
            .answer();
        assert_eq!(answer.status, expected, "{} in the end: {answer:?}", token.minted.id);
    }
    told
}
