//! Who vouches for those who sign in to the pages: `[oidc]`.

use super::notices::pem;
use crate::config::file::{Entry, Surroundings, Table, quoted};
use crate::config::{Admin, Authorities, Oidc, RoleMap, Service};
use crate::notice::target::Target;
use crate::oidc::{UserClaim, is_loopback};
use crate::role::{Name, RoleName};
use std::ops::RangeInclusive;
use std::time::Duration;

const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(1);
/// Longest name of a claim, of a provider, a client, or a value that stands for roles, in characters.
const WORD_CHARS_MAX: usize = 256;
/// Most values that stand for roles.
const MAPPED_MAX: usize = 1_000;
const BUILT_IN: [&str; 3] = ["org_owner", "org_admin", "org_member"];

/// The roles that there are.
pub(super) struct Known<'k> {
    pub(super) organization_roles: &'k [Name],
    pub(super) services: &'k [Service],
}

pub(super) fn oidc(
    mut table: Table<'_>,
    admin: Option<&Admin>,
    known: &Known<'_>,
    surroundings: Surroundings<'_>,
) -> Option<Oidc> {
    let issuer = table.required("issuer").and_then(|entry| entry.read(issuer));
    let name = table.take("name").and_then(|entry| entry.read(word));
    let client_id = table.required("client_id").and_then(|entry| entry.read(word));
    let secret = table.take("client_secret");
    let secret = secret.map(|entry| entry.secret(surroundings).map(|secret| secret.value));
    let public_url = table.required("public_url").and_then(|entry| public_url(&entry, admin));
    let organization = table.required("organization").and_then(|entry| {
        entry.read(|text| text.parse().map_err(|error| format!("is not an organization: {error}")))
    });
    let scopes = table.take("scopes").map(|entry| scopes(&entry));
    let user_claim = table.take("user_claim").and_then(|entry| entry.read(word));
    let user_claim = match user_claim.as_deref() {
        Some("email") => UserClaim::Email,
        Some(claim) => UserClaim::ExternalId(claim.to_owned()),
        None => UserClaim::ExternalId("sub".to_owned()),
    };
    let create = table.take("create_users").and_then(|entry| entry.flag()).unwrap_or(false);
    let sync = table.take("sync_roles").and_then(|entry| entry.flag()).unwrap_or(false);
    let roles = roles(&mut table, create || sync, known);
    let authorities = table.take("authorities").and_then(|entry| pem(&entry, surroundings));
    let timeout = table.take("timeout").and_then(|entry| entry.duration(&TIMEOUT));
    table.finish();
    let issuer = issuer?;
    Some(Oidc {
        name: name.unwrap_or_else(|| host_of(&issuer)),
        issuer,
        client_id: client_id?,
        // A secret that cannot be read is an error, and not a client without one.
        client_secret: secret.map_or(Some(None), |secret| secret.map(Some))?,
        scopes: scopes.unwrap_or_else(|| "openid email profile".to_owned()),
        public_url: public_url?,
        organization: organization?,
        user_claim,
        roles: roles?,
        create_users: create,
        sync_roles: sync,
        authorities: authorities.map_or(Authorities::System, Authorities::Also),
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
    })
}

fn host_of(issuer: &str) -> String {
    Target::parse(issuer).map_or_else(|_no_address| issuer.to_owned(), |target| target.host)
}

/// The name of a provider, as its own document has it.
fn issuer(text: &str) -> Result<String, String> {
    let target = secure(text)?;
    if target.path.contains('?') {
        return Err("is not an issuer: it has no query".to_owned());
    }
    Ok(text.to_owned())
}

/// An address that nobody on the way can read or change.
fn secure(text: &str) -> Result<Target, String> {
    let target = Target::parse(text).map_err(|_unspecific| {
        "is not an address: expected \"https://login.example.com\"".to_owned()
    })?;
    if !target.is_secure && !is_loopback(&target.host) {
        return Err("would be asked in the clear: expected https:// (http:// is for 127.0.0.1, \
                    [::1] and localhost only)"
            .to_owned());
    }
    Ok(target)
}

/// Where browsers reach the admin port: scheme, host and port.
fn public_url(entry: &Entry<'_>, admin: Option<&Admin>) -> Option<String> {
    let url = entry.read(|text| {
        let target = secure(text)?;
        let (_, rest) = text.split_once("://").unwrap_or_default();
        if rest != target.authority {
            return Err("is more than an origin: leave away what follows host and port".to_owned());
        }
        // Browsers leave it away, and what they send is compared.
        if rest.ends_with(if target.is_secure { ":443" } else { ":80" }) {
            return Err("names the port that is meant anyway: leave it away".to_owned());
        }
        Ok((text.to_ascii_lowercase(), target.host))
    });
    let (url, host) = url?;
    let is_known = |admin: &Admin| {
        // As the configuration of the admin port has an IPv6 address: in brackets.
        let bare = |host: &str| host.trim_matches(['[', ']']).to_owned();
        is_loopback(&host) || admin.hosts.iter().any(|known| bare(known) == host)
    };
    if admin.is_some_and(|admin| !is_known(admin)) {
        let quoted = quoted(&host);
        entry.error(format!("is not reached there: {quoted} does not stand in `admin.hosts`"));
        return None;
    }
    Some(url)
}

/// A word that is sent and compared as it is.
fn word(text: &str) -> Result<String, String> {
    let fits = (1..=WORD_CHARS_MAX).contains(&text.chars().count());
    if fits && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!("is not a name: expected 1 to {WORD_CHARS_MAX} characters in one line"))
    }
}

/// RFC 6749 section 3.3.
fn scopes(entry: &Entry<'_>) -> String {
    let scopes = entry.distinct(|scope| {
        scope.read(|text| {
            let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
            let fits = (1..=WORD_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed);
            let wrong = || "is not a scope: expected letters, digits and the like".to_owned();
            if fits { Ok(text.to_owned()) } else { Err(wrong()) }
        })
    });
    if !scopes.iter().any(|scope| scope == "openid") {
        entry.error("needs \"openid\": without it the provider vouches for nobody");
    }
    scopes.join(" ")
}

/// The claim with the roles and what its values stand for. `None` if something is wrong with them.
#[expect(clippy::option_option, reason = "wrong, none, or some")]
fn roles(table: &mut Table<'_>, is_used: bool, known: &Known<'_>) -> Option<Option<RoleMap>> {
    let claim_entry = table.take("roles_claim");
    let claim = claim_entry.as_ref().and_then(|entry| entry.read(word));
    let of_entry = table.take("roles");
    let unused = "has no meaning without `create_users` or `sync_roles`";
    match (&claim_entry, &of_entry) {
        (None, None) if is_used => {
            table.lacks("needs `roles_claim` and `roles` where the provider decides on roles");
            None
        }
        (None, None) => Some(None),
        (Some(entry), None) => {
            entry.error("needs `roles` beside it, which says what its values stand for");
            None
        }
        (None, Some(entry)) => {
            entry.error("needs `roles_claim` beside it, which says where the values are");
            None
        }
        (Some(entry), Some(_)) if !is_used => {
            entry.error(unused);
            None
        }
        (Some(_), Some(entry)) => {
            let of = entry.table()?.every(|value| {
                let roles = value.distinct_some("stands for no role: leave it out", |role| {
                    role.read(|text| role_name(text, known))
                });
                Some(roles)
            });
            if of.len() > MAPPED_MAX {
                entry.error(format!("maps more than {MAPPED_MAX} values to roles"));
                return None;
            }
            Some(Some(RoleMap { claim: claim?, of }))
        }
    }
}

fn role_name(text: &str, known: &Known<'_>) -> Result<RoleName, String> {
    let name: RoleName = text.parse().map_err(|error| format!("is not a role: {error}"))?;
    let (is_known, wrong) = match &name {
        RoleName::Organization(role) => (
            BUILT_IN.contains(&role.as_str()) || known.organization_roles.contains(role),
            "is no organization role; `roles.organization` adds some",
        ),
        RoleName::Service { service, role } => {
            let of = known.services.iter().find(|known| known.name == *service);
            (of.is_some_and(|of| of.roles.contains(role)), "is no role of a service in `services`")
        }
    };
    if is_known { Ok(name) } else { Err(wrong.to_owned()) }
}
