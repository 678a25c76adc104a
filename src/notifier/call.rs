//! Calls to webhooks: signed, to an address that may be called, and never further.

use super::delivery;
use crate::config::{OwnPort, OwnPorts, Webhooks};
use crate::id::UserId;
use crate::notice::target::{Target, may_call};
use crate::notice::{About, Detail, Notice, Outcome, Webhook};
use crate::outbound::{self, Client, NoTls, told};
use crate::seal::Seal;
use crate::store::{Ledger, StoreError};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

/// Largest body of an answer that is read; what is beyond it is nobody's business.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Calls webhooks.
pub struct Caller {
    seal: Arc<Seal>,
    settings: Webhooks,
    /// What it never connects to: the admin port.
    own: OwnPorts,
    client: Client,
}

impl Caller {
    /// Prepares with the authorities that the system trusts and those of the configuration. Nothing
    /// is connected to yet.
    pub fn new(seal: Arc<Seal>, settings: Webhooks, own: OwnPorts) -> Result<Self, NoTls> {
        let client = Client::new(&settings.authorities)?;
        Ok(Self { seal, settings, own, client })
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
        let stream = self.client.connect(&target, |address| self.judge(address)).await;
        let stream = stream.map_err(outcome)?;
        let request = request(&target, call, &secret, now).map_err(|error| refused(&error))?;
        let answer = self.client.exchange(&target, stream, request, ANSWER_BYTES_MAX).await;
        // A little of the body was read, so that whoever sends it is not cut off in the middle.
        judged(answer.map_err(outcome)?.status)
    }

    /// Whether an address may be called.
    fn judge(&self, address: SocketAddr) -> Result<(), String> {
        if !may_call(address.ip(), &self.settings.allow) {
            return Err(format!("{} is not an address that webhooks may call", address.ip()));
        }
        // No network that is allowed holds the administration.
        if let Some(own @ OwnPort::Admin) = self.own.reached(address) {
            return Err(format!("{address} {own}"));
        }
        Ok(())
    }
}

fn outcome(failed: outbound::Failed) -> Outcome {
    match failed {
        outbound::Failed::Refused(why) => Outcome::Refused(why),
        outbound::Failed::Unanswered(why) => Outcome::Failed(why),
    }
}

fn failed(error: &dyn std::error::Error) -> Outcome {
    Outcome::Failed(told(error))
}

fn refused(error: &dyn std::error::Error) -> Outcome {
    Outcome::Refused(told(error))
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
