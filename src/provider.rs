//! The identity provider, as it is asked: for what it says of itself, for its keys, and for what a
//! code stands for. What its answers are worth is judged by [`crate::oidc`].
//!
//! **Invariants.**
//! - It is asked only for what somebody who signs in needs, and no more often than the pauses here say:
//!   whoever sends us nonsense does not have us send it on.
//! - Nothing that it answers is told to anybody; the log has what is needed to find out.

use crate::config::{Oidc, OwnPort, OwnPorts};
use crate::notice::target::Target;
use crate::oidc::id_token::{Claims, Expected, Fault, Keys};
use crate::oidc::{self, Asking, Authentication, Marks, Metadata, Unusable};
use crate::outbound::{Client, Failed, NoTls};
use crate::time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use form_urlencoded::byte_serialize;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use zeroize::ZeroizeOnDrop;

/// Largest answer that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 512 * 1024;
/// How long what it says of itself is good, and its keys.
pub const DOCUMENT_LIFE: Duration = Duration::from_hours(1);
/// How often it is asked for its keys anew because one is missing.
pub const KEYS_PAUSE: Duration = Duration::from_secs(30);
/// How long it is left alone after it did not answer as it should.
pub const FAILURE_PAUSE: Duration = Duration::from_secs(5);
/// Codes that are redeemed at once.
pub const EXCHANGES_MAX: usize = 16;
/// Where the callback is, below the public address.
pub const CALLBACK: &str = "/sign-in/oidc/callback";

/// The identity provider.
pub struct Provider {
    settings: Oidc,
    own: OwnPorts,
    client: Client,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    metadata: Mutex<Document<Metadata>>,
    keys: Mutex<Document<Keys>>,
    exchanges: Semaphore,
}

/// Why nobody is vouched for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be asked, or does not answer as it should. Nobody's fault who signs in.
    #[error("{0}")]
    Unavailable(String),
    /// The code stands for nothing.
    #[error("the identity provider does not take the code: {0}")]
    Code(String),
    /// The ID token proves nothing.
    #[error(transparent)]
    Token(#[from] Fault),
}

/// Something that it publishes.
struct Document<T> {
    read: Option<(Arc<T>, Timestamp)>,
    failed: Option<(String, Timestamp)>,
}

impl<T> Default for Document<T> {
    fn default() -> Self {
        Self { read: None, failed: None }
    }
}

impl<T> Document<T> {
    /// What was read at most `life` ago; or why it is not tried again yet.
    fn known(&self, life: Duration, now: Timestamp) -> Option<Result<Arc<T>, Refused>> {
        if let Some((read, at)) = &self.read
            && now < at.after(life)
        {
            return Some(Ok(Arc::clone(read)));
        }
        let (why, at) = self.failed.as_ref()?;
        (now < at.after(FAILURE_PAUSE)).then(|| Err(Refused::Unavailable(why.clone())))
    }

    fn learn(&mut self, found: Result<T, String>, now: Timestamp) -> Result<Arc<T>, Refused> {
        match found {
            Ok(read) => {
                let read = Arc::new(read);
                (self.read, self.failed) = (Some((Arc::clone(&read), now)), None);
                Ok(read)
            }
            Err(why) => {
                tracing::warn!(%why, "the identity provider cannot be used");
                self.failed = Some((why.clone(), now));
                Err(Refused::Unavailable(why))
            }
        }
    }
}

/// What the token endpoint answers.
#[derive(Deserialize, ZeroizeOnDrop)]
struct Tokens {
    access_token: String,
    id_token: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
}

impl Provider {
    /// Prepares. Nobody is asked anything yet.
    pub fn new(
        settings: Oidc,
        own: OwnPorts,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Result<Self, NoTls> {
        Ok(Self {
            client: Client::new(&settings.authorities)?,
            settings,
            own,
            clock,
            metadata: Mutex::default(),
            keys: Mutex::default(),
            exchanges: Semaphore::new(EXCHANGES_MAX),
        })
    }

    /// What the configuration says of it.
    #[must_use]
    pub const fn settings(&self) -> &Oidc {
        &self.settings
    }

    /// The address at which somebody signs in there.
    pub async fn address(&self, marks: Marks<'_>) -> Result<String, Refused> {
        let redirect_uri = self.redirect_uri();
        let asking = Asking {
            client_id: &self.settings.client_id,
            redirect_uri: &redirect_uri,
            scopes: &self.settings.scopes,
        };
        Ok(oidc::authorization_address(&*self.metadata().await?, asking, marks))
    }

    /// What it says of itself.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, Refused> {
        let mut document = self.metadata.lock().await;
        if let Some(known) = document.known(DOCUMENT_LIFE, (self.clock)()) {
            return known;
        }
        let found = self.discover().await;
        document.learn(found, (self.clock)())
    }

    /// Whom a code stands for.
    pub async fn redeem(&self, code: &str, marks: Marks<'_>) -> Result<Claims, Refused> {
        let busy = |_none: tokio::sync::TryAcquireError| {
            Refused::Unavailable("too many sign in at once".to_owned())
        };
        let _slot = self.exchanges.try_acquire().map_err(busy)?;
        let metadata = self.metadata().await?;
        let tokens = self.exchange(&metadata, code, marks.verifier).await?;
        // What the life of keys is counted from is an answer before the token was looked at.
        let keys = self.keys(&metadata, DOCUMENT_LIFE).await?;
        match self.prove(&keys, &tokens, marks.nonce) {
            Err(Fault::UnknownKey) => {
                let keys = self.keys(&metadata, KEYS_PAUSE).await?;
                Ok(self.prove(&keys, &tokens, marks.nonce)?)
            }
            proven => Ok(proven?),
        }
    }

    fn prove(&self, keys: &Keys, tokens: &Tokens, nonce: &str) -> Result<Claims, Fault> {
        let expected = Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce,
            access_token: &tokens.access_token,
            now: (self.clock)(),
        };
        keys.prove(&tokens.id_token, &expected)
    }

    fn redirect_uri(&self) -> String {
        format!("{}{CALLBACK}", self.settings.public_url)
    }

    /// `OpenID` Connect Discovery 1.0, section 4.
    async fn discover(&self) -> Result<Metadata, String> {
        let issuer = self.settings.issuer.as_str();
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let target = Target::parse(&address).map_err(|error| error.to_string())?;
        let document = self.fetch(&target).await.map_err(|why| format!("{address}: {why}"))?;
        Metadata::read(&document, issuer).map_err(|error: Unusable| format!("{address} {error}"))
    }

    /// Its keys, as they were at most so long ago.
    async fn keys(&self, metadata: &Metadata, life: Duration) -> Result<Arc<Keys>, Refused> {
        let mut document = self.keys.lock().await;
        if let Some(known) = document.known(life, (self.clock)()) {
            return known;
        }
        let found = self.fetch(&metadata.keys).await.and_then(|document| {
            Keys::read(&document).map_err(|error| format!("the key set {error}"))
        });
        document.learn(found, (self.clock)())
    }

    async fn fetch(&self, target: &Target) -> Result<Bytes, String> {
        let request = request(target, Method::GET).body(Full::default());
        let request = request.map_err(|error| error.to_string())?;
        match self.call(target, request).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) if status.is_redirection() => {
                Err(format!("answered {status}: redirects are not followed"))
            }
            (status, _) => Err(format!("answered {status}")),
        }
    }

    /// RFC 6749 section 4.1.3.
    async fn exchange(
        &self,
        metadata: &Metadata,
        code: &str,
        verifier: &str,
    ) -> Result<Tokens, Refused> {
        let unavailable = |why: String| {
            tracing::warn!(%why, "the identity provider does not redeem a code");
            Refused::Unavailable(why)
        };
        let target = &metadata.token_endpoint;
        let request = self.redemption(metadata, code, verifier);
        let request = request.map_err(|error| unavailable(error.to_string()))?;
        let (status, body) = self.call(target, request).await.map_err(unavailable)?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|_not_repeated| {
                unavailable("the token endpoint answered without an ID token".to_owned())
            });
        }
        let error = serde_json::from_slice(&body).map(|ErrorBody { error }| error);
        let error = error.map(|error| oidc::error_word(&error)).unwrap_or_default();
        // RFC 6749 section 5.2. Another error than this is not of the code.
        if status == StatusCode::BAD_REQUEST && error == "invalid_grant" {
            return Err(Refused::Code(error));
        }
        Err(unavailable(format!("the token endpoint answered {status} {error}")))
    }

    fn redemption(
        &self,
        metadata: &Metadata,
        code: &str,
        verifier: &str,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let settings = &self.settings;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.redirect_uri())
            .append_pair("code_verifier", verifier);
        let mut request = request(&metadata.token_endpoint, Method::POST);
        match (&settings.client_secret, metadata.authentication) {
            (None, _) => {
                form.append_pair("client_id", &settings.client_id);
            }
            (Some(secret), Authentication::Post) => {
                form.append_pair("client_id", &settings.client_id)
                    .append_pair("client_secret", secret);
            }
            // RFC 6749 section 2.3.1: both are encoded as in a form first.
            (Some(secret), Authentication::Basic) => {
                let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encoded(&settings.client_id), encoded(secret));
                let mut field = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))?;
                field.set_sensitive(true);
                request = request.header(AUTHORIZATION, field);
            }
        }
        request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form.finish())))
    }

    async fn call(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), String> {
        let patience = self.settings.timeout;
        let attempt = async {
            let stream = self.client.connect(target, |address| self.judge(address)).await?;
            self.client.exchange(target, stream, request, ANSWER_BYTES_MAX).await
        };
        let answer = match tokio::time::timeout(patience, attempt).await {
            Ok(answer) => answer.map_err(|error: Failed| error.to_string())?,
            Err(_elapsed) => return Err(format!("no answer within {patience:?}")),
        };
        let body = answer.body.ok_or_else(|| {
            format!("the answer has more than {ANSWER_BYTES_MAX} bytes, or no end")
        })?;
        Ok((answer.status, body))
    }

    /// It may be anywhere but here: what it says of itself does not lead to the administration.
    fn judge(&self, address: SocketAddr) -> Result<(), String> {
        match self.own.reached(address) {
            Some(own @ OwnPort::Admin) => Err(format!("{address} {own}")),
            Some(OwnPort::Gateway) | None => Ok(()),
        }
    }
}

fn request(target: &Target, method: Method) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(&target.path)
        .header(HOST, &target.authority)
        .header(USER_AGENT, concat!("bearward/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json")
}
