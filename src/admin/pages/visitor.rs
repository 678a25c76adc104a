//! Who looks at a page: the bearer of the token that their session was begun with, or the user for
//! whom the identity provider vouched then.

use super::answer::Answer;
use crate::admin::extract::{self, Call};
use crate::admin::refused::{self, Visitor as Told};
use crate::admin::{AdminState, Shared};
use crate::org::Revision;
use crate::session::{self, Refused, Shown};
use crate::trails::Who;
use axum::extract::FromRequestParts;
use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};
use sha2::{Digest as _, Sha256};

/// The cookie that holds the key of a session.
pub(super) const SESSION: &str = "bearward_session";
/// The cookie that says which colours somebody chose.
pub(super) const THEME: &str = "bearward_theme";

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    pub(super) call: Call,
    /// What a form of theirs has to hold.
    pub(super) proof: String,
    pub(super) theme: Theme,
    /// The address of the page; the first page where a form was sent to another.
    pub(super) here: String,
    /// The commit that what is read for the page is not older than.
    pub(super) since: Revision,
}

/// The colours of the pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Theme {
    /// Those of the system.
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        cookie(headers, THEME).map_or(Self::System, Self::named)
    }

    pub(super) fn named(name: &str) -> Self {
        match name {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::System,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// Somebody who is signed in, and whose page asks by itself: that does not keep the session alive.
#[derive(Clone, Debug)]
pub(super) struct Onlooker(pub(super) Visitor);

/// What a request has that a page makes by itself, to see what others have changed.
const BY_ITSELF: HeaderName = HeaderName::from_static("bearward-by-itself");

impl FromRequestParts<Shared> for Visitor {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Answer> {
        let is_asked = !parts.headers.contains_key(BY_ITSELF);
        Self::known(parts, state, is_asked).await
    }
}

impl FromRequestParts<Shared> for Onlooker {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Answer> {
        Visitor::known(parts, state, false).await.map(Self)
    }
}

impl Visitor {
    /// Who is signed in. `is_asked` says whether that is a use of the session.
    async fn known(parts: &Parts, state: &Shared, is_asked: bool) -> Result<Self, Answer> {
        // Before anything is read that a page shows.
        let since = state.tidings.last();
        let here = parts.uri.path_and_query().map_or("/", |here| here.as_str());
        let Some(key) = cookie(&parts.headers, SESSION) else { return Err(Answer::sign_in(here)) };
        let now = (state.clock)();
        let shown = if is_asked {
            state.browsers.shown(key, now)
        } else {
            state.browsers.glanced(key, now)
        };
        let Some(shown) = shown else { return Err(Answer::sign_in(here)) };
        let caller = match shown {
            Shown::Secret(secret) => {
                session::admit(&secret, extract::room(state)).await.map_err(|turned| turned.why)
            }
            Shown::Vouched(user) => session::recognize(user, &state.ledger).await,
        };
        let caller = match caller {
            Ok(caller) => caller,
            Err(why @ Refused::Unavailable) => {
                return Err(Answer::problem(why.into(), Theme::of(&parts.headers)));
            }
            // The session dies with its token, or with its user.
            Err(_dead) => {
                state.browsers.end(key);
                return Err(Answer::sign_in(here));
            }
        };
        Told::tell(&parts.extensions, Who::Live((&caller).into()));
        let call = Call { caller, shown, origin: refused::origin(&parts.extensions) };
        let here = if parts.method == Method::GET { here } else { "/" };
        let theme = Theme::of(&parts.headers);
        Ok(Self { call, proof: proof(key), theme, here: here.to_owned(), since })
    }
}

/// What the forms of a session hold: it follows from the key, and the key does not follow from it.
pub(in crate::admin) fn proof(key: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(b"form of ");
    digest.update(key.as_bytes());
    super::hex(&digest.finalize())
}

/// The value of a cookie.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let fields = headers.get_all(COOKIE).into_iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|it| it.split_once('='));
    pairs.find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim())
}

/// Ends the session of a request.
pub(super) fn end(state: &AdminState, headers: &HeaderMap) {
    if let Some(key) = cookie(headers, SESSION) {
        state.browsers.end(key);
    }
}
