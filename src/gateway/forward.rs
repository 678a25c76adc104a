//! The last step of an admitted request: to the upstream and back.

use super::answer::Mishap;
use super::body::{Answer, Download, Upload};
use super::header::{self, Field, Survey};
use crate::access::Permit;
use crate::phase::Phase;
use crate::upstream::{ConnectError, Failure, Link, Pool};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use std::cell::Cell;
use std::rc::Rc;

/// What is needed beside the request and the permit.
pub(super) struct Passage<'a> {
    pub(super) pool: &'a Rc<Pool<Upload>>,
    pub(super) phase: &'a Rc<Phase>,
    pub(super) uploaded: Option<Rc<Cell<bool>>>,
    pub(super) via: &'a HeaderValue,
    /// Whether the client understands chunks.
    pub(super) client_chunks: bool,
}

/// How a request fared.
pub(super) enum Sent {
    /// Answered; a body may still be on its way.
    Answered(Response<Answer>),
    /// Nothing of it was sent, because the connection was stale.
    Unsent(Box<Request<Upload>>),
    /// No answer.
    Failed(Mishap),
}

/// Sends a request over a connection and waits for the head of its answer. Takes the permission by
/// value: there is no other way to an upstream.
pub(super) async fn send(
    _permit: Permit,
    mut link: Box<Link<Upload>>,
    request: Request<Upload>,
    passage: Passage<'_>,
    date: impl FnOnce() -> HeaderValue,
) -> Sent {
    let Passage { pool, phase, uploaded, via, client_chunks } = passage;
    // While a body goes up, `Upload` says what the upstream is waited for.
    if uploaded.is_none() {
        phase.upstream_within(pool.spec().first_byte_timeout);
    }
    let outcome = link.send(request, phase).await;
    phase.upstream_done();
    let response = match outcome {
        Ok(response) => response,
        Err(Failure::Unsent(request)) => return Sent::Unsent(request),
        Err(failure) => return Sent::Failed(mishap(&failure, pool.spec().name.as_str())),
    };
    let fields = header::survey_response(response.headers());
    let chores = fields.chores;
    if !is_sound(response.status(), &fields) {
        tracing::warn!(upstream = pool.spec().name, "an answer is not sound HTTP");
        return Sent::Failed(Mishap::Unsound);
    }
    let (mut parts, incoming) = response.into_parts();
    parts.version = Version::HTTP_11;
    header::prepare_response(&mut parts.headers, chores, via, date);
    let download = Download {
        incoming,
        link: Some(link),
        pool: Rc::clone(pool),
        uploaded,
        idle_timeout: pool.spec().idle_timeout,
        ends_with_connection: !client_chunks,
        ended: false,
    };
    Sent::Answered(Response::from_parts(parts, Answer::streaming(download, Rc::clone(phase))))
}

fn mishap(failure: &Failure<Upload>, upstream: &str) -> Mishap {
    match failure {
        Failure::Late => Mishap::Late,
        // hyper reports a body of ours that broke off as the user's fault.
        Failure::Broken(error) if error.is_user() => Mishap::ClientBody,
        Failure::Broken(error) => {
            tracing::warn!(upstream, %error, "an exchange broke off");
            if error.is_parse() { Mishap::Unsound } else { Mishap::Broken }
        }
        Failure::Unsent(_) => Mishap::Broken,
    }
}

/// What a failed connect is to the client.
pub(super) fn unreachable(error: &ConnectError, upstream: &str) -> Mishap {
    tracing::warn!(upstream, %error, "an upstream cannot be reached");
    match error {
        ConnectError::Refused { .. } => Mishap::Unreachable,
        ConnectError::Late => Mishap::Late,
    }
}

/// One framing, or none: two parsers in a row must see the same end (RFC 9112 section 6.3). An
/// upgrade was not asked for.
fn is_sound(status: StatusCode, fields: &Survey<'_>) -> bool {
    let framed_once = match (fields.content_length, fields.transfer_encoding) {
        (Field::Absent | Field::Once(_), Field::Absent) => true,
        (Field::Absent, Field::Once(coding)) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    };
    framed_once && status != StatusCode::SWITCHING_PROTOCOLS
}

/// The target as it goes upstream: the path as it came, less the route's prefix.
pub(super) fn target(uri: &mut Uri, strip_bytes: usize) -> Result<(), http::Error> {
    if strip_bytes == 0 && uri.authority().is_none() {
        return Ok(());
    }
    let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let rest = &whole[strip_bytes.min(whole.len())..];
    let rooted;
    let rest = if rest.starts_with('/') {
        rest
    } else {
        rooted = format!("/{rest}");
        &rooted
    };
    *uri = Uri::builder().path_and_query(rest).build()?;
    Ok(())
}
