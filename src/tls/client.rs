//! TLS towards upstreams, and the certificates of clients.

use super::identity::{Identity, IdentityFiles, Unusable, authorities};
use super::{HTTP1, provider, validity};
use crate::time::Timestamp;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What TLS towards an upstream is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TowardFiles {
    /// Those who may vouch for it, in place of the system's.
    pub roots: Option<PathBuf>,
    /// Those who may vouch for it, beside the others.
    pub also: Option<PathBuf>,
    /// Who we are to it, if it asks.
    pub identity: Option<IdentityFiles>,
    /// What its certificate must be for, in place of the host that is connected to.
    pub server_name: Option<ServerName<'static>>,
}

/// How TLS is spoken towards an upstream.
#[derive(Clone, Debug)]
pub struct Toward {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl Toward {
    /// Reads the files.
    pub fn new(files: &TowardFiles) -> Result<Self, Unusable> {
        let mut roots = match (&files.roots, &files.also) {
            (Some(path), _) => authorities(path)?,
            (None, None) => system_authorities().ok_or(Unusable::NoAuthorities)?,
            (None, Some(_)) => system_authorities().unwrap_or_else(RootCertStore::empty),
        };
        if let Some(also) = &files.also {
            roots.extend(authorities(also)?.roots);
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match &files.identity {
            Some(files) => {
                let identity = Identity::read(files)?;
                let certified = SingleCertAndKey::from(identity.certified);
                builder.with_client_cert_resolver(Arc::new(certified))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![HTTP1.to_vec()];
        config.enable_early_data = false;
        Ok(Self { config: Arc::new(config), server_name: files.server_name.clone() })
    }

    /// The beginning of a connection to a host, which must prove to be that one.
    pub fn begin(&self, host: &str) -> Result<ClientConnection, NoBeginning> {
        Ok(ClientConnection::new(Arc::clone(&self.config), self.name(host)?)?)
    }

    /// A connection to a host, which must prove to be that one.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let name = self.name(host).map_err(io::Error::other)?;
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }

    fn name(&self, host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => ServerName::try_from(host.to_owned()),
        }
    }
}

/// Why a connection cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum NoBeginning {
    /// No certificate could be for the host.
    #[error("no certificate can be for this host: {0}")]
    Name(#[from] InvalidDnsNameError),
    /// TLS itself.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Those that the system trusts; nothing where there are none.
fn system_authorities() -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "some of the system's certificate authorities cannot be read");
    }
    let (_usable, _unusable) = roots.add_parsable_certificates(found.certs);
    (!roots.is_empty()).then_some(roots)
}

/// A client's certificate, for which somebody whom we trust has vouched.
#[derive(Debug)]
pub struct Certificate {
    ends_at: Timestamp,
    trust: u64,
    field: Box<[u8]>,
}

impl Certificate {
    /// That of a client whose handshake was made with `trust`. Nothing where it cannot be told when
    /// it ends.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>, trust: u64) -> Option<Self> {
        let ends_at = validity::ends_at(certificate)?;
        let field = format!("client-cert: :{}:\r\n", BASE64_STANDARD.encode(certificate));
        Some(Self { ends_at, trust, field: field.into_bytes().into_boxed_slice() })
    }

    /// The first instant at which it is not good any more.
    #[must_use]
    pub const fn ends_at(&self) -> Timestamp {
        self.ends_at
    }

    /// Which change of those who may vouch it was vouched for after.
    #[must_use]
    pub const fn trust(&self) -> u64 {
        self.trust
    }

    /// The line that tells an upstream of it (RFC 9440 section 2.1).
    #[must_use]
    pub const fn field(&self) -> &[u8] {
        &self.field
    }
}
