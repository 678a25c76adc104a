//! A client of the admin port: one connection for a command, HTTP/1.1, over TLS or on this machine
//! only.

use anyhow::{Context, bail};
use bearward::config::Config;
use bearward::tls::{Toward, TowardFiles};
use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body as _, Bytes};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use indicatif::ProgressBar;
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait for an answer that takes much work to begin.
const BEGIN_PATIENCE: Duration = Duration::from_mins(5);
/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Longest secret.
pub(super) const SECRET_BYTES_MAX: u64 = 4096;

/// How the admin port is reached.
#[derive(Debug, Args)]
pub(super) struct Access {
    /// The admin port
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "BEARWARD_ADMIN",
        default_value = "http://127.0.0.1:8081"
    )]
    admin: String,
    /// A file that holds the token to ask with, in place of the variable `BEARWARD_TOKEN`
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON, as the admin port answers it
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl Access {
    /// Connects as the bearer of the token; and the organization that it belongs to.
    pub(super) fn connect(&self) -> anyhow::Result<(Client, String)> {
        let secret = secret(self.token_file.as_deref())?;
        let mut client = Client::connect(&self.admin, &secret)?;
        let me = client.call(Method::GET, "/api/v1/me", None)?;
        let org = me["organization"]["id"].as_str();
        let org = org.context("the admin port did not say whose token this is")?.to_owned();
        Ok((client, org))
    }
}

/// The admin port, and the token that it is asked with.
pub(super) struct Client {
    runtime: Runtime,
    connection: SendRequest<Full<Bytes>>,
    host: String,
    authorization: Option<hyper::header::HeaderValue>,
}

impl Client {
    /// Connects to `admin` (`http://HOST:PORT` or `https://HOST:PORT`) as the bearer of `secret`.
    pub(super) fn connect(admin: &str, secret: &str) -> anyhow::Result<Self> {
        let mut authorization: hyper::header::HeaderValue =
            Zeroizing::new(format!("Bearer {secret}"))
                .parse()
                // The parser's error says nothing of use, and nothing of the secret either.
                .ok()
                .context("the token has characters that no token has")?;
        authorization.set_sensitive(true);
        Self::connected(admin, Some(authorization))
    }

    /// Connects to `admin` as nobody.
    pub(super) fn nobody(admin: &str) -> anyhow::Result<Self> {
        Self::connected(admin, None)
    }

    fn connected(
        admin: &str,
        authorization: Option<hyper::header::HeaderValue>,
    ) -> anyhow::Result<Self> {
        let port = Port::parse(admin)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the client")?;
        let connection = runtime.block_on(port.connect())?;
        Ok(Self { runtime, connection, host: port.host, authorization })
    }

    /// Asks, and reads the JSON of a success (`Null` where there is none) or the problem
    /// (RFC 9457) of a failure.
    pub(super) fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let request = self.request(method, path, body)?;
        let (host, connection) = (&self.host, &mut self.connection);
        let answer = async {
            connection.ready().await?;
            let answer = connection.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!(error))?;
            anyhow::Ok((status, body.to_bytes()))
        };
        let (status, body) = self
            .runtime
            .block_on(async { timeout(PATIENCE, answer).await })
            .map_err(|_elapsed| anyhow::anyhow!("no answer within {PATIENCE:?}"))
            .and_then(|answer| answer)
            .with_context(|| format!("the admin port at {host} did not answer"))?;
        let json: Option<Value> = serde_json::from_slice(&body).ok();
        if !status.is_success() {
            bail!(problem(status, json.as_ref()));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        json.with_context(|| format!("what answers at {} is not Bearward's admin port", self.host))
    }
}

impl Client {
    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(ACCEPT, "application/json, */*;q=0.1");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let body = body.map(Value::to_string);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        Ok(request.body(Full::from(body.unwrap_or_default()))?)
    }

    /// Asks, and writes the answer of a success to `out`, all of it, however long it takes to begin.
    /// An answer that breaks off is an error.
    pub(super) fn save(
        &mut self,
        method: Method,
        path: &str,
        out: &mut dyn Write,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        let request = self.request(method, path, None)?;
        let (host, connection) = (&self.host, &mut self.connection);
        let saving = async {
            timeout(PATIENCE, connection.ready()).await??;
            let answer = timeout(BEGIN_PATIENCE, connection.send_request(request)).await??;
            let status = answer.status();
            let mut body = answer.into_body();
            if !status.is_success() {
                let body =
                    timeout(PATIENCE, Limited::new(body, ANSWER_BYTES_MAX).collect()).await?;
                let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
                return Ok(Err(problem(status, serde_json::from_slice(&body).ok().as_ref())));
            }
            if let Some(bytes) = body.size_hint().exact() {
                bar.set_length(bytes);
            }
            while let Some(frame) = timeout(PATIENCE, body.frame()).await? {
                if let Ok(chunk) = frame?.into_data() {
                    // One connection, one file, and nobody else on this runtime.
                    out.write_all(&chunk).map_err(super::OutputError)?;
                    bar.inc(chunk.len() as u64);
                }
            }
            anyhow::Ok(Ok(()))
        };
        match self.runtime.block_on(saving) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(problem)) => bail!(problem),
            // Whoever reads us has seen enough.
            Err(error) if super::is_broken_pipe(&error) => Err(error),
            Err(error) => Err(error.context(format!("the admin port at {host} did not answer"))),
        }
    }
}

/// Where the admin port is.
#[derive(Debug, PartialEq, Eq)]
struct Port {
    is_secure: bool,
    /// The host and its port.
    host: String,
}

impl Port {
    /// Of `http://host:port` or `https://host:port`.
    fn parse(admin: &str) -> anyhow::Result<Self> {
        let wrong = || {
            format!(
                "`{admin}` is not an admin port: expected http://127.0.0.1:8081 or \
                 https://bearward.example.com:8081"
            )
        };
        let uri: Uri = admin.parse().with_context(wrong)?;
        let (is_secure, usual) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            Some(_) | None => bail!(wrong()),
        };
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none() && !admin.contains('@');
        match uri.authority() {
            Some(authority) if plain => {
                let port = authority.port_u16().unwrap_or(usual);
                Ok(Self { is_secure, host: format!("{}:{port}", authority.host()) })
            }
            Some(_) | None => bail!(wrong()),
        }
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let host = &self.host;
        let cannot =
            || format!("cannot reach the admin port at {host}: is `bearward serve` running?");
        let mut addresses = tokio::net::lookup_host(host).await.with_context(cannot)?;
        // Without TLS the token would be read on the way.
        let may =
            |address: &SocketAddr| self.is_secure || address.ip().to_canonical().is_loopback();
        let Some(address) = addresses.find(may) else {
            bail!(
                "{host} is not on this machine, and http is not protected: speak https with it, \
                 or forward the port over SSH and name the local end"
            );
        };
        let stream =
            timeout(PATIENCE, TcpStream::connect(address)).await.context("no connection in time");
        let stream = stream.and_then(|stream| Ok(stream?)).with_context(cannot)?;
        if !self.is_secure {
            return handshake(stream).await.with_context(cannot);
        }
        let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _port)| name);
        let tls = Toward::new(&TowardFiles { also: authorities(), ..TowardFiles::default() })?;
        let secured = timeout(PATIENCE, tls.connect(name.trim_matches(['[', ']']), stream));
        let stream = secured.await.context("no connection in time").and_then(|it| Ok(it?));
        let stream = stream.with_context(|| format!("no TLS with the admin port at {host}"))?;
        handshake(stream).await.with_context(cannot)
    }
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender; what went wrong on it the sender is told.
    tokio::spawn(connection);
    Ok(sender)
}

/// A file of those who may vouch for the admin port, beside the system's authorities.
fn authorities() -> Option<PathBuf> {
    std::env::var_os("BEARWARD_ADMIN_CA").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The admin port of a configuration.
pub(super) fn port_of(config: &Config) -> String {
    let scheme = if config.admin.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", config.admin.listen)
}

/// A failure in words: what was wrong, and with which field.
fn problem(status: StatusCode, json: Option<&Value>) -> String {
    let text = |key: &str| json.and_then(|json| json.get(key)).and_then(Value::as_str);
    let mut words = match (text("detail"), text("title")) {
        (Some(detail), _) => super::table::printable(detail),
        (None, Some(title)) => super::table::printable(title),
        (None, None) => format!("the admin port answered {status}"),
    };
    if let Some(field) = text("field").filter(|field| !words.contains(*field)) {
        words = format!("{}: {words}", super::table::printable(field));
    }
    if status == StatusCode::UNAUTHORIZED {
        words.push_str(" (the token comes from BEARWARD_TOKEN or --token-file)");
    }
    words
}

/// A value as it stands in a query (RFC 3986 section 2.3: all but the unreserved characters).
pub(super) fn escaped(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    value.bytes().map(byte).collect()
}

/// The secret of the calling token, from a file or from the environment. Never from an argument:
/// everybody on the machine can read those.
pub(super) fn secret(file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    let secret = match file {
        Some(file) => {
            use std::io::Read;
            let cannot = || format!("cannot read the token file {}", file.display());
            let mut text = Zeroizing::new(String::new());
            std::fs::File::open(file)
                .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text))
                .with_context(cannot)?;
            text
        }
        None => Zeroizing::new(std::env::var("BEARWARD_TOKEN").unwrap_or_default()),
    };
    let trimmed = Zeroizing::new(secret.trim().to_owned());
    if trimmed.is_empty() {
        bail!("no token to ask with: set BEARWARD_TOKEN, or name a file with --token-file");
    }
    Ok(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_admin_port_is_a_plain_url() {
        for (text, is_secure, host) in [
            ("http://127.0.0.1:8081", false, "127.0.0.1:8081"),
            ("http://localhost:8081/", false, "localhost:8081"),
            ("http://[::1]:8081", false, "[::1]:8081"),
            ("https://a.example:8081", true, "a.example:8081"),
            ("https://a.example", true, "a.example:443"),
        ] {
            let port = Port { is_secure, host: host.to_owned() };
            assert_eq!(Port::parse(text).expect("good"), port, "{text}");
        }
        for wrong in ["", "127.0.0.1:8081", "ftp://a:1", "http://a:1/b", "https://u:p@a:1"] {
            assert!(Port::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_problem_is_told_in_its_own_words() {
        let told = |json: &Value| problem(StatusCode::BAD_REQUEST, Some(json));
        assert_eq!(told(&json!({"title": "Bad", "detail": "too long"})), "too long");
        assert_eq!(told(&json!({"title": "Bad", "field": "name"})), "name: Bad");
        assert_eq!(told(&json!({"detail": "name: no", "field": "name"})), "name: no");
        assert!(problem(StatusCode::BAD_GATEWAY, None).contains("502"));
        assert!(problem(StatusCode::UNAUTHORIZED, None).contains("BEARWARD_TOKEN"));
    }
}
