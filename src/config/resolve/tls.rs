//! TLS: the certificates of the ports, and how upstreams are spoken to.

use super::value;
use crate::config::file::{Entry, Surroundings};
use crate::tls::{self, Identity, IdentityFiles, ServerFiles, Toward, TowardFiles};
use rustls::pki_types::ServerName;

/// More certificates than this are a mistake.
const CERTIFICATES_MAX: usize = 1_000;

/// Reads `[gateway.tls]` or `[admin.tls]`. Whatever is in the files is held against what it must be.
/// Only the data port knows clients by certificates, and speaks HTTP/2.
pub(super) fn server(
    entry: &Entry<'_>,
    knows_clients: bool,
    surroundings: Surroundings<'_>,
) -> Option<ServerFiles> {
    let mut table = entry.table()?;
    let certificates = table.required("certificates");
    let client_ca = if knows_clients { table.take("client_ca") } else { None };
    let client_ca = client_ca.map(|entry| {
        let path = entry.path(surroundings)?;
        let read = tls::authorities(&path).map_err(|error| entry.error(error.to_string()));
        read.ok().map(|_usable| path)
    });
    let http2 = if knows_clients { table.take("http2") } else { None };
    let http2 = http2.map_or(Some(knows_clients), |entry| entry.flag());
    table.finish();
    let certificates = certificates.map(|list| {
        let tables = list.list().unwrap_or_default();
        if tables.is_empty() {
            list.error("needs at least one: { cert = \"FILE\", key = \"FILE\" }");
        }
        if tables.len() > CERTIFICATES_MAX {
            list.error(format!("{} are more than {CERTIFICATES_MAX}", tables.len()));
            return Vec::new();
        }
        tables.iter().filter_map(|entry| certificate(entry, surroundings)).collect()
    });
    Some(ServerFiles {
        certificates: certificates?,
        client_ca: client_ca.map_or(Some(None), |path| path.map(Some))?,
        http2: http2?,
    })
}

fn certificate(entry: &Entry<'_>, surroundings: Surroundings<'_>) -> Option<IdentityFiles> {
    let mut table = entry.table()?;
    let mut path = |name| table.required(name).and_then(|entry| entry.path(surroundings));
    let (certificate, key) = (path("cert"), path("key"));
    table.finish();
    let files = IdentityFiles { certificate: certificate?, key: key? };
    usable(entry, files)
}

fn usable(entry: &Entry<'_>, files: IdentityFiles) -> Option<IdentityFiles> {
    Identity::read(&files).map_err(|error| entry.error(error.to_string())).ok()?;
    Some(files)
}

/// Reads `tls` of an upstream.
pub(super) fn toward(
    entry: &Entry<'_>,
    is_secure: bool,
    surroundings: Surroundings<'_>,
) -> Option<Toward> {
    let mut table = entry.table()?;
    let roots = table.take("roots").map(|entry| entry.path(surroundings));
    let server_name = table.take("server_name").map(|entry| {
        entry.read(|text| {
            let name = value::host(text)?;
            ServerName::try_from(name).map_err(|error| format!("is not a name: {error}"))
        })
    });
    let (certificate, key) = (table.take("client_cert"), table.take("client_key"));
    let identity = match (&certificate, &key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(certificate.path(surroundings).and_then(|path| {
            let files = IdentityFiles { certificate: path, key: key.path(surroundings)? };
            usable(certificate, files)
        })),
        (Some(entry), None) => {
            entry.error("needs `client_key` beside it");
            None
        }
        (None, Some(entry)) => {
            entry.error("needs `client_cert` beside it");
            None
        }
    };
    table.finish();
    if !is_secure {
        entry.error("has no meaning without TLS: write the addresses as \"https://host:port\"");
        return None;
    }
    let files = TowardFiles {
        roots: roots.map_or(Some(None), |path| path.map(Some))?,
        also: None,
        identity: identity.map_or(Some(None), |files| files.map(Some))?,
        server_name: server_name.map_or(Some(None), |name| name.map(Some))?,
    };
    Toward::new(&files).map_err(|error| entry.error(error.to_string())).ok()
}
