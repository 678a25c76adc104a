//! Calls to webhooks: signed, to an address that may be called, and never further.

use super::delivery;
use crate::config::{Authorities, OwnPort, OwnPorts, Webhooks};
use crate::id::UserId;
use crate::notice::target::{Target, may_call};
use crate::notice::{About, Detail, Notice, Outcome, Webhook};
use crate::seal::Seal;
use crate::store::{Ledger, StoreError};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, pem};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

/// Largest answer that is read; what is beyond it is nobody's business.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Most addresses of a name that are tried in one attempt.
const ADDRESSES_MAX: usize = 4;

/// Calls webhooks.
pub struct Caller {
    seal: Arc<Seal>,
    settings: Webhooks,
    /// What it never connects to: the admin port.
    own: OwnPorts,
    tls: TlsConnector,
}

/// Why no webhook could ever be called.
#[derive(Debug, thiserror::Error)]
pub enum NoTls {
    /// No version of TLS, or an authority that is none.
    #[error("cannot prepare TLS for webhooks: {0}")]
    Tls(#[from] rustls::Error),
    /// Not in PEM form.
    #[error("cannot read `webhooks.authorities`: {0}")]
    Pem(#[from] pem::Error),
}

impl Caller {
    /// Prepares with the authorities that the system trusts and those of the configuration. Nothing
    /// is connected to yet.
    pub fn new(seal: Arc<Seal>, settings: Webhooks, own: OwnPorts) -> Result<Self, NoTls> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::warn!(%error, "some of the system's certificate authorities cannot be read");
        }
        let (_usable, _unusable) = roots.add_parsable_certificates(found.certs);
        if let Authorities::Also(text) = &settings.authorities {
            for certificate in CertificateDer::pem_slice_iter(text) {
                roots.add(certificate?)?;
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { seal, settings, own, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Tells a webhook, once. `now` goes into the signature.
    pub(super) async fn call(&self, call: Call, now: Timestamp) -> Outcome {
        let patience = self.settings.timeout;
        match tokio::time::timeout(patience, self.attempt(call, now)).await {
            Ok(Ok(())) => Outcome::Delivered,
            Ok(Err(outcome)) => outcome,
            Err(_elapsed) => Outcome::Failed(format!("no answer within {patience:?}")),
        }
    }

    async fn attempt(&self, call: Call, now: Timestamp) -> Result<(), Outcome> {
        let target = Target::parse(&call.url).map_err(|error| refused(&error))?;
        let secret =
            self.seal.open(&call.owner, &call.sealed_secret).map_err(|error| failed(&error))?;
        let stream = self.connect(&target).await?;
        let request = request(&target, call, &secret, now).map_err(|error| refused(&error))?;
        if target.is_secure {
            let name =
                ServerName::try_from(target.host.clone()).map_err(|error| refused(&error))?;
            let stream = self.tls.connect(name, stream).await;
            send(stream.map_err(|error| failed(&error))?, request).await
        } else {
            send(stream, request).await
        }
    }

    /// Connects to an address that may be called. It is the address which is connected to that is
    /// judged, so a name that resolves differently the next time gains nothing.
    async fn connect(&self, target: &Target) -> Result<TcpStream, Outcome> {
        let found: Vec<SocketAddr> = match target.literal() {
            Some(address) => vec![SocketAddr::new(address, target.port)],
            None => lookup_host((target.host.as_str(), target.port))
                .await
                .map_err(|error| Outcome::Failed(format!("{}: {error}", target.host)))?
                .take(ADDRESSES_MAX)
                .collect(),
        };
        let mut last = None;
        for address in found {
            if !may_call(address.ip(), &self.settings.allow) {
                let why = format!("{} is not an address that webhooks may call", address.ip());
                return Err(Outcome::Refused(why));
            }
            // No network that is allowed holds the administration.
            if let Some(own @ OwnPort::Admin) = self.own.reached(address) {
                return Err(Outcome::Refused(format!("{address} {own}")));
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(failed(&error)),
            }
        }
        Err(last.unwrap_or_else(|| Outcome::Failed(format!("{} has no address", target.host))))
    }
}

fn failed(error: &dyn std::error::Error) -> Outcome {
    Outcome::Failed(super::told(error))
}

fn refused(error: &dyn std::error::Error) -> Outcome {
    Outcome::Refused(super::told(error))
}

fn request(
    target: &Target,
    call: Call,
    secret: &[u8],
    now: Timestamp,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let timestamp = now.seconds();
    let signature = sign(secret, timestamp, &call.body);
    Request::builder()
        .method(Method::POST)
        .uri(&target.path)
        .header(HOST, &target.authority)
        .header(USER_AGENT, concat!("bearward/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .header("bearward-delivery", call.delivery)
        .header("bearward-kind", call.kind)
        .header("bearward-timestamp", timestamp)
        .header("bearward-signature", format!("v1={signature}"))
        .body(Full::new(Bytes::from(call.body)))
}

/// HMAC-SHA-256 over the timestamp, a dot and the body, in hexadecimal digits.
fn sign(secret: &[u8], timestamp: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(timestamp.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    context.sign().as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _always = write!(text, "{byte:02x}");
        text
    })
}

/// Sends the request and judges the answer. Where the answer points is not gone to.
async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(), Outcome> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(ANSWER_BYTES_MAX);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let exchange = async move {
        let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = answer.status();
        // A little of the body is read, so that whoever sends it is not cut off in the middle.
        let mut body = answer.into_body();
        let mut seen = 0;
        while seen < ANSWER_BYTES_MAX
            && let Some(Ok(frame)) = body.frame().await
        {
            seen += frame.data_ref().map_or(0, Bytes::len);
        }
        judged(status)
    };
    // The connection is polled beside the exchange and ends with it.
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        outcome = &mut exchange => outcome,
        ended = connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(failed(&error)),
        },
    }
}

fn judged(status: StatusCode) -> Result<(), Outcome> {
    if status.is_success() {
        return Ok(());
    }
    let status = status.as_u16();
    Err(match status {
        300..=399 => Outcome::Failed(format!("answered {status}: redirects are not followed")),
        // RFC 9110 section 15.5.11: it will not be there again.
        410 => Outcome::Refused("answered 410: it is gone".to_owned()),
        _ => Outcome::Failed(format!("answered {status}")),
    })
}

/// A call that is ready to be made.
pub(super) struct Call {
    url: String,
    sealed_secret: Vec<u8>,
    owner: Vec<u8>,
    body: Vec<u8>,
    delivery: String,
    kind: &'static str,
}

/// What a webhook is sent.
#[derive(Serialize)]
struct Body<'n> {
    id: &'n str,
    kind: &'static str,
    at: Timestamp,
    organization: Named<'n>,
    about: Subject<'n>,
    /// Who did it; null if Bearward did, or somebody on the machine itself.
    by: Option<UserId>,
    reason: Option<&'n str>,
    details: &'n [Detail],
}

#[derive(Serialize)]
struct Named<'n> {
    id: String,
    name: &'n str,
}

#[derive(Serialize)]
struct Subject<'n> {
    r#type: &'static str,
    id: String,
    name: &'n str,
}

impl Call {
    /// Writes what a notice says to a webhook.
    pub(super) fn write(
        ledger: &dyn Ledger,
        notice: &Notice,
        webhook: Webhook,
    ) -> Result<Self, StoreError> {
        let says = &notice.says;
        let organization = super::organization(ledger, says.org)?;
        let delivery = delivery(notice.id);
        let (r#type, id, name) = match &says.about {
            About::Token(id, name) => ("token", id.to_string(), name.as_str()),
            About::User(id, name) => ("user", id.to_string(), name.as_str()),
            About::Organization => ("organization", says.org.to_string(), organization.as_str()),
        };
        let body = Body {
            id: &delivery,
            kind: says.kind.name(),
            at: says.at,
            organization: Named { id: says.org.to_string(), name: &organization },
            about: Subject { r#type, id, name },
            by: says.by,
            reason: says.reason.as_deref(),
            details: &says.details,
        };
        let body = serde_json::to_vec(&body).map_err(|error| StoreError(error.to_string()))?;
        let owner = webhook.seal_owner();
        let Webhook { url, sealed_secret, .. } = webhook;
        Ok(Self { url, sealed_secret, owner, body, kind: says.kind.name(), delivery })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231 has no such message, so this one was computed by another program:
    /// `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key`.
    #[test]
    fn a_signature_is_what_others_compute() {
        let expected = "a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
        assert_eq!(sign(b"key", 1_700_000_000, br#"{"a":1}"#), expected);
    }

    #[test]
    fn only_success_is_success() {
        let of = |status: u16| judged(StatusCode::from_u16(status).expect("a status"));
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(of(status), Ok(()));
        }
        for status in [300, 301, 302, 307, 308, 400, 401, 404, 429, 500, 503] {
            assert!(matches!(of(status), Err(Outcome::Failed(_))), "{status}");
        }
        assert!(matches!(of(410), Err(Outcome::Refused(_))));
    }
}
