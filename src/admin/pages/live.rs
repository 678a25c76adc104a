//! Events for open pages: that something they may show has changed. What it is they read anew, as
//! any page is read, so nothing is told here that is to be seen there only.
//!
//! **Invariant.** A stream ends with the session that it was begun in, and does not keep it alive.

use super::answer::Answer;
use super::visitor::{Onlooker, SESSION, cookie};
use crate::admin::Shared;
use crate::admin::chunks::{Chunks, Next};
use crate::admin::problem::{Kind, Problem};
use crate::directory::{Audience, Changed, Listening};
use crate::governance::Caller;
use crate::org::Revision;
use crate::session::{self, Shown};
use crate::store::StoreError;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode, Uri};
use std::fmt::Write as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};

/// How often it is looked whether the session of a stream is still there.
const SESSION_LOOK: Duration = Duration::from_secs(1);
/// Looks after which something is sent that means nothing, to see whether anybody is there.
const LOOKS_PER_SIGN: u32 = 15;
/// Between two events of a stream; what changes meanwhile is in the second one.
const EVENTS_APART: Duration = Duration::from_millis(250);
/// How long a stream lasts; then the browser begins another one. Connections of the port live for
/// little longer.
const STREAM_LIFE: Duration = Duration::from_mins(4);
/// The first words of a stream: after how many milliseconds to come back when it ends.
const FIRST_WORDS: &str = "retry: 2000\n\n";
/// What means nothing.
const SIGN: &str = ":\n\n";

/// The stream of somebody who is signed in. Who is not gets nothing, by which browsers know not to
/// come back.
pub(super) async fn events(
    State(state): State<Shared>,
    onlooker: Result<Onlooker, Answer>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let Ok(Onlooker(visitor)) = onlooker else { return StatusCode::NO_CONTENT.into_response() };
    let Some(key) = cookie(&headers, SESSION) else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let sitting =
        Sitting { state, caller: visitor.call.caller, shown: visitor.call.shown, key: key.into() };
    let Ok(Some(whose)) = sitting.audience().await else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let Ok(listening) = sitting.state.tidings.listen(whose, seen(&headers, &uri)) else {
        return Problem::new(Kind::Busy, "too many pages listen for changes").into_response();
    };
    let (send, chunks) = mpsc::channel(1);
    let _task = tokio::spawn(tell(sitting, listening, send));
    ([(CONTENT_TYPE, "text/event-stream")], Body::new(Chunks::told(chunks))).into_response()
}

/// The commit up to which the page has seen what there is: as the last event named it, or the page.
fn seen(headers: &HeaderMap, uri: &Uri) -> Option<Revision> {
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok());
    let since = uri.query().and_then(|query| query.strip_prefix("since="));
    last.or(since)?.parse().ok().map(Revision)
}

/// The session that a stream belongs to.
struct Sitting {
    state: Shared,
    caller: Caller,
    shown: Shown,
    key: Arc<str>,
}

impl Sitting {
    /// Whom it lets hear what, by the present records; nobody once it is over.
    async fn audience(&self) -> Result<Option<Audience>, StoreError> {
        let now = (self.state.clock)();
        if !self.state.browsers.lives(&self.key, now) {
            return Ok(None);
        }
        let (state, caller, shown) = (Arc::clone(&self.state), self.caller.clone(), self.shown);
        let look = move || {
            let Ok(caller) = session::again(&*state.ledger, &caller, &shown, now)? else {
                return Ok(None);
            };
            let Some(org) = state.ledger.organization(caller.org())? else { return Ok(None) };
            let reads_all = caller.lists_tokens(&org, None).is_ok();
            Ok(Some(Audience { org: org.id, user: caller.user(), reads_all }))
        };
        tokio::task::spawn_blocking(look).await.unwrap_or(Ok(None))
    }
}

/// Tells of changes until the stream is over.
async fn tell(sitting: Sitting, listening: Listening, send: mpsc::Sender<Next>) {
    let mut life = pin!(sleep(STREAM_LIFE));
    let mut look = interval(SESSION_LOOK);
    let mut looks: u32 = 0;
    let mut words = FIRST_WORDS.to_owned();
    loop {
        if !words.is_empty() {
            if send.send(Some(Ok(std::mem::take(&mut words).into()))).await.is_err() {
                return;
            }
            sleep(EVENTS_APART).await;
        }
        tokio::select! {
            () = send.closed() => return,
            () = life.as_mut() => break,
            heard = listening.next() => match heard {
                Some((at, changed)) => words = event(at, &changed),
                None => break,
            },
            _ = look.tick() => {
                looks += 1;
                if looks.is_multiple_of(LOOKS_PER_SIGN) {
                    words.push_str(SIGN);
                }
            }
        }
        // Before anything is said; another authority begins another stream.
        if !matches!(sitting.audience().await, Ok(Some(whose)) if whose == listening.whose()) {
            break;
        }
    }
    let _gone = send.send(None).await;
}

fn event(at: Revision, changed: &Changed) -> String {
    let mut text = format!("id: {}\nevent: changed\ndata:", at.0);
    match changed {
        Changed::List => text.push_str(" list"),
        Changed::Tokens(tokens) => {
            for token in tokens {
                let _infallible = write!(text, " {token}");
            }
        }
    }
    text.push_str("\n\n");
    text
}
