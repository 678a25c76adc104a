//! The pages: what people do who would rather not write requests.
//!
//! A page asks and changes by the same functions as the API, so who may do what is decided there.
//! What is its own is how a caller is known (a session in place of a bearer token, [`visitor`]), how
//! a request is read ([`form`]) and how an answer looks (`templates/`). All of it works without
//! scripts.
//!
//! **Invariants.**
//! - A cookie authorizes pages and nothing of the API; a bearer token nothing of the pages. The cookie
//!   of a sign-in that is under way authorizes nothing.
//! - A form that changes something carries the proof of its session: [`form::Form`] is not to be
//!   had without.
//! - Text becomes HTML by the templates alone, which escape it; scripts and styles are files of
//!   ours.

mod account;
mod answer;
mod asset;
mod bulk;
mod chart;
mod exemptions;
mod form;
mod list;
mod live;
mod notices;
mod oidc;
mod overview;
mod query;
mod refusals;
mod settings;
mod sign_in;
mod token;
mod told;
mod trail;
mod users;
mod visitor;
mod webhooks;
mod when;

pub use overview::{OVERVIEW_KEPT_MAX, Overviews};

#[cfg(test)]
pub(super) use visitor::proof;

use super::{NoRandom, Random, Shared};
use crate::provider::CALLBACK;
use axum::Router;
use axum::routing::{get, post};
use std::fmt::Write as _;

/// Random bytes in the key of a session, and in the code of a link.
const KEY_BYTES: usize = 32;

/// What a browser is known by.
pub fn browser_key(random: &Random) -> Result<String, NoRandom> {
    let mut bytes = [0_u8; KEY_BYTES];
    random(&mut bytes)?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Whether a path is one of these, and not the API's.
pub(super) fn is_page(path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    matches!(
        first,
        "" | "sign-in" | "sign-out" | "theme" | "events" | "governance" | "account" | "tokens"
    )
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(sign_in::home))
        .route("/sign-in", get(sign_in::page).post(sign_in::enter))
        .route("/sign-in/{code}", get(sign_in::link))
        .route("/sign-in/oidc", get(oidc::begin))
        .route(CALLBACK, get(oidc::back))
        .route("/sign-out", post(sign_in::leave))
        .route("/sign-out/everywhere", post(sign_in::leave_everywhere))
        .route("/theme", post(sign_in::theme))
        .route("/events", get(live::events))
        .route("/assets/{name}", get(asset::file))
        .route("/governance/tokens", get(list::page))
        .route("/governance/tokens/switch", post(bulk::switch))
        .route("/governance/overview", get(overview::page))
        .route("/governance/settings", get(settings::page))
        .route("/governance/settings/policies", post(settings::policy))
        .route("/governance/settings/governance", post(settings::governance))
        .route("/governance/settings/validate", post(settings::validate))
        .route("/governance/exemptions", get(exemptions::page).post(exemptions::make))
        .route("/governance/exemptions/{exemption}/end", post(exemptions::end))
        .route("/governance/users", get(users::page).post(users::make))
        .route("/governance/users/{user}", get(users::one).post(users::change))
        .route("/governance/users/{user}/deactivate", post(users::deactivate))
        .route("/governance/users/{user}/activate", post(users::activate))
        .route("/governance/users/{user}/remove", post(users::remove))
        .route("/governance/audit", get(trail::page))
        .route("/governance/notices", get(notices::page))
        .route("/governance/notices/{notice}/again", post(notices::again))
        .route("/governance/webhooks", get(webhooks::page).post(webhooks::make))
        .route("/governance/webhooks/{webhook}/switch", post(webhooks::switch))
        .route("/governance/webhooks/{webhook}/remove", post(webhooks::remove))
        .route("/account/tokens", get(account::page).post(account::make))
        .route("/tokens/{token}", get(token::page))
        .route("/tokens/{token}/deactivate", post(token::deactivate))
        .route("/tokens/{token}/activate", post(token::activate))
        .route("/tokens/{token}/revoke", post(token::revoke))
        .route("/tokens/{token}/rotate", post(token::rotate))
        .route("/tokens/{token}/transfer", post(token::transfer))
        .route("/tokens/{token}/ignore", post(token::ignore))
        .route("/tokens/{token}/count", post(token::count))
}
