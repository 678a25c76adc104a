//! The admin port: the JSON API that governs, its `OpenAPI` document, health and metrics.
//!
//! One file per noun. A handler reads the request into a command of [`crate::governance`], loads
//! the state it is about, and commits the plan ([`desk`]); who may do what is decided there and not
//! here, and `docs/authorization.md` is the table of it that a test walks.
//!
//! **Invariants.**
//! - Every error is a problem (RFC 9457) with a stable `type`, made by [`problem`] alone.
//! - The secret of a token is in one answer, that of its creation, and in no other.
//! - Nothing here runs on a worker of the gateway: what may block is on a blocking thread.

mod audit;
mod backup;
mod chunks;
mod desk;
mod etag;
mod exemptions;
mod export;
mod extract;
mod front;
mod health;
mod idempotency;
mod insight;
mod leaks;
mod list;
mod me;
mod notices;
mod openapi;
mod orgs;
mod pages;
mod passes;
mod policies;
mod problem;
mod refused;
mod roles;
mod scim;
mod scope;
mod serve;
mod services;
mod tokens;
mod users;
mod validations;
mod violations;
mod webhooks;

pub use backup::Backups;
pub use export::EXPORTS_MAX;
pub use insight::{ANSWERS_KEPT, Insights};
pub use openapi::openapi;
pub use pages::{OVERVIEW_KEPT_MAX, Overviews, browser_key};
pub use passes::{PASSES_MAX, PASSES_PER_ORG_MAX, PASSES_WAITING_MAX, Passes};
pub use serve::serve;

use crate::config::OwnPorts;
use crate::directory::{Shelves, Tidings};
use crate::governance::catalogue::Catalogue;
use crate::leak::Keys;
use crate::seal::Seal;
use crate::session::Evidences;
use crate::session::browser::Browsers;
use crate::store::{Facts, Ledger};
use crate::time::Timestamp;
use crate::trails::{Guesses, Leaks, Refusals};
use crate::usage::Uses;
use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware;
use ipnet::IpNet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest body of a request.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest time for a body to come.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Most requests at once; further ones are told to come back.
pub const REQUESTS_MAX: usize = 256;
/// How often a change is planned anew when the state moved on meanwhile.
pub const ATTEMPTS_MAX: usize = 8;
/// Longest address of a request (path and query).
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// No random bytes could be had from the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct NoRandom;

/// Fills a buffer with random bytes, or says that there are none.
pub type Random = dyn Fn(&mut [u8]) -> Result<(), NoRandom> + Send + Sync;

/// What the admin port works with.
pub struct AdminState {
    /// The store.
    pub ledger: Arc<dyn Ledger>,
    /// The facts as the store has them, for what was found rather than shown.
    pub facts: Arc<dyn Facts>,
    /// The keys of those who sign what they report.
    pub partners: Keys,
    /// Which reports are news.
    pub leaks: Leaks,
    /// The facts that callers are admitted by.
    pub evidences: Arc<dyn Evidences>,
    /// What backups are made of.
    pub backups: Backups,
    /// Turns of those who export.
    pub exports: Arc<Semaphore>,
    /// Turns of those who ask about all tokens.
    pub passes: Arc<Passes>,
    /// Answers about all tokens, for those who ask the same soon after.
    pub insights: Insights,
    /// The tokens of large organizations, in memory for their lists.
    pub shelves: Arc<Shelves>,
    /// Those who listen for changes.
    pub tidings: Arc<Tidings>,
    /// The overviews of those who looked at them a moment ago.
    pub overviews: Overviews,
    /// The use of tokens that is not stored yet.
    pub uses: Arc<dyn Uses>,
    /// The patience with wrong tokens.
    pub guesses: Guesses,
    /// Who is signed in to the pages.
    pub browsers: Arc<Browsers>,
    /// What was refused, on its way into the audit trail.
    pub refusals: Arc<Refusals>,
    /// The roles that can be given, as the configuration names them now.
    pub catalogue: Arc<ArcSwap<Catalogue>>,
    /// Names that a `Host` field may hold beside `localhost` and the loopback addresses.
    pub hosts: Vec<String>,
    /// Rings for the scheduler when a validation run is wanted.
    pub bell: Arc<Notify>,
    /// What new secrets begin with.
    pub token_prefix: String,
    /// What the secrets of webhooks are sealed with.
    pub seal: Arc<Seal>,
    /// Whether there is a mail server to tell people by.
    pub has_mail: bool,
    /// Networks that webhooks may lead to although they are not public.
    pub callable: Vec<IpNet>,
    /// Where this process listens: no webhook leads to its administration.
    pub own_ports: OwnPorts,
    /// The source of identities and secrets.
    pub random: Arc<Random>,
    /// The clock.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Whether the gateway takes requests.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// The metrics in the text format of Prometheus.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Random bytes from the operating system.
pub fn system_random(bytes: &mut [u8]) -> Result<(), NoRandom> {
    getrandom::fill(bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no random bytes");
        NoRandom
    })
}

type Shared = Arc<AdminState>;

/// The admin port as a service.
///
/// The address of the peer, for the audit trail, is taken from
/// [`axum::extract::ConnectInfo`]`<SocketAddr>` among the request's extensions.
pub fn router(state: AdminState) -> Router {
    let state = Arc::new(state);
    let (router, _document) = routes().split_for_parts();
    let entrance = front::Entrance {
        state: Arc::clone(&state),
        slots: Arc::new(Semaphore::new(REQUESTS_MAX)),
    };
    router
        .merge(pages::routes())
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(entrance, front::enter))
        .with_state(state)
}

/// Every endpoint, with its description.
fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(openapi::preamble())
        .routes(routes!(me::read))
        .routes(routes!(orgs::list, orgs::create))
        .routes(routes!(orgs::read, orgs::update))
        .routes(routes!(roles::list))
        .routes(routes!(services::list))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::read, users::update, users::remove))
        .routes(routes!(users::deactivate))
        .routes(routes!(users::activate))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::read, tokens::update, tokens::revoke))
        .routes(routes!(tokens::deactivate))
        .routes(routes!(tokens::activate))
        .routes(routes!(violations::ignore, violations::count))
        .routes(routes!(scim::config))
        .routes(routes!(scim::types))
        .routes(routes!(scim::one_type))
        .routes(routes!(scim::schemas))
        .routes(routes!(scim::one_schema))
        .routes(routes!(scim::list, scim::create))
        .routes(routes!(scim::search))
        .routes(routes!(scim::search_all))
        .routes(routes!(scim::read, scim::replace, scim::patch, scim::remove))
        .routes(routes!(tokens::rotation::rotate))
        .routes(routes!(tokens::transfer::transfer))
        .routes(routes!(tokens::bulk::switch))
        .routes(routes!(policies::read, policies::put))
        .routes(routes!(policies::preview))
        .routes(routes!(validations::list, validations::create))
        .routes(routes!(exemptions::list, exemptions::create))
        .routes(routes!(exemptions::remove))
        .routes(routes!(insight::stale::read))
        .routes(routes!(insight::expiry::read))
        .routes(routes!(insight::requests::read))
        .routes(routes!(insight::verdicts::read))
        .routes(routes!(insight::scope::list))
        .routes(routes!(audit::list))
        .routes(routes!(audit::head))
        .routes(routes!(export::export))
        .routes(routes!(backup::take))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::read, webhooks::update, webhooks::remove))
        .routes(routes!(notices::list))
        .routes(routes!(notices::read))
        .routes(routes!(notices::redeliver))
        .routes(routes!(leaks::report))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(openapi::document))
        .routes(routes!(openapi::document_of_version))
}

#[cfg(test)]
mod tests;
