//! Calls that we make ourselves, one connection for one request: of webhooks and of the identity
//! provider.
//!
//! **Invariants.**
//! - The address that is connected to is the one that was judged: a name is resolved by the call
//!   itself, and there is no library in between that would resolve it anew.
//! - Where an answer points is not gone to, and no more of it is read than the caller wants.

use crate::config::Authorities;
use crate::notice::target::Target;
use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, pem};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most addresses of a name that are tried in one attempt.
const ADDRESSES_MAX: usize = 4;

/// What calls are made with.
pub struct Client {
    tls: TlsConnector,
}

/// Why no call could ever be made.
#[derive(Debug, thiserror::Error)]
pub enum NoTls {
    /// No version of TLS, or an authority that is none.
    #[error("cannot prepare TLS for calls: {0}")]
    Tls(#[from] rustls::Error),
    /// Not in PEM form.
    #[error("cannot read certificate authorities: {0}")]
    Pem(#[from] pem::Error),
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// It may not be made, and that stays so.
    #[error("{0}")]
    Refused(String),
    /// It could not be made this time.
    #[error("{0}")]
    Unanswered(String),
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body; none if it was longer than wanted, or did not come to its end.
    pub body: Option<Bytes>,
}

impl Client {
    /// Prepares with the authorities that the system trusts and those of the configuration. Nothing
    /// is connected to yet.
    pub fn new(authorities: &Authorities) -> Result<Self, NoTls> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::warn!(%error, "some of the system's certificate authorities cannot be read");
        }
        let (_usable, _unusable) = roots.add_parsable_certificates(found.certs);
        if let Authorities::Also(text) = authorities {
            for certificate in CertificateDer::pem_slice_iter(text) {
                roots.add(certificate?)?;
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Connects to an address that may be called, as `judge` says, which is told of each before it is
    /// connected to. A name that resolves differently the next time gains nothing.
    pub async fn connect(
        &self,
        target: &Target,
        judge: impl Fn(SocketAddr) -> Result<(), String>,
    ) -> Result<TcpStream, Failed> {
        let found: Vec<SocketAddr> = match target.literal() {
            Some(address) => vec![SocketAddr::new(address, target.port)],
            None => lookup_host((target.host.as_str(), target.port))
                .await
                .map_err(|error| Failed::Unanswered(format!("{}: {error}", target.host)))?
                .take(ADDRESSES_MAX)
                .collect(),
        };
        let mut last = None;
        for address in found {
            judge(address).map_err(Failed::Refused)?;
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(unanswered(&error)),
            }
        }
        Err(last.unwrap_or_else(|| Failed::Unanswered(format!("{} has no address", target.host))))
    }

    /// Sends a request over a connection to `target`, and reads `body_bytes_max` of the answer's body
    /// at most.
    pub async fn exchange(
        &self,
        target: &Target,
        stream: TcpStream,
        request: Request<Full<Bytes>>,
        body_bytes_max: usize,
    ) -> Result<Answer, Failed> {
        if !target.is_secure {
            return exchange(stream, request, body_bytes_max).await;
        }
        let name = ServerName::try_from(target.host.clone());
        let name = name.map_err(|error| Failed::Refused(told(&error)))?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| unanswered(&error))?;
        exchange(stream, request, body_bytes_max).await
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    body_bytes_max: usize,
) -> Result<Answer, Failed> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| unanswered(&error))?;
    let exchange = async move {
        let answer = sender.send_request(request).await.map_err(|error| unanswered(&error))?;
        let status = answer.status();
        Ok(Answer { status, body: read(answer.into_body(), body_bytes_max).await })
    };
    // The connection is polled beside the exchange and ends with it.
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        ended = connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(unanswered(&error)),
        },
    }
}

async fn read(mut body: hyper::body::Incoming, bytes_max: usize) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.ok()?;
        let Some(data) = frame.data_ref() else { continue };
        if whole.len() + data.len() > bytes_max {
            return None;
        }
        whole.extend_from_slice(data);
    }
    Some(whole.freeze())
}

fn unanswered(error: &dyn std::error::Error) -> Failed {
    Failed::Unanswered(told(error))
}

/// An error with what is below it, for people.
pub fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        let below_text = below.to_string();
        if !text.contains(&below_text) {
            text = format!("{text}: {below_text}");
        }
        cause = below.source();
    }
    text
}
