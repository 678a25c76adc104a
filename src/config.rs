//! The configuration: a TOML file, read into a mirror of what was typed (`config/file.rs`), then
//! resolved into these types (`config/resolve.rs`), with every error at once and its place.

mod error;
mod file;
mod oidc;
mod own;
mod resolve;

pub use error::{Error, Errors, Place};
pub use oidc::{Oidc, RoleMap};
pub use own::{OwnPort, OwnPorts};

use crate::access::Organizations;
use crate::audit;
use crate::leak::Keys;
use crate::notice::Retry;
use crate::notice::template::Templates;
use crate::role::{Name, RoleName};
use crate::secret::Key;
use crate::time::Timestamp;
use crate::tls::{self, ServerFiles, Toward};
use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use lettre::message::Mailbox;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// A resolved configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data port.
    pub gateway: Gateway,
    /// The admin port.
    pub admin: Admin,
    /// The store file.
    pub store: Store,
    /// The audit trails.
    pub audit: Audit,
    /// Limits and timeouts of the data port.
    pub limits: Limits,
    /// How notices are delivered.
    pub notices: Notices,
    /// The mail server; without one notices for people are kept and not sent.
    pub smtp: Option<Smtp>,
    /// How webhooks are called.
    pub webhooks: Webhooks,
    /// The keys of those who sign their reports of secrets that they have found.
    pub leaks: Keys,
    /// Who vouches for those who sign in to the pages, beside their tokens.
    pub oidc: Option<Oidc>,
    /// The key that secrets are sealed under; one in a file beside the store where there is none.
    pub seal: SealKey,
    /// Names of the identity headers.
    pub identity: IdentityHeaders,
    /// Organization roles beyond the three built in.
    pub organization_roles: Vec<Name>,
    /// The services and their roles.
    pub services: Vec<Service>,
    /// Where requests go.
    pub upstreams: Vec<Upstream>,
    /// Which request goes where, and what it needs.
    pub routes: Vec<Route>,
}

impl Config {
    /// Reads a configuration file of at most 4 MiB. Relative paths in it begin at its directory.
    ///
    /// `env` answers the value of an environment variable; it is asked for secrets only.
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Errors> {
        let text = file::read_limited(path)
            .map_err(|error| Errors::unreadable(path, format!("cannot be read: {error}")))?;
        let base_dir = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, base_dir, env).map_err(|errors| errors.in_file(path))
    }

    /// Whether clients of the data port are asked for a certificate: as soon as one route wants to
    /// know of it, since what is asked for is said before anybody knows the route.
    #[must_use]
    pub fn asks_for_certificates(&self) -> bool {
        self.routes.iter().any(|route| route.client_certificate != ClientCertificate::None)
    }

    /// What whoever runs the gateway should know although the configuration is good, as of `now`.
    #[must_use]
    pub fn concerns(&self, now: Timestamp) -> Vec<String> {
        let ports = [&self.gateway.tls, &self.admin.tls];
        let mut all: Vec<String> =
            ports.into_iter().flatten().flat_map(|files| tls::concerns(files, now)).collect();
        // Both ports may show the same certificate.
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Reads the text of a configuration. Relative paths in it begin at `base_dir`.
    pub fn parse(
        text: &str,
        base_dir: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Errors> {
        resolve::resolve(text, file::Surroundings { base_dir, env })
    }
}

/// The data port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How it speaks TLS, if it does.
    pub tls: Option<ServerFiles>,
    /// Whether it speaks HTTP/2 in the clear, with those who know beforehand.
    pub h2c: bool,
    /// Worker threads.
    pub workers: usize,
    /// `realm` of the challenges (RFC 9110 section 11.5).
    pub realm: String,
    /// What our secrets begin with.
    pub token_prefix: String,
    /// Most entries of the token cache.
    pub cache_entries_max: usize,
    /// How often usage is written.
    pub usage_flush_interval: Duration,
    /// Where the access log goes, if anywhere.
    pub access_log: Option<AccessLog>,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// The admin port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens: a loopback address, unless it speaks TLS.
    pub listen: SocketAddr,
    /// How it speaks TLS, if it does.
    pub tls: Option<ServerFiles>,
    /// Names that a `Host` field may hold beside `localhost` and the loopback addresses.
    pub hosts: Vec<String>,
    /// After so long without a request a session of the pages is over.
    pub session_idle: Duration,
    /// After so long it is over however much it is used.
    pub session_life: Duration,
}

/// The store file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Where it is.
    pub path: PathBuf,
    /// Memory for its pages.
    pub cache_bytes: usize,
    /// Most tokens of large organizations that are held in memory for their lists.
    pub listed_tokens_max: usize,
}

/// The audit trails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// The key that they are chained under; none for the one that is kept beside the store.
    pub key: Option<audit::chain::Key>,
    /// How long an event is kept; for ever when nothing is said.
    pub keep: Option<Duration>,
}

/// Limits and timeouts of the data port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at once; further ones wait in the backlog.
    pub connections_max: usize,
    /// Most handshakes of TLS under way at once; further connections wait in the backlog.
    pub handshakes_max: usize,
    /// Longest time for a handshake.
    pub handshake_timeout: Duration,
    /// Most streams of HTTP/2 at once on one connection.
    pub streams_max: usize,
    /// Longest head of a request, in bytes.
    pub head_bytes_max: usize,
    /// Most header fields of a request.
    pub header_fields_max: usize,
    /// Longest body of a request, in bytes, where its route says nothing else.
    pub request_body_bytes_max: u64,
    /// From the first byte of a head (or the start of a connection) to its end.
    pub head_timeout: Duration,
    /// Longest silence within a request's body.
    pub body_idle_timeout: Duration,
    /// Slowest sender of a request's body, averaged over `body_idle_timeout`, and slowest reader
    /// of an answer, averaged over `write_idle_timeout`; in bytes per second.
    pub rate_bytes_min: u64,
    /// Longest silence of a client that should read.
    pub write_idle_timeout: Duration,
    /// Longest silence between requests.
    pub keep_alive_timeout: Duration,
    /// How long SIGTERM waits for requests in flight.
    pub drain_timeout: Duration,
}

/// How notices are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notices {
    /// How long a mail about something that was switched waits for the opposite.
    pub settle: Duration,
    /// When what failed is tried again, and how often.
    pub retry: Retry,
    /// Deliveries at once, mails and webhook calls each.
    pub deliveries_max: usize,
    /// What mails look like.
    pub templates: Templates,
}

/// The mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// Where it is.
    pub server: Address,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// Who we are to it, if it asks.
    pub login: Option<Login>,
    /// Who the mails are from.
    pub from: Mailbox,
    /// Longest wait for any of its answers.
    pub timeout: Duration,
}

/// How webhooks are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhooks {
    /// Networks that may be called although they are not public.
    pub allow: Vec<IpNet>,
    /// Who may vouch for those that are called over TLS.
    pub authorities: Authorities,
    /// Longest time for a call, from the name to the end of the answer.
    pub timeout: Duration,
}

/// How the connection to the mail server is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all: only for a server on this machine.
    None,
    /// By STARTTLS, without which nothing is sent.
    StartTls(Authorities),
    /// From the first byte on.
    Tls(Authorities),
}

/// Who may vouch for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorities {
    /// Those that the system trusts.
    System,
    /// Those of a file, in PEM form, beside them.
    Also(Vec<u8>),
}

/// The key that secrets are sealed under.
#[derive(Clone, PartialEq, Eq)]
pub enum SealKey {
    /// One that was given.
    Given(Key),
    /// One in this file, which is made where there is none.
    InFile(PathBuf),
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given(..)"),
            Self::InFile(path) => f.debug_tuple("InFile").field(path).finish(),
        }
    }
}

/// A name and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Names of the headers that tell the upstream who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// The owner's identity.
    pub subject: HeaderName,
    /// The organization's identity.
    pub organization: HeaderName,
    /// The token's identity.
    pub token_id: HeaderName,
    /// The effective roles, separated by spaces.
    pub scope: HeaderName,
}

/// An upstream API as governance sees it.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// Its roles.
    pub roles: Vec<Name>,
}

/// Where requests go.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: String,
    /// One or more `host:port`.
    pub addresses: Vec<Address>,
    /// How TLS is spoken with it, if it is.
    pub tls: Option<Toward>,
    /// How long it may take, where a route says nothing else.
    pub timeouts: Timeouts,
    /// Most connections at once, those of all workers together; each worker may have one.
    pub connections_max: usize,
    /// Most requests that wait for a connection, those of all workers together.
    pub pending_max: usize,
    /// Idle connections kept, for each worker.
    pub idle_connections_max: usize,
    /// How long an idle connection is kept: less than the upstream keeps it.
    pub idle_connection_timeout: Duration,
    /// When an address that fails is left out.
    pub ejection: Ejection,
    /// What goes upstream as `Authorization`, in place of the client's bearer.
    pub credential: Option<HeaderValue>,
}

/// How long an upstream may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Longest time to connect, the wait for a place among the connections included.
    pub connect: Duration,
    /// Longest wait for the head of the answer, once the request was sent, body included.
    pub first_byte: Duration,
    /// Longest silence within the body of the answer.
    pub idle: Duration,
    /// Longest time for all of it, from the verdict to the last byte of the answer.
    pub total: Option<Duration>,
}

/// When an address of an upstream that fails is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// So many exchanges in a row that broke off before their answer; a connection that cannot be
    /// made is enough by itself.
    pub after: u32,
    /// For so long the first time, twice as long each time in a row.
    pub pause_first: Duration,
    /// And never for longer.
    pub pause_longest: Duration,
    /// Whether an answer with a status from 500 on counts as a failure.
    pub on_5xx: bool,
    /// If fewer than so many of a hundred addresses are good, all are used.
    pub panic_percent: u32,
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Which request goes where, and what it needs.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name in metrics and logs.
    pub name: String,
    /// Hosts, lower-case, without port; any host when empty.
    pub hosts: Vec<String>,
    /// Path prefix: matches itself and what follows it at a `/`.
    pub path: String,
    /// Index into [`Config::upstreams`].
    pub upstream: usize,
    /// Whether the prefix is taken off before forwarding.
    pub strip_prefix: bool,
    /// Whether the client's bearer goes upstream.
    pub forward_bearer: bool,
    /// Whether encoded slashes, backslashes, empty segments and `;` are let through.
    pub lenient_path: bool,
    /// Longest body of a request, in bytes, in place of the one in [`Limits`].
    pub request_body_bytes_max: Option<u64>,
    /// How long its upstream may take.
    pub timeouts: Timeouts,
    /// Methods it takes; all when empty.
    pub methods: Vec<Method>,
    /// What it asks of the client's certificate.
    pub client_certificate: ClientCertificate,
    /// What it asks of the token.
    pub access: Access,
}

/// What a route asks of the certificate of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// It is not looked at, and the upstream is not told of it.
    #[default]
    None,
    /// The upstream is told of it, if there is one.
    Optional,
    /// Without one there is no admittance; the upstream is told of it.
    Required,
}

/// What a route asks of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: no credential is looked at.
    Public,
    /// A live token.
    Token {
        /// The service behind the route.
        service: Name,
        /// Whose tokens are admitted.
        organizations: Organizations,
        /// At least one of these roles; not asked when empty.
        any_of: Vec<RoleName>,
        /// All of these roles.
        all_of: Vec<RoleName>,
    },
}

#[cfg(test)]
mod tests;
