//! K7: an older state of the store knows nothing of what was switched off since.

use super::Stage;
use crate::wire::lossy;
use crate::world::{Minted, TokenWish};
use bearward::store::Ledger as _;
use bearward::store::redb;
use serde_json::json;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Output;

/// Runs `restore` on a store that nobody serves from.
fn restore(stage: &Stage, more: &[&str]) -> Output {
    let from = stage.world.file("backup.redb");
    let from = from.to_str().expect("a path of ASCII");
    stage.world.command(&[&["restore", "--from", from], more].concat())
}

fn back_up(stage: &Stage) {
    let out = stage.world.file("backup.redb");
    fs::write(stage.world.file("operator"), &stage.world.owner_secret).expect("written");
    let (out, operator) = (out.to_str().expect("ASCII"), stage.world.file("operator"));
    let operator = operator.to_str().expect("ASCII");
    let taken = stage.world.command(&["backup", "--out", out, "--token-file", operator]);
    assert!(taken.status.success(), "{}", lossy(&taken.stderr));
    assert!(lossy(&taken.stdout).contains("organizations: 1"), "{}", lossy(&taken.stdout));
}

/// Tokens and events of a store, as text. (Opening a file is enough to change some of its bytes.)
pub(super) fn records(path: &Path) -> String {
    let options = redb::Options::new(path.to_owned(), 1 << 20);
    let store = redb::open(options).expect("it is a store");
    let mut told = Vec::new();
    for org in store.organizations().expect("readable") {
        let mut visit = |token, usage| {
            told.push(format!("{token:?} {usage:?}"));
            ControlFlow::Continue(())
        };
        store.visit_tokens(org.id, None, &mut visit).expect("readable");
        told.push(format!("{org:?} {:?}", store.users(org.id)));
        told.push(format!("{:?}", store.events(org.id, None, usize::MAX)));
    }
    told.join("\n")
}

#[test]
fn k7_a_restored_backup_tells_which_tokens_come_back_to_life() {
    let mut stage = Stage::new();
    let admin = stage.world.admin();
    let mint = |name| admin.mint(&TokenWish { name, ..TokenWish::default() });
    let [off, gone, narrowed, before] =
        ["switched-off", "revoked-since", "narrowed-since", "was-off-before"].map(mint);
    let ann = admin.add_user("ann", &[("orders", "reader")]);
    let owned =
        admin.mint(&TokenWish { name: "of-ann", owner: Some(&ann), ..TokenWish::default() });
    admin.deactivate(&before);
    back_up(&stage);

    admin.deactivate(&off);
    admin.revoke(&gone);
    admin.deactivate_user(&ann);
    let scope = json!({"scope": {"org_roles": ["org_member"], "service_roles": []}});
    admin.org("PATCH", &format!("/tokens/{}", narrowed.id), Some(&scope)).expect(200);
    let later = mint("made-later");

    // Not while a gateway works with the file.
    let refused = restore(&stage, &["--yes"]);
    assert!(!refused.status.success());
    let told = lossy(&refused.stderr);
    assert!(told.contains("a gateway works with the store") && told.contains("stop"), "{told}");
    assert!(stage.world.lives());

    stage.world.signal("TERM");
    stage.world.ended(super::SOON).expect("it ends");
    let unchanged = records(&stage.world.store());
    let listed = restore(&stage, &[]);
    assert!(!listed.status.success(), "it wants --yes");
    let told = lossy(&listed.stdout);
    for (token, why) in [
        (&off, "deactivated"),
        (&gone, "revoked"),
        (&owned, "owner deactivated"),
        (&narrowed, "orders/reader"),
    ] {
        let line = told.lines().find(|line| line.contains(&token.id));
        assert!(line.is_some_and(|line| line.contains(why)), "{why}:\n{told}");
    }
    assert!(told.contains("come back to life or regain roles: 4"), "{told}");
    for calm in [&stage.token, &before, &later] {
        assert!(!told.contains(&calm.id), "{told}");
    }
    // What is lost: the four changes, the token that was made since, what was recorded of telling it,
    // and no more.
    let recorded = told.lines().filter(|line| line.contains("notice.undeliverable")).count();
    assert!(told.contains(&format!("changes that are lost: {}", 5 + recorded)), "{told}");
    assert!(told.contains("token.revoked") && told.contains("made-later"), "{told}");
    assert!(lossy(&listed.stderr).contains("--yes"), "{listed:?}");
    for secret in [&off, &gone, &later].map(|token| &token.secret) {
        assert!(!told.contains(secret.as_str()), "a secret was shown");
    }
    assert!(records(&stage.world.store()) == unchanged, "something changed");

    let done = restore(&stage, &["--yes"]);
    assert!(done.status.success(), "{}", lossy(&done.stderr));
    let kept: Vec<_> = fs::read_dir(stage.world.store().parent().expect("a directory"))
        .expect("it can be listed")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains(".replaced-"))
        .collect();
    assert_eq!(kept.len(), 1, "what was replaced is kept");
    assert!(records(&kept[0]) == unchanged, "what is kept is not what was replaced");

    stage.world.serve();
    let status = |token: &Minted| stage.world.fetch("/orders", token).status;
    assert_eq!([&off, &gone, &owned, &narrowed].map(status), [200; 4], "they were told of");
    assert_eq!([&before, &later].map(status), [401; 2]);
    let restored = admin.told_of("store.restored");
    assert_eq!(restored.len(), 1, "{restored:?}");
    let changes = restored[0]["changes"].to_string();
    assert!(changes.contains("tokens_regained") && changes.contains("\"4\""), "{changes}");
}

#[test]
fn k7_what_is_no_whole_backup_is_not_restored() {
    let mut stage = Stage::new();
    back_up(&stage);
    stage.world.signal("TERM");
    stage.world.ended(super::SOON).expect("it ends");
    let backup = stage.world.file("backup.redb");
    let whole = fs::read(&backup).expect("the backup");
    let mut holed = whole.clone();
    let middle = whole.len() / 2;
    for broken in [&whole[..middle], b"not a store", b""] {
        fs::write(&backup, broken).expect("written");
        let refused = restore(&stage, &["--yes"]);
        let told = lossy(&refused.stderr);
        assert!(!refused.status.success() && told.contains("cannot be restored"), "{told}");
        assert!(!told.contains("panicked"), "{told}");
    }
    // Some page that is in use.
    for page in 1..whole.len() / 4_096 {
        holed[page * 4_096..(page + 1) * 4_096].fill(0);
    }
    fs::write(&backup, &holed).expect("written");
    assert!(!restore(&stage, &["--yes"]).status.success());
    // The store itself, and one that is in use, are no backups.
    let store = stage.world.store();
    let itself = stage.world.command(&["restore", "--from", store.to_str().expect("ASCII")]);
    assert!(lossy(&itself.stderr).contains("is the store itself"), "{itself:?}");
    let left: Vec<_> = fs::read_dir(store.parent().expect("a directory"))
        .expect("it can be listed")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("restoring") || name.contains("replaced"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    stage.world.serve();
    stage.honest("refused backups");
}
