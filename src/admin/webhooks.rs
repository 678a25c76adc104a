//! `/orgs/{org}/webhooks`: where machines are told of what happens.

use super::desk::{self, Desk, Step, Versioned};
use super::etag::{self, Precondition};
use super::extract::{Call, Json, Params, Query};
use super::idempotency::{self, IdempotencyKey, Once};
use super::list::{self, PageBody};
use super::me::Nothing;
use super::openapi::{ChangeProblems, ReadProblems};
use super::problem::Problem;
use super::tokens::{path, random};
use super::{NoRandom, Shared};
use crate::config::{Address, OwnPort, OwnPorts};
use crate::governance::webhook::{self, CreateWebhook, UpdateWebhook};
use crate::id::{OrgId, UserId, WebhookId};
use crate::notice::target::Target;
use crate::notice::{self, Kind, Webhook};
use crate::org::Revision;
use crate::secret::Secret;
use crate::time::Timestamp;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ETAG, LOCATION};
use serde::{Deserialize, Serialize};

/// What the secrets of webhooks begin with.
const SECRET_PREFIX: &str = "whs_";

/// A webhook. Its secret is not in it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Webhook)]
pub(crate) struct WebhookBody {
    #[schema(value_type = String, example = "whk_01jgfjjy2g3q8n5r7s9t1v3w5x")]
    pub(super) id: WebhookId,
    #[schema(example = "https://example.com/hooks/bearward")]
    pub(super) url: String,
    /// What it is told of.
    pub(super) kinds: Vec<Kind>,
    /// Whether it is told anything.
    pub(super) activated: bool,
    #[schema(value_type = String, format = DateTime)]
    pub(super) created_at: Timestamp,
    #[schema(value_type = String)]
    pub(super) created_by: UserId,
}

impl From<Webhook> for WebhookBody {
    fn from(webhook: Webhook) -> Self {
        Self {
            id: webhook.id,
            url: webhook.url,
            kinds: webhook.kinds,
            activated: webhook.activated,
            created_at: webhook.created_at,
            created_by: webhook.created_by,
        }
    }
}

/// A new webhook.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWebhook {
    /// `https://` or `http://`, to an address that the configuration lets be called.
    #[schema(example = "https://example.com/hooks/bearward", max_length = 2048)]
    pub(super) url: String,
    /// What it is told of; everything if nothing is said.
    pub(super) kinds: Option<Vec<Kind>>,
    /// Whether it is told anything as yet; so if nothing is said.
    pub(super) activated: Option<bool>,
}

/// A change of a webhook. What is left out stays as it is.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookChange {
    /// `https://` or `http://`, to an address that the configuration lets be called.
    #[schema(max_length = 2048)]
    pub(super) url: Option<String>,
    /// All that it is told of.
    pub(super) kinds: Option<Vec<Kind>>,
    /// Whether it is told anything.
    pub(super) activated: Option<bool>,
}

/// A new webhook and the secret that signs what it is sent.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CreatedWebhook {
    webhook: WebhookBody,
    /// The secret. It is shown this once; null when the request is repeated under its
    /// `Idempotency-Key`.
    #[schema(required, example = "whs_...")]
    secret: Option<String>,
}

/// List the webhooks.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/webhooks",
    tag = "webhooks",
    operation_id = "list_webhooks",
    params(("org" = String, Path, description = "Identity of the organization")),
    responses(
        (status = 200, description = "All of them", body = PageBody<WebhookBody>),
        ReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    _query: Query<Nothing>,
) -> Result<axum::Json<PageBody<WebhookBody>>, Problem> {
    desk::read(&state, call, move |desk| {
        let org = params.id("org")?;
        desk.caller.reads_notices(org)?;
        let webhooks = desk.ledger().webhooks(org)?;
        Ok(axum::Json(list::whole(webhooks.into_iter().map(WebhookBody::from).collect())))
    })
    .await
}

/// Make a webhook. What it is sent is signed with the secret that is shown here, once.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/webhooks",
    tag = "webhooks",
    operation_id = "create_webhook",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("Idempotency-Key" = Option<String>, Header, description = "Creates once per key")
    ),
    request_body = NewWebhook,
    responses(
        (status = 201, description = "Created", body = CreatedWebhook,
         headers(("ETag" = String), ("Location" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn create(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    key: IdempotencyKey,
    body: Json<NewWebhook>,
) -> Result<Response, Problem> {
    let once = key.bind(&call.caller, &body.digest);
    let org = params.id("org")?;
    let (done, secret) = make(&state, call, org, once, body.value).await?;
    let (webhook, is_new) = done.answer;
    let location = format!("/api/v1/orgs/{org}/webhooks/{}", webhook.id);
    let headers = [(ETAG, etag::tag(done.version)), (LOCATION, path(&location))];
    let created = CreatedWebhook { webhook, secret: is_new.then(|| secret.expose().to_owned()) };
    Ok((StatusCode::CREATED, headers, axum::Json(created)).into_response())
}

/// Makes a webhook. Answers it, whether it is new and has the secret, and the secret.
pub(super) async fn make(
    state: &Shared,
    call: Call,
    org: OrgId,
    once: Once,
    wanted: NewWebhook,
) -> Result<(Versioned<(WebhookBody, bool)>, Secret), Problem> {
    let secret = Secret::generate(SECRET_PREFIX, |bytes| (state.random)(bytes));
    let secret = secret.map_err(|error: NoRandom| Problem::internal(&error))?;
    let id = WebhookId::new((state.clock)(), random(state)?);
    let owner = notice::seal_owner(org, id);
    let sealed_secret = state.seal.close(&owner, secret.expose().as_bytes());
    let sealed_secret = sealed_secret.map_err(|error| Problem::internal(&error))?;
    let done = desk::change(state, call, move |desk| {
        desk.caller.manages_webhooks(org)?;
        if let Some(made) = once.made(desk.ledger())? {
            let made = made.parse().map_err(|_never| idempotency::gone())?;
            let found = desk.ledger().webhook(org, made)?.ok_or_else(idempotency::gone)?;
            let version = found.version;
            return Ok(Step::Answer((WebhookBody::from(found), false), version));
        }
        let command = CreateWebhook {
            org,
            id,
            url: wanted.url.clone(),
            kinds: wanted.kinds.clone().unwrap_or_else(|| Kind::ALL.to_vec()),
            activated: wanted.activated.unwrap_or(true),
            sealed_secret: sealed_secret.clone(),
            allowed: &desk.state.callable,
        };
        let plan = command.plan(desk.caller, &desk.at)?;
        leads_elsewhere(&wanted.url, &desk.state.own_ports)?;
        let step =
            Step::of(plan, Revision::default(), |webhook| (WebhookBody::from(webhook), true));
        Ok(step.with(|change| once.mark(change, id.to_string(), desk.now())))
    })
    .await?;
    Ok((done, secret))
}

/// No network that may be called holds the administration: an address that says so by itself is
/// refused here, and a name that leads there each time it is called.
fn leads_elsewhere(url: &str, own_ports: &OwnPorts) -> Result<(), Problem> {
    // Of what is no address the command has said so.
    let Ok(Target { host, port, .. }) = Target::parse(url) else { return Ok(()) };
    match own_ports.named(&Address { host, port }) {
        Some(own @ OwnPort::Admin) => Err(Problem::field("url", own.to_string())),
        Some(OwnPort::Gateway) | None => Ok(()),
    }
}

/// The webhook that the path names. Nobody below an owner learns whether it is there.
fn named(desk: &Desk<'_>, params: &Params) -> Result<Webhook, Problem> {
    let org = params.id("org")?;
    desk.caller.reads_notices(org)?;
    desk.ledger().webhook(org, params.id("webhook")?)?.ok_or_else(Problem::not_found)
}

fn shown(done: Versioned<WebhookBody>) -> Response {
    ([(ETAG, etag::tag(done.version))], axum::Json(done.answer)).into_response()
}

/// Read a webhook.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/webhooks/{webhook}",
    tag = "webhooks",
    operation_id = "read_webhook",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("webhook" = String, Path, description = "Identity of the webhook")
    ),
    responses(
        (status = 200, description = "The webhook", body = WebhookBody,
         headers(("ETag" = String))),
        ReadProblems
    )
)]
pub(crate) async fn read(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    _query: Query<Nothing>,
) -> Result<Response, Problem> {
    let found = desk::read(&state, call, move |desk| named(desk, &params)).await?;
    Ok(shown(Versioned { version: found.version, answer: found.into() }))
}

/// Change where a webhook leads, what it is told of, or whether it is told anything.
#[utoipa::path(
    patch,
    path = "/api/v1/orgs/{org}/webhooks/{webhook}",
    tag = "webhooks",
    operation_id = "update_webhook",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("webhook" = String, Path, description = "Identity of the webhook"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have")
    ),
    request_body = WebhookChange,
    responses(
        (status = 200, description = "Changed", body = WebhookBody, headers(("ETag" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn update(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    body: Json<WebhookChange>,
) -> Result<Response, Problem> {
    let wanted = body.value;
    let done = desk::change(&state, call, move |desk| {
        let found = named(desk, &params)?;
        let command = UpdateWebhook {
            webhook: &found,
            url: wanted.url.clone(),
            kinds: wanted.kinds.clone(),
            activated: wanted.activated,
            allowed: &desk.state.callable,
        };
        let plan = command.plan(desk.caller, &desk.at)?;
        if let Some(url) = &wanted.url {
            leads_elsewhere(url, &desk.state.own_ports)?;
        }
        precondition.holds(found.version)?;
        Ok(Step::of(plan, found.version, WebhookBody::from))
    })
    .await?;
    Ok(shown(done))
}

/// Remove a webhook. What it is still owed is given up.
#[utoipa::path(
    delete,
    path = "/api/v1/orgs/{org}/webhooks/{webhook}",
    tag = "webhooks",
    operation_id = "remove_webhook",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("webhook" = String, Path, description = "Identity of the webhook"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have")
    ),
    responses((status = 204, description = "Removed"), ChangeProblems)
)]
pub(crate) async fn remove(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
) -> Result<StatusCode, Problem> {
    desk::change(&state, call, move |desk| {
        let found = named(desk, &params)?;
        let plan = webhook::remove(&found, desk.caller, &desk.at)?;
        precondition.holds(found.version)?;
        Ok(Step::of(plan, found.version, |()| ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
