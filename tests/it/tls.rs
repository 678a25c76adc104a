//! TLS on the ports and towards upstreams: certificates of authorities that the tests make, clients
//! that speak it rightly or wrongly.

mod admin;
mod certificates;
mod handshakes;
mod pki;
mod port;
mod renewal;
mod upstreams;

use crate::upstream::{Script, Upstream};
use crate::wire::Wire;
use crate::world::{Minted, Setup, World};
use pki::Authority;
use rustls::ClientConfig;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// The host that clients mean unless a test says otherwise; routes of tests name none.
const HOST: &str = "gateway.test";

/// A gateway that speaks TLS on its data port.
struct Stage {
    upstream: Upstream,
    world: World,
    token: Minted,
    authority: Authority,
    /// Where the gateway's certificate is.
    files: Files,
    client: Arc<ClientConfig>,
}

/// What a gateway has beside a certificate for [`HOST`].
#[derive(Default)]
struct More {
    certificates: Vec<String>,
    client_ca: Option<PathBuf>,
    routes: Option<&'static str>,
    limits: &'static [&'static str],
}

/// A certificate and its key in files.
struct Files {
    home: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { home: TempDir::new().expect("a temporary directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a certificate as `NAME.pem` and its key as `NAME.key`; how the configuration names
    /// them.
    fn put(&self, name: &str, issued: &pki::Issued) -> String {
        let write = |end: &str, text: &str| {
            let path = self.path(&format!("{name}.{end}"));
            // In one step, as those who renew certificates do.
            let next = path.with_extension("next");
            std::fs::write(&next, text).expect("the directory is writable");
            std::fs::rename(&next, &path).expect("the directory is writable");
            path
        };
        named(&write("pem", &issued.chain), &write("key", &issued.key))
    }

    fn put_text(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("the directory is writable");
        path
    }
}

/// A certificate and its key as the configuration names them.
fn named(certificate: &Path, key: &Path) -> String {
    format!("{{ cert = \"{}\", key = \"{}\" }}", certificate.display(), key.display())
}

impl Stage {
    fn new(script: Script) -> Self {
        Self::with(script, |_authority, _files| More::default())
    }

    fn with(script: Script, more: impl FnOnce(&Authority, &Files) -> More) -> Self {
        let (authority, files) = (Authority::new("ours"), Files::new());
        let own = files.put("gateway", &authority.server(&[HOST]));
        let upstream = Upstream::start(script);
        let More { certificates, client_ca, routes, limits } = more(&authority, &files);
        let certificates = [vec![own], certificates].concat().join(", ");
        let client_ca = client_ca.map(|path| format!(", client_ca = \"{}\"", path.display()));
        let tls =
            format!("tls = {{ certificates = [{certificates}]{} }}", client_ca.unwrap_or_default());
        let mut setup = Setup::before(&upstream).gateway(&tls);
        if let Some(routes) = routes {
            setup = setup.routes(routes);
        }
        for limit in limits {
            setup = setup.limit(limit);
        }
        let world = setup.start();
        let (token, client) = (world.mint(), authority.client(None));
        Self { upstream, world, token, authority, files, client }
    }

    /// A connection over TLS.
    fn wire(&self) -> Wire {
        self.try_wire(&self.client, HOST).expect("a handshake")
    }

    fn try_wire(&self, client: &Arc<ClientConfig>, host: &str) -> io::Result<Wire> {
        Wire::secured(self.world.gateway, client, host)
    }

    /// What this client is told when it says its first word: in TLS 1.3 it hears only then that the
    /// gateway refused its certificate.
    fn asks(&self, client: &Arc<ClientConfig>, request: &str) -> Option<crate::wire::Answer> {
        let mut wire = self.try_wire(client, HOST).ok()?;
        wire.send(request).answer_to("GET", crate::wire::PATIENCE).ok()
    }
}
