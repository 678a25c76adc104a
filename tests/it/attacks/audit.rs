//! A9, and floods of calls that are refused.

use super::Stage;
use crate::wire::{Wire, exchange};
use crate::world::get_from;
use bearward::secret::Secret;
use bearward::store::Ledger as _;
use bearward::store::redb;

fn me(fields: &str) -> String {
    get_from("localhost", "/api/v1/me", fields)
}

/// A token of our form that nobody was given.
fn guess() -> String {
    let secret = Secret::generate("bwt_", getrandom::fill).expect("random bytes");
    format!("Authorization: Bearer {}\r\n", secret.expose())
}

#[test]
fn a9_the_administrator_behind_a_guesser_is_let_in() {
    let stage = Stage::new();
    let admin = stage.world.admin;
    let owner = stage.world.owner_credential().bearer();
    let mut statuses = Vec::new();
    let mut guesser = Wire::to(admin);
    for _ in 0..40 {
        let answer = guesser.send(me(&guess())).answer();
        statuses.push(answer.status);
        if answer.status == 429 {
            let wait: u64 = answer.field("retry-after").expect("a time").parse().expect("seconds");
            assert!((1..=6).contains(&wait), "{answer:?}");
        }
        // Guesses and the honest call come from one address, at the same time.
        let honest = exchange(admin, me(&owner));
        assert_eq!(honest.status, 200, "the honest administrator is locked out: {honest:?}");
    }
    assert_eq!(statuses[..20], [401; 20], "patience ended too soon");
    let throttled = statuses.iter().filter(|&&status| status == 429).count();
    // On a slow machine some of the forty are a few seconds late.
    assert!(throttled >= 10, "{statuses:?}");
    stage.honest("guesses at the admin port");
}

#[test]
fn a_flood_of_refused_calls_is_a_few_events() {
    const CALLS: u64 = 600;
    let mut stage = Stage::new();
    let admin = stage.world.admin;
    let org = stage.world.org.clone();
    let mut wire = Wire::to(admin);
    for number in 0..CALLS {
        let credential = if number % 2 == 0 { guess() } else { String::new() };
        let status = wire.send(me(&credential)).answer().status;
        assert!(matches!(status, 401 | 429), "{status}");
    }
    // A member's token, which may not list the users.
    let mut forbidden = Wire::to(admin);
    let users = get_from("localhost", &format!("/api/v1/orgs/{org}/users"), &stage.token.bearer());
    for _ in 0..50 {
        assert_eq!(forbidden.send(&users).answer().status, 403);
    }
    stage.world.signal("TERM");
    let ended = stage.world.ended(super::SOON * 6).expect("it drains");
    assert!(ended.success());

    let store = redb::open(redb::Options::new(stage.world.store(), 4 << 20)).expect("it opens");
    let org = org.parse().expect("an identity");
    let events = store.events(org, None, 10_000).expect("readable");
    let refused: Vec<_> =
        events.iter().filter(|event| event.said.action.to_string() == "call.refused").collect();
    let count = |event: &bearward::audit::Event| -> u64 {
        let counted = event.said.changes.iter().find(|change| change.field == "count");
        let after = counted.and_then(|change| change.after.as_ref());
        after.map_or(1, |count| count.parse().expect("a number"))
    };
    let sum: u64 = refused.iter().map(|event| count(event)).sum();
    assert_eq!(sum, CALLS + 50, "each is told of");
    // Ten of the member's, and a sum of each kind for every minute that it took.
    assert!(refused.len() <= 10 + 3 * 4, "{} events", refused.len());
    assert!(refused.len() >= 12, "{} events", refused.len());
    let verdict = store.prove(org, None).expect("readable");
    assert_eq!((verdict.faults, verdict.proved), (vec![], events.len() as u64));
}
