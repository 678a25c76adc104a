//! Routes: from host, path and method to where a request goes and what it needs.

use super::vet;
use crate::access::{Demand, Requirement};
use crate::config::{Access, ClientCertificate, Config, Timeouts};
use crate::role::{RoleName, RoleSet, RoleTable};
use crate::usage::{Asked, Bit};
use http::{HeaderValue, Method};
use std::collections::HashMap;

/// A route as requests meet it.
#[derive(Debug)]
pub struct Route {
    /// Its name in logs.
    pub name: String,
    /// What it asks of a request.
    pub requirement: Requirement,
    /// What an admitted request needed of its token.
    pub needed: Bit,
    /// Index of its upstream in the configuration.
    pub upstream: usize,
    /// How many bytes of the path are taken off before forwarding.
    pub strip_bytes: usize,
    /// Whether the client's bearer goes upstream.
    pub forward_bearer: bool,
    /// Whether the upstream is told of the client's certificate.
    pub forward_certificate: bool,
    /// Longest body of a request, in bytes, where the route says so.
    pub body_bytes_max: Option<u64>,
    /// How long the upstream may take.
    pub timeouts: Timeouts,
    /// The challenge of a 403: RFC 6750 section 3.
    pub insufficient_scope: HeaderValue,
    /// `Allow` of a 405: RFC 9110 section 10.2.1.
    pub allow: HeaderValue,
    path: String,
    lenient_path: bool,
}

/// All routes of a configuration.
#[derive(Debug)]
pub struct Routes {
    all: Vec<Route>,
    /// For each host, indexes of its routes and of those for any host, longest path first.
    by_host: HashMap<String, Vec<usize>>,
    any_host: Vec<usize>,
}

/// Why there is no route for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// Nothing is there.
    NotFound,
    /// The path can be read in two ways.
    Ambiguous,
}

/// A role in a route that the store has no number for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("route `{route}` asks for the role `{role}`, which the store does not know")]
pub struct UnknownRole {
    /// The route.
    pub route: String,
    /// The role.
    pub role: RoleName,
}

impl Routes {
    /// Compiles the routes of a configuration. Every role that they name must have its number. What
    /// they ask for is added to what is asked for already.
    ///
    /// # Errors
    /// When one has none.
    pub fn compile(config: &Config, roles: &RoleTable, asked: &Asked) -> Result<Self, UnknownRole> {
        let compiled = config.routes.iter().map(|route| compile(config, route, roles, asked));
        let routes = compiled.collect::<Result<Vec<_>, _>>()?;
        let mut longest_first: Vec<usize> = (0..routes.len()).collect();
        // Of one length, those that name their hosts go before those for any.
        longest_first.sort_by_key(|&at| {
            (std::cmp::Reverse(routes[at].path.len()), config.routes[at].hosts.is_empty())
        });
        let serves = |at: usize, host: Option<&String>| {
            let hosts = &config.routes[at].hosts;
            hosts.is_empty() || host.is_some_and(|host| hosts.contains(host))
        };
        let of = |host: Option<&String>| -> Vec<usize> {
            longest_first.iter().copied().filter(|&at| serves(at, host)).collect()
        };
        let hosts = config.routes.iter().flat_map(|route| &route.hosts);
        let by_host = hosts.map(|host| (host.clone(), of(Some(host)))).collect();
        let any_host = of(None);
        Ok(Self { all: routes, by_host, any_host })
    }

    /// The route of a request. `path` is the path as it came, and as it will be forwarded.
    ///
    /// Among routes of the same length, those that name the host before those for any, the first
    /// that takes the method wins; if none does, the first of them answers for all.
    pub(super) fn find(&self, host: &str, path: &str, method: &Method) -> Result<usize, NoRoute> {
        let traits = vet::path_traits(path).map_err(|_objection| NoRoute::Ambiguous)?;
        let found = self.longest(host, path, method);
        // However a server reads it, it must come to the same route, lenient or not.
        let same = |reading: &str| found == self.longest(host, reading, method);
        if traits.decodable && !same(&vet::decode_unreserved(path)) {
            return Err(NoRoute::Ambiguous);
        }
        if traits.ambiguous && !vet::readings(path).iter().all(|reading| same(reading)) {
            return Err(NoRoute::Ambiguous);
        }
        if traits.ambiguous && !found.is_some_and(|at| self.all[at].lenient_path) {
            return Err(NoRoute::Ambiguous);
        }
        let at = found.ok_or(NoRoute::NotFound)?;
        // A path without its prefix must be a path still: two slashes would begin a host (RFC 3986
        // section 4.2), on lenient routes too.
        let strip_bytes = self.all[at].strip_bytes;
        if traits.ambiguous
            && strip_bytes > 0
            && vet::readings(&path[strip_bytes..])[0].starts_with("//")
        {
            return Err(NoRoute::Ambiguous);
        }
        Ok(at)
    }

    /// A route by the number that [`Routes::find`] gave.
    pub(super) fn route(&self, at: usize) -> &Route {
        &self.all[at]
    }

    fn longest(&self, host: &str, path: &str, method: &Method) -> Option<usize> {
        let candidates = self.by_host.get(host).unwrap_or(&self.any_host);
        let mut found: Option<usize> = None;
        for &at in candidates {
            let route = &self.all[at];
            if let Some(first) = found
                && self.all[first].path.len() != route.path.len()
            {
                break;
            }
            if !covers(&route.path, path) {
                continue;
            }
            let methods = &route.requirement.methods;
            if methods.is_empty() || methods.contains(method) {
                return Some(at);
            }
            found.get_or_insert(at);
        }
        found
    }
}

/// Whether a prefix covers a path: the same, or followed by `/`.
fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

fn compile(
    config: &Config,
    route: &crate::config::Route,
    roles: &RoleTable,
    asked: &Asked,
) -> Result<Route, UnknownRole> {
    let numbers = |names: &[RoleName]| -> Result<RoleSet, UnknownRole> {
        names
            .iter()
            .map(|name| {
                roles
                    .id(name)
                    .ok_or_else(|| UnknownRole { route: route.name.clone(), role: name.clone() })
            })
            .collect()
    };
    let mut scope = String::new();
    let demand = match &route.access {
        Access::Public => None,
        Access::Token { service: _, organizations, any_of, all_of } => {
            let names: Vec<String> = all_of.iter().chain(any_of).map(ToString::to_string).collect();
            scope = names.join(" ");
            Some(Demand {
                organizations: organizations.clone(),
                any_of: numbers(any_of)?,
                all_of: numbers(all_of)?,
            })
        }
    };
    let challenge = format!(
        "Bearer realm=\"{}\", error=\"insufficient_scope\", \
         error_description=\"The token does not carry what this resource needs\", scope=\"{scope}\"",
        config.gateway.realm
    );
    // What the routes beside this one take is allowed too.
    let beside = config
        .routes
        .iter()
        .filter(|beside| beside.path == route.path && beside.hosts == route.hosts);
    let mut allow: Vec<&str> = Vec::new();
    for method in beside.flat_map(|beside| &beside.methods) {
        if !allow.contains(&method.as_str()) {
            allow.push(method.as_str());
        }
    }
    let visible =
        |text: String| HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Bearer"));
    // With the prefix `/` or `/x/` the slash stays: what is left must begin with one.
    let strip_bytes = if route.strip_prefix { route.path.trim_end_matches('/').len() } else { 0 };
    Ok(Route {
        name: route.name.clone(),
        needed: demand.as_ref().map_or(Bit::NONE, |demand| asked.bit(demand)),
        requirement: Requirement {
            methods: route.methods.clone(),
            certificate: route.client_certificate == ClientCertificate::Required,
            demand,
        },
        upstream: route.upstream,
        strip_bytes,
        forward_bearer: route.forward_bearer,
        forward_certificate: route.client_certificate != ClientCertificate::None,
        body_bytes_max: route.request_body_bytes_max,
        timeouts: route.timeouts,
        insufficient_scope: visible(challenge),
        allow: visible(allow.join(", ")),
        path: route.path.clone(),
        lenient_path: route.lenient_path,
    })
}

#[cfg(test)]
mod tests;
