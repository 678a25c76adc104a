//! K3 and K5: a disk that is full, and a file that is damaged, before the real binary.

use super::{SOON, Stage};
use crate::upstream::{Upstream, ok};
use crate::wire::lossy;
use crate::world::{Minted, Setup};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of this size, for as long as this lives.
const DISK: &str = "size=24m";
/// Far more than fill it.
const TOKENS: usize = 600;

/// A small disk. Mounting one is for root; a test that cannot do it has not been run, so it fails.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mounted() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", DISK, "tmpfs"])
            .arg(directory.path())
            .output()
            .expect("there is a `mount`");
        assert!(
            mounted.status.success(),
            "a disk that can be full needs root: {}",
            lossy(&mounted.stderr)
        );
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no room; what was taken for it is in a file.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let chunk = vec![1; 4_096];
        let mut filler = fs::File::create(&path).expect("there is room for a name");
        while std::io::Write::write_all(&mut filler, &chunk).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the process that has it open ends with its own test.
        let _unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn k3_a_full_disk_denies_on_and_lets_the_data_path_go_on() {
    let disk = SmallDisk::mounted();
    let upstream = Upstream::start(ok());
    let setup = Setup::before(&upstream).store(disk.path().join("bearward.redb"));
    let mut world = setup.gateway("usage_flush_interval = \"5m\"").start();
    let admin = world.admin();
    let live = world.mint();
    let off_before = world.mint();
    let tokens: Vec<Minted> = (0..TOKENS).map(|_| world.mint()).collect();
    admin.deactivate(&off_before);
    // All in memory, as tokens are that are used.
    for token in tokens.iter().chain([&live]) {
        assert_eq!(world.fetch("/orders", token).status, 200);
    }
    let filler = disk.fill();
    let reason = json!({"reason": "r".repeat(500)});
    let mut refused = None;
    for token in &tokens {
        let reply = admin.org("POST", &format!("/tokens/{}/deactivate", token.id), Some(&reason));
        if reply.status == 200 {
            assert_eq!(world.fetch("/orders", token).status, 401);
            continue;
        }
        assert_eq!(reply.status, 507, "{}", reply.json);
        assert_eq!(reply.json["type"], "urn:bearward:problem:storage-full");
        assert!(reply.json["detail"].as_str().is_some_and(|told| told.contains("denied")));
        refused = Some(token);
        break;
    }
    let refused = refused.expect("the disk is full before the tokens are used up");

    // The data path is up, what was being taken away is refused, and what was off stays off.
    assert_eq!(world.fetch("/orders", &live).status, 200);
    assert_eq!(world.fetch("/orders", refused).status, 503);
    assert_eq!(world.fetch("/orders", &off_before).status, 401);
    // Nothing more is taken, and everybody can see it.
    let again = admin.org("POST", &format!("/tokens/{}/deactivate", live.id), Some(&reason));
    assert_eq!(again.status, 503, "{}", again.json);
    assert_eq!(world.fetch("/orders", &live).status, 200, "it was not even begun");
    let ready =
        crate::wire::exchange(world.admin, crate::world::get_from("localhost", "/readyz", ""));
    assert_eq!(ready.status, 503);
    assert!(world.lives());

    // With room again, a restart takes up where the last recorded change was.
    fs::remove_file(filler).expect("it can be removed");
    world.signal("TERM");
    world.ended(SOON).expect("it ends");
    world.serve();
    assert_eq!(world.fetch("/orders", &off_before).status, 401);
    assert_eq!(world.fetch("/orders", &live).status, 200);
    let first = &tokens[0];
    let is_first = first.id == refused.id;
    assert_eq!(world.fetch("/orders", first).status, if is_first { 200 } else { 401 });
    admin.deactivate(refused);
    assert_eq!(world.fetch("/orders", refused).status, 401);
}

#[test]
fn k5_a_damaged_store_is_not_served() {
    let mut stage = Stage::new();
    for _ in 0..40 {
        stage.world.mint();
    }
    stage.world.signal("TERM");
    stage.world.ended(SOON).expect("it ends");
    let store = stage.world.store();
    let whole = fs::read(&store).expect("the store");
    let refused = |damaged: &[u8], what: &str| {
        fs::write(&store, damaged).expect("written");
        // `init` opens the store as `serve` does, and goes no further.
        let told = stage.world.command(&["init"]);
        let told = lossy(&told.stderr);
        assert!(!told.contains("panicked"), "{what}: {told}");
        // The opening itself may have written to a file that it found good.
        let unread = !told.contains("holds an organization already");
        if unread {
            assert!(told.contains(&store.display().to_string()), "{what}: {told}");
            assert_eq!(fs::read(&store).expect("the store"), damaged, "{what}: it was changed");
        }
        unread.then_some(told)
    };
    let mut advised = 0;
    for length in [0, 1, 4_096, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let told = refused(&whole[..length], &format!("cut to {length} bytes"));
        let told = told.unwrap_or_else(|| panic!("cut to {length} bytes, it was opened"));
        advised += usize::from(told.contains("bearward restore"));
    }
    assert!(advised >= 4, "it does not say what to do");
    // One bit in each page: refused, or of no use to anybody.
    let (mut noticed, mut unused) = (0, 0);
    for page in 1..whole.len() / 4_096 {
        let at = page * 4_096 + page * 37 % 4_096;
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (page % 8);
        match refused(&flipped, &format!("a bit of byte {at}")) {
            Some(told) => {
                assert!(told.contains("bearward restore"), "{told}");
                noticed += 1;
            }
            None => unused += 1,
        }
    }
    assert!(noticed > 10, "{noticed} of {} were noticed", noticed + unused);
    // `serve` says the same; whole again, it serves.
    fs::write(&store, &whole[..whole.len() / 2]).expect("written");
    let told = stage.world.command(&["serve"]);
    assert!(!told.status.success() && lossy(&told.stderr).contains("bearward restore"), "{told:?}");
    fs::write(&store, &whole).expect("written");
    stage.world.serve();
    stage.honest("a damaged store");
}
