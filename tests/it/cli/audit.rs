//! `bearward audit`: read from a gateway that serves, proved by its store and by exports.

use crate::upstream::{Upstream, ok};
use crate::wire::lossy;
use crate::world::{Setup, TokenWish, World, eventually};
use ::redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

type Events<'t> = ::redb::Table<'t, &'static [u8], &'static [u8]>;

const EVENTS: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("events");
/// The longest wait for the process.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where an event's bytes begin, behind the two links.
const LINKS_BYTES: usize = 64;

fn world(setup: impl FnOnce(Setup) -> Setup) -> (Upstream, World) {
    let upstream = Upstream::start(ok());
    let world = setup(Setup::before(&upstream)).start();
    (upstream, world)
}

/// A gateway with some history.
fn lively(setup: impl FnOnce(Setup) -> Setup) -> (Upstream, World) {
    let (upstream, world) = world(|plain| setup(plain.extra("[notices]\nsettle = \"0s\"\n")));
    let admin = world.admin();
    for name in ["one", "two", "three", "=four()"] {
        let token = admin.mint(&TokenWish { name, ..TokenWish::default() });
        admin.deactivate(&token);
    }
    // Nothing more is recorded of what was told of it.
    let waits = |notice: &Value| notice["state"] == "waiting";
    let is_still = || {
        let notices = admin.org("GET", "/notices", None).expect(200);
        !notices["items"].as_array().expect("a list").iter().any(waits)
    };
    assert!(eventually(PATIENCE, is_still), "notices wait");
    (upstream, world)
}

/// A command that talks to the admin port.
fn ask(world: &World, arguments: &[&str]) -> Output {
    fs::write(world.file("owner"), &world.owner_secret).expect("written");
    let admin = format!("http://{}", world.admin);
    let owner = world.file("owner");
    std::process::Command::new(env!("CARGO_BIN_EXE_bearward"))
        .args(arguments)
        .args(["--admin", &admin, "--token-file", owner.to_str().expect("ASCII")])
        .output()
        .expect("the binary runs")
}

#[track_caller]
fn told(output: &Output) -> String {
    assert!(output.status.success(), "{}", lossy(&output.stderr));
    lossy(&output.stdout)
}

fn stop(world: &mut World) {
    world.signal("TERM");
    assert!(world.ended(PATIENCE).expect("it drains").success());
}

fn verify(world: &World, more: &[&str]) -> (Option<i32>, String) {
    let output = world.command(&[&["audit", "verify"], more].concat());
    (output.status.code(), lossy(&output.stdout) + &lossy(&output.stderr))
}

/// Works on the rows of the trail, as somebody with the file and without the key would.
fn edit(store: &Path, work: impl FnOnce(&mut Events<'_>)) {
    let database = Database::open(store).expect("it is a redb file");
    let transaction = database.begin_write().expect("writable");
    work(&mut transaction.open_table(EVENTS).expect("the table"));
    transaction.commit().expect("committed");
}

/// The keys and values of the first organization's trail.
fn rows(store: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let database = Database::open(store).expect("it is a redb file");
    let transaction = database.begin_read().expect("readable");
    let table = transaction.open_table(EVENTS).expect("the table");
    let rows = table.iter().expect("readable").map(|row| {
        let (key, value) = row.expect("readable");
        (key.value().to_vec(), value.value().to_vec())
    });
    rows.collect()
}

#[test]
fn the_trail_is_listed_exported_and_proved() {
    let (_upstream, mut world) = lively(|setup| setup);
    let listed = told(&ask(&world, &["audit", "list", "--action", "token.deactivated"]));
    assert_eq!(listed.lines().count(), 5, "{listed}");
    assert!(listed.contains("token.deactivated") && !listed.contains("token.created"), "{listed}");
    let json = told(&ask(&world, &["audit", "list", "--json", "--limit", "3"]));
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["items"].as_array().expect("a list").len(), 3);

    let head = told(&ask(&world, &["audit", "head"])).trim().to_owned();
    let (seq, hash) = head.split_once(':').expect("SEQ:HASH");
    assert_eq!(
        (&json["items"][0]["seq"].to_string()[..], &json["items"][0]["hash"]),
        (seq, &json!(hash))
    );

    let csv = told(&ask(&world, &["audit", "export", "--format", "csv"]));
    assert!(csv.starts_with("seq,at,actor,") && csv.contains("\"'=four()\""), "{csv}");
    let file = world.file("audit.jsonl");
    let file = file.to_str().expect("ASCII");
    told(&ask(&world, &["audit", "export", "-o", file]));
    let lines = fs::read_to_string(file).expect("written");
    assert_eq!(lines.lines().count().to_string(), seq);

    // While it runs, by the export; the store is in use.
    let (code, text) = verify(&world, &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains("another process") && text.contains("--export"), "{text}");
    let (code, text) = verify(&world, &["--export", file, "--head", &head]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("{seq} events proved, from 1 to {seq}")), "{text}");

    // Offline, with the head.
    stop(&mut world);
    let (code, text) = verify(&world, &["--head", &head]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("{seq} events proved")), "{text}");
    let org = world.org.clone();
    assert_eq!(verify(&world, &["--org", &org]).0, Some(0));
    let (code, text) = verify(&world, &["--org", "org_00000000000000000000000009"]);
    assert_eq!(code, Some(1), "{text}");
    let (code, _) = verify(&world, &["--head", "nonsense"]);
    assert_eq!(code, Some(2), "that is no head");
}

#[test]
fn every_edit_of_a_trail_in_the_file_is_found_and_named() {
    let (_upstream, mut world) = lively(|setup| setup);
    let head = told(&ask(&world, &["audit", "head"])).trim().to_owned();
    stop(&mut world);
    let store = world.store();
    let kept = fs::read(&store).expect("the store");
    let whole = rows(&store);
    let count = whole.len();
    assert!(count >= 9, "{count} events");
    let put = |table: &mut Events<'_>, at: usize, value: &[u8]| {
        table.insert(&whole[at].0[..], value).expect("written");
    };
    let check = |expected: &str, more: &[&str], work: &dyn Fn(&mut Events<'_>)| {
        fs::write(&store, &kept).expect("writable");
        edit(&store, work);
        let (code, text) = verify(&world, more);
        assert_eq!(code, Some(1), "{expected}: {text}");
        assert!(text.contains(expected), "{expected}: {text}");
    };
    check("event 3 is missing: removed", &[], &|table| {
        table.remove(&whole[2].0[..]).expect("removed");
    });
    check("event 4 is not what was written: changed", &[], &|table| {
        let mut value = whole[3].1.clone();
        *value.last_mut().expect("a byte") ^= 1;
        put(table, 3, &value);
    });
    // What cannot even be read any more is told as well.
    check("event 4 is not what was written: changed", &[], &|table| {
        put(table, 3, &whole[3].1[..LINKS_BYTES + 5]);
    });
    check("out of place", &[], &|table| {
        put(table, 1, &whole[4].1);
        put(table, 4, &whole[1].1);
    });
    check("what stands as event 6 was never written there: inserted", &[], &|table| {
        put(table, 5, &whole[1].1);
    });
    check("cut off", &[], &|table| {
        table.remove(&whole[count - 1].0[..]).expect("removed");
    });
    // The file as it was is sound, and a tail that was cut off with the store's own record of it is
    // found by the head that was published.
    fs::write(&store, &kept).expect("writable");
    assert_eq!(verify(&world, &["--head", &head]).0, Some(0));
    let (_, hash) = head.split_once(':').expect("SEQ:HASH");
    let later = format!("{}:{hash}", count + 5);
    let (code, text) = verify(&world, &["--head", &later]);
    assert_eq!(code, Some(1));
    assert!(text.contains("before the published head") && text.contains("cut off"), "{text}");
    let rewritten = format!("{count}:{}", "0".repeat(64));
    let (code, text) = verify(&world, &["--head", &rewritten]);
    assert_eq!(code, Some(1));
    assert!(text.contains("rewritten"), "{text}");
}

#[test]
fn an_export_that_was_edited_is_not_what_was_written() {
    let (_upstream, world) = lively(|setup| setup);
    let text = told(&ask(&world, &["audit", "export"]));
    let lines: Vec<&str> = text.lines().collect();
    let file = world.file("edited.jsonl");
    let check = |lines: &[&str], expected: &str| {
        fs::write(&file, lines.join("\n") + "\n").expect("written");
        let (code, text) = verify(&world, &["--export", file.to_str().expect("ASCII")]);
        assert_eq!(code, Some(i32::from(!expected.contains("proved"))), "{expected}: {text}");
        assert!(text.contains(expected), "{expected}: {text}");
    };
    check(&lines, "events proved");
    check(&lines[3..], "events proved, from 4");
    check(&[&lines[..2], &lines[3..]].concat(), "event 3 is missing: removed");
    let changed = lines[3].replace("token.", "user.").replace("user.created", "user.removed");
    check(&[&lines[..3], &[&changed[..]], &lines[4..]].concat(), "event 4 is not what was written");
    let renamed = lines[3].replace("\"one\"", "\"eno\"").replace("\"two\"", "\"owt\"");
    if renamed != lines[3] {
        check(
            &[&lines[..3], &[&renamed[..]], &lines[4..]].concat(),
            "event 4 is not what was written",
        );
    }
    check(&[&lines[..1], &[lines[2], lines[1]], &lines[3..]].concat(), "out of place");
    check(&[&lines[..2], &[lines[0]], &lines[2..]].concat(), "was never written there: inserted");
    check(&["{}"], "line 1 is no event");
}

#[test]
fn a_key_comes_from_the_configuration_and_another_is_refused() {
    let key = |world: &World, letter: &str| {
        fs::write(world.file("key"), letter.repeat(32)).expect("written");
    };
    let upstream = Upstream::start(ok());
    let setup = Setup::before(&upstream).extra("[audit]\nkey = { file = \"key\" }\n");
    let mut world = setup.unstarted();
    key(&world, "a");
    world.init();
    assert!(!world.file("bearward.redb.audit-key").exists());
    assert_eq!(verify(&world, &[]).0, Some(0));
    key(&world, "b");
    let served = world.command(&["serve"]);
    assert!(!served.status.success());
    let text = lossy(&served.stderr);
    assert!(text.contains("under another key") && text.contains("audit rekey"), "{text}");
    assert!(!text.contains("bbb"), "a key is told: {text}");
    let unsure = world.command(&["audit", "rekey"]);
    assert!(!unsure.status.success(), "without --yes");
    told(&world.command(&["audit", "rekey", "--yes"]));
    let (code, text) = verify(&world, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("older than the key"), "{text}");
    fs::write(world.file("key"), "short").expect("written");
    let (code, text) = verify(&world, &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains("audit.key") && text.contains("at least 32 characters"), "{text}");
}

#[test]
fn what_has_outlived_its_time_is_forgotten_behind_a_checkpoint() {
    let (_upstream, mut world) = lively(|setup| setup.clock().extra("[audit]\nkeep = \"48h\"\n"));
    let before = told(&ask(&world, &["audit", "head"])).trim().to_owned();
    let (seq, hash) = before.split_once(':').expect("SEQ:HASH");
    // The first look is at the start.
    stop(&mut world);
    world.serve_ahead(3 * 86_400);
    let admin = world.admin();
    let forgotten = || admin.org("GET", "/audit/head", None).expect(200)["checkpoint"].clone();
    let went = eventually(PATIENCE, || !forgotten().is_null());
    assert!(went, "nothing was forgotten:\n{}", world.told());
    let checkpoint = forgotten();
    assert_eq!(
        (checkpoint["seq"].to_string(), &checkpoint["hash"]),
        (seq.to_owned(), &json!(hash))
    );
    assert_eq!(checkpoint["cause"], "retention");
    stop(&mut world);
    let (code, text) = verify(&world, &["--head", &before]);
    assert_eq!(code, Some(0), "{text}");
}
