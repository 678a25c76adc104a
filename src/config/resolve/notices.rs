//! How notices are delivered: `[notices]`, `[smtp]` and `[webhooks]`, and the key in `[seal]`.

use super::value;
use crate::config::file::{self, Entry, Surroundings, Table};
use crate::config::{Address, Authorities, Login, Notices, SealKey, Smtp, SmtpTls, Webhooks};
use crate::notice::Retry;
use crate::notice::template::{TEMPLATE_BYTES_MAX, Templates};
use crate::secret::sealing_key;
use ipnet::IpNet;
use lettre::message::Mailbox;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SETTLE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);
const ATTEMPTS: RangeInclusive<u64> = 1..=1_000;
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(24);
const DELIVERIES: RangeInclusive<u64> = 1..=256;
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(10);
/// Most files in the directory of the templates.
const TEMPLATES_MAX: usize = 100;

pub(super) fn notices(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Notices {
    let settle = table.take("settle").and_then(|entry| entry.duration(&SETTLE));
    let attempts = table.take("attempts_max").and_then(|entry| entry.integer(&ATTEMPTS));
    let first = table.take("retry_first");
    let first = first.and_then(|entry| entry.duration(&PAUSE)).unwrap_or(Duration::from_secs(10));
    let longest = table.take("retry_longest");
    let written = longest.as_ref().and_then(|entry| entry.duration(&PAUSE));
    if let (Some(entry), Some(written)) = (&longest, written)
        && written < first
    {
        entry.error("is shorter than the first pause (`notices.retry_first`)");
    }
    let deliveries = table.take("deliveries_max").and_then(|entry| entry.count(&DELIVERIES));
    let templates = table.take("templates").map(|entry| templates(&entry, surroundings));
    table.finish();
    Notices {
        settle: settle.unwrap_or(Duration::from_secs(30)),
        retry: Retry {
            attempts_max: attempts.and_then(|max| u32::try_from(max).ok()).unwrap_or(40),
            first,
            longest: written.unwrap_or(Duration::from_hours(1)).max(first),
        },
        deliveries_max: deliveries.unwrap_or(8),
        templates: templates.unwrap_or_default(),
    }
}

/// The templates of a directory, in place of those that are built in.
fn templates(entry: &Entry<'_>, surroundings: Surroundings<'_>) -> Templates {
    let mut templates = Templates::default();
    let Some(directory) = entry.path(surroundings) else { return templates };
    let shown = |name: &Path| directory.join(name).display().to_string();
    let names = match file_names(&directory) {
        Ok(names) => names,
        Err(error) => {
            entry.error(format!("cannot read {}: {error}", directory.display()));
            return templates;
        }
    };
    if names.len() > TEMPLATES_MAX {
        entry.error(format!("{} holds more than {TEMPLATES_MAX} files", directory.display()));
        return templates;
    }
    for name in names {
        let path = Path::new(&name);
        match file::read_limited(&directory.join(path)) {
            Err(error) => entry.error(format!("cannot read {}: {error}", shown(path))),
            Ok(text) if text.len() > TEMPLATE_BYTES_MAX => {
                entry.error(format!("{} is larger than {TEMPLATE_BYTES_MAX} bytes", shown(path)));
            }
            Ok(text) => {
                if let Err(error) = templates.replace(&name, &text) {
                    entry.error(format!("{} {error}", shown(path)));
                }
            }
        }
    }
    templates
}

/// The names of the files in a directory, in order. Hidden ones are an editor's, not ours.
fn file_names(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for found in std::fs::read_dir(directory)?.take(10 * TEMPLATES_MAX) {
        let name = found?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !name.ends_with('~') {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

pub(super) fn smtp(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<Smtp> {
    let server = table.required("server").and_then(|entry| entry.read(value::address));
    let tls_entry = table.required("tls");
    let authorities = table.take("authorities");
    let tls = tls_entry.as_ref().and_then(|entry| {
        let authorities = match &authorities {
            None => Authorities::System,
            Some(entry) => Authorities::Also(pem(entry, surroundings)?),
        };
        match entry.text()? {
            "none" => Some(SmtpTls::None),
            "starttls" => Some(SmtpTls::StartTls(authorities)),
            "tls" => Some(SmtpTls::Tls(authorities)),
            _ => {
                entry.error("expected \"starttls\", \"tls\" or \"none\"");
                None
            }
        }
    });
    if let (Some(entry), Some(SmtpTls::None), Some(server)) = (&tls_entry, &tls, &server) {
        if !is_here(server) {
            entry.error(
                "mails and passwords would cross the network in the clear: \"none\" is for a \
                 server on 127.0.0.1, [::1] or localhost only",
            );
        }
        if let Some(authorities) = &authorities {
            authorities.error("has no meaning without TLS");
        }
    }
    let from = table.required("from").and_then(|entry| {
        entry.read(|text| {
            text.parse::<Mailbox>().map_err(|_unspecific| {
                "is not a sender: expected \"Bearward <bearward@example.com>\"".to_owned()
            })
        })
    });
    let timeout = table.take("timeout").and_then(|entry| entry.duration(&TIMEOUT));
    let (user, password) = (table.take("user"), table.take("password"));
    let login = match (&user, &password) {
        (None, None) => None,
        (Some(user), Some(password)) => login(user, password, surroundings),
        (Some(entry), None) => {
            entry.error("needs `password` beside it");
            None
        }
        (None, Some(entry)) => {
            entry.error("needs `user` beside it");
            None
        }
    };
    table.finish();
    Some(Smtp {
        server: server?,
        tls: tls?,
        login,
        from: from?,
        timeout: timeout.unwrap_or(Duration::from_secs(30)),
    })
}

fn login(user: &Entry<'_>, password: &Entry<'_>, surroundings: Surroundings<'_>) -> Option<Login> {
    let user = user.text()?.to_owned();
    let password = password.secret(surroundings)?.value;
    Some(Login { user, password })
}

/// The certificates of a PEM file, each of which can vouch for others.
pub(super) fn pem(entry: &Entry<'_>, surroundings: Surroundings<'_>) -> Option<Vec<u8>> {
    let path = entry.path(surroundings)?;
    let text = match file::read_limited(&path) {
        Ok(text) => text,
        Err(error) => {
            entry.error(format!("cannot read {}: {error}", path.display()));
            return None;
        }
    };
    match certificates(&text) {
        Ok(()) => Some(text.into_bytes()),
        Err(why) => {
            entry.error(format!("{} {why}", path.display()));
            None
        }
    }
}

fn certificates(text: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for (at, found) in CertificateDer::pem_slice_iter(text.as_bytes()).enumerate() {
        let added = found
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added
            .map_err(|error| format!("holds a certificate ({}.) that is none: {error}", at + 1))?;
    }
    if roots.is_empty() { Err("holds no certificate in PEM form".to_owned()) } else { Ok(()) }
}

/// Whether an address is one of this machine alone.
fn is_here(address: &Address) -> bool {
    let host = address.host.as_str();
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

pub(super) fn webhooks(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Webhooks {
    let allow = table.take("allow").map(|entry| {
        entry.distinct(|network| {
            network.read(|text| {
                text.parse::<IpNet>().map_err(|_unspecific| {
                    "is not a network: expected \"10.0.0.0/8\" or \"fd00::/8\"".to_owned()
                })
            })
        })
    });
    let authorities = table.take("authorities").and_then(|entry| pem(&entry, surroundings));
    let timeout = table.take("timeout").and_then(|entry| entry.duration(&TIMEOUT));
    table.finish();
    Webhooks {
        allow: allow.unwrap_or_default(),
        authorities: authorities.map_or(Authorities::System, Authorities::Also),
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
    }
}

/// The key that secrets are sealed under; in the file `beside` the store where none is given.
pub(super) fn seal(
    mut table: Table<'_>,
    beside: PathBuf,
    surroundings: Surroundings<'_>,
) -> Option<SealKey> {
    let entry = table.take("key");
    table.finish();
    let Some(entry) = entry else { return Some(SealKey::InFile(beside)) };
    let secret = entry.secret(surroundings)?;
    let key = sealing_key(&secret.value);
    if key.is_none() {
        entry.error(format!("{} holds no key: expected 64 hexadecimal digits", secret.source));
    }
    key.map(SealKey::Given)
}
