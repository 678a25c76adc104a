//! Routes: what they name must exist, what they need must be said, and no two of them may be meant
//! for the same request.

use super::upstream::timeouts;
use super::value;
use crate::access::Organizations;
use crate::config::error::suggestion;
use crate::config::file::{Entry, Table, quoted};
use crate::config::{Access, ClientCertificate, Route, Service, Timeouts, Upstream};
use crate::id::OrgId;
use crate::role::{Name, RoleName};
use http::Method;
use std::time::Duration;

/// More routes than this are a mistake.
const ROUTES_MAX: usize = 10_000;
const NO_TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::ZERO,
    first_byte: Duration::ZERO,
    idle: Duration::ZERO,
    total: None,
};
const NEEDS_REQUIRE: &str = "a route needs `require`: \
    { service = \"NAME\", organizations = \"any\", any_of = [\"NAME/ROLE\"] } for a live token, or \
    \"public\" for none at all";

/// What routes may refer to.
pub(super) struct Known<'k> {
    /// Organization roles beside the built-in ones.
    pub(super) organization_roles: &'k [Name],
    /// Services.
    pub(super) services: &'k [Service],
    /// Upstreams.
    pub(super) upstreams: &'k [Upstream],
    /// Whether anybody may vouch for clients.
    pub(super) client_ca: bool,
}

/// Reads `[[routes]]`.
pub(super) fn routes(entry: Option<Entry<'_>>, known: &Known<'_>) -> Vec<Route> {
    let Some(entry) = entry else { return Vec::new() };
    let tables = entry.list().unwrap_or_default();
    if tables.len() > ROUTES_MAX {
        entry.error(format!("{} routes are more than {ROUTES_MAX}", tables.len()));
        return Vec::new();
    }
    let mut routes: Vec<Route> = Vec::with_capacity(tables.len());
    for entry in tables {
        let Some(table) = entry.table() else { continue };
        let Some(route) = route(table, known) else { continue };
        if routes.iter().any(|other| other.name == route.name) {
            entry.error(format!("another route is called `{}`, too", route.name));
        }
        if let Some(other) = routes.iter().find(|other| same_requests(other, &route)) {
            entry.error(format!(
                "is for the same requests as the route `{}`: of two routes with one path and \
                 host, each must have its own `methods`",
                other.name
            ));
        }
        routes.push(route);
    }
    routes
}

/// Whether there are requests for which neither route is the better match.
fn same_requests(a: &Route, b: &Route) -> bool {
    let hosts = (a.hosts.is_empty() && b.hosts.is_empty())
        || a.hosts.iter().any(|host| b.hosts.contains(host));
    let methods = a.methods.is_empty()
        || b.methods.is_empty()
        || a.methods.iter().any(|method| b.methods.contains(method));
    a.path == b.path && hosts && methods
}

/// Reads one route. Where its upstream or its requirement is wrong a stand-in takes their place, so
/// that the comparison with other routes goes on; nothing but errors comes of it.
fn route(mut table: Table<'_>, known: &Known<'_>) -> Option<Route> {
    let name: Option<Name> = table.required("name").and_then(|entry| entry.name());
    let hosts = table.take("hosts").map(|entry| {
        let empty = "an empty list is no host at all: leave it out for any host";
        entry.distinct_some(empty, |host| host.read(value::host))
    });
    let path = table.required("path").and_then(|entry| entry.read(value::path));
    let upstream_entry = table.required("upstream");
    let upstream = upstream_entry.as_ref().and_then(|entry| upstream(entry, known));
    let mut flag = |name| {
        let entry: Option<Entry<'_>> = table.take(name);
        entry.and_then(|entry| Some((entry.flag()?, entry)))
    };
    let strip_prefix = flag("strip_prefix").is_some_and(|(flag, _)| flag);
    let lenient_path = flag("lenient_path").is_some_and(|(flag, _)| flag);
    let forward_bearer = flag("forward_bearer");
    let credential = upstream.and_then(|at| known.upstreams[at].credential.as_ref());
    if let (Some((true, entry)), Some(_)) = (&forward_bearer, credential) {
        entry.error("the upstream's own `credential` takes the place of the bearer: drop one");
    }
    let body = table.take("request_body_bytes_max");
    let body = body.and_then(|entry| entry.integer(&super::BODY_BYTES));
    // Nothing but errors comes of a route without its upstream.
    let default = upstream.map_or(NO_TIMEOUTS, |at| known.upstreams[at].timeouts);
    let timeouts = timeouts(&mut table, default);
    let methods = table.take("methods").map(|entry| {
        let empty = "an empty list is no method at all: leave it out for all methods";
        entry.distinct_some(empty, |method: &Entry<'_>| -> Option<Method> {
            method.read(value::method)
        })
    });
    let certificate = table.take("client_certificate");
    let certificate = certificate.and_then(|entry| client_certificate(&entry, known));
    let require = table.take("require");
    if require.is_none() {
        table.lacks(NEEDS_REQUIRE);
    }
    let access = require.and_then(|entry| access(&entry, known));
    table.finish();
    Some(Route {
        name: name?.to_string(),
        path: path?,
        hosts: hosts.unwrap_or_default(),
        upstream: upstream.unwrap_or(usize::MAX),
        strip_prefix,
        forward_bearer: forward_bearer.is_some_and(|(flag, _)| flag),
        lenient_path,
        request_body_bytes_max: body,
        timeouts,
        methods: methods.unwrap_or_default(),
        client_certificate: certificate.unwrap_or_default(),
        access: access.unwrap_or(Access::Public),
    })
}

fn client_certificate(entry: &Entry<'_>, known: &Known<'_>) -> Option<ClientCertificate> {
    let certificate = match entry.text()? {
        "none" => ClientCertificate::None,
        "optional" => ClientCertificate::Optional,
        "required" => ClientCertificate::Required,
        other => {
            let other = quoted(other);
            entry.error(format!("{other} is not \"none\", \"optional\" or \"required\""));
            return None;
        }
    };
    if certificate != ClientCertificate::None && !known.client_ca {
        entry.dangling(
            "nobody may vouch for clients: name a file of authorities, gateway.tls.client_ca",
        );
    }
    Some(certificate)
}

fn upstream(entry: &Entry<'_>, known: &Known<'_>) -> Option<usize> {
    let text = entry.text()?;
    let found = known.upstreams.iter().position(|upstream| upstream.name == text);
    if found.is_none() {
        let names = known.upstreams.iter().map(|upstream| upstream.name.as_str());
        let hint = suggestion(text, names);
        entry.dangling(format!("there is no [upstreams] entry {}{hint}", quoted(text)));
    }
    found
}

fn access(entry: &Entry<'_>, known: &Known<'_>) -> Option<Access> {
    if entry.is_text() {
        return match entry.text()? {
            "public" => Some(Access::Public),
            other => {
                entry.error(format!("{} is not a requirement: {NEEDS_REQUIRE}", quoted(other)));
                None
            }
        };
    }
    if !entry.is_table() {
        entry.error(NEEDS_REQUIRE);
        return None;
    }
    let mut table = entry.table()?;
    let service = table.required("service").and_then(|entry| service(&entry, known));
    let organizations = table.take("organizations");
    if organizations.is_none() {
        table.lacks("needs `organizations`: \"any\", or a list of organization identities");
    }
    let organizations = organizations.and_then(|entry| admitted(&entry));
    let mut roles = |name| {
        let list: Option<Entry<'_>> = table.take(name);
        list.map_or_else(Vec::new, |list| {
            let empty = "an empty list is no role at all: leave it out if no role is needed";
            list.distinct_some(empty, |entry| role(entry, known))
        })
    };
    let (any_of, all_of) = (roles("any_of"), roles("all_of"));
    table.finish();
    Some(Access::Token { service: service?, organizations: organizations?, any_of, all_of })
}

fn service(entry: &Entry<'_>, known: &Known<'_>) -> Option<Name> {
    let name: Name = entry.name()?;
    if known.services.iter().all(|service| service.name != name) {
        let names = known.services.iter().map(|service| service.name.as_str());
        let hint = suggestion(name.as_str(), names);
        entry.dangling(format!("there is no [services] entry `{name}`{hint}"));
    }
    Some(name)
}

/// Whose tokens a route admits.
fn admitted(entry: &Entry<'_>) -> Option<Organizations> {
    let one = |entry: &Entry<'_>| -> Option<OrgId> {
        entry.read(|text| text.parse().map_err(|error| format!("is not an organization: {error}")))
    };
    if entry.is_text() {
        return match entry.text()? {
            "any" => Some(Organizations::Any),
            _ => one(entry).map(|id| Organizations::These(vec![id])),
        };
    }
    let empty = "an empty list is no organization at all: expected \"any\" or their identities";
    let mut these = entry.distinct_some(empty, one);
    these.sort_unstable();
    Some(Organizations::These(these))
}

fn role(entry: &Entry<'_>, known: &Known<'_>) -> Option<RoleName> {
    let role: RoleName = entry.name()?;
    let mut names: Vec<String> = ["org_owner", "org_admin", "org_member"].map(str::to_owned).into();
    names.extend(known.organization_roles.iter().map(Name::to_string));
    for service in known.services {
        names.extend(service.roles.iter().map(|role| format!("{}/{role}", service.name)));
    }
    let written = role.to_string();
    if !names.contains(&written) {
        let hint = suggestion(&written, names.iter().map(String::as_str));
        entry.dangling(format!("there is no role `{written}`{hint}"));
    }
    Some(role)
}
