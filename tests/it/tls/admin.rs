//! The admin port over TLS.

use super::pki::{Authority, Issued};
use super::{Files, named};
use crate::upstream::{Upstream, ok};
use crate::wire::{Answer, PATIENCE, Wire};
use crate::world::{Setup, World, eventually, get_from};
use std::fs;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process that serves and ends with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A world whose admin port is asked over TLS, so that it is not `World` that asks.
struct Scene {
    authority: Authority,
    files: Files,
    world: World,
    _upstream: Upstream,
}

impl Scene {
    fn new() -> Self {
        let (authority, files) = (Authority::new("admins"), Files::new());
        files.put("admin", &authority.server(&["admin.test", "localhost"]));
        let upstream = Upstream::start(ok());
        let mut world = Setup::before(&upstream).unstarted();
        world.move_admin_to_loopback();
        world.init();
        let scene = Self { authority, files, world, _upstream: upstream };
        let tls = named(&scene.files.path("admin.pem"), &scene.files.path("admin.key"));
        scene.configure(&format!("tls = {{ certificates = [{tls}] }}\nhosts = [\"admin.test\"]"));
        scene
    }

    /// Adds lines to `[admin]`.
    fn configure(&self, lines: &str) {
        let text = fs::read_to_string(self.world.config()).expect("it was written");
        let text = text.replacen("[admin]\n", &format!("[admin]\n{lines}\n"), 1);
        fs::write(self.world.config(), text).expect("writable");
    }

    fn serve(&self) -> Serving {
        let log = fs::File::create(self.world.file("stderr")).expect("writable");
        let child = Command::new(env!("CARGO_BIN_EXE_bearward"))
            .args(["serve", "--config"])
            .arg(self.world.config())
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it starts");
        let serving = Serving(child);
        let ready =
            eventually(PATIENCE, || self.ask("/readyz", "").is_some_and(|it| it.status == 200));
        assert!(ready, "{}", self.world.told());
        serving
    }

    fn ask(&self, path: &str, fields: &str) -> Option<Answer> {
        std::net::TcpStream::connect(self.world.admin).ok()?;
        let client = self.authority.client(None);
        let mut wire = Wire::secured(self.world.admin, &client, "admin.test").ok()?;
        wire.send(get_from("admin.test", path, fields)).answer_to("GET", PATIENCE).ok()
    }
}

#[test]
fn the_admin_port_speaks_tls_and_the_command_line_with_it() {
    let scene = Scene::new();
    let serving = scene.serve();
    let bearer = scene.world.owner_credential().bearer();
    assert_eq!(scene.ask("/api/v1/me", &bearer).expect("an answer").status, 200);
    assert_eq!(scene.ask("/api/v1/me", "").expect("an answer").status, 401);
    let told = scene.ask("/metrics", "").expect("an answer").text();
    assert!(told.contains("bearward_tls_certificate_end_seconds{port=\"admin\""), "{told}");
    // In the clear nothing is said, and nothing kept waiting for ever.
    let mut plain = Wire::to(scene.world.admin);
    plain.send(get_from("admin.test", "/api/v1/me", &bearer));
    let (said, _) = plain.rest(PATIENCE);
    assert!(!String::from_utf8_lossy(&said).contains("HTTP/1.1 200"));
    // Another name than ours is misdirected, as ever.
    let client = scene.authority.client(None);
    let mut wire = Wire::secured(scene.world.admin, &client, "admin.test").expect("a handshake");
    assert_eq!(wire.send(get_from("evil.test", "/api/v1/me", &bearer)).answer().status, 421);

    let ca = scene.files.put_text("ca.pem", &scene.authority.pem);
    let command = |admin: &str, ca: Option<&std::path::Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bearward"));
        command.args(["token", "list", "--json"]).env("BEARWARD_ADMIN", admin);
        command.env("BEARWARD_TOKEN", &scene.world.owner_secret).env_remove("BEARWARD_ADMIN_CA");
        if let Some(ca) = ca {
            command.env("BEARWARD_ADMIN_CA", ca);
        }
        command.output().expect("it starts")
    };
    let port = scene.world.admin.port();
    let told = command(&format!("https://localhost:{port}"), Some(&ca));
    assert!(told.status.success() && !told.stdout.is_empty(), "{told:?}");
    for (admin, ca) in [
        // Nobody whom the system knows vouches for it; it is not for this name; it is no plain port.
        (format!("https://localhost:{port}"), None),
        (format!("https://127.0.0.1:{port}"), Some(ca.as_path())),
        (format!("http://localhost:{port}"), Some(ca.as_path())),
    ] {
        let told = command(&admin, ca);
        assert!(!told.status.success(), "{admin}: {told:?}");
        assert!(!String::from_utf8_lossy(&told.stderr).contains(&scene.world.owner_secret));
    }

    // Renewed while it serves.
    let next = scene.authority.server(&["admin.test"]);
    scene.files.put("admin", &next);
    let shown = |issued: &Issued| {
        let mut wire =
            Wire::secured(scene.world.admin, &scene.authority.client(None), "admin.test")
                .expect("a handshake");
        wire.tls().peer_certificates().expect("one is shown")[0] == issued.der().0[0]
    };
    assert!(eventually(PATIENCE, || shown(&next)), "{}", scene.world.told());
    drop(serving);
}

#[test]
fn the_admin_port_is_not_opened_beyond_this_machine_without_tls() {
    let scene = Scene::new();
    let text = fs::read_to_string(scene.world.config()).expect("it was written");
    let listen = format!("listen = \"{}\"", scene.world.admin);
    let beyond = format!("listen = \"0.0.0.0:{}\"", scene.world.admin.port());
    assert!(text.contains(&listen), "{text}");
    // With TLS it may.
    fs::write(scene.world.config(), text.replace(&listen, &beyond)).expect("writable");
    let told = scene.world.command(&["check"]);
    assert!(told.status.success(), "{told:?}");
    drop(scene.serve());
    let beyond = text.replace(&listen, &beyond);
    let without: Vec<_> = beyond.lines().filter(|line| !line.starts_with("tls = ")).collect();
    fs::write(scene.world.config(), without.join("\n")).expect("writable");
    for command in ["check", "serve"] {
        let told = scene.world.command(&[command]);
        let text = String::from_utf8_lossy(&told.stderr);
        assert!(!told.status.success() && text.contains("admin.tls"), "{command}: {text}");
    }
    assert!(std::net::TcpStream::connect(scene.world.admin).is_err(), "it listens");
}

#[test]
fn a_silent_handshake_at_the_admin_port_is_closed() {
    let scene = Scene::new();
    let _serving = scene.serve();
    let mut socket = std::net::TcpStream::connect(scene.world.admin).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut said = Vec::new();
    let ended = socket.read_to_end(&mut said);
    assert!(ended.is_ok() && said.is_empty(), "{ended:?}: {said:?}");
}

#[test]
fn a_silent_handshake_does_not_hold_up_the_end() {
    let scene = Scene::new();
    let mut serving = scene.serve();
    let silent = std::net::TcpStream::connect(scene.world.admin).expect("it listens");
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    let pid = rustix::process::Pid::from_child(&serving.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it lives");
    let status = serving.0.wait().expect("a child");
    assert!(status.success() && begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(silent);
}

#[test]
fn check_warns_of_what_ends_and_of_keys_that_everybody_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new();
    let mode = |mode| {
        let key = scene.files.path("admin.key");
        fs::set_permissions(key, fs::Permissions::from_mode(mode)).expect("ours");
    };
    let warnings = || {
        let told = scene.world.command(&["check"]);
        assert!(told.status.success(), "{told:?}");
        String::from_utf8_lossy(&told.stderr).into_owned()
    };
    mode(0o640);
    assert_eq!(warnings(), "");
    mode(0o644);
    assert!(warnings().contains("warning: everybody on this machine can read the key in"));
    scene.files.put("admin", &scene.authority.client_for("admin.test", 3_600));
    mode(0o600);
    assert!(warnings().contains("ends at 20"), "{}", warnings());
    scene.files.put("admin", &scene.authority.ended_server(&["admin.test"]));
    mode(0o600);
    assert!(warnings().contains("has ended at 2020-02-01T00:00:01"), "{}", warnings());
}
