//! From what was typed to what it means.
//!
//! Every section is read to its end whatever is wrong with it, so that one run tells everything.

mod leaks;
mod notices;
mod oidc;
mod route;
mod tls;
mod upstream;
pub(super) mod value;

use super::error::{Errors, Report};
use super::file::{self, Entry, Surroundings, Table};
use super::{
    AccessLog, Admin, Audit, Config, Gateway, IdentityHeaders, Limits, OwnPorts, Service, Store,
    Upstream,
};
use crate::audit::chain::Key;
use crate::role::Name;
use crate::secret::DEFAULT_PREFIX;
use http::HeaderName;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

const WORKERS: RangeInclusive<u64> = 1..=1024;
const CACHE_ENTRIES: RangeInclusive<u64> = 16..=50_000_000;
const FLUSH_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(5);
const SESSION: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24);
/// None, or as many as positions of names have room for.
const LISTED_TOKENS: RangeInclusive<u64> = 0..=20_000_000;
const STORE_CACHE_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 40;
/// A day at least: less would hide what happened before anybody can look.
const KEEP: RangeInclusive<Duration> = Duration::from_hours(24)..=Duration::from_hours(24 * 36_500);
const CONNECTIONS: RangeInclusive<u64> = 1..=1_000_000;
const HANDSHAKES: RangeInclusive<u64> = 1..=1_000_000;
const STREAMS: RangeInclusive<u64> = 1..=10_000;
/// The least is what clients may count on everywhere.
const HEAD_BYTES: RangeInclusive<u64> = 8 << 10..=1 << 20;
const HEADER_FIELDS: RangeInclusive<u64> = 8..=1_000;
/// From no body at all to more than anybody stores.
const BODY_BYTES: RangeInclusive<u64> = 0..=1 << 50;
const RATE_BYTES: RangeInclusive<u64> = 0..=1 << 30;
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);
const DRAIN_TIMEOUT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);

/// Reads the whole configuration.
pub(super) fn resolve(text: &str, surroundings: Surroundings<'_>) -> Result<Config, Errors> {
    let report = Report::new(text);
    let document = file::parse(text, &report);
    let config = config(Table::root(&document, &report), surroundings);
    report.conclude(config)
}

fn config(mut root: Table<'_>, surroundings: Surroundings<'_>) -> Option<Config> {
    let gateway = gateway(root.section("gateway"), surroundings);
    let gateway_listen = gateway.as_ref().map(|gateway| gateway.listen);
    let admin = admin(root.section("admin"), gateway_listen, surroundings);
    let admin_listen = admin.as_ref().map(|admin| admin.listen);
    let ports = OwnPorts { gateway: gateway_listen, admin: admin_listen };
    let store = store(root.section("store"), surroundings);
    let audit = audit(root.section("audit"), surroundings);
    let limits = limits(root.section("limits"));
    let identity = identity(root.section("identity"));
    let notices = notices::notices(root.section("notices"), surroundings);
    let webhooks = notices::webhooks(root.section("webhooks"), surroundings);
    let leaks = leaks::leaks(root.section("leaks"));
    let seal = notices::seal(root.section("seal"), beside(store.as_ref()), surroundings);
    let smtp = Some(root.section("smtp")).filter(|table| !table.is_empty());
    let smtp = smtp.map(|table| notices::smtp(table, surroundings));
    let organization_roles = organization_roles(root.section("roles"));
    let services: Vec<Service> = root
        .named_tables("services")
        .into_iter()
        .filter_map(|(name, table)| service(name.parse(), table))
        .collect();
    let upstreams: Vec<Upstream> = root
        .named_tables("upstreams")
        .into_iter()
        .filter_map(|(name, table)| upstream::upstream(name.parse(), table, ports, surroundings))
        .collect();
    let oidc = Some(root.section("oidc")).filter(|table| !table.is_empty());
    let known = oidc::Known { organization_roles: &organization_roles, services: &services };
    let oidc = oidc.map(|table| oidc::oidc(table, admin.as_ref(), &known, surroundings));
    let known = route::Known {
        organization_roles: &organization_roles,
        services: &services,
        upstreams: &upstreams,
        client_ca: gateway
            .as_ref()
            .and_then(|gateway| gateway.tls.as_ref())
            .is_some_and(|tls| tls.client_ca.is_some()),
    };
    let routes = route::routes(root.take("routes"), &known);
    root.finish();
    Some(Config {
        gateway: gateway?,
        admin: admin?,
        store: store?,
        audit,
        limits,
        notices,
        webhooks,
        leaks,
        oidc: oidc.map_or(Some(None), |oidc| oidc.map(Some))?,
        seal: seal?,
        smtp: smtp.map_or(Some(None), |smtp| smtp.map(Some))?,
        identity,
        organization_roles,
        services,
        upstreams,
        routes,
    })
}

/// The file of the key, beside the store's.
fn beside(store: Option<&Store>) -> PathBuf {
    let store = store.map_or_else(|| Path::new("bearward.redb"), |store| store.path.as_path());
    let mut path = store.as_os_str().to_owned();
    path.push(".key");
    path.into()
}

fn gateway(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<Gateway> {
    let listen = table.required("listen").and_then(|entry| entry.read(value::socket));
    let tls = table.take("tls").map(|entry| tls::server(&entry, true, surroundings));
    let h2c = table.take("h2c").and_then(|entry| {
        let h2c = entry.flag()?;
        if h2c && tls.is_some() {
            entry.error("has no meaning with TLS, where HTTP/2 is agreed upon: see `tls.http2`");
        }
        Some(h2c)
    });
    let workers = table.take("workers").and_then(|entry| entry.count(&WORKERS));
    let realm = table.take("realm").and_then(|entry| entry.read(value::realm));
    let prefix = table.take("token_prefix").and_then(|entry| entry.read(value::token_prefix));
    let entries = table.take("cache_entries_max").and_then(|entry| entry.count(&CACHE_ENTRIES));
    let flush = table.take("usage_flush_interval");
    let flush = flush.and_then(|entry| entry.duration(&FLUSH_INTERVAL));
    let access_log = table.take("access_log").and_then(|entry| match entry.text()? {
        "-" => Some(AccessLog::Stdout),
        _ => entry.path(surroundings).map(AccessLog::File),
    });
    table.finish();
    Some(Gateway {
        listen: listen?,
        tls: tls.flatten(),
        h2c: h2c.unwrap_or(false),
        workers: workers.unwrap_or_else(processors),
        realm: realm.unwrap_or_else(|| "bearward".to_owned()),
        token_prefix: prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
        cache_entries_max: entries.unwrap_or(400_000),
        usage_flush_interval: flush.unwrap_or(Duration::from_secs(5)),
        access_log,
    })
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn admin(
    mut table: Table<'_>,
    gateway: Option<SocketAddr>,
    surroundings: Surroundings<'_>,
) -> Option<Admin> {
    let entry = table.required("listen");
    let tls = table.take("tls").map(|entry| tls::server(&entry, false, surroundings));
    let listen = entry.as_ref().and_then(|entry| entry.read(value::socket));
    if let (Some(entry), Some(listen)) = (&entry, listen) {
        if !listen.ip().to_canonical().is_loopback() && tls.is_none() {
            entry.error(format!(
                "{listen} can be reached from beyond this machine, where tokens would cross the \
                 network in the clear: it needs TLS (`admin.tls`), or listen on 127.0.0.1 or [::1] \
                 and reach it from elsewhere over SSH"
            ));
        }
        if gateway.is_some_and(|gateway| overlap(gateway, listen)) {
            entry.error("is where the gateway listens, too: the two ports must be different");
        }
    }
    let hosts = table.take("hosts").map(|entry| entry.distinct(|host| host.read(value::host)));
    let mut time = |key, default| {
        let entry = table.take(key);
        entry.and_then(|entry| entry.duration(&SESSION)).unwrap_or(default)
    };
    let session_idle = time("session_idle", Duration::from_mins(30));
    let session_life = time("session_life", Duration::from_hours(12));
    table.finish();
    let hosts = hosts.unwrap_or_default();
    Some(Admin { listen: listen?, tls: tls.flatten(), hosts, session_idle, session_life })
}

/// Whether two listeners want the same address.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let everywhere = |address: SocketAddr| address.ip().is_unspecified();
    let same = a.ip().to_canonical() == b.ip().to_canonical();
    a.port() == b.port() && a.port() != 0 && (same || everywhere(a) || everywhere(b))
}

fn store(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<Store> {
    let path = table.required("path").and_then(|entry| entry.path(surroundings));
    let cache_bytes = table.take("cache_bytes").and_then(|entry| entry.count(&STORE_CACHE_BYTES));
    let listed = table.take("listed_tokens_max").and_then(|entry| entry.count(&LISTED_TOKENS));
    table.finish();
    Some(Store {
        path: path?,
        cache_bytes: cache_bytes.unwrap_or(16 << 20),
        listed_tokens_max: listed.unwrap_or(2_000_000),
    })
}

fn audit(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Audit {
    let key = table.take("key").and_then(|entry| {
        let secret = entry.secret(surroundings)?;
        Key::of(secret.value.trim())
            .map_err(|error| entry.error(format!("what {} holds {error}", secret.source)))
            .ok()
    });
    let keep = table.take("keep").and_then(|entry| entry.duration(&KEEP));
    table.finish();
    Audit { key, keep }
}

fn limits(mut table: Table<'_>) -> Limits {
    let mut count = |name, range: RangeInclusive<u64>, default| {
        table.take(name).and_then(|entry| entry.count(&range)).unwrap_or(default)
    };
    let connections_max = count("connections_max", CONNECTIONS, 10_000);
    let handshakes_max = count("handshakes_max", HANDSHAKES, 2_000);
    let streams_max = count("streams_max", STREAMS, 100);
    let head_bytes_max = count("head_bytes_max", HEAD_BYTES, 64 << 10);
    let header_fields_max = count("header_fields_max", HEADER_FIELDS, 100);
    let body = table.take("request_body_bytes_max").and_then(|entry| entry.integer(&BODY_BYTES));
    let rate = table.take("rate_bytes_min").and_then(|entry| entry.integer(&RATE_BYTES));
    let mut time = |name, range: RangeInclusive<Duration>, default| {
        let entry: Option<Entry<'_>> = table.take(name);
        entry.and_then(|entry| entry.duration(&range)).unwrap_or(Duration::from_secs(default))
    };
    let limits = Limits {
        connections_max,
        handshakes_max,
        streams_max,
        handshake_timeout: time("handshake_timeout", TIMEOUT, 10),
        head_bytes_max,
        header_fields_max,
        request_body_bytes_max: body.unwrap_or(1 << 30),
        head_timeout: time("head_timeout", TIMEOUT, 10),
        body_idle_timeout: time("body_idle_timeout", TIMEOUT, 30),
        rate_bytes_min: rate.unwrap_or(100),
        write_idle_timeout: time("write_idle_timeout", TIMEOUT, 30),
        keep_alive_timeout: time("keep_alive_timeout", TIMEOUT, 75),
        drain_timeout: time("drain_timeout", DRAIN_TIMEOUT, 30),
    };
    table.finish();
    limits
}

fn identity(mut table: Table<'_>) -> IdentityHeaders {
    let defaults = [
        ("subject", "x-auth-subject"),
        ("organization", "x-auth-organization"),
        ("token_id", "x-auth-token-id"),
        ("scope", "x-auth-scope"),
    ];
    let entries = defaults.map(|(name, _)| table.take(name));
    table.finish();
    let headers: [HeaderName; 4] = std::array::from_fn(|at| {
        let written = entries[at].as_ref().and_then(|entry| entry.read(value::identity_header));
        written.unwrap_or_else(|| HeaderName::from_static(defaults[at].1))
    });
    for (at, entry) in entries.iter().enumerate() {
        // Of two that were written the later one is wrong; a default never is.
        let taken = |other: usize| {
            headers[other] == headers[at]
                && (other < at || (other > at && entries[other].is_none()))
        };
        if let (Some(entry), true) = (entry, (0..headers.len()).any(taken)) {
            entry.error(format!("`{}` tells the upstream something else already", headers[at]));
        }
    }
    let [subject, organization, token_id, scope] = headers;
    IdentityHeaders { subject, organization, token_id, scope }
}

fn organization_roles(mut table: Table<'_>) -> Vec<Name> {
    let built_in = ["org_owner", "org_admin", "org_member"];
    let roles = table.take("organization").map(|entry| {
        entry.distinct(|role| {
            let name: Name = role.name()?;
            if built_in.contains(&name.as_str()) {
                role.error(format!("`{name}` is there anyway: leave it out"));
            }
            Some(name)
        })
    });
    table.finish();
    roles.unwrap_or_default()
}

fn service(name: Option<Name>, mut table: Table<'_>) -> Option<Service> {
    let roles = table.required("roles").map(|entry| entry.distinct(Entry::name));
    table.finish();
    Some(Service { name: name?, roles: roles.unwrap_or_default() })
}
