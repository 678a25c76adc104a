//! The way in by the identity provider: there, and back.
//!
//! **Invariants.**
//! - Nobody is let in but the browser that was sent there, once, with what it was sent with.
//! - A browser is sent to the provider, or to a page of ours at the public address of the
//!   configuration, and nowhere else.

use super::answer::{Answer, Frame};
use super::sign_in;
use super::visitor::{self, SESSION, Theme};
use crate::admin::problem::{Kind, Problem};
use crate::admin::refused::{self, Visitor as Told};
use crate::admin::{ATTEMPTS_MAX, AdminState, Shared, tokens};
use crate::audit::Origin;
use crate::change::{Change, Require};
use crate::config::Oidc;
use crate::governance::user::sign_in::{SignIn, known};
use crate::governance::{Clash, Forbidden, Occasion, Refusal, Settlement, settle};
use crate::id::UserId;
use crate::oidc::{Marks, NoAnswer, Person, Response};
use crate::org::User;
use crate::provider::{self, Provider};
use crate::role::{RoleSet, RoleTable};
use crate::secret::Digest;
use crate::session::attempts::{ATTEMPT_LIFE, Attempt};
use crate::session::{Shown, Whose};
use crate::store::CommitError;
use crate::trails::Who;
use askama::Template;
use axum::extract::State;
use http::header::HOST;
use http::{Extensions, HeaderMap, HeaderName, Uri};
use std::sync::Arc;
use std::time::Duration;

/// Why somebody is not let in.
enum Turned {
    /// After many others from their address.
    Waits(Duration),
    /// Not with what this browser was sent with, or not in time.
    Attempt,
    /// The provider says no, or something that is no answer.
    Answer(NoAnswer),
    /// The provider vouches for nobody.
    Provider(provider::Refused),
    /// The token lacks the claim that users are found by.
    Claim,
    /// They are none of ours.
    Person(Refusal),
    /// It is not about them.
    Problem(Problem),
}

impl From<Problem> for Turned {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Sends a browser to the provider.
pub(super) async fn begin(
    State(state): State<Shared>,
    headers: HeaderMap,
    uri: Uri,
    extensions: Extensions,
) -> Answer {
    let theme = Theme::of(&headers);
    let Some(provider) = &state.provider else {
        return Answer::problem(Problem::not_found(), theme);
    };
    let (settings, next) = (provider.settings(), sign_in::next_of(&uri));
    if !is_asked_here(&headers, settings) {
        // What binds the sign-in to the browser is a cookie of the public address; and no other site
        // begins one.
        let here = sign_in::address(&next);
        return Answer::away(&format!("{}{here}", settings.public_url));
    }
    let keys: Result<Vec<String>, _> =
        (0..4).map(|_key| super::browser_key(&*state.random)).collect();
    let keys = keys.map(|keys| <[String; 4]>::try_from(keys).unwrap_or_default());
    let [key, mark, nonce, verifier] = match keys {
        Ok(keys) => keys,
        Err(error) => return Answer::problem(Problem::internal(&error), theme),
    };
    let marks = Marks { state: &mark, nonce: &nonce, verifier: &verifier };
    let address = match provider.address(marks).await {
        Ok(address) => address,
        Err(refused) => {
            return told(&state, &Turned::Provider(refused), &headers, &extensions);
        }
    };
    let before = visitor::cookie(&headers, SESSION).map(|key| Digest::of(key.as_bytes()));
    let attempt = Attempt { state: mark, nonce, verifier, next, before };
    let from = refused::origin(&extensions).address;
    state.attempts.begin(&key, attempt, from, (state.clock)());
    Answer::away(&address).setting(&attempt_cookie(settings, &key, ATTEMPT_LIFE))
}

/// Whether a browser is at the public address, and asks for this itself.
fn is_asked_here(headers: &HeaderMap, settings: &Oidc) -> bool {
    let (_, authority) = settings.public_url.split_once("://").unwrap_or_default();
    let host = headers.get(HOST).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let site = headers.get(HeaderName::from_static("sec-fetch-site"));
    let is_of_another = site.is_some_and(|site| site == "cross-site" || site == "same-site");
    host.eq_ignore_ascii_case(authority.as_bytes()) && !is_of_another
}

fn is_secure(settings: &Oidc) -> bool {
    settings.public_url.starts_with("https:")
}

/// The name of the cookie that a sign-in is bound to. Over TLS no other host can have set it.
fn attempt_cookie_name(settings: &Oidc) -> &'static str {
    if is_secure(settings) { "__Host-bearward_sign_in" } else { "bearward_sign_in" }
}

/// Lax, as it has to come along when the provider sends the browser back.
fn attempt_cookie(settings: &Oidc, key: &str, life: Duration) -> String {
    let (name, seconds) = (attempt_cookie_name(settings), life.as_secs());
    let cookie = format!("{name}={key}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    if is_secure(settings) { format!("{cookie}; Secure") } else { cookie }
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage {
    frame: Frame,
    next: String,
}

/// Takes a browser that comes back from the provider.
///
/// The answer is a page and no redirect: that one would still be the provider's, and the session's
/// cookie is not sent along with what another site has begun.
pub(super) async fn back(
    State(state): State<Shared>,
    headers: HeaderMap,
    uri: Uri,
    extensions: Extensions,
) -> Answer {
    let theme = Theme::of(&headers);
    let Some(provider) = &state.provider else {
        return Answer::problem(Problem::not_found(), theme);
    };
    let settings = provider.settings();
    let forget = attempt_cookie(settings, "", Duration::ZERO);
    match vouched(&state, provider, &headers, &uri, &extensions).await {
        Ok((key, next)) => {
            let next = if next.is_empty() { "/".to_owned() } else { next };
            let frame = Frame::bare("Signed in", theme);
            let cookie = format!("{SESSION}={key}; Path=/; HttpOnly; SameSite=Strict");
            let secure = if is_secure(settings) { "; Secure" } else { "" };
            let page = WelcomePage { frame, next };
            Answer::page(&page)
                .going_on_to(&page.next)
                .setting(&format!("{cookie}{secure}"))
                .setting(&forget)
        }
        Err(turned) => told(&state, &turned, &headers, &extensions),
    }
}

/// Begins a session for whom the provider vouches: its key, and where they wanted to go.
async fn vouched(
    state: &Shared,
    provider: &Provider,
    headers: &HeaderMap,
    uri: &Uri,
    extensions: &Extensions,
) -> Result<(String, String), Turned> {
    let settings = provider.settings();
    let origin = refused::origin(extensions);
    // Before the provider is asked: who guesses here does not guess there.
    if let Some(address) = origin.address
        && let Some(wait) = state.guesses.waits(address, (state.clock)())
    {
        return Err(Turned::Waits(wait));
    }
    let response = Response::read(uri.query().unwrap_or_default()).map_err(Turned::Answer)?;
    let key = visitor::cookie(headers, attempt_cookie_name(settings)).ok_or(Turned::Attempt)?;
    let attempt = state.attempts.take(key, &response.state, (state.clock)());
    let attempt = attempt.ok_or(Turned::Attempt)?;
    let metadata = provider.metadata().await.map_err(Turned::Provider)?;
    let code = response.code(&settings.issuer, &metadata).map_err(Turned::Answer)?;
    let Attempt { state: mark, nonce, verifier, next, before } = &attempt;
    let marks = Marks { state: mark, nonce, verifier };
    let claims = provider.redeem(&code, marks).await.map_err(Turned::Provider)?;
    let roles_claim = settings.roles.as_ref().map(|roles| roles.claim.as_str());
    let person = Person::of(&claims, &settings.user_claim, roles_claim).ok_or(Turned::Claim)?;
    let user = admit(state, settings, person, origin, extensions).await?;
    let whose = Whose { org: user.org, user: user.id, token: None };
    Told::tell(extensions, Who::Live(whose));
    let key = super::browser_key(&*state.random).map_err(|error| Problem::internal(&error))?;
    if let Some(before) = before {
        state.browsers.end_known(before);
    }
    state.browsers.begin(&key, Shown::Vouched(user.id), whose, (state.clock)());
    Ok((key, next.clone()))
}

/// Writes down that somebody signs in, and what comes with it; it is planned anew when the state
/// moved on meanwhile.
async fn admit(
    state: &Shared,
    settings: &Oidc,
    person: Person,
    origin: Origin,
    extensions: &Extensions,
) -> Result<User, Turned> {
    let create = if settings.create_users {
        Some(UserId::new((state.clock)(), tokens::random(state)?))
    } else {
        None
    };
    let asked = Arc::new((settings.clone(), person, origin));
    for _attempt in 0..ATTEMPTS_MAX {
        let planned = {
            let (state, asked) = (Arc::clone(state), Arc::clone(&asked));
            let plan = move || plan(&state, &asked.0, &asked.1, create, &asked.2);
            tokio::task::spawn_blocking(plan)
        };
        let planned = planned.await.unwrap_or_else(|error| Err(Problem::internal(&error)))?;
        let (change, user) = planned.map_err(|(refusal, whose)| {
            if let Some(whose) = whose {
                Told::tell(extensions, Who::Dead(whose));
            }
            Turned::Person(refusal)
        })?;
        let restrictive = change.restrictive;
        match state.ledger.commit(change).await {
            Ok(_committed) => return Ok(user),
            // The same person, in another window: then they are known now.
            Err(CommitError::Conflict(Require::EmailFree { .. })) => {}
            Err(CommitError::Conflict(failed)) => match settle(&failed) {
                Settlement::Retry => {}
                Settlement::Refused(refusal) => return Err(Turned::Person(refusal)),
            },
            Err(error) => {
                let denied = restrictive && !state.ledger.is_writable();
                return Err(Problem::uncommitted(&error, denied).into());
            }
        }
    }
    Err(Problem::new(Kind::Conflict, "others keep changing the same; try again").into())
}

/// What a sign-in comes to; or why it comes to nothing, and whose it would be.
type Planned = Result<(Change, User), (Refusal, Option<Whose>)>;

fn plan(
    state: &AdminState,
    settings: &Oidc,
    person: &Person,
    create: Option<UserId>,
    origin: &Origin,
) -> Result<Planned, Problem> {
    let ledger = &*state.ledger;
    let Some(org) = ledger.organization(settings.organization)? else {
        tracing::error!(org = %settings.organization, "`oidc.organization` is not there");
        return Ok(Err((Refusal::Forbidden(Forbidden::Stranger), None)));
    };
    let users = ledger.users(org.id)?;
    let roles = ledger.roles();
    let sign_in = SignIn {
        org: &org,
        users: &users,
        person,
        issuer: &settings.issuer,
        given: given(settings, person, &roles),
        create,
        sync: settings.sync_roles,
    };
    let at = Occasion { now: (state.clock)(), roles: &roles, origin };
    Ok(sign_in.plan(&at).map_err(|refusal| {
        let user = known(&users, person).ok().flatten();
        let whose = user.map(|user| Whose { org: org.id, user: user.id, token: None });
        (refusal, whose)
    }))
}

/// The roles that the provider gives somebody, by the map of the configuration.
fn given(settings: &Oidc, person: &Person, roles: &RoleTable) -> RoleSet {
    let values = person.roles.as_deref().unwrap_or_default();
    let map = settings.roles.as_ref().map(|roles| roles.of.as_slice()).unwrap_or_default();
    let named = map.iter().filter(|(value, _)| values.contains(value)).flat_map(|(_, of)| of);
    named.filter_map(|name| roles.id(name)).collect()
}

impl Turned {
    /// What the audit trail hears of it.
    fn problem(&self) -> Problem {
        match self {
            Self::Waits(wait) => Problem::too_many_guesses(*wait),
            Self::Attempt => {
                let detail = "the sign-in was not begun in this browser, or is over";
                Problem::new(Kind::InvalidToken, detail)
            }
            Self::Answer(no @ NoAnswer::Error(_)) => Problem::new(Kind::Forbidden, no.to_string()),
            Self::Answer(no @ (NoAnswer::Form | NoAnswer::Issuer)) => {
                Problem::new(Kind::InvalidToken, no.to_string())
            }
            Self::Provider(provider::Refused::Unavailable(_)) => Problem::new(
                Kind::Unavailable,
                "the identity provider does not answer as it should",
            ),
            Self::Provider(
                refused @ (provider::Refused::Code(_) | provider::Refused::Token(_)),
            ) => Problem::new(Kind::InvalidToken, refused.to_string()),
            Self::Claim => {
                let detail = "the ID token lacks the claim that users are found by";
                Problem::new(Kind::Forbidden, detail)
            }
            Self::Person(refusal) => Problem::new(Kind::Forbidden, refusal.to_string()),
            Self::Problem(problem) => problem.clone(),
        }
    }

    /// Whether it counts against the address that it comes from.
    const fn is_a_guess(&self) -> bool {
        match self {
            Self::Attempt
            | Self::Answer(NoAnswer::Form | NoAnswer::Issuer)
            | Self::Provider(provider::Refused::Code(_) | provider::Refused::Token(_))
            | Self::Claim
            | Self::Person(_) => true,
            Self::Waits(_)
            | Self::Answer(NoAnswer::Error(_))
            | Self::Provider(provider::Refused::Unavailable(_))
            | Self::Problem(_) => false,
        }
    }

    /// What somebody can do about it. Nothing here is of the provider's answer.
    fn said(&self, name: &str) -> String {
        match self {
            Self::Waits(_) => WAIT.to_owned(),
            Self::Attempt => "This sign-in was begun in another browser, was used before, or took \
                              longer than ten minutes. Sign in again."
                .to_owned(),
            Self::Answer(NoAnswer::Error(_)) => {
                format!("{name} did not let you in. Sign in again, or ask whoever runs it.")
            }
            Self::Answer(NoAnswer::Form | NoAnswer::Issuer)
            | Self::Provider(provider::Refused::Code(_) | provider::Refused::Token(_)) => format!(
                "What {name} answered proves nothing. Sign in again; if that does not help, the \
                 audit trail says why."
            ),
            Self::Provider(provider::Refused::Unavailable(_)) => format!(
                "{name} cannot be asked at the moment. Try again soon, or sign in with a token."
            ),
            Self::Claim => format!(
                "{name} does not say what you are known by here. Ask whoever runs this service: \
                 `user_claim` names it, and an e-mail address has to be verified."
            ),
            Self::Person(Refusal::Clash(Clash::Deactivated)) => {
                "Your user is switched off here. Ask an owner of your organization.".to_owned()
            }
            Self::Person(Refusal::Forbidden(Forbidden::NoRole)) => format!(
                "{name} gives you no role that counts here. Ask whoever manages your groups there."
            ),
            Self::Person(Refusal::Forbidden(Forbidden::Stranger)) => format!(
                "{name} knows you, but you are no user here. Ask an owner of your organization."
            ),
            Self::Person(refusal) => {
                format!("You cannot sign in: {refusal}. Ask an owner of your organization.")
            }
            Self::Problem(problem) => problem.sentence(),
        }
    }
}

const WAIT: &str = "Too many sign-ins that failed came from your address: wait a minute.";

/// The page of somebody who is not let in.
fn told(state: &Shared, turned: &Turned, headers: &HeaderMap, extensions: &Extensions) -> Answer {
    let name = state.provider.as_ref().map_or("", |provider| provider.settings().name.as_str());
    let (mut problem, mut said) = (turned.problem(), turned.said(name));
    if let (true, Some(address)) = (turned.is_a_guess(), refused::origin(extensions).address)
        && let Err(wait) = state.guesses.count(address, (state.clock)())
    {
        (problem, said) = (Problem::too_many_guesses(wait), WAIT.to_owned());
    }
    tracing::info!(why = problem.detail(), "nobody is signed in by the identity provider");
    sign_in::refused(state, headers, problem, said)
}
