//! `backup` and `restore` without a gateway; with one they are in `attacks::restore`.

use super::{CONFIG, Site, Told, bearward, text};
use bearward::store::redb::{self, RedbStore};
use bearward::store::{Archive as _, Ledger as _};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

fn open(path: &Path) -> Arc<RedbStore> {
    let options = redb::Options { path: path.to_owned(), cache_bytes: 1 << 20 };
    redb::open(options).expect("it is a store")
}

fn back_up(site: &Site, name: &str) -> (Told, std::path::PathBuf) {
    let out = site.home.path().join(name);
    let told = site.run(&["backup", "--out", out.to_str().expect("ASCII")]);
    (told, out)
}

#[test]
fn a_stopped_store_is_backed_up_without_a_credential() {
    let site = Site::new(CONFIG);
    let made = site.init(&[]);
    let (told, out) = back_up(&site, "a.redb");
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{told:?}");
    assert!(told.out.contains("organizations: 1, users: 1, tokens: 1"), "{told:?}");
    assert_eq!(fs::metadata(&out).expect("there").permissions().mode() & 0o777, 0o600);
    let (copy, store) = (open(&out), site.open());
    assert_eq!(copy.organizations(), store.organizations());
    assert_eq!(copy.revision(), store.revision());
    let token = text(&made, "token_id").parse().expect("an identity");
    assert_eq!(copy.token(token), store.token(token));
    drop((copy, store));
    // What is there stays.
    let (told, _) = back_up(&site, "a.redb");
    assert_eq!(told.code, 1);
    assert!(told.err.contains("is there already"), "{told:?}");
}

#[test]
fn a_store_in_use_wants_the_operator() {
    let site = Site::new(CONFIG);
    site.init(&[]);
    let _held = site.open();
    let (told, out) = back_up(&site, "a.redb");
    assert_eq!(told.code, 1);
    assert!(told.err.contains("BEARWARD_TOKEN"), "{told:?}");
    assert!(!out.exists() && !site.home.path().join("a.redb.partial").exists());
    let missing = Site::new(CONFIG);
    let (told, _) = back_up(&missing, "a.redb");
    assert!(told.err.contains("there is no store"), "{told:?}");
    assert!(!missing.store().exists());
}

#[test]
fn a_backup_is_restored_where_nothing_is_or_a_damaged_store() {
    let site = Site::new(CONFIG);
    let first = site.init(&[]);
    let (_, out) = back_up(&site, "a.redb");
    let from = out.to_str().expect("ASCII").to_owned();
    let restore = |more: &[&str]| site.run(&[&["restore", "--from", &from], more].concat());
    let org = text(&first, "org").parse().expect("an identity");
    for damaged in [true, false] {
        if damaged {
            let store = fs::read(site.store()).expect("the store");
            fs::write(site.store(), &store[..store.len() / 2]).expect("written");
        } else {
            fs::remove_file(site.store()).expect("removed");
        }
        let told = restore(&[]);
        assert_eq!(told.code, 1, "{told:?}");
        assert!(told.err.contains("nobody can say"), "{told:?}");
        assert!(told.out.contains("tokens that are live in the backup: 1"), "{told:?}");
        let told = restore(&["--yes"]);
        assert_eq!(told.code, 0, "{told:?}");
        let store = site.open();
        assert!(store.organization(org).expect("readable").is_some());
    }
    let names = fs::read_dir(site.home.path()).expect("a directory");
    let kept = names.filter(|entry| {
        entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().contains(".replaced-"))
    });
    assert_eq!(kept.count(), 1, "the damaged one is kept, the missing one is not");
}

#[test]
fn a_backup_of_another_store_is_told_apart() {
    let (site, other) = (Site::new(CONFIG), Site::new(CONFIG));
    site.init(&[]);
    other.init(&[]);
    let (_, out) = back_up(&other, "a.redb");
    let told = site.run(&["restore", "--from", out.to_str().expect("ASCII")]);
    assert_eq!(told.code, 1);
    // Its one token is not known here, and all of this store's three events would be lost.
    assert!(told.out.contains("come back to life or regain roles: 1"), "{told:?}");
    assert!(told.out.contains("its secret is unknown"), "{told:?}");
    assert!(told.out.contains("changes that are lost: 3"), "{told:?}");
}

#[test]
fn the_operator_is_needed_for_a_running_gateway() {
    let told = Told::of(
        &bearward(&["backup", "--config", "/nowhere.toml"]).output().expect("the binary runs"),
    );
    assert_eq!(told.code, 1);
    assert!(told.err.contains("/nowhere.toml"), "{told:?}");
}
