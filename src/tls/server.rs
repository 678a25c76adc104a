//! What a port of ours shows to those who connect, and what it asks of them.

use super::identity::{
    Identity, IdentityFiles, Unusable, authorities_of, contents, is_open_to_all,
};
use super::{HTTP1, HTTP2, provider};
use crate::time::Timestamp;
use rustls::ServerConfig;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// A certificate that ends sooner than this is worth a warning.
const ENDS_SOON: Duration = Duration::from_hours(14 * 24);

/// The files of a port that speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// What is shown, by the names in it; the first to whoever asks for another name, or for none.
    pub certificates: Vec<IdentityFiles>,
    /// Who may vouch for clients.
    pub client_ca: Option<PathBuf>,
    /// Whether HTTP/2 is offered, before HTTP/1.1.
    pub http2: bool,
}

/// What the files hold.
pub(super) struct Contents {
    /// Each certificate and its key.
    certificates: Vec<(Bytes, Bytes)>,
    client_ca: Option<Bytes>,
}

type Bytes = Zeroizing<Vec<u8>>;

/// Tells contents apart.
pub(super) type Print = [u8; 32];

impl ServerFiles {
    pub(super) fn read(&self) -> Result<Contents, Unusable> {
        let pair =
            |files: &IdentityFiles| Ok((contents(&files.certificate)?, contents(&files.key)?));
        Ok(Contents {
            certificates: self.certificates.iter().map(pair).collect::<Result<_, Unusable>>()?,
            client_ca: self.client_ca.as_deref().map(contents).transpose()?,
        })
    }

    /// The directories that the files lie in.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        let pairs = self.certificates.iter().flat_map(|files| [&files.certificate, &files.key]);
        let mut found: Vec<PathBuf> =
            pairs.chain(&self.client_ca).map(|file| directory_of(file)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

impl Contents {
    /// Of everything.
    pub(super) fn print(&self) -> Print {
        let mut all = Sha256::new();
        for (certificate, key) in &self.certificates {
            for bytes in [certificate, key] {
                all.update(bytes.len().to_be_bytes());
                all.update(bytes);
            }
        }
        all.update(self.trust_print());
        all.finalize().into()
    }

    /// Of those who may vouch for clients.
    pub(super) fn trust_print(&self) -> Print {
        Sha256::digest(self.client_ca.as_deref().map_or(&[][..], |bytes| bytes)).into()
    }
}

/// The certificates as [`ServerFiles`] has them in order.
pub(super) fn identities(files: &ServerFiles, from: &Contents) -> Result<Vec<Identity>, Unusable> {
    let pairs = files.certificates.iter().zip(&from.certificates);
    pairs.map(|(files, (certificate, key))| Identity::of(files, certificate, key)).collect()
}

/// How a port speaks TLS. `asks` says whether clients are asked for a certificate; none need have
/// one, as it is the route that may demand it.
pub(super) fn config(
    files: &ServerFiles,
    from: &Contents,
    identities: &[Identity],
    asks: bool,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, Unusable> {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match (&files.client_ca, &from.client_ca) {
        (Some(path), Some(text)) if asks => {
            let roots = Arc::new(authorities_of(path, text)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .allow_unauthenticated()
                .build()
                .map_err(|error| Unusable::file(path, format!("cannot vouch: {error}")))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(Resolver::new(identities)));
    let protocols: &[&[u8]] = if files.http2 { &[HTTP2, HTTP1] } else { &[HTTP1] };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    // What a session is resumed from is with the client, sealed: any worker opens it, and those who
    // never come back cost no memory.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = tickets;
    // No early data, be it named or not: whoever sent it may have sent it before (RFC 8470).
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
    Ok(config)
}

/// Which certificate is shown to whom.
#[derive(Debug, Default)]
struct Resolver {
    default: Vec<Arc<CertifiedKey>>,
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what follows the `*.`.
    by_parent: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl Resolver {
    fn new(identities: &[Identity]) -> Self {
        let mut resolver = Self::default();
        for identity in identities {
            let certified = || Arc::clone(&identity.certified);
            resolver.default.push(certified());
            for name in &identity.names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut resolver.by_parent, parent),
                    None => (&mut resolver.by_name, name.as_str()),
                };
                map.entry(name.to_owned()).or_default().push(certified());
            }
        }
        resolver
    }

    fn named(&self, name: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let parent = || name.split_once('.').and_then(|(_, parent)| self.by_parent.get(parent));
        self.by_name.get(name).or_else(parent)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.named(name));
        let candidates = named.unwrap_or(&self.default);
        // Of several for one name, the first whose kind of key the client can check.
        let fits = |certified: &&Arc<CertifiedKey>| {
            certified.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        candidates.iter().find(fits).or(candidates.first()).cloned()
    }
}

/// What whoever runs a port should know of its files although they can be used, as of `now`.
#[must_use]
pub fn concerns(files: &ServerFiles, now: Timestamp) -> Vec<String> {
    let mut concerns = Vec::new();
    for pair in &files.certificates {
        let Ok(identity) = Identity::read(pair) else { continue };
        let (path, end) = (pair.certificate.display(), identity.ends_at);
        if end <= now {
            concerns.push(format!("the certificate in {path} has ended at {end}"));
        } else if end <= now.after(ENDS_SOON) {
            concerns.push(format!("the certificate in {path} ends at {end}"));
        }
        if is_open_to_all(&pair.key) {
            let key = pair.key.display();
            concerns.push(format!("everybody on this machine can read the key in {key}"));
        }
    }
    concerns
}
