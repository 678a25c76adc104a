//! T1 to T9: what counts as a token, and what becomes of a request without a good one.

use super::{SOON, Stage};
use crate::upstream::ok;
use crate::wire::{Answer, PATIENCE};
use crate::world::{Minted, Setup, TokenWish, eventually, get, post};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A secret with a right checksum that nobody ever issued; the same for the same `seed`.
fn well_formed(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = "bwt_".to_owned();
    for _ in 0..43 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push(char::from(BASE62[usize::try_from(state % 62).unwrap()]));
    }
    checked(&text)
}

/// What comes before a checksum, with its checksum.
fn checked(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut sum = [0; 6];
    for char in sum.iter_mut().rev() {
        *char = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    body.to_owned() + std::str::from_utf8(&sum).unwrap()
}

/// The secret with one character of its body changed, and its checksum right again.
fn near_miss(secret: &str, at: usize) -> String {
    let mut body = secret.as_bytes()[..secret.len() - 6].to_vec();
    body[at] = if body[at] == b'a' { b'b' } else { b'a' };
    checked(std::str::from_utf8(&body).unwrap())
}

fn presenting(secret: &str) -> String {
    get("/orders/x", &format!("Authorization: Bearer {secret}\r\n"))
}

#[track_caller]
fn is_invalid_request(variant: &str, answer: &Answer) {
    assert_eq!(answer.status, 400, "`{variant}`: {answer:?}");
    let challenge = answer.field("www-authenticate").unwrap_or_default();
    let expected = "Bearer realm=\"bearward\", error=\"invalid_request\"";
    assert!(challenge.starts_with(expected), "`{variant}`: {answer:?}");
}

#[test]
fn t1_two_credentials() {
    let stage = Stage::new();
    let live = stage.bearer();
    let secret = &stage.token.secret;
    // The live token is in memory neither now nor later, if nobody asks for it.
    let lookups = stage.store_lookups();
    for (variant, fields) in [
        ("the same twice", format!("{live}{live}")),
        ("live, then unknown", format!("{live}Authorization: Bearer {}\r\n", well_formed(1))),
        ("unknown, then live", format!("Authorization: Bearer {}\r\n{live}", well_formed(1))),
        ("Basic, then live", format!("Authorization: Basic eDp5\r\n{live}")),
        ("live, then Basic", format!("{live}Authorization: Basic eDp5\r\n")),
        ("live, then empty", format!("{live}Authorization:\r\n")),
        ("empty, then live", format!("Authorization:\r\n{live}")),
        ("odd case, apart", format!("{live}X-A: 1\r\naUTHORIZATION: Bearer {secret}\r\n")),
        ("joined", format!("Authorization: Bearer {secret}, Bearer {secret}\r\n")),
        ("joined tightly", format!("Authorization: Bearer {secret},Bearer {secret}\r\n")),
        ("joined with Basic", format!("Authorization: Bearer {secret}, Basic eDp5\r\n")),
    ] {
        is_invalid_request(variant, &stage.world.ask(get("/orders/x", &fields)));
        assert_eq!(stage.store_lookups(), lookups, "`{variant}` was looked up");
    }
    stage.untouched("two credentials");
    assert_eq!(stage.store_lookups(), lookups + 1, "the honest request was");
}

#[test]
fn t2_one_rule_for_scheme_and_space() {
    let stage = Stage::new();
    let secret = &stage.token.secret;
    let ask = |field: &str| {
        stage.world.ask(get("/orders/x", &format!("{}\r\n", field.replace("{}", secret))))
    };
    for field in [
        "Authorization: Bearer {}",
        "Authorization: bearer {}",
        "Authorization: BEARER {}",
        "Authorization: bEaReR {}",
        "authorization:Bearer {}",
        // What surrounds a field's value is no part of it (RFC 9110 section 5.5).
        "Authorization: \t Bearer {} \t ",
    ] {
        assert_eq!(ask(field).status, 200, "`{field}`");
    }
    for field in [
        "Authorization: Bearer\t{}",
        "Authorization: Bearer  {}",
        "Authorization: Bearer \t{}",
        "Authorization: Bearer {} x",
        "Authorization: Bearer {},",
        "Authorization: Bearer ,{}",
        "Authorization: Bearer, {}",
        "Authorization: Bearer {} {}",
        "Authorization: Bearer {}\t{}",
        "Authorization: Bearer",
        "Authorization: bearer ",
    ] {
        is_invalid_request(field, &ask(field));
    }
    // Another scheme is no credential of ours, whatever stands behind it.
    for field in [
        "Authorization: Basic {}",
        "Authorization: Bearer{}",
        "Authorization: Bearer-x {}",
        "Authorization: Token {}",
        "Authorization: {}",
        "Authorization: \"Bearer {}\"",
        "Authorization:",
    ] {
        let answer = ask(field);
        assert_eq!(answer.status, 401, "`{field}`: {answer:?}");
        let challenge = answer.field("www-authenticate");
        assert_eq!(challenge.as_deref(), Some("Bearer realm=\"bearward\""), "`{field}`");
    }
    let arrived = stage.arrived();
    assert_eq!(arrived.len(), 6, "only the accepted ones go upstream: {arrived:#?}");
}

#[test]
fn t3_tokens_that_cannot_be_tokens() {
    let stage = Stage::new();
    let secret = &stage.token.secret;
    stage.honest("nothing yet");
    let lookups = stage.store_lookups();
    for (variant, field) in [
        ("empty", "Bearer".to_owned()),
        ("empty, with a space", "Bearer ".to_owned()),
        ("not ASCII at the end", format!("Bearer {secret}\u{e9}")),
        ("not ASCII at the beginning", format!("Bearer \u{2003}{secret}")),
        ("of 4,097 bytes", format!("Bearer {}", "x".repeat(4097))),
        ("of 32 KiB", format!("Bearer {}", "x".repeat(32 << 10))),
    ] {
        let answer = stage.world.ask(get("/orders/x", &format!("Authorization: {field}\r\n")));
        is_invalid_request(variant, &answer);
        stage.untouched(variant);
    }
    for (variant, field) in [
        ("NUL at the end", format!("Bearer {secret}\0")),
        ("NUL alone", "Bearer \0".to_owned()),
        ("DEL", format!("Bearer {secret}\u{7f}")),
    ] {
        let request = get("/orders/x", &format!("Authorization: {field}\r\n"));
        stage.refuses(variant, request, &[400]);
    }
    let long = format!("Authorization: Bearer {}\r\n", "x".repeat(64 << 10));
    stage.refuses("of 64 KiB", get("/orders/x", &long), &[400, 431]);
    assert_eq!(stage.store_lookups(), lookups, "one of them was looked up");
}

#[test]
fn t4_tokens_in_a_query_or_a_body_are_ignored() {
    let stage = Stage::new();
    let secret = &stage.token.secret;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let cookie = format!("Cookie: access_token={secret}\r\n");
    for (variant, request) in [
        ("a query", get(&format!("/orders/x?access_token={secret}"), "")),
        ("a form", post("/orders/x", form, &format!("access_token={secret}"))),
        ("a cookie", get("/orders/x", &cookie)),
        ("another field", get("/orders/x", &format!("Proxy-Authorization: Bearer {secret}\r\n"))),
        ("an aliased field", get("/orders/x", &format!("X-Authorization: Bearer {secret}\r\n"))),
    ] {
        let answer = stage.world.ask(request);
        assert_eq!(answer.status, 401, "{variant}: {answer:?}");
        let challenge = answer.field("www-authenticate");
        assert_eq!(challenge.as_deref(), Some("Bearer realm=\"bearward\""), "{variant}");
        stage.untouched(variant);
    }
}

type Fields = Vec<(String, Vec<u8>)>;

/// What tells two answers apart, except what must differ between any two.
fn tells(answer: &Answer) -> (u16, Fields, Vec<u8>) {
    let mut fields = answer.head.fields.clone();
    fields.retain(|(name, _)| {
        !name.eq_ignore_ascii_case("date") && !name.eq_ignore_ascii_case("x-request-id")
    });
    (answer.status, fields, answer.body.clone())
}

#[test]
fn t5_dead_tokens_are_all_alike() {
    let stage = Stage::with(ok(), Setup::clock);
    let admin = stage.world.admin();
    let orders = [("orders", "reader")];
    let user = admin.add_user("blocked", &orders);
    let minute = TokenWish { ttl: (1, "minutes"), ..TokenWish::default() };
    let dead = [
        ("deactivated", admin.mint(&TokenWish::default())),
        ("revoked", admin.mint(&TokenWish::default())),
        ("expired", admin.mint(&minute)),
        ("owner deactivated", admin.mint(&TokenWish { owner: Some(&user), ..minute.clone() })),
        ("expired and deactivated", admin.mint(&minute)),
    ];
    for (variant, token) in &dead {
        assert_eq!(stage.world.fetch("/orders/x", token).status, 200, "{variant}, still alive");
    }
    admin.deactivate(&dead[0].1);
    admin.revoke(&dead[1].1);
    admin.deactivate_user(&user);
    admin.deactivate(&dead[4].1);
    // An owner who is off says nothing once the token has expired too: ask before.
    let blocked = stage.world.ask(presenting(&dead[3].1.secret));
    stage.world.set_clock(120);
    stage.arrived();

    let secret = &stage.token.secret;
    stage.honest("the moved clock");
    let lookups = stage.store_lookups();
    let mut answers = vec![("owner deactivated".to_owned(), blocked)];
    for (variant, token) in &dead[..3] {
        answers.push(((*variant).to_owned(), stage.world.ask(presenting(&token.secret))));
    }
    for (variant, presented) in [
        ("never issued", well_formed(7)),
        ("near miss, right checksum", near_miss(secret, 20)),
        ("near miss at the end", near_miss(secret, 46)),
        ("near miss, wrong checksum", secret.replace(&secret[44..47], "000")),
        ("cut short", secret[..secret.len() - 1].to_owned()),
        ("too long", format!("{secret}0")),
        ("the prefix alone", "bwt_".to_owned()),
        ("another prefix", secret.replace("bwt_", "xyz_")),
        ("no prefix", secret["bwt_".len()..].to_owned()),
        ("upper case", secret.to_uppercase()),
        ("one character", "x".to_owned()),
        ("a token's identity", stage.token.id.clone()),
    ] {
        answers.push((variant.to_owned(), stage.world.ask(presenting(&presented))));
    }
    // Nor does the way there differ: whatever a guess has in common with a secret, none of it is
    // compared with anything that is stored.
    assert_eq!(stage.store_lookups(), lookups, "one of them was looked up");
    let (_, first) = &answers[0];
    assert_eq!(first.status, 401, "{first:?}");
    let challenge = first.field("www-authenticate").unwrap_or_default();
    let expected = "Bearer realm=\"bearward\", error=\"invalid_token\"";
    assert!(challenge.starts_with(expected), "{first:?}");
    for (variant, answer) in &answers {
        assert_eq!(tells(answer), tells(first), "{variant}: {answer:?}");
    }
    stage.untouched("dead tokens");
}

#[test]
fn t6_a_flood_of_unknown_tokens_harms_nobody() {
    const FLOOD: u64 = 20_000;
    let stage = Stage::with(ok(), |setup| setup.gateway("cache_entries_max = 1000"));
    let honest = stage.get("/orders/honest", "");
    let mut honest_wire = stage.world.wire();
    assert_eq!(honest_wire.send(&honest).answer().status, 200);
    // Enough of them for every allocation that stays to be made before memory is looked at.
    let mut flood = stage.world.wire();
    let mut wave = |seeds: std::ops::Range<u64>| {
        let batch: Vec<_> = seeds.map(well_formed).map(|secret| presenting(&secret)).collect();
        flood.send(batch.concat());
        for _ in &batch {
            assert_eq!(flood.answer().status, 401);
        }
    };
    let lookups = stage.store_lookups();
    (0..10).for_each(|nth| wave(nth * 100..(nth + 1) * 100));
    let before = stage.world.memory();
    for nth in 10..FLOOD / 100 {
        wave(nth * 100..(nth + 1) * 100);
        if nth % 10 == 0 {
            let answer = honest_wire.send(&honest).answer();
            assert_eq!(answer.status, 200, "an honest request during the flood: {answer:?}");
        }
    }
    let grown = stage.world.memory().saturating_sub(before);
    assert!(grown < 4 << 20, "{FLOOD} unknown tokens cost {grown} bytes of memory");
    let lookups = stage.store_lookups() - lookups;
    assert!(lookups <= FLOOD / 1_000, "{lookups} of {FLOOD} unknown tokens reached the store");
    let entries = stage.world.metric("bearward_cache_entries").expect("a gauge of cache entries");
    assert!(entries <= 2.0, "{entries} entries in the cache, but two tokens exist");
}

#[test]
fn t7_a_token_is_judged_anew_on_each_route() {
    let stage = Stage::new();
    let mut wire = stage.world.wire();
    for round in 0..3 {
        let admitted = wire.send(stage.get("/orders/x", "")).answer();
        assert_eq!(admitted.status, 200, "round {round}: {admitted:?}");
        let refused = wire.send(stage.get("/billing/x", "")).answer();
        assert_eq!(refused.status, 403, "round {round}: {refused:?}");
        let without = wire.send(get("/orders/x", "")).answer();
        assert_eq!(without.status, 401, "round {round}: {without:?}");
    }
    let billing = [("billing", "reader")];
    let other = TokenWish { service_roles: &billing, ..TokenWish::default() };
    let other = stage.world.admin().mint(&other);
    assert_eq!(wire.send(get("/billing/x", &other.bearer())).answer().status, 200);
    assert_eq!(wire.send(get("/orders/x", &other.bearer())).answer().status, 403);
    let targets: Vec<_> =
        stage.upstream.requests().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(targets, ["/orders/x", "/orders/x", "/orders/x", "/billing/x"]);
}

#[test]
fn t8_a_deactivated_owner_takes_all_their_tokens_along() {
    let stage = Stage::new();
    let admin = stage.world.admin();
    let orders = [("orders", "reader")];
    let user = admin.add_user("leaving", &orders);
    let wish = TokenWish { owner: Some(&user), ..TokenWish::default() };
    let theirs: Vec<Minted> = (0..5).map(|_| admin.mint(&wish)).collect();
    let mut wires: Vec<_> = theirs.iter().map(|_| stage.world.wire()).collect();
    // Four of them are in the cache, the last has never been seen.
    for (wire, token) in wires.iter_mut().zip(&theirs).take(4) {
        assert_eq!(wire.send(get("/orders/x", &token.bearer())).answer().status, 200);
    }
    admin.deactivate_user(&user);
    for (wire, token) in wires.iter_mut().zip(&theirs) {
        let answer = wire.send(get("/orders/x", &token.bearer())).answer();
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    for token in &theirs {
        let shown = admin.token(&token.id);
        assert_eq!(shown["blocked"], "owner_deactivated", "{shown}");
        assert_eq!(shown["status"], "activated", "{shown}");
    }
    stage.honest("somebody else's token");
    assert_eq!(stage.arrived().len(), 4);
}

#[test]
fn t9_a_revoked_token_is_refused_once_that_is_acknowledged() {
    let stage = Stage::with(ok(), |setup| setup.gateway("workers = 4"));
    let admin = stage.world.admin();
    for (variant, end) in [("deactivated", false), ("revoked", true)] {
        let token = admin.mint(&TokenWish::default());
        let request = get("/orders/x", &token.bearer());
        // More connections than workers, so that each worker has answered with this token.
        let mut wires: Vec<_> = (0..16).map(|_| stage.world.wire()).collect();
        for wire in &mut wires {
            assert_eq!(wire.send(&request).answer().status, 200, "{variant}: before");
        }
        stage.arrived();
        if end {
            admin.revoke(&token);
        } else {
            admin.deactivate(&token);
        }
        for (nth, wire) in wires.iter_mut().enumerate() {
            let answer = wire.send(&request).answer_to("GET", SOON).expect("an answer");
            assert_eq!(answer.status, 401, "{variant}, connection {nth}: {answer:?}");
        }
        assert_eq!(stage.world.ask(&request).status, 401, "{variant}: a new connection");
        stage.untouched(variant);
        if !end {
            admin.activate(&token);
            assert_eq!(stage.world.ask(&request).status, 200, "activated again");
        }
    }
}

#[test]
fn a_token_is_good_as_soon_as_it_is_made() {
    let stage = Stage::new();
    for _ in 0..20 {
        let token = stage.world.mint();
        assert_eq!(stage.world.fetch("/orders/x", &token).status, 200);
    }
    assert!(eventually(PATIENCE, || stage.upstream.requests().len() == 20));
}
