//! K3 and K5: a disk that is full, and a file that is damaged, before the real binary.

use super::restore::records;
use super::{SOON, Stage};
use crate::upstream::{Upstream, ok};
use crate::wire::lossy;
use crate::world::{Minted, Setup, World};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// How large the disk is.
const DISK: &str = "size=24m";
/// Far more than fill it.
const TOKENS: usize = 600;

/// A disk that can be full, for whoever runs the test: root or not, in a container or not.
trait Disk {
    fn adjust(&self, setup: Setup) -> Setup;
    /// Leaves no room.
    fn fill(&self, world: &World);
    /// Gives the room back.
    fn clear(&self, world: &World);
}

/// A small file system, in namespaces of which whoever made them is root. Another process holds them,
/// and commands go in there.
struct Mounted {
    holder: Child,
    directory: tempfile::TempDir,
}

impl Mounted {
    /// None where the system lets nobody have such namespaces.
    fn try_new() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // It ends when nobody holds its standard input any more.
        let script = format!("mount -t tmpfs -o {DISK} tmpfs \"$0\" && echo mounted && exec cat");
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut told = String::new();
        let out = holder.stdout.as_mut().expect("it is piped");
        BufReader::new(out).read_line(&mut told).expect("its output can be read");
        let disk = Self { holder, directory };
        (told == "mounted\n").then_some(disk)
    }

    fn filler(&self) -> PathBuf {
        let inside = self.directory.path().strip_prefix("/").expect("a whole path");
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(inside).join("filler")
    }
}

impl Disk for Mounted {
    fn adjust(&self, setup: Setup) -> Setup {
        let holder = self.holder.id().to_string();
        setup
            .launcher(["nsenter", "-t", &holder, "-U", "-m", "--preserve-credentials"])
            .store(self.directory.path().join("bearward.redb"))
    }

    fn fill(&self, _world: &World) {
        let chunk = vec![1; 4_096];
        let mut filler = fs::File::create(self.filler()).expect("there is room for a name");
        while filler.write_all(&chunk).is_ok() {}
    }

    fn clear(&self, _world: &World) {
        fs::remove_file(self.filler()).expect("it can be removed");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _gone = self.holder.kill();
        let _reaped = self.holder.wait();
    }
}

/// A store that may not grow: what a quota does, and a file system for its largest file.
struct Limited;

impl Limited {
    fn limit(world: &World, bytes: &str) {
        let set = Command::new("prlimit")
            .args([format!("--pid={}", world.pid()), format!("--fsize={bytes}:unlimited")])
            .output()
            .expect("there is a `prlimit`");
        assert!(set.status.success(), "{}", lossy(&set.stderr));
    }
}

impl Disk for Limited {
    fn adjust(&self, setup: Setup) -> Setup {
        // Who does not ignore the signal is killed by it and never sees the error.
        setup.after("trap '' XFSZ")
    }

    fn fill(&self, world: &World) {
        let bytes = fs::metadata(world.store()).expect("the store").len();
        Self::limit(world, &bytes.to_string());
    }

    fn clear(&self, world: &World) {
        Self::limit(world, "unlimited");
    }
}

#[test]
fn k3_a_full_disk_denies_on_and_lets_the_data_path_go_on() {
    match Mounted::try_new() {
        Some(disk) => is_full(&disk),
        None => is_full(&Limited),
    }
}

#[test]
fn k3_a_store_that_may_not_grow_is_a_full_disk() {
    is_full(&Limited);
}

fn is_full(disk: &dyn Disk) {
    let upstream = Upstream::start(ok());
    let setup = disk.adjust(Setup::before(&upstream));
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
    disk.fill(&world);
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
    disk.clear(&world);
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
    let unharmed = records(&store);
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
        if let Some(told) = refused(&flipped, &format!("a bit of byte {at}")) {
            assert!(told.contains("bearward restore"), "{told}");
            noticed += 1;
        } else {
            // Whoever opened it must not have read anything else in it.
            assert!(records(&store) == unharmed, "a bit of byte {at} was not noticed");
            unused += 1;
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
