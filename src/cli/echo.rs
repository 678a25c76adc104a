//! The upstream of the demo: answers every request with what it received, as JSON.

use anyhow::Context;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

/// Largest body that is echoed; larger ones are answered 413.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;

/// Starts the upstream on a free loopback port. It lives as long as the process.
pub(super) fn start() -> anyhow::Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let listener = listener.context("cannot start the echo upstream")?;
    let address = listener.local_addr()?;
    std::thread::Builder::new()
        .name("echo".to_owned())
        .spawn(move || LocalSet::new().block_on(&runtime, accept(listener)))
        .context("cannot start the echo upstream")?;
    Ok(address)
}

async fn accept(listener: TcpListener) {
    loop {
        // Without descriptors left, asking again at once would spin.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let _only_slower = stream.set_nodelay(true);
        tokio::task::spawn_local(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            // The gateway closes idle connections as it likes.
            let _closed = connection.await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Ok(respond(StatusCode::PAYLOAD_TOO_LARGE, Bytes::from_static(b"{}")));
        }
        // Whoever sent half a body does not read the answer.
        Err(_cut_off) => return Ok(respond(StatusCode::BAD_REQUEST, Bytes::from_static(b"{}"))),
    };
    let echo = Echo {
        method: head.method.as_str(),
        path: head.uri.path_and_query().map_or("/", |path| path.as_str()),
        headers: Headers(&head.headers),
        body: &String::from_utf8_lossy(&body),
    };
    Ok(match serde_json::to_vec(&echo) {
        Ok(json) => respond(StatusCode::OK, json.into()),
        Err(_impossible) => respond(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new()),
    })
}

fn respond(status: StatusCode, json: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(json));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

#[derive(serde::Serialize)]
struct Echo<'a> {
    method: &'a str,
    path: &'a str,
    headers: Headers<'a>,
    body: &'a str,
}

/// Fields by their lower-case names: one value is text, several are a list.
struct Headers<'a>(&'a HeaderMap);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |value: &'_ HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut map = serializer.serialize_map(Some(self.0.keys_len()))?;
        for name in self.0.keys() {
            let mut values = self.0.get_all(name).iter().map(text);
            match (values.next(), values.next()) {
                (Some(only), None) => map.serialize_entry(name.as_str(), &only)?,
                (first, second) => {
                    let all: Vec<_> = first.into_iter().chain(second).chain(values).collect();
                    map.serialize_entry(name.as_str(), &all)?;
                }
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::io::{Read, Write};

    fn ask(request: &str) -> (String, Value) {
        let address = start().expect("an echo");
        let mut stream = std::net::TcpStream::connect(address).expect("a connection");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), serde_json::from_str(body).expect("JSON"))
    }

    #[test]
    fn answers_with_what_it_received() {
        let (head, json) =
            ask("POST /a/b?c=d HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-One: 1\r\n\
             x-two: 2\r\nX-Two: \"3\"\r\nContent-Length: 3\r\n\r\nhi!");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(json["method"], "POST");
        assert_eq!(json["path"], "/a/b?c=d");
        assert_eq!(json["headers"]["x-one"], "1");
        assert_eq!(json["headers"]["x-two"], json!(["2", "\"3\""]));
        assert_eq!(json["body"], "hi!");
    }

    #[test]
    fn a_body_has_a_limit() {
        let length = BODY_BYTES_MAX + 1;
        let (head, _) = ask(&format!(
            "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{}",
            "x".repeat(length)
        ));
        assert!(head.starts_with("HTTP/1.1 413"), "{head}");
    }
}
