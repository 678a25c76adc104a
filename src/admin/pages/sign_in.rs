//! The way in and the way out.
//!
//! A token is sent once and not kept: the browser gets a key of its own, of which we keep the digest.
//! Whoever sends one wrong token after the other waits, here as anywhere at this port.

use super::answer::{Answer, Frame};
use super::form::{Fields, Form};
use super::visitor::{self, SESSION, THEME, Theme, Visitor};
use crate::admin::extract::{self, Call};
use crate::admin::problem::{Kind, Problem};
use crate::admin::refused::{self, Visitor as Told};
use crate::admin::{AdminState, NoRandom, Shared};
use crate::audit::{Action, Draft, Target};
use crate::governance::Authority;
use crate::secret::Digest;
use crate::session::{self, Refused, Shown, TurnedAway, Whose};
use crate::trails::Who;
use askama::Template;
use axum::extract::{Path, State};
use http::header::ORIGIN;
use http::{Extensions, HeaderMap, Uri};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    next: String,
    /// The code of a link, in place of a token.
    code: Option<String>,
    /// The identity provider, where there is one.
    provider: Option<String>,
    problem: Option<String>,
}

impl SignInPage {
    fn of(state: &AdminState, headers: &HeaderMap, next: &str) -> Self {
        Self {
            frame: Frame::bare("Sign in", Theme::of(headers)),
            next: next.to_owned(),
            code: None,
            provider: state.provider.as_ref().map(|provider| provider.settings().name.clone()),
            problem: None,
        }
    }

    fn provider_address(&self) -> String {
        with_next("/sign-in/oidc", &self.next)
    }
}

/// Where somebody lands first: what is theirs to see.
pub(super) async fn home(visitor: Visitor) -> Answer {
    Answer::to(match visitor.call.caller.authority() {
        Authority::Owner => "/governance/overview",
        Authority::Admin => "/governance/tokens",
        Authority::Member | Authority::Nothing => "/account/tokens",
    })
}

/// The form.
pub(super) async fn page(State(state): State<Shared>, headers: HeaderMap, uri: Uri) -> Answer {
    Answer::page(&SignInPage::of(&state, &headers, &next_of(&uri)))
}

/// Where somebody wanted to go, as an address says it; nothing if it does not.
pub(super) fn next_of(uri: &Uri) -> String {
    let query = uri.query().unwrap_or_default();
    let next = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "next");
    next.map_or_else(String::new, |(_, next)| own(&next).to_owned())
}

/// The address of the form, for who wants to go on to `next`.
pub(super) fn address(next: &str) -> String {
    with_next("/sign-in", next)
}

fn with_next(path: &str, next: &str) -> String {
    if next.is_empty() || next == "/" {
        return path.to_owned();
    }
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    format!("{path}?next={next}")
}

/// The form, for somebody who is not let in.
pub(super) fn refused(
    state: &AdminState,
    headers: &HeaderMap,
    problem: Problem,
    said: String,
) -> Answer {
    let page = SignInPage { problem: Some(said), ..SignInPage::of(state, headers, "") };
    Answer::telling(problem, &page)
}

/// The form of a link, which is used up when it is sent and not when it is looked at: programs that
/// preview links do that, too.
pub(super) async fn link(
    State(state): State<Shared>,
    headers: HeaderMap,
    Path(code): Path<String>,
) -> Answer {
    Answer::page(&SignInPage { code: Some(code), ..SignInPage::of(&state, &headers, "") })
}

/// Begins a session, with a token or with the code of a link.
pub(super) async fn enter(
    State(state): State<Shared>,
    headers: HeaderMap,
    extensions: Extensions,
    fields: Fields,
) -> Answer {
    let next = fields.text("next").map_or("", own);
    let shown = match (fields.text("token"), fields.text("code")) {
        (Some(token), _) => session::digest_of(token.as_bytes(), &state.token_prefix),
        (None, Some(code)) => state.browsers.redeem(code, (state.clock)()).ok_or(Refused::Dead),
        (None, None) => Err(Refused::NoCredential),
    };
    match admitted(&state, shown, &extensions).await {
        Ok((call, key)) => {
            // A session that was there is over, and not somebody else's from now on.
            visitor::end(&state, &headers);
            let whose = Whose::from(&call.caller);
            if let Err(problem) = tell(&state, &call, Action::SignedIn).await {
                return Answer::problem(problem, Theme::of(&headers));
            }
            state.browsers.begin(&key, call.shown, whose, (state.clock)());
            let cookie = format!("{SESSION}={key}; Path=/; HttpOnly; SameSite=Strict");
            Answer::to(if next.is_empty() { "/" } else { next }).setting(&secured(cookie, &headers))
        }
        Err(problem) => {
            let said = said(&problem, fields.has("code"));
            let page = SignInPage::of(&state, &headers, next);
            Answer::telling(problem, &SignInPage { problem: Some(said), ..page })
        }
    }
}

/// Why somebody is not let in, and what they can do.
fn said(problem: &Problem, by_link: bool) -> String {
    let known = [
        (Kind::NoCredential, "Paste an API token of yours."),
        (Kind::TooManyGuesses, "Too many wrong tokens came from your address: wait a minute."),
    ];
    let invalid = if by_link {
        "This link was used, or is too old. Sign in with a token."
    } else {
        "This token is not valid: it may be mistyped, expired or switched off."
    };
    let mut known = known.into_iter().chain([(Kind::InvalidToken, invalid)]);
    let found = known.find(|(kind, _)| *kind == problem.kind());
    found.map_or_else(|| problem.sentence(), |(_, words)| words.to_owned())
}

async fn admitted(
    state: &Shared,
    shown: Result<Digest, Refused>,
    extensions: &Extensions,
) -> Result<(Call, String), Problem> {
    let refuse = |turned: TurnedAway| refused::answer(state, turned, extensions);
    let shown = shown.map_err(|why| refuse(why.into()))?;
    let caller = session::admit(&shown, extract::room(state)).await.map_err(refuse)?;
    Told::tell(extensions, Who::Live((&caller).into()));
    let key =
        super::browser_key(&*state.random).map_err(|error: NoRandom| Problem::internal(&error))?;
    let (shown, origin) = (Shown::Secret(shown), refused::origin(extensions));
    Ok((Call { caller, shown, origin }, key))
}

/// Writes who came and went into the audit trail.
async fn tell(state: &Shared, call: &Call, action: Action) -> Result<(), Problem> {
    let caller = &call.caller;
    let (ledger, user) = (std::sync::Arc::clone(&state.ledger), caller.user());
    let draft =
        Draft::new(caller.org(), (state.clock)(), caller.actor(), action, Target::User(user));
    let draft = draft.from(call.origin.clone());
    let written = tokio::task::spawn_blocking(move || {
        let name = ledger.user(user)?.map(|user| user.name).unwrap_or_default();
        ledger
            .tell(vec![draft.named(&name)])
            .wait()
            .map_err(|error| Problem::uncommitted(&error, false))?;
        Ok(())
    });
    written.await.unwrap_or_else(|panicked| Err(Problem::internal(&panicked)))
}

/// Ends the session of this browser.
pub(super) async fn leave(
    State(state): State<Shared>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(_no_fields): Form,
) -> Answer {
    visitor::end(&state, &headers);
    gone(&state, &visitor, &headers).await
}

/// Ends all sessions of the user.
pub(super) async fn leave_everywhere(
    State(state): State<Shared>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(_no_fields): Form,
) -> Answer {
    state.browsers.end_all(visitor.call.caller.user());
    gone(&state, &visitor, &headers).await
}

async fn gone(state: &Shared, visitor: &Visitor, headers: &HeaderMap) -> Answer {
    // Out is out, also when nobody can write that down.
    let cookie = format!("{SESSION}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    match tell(state, &visitor.call, Action::SignedOut).await {
        Ok(()) => Answer::to("/sign-in"),
        Err(problem) => Answer::problem(problem, visitor.theme),
    }
    .setting(&secured(cookie, headers))
}

/// Takes other colours.
pub(super) async fn theme(headers: HeaderMap, Form(fields): Form) -> Answer {
    let theme = Theme::named(fields.text("theme").unwrap_or_default()).name();
    let cookie = format!("{THEME}={theme}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000");
    Answer::to(fields.text("here").map_or("/", own)).setting(&secured(cookie, &headers))
}

/// A cookie that goes over TLS only, where the browser came over TLS: that it ends before it
/// reaches us.
fn secured(cookie: String, headers: &HeaderMap) -> String {
    let is_tls = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https:"));
    if is_tls { format!("{cookie}; Secure") } else { cookie }
}

/// An address of ours; what is none is the first page.
fn own(address: &str) -> &str {
    let plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && address.starts_with('/') && !address.starts_with("//") { address } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_elsewhere_are_not_gone_to() {
        for ours in ["/", "/governance/tokens?q=a&status=expired", "/tokens/tok_1"] {
            assert_eq!(own(ours), ours);
        }
        for other in ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", "x"]
        {
            assert_eq!(own(other), "/", "{other:?}");
        }
    }
}
