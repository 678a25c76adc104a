//! What becomes of calls that are refused: the audit trail hears of them, and whoever presents one
//! wrong token after the other has to wait. A good token is never made to wait.

use super::Shared;
use super::front::RequestId;
use super::problem::{Problem, Why};
use crate::audit::Origin;
use crate::session::{Refused, TurnedAway};
use crate::trails::{Refusal, Single, Who};
use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::response::Response;
use http::{Extensions, StatusCode};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

/// Who calls, once that is known: told by the endpoint to the entrance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visitor(Arc<OnceLock<Who>>);

impl Visitor {
    /// Tells who calls.
    pub(crate) fn tell(extensions: &Extensions, who: Who) {
        if let Some(Self(known)) = extensions.get() {
            // One request has one caller.
            let _told_before = known.set(who);
        }
    }
}

/// From where a request comes.
pub(crate) fn origin(extensions: &Extensions) -> Origin {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    let id = extensions.get::<RequestId>();
    Origin {
        address: peer.map(|ConnectInfo(peer)| peer.ip().to_canonical()),
        request_id: id.map(|id| id.0.clone()),
    }
}

/// The answer to somebody who was turned away. A wrong token counts as a guess.
pub(crate) fn answer(state: &Shared, turned: TurnedAway, extensions: &Extensions) -> Problem {
    if let Some(whose) = turned.whose {
        Visitor::tell(extensions, Who::Dead(whose));
    }
    match (turned.why, origin(extensions).address) {
        (Refused::Dead, Some(address)) => match state.guesses.count(address, (state.clock)()) {
            Ok(()) => turned.why.into(),
            Err(wait) => Problem::too_many_guesses(wait),
        },
        // What did not come over a connection has no address.
        (Refused::Dead, None)
        | (Refused::NoCredential | Refused::Malformed | Refused::Unavailable, _) => {
            turned.why.into()
        }
    }
}

/// A call as it comes in, before anybody knows whether it will be refused.
pub(crate) struct Incoming {
    visitor: Visitor,
    request: String,
    origin: Origin,
}

impl Incoming {
    /// Reads a request, and has its endpoint tell who calls.
    pub(crate) fn of(request: &mut Request) -> Self {
        let visitor = Visitor::default();
        request.extensions_mut().insert(visitor.clone());
        let path = request.extensions().get::<MatchedPath>();
        let path = path.map_or("an address without an endpoint", MatchedPath::as_str);
        let origin = origin(request.extensions());
        Self { visitor, request: format!("{} {path}", request.method()), origin }
    }

    /// Takes note of the answer if it is a refusal. One that is an event of its own is to be
    /// [recorded](record) before the answer leaves.
    pub(crate) fn answered(self, state: &Shared, response: &Response) -> Option<Single> {
        let refused =
            [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS];
        let status = response.status();
        if !refused.contains(&status) {
            return None;
        }
        let why = response.extensions().get::<Why>();
        let why = why.map_or_else(String::new, |Why(why)| format!(" {why}"));
        let refusal = Refusal {
            who: self.visitor.0.get().copied().unwrap_or_default(),
            origin: self.origin,
            request: self.request,
            answer: format!("{}{why}", status.as_u16()),
        };
        state.refusals.note(refusal, (state.clock)())
    }
}

/// Writes the event of a refusal, which stands whether or not that can be done.
pub(crate) async fn record(state: &Shared, single: Single) {
    let state = Arc::clone(state);
    let write = move || state.refusals.write_one(&*state.ledger, single);
    let written = tokio::task::spawn_blocking(write).await;
    let error: &dyn std::fmt::Display = match &written {
        Ok(Ok(())) => return,
        Ok(Err(error)) if error.is_passing() => {
            tracing::warn!(%error, "a refusal is told with those of its minute");
            return;
        }
        Ok(Err(error)) => error,
        Err(panicked) => panicked,
    };
    tracing::error!(%error, "a refusal is missing in the audit trail");
}
