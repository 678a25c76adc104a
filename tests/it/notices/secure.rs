//! Calls to webhooks over TLS: a real receiver, whose certificate an authority of the test's vouches
//! for, or not.

use super::mailbox::PATIENCE;
use super::webhooks::{QUICK, ended, hook, verified};
use crate::upstream::{Request, Upstream, ok, requests};
use crate::world::{Admin, Minted, Setup, eventually};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// An authority, made by openssl, and what it vouches for.
struct Authority {
    home: TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let vouches = "basicConstraints=critical,CA:TRUE";
        openssl(home.path(), "ca", &["-x509", "-subj", &format!("/CN={name}"), "-addext", vouches]);
        Self { home }
    }

    fn certificate(&self) -> PathBuf {
        self.home.path().join("ca.pem")
    }

    /// A certificate for a name, and its key.
    fn vouch_for(&self, name: &str) -> Arc<ServerConfig> {
        let of_ca = ["ca.pem", "ca.key"].map(|file| self.home.path().join(file));
        let [ca, key] = of_ca.each_ref().map(|path| path.to_str().expect("UTF-8"));
        let subject = format!("subjectAltName=DNS:{name}");
        let none = "basicConstraints=critical,CA:FALSE";
        openssl(
            self.home.path(),
            name,
            &[
                "-x509",
                "-subj",
                "/CN=receiver",
                "-CA",
                ca,
                "-CAkey",
                key,
                "-addext",
                &subject,
                "-addext",
                none,
            ],
        );
        let file = |end: &str| self.home.path().join(format!("{name}.{end}"));
        let chain = CertificateDer::pem_file_iter(file("pem")).expect("it was made");
        let chain = chain.collect::<Result<_, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_file(file("key")).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("they belong together");
        Arc::new(config)
    }
}

/// Makes a key and a certificate, `NAME.key` and `NAME.pem`.
fn openssl(home: &Path, name: &str, further: &[&str]) {
    let made = Command::new("openssl")
        .args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2"])
        .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
        .args(further)
        .current_dir(home)
        .output()
        .expect("openssl is needed");
    assert!(made.status.success(), "{made:?}");
}

/// A receiver that speaks TLS and takes every call over.
struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    identity: Mutex<Arc<ServerConfig>>,
    requests: Mutex<Vec<Request>>,
    connections: Mutex<usize>,
}

impl Receiver {
    fn start(identity: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            identity: Mutex::new(identity),
            requests: Mutex::default(),
            connections: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        // Ends with the process of the test.
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (socket, shared) = (socket.expect("a connection"), Arc::clone(&accepting));
                thread::spawn(move || shared.serve(socket));
            }
        });
        Self { address, shared }
    }

    /// Shows another certificate from now on.
    fn show(&self, identity: Arc<ServerConfig>) {
        *self.shared.identity.lock().unwrap() = identity;
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/hook", self.address.port())
    }

    fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }
}

impl Shared {
    fn serve(&self, socket: TcpStream) {
        *self.connections.lock().unwrap() += 1;
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let identity = Arc::clone(&self.identity.lock().unwrap());
        let connection = ServerConnection::new(identity).expect("a connection");
        let mut stream = StreamOwned::new(connection, socket);
        let (mut said, mut some) = (Vec::new(), [0; 4096]);
        // What is refused in the handshake ends here.
        while let Ok(count @ 1..) = stream.read(&mut some) {
            said.extend_from_slice(&some[..count]);
            let whole = requests(&said).pop().filter(Request::is_complete);
            let Some(whole) = whole.filter(|request| !request.body.bytes.is_empty()) else {
                continue;
            };
            self.requests.lock().unwrap().push(whole);
            let _gone = stream.write_all(b"HTTP/1.1 204 X\r\n\r\n");
            stream.conn.send_close_notify();
            let _gone = stream.flush();
            return;
        }
    }
}

/// The webhook's notice of a token, once nothing more will happen to it by itself.
#[track_caller]
fn end_of(admin: &Admin, token: &Minted) -> Value {
    let mut found = None;
    let is_meant = |notice: &Value| {
        notice["to"]["type"] == "webhook" && notice["about"]["id"] == token.id.as_str()
    };
    let over = eventually(PATIENCE, || {
        found = ended(admin).into_iter().find(is_meant);
        found.is_some()
    });
    assert!(over, "{:?}", admin.org("GET", "/notices", None));
    found.expect("it was found")
}

#[test]
fn a_call_over_tls_goes_to_whom_an_authority_vouches_for_and_to_nobody_else() {
    let ours = Authority::new("ours");
    let good = ours.vouch_for("localhost");
    // Of another authority, and of one that only has the name of ours.
    let [stranger, impostor] =
        ["theirs", "ours"].map(|of| Authority::new(of).vouch_for("localhost"));
    let misnamed = ours.vouch_for("elsewhere.example");
    let receiver = Receiver::start(Arc::clone(&good));
    let upstream = Upstream::start(ok());
    let webhooks = |authorities: &str| {
        format!(
            "[webhooks]\nallow = [\"127.0.0.0/8\", \"::1/128\"]\ntimeout = \"5s\"\n{authorities}\n"
        )
    };
    let trusting = webhooks(&format!("authorities = \"{}\"", ours.certificate().display()));
    let world = Setup::before(&upstream).extra(QUICK).extra(&trusting).start();
    let admin = world.admin();
    let made = hook(&admin, &receiver.url(), &json!(["token.created"]));
    let delivered = end_of(&admin, &world.mint());
    assert_eq!(delivered["state"], "delivered", "{delivered}");
    let body = verified(&receiver.requests()[0], &made.secret);
    assert_eq!(body["id"], delivered["id"]);

    for (identity, why) in
        [(stranger, "UnknownIssuer"), (impostor, "BadSignature"), (misnamed, "not valid for name")]
    {
        let before = receiver.connections();
        receiver.show(identity);
        let dead = end_of(&admin, &world.mint());
        assert_eq!((&dead["state"], &dead["attempts"]), (&json!("dead"), &json!(4)), "{dead}");
        let error = dead["error"].as_str().expect("an error");
        assert!(error.contains("certificate") && error.contains(why), "{error}");
        assert_eq!(receiver.connections(), before + 4, "it is tried again");
        assert_eq!(receiver.requests().len(), 1, "nothing is told to who is not vouched for");
        let event = &admin.told_of("notice.failed")[0];
        assert_eq!(event["target"]["id"], dead["id"], "{event}");
        assert!(event["changes"].to_string().contains(why), "{event}");
    }

    // Once the certificate is right, what was given up is delivered on demand.
    receiver.show(good);
    let dead = ended(&admin).into_iter().find(|notice| notice["state"] == "dead");
    let dead = dead.expect("some were given up");
    let path = format!("/notices/{}/redeliver", dead["id"].as_str().expect("an identity"));
    admin.org("POST", &path, None).expect(200);
    assert!(eventually(PATIENCE, || receiver.requests().len() == 2), "{}", world.told());
    assert_eq!(verified(&receiver.requests()[1], &made.secret)["id"], dead["id"]);

    // The system's own authorities know nothing of ours.
    let world = Setup::before(&upstream).extra(QUICK).extra(&webhooks("")).start();
    let admin = world.admin();
    hook(&admin, &receiver.url(), &json!(["token.created"]));
    let dead = end_of(&admin, &world.mint());
    assert_eq!(dead["state"], "dead", "{dead}");
    assert!(dead["error"].to_string().contains("UnknownIssuer"), "{dead}");
    assert_eq!(receiver.requests().len(), 2);
}

#[test]
fn what_speaks_no_tls_is_told_nothing_in_the_clear() {
    let (upstream, plain) = (Upstream::start(ok()), Upstream::start(ok()));
    let webhooks = "[webhooks]\nallow = [\"127.0.0.0/8\"]\ntimeout = \"1s\"\n";
    let world = Setup::before(&upstream).extra(QUICK).extra(webhooks).start();
    let admin = world.admin();
    hook(&admin, &format!("https://{}/", plain.address), &json!(["token.created"]));
    let dead = end_of(&admin, &world.mint());
    assert_eq!(dead["state"], "dead", "{dead}");
    assert!(plain.connections() >= 4 && plain.bytes() > 0, "it was asked for TLS");
    assert!(!plain.saw("token.created") && !plain.saw("POST"), "in the clear");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(plain.connections(), 4, "and given up after four attempts");
}
